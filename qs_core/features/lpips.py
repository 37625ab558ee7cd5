"""LPIPS: how differently AlexNet sees two pictures, weighted as people judged.

Zhang et al. 2018, The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, version 0.1. Two files hold
it: the backbone, which is torchvision's AlexNet, and a weight for each channel of its five layers. Both are given;
nothing is downloaded.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torchvision
from einops import rearrange, reduce
from torch import Tensor
from torch.nn import Module

from .. import checkpoints
from ..checkpoints.contents import require_same, require_weight
from ..errors import InputError
from ..modes import loading
from ..paths import expanded, is_file
from .weights import load_exactly

# By which pictures in [-1, 1] are brought to the backbone's input.
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
LAYERS = {1: 64, 4: 192, 7: 384, 9: 256, 11: 256}  # torchvision's indices of the five ReLUs → channels
SMALLEST = 31  # pixels; below, the second pooling has no window
EPSILON = 1e-10
PAGE = "https://github.com/richzhang/PerceptualSimilarity"


class LPIPS(Module):
    """Two batches (B, 3, H, W) in [-1, 1] → (B,) distances, 0 for the same picture.

    `linear` holds the channels' weights (1, C, 1, 1) of the five layers, in order.
    """

    def __init__(self, features: Module, linear: Sequence[Tensor]):
        super().__init__()
        self.features = features[: max(LAYERS) + 1]
        for index, weights in enumerate(linear):
            self.register_buffer(f"linear{index}", weights)
        self.eval().requires_grad_(False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        weights = (getattr(self, f"linear{index}") for index in range(len(LAYERS)))
        triples = zip(weights, self.layers(a), self.layers(b), strict=True)
        return sum(reduce(w * (x - y).square(), "b c h w -> b h w", "sum").mean((1, 2)) for w, x, y in triples)

    def layers(self, pictures: Tensor) -> list[Tensor]:
        """The five layers' outputs (B, C, h, w), each place divided by its length over the channels.

        Raises InputError for a picture below 31 pixels a side.
        """
        height, width = pictures.shape[-2:]
        if min(height, width) < SMALLEST:
            raise InputError(
                f"Picture is {width}x{height}; LPIPS needs {SMALLEST} pixels a side. Give larger pictures."
            )
        shift, scale = (rearrange(pictures.new_tensor(v), "c -> c 1 1") for v in (SHIFT, SCALE))
        x, outputs = (pictures - shift) / scale, []
        for index, module in enumerate(self.features):
            x = module(x)
            if index in LAYERS:
                outputs.append(x / (x.norm(dim=1, keepdim=True) + EPSILON))
        return outputs


@loading()
def load_lpips(backbone: str | Path, linear: str | Path, device: str | torch.device = "cpu") -> LPIPS:
    """LPIPS 0.1 with AlexNet, in float32, frozen, from two files.

    `backbone` is a state dict of torchvision's `alexnet()`, with or without the classifier; `linear` the published
    alex.pth of version 0.1.
    Raises InputError where a file is missing, saying where it is from; UnsupportedCheckpoint for one of something else.
    """
    backbone, linear = expanded(backbone), expanded(linear)
    _require_file(backbone, "AlexNet weights", torchvision.models.AlexNet_Weights.IMAGENET1K_V1.url)
    _require_file(linear, "linear weights of LPIPS", f"lpips/weights/v0.1/alex.pth of {PAGE}")
    state, _ = checkpoints.read(backbone)
    part = {key.removeprefix("features."): value for key, value in state.items() if key.startswith("features.")}
    with torch.device("meta"):
        network = torchvision.models.alexnet(weights=None)
    features = network.features.to_empty(device="cpu")
    load_exactly(features, part or state, f"{backbone}", "the features of AlexNet")
    state, _ = checkpoints.read(linear)
    return LPIPS(features, _linear(state, f"{linear}")).to(device)


def _require_file(path: Path, what: str, origin: str) -> None:
    if not is_file(path):
        raise InputError(f"No {what} at {path}. Fetch {origin} and give the path of that file.")


def _linear(state: Mapping[str, Tensor], name: str) -> list[Tensor]:
    """The five layers' weights, which must be all that the file holds."""
    wanted = {f"lin{i}.model.1.weight": torch.empty(1, c, 1, 1) for i, c in enumerate(LAYERS.values())}
    require_same(wanted, state, name, "LPIPS's linear weights for AlexNet", "Choose alex.pth of version 0.1.")
    for key in wanted:
        require_weight(state[key], key, name)
    return [state[key].float().clone() for key in wanted]
