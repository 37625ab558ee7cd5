"""The gain of a codec, by which guidance on latents gets the size that it has on pictures."""

from collections.abc import Callable

import torch
from torch import Tensor

from .trust_region import rms


def gain(to_picture: Callable[[Tensor], Tensor], clean: Tensor) -> Tensor:
    """(B, 1, 1, 1): RMS of the pull-back through `to_picture`, at each clean state, of unit noise on its picture.

    A loss's gradient is about so many times as large at a state (B, C, h, w) as at the picture. Divided by it, the
    losses' weights mean about the same for every codec. The noise is the same for every picture.
    """

    def one(state: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = state.detach().requires_grad_()
            picture = to_picture(leaf)
        noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0)).to(picture)
        return rms(torch.autograd.grad(picture, leaf, noise)[0])

    return torch.cat([one(state) for state in clean.split(1)])
