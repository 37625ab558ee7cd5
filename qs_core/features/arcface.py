"""ArcFace's IR-SE50, which tells whose face a picture shows (Deng et al. 2019); in eval mode, weights from a file."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import (
    AdaptiveAvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    Module,
    PReLU,
    ReLU,
    Sequential,
    Sigmoid,
)
from torch.nn.functional import adaptive_avg_pool2d, interpolate, normalize

from .. import checkpoints
from ..errors import InputError
from ..modes import loading
from ..paths import expanded, is_file
from .weights import load_exactly

GROUPS = ((64, 3), (128, 4), (256, 14), (512, 3))  # width and units; the first unit of each halves the map
SIDE, FACE, INPUT = 256, (slice(35, 223), slice(32, 220)), 112  # of a picture: where the face is, and how it is read
COUNTERS = "num_batches_tracked"  # of training; files of an older torch have none


class Excitation(Module):
    """Squeeze and excitation: channels weighted by what all of the map says."""

    def __init__(self, width: int, reduction: int = 16):
        super().__init__()
        self.avg_pool, self.relu, self.sigmoid = AdaptiveAvgPool2d(1), ReLU(), Sigmoid()
        self.fc1 = Conv2d(width, width // reduction, 1, bias=False)
        self.fc2 = Conv2d(width // reduction, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.sigmoid(self.fc2(self.relu(self.fc1(self.avg_pool(x)))))


class Unit(Module):
    """A residual unit with excitation."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.shortcut_layer = MaxPool2d(1, stride)
        if inputs != width:
            self.shortcut_layer = Sequential(Conv2d(inputs, width, 1, stride, bias=False), BatchNorm2d(width))
        self.res_layer = Sequential(
            BatchNorm2d(inputs),
            Conv2d(inputs, width, 3, 1, 1, bias=False),
            PReLU(width),
            Conv2d(width, width, 3, stride, 1, bias=False),
            BatchNorm2d(width),
            Excitation(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


def _units() -> Iterator[Unit]:
    inputs = GROUPS[0][0]
    for width, count in GROUPS:
        for number in range(count):
            yield Unit(inputs, width, 1 if number else 2)
            inputs = width


class ArcFace(Module):
    """(B, 3, H, W) in [-1, 1], faces upright and centred as in FFHQ → (B, 512) of unit length.

    Preprocessing, as DiffuseIT and DiffusionCLIP do it at 256 pixels: rows 35 to 222 and columns 32 to 219, averaged to
    112x112; no normalisation beyond [-1, 1]. A picture of another size is brought to 256x256 first.
    """

    def __init__(self):
        super().__init__()
        width = GROUPS[0][0]
        self.input_layer = Sequential(Conv2d(3, width, 3, 1, 1, bias=False), BatchNorm2d(width), PReLU(width))
        self.body = Sequential(*_units())
        self.output_layer = Sequential(
            BatchNorm2d(512), Dropout(0.6), Flatten(), Linear(512 * 7 * 7, 512), BatchNorm1d(512)
        )

    def forward(self, pictures: Tensor) -> Tensor:
        if pictures.shape[-2:] != (SIDE, SIDE):
            pictures = interpolate(pictures, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
        face = adaptive_avg_pool2d(pictures[..., FACE[0], FACE[1]], INPUT)
        return normalize(self.output_layer(self.body(self.input_layer(face))), dim=-1)


@loading()
def load_arcface(path: str | Path | None, *, device: str | torch.device = "cpu") -> ArcFace:
    """The network in float32, frozen, with the weights of a file: a state dict such as model_ir_se50.pth.

    Raises InputError where there is no file; UnsupportedCheckpoint for another network.
    """
    path = expanded(path) if path else None
    if path is None or not is_file(path):
        told = f"No file at {path}" if path else "The identity loss needs the weights of ArcFace's IR-SE50"
        raise InputError(
            f"{told}. Get model_ir_se50.pth, of TreB1eN's InsightFace_Pytorch, and give its path; or set the identity "
            "loss to 0."
        )
    state, _ = checkpoints.read(path)
    network = ArcFace()
    counters = {key: value for key, value in network.state_dict().items() if key.endswith(COUNTERS)}
    load_exactly(network, {**counters, **state}, f"{path}", "ArcFace's IR-SE50")
    return network.to(device).eval().requires_grad_(False)
