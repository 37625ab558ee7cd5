"""VGG-19 features, up to the deepest layer that is read."""

from collections.abc import Sequence

import torch
import torchvision
from einops import rearrange
from torch import Tensor
from torch.nn import Module

from ..errors import InputError

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
        mean = rearrange(torch.tensor(MEAN, device=pictures.device), "c -> c 1 1")
        std = rearrange(torch.tensor(STD, device=pictures.device), "c -> c 1 1")
        x, outputs = ((pictures + 1) / 2 - mean) / std, []
        for index, module in enumerate(self.features):
            x = module(x)
            if index in self.layers:
                outputs.append(x)
        return outputs


def load_vgg(layers: Sequence[int] = (1, 6), device: str | torch.device = "cpu") -> VGG19:
    """VGG-19 with torchvision's ImageNet weights from its local cache; nothing is downloaded.

    Raises InputError where the weights are not there, naming file, folder and address.
    """
    weights = torchvision.models.VGG19_Weights.IMAGENET1K_V1
    name = weights.url.rsplit("/", 1)[1]
    path = f"{torch.hub.get_dir()}/checkpoints/{name}"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"The VGG loss needs {name}. Fetch {weights.url} and put it at {path}.") from error
    except Exception as error:
        raise InputError(f"{path} cannot be read ({error}). Fetch {weights.url} again.") from error
    network = torchvision.models.vgg19(weights=None, init_weights=False)
    network.load_state_dict(state)
    return VGG19(network.features, layers).to(device).eval().requires_grad_(False)
