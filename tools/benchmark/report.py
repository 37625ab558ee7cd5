"""Tables in Markdown, plots, and where they go: between two markers of a page."""

import re
from collections.abc import Sequence
from pathlib import Path

from .cases import Case, machine
from .measuring import load_average


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def gigabytes(count: float | None) -> str:
    """Bytes in GB of 10⁹; a dash where the system does not tell."""
    return "–" if count is None else f"{count / 1e9:.2f}"


def footnote(case: Case, before: str) -> str:
    """The case and the machine, with how busy it was before the measurement and after it."""
    told = {name: value for name, value in machine(case.device).items()}
    told["load average before and after"] = f"{before} and {load_average()} (above 1 before: other work ran beside)"
    described = f"U-Net {case.unet}, CLIP {case.clip}, {case.size} px, {case.crops} crops, anchors {case.anchors} "
    described += f"({case.num_anchors}), batch {case.batch}, {case.dtype}, {case.device}"
    if case.settings:
        described += ", " + ", ".join(f"{name} {value}" for name, value in case.settings.items())
    return f"{described}. " + "; ".join(f"{name}: {value}" for name, value in told.items()) + "."


def insert(page: Path, name: str, text: str) -> None:
    """Put the text between the page's two markers of that name."""
    old = page.read_text(encoding="utf-8")
    pattern = rf"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)"
    new, count = re.subn(pattern, lambda m: f"{m[1]}{text}\n{m[2]}", old, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"{page} has no markers <!-- {name} --> … <!-- /{name} -->.")
    page.write_text(new, encoding="utf-8")


def bars(labels: Sequence[str], spreads: Sequence[Sequence[float]], unit: str, path: Path) -> None:
    """A plot of medians with every figure as a dot, from the top down."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 0.9 + 0.42 * len(labels)), layout="constrained")
    for place, spread in enumerate(spreads):
        middle = sorted(spread)[len(spread) // 2]
        axes.barh(place, middle, color="#9db4c8")
        axes.plot(spread, [place] * len(spread), "o", color="#27455e", markersize=3)
        axes.annotate(f" {middle:.3g}", (max(spread), place), va="center", fontsize=9)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel(unit)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
