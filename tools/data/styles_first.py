"""The photo and the first eleven styles: renderers, settings and phrases."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tools.data.filters import (
    Array,
    Knob,
    Knobs,
    Rng,
    blur,
    borders,
    cell_means,
    contour_lines,
    displace,
    edge_flow,
    emboss,
    fractal_noise,
    gradient,
    gradient_map,
    grid_cells,
    hatch,
    hue_wheel,
    kuwahara,
    local_tone,
    luminance,
    mix,
    noise,
    panes,
    paper,
    paper_grain,
    pure_hue,
    resize,
    saturate,
    smear,
    smoothstep,
    streaks,
    tint_jitter,
)

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
    tone = resize(local_tone(blur(lum, 0.7), 0.8) ** 0.85, *double)
    drawn = smoothstep(resize(contour_lines(lum, 0.7, 0.6, 1.8), *double), 0.4, 0.6)
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
