"""EncodeInvertDDIM: a picture → the noisy state where guided sampling begins."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..qs_core import pictures
from ..qs_core.blend import BlendMap
from ..qs_core.pictures import Frame
from ..qs_core.randomness import batch_seeds
from ..qs_core.schedule import make_schedule
from ..qs_core.stylizer import Prepared, Stylizer, complete
from ..qs_core.tiles import tiled
from ..qs_core.transfer import STARTS, Inversion, count_steps
from .attentive import attentive
from .host import HOST, Loaded
from .images import from_image, from_mask
from .inference_mode import leaves_inference_mode
from .masks import feathered
from .progress import Bar, say
from .widgets import CATEGORY, DEFAULTS, MAX_SEED, choice, text, verdict, whole, wire

ENLARGED = 1.5  # beyond this the result's softness is said


@dataclass(frozen=True)
class Inverted:
    """What a QS_INVERSION wire carries: the inversion and its prepared pictures, on the CPU, and the model."""

    inversion: Inversion
    prepared: Prepared
    model: Loaded

    @property
    def size(self) -> tuple[int, int]:
        """Height and width that the U-Net sees."""
        return tuple(self.inversion.source.shape[-2:])

    @property
    def patcher(self) -> object | None:
        """By it ComfyUI's cache sees that this holds a network."""
        return self.model.patcher

    def __len__(self) -> int:
        return len(self.prepared)

    def blend(self, strength: float, mask: Tensor | None, feather: int) -> BlendMap:
        """Strength times mask (a MASK, None for all), feathered. Masks that are even may have any size."""
        if mask is None:
            return self.prepared.blend(strength)
        mask, original = from_mask(mask, len(self)), self.prepared.frame.original
        if (mask.amin((1, 2)) == mask.amax((1, 2))).all():  # such as the black one of Load Image, 64x64
            mask = mask[:, :1, :1].repeat(1, *original)
        return self.prepared.blend(strength, feathered(pictures.mask_of(mask, *original), feather))


def loss_of_detail(frame: Frame) -> str | None:
    """What to say where a picture is restyled much smaller than it came in, as it is enlarged again at the end."""
    short, now = min(frame.original), min(frame.height, frame.width)
    if short <= ENLARGED * now:
        return None
    return (
        f"The picture is {frame.original[1]}x{frame.original[0]} pixels. It is restyled at {frame.width}x"
        f"{frame.height} and enlarged {short / now:.1f} times at the end, so it looks soft. For more detail set size "
        f"to {2 * now} or more, as time and memory allow: twice the size costs four times as much."
    )


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
                    "Short side in pixels at which the U-Net works. 0: its training size (192 for demo). Larger shows "
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
                    STARTS,
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
                    placeholder="empty: as steps says; else e.g. ddim50",
                    advanced=True,
                ),
                "tile": whole(
                    0,
                    0,
                    2048,
                    "Pictures with a larger side are seen in overlapping windows of at most so many pixels, in the "
                    "memory of one. 0: windows of the U-Net's usual size where the picture's short side is over 1.5 "
                    "times that.",
                    step=8,
                    advanced=True,
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, spacing=""):
        """ComfyUI blames every input that is named here; whether skip fits in the steps `invert` says."""
        return verdict(lambda spacing: make_schedule(spacing.strip() or DEFAULTS["steps"]), spacing)

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
        tile: int = 0,
    ):
        spacing, seeds = spacing.strip() or str(steps), batch_seeds(start_seed, len(image))
        stylizer = Stylizer(model.core, HOST, inversions=0)
        prepared = stylizer.prepare(from_image(image), size, fit, unit=True)
        frame, source = prepared.frame, prepared.source
        if smaller := loss_of_detail(frame):
            say(smaller)
        total = count_steps(model.core.schedule(spacing), skip, start)
        bar = Bar(total, len(source), preview_every)

        size = tuple(source.shape[-2:])
        seen = tiled(model.core, tile or None, *size)
        need = partial(seen.walk_bytes, height=size[0], width=size[1])

        def look(state: Tensor) -> Tensor | None:
            shown = model.preview(state)
            return None if shown is None else frame.restore(shown)

        def walk() -> Inversion:
            walked = stylizer.invert(source, spacing, skip, start, seeds, tile or None)
            return complete(
                attentive(walked, HOST, "Invert Image", (len(source), *size), need),
                lambda reached: bar(reached.rows, reached.number, lambda: look(reached.step.x)),
            )

        inversion = model.hold(walk, [], need(len(source)), size)
        return (Inverted(inversion, prepared, model),)
