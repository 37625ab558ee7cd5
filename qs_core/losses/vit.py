"""DiffuseIT's losses (Kwon & Ye 2023) on the keys and the class token of a vision transformer.

Keys say where things are and how they hang together, the class token what is to be seen. The network is DINO's ViT, as
in the paper, or the picture tower of the guiding CLIP, which needs no download and was trained for something else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from einops import reduce
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from ..errors import InputError
from ..features.pixels import Tokens
from ..features.vit import DINO, load_vit
from ..protocol import Model
from ..randomness import Generators
from .base import Loss, View
from .contrastive import patch_nce
from .description import Description, Option, Setting


class Transformer(Protocol):
    """What a loss asks of a vision transformer: a ViT or a CLIP."""

    def look(self, pictures: Tensor) -> Tokens:
        """Keys and class token of the last block for (B, 3, H, W) in [-1, 1]."""

    def graph_bytes(self, views: int) -> int:
        """About what it keeps for a gradient through so many pictures."""


OWN = "clip"  # in place of a ViT's name: the guiding CLIP's picture tower
REACHED = -0.5  # of `clip_target`: the phrase is reached
OF_KEYS, OF_CLASS = ("vit_structure", "vit_contrastive"), ("vit_divergence", "vit_style")


def structure(keys: Tensor, source: Tensor) -> Tensor:
    """(B, N, D) keys of both → (B,) mean squared difference of their cosine self-similarities (N, N)."""
    return reduce((_similarity(keys) - _similarity(source)).square(), "b i j -> b", "mean")


def _similarity(keys: Tensor) -> Tensor:
    unit = normalize(keys, dim=-1, eps=1e-8)
    return torch.einsum("bid,bjd->bij", unit, unit)


def token_distance(cls: Tensor, other: Tensor) -> Tensor:
    """(B, D) class tokens → (B,) mean squared difference."""
    return reduce((cls - other).square(), "b d -> b", "mean")


@dataclass(frozen=True)
class ViTLoss(Loss):
    """`values` among these, each one value per picture:

    - vit_structure: as `structure`, of the estimate and the source (Splice; Tumanyan et al. 2022);
    - vit_contrastive: InfoNCE over tokens, `patch_nce` of the keys, times `near` while `clip_target` is below -0.5;
    - vit_divergence: minus the distance of class tokens of this estimate and that of the step before, at timesteps
      above `until`; the source stands before the first;
    - vit_style: the distance to the class token of the style pictures, each as its weight says;
    - style_pixels: the mean squared difference to the style pictures themselves, squashed to the photo's size.
    """

    name: ClassVar[str] = "vit"
    network: Transformer
    values: frozenset[str]
    styles: Sequence[Tensor] = ()
    shares: Sequence[float] = ()
    near: float = 1.0
    until: int = 0

    def against(self, source: Tensor, generators: Generators) -> "BoundViT":
        with torch.no_grad():
            tokens = self.network.look(source) if self.values & {*OF_KEYS, *OF_CLASS} else None
            styles = [self.network.look(style[None]).cls for style in self.styles] if "vit_style" in self.values else []
        size, pixels = source.shape[-2:], []
        if "style_pixels" in self.values:
            kind = {"mode": "bilinear", "antialias": True, "align_corners": False}
            pixels = [interpolate(style[None], size, **kind) for style in self.styles]
        return BoundViT(self, tokens, styles, pixels, Memory(tokens and tokens.cls))

    def graph_bytes(self, model: Model, batch: int, height: int, width: int) -> int:
        """What the transformer keeps of the pictures."""
        return self.network.graph_bytes(batch)


@dataclass
class Memory:
    """The class token (B, D) of the evaluation before, and of the latest. An evaluation that is repeated, which has the
    same number, remembers the same one."""

    latest: Tensor | None
    before: Tensor | None = None
    number: int | None = None

    def previous(self, cls: Tensor, number: int) -> Tensor:
        """That of the evaluation before `number`, whose own is `cls`."""
        if number != self.number:
            self.before, self.number = self.latest, number
        self.latest = cls.detach()
        return self.before


@dataclass(frozen=True)
class BoundViT:
    """The loss bound to a source: its tokens, and the class tokens (1, D) and pictures (1, 3, H, W) of the styles."""

    loss: ViTLoss
    source: Tokens | None
    styles: Sequence[Tensor]
    pixels: Sequence[Tensor]
    memory: Memory

    def __call__(self, view: View) -> dict[str, Tensor]:
        found = self._of_tokens(self.loss.network.look(view.estimate), view) if self.source else {}
        if self.pixels:
            found["style_pixels"] = self._mixed(
                reduce((view.estimate - picture).square(), "b c h w -> b", "mean") for picture in self.pixels
            )
        return {name: value for name, value in found.items() if name in self.loss.values}

    def _of_tokens(self, tokens: Tokens, view: View) -> dict[str, Tensor]:
        loss, found = self.loss, {}
        if "vit_structure" in loss.values:
            found["vit_structure"] = structure(tokens.keys, self.source.keys)
        if "vit_contrastive" in loss.values:
            found["vit_contrastive"] = patch_nce(tokens.keys, self.source.keys)
            if "clip_target" in view.last and loss.near != 1:
                reached = view.last["clip_target"] < REACHED
                found["vit_contrastive"] = found["vit_contrastive"] * torch.where(reached, loss.near, 1.0)
        if "vit_divergence" in loss.values:
            apart = -token_distance(tokens.cls, self.memory.previous(tokens.cls, view.number))
            found["vit_divergence"] = apart if view.t > loss.until else apart * 0
        if self.styles:
            found["vit_style"] = self._mixed(token_distance(tokens.cls, style) for style in self.styles)
        return found

    def _mixed(self, distances: Iterable[Tensor]) -> Tensor:
        """(B,) the weighted mean over the style pictures."""
        pairs = zip(self.loss.shares, distances, strict=True)
        return sum(share * distance for share, distance in pairs) / sum(self.loss.shares)


def _make(s: Any, setting: Setting) -> ViTLoss:
    wished = frozenset(name for name in VIT_LOSS.weights if getattr(s, name))
    text, network = setting.text, setting.network
    of_style = wished & {"vit_style", "style_pixels"}
    if of_style and not text.pictures:
        raise InputError(
            f"{min(of_style)} compares with a style picture, and there is none. Give one (--style-image, or Style from "
            "Picture), or the weight 0."
        )
    if network is None and wished & {*OF_KEYS, *OF_CLASS}:
        text.clip.require_transformer()
    shares = text.weights[len(text.prompts) :].tolist()
    return ViTLoss(network or text.clip, wished, text.pictures, shares, s.vit_regularize, s.vit_divergence_until)


VIT_LOSS = Description(
    "vit",
    (
        Option(
            "vit_structure",
            "weight",
            0.0,
            "weight: hold how the parts of the picture hang together",
            "Holds how the parts of the picture hang together: the self-similarity of the transformer's keys.",
            role="content",
            widget_default=200_000.0,
        ),
        Option(
            "vit_contrastive",
            "weight",
            0.0,
            "weight: hold each place's own content",
            "Holds each place: its key should stay nearest to the photo's key of the same place.",
            role="content",
            widget_default=20_000.0,
        ),
        Option(
            "vit_divergence",
            "weight",
            0.0,
            "weight: away from the step before, to change meaning faster",
            "Pushes what is to be seen away from the step before, so that a change of meaning comes faster.",
            role="style",
        ),
        Option(
            "vit_style",
            "weight",
            0.0,
            "weight: towards what the style pictures show",
            "Pulls the class token to that of the style picture: looks and meaning. Needs Style from Picture.",
            role="style",
        ),
        Option(
            "style_pixels",
            "weight",
            0.0,
            "weight: towards the style pictures' very pixels",
            "Pulls to the style picture's very pixels, as DiffuseIT's picture mode does. Needs Style from Picture.",
            role="style",
        ),
        Option(
            "vit_divergence_until",
            "whole",
            506,
            "timestep, of 1000, down to which vit_divergence acts",
            "The timestep, from 1000 at the noise to 0 at the picture, down to which vit_divergence acts.",
            high=1000,
            metavar="T",
            advanced=True,
        ),
        Option(
            "vit_regularize",
            "number",
            1.0,
            "vit_contrastive counts so often once the phrase is reached by clip_target",
            "So often vit_contrastive counts once clip_target has reached its phrase; DiffuseIT has 2.",
            high=100.0,
            step=0.5,
            metavar="N",
            advanced=True,
        ),
        Option(
            "vit",
            "text",
            OWN,
            f"whose keys: {OWN} for the guiding CLIP's own transformer, or timm's name, such as {DINO}",
            metavar=f"{OWN}|NAME",
        ),
        Option(
            "vit_weights",
            "text",
            None,
            "that network's weights: a file, or hub to download them",
            metavar="FILE|hub",
        ),
    ),
    _make,
    node="QSViTLoss",
    title="Transformer Loss (QS)",
    text=(
        "DiffuseIT's losses on a vision transformer's keys and class token: hold structure, match a style picture. By "
        "default the transformer is the guiding CLIP's own, which needs no download; DINO's, which the paper reads, "
        "holds structure better and is a file of models/qs_vit."
    ),
    aliases=("DiffuseIT", "DINO", "ViT loss", "structure loss", "self-similarity", "splice", "class token"),
    load=lambda settings, device, announce: (
        None if settings.vit == OWN else load_vit(settings.vit, settings.vit_weights, device=device, announce=announce)
    ),
)
