"""Procedural renderings of a picture in twenty-seven styles.

They teach the small built-in models what each style looks like. Every renderer keeps the content of the picture (edges,
light and dark; for painterly styles the main colours too) and lays the style's own texture over it. Every random
setting is a `Knob` with a training range. Some have a second, disjoint range, used when `held_out=True`: settings that
training never sees, but that plainly belong to the same style.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from . import styles_first, styles_materials, styles_painted
from .filters import Array, Knob, Knobs, Rng, Style

_PARTS = (styles_first, styles_painted, styles_materials)
KNOBS: dict[str, dict[str, Knob]] = {name: knobs for part in _PARTS for name, knobs in part.KNOBS.items()}
PHRASES: dict[str, tuple[str, ...]] = {name: phrases for part in _PARTS for name, phrases in part.PHRASES.items()}
RENDERERS: dict[str, Callable[[Array, Knobs, Rng], Array]] = {
    name: renderer for part in _PARTS for name, renderer in part.RENDERERS.items()
}


def draw_knobs(name: str, rng: Rng, held_out: bool) -> Knobs:
    """Random settings for one rendering."""
    ranges = {key: knob.held if held_out and knob.held else knob.train for key, knob in KNOBS[name].items()}
    return {key: float(rng.uniform(low, high)) for key, (low, high) in ranges.items()}


def _run(name: str, picture: Array, rng: Rng, held_out: bool) -> Array:
    """Render with freshly drawn settings, and bring the result into the common form."""
    picture = np.asarray(picture, np.float32)
    out = RENDERERS[name](picture, draw_knobs(name, rng, held_out), rng)
    return np.clip(out, 0.0, 1.0).astype(np.float32)


STYLES: dict[str, Style] = {name: Style(name, PHRASES[name], partial(_run, name)) for name in RENDERERS}


def render(picture: Array, style_name: str, rng: Rng, held_out: bool = False) -> Array:
    """Render the picture in a style; `held_out` uses settings that training never draws."""
    return STYLES[style_name].render(picture, rng, held_out)
