"""The command line: `python -m qs_core stylize IMAGE --prompt "a sketch with crayon" --output OUT.png`."""

import argparse
import json
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

from . import anchors, pictures, transfer
from .errors import InputError, NonFiniteError
from .model import DTYPES
from .settings import Settings

DEFAULTS = {field.name: field.default for field in fields(Settings)}


class Parser(argparse.ArgumentParser):
    """Errors are one line on stderr and exit status 2."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message}\n")


def _pair(text: str) -> tuple[float, float]:
    low, high = (float(part) for part in text.split(","))
    return low, high


def _resolutions(text: str) -> tuple[int, ...] | str:
    return text if text == "all" else tuple(int(part) for part in text.split(","))


def parser() -> argparse.ArgumentParser:
    """The arguments; what is not given keeps the default of `Settings`."""
    root = Parser(prog="python -m qs_core", description=__doc__)
    add = (
        root.add_subparsers(dest="command", required=True, parser_class=Parser)
        .add_parser("stylize", help="restyle pictures by a phrase", argument_default=argparse.SUPPRESS)
        .add_argument
    )
    add("images", nargs="+", metavar="IMAGE", help="picture files; several make --output a folder")
    add("--prompt", action="append", dest="prompts", required=True, help="what it shall become; may be repeated")
    add("--prompt-weight", action="append", type=float, dest="prompt_weights", metavar="W", help="one for each prompt")
    add("--source-prompt", help="what the picture is (photo)")
    add("--templates", action="store_true", help="average the text over open_clip's 80 ImageNet templates")
    add("--output", required=True, type=Path, help="PNG file, or folder for several results")
    add("--model", help="demo, or a U-Net checkpoint file")
    add("--clip", help="demo, or an open_clip model name")
    add("--clip-pretrained", metavar="TAG|FILE", help="its weights")
    add("--size", type=int, help="short side in pixels (the model's own; 128 for demo)")
    add("--fit", choices=pictures.FITS, help="how both sides get to multiples the U-Net needs (pad)")
    add("--output-size", choices=("network", "original"))
    add("--steps", help="respacing: 50, ddim50 or 10,20 (50)")
    add("--skip", type=int, help="steps left out at the noisy end; fewer changes more (25)")
    add("--start", choices=transfer.STARTS)
    add("--sampler", choices=transfer.SAMPLERS)
    add("--eta", type=float, help="randomness of ddim, 0 to 1 (0)")
    add("--anchors", choices=anchors.KINDS, help="where the contrastive loss looks (global)")
    add("--num-anchors", type=int, help="on each layer, at most a quarter of its map (256)")
    add("--attend", type=_resolutions, metavar="RES,…|all", help="layers that attend, by resolution (the two deepest)")
    add("--attention-scale", choices=anchors.SCALES)
    add("--attention-temperature", type=float, metavar="T")
    for name in ("contrastive", "clip-global", "clip-directional", "mse", "vgg", "range"):
        default = DEFAULTS[name.replace("-", "_")]
        add(f"--{name}", type=float, metavar="W", help=f"weight at 256x256 pixels ({default:g})")
    add("--crops", type=int, help=f"random crops that CLIP sees each step ({DEFAULTS['crops']})")
    add("--crop-area", type=_pair, metavar="MIN,MAX", help="their share of the picture")
    add("--seed", type=int)
    add("--count", type=int, help="results per picture, seeds counting up")
    add("--device", help="auto, cpu, cuda, …")
    add("--dtype", choices=("auto", *DTYPES), help="of the U-Net's torso")
    add("--report", type=Path, metavar="FILE.json", help="write settings, times, memory, anchors and losses")
    return root


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 sampling diverged, 2 bad input."""
    given = vars(parser().parse_args(arguments))
    given.pop("command")
    try:
        _stylize(given.pop("images"), given.pop("output"), given.pop("report", None), given)
    except InputError as error:
        print(f"qs_core: {error}", file=sys.stderr)
        return 2
    except NonFiniteError as error:
        print(f"qs_core: {error}", file=sys.stderr)
        return 1
    return 0


def _stylize(images: list[str], output: Path, report: Path | None, options: dict) -> None:
    from .pipeline import run  # here, so that bad arguments are told without waiting for the imports

    options["prompts"] = tuple(options["prompts"])
    options["prompt_weights"] = tuple(options.get("prompt_weights", ()))
    settings = Settings(**options)
    several = len(images) > 1 or settings.count > 1
    _require_writable(output if several else output.parent, create=several)
    if report:
        _require_writable(report.parent)
    if not several and output.is_dir():
        raise InputError(f"{output} is a folder; one result needs a file name, e.g. {output / 'out.png'}.")
    reports = []
    for result in run(images, settings, _bar()):
        path = output / f"{Path(images[result.source]).stem}-{result.seed}.png" if several else output
        pictures.write(path, result.picture, {"qs_core": json.dumps(result.report["settings"])})
        reports.append({"image": images[result.source], "output": str(path), **result.report})
        print(path)
    if report:
        report.write_text(json.dumps(reports if several else reports[0], indent=1), encoding="utf-8")


def _require_writable(folder: Path, create: bool = False) -> None:
    try:
        if create:
            folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"Cannot write into {folder} ({error.strerror}). Choose a writable folder.") from error


def _bar():
    from tqdm import tqdm

    bars = {}

    def progress(stage: str, done: int, total: int, step) -> None:
        if done == 1 or stage not in bars:
            bars[stage] = tqdm(total=total, desc=stage, unit="step", leave=done == total)
        bars[stage].update(done - bars[stage].n)
        if done >= total:
            bars[stage].close()

    return progress


if __name__ == "__main__":
    sys.exit(main())
