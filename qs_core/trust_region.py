"""A trust region for guidance: how far one step may be bent, relative to the noise that it predicts.

Guidance adds √(1-ᾱ)·∇L to the predicted noise ε (Dhariwal & Nichol, algorithm 2). Where an inverted picture is plain,
the pull-back through the network multiplies that by tens, and the picture glitters.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .samplers import Guide, Guided
from .schedule import Schedule

SPIKE = 3.0  # times the mean pixel: how far one pixel may stand out


@dataclass
class TrustRegion:
    """A guide whose gradient is held within a radius.

    `radius` bounds RMS(√(1-ᾱ)·∇L) / RMS(ε) of each picture; no pixel may stand out from the mean pixel more than
    SPIKE times. Stated so, it means the same at any size, number of steps, dtype and model. Smaller is calmer.
    """

    guide: Guide
    schedule: Schedule
    radius: float

    def __call__(self, x_t: Tensor, i: int) -> Guided:
        """The guide's evaluation at state i, with `ratio` as it was before the bounds."""
        guided = self.guide(x_t, i)
        if guided.gradient is None:
            return guided
        shift = math.sqrt(1 - float(self.schedule.alpha_bar[i]))
        noise = rms(guided.prediction.eps)
        ratio = shift * rms(guided.gradient) / noise
        gradient = without_spikes(guided.gradient)
        reach = shift * rms(gradient) / noise
        gradient = gradient * (self.radius / reach.clamp(min=1e-12)).clamp(max=1)
        return guided._replace(gradient=gradient, ratio=ratio.flatten())


def without_spikes(gradient: Tensor, most: float = SPIKE) -> Tensor:
    """The gradient (B, C, H, W), each pixel's length `most` times that of the picture's mean pixel at the most."""
    length = gradient.square().sum(dim=1, keepdim=True).sqrt()
    limit = most * length.mean(dim=(2, 3), keepdim=True)
    return gradient * (limit / length.clamp(min=1e-30)).clamp(max=1)


def rms(x: Tensor) -> Tensor:
    """(B, 1, 1, 1): the root of the mean square of each picture (B, C, H, W)."""
    return torch.linalg.vector_norm(x, dim=(1, 2, 3), keepdim=True) / math.sqrt(x[0].numel())
