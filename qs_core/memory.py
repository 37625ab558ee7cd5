"""What a walk does where memory runs short: it keeps fewer activations, then walks fewer pictures together.

The pictures stay the same but for rounding. How much memory is needed is estimated before; where the estimate fails,
torch's error starts the next, thriftier attempt.
"""

import gc
import logging
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from .errors import MemoryShortage
from .host import LOCAL, Host

BATCH = 4  # pictures that are walked together where nothing tells how much memory is free
Item = TypeVar("Item")
Estimate = Callable[[int], int]  # bytes that so many pictures need beside the weights

log = logging.getLogger(__name__)


@dataclass
class MemoryPolicy:
    """How a walk reduces memory, level by level as it runs short; a level is kept for the steps that follow.

    Level 0: nothing is reduced. Level 1: CLIP holds the activations of `chunk` crops at a time, half as many at each
    new shortage, down to one; their gradients add up, and nothing is computed twice. Level 2: gradient checkpointing of
    the U-Net's blocks. It comes at once where memory runs out in the U-Net, or in a loss without crops.
    """

    host: Host = LOCAL
    chunk: int | None = None
    checkpointing: bool = False

    @property
    def level(self) -> int:
        """0, 1 or 2."""
        return 2 if self.checkpointing else int(self.chunk is not None)

    def tighten(self, crops: int) -> bool:
        """Reduce memory by one level; False when none is left. `crops` is how many of a picture the loss holds at a
        time in which memory ran out, 1 for the U-Net and for a loss without crops."""
        chunk = min(self.chunk or crops, crops)
        if chunk > 1:
            self.chunk = chunk // 2
        elif not self.checkpointing:
            self.checkpointing = True
        else:
            return False
        return True

    def describe(self) -> str:
        """What was reduced, in words."""
        crops = self.chunk and f"CLIP held {self.chunk} crop{'s' * (self.chunk > 1)} at a time"
        blocks = self.checkpointing and "the U-Net's blocks were computed again"
        return " and ".join(part for part in (crops, blocks) if part) or "nothing was spared"


def shortage(batch: int, height: int, width: int, policy: MemoryPolicy, said: str) -> MemoryShortage:
    """The error to raise where memory ran out for so many pictures of a size, as torch `said`."""
    return MemoryShortage(
        f"Out of memory at {width}x{height}, batch {batch}, though {policy.describe()} "
        f"({said.strip().partition(chr(10))[0]}). Use a smaller size, a smaller batch, fewer crops, dtype bfloat16 "
        "or a smaller CLIP, or end what else uses the device."
    )


def portions(count: int, estimate: Estimate, free: int | None, device: torch.device) -> list[slice]:
    """`count` pictures in as few passes as the free bytes allow; a few at a time where nobody knows what is free.

    A tenth is left free; on the CPU, where memory is everybody's and running out ends the program, half.
    """
    if free is None:
        return [slice(k, min(k + BATCH, count)) for k in range(0, count, BATCH)]
    share = 0.5 if device.type == "cpu" else 0.9
    most = next((n for n in range(count, 1, -1) if estimate(n) <= share * free), 1)
    passes = math.ceil(count / most)
    return [slice(k * count // passes, (k + 1) * count // passes) for k in range(passes)]


def in_portions(
    shape: tuple[int, int, int],
    estimate: Estimate,
    device: torch.device,
    walk: Callable[[slice, MemoryPolicy], Iterator[Item]],
    policy: Callable[[], MemoryPolicy] = MemoryPolicy,
    singly: bool = False,
) -> Iterator[Item]:
    """What walk(rows, policy) yields for portions of pictures of `shape` (batch, height, width), in order.

    Where memory runs short in a portion at the policy's last level, that one and those that wait go in halves, and the
    portion begins anew: a consumer must let its later items take the place of the earlier ones. The host may cancel
    after each item. `singly`: each picture is a portion of its own. Raises MemoryShortage where memory runs short for
    one picture.
    """
    count, *size = shape
    its, halved = policy(), False
    host, waiting = its.host, portions(count, estimate, its.host.free_memory(device), device)
    if singly:
        waiting = [slice(k, k + 1) for k in range(count)]
    while waiting:
        rows = waiting[0]
        failure = yield from _guarded(walk, rows, its, size)
        if failure is None:
            waiting.pop(0)
            continue
        if rows.stop - rows.start == 1:
            raise failure
        # Out here the error is gone, and with its traceback all that the portion held.
        gc.collect()
        host.check_cancelled()
        host.release()
        waiting, its, halved = [half for part in waiting for half in _halves(part)], policy(), True
    if halved or its.level > policy().level:
        spared = ["fewer pictures were walked together"] * halved + [its.describe()] * bool(its.level)
        log.warning("QS: memory ran short, and %s. It took longer; the picture is the same.", " and ".join(spared))


def _guarded(
    walk: Callable[[slice, MemoryPolicy], Iterator[Item]], rows: slice, policy: MemoryPolicy, size: Sequence[int]
) -> Generator[Item, None, MemoryShortage | None]:
    """Yield what the walk yields. Returns the error where memory ran short, without what it held; else None."""
    try:
        for item in walk(rows, policy):
            policy.host.check_cancelled()
            yield item
    except MemoryShortage as error:
        return error.with_traceback(None)
    except Exception as error:
        if not policy.host.is_shortage(error):
            raise
        return shortage(rows.stop - rows.start, *size, policy, str(error))
    return None


def _halves(rows: slice) -> list[slice]:
    middle = (rows.start + rows.stop) // 2
    return [part for part in (slice(rows.start, middle), slice(middle, rows.stop)) if part.start < part.stop]
