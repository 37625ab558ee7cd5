"""VGG-19 features, up to the deepest layer that is read."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torchvision
from torch import Tensor
from torch.nn import MaxPool2d, Module

from .. import checkpoints
from ..errors import InputError
from ..modes import loading
from ..paths import expanded, is_file
from .pixels import standardise
from .weights import load_exactly

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGG19(Module):
    """(B, 3, H, W) in [-1, 1] → the outputs of the chosen layers of torchvision's `vgg19().features`, in order.

    Layers are torchvision's indices. Only the layers up to the deepest are kept, so only these are run.
    """

    def __init__(self, features: Module, layers: Sequence[int]):
        super().__init__()
        self.layers = tuple(layers)
        self.features = features[: max(layers) + 1]
        for module in self.features:
            if hasattr(module, "inplace"):
                module.inplace = False  # an in-place ReLU would change the layer read before it

    def forward(self, pictures: Tensor) -> list[Tensor]:
        x, outputs = standardise(pictures, MEAN, STD), []
        for index, module in enumerate(self.features):
            x = module(x)
            if index in self.layers:
                outputs.append(x)
        return outputs

    def graph_bytes(self, batch: int, height: int, width: int) -> int:
        """About what it keeps for a gradient at so many pictures of a size: each layer's output in float32."""
        channels, places, values = 3, height * width, 0
        for module in self.features:
            channels = getattr(module, "out_channels", channels)
            places //= 4 if isinstance(module, MaxPool2d) else 1
            values += channels * places
        return 4 * batch * values


@loading()
def load_vgg(
    path: str | Path | None = None,
    layers: Sequence[int] = (1, 6),
    device: str | torch.device = "cpu",
    instead: str = "or give the path of such a file",
) -> VGG19:
    """VGG-19 in float32, frozen, with the weights of a file, by default torchvision's ImageNet weights from its local
    cache; nothing is downloaded.

    The file is a state dict of torchvision's `vgg19()`, with or without the classifier, or of its `features` alone.
    Raises InputError where there is none, naming file, folder and address, and saying `instead` what else to do;
    UnsupportedCheckpoint for another network.
    """
    path = expanded(path) if path else _cache()
    if not is_file(path):
        raise InputError(f"No VGG-19 weights at {path}. Fetch {_url()} and put it at {_cache()}, {instead}.")
    state, _ = checkpoints.read(path)
    part = {key.removeprefix("features."): value for key, value in state.items() if key.startswith("features.")}
    features = _empty_features()
    if not 0 <= min(layers) <= max(layers) < len(features):
        raise InputError(f"VGG-19 has the layers 0 to {len(features) - 1}; {list(layers)} were asked for.")
    # All of them are compared, also those not kept: the first layers of a VGG-16 have the same names and shapes.
    load_exactly(features, part or state, f"{path}", "the features of VGG-19")
    return VGG19(features, layers).to(device).eval().requires_grad_(False)


def _url() -> str:
    return torchvision.models.VGG19_Weights.IMAGENET1K_V1.url


def _cache() -> Path:
    """Where torchvision keeps its own weights."""
    return Path(torch.hub.get_dir()) / "checkpoints" / _url().rsplit("/", 1)[1]


def _empty_features() -> Module:
    """The layers without their weights; the classifier, six sevenths of the network, is never brought into memory."""
    with torch.device("meta"):
        network = torchvision.models.vgg19(weights=None, init_weights=False)
    return network.features.to_empty(device="cpu")
