"""The host's noise levels as a variance preserving schedule."""

from dataclasses import dataclass

import numpy as np
import torch

from ...qs_core.schedule import TRAINING_STEPS, Schedule, respace

LOWEST = 1e-5  # ᾱ: below it a state holds nothing of its picture, and x0 cannot be told from it


@dataclass(frozen=True)
class Levels:
    """A host state a·x0 + s·ε at level σ, divided by √(a²+s²), is a variance preserving one with ᾱ = a²/(a²+s²).

    All are (1000,), ascending in noise: σ as the host wants it, `norm` √(a²+s²), and ᾱ.
    """

    sigma: np.ndarray
    norm: np.ndarray
    alpha_bar: np.ndarray

    def schedule(self, spacing: str) -> Schedule:
        """The levels that `spacing` keeps."""
        return respace(self.alpha_bar, spacing, "native")


def levels(model_sampling: object) -> Levels:
    """The levels of the host's ModelSampling, whatever its class: it is asked to mix a picture and noise.

    The table ends where ᾱ falls below 1e-5; pure noise, where flow models end, has no x0. What is left is spread over
    1000 places, between two of the host's levels where need be, so that no two are equal.
    """
    table = model_sampling.sigmas.detach().double().cpu().clone()
    share, noise = mixed(model_sampling, table)
    kept = np.flatnonzero(share**2 / (share**2 + noise**2) >= LOWEST)
    places = np.linspace(kept[0], kept[-1], TRAINING_STEPS)
    sigma = torch.from_numpy(np.interp(places, np.arange(len(table)), table.numpy()))
    share, noise = mixed(model_sampling, sigma)
    norm = np.sqrt(share**2 + noise**2)
    return Levels(sigma.numpy(), norm, share**2 / norm**2)


def mixed(model_sampling: object, sigma: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """How much of the picture and of the noise a state of each level has."""
    sigma, shape = sigma.float(), (len(sigma), 1)
    picture = model_sampling.noise_scaling(sigma, torch.zeros(shape), torch.ones(shape))
    noise = model_sampling.noise_scaling(sigma, torch.ones(shape), torch.zeros(shape))
    return tuple(part.double().flatten().numpy() for part in (picture, noise))
