"""Widgets: their defaults, read from the library's settings, and what their text means."""

import math
from dataclasses import fields

from ..qs_core.errors import InputError
from ..qs_core.settings import Settings

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


def weight(name: str, tooltip: str, **options) -> tuple:
    """The FLOAT widget of a loss's weight, whose default is the library's."""
    return number(DEFAULTS[name], 0.0, 1e6, 10.0, f"{tooltip} 0 turns it off. Quoted at 256x256 pixels.", **options)


def wire(kind: str, tooltip: str) -> tuple:
    """An input that takes a link."""
    return (kind, {"tooltip": tooltip})


def parse_prompts(lines: str) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Target phrases and their weights from one line each, "a phrase" or "a phrase::2".

    Raises InputError for a weight that is no finite number.
    """
    pairs = [_weighted(line.strip()) for line in lines.splitlines() if line.strip()]
    return tuple(phrase for phrase, _ in pairs), tuple(weight for _, weight in pairs)


def _weighted(line: str) -> tuple[str, float]:
    phrase, mark, number = line.rpartition("::")
    if not mark:
        return line, 1.0
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight):
        raise InputError(f"The prompt line {line!r} ends in ::{number}; give a number there, e.g. {phrase}::2.")
    return phrase.strip(), weight
