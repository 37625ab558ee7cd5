"""Measure guided sampling.

against   the reference's own code (ZECON_DIR) and ourselves, in turn, same weights, losses and number of crops
sweep     ourselves over size, crops, anchors, batch, dtype, device or any setting
options   what each option that trades a little costs in picture, and what it saves
trials    savings that are not used: what torch.compile, channels-last networks and larger batches would gain
cost      operations and bytes of a guided step, part by part, against what the machine can do
profile   torch.profiler's table of our guided steps
flicker   clips of known motion: how much a restyled sequence flickers, frame by frame and held steady
windows   seconds and memory of the built-in models from 256 to 2048 px
seams     whether the windows of a large picture leave seams
many      pictures an hour of one process, two, and two actors of Ray
sizing    what a picture costs beside its walk, and pictures an hour for 1, 8 and 64 GPUs, simulated from it
"""

from __future__ import annotations

import argparse
import os
from dataclasses import fields
from pathlib import Path

from . import report
from .cases import UNETS, Case

COMMANDS = ("against", "sweep", "options", "trials", "cost", "profile", "flicker", "windows", "seams", "many", "sizing")
HIDDEN = ("weights", "alone")


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    form = argparse.RawDescriptionHelpFormatter
    root = argparse.ArgumentParser(prog="python -m tools.benchmark", description=__doc__, formatter_class=form)
    root.add_argument("command", choices=(*COMMANDS, *HIDDEN))
    root.add_argument("--unet", choices=list(UNETS))
    root.add_argument("--clip", metavar="NAME", help="open_clip's name, e.g. ViT-B-32; random weights")
    root.add_argument("--device", metavar="NAME")
    root.add_argument("--dtype")
    for name in ("size", "crops", "batch"):
        root.add_argument(f"--{name}", type=int, metavar="N")
    root.add_argument("--anchors")
    root.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="any field of Settings")
    root.add_argument("--steps", type=int, default=10, metavar="N", help="guided steps to take the time of")
    root.add_argument("--vary", action="append", default=[], metavar="FIELD=A,B,…", help="sweep: what to vary")
    root.add_argument("--variant", action="append", default=[], metavar="FIELD=VALUE,…", help="against: also this")
    root.add_argument("--memory-steps", type=int, default=2, metavar="N", help="against: steps for the peak; 0: none")
    root.add_argument("--edit", action="store_true", help="against: a whole edit of each as well")
    root.add_argument("--only", action="append", default=[], metavar="NAME", help="options: these alone")
    root.add_argument(
        "--pictures",
        type=int,
        default=3,
        metavar="N",
        help="options: how many of the bundled photos; many, sizing: how many pictures; flicker: how many frames",
    )
    root.add_argument("--rates", default="10,30,100", metavar="T,…", help="sizing: TFLOP/s that a GPU reaches")
    root.add_argument("--sheet", type=Path, metavar="FILE", help="options, flicker: a contact sheet to look at")
    root.add_argument("--style-file", metavar="FILE", help="flicker: redrawn by a style's file, in place of guided")
    root.add_argument("--page", type=Path, metavar="FILE.md", help="put the table between the markers of its name")
    root.add_argument("--name", metavar="MARKER", help="that name, by default the command's")
    root.add_argument("--plot", type=Path, metavar="FILE", help="a plot beside the table")
    root.add_argument("--profile", type=Path, metavar="FILE", help="profile: the trace, for a browser's tracing page")
    root.add_argument(
        "--clock", choices=("wall", "cpu"), help="cpu: what the process used of all cores; by default wall"
    )
    for hidden in ("case", "side", "weights"):
        root.add_argument(f"--{hidden}", help=argparse.SUPPRESS)
    root.add_argument("--count", type=int, help=argparse.SUPPRESS)
    return root


def case_of(given: argparse.Namespace) -> Case:
    """The case that the arguments say."""
    names = {field.name for field in fields(Case)} & set(vars(given))
    chosen = {name: getattr(given, name) for name in names if getattr(given, name) is not None and name != "steps"}
    return changed(Case(**chosen), ",".join(given.set)) if given.set else Case(**chosen)


def changed(case: Case, text: str) -> Case:
    """The case with FIELD=VALUE,… set."""
    for part in text.split(","):
        name, _, value = part.partition("=")
        case = case.but(name, value)
    return case


def measured(given: argparse.Namespace) -> str:
    """The chosen command's report."""
    case = case_of(given)
    if given.command == "against":
        from . import against

        variants = {"ours": case, **{f"ours, {text}": changed(case, text) for text in given.variant}}
        return against.run(case, variants, given.steps, given.memory_steps, given.edit, given.plot)
    if given.command == "sweep":
        from . import sweep

        varied = [(name, values.split(",")) for name, _, values in (text.partition("=") for text in given.vary)]
        return sweep.run(case, varied, given.steps, given.plot)
    if given.command == "options":
        from . import options

        return options.run(case, given.only, given.pictures, given.sheet)
    if given.command == "trials":
        from . import trials

        return trials.run(case, given.steps)
    if given.command == "flicker":
        from . import flicker

        return flicker.run(case, given.pictures, given.sheet, given.style_file)
    if given.command == "windows":
        from . import windows

        return windows.run(case)
    if given.command == "seams":
        from . import seams

        return seams.run(case)
    if given.command in ("many", "sizing"):
        from . import many

        if given.command == "many":
            return many.run(case, given.pictures)
        told, parts = many.driver(case, given.pictures)
        rates = [1e12 * float(rate) for rate in given.rates.split(",")]
        return f"{told}\n\n{many.sizing(case, rates, [1, 8, 64], parts)}"
    from . import cost

    if given.command == "cost":
        return cost.run(case, given.steps)
    return cost.profile(case, given.steps, given.profile)


def main() -> None:
    """Measure, print, and write into the page where one is given."""
    given = parser().parse_args()
    if given.clock:
        os.environ["BENCHMARK_CLOCK"] = given.clock  # for the processes that this one starts as well
    if given.command in HIDDEN:
        from . import measuring

        case = Case.from_json(given.case)
        if given.command == "weights":
            measuring.make_weights(case, given.weights)
        else:
            print(measuring.measure_alone(given.side, case, given.weights, given.count))
        return
    name = given.name or given.command
    if given.page:
        report.require_markers(given.page, name)
    text = measured(given)
    print(text)
    if given.page:
        report.insert(given.page, name, text)


if __name__ == "__main__":
    main()
