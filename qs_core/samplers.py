"""invert and sample: generators that walk the states, so that the caller owns progress, preview and cancel.

Inversion of n steps ends at state n; sampling starts there, and n steps come back to state 0, the picture.
No grad-mode block spans a `yield`.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .finite import Checks
from .protocol import Model, Prediction
from .randomness import Generators, normal
from .schedule import Schedule

StepFunction = Callable[[Schedule, Tensor, Prediction, Tensor | None, int, Tensor | None], Tensor]


class Guided(NamedTuple):
    """One evaluation: the prediction, ∂(Σ weight · loss)/∂x_t or None where nothing guides, each loss (B,).

    `checks` are what has to be finite of all that; the caller settles them. `ratio` (B,) is how large guidance is
    beside the predicted noise, RMS(√(1-ᾱ)·∇L) / RMS(ε), before any bound; None where nobody measures it.
    """

    prediction: Prediction
    gradient: Tensor | None
    losses: dict[str, Tensor]
    checks: Checks
    ratio: Tensor | None = None


Guide = Callable[[Tensor, int], Guided]  # x_t and the number of its state


class Step(NamedTuple):
    """One step done: the state reached (`i`, `x`), the x0 predicted on the way, each loss's values (B,), and `ratio` as
    in `Guided`."""

    i: int
    x: Tensor
    x0: Tensor
    losses: dict[str, Tensor]
    ratio: Tensor | None = None


def invert(model: Model, schedule: Schedule, source: Tensor, steps: int) -> Iterator[Step]:
    """DDIM inversion, paper eq. 3-4 with σ = 0: from the picture, taken as state 0, up to state `steps`."""
    x = source
    for i in range(steps):
        with torch.no_grad():
            prediction = model.predict(x, schedule, i)
            x = ddim_move(prediction.x0, prediction.eps, float(schedule.alpha_bar[i + 1]))
        checks = Checks(int(schedule.timesteps[i]))
        checks.add(x, "the inverted picture")
        checks.settle()
        yield Step(i + 1, x, prediction.x0, {})


def sample(
    model: Model,
    schedule: Schedule,
    x: Tensor,
    start: int,
    step: StepFunction,
    guide: Guide | None = None,
    generators: Generators | None = None,
    repeats: int = 1,
    last: int = 1,
) -> Iterator[Step]:
    """From `x` at state `start` down to state 0, each step by the prediction and the gradient that `guide` gives.

    `last` is the last state at which the model is asked; 0 goes on to the prediction of the picture there, as
    DiffusionCLIP does.

    Without a guide the model's prediction is taken as it is. The last transition adds no noise, so the picture of state
    0 is the guided mean itself; every guidance that is computed reaches it. `generators` (one per picture) are needed
    by steps that draw noise. Raises NonFiniteError where a value is NaN or infinite.

    `repeats` is how often the first step is made, with `renoise` between (DiffuseIT's resampling); a walk has
    `walk_length` steps.
    """
    guide = guide or unguided(model, schedule)
    for number, i in enumerate([start] * (repeats - 1) + list(range(start, last - 1, -1)), 1):
        guided = guide(x, i)
        noise = None if generators is None or i == last else normal(x, generators)
        with torch.no_grad():
            x = step(schedule, x, guided.prediction, guided.gradient, i, noise)
        guided.checks.add(x, "the step")
        guided.checks.settle()
        yield Step(i - 1, x, guided.prediction.x0, guided.losses, guided.ratio)
        if number < repeats:
            x = renoise(schedule, x, normal(x, generators), i - 1)


def walk_length(start: int, repeats: int = 1) -> int:
    """How many steps `sample` yields."""
    return start + repeats - 1


def renoise(schedule: Schedule, x: Tensor, noise: Tensor, i: int) -> Tensor:
    """√(1-β_i)·x + √β_i·noise, from the state i towards the one above.

    Faithful: β_{i+1} would lead to its very level; with β_i, as in DiffuseIT, it is a little less noisy.
    """
    beta = float(schedule.betas[i])
    return math.sqrt(1 - beta) * x + math.sqrt(beta) * noise


def unguided(model: Model, schedule: Schedule) -> Guide:
    """The guide that gives the model's prediction alone."""

    def guide(x_t: Tensor, i: int) -> Guided:
        checks = Checks(int(schedule.timesteps[i]))
        with torch.no_grad():
            prediction = model.predict(x_t, schedule, i)
        checks.add(prediction.x0, "the U-Net's prediction")
        return Guided(prediction, None, {}, checks)

    return guide


def ddim_move(x0: Tensor, eps: Tensor, alpha_bar: float) -> Tensor:
    """√ᾱ·x0 + √(1-ᾱ)·eps: the state of level ᾱ along the predicted direction."""
    return math.sqrt(alpha_bar) * x0 + math.sqrt(1 - alpha_bar) * eps


def ddpm_mean(schedule: Schedule, x_t: Tensor, prediction: Prediction, gradient: Tensor | None, i: int) -> Tensor:
    """μ(x_t, x̂0) - Σ·∇L: Ho et al. eq. 7 shifted as in Dhariwal & Nichol algorithm 1."""
    mean = schedule.posterior_mean(prediction.x0, x_t, i)
    return mean if gradient is None else mean - prediction.log_variance.exp() * gradient


def ddpm_step(
    schedule: Schedule, x_t: Tensor, prediction: Prediction, gradient: Tensor | None, i: int, noise: Tensor | None
) -> Tensor:
    """x_{i-1} = μ - Σ·∇L + Σ^½·noise; without noise, the guided mean."""
    mean = ddpm_mean(schedule, x_t, prediction, gradient, i)
    return mean if noise is None else mean + (0.5 * prediction.log_variance).exp() * noise


def ddim_step(eta: float = 0.0) -> StepFunction:
    """The DDIM step (Song et al. eq. 12), guided on the score (Dhariwal & Nichol algorithm 2):

    ε̂ = ε + √(1-ᾱ)·∇L;  x_{i-1} = √ᾱ'·x̂0(ε̂) + √(1-ᾱ'-σ²)·ε̂ + σ·noise,  σ = η·√((1-ᾱ')/(1-ᾱ))·√(1-ᾱ/ᾱ').
    """

    def step(
        schedule: Schedule, x_t: Tensor, prediction: Prediction, gradient: Tensor | None, i: int, noise: Tensor | None
    ) -> Tensor:
        alpha_bar, lower = float(schedule.alpha_bar[i]), float(schedule.alpha_bar_previous[i])
        eps, x0 = prediction.eps, prediction.x0
        if gradient is not None:
            eps = eps + math.sqrt(1 - alpha_bar) * gradient
            x0 = (x_t - math.sqrt(1 - alpha_bar) * eps) / math.sqrt(alpha_bar)
        sigma = eta * math.sqrt((1 - lower) / (1 - alpha_bar)) * math.sqrt(1 - alpha_bar / lower)
        x = math.sqrt(lower) * x0 + math.sqrt(max(0.0, 1 - lower - sigma**2)) * eps
        return x if noise is None or sigma == 0 else x + sigma * noise

    return step
