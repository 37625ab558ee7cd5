"""Tables in Markdown, plots, and where they go: between two markers of a page."""

import os
import re
import statistics
from collections.abc import Sequence
from pathlib import Path

import torch

from qs_core.precision import computes

from .cases import Case, machine
from .measuring import load_average


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def gigabytes(count: float | None) -> str:
    """Bytes in GB of 10⁹; a dash where the system does not tell."""
    return "–" if count is None else f"{count / 1e9:.2f}"


def spread(values: Sequence[float], form: str) -> str:
    """The median (least to most)."""
    middle, least, most = (format(value, form) for value in (statistics.median(values), min(values), max(values)))
    return f"{middle} ({least} to {most})"


def footnote(case: Case, before: str) -> str:
    """The case and the machine."""
    described = f"U-Net {case.unet}, CLIP {case.clip}, {case.size} px, {case.crops} crops, anchors {case.anchors} "
    described += f"({case.num_anchors}), batch {case.batch}, {case.device}, U-Net in {case.dtype}, "
    wished = case.settings.get("clip_dtype", "auto")
    described += f"CLIP in {clip_dtype(case)} ({wished}), {case.skip} of {case.steps} steps skipped"
    settings = {name: value for name, value in case.settings.items() if name != "clip_dtype"}
    described += "".join(f", {name} {value}" for name, value in settings.items())
    return f"{described}. {surroundings(case.device, before)}"


def clip_dtype(case: Case) -> str:
    """What CLIP's picture tower computes in; all of `CLIPS` are vision transformers."""
    wished = case.settings.get("clip_dtype", "auto")
    if wished != "auto":
        return wished
    return "bfloat16" if computes("bfloat16", torch.device(case.device)) else "float32"


def surroundings(device: str, before: str) -> str:
    """The machine, with how busy it was before the measurement and after it."""
    told = machine(device)
    told["load average before and after"] = f"{before} and {load_average()} (above 1 before: other work ran beside)"
    told["clock"] = os.environ.get("BENCHMARK_CLOCK", "wall")
    return "; ".join(f"{name}: {value}" for name, value in told.items()) + "."


def require_markers(page: Path, name: str) -> None:
    """Exits where the page has no place for a report of that name: before it is measured, which takes long."""
    if len(re.findall(_between(name), page.read_text(encoding="utf-8"), flags=re.DOTALL)) != 1:
        raise SystemExit(f"{page} has no markers <!-- {name} --> … <!-- /{name} -->.")


def _between(name: str) -> str:
    return rf"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)"


def insert(page: Path, name: str, text: str) -> None:
    """Put the text between the page's two markers of that name."""
    require_markers(page, name)
    old = page.read_text(encoding="utf-8")
    new = re.sub(_between(name), lambda m: f"{m[1]}{text}\n{m[2]}", old, flags=re.DOTALL)
    page.write_text(new, encoding="utf-8")


def bars(labels: Sequence[str], spreads: Sequence[Sequence[float]], unit: str, path: Path) -> None:
    """A plot of medians with every figure as a dot, from the top down; where they differ tenfold, in logarithms."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 0.9 + 0.3 * len(labels)), layout="constrained")
    medians = [statistics.median(taken) for taken in spreads]
    wide = max(medians) > 10 * min(medians)
    for place, (taken, middle) in enumerate(zip(spreads, medians, strict=True)):
        if not wide:  # a bar's length says nothing in logarithms
            axes.barh(place, middle, color="#9db4c8")
        axes.plot(taken, [place] * len(taken), "o", color="#27455e", markersize=4)
        axes.annotate(f"  {middle:.3g}", (max(taken), place), va="center", fontsize=9)
    if wide:
        axes.set_xscale("log")
        axes.grid(axis="x", which="both", alpha=0.3)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.margins(x=0.12)
    axes.set_xlabel(unit)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
