"""Eight more procedural styles: materials, seasons and media, made with the helpers of `tools.data.styles`.

The same rules hold: content stays, sizes are in pixels whatever the size of the picture, and held-out settings are
disjoint from those of training.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy import ndimage

from tools.data.filters import (
    Array,
    Knob,
    Knobs,
    Rng,
    blur,
    cell_means,
    contour_lines,
    emboss,
    fractal_noise,
    gradient,
    gradient_map,
    kuwahara,
    local_tone,
    luminance,
    mix,
    noise,
    pure_hue,
    saturate,
    smoothstep,
    streaks,
    stretch,
    tint_jitter,
)

# --- Scattered cells and specks ------------------------------------------------------------------


def scattered_cells(
    v: Array, u: Array, size: tuple[float, float], jitter: float, rng: Rng, power: float = 2.0
) -> tuple[Array, Array, Array, Array, int]:
    """Voronoi cells about `size` (height, width) pixels around jittered points; a high `power` makes them blocky.

    Returns the cell of every pixel, its offset (y and x, in pixels) from the cell's point, the distance in pixels to
    the nearest joint, and the number of cells.
    """
    height, width = size
    v, u = v / height, u / width
    row = np.floor(v)
    first = int(row.min()) - 1
    rows, cols = int(row.max()) - first + 2, int(u.max() - u.min()) + 5
    shifts = rng.uniform(-jitter, jitter, (2, rows, cols)).astype(np.float32)
    best, second = (np.full(v.shape, np.inf, np.float32) for _ in "ab")
    labels, off_y, off_x = np.zeros(v.shape, np.intp), np.zeros_like(best), np.zeros_like(best)
    for step in (-1, 0, 1):
        near_row = row + step
        bond = 0.5 * (near_row % 2)
        home = np.floor(u - bond)
        r = (near_row - first).astype(np.intp)
        for side in (-1, 0, 1):
            col = home + side
            c = col.astype(np.intp) % cols
            dv = v - near_row - 0.5 - shifts[0, r, c]
            du = u - bond - col - 0.5 - shifts[1, r, c]
            distance = np.abs(dv) ** power + np.abs(du) ** power if power != 2.0 else dv * dv + du * du
            closer = distance < best
            second = np.where(closer, best, np.minimum(second, distance))
            best = np.where(closer, distance, best)
            labels = np.where(closer, r * cols + c, labels)
            off_y, off_x = np.where(closer, dv, off_y), np.where(closer, du, off_x)
    joint = 0.5 * (second ** (1 / power) - best ** (1 / power)) * min(height, width)
    return labels, off_y * height, off_x * width, joint, rows * cols


def coordinates(shape: tuple[int, int], wave: float, scale: float, rng: Rng) -> tuple[Array, Array]:
    """Pixel coordinates (y, x) with a random origin, bent by `wave` pixels."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    bent_y, bent_x = (wave * noise(shape, scale, scale, rng) for _ in "yx")
    return y + bent_y + np.float32(rng.uniform(0, 99)), x + bent_x + np.float32(rng.uniform(0, 99))


def specks(shape: tuple[int, int], per_pixel: float, sigma: float, rng: Rng) -> Array:
    """Soft round dots of random strength, up to about 1."""
    seeds = rng.uniform(size=shape)
    dots = np.where(seeds < per_pixel, 0.4 + 0.6 * seeds / per_pixel, 0.0).astype(np.float32)
    return np.clip(blur(dots, sigma) * (2 * np.pi * sigma * sigma + 0.6), 0.0, 1.0)


def shifted(field: Array, dy: int, dx: int) -> Array:
    """The field moved down by `dy` and right by `dx` whole pixels, its margins repeated."""
    h, w = field.shape[:2]
    return field[np.clip(np.arange(h) - dy, 0, h - 1)[:, None], np.clip(np.arange(w) - dx, 0, w - 1)[None, :]]


# --- Small palettes ------------------------------------------------------------------------------


def _palette(picture: Array, count: int) -> Array:
    """At most `count` main colours of the picture."""
    image = Image.fromarray((np.clip(picture, 0.0, 1.0) * 255).astype(np.uint8))
    table = image.quantize(count, Image.Quantize.MEDIANCUT, kmeans=10).getpalette()[: 3 * count]
    return np.array(table, np.float32).reshape(-1, 3) / 255


def _nearest(picture: Array, palette: Array) -> Array:
    """The nearest colour of the palette for every pixel, as an index; green counts most."""
    weight = np.sqrt(np.array([0.8, 1.2, 0.6], np.float32))
    ours, theirs = picture.reshape(-1, 3) * weight, palette * weight
    distance = (theirs * theirs).sum(axis=1) - 2.0 * ours @ theirs.T
    return np.argmin(distance, axis=1).reshape(picture.shape[:2])


# --- Renderers -----------------------------------------------------------------------------------


def _stone_wall(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Irregular grey and beige stones with rough faces between deep dark joints."""
    shape = picture.shape[:2]
    lum = blur(luminance(picture), 0.6)
    tone = local_tone(lum, 1.0)
    lines = contour_lines(lum, 0.8, 0.5, 1.8)
    v, u = coordinates(shape, 1.3, 7, rng)
    size = (k["stone"], k["stone"] * k["aspect"])
    cells, _, _, joint, count = scattered_cells(v, u, size, 0.34, rng, 3.0)
    rough = fractal_noise(shape, 5, rng)
    face = smoothstep(joint + 0.12 * rough, 0.1, 2.6)
    height = 0.8 * face + 0.16 * rough + 0.12 * noise(shape, 1.6, 1.6, rng) + 2.6 * blur(tone, 0.8)
    relief = np.tanh(1.1 * emboss(height, k["light"]))
    own = cell_means(tone[..., None], cells, count)[cells][..., 0]
    tint = rng.uniform(-1.0, 1.0, count).astype(np.float32)[cells]
    warm = rng.uniform(0.0, 1.0, count).astype(np.float32)[cells]
    shade = 0.12 + 0.74 * mix(tone, own, 0.08) + 0.045 * tint + 0.19 * relief + 0.03 * rough
    shade = np.clip(shade * (1.0 - 0.55 * lines), 0.0, 1.0)
    grey = gradient_map(shade, ((0.10, 0.10, 0.11), (0.45, 0.45, 0.45), (0.95, 0.95, 0.92)))
    beige = gradient_map(shade, ((0.13, 0.10, 0.07), (0.55, 0.47, 0.36), (0.99, 0.93, 0.80)))
    stones = mix(grey, beige, smoothstep(warm, 0.45, 0.9)[..., None]) * tint_jitter(rng, 0.03)
    body = smoothstep(joint + 0.10 * rough, 0.5 * k["joint"] - 0.4, 0.5 * k["joint"] + 0.45)
    mortar = np.array([0.30, 0.28, 0.255], np.float32) * (0.2 + tone)[..., None]
    return mix(mortar, stones, body[..., None])


def _leather(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Tooled hide: pebbled grain, pressed contours with burnt edges, and a waxy sheen."""
    shape = picture.shape[:2]
    lum = blur(luminance(picture), 0.7)
    tone = local_tone(lum, 0.7)
    v, u = coordinates(shape, 0.9, 5, rng)
    _, _, _, joint, _ = scattered_cells(v, u, (k["grain"], k["grain"] * 1.15), 0.42, rng)
    pebbles = smoothstep(joint, 0.0, 1.3)
    lines = contour_lines(lum, 1.0, 0.5, 1.7)
    height = 0.55 * pebbles + 0.10 * noise(shape, 2, 2, rng) + k["press"] * (blur(tone, 1.0) - 0.35 * lines)
    relief = np.tanh(1.3 * emboss(blur(height, 0.5), k["light"]))
    worn = fractal_noise(shape, 24, rng)
    shade = 0.20 + 0.62 * tone + 0.17 * relief + 0.04 * worn + 0.07 * (pebbles - 0.7)
    shade = np.clip(shade * (1.0 - 0.5 * lines), 0.0, 1.0)
    tan = gradient_map(shade, ((0.10, 0.04, 0.02), (0.36, 0.16, 0.07), (0.66, 0.35, 0.16), (0.90, 0.62, 0.37)))
    ox = gradient_map(shade, ((0.09, 0.03, 0.03), (0.30, 0.11, 0.08), (0.55, 0.22, 0.15), (0.82, 0.48, 0.36)))
    hide = mix(tan, ox, k["red"]) * tint_jitter(rng, 0.04)
    sheen = smoothstep(relief + 0.5 * (tone - 0.5) + 0.12 * worn, 0.30, 1.0) * (0.35 + 0.65 * pebbles)
    return hide + 0.42 * sheen[..., None] * np.array([1.0, 0.90, 0.78], np.float32)


LEAVES = np.array(
    [
        (0.82, 0.12, 0.05),
        (0.95, 0.34, 0.05),
        (0.99, 0.56, 0.08),
        (0.90, 0.44, 0.09),
        (0.64, 0.2, 0.07),
        (1.0, 0.74, 0.16),
    ],
    np.float32,
)
RUSSET = np.array([1.0, 0.72, 0.6], np.float32)


def _autumn(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Everything turned to red, orange and ochre in warm low light, with leaves scattered over it."""
    shape = picture.shape[:2]
    tone = local_tone(luminance(picture), 0.5)
    red, green, blue = (blur(picture, 0.7)[..., c] for c in range(3))
    sky = smoothstep(blue - red, 0.0, 0.16) * smoothstep(tone, 0.2, 0.45)
    pale = np.maximum(sky, smoothstep(tone, 0.72, 0.98))
    hue = 0.5 + 1.3 * (red - green) - 0.25 * noise(shape, 14, 14, rng) + k["blush"]
    crimson = gradient_map(tone, ((0.13, 0.03, 0.02), (0.62, 0.14, 0.05), (0.95, 0.50, 0.20), (1.0, 0.92, 0.72)))
    ochre = gradient_map(tone, ((0.14, 0.07, 0.01), (0.66, 0.34, 0.05), (0.98, 0.72, 0.18), (1.0, 0.95, 0.74)))
    warm = mix(ochre, crimson, smoothstep(hue, 0.3, 0.9)[..., None])
    warm = mix(warm, picture * np.array([1.08, 0.92, 0.72], np.float32), 0.22)
    haze = gradient_map(tone, ((0.62, 0.47, 0.38), (0.90, 0.76, 0.60), (1.0, 0.95, 0.83)))
    warm = mix(warm, haze, 0.8 * sky[..., None])
    leaf, rib, colours, lot = _leaves(shape, k["leaf"], rng)
    cover = leaf * smoothstep(lot + 0.55 * pale, k["fall"] + 0.04, k["fall"] - 0.04)
    lit = (0.62 + 0.55 * tone) * (1.0 - 0.3 * rib)
    shadow = shifted(cover, 1, 1) * (1.0 - cover)
    out = warm * (1.0 - 0.35 * shadow[..., None])
    return mix(out, colours * lit[..., None] * mix(RUSSET, 1.0, tone[..., None]), 0.9 * cover[..., None])


def _leaves(shape: tuple[int, int], size: float, rng: Rng) -> tuple[Array, Array, Array, Array]:
    """Pointed leaves lying in all directions: their mask, midribs and colours, and a random number for each."""
    v, u = coordinates(shape, 0.4, 4, rng)
    cells, off_y, off_x, _, count = scattered_cells(v, u, (size, size), 0.3, rng)
    angle = rng.uniform(0, 2 * np.pi, count).astype(np.float32)[cells]
    along = (off_x * np.cos(angle) + off_y * np.sin(angle)) / (0.62 * size)
    across = (off_y * np.cos(angle) - off_x * np.sin(angle)) / (0.30 * size)
    leaf = smoothstep(1.0 - along * along - np.abs(across), -0.12, 0.25)
    rib = smoothstep(np.abs(across), 0.35, 0.05)
    colours = LEAVES[rng.integers(0, len(LEAVES), count)] * rng.uniform(0.85, 1.1, (count, 1)).astype(np.float32)
    return leaf, rib, colours[cells], rng.uniform(size=count).astype(np.float32)[cells]


def _snow(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Cold light, snow lying on top of things and on bright ground, and flakes falling in front."""
    shape = picture.shape[:2]
    lum = blur(luminance(picture), 0.7)
    tone = local_tone(lum, 0.7)
    cold = gradient_map(tone, ((0.07, 0.11, 0.20), (0.34, 0.44, 0.58), (0.70, 0.79, 0.90), (0.93, 0.96, 1.0)))
    world = mix(cold, 0.12 + 0.88 * picture * np.array([0.86, 0.97, 1.10], np.float32), k["colour"])
    heap = fractal_noise(shape, 6, rng)
    lying = _lying(lum, k["depth"], heap)
    lines = contour_lines(lum, 0.8, 0.5, 1.8)
    dust = smoothstep(tone + 0.12 * heap, 0.62, 0.90)
    snow = np.maximum(0.95 * lying, 0.8 * dust) * (1.0 - 0.7 * lines)
    bump = emboss(blur(snow, 0.8) * 1.0 + 0.10 * heap + 3.0 * blur(tone, 0.7), -2.2)
    white = 0.90 + 0.30 * (tone - 0.75) + 0.28 * np.tanh(bump) + 0.02 * rng.standard_normal(shape).astype(np.float32)
    lit = gradient_map(np.clip(white, 0, 1), ((0.30, 0.40, 0.58), (0.62, 0.73, 0.90), (1.0, 1.0, 1.0)))
    world = world * (1.0 - 0.3 * (shifted(lying, 2, 0) * (1.0 - lying)))[..., None]
    out = mix(world, lit, snow[..., None])
    far, near = specks(shape, k["flakes"], 0.65, rng), specks(shape, 0.25 * k["flakes"], 1.25, rng)
    return mix(out, 1.0, (0.95 * np.maximum(far, near))[..., None])


def _lying(lum: Array, depth: float, heap: Array) -> Array:
    """Mask of snow on the upper side of things: under every edge that faces up, of uneven thickness."""
    dy, dx = gradient(blur(lum, 0.8))
    facing = np.maximum(np.abs(dy) - 0.5 * np.abs(dx), 0.0) * np.where(dy < 0, 1.0, 0.45)
    ledge = facing / (float(np.sqrt(np.mean(facing * facing))) + 0.006)
    total = np.zeros_like(lum)
    for step in range(int(depth) + 1):
        total = np.maximum(total, shifted(ledge, step - 1, 0) * (1.0 - 0.5 * step / depth))
    return smoothstep(blur(total, 0.7) + 0.25 * heap, 0.7, 1.2)


def _clay(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Matte lumps of plasticine in a few plain colours, softly lit, with dents and finger marks."""
    shape = picture.shape[:2]
    lum = luminance(picture)
    crisp = np.clip(picture + 0.7 * (picture - blur(picture, 4.0)), 0.0, 1.0)
    smooth = blur(kuwahara(crisp, 2), k["lump"])
    smooth = saturate(smooth + 0.8 * (smooth - blur(smooth, 2.5)), k["saturation"])
    grey = luminance(smooth)[..., None]
    kinds = np.clip(0.5 + 0.6 * (grey - 0.5) + 1.2 * (smooth - grey), 0.0, 1.0)  # told apart by hue more than by tone
    palette = _palette(kinds[::4, ::4], int(k["colours"]))
    lump = _nearest(kinds, palette)
    plain = blur(cell_means(smooth, lump, len(palette))[lump], 0.7)
    dy, dx = np.gradient(plain, axis=(0, 1))
    step = np.sqrt((dy * dy + dx * dx).sum(axis=2))
    seam = smoothstep(step, 0.05, 0.16)
    inside = ndimage.distance_transform_edt(seam < 0.5).astype(np.float32)
    pillow = blur(np.sqrt(np.minimum(inside, 9.0)), 1.0)
    lumpy = 0.55 * fractal_noise(shape, 10, rng, 2) + k["prints"] * _finger_marks(shape, rng)
    relief = np.tanh(0.9 * emboss(1.7 * pillow + lumpy + 2.0 * blur(lum, 1.2), k["light"]))
    crease = np.maximum(0.5 * blur(seam, 0.8), 0.8 * contour_lines(lum, 1.0, 0.9, 2.4))
    body = 0.12 + 0.78 * plain
    clay = body * ((1.0 + 0.36 * relief) * (1.0 - 0.5 * crease))[..., None]
    return clay + 0.13 * smoothstep(relief, 0.35, 1.0)[..., None]


def _finger_marks(shape: tuple[int, int], rng: Rng) -> Array:
    """Patches of fine curved parallel ridges, as of finger tips."""
    v, u = coordinates(shape, 1.2, 10, rng)
    cells, off_y, off_x, joint, count = scattered_cells(v, u, (17.0, 17.0), 0.35, rng)
    pull = rng.uniform(-5.0, 5.0, (2, count)).astype(np.float32)
    ridges = np.cos(np.hypot(off_y + pull[0][cells], 1.5 * (off_x + pull[1][cells])) * (2 * np.pi / 2.9))
    return ridges * smoothstep(joint, 0.5, 3.0) * (rng.uniform(size=count) < 0.55)[cells]


def _vintage_photo(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Sepia print, faded and soft, with film grain, scratches, dust and darkened margins."""
    shape = picture.shape[:2]
    lum = luminance(picture)
    tone = stretch(blur(lum, 0.8))
    tone = mix(tone, blur(tone, 3.0), 0.2)
    tone = 0.5 + 0.86 * (tone - 0.5) + 0.14 * (tone - blur(tone, 6.0))
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    rim = np.minimum(np.minimum(y, shape[0] - 1 - y), np.minimum(x, shape[1] - 1 - x))
    stain = fractal_noise(shape, 28, rng)
    margin = smoothstep(rim + 5.0 * stain, 26.0, -4.0)
    grain = 0.6 * noise(shape, 1.7, 1.7, rng) + 0.6 * rng.standard_normal(shape).astype(np.float32)
    grain = grain * (0.6 + 1.6 * np.clip(tone * (1.0 - tone), 0.0, 0.25))
    tone = tone * (1.0 - 0.42 * margin) + 0.035 * stain + k["grain"] * grain
    stops = ((0.21, 0.13, 0.08), (0.45, 0.32, 0.20), (0.71, 0.56, 0.38), (0.90, 0.80, 0.61), (0.98, 0.93, 0.79))
    print_ = gradient_map(np.clip(tone, 0.0, 1.0), stops) * tint_jitter(rng, 0.03)
    marks = np.maximum(_scratches(shape, k["scratches"], rng), specks(shape, 0.0012, 0.75, rng))
    dirt = specks(shape, 0.0009, 0.9, rng)
    print_ = mix(print_, np.array([0.97, 0.92, 0.80], np.float32), (0.75 * marks)[..., None])
    return mix(print_, np.array([0.20, 0.12, 0.07], np.float32), (0.7 * dirt)[..., None])


def _scratches(shape: tuple[int, int], spacing: float, rng: Rng) -> Array:
    """Thin broken lines, nearly upright, about `spacing` pixels apart."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    tilt = rng.uniform(-0.12, 0.12)
    across = (x + tilt * y + 1.2 * noise(shape, 30, 60, rng)) / spacing + rng.uniform(0, 9)
    line = np.floor(across)
    place = rng.uniform(0.1, 0.9, int(line.max() - line.min()) + 1).astype(np.float32)
    distance = np.abs(across - line - place[(line - line.min()).astype(np.intp)]) * spacing
    broken = smoothstep(noise(shape, 22, 0.4 * spacing, rng), 0.1, 0.6)
    return smoothstep(distance, 0.9, 0.2) * broken


BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32) / 15.0 - 0.5


def _pixel_art(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Square blocks in a small palette with ordered dithering and dark outlines."""
    h, w = picture.shape[:2]
    block = int(k["block"])
    rows, cols = -(-h // block), -(-w // block)
    top, left = rng.integers(0, rows * block - h + 1), rng.integers(0, cols * block - w + 1)
    margins = ((top, rows * block - h - top), (left, cols * block - w - left), (0, 0))
    crisp = picture + 0.7 * (picture - blur(picture, 1.5 * block))
    small = np.pad(crisp, margins, mode="edge").reshape(rows, block, cols, block, 3).mean(axis=(1, 3))
    small = saturate(np.clip(0.5 + 1.12 * (small - 0.5), 0.0, 1.0), k["saturation"])
    ink = np.array([[0.07, 0.05, 0.12]], np.float32) * tint_jitter(rng, 0.3)
    palette = np.vstack([_palette(small, int(k["colours"])), ink])
    lines = contour_lines(luminance(small), 0.7, 1.1, 2.0)[..., None]
    inked = small * (1.0 - 0.75 * lines)
    tiled = np.tile(BAYER, (rows // 4 + 1, cols // 4 + 1))[:rows, :cols, None]
    chosen = palette[_nearest(inked + k["dither"] * tiled, palette)]
    return chosen.repeat(block, axis=0).repeat(block, axis=1)[top : top + h, left : left + w]


def _cyberpunk(picture: Array, k: Knobs, rng: Rng) -> Array:
    """Rainy night between a magenta light and a cyan one, with glow, scan lines and colour fringes."""
    shape = picture.shape[:2]
    lum = blur(luminance(picture), 0.5)
    tone = 0.92 * local_tone(lum, 0.9) ** 1.4
    relief = np.tanh(emboss(blur(tone, 1.3), k["light"]) * 9.0)
    own, chroma = pure_hue(blur(picture, 1.0))
    warmth = (own[..., 0] - own[..., 2]) * smoothstep(chroma, 0.03, 0.3)
    side = 0.9 * relief + 0.8 * warmth + 0.35 * noise(shape, 40, 40, rng) + k["lean"]
    pink = gradient_map(tone, ((0.05, 0.01, 0.13), (0.36, 0.03, 0.42), (0.93, 0.10, 0.62), (1.0, 0.62, 0.86)))
    cyan = gradient_map(tone, ((0.02, 0.02, 0.14), (0.05, 0.16, 0.48), (0.04, 0.66, 0.88), (0.66, 1.0, 0.98)))
    night = mix(cyan, pink, smoothstep(side, -0.55, 0.55)[..., None]) * (0.85 + 0.15 * np.abs(relief))[..., None]
    bright = night * smoothstep(tone, 0.55, 0.95)[..., None]
    night = night + k["glow"] * (0.6 * blur(bright, 2.0) + 0.6 * blur(bright, 6.0))
    rain = smoothstep(streaks(shape, 1.3, 16, k["rain"], rng), 1.5, 2.6)
    night = night + 0.30 * rain[..., None] * np.array([0.6, 0.85, 1.0], np.float32)
    fringe = int(k["fringe"])
    night = np.dstack([shifted(night[..., 0], 0, fringe), night[..., 1], shifted(night[..., 2], 0, -fringe)])
    lines = np.cos((np.arange(shape[0], dtype=np.float32) + rng.uniform(0, 3)) * (2 * np.pi / k["scan"]))
    return (1.0 - np.exp(-1.35 * night)) * 1.18 * (1.0 + 0.10 * lines)[:, None, None]


# --- Settings and names --------------------------------------------------------------------------

KNOBS: dict[str, dict[str, Knob]] = {
    "stone_wall": {
        "stone": Knob((7.5, 9.5), (9.8, 11.5)),
        "aspect": Knob((1.25, 1.6), (1.65, 1.9)),
        "joint": Knob((1.0, 1.4)),
        "light": Knob((0.6, 1.4)),
    },
    "leather": {
        "grain": Knob((3.4, 4.4), (4.6, 5.4)),
        "press": Knob((2.2, 3.0)),
        "light": Knob((0.6, 1.4), (1.7, 2.3)),
        "red": Knob((0.0, 0.8)),
    },
    "autumn": {
        "leaf": Knob((6.0, 8.0), (8.3, 10.0)),
        "fall": Knob((0.45, 0.6), (0.62, 0.72)),
        "blush": Knob((-0.15, 0.25)),
    },
    "snow": {
        "depth": Knob((3.0, 4.99), (5.0, 6.5)),
        "flakes": Knob((0.006, 0.011), (0.012, 0.016)),
        "colour": Knob((0.15, 0.3)),
    },
    "clay": {
        "lump": Knob((0.7, 1.0), (1.05, 1.3)),
        "colours": Knob((8.0, 11.99)),
        "prints": Knob((0.16, 0.22), (0.23, 0.28)),
        "saturation": Knob((1.5, 1.9)),
        "light": Knob((0.6, 1.4)),
    },
    "vintage_photo": {
        "grain": Knob((0.03, 0.05), (0.052, 0.065)),
        "scratches": Knob((26.0, 40.0), (18.0, 24.0)),
    },
    "pixel_art": {
        "block": Knob((3.0, 4.99), (5.0, 5.99)),
        "colours": Knob((9.0, 13.99), (14.0, 16.99)),
        "dither": Knob((0.09, 0.15)),
        "saturation": Knob((1.2, 1.5)),
    },
    "cyberpunk": {
        "light": Knob((-0.5, 0.5), (2.7, 3.6)),
        "scan": Knob((2.7, 3.3), (3.5, 4.2)),
        "rain": Knob((1.3, 1.8)),
        "glow": Knob((0.5, 0.8)),
        "lean": Knob((-0.25, 0.25)),
        "fringe": Knob((1.0, 2.99)),
    },
}

PHRASES: dict[str, tuple[str, ...]] = {
    "stone_wall": (
        "a stone wall", "stone", "carved in stone", "a wall of stones", "made of stone", "rough stones",
        "stone masonry", "an old castle wall", "a rough stone relief", "built of grey rocks", "a dry stone wall",
    ),
    "leather": (
        "leather", "made of leather", "embossed leather", "tooled leather", "brown leather", "a leather relief",
        "pressed into leather", "a piece of leather", "cowhide", "a leather book cover", "tanned hide",
    ),
    "autumn": (
        "autumn", "autumn leaves", "in autumn colors", "fall foliage", "autumn colours", "an autumn day",
        "red and orange leaves", "a fall scene", "falling leaves", "an october forest", "indian summer",
    ),
    "snow": (
        "snow", "covered in snow", "winter", "a snowy winter", "frost", "snowfall", "a snowy day",
        "in the snow", "a winter landscape", "falling snow", "a cold frosty winter",
    ),
    "clay": (
        "clay", "made of clay", "claymation", "plasticine", "a clay sculpture", "modelling clay",
        "a clay model", "shaped from colored clay", "a plasticine figure", "play dough", "a clay animation",
    ),
    "vintage_photo": (
        "a vintage photo", "an old photograph", "sepia", "an antique photo", "a sepia photo", "an old faded photo",
        "a vintage photograph", "a scratched old photo", "a daguerreotype", "a photo from the last century",
    ),
    "pixel_art": (
        "pixel art", "a retro video game", "eight bit graphics", "pixelated", "pixels", "a pixel art sprite",
        "an old computer game", "retro game graphics", "big square pixels", "an arcade game",
    ),
    "cyberpunk": (
        "cyberpunk", "a cyberpunk city", "synthwave", "neon night city", "vaporwave", "cyberpunk style",
        "a futuristic city at night", "pink and cyan lights", "a rainy science fiction night", "retro wave",
    ),
}  # fmt: skip

RENDERERS: dict[str, Callable[[Array, Knobs, Rng], Array]] = {
    "stone_wall": _stone_wall,
    "leather": _leather,
    "autumn": _autumn,
    "snow": _snow,
    "clay": _clay,
    "vintage_photo": _vintage_photo,
    "pixel_art": _pixel_art,
    "cyberpunk": _cyberpunk,
}
