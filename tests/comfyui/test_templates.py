"""Every shipped workflow: valid without a server, and it runs as it is.

A workflow that needs files that are not shipped names them in `extra.qs.needs`; it is checked, not run.
"""

import io
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WORKFLOWS = sorted((Path(__file__).parents[2] / "workflows").glob("*.json"))


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def needs(workflow: dict) -> list[str]:
    """The model files that a workflow needs beside the built-in ones."""
    return workflow["extra"]["qs"]["needs"]


RUNNABLE = [path for path in WORKFLOWS if not needs(read(path))]
every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
every_runnable = pytest.mark.parametrize("path", RUNNABLE, ids=lambda path: path.stem)


@pytest.fixture(scope="session")
def described(snapshot, tmp_path_factory) -> Path:
    """The snapshot with the files that workflows need, as if they were there."""
    nodes, files = snapshot.read(), sorted({name for path in WORKFLOWS for name in needs(read(path))})
    for node in nodes.values():
        for section in node["input"].values():
            for entry in section.values():
                if isinstance(entry, list) and isinstance(entry[0], list):
                    entry[0] += files
    path = tmp_path_factory.mktemp("described") / "object_info.json"
    path.write_text(json.dumps(nodes), encoding="utf-8")
    return path


@every_workflow
def test_comfy_cli_finds_it_valid(comfy, described, path):
    command = [*comfy, "--json", "workflow", "validate", "--workflow", str(path), "--input", str(described)]
    done = subprocess.run(command, capture_output=True, text=True)
    verdict = json.loads(done.stdout)["data"]
    assert verdict["valid"] and not verdict["warnings"], done.stdout
    assert verdict["converted_node_count"] > 3


@every_runnable
def test_it_runs_and_shows_as_many_pictures_as_its_graph_says(client, harness, counts, info, path):
    workflow = read(path)
    graph = harness.to_api(workflow, info)
    expected = counts.shown(graph)
    assert expected
    run = client.run(graph, workflow=workflow, timeout=1200)
    assert run.status == "success", run.error
    assert {key: len(output.get("images", [])) for key, output in run.outputs.items() if key in expected} == expected
    for data in client.images(run):
        picture = Image.open(io.BytesIO(data))
        assert len(picture.convert("RGB").getcolors(10**7)) > 500
    senders = {event.data["node_id"] for event in run.previews}
    walks = {key for key, node in graph.items() if node["inputs"].get("preview_every")}
    assert senders >= walks


def test_pictures_are_counted_through_lists_and_batches(counts):
    graph = {
        "lines": {"class_type": "QSPromptList", "inputs": {"lines": "a\n\nb = c\nd"}},
        "one": {"class_type": "QSSampleImage", "inputs": {"picture": "cat"}},
        "two": {"class_type": "ImageBatch", "inputs": {"image1": ["one", 0], "image2": ["one", 0]}},
        "text": {"class_type": "CLIPTextDirection", "inputs": {"prompt": ["lines", 0]}},
        "each": {"class_type": "QSAttnGuidedSampler", "inputs": {"inversion": ["two", 0], "text": ["text", 0]}},
        "grid": {"class_type": "QSCompareGrid", "inputs": {"images": ["each", 0], "labels": ["lines", 1]}},
        "heat": {"class_type": "QSAttnHeatmap", "inputs": {"inversion": ["two", 0], "attend": "32,16,8"}},
        "all": {"class_type": "SaveImage", "inputs": {"images": ["each", 0]}},
        "sheet": {"class_type": "SaveImage", "inputs": {"images": ["grid", 0]}},
        "maps": {"class_type": "PreviewImage", "inputs": {"images": ["heat", 0]}},
    }
    assert counts.shown(graph) == {"all": 6, "sheet": 1, "maps": 6}


def test_a_marked_workflow_names_files_that_its_nodes_name(snapshot):
    """A file in `needs` that no widget names would be a leftover."""
    for path in set(WORKFLOWS) - set(RUNNABLE):
        workflow = read(path)
        values = {str(value) for node in workflow["nodes"] for value in node.get("widgets_values", [])}
        assert set(needs(workflow)) <= values, path.name


def test_the_video_template_keeps_frames_rate_and_sound(client, prompt, info, base):
    """ComfyUI's own video nodes around ours, on a clip of three frames."""
    av = pytest.importorskip("av")
    with av.open(str(base / "input" / "clip.mp4"), "w") as target:
        shown, heard = target.add_stream("libx264", rate=5), target.add_stream("aac", rate=44100)
        shown.width, shown.height, shown.pix_fmt = 64, 48, "yuv420p"
        for k in range(3):
            moved = np.roll(np.linspace(0, 255, 64 * 48 * 3).reshape(48, 64, 3), 3 * k, 1).astype(np.uint8)
            target.mux(shown.encode(av.VideoFrame.from_ndarray(moved, format="rgb24")))
        target.mux(shown.encode())
        for k in range(26):
            wave = av.AudioFrame.from_ndarray(np.full((1, 1024), 0.1, np.float32), format="fltp", layout="mono")
            wave.sample_rate, wave.pts = 44100, 1024 * k
            target.mux(heard.encode(wave))
        target.mux(heard.encode())
    graph = prompt("restyle_a_video", size=32, steps=6, skip=3, crops=2)
    (saver,) = (node for node in graph.values() if node["class_type"] == "SaveVideo")
    if info["SaveVideo"]["input"]["required"]["format"][0] == "COMFY_DYNAMICCOMBO_V3":
        saver["inputs"] |= {"format": "auto", "format.codec": "auto"}  # as the page of later versions says it
    run = client.run(graph, timeout=300)
    assert run.status == "success", run.error
    (shown,) = (told for output in run.outputs.values() for told in output.get("images", []))
    with av.open(io.BytesIO(client.view(shown))) as made:
        assert len(made.streams.audio) == 1 and float(made.streams.video[0].average_rate) == pytest.approx(5, rel=0.01)
        assert len([frame for frame in made.decode(video=0)]) == 3
