"""Packaging: what is installed, what must never be, and how big the built-in models are."""

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from safetensors import safe_open

from qs_core.report import VERSION

ROOT = Path(__file__).parent.parent
NEVER = ("torch", "torchvision", "torchaudio")
# What ComfyUI does not bring itself, and what open_clip needs beside it.
LACKING = {"open-clip-torch", "timm", "ftfy", "regex", "huggingface-hub", "safetensors", "einops"}
UNREACHABLE = "NewConnectionError|ConnectionError|ConnectTimeout|ReadTimeout|ProxyError|Could not fetch URL|SSLError"


def requirements() -> list[str]:
    return (ROOT / "requirements.txt").read_text().split()


def test_requirements_pin_nothing_and_leave_torch_alone():
    assert requirements() == [name.strip() for name in requirements() if not set("=<>~!") & set(name)]
    assert not set(NEVER) & set(requirements())


def normal(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture
def environment(tmp_path) -> Path:
    """The Python of an environment where, as far as pip can see, torch is installed as here but open_clip is not."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True).stdout.strip())
    here = {normal(dist.metadata["Name"]): dist for dist in metadata.distributions()}
    if not {"torch", "torchvision"} <= set(here):
        pytest.skip("no torch and torchvision here that could be replaced")
    for name in set(here) - LACKING:
        folder = packages / f"{name.replace('-', '_')}-{here[name].version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(here[name].read_text("METADATA") or "", encoding="utf-8")
    return python


@pytest.mark.slow
def test_installing_the_requirements_leaves_torch_as_it_is(environment, tmp_path):
    """What pip would do in ComfyUI's environment: `pip install -r requirements.txt`, told but not done."""
    report = tmp_path / "report.json"
    pip = [sys.executable, "-m", "pip", "--python", str(environment), "install", "--dry-run", "--retries", "1"]
    command = [*pip, "--report", str(report), "-r", str(ROOT / "requirements.txt")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and re.search(UNREACHABLE, done.stderr):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    planned = [normal(item["metadata"]["name"]) for item in json.loads(report.read_text(encoding="utf-8"))["install"]]
    assert "open-clip-torch" in planned
    assert not [name for name in planned if name in NEVER or name.startswith("nvidia") or name == "triton"]


def settings() -> dict:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11")
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_pyproject_names_the_same_packages():
    project = settings()["project"]
    assert project["dependencies"] == requirements()
    assert project["name"] == "qs-style-transfer"
    assert project["version"] == VERSION


def test_pyproject_has_what_the_registry_reads():
    project, comfy = settings()["project"], settings()["tool"]["comfy"]
    assert re.fullmatch(r"[a-z][a-z0-9]*([-_.][a-z0-9]+)*", project["name"]) and "comfyui" not in project["name"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert project["description"] and project["license"] == {"file": "LICENSE"}
    assert project["urls"]["Repository"].startswith("https://")
    assert comfy["PublisherId"] and comfy["DisplayName"]
    assert re.fullmatch(r">=\d+\.\d+\.\d+", comfy["requires-comfyui"])
    assert "Operating System :: OS Independent" in project["classifiers"]


def test_the_registrys_archive_leaves_out_what_only_developers_need():
    lines = [line for line in (ROOT / ".comfyignore").read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    assert {"/tests/", "/tools/", "/.github/"} <= set(lines)
    needed = ("nodes", "qs_core", "workflows", "web", "locales", "README.md", "LICENSE", "requirements.txt")
    assert not [line for line in lines if line.strip("/").split("/")[0] in needed]


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
