"""Looking at results: QSCompareGrid and QSBeforeAfter."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..qs_core.errors import InputError
from .figures import LAYOUTS, LEGIBLE, THEMES, Cell, Look, agree, before_after, grid
from .images import as_output, plain
from .inference_mode import leaves_inference_mode
from .progress import say
from .widgets import CATEGORY, choice, number, text, whole, wire

ROW = 6  # pictures that stand side by side before a second row begins


class QSCompareGrid:
    """IMAGE batches and lists → one IMAGE, a grid with labels."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Puts pictures side by side with labels above them. Several batches make a table: a column for each, a row for "
        "each picture of the batch, the source first. A single batch, or single pictures, fill rows in order."
    )
    SEARCH_ALIASES = ["image grid", "contact sheet", "xy plot", "compare images", "labels", "collage", "table"]
    RETURN_TYPES = ("IMAGE",)
    OUTPUT_TOOLTIPS = ("The grid, one picture.",)
    FUNCTION = "draw"
    INPUT_IS_LIST = True

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "images": wire(
                    "IMAGE", "The pictures: a batch, or a list such as Prompt List gives. Sizes may differ."
                ),
                "labels": text(
                    "",
                    "What stands above the pictures, one a line; for a table, one for each column or each picture, "
                    "batch by batch. Or link the labels of Prompt List. Empty: none. Accents are left off; "
                    "other scripts are drawn with a font of this system, and show as boxes where it has none.",
                    multiline=True,
                ),
                "columns": whole(
                    0,
                    0,
                    64,
                    f"Pictures in a row. 0: a table where there are several batches, else up to {ROW} in a row.",
                ),
                "size": whole(
                    0,
                    0,
                    4096,
                    f"Short side of each picture in the grid, in pixels. 0: that of the largest, at least {LEGIBLE}, "
                    "or what the grid has room for.",
                    step=8,
                ),
            },
            "optional": {
                "source": wire("IMAGE", "The photo, or the batch of them, shown first."),
                "source_label": text("source", "What stands above the source.", advanced=True),
                "gap": whole(8, 0, 256, "Pixels between the pictures.", advanced=True),
                "background": choice(
                    list(THEMES), "dark", "Colours of the sheet: dark, or light as paper.", advanced=True
                ),
            },
        }

    @leaves_inference_mode
    def draw(
        self,
        images: list[Tensor],
        labels: list[str],
        columns: list[int],
        size: list[int],
        source: list[Tensor] | None = None,
        source_label: Sequence[str] = ("source",),
        gap: Sequence[int] = (8,),
        background: Sequence[str] = ("dark",),
    ):
        batches = [list(plain(batch)) for batch in images]
        sources = [picture for batch in source or [] for picture in plain(batch)]
        lines = [line.strip() for entry in labels for line in entry.splitlines() if line.strip()]
        paired = len(batches) > 1 or len(sources) == len(batches[0])
        if not columns[0] and paired and max(map(len, batches)) > 1:
            rows = table(batches, sources, lines, source_label[0])
        else:
            rows = flow(batches, sources, lines, source_label[0], columns[0])
        look = Look(size[0], gap[0], background[0])
        return (as_output(grid(rows, look)[None]),)


def table(
    batches: Sequence[Sequence[Tensor]], sources: Sequence[Tensor], labels: Sequence[str], source_label: str
) -> list[list[Cell]]:
    """A row for each picture of the batches, a column for each batch; labels above the first row, or each picture.

    Raises InputError unless there are no sources, one, or one for each row.
    """
    height = max(map(len, batches))
    if len(sources) not in (0, 1, height):
        raise InputError(f"{len(sources)} sources for {height} rows. Give one for each row, one for all, or none.")
    columns = _columns(batches, labels)
    if sources:
        each = list(sources) * height if len(sources) == 1 else sources
        columns.insert(0, [Cell(picture, "" if row else source_label) for row, picture in enumerate(each)])
    return [[column[row] if row < len(column) else Cell(None) for column in columns] for row in range(height)]


def _columns(batches: Sequence[Sequence[Tensor]], labels: Sequence[str]) -> list[list[Cell]]:
    each = iter(labels)
    if len(labels) == sum(map(len, batches)):
        return [[Cell(picture, next(each)) for picture in batch] for batch in batches]
    names = _as_many(labels, len(batches), "columns")
    return [
        [Cell(picture, "" if row else name) for row, picture in enumerate(batch)]
        for batch, name in zip(batches, names, strict=True)
    ]


def flow(
    batches: Sequence[Sequence[Tensor]],
    sources: Sequence[Tensor],
    labels: Sequence[str],
    source_label: str,
    columns: int = 0,
) -> list[list[Cell]]:
    """The pictures in rows, one after the other, each under its own label; one label a batch is that of all of it."""
    pictures = [picture for batch in batches for picture in batch]
    if len(labels) == len(batches):
        labels = [label for label, batch in zip(labels, batches, strict=True) for _ in batch]
    names = [source_label] * len(sources) + _as_many(labels, len(pictures), "pictures")
    cells = [Cell(picture, name) for picture, name in zip([*sources, *pictures], names, strict=True)]
    across = columns or (len(cells) if len(cells) <= ROW else math.ceil(math.sqrt(len(cells))))
    return [cells[first : first + across] for first in range(0, len(cells), across)]


def _as_many(labels: Sequence[str], count: int, what: str) -> list[str]:
    """As many labels as are needed, the last ones blank where there are too few: pictures are not refused for them."""
    if labels and len(labels) != count:
        rest = "Those without stay blank." if len(labels) < count else "The last ones are left out."
        say(f"{len(labels)} labels for {count} {what}. {rest} Give one a line for each.")
    return [*labels, *[""] * count][:count]


class QSBeforeAfter:
    """Two IMAGEs → one IMAGE that shows the change."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Shows a picture before and after: side by side, stacked, or split by a line with the one on its left and the "
        "other on its right. Where shapes differ the middle of before is cut to that of after; the smaller of the two "
        "is enlarged to the size of the other."
    )
    SEARCH_ALIASES = ["before after", "compare", "split view", "slider", "side by side", "difference"]
    RETURN_TYPES = ("IMAGE",)
    OUTPUT_TOOLTIPS = ("The comparison, one picture for each of the batch.",)
    FUNCTION = "draw"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "before": wire("IMAGE", "The picture as it was, or a batch of them."),
                "after": wire(
                    "IMAGE", "The picture as it became; as many as before, or either one for all of the other."
                ),
                "layout": choice(
                    LAYOUTS,
                    LAYOUTS[0],
                    "side_by_side and stacked show both whole; split shows one picture, half and half.",
                ),
                "position": number(
                    0.5, 0.0, 1.0, 0.01, "Where the split is, from the left: 0 shows only after, 1 only before."
                ),
            },
            "optional": {
                "before_label": text("before", "What is written on the first picture. Empty: nothing.", advanced=True),
                "after_label": text("after", "What is written on the second picture. Empty: nothing.", advanced=True),
            },
        }

    @leaves_inference_mode
    def draw(
        self,
        before: Tensor,
        after: Tensor,
        layout: str,
        position: float,
        before_label: str = "before",
        after_label: str = "after",
    ):
        first, second = list(plain(before)), list(plain(after))
        count = max(len(first), len(second))
        if {len(first), len(second)} - {1, count}:
            raise InputError(
                f"{len(first)} pictures before and {len(second)} after. Give as many of both, or one of either."
            )
        pairs = zip(first * (count // len(first)), second * (count // len(second)), strict=True)
        labels = (before_label, after_label)
        return (as_output(torch.stack([before_after(*agree(a, b), layout, position, labels) for a, b in pairs])),)
