"""How many pictures a graph shows, from the graph alone."""

from collections.abc import Mapping
from functools import cache
from typing import Any

SHOWN = ("SaveImage", "PreviewImage")
ATTENDING = 2  # layers of the built-in network, where `attend` is empty
LISTS = {"QSPromptList": "lines"}  # one item for each line of that widget
ONE = ("QSCompareGrid",)  # draw all they get into one


def shown(graph: Mapping[str, Any]) -> dict[str, int]:
    """The number of pictures at each node of an API graph that saves or shows some, by node id."""

    @cache
    def batches(key: str, slot: int) -> list[int]:
        """The batch sizes that come out of a node, one for each item of a list. What is no picture counts as one."""
        kind, inputs = graph[key]["class_type"], graph[key]["inputs"]
        if kind in LISTS:
            return [1] * sum(bool(line.strip()) for line in inputs[LISTS[kind]].splitlines())
        runs = [batches(*value) for value in inputs.values() if linked(value)]
        if kind in ONE:
            return [1]
        if kind == "ImageBatch":
            return [sum(sizes) for sizes in rows(runs)]
        many = [max(sizes, default=1) * made(kind, inputs) for sizes in rows(runs)]
        return many or [1]

    def going_in(key: str) -> int:
        return sum(batches(*graph[key]["inputs"]["images"]))

    return {key: going_in(key) for key, node in graph.items() if node["class_type"] in SHOWN}


def rows(runs: list[list[int]]) -> list[list[int]]:
    """What each run of a node gets: shorter lists go on with their last item."""
    length = max(map(len, runs), default=1)
    return [[run[min(k, len(run) - 1)] for run in runs] for k in range(length)]


def made(kind: str, inputs: Mapping[str, Any]) -> int:
    """How many pictures a node makes of one."""
    if kind == "QSAttnHeatmap":
        attend = inputs.get("attend", "")
        return len(attend.split(",")) if attend else ATTENDING
    return 1


def linked(value: Any) -> bool:
    """Whether an input is a link."""
    return isinstance(value, list)
