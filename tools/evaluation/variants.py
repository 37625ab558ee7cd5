"""Other ways to choose anchors, to be compared with the library's: how places are ranked, picked, routed and redrawn.

Each is built of four independent parts, so that a difference can be told apart. None is offered to users.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from qs_core.anchors import Attention, Route, Selection, _local, entropy_global, lowest, route_at, select_random
from qs_core.losses.base import Term, View
from qs_core.losses.contrastive import DIAGONAL, BoundContrastive, Contrastive
from qs_core.losses.description import REFERENCE_AREA
from qs_core.model import DiffusionModel
from qs_core.randomness import Generators, normal
from qs_core.settings import Settings

RANKS = ("entropy", "high_entropy", "local_entropy", "norm", "edges", "none")
PICKS = ("lowest", "cells", "farthest", "sampled", "grid", "mixed")


@dataclass(frozen=True)
class Chosen(Selection):
    """A selection; where anchors are drawn anew at each step, `redraw` gives the route of one."""

    redraw: Callable[[Generators], Route] | None = None


@dataclass(frozen=True)
class Study:
    """Anchors of one variant, with the same methods as `qs_core.anchors.Anchors`.

    rank: the value by which places are ordered, low is good. pick: the N lowest; the lowest of each of N cells; the
    farthest from one another among the lower half; drawn with probability by rank; a regular grid; or half the lowest
    and half random. attended: positions route through attention rows, else they are read themselves. redrawn: anew at
    each step (cells then draw one place of each cell by rank).
    """

    rank: str = "entropy"
    pick: str = "lowest"
    attended: bool = True
    redrawn: bool = False
    attend: frozenset[int] = frozenset()
    attention: Attention = Attention()
    standardised: bool = False  # each channel to mean 0 and deviation 1 before the attention
    sharpness: float = 1.0  # of the probabilities, on the standardised rank; 0 draws evenly
    weighed: bool = False  # each anchor by softmax(-rank) over the chosen ones, times N
    share: float = 0.25  # most anchors on one layer, as a share of its places
    number: int = 256
    kind: str = "study"

    def count(self, features: Tensor) -> int:
        return max(1, min(self.number, int(features.shape[-2] * features.shape[-1] * self.share)))

    def draw(self, features: Tensor, generators: Generators):
        return select_random(features, self.count(features), generators)

    def select(self, features: Sequence[Tensor]) -> list[Chosen | None]:
        return [self._select(f) if layer in self.attend else None for layer, f in enumerate(features)]

    def _select(self, features: Tensor) -> Chosen:
        seen = standardise(features) if self.standardised else features
        value = rank(self.rank, seen, self.attention)  # (B, HW)
        count, shape = self.count(features), features.shape[-2:]

        def positions_of(generators: Generators | None) -> Tensor:
            return pick(self.pick, value, shape, count, generators, self.sharpness)

        def route_of(positions: Tensor):
            route = attended(seen, positions, self.attention) if self.attended else route_at(positions)
            return Weighed(route, count * torch.softmax(-value.gather(1, positions), 1)) if self.weighed else route

        fixed = positions_of(None)
        redraw = (lambda generators: route_of(positions_of(generators))) if self.redrawn else None
        return Chosen(rearrange(value, "b (h w) -> b h w", h=shape[0]), fixed, route_of(fixed), redraw)


@dataclass(frozen=True)
class Weighed:
    """A route whose anchors have weights (B, N) of mean 1."""

    route: Route
    weights: Tensor

    def __call__(self, values: Tensor) -> Tensor:
        return self.route(values)


def standardise(features: Tensor) -> Tensor:
    """Each channel with mean 0 and deviation 1 over the map."""
    deviation, mean = torch.std_mean(features.float(), dim=(2, 3), keepdim=True)
    return (features.float() - mean) / (deviation + 1e-6)


def rank(name: str, features: Tensor, attention: Attention) -> Tensor:
    """(B, HW), low is good."""
    if name == "none":
        return torch.zeros(len(features), features.shape[-2] * features.shape[-1], device=features.device)
    if name == "norm":
        return -features.float().norm(dim=1).flatten(1)
    if name == "edges":
        f = normalize(features.float(), dim=1)
        down, right = torch.diff(f, dim=2, append=f[:, :, -1:]), torch.diff(f, dim=3, append=f[..., -1:])
        return -(down.square().sum(1) + right.square().sum(1)).flatten(1)
    if name == "local_entropy":
        return _local(features, attention, 7)[0]
    entropy = entropy_global(features, attention)
    return -entropy if name == "high_entropy" else entropy


def pick(name: str, value: Tensor, shape, count: int, generators: Generators | None, sharpness: float) -> Tensor:
    """(B, N) positions; what is random is so only with generators, one for each picture, else it is the likeliest."""
    if generators is not None and name in ("cells", "sampled"):
        gumbel = -(-torch.stack([torch.rand(value.shape[1], generator=g) for g in generators]).clamp(1e-9).log()).log()
        deviation, mean = torch.std_mean(value, dim=1, keepdim=True)
        value = (value - mean) / (deviation + 1e-6) * sharpness - gumbel.to(value)
    if name == "grid":
        return _cells(_centres(shape, count).to(value).expand_as(value), shape, count)
    if name == "cells":
        return _cells(value, shape, count)
    if name == "farthest":
        return torch.stack([_farthest(one, shape, count) for one in value])
    if name == "mixed":
        best = lowest(value, count // 2)
        noise = torch.stack([torch.rand(value.shape[1], generator=g) for g in generators]) if generators else value
        others = noise.to(value).scatter(1, best, math.inf)
        return torch.cat([best, lowest(others, count - count // 2)], dim=1)
    return lowest(value, count)


def _cells(value: Tensor, shape, count: int) -> Tensor:
    """The lowest of each of about N equal cells, at most N of them."""
    height, width = shape
    rows = max(1, int(math.sqrt(count * height / width)))
    columns = max(1, count // rows)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    cell = ((y * rows // height) * columns + x * columns // width).flatten().to(value.device)
    order = value.sort(dim=1, stable=True).indices
    found = []
    for one in order:
        first = torch.full((rows * columns,), len(one), device=value.device)
        first.scatter_reduce_(0, cell[one], torch.arange(len(one), device=value.device), "amin")
        found.append(one[first])
    return torch.stack(found)


def _centres(shape, count: int) -> Tensor:
    """(1, HW) how far each place is from the middle of its cell."""
    height, width = shape
    rows = max(1, int(math.sqrt(count * height / width)))
    columns = max(1, count // rows)
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    off_y, off_x = (y * rows / height) % 1 - 0.5, (x * columns / width) % 1 - 0.5
    return (off_y.square() + off_x.square()).flatten()[None]


def _farthest(value: Tensor, shape, count: int) -> Tensor:
    """The lowest place, then again and again the one of the lower half that is farthest from those chosen."""
    half = lowest(value[None], max(count, len(value) // 2))[0]
    places = torch.stack([half // shape[1], half % shape[1]], dim=1).float()
    chosen, distance = [0], (places - places[0]).norm(dim=1)
    while len(chosen) < count:
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (places - places[chosen[-1]]).norm(dim=1))
    return half[torch.tensor(chosen, device=half.device)]


def attended(features: Tensor, positions: Tensor, attention: Attention):
    """The route through the rows of global attention at (B, N) positions."""
    tokens, scale = attention.tokens(features)
    queries = torch.stack([one[index] for one, index in zip(tokens, positions, strict=True)])
    rows = torch.softmax(queries @ tokens.transpose(1, 2) * scale, dim=-1)
    return lambda values: rows @ rearrange(values.float(), "b c h w -> b (h w) c")


@dataclass(frozen=True)
class Content:
    """The contrastive term of a study; `layers` are the numbers of those that attend, counted from the shallowest.

    only: the loss reads these layers alone. noised: the source and the estimate get the same fresh noise of the view's
    level, and the source is encoded at each step. alike: negatives whose source feature has this cosine with the anchor
    or more are left out. fixed_random: random anchors are drawn once for the whole run.
    """

    study: Study = Study()
    layers: tuple[int, ...] = (3, 4)
    only: tuple[int, ...] | None = None
    noised: bool = False
    alike: float | None = None
    fixed_random: bool = False
    tau: float = 0.07

    def __call__(self, model: DiffusionModel, s: Settings, height: int, width: int) -> Term:
        chosen = [layer.index for layer in model.content_layers()]
        kept = range(len(chosen)) if self.only is None else self.only
        indices = [chosen[k] for k in kept]
        attend = frozenset(number for number, k in enumerate(kept) if k in self.layers)

        def encode(pictures: Tensor) -> list[Tensor]:
            outputs = model.encode(pictures, torch.zeros(len(pictures), device=pictures.device), last=max(indices))
            return [outputs[index] for index in indices]

        loss = StudyLoss(encode, replace(self.study, attend=attend), self.tau, self, model)
        return Term(height * width / REFERENCE_AREA * s.contrastive, loss)


@dataclass(frozen=True)
class StudyLoss(Contrastive):
    """The library's loss with the study's changes."""

    content: Content = field(default_factory=Content)
    model: DiffusionModel | None = None

    def against(self, source: Tensor, generators: Generators) -> BoundStudy:
        bound = super().against(source, generators)
        if self.content.fixed_random:
            fixed = [
                s or Chosen(f[:, 0], torch.zeros(1), self.anchors.draw(f, generators))
                for s, f in zip(bound.selections, bound.features, strict=True)
            ]
            bound = replace(bound, selections=fixed)
        return BoundStudy(self, bound.features, bound.selections, generators, source)

    def compare(self, estimate, keys, routes) -> Tensor:
        if self.content.alike is None and not self.anchors.weighed:
            return super().compare(estimate, keys, routes)
        pairs = zip(estimate, keys, routes, strict=True)
        return sum((self._each(route(e), k) * getattr(route, "weights", 1)).mean(1) for e, k, route in pairs)

    def _each(self, estimate: Tensor, source: Tensor) -> Tensor:
        """(B, N) the loss of each anchor, without the negatives that are too much alike."""
        q, k = normalize(estimate.float(), dim=-1), normalize(source.float().detach(), dim=-1)
        own = torch.eye(k.shape[1], dtype=torch.bool, device=k.device)
        left_out = own if self.content.alike is None else own | ((k @ k.transpose(1, 2)) >= self.content.alike)
        negatives = (q @ k.transpose(1, 2)).masked_fill(left_out, DIAGONAL)
        logits = torch.cat([(q * k).sum(-1, keepdim=True), negatives], dim=-1) / self.tau
        target = torch.zeros(logits.shape[:2], dtype=torch.long, device=k.device)
        return cross_entropy(logits.transpose(1, 2), target, reduction="none")


@dataclass(frozen=True)
class BoundStudy(BoundContrastive):
    """Bound to a source, which is needed where it is noised at each step."""

    source: Tensor | None = None

    def __call__(self, view: View) -> dict[str, Tensor]:
        features = self._noised(view) if self.loss.content.noised else self.features
        pairs = zip(self.selections, features, strict=True)
        routes = [self._route(s, f) for s, f in pairs]
        keys = [route(f) for route, f in zip(routes, features, strict=True)]
        return {"contrastive": self.loss.compare(self.loss.encode(view.estimate), keys, routes)}

    def _route(self, chosen: Chosen | None, features: Tensor) -> Route:
        if chosen is None:
            return self.loss.anchors.draw(features, self.generators)
        return chosen.redraw(self.generators) if chosen.redraw else chosen.route

    def _noised(self, view: View) -> list[Tensor]:
        """The source's features where it has the estimate's noise level, as in ZeCon: blended of x0 and x_t alike."""
        schedule = self.loss.model.schedule("1000")
        alpha_bar = float(schedule.alpha_bar[view.t])
        share = math.sqrt(1 - alpha_bar)
        noised = math.sqrt(alpha_bar) * self.source + share * normal(self.source, self.generators)
        with torch.no_grad():
            return [f.detach() for f in self.loss.encode(share * self.source + (1 - share) * noised)]
