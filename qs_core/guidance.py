"""Guidance: Σ weight · loss → gradient at x_t. The only autograd in the library, but for a model's own pull-back.

Losses see detached leaves: the estimate's state, its picture where the two differ, and x0. Their gradients are summed
there, one loss after the other, pulled back through the codec, and then through the network once. Peak memory is the
network's graph plus the largest loss, not the sum of all. Where even that is too much, the memory policy has the same
step evaluated again in less memory and more time.
"""

import gc
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .finite import Checks
from .losses.base import BoundLoss, Term, Values, View
from .memory import MemoryPolicy, shortage
from .protocol import Model, Prediction, PullBack
from .randomness import Generators, named, remember, rewind
from .samplers import Guided
from .schedule import Schedule
from .unets.gradient_checkpointing import gradient_checkpointing


@dataclass(frozen=True)
class BoundTerm:
    """A term whose loss is bound to its source, the generators that the loss draws from, and what it reads."""

    term: Term
    loss: BoundLoss
    generators: Generators = ()
    reads: str = "picture"

    @property
    def crops(self) -> int:
        """Crops that the loss makes of a picture and can hold a few at a time; 1 where there is nothing to split."""
        return getattr(self.loss, "views", 1)

    def parts(self, view: View) -> Iterator[Values]:
        """The loss's values in parts that add up, each made when it is asked for; in one where it has no parts."""
        its = getattr(self.loss, "parts", None)
        return its(view) if its else (self.loss(view) for _ in range(1))


def bind(
    terms: Sequence[Term], source: Tensor, seeds: Sequence[int], clean: Tensor | None = None
) -> tuple[BoundTerm, ...]:
    """Bind each active term to the source: its picture, or its state `clean` where the loss reads states.

    A term's random stream is that of its loss's name and the seeds. The second term of one name has a stream of its
    own, also where the first has weight 0.
    """
    seen, bound = Counter(), []
    for term in terms:
        seen[term.loss.name] += 1
        if term.active:
            its = named(seeds, f"{term.loss.name} {seen[term.loss.name]}")
            read = source if clean is None or term.loss.reads == "picture" else clean
            bound.append(BoundTerm(term, term.loss.against(read, its), its, term.loss.reads))
    return tuple(bound)


@dataclass
class History:
    """How many evaluations there were, and each loss's values (B,) at the latest."""

    number: int = 0
    last: Values = field(default_factory=dict)


@dataclass(frozen=True)
class Guidance:
    """What `samplers.sample` asks at each state: the prediction there, and the gradient of the terms.

    `policy` reduces memory where it runs short; without one, torch's own error passes. `through_unet` false pulls
    nothing back through the network: ∂x0/∂x_t is then √ᾱ, what it would be were pictures unit Gaussian noise. (1/√ᾱ, as
    if the predicted noise were a constant, turns pictures into noise here.) The guidance interval k takes the losses at
    every k-th state from `start` down; the states between are not guided. `gain` (B, 1, 1, 1), the model's at the
    sources, divides the gradient.
    """

    model: Model
    schedule: Schedule
    terms: Sequence[BoundTerm]
    policy: MemoryPolicy | None = None
    through_unet: bool = True
    interval: int = 1
    start: int = 0
    gain: Tensor | None = None
    history: History = field(default_factory=History)

    def __post_init__(self):
        told = [getattr(bound.loss, "of_source", {}) for bound in self.terms]
        self.history.last = _mean(told)

    def __call__(self, x_t: Tensor, i: int) -> Guided:
        """Predict at state i and take the gradient of the terms that are active there.

        Costs one network forward without guidance; with it, one forward, one pull-back, and the losses. Out of memory
        means another attempt with the same random draws and less memory, and MemoryShortage after the last.
        """
        t = int(self.schedule.timesteps[i])
        due = (self.start - i) % self.interval == 0
        live = [bound for bound in self.terms if due and bound.term.start >= t >= bound.term.stop]
        self.history.number += 1
        found = self._attempt(x_t, i, live, []) if self.policy is None else self._within_memory(x_t, i, live)
        self.history.last = {**self.history.last, **found.losses}
        return found

    def _within_memory(self, x_t: Tensor, i: int, live: list[BoundTerm]) -> Guided:
        """Attempts, the policy tightened in between."""
        policy = self.policy
        while True:
            states, under_way = [remember(bound.generators) for bound in live], []
            try:
                with gradient_checkpointing(policy.checkpointing):
                    return self._attempt(x_t, i, live, under_way, policy.chunk)
            except Exception as error:
                if not policy.host.is_shortage(error):
                    raise
                said = str(error)
            # Out here the error is gone, and with its traceback all that the attempt held.
            for bound, state in zip(live, states, strict=True):
                rewind(bound.generators, state)
            # Without a term there is no gradient, and nothing is kept that could be spared.
            if not live or not policy.tighten(under_way[0].crops if under_way else 1):
                raise shortage(len(x_t), *x_t.shape[-2:], policy, said)
            gc.collect()
            policy.host.check_cancelled()
            policy.host.release()

    def _attempt(
        self, x_t: Tensor, i: int, live: Sequence[BoundTerm], under_way: list[BoundTerm], chunk: int | None = None
    ) -> Guided:
        """One evaluation. Meanwhile `under_way` holds the term whose loss is being taken, and nothing while the network
        is."""
        checks, alpha_bar = Checks(int(self.schedule.timesteps[i])), float(self.schedule.alpha_bar[i])
        prediction, pull_back = self._predict(x_t, i, bool(live))
        checks.add(prediction.x0, "the U-Net's prediction")
        if not live:
            return Guided(prediction, None, {}, checks)
        of_estimate, of_x0, losses = self._losses(x_t, prediction, alpha_bar, live, under_way, chunk, checks)
        share = math.sqrt(1 - alpha_bar)
        gradient = pull_back(share * of_estimate + of_x0, (1 - share) * of_estimate)
        if self.gain is not None:
            gradient = gradient / self.gain
        checks.add(gradient, "the gradient through the U-Net" if self.through_unet else "the gradient")
        return Guided(prediction, gradient, losses, checks)

    def _predict(self, x_t: Tensor, i: int, guided: bool) -> tuple[Prediction, PullBack]:
        if guided and self.through_unet:
            return self.model.linearize(x_t, self.schedule, i)
        with torch.no_grad():
            prediction = self.model.predict(x_t, self.schedule, i)
        root = math.sqrt(float(self.schedule.alpha_bar[i]))
        return prediction, lambda of_x0, of_x_t: root * of_x0 + of_x_t

    def _losses(
        self,
        x_t: Tensor,
        prediction: Prediction,
        alpha_bar: float,
        live: Sequence[BoundTerm],
        under_way: list[BoundTerm],
        chunk: int | None,
        checks: Checks,
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The gradients at the estimate and at x0, and each loss's values (B,)."""
        state = blend(prediction.x0, x_t, alpha_bar).requires_grad_()
        decoded = state
        if any(bound.reads == "picture" for bound in live):
            with torch.enable_grad():
                decoded = self.model.to_picture(state)
        # Where states are pictures, x0 is a leaf; else the estimate's picture stands for it, to decode once.
        other = prediction.x0.detach().requires_grad_() if decoded is state else decoded.detach().requires_grad_()
        leaves = [state, other]
        picture = state if decoded is state else other
        view = View(picture, other, checks.t, chunk, state, self.history.number, self.history.last)
        pulls, taken = [torch.zeros_like(leaf) for leaf in leaves], []
        for bound in live:
            under_way[:] = [bound]
            taken.append(_pull(bound, view, leaves, pulls, checks))
        under_way.clear()
        losses = _mean(taken)
        if decoded is state:
            return *pulls, losses
        through_codec = torch.autograd.grad(decoded, state, pulls[1])[0]
        return pulls[0] + through_codec, torch.zeros_like(state), losses


def _mean(taken: Sequence[Values]) -> dict[str, Tensor]:
    """Each value by name; where several terms have it, as two CLIPs do, their mean."""
    each = {}
    for values in taken:
        for name, value in values.items():
            each.setdefault(name, []).append(value)
    return {name: sum(some) / len(some) if len(some) > 1 else some[0] for name, some in each.items()}


def blend(x0: Tensor, x_t: Tensor, alpha_bar: float) -> Tensor:
    """The estimate √(1-ᾱ)·x0 + (1-√(1-ᾱ))·x_t: what the losses look at."""
    share = math.sqrt(1 - alpha_bar)
    return share * x0 + (1 - share) * x_t


def _pull(bound: BoundTerm, view: View, leaves: list[Tensor], pulls: list[Tensor], checks: Checks) -> Values:
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
