"""The pack as ComfyUI loads it: from its root's `__init__.py`, under a module name that is no identifier."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


class Pack:
    """The loaded pack; calling it runs one node as ComfyUI does, under inference mode."""

    def __init__(self, module):
        self.module = module
        self.classes = module.NODE_CLASS_MAPPINGS
        self.name = module.__name__

    def __call__(self, node: str, **inputs):
        """The first output of a node, with the defaults of whatever is not given."""
        return self.outputs(node, **inputs)[0]

    def outputs(self, node: str, **inputs) -> tuple:
        """All outputs of a node. One that takes lists gets its defaults as lists of one; give the others as such."""
        cls = self.classes[node]
        defaults = self.defaults(node)
        if getattr(cls, "INPUT_IS_LIST", False):
            defaults = {name: [value] for name, value in defaults.items()}
        with torch.inference_mode():
            return getattr(cls(), cls.FUNCTION)(**defaults | inputs)

    def inputs(self, node: str) -> dict[str, tuple]:
        """Every input's declaration, in order."""
        declared = self.classes[node].INPUT_TYPES()
        return {**declared.get("required", {}), **declared.get("optional", {})}

    def defaults(self, node: str) -> dict:
        """Every widget's default."""
        return {name: spec[1]["default"] for name, spec in self.inputs(node).items() if "default" in spec[1]}

    def part(self, name: str):
        """A module of the pack by its dotted name."""
        return sys.modules[f"{self.name}.{name}"]


@pytest.fixture(scope="session")
def pack():
    name = "/folder of/custom_nodes/qs-style-transfer"
    spec = importlib.util.spec_from_file_location(name, ROOT / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return Pack(module)


@pytest.fixture(scope="session")
def model(pack):
    return pack("LoadDiffusionModel")


@pytest.fixture(scope="session")
def text(pack):
    """In float32, so that what only rounds otherwise can be held to narrow tolerances."""
    return pack("CLIPTextDirection", clip=pack("LoadOpenCLIP", dtype="float32"))


@pytest.fixture(scope="session")
def photo(pack):
    """(1, 32, 32, 3), made under inference mode as every IMAGE in ComfyUI is."""
    image = pack("QSSampleImage", picture="astronaut")
    with torch.inference_mode():
        return torch.nn.functional.interpolate(image.movedim(-1, 1), (32, 32), mode="area").movedim(1, -1)


QUICK = {"steps": 6, "skip": 3, "size": 32}


@pytest.fixture(scope="session")
def invert(pack, model):
    """An inversion with few steps of a small picture."""
    return lambda image, **options: pack("EncodeInvertDDIM", model=model, image=image, **(QUICK | options))


@pytest.fixture(scope="session")
def sample(pack, text):
    """A sampling with few crops."""
    return lambda inversion, **options: pack(
        "QSAttnGuidedSampler", inversion=inversion, text=text, **({"crops": 4} | options)
    )


@pytest.fixture(scope="session")
def input_error(pack):
    return pack.part("qs_core.errors").InputError
