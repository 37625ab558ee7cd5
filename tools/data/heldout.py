"""The project's fixed evaluation set: six held-out photos and one drawn scene of each held-out kind."""

from __future__ import annotations

import numpy as np

from tools.data import photos, scenes

SHORT_SIDE = 128
PHOTO_NAMES = ("astronaut", "cat", "coffee", "flower", "pagoda", "rocket")
SCENE_SEEDS = {"windmill": 3, "fish": 0, "castle": 6, "butterfly": 10, "teapot": 9, "owl": 3}


def held_out_pictures() -> tuple[tuple[str, np.ndarray], ...]:
    """The ordered (name, uint8 picture) pairs, short side 128 px; a photo keeps its aspect."""
    real = [(name, photos.shrink(photos.load(photos.by_name(name)), SHORT_SIDE)) for name in PHOTO_NAMES]
    drawn = [(kind, scenes.draw(kind, np.random.default_rng(seed), SHORT_SIDE)) for kind, seed in SCENE_SEEDS.items()]
    return tuple(real + drawn)
