"""The command line: python -m qs_core stylize | evaluate | inspect | convert | presets."""

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Collection
from dataclasses import fields
from pathlib import Path

from tqdm import tqdm

try:  # beside the library in the repository, and not in the registry's archive
    import qs_evaluate
except ModuleNotFoundError:
    qs_evaluate = None

from . import anchors, checkpoints, paths, pictures, transfer
from .checkpoints.known import by_file, by_sha256
from .checkpoints.specification import OPTIONS as MODEL_OPTIONS
from .checkpoints.specification import VARIANCES, Specification, convert, located
from .checkpoints.specification import inspect as inspect_checkpoint
from .errors import InputError, MemoryShortage, NonFiniteError
from .host import out_of_memory
from .losses.description import Option
from .pipeline import run
from .precision import DTYPES
from .presets import PRESETS, preset
from .randomness import batch_seeds
from .schedule import NOISE
from .settings import OPTIONS, Settings
from .speech import unfailing
from .values import doubtful, weighted

DEFAULTS = {field.name: field.default for field in fields(Settings)}


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


def _adder(command: argparse.ArgumentParser) -> Add:
    """add(flag, help, …) adds an option; where it is a field of `Settings`, its help ends with the default."""

    def add(flag: str, help: str, **options) -> None:
        name = options.get("dest", flag.removeprefix("--").replace("-", "_"))
        default = DEFAULTS.get(name)
        if isinstance(default, tuple):
            default = ",".join(str(part) for part in default)
        shown = f" ({default})" if default not in (None, "") and default is not False else ""
        command.add_argument(flag, help=help + shown, **options)

    return add


def _add_stylize(stylize: argparse.ArgumentParser) -> None:
    """The options of stylize: the fields of `Settings`."""
    add = _adder(stylize)
    add("images", "picture files, patterns and folders; several make --output a folder", nargs="+", metavar="IMAGE")
    add(
        "--prompt",
        "what it shall become, with ::2 behind it to count twice; repeatable",
        action="append",
        dest="prompts",
        metavar="P",
    )
    add("--preset", "begin with these settings; the other options come before them", metavar="NAME")
    add("--prompt-weight", "one for each prompt", action="append", type=float, dest="prompt_weights", metavar="W")
    add("--output", "PNG file, or folder for several results", required=True, type=paths.expanded, metavar="OUT")
    add("--output-size", "the network's, or resized to the original's", choices=pictures.OUTPUT_SIZES)
    add(
        "--detail",
        "dial: fine structure of the original in a result of its size, 0 to 1",
        type=float,
        metavar="D",
    )
    add("--strength", "how much of the change: 0 gives the very same picture, 1 all of it", type=float, metavar="S")
    add("--mask", "white where the picture is restyled, black where it stays as it is", metavar="FILE")
    add("--style", "dial: how strongly the style pulls", type=float, metavar="S")
    add("--content", "dial: how firmly the content is held", type=float, metavar="C")
    add("--seed", "same seed, same picture", type=int, metavar="N")
    add("--count", "results for each picture, seeds counting up", type=int, metavar="N")
    add("--report", "write settings, times, memory, anchors and losses", type=paths.expanded, metavar="FILE.json")
    _add_settings(stylize, add)


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
    for option in OPTIONS:
        if option.name not in without:
            add(f"--{option.name.replace('_', '-')}", option.help, **_reading(option))
    add(
        "--trust-radius",
        "largest guidance beside the predicted noise, at each step; 0: not bounded, as in the papers",
        type=float,
        metavar="R",
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
    add("--workers", "processes that share the edits", type=int, default=1, metavar="N")
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
        if command == "evaluate":
            _refuse_weights(given["phrases"])
            print(_evaluate(given))
            return 0
        if "preset" in given:
            given = preset(given.pop("preset")) | given
        given |= _weighed(given)
        if "prompts" not in given:
            raise InputError('What shall it become? Give --prompt "a sketch with crayon", or a --preset.')
        _stylize(given.pop("images"), given.pop("output"), given.pop("report", None), given)
    except InputError as error:
        return _tell(error, 2)
    except (NonFiniteError, MemoryShortage) as error:
        return _tell(error, 1)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return _tell(f"Out of memory ({str(error).splitlines()[0]}) Try a smaller --size, --crops or --count.", 1)
    except KeyboardInterrupt:
        return _tell("interrupted", 130)
    return 0


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


def _stylize(images: list[str], output: Path, report: Path | None, options: dict) -> None:
    masks = [options.pop("mask")] if "mask" in options else []
    settings = Settings(**options)
    found = _pictures(images)
    files = _output_paths(found, output, settings, found != images)
    for path in {*files.values(), *([report] if report else [])}:
        _require_writable(path)
    reports = []
    for result in run(found, settings, _bar(), masks, _tell):
        path = files[result.source, result.seed]
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures.write(path, result.picture, {"qs_core": json.dumps(result.report["settings"])})
        reports.append({"image": found[result.source], "output": str(path), **result.report})
        print(path)
    if report:
        _write_report(report, reports if len(files) > 1 else reports[0])


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
    sharing = take("workers"), take("batch")
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

        rows = qs_evaluate.run(plan, output, *sharing, progress, _tell)
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
    sources = {Path(image).resolve() for image in images}
    for path in files.values():
        if path.resolve() in sources:
            raise InputError(f"The result would overwrite its source {path}. Choose another --output.")
    return files


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
    unfinished = paths.partial(path)
    unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")
    os.replace(unfinished, path)


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
