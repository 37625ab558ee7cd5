"""A workflow as ComfyUI's page saves it, built node by node: values by name, defaults for what is not named."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from qs_core.report import VERSION

from . import core, pack

PACK_ID, CORE_ID = "qs-style-transfer", "comfy-core"
TITLE = 40  # pixels above a node's `pos` that its title takes
NOTES = Path(__file__).parent / "notes"
MARGIN = 20  # of a group around its nodes
BLUE, GREEN, YELLOW, PURPLE = "#3f789e", "#8A8", "#b58b2a", "#a1309b"  # ComfyUI's own


@dataclass(frozen=True)
class Output:
    """One output of a node, to be linked."""

    node: int
    slot: int
    kind: str


@dataclass(frozen=True)
class Node:
    """A node that was added: where it is, and its outputs by name or number."""

    id: int
    box: tuple[float, float, float, float]
    outputs: tuple[tuple[str, Output], ...]

    def __getitem__(self, key: int | str) -> Output:
        return self.outputs[key][1] if isinstance(key, int) else dict(self.outputs)[key]


@dataclass
class Graph:
    """A workflow in the making. `needs` names the model files that nobody ships."""

    name: str
    title: str
    needs: tuple[str, ...] = ()
    nodes: list[dict] = field(default_factory=list)
    links: list[list] = field(default_factory=list)
    groups: list[dict] = field(default_factory=list)

    def note(self, at: tuple[int, int], area: tuple[int, int], title: str, **words: str) -> Node:
        """The note of this workflow's file in `notes`, with `words` put in."""
        text = (NOTES / f"{self.name}.md").read_text(encoding="utf-8")
        node = self._start("MarkdownNote", at, area, {"title": title, "color": "#432", "bgcolor": "#653"})
        self.nodes[-1] |= {"properties": {}, "widgets_values": [text.strip().format(**words)]}
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
        return node

    def linked(self, node: int, name: str) -> Output:
        """The output that is linked to a node's input."""
        (number,) = [entry["link"] for entry in self.nodes[node - 1]["inputs"] if entry["name"] == name]
        _, origin, slot, _, _, kind = self.links[number - 1]
        return Output(origin, slot, kind)

    def group(self, title: str, *nodes: Node, color: str = BLUE) -> None:
        """A titled frame around nodes."""
        left, top = min(n.box[0] for n in nodes), min(n.box[1] for n in nodes)
        right, bottom = max(n.box[0] + n.box[2] for n in nodes), max(n.box[1] + n.box[3] for n in nodes)
        x, y = left - MARGIN, top - TITLE - 2 * MARGIN
        bounding = [x, y, right - x + MARGIN, bottom - y + MARGIN]
        number = len(self.groups) + 1
        frame = {"id": number, "title": title, "bounding": bounding, "color": color, "font_size": 24, "flags": {}}
        self.groups.append(frame)

    def as_json(self) -> dict:
        """What the page would save."""
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{PACK_ID}/{self.name}")),
            "revision": 0,
            "last_node_id": len(self.nodes),
            "last_link_id": len(self.links),
            "nodes": self.nodes,
            "links": self.links,
            "groups": self.groups,
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
        return Node(number, (*at, *size), slots)

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
