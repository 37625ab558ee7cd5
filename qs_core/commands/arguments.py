"""The arguments of the command line."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from pathlib import Path

try:  # beside the library in the repository, and not in the registry's archive
    import qs_evaluate
except ModuleNotFoundError:
    qs_evaluate = None

from .. import anchors, finetune, paths, pictures, transfer
from ..checkpoints.specification import VARIANCES
from ..jobs.pools import ENGINES
from ..losses.description import Option
from ..moving.steady import STEADY
from ..precision import DTYPES
from ..schedule import NOISE
from ..settings import OPTIONS, Settings

DEFAULTS = {field.name: field.default for field in fields(Settings)}
TRAINING = {field.name: field.default for field in fields(finetune.Training)}


class Parser(argparse.ArgumentParser):
    """Errors are one line on stderr and exit status 2."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message}\n")


def _pair(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: give MIN,MAX, e.g. 0.05,0.3") from None
    return low, high


def parser(description: str) -> argparse.ArgumentParser:
    """The arguments; what is not given is left out."""
    root = Parser(prog=_program(), description=description)
    subparsers = root.add_subparsers(dest="command", required=True, parser_class=Parser)
    options = {"argument_default": argparse.SUPPRESS}
    _add_stylize(subparsers.add_parser("stylize", help="restyle pictures by a phrase", **options))
    _add_finetune(subparsers.add_parser("finetune", help="train a style on a handful of pictures", **options))
    if qs_evaluate:
        _add_evaluate(subparsers.add_parser("evaluate", help="compare ways to hold content, at equal style", **options))
    inspect = subparsers.add_parser("inspect", help="say what a checkpoint is, and how that is known", **options)
    inspect.add_argument("file", help="a U-Net checkpoint, or demo")
    inspect.add_argument("--verify", action="store_true", help="compare the file's SHA-256 with the published ones")
    inspect.add_argument("--sha256", type=_sha256, metavar="HEX", help="compare it with this one")
    into = subparsers.add_parser("convert", help="write a safetensors file that states its configuration", **options)
    into.add_argument("file", help="a U-Net checkpoint")
    into.add_argument("output", help="the file to write, OUT.safetensors")
    subparsers.add_parser("presets", help="list the papers' settings and the built-in styles")
    for command in (inspect, into):
        _add_model_options(command)
    return root


def _program() -> str:
    """What was called: the installed command, or this module."""
    name = Path(sys.argv[0]).stem
    return name if name.startswith("qs-style") else "python -m qs_core"


def _tile(text: str) -> int | None:
    try:
        return None if text == "auto" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: give auto or a number of pixels") from None


def _sha256(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError(f"{text[:70]!r}: give 64 hexadecimal digits")
    return text.lower()


def _add_model_options(command: argparse.ArgumentParser) -> None:
    """What shapes cannot tell of a checkpoint."""
    group = command.add_argument_group("model", "what the shapes of a checkpoint cannot tell, where the table is wrong")
    group.add_argument("--num-heads", type=int, metavar="N", help="attention heads")
    group.add_argument("--num-head-channels", type=int, metavar="N", help="channels of an attention head")
    group.add_argument(
        "--use-new-attention-order", action=argparse.BooleanOptionalAction, help="as OpenAI's 64 network"
    )
    group.add_argument("--image-size", type=int, metavar="N", help="side of the training pictures")
    group.add_argument("--noise-schedule", choices=list(NOISE), help="of the training")
    group.add_argument("--variance", choices=VARIANCES, help="of the reverse step")


Add = Callable[..., None]


def _adder(command: argparse.ArgumentParser, defaults: Mapping[str, object] = DEFAULTS) -> Add:
    """add(flag, help, …) adds an option; where it has a default among these, its help ends with that."""

    def add(flag: str, help: str, **options) -> None:
        name = options.get("dest", flag.removeprefix("--").replace("-", "_"))
        default = defaults.get(name)
        if isinstance(default, tuple):
            default = ",".join(str(part) for part in default)
        shown = f" ({default})" if default not in (None, "") and default is not False else ""
        command.add_argument(flag, help=help + shown, **options)

    return add


def _add_stylize(stylize: argparse.ArgumentParser) -> None:
    """The options of stylize: the fields of `Settings`."""
    add = _adder(stylize)
    add(
        "images",
        "picture files, patterns and folders, or videos; several make --output a folder",
        nargs="+",
        metavar="IMAGE",
    )
    add(
        "--prompt",
        "what it shall become, with ::2 behind it to count twice; repeatable",
        action="append",
        dest="prompts",
        metavar="P",
    )
    add(
        "--style-image",
        "a picture whose style is taken, beside or in place of a prompt; repeatable",
        action="append",
        dest="style_images",
        metavar="FILE",
    )
    add(
        "--style-weight",
        "one for each style's picture or file; of a file also 0.4@300,0.3, which is 0.4 down to timestep 300, then 0.3",
        action="append",
        dest="style_weights",
        metavar="W",
    )
    add("--colour-transfer", "0 the photo's colours, 1 the style pictures'", type=float, metavar="C")
    add("--preset", "begin with these settings; the other options come before them", metavar="NAME")
    add("--prompt-weight", "one for each prompt", action="append", type=float, dest="prompt_weights", metavar="W")
    add(
        "--output",
        "PNG file, folder for several results, or a video's file",
        required=True,
        type=paths.expanded,
        metavar="OUT",
    )
    add("--output-size", "the network's, or resized to the original's", choices=pictures.OUTPUT_SIZES)
    add(
        "--detail",
        "dial: fine structure of the original in a result of its size, 0 to 1",
        type=float,
        metavar="D",
    )
    add(
        "--soft-clip",
        "share of the range, near black and near white, where colours beyond it are brought back; 0: they are cut off",
        type=float,
        metavar="S",
    )
    add(
        "--steady",
        "a video, or a folder of frames: 0 each frame by itself, 1 as still as it gets; of a video "
        f"{STEADY:g} by default",
        type=float,
        metavar="S",
    )
    add("--strength", "how much of the change: 0 gives the very same picture, 1 all of it", type=float, metavar="S")
    add("--mask", "white where the picture is restyled, black where it stays as it is", metavar="FILE")
    add("--style", "dial: how strongly the style pulls", type=float, metavar="S")
    add("--content", "dial: how firmly the content is held", type=float, metavar="C")
    add("--seed", "same seed, same picture", type=int, metavar="N")
    add("--count", "results for each picture, seeds counting up", type=int, metavar="N")
    add("--report", "write settings, times, memory, anchors and losses", type=paths.expanded, metavar="FILE.json")
    _add_workers(add, "by default one for each device")
    add("--dry-run", "say what a folder's job would make, and make nothing", action="store_true")
    add(
        "--more-clip",
        "a further CLIP that guides as well, with its weights; repeatable",
        action="append",
        dest="more_clips",
        metavar="NAME[,TAG|FILE]",
    )
    _add_settings(stylize, add)
    group = _adder(stylize.add_argument_group("styles", "trained by finetune: an unguided walk, without CLIP"))
    group(
        "--style-file",
        "a style's file, or golden, the built-in one; repeatable",
        action="append",
        dest="style_files",
        metavar="FILE",
    )
    group("--inversion", "respacing of the inversion; by default 10 points up to the style's noise", metavar="T:N")
    group("--points", "of the walk back (6)", type=int, metavar="N")
    group("--rounds", "pull an unseen picture into the network's domain before, 8 to 10 times", type=int, metavar="N")


def _add_finetune(command: argparse.ArgumentParser) -> None:
    """The options of finetune: the fields of `Training`, the networks, and where things are."""
    add = _adder(command, TRAINING)
    add("images", "a handful of picture files, patterns and folders", nargs="+", metavar="PICTURES")
    add("--prompt", "the style; repeatable", action="append", required=True, dest="prompts", metavar="P")
    add("--source-prompt", "what the pictures are", metavar="P")
    add("--output", "the style's file", required=True, type=paths.expanded, metavar="STYLE.safetensors")
    add(
        "--folder",
        "keeps inversions, samples and the state, so that the same command goes on; by default beside the output",
        type=paths.expanded,
        metavar="FOLDER",
    )
    add("--model", "demo, or a U-Net checkpoint (demo)", metavar="demo|FILE")
    add("--clip", "demo, or an open_clip model (demo)", dest="clip_name", metavar="demo|NAME")
    add("--clip-pretrained", "that model's weights", metavar="TAG|FILE")
    add("--size", "side of the squares; by default the model's own, 64 for demo", type=int, metavar="N")
    add("--start", "timestep up to which pictures are inverted: more changes more", type=int, metavar="T")
    add("--inversion-points", "of the inversion", type=int, metavar="N")
    add("--points", "of the walk that is trained", type=int, metavar="N")
    add("--stepwise", "train at each point by itself: memory for one graph of the U-Net", action="store_true")
    add("--epochs", "times that each picture is trained on", type=int, metavar="N")
    add(
        "--learning-rate",
        f"Adam's; by default {finetune.LOW_RANK_RATE:g}, with rank 0 {finetune.FULL_RATE:g}",
        type=float,
        metavar="R",
    )
    add("--growth", "factor of the learning rate from epoch to epoch", type=float, metavar="F")
    add("--rank", "of the low-rank difference; 0: all weights, as in the paper", type=int, metavar="R")
    add("--clip-weight", "of the directional CLIP loss (3.0)", dest="clip", type=float, metavar="W")
    add("--l1", "weight of what holds the pictures", type=float, metavar="W")
    add("--crops", "of a picture, that CLIP sees; 0: the whole picture, as in the paper", type=int, metavar="N")
    add("--crop-area", "their share of the picture", type=_pair, metavar="MIN,MAX")
    add("--gradient-checkpointing", "compute the U-Net's blocks twice, to save memory", action="store_true")
    add("--seed", "same seed, same style", type=int, metavar="N")
    add("--device", "cuda where there is one, else cpu", metavar="NAME")
    _add_model_options(command)


def _add_workers(add: Add, default: str) -> None:
    """Where a job's tasks are done."""
    add("--workers", f"processes that share the pictures, {default}", type=int, metavar="N")
    add("--engine", "where they run: on this machine, or wherever Ray puts them", choices=ENGINES)
    told = "the Ray cluster's, HOST:PORT, ray://… or auto; by default one of this machine"
    add("--ray-address", told, dest="address", metavar="ADDRESS")


def _reading(option: Option) -> dict:
    """How the command line reads a loss's setting."""
    if option.kind == "choice":
        return {"choices": option.choices}
    types = {"weight": float, "number": float, "whole": int, "range": _pair, "text": str}
    return {"type": types[option.kind], "metavar": option.metavar}


def _add_settings(command: argparse.ArgumentParser, add: Add, without: Collection[str] = ()) -> None:
    """The fields of `Settings` that an evaluation shares with one edit, and those of each loss."""
    add("--source-prompt", "what the picture is", metavar="P")
    add("--templates", "average the text over open_clip's 80 ImageNet templates", action="store_true")
    add("--model", "demo, or a U-Net checkpoint", metavar="demo|FILE")
    add("--clip", "demo, or an open_clip model", metavar="demo|NAME")
    add("--clip-pretrained", "that model's weights", metavar="TAG|FILE")
    add("--size", "short side in pixels; by default the model's own, 192 for demo", type=int, metavar="N")
    add(
        "--tile",
        "see large pictures in windows of N pixels; auto: from 1.5 times the model's size on",
        type=_tile,
        metavar="auto|N",
    )
    add("--fit", "how both sides get to the multiples that the U-Net needs", choices=pictures.FITS)
    add("--steps", "respacing of the 1000 steps: 50, ddim50 or 10,20", metavar="N")
    add("--skip", "steps left out at the noisy end; fewer changes more", type=int, metavar="N")
    add("--start", "DDIM inversion, plain noise, or ZeCon's mixture of both", choices=transfer.STARTS)
    add(
        "--dequantize",
        "with start inverted, add noise as wide as a level of 8 bits before; --no-dequantize: lines in plain white",
        action=argparse.BooleanOptionalAction,
    )
    add("--sampler", "the reverse step", choices=transfer.SAMPLERS)
    add("--eta", "fresh noise in ddim: 0 none, 1 as much as ddpm", type=float, metavar="E")
    add("--first-step-repeats", "make the first step so often, as DiffuseIT does with ddpm", type=int, metavar="N")
    add(
        "--restarts",
        "begin anew at most so often, with other noise, where colours leave the range",
        type=int,
        metavar="N",
    )
    add("--restart-above", "the range loss above which it begins anew", type=float, metavar="L")
    for option in OPTIONS:
        if option.name not in without:
            add(f"--{option.name.replace('_', '-')}", option.help, **_reading(option))
    add(
        "--trust-radius",
        "largest guidance beside the predicted noise, at each step; 0: not bounded, as in the papers",
        type=float,
        metavar="R",
    )
    add(
        "--plain-below",
        "local contrast of the photo, in [-1, 1], below which bounded guidance is smoothed; 0: nowhere",
        type=float,
        metavar="C",
    )
    add("--device", "cuda where there is one, else cpu", metavar="NAME")
    add("--dtype", "of the U-Net's torso; auto is float32", choices=("auto", *DTYPES))
    add(
        "--clip-dtype",
        "of CLIP's image tower; auto is bfloat16 on a device that has it, but float32 in evaluate",
        choices=("auto", *DTYPES),
    )
    add("--crop-chunk", "crops that CLIP holds at a time, to save memory; by default all", type=int, metavar="N")
    add("--gradient-checkpointing", "compute the U-Net's blocks twice, to save memory", action="store_true")
    add("--guidance-interval", "guide every N-th step alone, to save time", type=int, metavar="N")
    add(
        "--through-unet",
        "pull the gradient back through the U-Net; --no-through-unet saves time and memory",
        action=argparse.BooleanOptionalAction,
    )
    command.epilog = "Weights are quoted at 256x256 pixels and rescaled to the picture's size."
    _add_model_options(command)
    add("--class-label", "the class that a class-conditional network draws; by default none", type=int, metavar="N")


def _add_evaluate(command: argparse.ArgumentParser) -> None:
    """The plan of an evaluation, and the settings that all its edits share."""
    add = _adder(command)
    add("images", "picture files, patterns and folders", nargs="+", metavar="IMAGE")
    add("--prompt", "what they shall become; repeatable", action="append", required=True, dest="phrases", metavar="P")
    add(
        "--output",
        "folder of the run; the same plan goes on there",
        required=True,
        type=paths.expanded,
        metavar="FOLDER",
    )
    add(
        "--judge",
        "an open_clip model that measures style, another than the one that guides",
        required=True,
        metavar="NAME",
    )
    add("--judge-pretrained", "that model's weights", metavar="TAG|FILE")
    add(
        "--structure",
        "whose keys tell structure: a DINO ViT's FILE, guide for the guiding CLIP's, or none",
        default="guide",
        metavar="FILE|guide|none",
    )
    add("--lpips", "measure LPIPS, by AlexNet's and its own weights", nargs=2, metavar="FILE")
    add(
        "--methods",
        "ways to hold content",
        nargs="+",
        choices=("none", *anchors.KINDS),
        default=("none", *anchors.KINDS),
    )
    add("--baseline", "the method that the others are compared with", default="random", metavar="METHOD")
    add(
        "--sweep",
        "what is swept: factors of the CLIP weights, or the contrastive weight",
        choices=qs_evaluate.SWEEPS,
        default="clip",
    )
    add("--weights", "the points of the sweep", nargs="+", type=float, metavar="W")
    add("--seeds", "the seeds of each edit", nargs="+", type=int, default=[0], metavar="N")
    _add_workers(add, "by default 1")
    add("--batch", "pictures edited together", type=int, default=4, metavar="N")
    _add_settings(command, add, without=("anchors",))
