"""Networks: what the settings name, loaded; pictures and runs share it."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

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

CHOSEN_BY = ("model", "model_options", "clip", "clip_pretrained", "device", "dtype", "clip_dtype")


@dataclass(frozen=True)
class Networks:
    """The loaded networks and the phrases' embeddings. The guiding CLIP is `text.clip`."""

    model: DiffusionModel
    text: TextDirection
    of_losses: Mapping[str, torch.nn.Module]  # by the loss's kind

    def without_text(self) -> "Networks":
        """The same without CLIP's text tower: the phrases are embedded."""
        return replace(self, text=replace(self.text, clip=self.text.clip.without_text()))

    def reading(self, s: Settings) -> "Networks":
        """The same with the settings' phrases."""
        return replace(self, text=_text(self.text.clip, s))


@plain()
def load(s: Settings, announce: Announce | None = None) -> Networks:
    """Load the networks that the settings name, and embed the phrases, in float32 whatever the pictures are in."""
    device = choose_device(s.device)
    clip = load_clip(s.clip, s.clip_pretrained, device=device, announce=announce)
    text = _text(clip, s)
    dtype, clip_dtype = choose_dtype(s.dtype), choose_clip_dtype(s.clip_dtype, clip, device)
    for chosen in sorted({dtype, clip_dtype}):
        warn_of_emulation(chosen, device, announce or warnings.warn)
    clip.network.visual.to(DTYPES[clip_dtype])
    model = load_model(s.model, device=device, dtype=dtype, **(s.model_options or {}))
    if announce and model.doubt:
        announce(model.doubt)
    own = {loss.kind: loss.load(s, device) for loss in LOSSES if loss.load and loss.wished(s)}
    return Networks(model, text, own)


def choice(s: Settings) -> str:
    """What tells the networks of two settings apart."""
    own = [loss for loss in LOSSES if loss.load and loss.wished(s)]
    names = [*CHOSEN_BY, *(name for loss in own for name in loss.names if name not in loss.weights)]
    return repr([(name, getattr(s, name)) for name in names])


def _text(clip: CLIP, s: Settings) -> TextDirection:
    shown = [pictures.take(image, PICTURE_SIDE) for image in s.style_images]
    return text_direction(clip, s.prompts, s.source_prompt, s.prompt_weights, s.templates, shown, s.style_weights)
