"""The command line: python -m qs_core stylize | finetune | evaluate | inspect | convert | presets."""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

try:  # beside the library in the repository, and not in the registry's archive
    import qs_evaluate
except ModuleNotFoundError:
    qs_evaluate = None

from . import anchors, checkpoints, finetune, paths, pictures, transfer, unguided
from .checkpoints.known import by_file, by_sha256
from .checkpoints.specification import OPTIONS as MODEL_OPTIONS
from .checkpoints.specification import VARIANCES, Specification, convert, located
from .checkpoints.specification import inspect as inspect_checkpoint
from .errors import InputError, MemoryShortage, NonFiniteError, WorkersLost
from .host import out_of_memory
from .jobs import restyling
from .jobs.manifest import NAME as MANIFEST
from .jobs.manifest import Manifest
from .jobs.pools import ENGINES, pool
from .losses.description import Option
from .moving import job
from .moving.sequences import Frames, Pictures, Video
from .moving.steady import STEADY
from .moving.video import is_video, result_suffix
from .pipeline import run
from .precision import DTYPES
from .presets import PRESETS, preset
from .randomness import batch_seeds
from .schedule import NOISE
from .settings import OPTIONS, Settings
from .speech import unfailing
from .values import doubtful, weighted

DEFAULTS = {field.name: field.default for field in fields(Settings)}
TRAINING = {field.name: field.default for field in fields(finetune.Training)}
WITH_STYLES = tuple(field.name for field in fields(unguided.StyleSettings))


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


def parser() -> argparse.ArgumentParser:
    """The arguments; what is not given is left out."""
    root = Parser(prog=_program(), description=__doc__)
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


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 sampling failed, 2 bad input, 130 interrupted."""
    with unfailing():
        return _run(arguments)


def _run(arguments: list[str] | None) -> int:
    given = vars(parser().parse_args(arguments))
    command = given.pop("command")
    options = {name: given.pop(name) for name in (*MODEL_OPTIONS, "class_label") if name in given}
    try:
        if command == "inspect":
            return _inspect(given["file"], "verify" in given, given.get("sha256"), options)
        if command == "convert":
            print(_describe(convert(given["file"], given["output"], **options)))
            return 0
        if command == "presets":
            print(_list_presets())
            return 0
        given["model_options"] = options or None
        if command == "finetune":
            return _finetune(given)
        if "style_files" in given:
            return _apply(given)
        if command == "evaluate":
            _refuse_weights(given["phrases"])
            print(_evaluate(given))
            return 0
        if "preset" in given:
            given = preset(given.pop("preset")) | given
        given |= _weighed(given)
        given |= {"style_weights": _numbers(given["style_weights"])} if "style_weights" in given else {}
        if not {"prompts", "style_images"} & set(given):
            raise InputError(
                'What shall it become? Give --prompt "a sketch with crayon", a --style-image, or a --preset.'
            )
        return _stylize(given.pop("images"), given.pop("output"), given.pop("report", None), given)
    except InputError as error:
        return _tell(error, 2)
    except (NonFiniteError, MemoryShortage, WorkersLost) as error:
        return _tell(error, 1)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return _tell(f"Out of memory ({str(error).splitlines()[0]}) Try a smaller --size, --crops or --count.", 1)
    except KeyboardInterrupt:
        return _tell("interrupted", 130)


def _numbers(weights: list[str]) -> list[float]:
    try:
        return [float(weight) for weight in weights]
    except ValueError:
        raise InputError(f"--style-weight {' '.join(weights)}: of style pictures a number each is needed.") from None


def _weighed(given: dict) -> dict:
    """The prompts of "a phrase::2" without their weights, and these. Raises InputError where they are given twice."""
    pairs = [weighted(prompt) for prompt in given.get("prompts", ())]
    for sentence in filter(None, (doubtful(phrase) for phrase, _ in pairs)):
        _tell(sentence)
    if not any("::" in prompt for prompt in given.get("prompts", ())):
        return {}
    if given.get("prompt_weights"):
        raise InputError("The weights are given twice, as ::2 and as --prompt-weight. Use one of them.")
    return {"prompts": [phrase for phrase, _ in pairs], "prompt_weights": [weight for _, weight in pairs]}


def _refuse_weights(phrases: list[str]) -> None:
    """Raises InputError for "a phrase::2": in an evaluation each phrase is an edit by itself."""
    wrong = next((phrase for phrase in phrases if "::" in phrase), None)
    if wrong:
        raise InputError(f"The prompt {wrong!r} has a weight, and each prompt is an edit by itself here. Leave it out.")


def _tell(message, status: int = 0) -> int:
    print(f"qs_core: {message}", file=sys.stderr)
    return status


def _list_presets() -> str:
    return "\n".join(f"{name:44}{entry.source:20}{entry.note}".rstrip() for name, entry in PRESETS.items())


def _inspect(file: str, verify: bool, expected: str | None, options: dict) -> int:
    """Print the specification, and compare the SHA-256 where that is asked. Status 1: another, or none to compare."""
    print(_describe(inspect_checkpoint(file, **options)))
    if not (verify or expected):
        return 0
    path = located(file)
    digest = checkpoints.sha256(path)
    print(f"{'sha256':24}{digest}")
    if expected:
        return 0 if digest == expected else _tell(f"{file} is not the file with SHA-256 {expected}.", 1)
    known, named = by_sha256(digest), by_file(path.name)
    if known:
        print(f"{'is':24}{known.name}, {known.file}")
        return 0
    if named and named.sha256:
        return _tell(f"{file} is not the published {named.file}, whose SHA-256 is {named.sha256}.", 1)
    if named and named.size not in (None, path.stat().st_size):
        return _tell(f"{file} is not the published {named.file}, which has {named.size} bytes.", 1)
    what = f"no SHA-256 is published of {named.file}" if named else "no published file with this SHA-256 is known"
    return _tell(f"{file} cannot be verified: {what}.", 1)


def _describe(specification: Specification) -> str:
    """The rows as text, and which published files have this architecture."""
    rows = [f"{name:24}{_plain(value):32}{origin}" for name, value, origin in specification.rows()]
    files = [
        f"{'shapes as of' if number == 0 else '':24}{known.name}" for number, known in enumerate(specification.known)
    ]
    return "\n".join([f"{'file':24}{specification.name}", *rows, *files])


def _plain(value: object) -> str:
    return ", ".join(f"{part:g}" for part in value) if isinstance(value, tuple) else str(value)


def _stylize(images: list[str], output: Path, report: Path | None, options: dict) -> int:
    masks = [options.pop("mask")] if "mask" in options else []
    sharing = {name: options.pop(name) for name in ("workers", "engine", "address", "dry_run") if name in options}
    if _moves(images, options):
        return _moving(images, output, report, Settings, options, masks, sharing)
    return _draw(images, output, report, Settings(**options), partial(run, announce=_tell), masks, sharing)


def _moves(images: list[str], options: dict) -> bool:
    """Whether the pictures are a sequence, or sequences."""
    return bool(_videos(images)) or bool(options.get("steady"))


def _videos(images: list[str]) -> list[str]:
    """The videos where videos are meant: by their names, or by a folder or pattern with no picture in it.

    Raises InputError for videos together with pictures.
    """
    found = [_videos_of(image) for image in images]
    if any(found) and not all(found):
        raise InputError(
            f"{_named(found, images)}: videos and pictures are restyled in different ways. Give them in two commands."
        )
    return [video for videos in found for video in videos]


def _videos_of(image: str) -> list[str]:
    """What videos one name means."""
    files = paths.meant(image)
    if files is None:
        return [str(paths.expanded(image))] if is_video(image) else []
    if any(file.suffix.lower() in paths.PICTURES for file in files):
        return []
    return [str(file) for file in files if is_video(file)]


def _named(found: list[list[str]], images: list[str]) -> str:
    """The first name that means videos, and the first that means none."""
    with_videos = [bool(videos) for videos in found]
    return f"{images[with_videos.index(True)]} and {images[with_videos.index(False)]}"


def _apply(given: dict) -> int:
    """Restyle by styles' files. Raises InputError for options that only guidance has."""
    take = given.pop
    images, output, report = take("images"), take("output"), take("report", None)
    masks = [take("mask")] if "mask" in given else []
    others = [name for name in given if name not in WITH_STYLES]
    if others:
        raise InputError(
            f"--style-file walks without guidance, and {', '.join(others)} would do nothing. Leave it out; there are "
            f"{', '.join(WITH_STYLES)}."
        )
    names = {name: tuple(given.pop(name)) for name in ("style_files", "style_weights") if name in given}
    if _moves(images, given):
        return _moving(images, output, report, unguided.StyleSettings, names | given, masks, {})
    return _draw(images, output, report, unguided.StyleSettings(**names, **given), unguided.run, masks)


def _finetune(given: dict) -> int:
    """Train a style; a training that is interrupted keeps what is there. Status 130 then."""
    take = given.pop
    images, output = _pictures(take("images")), take("output")
    folder = take("folder", None) or output.with_suffix("")
    if output.suffix.lower() not in (".safetensors", ".sft"):
        raise InputError(f"--output {output}: a style is a safetensors file; give a name ending in .safetensors.")
    _require_writable(output)
    _require_writable(folder / finetune.STATE)
    names = [take(name, default) for name, default in (("model", "demo"), ("clip_name", "demo"))]
    chosen = take("clip_pretrained", None), take("device", "auto"), take("model_options")
    prompts = _weighed(given)
    settings = finetune.Training(**{**given, **prompts})
    training = finetune.prepare(images, *names, *chosen, settings, folder, _tell)
    output.parent.mkdir(parents=True, exist_ok=True)
    if training.number:
        _tell(f"goes on at iteration {training.number} of {training.total}")
    bar, row = None, []
    walk = finetune.run(training, output, _bar_of_moves())
    try:
        for done in walk:
            bar = bar or tqdm(total=done.total, initial=done.number - 1, desc="training", unit="step", leave=False)
            bar.set_postfix({name: f"{value:.3f}" for name, value in done.losses.items()}, refresh=False)
            bar.update(1)
            row.append(done.picture)
            if done.index == len(training.pictures) - 1:
                pictures.write(folder / f"epoch-{done.epoch + 1:03}.png", torch.cat(row, 2))
                row = []
    finally:
        walk.close()
        if bar:
            bar.close()
    print(output)
    return 0


def _bar_of_moves():
    progress = _bar()
    return lambda reached: progress("inversion", reached.number, reached.total, reached.step)


def _draw(
    images: list[str],
    output: Path,
    report: Path | None,
    settings: object,
    walk: Callable,
    masks: list[str],
    sharing: dict | None = None,
) -> int:
    """Write what walk(pictures, settings, progress, masks) gives, and the report. A folder is a job where it can be
    shared out: `sharing` says among whom, and is None where it cannot."""
    found = _pictures(images)
    files = _output_paths(found, output, settings, found != images or bool(sharing))
    if sharing or (sharing is not None and found != images and output not in files.values()):
        return _job(restyling.results(found, files, settings, *masks), output, report, settings, masks, sharing)
    for path in {*files.values(), *([report] if report else [])}:
        _require_writable(path)
    reports = []
    for result in walk(found, settings, _bar(), masks):
        path = files[result.source, result.seed]
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures.write(path, result.picture, {"qs_core": json.dumps(result.report["settings"])})
        reports.append({"image": found[result.source], "output": str(path), **result.report})
        print(path)
    if report:
        _write_report(report, reports if len(files) > 1 else reports[0])
    return 0


def _moving(
    images: list[str],
    output: Path,
    report: Path | None,
    kind: type,
    options: dict,
    masks: list[str],
    sharing: dict,
) -> int:
    """Videos, or a folder's frames in order, by settings of a kind. What is done is kept, and the same command goes on.

    Of several videos one that fails does not stop the others. Status 1 then.
    """
    if sharing:
        raise InputError(
            f"{', '.join(sharing)}: each frame needs the one before, so that one process makes them. Leave it out."
        )
    sequences, s = _sequences(images, output, kind, options)
    if report:
        _require_writable(report)
    reports, failed = [], []
    for frames in sequences:
        try:
            reports += _move(frames, s, masks)
        except (InputError, NonFiniteError, MemoryShortage) as error:
            if len(sequences) == 1:
                raise
            failed.append(frames)
            _tell(error)
        else:
            print(frames.output)
    if failed:
        _tell(f"{len(sequences) - len(failed)} of {len(sequences)} videos are done; the same command tries the others.")
    if report and reports:  # where nothing was left to make, the report of the run that made it stays
        _write_report(report, reports)
    return 1 if failed else 0


def _move(frames: Frames, s: Settings | unguided.StyleSettings, masks: list[str]) -> list[dict]:
    """Make what is missing of a sequence; the reports of the frames that were."""
    written = frames.check()
    key = job.key(frames, s, *(masks or [None]))
    if frames.is_finished(key):
        _tell(f"{frames.output} is there.")
        return []
    for path in written:
        _require_writable(path)
    reports, bar = [], tqdm(desc="frames", unit="frame", total=frames.count or None, smoothing=0.05)
    try:
        for made in job.run(frames, frames.place, s, *(masks or [None]), announce=_tell):
            bar.update(made.number + 1 - bar.n)
            reports.append({"image": frames.named(made.number), "output": str(made.path), **made.report})
    finally:
        bar.close()
        if bar.n and bar.n < (bar.total or 0):
            _tell(f"{bar.n} frames are done and kept in {frames.place(0).parent}; the same command goes on.")
    frames.finish(key)
    return reports


def _sequences(
    images: list[str], output: Path, kind: type, options: dict
) -> tuple[list[Frames], Settings | unguided.StyleSettings]:
    """What is restyled frame by frame, and how. Raises InputError where two results would be one."""
    videos = _videos(images)
    if not videos:
        found, s = _pictures(images), kind(**options)
        files = _output_paths(found, output, s, True)
        return [Pictures(found, [files[number, s.seed] for number in range(len(found))], output)], s
    s = kind(**{"steady": STEADY} | options)
    alone = len(videos) == len(images) == 1 and is_video(images[0])
    if alone and not output.is_dir():
        results = [output]
    elif output.is_file() or is_video(output):
        what = "is a file" if output.is_file() else "names one file"
        raise InputError(f"--output {output} {what}; several videos need a folder.")
    else:
        names = zip(videos, paths.names_of(videos), strict=True)
        results = [output / f"{name}{result_suffix(Path(path))}" for path, name in names]
    _require_other_files(results, videos)
    return [Video(Path(video), result) for video, result in zip(videos, results, strict=True)], s


def _job(
    wanted: list[restyling.Result], output: Path, report: Path | None, settings: Settings, masks: list, sharing: dict
) -> int:
    """A folder's job: make what is missing. Exit status 1 where a picture failed."""
    if wanted[0].path == output:
        raise InputError(f"--output {output} names one file; --workers, --engine and --dry-run need a folder.")
    for path in (output / MANIFEST, *([report] if report else [])):
        _require_writable(path)
    for result in wanted:
        paths.require_possible(result.path)
    if sharing.pop("dry_run", False):
        return _dry_run(wanted, Manifest(output).read())
    for mask in masks:
        pictures.size_of(mask)
    make = restyling.Restyle(settings, *(paths.expanded(mask).read_bytes() for mask in masks))
    with pool(make, device=settings.device, announce=_tell, **sharing) as workers, Manifest(output) as manifest:
        tally = restyling.Tally(wanted, manifest)
        with tqdm(desc="pictures", unit="picture", total=len(wanted), initial=tally.there, smoothing=0.05) as bar:
            try:
                for entry in restyling.run(wanted, settings, manifest, workers, report is not None, _tell):
                    tally.add(entry)
                    bar.set_postfix(failed=len(tally.failed), refresh=False)
                    bar.update()
                    if entry["state"] == "done":
                        tqdm.write(str(output / entry["output"]), file=sys.stdout)
            finally:
                bar.close()
                _tell(tally.sentence())
        if report:
            noted = (manifest.entries[result.path.name] for result in wanted)
            done = [entry for entry in noted if entry["state"] == "done"]
            told = [{"image": e["source"], "output": str(output / e["output"]), **e.get("report", {})} for e in done]
            _write_report(report, told)
    return 1 if tally.failed else 0


def _dry_run(wanted: list[restyling.Result], manifest: Manifest) -> int:
    """Print what the job would make. Exit status 1 where a picture's head cannot be read."""
    left, bad = [result for result in wanted if not restyling.is_there(result, manifest)], 0
    for source in dict.fromkeys(result.source for result in left):
        try:
            pictures.size_of(source)
        except InputError as error:
            bad += 1
            _tell(error)
    for result in left:
        print(result.path)
    there = len(wanted) - len(left)
    _tell(f"{len(wanted)} results: {len(left)} to make, {there} are there; {bad} sources cannot be read.")
    return 1 if bad else 0


def _pictures(images: list[str]) -> list[str]:
    """The picture files that were meant; what was passed over is said."""
    found, passed_over = paths.pictures_of(images)
    for sentence in passed_over:
        _tell(sentence)
    return found


def _evaluate(given: dict) -> str:
    """Run the plan and report on it; returns where the report is."""
    take = given.pop
    images, output, baseline, sweep = _pictures(take("images")), take("output"), take("baseline"), take("sweep")
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

        rows = qs_evaluate.run(plan, output, progress=progress, announce=_tell, **sharing)
    written = qs_evaluate.write_report(rows, output, baseline)
    return "\n".join(str(path) for path in written)


def _output_paths(images: list[str], output: Path, settings: Settings, many: bool) -> dict[tuple[int, int], Path]:
    """The file of each (source, seed); `many` if a folder or pattern was given, however many pictures are in it.

    Raises InputError where two results, or a result and a source, would be one.
    """
    seeds = batch_seeds(settings.seed, settings.count)
    single = len(images) == 1 and settings.count == 1
    named = output.suffix.lower() == ".png" and not output.is_dir()
    if single and not named and not many:
        raise InputError(f"--output {output}: one result needs a file name that ends in .png, e.g. out.png.")
    if not single and (named or output.is_file()):
        what = "is a file" if output.is_file() else "names one file"
        raise InputError(f"--output {output} {what}; several results need a folder.")
    if single and named:
        files = {(0, seeds[0]): output}
    else:
        names = enumerate(paths.names_of(images))
        files = {(k, seed): output / f"{name}-{seed}.png" for k, name in names for seed in seeds}
    _require_other_files(files.values(), images)
    return files


def _require_other_files(results: Iterable[Path], sources: Iterable[str]) -> None:
    """Raises InputError where a result would be a source."""
    taken = {Path(source).resolve() for source in sources}
    for path in results:
        if path.resolve() in taken:
            raise InputError(f"The result would overwrite its source {path}. Choose another --output.")


def _require_writable(path: Path) -> None:
    """Raises InputError unless a file can be made there; a folder that is not there yet is not made now."""
    paths.require_possible(path)
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        if path.is_dir():
            raise IsADirectoryError(None, "is a folder")
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"Cannot write {path} ({error.strerror}). Choose a writable place.") from error


def _write_report(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    paths.write_whole(path, json.dumps(content, indent=1).encode())


def _bar():
    bars = {}

    def progress(stage: str, done: int, total: int, step) -> None:
        if done == 1:
            bars[stage] = tqdm(total=total, desc=stage, unit="step", leave=False)
        bars[stage].update(1)
        if done == total:
            bars[stage].close()

    return progress


if __name__ == "__main__":
    sys.exit(main())
