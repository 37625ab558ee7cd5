"""What the renderers of `styles` are made of: tone, filters, textures and cells.

* Sizes are in pixels and do not depend on the size of the picture, so that a crop of a large picture and a small
  picture share their statistics.
* Pictures are float32 arrays of shape (height, width, 3) in [0, 1]. Fields such as luminance, noise and line masks are
  float32 arrays of shape (height, width).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

Array = np.ndarray
Rng = np.random.Generator
Knobs = dict[str, float]
Range = tuple[float, float]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class Knob(NamedTuple):
    """Range of one random setting, and the disjoint range used for held-out renderings."""

    train: Range
    held: Range | None = None


@dataclass(frozen=True)
class Style:
    """One style: its key, the phrases that name it, and its renderer."""

    name: str
    phrases: tuple[str, ...]
    render: Callable[[Array, Rng, bool], Array]


# --- Tone and colour -----------------------------------------------------------------------------


def luminance(picture: Array) -> Array:
    """Luma of an RGB picture."""
    return picture @ LUMA


def smoothstep(field: Array, low: float, high: float) -> Array:
    """Smooth 0-to-1 ramp between `low` and `high`."""
    t = np.clip((field - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def mix(first: Array | float, second: Array | float, weight: Array | float) -> Array:
    """Linear blend: `first` where the weight is 0, `second` where it is 1."""
    return first + (second - first) * weight


def stretch(field: Array, low: float = 2.0, high: float = 98.0) -> Array:
    """Stretch contrast so that the given percentiles come near 0 and 1.

    The less contrast a picture has, the more of its overall brightness is kept; nearly flat pictures stay nearly flat.
    """
    bottom, top = np.percentile(field[::2, ::2], (low, high))
    least_span = 0.35
    span = max(float(top - bottom), least_span)
    centre = mix(0.5 * (bottom + top), 0.5, 0.5 * least_span / span)
    return np.clip((field - centre) / span + 0.5, 0.0, 1.0).astype(np.float32)


def local_tone(lum: Array, amount: float = 0.6, sigma: float = 9.0) -> Array:
    """Stretched luminance with local contrast raised, so that shapes read under a strong texture."""
    return np.clip(stretch(lum) + amount * (lum - blur(lum, sigma)), 0.0, 1.0)


def saturate(picture: Array, amount: float) -> Array:
    """Scale the distance of every colour from its own grey."""
    grey = luminance(picture)[..., None]
    return np.clip(grey + (picture - grey) * amount, 0.0, 1.0)


def pure_hue(picture: Array) -> tuple[Array, Array]:
    """Fully saturated, full-value colour of every pixel, and its chroma."""
    low, high = picture.min(axis=2, keepdims=True), picture.max(axis=2, keepdims=True)
    return (picture - low) / (high - low + 1e-3), (high - low)[..., 0]


def hue_wheel(turn: Array) -> Array:
    """Fully saturated colours for hues given in turns (0 and 1 are red)."""
    phase = (turn[..., None] + np.array([0.0, 2 / 3, 1 / 3], np.float32)) % 1.0
    return np.clip(np.abs(phase * 6.0 - 3.0) - 1.0, 0.0, 1.0).astype(np.float32)


def gradient_map(tone: Array, stops: Sequence[tuple[float, float, float]]) -> Array:
    """Colour a field through evenly spaced colour stops, dark to light."""
    places = np.linspace(0.0, 1.0, len(stops))
    table = np.asarray(stops, np.float32)
    return np.stack([np.interp(tone, places, table[:, c]) for c in range(3)], axis=2).astype(np.float32)


def tint_jitter(rng: Rng, amount: float) -> Array:
    """Random factor per colour channel, for palettes that vary a little."""
    return rng.uniform(1.0 - amount, 1.0 + amount, 3).astype(np.float32)


# --- Filters -------------------------------------------------------------------------------------


def blur(field: Array, sigma: float) -> Array:
    """Gaussian blur over the two picture axes."""
    return ndimage.gaussian_filter(field, sigma, axes=(0, 1), truncate=3.0, mode="nearest")


def gradient(field: Array) -> tuple[Array, Array]:
    """Central differences along y and x."""
    dy, dx = np.gradient(field)
    return dy, dx


def emboss(height: Array, angle: float) -> Array:
    """Signed relief shading of a height field lit from `angle` (radians)."""
    dy, dx = gradient(height)
    return -(dx * np.cos(angle) + dy * np.sin(angle))


def contour_lines(lum: Array, sigma: float, low: float = 0.5, high: float = 1.6) -> Array:
    """Line mask from a difference of Gaussians: dark side of edges and dark thin shapes."""
    dog = blur(lum, sigma * 2.0) - blur(lum, sigma)
    scale = float(np.sqrt(np.mean(dog * dog))) + 0.006
    return smoothstep(dog / scale, low, high)


def kuwahara(picture: Array, radius: int) -> Array:
    """Kuwahara filter: each pixel takes the mean of its least varied quadrant, keeping edges sharp."""
    size = radius + 1
    stack = np.dstack([picture, luminance(picture) ** 2])
    stack = np.pad(stack, ((radius, radius), (radius, radius), (0, 0)), mode="edge")
    means = ndimage.uniform_filter(stack, size, axes=(0, 1), origin=(-(size // 2),) * 2)
    h, w = picture.shape[:2]
    best, best_var = None, None
    for y, x in ((0, 0), (0, radius), (radius, 0), (radius, radius)):
        mean = means[y : y + h, x : x + w]
        var = mean[..., 3] - luminance(mean[..., :3]) ** 2
        if best is None:
            best, best_var = mean[..., :3].copy(), var
        else:
            better = var < best_var
            best[better], best_var = mean[..., :3][better], np.minimum(var, best_var)
    return best


def displace(picture: Array, dy: Array, dx: Array) -> Array:
    """Sample the picture at displaced positions (nearest pixel)."""
    h, w = picture.shape[:2]
    y = np.clip(np.rint(np.arange(h)[:, None] + dy), 0, h - 1).astype(np.intp)
    x = np.clip(np.rint(np.arange(w)[None, :] + dx), 0, w - 1).astype(np.intp)
    return picture[y, x]


def edge_flow(lum: Array, sigma: float, fallback: Array) -> tuple[Array, Array]:
    """Unit vectors (y, x) along the edges, from the smoothed structure tensor; `fallback` angle in flat areas."""
    dy, dx = gradient(blur(lum, 1.0))
    floor = 2e-4
    twice_c = blur(dx * dx - dy * dy, sigma) - floor * np.cos(2 * fallback)
    twice_s = blur(2 * dx * dy, sigma) - floor * np.sin(2 * fallback)
    angle = 0.5 * np.arctan2(twice_s, twice_c) + np.pi / 2
    return np.sin(angle), np.cos(angle)


def smear(stack: Array, flow: tuple[Array, Array], length: int) -> Array:
    """Line integral convolution: average the layers along the flow, both ways."""
    h, w = stack.shape[:2]
    total = stack.copy()
    flat_y, flat_x = np.mgrid[0:h, 0:w].astype(np.float32)
    for sign in (1.0, -1.0):
        y, x = flat_y.copy(), flat_x.copy()
        for _ in range(length):
            iy, ix = _nearest(y, h), _nearest(x, w)
            y, x = y + sign * flow[0][iy, ix], x + sign * flow[1][iy, ix]
            total += stack[_nearest(y, h), _nearest(x, w)]
    return total / (2 * length + 1)


def _nearest(position: Array, size: int) -> Array:
    """Nearest pixel index inside the picture."""
    return np.clip(position + 0.5, 0, size - 1).astype(np.intp)


# --- Textures ------------------------------------------------------------------------------------


def resize(field: Array, width: int, height: int) -> Array:
    return np.asarray(Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC))


def noise(shape: tuple[int, int], scale_y: float, scale_x: float, rng: Rng) -> Array:
    """Smooth noise with the given feature size in pixels; mean 0, deviation about 1."""
    rows, cols = int(shape[0] / scale_y) + 3, int(shape[1] / scale_x) + 3
    grid = rng.standard_normal((rows, cols)).astype(np.float32)
    width, height = int(np.ceil(cols * scale_x)), int(np.ceil(rows * scale_y))
    top, left = (height - shape[0]) // 2, (width - shape[1]) // 2
    return resize(grid, width, height)[top : top + shape[0], left : left + shape[1]] * 1.2


def fractal_noise(shape: tuple[int, int], scale: float, rng: Rng, octaves: int = 3) -> Array:
    """Sum of smooth noises, each of half the size and weight of the one before."""
    return sum(noise(shape, scale / 2**o, scale / 2**o, rng) * 0.5**o for o in range(octaves)) / 1.2


def streaks(shape: tuple[int, int], width: float, length: float, angle: float, rng: Rng) -> Array:
    """Noise stretched along `angle` (radians): strokes about `width` by `length` pixels."""
    side = int(np.hypot(*shape)) + 4
    canvas = Image.fromarray(np.ascontiguousarray(noise((side, side), width, length, rng)))
    turned = np.asarray(canvas.rotate(np.degrees(angle), Image.Resampling.BILINEAR))
    top, left = (side - shape[0]) // 2, (side - shape[1]) // 2
    return turned[top : top + shape[0], left : left + shape[1]]


def hatch(shape: tuple[int, int], spacing: float, angle: float, wobble: Array) -> Array:
    """Parallel lines as a wave in [0, 1]; 1 on the middle of a line.  `wobble` bends them, in pixels."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    across = -x * np.sin(angle) + y * np.cos(angle) + wobble
    return 0.5 + 0.5 * np.cos(across * (2 * np.pi / spacing))


def paper_grain(shape: tuple[int, int], rng: Rng, scale: float = 1.6) -> Array:
    """Fine tooth of paper; mean 0, deviation about 1."""
    return 0.7 * noise(shape, scale, scale, rng) + 0.5 * rng.standard_normal(shape).astype(np.float32)


def paper(shape: tuple[int, int], colour: Sequence[float], grain: Array, strength: float) -> Array:
    """Sheet of paper of the given colour."""
    return np.asarray(colour, np.float32) * (1.0 + strength * grain[..., None])


# --- Cells: bricks, tiles and panes --------------------------------------------------------------


def cell_means(picture: Array, labels: Array, count: int) -> Array:
    """Mean colour of every cell."""
    flat = labels.ravel()
    sizes = np.maximum(np.bincount(flat, minlength=count), 1)
    sums = [np.bincount(flat, picture[..., c].ravel(), count) for c in range(picture.shape[2])]
    return (np.stack(sums, axis=1) / sizes[:, None]).astype(np.float32)


def grid_cells(v: Array, u: Array, height: float, width: float, shift: Array | float) -> tuple[Array, Array, int]:
    """Cells of a (running-bond) grid over the coordinates (v, u).

    Returns the cell of every pixel, the distance in pixels to the nearest joint, and the number of cells.
    """
    row = np.floor(v / height)
    across = u / width + shift * (row % 2)
    col = np.floor(across)
    fy, fx = v / height - row, across - col
    joint = np.minimum(np.minimum(fy, 1 - fy) * height, np.minimum(fx, 1 - fx) * width)
    row, col = (row - row.min()).astype(np.intp), (col - col.min()).astype(np.intp)
    cols = int(col.max()) + 1
    return row * cols + col, joint, (int(row.max()) + 1) * cols


def panes(picture: Array, size: float, colour_weight: float, rng: Rng, rounds: int = 2) -> tuple[Array, Array]:
    """Cells about `size` pixels wide that follow the colours of the picture (a small SLIC).

    Returns the cell of every pixel and the mean colour of every cell.
    """
    h, w = picture.shape[:2]
    rows, cols = max(int(round(h / size)), 2), max(int(round(w / size)), 2)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    stack = np.dstack([y / size, x / size, picture * colour_weight])
    home_y, home_x = (y * rows / h).astype(np.intp), (x * cols / w).astype(np.intp)
    labels = home_y * cols + home_x
    centres = cell_means(stack, labels, rows * cols)
    centres[:, :2] += rng.uniform(-0.4, 0.4, (rows * cols, 2)).astype(np.float32)
    for _ in range(rounds):
        labels = _nearest_centre(stack, centres, home_y, home_x, (rows, cols))
        fresh = cell_means(stack, labels, rows * cols)
        filled = np.bincount(labels.ravel(), minlength=rows * cols) > 0
        centres[filled, 2:] = fresh[filled, 2:]
        centres[filled, :2] = mix(centres[filled, :2], fresh[filled, :2], 0.5)
    return labels, cell_means(picture, labels, rows * cols)


def _nearest_centre(stack: Array, centres: Array, home_y: Array, home_x: Array, grid: tuple[int, int]) -> Array:
    """Nearest of the nine centres around the home cell of every pixel."""
    best = np.full(home_y.shape, np.inf, np.float32)
    labels = np.zeros(home_y.shape, np.intp)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            index = np.clip(home_y + dy, 0, grid[0] - 1) * grid[1] + np.clip(home_x + dx, 0, grid[1] - 1)
            gap = stack - centres[index]
            distance = np.einsum("hwc,hwc->hw", gap, gap)
            closer = distance < best
            best[closer], labels[closer] = distance[closer], index[closer]
    return labels


def borders(labels: Array, width: float) -> Array:
    """Soft mask of the lines between cells, about `width` pixels wide."""
    edge = np.zeros(labels.shape, np.float32)
    edge[:, 1:] = labels[:, 1:] != labels[:, :-1]
    edge[1:] = np.maximum(edge[1:], labels[1:] != labels[:-1])
    return np.clip(blur(edge, 0.5 * width) * 1.25 * width, 0.0, 1.0)
