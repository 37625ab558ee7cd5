"""Pixels as frozen networks want them."""

from collections.abc import Sequence

import torch
from torch import Tensor


def standardise(pictures: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(n, 3, H, W) in [-1, 1] → (values in [0, 1] - mean) / std, channel by channel.

    By Python's numbers: as tensors these would be sent to the device each time, and the device be waited for.
    """
    channels = ((pictures + 1) / 2).unbind(1)
    return torch.stack([(c - m) / s for c, m, s in zip(channels, mean, std, strict=True)], dim=1)
