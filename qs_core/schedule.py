"""The noise schedule: betas, cumulative alphas, respaced timesteps and q(x_t | x_0).

Ho et al. 2020 (arXiv 2006.11239) for the process, Nichol & Dhariwal 2021 (arXiv 2102.09672) for the cosine schedule
and for respacing. All figures are float64 on the CPU; they meet tensors as Python floats.
"""

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from .errors import InputError

TRAINING_STEPS = 1000


def linear_betas(steps: int = TRAINING_STEPS) -> np.ndarray:
    """(steps,) betas rising linearly from 1e-4 to 0.02 (for 1000 steps)."""
    scale = 1000 / steps
    return np.linspace(scale * 1e-4, scale * 0.02, steps, dtype=np.float64)


def cosine_betas(steps: int = TRAINING_STEPS, max_beta: float = 0.999) -> np.ndarray:
    """(steps,) betas whose alpha_bar follows cos²((t/T + 0.008)/1.008 · π/2)."""
    alpha_bar = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * math.pi / 2) ** 2
    return np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], max_beta)


NOISE = {"linear": linear_betas, "cosine": cosine_betas}


@dataclass(frozen=True)
class Schedule:
    """A respaced schedule. `i` below is an index 0 … len-1, `timesteps[i]` the model's own timestep t (0 … 999)."""

    noise: str
    spacing: str
    timesteps: np.ndarray  # (n,) int64, ascending
    betas: np.ndarray  # (n,) float64, of the respaced process
    alpha_bar: np.ndarray  # (n,) float64

    def __len__(self) -> int:
        return len(self.timesteps)

    @property
    def alpha_bar_previous(self) -> np.ndarray:
        """(n,) alpha_bar of the state before, 1 before the first."""
        return np.append(1.0, self.alpha_bar[:-1])

    @property
    def posterior_variance(self) -> np.ndarray:
        """(n,) variance of q(x_{i-1} | x_i, x_0); Ho et al. eq. 7."""
        return self.betas * (1 - self.alpha_bar_previous) / (1 - self.alpha_bar)

    @property
    def posterior_log_variance(self) -> np.ndarray:
        """(n,) its logarithm, the first (minus infinity) replaced by the second as in the published samplers."""
        variance = self.posterior_variance
        return np.log(np.append(variance[1], variance[1:]))

    def fixed_log_variance(self, kind: str) -> np.ndarray:
        """(n,) log-variance of a network that learned none: "fixed_small" (posterior) or "fixed_large" (beta)."""
        if kind == "fixed_small":
            return self.posterior_log_variance
        return np.log(np.append(self.posterior_variance[1], self.betas[1:]))

    def posterior_mean(self, x0: Tensor, x_t: Tensor, i: int) -> Tensor:
        """Mean of q(x_{i-1} | x_i, x_0); Ho et al. eq. 7."""
        previous = self.alpha_bar_previous[i]
        from_x0 = self.betas[i] * math.sqrt(previous) / (1 - self.alpha_bar[i])
        from_x_t = (1 - previous) * math.sqrt(1 - self.betas[i]) / (1 - self.alpha_bar[i])
        return float(from_x0) * x0 + float(from_x_t) * x_t

    def diffuse(self, x0: Tensor, noise: Tensor, i: int) -> Tensor:
        """A draw of q(x_i | x_0) with the given noise; paper eq. 1."""
        return math.sqrt(self.alpha_bar[i]) * x0 + math.sqrt(1 - self.alpha_bar[i]) * noise


def space(spacing: str, steps: int = TRAINING_STEPS) -> np.ndarray:
    """The timesteps that a respacing string keeps, ascending: "50", "ddim50", or one count per section ("10,20").

    Sections split the steps as evenly as can be; within a section the kept steps run from its first to its last.
    "ddimN" takes every k-th step, for the k that gives exactly N. "T:N" are DiffusionCLIP's N points from 0 up to T.
    """
    text = spacing.strip()
    if ":" in text:
        return _up_to(text, steps)
    strided = text.startswith("ddim")
    try:
        counts = [int(part) for part in ([text[4:]] if strided else text.split(","))]
    except ValueError:
        raise InputError(
            f"Respacing {spacing!r} is not understood. Give a count ('50'), 'ddim50' or '10,20'."
        ) from None
    return _every_kth(counts[0], steps, spacing) if strided else _sections(counts, steps)


def _up_to(text: str, steps: int) -> np.ndarray:
    """floor(T·k/(N-1)) for k = 0 … N-1. Faithful: truncated, not rounded.

    Deviation: in whole numbers. In floating point some N near T hold a timestep twice, and its beta is 0.
    """
    try:
        highest, count = (int(part) for part in text.split(":"))
    except ValueError:
        highest, count = 0, 0
    if not 1 <= highest < steps or not 2 <= count <= highest + 1:
        raise InputError(
            f"Respacing {text!r} is not possible: T:N are N points from 0 up to the timestep T. Give T from 1 to "
            f"{steps - 1} and N from 2 to T + 1, e.g. '500:40'."
        )
    return highest * np.arange(count, dtype=np.int64) // (count - 1)


def _every_kth(count: int, steps: int, spacing: str) -> np.ndarray:
    for stride in range(1, steps):
        if len(range(0, steps, stride)) == count:
            return np.arange(0, steps, stride)
    raise InputError(f"Respacing {spacing!r}: no whole stride over {steps} steps gives {count} of them. Try 'ddim50'.")


def _sections(counts: list[int], steps: int) -> np.ndarray:
    size, extra = divmod(steps, len(counts))
    kept, start = [], 0
    for section, count in enumerate(counts):
        length = size + (section < extra)
        if not 1 <= count <= length:
            raise InputError(f"Respacing asks for {count} of a section's {length} steps; it needs 1 to {length}.")
        stride = (length - 1) / (count - 1) if count > 1 else 1.0
        position = 0.0  # summed, not multiplied: where the two round differently, the published spacing is the sum's
        for _ in range(count):
            kept.append(start + round(position))
            position += stride
        start += length
    return np.array(kept)


def make_schedule(spacing: str = "50", noise: str = "linear", steps: int = TRAINING_STEPS) -> Schedule:
    """The respaced schedule; betas are those of the process that visits only the kept steps.

    Raises InputError for an unknown noise schedule or respacing.
    """
    if noise not in NOISE:
        raise InputError(f"Noise schedule {noise!r} is unknown; choose one of {', '.join(NOISE)}.")
    return respace(np.cumprod(1 - NOISE[noise](steps)), spacing, noise)


def respace(alpha_bar: np.ndarray, spacing: str, noise: str) -> Schedule:
    """The schedule of a table (steps,) of ᾱ, which falls, at the steps that `spacing` keeps; `noise` is its name.

    Raises InputError for a respacing that is not understood.
    """
    timesteps = space(spacing, len(alpha_bar))
    kept = alpha_bar[timesteps]
    return Schedule(noise, spacing, timesteps, 1 - kept / np.append(1.0, kept[:-1]), kept)
