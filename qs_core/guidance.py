"""Σ weight · loss → gradient at x_t: the only autograd in the library.

Losses see detached leaves; their gradients are summed there, one loss after the other, and pulled back through the
U-Net once. Peak memory is the U-Net's graph plus the largest loss, not the sum of all. Where even that is too much, an
`Economy` has the same step evaluated again in less memory and more time.
"""

import gc
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from .errors import MemoryShortage, NonFiniteError
from .losses.base import BoundLoss, Term, Values, View
from .model import DiffusionModel, Prediction
from .randomness import Generators, named, remember, rewind
from .schedule import Schedule
from .unets.recompute import recomputing

Result = TypeVar("Result")

OUT_OF_MEMORY = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)  # its name before torch 2.5
# How torch's other allocators, of Apple's GPUs and of the CPU, begin to say it; for them it has no exception.
SHORTAGES = (
    "MPS backend out of memory",
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
)


@dataclass(frozen=True)
class BoundTerm:
    """A term whose loss is bound to its source, and the generators that the loss draws from."""

    term: Term
    loss: BoundLoss
    generators: Generators = ()

    @property
    def views(self) -> int:
        """Crops that the loss makes of a picture and can hold a few at a time; 1 where there is nothing to split."""
        return getattr(self.loss, "views", 1)

    def parts(self, view: View) -> Iterator[Values]:
        """The loss's values in parts that add up, each made when it is asked for; in one where it has no parts."""
        its = getattr(self.loss, "parts", None)
        return its(view) if its else (self.loss(view) for _ in range(1))


def out_of_memory(error: Exception) -> bool:
    """Whether torch says that the device's memory ran out."""
    if isinstance(error, OUT_OF_MEMORY):
        return True
    # Of RuntimeErrors the plain ones alone: MemoryShortage quotes what torch said.
    return type(error) is RuntimeError and any(words in str(error) for words in SHORTAGES)


@dataclass
class Economy:
    """How memory is spared, growing as it runs short and kept from step to step; the picture is the same but for
    rounding.

    Level 0: not at all. 1: CLIP holds the activations of half of its crops at a time, then of half as many, down to
    one; their gradients add up, so that nothing is computed twice. 2: the U-Net's blocks keep none, and are computed
    again when the gradient is pulled back; at once where it is the U-Net, or a loss without crops, that memory runs out
    in. `release` is called before each new attempt, so that the host can give up what it holds; `is_shortage` tells
    which errors mean that memory ran out.
    """

    release: Callable[[], None] | None = None
    is_shortage: Callable[[Exception], bool] = out_of_memory
    at_once: int | None = None
    recompute: bool = False

    @property
    def level(self) -> int:
        """0, 1 or 2."""
        return 2 if self.recompute else int(self.at_once is not None)

    def tighten(self, views: int) -> bool:
        """Spare more where memory ran out in a loss of so many crops of a picture, or with 1 in the U-Net or a loss
        without; False if nothing is left to."""
        at_once = min(self.at_once or views, views)
        if at_once > 1:
            self.at_once = at_once // 2
        elif not self.recompute:
            self.recompute = True
        else:
            return False
        return True

    def describe(self) -> str:
        """What is spared, in words."""
        crops = self.at_once and f"CLIP held {self.at_once} crop{'s' * (self.at_once > 1)} at a time"
        blocks = self.recompute and "the U-Net's blocks were computed again"
        return " and ".join(part for part in (crops, blocks) if part) or "nothing was spared"


@dataclass(frozen=True)
class Shortcuts:
    """What guidance leaves out to be faster, at some cost in picture; by default nothing.

    `through_unet` false: nothing is pulled back through the U-Net, and ∂x0/∂x_t is √ᾱ, what it would be were pictures
    unit Gaussian noise. (1/√ᾱ, as if the predicted noise were a constant, turns pictures into noise here.) `every` k:
    losses are taken at every k-th step, the first of all included; the steps between are not guided.
    """

    through_unet: bool = True
    every: int = 1


FULL = Shortcuts()


class Guided(NamedTuple):
    """One evaluation: the prediction, ∂(Σ weight · loss)/∂x_t or None where nothing guides, and each loss (B,)."""

    prediction: Prediction
    gradient: Tensor | None
    losses: dict[str, Tensor]


def bind(terms: Sequence[Term], source: Tensor, seeds: Sequence[int]) -> tuple[BoundTerm, ...]:
    """Bind each active term to the source (B, 3, H, W). Its random stream is that of its loss's name and the seeds.

    The second term of one name has a stream of its own, also where the first has weight 0.
    """
    seen, bound = Counter(), []
    for term in terms:
        seen[term.loss.name] += 1
        if term.active:
            its = named(seeds, f"{term.loss.name} {seen[term.loss.name]}")
            bound.append(BoundTerm(term, term.loss.against(source, its), its))
    return tuple(bound)


def evaluate(
    model: DiffusionModel,
    schedule: Schedule,
    x_t: Tensor,
    i: int,
    terms: Sequence[BoundTerm],
    previous: Tensor | None,
    economy: Economy | None = None,
    checks: "Checks | None" = None,
    through_unet: bool = True,
) -> Guided:
    """Predict at state i and take the gradient of the terms that are active there.

    Costs one U-Net forward without guidance; with it, one forward, one pull-back, and the losses. With an `economy`,
    out of memory means another attempt with the same random draws that spares more, and MemoryShortage after the last;
    without, torch's own error passes. Raises NonFiniteError where a value is NaN or infinite; with `checks`, these are
    left there to be settled by the caller. `through_unet` as in `Shortcuts`.
    """
    t = int(schedule.timesteps[i])
    live = [bound for bound in terms if bound.term.start >= t >= bound.term.stop]
    attempt = Attempt(model, schedule, x_t, i, live, previous, through_unet)
    guided, its = attempt.make() if economy is None else _within_memory(attempt, economy)
    if checks is None:
        its.settle()
    else:
        checks.take(its)
    return guided


def _within_memory(attempt: "Attempt", economy: Economy) -> "tuple[Guided, Checks]":
    """Attempts, the economy tightened in between."""
    live = attempt.live
    while True:
        states, under_way = [remember(bound.generators) for bound in live], []
        try:
            with recomputing(economy.recompute):
                return attempt.make(under_way, economy.at_once)
        except Exception as error:
            if not economy.is_shortage(error):
                raise
            said = str(error)
        # Out here the error is gone, and with its traceback all that the attempt held.
        for bound, state in zip(live, states, strict=True):
            rewind(bound.generators, state)
        # Without a term there is no gradient, and nothing is kept that could be spared.
        if not live or not economy.tighten(under_way[0].views if under_way else 1):
            raise shortage(attempt.x_t, economy, said)
        gc.collect()
        if economy.release:
            economy.release()


def guarded(work: Callable[[], Result], pictures: Tensor, economy: Economy) -> Result:
    """work() on pictures (B, 3, H, W), for what no economy can spare; MemoryShortage where memory does not suffice."""
    try:
        return work()
    except Exception as error:
        if isinstance(error, MemoryShortage) or not economy.is_shortage(error):
            raise
        said = str(error)
    raise shortage(pictures, economy, said)


def shortage(pictures: Tensor, economy: Economy, said: str) -> MemoryShortage:
    """The error to raise where memory ran out for pictures (B, 3, H, W), as torch `said`."""
    batch, _, height, width = pictures.shape
    return MemoryShortage(
        f"Out of memory at {width}x{height}, batch {batch}, though {economy.describe()} "
        f"({said.strip().partition(chr(10))[0]}). Use a smaller size, a smaller batch, fewer crops, dtype bfloat16 "
        "or a smaller CLIP, or end what else uses the device."
    )


@dataclass(frozen=True)
class Attempt:
    """What one evaluation needs; `make` may be called again where memory ran out."""

    model: DiffusionModel
    schedule: Schedule
    x_t: Tensor
    i: int
    live: Sequence[BoundTerm]
    previous: Tensor | None
    through_unet: bool

    def make(self, under_way: list[BoundTerm] | None = None, at_once: int | None = None) -> "tuple[Guided, Checks]":
        """The evaluation, and what has to be finite of it. Meanwhile `under_way` holds the term whose loss is being
        taken, and nothing while the U-Net is."""
        checks, under_way = Checks(int(self.schedule.timesteps[self.i])), [] if under_way is None else under_way
        wanted = bool(self.live) and self.through_unet
        alpha_bar = float(self.schedule.alpha_bar[self.i])
        with torch.set_grad_enabled(wanted):
            x_t = self.x_t.detach().requires_grad_(wanted)
            prediction = self.model.predict(x_t, self.schedule, self.i)
            estimate = blend(prediction.x0, x_t, alpha_bar)
        checks.add(prediction.x0, "the U-Net's prediction")
        if not self.live:
            return Guided(prediction, None, {}), checks
        leaves = [estimate.detach().requires_grad_(), prediction.x0.detach().requires_grad_()]
        view = View(*leaves, self.previous, checks.t, at_once)
        pulls, losses = [torch.zeros_like(leaf) for leaf in leaves], {}
        for bound in self.live:
            under_way[:] = [bound]
            losses |= _pull(bound, view, leaves, pulls, checks)
        under_way.clear()
        if self.through_unet:
            (gradient,) = torch.autograd.grad([estimate, prediction.x0], x_t, pulls)
        else:
            gradient = past_unet(*pulls, alpha_bar)
        checks.add(gradient, "the gradient through the U-Net" if self.through_unet else "the gradient")
        return Guided(Prediction(*(part.detach() for part in prediction)), gradient, losses), checks


def blend(x0: Tensor, x_t: Tensor, alpha_bar: float) -> Tensor:
    """√(1-ᾱ)·x0 + (1-√(1-ᾱ))·x_t: what the losses look at."""
    share = math.sqrt(1 - alpha_bar)
    return share * x0 + (1 - share) * x_t


def past_unet(of_estimate: Tensor, of_x0: Tensor, alpha_bar: float) -> Tensor:
    """The gradient at x_t of those at the estimate and at x0, were x0 = √ᾱ·x_t: E[x0 | x_t] where x0 ~ N(0, I)."""
    share = math.sqrt(1 - alpha_bar)
    return math.sqrt(alpha_bar) * (share * of_estimate + of_x0) + (1 - share) * of_estimate


def _pull(bound: BoundTerm, view: View, leaves: list[Tensor], pulls: list[Tensor], checks: "Checks") -> Values:
    """Add the term's gradient at the leaves to `pulls`, part by part, and give its values (B,)."""
    sums, parts = {}, bound.parts(view)
    while True:
        with torch.enable_grad():
            values = next(parts, None)
            if values is None:
                break
            # The sum over images keeps each image's gradient its own: losses are one value per image.
            total = bound.term.weigh(values).sum()
        gradients = torch.autograd.grad(total, leaves, allow_unused=True)
        for pull, gradient in zip(pulls, gradients, strict=True):
            if gradient is not None:
                pull += gradient
        for name, value in values.items():
            sums[name] = sums[name] + value.detach() if name in sums else value.detach()
    for name, value in sums.items():
        checks.add(value, f"the loss {name!r}")
    for pull in pulls:
        checks.add(pull, f"the gradient of {', '.join(sums)}")
    return sums


@dataclass
class Checks:
    """What has to be finite at timestep `t`. The device is asked once for all of it, since to ask is to wait for it."""

    t: int
    finite: list[Tensor] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def add(self, value: Tensor, what: str) -> None:
        """Remember whether all of a value is finite, and what it is."""
        self.finite.append(torch.isfinite(value.detach()).all())
        self.names.append(what)

    def take(self, others: "Checks") -> None:
        """Those of another, after one's own."""
        self.finite += others.finite
        self.names += others.names

    def settle(self) -> None:
        """Raises NonFiniteError, naming the first value that is not finite, and the timestep."""
        for fine, what in zip(torch.stack(self.finite).tolist(), self.names, strict=True):
            if not fine:
                raise NonFiniteError(
                    f"NaN or infinity in {what} at timestep {self.t}. Lower the weights, or use dtype float32, and "
                    "run again."
                )
