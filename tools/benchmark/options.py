"""What each option that trades a little costs in picture, and what it saves: the same edits with it and without.

The built-in models on the bundled photos, by default settings. Two yardsticks: options that change rounding alone, as
another processor would; and another seed, since what differs less than two seeds do is another result of the same kind.
Style is judged by the CLIP of `tools/evaluation`, which does not guide.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn.functional import normalize

from qs_core import Restyled, Stylizer, demo, load_clip, pictures, stylize
from qs_evaluate import metrics
from tools.evaluation.protocol import JUDGE

from . import report
from .cases import Case
from .measuring import load_average

SIZE, MULTIPLE = 128, 32  # of the short side, and of both, in pixels: fitted once, so that nothing is padded
JUDGED = ("content", "style")
PROMPTS = ("a sketch with crayon", "golden", "water painting")
FULL = {"dtype": "float32", "clip_dtype": "float32"}
BFLOAT16 = {"dtype": "bfloat16", "clip_dtype": "bfloat16"}
OPTIONS: dict[str, dict] = {
    "another seed": {"seed": 1},
    "crop_chunk 8": {"crop_chunk": 8},
    "clip_dtype bfloat16": {"clip_dtype": "bfloat16"},
    "dtype bfloat16": {"dtype": "bfloat16"},
    "both bfloat16": BFLOAT16,
    "final_crops 16": {"final_crops": 16},
    "final_crops 8": {"final_crops": 8},
    "crops 16": {"crops": 16},
    "steps 25, skip 12": {"steps": "25", "skip": 12},
    "guidance_interval 2": {"guidance_interval": 2},
    "no through_unet": {"through_unet": False},
    "both bfloat16, no through_unet": {**BFLOAT16, "through_unet": False},
}


@dataclass(frozen=True)
class Edit:
    """One result: the picture (1, 3, H, W), seconds of its guided steps, content and style of it."""

    picture: Tensor
    seconds: float
    content: float
    style: float


class Judge:
    """Content: SSIM to the source; style: directional similarity by a CLIP that does not guide."""

    def __init__(self, source_prompt: str = "photo"):
        self.clip = load_clip(str(JUDGE))
        texts = {phrase: self.clip.encode_text(phrase) for phrase in (source_prompt, *PROMPTS)}
        self.phrases = {phrase: normalize(text, dim=-1) for phrase, text in texts.items()}
        self.origin = self.phrases[source_prompt]

    def __call__(self, result: Restyled, source: Tensor, prompt: str) -> Edit:
        edited = result.picture[None].cpu()
        views = metrics.embed(self.clip, edited), metrics.embed(self.clip, source)
        style = metrics.directional_similarity(*views, self.phrases[prompt], self.origin)
        seconds = result.report["seconds"]
        walked = seconds["total"] - seconds["load"] - seconds["inversion"]
        return Edit(edited, walked, float(metrics.ssim(edited, source)), float(style))


def run(case: Case, only: list[str], count: int, sheet: Path | None) -> str:
    """The table over all edits. Those of a picture follow each other, in random order, to share the machine's day.

    `case.settings` and its device are taken for all edits; the rest of the case is for random networks.
    """
    before, chosen = load_average(), {"full": {}, **{name: OPTIONS[name] for name in only or OPTIONS}}
    stylizers, judge, rows, order = {name: Stylizer() for name in chosen}, Judge(), {}, random.Random(0)
    for photo in list(demo.PICTURES)[:count]:
        source, _ = pictures.fit(pictures.read(demo.PICTURES[photo])[None], SIZE, MULTIPLE, "crop")
        for prompt in PROMPTS:
            edits = {}
            for name in order.sample(list(chosen), len(chosen)):
                given = {"device": case.device, "size": SIZE, "stylizer": stylizers[name], **FULL, **case.settings}
                if not rows:  # the first of all is slower: it is not counted
                    stylize(source[0], prompt, **{**given, **chosen[name], "steps": "4", "skip": 1})
                edits[name] = judge(stylize(source[0], prompt, **{**given, **chosen[name]}), source, prompt)
            rows[f"{photo}: {prompt}"] = {name: edits[name] for name in chosen}
            print(photo, prompt, flush=True)
    if sheet:
        _sheet({label: [edit.picture[0] for edit in edits.values()] for label, edits in rows.items()}, chosen, sheet)
    heads = [
        "option",
        "PSNR to the full result, dB",
        "SSIM to it",
        "content, less the full's",
        "style, less the full's",
    ]
    table = report.table([*heads, "seconds of the walk, of the full one's"], [_row(name, rows) for name in chosen][1:])
    content, style = (statistics.median(getattr(edits["full"], name) for edits in rows.values()) for name in JUDGED)
    note = (
        f"{len(rows)} edits ({count} photos, {len(PROMPTS)} phrases, short side {SIZE} px), built-in models, median "
        f"(least to most). Content is SSIM to the source, {content:.3f} in the median of the full results; style is "
        f"directional similarity by a CLIP that does not guide, {style:.3f}."
    )
    return f"{table}\n\n{note} {report.surroundings(case.device, before)}"


def _row(name: str, rows: dict[str, dict[str, Edit]]) -> list[str]:
    pairs = [(edits["full"], edits[name]) for edits in rows.values()]
    near = [psnr(one.picture, other.picture) for one, other in pairs]
    alike = [float(metrics.ssim(one.picture, other.picture)) for one, other in pairs]
    content, style = ([getattr(other, part) - getattr(one, part) for one, other in pairs] for part in JUDGED)
    share = [other.seconds / one.seconds for one, other in pairs]
    told = (report.spread(near, ".1f"), report.spread(alike, ".3f"))
    return [name, *told, report.spread(content, "+.3f"), report.spread(style, "+.3f"), report.spread(share, ".2f")]


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures in [-1, 1], both clamped to it; infinite for the same picture."""
    error = float((a.clamp(-1, 1) - b.clamp(-1, 1)).square().mean())
    return 10 * math.log10(4 / error) if error else math.inf


def _sheet(rows: dict[str, list[Tensor]], titles: Iterable[str], path: Path) -> None:
    """All results to look at: an edit a row, an option a column."""
    sizes = [picture.shape[-2:] for row in rows.values() for picture in row]
    head, height, width = 20, max(h for h, _ in sizes), 4 + max(w for _, w in sizes)
    titles = list(titles)
    canvas = Image.new("RGB", (len(titles) * width, head + len(rows) * (height + head)), "white")
    draw = ImageDraw.Draw(canvas)
    for column, title in enumerate(titles):
        draw.text((column * width, 4), title, "black")
    for line, (label, row) in enumerate(rows.items()):
        top = head + line * (height + head)
        draw.text((0, top + 2), label, "black")
        for column, picture in enumerate(row):
            canvas.paste(pictures.to_image(picture), (column * width, top + head))
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(path)
