"""What the registry gets: the archive of `comfy node pack`, unpacked into a real ComfyUI, and comfy-test on it."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
QUICK = {"steps": 8, "skip": 4, "size": 64, "crops": 4}
# comfy-test's levels that need a server. Not SYNTAX: it refuses torch.nn's layers, which the library is built of.
LEVELS = ["install", "registration", "instantiation", "validation"]


@pytest.fixture(scope="session")
def archive(comfy, tmp_path_factory) -> Path:
    """The archive of what is in the working tree and not ignored by git."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("comfy-cli packs what git tracks; this is no git checkout")
    copy = tmp_path_factory.mktemp("archive")
    listed = [git, "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in subprocess.run(listed, check=True, capture_output=True).stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    for arguments in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run([git, "-C", str(copy), *arguments], check=True)
    subprocess.run([*comfy, "node", "pack"], cwd=copy, check=True)
    return copy / "node.zip"


@pytest.fixture(scope="session")
def place(archive, harness, tmp_path_factory) -> Path:
    """A ComfyUI with nothing but the unpacked archive in custom_nodes, in a folder of the registry's name."""
    place = tmp_path_factory.mktemp("unpacked") / "ComfyUI"
    pack = place / "custom_nodes" / harness.PACK
    with zipfile.ZipFile(archive) as file:
        file.extractall(pack)
    for entry in harness.checkout().iterdir():
        if not (place / entry.name).exists() and entry.name not in ("models", "input", "output", "temp", "user"):
            (place / entry.name).symlink_to(entry)
    return place


@pytest.fixture(scope="session")
def unpacked(place, harness):
    """The server on it."""
    with harness.server(place, packs={}) as client:
        yield client


def test_comfy_cli_finds_nothing_wrong(comfy):
    done = subprocess.run([*comfy, "--no-json", "node", "validate"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert "All validation checks passed successfully" in done.stdout + done.stderr
    assert "arning" not in done.stdout + done.stderr


def test_the_archive_is_small_and_holds_what_runs_and_no_more(archive):
    assert archive.stat().st_size < 40 * 10**6
    with zipfile.ZipFile(archive) as file:
        names = set(file.namelist())
    needed = {"__init__.py", "pyproject.toml", "requirements.txt", "README.md", "LICENSE", "nodes/__init__.py"}
    needed |= {"qs_core/demo/unet.safetensors", "workflows/1_quick_start.json"}
    assert needed <= names
    top = {name.split("/")[0] for name in names}
    assert not top & {"tests", "tools", ".github", ".ci", "Makefile", "requirements-dev.txt"}
    assert {folder for folder in ("web", "locales") if (ROOT / folder).is_dir()} <= top


def test_unpacked_it_has_every_node(unpacked, snapshot):
    committed = snapshot.read()
    assert snapshot.ours(unpacked.object_info()) == {
        name: node for name, node in committed.items() if node.get("category")
    }


def test_unpacked_the_quick_start_runs(unpacked, harness):
    workflow = json.loads((ROOT / "workflows" / "1_quick_start.json").read_text(encoding="utf-8"))
    graph = harness.to_api(workflow, unpacked.object_info())
    for node in graph.values():
        node["inputs"] |= {key: value for key, value in QUICK.items() if key in node["inputs"]}
    run = unpacked.run(graph)
    assert run.status == "success", run.error
    assert unpacked.images(run)


def test_unpacked_its_workflows_are_among_the_templates(unpacked, harness):
    listed = json.loads(unpacked.get("/api/workflow_templates"))
    assert set(listed[harness.PACK]) == {path.stem for path in WORKFLOWS}


@pytest.fixture
def comfy_test(place, harness, tmp_path):
    """A function: what comfy-test writes, run in the unpacked pack by ComfyUI's own interpreter."""
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import comfy_test"], capture_output=True).returncode:
        pytest.skip("pip install comfy-test into ComfyUI's environment")
    shutil.copy(place / "comfyui.log", tmp_path / "server.log")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [python, "-m", "comfy_test", *arguments],
            cwd=place / "custom_nodes" / harness.PACK,
            env=os.environ | {"COMFY_TEST_LOGS_DIR": str(tmp_path), "NO_PROXY": "127.0.0.1"},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,  # it would ask for its folders
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def without_the_pages_own(workflow: dict, info: dict, harness) -> dict:
    """A saved graph without notes and seed controls. comfy-test 0.4.15 takes the page's notes for unknown nodes, and
    the value that the page saves behind a seed for that of the next widget."""
    nodes = [node for node in workflow["nodes"] if node["type"] in info]
    for node in nodes:
        named = harness.widgets(info[node["type"]])
        node["widgets_values"] = [
            value for (name, _), value in zip(named, node["widgets_values"], strict=False) if name
        ]
    return workflow | {"nodes": nodes}


def test_comfy_test_registers_makes_and_validates_everything(unpacked, comfy_test, place, harness, snapshot):
    info = unpacked.object_info()
    runnable = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in WORKFLOWS}
    runnable = {name: workflow for name, workflow in runnable.items() if not workflow["extra"]["qs"]["needs"]}
    pack = place / "custom_nodes" / harness.PACK
    for name, workflow in runnable.items():
        (pack / "workflows" / name).write_text(json.dumps(without_the_pages_own(workflow, info, harness)))
    settings = f"[test]\nlevels = {json.dumps(LEVELS)}\n[test.workflows]\nrun = {json.dumps(list(runnable))}\n"
    (pack / "comfy-test.toml").write_text(settings)
    said = comfy_test("run", "--server-url", f"http://{unpacked.address}", "--level", "validation")
    for level in ("REGISTRATION", "INSTANTIATION", "VALIDATION"):
        assert f"[{level}] PASSED" in said, said
    assert f"All {len(snapshot.ours(info))} node(s) instantiated successfully!" in said
    assert f"Validating {len(runnable)} workflow(s)" in said


def test_comfy_test_finds_every_node_in_some_workflow(comfy_test):
    """But for the one that trains for half an hour, and the one that stands in for another where that is refused."""
    told = comfy_test("coverage")
    left = re.findall(r"^  - (\w+)$", told, re.MULTILINE)
    assert left == ["QSFineTuneStyle", "UseNativeModelX0"], told
