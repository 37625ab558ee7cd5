"""The losses as nodes, made from their descriptions: each appends one recipe to QS_LOSSES.

The sampler makes it a term once it knows the picture. A recipe of a kind takes the place of the sampler's own loss of
that kind, and of a style preset's wherever in the chain it stands; several of a kind add up. Each node has an optional
`losses` input of its output's own type, so that ComfyUI's bypass leaves its loss out.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch

from ..qs_core.errors import InputError
from ..qs_core.features.arcface import load_arcface
from ..qs_core.features.vgg import load_vgg
from ..qs_core.features.vit import DINO, load_vit
from ..qs_core.losses import BY_KIND, LOSSES
from ..qs_core.losses.base import Term
from ..qs_core.losses.description import Description, Setting
from ..qs_core.settings import Settings
from ..qs_core.transfer import Inversion
from .folders import (
    ARCFACE_FOLDER,
    GUIDE,
    TORCHVISION,
    VGG_FOLDER,
    VIT_FOLDER,
    arcface_names,
    arcface_path,
    vgg_instead,
    vgg_names,
    vgg_path,
    vit_names,
    vit_path,
)
from .host import HOST, Loaded, manage
from .inference_mode import leaves_inference_mode
from .text import Text
from .widgets import CATEGORY, choice, number, settings_of, text, verdict, widgets, wire


@dataclass(frozen=True)
class Network:
    """A loss's own network, in the shape that ComfyUI's memory management takes."""

    network: torch.nn.Module


@dataclass(frozen=True)
class Recipe:
    """A wished loss: its kind, its own settings, the share of the walk it acts in, and its networks.

    `preset`: whether a style preset brought it, and not a node of its own.
    """

    kind: str
    settings: Mapping[str, object]
    span: tuple[float, float] = (0.0, 1.0)
    text: Text | None = None
    network: Loaded | None = None
    preset: bool = False

    @property
    def patcher(self) -> object | None:
        """By it ComfyUI's cache sees that this holds a network."""
        return next((loaded.patcher for loaded in networks((self,))), None)

    def term(self, base: Settings, inversion: Inversion, its_text: Text) -> Term:
        """The term of this loss in a walk from the inversion; what the recipe does not set is as in `base`."""
        text, size = (self.text or its_text).on(HOST.device), inversion.source.shape[-2:]
        own = self.network.core.network if self.network else None
        made = BY_KIND[self.kind].term(replace(base, **self.settings), Setting(inversion.model, text, *size, own))
        start, stop = window(inversion, self.span)
        return replace(made, start=start, stop=stop)


Losses = tuple[Recipe, ...]


def networks(losses: Losses) -> list[Loaded]:
    """The networks that the losses bring along."""
    return [loaded for recipe in losses for loaded in (recipe.text and recipe.text.clip, recipe.network) if loaded]


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


def checked(kind: str, settings: Mapping[str, object]) -> Mapping[str, object]:
    """The settings, once the library has taken them; an error then shows on the loss's own node."""
    BY_KIND[kind].check(Settings(prompts=("",), **settings))
    return settings


class LossNode:
    """The node of one kind of loss: its settings as widgets, and how it is added to others."""

    CATEGORY = CATEGORY
    RETURN_TYPES = ("QS_LOSSES",)
    RETURN_NAMES = ("losses",)
    OUTPUT_TOOLTIPS = ("This loss and those that came in, for the sampler or the next loss node.",)
    FUNCTION = "add"
    LOSS: ClassVar[Description]

    @classmethod
    def INPUT_TYPES(cls):
        told = [option for option in cls.LOSS.options if option.tooltip]
        own = {name: w for o in told if not o.appended for name, w in widgets(o).items()}
        later = {name: w for o in told if o.appended for name, w in widgets(o).items()}
        if len(cls.LOSS.weights) == 1:  # its name says nothing that the node's does not
            own = {"weight" if name == cls.LOSS.kind else name: widget for name, widget in own.items()}
        advanced = {name: widget for name, widget in own.items() if widget[1].get("advanced")}
        its_text = {
            "text": wire("QS_TEXT", "Another text, or another CLIP, for this loss alone. Without it: the sampler's.")
        }
        return {
            "required": {name: widget for name, widget in own.items() if name not in advanced},
            "optional": {
                "losses": losses_input(),
                **(its_text if cls.LOSS.takes_text else {}),
                **advanced,
                **span_widgets(),
                **later,
            },
        }

    @leaves_inference_mode
    def add(
        self,
        losses: Losses = (),
        text: Text | None = None,
        start_percent: float = 0.0,
        end_percent: float = 1.0,
        **inputs: object,
    ):
        if "weight" in inputs:
            inputs[self.LOSS.kind] = inputs.pop("weight")
        settings = checked(self.LOSS.kind, settings_of(inputs))
        network = self.network(settings, inputs)
        recipe = Recipe(self.LOSS.kind, settings, span(start_percent, end_percent), text, network)
        return ((*losses, recipe),)

    def network(self, settings: Mapping[str, object], inputs: Mapping[str, object]) -> Loaded | None:
        """The loss's own network, where it has one."""
        return None


def node(loss: Description, base: type[LossNode] = LossNode) -> type[LossNode]:
    """The node of a described loss."""
    said = {"LOSS": loss, "DESCRIPTION": loss.text, "SEARCH_ALIASES": list(loss.aliases), "__doc__": loss.text}
    return type(loss.node, (base,), said)


class VGGNode(LossNode):
    """The VGG loss's node, which takes its weights from a file of the VGG folder."""

    @classmethod
    def INPUT_TYPES(cls):
        declared = super().INPUT_TYPES()
        declared["required"]["weights_file"] = choice(
            vgg_names(),
            TORCHVISION,
            f"VGG-19 weights of torchvision's: torchvision, its own cache, or a file in models/{VGG_FOLDER}.",
        )
        return declared

    @classmethod
    def VALIDATE_INPUTS(cls, weights_file=None):
        return verdict(vgg_path, weights_file)

    def network(self, settings: Mapping[str, object], inputs: Mapping[str, object]) -> Loaded | None:
        """VGG-19's layers; a weight of 0 loads none."""
        return vgg(inputs["weights_file"]) if settings["vgg"] else None


class ViTNode(LossNode):
    """The transformer losses' node, which looks with the guiding CLIP, or with the ViT of a file."""

    @classmethod
    def INPUT_TYPES(cls):
        declared = super().INPUT_TYPES()
        own = declared["required"]
        own["weights_file"] = choice(
            vit_names(),
            GUIDE,
            f"Whose keys and class token: those of the CLIP that guides, or of a ViT in models/{VIT_FOLDER}.",
        )
        own["vit_name"] = text(
            DINO, f"What timm calls the ViT of that file, with its tag. The {GUIDE} does not use it."
        )
        return declared

    @classmethod
    def VALIDATE_INPUTS(cls, weights_file=None):
        return verdict(vit_path, weights_file)

    def network(self, settings: Mapping[str, object], inputs: Mapping[str, object]) -> Loaded | None:
        """The ViT of the chosen file; none for the guiding CLIP."""
        path = vit_path(inputs["weights_file"])
        return path and _vit(inputs["vit_name"].strip(), path, path.stat().st_mtime_ns)


class IdentityNode(LossNode):
    """The identity loss's node, which takes ArcFace's weights from a file of its folder."""

    @classmethod
    def INPUT_TYPES(cls):
        declared, names = super().INPUT_TYPES(), arcface_names()
        declared["required"]["weights_file"] = choice(
            names, names[0], f"The weights of ArcFace's IR-SE50, a file in models/{ARCFACE_FOLDER}."
        )
        return declared

    @classmethod
    def VALIDATE_INPUTS(cls, weights_file=None):
        return verdict(arcface_path, weights_file)

    def network(self, settings: Mapping[str, object], inputs: Mapping[str, object]) -> Loaded | None:
        """ArcFace; a weight of 0 loads none."""
        if not settings["identity"]:
            return None
        path = arcface_path(inputs["weights_file"])
        return _arcface(path, path.stat().st_mtime_ns)


NODES = {"vgg": VGGNode, "vit": ViTNode, "identity": IdentityNode}
LOSS_NODES = {loss.node: node(loss, NODES.get(loss.kind, LossNode)) for loss in LOSSES}


def vgg(weights_file: str = TORCHVISION) -> Loaded:
    """The network of a file of `vgg_names()`. Raises InputError for any other name."""
    path = vgg_path(weights_file)
    return _vgg(path, path and path.stat().st_mtime_ns, torch.hub.get_dir())


@functools.lru_cache(maxsize=1)
def _vit(name: str, path: Path, changed: int) -> Loaded:
    """The ViT of a file, read once; a file that changed is another key."""
    return manage(Network(load_vit(name, path)))


@functools.lru_cache(maxsize=1)
def _arcface(path: Path, changed: int) -> Loaded:
    """ArcFace of a file, read once; a file that changed is another key."""
    return manage(Network(load_arcface(path)))


@functools.lru_cache(maxsize=1)
def _vgg(path: Path | None, changed: int | None, cache: str) -> Loaded:
    """The network of a file, None for torchvision's own in its cache, read once: it is half a gigabyte, of which two
    layers are kept. A file that changed, or another cache, is another key."""
    return manage(Network(load_vgg(path, instead=vgg_instead())))
