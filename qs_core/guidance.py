"""Σ weight · loss → gradient at x_t: the only autograd in the library.

Losses see detached leaves; their gradients are summed there, one loss after the other, and pulled back through the
U-Net once. Peak memory is the U-Net's graph plus the largest loss, not the sum of all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .errors import NonFiniteError
from .losses.base import BoundLoss, Term, View
from .model import DiffusionModel, Prediction
from .randomness import Generators, spawn
from .schedule import Schedule


@dataclass(frozen=True)
class BoundTerm:
    """A term whose loss is bound to its source."""

    term: Term
    loss: BoundLoss


class Guided(NamedTuple):
    """One evaluation: the prediction, ∂(Σ weight · loss)/∂x_t or None where nothing guides, and each loss (B,)."""

    prediction: Prediction
    gradient: Tensor | None
    losses: dict[str, Tensor]


def bind(terms: Sequence[Term], source: Tensor, generators: Generators) -> tuple[BoundTerm, ...]:
    """Bind each active term to the source (B, 3, H, W); each draws from generators of its own."""
    return tuple(BoundTerm(term, term.loss.against(source, spawn(generators))) for term in terms if term.active)


def evaluate(
    model: DiffusionModel, schedule: Schedule, x_t: Tensor, i: int, terms: Sequence[BoundTerm], previous: Tensor | None
) -> Guided:
    """Predict at state i and take the gradient of the terms that are active there.

    Costs one U-Net forward without guidance; with it, one forward, one pull-back, and the losses.
    """
    t = int(schedule.timesteps[i])
    live = [bound for bound in terms if bound.term.start >= t >= bound.term.stop]
    if not live:
        with torch.no_grad():
            return Guided(_checked(model.predict(x_t, schedule, i), t), None, {})
    with torch.enable_grad():
        x_t = x_t.detach().requires_grad_()
        prediction = _checked(model.predict(x_t, schedule, i), t)
        estimate = blend(prediction.x0, x_t, float(schedule.alpha_bar[i]))
    leaves = [estimate.detach().requires_grad_(), prediction.x0.detach().requires_grad_()]
    view = View(*leaves, previous, t)
    pulls, losses = [torch.zeros_like(leaf) for leaf in leaves], {}
    for bound in live:
        for pull, gradient in zip(pulls, _leaf_gradients(bound, view, leaves, losses), strict=True):
            if gradient is not None:
                pull += gradient
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
