"""A U-Net from its weights alone, without a file around them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from qs_core import unets
from qs_core.unets import diffusers


def load_unet(
    state: Mapping[str, Tensor], name: str = "checkpoint", dtype: torch.dtype = torch.float32, **overrides
) -> unets.UNet:
    """The network that the state dict belongs to; `overrides` replace what shapes cannot tell."""
    state = diffusers.renamed(state) if diffusers.detect(state) else state
    return unets.build(unets.read_config(state, name, **overrides), dict(state), name, dtype)
