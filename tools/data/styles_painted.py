"""Procedural renderings in seven more styles: paintings, drawings and prints.

They follow the rules of `tools.data.filters`, whose helpers they use: the content of the picture stays, sizes are
in pixels and do not depend on the size of the picture, and every random setting is a `Knob`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tools.data.filters import (
    Array,
    Knob,
    Knobs,
    Rng,
    blur,
    contour_lines,
    displace,
    edge_flow,
    emboss,
    fractal_noise,
    gradient,
    gradient_map,
    hatch,
    kuwahara,
    local_tone,
    luminance,
    mix,
    noise,
    paper,
    paper_grain,
    pure_hue,
    resize,
    saturate,
    smear,
    smoothstep,
    streaks,
    stretch,
    tint_jitter,
)

# --- Strokes -------------------------------------------------------------------------------------


class Dabs(NamedTuple):
    """Short strokes that cover the picture: per pixel the stroke, and the place along and across it in [-1, 1]."""

    labels: Array
    along: Array
    across: Array
    seed_y: Array
    seed_x: Array


def _dabs(flow: tuple[Array, Array], spacing: float, length: float, width: float, rng: Rng) -> Dabs:
    """Lay slightly bent strokes of `length` by `width` pixels along the flow, in random order over each other."""
    h, w = flow[0].shape
    reach = 2
    rows, cols = int(h / spacing) + 1 + 2 * reach, int(w / spacing) + 1 + 2 * reach
    cell_y, cell_x = np.mgrid[0:rows, 0:cols].reshape(2, -1) - reach
    jitter = rng.random((5, rows * cols), np.float32)
    seed_y, seed_x = (cell_y + jitter[0]) * spacing, (cell_x + jitter[1]) * spacing
    inside_y, inside_x = _inside(seed_y, h), _inside(seed_x, w)
    turn = np.arctan2(flow[0][inside_y, inside_x], flow[1][inside_y, inside_x]) + 0.35 * (jitter[2] - 0.5)
    seeds = np.stack([seed_y, seed_x, np.cos(turn), np.sin(turn), 0.5 * (jitter[3] - 0.5) / length, jitter[4]])
    seeds = seeds.astype(np.float32)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    home = ((y / spacing).astype(np.intp) + reach) * cols + (x / spacing).astype(np.intp) + reach
    best = np.full((h, w), -np.inf, np.float32)
    labels, along, across = np.zeros((h, w), np.intp), np.zeros_like(y), np.zeros_like(y)
    for step in np.add.outer(np.arange(-reach, reach + 1) * cols, np.arange(-reach, reach + 1)).ravel():
        index = home + step
        sy, sx, cos, sin, bend, rank = (layer[index] for layer in seeds)
        dy, dx = y - sy, x - sx
        u = dx * cos + dy * sin
        v = (dy * cos - dx * sin + bend * u * u) * (2.0 / width)
        u *= 2.0 / length
        rank -= 3.0 * np.maximum(u * u * u * u + v * v - 1.0, 0.0)
        closer = rank > best
        best[closer], labels[closer] = rank[closer], index[closer]
        along[closer], across[closer] = u[closer], v[closer]
    return Dabs(labels, np.clip(along, -1, 1), np.clip(across, -1, 1), inside_y, inside_x)


def _inside(position: Array, size: int) -> Array:
    return np.clip(position, 0, size - 1).astype(np.intp)


def _swirls(shape: tuple[int, int], scale: float, rng: Rng) -> Array:
    """Angle of a field that turns in whirls, about `scale` pixels from one to the next."""
    dy, dx = gradient(noise(shape, scale, scale, rng))
    return np.arctan2(dy, dx) + np.pi / 2


# --- Prints --------------------------------------------------------------------------------------


def _twice(field: Array) -> Array:
    """Enlarge a field or a picture to twice its size, for clean edges of flat shapes."""
    if field.ndim == 3:
        return np.dstack([_twice(np.ascontiguousarray(field[..., c])) for c in range(field.shape[2])])
    return resize(np.ascontiguousarray(field, np.float32), 2 * field.shape[1], 2 * field.shape[0])


def _half(field: Array) -> Array:
    """Bring a field or a picture drawn at twice the size back to its own size."""
    return 0.25 * (field[::2, ::2] + field[1::2, ::2] + field[::2, 1::2] + field[1::2, 1::2])


def _dots(shape: tuple[int, int], spacing: float, angle: float) -> Array:
    """Screen of dots as a wave in [0, 1]; 1 in the middle of a dot."""
    return 0.5 * (hatch(shape, spacing, angle, 0.0) + hatch(shape, spacing, angle + np.pi / 2, 0.0))


def _steps(tone: Array, limits: Sequence[float]) -> Array:
    """Number of limits that the tone is above, per pixel."""
    return np.searchsorted(np.asarray(limits, np.float32), tone)


def _nearest_colour(picture: Array, colours: Array, grey_weight: float) -> Array:
    """Index of the colour nearest to every pixel; differences in light count `grey_weight` times."""
    to = np.array([[grey_weight * v for v in (0.299, 0.587, 0.114)], [0.7, -0.7, 0.0], [0.4, 0.4, -0.8]], np.float32).T
    points, goals = picture @ to, colours @ to
    distance = (goals * goals).sum(axis=1) - 2.0 * points @ goals.T
    return distance.argmin(axis=2)


# --- Renderers -----------------------------------------------------------------------------------


def _van_gogh(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Thick short strokes that whirl around the forms, in blues and yellows beside the colours of the picture."""
    shape = picture.shape[:2]
    crisp = np.clip(picture + 0.7 * (picture - blur(picture, 3.0)), 0.0, 1.0)
    lum = luminance(picture)
    flow = edge_flow(0.5 * lum, 2.6, _swirls(shape, k["whirl"], rng))  # faint edges give way to the whirls
    dabs = _dabs(flow, 0.85 * k["width"], k["length"], k["width"], rng)
    colours = _starry(kuwahara(crisp, 1)[dabs.seed_y, dabs.seed_x], k, rng)
    count = len(colours)
    paint = mix(colours[dabs.labels], _starry(crisp.reshape(-1, 3), k, None).reshape(crisp.shape), k["detail"])
    bristles = rng.random((count, 6), np.float32)[dabs.labels, ((dabs.across + 1) * 2.99).astype(np.intp)]
    height = 1.0 - dabs.across**2 * 0.8 - 0.3 * dabs.along**2 + 0.5 * bristles
    height = height + 0.5 * rng.random(count, np.float32)[dabs.labels]
    light = np.tanh(emboss(blur(height, 0.5), k["light"]) * 1.2)[..., None]
    gap = smoothstep(np.abs(dabs.across), 0.72, 1.0)[..., None] * 0.26
    paint = paint * (1.0 + 0.16 * (bristles[..., None] - 0.5)) * (1.0 - gap) + k["impasto"] * light
    lines = contour_lines(lum, 1.1, 0.8, 2.0)[..., None] * 0.7
    return mix(paint, paint * 0.3 + np.array([0.0, 0.02, 0.09], np.float32), lines)


def _starry(colours: Array, k: Knobs, rng: Rng | None) -> Array:
    """Lean colours (n, 3) to blue in the dark and yellow in the light; with `rng`, each one its own way."""
    cool = colours[:, 2] - colours[:, 0]
    tone = stretch(luminance(colours)[:, None])[:, 0] - k["night"] - 0.8 * np.maximum(cool, 0.0)
    chroma = colours.max(axis=1) - colours.min(axis=1)
    lean = mix(k["lean"], 0.72, smoothstep(chroma, 0.25, 0.05))[:, None]  # greys most
    count = len(colours)
    if rng is not None:
        tone = tone + 0.08 * rng.standard_normal(count).astype(np.float32)
    stops = ((0.03, 0.06, 0.24), (0.06, 0.20, 0.52), (0.20, 0.42, 0.70), (0.50, 0.68, 0.70), (0.98, 0.86, 0.42))
    stops = (*stops, (1.0, 0.95, 0.7))
    tone = np.clip(tone, 0.0, 1.0)
    leaned = mix(saturate(colours[None], k["saturation"])[0], gradient_map(tone[None], stops)[0], lean)
    if rng is None:
        return leaned
    hue = 0.05 * rng.standard_normal((count, 1)).astype(np.float32)
    leaned = leaned + hue * np.array([1.0, 0.7, -1.6], np.float32)
    return np.clip(leaned * rng.uniform(0.84, 1.18, (count, 1)).astype(np.float32), 0.0, 1.0)


PASTEL_PAPERS = ((0.50, 0.58, 0.68), (0.72, 0.58, 0.42), (0.52, 0.60, 0.50), (0.66, 0.52, 0.60), (0.78, 0.66, 0.58))


def _pastel(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Powdery pale strokes, rubbed into each other, on the tooth of a tinted paper."""
    shape = picture.shape[:2]
    grain = paper_grain(shape, rng, k["grain"])
    tinted = np.asarray(PASTEL_PAPERS[rng.integers(len(PASTEL_PAPERS))], np.float32) * tint_jitter(rng, 0.05)
    broad, second = (streaks(shape, k["stroke"], 20, k["angle"] + turn, rng) for turn in (0.0, 0.45))
    lum = luminance(picture)
    flow = edge_flow(lum, 2.5, np.full(shape, k["angle"]) + 0.4 * noise(shape, 30, 30, rng))
    crisp = picture + 0.5 * (picture - blur(picture, 4.0))
    rubbed = smear(displace(kuwahara(crisp, 2), 0.8 * second, 0.8 * broad), flow, 2)
    chalk = saturate(np.clip(rubbed, 0.0, 1.0), k["saturation"])
    shadow = np.array([0.36, 0.30, 0.50], np.float32) * tint_jitter(rng, 0.12)  # no black: violet shadows
    chalk = mix(1.0 - (1.0 - chalk) * k["milk"], shadow, 0.6 * smoothstep(luminance(chalk), 0.42, 0.05)[..., None])
    out = mix(paper(shape, tinted, grain, 0.05), chalk, (0.58 + 0.09 * np.clip(grain, -2.0, 2.0))[..., None])
    tone = local_tone(lum, 0.8)
    hue = 0.05 * noise(shape, 5, 5, rng)[..., None] * np.array([1.0, -0.2, -1.0], np.float32)
    layers = (
        (broad, 0.10 + 0.9 * np.abs(tone - 0.5), chalk + hue),
        (second, 1.8 * (0.36 - tone), saturate(chalk * 0.74, 1.3)),
        (second, 1.8 * (tone - 0.62), mix(chalk, 1.0, 0.55) - hue),
    )
    for strokes, bias, colour in layers:
        cover = smoothstep(0.45 * strokes + 0.28 * grain + bias, -0.10, 0.75) * 0.85
        out = mix(out, colour, cover[..., None])
    lines = contour_lines(lum, 1.1, 0.5, 2.0) * smoothstep(grain, -1.5, 0.5) * 0.6
    out = mix(out, mix(shadow * 0.8, chalk * 0.5, 0.4), lines[..., None])
    return out + 0.02 * rng.standard_normal(shape).astype(np.float32)[..., None]


def _charcoal(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Broad black strokes and smudges that break on the grain of a rough paper; deep darks, wiped lights."""
    shape = picture.shape[:2]
    lum = luminance(picture)
    tone = local_tone(blur(lum, 0.6), 0.9) ** 0.9
    grain = paper_grain(shape, rng, k["grain"])
    broad, fine = (streaks(shape, k["stroke"] * s, 20 * s, k["angle"] + 0.3 * s, rng) for s in (1.0, 0.55))
    flow = (np.full(shape, np.sin(k["angle"])), np.full(shape, np.cos(k["angle"])))
    smudge = smear(blur(tone, 1.2)[..., None], flow, int(k["smudge"]))[..., 0]
    dust = 0.72 * smoothstep(1.0 - smudge + 0.07 * fractal_noise(shape, 18, rng), 0.05, 0.95)
    dust = dust * (1.0 + 0.13 * broad) * (1.0 + 0.17 * grain)
    stick = smoothstep((0.26 - tone) * 2.2 + 0.26 * broad + 0.28 * grain, -0.35, 0.65)
    hatched = smoothstep((0.60 - tone) * 1.5 + 0.40 * fine + 0.40 * grain, 0.0, 1.2) * 0.55
    lines = contour_lines(lum, 1.3, 0.3, 1.5) * smoothstep(0.7 * grain + 0.5 * broad, -1.7, -0.1)
    black = 1.0 - (1.0 - np.clip(dust, 0, 1)) * (1.0 - 0.93 * stick) * (1.0 - hatched) * (1.0 - 0.88 * lines)
    wiped = smoothstep(tone + 0.06 * broad, 0.84, 1.0) * 0.6
    sheet = paper(shape, np.array([0.93, 0.905, 0.86], np.float32) * tint_jitter(rng, 0.015), grain, 0.035)
    return mix(sheet, np.array([0.055, 0.05, 0.05], np.float32), (black * (1.0 - wiped) * k["depth"])[..., None])


UKIYO_INKS = np.array(
    [
        (0.11, 0.14, 0.24), (0.17, 0.28, 0.47), (0.35, 0.49, 0.61), (0.62, 0.71, 0.71),  # indigo, dark to pale
        (0.93, 0.87, 0.73), (0.87, 0.75, 0.57), (0.80, 0.60, 0.27), (0.55, 0.38, 0.22),  # paper, skin, ochre, brown
        (0.76, 0.29, 0.19), (0.86, 0.52, 0.38), (0.43, 0.52, 0.37), (0.24, 0.33, 0.27),  # vermilion, greens
        (0.60, 0.57, 0.51), (0.79, 0.74, 0.64), (0.30, 0.28, 0.29), (0.47, 0.28, 0.36),  # greys, plum
    ],
    np.float32,
)  # fmt: skip


def _ukiyo_e(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Woodblock print: flat areas of muted inks, fine dark contours, graded skies and faint grain of the block."""
    shape = picture.shape[:2]
    lum = luminance(picture)
    inks = np.clip(UKIYO_INKS * tint_jitter(rng, 0.05) * rng.uniform(0.94, 1.06, (len(UKIYO_INKS), 1)), 0, 1)
    inks = inks.astype(np.float32)
    raised = saturate(picture + (stretch(lum) - lum)[..., None], k["saturation"])
    calm = blur(kuwahara(kuwahara(raised, 3), 3), 0.9)
    index = _nearest_colour(_twice(calm), inks, k["grey_weight"])
    flat = _half(inks[index])
    grade = smoothstep(noise(shape, k["grade"], 160, rng), -0.3, 1.4)[..., None]  # bokashi
    cool = smoothstep(blur(picture[..., 2] - picture[..., 0], 2.0), -0.14, -0.02)
    pale = (smoothstep(luminance(flat), 0.35, 0.7) * cool)[..., None]
    flat = flat * mix(1.0, np.array([0.50, 0.64, 0.78], np.float32), grade * pale)
    rings = streaks(shape, 1.3, 60, 0.02, rng) + 0.6 * streaks(shape, 3.0, 90, 0.0, rng)
    flat = mix(flat, flat * 0.88 + 0.11, smoothstep(0.6 * rings, 0.2, 1.4)[..., None] * 0.5)
    flat = flat * (1.0 - 0.03 * smoothstep(-rings, 0.0, 1.5)[..., None])
    key = smoothstep(_twice(contour_lines(lum, 0.8, 0.6, 1.8)), 0.40, 0.62)
    line = _half(key) * k["key"]
    grain = paper_grain(shape, rng)[..., None]
    return mix(flat * (1.0 + 0.015 * grain), np.array([0.10, 0.10, 0.14], np.float32), line[..., None])


def _marbling(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Floating colours of the picture drawn out by a comb into feathered and whirling veins."""
    shape = picture.shape[:2]
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    crisp = saturate(np.clip(picture + 0.9 * (picture - blur(picture, 5.0)), 0.0, 1.0), k["saturation"])
    tone = stretch(luminance(blur(picture, 0.8)))
    whirl_y, whirl_x = (noise(shape, 30, 30, rng) * k["whirl"] for _ in "yx")
    along, across = _turned(y + whirl_y, x + whirl_x, k["angle"])
    tooth = across / k["comb"] + rng.uniform()
    pull = np.abs((tooth + 0.12 * noise(shape, 14, 14, rng)) % 1.0 * 2.0 - 1.0) ** 1.6
    pull = (pull - 0.4) * k["pull"]
    drag = _turned(pull * 0.22, np.zeros_like(pull), -k["angle"])
    drawn = displace(crisp, drag[0] + 0.2 * whirl_y, drag[1] + 0.2 * whirl_x)
    vein = (along + pull) / k["vein"] + 2.2 * tone + 0.25 * noise(shape, 9, 9, rng)
    return _veined(drawn, vein, rng)


def _turned(y: Array, x: Array, angle: float) -> tuple[Array, Array]:
    """Coordinates turned by an angle."""
    return y * np.cos(angle) - x * np.sin(angle), x * np.cos(angle) + y * np.sin(angle)


def _veined(drawn: Array, vein: Array, rng: Rng) -> Array:
    """Split the colours into veins: lighter, deeper, white and dark ones beside each other."""
    double = _twice(vein)
    band = np.floor(double)
    index, place = (band - band.min()).astype(np.intp), double - band
    count = int(index.max()) + 1
    kinds = rng.permutation(np.resize(np.arange(5), count + 5))[:count]
    light = np.array([0.0, 0.30, -0.30, 0.08, -0.12], np.float32)[kinds] * rng.uniform(0.8, 1.2, count)
    tint = rng.uniform(-0.09, 0.09, (count, 3)).astype(np.float32)
    amount = light.astype(np.float32)[index][..., None]
    colours = _twice(drawn) + tint[index]
    colours = mix(colours, 1.0, np.maximum(amount, 0.0)) * (1.0 + np.minimum(amount, 0.0))
    thread = np.minimum(place, 1.0 - place)
    colours = mix(colours, colours * 0.35, (1.0 - smoothstep(thread, 0.02, 0.14))[..., None] * 0.8)
    return _half(colours)


POP_PALETTES = (
    ((0.10, 0.05, 0.35), (0.93, 0.08, 0.50), (1.00, 0.50, 0.10), (1.00, 0.90, 0.15)),
    ((0.10, 0.04, 0.30), (0.05, 0.55, 0.85), (1.00, 0.35, 0.62), (1.00, 0.93, 0.20)),
    ((0.35, 0.03, 0.40), (0.95, 0.13, 0.20), (0.15, 0.80, 0.75), (1.00, 0.95, 0.55)),
    ((0.03, 0.10, 0.42), (0.00, 0.65, 0.45), (1.00, 0.45, 0.70), (1.00, 0.88, 0.10)),
    ((0.02, 0.16, 0.30), (0.90, 0.05, 0.42), (0.20, 0.70, 0.95), (0.85, 1.00, 0.25)),
    ((0.45, 0.00, 0.30), (0.15, 0.30, 0.90), (1.00, 0.55, 0.05), (1.00, 0.75, 0.85)),
)


def _pop_art(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Screen print: a few flat loud colours by tone, black laid on askew, dots between two of the tones."""
    lum = luminance(picture)
    tone = local_tone(luminance(blur(kuwahara(picture, 2), 0.8)), 0.8, 12.0) ** 0.8
    double = _twice(tone)
    warm = _twice(blur(picture[..., 0] - picture[..., 2], 1.5)) > k["warm"]
    first, second = rng.choice(len(POP_PALETTES), 2, replace=False)
    palettes = np.array([POP_PALETTES[first], POP_PALETTES[second]], np.float32)
    palettes[1, 0] = palettes[0, 0]
    limits = (0.22, 0.46, 0.74)
    level = _steps(double, limits)
    flat = palettes[warm.astype(np.intp), level]
    dots = _dots(double.shape, 2 * k["dot"], k["angle"])
    dotted = (dots > 1.0 - 0.9 * (limits[2] - double) / (limits[2] - limits[1])) & (level == 2)
    flat = mix(flat, palettes[warm.astype(np.intp), np.ones_like(level)], dotted[..., None].astype(np.float32))
    shift = rng.choice([-1.0, 1.0], 2) * k["shift"]
    key = np.maximum(smoothstep(double, 0.09, 0.05), smoothstep(_twice(contour_lines(lum, 1.3, 1.0, 2.4)), 0.45, 0.6))
    key = displace(key, *(np.full(key.shape, 2.0 * s) for s in shift))
    out = _half(mix(flat, palettes[0, 0] * 0.3, key[..., None]))
    worn = noise(lum.shape, 1.5, 1.5, rng) + 0.8 * fractal_noise(lum.shape, 20, rng)
    return out * (1.0 + 0.02 * worn[..., None])


def _comic(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Thick black outlines, flat bright colours in cel shading, and printed dots in the middle tones."""
    lum = luminance(picture)
    calm = blur(kuwahara(kuwahara(picture, 3), 2), 0.6)
    tone = stretch(luminance(calm)) ** 0.8
    hue, chroma = pure_hue(calm)
    double = _twice(tone)
    level = np.array([0.52, 0.80, 1.0], np.float32)[_steps(double, (0.30, 0.62))]
    bright = calm / (calm.max(axis=2, keepdims=True) + 0.02)
    strength = smoothstep(chroma, 0.04, 0.30)[..., None]
    own = mix(mix(1.0, bright, 0.6), mix(bright, hue, k["pure"]), strength)
    flat = np.rint(_twice(own) * 5.0) * (0.2 * level[..., None])
    dots = _dots(double.shape, 2 * k["dot"], k["angle"])
    size = smoothstep(double, 0.86, 0.5) * smoothstep(double, 0.24, 0.34)
    dotted = smoothstep(dots - (1.0 - 0.62 * size), -0.03, 0.05)
    flat = mix(flat, flat * (0.35 + 0.45 * flat), dotted[..., None])
    lines = smoothstep(_twice(contour_lines(blur(lum, 0.5), k["line"], 0.5, 1.5)), 0.35, 0.6)
    black = np.maximum(lines, smoothstep(double, k["black"] + 0.03, k["black"] - 0.03))
    sheet = np.array([1.0, 0.975, 0.92], np.float32) * tint_jitter(rng, 0.015)
    return _half(mix(np.clip(flat, 0, 1) * sheet, np.array([0.02, 0.02, 0.03], np.float32), black[..., None]))


# --- Settings and names --------------------------------------------------------------------------

KNOBS: dict[str, dict[str, Knob]] = {
    "van_gogh": {
        "whirl": Knob((18.0, 26.0), (27.0, 34.0)),
        "length": Knob((9.0, 12.0), (12.5, 14.5)),
        "width": Knob((2.9, 3.6)),
        "detail": Knob((0.25, 0.35)),
        "night": Knob((-0.02, 0.16)),
        "lean": Knob((0.25, 0.40)),
        "saturation": Knob((1.5, 1.9)),
        "impasto": Knob((0.09, 0.14)),
        "light": Knob((0.6, 1.4)),
    },
    "pastel": {
        "stroke": Knob((2.6, 3.3), (3.4, 4.0)),
        "angle": Knob((-1.2, -0.5), (0.5, 1.2)),
        "grain": Knob((1.5, 2.1)),
        "milk": Knob((0.66, 0.75)),
        "saturation": Knob((1.4, 1.8)),
    },
    "charcoal": {
        "stroke": Knob((2.6, 3.4), (3.6, 4.4)),
        "angle": Knob((-1.2, -0.4), (0.4, 1.2)),
        "smudge": Knob((3.0, 6.99)),
        "grain": Knob((1.6, 2.2)),
        "depth": Knob((0.93, 1.0)),
    },
    "ukiyo_e": {
        "grey_weight": Knob((0.95, 1.15), (1.2, 1.4)),
        "grade": Knob((28.0, 40.0), (42.0, 55.0)),
        "saturation": Knob((1.1, 1.5)),
        "key": Knob((0.85, 1.0)),
    },
    "marbling": {
        "comb": Knob((13.0, 18.0), (18.5, 22.0)),
        "pull": Knob((9.0, 14.0)),
        "vein": Knob((4.0, 5.2), (5.4, 6.5)),
        "whirl": Knob((3.0, 6.0)),
        "angle": Knob((-0.6, 0.6)),
        "saturation": Knob((1.4, 1.8)),
    },
    "pop_art": {
        "dot": Knob((3.4, 4.2), (4.4, 5.2)),
        "angle": Knob((0.5, 1.0), (0.0, 0.3)),
        "shift": Knob((0.5, 1.5)),
        "warm": Knob((0.04, 0.14)),
    },
    "comic": {
        "dot": Knob((3.0, 3.7), (3.9, 4.6)),
        "angle": Knob((0.6, 0.95)),
        "line": Knob((1.0, 1.25), (1.3, 1.5)),
        "pure": Knob((0.35, 0.65)),
        "black": Knob((0.05, 0.10)),
    },
}

PHRASES: dict[str, tuple[str, ...]] = {
    "van_gogh": (
        "a van gogh painting", "starry night", "post impressionist", "swirling brush strokes", "van gogh",
        "painted by vincent van gogh", "in the style of van gogh", "a post impressionist painting",
        "swirling thick paint", "vincent van gogh",
    ),
    "pastel": (
        "a pastel drawing", "soft pastel", "chalk pastel", "pastel", "pastels", "drawn with soft pastels",
        "a chalk pastel drawing", "pastel on tinted paper", "a pastel painting", "powdery pastel chalk",
    ),
    "charcoal": (
        "a charcoal drawing", "charcoal", "a charcoal sketch", "drawn with charcoal", "charcoal on paper",
        "smudged charcoal", "a smudged charcoal drawing", "black charcoal strokes", "charcoal art",
        "drawn with a stick of charcoal",
    ),
    "ukiyo_e": (
        "a ukiyo e print", "japanese woodblock print", "japanese print", "ukiyo e", "a japanese woodblock print",
        "a woodblock print from japan", "in the style of hokusai", "an edo period print", "a print by hiroshige",
        "old japanese art",
    ),
    "marbling": (
        "marbling", "paper marbling", "marbled paper", "ebru", "marbled ink", "ebru art", "a sheet of marbled paper",
        "turkish marbling", "swirls of marbled paint", "combed marbling",
    ),
    "pop_art": (
        "pop art", "in the style of pop art", "warhol print", "a pop art print", "an andy warhol print", "warhol",
        "a pop art poster", "a bold screen print", "a silkscreen print", "andy warhol pop art",
    ),
    "comic": (
        "a comic book", "a comic book page", "cartoon", "comic strip", "comic", "a comic book drawing", "a cartoon",
        "comic book art", "a comic panel", "drawn as a comic",
    ),
}  # fmt: skip

RENDERERS: dict[str, Callable[[Array, Knobs, Rng], Array]] = {
    "van_gogh": _van_gogh,
    "pastel": _pastel,
    "charcoal": _charcoal,
    "ukiyo_e": _ukiyo_e,
    "marbling": _marbling,
    "pop_art": _pop_art,
    "comic": _comic,
}
