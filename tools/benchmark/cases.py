"""A case to be measured: the networks' sizes, the picture, the losses; and its random weights, the same for all."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import open_clip
import torch
import torchvision
from torch import Tensor

from qs_core.precision import computes
from qs_core.unets.adm import ADMConfig, ADMUNet

UNETS = {  # name → configuration, side of the training pictures
    "small": (ADMConfig(64, (1, 2, 3, 4), 1, (4, 8), 6, True, True), 64),
    "ffhq": (ADMConfig(128, (1, 1, 2, 2, 4, 4), 1, (16,), 6, True, True), 256),
    "imagenet": (ADMConfig(256, (1, 1, 2, 2, 4, 4), 2, (8, 16, 32), 6, True, True), 256),
}
# ZeCon's README: the weights as they are given there, not rescaled to the picture's size.
WEIGHTS = {
    "clip_global": 10_000.0,
    "clip_directional": 20_000.0,
    "contrastive": 500.0,
    "mse": 5000.0,
    "vgg": 100.0,
    "range": 50.0,
}
CROP_AREA = (0.01, 0.3)
REFERENCE_LAYERS = (0, 2, 5, 8, 11)  # ZeCon's; those that a U-Net has


@dataclass(frozen=True)
class Case:
    """What one measurement runs on. `settings` are further fields of `qs_core.Settings`, for ourselves alone."""

    unet: str = "small"
    clip: str = "ViT-B-32"
    size: int = 64
    crops: int = 32
    anchors: str = "random"
    num_anchors: int = 256
    batch: int = 1
    dtype: str = "float32"
    device: str = "cpu"
    steps: str = "50"
    skip: int = 25
    own_layers: bool = False  # the contrastive loss on our own choice of layers instead of ZeCon's numbers
    settings: dict = field(default_factory=dict)

    def to_json(self) -> str:
        """All fields, for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Case:
        """The case that `to_json` wrote."""
        return cls(**json.loads(text))

    def but(self, name: str, value: str) -> Case:
        """The case with one field, or one of the settings, set from its text."""
        kinds = {f.name: type(f.default) for f in fields(self)}
        if name in kinds and name != "settings":
            return replace(self, **{name: _read(value, kinds[name])})
        return replace(self, settings={**self.settings, name: _read(value)})


def _read(text: str, kind: type | None = None) -> object:
    if kind is str:
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def config_of(case: Case) -> tuple[ADMConfig, int]:
    """The U-Net's configuration, and the side of the pictures that it would have been trained on."""
    return UNETS[case.unet]


def clip_name(case: Case) -> str:
    """open_clip's name of the network; OpenAI's own CLIP, which the reference runs, has QuickGELU."""
    return case.clip if case.clip.endswith("quickgelu") else f"{case.clip}-quickgelu"


def write_weights(case: Case, folder: Path) -> None:
    """Random weights of the case's networks as files: unet.pt, clip.pt and vgg.pt.

    They are rounded to half precision and stored in single: the reference loads its CLIP by way of half precision.
    """
    torch.manual_seed(0)
    torch.save(_rounded(unet(case).state_dict()), folder / "unet.pt")
    torch.save(_rounded(open_clip.create_model(clip_name(case)).state_dict()), folder / "clip.pt")
    torch.save(_rounded(torchvision.models.vgg19(weights=None).features.state_dict()), folder / "vgg.pt")


def unet(case: Case) -> ADMUNet:
    """A random network whose predicted noise is small, so that an untrained walk stays finite."""
    network = ADMUNet(config_of(case)[0])
    with torch.no_grad():
        network.out[2].weight.mul_(0.05)
    return network


def _rounded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.half().float() for key, value in state.items()}


def read_weights(folder: Path, name: str) -> dict[str, Tensor]:
    """One of the files that `write_weights` wrote, mapped rather than read."""
    return torch.load(folder / f"{name}.pt", weights_only=True, mmap=True)


def picture(case: Case) -> Tensor:
    """(batch, 3, size, size) smooth random pictures in [-1, 1], of whole 8-bit values."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(case.batch, 3, 6, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (case.size, case.size), mode="bicubic").clamp(0, 1)
    return (smooth * 255).round() / 255 * 2 - 1


def machine(device: str) -> dict[str, str]:
    """What a figure depends on: processor, cores, threads, versions, and how busy the machine is at the moment."""
    told = {
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bfloat16 on this CPU": "yes" if computes("bfloat16", torch.device("cpu")) else "no, or not told",
        "threads": str(torch.get_num_threads()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "open_clip": open_clip.__version__,
        "system": platform.platform(),
    }
    if device.startswith("cuda"):
        told["GPU"] = f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}"
    return told


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return platform.processor() or platform.machine()
    lines = path.read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {len(names)} logical cores"
