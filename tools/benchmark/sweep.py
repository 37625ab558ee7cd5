"""Ourselves over the settings that cost: each value in a process of its own, time and peak memory."""

from pathlib import Path

from . import report
from .against import most
from .cases import Case
from .measuring import Spread, load_average, measured_apart, weights_of


def run(case: Case, varied: list[tuple[str, list[str]]], count: int, plot: Path | None) -> str:
    """One table for all: each field's values with the rest of the case as it is."""
    before, rows, spreads = load_average(), [], []
    for name, values in varied:
        for value in values:
            its = case.but(name, value)
            # Fewer weights do for a smaller network, and they are not the same for another one.
            with weights_of(its) as weights:
                figures = measured_apart("ours", its, weights, count + 1)
            taken = Spread(figures["seconds"])
            memory = [report.gigabytes(part) for part in (most(figures), figures["walking"], figures["networks"])]
            rows.append([name, value, taken, *memory])
            spreads.append((f"{name} {value}", taken))
            print(rows[-1], flush=True)
    if plot:
        report.bars([label for label, _ in spreads], [taken for _, taken in spreads], "seconds a guided step", plot)
    heads = ["varied", "value", "seconds a guided step", "peak, GB", "inverting and guiding, GB", "networks, GB"]
    note = (
        f"Median of {count} steps (least to most); memory of the GPU where one is used, else above the imports; each "
    )
    note += "row in a process of its own. "
    return f"{report.table(heads, rows)}\n\n{note}{report.footnote(case, before)}"
