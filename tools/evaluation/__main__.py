"""`python -m tools.evaluation confirm`: the runs of docs/evaluation.md with the built-in models.

screening and confirm are sweeps that go on where they were stopped; full and large check the finalist at the default
settings and at 128 px; stable and anchors ask for the worth of stable guidance, and of the anchors under it; systems
compares the systems of the paper's table; stability, dial and sensitivity measure damage and style on photos that no
training saw; why and judge measure the anchors and the judge. `--docs` puts what came into the page.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from qs_core.demo import CLIP as GUIDE
from qs_evaluate import Plan, curves, run, write_report

from ..measure import clip_accuracy, insert
from . import protocol, systems, why

PAGE = Path("docs/evaluation.md")


def sweep(name: str, plan: Plan, folder: Path, workers: int, batch: int) -> list[dict]:
    """The rows of a plan, with a bar."""
    with tqdm(desc=name, unit="edit", smoothing=0.05) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return run(plan, folder, workers, batch, progress)


def screened(rows: list[dict]) -> str:
    """Markdown: each variant's gain over random on the tuning pictures, the best first."""
    found = []
    for method in curves.methods(rows):
        if method != "random":
            with suppress(curves.NoOverlap):  # its row is missing, which shows
                found.append(curves.compare(rows, method, "random"))
    lines = ["| variant | gain in SSIM over random | 95 % interval | better on |", "| --- | --- | --- | --- |"]
    for c in sorted(found, key=lambda c: -c.gain):
        lines.append(f"| {c.a} | {c.gain:+.4f} | {c.low:+.4f} to {c.high:+.4f} | {c.pictures_better} of {c.pictures} |")
    return "\n".join(lines)


def stable(rows: list[dict]) -> str:
    """Markdown: what each way to guide, at each weight, damages and keeps: the mean over all edits, and the worst."""
    weights = curves.weights(rows, rows[0]["method"])
    rows = [row | {"method": f"style {row['weight']:g}"} for row in rows] if len(weights) > 1 else rows
    measures = {"clipped": max, "glitter": max, "ssim": min, "gradient": min, "probability": min}
    lines = ["| guidance | phrase | burned out | glitter | SSIM | gradient correlation | style probability |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for prompt in (None, *dict.fromkeys(row["prompt"] for row in rows)):
        for method in methods:
            its = [row for row in rows if row["method"] == method and prompt in (None, row["prompt"])]
            cells = []
            for name, worst in measures.items():
                values = [row[name] for row in its]
                cells.append(f"{statistics.mean(values):.3f} ({worst(values):.3f})")
            lines.append(f"| {method} | {prompt or 'all'} | {' | '.join(cells)} |")
    edits, pictures = len(rows) // len(methods), len({row["picture"] for row in rows})
    told = f"Means (worst) over {edits} edits of {pictures} photos; {rows[0]['clip_dtype']} CLIP."
    return "\n".join([*lines, "", told])


def judged() -> str:
    """Markdown: how often guide and judge name the right style of held-out pictures."""
    lines = ["| zero-shot style accuracy | renderers' settings | unseen pictures | unseen patches |"]
    lines += ["| --- | --- | --- | --- |"]
    for name, folder in (("the guiding CLIP", GUIDE), ("the judging CLIP", protocol.JUDGE)):
        for held_out in (False, True):
            accuracy = clip_accuracy(folder, held_out=held_out)
            shares = " | ".join(f"{100 * accuracy[kind]:.1f} %" for kind in ("pictures", "patches"))
            lines.append(f"| {name} | {'the judge' if held_out else 'the guide'}'s | {shares} |")
    return "\n".join(lines)


BASELINES = {"stable": "before", "systems": protocol.NOW.name}  # of the others: random
PRIMARY = {
    "confirm": (protocol.FINALIST.name, "ssim"),
    "stable": (protocol.NOW.name, "ssim"),
    "systems": (protocol.QUERY_SELECTED.name, "ssim"),
}


def report(name: str, rows: list[dict], folder: Path, docs: bool, first: str = "") -> None:
    """Tables, curves and sheets of a confirming run; `first` stands above them."""
    there = {row["picture"] for row in rows}
    shown = [name for name in protocol.SHOWN if name in there]
    write_report(rows, folder, BASELINES.get(name, "random"), primary=PRIMARY.get(name), shown=shown)
    _, _, text = (folder / "summary.md").read_text(encoding="utf-8").partition("\n")  # without its title
    text = f"{first}\n\n{text.strip()}".strip()
    print(text)
    if docs:
        insert(PAGE, name, text.replace("\n## ", "\n### "))
    if docs and name == "confirm":
        shutil.copy(folder / "curves.png", PAGE.with_name("evaluation_curves.png"))
        shutil.copy(folder / protocol.SHEET, PAGE.with_name("evaluation_sheet.png"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.evaluation", description=__doc__)
    parser.add_argument("what", choices=(*protocol.PLANS, "systems", "sensitivity", "why", "judge"))
    parser.add_argument("--out", type=Path, default=Path("out/evaluation"), help="folder of the runs; they go on there")
    parser.add_argument("--quick", action="store_true", help="a few small edits, to see that all works")
    parser.add_argument("--docs", action="store_true", help="put tables and figures into docs/evaluation.md")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--batch", type=int, default=6, help="pictures edited together")
    args = parser.parse_args()
    folder = args.out / (f"{args.what}-quick" if args.quick else args.what)
    if args.what == "judge":
        text = judged()
    elif args.what == "why":
        text = why.table(folder)
        drawn = why.figure(folder)
        if args.docs:
            shutil.copy(drawn, PAGE.with_name("evaluation_anchors.png"))
    elif args.what == "sensitivity":
        rows = []
        for size, plan in protocol.sensitivity(folder).items():
            rows += sweep(f"{size} px", plan, folder / size, args.workers, args.batch)
        text = stable(rows)
    elif args.what == "systems":
        plan = systems.plan(folder, args.quick)
        rows = sweep("systems", plan, folder, args.workers, args.batch)
        systems.take_time(plan, folder)
        drawn, docs = systems.sheet(rows, folder), args.docs and not args.quick
        report("systems", rows, folder, docs, systems.table(rows, folder))
        if docs:
            shutil.copy(drawn, PAGE.with_name(systems.FIGURE))
        return
    else:
        plan = protocol.PLANS[args.what](folder)
        rows = sweep(args.what, protocol.quick(plan) if args.quick else plan, folder, args.workers, args.batch)
        if args.what in ("stability", "dial"):
            text = stable(rows)
        elif args.what not in ("screening", "second"):
            report(args.what, rows, folder, args.docs and not args.quick)
            return
        else:
            text = screened(rows)
    print(text)
    if args.docs and not args.quick:
        insert(PAGE, args.what, text)


if __name__ == "__main__":
    main()
