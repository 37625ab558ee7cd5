"""What a mask and the strength dial come to: a map of how much of each pixel is restyled."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

from ..qs_core import pictures
from ..qs_core.pictures import Frame


@dataclass(frozen=True)
class Dial:
    """Strength times mask, 0 … 1: on the picture that came in (1 or B, 1, H, W), and as the U-Net sees it.

    Both are the strength itself where there is no mask.
    """

    picture: float | Tensor
    fitted: float | Tensor

    @property
    def nothing(self) -> bool:
        """Whether no pixel is to change."""
        return not bool(torch.as_tensor(self.picture).any())

    def part(self, rows: slice) -> "Dial":
        """That of some pictures of the batch."""
        single = not isinstance(self.picture, Tensor) or len(self.picture) == 1
        return self if single else Dial(self.picture[rows], self.fitted[rows])

    def coverage(self, frame: Frame, output_size: str) -> Tensor:
        """The result's share in the composition with the source as it comes out; it broadcasts to (B, 3, h, w)."""
        if isinstance(self.picture, Tensor):
            return pictures.coverage(frame.source(self.picture, self.fitted, output_size).clamp(0, 1))
        return pictures.coverage(self.picture)


def feathered(mask: Tensor, width: int) -> Tensor:
    """The mask (B, 1, H, W) rising from its edge inwards over so many pixels; what is 0 stays 0.

    The mean of the mask worn away by 0 … width-1 pixels, square and diamond in turn, then smoothed to start and end
    flat. Thin parts keep a share. The picture's border is no edge.
    """
    if not width:
        return mask
    worn, total = mask, torch.zeros_like(mask)
    for step in range(width):
        total += worn
        worn = _worn(worn, square=step % 2 == 0)
    ramp = total / width
    return ramp * ramp * (3 - 2 * ramp)


def _worn(mask: Tensor, square: bool) -> Tensor:
    """Each place's least value within one pixel; in a diamond, without the corners."""
    if square:
        return -max_pool2d(-mask, 3, stride=1, padding=1)  # padded by minus infinity, which no maximum takes
    wide = pad(mask, [1, 1, 1, 1], mode="replicate")
    sides = [wide[..., 1:-1, :-2], wide[..., 1:-1, 2:], wide[..., :-2, 1:-1], wide[..., 2:, 1:-1]]
    return torch.stack([mask, *sides]).amin(0)
