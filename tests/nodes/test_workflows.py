"""Each shipped workflow: well formed, and it runs."""

import json
from dataclasses import fields
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "workflows"
FILES = sorted(FOLDER.glob("*.json"))
CORE = {"PreviewImage": 0, "SaveImage": 1, "MarkdownNote": 1, "LoadImage": 2}  # and how many widget values each saves
QUICK = {"size": 32, "steps": 6, "skip": 3, "crops": 4, "short_side": 128}


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def workflow(request) -> dict:
    return json.loads(request.param.read_text(encoding="utf-8"))


def nodes(workflow: dict) -> dict[int, dict]:
    return {node["id"]: node for node in workflow["nodes"]}


def widgets(pack, node: str) -> list[str | None]:
    """The names of a node's saved widget values, in order; None is the seed's control."""
    names = []
    for name, (kind, options) in pack.inputs(node).items():
        if isinstance(kind, list) or kind in ("INT", "FLOAT", "STRING", "BOOLEAN"):
            names += [name, None] if options.get("control_after_generate") else [name]
    return names


def test_there_are_workflows():
    assert {path.stem for path in FILES} >= {"quick_start", "anchors_heatmap"}


def test_names_only_nodes_that_exist_and_their_pack(pack, workflow):
    assert workflow["version"] == 0.4
    for node in workflow["nodes"]:
        assert node["type"] in pack.classes or node["type"] in CORE
        if node["type"] != "MarkdownNote":
            own = node["type"] in pack.classes
            assert node["properties"]["cnr_id"] == ("qs-style-transfer" if own else "comfy-core")
            assert node["properties"]["ver"]


def test_saves_a_value_for_each_widget(pack, workflow):
    for node in workflow["nodes"]:
        values = node["widgets_values"]
        if node["type"] in CORE:
            assert len(values) == CORE[node["type"]]
            continue
        names = widgets(pack, node["type"])
        assert len(values) == len(names), node["type"]
        for name, value in zip(names, values, strict=True):
            if name is None:
                assert value == "fixed"
                continue
            kind, options = pack.inputs(node["type"])[name]
            assert value in kind if isinstance(kind, list) else type(value) is type(options["default"]), name


def test_the_sampler_keeps_the_librarys_defaults(pack, workflow):
    """A template saves every value: one that is left behind when the defaults change would show other pictures."""
    defaults = {field.name: field.default for field in fields(pack.part("qs_core.settings").Settings)}
    for node in workflow["nodes"]:
        if node["type"] == "QSAttnGuidedSampler":
            saved = dict(zip(widgets(pack, node["type"]), node["widgets_values"], strict=True))
            for name in ("sampler", "eta", "anchors", "contrastive", "clip_global", "clip_directional", "mse", "range"):
                assert saved[name] == defaults[name], name
            assert (saved["crop_area_min"], saved["crop_area_max"]) == defaults["crop_area"]
            assert saved["attention_temperature"] == defaults["attention_temperature"]


def test_links_fit_at_both_ends(pack, workflow):
    by_id, links = nodes(workflow), workflow["links"]
    assert len({link[0] for link in links}) == len(links)
    for link, origin, slot, target, place, kind in links:
        output, entry = by_id[origin]["outputs"][slot], by_id[target]["inputs"][place]
        assert link in output["links"] and entry["link"] == link
        assert output["type"] == entry["type"] == kind
        if by_id[target]["type"] in pack.classes:
            assert pack.inputs(by_id[target]["type"])[entry["name"]][0] == kind
        if by_id[origin]["type"] in pack.classes:
            assert pack.classes[by_id[origin]["type"]].RETURN_TYPES[slot] == kind
    linked = {entry["link"] for node in workflow["nodes"] for entry in node["inputs"] if entry["link"]}
    assert linked == {link[0] for link in links}


def test_nodes_do_not_overlap(workflow):
    title = 40  # pixels above `pos`
    boxes = [(*node["pos"], *node["size"]) for node in workflow["nodes"]]
    for k, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, other_width, other_height in boxes[k + 1 :]:
            apart_x = x + width <= other_x or other_x + other_width <= x
            apart_y = y + height <= other_y - title or other_y + other_height <= y - title
            assert apart_x or apart_y


def call(pack, node: str, values: dict, wired: dict[str, list]) -> list[list]:
    """Each output of a node as a list, as ComfyUI's executor makes them: once for each entry of the longest input."""
    cls = pack.classes[node]
    listed = {name: [value] for name, value in values.items()} | wired
    if getattr(cls, "INPUT_IS_LIST", False):
        results = [pack.outputs(node, **listed)]
    else:
        count = max(map(len, listed.values()), default=1)
        runs = [{name: entries[min(k, len(entries) - 1)] for name, entries in listed.items()} for k in range(count)]
        results = [pack.outputs(node, **inputs) for inputs in runs]
    is_list = getattr(cls, "OUTPUT_IS_LIST", (False,) * len(cls.RETURN_TYPES))
    columns = zip(*results, strict=True)
    return [sum(column, []) if many else list(column) for column, many in zip(columns, is_list, strict=True)]


def test_runs(pack, workflow):
    """A small executor: each node as soon as its inputs are there, with few steps of a small picture."""
    by_id, results, shown = nodes(workflow), {}, []
    sources = {link[0]: (link[1], link[2]) for link in workflow["links"]}
    waiting = [node for node in by_id.values() if node["type"] != "MarkdownNote"]
    while waiting:
        ready = [n for n in waiting if all(sources[e["link"]][0] in results for e in n["inputs"] if e["link"])]
        assert ready, "a cycle, or a link from nowhere"
        for node in ready:
            origins = {e["name"]: sources[e["link"]] for e in node["inputs"] if e["link"]}
            wired = {name: results[origin][slot] for name, (origin, slot) in origins.items()}
            if node["type"] in CORE:
                shown += wired["images"]
                results[node["id"]] = None
                continue
            names = widgets(pack, node["type"])
            values = {name: value for name, value in zip(names, node["widgets_values"], strict=True) if name}
            quick = {name: value for name, value in QUICK.items() if name in values}
            results[node["id"]] = call(pack, node["type"], values | quick, wired)
        waiting = [node for node in waiting if node["id"] not in results]
    assert len(shown) >= sum(node["type"] in ("PreviewImage", "SaveImage") for node in workflow["nodes"]) > 0
    for image in shown:
        assert image.ndim == 4 and image.shape[-1] == 3 and torch.isfinite(image).all()
