"""A workflow as ComfyUI's page saves it, built node by node: values by name, defaults for what is not named.

The places that are given order the nodes of a group; `layout` says where they stand.
"""

import uuid
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from qs_core.report import VERSION

from . import core, pack
from .layout import Block, arrange, note_height

PACK_ID, CORE_ID = "qs-style-transfer", "comfy-core"
NOTES = Path(__file__).parent / "notes"
LOOK = {"bounding": [0, 0, 0, 0], "font_size": 24, "flags": {}}
BLUE, GREEN, YELLOW, PURPLE = "#3f789e", "#8A8", "#b58b2a", "#a1309b"  # ComfyUI's own


@dataclass(frozen=True)
class Output:
    """One output of a node, to be linked."""

    node: int
    slot: int
    kind: str


@dataclass(frozen=True)
class Node:
    """A node that was added, and its outputs by name or number."""

    id: int
    outputs: tuple[tuple[str, Output], ...]

    def __getitem__(self, key: int | str) -> Output:
        return self.outputs[key][1] if isinstance(key, int) else dict(self.outputs)[key]


@dataclass
class Graph:
    """A workflow in the making.

    `needs` names the model files that nobody ships, `subject` the kinds of nodes that it is about, which stay open
    where there is room.
    """

    name: str
    title: str
    needs: tuple[str, ...] = ()
    subject: tuple[str, ...] = ()
    nodes: list[dict] = field(default_factory=list)
    links: list[list] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    given: dict[int, int] = field(default_factory=dict)  # how many values of each node are set, by id

    def note(self, at: tuple[int, int], area: tuple[int, int], title: str, **words: str) -> Node:
        """The note of this workflow's file in `notes`, with `words` put in, as tall as its text."""
        text = (NOTES / f"{self.name}.md").read_text(encoding="utf-8").strip().format(**words)
        size = (area[0], note_height(text, area[0]))
        node = self._start("MarkdownNote", at, size, {"title": title, "color": "#432", "bgcolor": "#653"})
        self.nodes[-1] |= {"properties": {}, "widgets_values": [text]}
        self.blocks.append(Block([self.nodes[-1]]))
        return node

    def add(
        self,
        kind: str,
        at: tuple[int, int],
        area: tuple[int, int],
        /,
        title: str | None = None,
        models: list[dict] | None = None,
        **given: object,
    ) -> Node:
        """A node whose inputs have the given values or links, and otherwise their defaults."""
        own = kind in pack.classes()
        cls = pack.classes()[kind] if own else core.NODES[kind]
        declared = pack.inputs(cls)
        unknown = set(given) - set(declared)
        if unknown:
            raise ValueError(f"{kind} has no input {', '.join(sorted(unknown))}.")
        node = self._start(kind, at, area, {"title": title} if title else {}, cls)
        sockets = [name for name, spec in declared.items() if not pack.is_widget(spec)]
        widgets = [name for name, spec in declared.items() if pack.is_widget(spec)]
        optional = cls.INPUT_TYPES().get("optional", {})
        entry = partial(self._entry, node.id, declared, given)
        place = iter(range(len(declared)))
        properties = {"cnr_id": PACK_ID if own else CORE_ID, "ver": VERSION if own else core.VERSION}
        self.nodes[-1] |= {
            "inputs": [
                *(entry(name, next(place), **({"shape": 7} if name in optional else {})) for name in sockets),
                *(entry(name, next(place), widget={"name": name}) for name in widgets),
            ],
            "properties": {**properties, "Node name for S&R": kind, **({"models": models} if models else {})},
            "widgets_values": [v for name in widgets for v in saved(declared[name], given.get(name))],
        }
        self.given[node.id] = sum(not isinstance(given[name], Output) for name in widgets if name in given)
        return node

    def linked(self, node: int, name: str) -> Output:
        """The output that is linked to a node's input."""
        (number,) = [entry["link"] for entry in self.nodes[node - 1]["inputs"] if entry["name"] == name]
        _, origin, slot, _, _, kind = self.links[number - 1]
        return Output(origin, slot, kind)

    def group(self, title: str, *nodes: Node, color: str = BLUE) -> None:
        """A titled frame around nodes."""
        ordered = sorted((self.nodes[node.id - 1] for node in nodes), key=lambda node: node["pos"])
        number = sum(block.group is not None for block in self.blocks) + 1
        self.blocks.append(Block(ordered, {"id": number, "title": title, **LOOK, "color": color}))

    def as_json(self) -> dict:
        """What the page would save."""
        laid = deepcopy(self)
        if laid.blocks:  # the help pages' examples have none: they are run, and not looked at
            arrange(laid.blocks, self.given, self.subject)
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{PACK_ID}/{self.name}")),
            "revision": 0,
            "last_node_id": len(self.nodes),
            "last_link_id": len(self.links),
            "nodes": laid.nodes,
            "links": self.links,
            "groups": [block.group for block in laid.blocks if block.group],
            "config": {},
            "extra": {"qs": {"title": self.title, "version": VERSION, "needs": list(self.needs)}},
            "version": 0.4,
        }

    def _start(
        self, kind: str, at: tuple[int, int], size: tuple[int, int], look: Mapping, cls: type | None = None
    ) -> Node:
        number, made = len(self.nodes) + 1, pack.outputs(cls) if cls else []
        outputs = [{"name": name, "type": its, "links": None} for name, its in made]
        place = {"id": number, "type": kind, "pos": list(at), "size": list(size)}
        state = {"flags": {}, "order": number - 1, "mode": 0, "inputs": [], "outputs": outputs}
        self.nodes.append({**place, **state, **look})
        slots = tuple((name, Output(number, slot, its)) for slot, (name, its) in enumerate(made))
        return Node(number, slots)

    def _entry(self, node: int, declared: Mapping, given: Mapping, name: str, place: int, **more) -> dict:
        kind = declared[name][0]
        kind = "COMBO" if isinstance(kind, list) else kind
        link = given.get(name)
        number = self._link(link, node, place) if isinstance(link, Output) else None
        return {"name": name, "type": kind, **more, "link": number}

    def _link(self, origin: Output, node: int, place: int) -> int:
        number = len(self.links) + 1
        self.links.append([number, origin.node, origin.slot, node, place, origin.kind])
        output = self.nodes[origin.node - 1]["outputs"][origin.slot]
        output["links"] = [*(output["links"] or []), number]
        return number


def saved(spec: tuple, given: object) -> list:
    """The values that the page saves for a widget: a seed's has its control behind it."""
    options = spec[1] if len(spec) > 1 else {}
    value = options["default"] if given is None or isinstance(given, Output) else given
    return [value, "fixed"] if options.get("control_after_generate") else [value]
