"""The families of U-Net that can be loaded, in the order they are tried."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ..checkpoints.contents import require_same, require_weight, shown
from ..errors import InputError, UnsupportedCheckpoint, first_line
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
ADVICE = "Choose an unconditional pixel U-Net of the guided-diffusion or DDPM family."
# A part of a key's name that only these networks have.
RELATIVES = {
    "model.diffusion_model.": "a latent-diffusion model (Stable Diffusion family), and this pack needs a pixel U-Net",
    "transformer_blocks.": "the U-Net of a latent-diffusion model, and this pack needs a pixel U-Net",
    "lora_": "a LoRA, an addition to another network; one that was trained here goes into --style-file",
    "down_blocks.": "a U-Net of the diffusers library, but none of Ho et al.'s, which alone are read of these",
    "all_modules.": "a score-SDE network, another family",
    "first_stage_model.": "an autoencoder of latent diffusion",
    "encoder.down.": "an autoencoder (VAE)",
    "visual.": "a CLIP model; load it as the CLIP",
    "vision_model.": "a CLIP model; load it as the CLIP",
    "text_model.": "a text encoder; load it as the CLIP",
}


def read_config(state: Mapping[str, Tensor], name: str, **overrides) -> Config:
    """The configuration that names and shapes tell. Raises UnsupportedCheckpoint, naming other networks as they are."""
    family = _family(state, name)
    if overrides.get("num_heads"):
        overrides = {"num_head_channels": 0, **overrides}
    elif (overrides.get("num_head_channels") or 0) > 0 and family.name == "adm":
        overrides = {"num_heads": 0, **overrides}
    try:
        return family.read_config(state, **overrides)
    except InputError as error:
        raise type(error)(f"{name}: {error}") from error
    except Exception as error:  # whatever a wrong name or shape leads to
        raise _no_shapes(name, family.kind, error) from error


def family_of(config: Config) -> Family:
    """The family that a configuration belongs to."""
    return next(family for family in FAMILIES if isinstance(config, family.config))


def build(config: Config, state: dict[str, Tensor], name: str, dtype: torch.dtype = torch.float32) -> UNet:
    """The network of the configuration with the state's weights, its torso in `dtype`. Empties `state`.

    It is made on the meta device and each weight converted as it is taken, so that one copy is held at a time beside a
    mapped file.
    """
    network = check(config, state, name).set_torso_dtype(dtype)
    weights = {}
    for key, wanted in network.state_dict().items():
        tensor = state.pop(key)
        require_weight(tensor, key, name)
        weights[key] = tensor.detach().to(wanted.dtype, copy=True, memory_format=torch.contiguous_format)
    network.load_state_dict(weights, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def check(config: Config, state: Mapping[str, Tensor], name: str) -> UNet:
    """The configuration's network on the meta device, once the state has exactly its names and shapes."""
    family = family_of(config)
    try:
        with torch.device("meta"):
            network = family.network(config).float()  # whatever the default number format is
    except InputError as error:
        raise type(error)(f"{name}: {error}") from error
    except Exception as error:  # e.g. channels that cannot be grouped
        raise _no_shapes(name, family.kind, error) from error
    require_same(network.state_dict(), state, name, family.kind, "Is it such a network, whole? Fetch it again.")
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


def channels_told(count: int) -> str:
    """What a U-Net is that takes so many channels, as a clause."""
    what = {1: "draws grey pictures", 4: "works on a VAE's latents", 6: "is a super-resolution U-Net"}
    return f"{what.get(count, 'takes other inputs')} ({count} input channel{'s' * (count > 1)}), and 3 are needed"


def _no_shapes(name: str, kind: str, error: Exception) -> UnsupportedCheckpoint:
    what = first_line(f"{type(error).__name__}: {error}")
    return UnsupportedCheckpoint(
        f"{name} has {kind}'s names but no shapes of one ({what}). Is it whole? Fetch it again."
    )


def _refuse_relatives(state: Mapping[str, Tensor], name: str) -> None:
    for part, what in RELATIVES.items():
        if any(key.startswith(part) or f".{part}" in key for key in state):
            raise UnsupportedCheckpoint(f"{name} is {what}. {ADVICE}")
    first = state.get("input_blocks.0.0.weight", state.get("conv_in.weight"))
    if first is None or first.ndim != 4:
        return
    if first.shape[1] != 3:
        raise UnsupportedCheckpoint(f"{name} {channels_told(first.shape[1])}. {ADVICE}")
    if "input_blocks.0.0.weight" in state and "output_blocks.0.0.in_layers.0.weight" not in state:
        raise UnsupportedCheckpoint(f"{name} is a classifier (an encoder without decoder). {ADVICE}")
