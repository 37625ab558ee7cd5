"""A walk in ComfyUI: what it costs is said beforehand, and it stops soon after the user asks, also within a step."""

import logging
import math
import time
from collections.abc import Generator
from contextlib import nullcontext
from typing import TypeVar

from torch.utils._python_dispatch import TorchDispatchMode

from ..qs_core.host import Host
from ..qs_core.memory import Estimate, portions
from ..qs_core.stylizer import Progress

Result = TypeVar("Result")
SHORT = 0.5  # seconds of a step, below which to ask between steps is soon enough
WARM = 2  # steps after which a step's time is told: the first one has other work as well

log = logging.getLogger(__name__)


class Asking(TorchDispatchMode):
    """Within it the host may cancel between any two operations of torch, those of a backward pass included."""

    def __init__(self, host: Host):
        super().__init__()
        self.host = host

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.host.check_cancelled()
        return operation(*args, **(kwargs or {}))


def attentive(
    walk: Generator[Progress, None, Result], host: Host, what: str, size: tuple[int, int, int], estimate: Estimate
) -> Generator[Progress, None, Result]:
    """The same walk, over so many pictures of a height and width.

    The log has beforehand about how much memory those need that go together, as the estimate says, and after the first
    steps about how long all of it takes, from what these took. On the CPU the host may cancel between operations while
    steps are long, which costs about 13 µs an operation. Elsewhere operations are queued, and cannot be stopped there.
    """
    count, height, width = size
    asking, begun, took = host.device.type == "cpu", time.perf_counter(), []
    together = portions(count, estimate, host.free_memory(host.device), host.device)[0].stop
    said = (what, count, "s" * (count > 1), width, height, estimate(together) / 1e9)
    log.info("QS: %s: %d picture%s at %dx%d, about %.1f GB beside the weights.", *said)
    while True:
        with Asking(host) if asking else nullcontext():
            try:
                reached = next(walk)
            except StopIteration as end:
                return end.value
        now = time.perf_counter()
        took.append(now - begun)
        asking = host.device.type == "cpu" and took[-1] > SHORT
        if len(took) == min(WARM, reached.total):
            passes = math.ceil(count / (reached.rows.stop - reached.rows.start))
            told = spoken(took[-1] * reached.total * passes)
            step = f"{took[-1]:.0f}" if took[-1] >= 10 else f"{took[-1]:.2g}"
            log.info("QS: %s: %s s a step, about %s for all of it.", what, step, told)
        yield reached
        begun = time.perf_counter()


def spoken(seconds: float) -> str:
    """A duration in words."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
