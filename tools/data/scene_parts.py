"""What several kinds of drawn scenes share: backgrounds, poses, foliage, windows, eyes."""

from __future__ import annotations

import numpy as np

from tools.data.paint import Canvas, blob, ellipse, hsv, mix, rect, rotate, smooth, symmetric

WHITE = np.array([0.95, 0.95, 0.94], np.float32)
BLACK = np.array([0.06, 0.06, 0.07], np.float32)
_SKIES = (
    ((0.25, 0.48, 0.80), (0.78, 0.87, 0.95)),
    ((0.38, 0.60, 0.88), (0.90, 0.93, 0.95)),
    ((0.60, 0.68, 0.76), (0.86, 0.87, 0.86)),
    ((0.27, 0.30, 0.52), (0.98, 0.68, 0.42)),
    ((0.45, 0.40, 0.60), (0.99, 0.80, 0.62)),
    ((0.08, 0.11, 0.27), (0.38, 0.40, 0.58)),
    ((0.30, 0.62, 0.78), (0.97, 0.92, 0.78)),
)


class Pose:
    """Places a figure drawn about the origin: turn, mirror, scale, move."""

    def __init__(self, x: float, y: float, scale: float, angle: float = 0.0, flip: bool = False) -> None:
        self.x, self.y, self.scale, self.angle, self.flip = x, y, scale, angle, flip

    def __call__(self, shape: np.ndarray) -> np.ndarray:
        shape = np.asarray(shape, float)
        if self.flip:
            shape = shape * (-1, 1)
        return rotate(shape, self.angle) * self.scale + (self.x, self.y)


def coin(rng: np.random.Generator) -> bool:
    """True half of the time."""
    return bool(rng.random() < 0.5)


def random_colour(rng: np.random.Generator, saturation: tuple = (0.35, 0.85), value: tuple = (0.4, 0.9)) -> np.ndarray:
    """Any hue, a little muted as surfaces in photos are."""
    return hsv(rng.random(), 0.87 * rng.uniform(*saturation), rng.uniform(*value))


def random_green(rng: np.random.Generator, value: tuple = (0.25, 0.55)) -> np.ndarray:
    """The green of some grass or foliage."""
    return hsv(rng.uniform(0.18, 0.38), rng.uniform(0.3, 0.65), rng.uniform(*value))


# Backgrounds ---------------------------------------------------------------------------------------------------------


def sky(c: Canvas, horizon: float = 1.0, cloudy: float | None = None, bright: bool = False) -> np.ndarray:
    """Paints a sky down to the horizon and returns the colour of the air there."""
    rng = c.rng
    high, low = _SKIES[int(rng.integers(0, 3 if bright else len(_SKIES)))]
    c.gradient((0, high), (1, low), bottom=horizon)
    cloudy = rng.uniform(0.0, 0.8) if cloudy is None else cloudy
    rows = min(c.side, round(horizon * c.side))
    if cloudy > 0.1 and rows > 4:
        cover = np.clip(c.noise(rows, c.side, "cloud", (1, 2)) * 0.8 + rng.uniform(-0.5, 0.3), 0, 1)[..., None] * cloudy
        c.rgb[:rows] += cover * (mix(low, WHITE, 0.65) - c.rgb[:rows])
    return np.asarray(low, np.float32)


def ground(c: Canvas, horizon: float, colour: np.ndarray, air: np.ndarray) -> None:
    """Paints open ground below the horizon, paler in the distance."""
    c.gradient((0, mix(colour, air, 0.4)), (0.25, colour), (1, colour * 0.7), top=horizon)
    c.grain(0.13, "mixed", (1, 2), top=horizon)


def meadow(c: Canvas, horizon: float, bright: bool = False) -> np.ndarray:
    """Paints a sky, hills and a meadow; returns the colour of the air at the horizon."""
    air = sky(c, horizon + 0.02, bright=bright)
    rng = c.rng
    hill = [(x, horizon - rng.uniform(0.0, 0.12)) for x in np.linspace(-0.2, 1.2, 7)]
    ridge = np.concatenate([smooth(hill, closed=False), [(1.2, horizon + 0.1), (-0.2, horizon + 0.1)]])
    c.fill(ridge, colour=mix(random_green(rng), air, 0.45), relief=0.3, texture=0.1)
    ground(c, horizon, random_green(rng, (0.35, 0.6)) if rng.random() < 0.8 else hsv(0.11, 0.4, 0.7), air)
    return air


def interior(c: Canvas, edge: float) -> None:
    """A wall and a table whose far edge lies at ``edge``."""
    rng = c.rng
    wall = random_colour(rng, (0.05, 0.4), (0.35, 0.9))
    c.gradient((0, wall * rng.uniform(0.7, 1.05)), (1, wall * rng.uniform(0.6, 0.95)), bottom=edge)
    c.grain(0.04, "cloud", bottom=edge)
    if rng.random() < 0.6:
        table = hsv(rng.uniform(0.04, 0.1), rng.uniform(0.35, 0.7), rng.uniform(0.3, 0.75))
        grain = 0.1
    else:
        table, grain = random_colour(rng, (0.05, 0.45), (0.4, 0.9)), 0.03
    c.gradient((0, table * 0.8), (0.3, table), (1, table * 0.85), top=edge)
    c.grain(grain, "mixed", (1, 8), top=edge)
    side = -0.2 if c.light[0] < 0 else 1.2
    c.glow(side, rng.uniform(0, 0.4), rng.uniform(0.4, 0.8), WHITE, rng.uniform(0.1, 0.4))


def blurred(c: Canvas) -> None:
    """An out-of-focus background: foliage, a room or a plain wall."""
    rng = c.rng
    choice = rng.integers(0, 3)
    if choice == 0:
        c.bokeh(
            random_green(rng, (0.15, 0.4)),
            random_green(rng),
            random_green(rng, (0.4, 0.7)),
            random_colour(rng, (0.2, 0.5)),
        )
    elif choice == 1:
        base = random_colour(rng, (0.1, 0.5), (0.3, 0.8))
        c.bokeh(base, base * 0.8, mix(base, WHITE, 0.3), cells=4)
    else:
        base = random_colour(rng, (0.05, 0.4), (0.3, 0.85))
        c.gradient((0, base), (1, base * rng.uniform(0.6, 0.9)))
        c.grain(0.06, "cloud")


def drop_shadow(c: Canvas, x: float, y: float, width: float, strength: float = 0.5) -> None:
    """The soft shadow of something that stands at (x, y)."""
    lean = -0.5 * c.light[0] * width
    c.shadow(ellipse(x + lean, y, width * 1.15, width * 0.22), strength=strength, soft=0.02)
    c.shadow(ellipse(x, y, width * 0.9, width * 0.1), strength=strength, soft=0.008)


# Parts ---------------------------------------------------------------------------------------------------------------


def foliage(c: Canvas, x: float, y: float, r: float, colour: np.ndarray, clumps: int = 11) -> None:
    """Paints a crown of leaves in three layers, brighter towards the light."""
    rng = c.rng
    for layer, value in ((0, 0.55), (1, 0.85), (2, 1.15)):
        shift = c.light * 0.16 * r * layer
        shapes = []
        for _ in range(clumps):
            turn, far = rng.uniform(0, 2 * np.pi), r * np.sqrt(rng.random()) * (0.85 - 0.15 * layer)
            shapes.append(
                blob(
                    rng,
                    x + shift[0] + far * np.cos(turn),
                    y + shift[1] + far * np.sin(turn) * 0.85,
                    r * 0.3,
                    r * 0.26,
                    0.3,
                )
            )
        c.fill(*shapes, colour=colour * value, relief=0.55, texture=0.2, soft=0.003)


def window(c: Canvas, pose: Pose, x: float, y: float, w: float, h: float, lit: bool, frame: np.ndarray) -> None:
    """Paints a window with its frame and bars."""
    c.fill(pose(rect(x - w * 1.2, y - h * 1.15, x + w * 1.2, y + h * 1.15)), colour=frame, relief=0.2)
    glass, low = (hsv(0.12, 0.55, 1.0), hsv(0.09, 0.7, 0.85)) if lit else (hsv(0.58, 0.3, 0.62), hsv(0.6, 0.45, 0.25))
    c.fill(pose(rect(x - w, y - h, x + w, y + h)), colour=glass, bottom=low, relief=0)
    bars = (rect(x - w * 0.1, y - h, x + w * 0.1, y + h), rect(x - w, y - h * 0.1, x + w, y + h * 0.1))
    c.fill(*(pose(bar) for bar in bars), colour=frame * 0.85, relief=0, texture=0)


def eye(c: Canvas, pose: Pose, x: float, y: float, r: float, iris: np.ndarray, slit: bool = False) -> None:
    """Paints an animal's eye, with a round or a slit pupil."""
    c.fill(pose(ellipse(x, y, r * 1.12)), colour=BLACK, relief=0, soft=0.002)
    c.fill(pose(ellipse(x, y, r)), colour=iris, bottom=mix(iris, WHITE, 0.35), relief=0.3, texture=0.08)
    c.fill(
        pose(ellipse(x, y, r * (0.28 if slit else 0.55), r * (0.85 if slit else 0.55))),
        colour=BLACK,
        relief=0,
        texture=0,
    )
    c.fill(pose(ellipse(x - r * 0.3, y - r * 0.35, r * 0.2, points=10)), colour=WHITE, relief=0, texture=0)


def profile(*points: tuple[float, float]) -> np.ndarray:
    """The outline of a turned body from its right half, listed (radius, height) from top to bottom."""
    return symmetric(smooth(points, closed=False))


def bloom(c: Canvas, x: float, y: float, r: float, colour: np.ndarray) -> None:
    """Paints one blossom seen from the front."""
    rng = c.rng
    count, turn, squash = int(rng.integers(5, 10)), rng.uniform(0, 6), rng.uniform(0.7, 1.0)
    for ring, size in ((1.0, 0.62), (0.6, 0.5)):
        petals = []
        for k in range(count):
            at = turn + ring + 2 * np.pi * k / count
            petal = rotate(ellipse(0.55 * ring, 0, size * 0.6, size * 0.36, points=18), at)
            petals.append(petal * (r, r * squash) + (x, y))
        tone = colour * (0.75 if ring == 1.0 else 1.05)
        for first in (0, 1) if ring == 1.0 else (slice(None),):
            chosen = petals[first::2] if ring == 1.0 else petals
            c.fill(*chosen, colour=tone * (1.15 if first == 1 else 1.0), relief=0.6, texture=0.06)
    c.fill(
        ellipse(x, y, r * 0.26, r * 0.26 * squash),
        colour=hsv(rng.uniform(0.06, 0.15), 0.8, 0.7),
        relief=0.7,
        texture=0.2,
    )
