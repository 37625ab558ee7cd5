"""Widgets: their defaults, read from the library's settings, and what their text means."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace

from ..qs_core.errors import InputError
from ..qs_core.losses.description import Option
from ..qs_core.settings import OPTIONS, Settings
from ..qs_core.values import weighted

CATEGORY = "QS Style Transfer"
DEFAULTS = {field.name: field.default for field in fields(Settings)}
OPTION = {option.name: option for option in OPTIONS}
MAX_SEED = 2**64 - 1
OFF = "0 turns it off. Quoted at 256x256 pixels."


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


STEADY = number(
    DEFAULTS["steady"],
    0.0,
    1.0,
    0.05,
    "For the frames of a video, as one batch: each is held to the one before where that can be followed. 0: each by "
    "itself, which flickers; 0.95 is steady; 1 lets hardly anything change.",
    advanced=True,
)


def wire(kind: str, tooltip: str) -> tuple:
    """An input that takes a link."""
    return (kind, {"tooltip": tooltip})


def widgets(option: Option, **changes) -> dict[str, tuple]:
    """The widget of a loss's setting, by its input's name; two for a range. `changes` take the place of its own."""
    o = replace(option, **changes)
    its = {"advanced": True} if o.advanced else {}
    value = o.default if o.widget_default is None else o.widget_default
    if o.kind == "weight":
        return {o.name: number(value, o.low, o.high, o.step, f"{o.tooltip} {OFF}", **its)}
    if o.kind == "number":
        return {o.name: number(value, o.low, o.high, o.step, o.tooltip, round=0.001, **its)}
    if o.kind == "whole":
        return {o.name: whole(value or 0, int(o.low), int(o.high), o.tooltip, **its)}
    if o.kind == "choice":
        return {o.name: choice(o.choices, value, o.tooltip, **its)}
    if o.kind == "text":
        return {o.name: text(value or "", o.tooltip, placeholder=o.placeholder, **its)}
    ends = zip(("min", "max"), value, o.tooltip, strict=True)
    return {f"{o.name}_{end}": number(v, o.low, o.high, o.step, tip, round=0.001, **its) for end, v, tip in ends}


def settings_of(inputs: Mapping[str, object]) -> dict[str, object]:
    """The losses' settings that widgets say, by their fields of `Settings`."""
    found = {}
    for option in OPTIONS:
        if option.name in inputs:
            value = inputs[option.name]
            found[option.name] = (value or None) if option.default is None else value
        ends = [f"{option.name}_{end}" for end in ("min", "max")]
        if option.kind == "range" and any(end in inputs for end in ends):
            found[option.name] = tuple(inputs.get(end, v) for end, v in zip(ends, option.default, strict=True))
    return found


def verdict(check: Callable[..., object], *inputs: object) -> bool | str:
    """What VALIDATE_INPUTS answers: True, or the text of the check's InputError. An input that is None is linked, and
    known later."""
    try:
        return None in inputs or bool(check(*inputs) or True)
    except InputError as error:
        return str(error)


def parse_prompts(lines: str) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Target phrases and their weights from one line each, "a phrase" or "a phrase::2".

    Raises InputError for a weight that is no finite number.
    """
    pairs = [weighted(line) for line in lines.splitlines() if line.strip()]
    return tuple(phrase for phrase, _ in pairs), tuple(weight for _, weight in pairs)
