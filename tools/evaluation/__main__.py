"""`python -m tools.evaluation`: the runs of docs/evaluation.md with the built-in models."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from tqdm import tqdm

from qs_core.evaluate import run

from . import protocol

PLANS = {"screening": protocol.screening}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.evaluation", description=__doc__)
    parser.add_argument("what", choices=PLANS)
    parser.add_argument("--out", type=Path, default=Path("out/evaluation"), help="folder of the runs; they go on there")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--batch", type=int, default=6, help="pictures edited together")
    args = parser.parse_args()
    folder = args.out / args.what
    with tqdm(desc=args.what, unit="edit", smoothing=0.05) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        run(PLANS[args.what](folder), folder, args.workers, args.batch, progress)


if __name__ == "__main__":
    main()
