"""Tiled: a model that sees a large picture in overlapping windows near the size of its training pictures.

MultiDiffusion (Bar-Tal et al., arXiv 2302.08113): each window is predicted by itself, and the predictions are averaged
by smooth weights. Memory is that of one window; time grows with the area.
"""

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from .errors import InputError
from .protocol import Model, Prediction, PullBack
from .schedule import Schedule
from .unets.adm import Layer

ROOM = 1.5  # times its usual size is what a model takes in one piece unless a tile is given
OVERLAP = 4  # neighbours share at least this fraction, a fourth, of the tile
HELD = 24  # tensors of the picture's size that a walk holds beside the network's window, about


@dataclass(frozen=True)
class Window:
    """A window's place in a state, as an index, and its weights (h, w) in (0, 1]; those of all windows sum to 1."""

    place: tuple
    weights: Tensor

    def at(self, factor: int) -> "Window":
        """The same on a map that is smaller by a factor."""
        rows, columns = (slice(part.start // factor, part.stop // factor) for part in self.place[-2:])
        return Window((..., rows, columns), avg_pool2d(self.weights[None], factor)[0])


def default_size(model: Model) -> int:
    """The short side when none is given: the training size; three times that for the small built-in network."""
    return model.image_size * (3 if model.image_size <= 64 else 1)


def tiled(model: Model, tile: int | None, height: int, width: int) -> Model:
    """The model for pictures of a size: itself, or in windows of at most `tile` pixels a side where they are larger.

    None: windows of the default size, where the short side is over 1.5 times that and the model's states are pictures.
    """
    if tile is None and not model.tileable:
        return model
    if tile is None:
        usual = default_size(model)
        tile = usual if min(height, width) > ROOM * usual else max(height, width)
    tile += -tile % model.multiple
    return model if max(height, width) <= tile else Tiled(model, tile)


@dataclass(frozen=True)
class Tiled:
    """A pixel model in windows; it fulfils `Model`. `tile` is a window's longest side, a multiple of `multiple`.

    The pull-back evaluates each window once more, with its graph, and drops that before the next.
    """

    model: Model
    tile: int

    @property
    def tileable(self) -> bool:
        """The model's own."""
        return self.model.tileable

    @property
    def image_size(self) -> int:
        """The model's own."""
        return self.model.image_size

    @property
    def multiple(self) -> int:
        """The model's own."""
        return self.model.multiple

    @property
    def device(self) -> torch.device:
        """The model's own."""
        return self.model.device

    def schedule(self, spacing: str) -> Schedule:
        """The model's own."""
        return self.model.schedule(spacing)

    def to_state(self, picture: Tensor) -> Tensor:
        """The model's own. Raises InputError where its states are not as large as pictures."""
        state = self.model.to_state(picture)
        if state.shape[-2:] != picture.shape[-2:]:
            raise InputError(
                f"This model's states are not pictures and cannot be tiled. Use a size of at most {self.tile}, or a "
                "larger tile."
            )
        return state

    def to_picture(self, state: Tensor) -> Tensor:
        """The model's own."""
        return self.model.to_picture(state)

    def gain(self, clean: Tensor) -> Tensor | None:
        """The model's own."""
        return self.model.gain(clean)

    def content_layers(self) -> tuple[Layer, ...]:
        """The model's own."""
        return self.model.content_layers()

    def check_size(self, picture: Tensor) -> None:
        """The model's own."""
        self.model.check_size(picture)

    def windows(self, height: int, width: int) -> tuple[Window, ...]:
        """The windows over a state of a size, row by row, all of one size."""
        return _windows(height, width, self.tile, self.multiple)

    def predict(self, x_t: Tensor, schedule: Schedule, i: int) -> Prediction:
        """The mean of the windows' predictions, by their weights."""
        sums = None
        for window in self.windows(*x_t.shape[-2:]):
            weights = window.weights.to(x_t.device)
            part = self.model.predict(x_t[window.place], schedule, i)
            if sums is None:
                single = part.log_variance.ndim == 0
                sums = [torch.zeros_like(x_t, dtype=torch.float32) for _ in range(2 if single else 3)]
            for total, value in zip(sums, part, strict=False):
                total[window.place] += weights * value
        return Prediction(*sums, *([part.log_variance] if single else []))

    def linearize(self, x_t: Tensor, schedule: Schedule, i: int) -> tuple[Prediction, PullBack]:
        """The prediction at state i without a graph, and the pull-back, window by window."""
        with torch.no_grad():
            prediction = self.predict(x_t, schedule, i)

        def pull_back(of_x0: Tensor, of_x_t: Tensor) -> Tensor:
            gradient = of_x_t.clone()
            for window in self.windows(*x_t.shape[-2:]):
                of_window = window.weights.to(x_t.device) * of_x0[window.place]
                _, pull = self.model.linearize(x_t[window.place], schedule, i)
                gradient[window.place] += pull(of_window, torch.zeros_like(of_window))
            return gradient

        return prediction, pull_back

    def features(self, states: Tensor) -> list[Tensor]:
        """The content layers' outputs of the windows, put together by their weights."""
        sums = None
        height, width = states.shape[-2:]
        for window in self.windows(height, width):
            outputs = self.model.features(states[window.place])
            if sums is None:
                sums = [f.new_zeros(*f.shape[:2], height // k, width // k) for f, k in self._factors(outputs)]
            for n, (f, k) in enumerate(self._factors(outputs)):
                here = window.at(k)
                sums[n][here.place] = sums[n][here.place] + here.weights.to(f.device) * f
        return sums

    def _factors(self, outputs: list[Tensor]) -> list[tuple[Tensor, int]]:
        return [(f, layer.factor) for f, layer in zip(outputs, self.content_layers(), strict=True)]

    def graph_bytes(self, batch: int, height: int, width: int) -> int:
        """That of one window, and what a walk holds of the whole."""
        return self.model.graph_bytes(batch, *self._window(height, width)) + _held(batch, height, width)

    def walk_bytes(self, batch: int, height: int, width: int) -> int:
        """That of one window, and what a walk holds of the whole."""
        return self.model.walk_bytes(batch, *self._window(height, width)) + _held(batch, height, width)

    def _window(self, height: int, width: int) -> tuple[int, int]:
        return tuple(self.windows(height, width)[0].weights.shape)

    def describe(self) -> dict:
        """What the model says of itself, and the tile."""
        return {**self.model.describe(), "tile": self.tile}


def _held(batch: int, height: int, width: int) -> int:
    return HELD * 3 * 4 * batch * height * width


@cache
def _windows(height: int, width: int, tile: int, multiple: int) -> tuple[Window, ...]:
    rows, columns = (_along(side, tile, multiple) for side in (height, width))
    return tuple(
        Window((..., of_row, of_column), down[:, None] * across)
        for of_row, down in rows
        for of_column, across in columns
    )


def _along(side: int, tile: int, multiple: int) -> list[tuple[slice, Tensor]]:
    """Windows along a side and their weights: Hann's window, divided by the sum over all windows.

    There are as many as the tile allows, evenly spread, and each as small as the overlap then allows.
    """
    if side <= tile:
        return [(slice(0, side), torch.ones(side))]
    overlap = tile // OVERLAP
    number = math.ceil((side - overlap) / (tile - overlap))
    length = math.ceil((side + (number - 1) * overlap) / number / multiple) * multiple
    starts = [round(k * (side - length) / (number - 1) / multiple) * multiple for k in range(number)]
    hann = torch.sin(math.pi * (torch.arange(length, dtype=torch.float64) + 0.5) / length).square()
    total = torch.zeros(side, dtype=torch.float64)
    for start in starts:
        total[start : start + length] += hann
    return [(slice(start, start + length), (hann / total[start : start + length]).float()) for start in starts]
