"""Widgets: their defaults, read from the library's settings, and what their text means."""

from dataclasses import fields

from ..qs_core import anchors
from ..qs_core.settings import Settings
from ..qs_core.values import weighted

CATEGORY = "QS Style Transfer"
DEFAULTS = {field.name: field.default for field in fields(Settings)}
MAX_SEED = 2**64 - 1


def number(default: float, low: float, high: float, step: float, tooltip: str, **options) -> tuple:
    """A FLOAT widget."""
    return ("FLOAT", {"default": default, "min": low, "max": high, "step": step, "tooltip": tooltip, **options})


def whole(default: int, low: int, high: int, tooltip: str, **options) -> tuple:
    """An INT widget."""
    return ("INT", {"default": default, "min": low, "max": high, "tooltip": tooltip, **options})


def choice(options: list[str] | tuple[str, ...], default: str, tooltip: str, **more) -> tuple:
    """A COMBO widget."""
    return (list(options), {"default": default, "tooltip": tooltip, **more})


def text(default: str, tooltip: str, **options) -> tuple:
    """A STRING widget."""
    return ("STRING", {"default": default, "tooltip": tooltip, **options})


def flag(default: bool, tooltip: str, **options) -> tuple:
    """A BOOLEAN widget."""
    return ("BOOLEAN", {"default": default, "tooltip": tooltip, **options})


def weight(name: str, tooltip: str, default: float | None = None, **options) -> tuple:
    """The FLOAT widget of a loss's weight, whose default is the library's unless given."""
    default = DEFAULTS[name] if default is None else default
    return number(default, 0.0, 1e6, 10.0, f"{tooltip} 0 turns it off. Quoted at 256x256 pixels.", **options)


def wire(kind: str, tooltip: str) -> tuple:
    """An input that takes a link."""
    return (kind, {"tooltip": tooltip})


def crop_widgets(**options) -> dict[str, tuple]:
    """The inputs that say which pieces of the picture CLIP judges."""
    low, high = DEFAULTS["crop_area"]
    return {
        "crops": whole(
            DEFAULTS["crops"],
            1,
            1024,
            "Random pieces of the picture that CLIP judges at each step. More is steadier, slower and needs memory.",
            **options,
        ),
        "crop_area_min": number(
            low,
            0.001,
            1.0,
            0.01,
            "The smallest piece, as a share of the picture's area. Smaller: finer texture.",
            round=0.001,
            **options,
        ),
        "crop_area_max": number(
            high,
            0.001,
            1.0,
            0.01,
            "The largest piece, as a share of the picture's area. Larger: style of the whole scene.",
            round=0.001,
            **options,
        ),
    }


def anchors_widget(kinds: list[str] | tuple[str, ...] = anchors.KINDS, **options) -> tuple:
    """The COMBO of how anchors are chosen."""
    return choice(
        kinds,
        DEFAULTS["anchors"],
        "Where the content is held. global: where attention over the whole picture is most focused (QS-Attn). local: "
        "within a 7x7 window. local_global: selected locally, compared globally."
        + (" random: anywhere (ZeCon)." if "random" in kinds else ""),
        **options,
    )


def anchor_widgets(**options) -> dict[str, tuple]:
    """The inputs that say where on the picture the contrastive loss looks, but for the kind of anchors."""
    return {
        "num_anchors": whole(
            0,
            0,
            65536,
            "How many places the contrastive loss compares on each layer, at most a quarter of its map. 0: 256. More "
            "hold the content more evenly, fewer more at the selected places.",
            **options,
        ),
        "attend": text(
            "",
            "Layers that select their anchors by attention; the others take random ones. Empty: the two deepest; or "
            "all; or resolutions such as 32,16 (the short side of the layer's map). All is slow on large pictures.",
            **options,
        ),
        "attention_scale": choice(
            anchors.SCALES,
            DEFAULTS["attention_scale"],
            "How alike two places are: cosine of their features; sqrt, the dot product over the root of the channels; "
            "raw, the plain one as in QS-Attn, whose attention often sees one place only.",
            **options,
        ),
        "attention_temperature": number(
            DEFAULTS["attention_temperature"],
            0.001,
            100.0,
            0.01,
            "Higher spreads each place's attention over more of the picture (higher entropy), lower sharpens it.",
            round=0.001,
            **options,
        ),
    }


def parse_prompts(lines: str) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Target phrases and their weights from one line each, "a phrase" or "a phrase::2".

    Raises InputError for a weight that is no finite number.
    """
    pairs = [weighted(line) for line in lines.splitlines() if line.strip()]
    return tuple(phrase for phrase, _ in pairs), tuple(weight for _, weight in pairs)
