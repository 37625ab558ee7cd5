"""Packaging: what is installed, what must never be, and how big the built-in models are."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from safetensors import safe_open

from qs_core import demo
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
    assert {path.name for path in weights} == {"unet.safetensors", "golden.safetensors", "open_clip_model.safetensors"}
    for path in weights:
        with safe_open(path, framework="pt") as file:
            assert {str(file.get_slice(name).get_dtype()) for name in file.keys()} == {"F16"}, path  # noqa: SIM118


@pytest.mark.parametrize("name", ["README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "Makefile", ".ci/run"])
def test_a_stranger_finds(name):
    assert (ROOT / name).is_file()


def packages(python: Path | str) -> Path:
    """Where that Python's packages are."""
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True).stdout.strip())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel that `pip install .` makes of what others have of this folder."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # without what was built here before
    source.mkdir()
    for name in ("qs_core", "nodes", "tools", "tests", "web", "locales", "workflows", "docs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--retries", "1", "-w", str(folder), str(source)]
    done = subprocess.run(build, capture_output=True, text=True)
    if done.returncode and re.search(UNREACHABLE, done.stdout + done.stderr):
        pytest.skip("no package index can be reached for setuptools")
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def programs(wheel) -> Path:
    """The folder of programs of a new environment that has the wheel, and the requirements from this one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(wheel.parent / "venv")], check=True)
    folder = wheel.parent / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    (packages(folder / "python") / "requirements.pth").write_text(str(packages(sys.executable)))
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "python")]
    done = subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


class TestWheel:
    """What `pip install .` gives."""

    def run(self, folder: Path, *command) -> subprocess.CompletedProcess:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=folder, env=environment)

    def test_it_holds_the_library_with_its_models_and_nothing_else(self, wheel):
        files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "qs_core").rglob("*") if path.is_file()}
        with zipfile.ZipFile(wheel) as archive:
            held = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert held == {name for name in files if "__pycache__" not in name}

    def test_the_command_restyles_a_picture_elsewhere(self, programs, tmp_path):
        shutil.copy(next(iter(demo.PICTURES.values())), tmp_path / "p.jpg")
        quick = ["--prompt", "golden", "--size", "32", "--steps", "4", "--skip", "2", "--crops", "4"]
        done = self.run(tmp_path, programs / "qs-style", "stylize", "p.jpg", *quick, "--output", "o.png")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "o.png").is_file()
        wrong = self.run(tmp_path, programs / "qs-style", "nonsense")
        assert wrong.returncode == 2 and wrong.stderr.startswith("qs-style: ")

    def test_python_finds_it_there(self, programs, tmp_path):
        found = self.run(tmp_path, programs / "python", "-c", "import qs_core; print(qs_core.__file__)")
        assert Path(found.stdout.strip()).is_relative_to(programs.parent)
