"""Patch-wise contrastive loss on the U-Net's own encoder features, at routed anchors (paper eq. 5, ZeCon eq. 8).

Both pictures pass the encoder at timestep 0. At each anchor the estimate's feature should be nearest to the source's
feature of the same anchor, among the source's features of all anchors.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..anchors import KINDS, SCALES, Anchors, Attention, Route, Selection, route_at
from ..errors import InputError
from ..protocol import Model
from ..randomness import Generators
from ..tiles import Tiled, Window
from .base import Loss, Term, View
from .description import Description, Option, Setting
from .layers import choose_anchors, choose_layers, parse_layers

Encode = Callable[[Tensor], Sequence[Tensor]]
DIAGONAL = -10.0  # the negatives' own place, before the division by tau


def patch_nce(estimate: Tensor, source: Tensor, tau: float = 0.07) -> Tensor:
    """(B, N, C) routed features of the estimate and the source → (B,) mean over anchors of the InfoNCE loss.

    Rows are L2-normalised with 1e-7 added to the norm. The source carries no gradient.
    """
    q, k = _unit(estimate.float()), _unit(source.float().detach())
    positive = (q * k).sum(-1, keepdim=True)  # (B, N, 1)
    own = torch.eye(k.shape[1], dtype=torch.bool, device=k.device)
    negatives = (q @ k.transpose(1, 2)).masked_fill(own, DIAGONAL)  # (B, N, N)
    logits = torch.cat([positive, negatives], dim=-1) / tau
    target = torch.zeros(logits.shape[:2], dtype=torch.long, device=k.device)
    return cross_entropy(logits.transpose(1, 2), target, reduction="none").mean(1)


def _unit(x: Tensor) -> Tensor:
    return x / (x.norm(dim=-1, keepdim=True) + 1e-7)


@dataclass(frozen=True)
class Contrastive(Loss):
    """The loss over the encoder's chosen layers, summed over them as the reference does.

    `encode` maps (B, 3, H, W) to the chosen layers' features, each (B, C, h, w); `anchors` chooses where to look.
    Deviation: against the clean source, encoded once, so that its attention is computed once; ZeCon noises it anew.
    """

    name: ClassVar[str] = "contrastive"
    reads: ClassVar[str] = "state"
    encode: Encode
    anchors: Anchors
    tau: float = 0.07

    def against(self, source: Tensor, generators: Generators) -> "BoundContrastive":
        with torch.no_grad():
            features = [f.detach() for f in self.encode(source)]
        return BoundContrastive(self, features, self.anchors.select(features), generators)

    def graph_bytes(self, model: Model, batch: int, height: int, width: int) -> int:
        """The encoder's part of the network's graph; counted, a quarter on the built-in network."""
        return model.graph_bytes(batch, height, width) // 3

    def compare(self, estimate: Sequence[Tensor], keys: Sequence[Tensor], routes: Sequence[Route]) -> Tensor:
        """(B,) the loss of features along given routes, against the source's routed features (B, N, C)."""
        pairs = zip(estimate, keys, routes, strict=True)
        return sum(patch_nce(route(e), k, self.tau) for e, k, route in pairs)


@dataclass(frozen=True)
class BoundContrastive:
    """The loss bound to a source: its features, and per layer the selection or None where anchors are random."""

    loss: Contrastive
    features: Sequence[Tensor]
    selections: Sequence[Selection | None]
    generators: Generators

    @cached_property
    def keys(self) -> list[Tensor | None]:
        """The source's routed features (B, N, C) of each layer with a selection; None where anchors are random."""
        with torch.no_grad():
            pairs = zip(self.selections, self.features, strict=True)
            return [s.route(f) if s else None for s, f in pairs]

    def __call__(self, view: View) -> dict[str, Tensor]:
        drawn = zip(self.selections, self.features, strict=True)
        routes = [s.route if s else self.loss.anchors.draw(f, self.generators) for s, f in drawn]
        known = zip(self.keys, routes, self.features, strict=True)
        keys = [route(f) if key is None else key for key, route, f in known]
        return {"contrastive": self.loss.compare(self.loss.encode(view.state), keys, routes)}

    def describe(self) -> list[dict]:
        """Per layer: the map's size, how its anchors are chosen, how many, and the entropies' spread in nats."""
        return [self._layer(f, s) for f, s in zip(self.features, self.selections, strict=True)]

    def _layer(self, features: Tensor, selection: Selection | None) -> dict:
        anchors = self.loss.anchors
        row = {"height": features.shape[-2], "width": features.shape[-1], "channels": features.shape[1]}
        row |= {"kind": anchors.kind if selection else "random", "anchors": anchors.count(features)}
        if selection:
            e = selection.entropy.flatten(1)
            threshold = e.gather(1, selection.positions).amax(1)
            spread = {"min": e.amin(1), "mean": e.mean(1), "max": e.amax(1), "highest_selected": threshold}
            row["entropy"] = {name: [round(v, 4) for v in values.tolist()] for name, values in spread.items()}
        return row


@dataclass(frozen=True)
class Windowed(Loss):
    """The contrastive loss on each window of a large picture by itself, and the mean over the windows.

    Each window has all anchors, among which it is compared, as a picture of the network's own size has.
    """

    name: ClassVar[str] = "contrastive"
    reads: ClassVar[str] = "state"
    loss: Contrastive
    windows: Callable[[int, int], Sequence[Window]]

    def against(self, source: Tensor, generators: Generators) -> "BoundWindows":
        return BoundWindows(self.loss, source, self.windows(*source.shape[-2:]), generators)

    def graph_bytes(self, model: Model, batch: int, height: int, width: int) -> int:
        """That of one window: such a model's graph is that of a window."""
        return self.loss.graph_bytes(model, batch, height, width)


@dataclass(frozen=True)
class BoundWindows:
    """The loss bound to a source's windows. The source's features are computed again at each step, to hold one
    window's."""

    loss: Contrastive
    source: Tensor
    windows: Sequence[Window]
    generators: Generators

    def parts(self, view: View) -> Iterator[dict[str, Tensor]]:
        """The values by windows that add up."""
        for window in self.windows:
            part = view.state[window.place]
            values = self._bound(window)(View(part, part, view.t))
            yield {name: value / len(self.windows) for name, value in values.items()}

    def __call__(self, view: View) -> dict[str, Tensor]:
        return {"contrastive": sum(values["contrastive"] for values in self.parts(view))}

    @property
    def selections(self) -> list[Selection | None]:
        """Per layer what all windows select, on the whole picture's map: entropies by the windows' weights, positions
        window by window. None where anchors are random."""
        found = []
        for window in self.windows:
            selected = self._bound(window).selections
            found.append([(s.entropy, s.positions) if s else None for s in selected])  # without the features
        return [_joined(of_layer, self.windows, self.source) for of_layer in zip(*found, strict=True)]

    def describe(self) -> list[dict]:
        """That of the first window."""
        return self._bound(self.windows[0]).describe()

    def _bound(self, window: Window) -> BoundContrastive:
        return self.loss.against(self.source[window.place], self.generators)


def _joined(
    found: Sequence[tuple[Tensor, Tensor] | None], windows: Sequence[Window], source: Tensor
) -> Selection | None:
    """One layer's entropies and positions of each window, on the map of the whole source."""
    if None in found:
        return None
    factor = windows[0].weights.shape[-1] // found[0][0].shape[-1]
    batch, height, width = len(source), source.shape[-2] // factor, source.shape[-1] // factor
    entropy, positions = found[0][0].new_zeros(batch, height, width), []
    for window, (its, places) in zip(windows, found, strict=True):
        here, w = window.at(factor), its.shape[-1]
        top, left = (part.start for part in here.place[-2:])
        entropy[here.place] += here.weights.to(its) * its
        positions.append((places // w + top) * width + places % w + left)
    positions = torch.cat(positions, 1)
    return Selection(entropy, positions, route_at(positions))


def content_term(model: Model, weight: float, anchors: Anchors, tau: float = 0.07) -> Term:
    """The contrastive term on the model's own features; `anchors.attend` counts in `content_layers`."""
    if isinstance(model, Tiled):
        return Term(weight, Windowed(Contrastive(model.model.features, anchors, tau), model.windows))
    return Term(weight, Contrastive(model.features, anchors, tau))


def _make(settings: Any, setting: Setting) -> Loss:
    model, height, width = setting.model, setting.height, setting.width
    if settings.contrastive and settings.content and not model.content_layers():
        raise InputError(
            "This model has no features to hold the content by, as it is guided at x0 alone. Set contrastive to 0, "
            "leave Contrastive Loss out, and hold the content by MSE or VGG, a mask, or a higher skip."
        )
    if not isinstance(model, Tiled):
        return _whole(settings, model, height, width)
    windows = model.windows(height, width)
    return Windowed(_whole(settings, model.model, *windows[0].weights.shape), model.windows)


def _whole(s: Any, model: Model, height: int, width: int) -> Contrastive:
    attention = Attention(s.attention_scale, s.attention_temperature)
    anchors = choose_anchors(model, height, width, s.anchors, s.num_anchors, s.attend, attention, s.layers)
    chosen, _ = choose_layers(model, height, width, s.layers, s.attend)
    if len(chosen) == len(model.content_layers()):
        return Contrastive(model.features, anchors, s.tau)

    def encode(states: Tensor) -> list[Tensor]:
        features = model.features(states)
        return [features[k] for k in chosen]

    return Contrastive(encode, anchors, s.tau)


def _check(s: Any) -> None:
    Anchors(s.anchors, s.num_anchors or 1, attention=Attention(s.attention_scale, s.attention_temperature))


ANCHORS = Option(
    "anchors",
    "choice",
    "global",
    "where the contrastive loss looks",
    "Where the content is held. global: where attention over the whole picture is most focused (QS-Attn). local: "
    "within a 7x7 window. local_global: selected locally, compared globally. random: anywhere (ZeCon).",
    choices=KINDS,
)
ATTENTION = (
    Option(
        "num_anchors",
        "whole",
        None,
        "on each layer, at most a quarter of its map; 256 by default",
        "How many places the contrastive loss compares on each layer, at most a quarter of its map. 0: 256. More hold "
        "the content more evenly, fewer more at the selected places.",
        high=65536,
        metavar="N",
    ),
    Option(
        "attend",
        "text",
        None,
        "layers that attend, by resolution; by default the two deepest",
        "Layers that select their anchors by attention; the others take random ones. Empty: the two deepest; or all; "
        "or resolutions such as 32,16 (the short side of the layer's map). All is slow on large pictures.",
        metavar="RES,…|all",
        placeholder="empty: the two deepest layers; else e.g. 32,16",
        parse=parse_layers,
    ),
    Option(
        "attention_scale",
        "choice",
        "cosine",
        "how alike two places are",
        "How alike two places are: cosine of their features; sqrt, the dot product over the root of the channels; raw, "
        "the plain one as in QS-Attn, whose attention often sees one place only.",
        choices=SCALES,
    ),
    Option(
        "attention_temperature",
        "number",
        0.07,
        "higher spreads the attention",
        "Higher spreads each place's attention over more of the picture (higher entropy), lower sharpens it.",
        low=0.001,
        high=100.0,
        step=0.01,
        metavar="T",
    ),
)
CONTRASTIVE_LOSS = Description(
    "contrastive",
    (
        Option("contrastive", "weight", 6000.0, "weight: hold the content", "Higher: shapes stay, style fades."),
        ANCHORS,
        *ATTENTION,
        Option(
            "layers",
            "text",
            None,
            "layers that are compared at all, by resolution; by default all",
            "Which layers are compared at all: resolutions such as 64,32 (the short side of the layer's map). Deep, "
            "small ones hold the layout; shallow, large ones the strokes and edges. Empty: all.",
            metavar="RES,…",
            parse=partial(parse_layers, what="layers"),
        ),
        Option(
            "tau",
            "number",
            0.07,
            "temperature of the comparison",
            "Temperature of the comparison. Lower punishes the most similar wrong places harder.",
            low=0.01,
            high=10.0,
            step=0.01,
            metavar="T",
            advanced=True,
        ),
    ),
    _make,
    node="QSContrastiveLoss",
    title="Contrastive Loss (QS)",
    text=(
        "Holds the content: at its anchors the U-Net's features should stay nearest to those of the same place in the "
        "photo. Takes the place of the sampler's own contrastive loss; two of these nodes add up, for example global "
        "anchors on deep layers and random ones on shallow."
    ),
    aliases=("contrastive loss", "PatchNCE", "ZeCon loss", "content loss", "QS-Attn anchors", "InfoNCE"),
    role="content",
    check=_check,
)
