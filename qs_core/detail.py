"""Detail of the original: a photo's fine structure in a restyled picture that was drawn at a smaller size.

The finest band of the photo's Laplacian pyramid (Burt & Adelson 1983), what its small copy does not hold, is added to
the enlarged result. How strongly, each colour says place by place: by the slope of the guided filter (He, Sun & Tang
2010), fitted at the small size as in the fast guided filter (arXiv 1505.00996). So detail has the style's contrast.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from .pictures import resize

RADIUS = 4  # pixels of the drawn picture around each, in which the slope is fitted
RIDGE = 0.02  # of [-1, 1], squared the ridge that draws the slope to 1 where the photo is flat
STEEPEST = 2.0
LUMA = (0.299, 0.587, 0.114)  # Rec. 601


def add_detail(result: Tensor, drawn: Tensor, fitted: Tensor, original: Tensor, amount: float) -> Tensor:
    """`result` (B, 3, H, W), `drawn` (B, 3, h, w) at its size, with `amount` (0 … 1 or more) of the detail that
    `original` (B, 3, H, W) has beside `fitted` (B, 3, h, w), all in [-1, 1]. The result itself where sizes are equal.
    """
    size = original.shape[-2:]
    if not amount or tuple(drawn.shape[-2:]) == tuple(size):
        return result
    band = _luma(original) - resize(_luma(fitted), size)
    slope = interpolate(_slope(_luma(fitted), drawn), size, mode="bilinear", align_corners=False)
    return result + amount * slope * band


def _slope(guide: Tensor, target: Tensor) -> Tensor:
    """(B, 3, h, w) of the best fit target ≈ slope·guide + offset around each place: (cov + ε) / (var + ε)."""

    def mean(x: Tensor) -> Tensor:
        return avg_pool2d(x, 2 * RADIUS + 1, stride=1, padding=RADIUS, count_include_pad=False)

    centre, ridge = mean(guide), RIDGE**2
    covariance = mean(guide * target) - centre * mean(target)
    variance = mean(guide * guide) - centre * centre
    return mean(((covariance + ridge) / (variance + ridge)).clamp(-STEEPEST, STEEPEST))


def _luma(picture: Tensor) -> Tensor:
    """(B, 1, H, W)"""
    weights = torch.tensor(LUMA, dtype=picture.dtype, device=picture.device)
    return (picture * weights[:, None, None]).sum(1, keepdim=True)
