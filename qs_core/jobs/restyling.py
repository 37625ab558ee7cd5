"""A folder restyled: which results are there already, the tasks for the others, and what a worker does with one.

The driver alone reads sources and writes results, so that workers need no common disk, and one that is lost takes
nothing with it. A result carries its key, which tells it from any other: where it was written and not yet noted, it is
found again.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from io import BytesIO
from itertools import groupby
from pathlib import Path

from PIL import Image

from .. import pictures
from ..errors import InputError, MemoryShortage, NonFiniteError
from ..features.weights import Announce
from ..modes import plain
from ..networks import load
from ..paths import write_whole
from ..pipeline import refuse, restyle_one
from ..report import versions
from ..settings import Settings
from ..stylizer import Stylizer, default_size
from .manifest import Manifest
from .pools import Pool, each

KEY = "qs_job"  # the PNG's text that holds the key
BUT_FOR_ROUNDING = ("seed", "count", "device", "crop_chunk", "gradient_checkpointing")  # leave the picture as it is


@dataclass(frozen=True)
class Result:
    """A result that is wanted: the picture file, the seed, the file to write, and its key."""

    source: str
    seed: int
    path: Path
    key: str


def results(
    images: Sequence[str], files: Mapping[tuple[int, int], Path], s: Settings, mask: str | None = None
) -> list[Result]:
    """What a job makes: `files` maps (number of the image, seed) to the file.

    The key is made of the settings but for those that only round otherwise, and of the picture's and the mask's name,
    size and time.
    """
    chosen = {name: value for name, value in asdict(s).items() if name not in BUT_FOR_ROUNDING}
    common = json.dumps([chosen, stamp(mask) if mask else None], sort_keys=True)
    stamps = [stamp(image) for image in images]

    def key(number: int, seed: int) -> str:
        return hashlib.sha256(f"{common}{stamps[number]}{seed}".encode()).hexdigest()

    return [Result(images[number], seed, path, key(number, seed)) for (number, seed), path in files.items()]


def stamp(path: str | Path) -> list:
    """A file's name, size and time of change; of one that is not there the name alone."""
    try:
        held = os.stat(path)
    except (OSError, ValueError):
        return [os.path.basename(path)]
    return [os.path.basename(path), held.st_size, held.st_mtime_ns]


def is_there(result: Result, manifest: Manifest) -> bool:
    """Whether the very result has been written, be it noted or not."""
    if not result.path.is_file():
        return False
    entry = manifest.entries.get(result.path.name, {})
    return (entry.get("key") == result.key and entry["state"] == "done") or _key_of(result.path) == result.key


def _key_of(path: Path) -> str | None:
    """The key that a result holds; None of any other file."""
    try:
        with Image.open(path) as picture:
            return picture.info.get(KEY)
    except (OSError, SyntaxError, ValueError):  # no picture of this job, which is written anew
        return None


class Tally:
    """How a job stands: results there before, made, and failed entries."""

    def __init__(self, wanted: Sequence[Result], manifest: Manifest):
        self.wanted, self.there = len(wanted), sum(is_there(result, manifest) for result in wanted)
        self.made, self.failed, self.begun, self.path = 0, [], time.perf_counter(), manifest.path

    def add(self, entry: Mapping) -> None:
        """Count what `run` gave."""
        if entry["state"] == "done":
            self.made += 1
        else:
            self.failed.append(entry)

    def sentence(self) -> str:
        """The summary."""
        seconds = time.perf_counter() - self.begun
        text = f"{self.wanted} results: {self.made} made, {self.there} were there, {len(self.failed)} failed"
        text += f", {self.wanted - self.made - self.there - len(self.failed)} are left; "
        text += f"{seconds:.0f} s, {3600 * self.made / seconds:.0f} an hour. Each is noted in {self.path}."
        if self.failed:
            text += f" The first that failed is {self.failed[0]['source']}: {self.failed[0]['error']}"
        return text


@dataclass(frozen=True)
class Task:
    """One picture file, and the seeds that are wanted of it with the results' keys."""

    name: str
    content: bytes
    keys: Mapping[int, str]
    unread: str = ""  # why there is no content


@dataclass(frozen=True)
class Made:
    """A result's file and report, or why there is none."""

    seed: int
    file: bytes | None = None
    report: Mapping | None = None
    error: str | None = None


@dataclass(frozen=True)
class Restyle:
    """What a worker loads: the networks of the settings; and does: restyle one picture, seed by seed.

    Seeds are walked one at a time, so that a picture is the same whichever were done before. Raises InputError for
    settings that no square picture could have.
    """

    settings: Settings
    mask: bytes | None = None

    def __call__(self, announce: Announce | None) -> Callable[[Task], list[Made]]:
        s, networks = self.settings, load(self.settings, announce).without_text()
        stylizer, short_side = Stylizer(networks.model, inversions=1), s.size or default_size(networks.model)
        refuse({(short_side, short_side)}, s, networks)
        if self.mask is not None:
            pictures.take_mask(self.mask)

        def one(task: Task, seed: int) -> Made:
            if task.unread:
                return Made(seed, error=task.unread)
            source = BytesIO(task.content)
            source.name = task.name  # for messages
            alone = replace(s, seed=seed, count=1)
            try:
                (made,) = restyle_one(0, source, self.mask, alone, networks, stylizer, 0.0, None)
            except (InputError, NonFiniteError, MemoryShortage) as error:
                return Made(seed, error=str(error))
            texts = {"qs_core": json.dumps(made.report["settings"]), KEY: task.keys[seed]}
            return Made(seed, pictures.encode(made.picture, texts), made.report)

        def work(task: Task) -> list[Made]:
            with plain():
                return [one(task, seed) for seed in task.keys]

        return work


def run(
    wanted: Sequence[Result],
    settings: Settings,
    manifest: Manifest,
    pool: Pool,
    with_report: bool = False,
    announce: Announce | None = None,
) -> Iterator[dict]:
    """Make what is wanted and not there, and give each manifest entry as it is written, in no order.

    A picture that cannot be restyled is noted, and the others go on. Raises InputError for settings that cannot be, and
    where a result cannot be written; what is done by then is noted.
    """
    manifest.add({"run": {"time": _now(), "settings": asdict(settings), "versions": versions(), "workers": pool.count}})
    left = []
    for result in wanted:
        if not is_there(result, manifest):
            left.append(result)
        elif manifest.entries.get(result.path.name, {}).get("key") != result.key:
            manifest.add(_entry(result, "done"))  # its run was killed before it was noted
    by_key = {result.key: result for result in left}
    for outcome in each(_tasks(left), pool, announce):
        keys, made = outcome.task.keys, outcome.result
        if outcome.error:
            made = [Made(seed, error=outcome.error) for seed in keys]
        for one in made:
            result, more = by_key[keys[one.seed]], {"worker": outcome.worker, "tries": outcome.tries}
            if one.file is None:
                entry = _entry(result, "failed", error=one.error, **more)
            else:
                write_whole(result.path, one.file)
                more |= {"seconds": one.report["seconds"]["total"]} | ({"report": one.report} if with_report else {})
                entry = _entry(result, "done", **more)
            manifest.add(entry)
            yield entry


def _tasks(wanted: Iterable[Result]) -> Iterator[Task]:
    """Each picture is read when its turn comes."""
    for source, its in groupby(wanted, key=lambda result: result.source):
        keys = {result.seed: result.key for result in its}
        try:
            yield Task(source, Path(source).read_bytes(), keys)
        except (OSError, ValueError) as error:
            yield Task(source, b"", keys, unread=f"{source} cannot be read ({getattr(error, 'strerror', error)}).")


def _entry(result: Result, state: str, **more) -> dict:
    known = {"output": result.path.name, "source": result.source, "seed": result.seed, "key": result.key}
    return {**known, "state": state, "time": _now(), **more}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
