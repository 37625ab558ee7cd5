"""Drawing: an entropy map over its picture, the anchors as dots, and a legend below."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn.functional import interpolate

from ..qs_core import pictures
from ..qs_core.colour import luminance
from .lettering import BACKGROUND, FAINT, INK, OVERSAMPLE, font

# Matplotlib's "plasma" (CC0, by N. Smith and S. van der Walt) at even distances, dark to bright.
PLASMA = (
    (13, 8, 135),
    (65, 4, 157),
    (106, 0, 168),
    (143, 13, 164),
    (177, 42, 144),
    (204, 71, 120),
    (225, 100, 98),
    (242, 132, 75),
    (252, 166, 54),
    (252, 206, 37),
    (240, 249, 33),
)


@dataclass(frozen=True)
class Heat:
    """One layer on one picture: entropies (h, w) in nats, anchors' positions (N,) row-major, how they were chosen, and
    how many places global attention is over: those of the map, or of a window of it."""

    entropy: Tensor
    positions: Tensor
    kind: str
    places: int

    @property
    def focus(self) -> Tensor:
        """(h, w) by rank, 1 at the lowest entropy: entropies bunch, and equal steps would show little."""
        order = self.entropy.flatten().argsort(descending=True)
        rank = torch.empty(len(order))
        rank[order] = torch.linspace(0, 1, len(order))
        return rank.view_as(self.entropy)

    @property
    def most(self) -> float:
        """The entropy in nats of attention that is equal everywhere, in the map or in the 7x7 window."""
        return math.log(self.places if self.kind == "global" else 49)


def draw(picture: Tensor, heat: Heat, frame: pictures.Frame, short_side: int) -> Tensor:
    """(3, H, W) in [-1, 1]: the fitted picture (3, h, w) under its heat map, padding cut off, with a legend.

    Bright is low entropy: attention that knows where to look. Dots are the anchors.
    """
    scale = short_side / min(frame.height, frame.width)
    canvas = _overlay(picture, heat, frame, scale)
    dots, hidden = _dots(picture, heat, frame, scale)
    canvas = _with_dots(canvas, dots, _radius(picture, heat, scale))
    return pictures.from_image(_with_legend(canvas, heat, hidden))


def _overlay(picture: Tensor, heat: Heat, frame: pictures.Frame, scale: float) -> Image.Image:
    """Colour from the entropy, brightness from both it and the picture."""
    smooth = interpolate(heat.focus[None, None], picture.shape[-2:], mode="bilinear", align_corners=False)
    size = (round(frame.height * scale), round(frame.width * scale))
    focus, grey = (_enlarge(frame.restore(x), size)[0] for x in (smooth, _grey(picture)[None]))
    lit = _colour(focus[0]) * (0.4 + 0.6 * grey)
    return pictures.to_image((0.7 * lit + 0.3 * grey) * 2 - 1)


def _grey(picture: Tensor) -> Tensor:
    """(3, H, W) in [-1, 1] → (1, H, W) in [0, 1], stretched to the whole range."""
    grey = luminance(picture)
    low, high = _quantiles(grey, (0.01, 0.99))
    return ((grey - low) / max(high - low, 1e-3)).clamp(0, 1)


def _quantiles(values: Tensor, shares: Sequence[float]) -> list[float]:
    """Of so many values as there are; torch's own takes 16 million at most."""
    return np.quantile(values.numpy(), shares).tolist()


def _enlarge(x: Tensor, size: tuple[int, int]) -> Tensor:
    return interpolate(x, size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)


def _colour(values: Tensor) -> Tensor:
    """(H, W) in [0, 1] → (3, H, W) in [0, 1]."""
    table = torch.tensor(PLASMA, dtype=torch.float32) / 255
    place = values * (len(table) - 1)
    lower = place.floor().long().clamp(max=len(table) - 2)
    share = (place - lower)[..., None]
    return rearrange(table[lower] * (1 - share) + table[lower + 1] * share, "h w c -> c h w")


def _dots(picture: Tensor, heat: Heat, frame: pictures.Frame, scale: float) -> tuple[list[tuple[float, float]], int]:
    """The anchors' places (x, y) on the canvas, and how many lie in the padding that is cut off."""
    cell = picture.shape[-1] / heat.entropy.shape[-1]
    rows, columns = heat.positions // heat.entropy.shape[-1], heat.positions % heat.entropy.shape[-1]
    y, x = (rows + 0.5) * cell - frame.top, (columns + 0.5) * cell - frame.left
    inside = (x >= 0) & (x < frame.width) & (y >= 0) & (y < frame.height)
    points = torch.stack([x, y], dim=-1)[inside] * scale
    return [tuple(point) for point in points.tolist()], int((~inside).sum())


def _radius(picture: Tensor, heat: Heat, scale: float) -> float:
    """Half of a cell across, within what the eye likes."""
    return min(max(scale * picture.shape[-1] / heat.entropy.shape[-1] / 4, 1.8), 4.5)


def _with_dots(canvas: Image.Image, dots: list[tuple[float, float]], radius: float) -> Image.Image:
    large = canvas.resize([side * OVERSAMPLE for side in canvas.size], Image.Resampling.BICUBIC)
    pen, r = ImageDraw.Draw(large), radius * OVERSAMPLE
    for x, y in dots:
        box = [x * OVERSAMPLE - r, y * OVERSAMPLE - r, x * OVERSAMPLE + r, y * OVERSAMPLE + r]
        pen.ellipse(box, fill=(255, 255, 255), outline=(0, 0, 0), width=max(1, round(r / 3.5)))
    return large.resize(canvas.size, Image.Resampling.LANCZOS)


def _with_legend(canvas: Image.Image, heat: Heat, hidden: int) -> Image.Image:
    unit = max(10, canvas.width // 36)  # the text's height
    sheet = Image.new("RGB", (canvas.width, canvas.height + round(unit * 7.4)), BACKGROUND)
    sheet.paste(canvas, (0, 0))
    pen, large, small = ImageDraw.Draw(sheet), font(unit), font(unit * 0.85)
    left, right, top = unit, canvas.width - unit, canvas.height + unit * 0.8
    height, width = heat.entropy.shape
    out_of_sight = f", {hidden} in the padding" if hidden else ""
    pen.text((left, top), f"{width} x {height} map", INK, large)
    label = f"{len(heat.positions)} {heat.kind.replace('_', '+')} anchors{out_of_sight}"
    pen.text((right, top), label, INK, large, anchor="ra")
    bar = pictures.to_image(_colour(torch.linspace(1, 0, right - left).expand(unit, -1)) * 2 - 1)
    sheet.paste(bar, (left, round(top + unit * 1.8)))
    shares = (0, 0.25, 0.5, 0.75, 1)
    for share, value, anchor in zip(shares, _quantiles(heat.entropy, shares), ("la", *["ma"] * 3, "ra"), strict=True):
        pen.text((left + share * (right - left), top + unit * 3.1), f"{value:.2f}", INK, small, anchor=anchor)
    unit_of = f"entropy in nats, colour by rank (uniform: {heat.most:.2f})"
    pen.text((left, top + unit * 4.6), "focused", FAINT, small)
    pen.text((canvas.width / 2, top + unit * 4.6), unit_of, FAINT, small, anchor="ma")
    pen.text((right, top + unit * 4.6), "diffuse", FAINT, small, anchor="ra")
    return sheet
