"""View, Loss and Term: what a loss looks at, how it is bound to its source, and its weight."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..randomness import Generators

Values = Mapping[str, Tensor]  # name → (B,), one raw value per image


@dataclass(frozen=True)
class View:
    """What guidance shows to a loss: images (B, 3, H, W) in about [-1, 1], float32.

    `estimate` = √(1-ᾱ)·x0 + (1-√(1-ᾱ))·x_t; `x0` the prediction; `previous` the x0 of the step before, or None; `t` the
    model's timestep, 0 … 999. `at_once` asks a loss that puts many crops through a network to hold the activations of
    so many of them at a time, all if None; the value is the same.
    """

    estimate: Tensor
    x0: Tensor
    previous: Tensor | None
    t: int
    at_once: int | None = None


# One that heeds `at_once` has `views`, how many crops it makes of a picture, and `parts`, which maps a view to an
# iterator over values that add up: the gradient of each is taken before the next is made.
BoundLoss = Callable[[View], Values]


class Loss(Protocol):
    """Bound once to a source; the bound loss maps each view to one value per image, by name.

    What stands above the returned function costs once per picture, what stands inside costs each step. `name` is the
    name of its random stream.
    """

    name: str

    def against(self, source: Tensor, generators: Generators) -> BoundLoss: ...


@dataclass(frozen=True)
class Term:
    """A weighted loss, active at timesteps start ≥ t ≥ stop. A mapping weighs a loss's values by name."""

    weight: float | Mapping[str, float]
    loss: Loss
    start: int = 1000
    stop: int = 0

    @property
    def active(self) -> bool:
        """Whether any weight is not zero."""
        return any(self.weight.values()) if isinstance(self.weight, Mapping) else self.weight != 0

    def weigh(self, values: Values) -> Tensor:
        """(B,) the weighted sum."""
        return sum(self._weight(name) * value for name, value in values.items())

    def _weight(self, name: str) -> float:
        return self.weight.get(name, 0.0) if isinstance(self.weight, Mapping) else self.weight
