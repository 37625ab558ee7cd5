"""Read this first: restyling in three moves on tensors. Begin at a noisy state, guide, walk back to the picture."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .anchors import Anchors
from .errors import InputError
from .guidance import FULL, BoundTerm, Economy, Shortcuts, bind
from .losses.base import Term
from .losses.contrastive import Contrastive
from .model import DiffusionModel
from .pictures import composite
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
        t = torch.zeros(len(pictures), dtype=torch.float32, device=pictures.device)
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
    inversion: Inversion,
    terms: Sequence[BoundTerm],
    step: StepFunction,
    generators: Generators,
    strength: float | Tensor = 1.0,
    economy: Economy | None = None,
    shortcuts: Shortcuts = FULL,
) -> Iterator[Step]:
    """Walk from the inversion's state back to state 0 under the bound terms; the last step's `x` is the picture.

    `strength` is the dial from 0, the source itself, to 1, a free walk: a number, or a map of (1 or B, 1, H, W), which
    is a number times a mask. Raises InputError at the call for one outside 0 to 1, NaN, or of another shape.
    """
    i = inversion
    if isinstance(strength, Tensor) or strength != 1:
        step = held(step, inversion, strength)
    return sample(i.model, i.schedule, i.x_t, i.start, step, terms, generators, economy, shortcuts)


def held(step: StepFunction, inversion: Inversion, strength: float | Tensor) -> StepFunction:
    """The step, then m·x + (1-m)·source_i with the source's own state on the way back, exactly that where m is 0.

    m is `step_share` of the dial. Blended Diffusion (arXiv 2111.14818) mixes so with a mask of 0 and 1 and a noised
    source. Deviation: the source's state has the walk's own noise, so that nothing is mixed that does not belong there.
    """
    dial = _checked_dial(strength, inversion.x_t)
    share = step_share(dial, inversion.start).to(inversion.x_t)

    def mixed(schedule: Schedule, x_t: Tensor, prediction, gradient: Tensor | None, i: int, noise: Tensor | None):
        x = step(schedule, x_t, prediction, gradient, i, noise)
        return composite(x, source_at(inversion, i - 1), share)

    return mixed


def source_at(inversion: Inversion, i: int) -> Tensor:
    """The source's state i on the DDIM path of constant noise from the source, state 0, to the walk's start n:

    x_i = √(ᾱ_i/ᾱ_0)·source + c_i·ε with c_i = √(1-ᾱ_i) - √(ᾱ_i/ᾱ_0)·√(1-ᾱ_0), where ε is such that x_n is the start;
    written with x_n instead of ε. Both ends are met exactly.
    """

    def parts(i: int) -> tuple[float, float]:
        alpha_bar, lowest = float(inversion.schedule.alpha_bar[i]), float(inversion.schedule.alpha_bar[0])
        of_source = math.sqrt(alpha_bar / lowest)
        return of_source, math.sqrt(1 - alpha_bar) - of_source * math.sqrt(1 - lowest)

    (here, noise_here), (there, noise_there) = parts(i), parts(inversion.start)
    share = noise_here / noise_there
    return (here - there * share) * inversion.source + share * inversion.x_t


def step_share(dial: float | Tensor, steps: int) -> Tensor:
    """The share m of each of the walk's N steps that a dial s lets pass, elementwise, float32 on the CPU:

    Σ_{k=1…N} m^k = s·N. The change made k steps before the end is mixed k times and m^k of it is kept, so that s is
    the share of the whole change, were it even over the steps. m(0) = 0 and m(1) = 1 exactly.
    """
    share = np.linspace(0, 1, 2**16 + 1)
    kept = np.zeros_like(share)
    for _ in range(steps):
        kept = share * (1 + kept)
    dial = torch.as_tensor(dial, dtype=torch.float64).cpu()
    return torch.as_tensor(np.interp(dial.numpy(), kept / steps, share), dtype=torch.float32)


def _checked_dial(strength: float | Tensor, x_t: Tensor) -> float | Tensor:
    batch, _, height, width = x_t.shape
    shapes = [(1, 1, height, width), (batch, 1, height, width)]
    if isinstance(strength, Tensor) and tuple(strength.shape) not in shapes:
        raise InputError(f"The strength map has shape {tuple(strength.shape)}; the walk needs {shapes[-1]} or one row.")
    low, high = (float(end) for end in torch.as_tensor(strength).aminmax())
    if not 0 <= low <= high <= 1:  # false for NaN as well
        raise InputError(f"Strength from {low:g} to {high:g}: 0 (the source) to 1 (the full style) is needed.")
    return strength
