"""What is restyled frame by frame: a video, or pictures in order."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Protocol

from PIL import Image

from .. import pictures
from . import video


class Frames(Protocol):
    """A sequence: its frames in order, and where their results go."""

    files: Sequence[str]  # whose names, sizes and times of change tell it from others
    output: Path  # where the result is

    @property
    def count(self) -> int:
        """How many frames there are; 0 where that is unknown."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the first."""

    def after(self, done: int) -> Iterable[Image.Image | str]:
        """The frames from number `done` on, one at a time."""

    def named(self, number: int) -> str:
        """What a report calls a frame."""

    def place(self, number: int) -> Path:
        """The file that holds a frame's result; those of all frames are in one folder."""

    def check(self) -> list[Path]:
        """The files that have to be writable. Raises InputError for a result that cannot be made of the frames."""

    def is_finished(self, key: str) -> bool:
        """Whether the result of this key is there, so that no frame is needed."""

    def finish(self, key: str) -> None:
        """Make of the frames' results what was asked for, and note the key. Raises InputError where it cannot be
        written."""


@dataclass(frozen=True)
class Video:
    """The frames of a video's file, and the file of the restyled one; a folder beside that keeps what is done."""

    path: Path
    output: Path

    @property
    def files(self) -> Sequence[str]:
        """The video."""
        return (str(self.path),)

    @property
    def count(self) -> int:
        """What the file's head says, which may be wrong."""
        return video.count(self.path)

    @property
    def size(self) -> tuple[int, int]:
        """As `Frames`'."""
        return next(video.frames(self.path)).size[::-1]

    @property
    def folder(self) -> Path:
        """What is done until all is."""
        return self.output.with_name(f"{self.output.name}.frames")

    def after(self, done: int) -> Iterable[Image.Image]:
        """As `Frames`'."""
        return video.frames(self.path, done)

    def named(self, number: int) -> str:
        """The video and the frame's number."""
        return f"{self.path}#{number}"

    def place(self, number: int) -> Path:
        """As `Frames`'."""
        return self.folder / f"{number:06}.png"

    def check(self) -> list[Path]:
        """As `Frames`'."""
        video.check(self.output, self.path)
        return [self.output, self.place(0)]

    def is_finished(self, key: str) -> bool:
        """As `Frames`'."""
        return self.output.is_file() and video.note(self.output) == key

    def finish(self, key: str) -> None:
        """Write the video, and drop the folder."""
        video.write(self.output, map(self.place, count()), self.path, key)
        shutil.rmtree(self.folder)


@dataclass(frozen=True)
class Pictures:
    """Picture files that are frames, and the file of each one's result."""

    files: Sequence[str]
    places: Sequence[Path]
    output: Path

    @property
    def count(self) -> int:
        """As `Frames`'."""
        return len(self.files)

    @property
    def size(self) -> tuple[int, int]:
        """As `Frames`'."""
        return pictures.size_of(self.files[0])

    def after(self, done: int) -> Iterable[str]:
        """As `Frames`'."""
        return self.files[done:]

    def named(self, number: int) -> str:
        """The picture."""
        return self.files[number]

    def place(self, number: int) -> Path:
        """As `Frames`'."""
        return self.places[number]

    def check(self) -> list[Path]:
        """As `Frames`'."""
        return [self.place(0)]

    def is_finished(self, key: str) -> bool:
        """No: the folder's state tells how many are done."""
        return False

    def finish(self, key: str) -> None:
        """Nothing: each frame's result is one."""
