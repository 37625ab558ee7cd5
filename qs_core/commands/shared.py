"""What several commands share: what was asked for, the files they read and write, and what they say meanwhile."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from .. import paths, pipeline
from ..errors import InputError
from ..randomness import batch_seeds
from ..settings import Settings
from ..unguided import StyleSettings
from ..values import doubtful, weighted


@dataclass(frozen=True)
class Order:
    """What stylize is asked for beside its settings. `masks` has one path or none."""

    images: list[str]
    output: Path
    report: Path | None
    masks: list[str]
    job: Mapping[str, object]  # the options that a job alone has, as given

    @classmethod
    def taken(cls, given: dict) -> Order:
        """Take it out of what was given; the settings stay."""
        masks = [given.pop("mask")] if "mask" in given else []
        job = {name: given.pop(name) for name in ("workers", "engine", "address", "dry_run") if name in given}
        return cls(given.pop("images"), given.pop("output"), given.pop("report", None), masks, job)


def tell(message: object, status: int = 0) -> int:
    """Say it on standard error; returns the status."""
    print(f"qs_core: {message}", file=sys.stderr)
    return status


def weighed(given: dict) -> dict:
    """The prompts of "a phrase::2" without their weights, and these. Raises InputError where they are given twice."""
    pairs = [weighted(prompt) for prompt in given.get("prompts", ())]
    for sentence in filter(None, (doubtful(phrase) for phrase, _ in pairs)):
        tell(sentence)
    if not any("::" in prompt for prompt in given.get("prompts", ())):
        return {}
    if given.get("prompt_weights"):
        raise InputError("The weights are given twice, as ::2 and as --prompt-weight. Use one of them.")
    return {"prompts": [phrase for phrase, _ in pairs], "prompt_weights": [weight for _, weight in pairs]}


def pictures_meant(images: list[str]) -> list[str]:
    """The picture files that were meant; what was passed over is said."""
    found, passed_over = paths.pictures_of(images)
    for sentence in passed_over:
        tell(sentence)
    return found


def output_paths(
    images: list[str], output: Path, settings: Settings | StyleSettings, many: bool
) -> dict[tuple[int, int], Path]:
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
    require_other_files(files.values(), images)
    return files


def require_other_files(results: Iterable[Path], sources: Iterable[str]) -> None:
    """Raises InputError where a result would be a source."""
    taken = {Path(source).resolve() for source in sources}
    for path in results:
        if path.resolve() in taken:
            raise InputError(f"The result would overwrite its source {path}. Choose another --output.")


def require_writable(path: Path) -> None:
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


def write_report(path: Path, content: object) -> None:
    """Write the JSON of it, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    paths.write_whole(path, json.dumps(content, indent=1).encode())


def walk_bar() -> pipeline.Tell:
    """A progress for walks that draws a bar for each of their stages."""
    bars = {}

    def progress(stage: str, done: int, total: int, step) -> None:
        if done == 1:
            bars[stage] = tqdm(total=total, desc=stage, unit="step", leave=False)
        bars[stage].update(1)
        if done == total:
            bars[stage].close()

    return progress
