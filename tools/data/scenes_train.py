"""The kinds of drawn scenes for training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tools.data.paint import Canvas, blob, ellipse, hsv, mix, rect, rotate, smooth, stroke, superellipse, symmetric
from tools.data.scene_parts import (
    BLACK,
    WHITE,
    Pose,
    bloom,
    blurred,
    coin,
    drop_shadow,
    eye,
    foliage,
    ground,
    interior,
    meadow,
    profile,
    random_colour,
    random_green,
    sky,
    window,
)

_SKINS = (
    (0.96, 0.80, 0.70),
    (0.90, 0.70, 0.57),
    (0.82, 0.60, 0.45),
    (0.70, 0.48, 0.34),
    (0.53, 0.35, 0.25),
    (0.38, 0.25, 0.19),
)
_HAIRS = (
    (0.10, 0.08, 0.07),
    (0.24, 0.14, 0.08),
    (0.45, 0.27, 0.13),
    (0.80, 0.62, 0.33),
    (0.55, 0.22, 0.10),
    (0.62, 0.61, 0.60),
)


def _house(c: Canvas) -> None:
    rng = c.rng
    horizon = rng.uniform(0.55, 0.72)
    meadow(c, horizon)
    s = rng.uniform(0.22, 0.32)
    pose = Pose(rng.uniform(0.38, 0.62), horizon + rng.uniform(0.02, 0.1), s, flip=coin(rng))
    wall = mix(random_colour(rng, (0.1, 0.6), (0.6, 0.95)), WHITE, 0.3)
    roof = hsv(rng.choice([0.02, 0.05, 0.6, 0.08]), rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.6))
    left_lit = (c.light[0] < 0) != pose.flip
    if coin(rng):
        foliage(c, pose.x - s * 1.5, pose.y - s * 0.5, s * 0.6, random_green(rng), 7)
    drop_shadow(c, pose.x, pose.y + 0.01, s * 1.2)
    height = rng.uniform(0.8, 1.1)
    gable = pose([(-1.0, 0), (-1.0, -height), (-0.6, -height - 0.62), (-0.2, -height), (-0.2, 0)])
    side = pose(rect(-0.2, -height, 1.05, 0))
    c.fill(side, colour=wall * (0.72 if left_lit else 1.0), relief=0.1, texture=0.05, bottom=wall * 0.6)
    c.fill(gable, colour=wall * (1.0 if left_lit else 0.72), relief=0.1, texture=0.05)
    if coin(rng):
        c.fill(
            pose(rect(0.55, -height - 0.75, 0.75, -height - 0.2)), colour=hsv(0.03, 0.5, 0.45), relief=0.3, texture=0.12
        )
    roofing = pose([(-0.62, -height - 0.68), (0.78, -height - 0.68), (1.15, -height + 0.04), (-0.18, -height + 0.04)])
    c.fill(roofing, colour=roof, relief=0.2, texture=0.16, stretch=(4, 1), bottom=roof * 0.7)
    edge = np.array([(-1.08, -height + 0.06), (-0.61, -height - 0.66), (-0.16, -height + 0.06)])
    c.fill(pose(stroke(edge, 0.1)), colour=roof * 0.55, relief=0.2)
    lit = coin(rng)
    for x in (0.12, 0.75):
        window(c, pose, x, -height * 0.58, 0.13, 0.17, lit, WHITE * 0.9)
    window(c, pose, -0.6, -height * 0.95, 0.1, 0.12, lit, WHITE * 0.9)
    door = random_colour(rng, (0.4, 0.8), (0.25, 0.6))
    c.fill(pose(rect(-0.75, -0.6, -0.45, 0.0)), colour=door, relief=0.3)
    path = np.array([(-0.75, 0.0), (-0.45, 0.0), (0.2, 1.3), (-1.0, 1.3)])
    c.fill(pose(path), colour=hsv(0.1, 0.2, 0.75), relief=0.1, texture=0.12, soft=0.005)


def _tree(c: Canvas) -> None:
    rng = c.rng
    horizon = rng.uniform(0.6, 0.8)
    meadow(c, horizon)
    x, y, r = rng.uniform(0.35, 0.65), horizon + rng.uniform(0.05, 0.14), rng.uniform(0.2, 0.29)
    bark = hsv(rng.uniform(0.05, 0.1), rng.uniform(0.2, 0.5), rng.uniform(0.2, 0.45))
    conifer = rng.random() < 0.3
    leaf = (
        random_green(rng)
        if conifer or rng.random() < 0.6
        else hsv(rng.uniform(0.02, 0.13), 0.75, rng.uniform(0.55, 0.85))
    )
    top = y - r * rng.uniform(1.5, 1.9)
    drop_shadow(c, x, y, r)
    trunk = smooth(
        [(x, y + 0.01), (x + rng.uniform(-0.02, 0.02), y - r * 0.6), (x + rng.uniform(-0.03, 0.03), top)], closed=False
    )
    c.fill(stroke(trunk, r * 0.32, r * 0.12), colour=bark, relief=0.8, texture=0.2, stretch=(6, 1))
    for turn in () if conifer else rng.uniform(-0.9, 0.9, 3):
        tip = (x + r * np.sin(turn), top + r * 0.3 - r * 0.6 * np.cos(turn))
        c.fill(stroke(np.array([(x, y - r * 0.7), tip]), r * 0.12, r * 0.03), colour=bark * 0.8, relief=0.5)
    if conifer:
        for k in range(5):
            width, base = r * (1.0 - 0.16 * k), y - r * 0.3 - r * 0.42 * k
            ragged = [(x + width * t, base + r * (0.1 if j % 2 else 0.0)) for j, t in enumerate(np.linspace(-1, 1, 9))]
            c.fill(np.array([*ragged, (x, base - r * 0.8)]), colour=leaf * (0.7 + 0.08 * k), relief=0.6, texture=0.25)
    else:
        foliage(c, x, top, r, leaf, 14)


def _mountains(c: Canvas) -> None:
    rng = c.rng
    shore = rng.uniform(0.58, 0.75)
    air = sky(c, shore)
    rock = hsv(rng.choice([0.6, 0.08, 0.75, 0.55]), rng.uniform(0.15, 0.4), rng.uniform(0.35, 0.55))
    snow = rng.random() < 0.7
    for layer in range(3):
        near = (layer + 1) / 3
        peaks = rng.uniform(0.15, 1.0, 9) * (0.48 - 0.13 * layer)
        points = [(x, shore - 0.05 - p * shore * 1.3) for x, p in zip(np.linspace(-0.1, 1.1, 9), peaks, strict=True)]
        jag = np.array([(x + rng.uniform(-0.03, 0.03), y) for x, y in points])
        body = np.concatenate([jag, [(1.1, shore + 0.02), (-0.1, shore + 0.02)]])
        tone = mix(air, rock if layer < 2 else random_green(rng, (0.2, 0.4)), 0.35 + 0.6 * near)
        top = mix(tone, WHITE, 0.75) if snow and layer < 2 else tone
        c.fill(body, colour=top, bottom=tone * 0.85, relief=0.55, texture=0.13)
        if layer < 2:
            away = np.sign(-c.light[0])
            for (x, y), p in zip(jag, peaks, strict=True):
                low = y + p * 0.7
                flank = np.array(
                    [(x, y), (x + away * 0.09 * (0.6 + p), low), (x + away * 0.01, low), (x - away * 0.015, y + 0.1)]
                )
                c.fill(flank, colour=tone * 0.6, relief=0, texture=0.1, soft=0.004, alpha=0.65)
    _lake(c, shore, air)


def _lake(c: Canvas, shore: float, air: np.ndarray) -> None:
    """Water from the shore down that mirrors what stands above it."""
    rng = c.rng
    first = round(shore * c.side)
    rows = c.side - first
    above = c.rgb[max(0, first - rows) : first][::-1]
    c.rgb[first : first + len(above)] = above * 0.72 + 0.2 * mix(air, hsv(0.55, 0.5, 0.5), 0.5)
    if len(above) < rows:
        c.rgb[first + len(above) :] = air * 0.7
    c.grain(rng.uniform(0.07, 0.15), "mixed", (1, 10), top=shore)


def _sea(c: Canvas) -> None:
    rng = c.rng
    horizon = rng.uniform(0.45, 0.65)
    air = sky(c, horizon)
    x, y, r = rng.uniform(0.2, 0.8), horizon - rng.uniform(0.06, 0.35), rng.uniform(0.035, 0.08)
    light = hsv(rng.uniform(0.07, 0.14), rng.uniform(0.1, 0.5), 1.0)
    c.glow(x, y, r * 4, light, 0.6)
    c.fill(ellipse(x, y, r), colour=mix(light, WHITE, 0.5), relief=0, texture=0, soft=0.004)
    water = mix(hsv(rng.uniform(0.48, 0.62), rng.uniform(0.35, 0.7), rng.uniform(0.3, 0.6)), air, 0.2)
    c.gradient((0, mix(water, air, 0.5)), (0.3, water), (1, water * 0.55), top=horizon)
    c.grain(0.18, "mixed", (2, 10), top=horizon)
    for k in range(16):
        depth = (k + rng.random()) / 16
        row, wide = horizon + (1 - horizon) * depth**1.3, 0.02 + 0.12 * depth
        spot = ellipse(x + rng.normal(0, 0.03 + 0.05 * depth), row, wide * rng.uniform(0.4, 1.0), 0.003 + 0.007 * depth)
        c.fill(spot, colour=light, relief=0, texture=0, soft=0.003, alpha=0.75 - 0.4 * depth)
    if coin(rng):
        beach = [(-0.1, rng.uniform(0.85, 0.95)), (0.4, rng.uniform(0.82, 0.95)), (1.1, rng.uniform(0.8, 0.98))]
        sand = np.concatenate([smooth(beach, closed=False), [(1.1, 1.1), (-0.1, 1.1)]])
        c.fill(sand + (0, -0.02), colour=WHITE, relief=0, texture=0.1, soft=0.01, alpha=0.8)
        c.fill(sand, colour=hsv(0.1, 0.35, 0.8), relief=0.3, texture=0.1, kind="fine")


def _street(c: Canvas) -> None:
    rng = c.rng
    vx, vy = rng.uniform(0.35, 0.65), rng.uniform(0.45, 0.6)
    air = sky(c, vy + 0.03)
    road = hsv(rng.uniform(0.05, 0.7), 0.08, rng.uniform(0.35, 0.6))
    ground(c, vy, road, air)
    pavement = mix(road, WHITE, 0.3)
    lit = rng.random() < 0.35
    for side in (-1, 1):
        edges = [1.15, 0.72, 0.46, 0.29, 0.17]
        for k in range(4, 0, -1):
            far, near = edges[k], edges[k - 1]
            plaster = hsv(rng.uniform(0.0, 0.16), rng.uniform(0.1, 0.6), rng.uniform(0.5, 0.95))
            wall = mix(
                plaster if rng.random() < 0.7 else random_colour(rng, (0.1, 0.5), (0.5, 0.9)), air, 0.12 * (k - 1)
            )
            wall = wall * (0.68 if (c.light[0] < 0) == (side < 0) else 1.0)
            rise = rng.uniform(0.75, 1.2)
            xs, ys = np.array([far, near, near, far]) * side * 0.62, np.array([-far, -near, near * 0.45, far * 0.45])
            ys[:2] *= rise
            c.fill(np.stack([vx + xs, vy + ys], 1), colour=wall, bottom=wall * 0.75, relief=0.1, texture=0.06)
            roof = np.stack(
                [vx + xs[[0, 1, 1, 0]], vy + np.array([ys[0] * 1.0, ys[1] * 1.0, ys[1] * 0.93, ys[0] * 0.93])], 1
            )
            c.fill(roof, colour=wall * 0.5, relief=0.2)
            panes = []
            for across in (0.25, 0.68):
                for up in (0.16, 0.42, 0.68, 0.9)[: 4 if rise > 0.9 else 3]:
                    corner = []
                    for da, du in ((0, 0), (0.18, 0), (0.18, 0.13), (0, 0.13)):
                        at = far + (near - far) * (across + da)
                        corner.append((vx + side * 0.62 * at, vy + at * (0.42 - (0.42 + rise) * (up - du))))
                    panes.append(np.array(corner))
            c.fill(*panes, colour=hsv(0.12, 0.6, 0.95) if lit else hsv(0.6, 0.25, 0.3), relief=0, texture=0.1)
        walk = np.array([(vx, vy), (vx + side * 0.62, vy + 0.45), (vx + side * 0.5, vy + 0.5)]) - (vx, vy)
        c.fill(walk * 1.4 + (vx, vy), colour=pavement, relief=0, texture=0.07)
    for k in range(5):
        a, b = 0.08 * 1.8**k, 0.08 * 1.8**k * 1.35
        dash = np.array([(-0.03 * a, a), (0.03 * a, a), (0.03 * b, b), (-0.03 * b, b)])
        c.fill(dash + (vx, vy), colour=WHITE, relief=0, texture=0, alpha=0.8)


def _face(c: Canvas) -> None:
    rng = c.rng
    blurred(c)
    skin = np.array(_SKINS[rng.integers(0, len(_SKINS))], np.float32) * rng.uniform(0.92, 1.05)
    hair = np.array(_HAIRS[rng.integers(0, len(_HAIRS))], np.float32)
    pose = Pose(
        rng.uniform(0.44, 0.56), rng.uniform(0.42, 0.5), rng.uniform(0.27, 0.34), rng.uniform(-0.12, 0.12), coin(rng)
    )
    turn = rng.uniform(-0.1, 0.1)
    style = rng.integers(0, 4)
    if style == 0:
        back = smooth(
            [(-0.85, 1.2), (-1.0, 0.1), (-0.8, -0.9), (0, -1.35), (0.8, -0.9), (1.0, 0.1), (0.85, 1.2), (0, 1.3)]
        )
        c.fill(pose(back), colour=hair * 0.8, relief=0.5, texture=0.2, stretch=(8, 1))
    elif style == 1:
        c.fill(pose(blob(rng, 0, -0.35, 1.15, 1.05, 0.08)), colour=hair, relief=0.6, texture=0.3)
    shirt = random_colour(rng, (0.2, 0.8), (0.25, 0.85))
    body = smooth([(-1.9, 2.6), (-1.6, 1.75), (-0.5, 1.35), (0.5, 1.35), (1.6, 1.75), (1.9, 2.6)])
    c.fill(pose(body), colour=shirt, relief=0.6, texture=0.06)
    c.fill(pose(stroke(np.array([(0, 0.5), (0, 1.5)]), 0.72, 0.85)), colour=skin * 0.75, relief=0.5)
    c.fill(
        pose(ellipse(-0.78, 0.08, 0.13, 0.22)), pose(ellipse(0.78, 0.08, 0.13, 0.22)), colour=skin * 0.85, relief=0.5
    )
    chin = rng.uniform(0.38, 0.5)
    head = smooth([(0, -1.1), (0.58, -0.9), (0.78, -0.2), (0.7, 0.4), (chin, 0.88), (0, 1.08)], closed=False)
    c.fill(pose(symmetric(head)), colour=skin, relief=0.85, texture=0.03, soft=0.002)
    for x in (-0.36 + turn, 0.36 + turn):
        c.shadow(pose(ellipse(x, -0.05, 0.24, 0.16)), strength=0.25, soft=0.012)
        c.fill(
            pose(ellipse(x * 1.15, 0.4, 0.2, 0.16)),
            colour=hsv(0.0, 0.55, 0.8),
            relief=0,
            texture=0,
            soft=0.02,
            alpha=0.22,
        )
        c.fill(pose(ellipse(x, 0, 0.17, 0.085)), colour=WHITE * 0.95, relief=0.2, texture=0)
        iris = hsv(rng.choice([0.07, 0.55, 0.3]), 0.5, 0.35)
        c.fill(pose(ellipse(x, 0, 0.085, points=16)), colour=iris, relief=0, texture=0)
        c.fill(pose(ellipse(x, 0, 0.045, points=12)), colour=BLACK, relief=0, texture=0)
        c.fill(pose(ellipse(x - 0.03, -0.03, 0.02, points=8)), colour=WHITE, relief=0, texture=0)
        lid = smooth([(x - 0.2, 0.0), (x, -0.1), (x + 0.2, 0.01)], closed=False)
        c.fill(pose(stroke(lid, 0.05)), colour=skin * 0.35, relief=0, texture=0)
        brow = smooth([(x - 0.22, -0.22), (x, -0.31), (x + 0.22, -0.24)], closed=False)
        c.fill(pose(stroke(brow, 0.09, 0.06)), colour=mix(hair, skin * 0.4, 0.35), relief=0.1, texture=0.15, soft=0.002)
    nose = smooth([(turn - 0.03, -0.1), (turn + 0.14, 0.36), (turn, 0.44), (turn - 0.14, 0.36)])
    c.fill(pose(nose), colour=skin * 1.02, relief=0.55, texture=0.02, soft=0.008)
    c.shadow(pose(ellipse(turn, 0.45, 0.15, 0.045)), strength=0.4, soft=0.007)
    smile = rng.uniform(-0.02, 0.12)
    lip = mix(skin * 0.75, hsv(0.98, 0.6, 0.6), rng.uniform(0.3, 0.8))
    mouth = [(turn - 0.28, 0.66 - smile), (turn, 0.63), (turn + 0.28, 0.66 - smile), (turn, 0.78 + smile * 0.3)]
    c.fill(pose(smooth(mouth)), colour=lip, relief=0.4, texture=0)
    line = smooth([(turn - 0.27, 0.665 - smile), (turn, 0.69), (turn + 0.27, 0.665 - smile)], closed=False)
    c.fill(pose(stroke(line, 0.035)), colour=lip * 0.4, relief=0, texture=0)
    _hair(c, pose, hair, int(style))
    if rng.random() < 0.2:
        rims = [
            stroke(np.concatenate([ring, ring[:1]]), 0.05)
            for ring in (ellipse(-0.36 + turn, 0, 0.27), ellipse(0.36 + turn, 0, 0.27))
        ]
        c.fill(*(pose(rim) for rim in rims), colour=BLACK, relief=0, texture=0)


def _hair(c: Canvas, pose: Pose, hair: np.ndarray, style: int) -> None:
    rng = c.rng
    part = rng.uniform(-0.35, 0.35)
    low = 0.35 if style == 0 else -0.15
    cap = [(-0.86, low), (-0.92, -0.5), (-0.6, -1.15), (0, -1.36), (0.6, -1.15), (0.92, -0.5), (0.86, low)]
    cap += [(0.7, -0.35), (part + 0.2, -0.72), (part - 0.2, -0.68), (-0.7, -0.35)]
    c.shadow(pose(smooth(cap) + (0, 0.05)), strength=0.25, soft=0.012)
    c.fill(pose(smooth(cap)), colour=hair, relief=0.8, texture=0.22, stretch=(3, 1), gloss=0.12)


def _cat(c: Canvas) -> None:
    rng = c.rng
    blurred(c)
    fur = np.array(
        [(0.80, 0.52, 0.27), (0.45, 0.43, 0.42), (0.85, 0.80, 0.72), (0.16, 0.15, 0.16), (0.62, 0.48, 0.34)][
            rng.integers(0, 5)
        ]
    )
    dark, pale = fur * 0.55, mix(fur, WHITE, 0.55)
    pose = Pose(rng.uniform(0.42, 0.58), rng.uniform(0.46, 0.54), rng.uniform(0.27, 0.33), rng.uniform(-0.2, 0.2))
    c.fill(
        pose(smooth([(-1.3, 2.4), (-0.9, 1.2), (0, 0.7), (0.9, 1.2), (1.3, 2.4)])),
        colour=fur * 0.8,
        relief=0.6,
        texture=0.16,
        stretch=(3, 1),
    )
    for side in (-1, 1):
        ear = smooth([(-1.02, -1.45), (-0.25, -0.75), (-0.95, -0.2)], steps=4)
        inner = smooth([(-0.93, -1.2), (-0.45, -0.75), (-0.85, -0.4)], steps=4)
        c.fill(pose(ear * (side, 1)), colour=fur * 0.9, relief=0.6, texture=0.15)
        c.fill(pose(inner * (side, 1)), colour=hsv(0.02, 0.35, 0.75), relief=0.3, texture=0.1, soft=0.005)
    head = [(0, -0.85), (0.65, -0.72), (1.02, -0.1), (0.85, 0.5), (0.4, 0.82), (0, 0.88)]
    half = smooth(head, closed=False)
    c.fill(
        pose(symmetric(half)),
        colour=fur,
        relief=0.8,
        texture=0.17,
        kind="mixed",
        soft=0.006,
    )
    stripes = [
        stroke(smooth([(x, -0.8), (x * 0.8, -0.6), (x * 0.7, -0.42)], closed=False), 0.1, 0.03)
        for x in (-0.4, -0.2, 0.0, 0.2, 0.4)
    ]
    stripes += [
        stroke(np.array([(s * 0.95, y), (s * 0.62, y + 0.08)]), 0.08, 0.02) for s in (-1, 1) for y in (0.0, 0.2, 0.4)
    ]
    c.fill(*(pose(stripe) for stripe in stripes), colour=dark, relief=0, texture=0.2, soft=0.006, alpha=0.8)
    c.fill(
        pose(ellipse(-0.25, 0.45, 0.33, 0.28)),
        pose(ellipse(0.25, 0.45, 0.33, 0.28)),
        pose(ellipse(0, 0.68, 0.24, 0.2)),
        colour=pale,
        relief=0.5,
        texture=0.1,
        soft=0.006,
    )
    iris = hsv(rng.choice([0.12, 0.25, 0.33, 0.52]), rng.uniform(0.5, 0.8), rng.uniform(0.6, 0.85))
    for x in (-0.45, 0.45):
        eye(c, pose, x, -0.08, 0.23, iris, slit=True)
    c.fill(pose(smooth([(-0.15, 0.24), (0.15, 0.24), (0, 0.4)], steps=4)), colour=hsv(0.0, 0.4, 0.65), relief=0.5)
    mouth = [
        stroke(smooth([(0, 0.38), (0.02 * s, 0.5), (0.2 * s, 0.58), (0.33 * s, 0.5)], closed=False), 0.04)
        for s in (-1, 1)
    ]
    c.fill(*(pose(line) for line in mouth), colour=dark * 0.5, relief=0, texture=0)
    hairs = [
        stroke(smooth([(s * 0.3, y), (s * 0.8, y + d), (s * 1.35, y + 3 * d + 0.05)], closed=False), 0.022, 0.008)
        for s in (-1, 1)
        for y, d in ((0.42, -0.05), (0.5, 0.0), (0.56, 0.05))
    ]
    c.fill(*(pose(line) for line in hairs), colour=WHITE, relief=0, texture=0, alpha=0.75)


def _dog(c: Canvas) -> None:
    rng = c.rng
    blurred(c)
    fur = np.array(
        [(0.72, 0.50, 0.28), (0.88, 0.82, 0.72), (0.35, 0.22, 0.14), (0.15, 0.14, 0.15), (0.85, 0.68, 0.42)][
            rng.integers(0, 5)
        ]
    )
    ears, pale = fur * rng.uniform(0.5, 0.8), mix(fur, WHITE, rng.uniform(0.2, 0.7))
    pose = Pose(rng.uniform(0.42, 0.58), rng.uniform(0.4, 0.48), rng.uniform(0.27, 0.33), rng.uniform(-0.2, 0.2))
    c.fill(
        pose(smooth([(-1.3, 2.6), (-0.8, 1.1), (0, 0.6), (0.8, 1.1), (1.3, 2.6)])),
        colour=fur * 0.85,
        relief=0.6,
        texture=0.15,
        stretch=(4, 1),
    )
    collar = smooth([(-0.75, 1.15), (0, 1.45), (0.75, 1.15)], closed=False)
    c.fill(pose(stroke(collar, 0.2)), colour=random_colour(rng, (0.6, 0.9), (0.5, 0.8)), relief=0.6)
    half = smooth([(0, -0.95), (0.6, -0.85), (0.85, -0.2), (0.62, 0.4), (0.45, 0.95), (0, 1.1)], closed=False)
    c.fill(pose(symmetric(half)), colour=fur, relief=0.8, texture=0.13, soft=0.005)
    blaze = smooth(
        [(-0.12, -0.9), (0.12, -0.9), (0.2, 0.2), (0.5, 0.6), (0.3, 1.0), (-0.3, 1.0), (-0.5, 0.6), (-0.2, 0.2)]
    )
    c.fill(pose(blaze), colour=pale, relief=0.4, texture=0.1, soft=0.008)
    for side in (-1, 1):
        ear = smooth([(-0.45, -0.9), (-0.95, -0.8), (-1.25, -0.1), (-1.15, 0.65), (-0.85, 0.5), (-0.75, -0.2)])
        c.shadow(pose(ear * (side, 1) + (0, 0.06)), strength=0.3, soft=0.012)
        c.fill(pose(ear * (side, 1)), colour=ears, relief=0.8, texture=0.16, stretch=(3, 1), soft=0.004)
        eye(c, pose, side * 0.36, -0.12, 0.145, hsv(0.07, 0.7, 0.3))
    if coin(rng):
        c.fill(
            pose(smooth([(-0.18, 0.85), (0.18, 0.85), (0.17, 1.25), (0, 1.38), (-0.17, 1.25)])),
            colour=hsv(0.98, 0.5, 0.8),
            relief=0.6,
        )
    mouth = [
        stroke(smooth([(0, 0.55), (0.03 * s, 0.8), (0.25 * s, 0.9), (0.45 * s, 0.75)], closed=False), 0.05)
        for s in (-1, 1)
    ]
    c.fill(*(pose(line) for line in mouth), colour=BLACK, relief=0, texture=0)
    c.fill(
        pose(smooth([(-0.24, 0.36), (0, 0.29), (0.24, 0.36), (0.14, 0.54), (0, 0.62), (-0.14, 0.54)])),
        colour=BLACK * 1.8,
        relief=0.8,
        gloss=0.5,
    )


def _flowers(c: Canvas) -> None:
    rng = c.rng
    edge = rng.uniform(0.62, 0.75)
    interior(c, edge)
    x, base, s = rng.uniform(0.4, 0.6), edge + rng.uniform(0.1, 0.2), rng.uniform(0.12, 0.16)
    drop_shadow(c, x, base, s)
    hue = rng.choice([0.0, 0.04, 0.1, 0.14, 0.62, 0.74, 0.83, 0.92])
    spots = [(x + rng.uniform(-1.9, 1.9) * s, base - s * rng.uniform(2.9, 4.4)) for _ in range(int(rng.integers(4, 7)))]
    stems = [
        stroke(smooth([(x, base - 1.2 * s), ((x + fx) / 2 + 0.01, (base + fy) / 2 - s), (fx, fy)], closed=False), 0.012)
        for fx, fy in spots
    ]
    c.fill(*stems, colour=random_green(rng, (0.25, 0.4)), relief=0.2)
    for fx, fy in spots:
        angle = rng.uniform(-0.9, 0.9)
        leaf = rotate(ellipse(0, -0.9 * s, 0.2 * s, 0.75 * s), angle) + ((x + fx) / 2, (base - 2 * s + fy) / 2)
        c.fill(leaf, colour=random_green(rng), relief=0.5, texture=0.1)
    half = [(0.55, -2.0), (0.42, -1.75), (rng.uniform(0.6, 1.1), -0.9), (rng.uniform(0.5, 0.9), -0.3), (0.5, 0.0)]
    c.fill(
        profile(*half) * s + (x, base),
        colour=random_colour(rng, (0.1, 0.7), (0.4, 0.95)),
        relief=0.9,
        texture=0.05,
        gloss=0.35,
    )
    for fx, fy in sorted(spots, key=lambda spot: spot[1]):
        bloom(
            c,
            fx,
            fy,
            s * rng.uniform(0.7, 1.05),
            hsv(hue + rng.normal(0, 0.04), rng.uniform(0.3, 0.85), rng.uniform(0.75, 1.0)),
        )


def _fruit(c: Canvas) -> None:
    rng = c.rng
    edge = rng.uniform(0.4, 0.6)
    interior(c, edge)
    x, y, s = rng.uniform(0.42, 0.58), rng.uniform(0.68, 0.8), rng.uniform(0.26, 0.33)
    drop_shadow(c, x, y + s * 0.33, s * 0.8)
    bowl = random_colour(rng, (0.05, 0.6), (0.35, 0.9))
    c.fill(ellipse(x, y - s * 0.3, s * 1.02, s * 0.28), colour=bowl * 0.5, relief=0.3)
    places = [(-0.55, -0.5), (0.0, -0.6), (0.55, -0.5), (-0.28, -0.85), (0.3, -0.85), (-0.3, -0.32), (0.3, -0.32)]
    for dx, dy in places[: int(rng.integers(5, 8))]:
        fx, fy, r = x + dx * s + rng.normal(0, 0.01), y + dy * s, s * rng.uniform(0.3, 0.38)
        hue, value = [(0.0, 0.75), (0.08, 0.95), (0.15, 0.92), (0.25, 0.7), (0.97, 0.55), (0.8, 0.4)][
            rng.integers(0, 6)
        ]
        skin = hsv(hue + rng.normal(0, 0.01), rng.uniform(0.65, 0.9), value)
        c.shadow(ellipse(fx, fy + r * 0.25, r), strength=0.35, soft=0.01)
        shape = smooth(
            [(0, -0.85), (0.6, -0.95), (1, -0.1), (0.6, 0.85), (0, 0.9), (-0.6, 0.85), (-1, -0.1), (-0.6, -0.95)]
        )
        c.fill(rotate(shape, rng.uniform(-0.4, 0.4)) * r + (fx, fy), colour=skin, relief=1.0, texture=0.07, gloss=0.55)
        c.fill(
            stroke(np.array([(fx, fy - r * 0.8), (fx + r * 0.15, fy - r * 1.2)]), r * 0.12),
            colour=hsv(0.08, 0.6, 0.3),
            relief=0,
        )
    if coin(rng):
        bunch = [(x + s * (0.5 + rng.uniform(-0.3, 0.3)), y - s * rng.uniform(0.3, 0.75)) for _ in range(9)]
        for gx, gy in bunch:
            c.fill(ellipse(gx, gy, s * 0.12), colour=hsv(0.8 + rng.normal(0, 0.02), 0.6, 0.4), relief=1.0, gloss=0.6)
    body = profile((1.05, -0.28), (0.98, -0.02), (0.62, 0.25), (0.4, 0.34))
    rim = ellipse(0, -0.28, 1.05, 0.2)[18::-1]
    front = np.concatenate([body, rim])
    c.fill(front * s + (x, y), colour=bowl, relief=0.9, texture=0.05, gloss=0.35)
    c.fill(stroke(rim * s + (x, y), 0.012), colour=mix(bowl, WHITE, 0.4), relief=0, texture=0)


def _car(c: Canvas) -> None:
    rng = c.rng
    horizon = rng.uniform(0.45, 0.6)
    if coin(rng):
        air = meadow(c, horizon)
    else:
        air = sky(c, horizon)
        for left in np.arange(-0.05, 1.0, 0.22):
            wall = mix(random_colour(rng, (0.1, 0.4), (0.5, 0.8)), air, 0.4)
            c.fill(
                rect(left, horizon - rng.uniform(0.12, 0.4), left + 0.23, 0.8), colour=wall, relief=0.15, texture=0.06
            )
    c.defocus(0.006)
    pose = Pose(
        rng.uniform(0.44, 0.56), rng.uniform(0.72, 0.8), rng.uniform(0.3, 0.38), rng.uniform(-0.03, 0.03), coin(rng)
    )
    road = rng.uniform(0.35, 0.55) * np.array([1.0, 0.98, 0.96])
    c.fill(rect(-0.1, pose.y - 0.1, 1.1, 1.1), colour=road, bottom=road * 0.8, relief=0, texture=0.1, kind="fine")
    c.shadow(pose(ellipse(0, 0.02, 1.15, 0.1)), strength=0.75, soft=0.015)
    paint = random_colour(rng, (0.3, 0.95), (0.35, 0.9)) if rng.random() < 0.75 else WHITE * rng.uniform(0.2, 0.95)
    high = rng.uniform(0.72, 0.95)
    body = smooth(
        [
            (-1.08, -0.12),
            (-1.1, -0.4),
            (-0.8, -0.52),
            (0.3, -0.56),
            (0.9, -0.46),
            (1.12, -0.32),
            (1.1, -0.1),
            (0, -0.06),
        ]
    )
    roof = smooth([(-0.85, -0.5), (-0.6, -high), (0.15, -high - 0.03), (0.62, -0.5), (0, -0.42)])
    c.fill(pose(roof), colour=paint * 0.95, relief=0.5, gloss=0.3)
    glass = [(-0.68, -0.52), (-0.52, -high + 0.07), (-0.14, -high + 0.04), (-0.14, -0.52)]
    front = [(-0.08, -0.52), (-0.08, -high + 0.04), (0.12, -high + 0.05), (0.46, -0.52)]
    c.fill(pose(glass), pose(front), colour=hsv(0.57, 0.2, 0.75), bottom=hsv(0.6, 0.35, 0.25), relief=0.1)
    c.fill(pose(body), colour=paint, bottom=paint * 0.65, relief=0.7, texture=0.02, gloss=0.5)
    seams = [stroke(np.array([(x, -0.5), (x, -0.14)]), 0.018) for x in (-0.68, -0.11, 0.46)]
    c.fill(
        *(pose(seam) for seam in seams),
        pose(rect(-0.24, -0.42, -0.16, -0.39)),
        colour=paint * 0.35,
        relief=0,
        texture=0,
    )
    c.fill(pose(ellipse(1.03, -0.33, 0.07, 0.06)), colour=hsv(0.13, 0.2, 1.0), relief=0.2)
    c.fill(pose(ellipse(-1.06, -0.36, 0.05, 0.07)), colour=hsv(0.0, 0.9, 0.8), relief=0.2)
    for x in (-0.62, 0.64):
        c.fill(pose(ellipse(x, -0.1, 0.26)), colour=BLACK, relief=0.2)
        c.fill(pose(ellipse(x, -0.09, 0.22)), colour=BLACK * 2.2, relief=0.5)
        c.fill(pose(ellipse(x, -0.09, 0.13)), colour=WHITE * 0.7, relief=0.6, texture=0.1)
        c.fill(pose(ellipse(x, -0.09, 0.05)), colour=WHITE * 0.3, relief=0.3)


def _boat(c: Canvas) -> None:
    rng = c.rng
    horizon = rng.uniform(0.45, 0.6)
    air = sky(c, horizon)
    if coin(rng):
        coast = [(x, horizon - rng.uniform(0.0, 0.1)) for x in np.linspace(-0.1, 1.1, 6)]
        c.fill(
            np.concatenate([smooth(coast, closed=False), [(1.1, horizon + 0.01), (-0.1, horizon + 0.01)]]),
            colour=mix(random_green(rng), air, 0.5),
            texture=0.08,
        )
    water = mix(hsv(rng.uniform(0.48, 0.62), rng.uniform(0.3, 0.65), rng.uniform(0.35, 0.65)), air, 0.2)
    c.gradient((0, mix(water, air, 0.4)), (0.3, water), (1, water * 0.6), top=horizon)
    c.grain(0.16, "mixed", (2, 9), top=horizon)
    pose = Pose(
        rng.uniform(0.4, 0.6),
        horizon + rng.uniform(0.1, 0.2),
        rng.uniform(0.25, 0.32),
        rng.uniform(-0.06, 0.06),
        coin(rng),
    )
    sail = mix(random_colour(rng, (0.1, 0.8), (0.7, 0.95)), WHITE, rng.choice([0.2, 0.8]))
    hull = random_colour(rng, (0.3, 0.8), (0.25, 0.8))
    ghost = np.array([(-0.9, 0.05), (0.9, 0.05), (0.5, 0.5), (0.1, 1.3), (-0.5, 0.5)])
    c.fill(
        pose(ghost), colour=mix(sail, water, 0.5) * 0.85, relief=0, texture=0.3, stretch=(2, 8), soft=0.012, alpha=0.55
    )
    c.fill(pose(stroke(np.array([(0.0, -0.1), (0.0, -1.95)]), 0.06, 0.04)), colour=hsv(0.08, 0.4, 0.35), relief=0.3)
    main = np.concatenate(
        [
            smooth([(0.05, -1.9), (0.5, -1.2), (0.88, -0.32)], closed=False),
            smooth([(0.88, -0.32), (0.4, -0.25), (0.05, -0.3)], closed=False),
        ]
    )
    jib = np.concatenate(
        [
            smooth([(-0.05, -1.7), (-0.5, -0.9), (-0.85, -0.28)], closed=False),
            smooth([(-0.85, -0.28), (-0.4, -0.36), (-0.05, -0.3)], closed=False),
        ]
    )
    c.fill(pose(main), colour=sail, relief=0.6, texture=0.03)
    c.fill(pose(jib), colour=sail * 0.85, relief=0.6, texture=0.03)
    body = smooth([(-1.0, -0.2), (0, -0.12), (1.05, -0.24), (0.8, 0.08), (0, 0.14), (-0.75, 0.08)])
    c.fill(pose(body), colour=hull, bottom=hull * 0.6, relief=0.6, gloss=0.2)
    c.fill(
        pose(stroke(smooth([(-1.0, -0.2), (0, -0.1), (1.05, -0.24)], closed=False), 0.06)),
        colour=WHITE * 0.9,
        relief=0.1,
    )
    c.fill(pose(ellipse(0, 0.13, 0.95, 0.035)), colour=WHITE, relief=0, texture=0.2, soft=0.004, alpha=0.5)


def _bottle(c: Canvas) -> None:
    rng = c.rng
    edge = rng.uniform(0.5, 0.68)
    interior(c, edge)
    x, base, s = rng.uniform(0.3, 0.45), edge + rng.uniform(0.14, 0.24), rng.uniform(0.095, 0.125)
    glass = hsv(rng.choice([0.33, 0.1, 0.55, 0.28]), rng.uniform(0.4, 0.8), rng.uniform(0.2, 0.5))
    drop_shadow(c, x, base, s)
    bottle = profile((0.3, -5.6), (0.3, -5.2), (0.32, -4.0), (0.9, -3.2), (1.0, -2.4), (1.0, -0.2), (0.9, 0.02))
    c.fill(bottle * s + (x, base), colour=glass, relief=0.9, texture=0.03, gloss=0.3, bottom=glass * 1.5, alpha=0.92)
    c.fill(
        rect(x - 0.34 * s, base - 5.7 * s, x + 0.34 * s, base - 5.1 * s),
        colour=random_colour(rng, (0.4, 0.8), (0.3, 0.7)),
        relief=0.6,
    )
    label = mix(random_colour(rng, (0.1, 0.5), (0.7, 0.95)), WHITE, 0.5)
    c.fill(rect(x - s, base - 2.2 * s, x + s, base - 0.8 * s), colour=label, relief=0.3, texture=0.05)
    c.fill(rect(x - 0.6 * s, base - 1.9 * s, x + 0.6 * s, base - 1.6 * s), colour=label * 0.45, relief=0, texture=0.3)
    shine = -0.55 if c.light[0] < 0 else 0.55
    c.fill(
        stroke(np.array([(x + shine * s, base - 3.0 * s), (x + shine * s, base - 0.3 * s)]), s * 0.16),
        colour=WHITE,
        relief=0,
        soft=0.005,
        alpha=0.6,
    )
    gx, gb, g = x + s * rng.uniform(2.6, 3.4), base + rng.uniform(0.0, 0.06), s * rng.uniform(0.85, 1.0)
    drop_shadow(c, gx, gb, g * 0.8, 0.35)
    c.fill(
        profile((0.85, -3.2), (0.98, -2.5), (0.7, -1.7), (0.1, -1.3), (0.09, -0.3), (0.75, 0.0)) * g + (gx, gb),
        colour=WHITE * 0.9,
        relief=0.7,
        texture=0,
        alpha=0.33,
        gloss=0.6,
    )
    wine = hsv(rng.choice([0.97, 0.13, 0.08]), 0.75, rng.uniform(0.35, 0.8))
    c.fill(
        profile((0.93, -2.6), (0.9, -2.3), (0.66, -1.72), (0.1, -1.38)) * g + (gx, gb),
        colour=wine,
        relief=0.7,
        gloss=0.3,
        alpha=0.85,
    )
    c.fill(ellipse(gx, gb - 2.58 * g, 0.93 * g, 0.2 * g), colour=mix(wine, WHITE, 0.3), relief=0, alpha=0.8)
    rim = ellipse(gx, gb - 3.2 * g, 0.85 * g, 0.18 * g)
    c.fill(stroke(np.concatenate([rim, rim[:1]]), 0.006), colour=WHITE, relief=0, texture=0, alpha=0.8)


def _balloon(c: Canvas) -> None:
    rng = c.rng
    horizon = rng.uniform(0.8, 0.95)
    meadow(c, horizon, bright=True)
    for x, y, r in (
        (rng.uniform(0.35, 0.65), rng.uniform(0.33, 0.42), rng.uniform(0.2, 0.28)),
        (rng.uniform(0.05, 0.95), rng.uniform(0.2, 0.6), rng.uniform(0.05, 0.08)),
    ):
        first, second = random_colour(rng, (0.6, 0.95), (0.6, 0.95)), random_colour(rng, (0.3, 0.9), (0.7, 1.0))
        outline = profile((0.0, -1.05), (0.55, -0.95), (1.0, -0.25), (0.85, 0.45), (0.3, 1.15), (0.2, 1.2))
        c.fill(outline * r + (x, y), colour=first, relief=0.9, texture=0.03, gloss=0.25)
        gores = [outline * (wide, 1.0) for wide in (0.78, 0.5, 0.2)]
        for k, gore in enumerate(gores):
            c.fill(gore * r + (x, y), colour=second if k % 2 == 0 else first, relief=0.75, texture=0.03, gloss=0.2)
        ropes = [
            stroke(np.array([(x + dx * r, y + 1.15 * r), (x + dx * 0.8 * r, y + 1.55 * r)]), r * 0.03)
            for dx in (-0.2, 0.2)
        ]
        c.fill(*ropes, colour=BLACK, relief=0, texture=0)
        c.fill(superellipse(x, y + 1.65 * r, 0.2 * r, 0.15 * r), colour=hsv(0.08, 0.6, 0.45), relief=0.6, texture=0.2)


def _lighthouse(c: Canvas) -> None:
    rng = c.rng
    horizon = rng.uniform(0.62, 0.75)
    air = sky(c, horizon)
    water = mix(hsv(rng.uniform(0.5, 0.6), 0.5, rng.uniform(0.35, 0.6)), air, 0.2)
    c.gradient((0, mix(water, air, 0.4)), (1, water * 0.6), top=horizon)
    c.grain(0.15, "mixed", (2, 9), top=horizon)
    pose = Pose(rng.uniform(0.32, 0.68), horizon + rng.uniform(0.04, 0.1), rng.uniform(0.22, 0.28), flip=coin(rng))
    rock = hsv(rng.uniform(0.05, 0.12), 0.25, rng.uniform(0.3, 0.5))
    c.fill(
        pose(blob(rng, 0.3, 0.55, 2.2, 0.65, 0.12)), colour=mix(rock, random_green(rng), 0.3), relief=0.7, texture=0.2
    )
    for _ in range(4):
        c.fill(
            pose(blob(rng, rng.uniform(-1.4, 1.6), rng.uniform(0.4, 1.0), 0.45, 0.28, 0.3)),
            colour=rock * rng.uniform(0.8, 1.2),
            relief=0.8,
            texture=0.2,
        )
    paint, band = mix(WHITE, random_colour(rng), 0.05), random_colour(rng, (0.6, 0.9), (0.5, 0.8))
    c.fill(pose([(-0.38, 0.1), (-0.24, -1.75), (0.24, -1.75), (0.38, 0.1)]), colour=paint, relief=1.0, texture=0.04)
    for k in range(3):
        top, low = -1.5 + 0.58 * k, -1.22 + 0.58 * k
        half_top, half_low = 0.38 - 0.14 * (0.1 - top) / 1.85, 0.38 - 0.14 * (0.1 - low) / 1.85
        c.fill(
            pose([(-half_top, top), (half_top, top), (half_low, low), (-half_low, low)]),
            colour=band,
            relief=0.45,
            texture=0.04,
        )
    side = 1 if c.light[0] < 0 else -1
    shade = np.array([(0.05 * side, -1.75), (0.26 * side, -1.75), (0.4 * side, 0.1), (0.08 * side, 0.1)])
    c.shadow(pose(shade * ((-1 if pose.flip else 1), 1)), strength=0.4, soft=0.012)
    c.fill(pose(rect(-0.36, -1.84, 0.36, -1.74)), colour=BLACK * 3, relief=0.4)
    c.fill(pose(rect(-0.19, -2.15, 0.19, -1.84)), colour=hsv(0.13, 0.5, 1.0), relief=0.2)
    c.fill(pose([(-0.28, -2.14), (0, -2.45), (0.28, -2.14)]), colour=band * 0.8, relief=0.6)
    c.glow(pose.x, pose.y - 2.0 * pose.scale, 0.07, hsv(0.13, 0.3, 1.0), rng.uniform(0.2, 0.8))


def _solids(c: Canvas) -> None:
    rng = c.rng
    edge = rng.uniform(0.35, 0.55)
    interior(c, edge)
    count = int(rng.integers(3, 6))
    spots = sorted(
        zip(rng.permutation(np.linspace(0.16, 0.84, count)), rng.uniform(edge + 0.12, 0.93, count), strict=True),
        key=lambda spot: spot[1],
    )
    left_lit = c.light[0] < 0
    for x, y in spots:
        s, paint = rng.uniform(0.1, 0.17) * (0.6 + 0.5 * y), random_colour(rng, (0.3, 0.9), (0.45, 0.95))
        drop_shadow(c, x, y, s)
        shape = rng.integers(0, 4)
        if shape == 0:
            c.fill(ellipse(x, y - s * 0.95, s), colour=paint, relief=1.1, texture=0.03, gloss=rng.uniform(0, 0.7))
        elif shape == 1:
            top, low = y - 1.3 * s, y - 0.05 * s
            c.fill(
                np.array([(x - s, top), (x, top + 0.35 * s), (x, low + 0.3 * s), (x - s, low)]),
                colour=paint * (0.95 if left_lit else 0.5),
                relief=0.1,
            )
            c.fill(
                np.array([(x + s, top), (x, top + 0.35 * s), (x, low + 0.3 * s), (x + s, low)]),
                colour=paint * (0.5 if left_lit else 0.95),
                relief=0.1,
            )
            c.fill(
                np.array([(x - s, top), (x, top - 0.35 * s), (x + s, top), (x, top + 0.35 * s)]),
                colour=mix(paint, WHITE, 0.3),
                relief=0.1,
            )
        elif shape == 2:
            body = np.concatenate([[(x, y - 2.4 * s)], ellipse(x, y, s, 0.28 * s)[:19]])
            c.fill(body, colour=paint, relief=1.0, texture=0.03)
            away = 1 if left_lit else -1
            c.shadow(
                np.array([(x, y - 2.4 * s), (x + 0.15 * away * s, y + 0.25 * s), (x + away * s, y)]),
                strength=0.4,
                soft=0.01,
            )
        else:
            body = np.concatenate(
                [ellipse(x, y, 0.8 * s, 0.22 * s)[:19], [(x - 0.8 * s, y - 1.9 * s), (x + 0.8 * s, y - 1.9 * s)]]
            )
            c.fill(body, colour=paint, relief=1.0, texture=0.03, gloss=0.2)
            c.fill(ellipse(x, y - 1.9 * s, 0.8 * s, 0.22 * s), colour=mix(paint, WHITE, 0.25), relief=0.1)


def _clouds(c: Canvas) -> None:
    rng = c.rng
    air = sky(c, 1.05, cloudy=rng.uniform(0, 0.35))
    for _ in range(int(rng.integers(2, 5))):
        x, y, r = rng.uniform(0.05, 0.95), rng.uniform(0.15, 0.8), rng.uniform(0.1, 0.2)
        shade = mix(air * 0.75, hsv(0.6, 0.15, 0.6), 0.4)
        puffs = []
        for along in rng.uniform(-1, 1, 13):
            bulk = r * rng.uniform(0.3, 0.75) * (1.1 - 0.6 * abs(along))
            puffs.append((x + 1.9 * r * along, y - bulk * rng.uniform(0.5, 1.1), bulk))
        c.fill(
            *(ellipse(px, py + 0.12 * r, pr * 1.1, pr * 0.8) for px, py, pr in puffs),
            colour=shade,
            relief=0.3,
            texture=0.08,
            kind="cloud",
            soft=0.01,
            alpha=0.9,
        )
        lit = [(px + c.light[0] * 0.2 * r, py + c.light[1] * 0.3 * r, pr * 0.85) for px, py, pr in puffs]
        c.fill(
            *(blob(rng, px, py, pr, pr * 0.8) for px, py, pr in lit),
            colour=mix(WHITE * 1.05, air, 0.12),
            relief=0.3,
            texture=0.08,
            soft=0.007,
            alpha=0.9,
        )
    if rng.random() < 0.4:
        hill = [(x, rng.uniform(0.85, 0.98)) for x in np.linspace(-0.1, 1.1, 6)]
        c.fill(
            np.concatenate([smooth(hill, closed=False), [(1.1, 1.1), (-0.1, 1.1)]]),
            colour=mix(random_green(rng), air, 0.2),
            texture=0.15,
        )


def _leaves(c: Canvas) -> None:
    rng = c.rng
    c.bokeh(random_green(rng, (0.1, 0.3)), random_green(rng), random_green(rng, (0.3, 0.6)), cells=6)
    hue = rng.uniform(0.2, 0.36) if rng.random() < 0.65 else rng.uniform(0.0, 0.13)
    for k in range(11):
        near = k / 10
        s = 0.1 + 0.1 * near + rng.uniform(0, 0.04)
        pose = Pose(rng.uniform(0, 1), rng.uniform(0, 1), s, rng.uniform(0, 2 * np.pi))
        half = smooth([(0, -1.1), (0.3, -0.6), (0.5, 0.0), (0.35, 0.6), (0, 1.0)], closed=False)
        paint = hsv(hue + rng.normal(0, 0.03), rng.uniform(0.45, 0.8), (0.25 + 0.45 * near) * rng.uniform(0.8, 1.2))
        leaf = symmetric(half)
        if k > 3:
            c.shadow(pose(leaf) + 0.025, strength=0.4, soft=0.012)
        soft = 0.012 * (1 - near) if near < 0.6 else 0.0
        c.fill(pose(leaf), colour=paint, relief=0.5, texture=0.1, gloss=0.15, soft=soft)
        c.fill(pose(half), colour=paint * 0.78, relief=0, texture=0.06, soft=soft, alpha=0.7)
        if k > 3:
            veins = [np.array([(0, y), (s_ * 0.36, y - 0.3)]) for y in (-0.4, 0.0, 0.4) for s_ in (-1, 1)]
            veins.append(np.array([(0, -1.05), (0, 1.3)]))
            c.fill(
                *(pose(stroke(vein, 0.05, 0.02)) for vein in veins),
                colour=mix(paint, WHITE, 0.3),
                relief=0,
                texture=0,
                alpha=0.7,
            )


PAINTERS: dict[str, Callable[[Canvas], None]] = {
    "house": _house,
    "tree": _tree,
    "mountains": _mountains,
    "sea": _sea,
    "street": _street,
    "face": _face,
    "cat": _cat,
    "dog": _dog,
    "flowers": _flowers,
    "fruit": _fruit,
    "car": _car,
    "boat": _boat,
    "bottle": _bottle,
    "balloon": _balloon,
    "lighthouse": _lighthouse,
    "solids": _solids,
    "clouds": _clouds,
    "leaves": _leaves,
}
