"""Random crop ∘ affine ∘ perspective as one homography per crop, and one `grid_sample` for all of them.

ZeCon's augmentation: RandomResizedCrop (share of the area, aspect 3/4 … 4/3), rotation up to 15°, vertical shift up to
10 %, perspective whose corners move inwards.

Deviation: corners move by up to 30 % of a side; at ZeCon's 35 % one can pass the line between its neighbours, which
folds the crop. Crops may lie partly beyond the border, mirrored, since the perspective pulls inwards. Rotation acts on
the crop before it is made square.
Deviation: the warped view fills the whole crop. ZeCon's warp leaves 58 % of a crop grey (zeros); here the output square
is mapped to the inner quadrilateral, so every sample is a place of the picture, mirrored at its border.
"""

import math
from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from .errors import InputError
from .randomness import Generators, send, uniform


@dataclass(frozen=True)
class Crops:
    """How crops are drawn: `number` per picture; `area` the range of their share of it, within (0, 1]."""

    number: int = 32
    area: tuple[float, float] = (0.01, 0.3)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    degrees: float = 15.0
    shift: float = 0.1
    distortion: float = 0.6
    flip: float = 0.0  # the share of crops that are mirrored; without perspective alone

    def __post_init__(self):
        low, high = self.area
        if not 0 < low <= high <= 1:
            raise InputError(f"Crop area {low}, {high}: give a range within 0 to 1, the smaller first (e.g. 0.05,0.3).")
        if self.number < 1:
            raise InputError(f"{self.number} crops: at least 1 is needed.")


def homographies(crops: Crops, height: int, width: int, generators: Generators) -> Tensor:
    """(B, n, 3, 3) float32 on the CPU: from the crop's square [-1, 1]² to the picture's [-1, 1]² (x right, y down)."""
    draws = uniform((crops.number, 14), generators)
    corners = _perspective_quads(crops.distortion, draws[..., 6:])  # (B, n, 4, 2) in the crop's own square
    if crops.flip:
        corners[..., 0] *= torch.where(draws[..., 6, None] < crops.flip, -1.0, 1.0)
    half, centre = _rectangles(crops, height, width, draws)
    angle = math.radians(crops.degrees) * (2 * draws[..., 4] - 1)
    centre[..., 1] += crops.shift * (2 * draws[..., 5] - 1) * half[..., 1] * 2
    offset = corners * half[..., None, :]  # pixels
    cos, sin = angle.cos()[..., None], angle.sin()[..., None]
    x, y = offset.unbind(-1)
    turned = torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1)
    size = torch.tensor([width, height], dtype=torch.float32)
    return _from_square(2 * (centre[..., None, :] + turned) / size - 1)


def _rectangles(crops: Crops, height: int, width: int, draws: Tensor) -> tuple[Tensor, Tensor]:
    """Half sides and centres, (B, n, 2) each, x first, in pixels."""
    low, high = crops.area
    area = height * width * (low + (high - low) * draws[..., 0])
    log_low, log_high = (math.log(r) for r in crops.ratio)
    ratio = torch.exp(log_low + (log_high - log_low) * draws[..., 1])
    sides = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=-1)
    size = torch.tensor([width, height], dtype=torch.float32)
    sides = torch.minimum(sides, size)
    # The perspective moves corners inwards by up to distortion/2 of a side; with this margin beyond the border, places
    # there are still seen about half as often as those in the middle.
    margin = crops.distortion / 2 * sides
    return sides / 2, sides / 2 - margin + (size - sides + 2 * margin) * draws[..., 2:4]


def _perspective_quads(distortion: float, draws: Tensor) -> Tensor:
    """(…, 8) draws → (…, 4, 2) corners of [-1, 1]², each coordinate moved inwards by up to distortion / 2 of a side."""
    square = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], dtype=torch.float32)
    return square * (1 - distortion * rearrange(draws, "... (c two) -> ... c two", two=2))


def _from_square(quad: Tensor) -> Tensor:
    """The homography (…, 3, 3) that takes the corners of [-1, 1]² to `quad` (…, 4, 2), in the same order."""
    source = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64)
    target = quad.double()
    zeros, ones = torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    x, y = source.unbind(-1)
    u, v = target[..., 0], target[..., 1]
    even = torch.stack([x, y, ones, zeros, zeros, zeros], -1).expand(*u.shape, 6)
    odd = torch.stack([zeros, zeros, zeros, x, y, ones], -1).expand(*u.shape, 6)
    rows_u = torch.cat([even, torch.stack([-u * x, -u * y], -1)], dim=-1)
    rows_v = torch.cat([odd, torch.stack([-v * x, -v * y], -1)], dim=-1)
    solved = torch.linalg.solve(torch.cat([rows_u, rows_v], dim=-2), torch.cat([u, v], dim=-1))
    full = torch.cat([solved, torch.ones_like(solved[..., :1])], dim=-1)
    return rearrange(full, "... (r c) -> ... r c", r=3).float()


def cut(pictures: Tensor, matrices: Tensor, size: int, area: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """(B, C, H, W) pictures, (B, n, 3, 3) homographies → (B·n, C, size, size), picture by picture.

    Where even the largest crop (`area[1]` of the picture) has over 1.5 times `size` pixels a side, the picture is first
    shrunk with an antialiasing filter, since bilinear sampling alone would alias.
    """
    pictures = _shrink(pictures, size, area[1])
    n = matrices.shape[1]
    axis = (torch.arange(size, device=pictures.device, dtype=torch.float32) * 2 + 1) / size - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    square = torch.stack([x, y, torch.ones_like(x)], dim=-1)  # (s, s, 3)
    mapped = torch.einsum("bnij,hwj->bnhwi", send(matrices, pictures.device), square)
    grid = rearrange(mapped[..., :2] / mapped[..., 2:], "b n h w two -> (b n) h w two")
    repeated = repeat(pictures, "b c h w -> (b n) c h w", n=n) if n > 1 else pictures
    return grid_sample(
        repeated, grid.to(pictures.dtype), mode="bilinear", padding_mode="reflection", align_corners=False
    )


def _shrink(pictures: Tensor, size: int, area: float) -> Tensor:
    height, width = pictures.shape[-2:]
    factor = math.sqrt(area * height * width) / size
    if factor <= 1.5:
        return pictures
    target = [max(1, round(side / factor)) for side in (height, width)]
    return interpolate(pictures, target, mode="bilinear", antialias=True, align_corners=False)
