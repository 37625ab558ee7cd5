"""Each shipped workflow: well formed, what its tool writes, and it runs."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from qs_core.moving.video import is_video
from tools.templates import core
from tools.templates.__main__ import text as file_text
from tools.templates.run import pictures, run, values, widgets
from tools.templates.thumbnails import SIDE, needs
from tools.templates.workflows import TEMPLATES

FOLDER = Path(__file__).parents[2] / "workflows"
FILES = sorted(FOLDER.glob("*.json"))
QUICK = {"size": 32, "steps": 6, "skip": 3, "crops": 4, "short_side": 128}


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


RUNNABLE = [path for path in FILES if not needs(read(path))]


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def workflow(request) -> dict:
    return read(request.param)


def nodes(workflow: dict) -> dict[int, dict]:
    return {node["id"]: node for node in workflow["nodes"]}


def classes(pack) -> dict[str, type]:
    return {**core.NODES, **pack.classes}


def test_there_are_as_many_as_promised():
    names = {path.stem for path in FILES}
    assert len(names) >= 6 and names == {build().name for build in TEMPLATES}
    wished = ["1_quick_start", "2_step", "five_styles", "anchors_heatmap", "zecon", "mask", "real_model"]
    assert all(any(name.startswith(wish) for name in names) for wish in wished)
    assert min(names) == "1_quick_start"  # the page lists them by name


@pytest.mark.parametrize("build", TEMPLATES, ids=lambda build: build.__name__)
def test_the_file_is_what_its_tool_writes(build):
    """So that it follows the nodes' widgets and defaults; `python -m tools.templates` writes them all."""
    graph = build()
    assert (FOLDER / f"{graph.name}.json").read_text(encoding="utf-8") == file_text(graph.as_json())


def test_names_only_nodes_that_exist_and_their_pack(pack, workflow):
    assert workflow["version"] == 0.4
    version = pack.part("qs_core.report").VERSION
    assert workflow["extra"]["qs"]["version"] == version
    for node in workflow["nodes"]:
        if node["type"] == "MarkdownNote":
            continue
        assert node["type"] in classes(pack)
        own = node["type"] in pack.classes
        assert node["properties"]["cnr_id"] == ("qs-style-transfer" if own else "comfy-core")
        assert node["properties"]["ver"] == (version if own else core.VERSION)


def test_explains_itself_at_the_top_left(workflow):
    (note,) = (node for node in workflow["nodes"] if node["type"] == "MarkdownNote")
    (words,) = note["widgets_values"]
    assert words.startswith("# ") and len(words.split()) > 60
    assert not set("{`") & set(words)  # Nodes 2.0 shows code dark on dark
    assert all(note["pos"][0] <= node["pos"][0] for node in workflow["nodes"])
    assert all(note["pos"][1] <= node["pos"][1] for node in workflow["nodes"])


def test_has_a_thumbnail_of_its_name(workflow):
    (path,) = (path for path in FILES if read(path)["id"] == workflow["id"])
    with Image.open(path.with_suffix(".jpg")) as picture:
        assert picture.format == "JPEG" and picture.size == (SIDE, SIDE)
        assert len(picture.convert("RGB").getcolors(10**6)) > 1000
    assert path.with_suffix(".jpg").stat().st_size < 200_000


def test_there_are_thumbnails_of_workflows_alone():
    assert {path.stem for path in FOLDER.glob("*.jpg")} == {path.stem for path in FILES}


def test_saves_a_value_for_each_widget(pack, workflow):
    for node in workflow["nodes"]:
        if node["type"] == "MarkdownNote":
            continue
        cls, saved = classes(pack)[node["type"]], node["widgets_values"]
        assert len(saved) == len(widgets(cls)), node["type"]
        assert [value for name, value in zip(widgets(cls), saved, strict=True) if name is None] in ([], ["fixed"])
        declared = cls.INPUT_TYPES()
        declared = {**declared["required"], **declared.get("optional", {})}
        for name, value in values(node, cls).items():
            kind, options = declared[name]
            known = value in kind or value in needs(workflow) if isinstance(kind, list) else None
            assert known if known is not None else type(value) is type(options["default"]), name
            if "min" in options:
                assert options["min"] <= value <= options["max"], name


def test_a_model_that_must_be_fetched_is_said_in_the_title_and_where_the_page_looks(workflow):
    """ComfyUI's panel of missing models reads name, address and folder; its button needs Hugging Face."""
    stated = [model for node in workflow["nodes"] for model in node["properties"].get("models", [])]
    assert [model["name"] for model in stated] == [name for name in needs(workflow) if not is_video(name)]
    for model in stated:
        assert model["directory"] in ("qs_diffusion", "checkpoints")
        assert model["url"].startswith("https://huggingface.co/") and model["url"].endswith(f"/{model['name']}")
        if "hash" in model or model["directory"] == "qs_diffusion":  # those of ComfyUI's own models are not ours to say
            assert model["hash_type"] == "SHA256" and len(model["hash"]) == 64
        widgets_naming_it = [node for node in workflow["nodes"] if model["name"] in node["widgets_values"]]
        assert [node["properties"].get("models") for node in widgets_naming_it] == [[model]]
    assert ("real model" in workflow["extra"]["qs"]["title"]) == bool(stated)


def test_links_fit_at_both_ends(pack, workflow):
    by_id, links = nodes(workflow), workflow["links"]
    assert len({link[0] for link in links}) == len(links)
    for link, origin, slot, target, place, kind in links:
        output, entry = by_id[origin]["outputs"][slot], by_id[target]["inputs"][place]
        assert link in output["links"] and entry["link"] == link
        assert output["type"] == kind and entry["type"] in (kind, "*")
        assert classes(pack)[by_id[origin]["type"]].RETURN_TYPES[slot] == kind
    linked = {entry["link"] for node in workflow["nodes"] for entry in node["inputs"] if entry["link"]}
    assert linked == {link[0] for link in links}


def shown_size(node: dict) -> tuple[float, float]:
    """Its size as it opens; a folded node is but its title, which lies above its place."""
    width, height = node["size"]
    return (width, 0) if node["flags"].get("collapsed") else (width, height)


def test_opens_readable_in_a_small_window(workflow):
    """ComfyUI fits all of it into three quarters of the window, and hides text below 8/14. Nodes 2.0 counts a folded
    node as tall as an open one; titles are 30 above the node."""
    left, top = (min(node["pos"][k] - 30 * k for node in workflow["nodes"]) for k in (0, 1))
    right, bottom = (max(node["pos"][k] + node["size"][k] for node in workflow["nodes"]) for k in (0, 1))
    assert 0.75 * min(1366 / (right - left), 768 / (bottom - top)) >= 0.6
    folded = [node["type"] for node in workflow["nodes"] if node["flags"].get("collapsed")]
    assert not {"SaveImage", "PreviewImage", "MarkdownNote", "QSRestyle"} & set(folded)


def test_the_layout_of_a_graph_does_not_change_it():
    graph = TEMPLATES[1]()
    assert graph.as_json() == graph.as_json()


def test_nodes_do_not_overlap(workflow):
    title = 40  # pixels above `pos`
    boxes = [(*node["pos"], *shown_size(node)) for node in workflow["nodes"]]
    for k, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, other_width, other_height in boxes[k + 1 :]:
            apart_x = x + width <= other_x or other_x + other_width <= x
            apart_y = y + height <= other_y - title or other_y + other_height <= y - title
            assert apart_x or apart_y


def test_links_run_from_left_to_right(workflow):
    by_id = nodes(workflow)
    for _, origin, _, target, *_ in workflow["links"]:
        assert by_id[origin]["pos"][0] <= by_id[target]["pos"][0]


def test_groups_hold_whole_nodes_and_do_not_overlap(workflow):
    """A node is in one group or in none; ComfyUI moves with a group what lies in its frame."""
    frames = [group["bounding"] for group in workflow["groups"]]
    assert all(group["title"] for group in workflow["groups"]) and len(frames) >= 3
    for node in workflow["nodes"]:
        (x, y), (width, height) = node["pos"], shown_size(node)
        touched = [f for f in frames if x < f[0] + f[2] and f[0] < x + width and y < f[1] + f[3] and f[1] <= y + height]
        for left, top, wide, high in touched:
            assert left <= x and top <= y and x + width <= left + wide and y + height <= top + high, node["id"]
        assert len(touched) == (node["type"] != "MarkdownNote"), (node["id"], node["type"])


@pytest.mark.parametrize("path", RUNNABLE, ids=lambda path: path.stem)
def test_runs(pack, path):
    """Each node as soon as its inputs are there, with few steps of a small picture."""
    workflow = read(path)
    shown = run(workflow, pack.classes, QUICK)
    kinds = {node["id"]: node["type"] for node in workflow["nodes"]}
    for number, got in shown.items():
        if kinds[number] == "PreviewAny":
            assert all(isinstance(text, str) and text for text in got)
    found = pictures(shown)
    assert len(found) >= sum(kind in ("PreviewImage", "SaveImage") for kind in kinds.values()) > 0
    for picture in found:
        assert picture.ndim == 3 and picture.shape[-1] == 3 and torch.isfinite(picture).all()


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "published").glob("*.json")), ids=lambda p: p.stem)
def test_a_published_workflow_still_loads_and_runs(pack, path):
    """As it was saved: its nodes are there and take its values in order; newer widgets are appended."""
    workflow = read(path)
    for node in workflow["nodes"]:
        if node["type"] in pack.classes:
            assert len(node["widgets_values"]) <= len(widgets(pack.classes[node["type"]])), node["type"]
    assert pictures(run(workflow, pack.classes, QUICK))


def test_stand_ins_of_core_nodes_are_like_the_real_ones():
    """Against what a real ComfyUI said of them, in the snapshot of its tests."""
    said = json.loads((Path(__file__).parents[1] / "comfyui" / "object_info.json").read_text(encoding="utf-8"))
    for name in set(core.NODES) - {"MarkdownNote"}:
        declared, real = core.NODES[name].INPUT_TYPES(), said[name]["input"]
        own = {key: spec[0] for key, spec in declared["required"].items()}
        its = {key: spec[0] for key, spec in {**real["required"], **real.get("optional", {})}.items()}
        assert set(own) >= set(real["required"]), name
        for key, kind in own.items():  # later versions say a choice with inputs of its own otherwise
            assert its[key] == kind or (isinstance(kind, list) and its[key] == "COMFY_DYNAMICCOMBO_V3"), name
        returned = list(core.NODES[name].RETURN_TYPES)
        assert returned == said[name]["output"][: len(returned)]


def test_the_marked_ones_alone_are_not_run():
    assert [path.stem for path in FILES if path not in RUNNABLE] == [
        "real_model_256px_download",
        "restyle_a_video",
        "restyle_with_flux",
        "restyle_with_sd15",
        "restyle_with_sdxl",
    ]
