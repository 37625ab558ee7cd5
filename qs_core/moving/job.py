"""A sequence restyled frame by frame, so that a second start goes on where the first one ended.

A folder holds a PNG for each frame that is done, and state.safetensors, what the next frame is held to. The state is
written after its frame: a run that is killed between the two makes that frame once more, and it is the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from .. import pictures, pipeline, unguided
from ..errors import InputError
from ..features.weights import Announce
from ..jobs.manifest import claim
from ..jobs.restyling import BUT_FOR_ROUNDING, stamp
from ..modes import each_in_plain_mode
from ..paths import write_whole
from ..pipeline import Tell
from ..settings import Settings
from ..unguided import StyleSettings
from .sequences import Frames
from .steady import Before

STATE, LOCK = "state.safetensors", ".state.lock"


@dataclass(frozen=True)
class Made:
    """A frame that is done: its number, its file, and the report of its walk."""

    number: int
    path: Path
    report: dict


def key(frames: Frames, s: Settings | StyleSettings, mask: str | None) -> str:
    """What tells these frames with these settings from others."""
    chosen = {name: value for name, value in asdict(s).items() if name not in BUT_FOR_ROUNDING}
    told = [chosen, s.seed, [stamp(file) for file in (*frames.files, *([mask] if mask else []))]]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


class State:
    """What a folder holds of a sequence: how many frames are done, and the last of them. Nobody else has the folder
    meanwhile. Raises InputError where another run has it."""

    def __init__(self, folder: Path, key: str):
        self.folder, self.key, self.path = folder, key, folder / STATE
        self.lock, self.done, self.before, self.other = FileLock(folder / LOCK), 0, None, False

    def __enter__(self) -> State:
        claim(self.folder, self.lock)
        try:
            self._read()
        except BaseException:
            self.lock.release()
            raise
        return self

    def __exit__(self, *error) -> None:
        self.lock.release()

    def _read(self) -> None:
        if not self.path.exists():
            return
        try:
            with safe_open(self.path, "pt") as held:
                told = held.metadata() or {}
                self.other = told.get("key") != self.key
                if not self.other:
                    self.done = int(told["done"])
                    tensors = {name: held.get_tensor(name) for name in held.keys()}
                    self.before = Before(**tensors) if tensors else None
        except (SafetensorError, OSError) as error:
            raise InputError(f"{self.path} cannot be read ({error}). Delete it to begin anew.") from error

    def write(self, before: Before | None) -> None:
        """One frame more is done; the next one is held to it, or to nothing."""
        self.done, self.before = self.done + 1, before
        tensors = {name: tensor.contiguous() for name, tensor in vars(before).items()} if before else {}
        write_whole(self.path, save(tensors, {"key": self.key, "done": str(self.done)}))


@each_in_plain_mode
def run(
    frames: Frames,
    place: Callable[[int], Path],
    s: Settings | StyleSettings,
    mask: str | None = None,
    progress: Tell | None = None,
    announce: Announce | None = None,
) -> Iterator[Made]:
    """Restyle the frames that are not done yet, in order, and write each to place(number), all in one folder: guided,
    or by fine-tuned styles, as the settings are.

    Raises InputError for bad input, NonFiniteError and MemoryShortage; what is done by then is kept.
    """
    draw = (unguided if isinstance(s, StyleSettings) else pipeline).drawer(s, frames.size, announce)
    with State(place(0).parent, key(frames, s, mask)) as state:
        if state.other and announce:
            announce(f"{state.folder} holds another sequence, or one of other settings; this one begins at its start.")
        for number, frame in enumerate(frames.after(state.done), state.done):
            made = draw(number, frame, mask, progress, state.before)
            path = place(number)
            pictures.write(path, made.picture, {"qs_core": json.dumps(made.report["settings"])})
            state.write(made.frame)
            yield Made(number, path, made.report)
