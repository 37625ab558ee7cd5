"""What an evaluation found, written into its folder: two tables as CSV, all as Markdown, curves and contact sheets.

The table at equal style is the measured counterpart of the paper's table 1, which holds the percentage of people who
preferred a method's content and its style, and no measure of either.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from qs_core import pictures
from qs_core.errors import InputError

from . import curves
from .curves import CONTENT, DISTANCES, STYLE, Comparison, Estimate, NoOverlap, Rows

NAMES = {
    "ssim": "SSIM",
    "gradient": "gradient correlation",
    "structure": "structure distance",
    "lpips": "LPIPS",
    "directional": "CLIP directional similarity",
    "clip_score": "CLIP score",
    "probability": "CLIP probability",
    "seconds": "seconds",
}
# Okabe and Ito's colours, told apart by colour-blind readers; its yellow is too faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX*"
SHOWN = 8  # pictures of a contact sheet, unless they are named
TILE = 160  # pixels that small pictures are enlarged to, or a little less
INK, FAINT, PAPER = (24, 24, 27), (105, 105, 112), (255, 255, 255)


@dataclass(frozen=True)
class Options:
    """What all parts of a report share."""

    style: str = "directional"  # the metric by which styles are equal
    resamples: int = 10_000
    seed: int = 0
    primary: tuple[str, str] | None = None  # method and content metric of the one test named beforehand


def write(
    rows: Rows,
    folder: str | Path,
    baseline: str,
    style: str = "directional",
    shown: Sequence[str] | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    primary: tuple[str, str] | None = None,
) -> tuple[Path, ...]:
    """The files written: summary.csv, comparisons.csv, summary.md, curves.png and a contact sheet for each prompt.

    Every other swept method is compared with `baseline`; `primary`, a method and a content metric, is the comparison
    named before the run, not among those corrected for their number. The sheets show the pictures of `shown`, or the
    first eight; they are read from the folder's `sources` and `pictures`. All is made before anything is written.
    """
    options = Options(style, resamples, seed, primary)
    _check(rows, baseline, style)
    weights, compared = summary(rows, options), comparisons(rows, baseline, options)
    if primary and primary not in [_test(line) for line in compared]:
        raise InputError(
            f"The primary comparison {primary} is none of this run's: {[_test(line) for line in compared]}."
        )
    files = {
        "summary.csv": _csv(weights).encode(),
        "comparisons.csv": _csv(compared, COMPARED).encode(),
        "summary.md": markdown(rows, baseline, weights, compared, options).encode(),
        "curves.png": draw_curves(rows, options),
    }
    for name, prompt in _sheet_names(_distinct(rows, "prompt")).items():
        files[name] = _png(contact_sheet(rows, Path(folder), prompt, shown, style))
    return tuple(_write(Path(folder) / name, content) for name, content in files.items())


def _check(rows: Rows, baseline: str, style: str) -> None:
    if not rows:
        raise InputError("There are no rows to report on. Run the evaluation first.")
    if baseline not in curves.methods(rows):
        raise InputError(f"The baseline {baseline!r} has no rows; choose one of {', '.join(curves.methods(rows))}.")
    if style not in curves.measured(rows, STYLE):
        raise InputError(f"Style {style!r} is not measured; choose one of {', '.join(curves.measured(rows, STYLE))}.")


def _write(path: Path, content: bytes) -> Path:
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"Cannot write {path} ({error.strerror or error}). Choose a writable place.") from error
    return path


def _distinct(rows: Rows, key: str) -> tuple:
    return tuple(dict.fromkeys(row[key] for row in rows))


# Tables.


def summary(rows: Rows, options: Options) -> list[dict]:
    """One dict per method and weight: n edits, pictures, and each metric's mean with its interval over pictures."""
    metrics = curves.measured(rows, (*CONTENT, *STYLE, "seconds"))
    found = []
    for method in curves.methods(rows):
        estimates = {m: curves.estimates(rows, method, m, options.resamples, options.seed) for m in metrics}
        for weight in curves.weights(rows, method):
            edits = curves.edits(rows, method, weight)
            line = {"method": method, "weight": weight, "n": len(edits), "pictures": len({key[0] for key in edits})}
            for metric in metrics:
                estimate = estimates[metric][weight]
                line |= {metric: estimate.value, f"{metric}_low": estimate.low, f"{metric}_high": estimate.high}
            found.append(line)
    return found


COMPARED = ("method", "baseline", "content", "style", "gain", "low", "high")
COMPARED += ("p", "p_holm", "p_flip", "p_flip_holm", "seeds")
COMPARED += ("pictures", "pictures_better", "pictures_apart", "style_low", "style_high", "resamples", "lost", "note")


def comparisons(rows: Rows, baseline: str, options: Options) -> list[dict]:
    """One dict per content metric and other swept method; `note` says why where a comparison cannot be had.

    Two methods are compared on the seeds that both have. Both p-values are adjusted by Holm's method for all of this
    list but the primary comparison.
    """
    others = [method for method in curves.swept(rows) if method != baseline]
    found = [_compared(rows, other, baseline, m, options) for m in curves.measured(rows, CONTENT) for other in others]
    tested = [line for line in found if line["p"] is not None and _test(line) != options.primary]
    for p in ("p", "p_flip"):
        for line, adjusted in zip(tested, curves.holm([line[p] for line in tested]), strict=True):
            line[f"{p}_holm"] = adjusted
    return found


def _test(line: Mapping) -> tuple[str, str]:
    return line["method"], line["content"]


def _compared(rows: Rows, method: str, baseline: str, content: str, options: Options) -> dict:
    line = dict.fromkeys(COMPARED) | {"method": method, "baseline": baseline, "content": content}
    line |= {"style": options.style, "note": ""}
    seeds = curves.shared_seeds(rows, method, baseline)
    rows = [row for row in rows if int(row["seed"]) in seeds]
    line |= {"seeds": len(seeds)}
    if len(_distinct(rows, "picture")) < 2:
        return line | {"note": "one picture: no interval"}
    try:
        found = curves.compare(rows, method, baseline, content, options.style, options.resamples, options.seed)
    except NoOverlap as error:
        return line | {"note": str(error)}
    return line | _fields(found)


def _fields(found: Comparison) -> dict:
    same = ("gain", "low", "high", "p", "p_flip", "pictures", "pictures_better", "pictures_apart", "resamples", "lost")
    return {name: getattr(found, name) for name in same} | dict(
        zip(("style_low", "style_high"), found.range, strict=True)
    )


def _csv(lines: Sequence[Mapping], columns: Sequence[str] = ()) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns or list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def common_level(rows: Rows, style: str) -> tuple[float, float, float]:
    """The middle of the range of styles that all swept methods reach, and the range. Raises NoOverlap."""
    swept = [curves.curve(rows, method, style, style) for method in curves.swept(rows)]
    low, high = curves.overlap(*swept)
    return (low + high) / 2, low, high


# Markdown.


def markdown(
    rows: Rows, baseline: str, weights: Sequence[Mapping], compared: Sequence[Mapping], options: Options
) -> str:
    """The report as text: content at equal style, the comparisons, and every weight."""
    counts = {what: len(_distinct(rows, what)) for what in ("picture", "prompt", "seed")}
    size = ", ".join(f"{count} {what}{'s' * (count > 1)}" for what, count in counts.items())
    parts = [
        "# Evaluation",
        f"{size}; {len(rows)} edits. Prompts: {', '.join(f'“{prompt}”' for prompt in _distinct(rows, 'prompt'))}.",
        f"An arrow says which way is better. Brackets hold 95 % bootstrap intervals over pictures ({options.resamples} "
        "resamples); prompts and seeds of one picture are averaged first.",
        "## At equal style",
        *_at_equal_style(rows, options),
        f"## Against {baseline}",
        *_against(compared, options),
        "## Every weight",
        _all_weights(rows, weights),
    ]
    return "\n\n".join(parts) + "\n"


def _at_equal_style(rows: Rows, options: Options) -> list[str]:
    swept = curves.swept(rows)
    if not swept:
        return ["No method was swept over weights, so none has a curve."]
    try:
        seeds = curves.shared_seeds(rows, *curves.methods(rows))
    except InputError as error:
        return [str(error)]
    left_out = len(_distinct(rows, "seed")) - len(seeds)
    rows = [row for row in rows if int(row["seed"]) in seeds]
    try:
        level, low, high = common_level(rows, options.style)
    except NoOverlap as error:
        return [str(error)]
    metrics = curves.measured(rows, (*CONTENT, *STYLE))
    lines, lost = [], 0
    for method in curves.methods(rows):
        if method in swept:
            at = {m: curves.estimate_at(level, rows, method, m, *_rest(options)) for m in metrics if m != options.style}
            lost = max([lost, *(estimate.lost for estimate in at.values())])
            cells = [f"{level:.3f}" if metric == options.style else _number(at[metric]) for metric in metrics]
        else:
            own = [curves.estimates(rows, method, m, options.resamples, options.seed) for m in metrics]
            cells = [_number(next(iter(found.values()))) for found in own]
        lines.append([method if method in swept else f"{method} \\*", *cells])
    text = (
        f"Each method's mean curve read at {NAMES[options.style]} {level:.3f}, the middle of the range that all swept "
        f"methods reach ({low:.3f} to {high:.3f})."
    )
    if left_out:
        text += f" On the {len(seeds)} seed{'s' * (len(seeds) > 1)} that all methods have, so that like is compared."
    if len(swept) < len(lines):
        text += " Methods marked \\* have one weight, hence no curve: they stand at their own style."
    if lost:
        text += f" Up to {lost} resamples of a method do not reach that style; its intervals leave them out."
    return [text, _table(["method", *map(_heading, metrics)], lines)]


def _rest(options: Options) -> tuple[str, int, int]:
    return options.style, options.resamples, options.seed


def _against(compared: Sequence[Mapping], options: Options) -> list[str]:
    if not compared:
        return ["There is no other swept method to compare."]
    header = ["content", "method", "gain", "95 % interval", "p", "p (Holm)", "p flip", "p flip (Holm)"]
    header += ["pictures better", "styles", "seeds", "lost"]
    notes = [f"- {line['content']}, {line['method']}: {line['note']}" for line in compared if line["note"]]
    tests = sum(line["p_holm"] is not None for line in compared)
    text = [
        f"Gain: how much more content a method keeps, averaged over the {NAMES[options.style]} that both reach. "
        "Distances have their sign turned: positive is better throughout.",
        "p: of the bootstrap, 2 (1 + lost + min(#{gain ≤ 0}, #{gain ≥ 0})) / (1 + resamples), at least "
        "2^(1 − pictures), at most 1; it is too small for few pictures. p flip: of the pictures' own gains with their "
        f"signs flipped. Each is adjusted by Holm's method for the {tests} tests of this table"
        + (" beside the primary one, which was named before the run." if options.primary else "."),
        "Better: pictures whose own gain is above 0; apart: those whose own curves reach no common style. "
        "Lost: resamples without a common range of styles.",
    ]
    table = _table(header, [_comparison_cells(line) for line in compared if not line["note"]])
    return [*text, table, *(["Not compared:\n\n" + "\n".join(notes)] if notes else [])]


def _comparison_cells(line: Mapping) -> list[str]:
    apart = f" ({line['pictures_apart']} apart)" if line["pictures_apart"] else ""
    return [
        NAMES[line["content"]],
        line["method"],
        f"{line['gain']:+.4f}",
        f"{line['low']:+.4f} to {line['high']:+.4f}",
        *("primary" if line[p] is None else f"{line[p]:.2g}" for p in ("p", "p_holm", "p_flip", "p_flip_holm")),
        f"{line['pictures_better']} of {line['pictures']}{apart}",
        f"{line['style_low']:.3f} to {line['style_high']:.3f}",
        str(line["seeds"]),
        str(line["lost"]),
    ]


def _all_weights(rows: Rows, weights: Sequence[Mapping]) -> str:
    metrics = curves.measured(rows, (*CONTENT, *STYLE, "seconds"))
    lines = [
        [line["method"], f"{line['weight']:g}", str(line["n"])]
        + [_number(Estimate(*(line[f"{metric}{end}"] for end in ("", "_low", "_high")))) for metric in metrics]
        for line in weights
    ]
    return _table(["method", "weight", "n", *map(_heading, metrics)], lines)


def _heading(metric: str) -> str:
    return NAMES[metric] + ("" if metric == "seconds" else " ↓" if metric in DISTANCES else " ↑")


def _number(estimate: Estimate) -> str:
    digits = 3 if abs(estimate.value) >= 0.1 else 4
    if estimate.low is None:
        return f"{estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def _table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    lines = [[cell.replace("|", "\\|") for cell in line] for line in (header, *lines)]
    text = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([text[0], "|" + " --- |" * len(header), *text[1:]])


# Curves.


def require_matplotlib() -> None:
    """Raises InputError where matplotlib is missing: nothing else of the pack needs it."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise InputError("Drawing curves needs matplotlib, which is missing. Run pip install matplotlib.") from error


def draw_curves(rows: Rows, options: Options) -> bytes:
    """PNG: content over style, a panel for each content metric, a line for each method; up and right is better.

    Raises InputError where matplotlib is missing.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    metrics = curves.measured(rows, CONTENT)
    columns = 2 if len(metrics) == 4 else len(metrics)
    height = 3.9 * math.ceil(len(metrics) / columns) + 0.9
    figure = Figure(figsize=(5.2 * columns, height), dpi=150, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    axes = figure.subplots(math.ceil(len(metrics) / columns), columns, squeeze=False).ravel()
    for axis in axes[len(metrics) :]:
        axis.remove()
    for axis, metric in zip(axes[: len(metrics)], metrics, strict=True):
        for place, method in enumerate(curves.methods(rows)):
            _draw_method(axis, rows, method, metric, place, options)
        _label(axis, metric, options.style)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(3, len(names)), frameon=False)
    figure.suptitle("Content and style: up and to the right is better; larger markers are larger weights", fontsize=10)
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()


def _draw_method(axis, rows: Rows, method: str, metric: str, place: int, options: Options) -> None:
    """The line is the curve that is compared, in the order of styles; a marker and its error bars for each weight."""
    x, y = (list(curves.estimates(rows, method, m, *_rest(options)[1:]).values()) for m in (options.style, metric))
    colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
    xs, ys = [point.value for point in x], [point.value for point in y]
    alone = len(xs) == 1
    dashes = "none" if alone else "-" if place < len(COLOURS) else "--"
    axis.errorbar(xs, ys, _bars(y), _bars(x), fmt="none", ecolor=colour, elinewidth=0.9, alpha=0.45, zorder=1)
    line = curves.make_curve(np.array(xs), np.array(ys))
    axis.plot(line.style, line.content, linestyle=dashes, color=colour, linewidth=1.5, zorder=2)
    sizes = [70] if alone else [18 + 62 * k / (len(xs) - 1) for k in range(len(xs))]
    axis.scatter(xs, ys, sizes, colour, marker=marker, edgecolors="white", linewidths=0.7, zorder=3)
    axis.plot([], [], linestyle=dashes, color=colour, marker=marker, markeredgecolor="white", label=method)


def _bars(points: Sequence[Estimate]) -> list[list[float]]:
    """Lengths downwards and upwards; none where there is no interval, nor where it lies all on one side."""
    low = [0.0 if point.low is None else max(0.0, point.value - point.low) for point in points]
    high = [0.0 if point.high is None else max(0.0, point.high - point.value) for point in points]
    return [low, high]


def _label(axis, metric: str, style: str) -> None:
    turned = metric in DISTANCES
    if turned:
        axis.invert_yaxis()
    axis.set_ylabel(NAMES[metric] + ("\n(lower keeps more; axis turned)" if turned else "\n(higher keeps more)"))
    axis.set_xlabel(f"{NAMES[style]} (higher is more style)")
    axis.grid(True, color="#DDDDDD", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


# Contact sheets.


@dataclass(frozen=True)
class Column:
    """A column of a contact sheet: its heading's lines, and the picture's file for each row."""

    heading: tuple[str, ...]
    files: tuple[Path, ...]


def _sheet_names(prompts: Sequence[str]) -> dict[str, str]:
    """sheet.png for one prompt, or sheet-WORDS-OF-IT.png for each of several."""
    if len(prompts) == 1:
        return {"sheet.png": prompts[0]}
    names: dict[str, str] = {}
    for prompt in prompts:
        words = re.sub(r"\W+", "-", prompt.lower()).strip("-")[:60]
        name = f"sheet-{words}.png"
        names[name if name not in names else f"sheet-{words}-{len(names) + 1}.png"] = prompt
    return names


def contact_sheet(
    rows: Rows, folder: Path, prompt: str, shown: Sequence[str] | None = None, style: str = "directional"
) -> Image.Image:
    """Rows: pictures; columns: the source, then each method at the weight whose mean style is nearest to the target.

    The target is the middle between the greatest of the swept methods' least styles and the least of their greatest,
    for that prompt. The lowest seed that all methods have is shown.
    """
    rows = [row for row in rows if row["prompt"] == prompt]
    chosen = _chosen(rows, shown)
    seed = curves.shared_seeds(rows, *curves.methods(rows))[0]
    target, styles = _target(rows, style)
    columns = [Column(("source",), tuple(folder / "sources" / f"{picture}.png" for picture in chosen))]
    for method, reached in styles.items():
        weight = min(reached, key=lambda w: abs(reached[w] - target))
        edits = curves.edits(rows, method, weight)
        files = tuple(folder / "pictures" / _file(edits, (picture, prompt, seed), method) for picture in chosen)
        heading = (method, f"weight {weight:g}", f"style {reached[weight]:.3f}")
        columns.append(Column(heading, files))
    near = f", {NAMES[style]} near {target:.3f}" if curves.swept(rows) else ""
    title = f"“{prompt}”, seed {seed}{near}"
    return _draw_sheet(title, chosen, columns)


def _chosen(rows: Rows, shown: Sequence[str] | None) -> tuple[str, ...]:
    there = tuple(sorted(_distinct(rows, "picture")))
    unknown = [picture for picture in shown or () if picture not in there]
    if unknown:
        raise InputError(f"Picture {unknown[0]!r} has no rows; choose of {', '.join(there)}.")
    return tuple(shown or there[:SHOWN])


def _target(rows: Rows, style: str) -> tuple[float, dict[str, dict[float, float]]]:
    """The style aimed at, and the mean style of each method at each weight."""
    tables = {method: curves.table(rows, method, style) for method in curves.methods(rows)}
    styles = {m: dict(zip(part.weights, part.values.mean(1).tolist(), strict=True)) for m, part in tables.items()}
    swept = [reached.values() for reached in styles.values() if len(reached) > 1]
    swept = swept or [reached.values() for reached in styles.values()]
    return (max(map(min, swept)) + min(map(max, swept))) / 2, styles


def _file(edits: Mapping, key: tuple[str, str, int], method: str) -> str:
    if key not in edits or not edits[key].get("file"):
        raise InputError(f"Method {method!r} has no picture file of {key[0]!r}, seed {key[2]}. Run that edit again.")
    return str(edits[key]["file"])


def _draw_sheet(title: str, names: Sequence[str], columns: Sequence[Column]) -> Image.Image:
    tiles = [[_tile(path) for path in column.files] for column in columns]
    width, height = (max(side) for side in zip(*(tile.size for column in tiles for tile in column), strict=True))
    gap, left, face, bold = 8, 104, _font(13), _font(16)
    headings = [_headings(column.heading, face, width) for column in columns]
    tall = max(map(len, headings))
    top = 46 + 18 * tall
    sheet = Image.new(
        "RGB", (left + len(columns) * (width + gap) + gap, top + len(names) * (height + gap) + gap), PAPER
    )
    pen = ImageDraw.Draw(sheet)
    pen.text((gap, 10), title, INK, bold)
    for k, lines in enumerate(headings):
        for n, line in enumerate(lines):
            colour = FAINT if n >= len(lines) - len(columns[k].heading[1:]) else INK
            pen.text((left + k * (width + gap), 40 + 18 * (tall - len(lines) + n)), line, colour, face)
    for n, name in enumerate(names):
        y = top + n * (height + gap)
        for line, text in enumerate(_wrapped(name, face, left - 2 * gap)[:4]):
            pen.text((gap, y + 4 + 16 * line), text, INK, face)
        for k, column in enumerate(tiles):
            sheet.paste(column[n], (left + k * (width + gap), y))
    return sheet


def _tile(path: Path) -> Image.Image:
    """The picture, enlarged by a whole factor without smoothing, so that its own pixels are seen."""
    image = pictures.to_image(pictures.read(path))
    factor = max(1, TILE // max(image.size))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _headings(lines: Sequence[str], face: ImageFont.ImageFont, width: int) -> list[str]:
    return [*_wrapped(lines[0], face, width), *lines[1:]]


def _wrapped(text: str, face: ImageFont.ImageFont, width: float) -> list[str]:
    """The text in lines that fit into a width, by the mean width of its letters."""
    letters = max(1, int(width * len(text) / max(1.0, face.getlength(text))))
    return textwrap.wrap(text, letters)


def _font(size: int) -> ImageFont.ImageFont:
    """Pillow's own; before Pillow 10.1, or without FreeType, it has one size."""
    try:
        return ImageFont.load_default(size)
    except (TypeError, OSError):
        return ImageFont.load_default()


def _png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, format="PNG")
    return data.getvalue()
