"""The reference and ourselves on the same work, in turn; and each one's memory, alone."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import report
from .cases import Case
from .measuring import Spread, in_turn, load_average, measured_apart, walk_of, weights_of, whole
from .reference import checkout


@dataclass(frozen=True)
class Figures:
    """What was measured of one side."""

    name: str
    step: Spread
    memory: dict
    edit: tuple[float, float] | None


def compare(case: Case, variants: dict[str, Case], count: int, memory_steps: int, edits: bool) -> list[Figures]:
    """The reference first, then ourselves on the case and on each variant of it."""
    checkout()
    if case.anchors != "random":
        raise SystemExit("The reference knows random anchors alone.")
    sides = {"reference": ("reference", case), **{name: ("ours", its) for name, its in variants.items()}}
    with weights_of(case) as weights, tempfile.TemporaryDirectory() as output:
        alone = [measured_apart(*each, weights, memory_steps) if memory_steps else {} for each in sides.values()]
        walks = [walk_of(side, its, weights, Path(output))() for side, its in sides.values()]
        steps = in_turn(walks, count, case.device)
        whole_edits = [whole(walk, case.device) if edits else None for walk in walks]
    return [Figures(*figures) for figures in zip(sides, steps, alone, whole_edits, strict=True)]


def markdown(figures: list[Figures]) -> str:
    """The figures as a table: seconds as median (least to most), ratios to the reference."""
    reference, rows = figures[0], []
    for each in figures:
        pairs = [theirs / own for theirs, own in zip(reference.step, each.step, strict=True)]
        edit = "–" if each.edit is None else f"{each.edit[1]:.1f} ({each.edit[0]:.1f})"
        memory = (report.gigabytes(part) for part in (most(each.memory), each.memory.get("walking")))
        rows.append([each.name, each.step, report.spread(pairs, ".2f"), *memory, edit])
    heads = ["", "seconds a guided step", "times faster", "peak memory, GB", "of that, inverting and guiding"]
    return report.table([*heads, "seconds an edit"], rows)


def most(memory: dict) -> float | None:
    """The peak over building and walking."""
    known = [memory[part] for part in ("building", "walking") if memory.get(part) is not None]
    return max(known, default=None)


def run(case: Case, variants: dict[str, Case], count: int, memory_steps: int, edits: bool, plot: Path | None) -> str:
    """Measure, plot, and give the table with its footnote."""
    before = load_average()
    figures = compare(case, variants, count, memory_steps, edits)
    if plot:
        report.bars([f.name for f in figures], [f.step for f in figures], "seconds a guided step", plot)
    note = (
        f"Median of {count} steps (least to most), taken in turn; ratios step by step. An edit is inversion (in "
        "brackets) and walk, networks loaded. Memory is the GPU's where one is used, else the process's above its "
        "imports."
    )
    return f"{markdown(figures)}\n\n{note} {report.footnote(case, before)}"
