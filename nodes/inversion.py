"""EncodeInvertDDIM: a picture → the noisy state where guided sampling begins."""

from dataclasses import dataclass, replace

import torch
from einops import rearrange
from torch import Tensor

from ..qs_core import pictures, transfer
from ..qs_core.errors import InputError
from ..qs_core.guidance import Economy
from ..qs_core.pipeline import default_size
from ..qs_core.randomness import batch_seeds, named
from ..qs_core.schedule import make_schedule
from .masks import Dial, feathered
from .seam import (
    Loaded,
    Progress,
    as_kept,
    bring,
    from_image,
    from_mask,
    in_portions,
    leaves_inference_mode,
    plain,
    walk_bytes,
)
from .widgets import CATEGORY, DEFAULTS, MAX_SEED, choice, text, whole, wire


@dataclass(frozen=True)
class Inverted:
    """What a QS_INVERSION wire carries: the inversion, its tensors on the CPU, and how its pictures were fitted.

    `image` are the very values that came in, (B, 3, H, W) in [0, 1]; `short` and `fit` what `pictures.fit` was given.
    """

    inversion: transfer.Inversion
    frame: pictures.Frame
    model: Loaded
    image: Tensor
    short: int
    fit: str

    @property
    def size(self) -> tuple[int, int]:
        """Height and width that the U-Net sees."""
        return tuple(self.inversion.source.shape[-2:])

    @property
    def patcher(self) -> object | None:
        """By it ComfyUI's cache sees that this holds a network."""
        return self.model.patcher

    def __len__(self) -> int:
        return len(self.image)

    def on(self, device: torch.device) -> transfer.Inversion:
        """The inversion with its tensors on a device."""
        return replace(self.inversion, source=self.inversion.source.to(device), x_t=self.inversion.x_t.to(device))

    def part(self, rows: slice) -> "Inverted":
        """That of some pictures of the batch."""
        i = self.inversion
        return replace(self, image=self.image[rows], inversion=replace(i, source=i.source[rows], x_t=i.x_t[rows]))

    def dial(self, strength: float, mask: Tensor | None, feather: int) -> Dial:
        """Strength times mask (a MASK, None for all), feathered. Masks that are even may have any size."""
        if mask is None:
            return Dial(strength, strength)
        mask = from_mask(mask, len(self))
        if (mask.amin((1, 2)) == mask.amax((1, 2))).all():  # such as the black one of Load Image, 64x64
            mask = mask[:, :1, :1].repeat(1, *self.frame.original)
        mask = feathered(pictures.mask_of(mask, *self.frame.original), feather)
        fitted = pictures.fit_mask(mask, self.short, self.model.core.multiple, self.fit)
        return Dial(strength * mask, strength * fitted)

    def finish(self, x: Tensor, dial: Dial, output_size: str) -> Tensor:
        """An IMAGE of what the U-Net drew, (B, 3, h, w); the very values that came in where the dial is at 0."""
        fitted = (self.inversion.source + 1) / 2
        source = self.frame.source(self.image, fitted, output_size).clamp(0, 1)
        result = ((self.frame.restore(x, output_size).detach().float().cpu() + 1) / 2).clamp(0, 1)
        done = pictures.composite(result, source, dial.coverage(self.frame, output_size))
        return as_kept(rearrange(done, "b c h w -> b h w c").contiguous())


class EncodeInvertDDIM:
    """IMAGE → QS_INVERSION."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Turns the picture into the noise it could have come from (DDIM inversion), step by step; the sampler walks "
        "back from there. Steps and skip decide how far: the fewer steps are skipped, the more may change."
    )
    SEARCH_ALIASES = ["ddim inversion", "invert", "unsample", "image to noise", "encode image", "ZeCon", "DiffuseIT"]
    RETURN_TYPES = ("QS_INVERSION",)
    RETURN_NAMES = ("inversion",)
    OUTPUT_TOOLTIPS = ("The picture and its noisy state, for QS-Attn Guided Sampler. One for the whole batch.",)
    FUNCTION = "invert"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "model": wire("QS_MODEL", "The U-Net of Load Pixel Diffusion Model."),
                "image": wire("IMAGE", "The picture to restyle; a batch is restyled picture by picture."),
                "size": whole(
                    0,
                    0,
                    2048,
                    "Short side in pixels at which the U-Net works. 0: its training size (128 for demo). Larger shows "
                    "more detail but costs time and memory by the square, and styles get finer and weaker.",
                    step=8,
                ),
                "fit": choice(
                    pictures.FITS,
                    DEFAULTS["fit"],
                    "How both sides get to the multiples the U-Net needs: pad mirrors the border, which is cut off "
                    "again; crop cuts the middle out.",
                ),
                "steps": whole(
                    int(DEFAULTS["steps"]),
                    2,
                    1000,
                    "How finely the way to pure noise is divided. More is slower and more exact; 50 is the papers'.",
                ),
                "skip": whole(
                    DEFAULTS["skip"],
                    1,
                    999,
                    "Steps left out at the noisy end. Fewer skipped: more noise, more change, more time. Half of the "
                    "steps is a good start; below a third the content begins to go.",
                ),
                "start": choice(
                    transfer.STARTS,
                    DEFAULTS["start"],
                    "Where sampling begins. inverted: DDIM inversion, keeps the content best. noised: plain random "
                    "noise. zecon: the quirk of the ZeCon code, to compare with it.",
                ),
                "preview_every": whole(5, 0, 1000, "Show the picture every so many steps; 0: never."),
            },
            "optional": {
                "start_seed": whole(
                    DEFAULTS["seed"],
                    0,
                    MAX_SEED,
                    "Random numbers of the noised start, which alone uses them; all else is the sampler's seed. "
                    "Picture b of a batch (from 0) takes start_seed + b.",
                    advanced=True,
                ),
                "spacing": text(
                    "",
                    "Which of the 1000 training steps to visit, instead of steps: ddim50 (every 20th), or counts for "
                    "equal sections such as 10,20 (few at the clean end, more at the noisy one). Empty: steps.",
                    advanced=True,
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, steps=None, skip=None, start=None, spacing=""):  # None: linked, known later
        if None in (steps, skip, start, spacing):
            return True
        try:
            transfer.count_steps(make_schedule(spacing.strip() or str(steps)), skip, start)
        except InputError as error:
            return str(error)
        return True

    @leaves_inference_mode
    def invert(
        self,
        model: Loaded,
        image: torch.Tensor,
        size: int,
        fit: str,
        steps: int,
        skip: int,
        start: str,
        preview_every: int,
        start_seed: int = DEFAULTS["seed"],
        spacing: str = "",
    ):
        core, short = model.core, size or default_size(model.core)
        source, frame = pictures.fit(from_image(image), short, core.multiple, fit)
        schedule = core.schedule(spacing.strip() or str(steps))
        seeds = batch_seeds(start_seed, len(source))
        tell = Progress(transfer.count_steps(schedule, skip, start), len(source), preview_every)
        device = bring(model, memory=walk_bytes(core, source))

        def states(rows: slice, _: Economy) -> tuple[Tensor, int]:
            randomness = named(seeds[rows], "start")  # anew at each attempt
            walk = transfer.begin(core, schedule, source[rows].to(device), skip, start, randomness)
            for number, reached in enumerate(walk, 1):
                tell(rows, number, frame.restore(reached.x))
            return reached.x.cpu(), reached.i

        parts = in_portions(source, lambda n: walk_bytes(core, source[:n]), device, states)
        inversion = transfer.Inversion(core, schedule, source, torch.cat([x_t for x_t, _ in parts]), parts[-1][1])
        original = rearrange(plain(image), "b h w c -> b c h w").contiguous()
        return (Inverted(inversion, frame, model, original, short, fit),)
