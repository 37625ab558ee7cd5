"""Procedural renderings of a picture in twelve styles.

The renderings teach the small demo models what each style looks like.  Every
renderer keeps the content of the picture (edges, light and dark; for painterly
styles the main colours too) and lays the style's own texture over it.

* Sizes are in pixels and do not depend on the size of the picture, so that a
  crop of a large picture and a small picture share their statistics.
* Every random setting of a style is a `Knob` with a training range.  Some knobs
  have a second, disjoint range, which is used when ``held_out=True``: settings
  that are never seen in training but plainly belong to the same style.
* Pictures are float32 arrays of shape (height, width, 3) in [0, 1].  Fields such as
  luminance, noise and line masks are float32 arrays of shape (height, width).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
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


def _resize(field: Array, width: int, height: int) -> Array:
    return np.asarray(Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC))


def noise(shape: tuple[int, int], scale_y: float, scale_x: float, rng: Rng) -> Array:
    """Smooth noise with the given feature size in pixels; mean 0, deviation about 1."""
    rows, cols = int(shape[0] / scale_y) + 3, int(shape[1] / scale_x) + 3
    grid = rng.standard_normal((rows, cols)).astype(np.float32)
    width, height = int(np.ceil(cols * scale_x)), int(np.ceil(rows * scale_y))
    top, left = (height - shape[0]) // 2, (width - shape[1]) // 2
    return _resize(grid, width, height)[top : top + shape[0], left : left + shape[1]] * 1.2


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


# --- Renderers -----------------------------------------------------------------------------------


def _photo(picture: Array, k: Knobs, rng: Rng) -> Array:
    return picture


def _crayon(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Waxy strokes in the colours of the picture over paper tooth, with dark coloured outlines."""
    shape = picture.shape[:2]
    grain = paper_grain(shape, rng, k["grain"])
    patches = smoothstep(noise(shape, 26, 26, rng), -0.15, 0.15)
    first = streaks(shape, k["stroke"], 14, k["angle"], rng)
    second = streaks(shape, k["stroke"], 14, k["angle"] + k["turn"], rng)
    strokes = mix(first, second, patches)
    reach = 1.5 * second  # strokes run over the edges of the shapes
    drawn = displace(kuwahara(picture, 2), -reach * np.sin(k["angle"]), reach * np.cos(k["angle"]))
    wax = saturate(0.17 + 0.83 * drawn * (1.0 + 0.20 * first[..., None]), k["saturation"])
    tone = local_tone(luminance(picture), 0.7)
    out = paper(shape, (0.99, 0.97, 0.91) * tint_jitter(rng, 0.012), grain, 0.02)
    layers = ((strokes, 1.05, 1.5, mix(wax, 1.0, 0.18)), (second, 0.30, 2.2, wax))  # lightly laid, then pressed
    for layer, bias, slope, colour in layers:
        cover = smoothstep(0.8 * layer + 0.7 * grain + bias - slope * (tone - 0.5), -0.85, 0.75) * 0.88
        out = mix(out, out * colour * 0.25 + colour * 0.75, cover[..., None])
    lines = contour_lines(luminance(picture), 0.9, 0.5, 1.7) * smoothstep(grain + 0.3 * first, -1.6, 0.0) * 0.85
    return mix(out, saturate(wax * 0.36, 1.4), lines[..., None])


def _golden(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Gold gradient map over relief shading with bright reflections."""
    lum = blur(luminance(picture), 0.6)
    tone = local_tone(lum, 0.7)
    relief = emboss(blur(tone, k["bevel"]), k["light"]) * 7.0
    sheen = 0.09 * np.sin((tone * k["bands"] + 0.3 * relief) * 2 * np.pi)
    polish = 0.05 * noise(lum.shape, 22, 22, rng) + 0.012 * noise(lum.shape, 2, 2, rng)
    metal = np.clip(0.20 + 0.60 * tone + k["relief"] * np.tanh(relief) + sheen + polish, 0.0, 1.0)
    stops = ((0.13, 0.06, 0.01), (0.46, 0.25, 0.03), (0.80, 0.53, 0.07), (0.97, 0.76, 0.20), (1.0, 0.92, 0.52))
    gold = gradient_map(metal, stops) * tint_jitter(rng, 0.03)
    glint = smoothstep(metal + 0.25 * np.tanh(relief), 0.80, 1.15)
    return mix(gold, np.array([1.0, 0.98, 0.84], np.float32), glint[..., None] * 0.9)


def _watercolor(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Soft washes with darkened borders, granulation and light paper in the highlights."""
    shape = picture.shape[:2]
    bleed_y, bleed_x = (fractal_noise(shape, 11, rng, 2) * k["bleed"] for _ in "yx")
    washes = kuwahara(displace(mix(kuwahara(picture, 2), picture, 0.25), bleed_y, bleed_x), 1)
    washes = 1.0 - (1.0 - saturate(_terraces(washes, k["levels"]), k["saturation"])) * 0.74
    dy, dx = gradient(blur(luminance(washes), 0.7))
    rim = smoothstep(np.hypot(dy, dx), 0.015, 0.11)
    grain = paper_grain(shape, rng)
    pigment = 0.28 * fractal_noise(shape, 22, rng, 4) + 0.13 * grain + k["rim"] * rim
    painted = washes - (washes - washes * washes) * pigment[..., None]
    dry = smoothstep(luminance(painted) + 0.09 * fractal_noise(shape, 12, rng), 0.72, 0.98)
    sheet = paper(shape, (0.99, 0.985, 0.96), grain, 0.012)
    return mix(painted, sheet, dry[..., None] * 0.85) * (1.0 + 0.02 * grain[..., None])


def _terraces(picture: Array, levels: float) -> Array:
    """Gather the luminance into soft steps, as washes laid over each other."""
    lum = luminance(picture)
    step = lum * levels
    flat = (np.floor(step) + smoothstep(step % 1.0, 0.3, 0.7)) / levels
    return picture + 0.6 * (flat - lum)[..., None]


def _wooden(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Carved board: brown tones, warped year rings, fine fibres and relief."""
    shape = picture.shape[:2]
    lum = blur(luminance(picture), 0.7)
    tone = local_tone(lum, 0.5)
    relief = np.tanh(emboss(blur(tone, 0.9), k["light"]) * 7.0)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    across = x * np.cos(k["tilt"]) + y * np.sin(k["tilt"])
    warp = noise(shape, 70, 22, rng) * k["warp"] + 2.0 * (tone - 0.5)
    rings = (across + warp) / k["ring"] + rng.uniform()
    rings = smoothstep(rings % 1.0, 0.0, 0.85) - smoothstep(rings % 1.0, 0.85, 1.0)
    fibre = streaks(shape, 1.2, 26, np.pi / 2 - k["tilt"], rng)
    wood = np.clip(0.15 + 0.70 * tone + 0.22 * relief - 0.15 * (rings - 0.4) + 0.05 * fibre, 0.0, 1.0)
    stops = ((0.13, 0.06, 0.03), (0.36, 0.19, 0.09), (0.58, 0.35, 0.18), (0.76, 0.53, 0.31), (0.92, 0.75, 0.53))
    return gradient_map(wood, stops) * tint_jitter(rng, 0.05)


def _bricks(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Running-bond wall of red bricks whose tone carries the picture."""
    shape = picture.shape[:2]
    tone = local_tone(blur(luminance(picture), 0.5), 0.9)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    wobble = noise(shape, 12, 12, rng) * 0.25
    v, u = y + wobble + rng.uniform(0, 16), x + wobble + rng.uniform(0, 32)
    cells, joint, count = grid_cells(v, u, k["course"], k["course"] * k["aspect"], 0.5)
    own = rng.uniform(-1.0, 1.0, count).astype(np.float32)[cells]
    clay = rng.uniform(-1.0, 1.0, count).astype(np.float32)[cells]
    brick_tone = cell_means(tone[..., None], cells, count)[cells][..., 0]
    shade = mix(tone, brick_tone, 0.2) * 0.95 + 0.03 + 0.08 * own + 0.04 * paper_grain(shape, rng)
    stops = ((0.20, 0.05, 0.04), (0.47, 0.13, 0.09), (0.70, 0.25, 0.17), (0.85, 0.39, 0.28))
    brick = gradient_map(shade, stops) * (1.0 + 0.08 * clay[..., None] * np.array([0.2, 1.0, 1.0], np.float32))
    body = smoothstep(joint, k["mortar"] * 0.5 - 0.4, k["mortar"] * 0.5 + 0.5)
    brick = brick + 0.10 * emboss(blur(body, 0.6), k["light"])[..., None]
    mortar = np.array([0.86, 0.81, 0.74], np.float32) * tint_jitter(rng, 0.03) * mix(0.42, 1.0, tone)[..., None]
    return mix(mortar, brick, body[..., None])


def _pencil(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Graphite: soft grey hatching by tone and grey contour lines on white paper."""
    shape = picture.shape[:2]
    lum = luminance(picture)
    tone = local_tone(blur(lum, 0.7), 0.6) ** 0.75
    grain = paper_grain(shape, rng)
    first = streaks(shape, k["stroke"], 22, k["angle"], rng)
    second = streaks(shape, k["stroke"], 22, k["angle"] + 0.7, rng)
    shade = 0.24 * (1.0 - tone)  # smudged graphite under the strokes
    for strokes, limit, weight in ((first, 0.72, 0.30), (second, 0.45, 0.20)):
        shade = shade + weight * smoothstep((limit - tone) * 2.0 + 0.5 * strokes + 0.08 * grain, -0.4, 1.1)
    lines = contour_lines(lum, 0.7, 0.5, 2.2) * np.clip(0.85 + 0.12 * grain, 0.2, 1.0)
    graphite = np.clip(shade * k["pressure"] + 0.48 * lines, 0.0, 0.72) * (1.0 + 0.04 * grain)
    grey = (0.98 + 0.01 * grain) * (1.0 - graphite)
    return np.repeat(grey[..., None], 3, axis=2)


def _mosaic(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Small single-colour tiles on a slightly warped grid, with grout in between."""
    shape = picture.shape[:2]
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    wave = k["warp"] * k["tile"]
    v = y * np.cos(k["angle"]) - x * np.sin(k["angle"]) + wave * noise(shape, 30, 30, rng) + rng.uniform(0, 8)
    u = x * np.cos(k["angle"]) + y * np.sin(k["angle"]) + wave * noise(shape, 30, 30, rng) + rng.uniform(0, 8)
    cells, joint, count = grid_cells(v, u, k["tile"], k["tile"], k["shift"])
    crisp = picture + 0.8 * (picture - blur(picture, 5.0))
    colours = saturate(cell_means(crisp, cells, count)[None], 1.4)[0]
    colours = 0.05 + 0.92 * colours * rng.uniform(0.89, 1.11, (count, 1)) + rng.uniform(-0.025, 0.025, (count, 3))
    inset = rng.uniform(0.3, 0.6, count).astype(np.float32)[cells]
    body = smoothstep(joint - inset, -0.45, 0.45)
    tiles = colours.astype(np.float32)[cells] + 0.14 * emboss(blur(body, 0.7), k["light"])[..., None]
    grout = np.array([0.74, 0.72, 0.67] if rng.uniform() < 0.4 else [0.16, 0.15, 0.14], np.float32)
    grout = mix(grout, tiles, 0.2) + 0.02 * noise(shape, 2, 2, rng)[..., None]
    return mix(grout, tiles, body[..., None])


def _neon(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Glowing saturated tubes along the edges on a dark ground."""
    shape = picture.shape[:2]
    tube = _tubes(luminance(kuwahara(picture, 2)), k["tube"])
    soft = blur(picture, 2.5)
    own, chroma = pure_hue(soft)
    turn = k["hue"] + 0.5 * noise(shape, 48, 48, rng) * k["hue_spread"]
    colour = mix(hue_wheel(turn), own, smoothstep(chroma, 0.08, 0.3)[..., None] * 0.75)
    colour = mix(colour, pure_hue(colour)[0], 0.7)
    light = colour * tube[..., None]
    glow = k["bloom"] * (1.5 * blur(light, 1.6) + 1.5 * blur(light, 5.0))
    night = np.array([0.035, 0.02, 0.09], np.float32) * tint_jitter(rng, 0.4) + 0.10 * soft * colour
    core = smoothstep(tube, 0.6, 1.0)[..., None] * 0.5
    return 1.0 - np.exp(-1.3 * (night + glow)) * (1.0 - mix(light, tube[..., None], core) * 0.95)


def _tubes(lum: Array, sigma: float) -> Array:
    """Thin bright lines on the crests of the gradient, joined along the edges; weak edges count too."""
    dy, dx = gradient(blur(lum, sigma))
    strength = np.sqrt(np.hypot(dy, dx) + 1e-3)
    flow = edge_flow(lum, 1.5, np.zeros_like(lum))
    ridge = smear((strength - blur(strength, 2.0))[..., None], flow, 3)[..., 0]
    scale = float(np.sqrt(np.mean(ridge * ridge))) + 0.008
    return smoothstep(ridge / scale, 0.35, 1.8)


def _oil(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Thick directional brush strokes that follow the forms, lit as relief."""
    shape = picture.shape[:2]
    crisp = picture + 0.5 * (picture - blur(picture, 3.0))
    crisp = mix(kuwahara(crisp, 2), crisp, 0.3)
    rich = np.clip(0.5 + (saturate(crisp, k["saturation"]) - 0.5) * 1.1, 0.0, 1.0)
    flow = edge_flow(luminance(picture), 2.2, noise(shape, 36, 36, rng) * 1.2 + k["angle"])
    bristles, jitter = noise(shape, k["bristle"], k["bristle"], rng), noise(shape, 3, 3, rng)
    stack = np.dstack([displace(rich, 0.7 * jitter, 0.7 * bristles), bristles, jitter])
    brushed = smear(stack.astype(np.float32), flow, int(k["length"]))
    colours, height = brushed[..., :3], brushed[..., 3] * 0.9 + brushed[..., 4] * 0.6
    light = np.tanh(emboss(height + 1.2 * luminance(colours), k["light"]) * 1.3)[..., None]
    paint = colours * (1.0 + 0.16 * height[..., None]) + k["impasto"] * light
    return paint + 0.12 * smoothstep(light, 0.6, 1.0)


def _ink(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Pen and ink: black contours, cross-hatching by tone and solid blacks; no grey in between."""
    h, w = picture.shape[:2]
    lum = luminance(picture)
    double = (2 * w, 2 * h)  # drawn at twice the size, for clean thin lines
    tone = _resize(local_tone(blur(lum, 0.7), 0.8) ** 0.85, *double)
    drawn = smoothstep(_resize(contour_lines(lum, 0.7, 0.6, 1.8), *double), 0.4, 0.6)
    wobble = noise(tone.shape, 20, 20, rng)
    for turn, limit in ((0.0, 0.64), (1.57, 0.40), (0.8, 0.24)):
        wave = hatch(tone.shape, 2 * k["spacing"], k["angle"] + turn, wobble)
        width = np.clip(0.08 + (limit - tone) * 1.4, 0.0, 0.42)
        line = (wave > 1.0 - width + 0.04 * wobble) & (tone < limit)
        drawn = np.maximum(drawn, line)
    drawn = np.maximum(drawn, tone < k["black"]).astype(np.float32)
    drawn = smoothstep(drawn.reshape(h, 2, w, 2).mean(axis=(1, 3)), 0.1, 0.9)
    sheet = np.array([0.985, 0.975, 0.94], np.float32) * tint_jitter(rng, 0.012)
    return mix(sheet, np.array([0.03, 0.03, 0.04], np.float32), drawn[..., None])


def _stained_glass(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Panes of luminous flat colour that follow the picture, between dark lead lines."""
    shape = picture.shape[:2]
    crisp = picture + 0.6 * (picture - blur(picture, 4.0))
    labels, colours = panes(blur(kuwahara(crisp, 3), 0.8), k["pane"], k["follow"], rng)
    glass = _tinted(np.clip(colours, 0.0, 1.0), k["saturation"], rng)
    lead = borders(labels, k["lead"])
    streaky = 1.04 + 0.05 * fractal_noise(shape, 8, rng)
    lit = 1.08 - 0.3 * blur(lead, 2.0)
    lead_colour = np.array([0.05, 0.05, 0.06], np.float32)
    return mix(glass[labels] * (streaky * lit)[..., None], lead_colour, lead[..., None])


def _tinted(colours: Array, saturation: float, rng: Rng) -> Array:
    """Bright glass in the given colours; colourless panes get a pale tint of their own."""
    glass = 0.05 + 1.05 * colours**0.8 * rng.uniform(0.88, 1.12, (len(colours), 1)).astype(np.float32)
    glass = saturate(glass[None], saturation)[0]
    chroma = glass.max(axis=1) - glass.min(axis=1)
    tint = hue_wheel(rng.choice([0.08, 0.12, 0.15, 0.50, 0.57, 0.62], len(colours)).astype(np.float32))
    return glass * mix(1.0, tint, 0.24 * smoothstep(chroma, 0.35, 0.05)[:, None])


# --- Settings and names --------------------------------------------------------------------------

TURN = 2 * np.pi

KNOBS: dict[str, dict[str, Knob]] = {
    "photo": {},
    "crayon": {
        "stroke": Knob((1.3, 1.8), (1.9, 2.3)),
        "angle": Knob((0.5, 1.2), (-1.2, -0.5)),
        "turn": Knob((-0.5, -0.25)),
        "grain": Knob((1.4, 2.0)),
        "saturation": Knob((1.5, 1.9)),
    },
    "golden": {
        "bevel": Knob((0.9, 1.3), (1.35, 1.7)),
        "light": Knob((0.6, 1.4), (1.8, 2.4)),
        "bands": Knob((1.0, 1.6)),
        "relief": Knob((0.20, 0.30)),
    },
    "watercolor": {
        "bleed": Knob((0.8, 1.5), (1.6, 2.1)),
        "levels": Knob((5.0, 7.0), (3.8, 4.7)),
        "rim": Knob((0.7, 1.1)),
        "saturation": Knob((1.3, 1.7)),
    },
    "wooden": {
        "ring": Knob((6.0, 10.0), (10.5, 13.0)),
        "tilt": Knob((-0.15, 0.15), (0.2, 0.4)),
        "warp": Knob((4.0, 8.0)),
        "light": Knob((0.6, 1.4)),
    },
    "bricks": {
        "course": Knob((5.0, 6.8), (7.0, 8.0)),
        "aspect": Knob((2.0, 2.5), (2.6, 2.9)),
        "mortar": Knob((1.1, 1.6)),
        "light": Knob((0.6, 1.4)),
    },
    "pencil": {
        "angle": Knob((-1.1, -0.5), (0.5, 1.1)),
        "stroke": Knob((1.2, 1.6), (1.7, 2.1)),
        "pressure": Knob((0.85, 1.05)),
    },
    "mosaic": {
        "tile": Knob((3.9, 5.2), (5.4, 6.2)),
        "angle": Knob((-0.25, 0.25), (0.35, 0.6)),
        "warp": Knob((0.15, 0.4)),
        "shift": Knob((0.0, 0.5)),
        "light": Knob((0.6, 1.4)),
    },
    "neon": {
        "tube": Knob((0.9, 1.2), (1.25, 1.5)),
        "bloom": Knob((0.5, 0.75), (0.8, 0.95)),
        "hue": Knob((0.0, 1.0)),
        "hue_spread": Knob((0.2, 0.5)),
    },
    "oil": {
        "bristle": Knob((1.5, 2.0), (2.1, 2.5)),
        "length": Knob((4.0, 5.99), (6.0, 7.99)),
        "angle": Knob((0.0, np.pi)),
        "saturation": Knob((1.35, 1.7)),
        "impasto": Knob((0.08, 0.13)),
        "light": Knob((0.6, 1.4)),
    },
    "ink": {
        "spacing": Knob((3.0, 3.8), (3.9, 4.5)),
        "angle": Knob((-1.0, -0.5), (0.5, 1.0)),
        "black": Knob((0.04, 0.09)),
    },
    "stained_glass": {
        "pane": Knob((7.2, 9.4), (9.8, 11.5)),
        "lead": Knob((1.1, 1.4), (1.5, 1.7)),
        "follow": Knob((2.8, 3.8)),
        "saturation": Knob((1.9, 2.4)),
    },
}

PHRASES: dict[str, tuple[str, ...]] = {
    "photo": (
        "photo", "a photo", "a photograph", "a real photo", "a snapshot", "a picture taken with a camera",
        "a camera shot", "a photorealistic picture", "an unedited photo", "real life photography",
    ),
    "crayon": (
        "a sketch with crayon", "a crayon drawing", "drawn with wax crayons", "crayon", "crayons", "a crayon sketch",
        "coloured with crayons", "wax crayon art", "a child's crayon picture", "a colorful crayon scribble",
    ),
    "golden": (
        "golden", "made of gold", "a golden statue", "gold metal", "gilded", "gold", "solid gold",
        "a gold sculpture", "covered in gold leaf", "shiny polished gold", "cast in gold",
    ),
    "watercolor": (
        "water painting", "watercolor art", "a watercolor painting", "a watercolour", "watercolor", "water color",
        "watercolour on paper", "painted with watercolors", "a soft watercolor wash", "an aquarelle",
    ),
    "wooden": (
        "wooden", "made of wood", "carved in wood", "wood carving", "wood", "a wooden sculpture",
        "a carved wooden board", "carved from oak", "wood grain", "a wooden relief",
    ),
    "bricks": (
        "red bricks", "a red brick wall", "made of bricks", "built of bricks", "bricks", "brick",
        "a wall of bricks", "brickwork", "laid in brickwork", "bricks and mortar",
    ),
    "pencil": (
        "a pencil sketch", "a graphite drawing", "pencil", "a pencil drawing", "drawn with a pencil",
        "a grey pencil sketch", "graphite on paper", "a shaded pencil drawing", "pencil art",
    ),
    "mosaic": (
        "mosaic", "a mosaic of tiles", "made of small tiles", "a mosaic", "mosaic tiles", "a tile mosaic",
        "ceramic tiles", "a roman mosaic", "a mosaic floor", "little square tiles",
    ),
    "neon": (
        "neon lights", "glowing neon", "a neon sign", "neon", "made of neon lights", "neon tubes",
        "neon glow in the dark", "glowing neon lines", "a bright neon outline", "neon light art",
    ),
    "oil": (
        "an oil painting", "painted with oil colors", "thick oil paint", "oil painting", "oil on canvas",
        "oil colours", "an impasto painting", "thick brush strokes", "a painting in oils", "painted in oil",
    ),
    "ink": (
        "an ink drawing", "black ink on paper", "drawn with pen and ink", "ink", "pen and ink", "an ink sketch",
        "a black ink drawing", "cross-hatched in ink", "india ink", "a black and white ink illustration",
    ),
    "stained_glass": (
        "stained glass", "a stained glass window", "stained glasses", "made of stained glass", "a church window",
        "a leaded glass window", "colored glass panes", "colourful church glass", "cathedral glass",
    ),
}  # fmt: skip

RENDERERS: dict[str, Callable[[Array, Knobs, Rng], Array]] = {
    "photo": _photo,
    "crayon": _crayon,
    "golden": _golden,
    "watercolor": _watercolor,
    "wooden": _wooden,
    "bricks": _bricks,
    "pencil": _pencil,
    "mosaic": _mosaic,
    "neon": _neon,
    "oil": _oil,
    "ink": _ink,
    "stained_glass": _stained_glass,
}


def draw_knobs(name: str, rng: Rng, held_out: bool) -> Knobs:
    """Random settings for one rendering."""
    ranges = {key: knob.held if held_out and knob.held else knob.train for key, knob in KNOBS[name].items()}
    return {key: float(rng.uniform(low, high)) for key, (low, high) in ranges.items()}


def _run(name: str, picture: Array, rng: Rng, held_out: bool) -> Array:
    """Render with freshly drawn settings, and bring the result into the common form."""
    picture = np.asarray(picture, np.float32)
    out = RENDERERS[name](picture, draw_knobs(name, rng, held_out), rng)
    return np.clip(out, 0.0, 1.0).astype(np.float32)


STYLES: dict[str, Style] = {name: Style(name, PHRASES[name], partial(_run, name)) for name in RENDERERS}


def render(picture: Array, style_name: str, rng: Rng, held_out: bool = False) -> Array:
    """Render the picture in a style; `held_out` uses settings that training never draws."""
    return STYLES[style_name].render(picture, rng, held_out)
