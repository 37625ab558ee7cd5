"""The losses as nodes: each appends one recipe to QS_LOSSES, and the sampler makes it a term once it knows the picture.

A recipe of a kind takes the place of the sampler's own loss of that kind, and of a style preset's wherever in the chain
it stands; several of a kind add up. Each node has an optional `losses` input of its output's own type, so that
ComfyUI's bypass leaves its loss out.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ..qs_core.anchors import Anchors, Attention
from ..qs_core.crops import Crops
from ..qs_core.errors import InputError
from ..qs_core.features.vgg import VGG19, load_vgg
from ..qs_core.losses.base import Term
from ..qs_core.losses.contrastive import Contrastive
from ..qs_core.model import DiffusionModel
from ..qs_core.settings import Settings, make_term, parse_attend
from ..qs_core.transfer import Inversion
from .folders import TORCHVISION, VGG_FOLDER, vgg_names, vgg_path
from .host import HOST, Loaded, manage
from .inference_mode import leaves_inference_mode
from .text import Text
from .widgets import CATEGORY, anchor_widgets, anchors_widget, choice, crop_widgets, number, text, weight, wire

VGG_WEIGHT = 100.0  # that of ZeCon's command


@dataclass(frozen=True)
class VGG:
    """The VGG network, in the shape that ComfyUI's memory management takes."""

    network: VGG19


@dataclass(frozen=True)
class Recipe:
    """A wished loss: its kind (of settings.TERMS), its own settings, the share of the walk it acts in, its networks.

    `layers` (resolutions, None for all) and `tau` are the contrastive loss's. `preset`: whether a style preset brought
    it, and not a node of its own.
    """

    kind: str
    settings: Mapping[str, object]
    span: tuple[float, float] = (0.0, 1.0)
    text: Text | None = None
    vgg: Loaded | None = None
    layers: tuple[int, ...] | None = None
    tau: float = 0.07
    preset: bool = False

    @property
    def patcher(self) -> object | None:
        """By it ComfyUI's cache sees that this holds a network."""
        return next((loaded.patcher for loaded in networks((self,))), None)

    def term(self, base: Settings, inversion: Inversion, its_text: Text) -> Term:
        """The term of this loss in a walk from the inversion; what the recipe does not set is as in `base`."""
        source = inversion.source
        clip_text = (self.text or its_text).on(HOST.device)
        settings = replace(base, **self.settings)
        vgg = self.vgg.core.network if self.vgg else None
        made = make_term(self.kind, settings, inversion.model, clip_text, *source.shape[-2:], vgg)
        start, stop = window(inversion, self.span)
        loss = made.loss
        if self.kind == "contrastive":
            loss = narrow(replace(loss, tau=self.tau), inversion.model, source, self.layers, settings.attend)
        return replace(made, loss=loss, start=start, stop=stop)


Losses = tuple[Recipe, ...]


def networks(losses: Losses) -> list[Loaded]:
    """The networks that the losses bring along."""
    return [loaded for recipe in losses for loaded in (recipe.text and recipe.text.clip, recipe.vgg) if loaded]


def window(inversion: Inversion, span: tuple[float, float]) -> tuple[int, int]:
    """The first and the last timestep of a share (begin, end) of the walk's steps, 0 its noisy start, 1 its end."""
    # 0.28 of 25 steps are 7 but for rounding, and its ceiling would be 8.
    first, last = (math.ceil(round(share * inversion.start, 6)) for share in span)
    timesteps = [int(t) for t in inversion.schedule.timesteps]
    if first >= last:
        raise InputError(
            f"Between {span[0]:g} and {span[1]:g} of the walk there is no step; it has {inversion.start} steps. "
            "Widen the loss's start_percent and end_percent."
        )
    return timesteps[inversion.start - first], timesteps[inversion.start - last + 1]


def narrow(
    loss: Contrastive, model: DiffusionModel, source: Tensor, layers: Sequence[int] | None, attend: object
) -> Contrastive:
    """The loss on the layers of the given resolutions alone; without `attend`, the two deepest of them attend."""
    resolutions = [min(source.shape[-2:]) // layer.factor for layer in model.content_layers()]
    missing = [resolution for resolution in layers or () if resolution not in resolutions]
    if missing:
        there = ", ".join(str(r) for r in dict.fromkeys(resolutions))
        raise InputError(f"No layer has resolution {missing[0]}; there are {there}. Leave layers empty for all.")
    kept = [k for k, resolution in enumerate(resolutions) if not layers or resolution in layers]
    outside = [r for r in attend if r not in layers] if layers and isinstance(attend, tuple) else []
    if outside:
        left = ", ".join(str(r) for r in dict.fromkeys(layers))
        raise InputError(
            f"attend names resolution {outside[0]}, which layers leaves out; there are {left}. Choose among those, or "
            "leave attend empty for the two deepest of them."
        )
    chosen = loss.anchors.attend if attend else kept[-2:]
    anchors = replace(loss.anchors, attend=frozenset(kept.index(k) for k in kept if k in chosen))

    def encode(pictures: Tensor) -> list[Tensor]:
        features = loss.encode(pictures)
        return [features[k] for k in kept]

    return replace(loss, encode=encode, anchors=anchors)


def losses_input(
    tooltip: str = "This one is added to them, and takes the place of a style preset's own of its kind.",
) -> tuple:
    """The optional input by which loss nodes chain."""
    return wire("QS_LOSSES", f"Further losses, from another loss node or a style preset. {tooltip}")


def span_widgets() -> dict[str, tuple]:
    """When in the walk a loss acts."""
    return {
        "start_percent": number(
            0.0,
            0.0,
            1.0,
            0.05,
            "The share of the walk's steps after which this loss begins. 0: from the noisy start on. Higher leaves the "
            "rough shapes alone.",
            round=0.001,
            advanced=True,
        ),
        "end_percent": number(
            1.0,
            0.0,
            1.0,
            0.05,
            "The share of the walk's steps after which this loss ends. 1: it acts to the end. Lower leaves the fine "
            "detail alone.",
            round=0.001,
            advanced=True,
        ),
    }


def span(start_percent: float, end_percent: float) -> tuple[float, float]:
    """The share of the walk. Raises InputError where it is empty."""
    if start_percent >= end_percent:
        raise InputError(f"start_percent {start_percent:g} must be below end_percent {end_percent:g}.")
    return start_percent, end_percent


def checked(settings: Mapping[str, object]) -> Mapping[str, object]:
    """The settings, once the library has taken them; an error then shows on the loss's own node."""
    s = Settings(prompts=("",), **settings)
    Crops(s.crops, s.crop_area)
    Anchors(s.anchors, s.num_anchors or 1, attention=Attention(s.attention_scale, s.attention_temperature))
    return settings


class Node:
    """What all loss nodes have in common: their output, and how one is added to the others."""

    CATEGORY = CATEGORY
    RETURN_TYPES = ("QS_LOSSES",)
    RETURN_NAMES = ("losses",)
    OUTPUT_TOOLTIPS = ("This loss and those that came in, for the sampler or the next loss node.",)
    FUNCTION = "add"


class QSContrastiveLoss(Node):
    """The patch-wise contrastive loss, with anchors and layers of its own."""

    DESCRIPTION = (
        "Holds the content: at its anchors the U-Net's features should stay nearest to those of the same place in the "
        "photo. Takes the place of the sampler's own contrastive loss; two of these nodes add up, for example global "
        "anchors on deep layers and random ones on shallow."
    )
    SEARCH_ALIASES = ["contrastive loss", "PatchNCE", "ZeCon loss", "content loss", "QS-Attn anchors", "InfoNCE"]

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "weight": weight("contrastive", "Higher: shapes stay, style fades."),
                "anchors": anchors_widget(),
                **anchor_widgets(),
                "layers": text(
                    "",
                    "Which layers are compared at all: resolutions such as 64,32 (the short side of the layer's map). "
                    "Deep, small ones hold the layout; shallow, large ones the strokes and edges. Empty: all.",
                ),
            },
            "optional": {
                "losses": losses_input(),
                "tau": number(
                    0.07,
                    0.01,
                    10.0,
                    0.01,
                    "Temperature of the comparison. Lower punishes the most similar wrong places harder.",
                    round=0.001,
                    advanced=True,
                ),
                **span_widgets(),
            },
        }

    @leaves_inference_mode
    def add(
        self,
        weight: float,
        anchors: str,
        num_anchors: int,
        attend: str,
        attention_scale: str,
        attention_temperature: float,
        layers: str,
        losses: Losses = (),
        tau: float = 0.07,
        start_percent: float = 0.0,
        end_percent: float = 1.0,
    ):
        settings = checked(
            {
                "contrastive": weight,
                "anchors": anchors,
                "num_anchors": num_anchors or None,
                "attend": attend,
                "attention_scale": attention_scale,
                "attention_temperature": attention_temperature,
            }
        )
        named = parse_attend(layers)
        its_layers = None if named == "all" else named
        recipe = Recipe("contrastive", settings, span(start_percent, end_percent), layers=its_layers, tau=tau)
        return ((*losses, recipe),)


class QSCLIPLoss(Node):
    """The CLIP losses, global and directional."""

    DESCRIPTION = (
        "Pulls towards the text, judged by CLIP on random pieces of the picture. Takes the place of the sampler's own "
        "CLIP losses; several of these nodes add up: small and large pieces, a second style, or a second CLIP."
    )
    SEARCH_ALIASES = ["clip loss", "clip guidance", "directional loss", "style loss", "crops", "cutouts", "two clips"]

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "clip_directional": weight(
                    "clip_directional", "Pull along the difference of the two phrases. Higher: more style."
                ),
                "clip_global": weight("clip_global", "Pull towards the text itself. Higher: more style, less content."),
                **crop_widgets(),
            },
            "optional": {
                "losses": losses_input(),
                "text": wire(
                    "QS_TEXT", "Another text, or another CLIP, for this loss alone. Without it: the sampler's."
                ),
                **span_widgets(),
            },
        }

    @leaves_inference_mode
    def add(
        self,
        clip_directional: float,
        clip_global: float,
        crops: int,
        crop_area_min: float,
        crop_area_max: float,
        losses: Losses = (),
        text: Text | None = None,
        start_percent: float = 0.0,
        end_percent: float = 1.0,
    ):
        settings = checked(
            {
                "clip_directional": clip_directional,
                "clip_global": clip_global,
                "crops": crops,
                "crop_area": (crop_area_min, crop_area_max),
            }
        )
        return ((*losses, Recipe("clip", settings, span(start_percent, end_percent), text=text)),)


class QSMSELoss(Node):
    """The mean squared error to the photo."""

    DESCRIPTION = (
        "Holds on the photo's very pixels, so its colours and light. Takes the place of the sampler's own mse; with a "
        "share of the walk it can act at the start alone, where colours are decided."
    )
    SEARCH_ALIASES = ["mse loss", "pixel loss", "L2", "keep colours", "keep colors"]

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"weight": weight("mse", "Higher: closer to the photo.")},
            "optional": {"losses": losses_input(), **span_widgets()},
        }

    @leaves_inference_mode
    def add(self, weight: float, losses: Losses = (), start_percent: float = 0.0, end_percent: float = 1.0):
        return ((*losses, Recipe("mse", {"mse": weight}, span(start_percent, end_percent))),)


class QSRangeLoss(Node):
    """The penalty on colours that no picture can show."""

    DESCRIPTION = (
        "Keeps colours within what a picture can show. Takes the place of the sampler's own range loss. Raise it where "
        "strong styles burn out into pure white, black or neon."
    )
    SEARCH_ALIASES = ["range loss", "clipping", "burned colours", "saturation"]

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"weight": weight("range", "Higher: fewer clipped colours.")},
            "optional": {"losses": losses_input(), **span_widgets()},
        }

    @leaves_inference_mode
    def add(self, weight: float, losses: Losses = (), start_percent: float = 0.0, end_percent: float = 1.0):
        return ((*losses, Recipe("range", {"range": weight}, span(start_percent, end_percent))),)


class QSVGGLoss(Node):
    """The difference of shallow VGG-19 features."""

    DESCRIPTION = (
        "Holds edges and texture through the shallow features of VGG-19, as ZeCon does. It needs torchvision's VGG-19 "
        f"weights, in torchvision's cache or in models/{VGG_FOLDER} (nothing is downloaded; where they belong is said "
        "if they are missing)."
    )
    SEARCH_ALIASES = ["vgg loss", "perceptual loss", "content loss", "VGG19", "feature loss"]

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "weight": weight("vgg", "Higher: edges and texture of the photo stay.", VGG_WEIGHT),
                "weights_file": choice(
                    vgg_names(),
                    TORCHVISION,
                    f"VGG-19 weights of torchvision's: torchvision, its own cache, or a file in models/{VGG_FOLDER}.",
                ),
            },
            "optional": {"losses": losses_input(), **span_widgets()},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, weights_file=None):  # None: linked, known later
        try:
            return weights_file is None or bool(vgg_path(weights_file) or True)
        except InputError as error:
            return str(error)

    @leaves_inference_mode
    def add(
        self,
        weight: float,
        weights_file: str,
        losses: Losses = (),
        start_percent: float = 0.0,
        end_percent: float = 1.0,
    ):
        its_span = span(start_percent, end_percent)
        return ((*losses, vgg_recipe(weight, weights_file, its_span)),)


def vgg_recipe(weight: float, weights_file: str = TORCHVISION, its_span: tuple[float, float] = (0.0, 1.0)) -> Recipe:
    """The VGG loss with its network, which a weight of 0 does not load. Raises InputError for a file that is none of
    `vgg_names()`."""
    path = vgg_path(weights_file)
    network = _vgg(path, path and path.stat().st_mtime_ns, torch.hub.get_dir()) if weight else None
    return Recipe("vgg", {"vgg": weight}, its_span, vgg=network)


@functools.lru_cache(maxsize=1)
def _vgg(path: Path | None, changed: int | None, cache: str) -> Loaded:
    """The network of a file, None for torchvision's own in its cache, read once: it is half a gigabyte, of which two
    layers are kept. A file that changed, or another cache, is another key."""
    return manage(VGG(load_vgg(path)))
