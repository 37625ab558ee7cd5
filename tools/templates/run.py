"""Running a workflow without ComfyUI: each node as soon as its inputs are there, under inference mode as it does."""

from collections.abc import Mapping

import torch
from torch import Tensor

from . import core, pack

SHOWING = ("PreviewImage", "SaveImage", "PreviewAny")


def run(workflow: Mapping, classes: Mapping[str, type], quick: Mapping[str, object] | None = None) -> dict[int, list]:
    """What each showing node got, by node id: pictures (B, H, W, 3), or text.

    `quick` are widget values that take the place of those saved, wherever a node has such a widget.
    """
    known = {**core.NODES, **classes}
    by_id = {node["id"]: node for node in workflow["nodes"] if node["type"] != "MarkdownNote"}
    sources = {link[0]: (link[1], link[2]) for link in workflow["links"]}
    results, shown = {}, {}
    while len(results) < len(by_id):
        ready = [k for k in by_id if k not in results and origins(by_id[k], sources) <= set(results)]
        if not ready:
            raise ValueError("a cycle, or a link from nowhere")
        for number in ready:
            node = by_id[number]
            wired = {name: results[origin][slot] for name, (origin, slot) in wires(node, sources).items()}
            if node["type"] in SHOWING:
                (shown[number],) = wired.values()
                results[number] = []
                continue
            cls = known[node["type"]]
            saved = values(node, cls)
            faster = {name: value for name, value in (quick or {}).items() if name in saved}
            results[number] = call(cls, saved | faster, wired)
    return shown


def wires(node: Mapping, sources: Mapping[int, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """The (node, slot) that each linked input comes from, by its name."""
    return {entry["name"]: sources[entry["link"]] for entry in node["inputs"] if entry["link"]}


def origins(node: Mapping, sources: Mapping[int, tuple[int, int]]) -> set[int]:
    """The nodes that a node's inputs come from."""
    return {origin for origin, _ in wires(node, sources).values()}


def values(node: Mapping, cls: type) -> dict[str, object]:
    """The saved widget values by name; without the seed's control."""
    named = zip(widgets(cls), node["widgets_values"], strict=False)  # newer widgets are appended
    return {name: value for name, value in named if name}


def widgets(cls: type) -> list[str | None]:
    """The names of a node's saved widget values, in order; None is the seed's control."""
    names = []
    for name, spec in pack.inputs(cls).items():
        if pack.is_widget(spec):
            control = len(spec) > 1 and spec[1].get("control_after_generate")
            names += [name, None] if control else [name]
    return names


def call(cls: type, given: Mapping, wired: Mapping[str, list]) -> list[list]:
    """Each output of a node as a list, as ComfyUI's executor makes them: once for each entry of the longest input."""
    listed = {name: [value] for name, value in given.items()} | dict(wired)
    if getattr(cls, "INPUT_IS_LIST", False):
        results = [once(cls, listed)]
    else:
        count = max(map(len, listed.values()), default=1)
        rows = [{name: entries[min(k, len(entries) - 1)] for name, entries in listed.items()} for k in range(count)]
        results = [once(cls, row) for row in rows]
    is_list = getattr(cls, "OUTPUT_IS_LIST", (False,) * len(cls.RETURN_TYPES))
    columns = zip(*results, strict=True)
    return [sum(column, []) if many else list(column) for column, many in zip(columns, is_list, strict=True)]


def once(cls: type, inputs: Mapping) -> tuple:
    """All outputs of one call of a node."""
    with torch.inference_mode():
        return getattr(cls(), cls.FUNCTION)(**inputs)


def pictures(shown: Mapping[int, list]) -> list[Tensor]:
    """All pictures (H, W, 3) that were shown, in the order of the nodes."""
    batches = [batch for number in sorted(shown) for batch in shown[number] if isinstance(batch, Tensor)]
    return [picture for batch in batches for picture in batch]
