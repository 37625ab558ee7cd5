"""How much a restyled sequence flickers: clips whose motion is known, a pan and a zoom over a photo."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample

from qs_core import pictures, styles, unguided
from qs_core.features.clip import text_direction
from qs_core.features.openclip import load_clip
from qs_core.model import load_model
from qs_core.moving.flow import Motion, warped
from qs_core.pipeline import Restyled
from qs_core.pipeline import run as restyle
from qs_core.settings import Settings
from qs_evaluate import metrics

from ..data.heldout import held_out_pictures
from ..evaluation.protocol import judge
from . import report
from .cases import Case
from .measuring import load_average

PHRASES = ("water painting", "mosaic")
STEADY = (0.0, 0.8, 0.95)
PHOTOS = ("astronaut", "cat")
PAN, ZOOM = 0.02, 0.97  # a frame's move in shares of the picture's side, and its width beside the one before

Walk = Callable[[Sequence[Tensor], float], Iterable[Restyled]]  # frames and `steady` → their results


def camera(kind: str, frames: int) -> list[tuple[float, float]]:
    """Each frame's centre and half width on a photo of -1 to 1."""
    if kind == "pan":
        return [(PAN * (2 * k + 1 - frames) * 0.6, 0.6) for k in range(frames)]
    return [(0.0, 0.9 * ZOOM**k) for k in range(frames)]


def clip(photo: Tensor, views: list[tuple[float, float]], side: int) -> Tensor:
    """The frames (N, 3, side, side) that the camera sees, of a photo (1, 3, H, W)."""
    frames = []
    for centre, half in views:
        seen = torch.tensor([[[half, 0.0, centre], [0.0, half, centre / 2]]])
        grid = affine_grid(seen, [1, 3, 2 * side, 2 * side], align_corners=False)
        frames.append(avg_pool2d(grid_sample(photo, grid, mode="bicubic", align_corners=False), 2))
    return torch.cat(frames).clamp(-1, 1)


def true_motion(views: list[tuple[float, float]], side: int) -> Motion:
    """Where each place of the frames 1 … N-1 was in the frame before, and whether that was in the picture."""
    place = (torch.arange(side) + 0.5) / side * 2 - 1
    flows, known = [], []
    for (c_before, h_before), (c, h) in zip(views, views[1:], strict=False):
        moved = [(share * c + h * place - share * c_before) / h_before for share in (0.5, 1.0)]  # y, x
        y, x = torch.meshgrid(*moved, indexing="ij")
        flows.append(torch.stack((y - place[:, None], x - place[None])) * side / 2)
        known.append(((y.abs() < 1 - 1 / side) & (x.abs() < 1 - 1 / side))[None])
    return Motion(torch.stack(flows), torch.stack(known).float())


def warping_error(frames: Tensor, motion: Motion) -> Tensor:
    """(N-1,): mean |frame - frame before, moved along|, of a range of 0 to 1, over the places that are known."""
    apart = (frames[1:] - warped(frames[:-1], motion.flow)).abs() / 2
    return (apart * motion.known).sum((1, 2, 3)) / (3 * motion.known.sum((1, 2, 3)))


def guided(s: Settings) -> dict[str, Walk]:
    """The guided walk for each phrase."""

    def walk(phrase: str) -> Walk:
        return lambda frames, steady: restyle(frames, replace(s, prompts=(phrase,), steady=steady))

    return {phrase: walk(phrase) for phrase in PHRASES}


def redrawn(style_file: str, size: int, device: str) -> dict[str, Walk]:
    """The unguided walk by a style's file, for the phrase that it was trained on."""
    phrase = styles.load(style_file, load_model()).said["prompts"][0]
    s = unguided.StyleSettings((style_file,), size=size, device=device)
    return {phrase: lambda frames, steady: unguided.run(frames, replace(s, steady=steady))}


def run(case: Case, frames: int, sheet: Path | None = None, style_file: str | None = None) -> str:
    """A row for each `steady`: warping error, how many times less that is than frame by frame, style and content.

    Edits are of `case.settings`, 64 px by default, or by a style's file; the sheet has a row of frames for each
    `steady`.
    """
    before, s = load_average(), Settings(PHRASES[0], **{"size": 64, "device": case.device, **case.settings})
    its_judge, rows, first, shown = load_clip(judge().clip), [], None, []
    walks = redrawn(style_file, s.size, s.device) if style_file else guided(s)
    texts = {phrase: text_direction(its_judge, (phrase,)) for phrase in walks}
    photos = {name: pictures.take(array)[None] for name, array in held_out_pictures() if name in PHOTOS}
    for steady in STEADY:
        errors, plain, style, content = [], [], [], []
        for name, photo in photos.items():
            square = min(photo.shape[-2:])
            photo = photo[..., :square, :square]
            for kind in ("pan", "zoom"):
                views = camera(kind, frames)
                source, motion = clip(photo, views, s.size), true_motion(views, s.size)
                for phrase, walk in walks.items():
                    drawn = torch.stack([made.picture for made in walk(list(source), steady)])
                    errors.append(warping_error(drawn, motion))
                    plain.append(warping_error(source, motion))
                    here, there = metrics.embed(its_judge, drawn), metrics.embed(its_judge, source)
                    style.append(
                        metrics.directional_similarity(here, there, texts[phrase].targets[0], texts[phrase].source)
                    )
                    content.append(metrics.ssim(drawn, source))
                    if sheet and name == PHOTOS[0] and kind == "pan" and phrase == next(iter(walks)):
                        shown.append(torch.cat(list(drawn), 2))
        means = [float(torch.cat(each).mean()) for each in (errors, style, content, plain)]
        first = first or means[0]
        rows.append([f"{steady:g}", *(f"{mean:.4f}" for mean in means[:1]), f"{first / means[0]:.1f}"])
        rows[-1] += [f"{mean:.3f}" for mean in means[1:3]] + [f"{means[3]:.4f}"]
    if sheet:
        pictures.write(sheet, torch.cat(shown, 1))
    head = ("steady", "warping error", "times less", "directional similarity", "SSIM", "the source's own error")
    told = f"{len(PHOTOS)} photos, a pan and a zoom of {frames} frames each, {' and '.join(walks)}; {s.size} px."
    return f"{told}\n\n{report.table(head, rows)}\n\n{report.surroundings(case.device, before)}"
