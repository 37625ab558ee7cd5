"""A real ComfyUI with the pack in it.

COMFYUI_PATH names a checkout (not needed where the pack lies in custom_nodes), COMFYUI_PYTHON its interpreter (this
one by default). The tests need `websocket-client`; those of the browser `playwright` and a Chromium.
"""

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def beside(name: str):
    """A module of this folder."""
    full = f"comfyui_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, HERE / f"{name}.py")
        sys.modules[full] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[full])
    return sys.modules[full]


@pytest.fixture(scope="session")
def harness():
    pytest.importorskip("websocket", reason="pip install websocket-client")
    module = beside("harness")
    if module.checkout() is None:
        pytest.skip("no ComfyUI here: set COMFYUI_PATH to a checkout, and COMFYUI_PYTHON to its interpreter")
    return module


@pytest.fixture(scope="session")
def comfy(tmp_path_factory) -> list[str]:
    """comfy-cli's command: the program that COMFY_CLI names, or `comfy`."""
    beside_python = Path(sys.executable).with_name("comfy")
    program = os.environ.get("COMFY_CLI") or shutil.which("comfy") or shutil.which(beside_python)
    if program is None:
        pytest.skip("pip install comfy-cli, or name its program in COMFY_CLI")
    os.environ["DO_NOT_TRACK"] = "1"
    return [program, "--skip-prompt"]


@pytest.fixture(scope="session")
def snapshot():
    return beside("snapshot")


@pytest.fixture(scope="session")
def counts():
    return beside("counts")


@pytest.fixture(scope="session")
def fuzz():
    return beside("fuzz")


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
def server(harness, base):
    """The server, running: with this pack, and with a node that makes inputs no node should make."""
    server = harness.server(base, packs={harness.PACK: ROOT, "faulty_inputs.py": HERE / "faulty_inputs.py"})
    with server as server.client:
        yield server


@pytest.fixture(scope="session")
def client(server):
    return server.client


@pytest.fixture(scope="session")
def info(client) -> dict:
    """What /object_info says."""
    return client.object_info()


@pytest.fixture(scope="session")
def log(client, base) -> Path:
    """What the server wrote."""
    return base / "comfyui.log"


def load(name: str) -> dict:
    """A shipped workflow."""
    return json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def prompt(harness, info):
    """A function: a workflow's API format, with widget values changed by name wherever they occur."""

    def build(name: str, **changes) -> dict:
        graph = harness.to_api(load(name), info)
        for node in graph.values():
            node["inputs"] |= {key: value for key, value in changes.items() if key in node["inputs"]}
        return graph

    return build


@pytest.fixture(scope="session")
def node_id():
    """A function: the id of a graph's only node of a kind."""

    def find(graph: dict, kind: str) -> str:
        (key,) = [key for key, node in graph.items() if node["class_type"] == kind]
        return key

    return find


@pytest.fixture
def saved(client, node_id):
    """A function: the file that the graph's SaveImage wrote."""

    def fetch(run, graph: dict) -> bytes:
        (image,) = run.outputs[node_id(graph, "SaveImage")]["images"]
        return client.view(image)

    return fetch
