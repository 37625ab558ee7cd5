"""Clocks and memory: guided steps of several walks in turn, and the peak of one in a process of its own."""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import logging
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from .cases import Case, write_weights

ROOT = Path(__file__).parents[2]
Begin = Callable[[], Iterator[object]]


class Spread(tuple):
    """Seconds, in the order in which they were taken."""

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self)

    def __str__(self) -> str:
        return f"{self.median:.3g} ({min(self):.3g} to {max(self):.3g})"


@contextlib.contextmanager
def weights_of(case: Case) -> Iterator[Path]:
    """A folder with the case's random weights, made by a process of its own so that this one's memory is untouched."""
    with tempfile.TemporaryDirectory() as folder:
        child("weights", case, "--weights", folder)
        yield Path(folder)


def child(command: str, case: Case, *options: str) -> str:
    """What `python -m tools.benchmark` prints for a hidden command in a process of its own; its errors are shown."""
    line = [sys.executable, "-m", "tools.benchmark", command, "--case", case.to_json(), *options]
    return subprocess.run(line, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def now() -> float:
    """Seconds by the clock that BENCHMARK_CLOCK names: wall (by default), or cpu, which is what this process used of
    all cores; for one thread on a busy machine that is nearer to what an idle one would take."""
    clock = os.environ.get("BENCHMARK_CLOCK", "wall")
    return {"wall": time.perf_counter, "cpu": time.process_time}[clock]()


def settle(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def in_turn(walks: Sequence[Begin], count: int, device: str, warm_up: int = 1) -> list[Spread]:
    """Seconds of `count` guided steps of each walk after `warm_up` others: one step of each, then the next of each.

    Who goes first changes at random, so that what slows the machine for a while slows all of them. A walk that has
    ended begins again, and the time of that is not counted.
    """
    order, running = random.Random(0), [iter(()) for _ in walks]
    seconds = [[] for _ in walks]
    for _ in range(warm_up + count):
        for k in order.sample(range(len(walks)), len(walks)):
            seconds[k].append(_step(walks[k], running, k, device))
    return [Spread(taken[warm_up:]) for taken in seconds]


def _step(begin: Begin, running: list[Iterator], k: int, device: str) -> float:
    for _ in range(2):
        settle(device)
        begun = now()
        if next(running[k], None) is not None:
            settle(device)
            return now() - begun
        running[k] = begin()
    raise RuntimeError("A walk has no step at all.")


def whole(begin: Begin, device: str) -> tuple[float, float]:
    """Seconds from the fitted picture to the restyled one: until guided sampling starts, and in all."""
    settle(device)
    begun = now()
    walk = begin()
    settle(device)
    inverted = now() - begun
    for _ in walk:
        pass
    settle(device)
    return inverted, now() - begun


def peak_of(build: Callable[[], Begin], device: str, count: int) -> dict[str, float | None]:
    """Bytes held at most: while networks are `building`, by the `networks` then, and `walking`, which is inversion and
    `count` guided steps. Of the host above those after the imports, None where the system does not tell; on CUDA of the
    device by torch's own count, and the host's peak beside them as `host`.
    """
    gc.collect()
    before, cuda = resident(), device.startswith("cuda")
    begin = build()
    told = {"building": _above(peak(), before), "networks": _above(resident(), before)}
    if cuda:
        told = {"building": torch.cuda.max_memory_allocated(), "networks": torch.cuda.memory_allocated()}
        torch.cuda.reset_peak_memory_stats()
    else:
        forget_peak()
    seconds, begun = [], now()
    for _ in itertools.islice(_endless(begin), count):
        settle(device)
        seconds.append(now() - begun)
        begun = now()
    told["walking"] = torch.cuda.max_memory_allocated() if cuda else _above(peak(), before)
    if cuda:
        told["host"] = _above(peak(), before)
    return {**told, "seconds": seconds[1:] or seconds}


def _endless(begin: Begin) -> Iterator[object]:
    while True:
        yield from begin()


def _above(figure: int | None, before: int | None) -> int | None:
    return None if figure is None or before is None else figure - before


def resident() -> int | None:
    """Bytes of memory that this process holds now (Linux)."""
    return _status("VmRSS")


def peak() -> int | None:
    """The most that it held since it began, or since `forget_peak`. Not `ru_maxrss`, in which Linux counts what the
    process that started this one held."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Let `peak` count anew (Linux)."""
    path = Path("/proc/self/clear_refs")
    if path.exists():
        path.write_text("5")


def _status(name: str) -> int | None:
    path = Path("/proc/self/status")
    if not path.is_file():
        return None
    return 1024 * int(re.search(rf"{name}:\s+(\d+)", path.read_text())[1])


def load_average() -> str:
    """How many processes wanted a core in the last minute, this one included."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def make_weights(case: Case, folder: str) -> None:
    """The hidden command `weights`."""
    logging.disable(logging.WARNING)  # open_clip warns of random weights, which are meant
    write_weights(case, Path(folder))


def walk_of(side: str, case: Case, weights: Path, output: Path) -> Callable[[], Begin]:
    """A function that builds one side's networks and gives its `begin`. What it imports is imported here."""
    logging.disable(logging.WARNING)
    if side == "ours":
        from .ours import Ours

        return lambda: Ours(case, weights).begin
    from . import reference

    reference.load()
    return lambda: reference.Reference(case, weights, output).begin


def measured_apart(side: str, case: Case, weights: Path, count: int) -> dict:
    """`peak_of` one side in a process of its own."""
    return json.loads(child("alone", case, "--side", side, "--weights", str(weights), "--count", str(count)))


def measure_alone(side: str, case: Case, weights: str, count: int) -> str:
    """The hidden command `alone`: JSON of `peak_of` one side, nothing else having run in this process."""
    with tempfile.TemporaryDirectory() as output:
        build = walk_of(side, case, Path(weights), Path(output))
        with contextlib.redirect_stdout(sys.stderr):  # the reference prints
            return json.dumps(peak_of(build, case.device, count))
