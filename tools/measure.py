"""`python -m tools.measure`: the figures of docs/results.md and the picture of the README, on the held-out split.

Round trips without guidance, zero-shot style accuracy of the built-in CLIP, and the five styles of the paper's
figure 4.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from qs_core import demo, load_clip, load_model, stylize
from qs_core.anchors import Attention, entropy_global
from qs_core.crops import Crops, cut, homographies
from qs_core.demo import CLIP as CLIP_FOLDER
from qs_core.pictures import fit, from_image
from qs_core.randomness import seeded
from qs_core.settings import Settings
from qs_core.stylizer import Stylizer, complete

from .data import styles
from .data.heldout import held_out_pictures

FIGURE_4 = ("a sketch with crayon", "golden", "water painting", "wooden", "red bricks")
SHOWN = ("astronaut", "cat", "pagoda", "coffee", "flower")
SHEET_SIZE = 192  # each picture of the sheet, in pixels


def pictures() -> dict[str, Image.Image]:
    """The twelve held-out pictures by name."""
    return {name: Image.fromarray(array) for name, array in held_out_pictures()}


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures in [-1, 1], the first clamped to it."""
    return 10 * math.log10(4 / float((a.clamp(-1, 1) - b).square().mean()))


def round_trips(size: int) -> dict[str, float]:
    """PSNR of invert → sample without guidance by DDIM, eta 0, 25 of 50 steps, per held-out picture."""
    stylizer, rows, unguided = Stylizer(load_model("demo")), {}, Settings("", eta=0.0)
    for name, image in pictures().items():
        prepared = stylizer.prepare(from_image(image)[None], size, "pad")
        inversion = complete(stylizer.invert(prepared.source, "50", 25, "inverted", [0]))
        back = complete(stylizer.guide(inversion, (), unguided, [0], prepared.blend(1.0)))
        rows[name] = psnr(prepared.frame.restore(back), prepared.frame.restore(prepared.source))
    return rows


def clip_accuracy(
    folder: Path = CLIP_FOLDER, renderings: int = 8, patches: int = 8, held_out: bool = True
) -> dict[str, float]:
    """Zero-shot accuracy of a CLIP over the styles it was trained on: held-out pictures, and renderer settings that the
    guide's training never draws, or draws (`held_out` false).

    Class embeddings are the mean over each style's phrases. "patches" are random crops of 5 to 30 % of the area.
    """
    clip = load_clip(str(folder))
    known = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))["styles"]
    classes = torch.stack([_class_embedding(clip, styles.STYLES[name]) for name in known])
    right = {"pictures": [], "patches": []}
    for number, image in enumerate(pictures().values()):
        source = np.asarray(image, np.float32) / 255
        for label, style in enumerate(known):
            for k in range(renderings if style != "photo" else 1):
                rng = np.random.default_rng([number, label, k])
                rendered = styles.render(source, style, rng, held_out)
                picture = torch.from_numpy(rendered.transpose(2, 0, 1).copy())[None] * 2 - 1
                size = clip.image_size
                whole = interpolate(picture, (size, size), mode="bilinear", antialias=True, align_corners=False)
                crops = Crops(patches, (0.05, 0.3))
                seeds = seeded([1000 * number + 10 * label + k])
                cropped = cut(picture, homographies(crops, *picture.shape[-2:], seeds), size, crops.area)
                for kind, views in (("pictures", whole), ("patches", cropped)):
                    with torch.no_grad():
                        found = (normalize(clip.encode_image(views), dim=-1) @ classes.T).argmax(1)
                    right[kind].append((label, float((found == label).float().mean())))
    return {kind: _balanced(rows) for kind, rows in right.items()}


def _class_embedding(clip, style: styles.Style) -> Tensor:
    embeddings = torch.stack([clip.encode_text(phrase) for phrase in style.phrases])
    return normalize(normalize(embeddings, dim=-1).mean(0), dim=-1)


def _balanced(rows: list[tuple[int, float]]) -> float:
    """Mean over classes of the mean accuracy."""
    labels = sorted({label for label, _ in rows})
    return float(np.mean([np.mean([value for label, value in rows if label == one]) for one in labels]))


ATTENTIONS = (
    Attention("raw", 1.0),
    Attention("sqrt", 1.0),
    Attention("cosine", 0.2),
    Attention("cosine", 0.07),
    Attention("cosine", 0.02),
)


def entropies() -> list[tuple]:
    """Per layer and attention scale: entropy in nats (lowest, mean, highest) over the six held-out photos at 128 px."""
    model, rows = load_model("demo"), []
    photos = [fit(from_image(image)[None], 128, model.multiple)[0] for image in list(pictures().values())[:6]]
    with torch.no_grad():
        encoded = [model.encode(photo, torch.zeros(1)) for photo in photos]
    for layer in model.content_layers():
        name = f"{128 // layer.factor}{', first convolution' * (layer.kind == 'conv')}"
        for attention in ATTENTIONS:
            found = torch.cat([entropy_global(maps[layer.index], attention)[0] for maps in encoded])
            places = np.mean([maps[layer.index][0, 0].numel() for maps in encoded])
            rows.append((name, attention, found.min(), found.mean(), found.max(), math.log(places)))
    return rows


def entropy_table() -> str:
    """The entropies as Markdown."""
    lines = ["| layer | scale, temperature | lowest | mean | highest | uniform |", "|---|---|---|---|---|---|"]
    for resolution, attention, *figures in entropies():
        told = " | ".join(f"{float(figure):.2f}" for figure in figures)
        lines.append(f"| {resolution} | {attention.scale}, {attention.temperature:g} | {told} |")
    return "\n".join(lines)


def sheet(names: tuple[str, ...], prompts: tuple[str, ...], path: Path, **options) -> None:
    """Sample photos, all held out of training, each beside its restyled versions, with the prompts above."""
    originals, rows = {name: Image.open(demo.PICTURES[name]).convert("RGB") for name in names}, []
    for name in names:
        results = [stylize(originals[name], prompt, **options).image for prompt in prompts]
        rows.append([originals[name], *results])
        print(f"sheet: {name}", flush=True)
    compose(rows, ("photo", *prompts)).save(path, quality=92)


def compose(rows: list[list[Image.Image]], titles: tuple[str, ...]) -> Image.Image:
    """Squares cut from the middle of each picture, in a grid with titles."""
    head, gap = 26, 4
    width, height = len(titles) * (SHEET_SIZE + gap) - gap, head + len(rows) * (SHEET_SIZE + gap) - gap
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    for column, title in enumerate(titles):
        draw.text((column * (SHEET_SIZE + gap) + SHEET_SIZE / 2, head / 2), title, "black", anchor="mm", font_size=15)
        for row, images in enumerate(rows):
            canvas.paste(_square(images[column]), (column * (SHEET_SIZE + gap), head + row * (SHEET_SIZE + gap)))
    return canvas


def _square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return square.resize((SHEET_SIZE, SHEET_SIZE), Image.Resampling.BICUBIC)


def table() -> str:
    """The measured table in Markdown."""
    trips = {size: round_trips(size) for size in (64, 128)}
    accuracy = clip_accuracy()
    lines = ["| round trip, PSNR in dB | 64 px | 128 px |", "|---|---|---|"]
    lines += [f"| {name} | {trips[64][name]:.1f} | {trips[128][name]:.1f} |" for name in trips[64]]
    means = [np.mean(list(trips[size].values())) for size in (64, 128)]
    lines += [f"| **mean** | **{means[0]:.1f}** | **{means[1]:.1f}** |", ""]
    lines += [f"| zero-shot style accuracy, {len(styles.STYLES)} classes | |", "|---|---|"]
    lines += [f"| unseen {kind} | {100 * value:.1f} % |" for kind, value in accuracy.items()]
    return "\n".join(lines)


def insert(page: Path, name: str, text: str) -> None:
    """Put the text between the page's two markers of that name."""
    pattern = rf"(<!-- {name} -->\n).*(<!-- /{name} -->)"
    old = page.read_text(encoding="utf-8")
    new, count = re.subn(pattern, lambda m: f"{m[1]}{text}\n{m[2]}", old, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"{page} has no markers <!-- {name} --> … <!-- /{name} -->.")
    page.write_text(new, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.measure", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("all", "table", "sheet"), default="all")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.what in ("all", "table"):
        page = args.out / "results.md"
        measured = table()
        insert(page, "table", measured)
        insert(page, "entropies", entropy_table())
        insert(Path("README.md"), "table", measured)
    if args.what in ("all", "sheet"):
        sheet(SHOWN, FIGURE_4, args.out / "figure4.jpg")


if __name__ == "__main__":
    main()
