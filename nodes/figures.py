"""Drawing: pictures in a labelled grid, and two pictures as before and after."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn.functional import interpolate

from ..qs_core.errors import InputError
from .lettering import BACKGROUND, INK, OVERSAMPLE, PAPER, PAPER_INK, lettered, one_line, wrap

THEMES = {"dark": (BACKGROUND, INK), "light": (PAPER, PAPER_INK)}
LEGIBLE = 256  # pixels of a cell's short side, below which labels hardly fit
SHORTEST = 32  # pixels of a cell's short side, to which a grid that is too large shrinks at most
LARGEST = 16384  # pixels a side that a drawing may have
LARGEST_AREA = 64_000_000  # pixels in all: 0.8 GB as an IMAGE, and twice that while it is put together
LAYOUTS = ("side_by_side", "split", "stacked")


@dataclass(frozen=True)
class Cell:
    """One picture (H, W, 3) in [0, 1] of a grid and what stands above it; without a picture it stays empty."""

    picture: Tensor | None
    label: str = ""


@dataclass(frozen=True)
class Look:
    """How a grid looks: the short side of its pictures (0: the largest's, at least LEGIBLE), gap, theme."""

    size: int = 0
    gap: int = 8
    theme: str = "dark"


def resize(picture: Tensor, height: int, width: int) -> Tensor:
    """(H, W, 3) in [0, 1] at another size; the very same where the size is the same."""
    if tuple(picture.shape[:2]) == (height, width):
        return picture
    flat = rearrange(picture, "h w c -> 1 c h w")
    resized = interpolate(flat, (height, width), mode="bicubic", antialias=True, align_corners=False)
    return rearrange(resized, "1 c h w -> h w c").clamp(0, 1)


# ------------------------------------------------------------------------------------------------- the grid


def grid(rows: Sequence[Sequence[Cell]], look: Look) -> Tensor:
    """(H, W, 3) in [0, 1]: all pictures at the same short side, aspect kept, columns and rows as wide as they need.

    Raises InputError for a grid too large to draw, before anything is.
    """
    short = look.size or max(
        [LEGIBLE, *(min(c.picture.shape[:2]) for row in rows for c in row if c.picture is not None)]
    )
    plan = _planned(rows, short, look.gap)
    while plan.too_large and not look.size and short > SHORTEST:
        short = max(SHORTEST, short * 31 // 32)
        plan = _planned(rows, short, look.gap)
    if plan.too_large:
        raise InputError(
            f"A grid of {len(rows)} rows and {len(plan.widths)} columns would be {plan.total}x{plan.tall}; at most "
            f"{LARGEST} pixels a side and {LARGEST_AREA // 10**6} million in all are drawn. Lower size, or give fewer "
            "pictures."
        )
    sizes, widths, total = plan.sizes, plan.widths, plan.total
    bands = [_band(row, its, widths, look) for row, its in zip(rows, sizes, strict=True)]
    return torch.cat([*bands, _fill(look.gap, total, look)])


@dataclass(frozen=True)
class _Plan:
    """The sizes (height, width) of a grid's pictures, its columns' widths, and its own width and height."""

    sizes: list[list[tuple[int, int]]]
    widths: list[int]
    total: int
    tall: int

    @property
    def too_large(self) -> bool:
        return max(self.tall, self.total) > LARGEST or self.tall * self.total > LARGEST_AREA


def _planned(rows: Sequence[Sequence[Cell]], short: int, gap: int) -> _Plan:
    sizes = [[_scaled(cell, short) for cell in row] for row in rows]
    across = max(len(row) for row in rows)
    widths = [max(row[k][1] for row in sizes if k < len(row)) for k in range(across)]
    heights = [max(height for height, _ in row) for row in sizes]
    return _Plan(sizes, widths, sum(widths) + (across + 1) * gap, sum(heights) + (len(rows) + 1) * gap)


def _scaled(cell: Cell, short: int) -> tuple[int, int]:
    """Height and width of the cell's picture once its short side is at `short`; 0 without one."""
    if cell.picture is None:
        return 0, 0
    height, width = cell.picture.shape[:2]
    scale = short / min(height, width)
    return round(height * scale), round(width * scale)


def _band(row: Sequence[Cell], sizes: Sequence[tuple[int, int]], widths: Sequence[int], look: Look) -> Tensor:
    """One row of the grid, its pictures at the given sizes, with its labels above."""
    lefts = [look.gap + sum(widths[:k]) + k * look.gap for k in range(len(widths))]
    total = lefts[-1] + widths[-1] + look.gap
    pictures = _fill(max(height for height, _ in sizes), total, look)
    for cell, (h, w), left, width in zip(row, sizes, lefts, widths, strict=False):  # the last row may be short
        if cell.picture is not None:
            start = left + (width - w) // 2
            pictures[:h, start : start + w] = resize(cell.picture, h, w)
    return torch.cat([_labels([cell.label for cell in row], lefts, widths, total, look), pictures])


def _labels(texts: Sequence[str], lefts: Sequence[int], widths: Sequence[int], total: int, look: Look) -> Tensor:
    """The strip above a row: each text centred over its column, its last line next to the picture."""
    unit = max(14, round(min(widths) / 15))
    drawable, line = [lettered(text, unit) for text in texts], round(unit * 1.3)
    wrapped = [wrap(text, face, width) for (text, face), width in zip(drawable, widths, strict=False)]
    most = max(map(len, wrapped))
    paper, ink = THEMES[look.theme]
    strip = Image.new("RGB", (total, look.gap + (most * line + unit // 3 if most else 0)), paper)
    pen = ImageDraw.Draw(strip)
    for lines, (_, face), left, width in zip(wrapped, drawable, lefts, widths, strict=False):
        for k, text in enumerate(lines):
            x, y = left + (width - face.getlength(text)) / 2, look.gap + (most - len(lines) + k) * line
            pen.text((x, y), text, ink, face)
    return _tensor(strip)


def _fill(height: int, width: int, look: Look) -> Tensor:
    return (torch.tensor(THEMES[look.theme][0], dtype=torch.float32) / 255).repeat(height, width, 1)


def _tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255)


# ----------------------------------------------------------------------------------------- before and after


def agree(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Two pictures (H, W, 3) at one size: the middle of `before` in the shape of `after`, the smaller enlarged."""
    h, w = after.shape[:2]
    shape = min(before.shape[0] / h, before.shape[1] / w)
    cut = [min(side, round(shape * wished)) for side, wished in zip(before.shape[:2], (h, w), strict=True)]
    # A pixel of rounding is no other shape: it is squeezed rather than cut.
    height, width = (side if side - its <= 1 else its for side, its in zip(before.shape[:2], cut, strict=True))
    top, left = (before.shape[0] - height) // 2, (before.shape[1] - width) // 2
    before = before[top : top + height, left : left + width]
    size = before.shape[:2] if height * width > h * w else (h, w)
    return resize(before, *size), resize(after, *size)


def before_after(before: Tensor, after: Tensor, layout: str, position: float, labels: tuple[str, str]) -> Tensor:
    """(H, W, 3) in [0, 1] of two pictures of one size; `position` is the split's place from the left, 0 … 1."""
    height, width = before.shape[:2]
    unit = max(14, round(min(height, width) / 18))
    if layout == "split":
        cut = round(position * width)
        drawn = torch.cat([before[:, :cut], after[:, cut:]], dim=1)
        drawn = _with_divider(drawn, cut, unit) if 0 < position < 1 else drawn
        areas = [(0, 0, cut), (0, cut, width)]
    else:
        dim = 0 if layout == "stacked" else 1
        line = torch.ones_like(before[: max(2, unit // 6)] if dim == 0 else before[:, : max(2, unit // 6)])
        drawn = torch.cat([before, line, after], dim=dim)
        down, right = (height + line.shape[0], 0) if dim == 0 else (0, width + line.shape[1])
        areas = [(0, 0, width), (down, right, right + width)]
    for label, (top, left, right), to_right in zip(labels, areas, (False, layout != "stacked"), strict=True):
        drawn = _with_tag(drawn, label, (top, left, top + height, right), to_right, unit)
    return drawn


def _with_divider(picture: Tensor, x: int, unit: int) -> Tensor:
    """A white line, and a round handle with two arrows in its middle."""
    height, width = picture.shape[:2]
    thick, r, s = max(2, unit / 7), min(unit * 0.95, height / 6, width / 6), OVERSAMPLE
    left, right = max(0, math.floor(x - r - 2)), min(width, math.ceil(x + r + 2))
    part = Image.new("RGBA", ((right - left) * s, height * s), (255, 255, 255, 0))
    pen, middle, y = ImageDraw.Draw(part), (x - left) * s, height / 2 * s
    pen.rectangle([middle - thick * s / 2, 0, middle + thick * s / 2 - 1, height * s], fill=(255, 255, 255, 255))
    pen.ellipse([middle - r * s, y - r * s, middle + r * s, y + r * s], fill=(255, 255, 255, 255))
    for side in (-1, 1):
        tip, base, half = middle + side * r * 0.68 * s, middle + side * r * 0.24 * s, r * 0.36 * s
        pen.polygon([(tip, y), (base, y - half), (base, y + half)], fill=(40, 40, 44, 255))
    return _over(picture, part, left, 0)


def _with_tag(picture: Tensor, label: str, area: tuple[int, int, int, int], to_right: bool, unit: int) -> Tensor:
    """The label on a dark plate in an upper corner of its area (top, left, bottom, right), if it fits in there."""
    s = OVERSAMPLE
    label, face = lettered(label, unit * s)
    margin, inner, tall = round(unit * 0.6), round(unit * 0.5), round(unit * 1.7)
    top, left, bottom, right = area
    text = one_line(label, face, (right - left - 2 * margin - 2 * inner) * s)
    if not text or bottom - top < tall + 2 * margin:
        return picture
    wide = math.ceil(face.getlength(text) / s) + 2 * inner
    plate = Image.new("RGBA", (wide * s, tall * s), (*BACKGROUND, 0))
    pen = ImageDraw.Draw(plate)
    pen.rounded_rectangle([0, 0, plate.width - 1, plate.height - 1], unit * 0.4 * s, fill=(*BACKGROUND, 190))
    pen.text((inner * s, unit * 0.25 * s), text, (*INK, 255), face)
    return _over(picture, plate, right - wide - margin if to_right else left + margin, top + margin)


def _over(picture: Tensor, drawing: Image.Image, left: int, top: int) -> Tensor:
    """The picture with an oversampled RGBA drawing on it, cut at the picture's border."""
    small = drawing.resize([side // OVERSAMPLE for side in drawing.size], Image.Resampling.BOX)
    rgba = _tensor(small)[: picture.shape[0] - top, : picture.shape[1] - left]
    height, width = rgba.shape[:2]
    result = picture.clone()
    place = result[top : top + height, left : left + width]
    place += (rgba[..., :3] - place) * rgba[..., 3:]
    return result
