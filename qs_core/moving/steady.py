"""What holds a frame still in the walk: the result of the frame before, moved along with the picture."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..blend import at_size, step_share
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


def steadied(step: StepFunction, inversion: Inversion, before: Before | None, steady: float) -> StepFunction:
    """The step, then m·x + (1-m)·anchor, for the walk of one frame; the step itself for the first frame.

    The anchor of state i-1 is the source's own state there with the clean state of the result before, moved by the
    optical flow, in place of the source's. m is `step_share` of 1 - steady where the motion is known, and 1 elsewhere:
    `steady` 0 leaves each frame to itself, 1 takes over what was drawn before wherever it can be followed.
    """
    if before is None or not steady:
        return step
    model, clean = inversion.model, inversion.clean
    moved = motion(inversion.source, before.source)
    held = warped(before.drawn.float().cpu(), moved.flow).to(inversion.source)
    with torch.no_grad():
        offset = model.to_state(held) - clean
    free = at_size(1 - steady * moved.known, *clean.shape[-2:])
    share = step_share(free, inversion.start).to(clean)

    def mixed(schedule: Schedule, x_t: Tensor, prediction, gradient: Tensor | None, i: int, noise: Tensor | None):
        x = step(schedule, x_t, prediction, gradient, i, noise)
        clean_part = math.sqrt(float(schedule.alpha_bar[i - 1]) / float(schedule.alpha_bar[0]))
        return composite(x, source_at(inversion, i - 1) + clean_part * offset, share)

    return mixed
