"""What the nodes promise, as one file: `python tests/comfyui/snapshot.py` writes object_info.json anew.

Needs COMFYUI_PATH and COMFYUI_PYTHON, as the tests do, and `websocket-client`. The file has the form of /object_info,
so that `comfy workflow validate --input` reads it, and is the same for every version of ComfyUI that the pack supports:
fields that only some versions have are left out, and so are the files in the user's folders and the tags of the
installed open_clip. Of ComfyUI's own nodes that the workflows use it holds what the versions agree on: names and types.
"""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("object_info.json")
WORKFLOWS = FILE.parents[2] / "workflows"
CATEGORY = "QS Style Transfer"
# What all versions tell of a V1 node. Later ones add search_aliases, is_input_list and others.
FIELDS = (
    "input",
    "input_order",
    "output",
    "output_is_list",
    "output_name",
    "output_tooltips",
    "name",
    "display_name",
    "description",
    "category",
    "output_node",
    "deprecated",
    "experimental",
)
OF_CORE = ("input", "output", "output_is_list", "output_name", "name", "output_node")
KEPT_OF_CORE = ("default", "min", "max", "forceInput", "image_upload")  # of an input's options
MODEL_FILES = (".safetensors", ".sft", ".pt", ".pth", ".ckpt", ".bin", ".onnx", ".gguf")
TAGS = "pretrained"  # the input whose choices are open_clip's
BY_THE_BROWSER = {"Note", "MarkdownNote", "Reroute", "PrimitiveNode"}


def ours(object_info: dict[str, Any]) -> dict[str, Any]:
    """This pack's nodes as the snapshot holds them, by id."""
    nodes = {name: node for name, node in object_info.items() if node["category"].split("/")[0] == CATEGORY}
    return {name: _node(nodes[name], FIELDS) for name in sorted(nodes)}


def of_core(object_info: dict[str, Any]) -> dict[str, Any]:
    """ComfyUI's nodes that the shipped workflows use, as the snapshot holds them."""
    names = sorted(used() - ours(object_info).keys() - BY_THE_BROWSER)
    nodes = {name: _node(object_info[name], OF_CORE) for name in names}
    for node in nodes.values():
        if node["output_node"]:  # those of later versions pass their pictures on
            node |= {"output": [], "output_is_list": [], "output_name": []}
        for section in ("required", "optional"):
            entries = node["input"].get(section, {})
            for name, (kind, options) in entries.items():
                entries[name] = [kind, {key: value for key, value in options.items() if key in KEPT_OF_CORE}]
    return nodes


def used() -> set[str]:
    """The node types in the shipped workflows."""
    graphs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(WORKFLOWS.glob("*.json"))]
    return {node["type"] for graph in graphs for node in graph["nodes"]}


def _node(node: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    kept = {field: node[field] for field in fields if field in node}
    kept["input"] = {
        section: {name: _entry(name, *entry) for name, entry in entries.items()} if section != "hidden" else entries
        for section, entries in node["input"].items()
    }
    return kept


def _entry(name: str, kind: str | list, options: dict[str, Any] | None = None) -> list:
    """An input's type and options; a choice is a list of its values, as in V1, without what varies."""
    options = dict(options or {})
    if kind == "COMBO":
        kind = options.pop("options", [])
    if isinstance(kind, list):
        kind = [value for value in kind if not str(value).lower().endswith(MODEL_FILES)]
        kind = [options["default"]] if name == TAGS else kind
    return [kind, options]


def read() -> dict[str, Any]:
    """The committed snapshot."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def write(object_info: dict[str, Any]) -> None:
    """Make the snapshot the committed one."""
    nodes = ours(object_info) | of_core(object_info)
    FILE.write_text(json.dumps(nodes, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    import tempfile

    from harness import checkout, server

    if checkout() is None:
        raise SystemExit("Set COMFYUI_PATH to a ComfyUI checkout, and COMFYUI_PYTHON to its interpreter.")
    with tempfile.TemporaryDirectory() as base, server(Path(base)) as client:
        write(client.object_info())
    print(f"{FILE}: {len(read())} nodes")


if __name__ == "__main__":
    main()
