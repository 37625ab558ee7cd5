"""Checks that values are finite, put off and asked of the device all at once."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .errors import NonFiniteError


@dataclass
class Checks:
    """What has to be finite at timestep `t`. The device is asked once for all of it, since to ask is to wait for it."""

    t: int
    finite: list[Tensor] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def add(self, value: Tensor, what: str) -> None:
        """Remember whether all of a value is finite, and what it is."""
        self.finite.append(torch.isfinite(value.detach()).all())
        self.names.append(what)

    def settle(self) -> None:
        """Raises NonFiniteError, naming the first value that is not finite, and the timestep."""
        for fine, what in zip(torch.stack(self.finite).tolist(), self.names, strict=True):
            if not fine:
                raise NonFiniteError(
                    f"NaN or infinity in {what} at timestep {self.t}. Lower the weights, or use dtype float32, and "
                    "run again."
                )
