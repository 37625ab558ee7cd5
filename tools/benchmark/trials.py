"""Savings that are not used, each beside what is: torch.compile, a channels-last U-Net, several pictures in a batch."""

from __future__ import annotations

import copy
import os
import tempfile
import time
from collections.abc import Callable
from unittest import mock

import open_clip
import torch
from torch import Tensor

from qs_core.features import tower

from . import report
from .cases import Case, clip_name, unet
from .cost import pulled
from .measuring import Spread, in_turn, load_average


def run(case: Case, count: int) -> str:
    """The table: each trial and what is used, in turn; for torch.compile also the seconds of its first call."""
    before = load_average()
    rows = [*_channels_last(case, count), *_batches(case, count)]
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"TORCHINDUCTOR_CACHE_DIR": folder}):
        rows += _compiled(case, count)  # in a folder of its own: else a second run finds what the first compiled
    heads = ["trial", "seconds as it is", "seconds in the trial", "first call, seconds"]
    note = f"U-Net {case.unet} at {case.size} px and CLIP {case.clip} on {case.crops} crops, in float32, forward and "
    note += "pull-back, but for several pictures, which are forward alone and seconds a picture. Median of "
    note += f"{count} (least to most), taken in turn. "
    return f"{report.table(heads, rows)}\n\n{note}{report.surroundings(case.device, before)}"


def _compare(case: Case, count: int, *works: Callable[[], object]) -> list[Spread]:
    def walk(work):
        def begin():
            while True:
                yield work() or True

        return begin

    return in_turn([walk(work) for work in works], count, case.device)


def _network(case: Case) -> torch.nn.Module:
    torch.manual_seed(0)
    return unet(case).eval().requires_grad_(False).to(case.device)


def _inputs(case: Case, batch: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(batch, 3, case.size, case.size, device=case.device)
    return x, torch.full((batch,), 300.0, device=case.device)


def _channels_last(case: Case, count: int) -> list[list]:
    network = _network(case)
    other = copy.deepcopy(network).to(memory_format=torch.channels_last)
    x, t = _inputs(case, case.batch)
    last = x.contiguous(memory_format=torch.channels_last)
    taken = _compare(
        case, count, lambda: pulled(lambda leaf: network(leaf, t), x), lambda: pulled(lambda leaf: other(leaf, t), last)
    )
    return [["U-Net, channels last", *taken, "–"]]


def _batches(case: Case, count: int) -> list[list]:
    network, sizes = _network(case), (1, 2, 4)

    def forward(batch: int) -> None:
        with torch.no_grad():
            network(*_inputs(case, batch))

    one, *others = _compare(case, count, *(lambda batch=batch: forward(batch) for batch in sizes))
    each = [Spread(s / size for s in taken) for size, taken in zip(sizes[1:], others, strict=True)]
    return [[f"U-Net, {size} pictures", one, taken, "–"] for size, taken in zip(sizes[1:], each, strict=True)]


def _compiled(case: Case, count: int) -> list[list]:
    network, (x, t), rows = _network(case), _inputs(case, case.batch), []
    visual = open_clip.create_model(clip_name(case)).visual.eval().requires_grad_(False).to(case.device)
    side = visual.image_size[0] if isinstance(visual.image_size, tuple) else visual.image_size
    crops = torch.randn(case.crops, 3, side, side, device=case.device)
    for name, function, given in (
        ("U-Net", lambda leaf: network(leaf, t), x),
        ("CLIP", lambda leaf: tower.embed(visual, leaf), crops),
    ):
        compiled = torch.compile(function)
        begun = time.perf_counter()
        pulled(compiled, given)
        first = time.perf_counter() - begun
        works = (lambda f=f, given=given: pulled(f, given) for f in (function, compiled))
        rows.append([f"{name}, torch.compile", *_compare(case, count, *works), f"{first:.0f}"])
    return rows
