"""A pool of training pictures: photo-like sources, each beside its rendering in one style.

Rendered once by worker processes into two memory-mapped files, then cropped and augmented anew at each step.
"""

from __future__ import annotations

import json
import time
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from ..data import photos, scenes, styles

SIZE = 128
PHOTO_SHARE = 0.6  # of the sources; the others are drawn scenes
PHOTO_SIDE = 1024  # short side of the largest photos as they are cropped, in pixels
PHOTO_WEIGHTS = {
    "retina": 0.3,
    "hubble": 0.4,
    "brick": 0.5,
    "grass": 0.6,
    "gravel": 0.6,
    "camera": 1.5,
    "china_lake": 2.0,
    "wallpaper_gradient": 0.4,
}
CHUNK = 64


def _jitter(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random exposure, contrast, saturation and white balance, mild."""
    grey = picture.mean(axis=2, keepdims=True)
    picture = grey + (picture - grey) * rng.uniform(0.5, 1.5)
    picture = (picture - 0.5) * rng.uniform(0.75, 1.2) + 0.5 + rng.uniform(-0.12, 0.12)
    picture = picture * rng.uniform(0.9, 1.1, size=3)
    return np.clip(picture, 0, 1).astype(np.float32)


def _tint(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A grey picture between two random colours, the darker for its shadows."""
    ends = np.sort(rng.uniform(0, 1, size=(2, 3)), axis=0) * [[0.5], [1.0]]
    grey = picture.mean(axis=2, keepdims=True)
    return (ends[0] + (ends[1] - ends[0]) * grey).astype(np.float32)


def _photo_crop(pictures: list[np.ndarray], weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A square of random place and side (80 pixels to the whole short side), resized to the pool's size."""
    picture = pictures[rng.choice(len(pictures), p=weights)]
    short = min(picture.shape[:2])
    side = int(np.exp(rng.uniform(np.log(min(80, short)), np.log(short))))
    top, left = rng.integers(picture.shape[0] - side + 1), rng.integers(picture.shape[1] - side + 1)
    crop = Image.fromarray(picture[top : top + side, left : left + side])
    crop = crop.rotate(90 * rng.integers(4)) if rng.random() < 0.1 else crop
    return np.asarray(crop.resize((SIZE, SIZE), Image.Resampling.LANCZOS))


@cache
def _photos() -> tuple[list[np.ndarray], np.ndarray]:
    """The training photos, and how often each is drawn."""
    chosen = photos.split("train")
    weights = np.array([PHOTO_WEIGHTS.get(photo.name, 1.0) for photo in chosen])
    return [photos.shrink(photos.load(photo), PHOTO_SIDE) for photo in chosen], weights / weights.sum()


def _source(pictures: list[np.ndarray], weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(128, 128, 3) float32 in [0, 1]: a photo's crop or a drawn scene, flipped and jittered at random."""
    if rng.random() < PHOTO_SHARE:
        picture = _photo_crop(pictures, weights, rng)
    else:
        picture = scenes.draw(scenes.TRAIN_KINDS[rng.integers(len(scenes.TRAIN_KINDS))], rng, SIZE)
    picture = picture.astype(np.float32) / 255
    if np.ptp(picture, axis=2).max() == 0 and rng.random() < 0.6:
        picture = _tint(picture, rng)
    return _jitter(picture[:, ::-1] if rng.random() < 0.5 else picture, rng)


def _chunk(job: tuple[int, int, bool]) -> tuple[int, np.ndarray, np.ndarray]:
    """One chunk of pairs (CHUNK, 2, 128, 128, 3) uint8 and their style indices; a pure function of the job."""
    seed, number, held_out = job
    rng = np.random.default_rng([seed, number])
    pictures, weights = _photos()
    names = [name for name in styles.STYLES if name != "photo"]
    pairs, labels = np.empty((CHUNK, 2, SIZE, SIZE, 3), np.uint8), np.empty(CHUNK, np.int64)
    for k in range(CHUNK):
        source, style = _source(pictures, weights, rng), names[rng.integers(len(names))]
        rendered = styles.render(source, style, rng, held_out)
        pairs[k] = np.rint(255 * np.stack([source, rendered])).astype(np.uint8)
        labels[k] = list(styles.STYLES).index(style)
    return number, pairs, labels


def make_pool(folder: Path, count: int, workers: int, seed: int = 0, held_out: bool = False) -> None:
    """Write `pairs.npy` (count, 2, 128, 128, 3) and `labels.npy` into the folder; a finished pool is left alone.

    `held_out` renders with the settings that the guide's training never draws.
    """
    wanted = {"count": count, "seed": seed, "held_out": held_out}
    note = folder / "pool.json"
    if note.exists() and json.loads(note.read_text()) == wanted:
        return
    folder.mkdir(parents=True, exist_ok=True)
    count = -(-count // CHUNK) * CHUNK
    pairs = np.lib.format.open_memmap(folder / "pairs.npy", "w+", np.uint8, (count, 2, SIZE, SIZE, 3))
    labels = np.empty(count, np.int64)
    begun = time.time()
    with get_context("spawn").Pool(workers) as processes:
        jobs = [(seed, number, held_out) for number in range(count // CHUNK)]
        for done, (number, chunk, chunk_labels) in enumerate(processes.imap_unordered(_chunk, jobs), 1):
            pairs[number * CHUNK : (number + 1) * CHUNK] = chunk
            labels[number * CHUNK : (number + 1) * CHUNK] = chunk_labels
            if done % 50 == 0 or done == len(jobs):
                print(f"pool: {done * CHUNK} of {count} pairs, {time.time() - begun:.0f} s", flush=True)
    pairs.flush()
    np.save(folder / "labels.npy", labels)
    note.write_text(json.dumps(wanted))


def open_pool(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The pool's pairs, memory-mapped, and labels."""
    return np.load(folder / "pairs.npy", mmap_mode="r"), np.load(folder / "labels.npy")
