"""The kinds of drawn scenes that are only ever used for evaluation."""

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
    interior,
    meadow,
    profile,
    random_colour,
    random_green,
    window,
)


def _windmill(c: Canvas) -> None:
    rng = c.rng
    horizon = rng.uniform(0.68, 0.8)
    meadow(c, horizon, bright=coin(rng))
    pose = Pose(rng.uniform(0.4, 0.6), horizon + rng.uniform(0.06, 0.12), rng.uniform(0.22, 0.255), flip=coin(rng))
    drop_shadow(c, pose.x, pose.y, pose.scale * 0.8)
    wall = mix(random_colour(rng, (0.1, 0.5), (0.5, 0.9)), WHITE, 0.3)
    cap = hsv(rng.choice([0.02, 0.07, 0.6]), 0.55, rng.uniform(0.3, 0.5))
    c.fill(
        pose([(-0.62, 0.05), (-0.4, -1.5), (0.4, -1.5), (0.62, 0.05)]),
        colour=wall,
        relief=1.0,
        texture=0.09,
        stretch=(3, 1),
    )
    side = 1 if c.light[0] < 0 else -1
    shade = np.array([(0.1, -1.5), (0.42, -1.5), (0.64, 0.05), (0.15, 0.05)]) * (side * (-1 if pose.flip else 1), 1)
    c.shadow(pose(shade), strength=0.35, soft=0.015)
    c.fill(
        pose(smooth([(-0.5, -1.48), (-0.3, -1.9), (0, -2.05), (0.3, -1.9), (0.5, -1.48)])),
        colour=cap,
        relief=0.8,
        texture=0.12,
    )
    c.fill(pose(rect(-0.14, -0.38, 0.14, 0.05)), colour=cap * 0.7, relief=0.3)
    for y in (-0.75, -1.15):
        window(c, pose, 0, y, 0.09, 0.12, False, WHITE * 0.9)
    turn = rng.uniform(0, np.pi / 2)
    cloth = mix(WHITE, random_colour(rng), 0.1)
    for k in range(4):
        angle = turn + k * np.pi / 2
        for shape, paint in (
            (rect(0.02, -1.5, 0.34, -0.3), cloth),
            (stroke(np.array([(0, 0), (0, -1.55)]), 0.09, 0.06), cap * 0.6),
        ):
            c.fill(pose(rotate(shape, angle) + (0, -1.6)), colour=paint, relief=0.3, texture=0.08)
        bars = [rect(0.02, -y - 0.025, 0.34, -y + 0.025) for y in (0.3, 0.6, 0.9, 1.2, 1.48)] + [
            rect(0.3, -1.5, 0.35, -0.3)
        ]
        c.fill(*(pose(rotate(bar, angle) + (0, -1.6)) for bar in bars), colour=cap * 0.7, relief=0, texture=0)
    c.fill(pose(ellipse(0, -1.6, 0.1)), colour=cap * 0.5, relief=0.6)


def _fish(c: Canvas) -> None:
    rng = c.rng
    water = hsv(rng.uniform(0.48, 0.62), rng.uniform(0.5, 0.8), rng.uniform(0.4, 0.7))
    c.gradient((0, mix(water, WHITE, 0.45)), (0.4, water), (1, water * 0.4))
    c.grain(0.08, "cloud")
    for k in range(4):
        ray = np.array([(0.1 + 0.25 * k, -0.1), (0.2 + 0.25 * k, -0.1), (0.1 + 0.3 * k, 0.9), (-0.05 + 0.3 * k, 0.9)])
        c.fill(ray, colour=WHITE, relief=0, texture=0, soft=0.03, alpha=0.13)
    bed = [(x, rng.uniform(0.84, 0.93)) for x in np.linspace(-0.1, 1.1, 6)]
    c.fill(
        np.concatenate([smooth(bed, closed=False), [(1.1, 1.1), (-0.1, 1.1)]]),
        colour=mix(hsv(0.11, 0.35, 0.7), water, 0.35),
        relief=0.4,
        texture=0.14,
    )
    for _ in range(4):
        x, tall = rng.uniform(0, 1), rng.uniform(0.15, 0.4)
        weed = smooth(
            [(x, 0.97), (x + 0.03, 0.95 - tall * 0.4), (x - 0.03, 0.95 - tall * 0.7), (x + 0.02, 0.95 - tall)],
            closed=False,
        )
        c.fill(stroke(weed, 0.04, 0.01), colour=mix(random_green(rng), water, 0.3), relief=0.4, texture=0.1)
    pose = Pose(
        rng.uniform(0.45, 0.55), rng.uniform(0.42, 0.56), rng.uniform(0.27, 0.33), rng.uniform(-0.25, 0.25), coin(rng)
    )
    paint = hsv(rng.uniform(0.0, 0.16) if coin(rng) else rng.random(), rng.uniform(0.6, 0.95), rng.uniform(0.7, 0.95))
    band = mix(random_colour(rng, (0.1, 0.9), (0.2, 0.95)), WHITE, 0.2)
    fin = mix(paint, random_colour(rng), 0.3) * 0.9
    tail = smooth([(-0.8, 0), (-1.25, -0.55), (-1.5, -0.5), (-1.3, 0), (-1.5, 0.5), (-1.25, 0.55)])
    back = smooth([(-0.6, -0.4), (-0.3, -0.95), (0.3, -0.85), (0.6, -0.4)])
    belly = smooth([(-0.5, 0.4), (-0.45, 0.8), (-0.1, 0.75), (0.1, 0.45)])
    for shape in (tail, back, belly):
        c.fill(pose(shape), colour=fin, relief=0.6, texture=0.16, stretch=(1, 6))
    body = smooth(
        [
            (1.12, 0.05),
            (0.7, -0.42),
            (0.1, -0.6),
            (-0.5, -0.38),
            (-0.95, -0.08),
            (-0.95, 0.1),
            (-0.5, 0.38),
            (0.1, 0.58),
            (0.75, 0.42),
        ]
    )
    c.fill(pose(body), colour=paint, bottom=mix(paint, WHITE, 0.35), relief=1.0, texture=0.08, gloss=0.45)
    stripes = [
        stroke(smooth([(x - 0.05, -h), (x + 0.06, 0), (x - 0.05, h)], closed=False), 0.17)
        for x, h in ((0.35, 0.52), (-0.15, 0.52), (-0.58, 0.3))
    ]
    c.fill(*(pose(stripe) for stripe in stripes), colour=band, relief=0.3, texture=0.06, soft=0.003, alpha=0.85)
    scales = [
        ellipse(x + 0.09 * (row % 2), y, 0.06, 0.05, points=10)
        for row, y in enumerate((-0.3, -0.15, 0.0, 0.15, 0.3))
        for x in np.arange(-0.6, 0.4, 0.2)
    ]
    c.fill(*(pose(scale) for scale in scales), colour=WHITE, relief=0, texture=0.1, soft=0.002, alpha=0.18)
    c.fill(pose(smooth([(0.3, 0.1), (-0.1, 0.0), (-0.25, 0.25), (0.05, 0.35)])), colour=fin, relief=0.6, texture=0.15)
    c.fill(
        pose(stroke(smooth([(0.62, -0.36), (0.5, 0.0), (0.62, 0.36)], closed=False), 0.04)),
        colour=paint * 0.5,
        relief=0,
        texture=0,
    )
    c.fill(pose(ellipse(0.8, -0.13, 0.12)), colour=WHITE, relief=0.3, texture=0)
    c.fill(pose(ellipse(0.82, -0.13, 0.075)), colour=BLACK, relief=0, texture=0)
    c.fill(pose(ellipse(0.79, -0.16, 0.025, points=8)), colour=WHITE, relief=0, texture=0)
    c.fill(
        pose(stroke(smooth([(1.1, 0.1), (1.0, 0.17), (0.88, 0.16)], closed=False), 0.035)),
        colour=paint * 0.35,
        relief=0,
        texture=0,
    )
    for k in range(4):
        bubble = pose(np.array([(1.25 + 0.08 * k, -0.1 - 0.3 * k)]))[0]
        c.fill(ellipse(*bubble, 0.012 + 0.004 * k), colour=WHITE, relief=0.5, alpha=0.45)


def _castle(c: Canvas) -> None:
    rng = c.rng
    horizon = rng.uniform(0.7, 0.8)
    meadow(c, horizon)
    stone = hsv(rng.uniform(0.05, 0.14), rng.uniform(0.08, 0.35), rng.uniform(0.55, 0.85))
    roof = hsv(rng.choice([0.0, 0.03, 0.6, 0.65]), rng.uniform(0.4, 0.7), rng.uniform(0.35, 0.6))
    pose = Pose(rng.uniform(0.44, 0.56), horizon + rng.uniform(0.02, 0.08), rng.uniform(0.25, 0.285))
    c.fill(pose(blob(rng, 0, 0.35, 1.75, 0.5, 0.08)), colour=random_green(rng, (0.3, 0.45)), relief=0.6, texture=0.18)
    towers = [(-0.5, 1.55, 0.2), (0.5, 1.4, 0.2), (0.05, 1.9, 0.23), (-1.05, 1.05, 0.25), (1.05, 1.15, 0.25)]
    for k, (x, tall, half) in enumerate(towers):
        tall *= rng.uniform(0.9, 1.08)
        if k == 3:
            _battlement(c, pose, -1.0, 1.0, 0.75, stone * 0.92)
        c.fill(
            pose(rect(x - half, -tall, x + half, 0.12)),
            colour=stone * (0.85 if k < 3 else 1.0),
            relief=0.9,
            texture=0.11,
        )
        away = 1 if c.light[0] < 0 else -1
        c.shadow(
            pose(rect(x + away * half * 0.45 - half * 0.5, -tall, x + away * half * 0.45 + half * 0.5, 0.1)),
            strength=0.3,
            soft=0.01,
        )
        c.fill(
            pose([(x - half * 1.3, -tall + 0.03), (x, -tall - rng.uniform(0.5, 0.75)), (x + half * 1.3, -tall + 0.03)]),
            colour=roof,
            relief=0.9,
            texture=0.12,
        )
        slits = [superellipse(x, -tall + d, 0.045, 0.09, 3) for d in (0.28, 0.72)]
        c.fill(*(pose(slit) for slit in slits), colour=BLACK * 2, relief=0, texture=0)
        tip = -tall - 0.6
        if k == 2:
            c.fill(pose(stroke(np.array([(x, tip), (x, tip - 0.35)]), 0.03)), colour=BLACK, relief=0)
            c.fill(
                pose([(x, tip - 0.36), (x + 0.32, tip - 0.25), (x, tip - 0.14)]),
                colour=random_colour(rng, (0.7, 0.9), (0.6, 0.9)),
                relief=0.3,
            )
    gate = np.concatenate([[(-0.2, 0.12), (-0.2, -0.3)], ellipse(0, -0.3, 0.2, 0.24)[18:], [(0.2, 0.12)]])
    c.fill(pose(gate * 1.25), colour=stone * 0.6, relief=0.3)
    c.fill(pose(gate), colour=hsv(0.07, 0.5, 0.2), relief=0.3, texture=0.15, stretch=(6, 1))
    path = np.array([(-0.2, 0.12), (0.2, 0.12), (0.65, 1.4), (-0.55, 1.4)])
    c.fill(pose(path), colour=hsv(0.1, 0.25, 0.75), relief=0.1, texture=0.12, soft=0.006)


def _battlement(c: Canvas, pose: Pose, left: float, right: float, tall: float, stone: np.ndarray) -> None:
    teeth = [rect(x, -tall - 0.12, x + 0.1, -tall + 0.02) for x in np.arange(left, right, 0.19)]
    c.fill(
        pose(rect(left, -tall, right, 0.12)),
        *(pose(tooth) for tooth in teeth),
        colour=stone,
        relief=0.3,
        texture=0.13,
        bottom=stone * 0.75,
    )
    joints = [rect(left, -y, right, -y + 0.015) for y in np.arange(0.1, tall, 0.16)]
    c.fill(*(pose(joint) for joint in joints), colour=stone * 0.6, relief=0, alpha=0.4)


def _butterfly(c: Canvas) -> None:
    rng = c.rng
    c.bokeh(
        random_green(rng, (0.15, 0.35)),
        random_green(rng),
        random_green(rng, (0.4, 0.65)),
        random_colour(rng, (0.3, 0.7), (0.6, 0.9)),
        cells=6,
    )
    x, y = rng.uniform(0.44, 0.56), rng.uniform(0.44, 0.56)
    if rng.random() < 0.7:
        stem = smooth([(x - 0.1, 1.1), (x + 0.02, 0.85), (x, y + 0.2)], closed=False)
        c.fill(stroke(stem, 0.02), colour=random_green(rng, (0.25, 0.4)), relief=0.4)
        bloom(c, x, y + 0.24, 0.2, random_colour(rng, (0.2, 0.7), (0.8, 1.0)))
    pose = Pose(x, y, rng.uniform(0.31, 0.38), rng.uniform(-0.4, 0.4))
    hue = rng.random()
    paint, spot = hsv(hue, rng.uniform(0.65, 0.95), rng.uniform(0.7, 0.95)), hsv(hue + rng.uniform(0.1, 0.5), 0.6, 0.95)
    squeeze = rng.uniform(0.75, 1.0)
    fore = smooth([(0.05, -0.15), (0.45, -0.85), (1.1, -1.0), (1.2, -0.6), (0.85, -0.1), (0.3, 0.05)])
    hind = smooth([(0.05, 0.0), (0.6, 0.0), (0.95, 0.3), (0.75, 0.8), (0.4, 0.85), (0.12, 0.4)])
    for side in (-1, 1):
        tone = 1.0 if side * c.light[0] > 0 else 0.8
        for wing, middle in ((hind, (0.5, 0.38)), (fore, (0.65, -0.45))):
            inner = (wing - middle) * 0.78 + middle * np.array([0.93, 0.95])
            c.shadow(pose(wing * (side * squeeze, 1)) + (0.02, 0.04), strength=0.3, soft=0.015)
            c.fill(pose(wing * (side * squeeze, 1)), colour=BLACK * 1.6, relief=0.5, texture=0.1)
            c.fill(pose(inner * (side * squeeze, 1)), colour=paint * tone, relief=0.35, texture=0.1, gloss=0.1)
            lines = [stroke(np.array([(0.08, middle[1] * 0.2), end]), 0.02, 0.035) for end in inner[4:34:7]]
            c.fill(
                *(pose(line * (side * squeeze, 1)) for line in lines),
                colour=BLACK * 1.6,
                relief=0,
                texture=0,
                alpha=0.8,
            )
        dots = [
            ellipse(px, py, r, points=12)
            for px, py, r in (
                (1.05, -0.8, 0.08),
                (1.08, -0.58, 0.06),
                (0.8, 0.55, 0.08),
                (0.62, 0.74, 0.07),
                (0.86, 0.34, 0.06),
            )
        ]
        c.fill(*(pose(dot * (side * squeeze, 1)) for dot in dots), colour=spot, relief=0.2, texture=0.05)
    feelers = [stroke(smooth([(0, -0.3), (0.12 * s, -0.6), (0.3 * s, -0.8)], closed=False), 0.025) for s in (-1, 1)]
    c.fill(
        *(pose(feeler) for feeler in feelers),
        *(pose(ellipse(0.3 * s, -0.8, 0.04, points=8)) for s in (-1, 1)),
        colour=BLACK,
        relief=0,
    )
    c.fill(
        pose(ellipse(0, 0.12, 0.085, 0.45)),
        pose(ellipse(0, -0.32, 0.09)),
        colour=hsv(0.07, 0.4, 0.2),
        relief=0.9,
        texture=0.15,
    )


def _teapot(c: Canvas) -> None:
    rng = c.rng
    edge = rng.uniform(0.45, 0.62)
    interior(c, edge)
    pose = Pose(rng.uniform(0.46, 0.54), rng.uniform(0.56, 0.64), rng.uniform(0.23, 0.27), flip=coin(rng))
    glaze = random_colour(rng, (0.15, 0.85), (0.4, 0.9))
    accent = mix(random_colour(rng, (0.4, 0.8), (0.3, 0.9)), WHITE, 0.2)
    drop_shadow(c, pose.x, pose.y + 0.78 * pose.scale, pose.scale)
    handle = smooth([(-0.8, -0.35), (-1.35, -0.5), (-1.5, 0.05), (-1.2, 0.45), (-0.75, 0.4)], closed=False)
    c.fill(pose(stroke(handle, 0.19, 0.15)), colour=glaze * 0.9, relief=0.9, gloss=0.3)
    spout = [
        (0.7, 0.0),
        (1.1, -0.15),
        (1.35, -0.65),
        (1.62, -0.78),
        (1.7, -0.66),
        (1.5, -0.3),
        (1.25, 0.25),
        (0.7, 0.5),
    ]
    c.fill(pose(smooth(spout)), colour=glaze, relief=0.8, gloss=0.35)
    body = profile((0.4, -0.72), (0.75, -0.58), (1.02, 0.0), (0.85, 0.55), (0.5, 0.78), (0.48, 0.84))
    c.fill(pose(body), colour=glaze, relief=1.1, texture=0.03, gloss=0.6)
    if coin(rng):
        band = np.concatenate(
            [
                smooth([(-1.01, -0.08), (0, 0.12), (1.01, -0.08)], closed=False),
                smooth([(0.99, 0.2), (0, 0.42), (-0.99, 0.2)], closed=False),
            ]
        )
        c.fill(pose(band), colour=accent, relief=0.3, texture=0.06, alpha=0.8)
    else:
        for x in (-0.5, 0.0, 0.5):
            petals = [
                rotate(ellipse(0.12, 0, 0.1, 0.06, points=12), k * 1.257) * (1 - 0.35 * abs(x), 1) + (x, 0.1)
                for k in range(5)
            ]
            c.fill(*(pose(petal) for petal in petals), colour=accent, relief=0.2, alpha=0.9)
    c.fill(
        pose(profile((0.08, -0.98), (0.3, -0.92), (0.52, -0.74), (0.5, -0.66))),
        colour=glaze * 0.95,
        relief=0.8,
        gloss=0.5,
    )
    c.fill(pose(ellipse(0, -1.05, 0.13)), colour=accent, relief=0.9, gloss=0.5)
    lit = -0.45 if (c.light[0] < 0) != pose.flip else 0.45
    c.fill(
        pose(ellipse(lit, -0.25, 0.1, 0.2, 0.5 * np.sign(lit))),
        colour=WHITE,
        relief=0,
        texture=0,
        soft=0.008,
        alpha=0.7,
    )
    if coin(rng):
        for k in range(2):
            wisp = smooth([(1.72, -0.85), (1.85 + 0.1 * k, -1.2), (1.65 + 0.1 * k, -1.5), (1.85, -1.9)], closed=False)
            c.fill(pose(stroke(wisp, 0.06, 0.2)), colour=WHITE, relief=0, texture=0, soft=0.012, alpha=0.28)


def _owl(c: Canvas) -> None:
    rng = c.rng
    blurred(c)
    pose = Pose(rng.uniform(0.44, 0.56), rng.uniform(0.48, 0.54), rng.uniform(0.3, 0.35), rng.uniform(-0.08, 0.08))
    plumage = hsv(rng.uniform(0.05, 0.11), rng.uniform(0.15, 0.6), rng.uniform(0.35, 0.75))
    pale, dark = mix(plumage, WHITE, 0.55), plumage * 0.5
    branch = smooth(
        [(-0.1, pose.y + 1.02 * pose.scale), (0.5, pose.y + 1.12 * pose.scale), (1.1, pose.y + 0.98 * pose.scale)],
        closed=False,
    )
    half = smooth([(0, -1.1), (0.5, -1.02), (0.75, -0.55), (0.78, 0.2), (0.55, 0.95), (0, 1.2)], closed=False)
    c.fill(
        pose([(-0.25, 0.9), (0.25, 0.9), (0.3, 1.6), (-0.3, 1.6)]),
        colour=dark,
        relief=0.5,
        texture=0.15,
        stretch=(5, 1),
    )
    c.fill(stroke(branch, 0.09, 0.06), colour=hsv(0.07, 0.4, 0.3), relief=0.8, texture=0.2, stretch=(1, 6))
    for side in (-1, 1):
        tuft = smooth([(0.25, -0.95), (0.72, -1.42), (0.68, -0.75)], steps=4)
        c.fill(pose(tuft * (side, 1)), colour=plumage * 0.8, relief=0.5, texture=0.15)
    c.fill(pose(symmetric(half)), colour=plumage, relief=0.9, texture=0.16, soft=0.004)
    c.fill(pose(ellipse(0, 0.45, 0.46, 0.62)), colour=pale, relief=0.4, texture=0.12, soft=0.012)
    marks = [
        smooth([(x - 0.07, y), (x, y + 0.1), (x + 0.07, y)], steps=3)
        for row, y in enumerate((0.05, 0.25, 0.45, 0.65, 0.85))
        for x in np.arange(-0.3, 0.31, 0.2) + 0.1 * (row % 2) - 0.05
    ]
    c.fill(*(pose(mark) for mark in marks), colour=dark, relief=0, texture=0.1, soft=0.002, alpha=0.75)
    for side in (-1, 1):
        wing = smooth([(0.55, -0.25), (0.86, 0.15), (0.72, 0.85), (0.45, 1.15), (0.42, 0.4)])
        c.fill(pose(wing * (side, 1)), colour=plumage * 0.75, relief=0.7, texture=0.15, stretch=(4, 1))
        feathers = [
            stroke(smooth([(0.5, y), (0.64, y + 0.12), (0.78, y)], closed=False), 0.035) for y in (0.1, 0.3, 0.5, 0.7)
        ]
        c.fill(*(pose(feather * (side, 1)) for feather in feathers), colour=dark, relief=0, alpha=0.7)
        c.fill(pose(ellipse(side * 0.33, -0.58, 0.37, 0.38)), colour=pale, relief=0.4, texture=0.14, soft=0.008)
    iris = hsv(rng.uniform(0.07, 0.15), 0.9, 0.95)
    for x in (-0.31, 0.31):
        eye(c, pose, x, -0.58, 0.22, iris)
    brows = smooth(
        [(-0.72, -0.98), (-0.3, -0.85), (0, -0.6), (0.3, -0.85), (0.72, -0.98), (0.3, -0.95), (0, -0.78), (-0.3, -0.95)]
    )
    c.fill(pose(brows), colour=dark, relief=0.2, texture=0.15)
    c.fill(
        pose(smooth([(-0.11, -0.48), (0, -0.56), (0.11, -0.48), (0, -0.18)], steps=4)),
        colour=hsv(0.1, 0.5, 0.35),
        relief=0.8,
        gloss=0.3,
    )
    toes = [ellipse(s * 0.22 + d, 1.14, 0.05, 0.1) for s in (-1, 1) for d in (-0.09, 0.0, 0.09)]
    c.fill(*(pose(toe) for toe in toes), colour=hsv(0.11, 0.5, 0.5), relief=0.6)


PAINTERS: dict[str, Callable[[Canvas], None]] = {
    "windmill": _windmill,
    "fish": _fish,
    "castle": _castle,
    "butterfly": _butterfly,
    "teapot": _teapot,
    "owl": _owl,
}
