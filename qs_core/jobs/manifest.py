"""A job's memory beside its results: manifest.jsonl, a line of JSON for each result, written as soon as it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import InputError
from ..paths import write_whole

NAME = "manifest.jsonl"


class Manifest:
    """What is known of a folder's results: `entries` by the result's file name, the last line of each.

    Within its context no other run has the folder. A line that the end of a run cut off is dropped, since the result
    itself says what it is.
    """

    def __init__(self, folder: Path):
        self.folder, self.path, self.file, self.entries = folder, folder / NAME, None, {}
        self.lock = FileLock(folder / ".manifest.lock")

    def read(self) -> Manifest:
        """Itself with its entries, to look at. Raises InputError for a file of that name that is none."""
        self.entries = _entries(_whole(self._held()), self.path)
        return self

    def __enter__(self) -> Manifest:
        claim(self.folder, self.lock)
        try:
            self._begin()
        except BaseException:
            self.lock.release()
            raise
        return self

    def _begin(self) -> None:
        held = self._held()
        lines = _whole(held)
        self.entries = _entries(lines, self.path)
        if lines != held or not held:
            write_whole(self.path, lines)
        self.file = self.path.open("ab", buffering=0)

    def _held(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""

    def __exit__(self, *error) -> None:
        self.file.close()
        self.lock.release()

    def add(self, entry: dict) -> None:
        """Append a line. Raises InputError where it cannot be written."""
        try:
            self.file.write(json.dumps(entry).encode() + b"\n")
            os.fsync(self.file.fileno())
        except OSError as error:
            raise InputError(
                f"Cannot write {self.path} ({error.strerror}). Make room; what is done is kept."
            ) from error
        if "output" in entry:
            self.entries[entry["output"]] = entry


def claim(folder: Path, lock: FileLock) -> None:
    """Make the folder where need be, take its lock, and clear what a run that was killed had half written.

    Raises InputError where another run has it, or it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(f"Another run writes to {folder}. Wait for its end, or give another.") from error
    except OSError as error:
        raise InputError(f"Cannot write to {folder} ({error.strerror}). Give another folder.") from error
    try:
        for left in folder.glob(".*.partial"):
            left.unlink()
    except BaseException:
        lock.release()
        raise


def _whole(held: bytes) -> bytes:
    """The whole lines."""
    return held[: held.rfind(b"\n") + 1]


def _entries(lines: bytes, path: Path) -> dict[str, dict]:
    try:
        entries = [json.loads(line) for line in lines.splitlines()]
    except ValueError as error:
        raise InputError(
            f"{path} is no list of results ({error}). Delete it: the results say what they are."
        ) from error
    return {entry["output"]: entry for entry in entries if "output" in entry}
