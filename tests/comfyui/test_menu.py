"""What ComfyUI finds in the pack: nodes, their interface, what the log says of them."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def said(log: str) -> set[str]:
    """The lines of a log without what differs from start to start: colours, numbers, folders."""
    lines = (re.sub(r"\x1b\[[0-9;]*m|\[[A-Z]+\]", "", line).strip() for line in log.splitlines())
    return {re.sub(r"\d+(\.\d+)?", "#", line) for line in lines if line}


def test_the_pack_adds_nothing_to_the_log_but_its_import_time(harness, tmp_path):
    """Nothing said at import or while the nodes are described, not even a warning of Python's."""
    lines = []
    for packs in ({}, None):
        base = tmp_path / f"{len(lines)}"
        with (server := harness.server(base, packs)) as client:
            client.object_info()
        lines.append(said(server.log.read_text(errors="replace").replace(str(base), "")))
    times = {"Import times for custom nodes:", f"# seconds: /custom_nodes/{harness.PACK}"}
    assert lines[1] - lines[0] == times


def test_the_interface_is_the_committed_one(info, snapshot):
    """A changed id, widget, default or order breaks saved graphs. If it is meant: make comfyui-snapshot."""
    committed = snapshot.read()
    ours = snapshot.ours(info)
    assert sorted(ours) == sorted(name for name, node in committed.items() if node.get("category"))
    for name, node in ours.items():
        assert node == committed[name], name


def test_the_snapshot_knows_every_node_of_the_workflows(snapshot):
    assert snapshot.used() - snapshot.BY_THE_BROWSER <= set(snapshot.read())


def test_the_menu_has_the_models(info):
    assert info["LoadDiffusionModel"]["display_name"] == "Load Pixel Diffusion Model (QS)"
    names = info["LoadDiffusionModel"]["input"]["required"]["model_name"][0]
    assert names[0] == "demo" and set(names) == {"demo", "mine.safetensors", "broken.pt"}


def test_search_finds_every_node(info, snapshot):
    if "search_aliases" not in info["SaveImage"]:
        pytest.skip("this version knows no search aliases")
    for name in snapshot.ours(info):
        assert info[name]["search_aliases"], name


def test_every_node_has_its_help_page(client, harness, info, snapshot):
    for name in snapshot.ours(info):
        page = client.get(f"/extensions/{harness.PACK}/docs/{name}.md").decode()
        assert page == (ROOT / "web" / "docs" / f"{name}.md").read_text(encoding="utf-8")


def test_translations_are_served_for_nodes_that_exist(client, info, snapshot):
    languages = {path.name for path in (ROOT / "locales").iterdir()}
    served = json.loads(client.get("/i18n"))
    assert languages and languages <= set(served)
    for language in languages:
        ours = {name: text for name, text in served[language]["nodeDefs"].items() if name in snapshot.ours(info)}
        assert set(ours) == set(snapshot.ours(info)), language
        for name, text in ours.items():
            inputs = [entry for section in info[name]["input"].values() for entry in section]
            assert set(text.get("inputs", {})) <= set(inputs), (language, name)


def test_every_workflow_is_a_template_with_a_picture(client, harness):
    listed = json.loads(client.get("/api/workflow_templates"))[harness.PACK]
    assert set(listed) == {path.stem for path in (ROOT / "workflows").glob("*.json")}
    for name in listed:
        picture = client.get(f"/api/workflow_templates/{harness.PACK}/{name}.jpg")
        assert picture.startswith(b"\xff\xd8"), name
