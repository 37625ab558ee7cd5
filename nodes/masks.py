"""The soft edge of a mask."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d, pad

from .host import HOST

CELLS = 32  # across a feathered edge, so finely is it measured at least


def feathered(mask: Tensor, width: int) -> Tensor:
    """The mask (B, 1, H, W) times a ramp that rises over so many pixels from where the mask is 0; what is even stays so
    away from there.

    The ramp is smoothed to start and end flat. Thin parts keep a share. The picture's border is no edge.
    """
    if not width:
        return mask
    ramp = _depth(mask > 0, width).clamp(1, width) / width
    return mask * (ramp * ramp * (3 - 2 * ramp))


def _depth(inside: Tensor, most: int) -> Tensor:
    """Pixels from each place (B, 1, H, W) to the nearest that is not inside, exact below `most`, and at least so there.

    Wide ramps are measured on a shrunk copy, whose cells are inside where all of their pixels are: between CELLS and
    twice as many across a ramp, whatever its width.
    """
    cell = max(1, most // CELLS)
    height, width = inside.shape[-2:]
    if cell > 1:
        inside = -max_pool2d(-inside.float(), cell, ceil_mode=True) > 0
    reach = -(-most // cell) + 1
    along = _along_row(inside, reach)
    squared = along**2
    padded = pad(squared, [0, 0, reach, reach], value=2.0 * reach**2)
    for shift in range(1, reach):
        HOST.check_cancelled()
        for start in (reach - shift, reach + shift):
            torch.minimum(squared, padded[..., start : start + inside.shape[-2], :] + shift**2, out=squared)
    depth = squared.sqrt()
    if cell == 1:
        return depth
    # From a cell's middle to the next cell's edge it is half a cell less.
    whole = interpolate((depth - 0.5) * cell, scale_factor=cell, mode="bilinear", align_corners=False)
    return whole[..., :height, :width]


def _along_row(inside: Tensor, most: int) -> Tensor:
    """Each place's distance (B, 1, H, W) to the nearest of its row that is not inside, at most `most`."""
    places = torch.arange(inside.shape[-1], dtype=torch.float32)
    left, right = (
        places - torch.where(side, -float(most), places).cummax(-1).values for side in (inside, inside.flip(-1))
    )
    return torch.minimum(left, right.flip(-1)).clamp(max=most)
