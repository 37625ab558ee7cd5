"""evaluate: ways to hold content, compared at equal style."""

from __future__ import annotations

from tqdm import tqdm

import qs_evaluate

from .. import paths
from ..errors import InputError
from .shared import pictures_meant, tell


def run(given: dict) -> int:
    """Run the plan and report on it; prints where the report is."""
    _refuse_weights(given["phrases"])
    take = given.pop
    images, output, baseline, sweep = pictures_meant(take("images")), take("output"), take("baseline"), take("sweep")
    sources = dict(zip(paths.names_of(images), images, strict=True))
    names = tuple(take("methods"))
    if baseline not in names:
        raise InputError(f"The baseline {baseline!r} is not among the methods {', '.join(names)}. Add it.")
    qs_evaluate.require_matplotlib()  # before hours of work, not after
    judge = qs_evaluate.Judge(take("judge"), take("judge_pretrained", None), take("structure"), take("lpips", None))
    sharing = {name: take(name) for name in ("workers", "batch", "engine", "address") if name in given}
    plan = qs_evaluate.Plan(
        sources,
        tuple(take("phrases")),
        tuple(qs_evaluate.method_named(name) for name in names),
        tuple(take("weights", qs_evaluate.SWEEPS[sweep])),
        tuple(take("seeds")),
        judge,
        sweep=sweep,
        settings=given,
    )
    if len(plan.weights_of(qs_evaluate.method_named(baseline))) < 2:
        raise InputError(f"The baseline {baseline!r} has one weight in this sweep, and no curve. Give two, or another.")
    with tqdm(desc="evaluation", unit="edit") as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        rows = qs_evaluate.run(plan, output, progress=progress, announce=tell, **sharing)
    for path in qs_evaluate.write_report(rows, output, baseline):
        print(path)
    return 0


def _refuse_weights(phrases: list[str]) -> None:
    """Raises InputError for "a phrase::2": in an evaluation each phrase is an edit by itself."""
    wrong = next((phrase for phrase in phrases if "::" in phrase), None)
    if wrong:
        raise InputError(f"The prompt {wrong!r} has a weight, and each prompt is an edit by itself here. Leave it out.")
