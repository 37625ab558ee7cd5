"""The pictures of an evaluation as files: square, and of two splits that share nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ..data import photos, scenes
from ..data.heldout import SHORT_SIDE, held_out_pictures

TUNING_PHOTOS = ("camera", "china_lake", "astronaut_suit")  # of the training split
TUNING_SCENES = {"house": 9001, "cat": 9002, "street": 9003}  # kind: seed


def tuning_pictures() -> list[tuple[str, np.ndarray]]:
    """What variants are screened on: the U-Net and both CLIPs were trained on crops of these photos and such scenes."""
    real = [(name, photos.shrink(photos.load(photos.by_name(name)), SHORT_SIDE)) for name in TUNING_PHOTOS]
    drawn = [(k, scenes.draw(k, np.random.default_rng(seed), SHORT_SIDE)) for k, seed in TUNING_SCENES.items()]
    return real + drawn


SPLITS = {"tuning": tuning_pictures, "held_out": held_out_pictures}


def write(split: str, folder: Path) -> dict[str, str]:
    """Write the middle square of each picture of a split; returns the files by name."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for name, array in SPLITS[split]():
        height, width = array.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = Image.fromarray(np.asarray(array)[top : top + side, left : left + side]).convert("RGB")
        square.save(folder / f"{name}.png")
        files[name] = str(folder / f"{name}.png")
    return files
