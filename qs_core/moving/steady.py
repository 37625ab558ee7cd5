"""What holds a frame still in the walk: the result of the frame before, moved along with the picture."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..blend import at_size, step_share
from ..errors import InputError
from ..pictures import composite
from ..samplers import StepFunction
from ..schedule import Schedule
from ..transfer import Inversion, source_at
from .flow import motion, warped

STEADY = 0.95  # of a video, unless another is given


@dataclass(frozen=True)
class Before:
    """The frame before, both (1, 3, H, W) in about [-1, 1] at the network's size: as it was, and as it was drawn."""

    source: Tensor
    drawn: Tensor


def of_size(before: Before | None, source: Tensor) -> Before | None:
    """The frame before, where it has the size of a source."""
    return before if before and before.source.shape[-2:] == source.shape[-2:] else None


def require_steady(steady: float) -> None:
    """Raises InputError for a number outside 0 to 1, and NaN."""
    if not 0 <= steady <= 1:  # false for NaN as well
        raise InputError(f"steady {steady}: 0 (each frame by itself) to 1 (as still as it gets) is needed.")


def steadied(
    step: StepFunction, inversion: Inversion, before: Before | None, steady: float, last: int = 1
) -> StepFunction:
    """The step, then m·x + (1-m)·anchor, for the walk of one frame; the step itself for the first frame.

    The anchor of state i-1 is the source's own state there with the clean state of the result before, moved by the
    optical flow, in place of the source's. m is `step_share` of 1 - steady where the motion is known, and 1 elsewhere:
    `steady` 0 leaves each frame to itself, 1 takes over what was drawn before wherever it can be followed. `last` is
    that of `sample`; what its 0 reaches, the picture behind state 0, has the anchor of state 0.
    """
    if before is None or not steady:
        return step
    model, clean = inversion.model, inversion.clean
    moved = motion(inversion.source, before.source)
    held = warped(before.drawn.float().cpu(), moved.flow).to(inversion.source)
    with torch.no_grad():
        offset = model.to_state(held) - clean
    free = at_size(1 - steady * moved.known, *clean.shape[-2:])
    share = step_share(free, inversion.start + 1 - last).to(clean)

    def mixed(schedule: Schedule, x_t: Tensor, prediction, gradient: Tensor | None, i: int, noise: Tensor | None):
        x = step(schedule, x_t, prediction, gradient, i, noise)
        reached = max(i - 1, 0)
        clean_part = math.sqrt(float(schedule.alpha_bar[reached]) / float(schedule.alpha_bar[0]))
        return composite(x, source_at(inversion, reached) + clean_part * offset, share)

    return mixed
