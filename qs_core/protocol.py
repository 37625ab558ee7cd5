"""Model: what the method needs of a diffusion model, whatever its states are."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from .schedule import Schedule
from .unets.adm import Layer


class Prediction(NamedTuple):
    """What one evaluation at x_t says, float32: images (B, 3, H, W); x0 is not clipped."""

    x0: Tensor
    eps: Tensor
    log_variance: Tensor  # (B, 3, H, W) or a scalar tensor, of q(x_{i-1} | x_i) as the network has it


PullBack = Callable[[Tensor, Tensor], Tensor]  # gradients at x0 and at x_t itself → the gradient at x_t


def linearize(predict: Callable[[Tensor], Prediction], x_t: Tensor) -> tuple[Prediction, PullBack]:
    """The prediction at x_t, and the pull-back through the graph of `predict`, which holds it until it is called."""
    with torch.enable_grad():
        leaf = x_t.detach().requires_grad_()
        prediction = predict(leaf)
        itself = leaf.view_as(leaf)

    def pull_back(of_x0: Tensor, of_x_t: Tensor) -> Tensor:
        return torch.autograd.grad([prediction.x0, itself], leaf, [of_x0, of_x_t])[0]

    return Prediction(*(part.detach() for part in prediction)), pull_back


class Model(Protocol):
    """What the method needs of a diffusion model. States x_t (B, C, h, w) are variance preserving, and need not be
    pictures (B, 3, H, W) in [-1, 1]: the codec is `to_state` and `to_picture`.

    A state of another family, x = a·x0 + s·ε, becomes one by a division by √(a²+s²), with ᾱ = a²/(a²+s²).
    """

    image_size: int  # short side of the training pictures
    multiple: int  # both sides of a picture must be multiples of it
    device: torch.device
    tileable: bool  # whether states are pictures, which windows can be cut from

    def schedule(self, spacing: str) -> Schedule:
        """The model's own noise schedule, respaced."""

    def to_state(self, picture: Tensor) -> Tensor:
        """The clean state of a picture, state 0 of a walk."""

    def to_picture(self, state: Tensor) -> Tensor:
        """The picture of a clean state; differentiable. The argument itself where states are pictures."""

    def gain(self, clean: Tensor) -> Tensor | None:
        """(B, 1, 1, 1): how much larger gradients are at these states than at their pictures, which guidance is divided
        by. None where states are pictures."""

    def predict(self, x_t: Tensor, schedule: Schedule, i: int) -> Prediction:
        """Evaluate at state i."""

    def linearize(self, x_t: Tensor, schedule: Schedule, i: int) -> tuple[Prediction, PullBack]:
        """Evaluate at state i, and the pull-back there, to be called once. The prediction carries no graph."""

    def content_layers(self) -> tuple[Layer, ...]:
        """The layers that the contrastive loss reads, shallow to deep, with their factor in picture pixels."""

    def features(self, states: Tensor) -> list[Tensor]:
        """The content layers' outputs (B, C, h, w) at clean states, float32; differentiable."""

    def check_size(self, picture: Tensor) -> None:
        """Raises InputError for a picture that the model cannot take."""

    def graph_bytes(self, batch: int, height: int, width: int) -> int:
        """About what the network keeps for a gradient at so many pictures of a size."""

    def walk_bytes(self, batch: int, height: int, width: int) -> int:
        """About what it needs beside its weights without a gradient."""

    def describe(self) -> dict:
        """What a report says of the model."""
