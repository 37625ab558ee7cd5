"""Where nodes stand: in columns, so that a whole workflow opens readable in a window of 1366x768.

ComfyUI opens a template with all of it in three quarters of the window, and hides text below a scale of 0.57. Where a
workflow is too large for that, nodes are folded to their titles, those last that it is about.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

WINDOW, FILLED = (1366, 768), 0.75
READABLE = 0.62  # the smallest scale that is aimed at
TITLE = 40  # pixels above a node's `pos` that its title takes, with a little room
MARGIN, GAP = 15, 15  # of a group around its nodes, and between groups
FOOT = 35  # of a group at the end of its column: Nodes 2.0 draws a node taller than its size, by a line of buttons
HEADER = 35  # of a group's title
LIMITS = range(560, 961, 40)  # heights of columns that are tried
ROOM = {"EncodeInvertDDIM": 230, "QSAttnGuidedSampler": 80, "QSRestyle": 230}  # for what they show as they run
PICTURES = ("PreviewImage", "SaveImage")  # always open
FOLDABLE = 60  # pixels of height, from which folding a node saves room


@dataclass
class Block:
    """Nodes that stand together, from top to bottom: those of a group, or a note."""

    nodes: list[dict]
    group: dict | None = None


def arrange(blocks: Sequence[Block], given: Mapping[int, int], subject: Collection[str]) -> None:
    """Places the nodes and the frames of groups, and folds the less important kinds of nodes until all is readable.

    `given` counts each node's widgets that have values other than their defaults, by id; `subject` are the kinds that a
    workflow is about.
    """
    kinds = foldable(blocks, given, subject)

    def worth(opened: Sequence[bool]) -> tuple:
        fold(kinds, opened)
        return min(best(blocks)[0], READABLE), opened[::-1]  # the most important ones count first

    fold(kinds, max(product((False, True), repeat=len(kinds)), key=worth))
    place(columns(blocks, best(blocks)[1]))


def best(blocks: Sequence[Block]) -> tuple[float, float]:
    """The largest scale that any height of the columns allows, and that height."""
    return max((fitted(columns(blocks, limit)), limit) for limit in LIMITS)


def fold(kinds: Sequence[Sequence[dict]], opened: Sequence[bool]) -> None:
    """Folds the nodes of a kind to their titles, or opens them."""
    for alike, is_open in zip(kinds, opened, strict=True):
        for node in alike:
            node["flags"] = {} if is_open else {"collapsed": True}


def foldable(blocks: Sequence[Block], given: Mapping[int, int], subject: Collection[str]) -> list[list[dict]]:
    """The nodes that may be folded, those of a kind together, the most important kind last: what the workflow is about,
    then where values were given, then what others lead to, unlike loaders, then the smaller ones."""
    kinds: dict[str, list[dict]] = {}
    for node in (node for block in blocks if block.group for node in block.nodes):
        if node["size"][1] > FOLDABLE and node["type"] not in PICTURES:
            kinds.setdefault(node["type"], []).append(node)

    def importance(alike: list[dict]) -> tuple:
        fed = any(entry["link"] for node in alike for entry in node["inputs"])
        its = max(given[node["id"]] for node in alike)
        return alike[0]["type"] in subject, its, fed, -alike[0]["size"][1]

    return sorted(kinds.values(), key=importance)


@dataclass
class Column:
    """Parts of blocks above one another. A block that is too tall for one column has several to itself."""

    parts: list[tuple[Block, list[dict]]]
    whole: bool  # whether its last block is

    @property
    def width(self) -> float:
        return max(node["size"][0] for _, nodes in self.parts for node in nodes)

    @property
    def height(self) -> float:
        """With the gap at its end."""
        return sum(map(tall, self.parts))

    @property
    def extent(self) -> float:
        """As tall as the page takes it for: Nodes 2.0 counts folded nodes as if they were open."""
        return max(y + node["size"][1] for node, y in self.placed())

    def placed(self) -> Iterator[tuple[dict, float]]:
        """Each node with the place below its title."""
        y = 0.0
        for block, nodes in self.parts:
            y += HEADER if block.group else 0
            for node in nodes:
                yield node, y + TITLE
                y += TITLE + shown(node)
            y += (MARGIN if block.group else 0) + GAP


def tall(part: tuple[Block, list[dict]]) -> float:
    """What part of a block takes in a column, with the gap below it."""
    block, nodes = part
    return sum(shown(node) + TITLE for node in nodes) + (HEADER + MARGIN if block.group else 0) + GAP


def shown(node: Mapping) -> float:
    """A node's height below its title, with the room for its preview."""
    return 0 if node["flags"].get("collapsed") else node["size"][1] + ROOM.get(node["type"], 0)


def columns(blocks: Sequence[Block], limit: float) -> list[Column]:
    """The blocks in order, in columns of at most such a height where that is possible."""
    made: list[Column] = []
    for block in blocks:
        parts = list(split(block, limit))
        below = made and made[-1].whole and len(parts) == 1
        if below and made[-1].height + tall(parts[0]) <= limit:
            made[-1].parts += parts
        else:
            made += [Column([part], len(parts) == 1) for part in parts]
    return made


def split(block: Block, limit: float) -> Iterator[tuple[Block, list[dict]]]:
    """A block's nodes in as many columns as it needs."""
    part: list[dict] = []
    for node in block.nodes:
        if part and tall((block, [*part, node])) > limit:
            yield block, part
            part = []
        part.append(node)
    yield block, part


def gap(left: Column, right: Column) -> float:
    """Between two columns: narrower where they are of one block."""
    return MARGIN if left.parts[0][0] is right.parts[0][0] else GAP + 2 * MARGIN


def fitted(made: Sequence[Column]) -> float:
    """The scale at which the page opens it."""
    width = sum(column.width for column in made) + sum(gap(*pair) for pair in pairwise(made))
    return FILLED * min(WINDOW[0] / width, WINDOW[1] / max(column.extent for column in made))


def place(made: Sequence[Column]) -> None:
    """Writes positions, sizes and frames down."""
    x, frames = 40.0, {}
    for k, column in enumerate(made):
        x += gap(made[k - 1], column) if k else 0
        for node, y in column.placed():
            node["pos"] = [x, 40 + y]
        for block, nodes in column.parts:
            if block.group:
                top = nodes[0]["pos"][1] - TITLE - HEADER + MARGIN
                ends = nodes is column.parts[-1][1]
                bottom = nodes[-1]["pos"][1] + shown(nodes[-1]) + (FOOT if ends else MARGIN)
                box = (x - MARGIN, top, x + column.width + MARGIN, bottom)
                frames.setdefault(id(block), (block, []))[1].append(box)
        for node, _ in column.placed():
            height = node["size"][1] if node["flags"].get("collapsed") else shown(node)
            node["size"] = [column.width, height]
        x += column.width
    for block, boxes in frames.values():
        left, top = min(b[0] for b in boxes), min(b[1] for b in boxes)
        right, bottom = max(b[2] for b in boxes), max(b[3] for b in boxes)
        block.group["bounding"] = [left, top, right - left, bottom - top]


def note_height(text: str, width: float) -> int:
    """About what a note's text takes at a width: a letter is some 6 pixels wide, a line 18 tall."""
    letters = (width - 60) / 6
    lines = sum(max(1, math.ceil(len(line) / letters)) for line in text.splitlines() if line.strip())
    return 60 + 18 * lines + 8 * text.count("\n\n")
