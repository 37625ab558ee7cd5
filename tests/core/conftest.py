"""Shared fixtures: golden figures, small random networks built from them, and a tiny CLIP."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from qs_core.features.clip import CLIP
from qs_core.model import DiffusionModel
from qs_core.unets.adm import ADMConfig, ADMUNet
from tests.core.networks import load_unet

torch.set_num_threads(1)  # networks this small lose more to waiting threads than they gain

GOLDEN = Path(__file__).parents[1] / "golden"


@cache
def load_golden(name: str) -> dict:
    """The figures of golden/NAME.npz: numbers and text as such, arrays as tensors, weights in float32."""
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        return {key: _value(file[key], key) for key in file.files}


def _value(array: np.ndarray, key: str):
    if array.ndim == 0:
        return array.item()
    return torch.from_numpy(array).float() if key.startswith("weights/") else torch.from_numpy(array)


def golden_weights(name: str) -> dict[str, torch.Tensor]:
    """The state dict of golden/NAME.npz in float32."""
    figures = load_golden(name)
    return {key.removeprefix("weights/"): value for key, value in figures.items() if key.startswith("weights/")}


@pytest.fixture(scope="session")
def golden():
    """golden(NAME) → the figures of one golden file."""
    return load_golden


@pytest.fixture(scope="session")
def weights():
    """weights(NAME) → the state dict of one golden network."""
    return golden_weights


@pytest.fixture(scope="session")
def manifests() -> dict:
    """Published checkpoints: configuration and shapes."""
    return json.loads((GOLDEN / "checkpoint_manifests.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def learned() -> DiffusionModel:
    """The golden network with scale-shift norm and learned variance, 32 px, 4 input blocks."""
    return DiffusionModel(load_unet(golden_weights("adm_scale_shift"), num_head_channels=16), variance="learned")


@pytest.fixture(scope="session")
def plain() -> DiffusionModel:
    """The golden network without either, of fixed variance."""
    return DiffusionModel(load_unet(golden_weights("adm_plain"), num_heads=4), variance="fixed_large")


@pytest.fixture(scope="session")
def calm() -> DiffusionModel:
    """A network whose predicted noise hardly depends on its input, as a well-trained one's between near timesteps."""
    torch.manual_seed(0)
    config = ADMConfig(32, (1, 2), 1, (2,), 6, True, True, num_head_channels=32)
    network = ADMUNet(config).eval().requires_grad_(False)
    network.out[2].weight.mul_(0.05)
    return DiffusionModel(network)


@pytest.fixture(scope="session")
def tiny_clip() -> CLIP:
    """A random CLIP of 32 px and 16 dimensions with open_clip's own tokenizer."""
    torch.manual_seed(0)
    network = open_clip.model.CLIP(
        embed_dim=16,
        vision_cfg={"layers": 1, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32},
        text_cfg={"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    )
    half = (0.5, 0.5, 0.5)
    return CLIP(network.eval().requires_grad_(False), open_clip.SimpleTokenizer(), 32, half, half, "tiny")


@pytest.fixture
def picture():
    """picture(SEED, …) → (B, 3, height, width) smooth random pictures in [-1, 1], one per seed."""

    def make(*seeds: int, height: int = 32, width: int = 32) -> torch.Tensor:
        coarse = [torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(seed)) * 2 - 1 for seed in seeds]
        return torch.nn.functional.interpolate(torch.stack(coarse), (height, width), mode="bilinear")

    return make


class Operations(TorchDispatchMode):
    """The names of the operations within."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.names.append(str(function))
        return function(*arguments, **(options or {}))

    def count(self, part: str) -> int:
        """How many have the part in their name."""
        return sum(part in name for name in self.names)


@pytest.fixture
def operations() -> type[Operations]:
    """A context that counts what torch is told to do."""
    return Operations
