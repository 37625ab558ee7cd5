"""Detail of the original: a photo's fine structure in a restyled picture that was drawn at a smaller size.

The finest band of the photo's Laplacian pyramid (Burt & Adelson 1983), what its small copy does not hold, is added to
the enlarged result. How strongly, the style says place by place: by the slopes of the guided filter with a guide of
colours (He, Sun & Tang 2010), fitted at the small size as in the fast guided filter (arXiv 1505.00996).
"""

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from .pictures import resize

RADIUS = 4  # pixels of the drawn picture around each, in which the slope is fitted
RIDGE = 0.02  # of [-1, 1], squared the ridge that draws the slope to 1 where the photo is flat
STEEPEST = 2.0


def add_detail(result: Tensor, drawn: Tensor, fitted: Tensor, original: Tensor, amount: float) -> Tensor:
    """`result` (B, 3, H, W), `drawn` (B, 3, h, w) at its size, with `amount` (0 … 1 or more) of the detail that
    `original` (B, 3, H, W) has beside `fitted` (B, 3, h, w), all in [-1, 1]. The result itself where sizes are equal.
    """
    size = original.shape[-2:]
    if not amount or tuple(drawn.shape[-2:]) == tuple(size):
        return result
    band, detailed = original - resize(fitted, size), []
    for channel, slope in zip(result.split(1, dim=1), _slopes(fitted, drawn), strict=True):
        slope = interpolate(slope, size, mode="bilinear", align_corners=False)
        detailed.append(channel + amount * (slope * band).sum(1, keepdim=True))
    return torch.cat(detailed, dim=1)


def _slopes(guide: Tensor, target: Tensor) -> list[Tensor]:
    """For each channel of the target the slope (B, 3, h, w) of its best fit by the guide's colours around each place:
    (Σ + ε)⁻¹(cov + ε·e), e the channel's own unit vector."""

    def mean(x: Tensor) -> Tensor:
        return avg_pool2d(x, 2 * RADIUS + 1, stride=1, padding=RADIUS, count_include_pad=False)

    def covariances(other: Tensor) -> Tensor:
        rows = [mean(one * other) - mean(one) * mean(other) for one in guide.split(1, dim=1)]
        return rearrange(torch.stack(rows), "g b t h w -> b h w g t")

    ridge = RIDGE**2 * torch.eye(3, device=guide.device)
    solved = torch.linalg.solve(covariances(guide) + ridge, covariances(target) + ridge)
    return [mean(its.clamp(-STEEPEST, STEEPEST)) for its in rearrange(solved, "b h w g t -> t b g h w")]
