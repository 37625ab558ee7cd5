"""Restyle a real picture by a phrase, without training, with its content kept.

Hwang & Lee, Query-Selected Global Attention for Text guided Image Style Transfer using Diffusion Model.
"""

from .checkpoints.specification import convert, inspect
from .errors import InputError, MemoryShortage, NonFiniteError, UnsupportedCheckpoint
from .features.clip import text_direction
from .features.openclip import load_clip
from .model import DiffusionModel, load_model
from .pipeline import Restyled, stylize
from .presets import PRESETS, preset
from .settings import Settings
from .stylizer import Stylizer

__all__ = [
    "DiffusionModel",
    "PRESETS",
    "InputError",
    "MemoryShortage",
    "NonFiniteError",
    "Restyled",
    "Settings",
    "Stylizer",
    "UnsupportedCheckpoint",
    "convert",
    "inspect",
    "preset",
    "load_clip",
    "load_model",
    "stylize",
    "text_direction",
]
