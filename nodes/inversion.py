"""EncodeInvertDDIM: a picture → the noisy state where guided sampling begins."""

from dataclasses import dataclass, replace

import torch

from ..qs_core import pictures, transfer
from ..qs_core.pipeline import default_size
from ..qs_core.randomness import batch_seeds, streams
from .seam import Loaded, Progress, bring, from_image, leaves_inference_mode, walk_bytes
from .widgets import CATEGORY, DEFAULTS, MAX_SEED, choice, text, whole, wire


@dataclass(frozen=True)
class Inverted:
    """What a QS_INVERSION wire carries: the inversion, its tensors on the CPU, and how its pictures were fitted."""

    inversion: transfer.Inversion
    frame: pictures.Frame
    model: Loaded

    @property
    def size(self) -> tuple[int, int]:
        """Height and width that the U-Net sees."""
        return tuple(self.inversion.source.shape[-2:])

    def on(self, device: torch.device) -> transfer.Inversion:
        """The inversion with its tensors on a device."""
        return replace(self.inversion, source=self.inversion.source.to(device), x_t=self.inversion.x_t.to(device))


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
        core = model.core
        source, frame = pictures.fit(from_image(image), size or default_size(core), core.multiple, fit)
        schedule = core.schedule(spacing.strip() or str(steps))
        source = source.to(bring(model, memory=walk_bytes(core, source)))
        for_start = streams(batch_seeds(start_seed, len(source))).start
        tell = Progress(transfer.count_steps(schedule, skip, start), preview_every)
        for number, reached in enumerate(transfer.begin(core, schedule, source, skip, start, for_start), 1):
            tell(number, frame.restore(reached.x))
        inversion = transfer.Inversion(core, schedule, source.cpu(), reached.x.cpu(), reached.i)
        return (Inverted(inversion, frame, model),)
