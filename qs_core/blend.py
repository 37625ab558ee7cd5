"""The blend map, strength · mask: how much of each pixel is restyled, in the walk and in the result.

Strength 0, or black in the mask, gives the very source.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from . import pictures
from .errors import InputError
from .pictures import Frame


@dataclass(frozen=True)
class BlendMap:
    """Strength · mask in [0, 1]: on the original picture (1 or B, 1, H, W), and fitted as the network sees it.

    Both are the strength itself where there is no mask.
    """

    picture: float | Tensor
    fitted: float | Tensor

    @property
    def is_zero(self) -> bool:
        """Whether no pixel is to change."""
        return not bool(torch.as_tensor(self.picture).any())

    def part(self, rows: slice) -> "BlendMap":
        """That of some pictures of the batch."""
        single = not isinstance(self.picture, Tensor) or len(self.picture) == 1
        return self if single else BlendMap(self.picture[rows], self.fitted[rows])

    def shown(self, frame: Frame, output_size: str) -> float | Tensor:
        """The map at the result's size."""
        if not isinstance(self.picture, Tensor):
            return self.picture
        return frame.source(self.picture, self.fitted, output_size).clamp(0, 1)

    def coverage(self, frame: Frame, output_size: str) -> Tensor:
        """The result's share in the composition with the source; it broadcasts to (B, 3, h, w)."""
        return pictures.coverage(self.shown(frame, output_size))


def step_share(blend: float | Tensor, steps: int) -> Tensor:
    """The share m of each of the walk's N steps that a blend map s lets pass, elementwise, float32 on the CPU:

    Σ_{k=1…N} m^k = s·N. The change made k steps before the end is mixed k times and m^k of it stays, so that s is the
    share of the whole change, were it even over the steps. m(0) = 0 and m(1) = 1 exactly.
    """
    share = np.linspace(0, 1, 2**16 + 1)
    total = np.zeros_like(share)
    for _ in range(steps):
        total = share * (1 + total)
    blend = torch.as_tensor(blend, dtype=torch.float64).cpu()
    return torch.as_tensor(np.interp(blend.numpy(), total / steps, share), dtype=torch.float32)


def check(strength: float | Tensor, source: Tensor) -> None:
    """Raises InputError for a blend map outside 0 to 1, NaN, or not of the source's batch and size."""
    batch, _, height, width = source.shape
    shapes = [(1, 1, height, width), (batch, 1, height, width)]
    if isinstance(strength, Tensor) and tuple(strength.shape) not in shapes:
        raise InputError(f"The strength map has shape {tuple(strength.shape)}; the walk needs {shapes[-1]} or one row.")
    low, high = (float(end) for end in torch.as_tensor(strength).aminmax())
    if not 0 <= low <= high <= 1:  # false for NaN as well
        raise InputError(f"Strength from {low:g} to {high:g}: 0 (the source) to 1 (the full style) is needed.")


def at_size(strength: float | Tensor, height: int, width: int) -> float | Tensor:
    """The map averaged over the areas of a state's places; itself where states have the pictures' size."""
    if not isinstance(strength, Tensor) or strength.shape[-2:] == (height, width):
        return strength
    return interpolate(strength.float(), (height, width), mode="area")
