"""Drawn scenes with photo-like light, shading and texture: the variety of content that a few photos cannot give.

Every kind draws itself with a random pose, palette and light. The held-out kinds are never drawn for training.
"""

from __future__ import annotations

import numpy as np

from tools.data import scenes_held_out, scenes_train
from tools.data.paint import Canvas

TRAIN_KINDS: tuple[str, ...] = tuple(scenes_train.PAINTERS)
HELD_OUT_KINDS: tuple[str, ...] = tuple(scenes_held_out.PAINTERS)
_PAINTERS = scenes_train.PAINTERS | scenes_held_out.PAINTERS


def draw(kind: str, rng: np.random.Generator, size: int = 128) -> np.ndarray:
    """One scene of that kind with a random pose, palette and light, uint8 (size, size, 3)."""
    if kind not in _PAINTERS:
        raise ValueError(f"no such kind of scene: {kind!r}; there are {', '.join(TRAIN_KINDS + HELD_OUT_KINDS)}")
    canvas = Canvas(rng, size)
    _PAINTERS[kind](canvas)
    return canvas.finish()
