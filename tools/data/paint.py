"""A small software painter for the drawn scenes: polygons filled with relief, light, texture and soft shadows.

Coordinates run from 0 to 1, x to the right and y down. Everything is drawn at twice the final size and averaged down.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[float, float, float] | np.ndarray
SUPERSAMPLING = 2
_NOISE_SIZE = 1024
_RELIEF_CELLS = 28


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """An RGB colour from hue (any real, in turns), saturation and value."""
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0), 1), min(max(value, 0), 1)), np.float32)


def mix(first: Colour, second: Colour, part: float) -> np.ndarray:
    """The colour that is ``part`` of the way from the first to the second."""
    return np.asarray(first, np.float32) * (1 - part) + np.asarray(second, np.float32) * part


def ellipse(x: float, y: float, rx: float, ry: float | None = None, angle: float = 0.0, points: int = 36) -> np.ndarray:
    """An ellipse as a polygon, turned clockwise by ``angle`` radians."""
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False)
    shape = np.stack([rx * np.cos(turn), (rx if ry is None else ry) * np.sin(turn)], 1)
    return rotate(shape, angle) + (x, y)


def superellipse(x: float, y: float, rx: float, ry: float, power: float = 4.0) -> np.ndarray:
    """A box with rounded corners; the higher the power, the squarer."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    cos, sin = np.cos(turn), np.sin(turn)
    shape = [np.sign(cos) * np.abs(cos) ** (2 / power) * rx, np.sign(sin) * np.abs(sin) ** (2 / power) * ry]
    return np.stack(shape, 1) + (x, y)


def rect(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """An upright rectangle."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)


def rotate(shape: np.ndarray, angle: float, centre: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """The shape turned clockwise (on the screen) about a centre."""
    cos, sin = np.cos(angle), np.sin(angle)
    return (np.asarray(shape, float) - centre) @ np.array([[cos, sin], [-sin, cos]]) + centre


def smooth(points: Sequence[tuple[float, float]] | np.ndarray, closed: bool = True, steps: int = 6) -> np.ndarray:
    """A Catmull-Rom curve through the points."""
    anchors = np.asarray(points, float)
    if closed:
        ring = np.concatenate([anchors[-1:], anchors, anchors[:2]])
    else:
        ring = np.concatenate([2 * anchors[:1] - anchors[1:2], anchors, 2 * anchors[-1:] - anchors[-2:-1]])
    p0, p1, p2, p3 = (ring[k : len(ring) - 3 + k, None, :] for k in range(4))
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    curve = 2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    curve = 0.5 * curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, anchors[-1:]])


def stroke(path: np.ndarray, start: float, end: float | None = None) -> np.ndarray:
    """A band along the path whose width runs from ``start`` to ``end``."""
    path = np.asarray(path, float)
    along = np.gradient(path, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], 1) / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-9)
    width = np.linspace(start, start if end is None else end, len(path))[:, None] / 2
    return np.concatenate([path + normal * width, (path - normal * width)[::-1]])


def symmetric(half: np.ndarray) -> np.ndarray:
    """The closed outline of a body that is symmetric about x = 0, from its half listed from top to bottom."""
    return np.concatenate([half, (half * (-1, 1))[::-1]])


def blob(rng: np.random.Generator, x: float, y: float, rx: float, ry: float, wobble: float = 0.15) -> np.ndarray:
    """An irregular rounded outline."""
    radii = 1 + wobble * rng.uniform(-1, 1, 10)
    turn = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    return smooth(np.stack([x + rx * radii * np.cos(turn), y + ry * radii * np.sin(turn)], 1), steps=4)


@cache
def _noise(kind: str) -> np.ndarray:
    """A fixed tile of noise with mean 0 and deviation 1: "fine", "cloud" (large shapes) or "mixed"."""
    rng = np.random.default_rng(20240501)
    exponent = {"fine": 0.35, "mixed": 0.95, "cloud": 1.55}[kind]
    spectrum = np.fft.rfft2(rng.standard_normal((_NOISE_SIZE, _NOISE_SIZE)))
    frequency = np.hypot(np.fft.fftfreq(_NOISE_SIZE)[:, None], np.fft.rfftfreq(_NOISE_SIZE)[None, :])
    floor = 6.0 / _NOISE_SIZE
    tile = np.fft.irfft2(spectrum / np.maximum(frequency, floor) ** exponent)
    return ((tile - tile.mean()) / tile.std()).astype(np.float32)


class Canvas:
    """A square picture being painted, with one light direction for the whole scene."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.rng = rng
        self.size = size
        self.side = size * SUPERSAMPLING
        self.rgb = np.zeros((self.side, self.side, 3), np.float32)
        self.light = np.array([rng.choice([-1.0, 1.0]) * rng.uniform(0.45, 0.8), -rng.uniform(0.5, 0.8)])

    def noise(self, height: int, width: int, kind: str = "mixed", stretch: tuple[int, int] = (1, 1)) -> np.ndarray:
        """A random window of noise; ``stretch`` repeats each value (down, across) for grain such as wood or water."""
        down, across = stretch
        rows, columns = -(-height // down), -(-width // across)
        top = int(self.rng.integers(0, _NOISE_SIZE - rows))
        left = int(self.rng.integers(0, _NOISE_SIZE - columns))
        window = _noise(kind)[top : top + rows, left : left + columns]
        if stretch == (1, 1):
            return window
        return _resize(window, columns * across, rows * down)[:height, :width]

    def gradient(self, *stops: tuple[float, Colour], top: float = 0.0, bottom: float = 1.0) -> None:
        """Fills the rows from top to bottom with a vertical gradient through the (place, colour) stops."""
        first, last = max(0, round(top * self.side)), min(self.side, round(bottom * self.side))
        if last <= first:
            return
        place = (np.arange(first, last) / self.side - top) / max(bottom - top, 1e-6)
        places = [stop[0] for stop in stops]
        columns = [np.interp(place, places, [float(stop[1][k]) for stop in stops]) for k in range(3)]
        self.rgb[first:last] = np.stack(columns, 1)[:, None, :]

    def grain(
        self,
        amount: float,
        kind: str = "mixed",
        stretch: tuple[int, int] = (1, 1),
        top: float = 0.0,
        bottom: float = 1.0,
    ) -> None:
        """Multiplies the rows from top to bottom with noise."""
        first, last = max(0, round(top * self.side)), min(self.side, round(bottom * self.side))
        if last > first:
            self.rgb[first:last] *= 1 + amount * self.noise(last - first, self.side, kind, stretch)[..., None]

    def bokeh(self, *colours: Colour, cells: int = 7) -> None:
        """Fills the whole picture with an out-of-focus mixture of the colours."""
        palette = np.array([mix(colour, np.mean(colours, 0), 0.3) for colour in colours])
        pick = palette[self.rng.integers(0, len(palette), (cells, cells))]
        pick = pick * self.rng.uniform(0.75, 1.2, (cells, cells, 1))
        small = Image.fromarray((np.clip(pick, 0, 1) * 255).astype(np.uint8)).resize((32, 32), Image.Resampling.BICUBIC)
        small = small.rotate(float(self.rng.uniform(0, 90)), Image.Resampling.BILINEAR).crop((5, 5, 27, 27))
        small = small.filter(ImageFilter.GaussianBlur(1.2))
        self.rgb[:] = np.asarray(small.resize((self.side, self.side), Image.Resampling.BICUBIC), np.float32) / 255

    def mask(self, shapes: Sequence[np.ndarray], soft: float = 0.0) -> tuple[np.ndarray, tuple[slice, slice]] | None:
        """Coverage of the shapes' union and the window of the canvas it belongs to; None if outside the canvas."""
        scaled = [np.asarray(shape, float) * self.side for shape in shapes]
        everything = np.concatenate(scaled)
        margin = 2 + 3 * soft * self.side
        left, top = np.maximum(np.floor(everything.min(0) - margin), 0).astype(int)
        right, bottom = np.minimum(np.ceil(everything.max(0) + margin), self.side).astype(int)
        if right - left < 2 or bottom - top < 2:
            return None
        layer = Image.new("L", (int(right - left), int(bottom - top)))
        pen = ImageDraw.Draw(layer)
        for shape in scaled:
            pen.polygon((shape - (left, top)).ravel().tolist(), fill=255)
        if soft:
            layer = layer.filter(ImageFilter.BoxBlur(soft * self.side)).filter(ImageFilter.BoxBlur(soft * self.side))
        return np.asarray(layer, np.float32) / 255, (slice(top, bottom), slice(left, right))

    def fill(
        self,
        *shapes: np.ndarray,
        colour: Colour,
        relief: float = 0.5,
        texture: float = 0.05,
        kind: str = "mixed",
        stretch: tuple[int, int] = (1, 1),
        gloss: float = 0.0,
        soft: float = 0.0,
        alpha: float = 1.0,
        bottom: Colour | None = None,
    ) -> None:
        """Paints the union of the shapes as one rounded body.

        ``relief`` is how strongly it is modelled by the light, ``gloss`` adds a highlight, ``texture`` is the amount of
        noise of that ``kind``, ``soft`` blurs the outline and ``bottom`` fades the colour downwards to another.
        """
        covered = self.mask(shapes, soft)
        if covered is None:
            return
        mask, window = covered
        height, width = mask.shape
        shade = self._relief(mask) * relief if relief else np.zeros((1, 1), np.float32)
        factor = 1 + shade
        if texture:
            factor = factor + 0.75 * texture * self.noise(height, width, kind, stretch)
        base = np.asarray(colour, np.float32)
        if bottom is not None:
            part = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
            base = base * (1 - part) + np.asarray(bottom, np.float32) * part
        painted = base * np.maximum(factor, 0.15)[..., None]
        if gloss:
            painted = painted + gloss * np.clip(shade / max(relief, 1e-3) - 0.35, 0, 1)[..., None] ** 1.5
        self._blend(window, mask if alpha == 1 else mask * alpha, painted)

    def shadow(self, *shapes: np.ndarray, strength: float = 0.45, soft: float = 0.02) -> None:
        """Darkens the picture under the shapes, with a blurred outline."""
        covered = self.mask(shapes, soft)
        if covered is not None:
            mask, window = covered
            self.rgb[window] *= 1 - strength * mask[..., None] * np.array([1.0, 0.97, 0.88], np.float32)

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float = 0.8) -> None:
        """Adds light around a point."""
        place = (np.arange(self.side, dtype=np.float32) + 0.5) / self.side
        falloff = np.exp(-((place - y) ** 2) / radius**2)[:, None] * np.exp(-((place - x) ** 2) / radius**2)[None, :]
        part = (strength * falloff)[..., None]
        self.rgb += part * (np.asarray(colour, np.float32) - self.rgb)

    def defocus(self, radius: float) -> None:
        """Blurs what was painted so far: it lies behind the plane of focus."""
        layer = Image.fromarray((np.clip(self.rgb, 0, 1) * 255).astype(np.uint8)).reduce(2)
        layer = layer.filter(ImageFilter.BoxBlur(radius * self.side / 2)).filter(
            ImageFilter.BoxBlur(radius * self.side / 2)
        )
        self.rgb = np.asarray(layer.resize((self.side, self.side), Image.Resampling.BILINEAR), np.float32) / 255

    def finish(self) -> np.ndarray:
        """The finished picture: averaged down, with light falloff, a colour cast, contrast and sensor noise."""
        rng = self.rng
        small = self.rgb.reshape(self.size, SUPERSAMPLING, self.size, SUPERSAMPLING, 3).mean((1, 3))
        place = np.linspace(-1, 1, self.size, dtype=np.float32)
        tilt, fall = rng.uniform(-0.07, 0.07, 2), rng.uniform(0.0, 0.13)
        light = (
            1 + tilt[0] * place[None, :] + tilt[1] * place[:, None] - fall * (place[None, :] ** 2 + place[:, None] ** 2)
        )
        small = small * light[..., None].astype(np.float32)
        small = small * rng.uniform(0.95, 1.05, 3).astype(np.float32) * np.float32(rng.uniform(0.94, 1.16))
        grain = rng.uniform(0.004, 0.014)
        small = small + grain * rng.standard_normal(small.shape, np.float32)
        return (np.clip(small, 0, 1) * 255 + 0.5).astype(np.uint8)

    def _relief(self, mask: np.ndarray) -> np.ndarray:
        """How much the light falls on each point of the body inflated from its outline, about -1 to 1."""
        height, width = mask.shape
        scale = _RELIEF_CELLS / max(height, width)
        columns, rows = max(3, round(width * scale)), max(3, round(height * scale))
        field = Image.fromarray((mask * 255).astype(np.uint8)).resize((columns, rows), Image.Resampling.BOX)
        ring = Image.new("L", (columns + 8, rows + 8))
        ring.paste(field, (4, 4))
        reach = max(1.0, min(columns, rows) * 0.2)
        bump = np.asarray(ring.filter(ImageFilter.BoxBlur(reach)).filter(ImageFilter.BoxBlur(reach)), np.float32) / 255
        down, across = np.gradient(bump[3:-3, 3:-3])
        lit = -2.2 * reach * (across * self.light[0] + down * self.light[1])[1:-1, 1:-1]
        lit = np.where(lit < 0, 0.68 * lit, lit)  # light from all around fills the shaded side
        return _resize(lit.astype(np.float32), width, height)

    def _blend(self, window: tuple[slice, slice], mask: np.ndarray, painted: np.ndarray) -> None:
        region = self.rgb[window]
        region += mask[..., None] * (np.clip(painted, 0, 1.15) - region)


def _resize(field: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(np.ascontiguousarray(field)).resize((width, height), Image.Resampling.BICUBIC))
