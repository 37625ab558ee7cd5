"""Where each place of a frame was in the frame before: optical flow, and where it can be trusted."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, max_pool2d

from ..colour import luminance
from ..errors import InputError

DIFFERENT = 0.15  # in values of 0 to 1: a place that changed its luminance by more is another one


@dataclass(frozen=True)
class Motion:
    """`flow` (B, 2, H, W) leads from a place (y, x) of a frame to where it was in the frame before, in pixels.

    `known` (B, 1, H, W) is 1 where that is so, and 0 where the place was hidden, outside, or looked otherwise.
    """

    flow: Tensor
    known: Tensor


def motion(now: Tensor, before: Tensor) -> Motion:
    """The motion from frames `before` to frames `now`, both (B, 3, H, W) in [-1, 1].

    The flow is TV-L1 (Zach, Pock, Bischof 2007) of scikit-image on luminance. A place is known where the flow there and
    the flow back meet (Sundaram, Brox, Keutzer 2010), where it was inside of the picture, and where its luminance
    stayed within 0.15 of the range.
    Raises InputError where scikit-image is not installed.
    """
    grey = [luminance((frames.detach().float().cpu() + 1) / 2) for frames in (now, before)]
    to_before = _flow(*grey)
    to_now = _flow(*reversed(grey))
    known = _meet(to_before, to_now) & _inside(to_before)
    known &= (grey[0] - warped(grey[1], to_before)).abs() < DIFFERENT
    lost = max_pool2d(1 - known.float(), 3, 1, 1)
    return Motion(to_before, 1 - avg_pool2d(lost, 3, 1, 1, count_include_pad=False))


def warped(picture: Tensor, flow: Tensor) -> Tensor:
    """The picture (B, C, H, W) read where the flow (B, 2, H, W) leads, bicubic; beyond its edge the edge is read."""
    height, width = picture.shape[-2:]
    y, x = _places(flow)
    unit = torch.stack((2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1), -1)
    return grid_sample(picture, unit, mode="bicubic", padding_mode="border", align_corners=True)


def _flow(now: Tensor, before: Tensor) -> Tensor:
    try:
        from skimage.registration import optical_flow_tvl1
    except ImportError as error:
        raise InputError(
            f"Optical flow needs scikit-image ({error}). Run: pip install scikit-image; or set steady to 0."
        ) from error
    pairs = zip(now[:, 0].numpy(), before[:, 0].numpy(), strict=True)
    return torch.from_numpy(np.stack([optical_flow_tvl1(one, other) for one, other in pairs])).float()


def _places(flow: Tensor) -> tuple[Tensor, Tensor]:
    """(B, H, W) each: the y and x where the flow leads."""
    height, width = flow.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return y + flow[:, 0], x + flow[:, 1]


def _meet(there: Tensor, back: Tensor) -> Tensor:
    """Whether the way back ends where it began: |f + b|² < 0.01 (|f|² + |b|²) + 0.5, in pixels."""
    back = warped(back, there)
    apart, length = ((there + back).square().sum(1, True), (there.square() + back.square()).sum(1, True))
    return apart < 0.01 * length + 0.5


def _inside(flow: Tensor) -> Tensor:
    y, x = _places(flow)
    height, width = flow.shape[-2:]
    return ((y >= 0) & (y <= height - 1) & (x >= 0) & (x <= width - 1))[:, None]
