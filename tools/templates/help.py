"""The help pages of the nodes: prose by hand, lists from the nodes' own declarations, pictures from real runs.

Inputs and outputs are lists: the help panel is too narrow for the columns of a table.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image

from qs_core import pictures
from qs_core.demo import PICTURES as PHOTOS

from . import examples, pack
from .graph import Graph
from .locales import read
from .thumbnails import image

FOLDER = pack.ROOT / "web" / "docs"
LANGUAGES = ("en", "zh")
WIDEST, QUALITY = 900, 85  # of a picture
# The words in the lists of inputs and outputs.
WORDS = {
    "en": {"to": " to ", "empty": "empty", "text": "text", "link": "link", "default": "default", "semicolon": "; "}
    | {"optional": "optional", "advanced": "advanced"},
    "zh": {"to": " 至 ", "empty": "空", "text": "文本", "link": "连线", "default": "默认", "semicolon": "；"}
    | {"optional": "可选", "advanced": "高级"},
}
# The picture of each node: a template's, or an example's of its own. VGG's weights come with nobody.
SHOWN: dict[str, str | Callable[[], Graph]] = {
    "LoadDiffusionModel": "2_step_by_step",
    "LoadOpenCLIP": "five_styles_side_by_side",
    "CLIPTextDirection": "five_styles_side_by_side",
    "EncodeInvertDDIM": examples.skip,
    "QSAttnGuidedSampler": "strength_sweep",
    "QSRestyle": "1_quick_start",
    "QSStylePreset": "style_preset_dials",
    "QSContrastiveLoss": examples.contrastive,
    "QSCLIPLoss": examples.crops,
    "QSMSELoss": examples.mse,
    "QSRangeLoss": examples.colours,
    "QSFineTuneStyle": "trained_style",
    "QSLoadStyle": "trained_style",
    "QSApplyStyle": "trained_style",
    "QSPromptList": "five_styles_side_by_side",
    "QSSampleImage": "photos",
    "QSAttnHeatmap": "anchors_heatmap",
    "QSCompareGrid": "five_styles_side_by_side",
    "QSViTLoss": examples.transformer,
    "QSStylePicture": "style_from_picture",
    "QSBeforeAfter": "2_step_by_step",
}


def page(node: str, language: str) -> Path:
    """Where ComfyUI looks for a node's page."""
    return FOLDER / f"{node}.md" if language == "en" else FOLDER / node / f"{language}.md"


def picture_name(node: str) -> str:
    """The file of a node's picture; nodes that show the same share it."""
    shown = SHOWN[node]
    return f"{shown if isinstance(shown, str) else shown.__name__}.jpg"


def filled(text: str, node: str, language: str) -> str:
    """A page's text with its lists as the node is now."""
    for name, listed in (("inputs", inputs_list(node, language)), ("outputs", outputs_list(node, language))):
        pattern = re.compile(rf"<!-- {name} -->\n.*?<!-- /{name} -->", re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise ValueError(f"The page of {node} ({language}) must have <!-- {name} --> and <!-- /{name} --> once.")
        text = pattern.sub(lambda _, name=name, listed=listed: f"<!-- {name} -->\n{listed}\n<!-- /{name} -->", text)
    return text


def inputs_list(node: str, language: str) -> str:
    """Each input with its effect, default and range."""
    cls, said = pack.classes()[node], read(language)[node]["inputs"]
    declared, optional = pack.inputs(cls), cls.INPUT_TYPES().get("optional", {})
    rows = []
    for name, spec in declared.items():
        words = WORDS[language]
        facts = [f"{words['default']} {default(spec, words)}"] if pack.is_widget(spec) else []
        facts.append(limits(spec, words))
        if spec[1].get("advanced") or (name in optional and not pack.is_widget(spec)):
            facts.append(words["advanced" if spec[1].get("advanced") else "optional"])
        effect = said[name].get("tooltip", spec[1]["tooltip"])
        rows.append(item(titled(said[name]["name"], name), effect, words["semicolon"].join(facts)))
    return "\n".join(rows)


def item(called: str, effect: str, facts: str) -> str:
    """One input or output: its name, what it does, and its facts, a line each."""
    return f"- **{called}**<br>{effect}<br>*{facts}*"


def titled(called: str, name: str) -> str:
    """An input's or output's name, behind what it is called in the language."""
    return f"`{name}`" if called == name else f"{called}, `{name}`"


def default(spec: tuple, words: Mapping[str, str]) -> str:
    """A widget's default as it is shown."""
    value = spec[1]["default"]
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return " / ".join(f"`{line}`" for line in str(value).split("\n")) if value != "" else words["empty"]


def limits(spec: tuple, words: Mapping[str, str]) -> str:
    """What an input takes."""
    kind, options = spec
    if isinstance(kind, list):
        shown = [f"`{choice}`" for choice in kind]
        return ", ".join(shown if len(shown) <= 12 else [*shown[:11], "…"])
    if kind in ("INT", "FLOAT"):
        return f"{short(options['min'])}{words['to']}{short(options['max'])}"
    return {"BOOLEAN": "`true`, `false`", "STRING": words["text"]}.get(kind, f"{kind} ({words['link']})")


def short(number: float) -> str:
    """A number as people write it."""
    if number == 2**64 - 1:
        return "2^64 - 1"
    return f"{int(number):,}".replace(",", " ") if number >= 10_000 else f"{number:g}"


def outputs_list(node: str, language: str) -> str:
    """Each output with its type and meaning."""
    cls, said = pack.classes()[node], read(language)[node]["outputs"]
    rows = [
        item(titled(said[str(slot)]["name"], name), said[str(slot)]["tooltip"], kind)
        for slot, (name, kind) in enumerate(pack.outputs(cls))
    ]
    return "\n".join(rows)


def write_pages() -> None:
    """Fill the lists of every page anew."""
    for node in pack.classes():
        for language in LANGUAGES:
            path = page(node, language)
            path.write_text(filled(path.read_text(encoding="utf-8"), node, language), encoding="utf-8")


def photos() -> Image.Image:
    """The bundled photos with their names."""
    figures = pack.part("nodes.figures")
    cells = [figures.Cell((pictures.read(path).movedim(0, -1) + 1) / 2, name) for name, path in PHOTOS.items()]
    return image(figures.grid([cells[:3], cells[3:]], figures.Look(224)))


def save(drawn: Image.Image, name: str) -> None:
    """Save a page's picture, not larger than the help panel shows."""
    if drawn.width > WIDEST:
        drawn = drawn.resize((WIDEST, round(drawn.height * WIDEST / drawn.width)), Image.Resampling.LANCZOS)
    drawn.save(FOLDER / f"{name}.jpg", quality=QUALITY)
