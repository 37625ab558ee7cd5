"""Every setting of one run, with its default, and the terms it asks for."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, make_dataclass
from functools import partial
from os import PathLike
from typing import Any

from torch.nn import Module

from . import values
from .errors import InputError
from .features.clip import TextDirection
from .losses import LOSSES
from .losses.base import Term
from .losses.description import Setting
from .moving.steady import require_steady
from .pictures import OUTPUT_SIZES, is_one
from .protocol import Model

OPTIONS = tuple(option for loss in LOSSES for option in loss.options)
# The settings of the losses are fields as all others are.
LossSettings = make_dataclass("LossSettings", [(o.name, Any, o.default) for o in OPTIONS], frozen=True, kw_only=True)


@dataclass(frozen=True)
class Settings(LossSettings):
    """The settings of a run; those of the losses are inherited from their descriptions.

    Weights are quoted at 256x256 pixels, as the papers do, and rescaled to the picture's size.
    Deviation: the defaults were chosen by eye on the built-in models. They are large, as the weights say in which
    direction a step goes, and the trust region how far. ZeCon's command (DDPM, CLIP 10 000 and 20 000, contrastive 500,
    MSE 5000, VGG 100, crops of 1 to 30 %) redraws fine content there, as its fresh noise is resolved by a U-Net that
    has seen few pictures; DDIM with half the noise keeps it.
    """

    prompts: tuple[str, ...] = ()
    prompt_weights: tuple[float, ...] = ()
    source_prompt: str = "photo"
    templates: bool = False
    style_images: tuple[Any, ...] = ()  # pictures whose style is taken, in any form that `pictures.take` reads
    style_weights: tuple[float, ...] = ()  # of these, beside the prompts' own; 1 each by default
    colour_transfer: float = 0.5  # from 0, the photo's palette, to 1, the style pictures'; without these it is idle
    model: str = "demo"
    model_options: dict | None = None  # of `load_model`: what the checkpoint's shapes cannot tell, and class_label
    clip: str = "demo"
    clip_pretrained: str | None = None
    more_clips: tuple[str, ...] = ()  # further ones that guide as well, as the first: NAME or NAME,WEIGHTS
    size: int | None = None  # short side; the model's training size if None, three times that for the built-in one
    tile: int | None = None  # longest side of the windows of a large picture; see `tiles.tiled`
    fit: str = "pad"
    output_size: str = "network"
    soft_clip: float = 0.2  # share of the range, at either end, where what is beyond it is brought back; 0: cut off
    detail: float = 0.0  # dial: the original's fine structure in a result of its size
    steps: str = "50"
    skip: int = 25
    start: str = "inverted"
    dequantize: bool = True  # start inverted: noise as wide as a level of 8 bits in what is inverted
    sampler: str = "ddim"
    eta: float = 0.5
    first_step_repeats: int = 1  # how often the first step is made, noised again between; DiffuseIT's is 10
    restarts: int = (
        0  # at most so many, with other noise, where the range loss is above the next; DiffuseIT's are endless
    )
    restart_above: float = 5e-5  # DiffuseIT's limit, before its weight of 200; for its FFHQ network 5e-4
    strength: float = 1.0  # from 0, the source itself, to 1
    steady: float = 0.0  # pictures are a sequence: from 0, each by itself, to 1, held to the one before
    style: float = 1.0  # dial: multiplies the weights of CLIP, and the trust region's radius
    content: float = 1.0  # dial: multiplies the weights of what holds the content
    trust_radius: float = 0.16  # of `TrustRegion`; 0: guidance is not bounded, as in the papers
    plain_below: float = 0.1  # local contrast, in [-1, 1], below which bounded guidance is smoothed; 0: nowhere
    seed: int = 0  # None: a new one by chance, which the report tells
    count: int = 1
    device: str = "auto"
    dtype: str = "auto"
    clip_dtype: str = "auto"  # of CLIP's image tower; see `choose_clip_dtype`
    # What saves memory and leaves the picture as it is but for rounding.
    crop_chunk: int | None = None  # crops whose activations CLIP holds at a time; all of a picture's if None
    gradient_checkpointing: bool = False  # of the U-Net's blocks: one more forward a step
    # What saves time and changes the picture.
    guidance_interval: int = 1  # steps from one that is guided to the next
    through_unet: bool = True  # false: guidance by the gradient at x0, not pulled back through the U-Net

    def __post_init__(self):
        """Take the obvious types for the stated ones, and refuse what needs no network to be refused."""
        give = partial(object.__setattr__, self)  # the usual way in a frozen dataclass
        give("prompts", values.phrases(self.prompts))
        give("prompt_weights", values.numbers("prompt_weights", self.prompt_weights))
        several = (self.style_images,) if is_one(self.style_images) else self.style_images
        give("style_images", tuple(str(each) if isinstance(each, PathLike) else each for each in several))
        give("style_weights", values.numbers("style_weights", self.style_weights))
        give("steps", str(self.steps))
        give("seed", values.seed(self.seed))
        for setting in fields(self):
            give(setting.name, values.plain(setting.name, getattr(self, setting.name), setting.type))
        for option in OPTIONS:
            give(option.name, option.stored(getattr(self, option.name)))
        if not 0 <= self.strength <= 1:  # false for NaN as well
            raise InputError(f"strength {self.strength}: 0 (the source) to 1 (the full style) is needed.")
        require_steady(self.steady)
        if self.steady and self.count > 1:
            raise InputError(f"count {self.count}: of a sequence (steady {self.steady:g}) there is one result. Give 1.")
        if not 0 <= self.soft_clip <= 1:  # false for NaN as well
            raise InputError(f"soft_clip {self.soft_clip}: 0 (colours are cut off) to 1 (all of the range) is needed.")
        if not 0 <= self.colour_transfer <= 1:  # false for NaN as well
            raise InputError(f"colour_transfer {self.colour_transfer}: 0 (the photo's colours) to 1 is needed.")
        give("more_clips", values.phrases(self.more_clips))
        if self.restarts < 0:
            raise InputError(f"restarts {self.restarts}: 0 or more are needed.")
        for name in ("style", "content", "trust_radius", "plain_below", "restart_above", "detail"):
            if not 0 <= getattr(self, name) < math.inf:  # false for NaN as well
                raise InputError(f"{name} {getattr(self, name)}: a number from 0 on is needed.")
        for name in ("count", "guidance_interval", "crop_chunk", "first_step_repeats", "tile"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}: at least 1 is needed.")
        if self.output_size not in OUTPUT_SIZES:
            raise InputError(f"Output size {self.output_size!r} is unknown; choose one of {', '.join(OUTPUT_SIZES)}.")
        if self.detail and self.output_size == "network":
            raise InputError(f"detail {self.detail:g} needs a result of the original's size. Set output_size original.")


def make_terms(
    s: Settings,
    model: Model,
    text: TextDirection,
    height: int,
    width: int,
    networks: Mapping[str, Module | None] | None = None,
    more: Sequence[TextDirection] = (),
) -> tuple[Term, ...]:
    """The terms of a run on pictures of one size; `networks` are the losses' own, by their kind.

    A loss whose network is not there has no term. With `more` CLIPs each has a term, with its part of the weight.
    """
    own, terms = networks or {}, []
    for loss in (loss for loss in LOSSES if not loss.load or loss.kind in own):
        texts = [text, *more] if loss.takes_text else [text]
        each = [loss.term(s, Setting(model, one, height, width, own.get(loss.kind))) for one in texts]
        terms += [term.shared(len(each)) for term in each] if len(each) > 1 else each
    return tuple(terms)
