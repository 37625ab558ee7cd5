"""Networks: what the settings name, loaded; pictures and runs share it."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch.nn import Module

from . import pictures
from .features.clip import CLIP, PICTURE_SIDE, TextDirection, text_direction
from .features.openclip import load_clip
from .features.weights import Announce
from .host import choose_device
from .losses import LOSSES
from .model import DiffusionModel, load_model
from .modes import plain
from .precision import DTYPES, choose_clip_dtype, choose_dtype, warn_of_emulation
from .settings import Settings

CHOSEN_BY = ("model", "model_options", "clip", "clip_pretrained", "more_clips", "device", "dtype", "clip_dtype")


@dataclass(frozen=True)
class Networks:
    """The loaded networks and the phrases' embeddings. The guiding CLIP is `text.clip`."""

    model: DiffusionModel
    text: TextDirection
    of_losses: Mapping[str, Module | None]  # by the loss's kind; None where it looks with the guiding CLIP
    more: tuple[TextDirection, ...] = ()  # of further CLIPs

    def without_text(self) -> "Networks":
        """The same without CLIP's text tower: the phrases are embedded."""
        text, *more = (replace(text, clip=text.clip.without_text()) for text in (self.text, *self.more))
        return replace(self, text=text, more=tuple(more))

    def reading(self, s: Settings) -> "Networks":
        """The same with the settings' phrases."""
        text, *more = (_text(text.clip, s) for text in (self.text, *self.more))
        return replace(self, text=text, more=tuple(more))


@plain()
def load(s: Settings, announce: Announce | None = None) -> Networks:
    """Load the networks that the settings name, and embed the phrases, in float32 whatever the pictures are in."""
    device = choose_device(s.device)
    chosen = [(s.clip, s.clip_pretrained), *(_named(name) for name in s.more_clips)]
    clips = [load_clip(name, pretrained, device=device, announce=announce) for name, pretrained in chosen]
    text, *more = (_text(clip, s) for clip in clips)
    dtype, clip_dtypes = choose_dtype(s.dtype), [choose_clip_dtype(s.clip_dtype, clip, device) for clip in clips]
    for each in sorted({dtype, *clip_dtypes}):
        warn_of_emulation(each, device, announce or warnings.warn)
    for clip, its in zip(clips, clip_dtypes, strict=True):
        clip.network.visual.to(DTYPES[its])
    model = load_model(s.model, device=device, dtype=dtype, **(s.model_options or {}))
    if announce and model.doubt:
        announce(model.doubt)
    return Networks(model, text, load_own(s, device, announce), tuple(more))


@plain()
def load_own(s: Settings, device: torch.device, announce: Announce | None = None) -> dict[str, Module | None]:
    """The losses' own networks that the settings ask for, by the loss's kind."""
    return {loss.kind: loss.load(s, device, announce) for loss in LOSSES if loss.load and loss.wished(s)}


def _named(clip: str) -> tuple[str, str | None]:
    """A further CLIP's name and its weights."""
    name, _, pretrained = clip.partition(",")
    return name.strip(), pretrained.strip() or None


def choice(s: Settings) -> str:
    """What tells the networks of two settings apart."""
    own = [loss for loss in LOSSES if loss.load and loss.wished(s)]
    names = [*CHOSEN_BY, *(name for loss in own for name in loss.names if name not in loss.weights)]
    return repr([(name, getattr(s, name)) for name in names])


def _text(clip: CLIP, s: Settings) -> TextDirection:
    shown = [pictures.take(image, PICTURE_SIDE) for image in s.style_images]
    return text_direction(clip, s.prompts, s.source_prompt, s.prompt_weights, s.templates, shown, s.style_weights)
