"""What a week of use turned up, and random graphs: each fault's case in a running ComfyUI."""

import io
import json
import os
import re
import threading
from pathlib import Path

import pytest
from PIL import Image

QUICK = {"steps": 6, "skip": 3, "size": 32, "crops": 2}
SAVED = sorted((Path(__file__).parent / "saved").glob("*.json"))
ROOT = Path(__file__).parents[2]


def file(name: str) -> bytes:
    """The pixels of a bundled photo."""
    return Image.open(ROOT / "qs_core" / "demo" / "pictures" / f"{name}.jpg").convert("RGB").tobytes()


def computed(server) -> float:
    """Seconds that the server has computed for. Linux only."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def told(run) -> str:
    """What nodes show below their widgets."""
    return "\n".join(event.data["text"] for event in run.of("text"))


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_a_workflow_of_0_1_still_loads_and_runs(client, harness, info, counts, path):
    """With the values that it saved, by position; then small, for speed."""
    graph = harness.to_api(json.loads(path.read_text(encoding="utf-8")), info)
    for node in graph.values():
        node["inputs"] |= {name: value for name, value in QUICK.items() if name in node["inputs"]}
    run = client.run(graph)
    assert run.status == "success", run.error
    assert len(client.images(run)) == sum(counts.shown(graph).values())


def test_a_bypassed_sampler_passes_the_very_photo_on(client, harness, info, saved):
    workflow = json.loads((ROOT / "workflows" / "2_step_by_step.json").read_text(encoding="utf-8"))
    for node in workflow["nodes"]:
        if node["type"] == "QSAttnGuidedSampler":
            node["mode"] = harness.BYPASSED
    graph = harness.to_api(workflow, info)
    run = client.run(graph)
    assert run.status == "success", run.error
    assert Image.open(io.BytesIO(saved(run, graph))).convert("RGB").tobytes() == file("pagoda")


def test_a_black_mask_is_told_on_the_node_and_in_the_log(client, prompt, node_id, saved, log):
    """Such as Load Image gives for a picture without transparency."""
    graph = prompt("2_step_by_step", **QUICK)
    graph["photo"] = {"class_type": "LoadImage", "inputs": {"image": "example.png"}}
    sampler = graph[node_id(graph, "QSAttnGuidedSampler")]["inputs"]
    sampler["mask"] = ["photo", 1]
    run = client.run(graph)
    assert run.status == "success", run.error
    assert "The mask is black" in told(run) and "paint the place white in MaskEditor" in told(run)
    assert "QS: The mask is black" in log.read_text(errors="replace")
    assert Image.open(io.BytesIO(saved(run, graph))).convert("RGB").tobytes() == file("pagoda")


def test_too_few_labels_are_told_and_the_grid_is_drawn(client, prompt):
    run = client.run(prompt("strength_sweep", labels="one\ntwo", **QUICK))
    assert run.status == "success", run.error
    assert "2 labels for 3 pictures. Those without stay blank." in told(run)


def test_an_api_call_without_the_optional_inputs_is_as_the_widgets_say(client, info, prompt, node_id, saved):
    graphs = [prompt("2_step_by_step", seed=21, **QUICK) for _ in range(2)]
    for node in graphs[1].values():
        optional = info[node["class_type"]]["input"].get("optional", {})
        for name, value in list(node["inputs"].items()):
            if name in optional and name not in QUICK and not isinstance(value, list):
                del node["inputs"][name]
    runs = [client.run(graph) for graph in graphs]
    first, second = (
        Image.open(io.BytesIO(saved(run, graph))).convert("RGB") for run, graph in zip(runs, graphs, strict=True)
    )
    assert first.size == second.size and first.tobytes() == second.tobytes()


def test_the_cost_is_said_before_and_cancel_takes_two_seconds_at_512_pixels(client, server, prompt, node_id, log):
    """In the middle of a step, of which each takes longer by far. In the server's own time: the machine may be busy."""
    graph = prompt("2_step_by_step", **QUICK | {"size": 512, "crops": 16, "start": "noised", "steps": 50, "skip": 25})
    sampler, asked = node_id(graph, "QSAttnGuidedSampler"), []

    def ask():
        asked.append(computed(server))
        client.interrupt()

    def watch(event):
        if event.type == "executing" and event.data["node"] == sampler:
            threading.Timer(12, ask).start()

    run = client.run(graph, watch=watch)
    waited = computed(server) - asked[0]
    assert run.status == "interrupted"
    assert not [event for event in run.previews if event.data["node_id"] == sampler]  # within the first step
    assert re.search(
        r"QS: QS-Attn Guided Sampler: 1 picture at 512x640, about 0\.\d GB", log.read_text(errors="replace")
    )
    assert waited < 2, waited


def test_random_graphs_end_well(server, harness, fuzz, base, info):
    """QS_FUZZ says how many; tests/comfyui/fuzz.py runs many more, and shows the graph of a seed."""
    lines = []
    fuzz.prepare(base)
    server.client.get("/object_info")  # the new files are seen
    seeds = range(int(os.environ.get("QS_FUZZ", 10)))
    found = list(fuzz.hunt(harness, server, info, seeds, lines.append))
    assert not found, found
    assert server.client.answers()
