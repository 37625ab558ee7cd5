"""The families of U-Net that can be loaded, in the order they are tried."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import InputError, UnsupportedCheckpoint
from . import adm, ddpm

UNet = adm.ADMUNet | ddpm.DDPMUNet
Config = adm.ADMConfig | ddpm.DDPMConfig


class Family(NamedTuple):
    """One family: how it is recognised, read and built."""

    name: str
    kind: str
    config: type
    network: type
    detect: Callable
    read_config: Callable


FAMILIES = (
    Family("adm", "an ADM U-Net", adm.ADMConfig, adm.ADMUNet, adm.detect, adm.read_config),
    Family("ddpm", "a DDPM U-Net", ddpm.DDPMConfig, ddpm.DDPMUNet, ddpm.detect, ddpm.read_config),
)
HEADS = ("num_heads", "num_head_channels", "use_new_attention_order")
LARGEST = 65504.0  # float16's largest number: no trained weight is near it, a flipped exponent bit is beyond it
ADVICE = "Choose an unconditional pixel U-Net of the guided-diffusion or DDPM family."
# A part of a key's name that only these networks have.
RELATIVES = {
    "model.diffusion_model.": "a latent-diffusion model (Stable Diffusion family), and this pack needs a pixel U-Net",
    "transformer_blocks.": "the U-Net of a latent-diffusion model, and this pack needs a pixel U-Net",
    "lora_": "a LoRA, an addition to another model",
    "down_blocks.": "a U-Net with the names of the diffusers library, which are not read; use the original checkpoint",
    "all_modules.": "a score-SDE network, another family",
    "first_stage_model.": "an autoencoder of latent diffusion",
    "encoder.down.": "an autoencoder (VAE)",
    "visual.": "a CLIP model; load it as the CLIP",
    "vision_model.": "a CLIP model; load it as the CLIP",
    "text_model.": "a text encoder; load it as the CLIP",
}


def load(
    state: Mapping[str, Tensor], name: str = "checkpoint", dtype: torch.dtype = torch.float32, **overrides
) -> UNet:
    """The network that the state dict belongs to, strictly loaded, frozen, in eval mode, its torso in `dtype`.

    `overrides` replace what shapes cannot tell: num_heads, num_head_channels, use_new_attention_order.
    Raises UnsupportedCheckpoint for any other kind of network.
    """
    return build(read_config(state, name, **overrides), state, name, dtype)


def read_config(state: Mapping[str, Tensor], name: str, **overrides) -> Config:
    """The configuration that names and shapes tell. Raises UnsupportedCheckpoint, naming other networks as they are."""
    family = _family(state, name)
    if overrides.get("num_heads"):
        overrides = {"num_head_channels": 0, **overrides}
    try:
        return family.read_config(state, **overrides)
    except InputError as error:
        raise type(error)(f"{name}: {error}") from error
    except Exception as error:  # whatever a wrong name or shape leads to
        raise _no_shapes(name, family.kind, error) from error


def family_of(config: Config) -> Family:
    """The family that a configuration belongs to."""
    return next(family for family in FAMILIES if isinstance(config, family.config))


def build(config: Config, state: Mapping[str, Tensor], name: str, dtype: torch.dtype = torch.float32) -> UNet:
    """The network of the configuration with the state's weights, its torso in `dtype`.

    It is made on the meta device and each weight converted as it is taken, so that a mapped file is copied once.
    """
    network = check(config, state, name).set_torso_dtype(dtype)
    wanted = network.state_dict()
    weights = {key: _weight(state[key], key, tensor.dtype, name) for key, tensor in wanted.items()}
    network.load_state_dict(weights, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def check(config: Config, state: Mapping[str, Tensor], name: str) -> UNet:
    """The configuration's network on the meta device, once the state has exactly its names and shapes."""
    family = family_of(config)
    try:
        with torch.device("meta"):
            network = family.network(config)
    except InputError as error:
        raise type(error)(f"{name}: {error}") from error
    except Exception as error:  # e.g. channels that cannot be grouped
        raise _no_shapes(name, family.kind, error) from error
    _require_same(network.state_dict(), state, name, family.kind)
    return network


def _family(state: Mapping[str, Tensor], name: str) -> Family:
    _refuse_relatives(state, name)
    family = next((family for family in FAMILIES if family.detect(state)), None)
    if family is None:
        keys = ", ".join(shown(key) for key in list(state)[:3])
        raise UnsupportedCheckpoint(
            f"{name} is no guided-diffusion (ADM) or DDPM U-Net: it begins with {keys}. {ADVICE}"
        )
    return family


def shown(key: str) -> str:
    """A key as a message may show it: short, and without control characters."""
    return key[:60] if key.isprintable() else ascii(key[:60])


def _no_shapes(name: str, kind: str, error: Exception) -> UnsupportedCheckpoint:
    what = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return UnsupportedCheckpoint(
        f"{name} has {kind}'s names but no shapes of one ({what}). Is it whole? Fetch it again."
    )


def _weight(tensor: Tensor, key: str, dtype: torch.dtype, name: str) -> Tensor:
    if not tensor.is_floating_point() or tensor.element_size() < 2:
        what = str(tensor.dtype).removeprefix("torch.")
        raise UnsupportedCheckpoint(f"{name} has {what} weights ({key}). Use a float32, float16 or bfloat16 file.")
    low, high = (float(end) for end in torch.aminmax(tensor))
    if not -LARGEST <= low <= high <= LARGEST:  # false for NaN as well
        raise UnsupportedCheckpoint(
            f"{name} is damaged: its weight {key} has values from {low:g} to {high:g}. Fetch it again."
        )
    return tensor.detach().to(dtype, copy=True, memory_format=torch.contiguous_format)


def _require_same(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], name: str, kind: str) -> None:
    """Raises UnsupportedCheckpoint that names the keys which are missing, left over, or of another shape."""
    faults = {
        "missing": [key for key in wanted if key not in state],
        "left over": [key for key in state if key not in wanted],
        "of another shape": [k for k in wanted if k in state and wanted[k].shape != state[k].shape],
    }
    told = [
        f"{len(keys)} {what} ({', '.join(shown(key) for key in keys[:3])}{' …' * (len(keys) > 3)})"
        for what, keys in faults.items()
        if keys
    ]
    if told:
        raise UnsupportedCheckpoint(
            f"{name} does not load as {kind}; keys: {'; '.join(told)}. Is it such a network, whole? Fetch it again."
        )


def _refuse_relatives(state: Mapping[str, Tensor], name: str) -> None:
    for part, what in RELATIVES.items():
        if any(key.startswith(part) or f".{part}" in key for key in state):
            raise UnsupportedCheckpoint(f"{name} is {what}. {ADVICE}")
    first = state.get("input_blocks.0.0.weight")
    if first is None or first.ndim != 4:
        return
    if first.shape[1] == 6:
        raise UnsupportedCheckpoint(f"{name} is a super-resolution U-Net (6 input channels). {ADVICE}")
    if first.shape[1] != 3:
        raise UnsupportedCheckpoint(f"{name} takes {first.shape[1]} channels, so it is no pixel U-Net. {ADVICE}")
    if "output_blocks.0.0.in_layers.0.weight" not in state:
        raise UnsupportedCheckpoint(f"{name} is a classifier (an encoder without decoder). {ADVICE}")
