"""Packaging: what is installed, what must never be, and how big the built-in models are."""

from pathlib import Path

import pytest
from safetensors import safe_open

from qs_core.pipeline import VERSION

ROOT = Path(__file__).parent.parent
NEVER = ("torch", "torchvision", "torchaudio")


def requirements() -> list[str]:
    return (ROOT / "requirements.txt").read_text().split()


def test_requirements_pin_nothing_and_leave_torch_alone():
    assert requirements() == [name.strip() for name in requirements() if not set("=<>~!") & set(name)]
    assert not set(NEVER) & set(requirements())


def test_pyproject_names_the_same_packages():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == requirements()
    assert project["name"] == "qs-style-transfer"
    assert project["version"] == VERSION


def test_the_built_in_models_are_small_half_precision_and_theirs_alone():
    files = [path for path in (ROOT / "qs_core" / "demo").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 24 * 10**6
    weights = [path for path in files if path.suffix == ".safetensors"]
    assert {path.name for path in weights} == {"unet.safetensors", "open_clip_model.safetensors"}
    for path in weights:
        with safe_open(path, framework="pt") as file:
            assert {str(file.get_slice(name).get_dtype()) for name in file.keys()} == {"F16"}, path  # noqa: SIM118


@pytest.mark.parametrize("name", ["README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "Makefile", ".ci/run"])
def test_a_stranger_finds(name):
    assert (ROOT / name).is_file()
