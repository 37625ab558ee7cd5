"""Restyle a real picture by a phrase, without training, with its content kept.

Hwang & Lee, Query-Selected Global Attention for Text guided Image Style Transfer using Diffusion Model.
"""

from .errors import InputError, NonFiniteError
from .features.clip import load_clip, text_direction
from .model import DiffusionModel, load_model
from .pipeline import Restyled, stylize
from .settings import Settings

__all__ = [
    "DiffusionModel",
    "InputError",
    "NonFiniteError",
    "Restyled",
    "Settings",
    "load_clip",
    "load_model",
    "stylize",
    "text_direction",
]
