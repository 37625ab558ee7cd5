"""Read this first: restyling in three moves on tensors. Begin at a noisy state, guide, walk back to the picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .anchors import Anchors
from .errors import InputError
from .guidance import BoundTerm, bind
from .losses.base import Term
from .losses.contrastive import Contrastive
from .model import DiffusionModel
from .randomness import Generators, normal, spawn
from .samplers import Step, StepFunction, ddim_step, ddpm_step, invert, sample
from .schedule import Schedule

STARTS = ("inverted", "noised", "zecon")
SAMPLERS = ("ddpm", "ddim")


@dataclass(frozen=True)
class Inversion:
    """Where a walk begins: the source (B, 3, H, W) in [-1, 1], and the state `x_t` of index `start`."""

    model: DiffusionModel
    schedule: Schedule
    source: Tensor
    x_t: Tensor
    start: int


def begin(
    model: DiffusionModel, schedule: Schedule, source: Tensor, skip: int, start: str, generators: Generators
) -> Iterator[Step]:
    """Walk to where sampling begins; the last step yielded is that state, `len(schedule) - skip` of it.

    "inverted": by DDIM inversion. "noised": plain noise, paper eq. 1. "zecon" (Faithful: a quirk of its code): the
    inverted latent taken as the *noise* that is mixed with the source once more, one state lower.
    Raises InputError for a skip that leaves no step, and for a size the network cannot take.
    """
    model.check_size(source)
    count_steps(schedule, skip, start)
    state = len(schedule) - skip
    if start == "noised":
        yield Step(state, schedule.diffuse(source, normal(source, generators), state), source, {})
        return
    for step in invert(model, schedule, source, state):
        yield step
    if start == "zecon":
        yield Step(state - 1, schedule.diffuse(source, step.x, state - 1), source, {})


def count_steps(schedule: Schedule, skip: int, start: str) -> int:
    """How many steps `begin` yields. Raises InputError for an unknown start, and a skip that leaves no walk."""
    if start not in STARTS:
        raise InputError(f"Start {start!r} is unknown; choose one of {', '.join(STARTS)}.")
    most = len(schedule) - (2 if start == "zecon" else 1)  # ZeCon's walk begins one state lower
    if not 1 <= skip <= most:
        raise InputError(f"skip {skip} of {len(schedule)} steps is not possible with start {start}; give 1 to {most}.")
    return 1 if start == "noised" else len(schedule) - skip + (start == "zecon")


def content_term(model: DiffusionModel, weight: float, anchors: Anchors, tau: float = 0.07) -> Term:
    """The contrastive term on the model's own encoder at timestep 0; `anchors.attend` counts in `content_layers`."""
    layers = [layer.index for layer in model.content_layers()]

    def encode(pictures: Tensor) -> list[Tensor]:
        t = torch.zeros(len(pictures), device=pictures.device)
        outputs = model.encode(pictures, t, last=max(layers))
        return [outputs[index] for index in layers]

    return Term(weight, Contrastive(encode, anchors, tau))


def step_function(sampler: str, eta: float = 0.0) -> StepFunction:
    """The reverse step by name: "ddpm", or "ddim" with eta. Raises InputError for another name or eta outside 0 … 1."""
    if sampler not in SAMPLERS:
        raise InputError(f"Sampler {sampler!r} is unknown; choose one of {', '.join(SAMPLERS)}.")
    if not 0 <= eta <= 1:
        raise InputError(f"eta {eta} is outside 0 to 1.")
    return ddpm_step if sampler == "ddpm" else ddim_step(eta)


def bind_terms(inversion: Inversion, terms: Sequence[Term], generators: Generators) -> tuple[BoundTerm, ...]:
    """Bind the terms to the inversion's source, with randomness of their own."""
    return bind(terms, inversion.source, spawn(generators))


def restyle(
    inversion: Inversion, terms: Sequence[BoundTerm], step: StepFunction, generators: Generators
) -> Iterator[Step]:
    """Walk from the inversion's state back to state 0 under the bound terms; the last step's `x` is the picture."""
    i = inversion
    yield from sample(i.model, i.schedule, i.x_t, i.start, step, terms, generators)
