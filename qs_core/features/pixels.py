"""Pixels as frozen networks want them, and what transformers make of them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Tokens(NamedTuple):
    """What a vision transformer's last block has of pictures: the keys (n, tokens, D) of its attention, heads side by
    side and the class token first, and the class token (n, D) after it, before the final norm."""

    keys: Tensor
    cls: Tensor


def standardise(pictures: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(n, 3, H, W) in [-1, 1] → (values in [0, 1] - mean) / std, channel by channel.

    By Python's numbers: as tensors these would be sent to the device each time, and the device be waited for.
    """
    channels = ((pictures + 1) / 2).unbind(1)
    return torch.stack([(c - m) / s for c, m, s in zip(channels, mean, std, strict=True)], dim=1)
