"""QSAttnGuidedSampler: from the noisy state back to a picture, bent towards the text and held to the content."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..qs_core import transfer
from ..qs_core.errors import InputError
from ..qs_core.guidance import Economy, bind
from ..qs_core.losses.base import Term
from ..qs_core.randomness import batch_seeds, named
from ..qs_core.settings import TERMS, Settings, parse_attend
from .inversion import Inverted
from .losses import Losses, Recipe, networks
from .masks import Dial
from .seam import Loaded, Progress, bring, guidance_bytes, in_portions, leaves_inference_mode
from .text import Text
from .widgets import (
    CATEGORY,
    DEFAULTS,
    MAX_SEED,
    anchor_widgets,
    anchors_widget,
    choice,
    crop_widgets,
    flag,
    number,
    weight,
    whole,
    wire,
)


class QSAttnGuidedSampler:
    """QS_INVERSION and QS_TEXT → IMAGE."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Redraws the picture in the style of the text. At each step CLIP pulls towards the text, and a contrastive "
        "loss on the U-Net's own features holds the content at the places that attention selects (QS-Attn). A batch "
        "gives the same pictures as one by one: picture b (from 0) takes seed + b."
    )
    SEARCH_ALIASES = ["style transfer", "QS-Attn", "ZeCon", "guided sampler", "text style", "CLIP guidance", "restyle"]
    RETURN_TYPES = ("IMAGE", "IMAGE")
    RETURN_NAMES = ("IMAGE", "frames")
    OUTPUT_TOOLTIPS = (
        "The restyled picture, or batch of them.",
        "The way there, as frames_every sets: what the U-Net predicts after every so many steps, picture by picture, "
        "each ending with the result.",
    )
    FUNCTION = "sample"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "inversion": wire("QS_INVERSION", "The picture and its noisy state, from Invert Image."),
                "text": wire("QS_TEXT", "The style, from CLIP Text Direction."),
                "seed": whole(
                    DEFAULTS["seed"],
                    0,
                    MAX_SEED,
                    "Random numbers of noise, crops and random anchors: the same seed gives the same picture. Picture "
                    "b of a batch (from 0) takes seed + b.",
                    control_after_generate=True,
                ),
                "strength": number(
                    DEFAULTS["strength"],
                    0.0,
                    1.0,
                    0.05,
                    "How much of the style is let through: 1 all of it, lower less, 0 the very same picture.",
                    round=0.001,
                ),
                "clip_directional": weight(
                    "clip_directional",
                    "Pull along the difference of the two phrases. Higher: more style; the steadier of the two.",
                ),
                "clip_global": weight("clip_global", "Pull towards the text itself. Higher: more style, less content."),
                "contrastive": weight(
                    "contrastive", "Hold on the content through the U-Net's features. Higher: shapes stay, style fades."
                ),
                "mse": weight("mse", "Hold on the source's very pixels and colours. Higher: closer to the photo."),
                "sampler": choice(
                    transfer.SAMPLERS,
                    DEFAULTS["sampler"],
                    "ddpm adds fresh noise at each step, as the papers do: stronger styles. ddim adds as much as eta "
                    "says, none at eta 0: closer to the source.",
                ),
                "preview_every": whole(1, 0, 1000, "Show the picture every so many steps; 0: never."),
            },
            "optional": {
                "losses": wire(
                    "QS_LOSSES",
                    "Losses from loss nodes or a style preset. One of a kind takes the place of this node's own of "
                    "that kind (clip, contrastive, mse, range); several of a kind add up.",
                ),
                "mask": wire(
                    "MASK",
                    "Where to restyle: white is redrawn, black stays untouched. Without it, everything. Load Image "
                    "gives a black mask for a picture that has none, and then nothing changes.",
                ),
                "feather": whole(
                    8,
                    0,
                    512,
                    "Width of the mask's soft edge in pixels of the picture that came in, within the white part. 0: "
                    "hard.",
                    advanced=True,
                ),
                "anchors": anchors_widget(advanced=True),
                "output_size": choice(
                    ["network", "original"],
                    "original",
                    "original: the size of the picture that came in; what fit crop cut out is scaled to fit into that. "
                    "network: as the U-Net drew it.",
                    advanced=True,
                ),
                "range": weight(
                    "range", "Keeps colours within what a picture can show. Raise it where colours clip.", advanced=True
                ),
                "eta": number(
                    DEFAULTS["eta"],
                    0.0,
                    1.0,
                    0.05,
                    "Share of fresh noise in ddim: 0 none, 1 as much as ddpm. ddpm does not use it.",
                    advanced=True,
                ),
                **crop_widgets(advanced=True),
                **anchor_widgets(advanced=True),
                "frames_every": whole(
                    0,
                    0,
                    1000,
                    "Keep what the U-Net predicts after every so many steps for the frames output, for a video or a "
                    "grid. 0: only the result.",
                    advanced=True,
                ),
                "through_unet": flag(
                    DEFAULTS["through_unet"],
                    "Guide by the gradient through the U-Net, as the papers do. Off: faster and with less memory, for "
                    "large networks on small GPUs; the picture is another, and weights may want another value.",
                    advanced=True,
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, attend="", crop_area_min=None, crop_area_max=None):  # None: linked, known later
        try:
            parse_attend(attend)
        except InputError as error:
            return str(error)
        if None not in (crop_area_min, crop_area_max) and not 0 < crop_area_min <= crop_area_max <= 1:
            return (
                f"crop_area_min {crop_area_min:g} and crop_area_max {crop_area_max:g}: 0 < min <= max <= 1 is needed."
            )
        return True

    @leaves_inference_mode
    def sample(
        self,
        inversion: Inverted,
        text: Text,
        seed: int,
        preview_every: int,
        losses: Losses = (),
        mask: Tensor | None = None,
        feather: int = 8,
        crop_area_min: float = DEFAULTS["crop_area"][0],
        crop_area_max: float = DEFAULTS["crop_area"][1],
        num_anchors: int = 0,
        frames_every: int = 0,
        **options,
    ):
        settings = Settings(
            prompts=text.direction.prompts,
            crop_area=(crop_area_min, crop_area_max),
            num_anchors=num_anchors or None,
            **options,
        )
        dial = inversion.dial(settings.strength, mask, feather)
        if dial.nothing:
            same = inversion.finish(inversion.inversion.source, dial, settings.output_size)
            return same, same
        films = restyle(inversion, Plan(text, settings, merged(losses), frames_every), dial, seed, preview_every)
        return torch.stack([film[-1] for film in films]), torch.cat(films)


def merged(losses: Losses) -> Losses:
    """Of each kind the losses of loss nodes, else a style preset's, else the sampler's own; VGG has none of these.

    In the order of TERMS, so that a node with the sampler's own values changes nothing.
    """
    return tuple(recipe for kind in TERMS for recipe in _of_kind(kind, losses))


def _of_kind(kind: str, losses: Losses) -> Losses:
    given = [recipe for recipe in losses if recipe.kind == kind]
    nodes = [recipe for recipe in given if not recipe.preset]
    own = [] if kind == "vgg" else [Recipe(kind, {})]
    return tuple(nodes or given or own)


@dataclass(frozen=True)
class Plan:
    """What the walks of all pictures have in common."""

    text: Text
    settings: Settings
    recipes: Losses
    frames_every: int

    def networks(self, model: Loaded) -> list[Loaded]:
        """The U-Net and all that the losses need, each once."""
        needed = (model, self.text.clip, *networks(self.recipes))
        return list({id(loaded): loaded for loaded in needed}.values())

    def memory(self, inverted: Inverted, count: int) -> int:
        """About the bytes that so many of the pictures need beside the weights."""
        clips = [recipe for recipe in self.recipes if recipe.kind == "clip"]
        crops = [recipe.settings.get("crops", self.settings.crops) for recipe in clips]
        views = [((recipe.text or self.text).clip.core, number) for recipe, number in zip(clips, crops, strict=True)]
        pictures, through = inverted.inversion.source[:count], self.settings.through_unet
        return guidance_bytes(inverted.model.core, pictures, views, through)

    def terms(self, inversion: transfer.Inversion) -> list[Term]:
        """The losses of a walk from the inversion."""
        return [recipe.term(self.settings, inversion, self.text) for recipe in self.recipes]


def restyle(inverted: Inverted, plan: Plan, dial: Dial, seed: int, preview_every: int) -> list[Tensor]:
    """A film (frames, H, W, 3) for each picture, the result last, in as few passes as memory allows."""
    memory, seeds = partial(plan.memory, inverted), batch_seeds(seed, len(inverted))
    device = bring(*plan.networks(inverted.model), memory=memory(len(inverted)))
    steps = inverted.inversion.start
    tell = Progress(steps, len(inverted), preview_every)

    def films(rows: slice, thrift: Economy) -> Tensor:
        part, its_dial, frames = inverted.part(rows), dial.part(rows), []
        for step, shown in walk(part.on(device), plan, its_dial, seeds[rows], thrift):
            tell(rows, step, part.frame.restore(shown))
            if step == steps or (plan.frames_every and step % plan.frames_every == 0):
                frames.append(part.finish(shown, its_dial, plan.settings.output_size))
        return torch.stack(frames, dim=1)

    parts = in_portions(inverted.inversion.source, memory, device, films)
    return [film for part in parts for film in part]


def walk(
    inversion: transfer.Inversion, plan: Plan, dial: Dial, seeds: Sequence[int], thrift: Economy
) -> Iterator[tuple[int, Tensor]]:
    """After each step its number, from 1, and the picture so far (B, 3, h, w): the predicted one, then the result."""
    s = plan.settings
    step = transfer.step_function(s.sampler, s.eta)
    bound = bind(plan.terms(inversion), inversion.source, seeds)
    for reached in transfer.restyle(inversion, bound, step, named(seeds, "noise"), dial.fitted, thrift, s.shortcuts):
        yield inversion.start - reached.i, reached.x0 if reached.i else reached.x
