"""Whether windows leave seams: how much values change across their borders, beside all other places."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image

from qs_core import demo
from qs_core.networks import load
from qs_core.pipeline import stylize
from qs_core.settings import Settings
from qs_core.tiles import Window, tiled

from . import report
from .cases import Case
from .measuring import load_average

PHOTOS = ("cat", "coffee", "flower", "astronaut")
SIZE, TILE = 160, 96
WALK = {"size": SIZE, "steps": "20", "skip": 10}


def measure(name: str, windows: Sequence[Window]) -> tuple[float, float]:
    """`across` of one photo restyled in windows, and in one piece."""
    with Image.open(demo.PICTURES[name]) as photo:
        square = photo.convert("RGB").resize((SIZE, SIZE))
    walks = [{**WALK, "tile": tile} for tile in (TILE, SIZE)]
    return tuple(across(stylize(square, "water painting", **walk).picture, windows) for walk in walks)


def across(picture: torch.Tensor, windows: Sequence[Window]) -> float:
    """The mean step between neighbours of a picture (3, H, W) over the windows' borders, beside that elsewhere."""
    at, elsewhere = [], []
    for axis in (-2, -1):
        steps = picture.diff(dim=axis).abs().movedim(axis, 0).flatten(1).mean(1)
        edges = {edge for window in windows for edge in (window.place[axis].start, window.place[axis].stop)}
        border = torch.tensor([number + 1 in edges for number in range(len(steps))])
        at.append(steps[border])
        elsewhere.append(steps[~border])
    return float(torch.cat(at).mean() / torch.cat(elsewhere).mean())


def run(case: Case) -> str:
    """A row for each photo, and the mean."""
    before, found = load_average(), {}
    windows = tiled(load(Settings("water painting")).model, TILE, SIZE, SIZE).windows(SIZE, SIZE)
    for name in PHOTOS:
        found[name] = measure(name, windows)
        print(name, *found[name], flush=True)
    found["**mean**"] = tuple(sum(column) / len(found) for column in zip(*found.values(), strict=True))
    rows = [[name, f"{tiles:.3f}", f"{whole:.3f}", f"{tiles / whole:.3f}"] for name, (tiles, whole) in found.items()]
    told = report.table(["photo", "in windows", "in one piece", "ratio"], rows)
    note = f"{SIZE} px in {len(windows)} windows of {TILE}, water painting, 10 of 20 steps. The mean step of "
    note += "values across the windows' borders, as a multiple of that at all other places; in one piece at the same "
    note += "places."
    return f"{told}\n\n{note} {report.surroundings(case.device, before)}"
