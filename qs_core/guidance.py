"""Σ weight · loss → gradient at x_t: the only autograd in the library.

Losses see detached leaves; their gradients are summed there, one loss after the other, and pulled back through the
U-Net once. Peak memory is the U-Net's graph plus the largest loss, not the sum of all. Where even that is too much, an
`Economy` has the same step evaluated again in less memory and more time.
"""

import gc
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from .errors import MemoryShortage, NonFiniteError
from .losses.base import BoundLoss, Term, View
from .model import DiffusionModel, Prediction
from .randomness import Generators, remember, rewind, spawn
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
    one. 2: the U-Net's blocks keep none; at once where it is the U-Net, or a loss without crops, that memory runs out
    in. What is spared is computed again when the gradient is pulled back. `release` is called before each new attempt,
    so that the host can give up what it holds; `is_shortage` tells which errors mean that memory ran out.
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


class Guided(NamedTuple):
    """One evaluation: the prediction, ∂(Σ weight · loss)/∂x_t or None where nothing guides, and each loss (B,)."""

    prediction: Prediction
    gradient: Tensor | None
    losses: dict[str, Tensor]


def bind(terms: Sequence[Term], source: Tensor, generators: Generators) -> tuple[BoundTerm, ...]:
    """Bind each active term to the source (B, 3, H, W); each draws from generators of its own."""
    own = [(term, spawn(generators)) for term in terms if term.active]
    return tuple(BoundTerm(term, term.loss.against(source, its), its) for term, its in own)


def evaluate(
    model: DiffusionModel,
    schedule: Schedule,
    x_t: Tensor,
    i: int,
    terms: Sequence[BoundTerm],
    previous: Tensor | None,
    economy: Economy | None = None,
) -> Guided:
    """Predict at state i and take the gradient of the terms that are active there.

    Costs one U-Net forward without guidance; with it, one forward, one pull-back, and the losses. With an `economy`,
    out of memory means another attempt with the same random draws that spares more, and MemoryShortage after the last;
    without, torch's own error passes.
    """
    t = int(schedule.timesteps[i])
    live = [bound for bound in terms if bound.term.start >= t >= bound.term.stop]
    if economy is None:
        return _attempt(model, schedule, x_t, i, live, previous, [])
    while True:
        states, under_way = [remember(bound.generators) for bound in live], []
        try:
            with recomputing(economy.recompute):
                return _attempt(model, schedule, x_t, i, live, previous, under_way, economy.at_once)
        except Exception as error:
            if not economy.is_shortage(error):
                raise
            said = str(error)
        # Out here the error is gone, and with its traceback all that the attempt held.
        for bound, state in zip(live, states, strict=True):
            rewind(bound.generators, state)
        # Without a term there is no gradient, and nothing is kept that could be spared.
        if not live or not economy.tighten(under_way[0].views if under_way else 1):
            raise shortage(x_t, economy, said)
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


def _attempt(
    model: DiffusionModel,
    schedule: Schedule,
    x_t: Tensor,
    i: int,
    live: Sequence[BoundTerm],
    previous: Tensor | None,
    under_way: list[BoundTerm],
    at_once: int | None = None,
) -> Guided:
    """`under_way` holds the term whose loss is being taken, and nothing while the U-Net is."""
    t = int(schedule.timesteps[i])
    if not live:
        with torch.no_grad():
            return Guided(_checked(model.predict(x_t, schedule, i), t), None, {})
    with torch.enable_grad():
        x_t = x_t.detach().requires_grad_()
        prediction = _checked(model.predict(x_t, schedule, i), t)
        estimate = blend(prediction.x0, x_t, float(schedule.alpha_bar[i]))
    leaves = [estimate.detach().requires_grad_(), prediction.x0.detach().requires_grad_()]
    view = View(*leaves, previous, t, at_once)
    pulls, losses = [torch.zeros_like(leaf) for leaf in leaves], {}
    for bound in live:
        under_way[:] = [bound]
        for pull, gradient in zip(pulls, _leaf_gradients(bound, view, leaves, losses), strict=True):
            if gradient is not None:
                pull += gradient
    under_way.clear()
    (gradient,) = torch.autograd.grad([estimate, prediction.x0], x_t, pulls)
    require_finite(gradient, "the gradient through the U-Net", t)
    return Guided(Prediction(*(part.detach() for part in prediction)), gradient, losses)


def blend(x0: Tensor, x_t: Tensor, alpha_bar: float) -> Tensor:
    """√(1-ᾱ)·x0 + (1-√(1-ᾱ))·x_t: what the losses look at."""
    share = math.sqrt(1 - alpha_bar)
    return share * x0 + (1 - share) * x_t


def _leaf_gradients(bound: BoundTerm, view: View, leaves: list[Tensor], losses: dict[str, Tensor]):
    with torch.enable_grad():
        values = bound.loss(view)
        # The sum over images keeps each image's gradient its own: losses are one value per image.
        total = bound.term.weigh(values).sum()
    for name, value in values.items():
        require_finite(value, f"the loss {name!r}", view.t)
        losses[name] = value.detach()
    gradients = torch.autograd.grad(total, leaves, allow_unused=True)
    for gradient in gradients:
        if gradient is not None:
            require_finite(gradient, f"the gradient of {', '.join(values)}", view.t)
    return gradients


def _checked(prediction: Prediction, t: int) -> Prediction:
    require_finite(prediction.x0, "the U-Net's prediction", t)
    return prediction


def require_finite(value: Tensor, what: str, t: int) -> None:
    """Raises NonFiniteError, naming `what` and the timestep, where a value is NaN or infinite."""
    if not torch.isfinite(value).all():
        raise NonFiniteError(
            f"NaN or infinity in {what} at timestep {t}. Lower the weights, or use dtype float32, and run again."
        )
