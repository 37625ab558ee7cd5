"""A trust region for guidance: how far one step may be bent, relative to the noise that it predicts.

Guidance adds √(1-ᾱ)·∇L to the predicted noise ε (Dhariwal & Nichol, algorithm 2). Where an inverted picture is plain,
the pull-back through the network multiplies that by tens, and the picture glitters. CLIP draws specks and cracks into
plain skies besides; there the gradient is smoothed.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, interpolate

from .colour import luminance
from .samplers import Guide, Guided
from .schedule import Schedule

SPIKE = 3.0  # times the mean pixel: how far one pixel may stand out
NEAR = 24  # a picture's short side, in windows of its local contrast
WIDE = 8  # the same, in windows over which guidance is smoothed where the picture is plain
REACH = 16  # pixels to either side, beyond which a filter is wide: at 256 px none is


@dataclass
class TrustRegion:
    """A guide whose gradient is held within a radius.

    `radius` bounds RMS(√(1-ᾱ)·∇L) / RMS(ε) of each picture; no pixel may stand out from the mean pixel more than
    SPIKE times. Stated so, it means the same at any size, number of steps, dtype and model. Smaller is calmer.
    `texture` (B, 1, H, W) in [0, 1] is the share of the gradient that stays as fine as it is; the rest is smoothed.
    """

    guide: Guide
    schedule: Schedule
    radius: float
    texture: Tensor | None = None

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
        if self.texture is not None:  # last, so that a plain picture is guided less, not more coarsely
            gradient = torch.lerp(local_mean(gradient, WIDE), gradient, self.texture.to(gradient))
        return guided._replace(gradient=gradient, ratio=ratio.flatten())


def without_spikes(gradient: Tensor, most: float = SPIKE) -> Tensor:
    """The gradient (B, C, H, W), each pixel's length `most` times that of the picture's mean pixel at the most."""
    length = gradient.square().sum(dim=1, keepdim=True).sqrt()
    limit = most * length.mean(dim=(2, 3), keepdim=True)
    return gradient * (limit / length.clamp(min=1e-30)).clamp(max=1)


def texture(pictures: Tensor, plain_below: float, height: int, width: int) -> Tensor:
    """(B, 1, height, width) in [0, 1): 0 where pictures (B, 3, H, W) are plain, 1/2 where their local contrast σ is
    `plain_below`: σ²/(σ² + plain_below²), as Lee's filter (1980) weighs a pixel against the mean around it.

    σ is the standard deviation of luminance, of pictures in [-1, 1]. Deviation: Lee takes it from what is smoothed, and
    here it is the source's.
    """
    light = luminance(pictures)
    variance = (local_mean(light.square(), NEAR) - local_mean(light, NEAR).square()).clamp(min=0)
    return adaptive_avg_pool2d(variance / (variance + plain_below**2), (height, width))


def local_mean(x: Tensor, windows: int) -> Tensor:
    """(B, C, H, W) smoothed by three box filters, each as wide as the short side holds so many of it.

    Where they are wide, that is done on a smaller copy, whose filters reach at least `REACH` pixels.
    """
    height, width = x.shape[-2:]
    reach = max(1, min(height, width) // windows // 2)
    factor = max(1, reach // REACH)
    small = adaptive_avg_pool2d(x, (height // factor, width // factor)) if factor > 1 else x
    for down, across in ((reach // factor, 0), (0, reach // factor)) * 3:
        small = avg_pool2d(small, (2 * down + 1, 2 * across + 1), 1, (down, across), count_include_pad=False)
    return interpolate(small, (height, width), mode="bilinear", align_corners=False) if factor > 1 else small


def rms(x: Tensor) -> Tensor:
    """(B, 1, 1, 1): the root of the mean square of each picture (B, C, H, W)."""
    return torch.linalg.vector_norm(x, dim=(1, 2, 3), keepdim=True) / math.sqrt(x[0].numel())
