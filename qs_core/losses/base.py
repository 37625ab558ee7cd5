"""View, Loss and Term: what a loss looks at, how it is bound to its source, and its weight."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from torch import Tensor

from ..protocol import Model
from ..randomness import Generators

Values = Mapping[str, Tensor]  # name → (B,), one raw value per image


@dataclass(frozen=True)
class View:
    """What guidance shows to a loss: pictures (B, 3, H, W) in about [-1, 1], float32, and the estimate's state.

    `number` counts the evaluations of a walk, so that one which is repeated for want of memory is known for the same;
    `last` has each value (B,) of the one before, and at first those that a bound loss tells of its source.

    `estimate` is the picture of √(1-ᾱ)·x0 + (1-√(1-ᾱ))·x_t; `x0` that of the prediction, for a model with a codec the
    estimate's own; `t` the model's timestep, 0 … 999. `chunk` asks a loss that puts many crops through a network to
    hold the activations of so many of them at a time, all if None; the value is the same. `state` (B, C, h, w) is the
    estimate as the network sees it, the picture itself where states are pictures.
    """

    estimate: Tensor
    x0: Tensor
    t: int
    chunk: int | None = None
    state: Tensor | None = None
    number: int = 0
    last: Values = field(default_factory=dict)

    def __post_init__(self):
        if self.state is None:
            object.__setattr__(self, "state", self.estimate)


# One that heeds `chunk` has `views`, how many crops it makes of a picture, and `parts`, which maps a view to an
# iterator over values that add up: the gradient of each is taken before the next is made. One may have `of_source`,
# values at the source, for losses that look at them.
BoundLoss = Callable[[View], Values]


class Loss(ABC):
    """Bound once to a source; the bound loss maps each view to one value per image, by name.

    `name` is that of its random stream. `reads` says whether it reads pictures or states.
    """

    name: ClassVar[str]
    reads: ClassVar[Literal["picture", "state"]] = "picture"

    @abstractmethod
    def against(self, source: Tensor, generators: Generators) -> BoundLoss:
        """The loss bound to a source (B, 3, H, W), or to its state where it reads states.

        What stands above the returned function costs once per picture, what stands inside costs each step.
        """

    def graph_bytes(self, model: Model, batch: int, height: int, width: int) -> int:
        """About what it keeps for a gradient at so many pictures of a size; 0 where that is little."""
        return 0


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

    def shared(self, parts: int) -> "Term":
        """The same at its part of the weight."""
        weight = self.weight
        each = {k: v / parts for k, v in weight.items()} if isinstance(weight, Mapping) else weight / parts
        return replace(self, weight=each)

    def weigh(self, values: Values) -> Tensor:
        """(B,) the weighted sum."""
        return sum(self._weight(name) * value for name, value in values.items())

    def _weight(self, name: str) -> float:
        return self.weight.get(name, 0.0) if isinstance(self.weight, Mapping) else self.weight
