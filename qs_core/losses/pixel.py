"""Losses on pixels: mean squared error to the source, and the range penalty on x0."""

from dataclasses import dataclass
from typing import ClassVar

from einops import reduce
from torch import Tensor

from ..randomness import Generators
from .base import BoundLoss, Loss, View


@dataclass(frozen=True)
class MSE(Loss):
    """Mean squared difference between the estimate and the source (ZeCon's `mse`).

    Deviation: against the clean source; ZeCon noises it anew at each step.
    """

    name: ClassVar[str] = "mse"

    def against(self, source: Tensor, generators: Generators) -> BoundLoss:
        return lambda view: {"mse": reduce((view.estimate - source).square(), "b c h w -> b", "mean")}


@dataclass(frozen=True)
class Range(Loss):
    """Mean squared distance of x0 from [-1, 1]."""

    name: ClassVar[str] = "range"

    def against(self, source: Tensor, generators: Generators) -> BoundLoss:
        return range_loss


def range_loss(view: View) -> dict[str, Tensor]:
    """The range penalty of a view; it needs no source."""
    excess = view.x0 - view.x0.clamp(-1, 1)
    return {"range": reduce(excess.square(), "b c h w -> b", "mean")}
