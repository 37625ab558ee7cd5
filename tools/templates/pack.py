"""The pack's nodes, loaded as ComfyUI loads them: from the root's `__init__.py`, as a package of any name."""

import importlib.util
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAME = "qs-style-transfer"
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN")  # the types that are widgets; a list of choices is one as well


@cache
def load():
    """The pack's module, with NODE_CLASS_MAPPINGS and NODE_DISPLAY_NAME_MAPPINGS."""
    spec = importlib.util.spec_from_file_location(NAME, ROOT / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
    return module


def classes() -> Mapping[str, type]:
    """The node classes by id, in the order of the menu."""
    return load().NODE_CLASS_MAPPINGS


def part(name: str):
    """A module of the pack by its dotted name."""
    load()
    return sys.modules[f"{NAME}.{name}"]


def inputs(cls: type) -> dict[str, tuple]:
    """Every input's declaration by name, the required ones first."""
    declared = cls.INPUT_TYPES()
    return {**declared.get("required", {}), **declared.get("optional", {})}


def is_widget(spec: tuple) -> bool:
    """Whether an input has a value of its own, rather than only a link."""
    return isinstance(spec[0], list) or spec[0] in WIDGETS


def outputs(cls: type) -> list[tuple[str, str]]:
    """(name, type) of every output."""
    return list(zip(getattr(cls, "RETURN_NAMES", cls.RETURN_TYPES), cls.RETURN_TYPES, strict=True))
