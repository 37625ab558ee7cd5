"""A real ComfyUI with the pack in it.

COMFYUI_PATH names a checkout (not needed where the pack lies in custom_nodes), COMFYUI_PYTHON its interpreter (this
one by default). The tests need `websocket-client`.
"""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACK = "qs-style-transfer"  # the folder's name, dashes included


def checkout() -> Path | None:
    """ComfyUI's folder: the one that COMFYUI_PATH names, or the one this pack lies in."""
    if path := os.environ.get("COMFYUI_PATH"):
        return Path(path)
    around = ROOT.parent.parent
    return around if ROOT.parent.name == "custom_nodes" and (around / "main.py").is_file() else None


@pytest.fixture(scope="session")
def harness():
    if checkout() is None:
        pytest.skip("no ComfyUI here: set COMFYUI_PATH to a checkout, and COMFYUI_PYTHON to its interpreter")
    pytest.importorskip("websocket", reason="pip install websocket-client")
    name = "comfyui_harness"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("harness.py"))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> Path:
    """The server's own folder, with a checkpoint and a file that is none in models/qs_diffusion."""
    base = tmp_path_factory.mktemp("comfyui")
    folder = base / "models" / "qs_diffusion"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "qs_core" / "demo" / "unet.safetensors", folder / "mine.safetensors")
    (folder / "broken.pt").write_bytes(b"no checkpoint")
    (folder / "notes.txt").write_text("no model")
    return base


@pytest.fixture(scope="session")
def client(harness, base):
    server = harness.Server(
        checkout(),
        base=base,
        log=base / "comfyui.log",
        packs={PACK: ROOT},
        python=os.environ.get("COMFYUI_PYTHON", sys.executable),
        arguments=("--cpu", "--disable-api-nodes"),
        environment={"PYTHONDONTWRITEBYTECODE": "1"},
    )
    with server as client:
        yield client


@pytest.fixture(scope="session")
def log(client, base) -> Path:
    """What the server wrote."""
    return base / "comfyui.log"
