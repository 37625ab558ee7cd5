"""The pictures of the templates: what each workflow shows when it runs."""

from collections.abc import Mapping

from PIL import Image, ImageDraw
from torch import Tensor

from qs_core import pictures
from qs_core.demo import PICTURES

from . import pack
from .run import pictures as shown_pictures
from .run import run, values

SIDE = 512  # pixels; ComfyUI shows templates on squares
QUALITY = 88
PAPER, INK, FAINT = (24, 24, 27), (240, 240, 240), (165, 165, 170)


def results(workflow: Mapping) -> list[Tensor]:
    """The pictures (H, W, 3) in [0, 1] that a workflow shows, as it stands."""
    return shown_pictures(run(workflow, pack.classes()))


def thumbnail(workflow: Mapping, shown: list[Tensor]) -> Image.Image:
    """The last picture that a workflow showed, on a square; where it is no grid, split with the first."""
    if needs(workflow):
        return card(workflow)
    if len(shown) > 1:
        compare = pack.classes()["QSBeforeAfter"]()
        (drawn,) = compare.draw(shown[0][None].clone(), shown[-1][None].clone(), "split", 0.5)
        shown = [drawn[0]]
    return on_square(image(shown[-1]))


def needs(workflow: Mapping) -> list[str]:
    """The model files that a workflow needs beside the built-in ones."""
    return workflow["extra"]["qs"]["needs"]


def image(picture: Tensor) -> Image.Image:
    """(H, W, 3) in [0, 1] as an image."""
    return pictures.to_image(picture.clone().movedim(-1, 0) * 2 - 1)


def on_square(drawn: Image.Image) -> Image.Image:
    """The whole image in the middle of a dark square."""
    scale = SIDE / max(drawn.size)
    small = drawn.resize([round(side * scale) for side in drawn.size], Image.Resampling.LANCZOS)
    square = Image.new("RGB", (SIDE, SIDE), PAPER)
    square.paste(small, ((SIDE - small.width) // 2, (SIDE - small.height) // 2))
    return square


def card(workflow: Mapping) -> Image.Image:
    """A workflow that does not run without a download: its photo as it comes, and what is needed."""
    font = pack.part("nodes.lettering").font
    classes = pack.classes()
    samples = [node for node in workflow["nodes"] if node["type"] == "QSSampleImage"]
    named = [values(sample, classes["QSSampleImage"])["picture"] for sample in samples] or ["pagoda"]
    photo = pictures.read(PICTURES[named[0]])
    square = on_square(pictures.to_image(photo))
    pen = ImageDraw.Draw(square)
    lines = [
        (workflow["extra"]["qs"]["title"].partition(" (")[0] + (", real model" if samples else ""), INK, 30),
        (f"needs {', '.join(needs(workflow))}", FAINT, 19),
    ]
    pen.rectangle([0, SIDE - 120, SIDE, SIDE], fill=PAPER)
    for (text, colour, size), y in zip(lines, (SIDE - 106, SIDE - 58), strict=True):
        face = font(size)
        pen.text(((SIDE - face.getlength(text)) / 2, y), text, colour, face)
    return square
