"""Restyling in two moves on tensors: begin at a noisy state, and walk back from it under guidance."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .blend import at_size, check, step_share
from .colour import LEVEL
from .errors import InputError
from .pictures import composite
from .protocol import Model
from .randomness import Generators, normal, seeded, uniform
from .samplers import Guide, Step, StepFunction, ddim_step, ddpm_step, invert, sample
from .schedule import Schedule

STARTS = ("inverted", "noised", "zecon")
SAMPLERS = ("ddpm", "ddim")


@dataclass(frozen=True)
class Inversion:
    """Where a walk begins: the source (B, 3, H, W) in [-1, 1], the state `x_t` of index `start`, and the source's clean
    state, state 0; the source itself where states are pictures."""

    model: Model
    schedule: Schedule
    source: Tensor
    x_t: Tensor
    start: int
    clean: Tensor | None = None
    gain: Tensor | None = None  # of the model at the clean state, where states are no pictures
    noised: bool = False  # whether x_t is plain noise on the clean state, which can be drawn anew

    def __post_init__(self):
        if self.clean is None:
            object.__setattr__(self, "clean", self.model.to_state(self.source))

    def part(self, rows: slice) -> "Inversion":
        """That of some pictures of the batch."""
        gain = None if self.gain is None else self.gain[rows]
        return replace(self, source=self.source[rows], x_t=self.x_t[rows], clean=self.clean[rows], gain=gain)

    def drawn_anew(self, generators: Generators) -> "Inversion":
        """The same with other noise."""
        noise = normal(self.clean, generators)
        return replace(self, x_t=self.schedule.diffuse(self.clean, noise, self.start))

    def on(self, device: torch.device) -> "Inversion":
        """The inversion with its tensors on a device."""
        source, x_t, clean = (tensor.to(device) for tensor in (self.source, self.x_t, self.clean))
        gain = None if self.gain is None else self.gain.to(device)
        return replace(self, source=source, x_t=x_t, clean=clean, gain=gain)


def begin(
    model: Model,
    schedule: Schedule,
    source: Tensor,
    skip: int,
    start: str,
    generators: Generators,
    dequantize: bool = True,
) -> Iterator[Step]:
    """Walk to where sampling begins; the last step yielded is that state, `len(schedule) - skip` of it.

    "inverted": by DDIM inversion, `dequantized` before where that is wished and states are pictures. "noised": plain
    noise, paper eq. 1. "zecon" (Faithful: a quirk of its code): the inverted latent, not dequantized, taken as the
    *noise* that is mixed with the source once more, one state lower.
    Raises InputError for a skip that leaves no step, and for a size the network cannot take.
    """
    model.check_size(source)
    count_steps(schedule, skip, start)
    with torch.no_grad():
        clean = model.to_state(source)
    state = len(schedule) - skip
    if start == "noised":
        yield Step(state, schedule.diffuse(clean, normal(clean, generators), state), clean, {})
        return
    entry = dequantized(clean) if dequantize and start == "inverted" and model.tileable else clean
    for step in invert(model, schedule, entry, state):
        yield step
    if start == "zecon":
        yield Step(state - 1, schedule.diffuse(clean, step.x, state - 1), clean, {})


def dequantized(pictures: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in [-1, 1] with uniform noise as wide as a level of 8 bits, the same for each of a size.

    It is not cut off at the range's ends. That is uniform dequantization (Theis et al. 2016, arXiv 1511.01844).
    Deviation: the papers invert pictures as they are. The inversion of an exactly plain place is then no noise, and
    walks back draw lines along its borders.
    """
    noise = uniform(pictures.shape[1:], seeded([0]))
    return pictures + LEVEL * (noise - 0.5).to(pictures)


def count_steps(schedule: Schedule, skip: int, start: str) -> int:
    """How many steps `begin` yields. Raises InputError for an unknown start, and a skip that leaves no walk."""
    if start not in STARTS:
        raise InputError(f"Start {start!r} is unknown; choose one of {', '.join(STARTS)}.")
    most = len(schedule) - (2 if start == "zecon" else 1)  # ZeCon's walk begins one state lower
    if not 1 <= skip <= most:
        raise InputError(f"skip {skip} of {len(schedule)} steps is not possible with start {start}; give 1 to {most}.")
    return 1 if start == "noised" else len(schedule) - skip + (start == "zecon")


def step_function(sampler: str, eta: float = 0.0, repeats: int = 1) -> StepFunction:
    """The reverse step by name: "ddpm", or "ddim" with eta.

    Raises InputError for another name, eta outside 0 … 1, and a first step that is repeated otherwise than in ddpm.
    """
    if repeats > 1 and sampler != "ddpm":
        raise InputError(f"first_step_repeats {repeats} works with the sampler ddpm alone. Choose it, or give 1.")
    if sampler not in SAMPLERS:
        raise InputError(f"Sampler {sampler!r} is unknown; choose one of {', '.join(SAMPLERS)}.")
    if not 0 <= eta <= 1:
        raise InputError(f"eta {eta} is outside 0 to 1.")
    return ddpm_step if sampler == "ddpm" else ddim_step(eta)


def restyle(
    inversion: Inversion,
    step: StepFunction,
    guide: Guide | None,
    generators: Generators,
    strength: float | Tensor = 1.0,
    repeats: int = 1,
) -> Iterator[Step]:
    """Walk from the inversion's state back to state 0 as `guide` bends it; the last step's `x` is the clean state.

    `strength` is the blend map from 0, the source itself, to 1, a free walk: a number, or a map of (1 or B, 1, H, W).
    Raises InputError at the call for one outside 0 to 1, NaN, or of another shape.
    """
    i = inversion
    if isinstance(strength, Tensor) or strength != 1:
        step = blended(step, inversion, strength)
    return sample(i.model, i.schedule, i.x_t, i.start, step, guide, generators, repeats)


def blended(step: StepFunction, inversion: Inversion, strength: float | Tensor) -> StepFunction:
    """The step, then m·x + (1-m)·source_i with the source's own state on the way back, exactly that where m is 0.

    m is `step_share` of the blend map. Blended Diffusion (arXiv 2111.14818) mixes so with a mask of 0 and 1 and a
    noised source. Deviation: the source's state has the walk's own noise, so that nothing is mixed that does not belong
    there.
    """
    check(strength, inversion.source)
    x_t = inversion.x_t
    share = step_share(at_size(strength, *x_t.shape[-2:]), inversion.start).to(x_t)

    def mixed(schedule: Schedule, x_t: Tensor, prediction, gradient: Tensor | None, i: int, noise: Tensor | None):
        x = step(schedule, x_t, prediction, gradient, i, noise)
        return composite(x, source_at(inversion, i - 1), share)

    return mixed


def source_at(inversion: Inversion, i: int) -> Tensor:
    """The source's state i on the DDIM path of constant noise from its clean state 0 to the walk's start n:

    x_i = √(ᾱ_i/ᾱ_0)·x_0 + c_i·ε with c_i = √(1-ᾱ_i) - √(ᾱ_i/ᾱ_0)·√(1-ᾱ_0), where ε is such that x_n is the start;
    written with x_n instead of ε. Both ends are met exactly.
    """

    def parts(i: int) -> tuple[float, float]:
        alpha_bar, lowest = float(inversion.schedule.alpha_bar[i]), float(inversion.schedule.alpha_bar[0])
        of_clean = math.sqrt(alpha_bar / lowest)
        return of_clean, math.sqrt(1 - alpha_bar) - of_clean * math.sqrt(1 - lowest)

    (here, noise_here), (there, noise_there) = parts(i), parts(inversion.start)
    share = noise_here / noise_there
    return (here - there * share) * inversion.clean + share * inversion.x_t
