"""The pack in a real ComfyUI: menu, workflows, previews, cancel, memory."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

WORKFLOWS = Path(__file__).parents[2] / "workflows"
IMAGES = {"quick_start": 2, "anchors_heatmap": 4}
QUICK = {"steps": 8, "skip": 4, "size": 64, "crops": 4}


def load(name: str) -> dict:
    return json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def prompt(harness, client):
    """A function: a workflow's API format, with widget values changed by name wherever they occur."""

    def build(name: str, **changes) -> dict:
        graph = harness.to_api(load(name), client.object_info())
        for node in graph.values():
            node["inputs"] |= {key: value for key, value in changes.items() if key in node["inputs"]}
        return graph

    return build


def node_id(graph: dict, kind: str) -> str:
    return next(key for key, node in graph.items() if node["class_type"] == kind)


def saved(client, run, graph: dict) -> bytes:
    """The file that the graph's SaveImage wrote."""
    (image,) = run.outputs[node_id(graph, "SaveImage")]["images"]
    return client.view(image)


def test_the_menu_has_the_nodes_and_the_models(client, log):
    info = client.object_info()
    ours = {name for name, node in info.items() if node["category"] == "QS Style Transfer"}
    assert len(ours) == 7
    assert info["LoadDiffusionModel"]["display_name"] == "Load Pixel Diffusion Model (QS)"
    names = info["LoadDiffusionModel"]["input"]["required"]["model_name"][0]
    assert names[0] == "demo" and set(names) == {"demo", "mine.safetensors", "broken.pt"}
    assert "IMPORT FAILED" not in log.read_text(errors="replace")


@pytest.mark.parametrize("name", IMAGES)
def test_shipped_workflow_runs_as_it_is(client, prompt, name):
    run = client.run(prompt(name), workflow=load(name))
    assert run.status == "success", run.error
    pictures = [Image.open(io.BytesIO(data)) for data in client.images(run)]
    assert len(pictures) == IMAGES[name]
    assert all(len(picture.getcolors(10**6)) > 500 for picture in pictures)


def test_previews_arrive_from_both_walks(client, prompt):
    graph = prompt("quick_start", seed=1, preview_every=2, **QUICK)
    run = client.run(graph)
    assert run.status == "success", run.error
    senders = [event.data["node_id"] for event in run.previews]
    # Of four steps, the second and the last.
    assert senders.count(node_id(graph, "EncodeInvertDDIM")) == 2
    assert senders.count(node_id(graph, "QSAttnGuidedSampler")) == 2
    preview = Image.open(io.BytesIO(run.previews[-1].payload))
    assert min(preview.size) > 300  # enlarged, to be seen


def test_no_previews_where_they_are_off(client, prompt):
    run = client.run(prompt("quick_start", seed=2, preview_every=0, **QUICK))
    assert run.status == "success" and not run.previews
    assert len(run.of("progress")) >= 4


@pytest.mark.parametrize("kind", ["EncodeInvertDDIM", "QSAttnGuidedSampler"])
def test_interrupt_stops_within_a_step_and_the_next_run_works(client, prompt, kind):
    graph = prompt("quick_start", **QUICK | {"steps": 60, "skip": 2, "seed": 3, "preview_every": 1})
    sender = node_id(graph, kind)
    asked = []

    def watch(event):
        if not asked and event.type == "preview" and event.data["node_id"] == sender:
            client.interrupt()
            asked.append(event.seconds)

    run = client.run(graph, watch=watch)
    assert run.status == "interrupted"
    # The step under way when it was asked for may still be told of, and the one whose message was under way.
    late = [e for e in run.previews if e.seconds > asked[0] and e.data["node_id"] == sender]
    assert len(late) <= 2
    assert client.run(prompt("quick_start", seed=4, **QUICK)).status == "success"


def test_after_free_the_same_graph_gives_the_same_bytes(client, prompt):
    graph = prompt("quick_start", seed=5, **QUICK)
    before = client.run(graph)
    client.free()
    after = client.run(graph)
    assert before.status == after.status == "success", before.error + after.error
    cached = {name for event in after.of("execution_cached") for name in event.data["nodes"]}
    assert not cached  # all of it ran again
    assert saved(client, before, graph) == saved(client, after, graph)


def test_a_model_of_the_user_s_own(client, prompt):
    graphs = [prompt("quick_start", seed=5, model_name=name, **QUICK) for name in ("mine.safetensors", "demo")]
    runs = [client.run(graph) for graph in graphs]
    assert runs[0].status == "success", runs[0].error
    pixels = [Image.open(io.BytesIO(saved(client, *pair))).tobytes() for pair in zip(runs, graphs, strict=True)]
    assert pixels[0] == pixels[1]  # it is a copy of the built-in one


def test_a_broken_model_is_named(client, prompt):
    run = client.run(prompt("quick_start", model_name="broken.pt"))
    assert run.status == "error"
    assert "InputError" in run.error and "broken.pt is no " in run.error


def test_an_unknown_word_is_named(client, prompt):
    run = client.run(prompt("quick_start", prompt="a zeppelin", **QUICK))
    assert run.status == "error"
    assert "CLIPTextDirection" in run.error and "never saw the word 'zeppelin'" in run.error
