"""Low-rank differences of a network's weights: LoRA, Hu et al. 2021 (arXiv 2106.09685), W' = W + up · down.

Convolutions are taken as matrices of (output channels, input channels · window).
"""

import copy
from collections.abc import Mapping

import torch
from torch import Generator, Tensor
from torch.nn import Conv1d, Conv2d, Linear, Module, Parameter
from torch.nn.utils import parametrize

from .errors import UnsupportedCheckpoint

UP, DOWN = ".lora_up.weight", ".lora_down.weight"
LAYERS = (Conv1d, Conv2d, Linear)


class Difference(Module):
    """W → W + up · down. `up` (out, r) begins at 0, so that the network begins as it is; `down` is (r, in, …)."""

    def __init__(self, weight: Tensor, rank: int, generator: Generator):
        super().__init__()
        rank = min(rank, len(weight), weight[0].numel())
        down = torch.randn((rank, *weight.shape[1:]), generator=generator) / weight[0].numel() ** 0.5
        self.up = Parameter(torch.zeros(len(weight), rank, device=weight.device))
        self.down = Parameter(down.to(weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + product(self.up, self.down)


def product(up: Tensor, down: Tensor) -> Tensor:
    """(out, r) and (r, in, …) → (out, in, …)."""
    return (up @ down.flatten(1)).reshape(len(up), *down.shape[1:])


def attach(network: Module, rank: int, generator: Generator) -> dict[str, Parameter]:
    """Give every convolution and linear layer of the frozen float32 network a difference of a rank to be trained.

    Returns the differences' parameters by the names they have in a file.
    """
    trained = {}
    for name, module in [(name, module) for name, module in network.named_modules() if isinstance(module, LAYERS)]:
        difference = Difference(module.weight, rank, generator)
        parametrize.register_parametrization(module, "weight", difference)
        trained |= {name + UP: difference.up, name + DOWN: difference.down}
    return trained


def detect(state: Mapping[str, Tensor]) -> bool:
    """Whether these are low-rank differences."""
    return any(key.endswith((UP, DOWN)) for key in state)


def merged(network: Module, state: Mapping[str, Tensor], name: str) -> Module:
    """A copy of the network with the differences added, each weight in the number format that it has.

    Raises UnsupportedCheckpoint where the differences are not the network's.
    """
    weights = {key: module.weight for key, module in network.named_modules() if isinstance(module, LAYERS)}
    layers = {key.removesuffix(UP).removesuffix(DOWN) for key in state}
    for layer in sorted(layers):
        up, down = state.get(layer + UP), state.get(layer + DOWN)
        weight = weights.get(layer)
        fits = None not in (up, down, weight) and up.ndim == 2 and down.ndim == weight.ndim
        if not fits or (len(up), up.shape[1], *down.shape[1:]) != (len(weight), len(down), *weight.shape[1:]):
            raise UnsupportedCheckpoint(
                f"{name} is no difference of this network: it has another layer {layer[:60]!r}. Use the network that "
                "it was trained on."
            )
    result = copy.deepcopy(network)
    modules = dict(result.named_modules())
    with torch.no_grad():
        for layer in layers:
            weight = modules[layer].weight
            up, down = (state[layer + part].to(weight.device, torch.float32) for part in (UP, DOWN))
            weight.copy_(weight.float() + product(up, down))
    return result
