"""The families of U-Net that can be loaded, in the order they are tried."""

from collections.abc import Mapping

from torch import Tensor

from ..errors import InputError
from . import adm

HEADS = ("num_heads", "num_head_channels", "use_new_attention_order")
REFUSED = {
    "model.diffusion_model.": "a latent-diffusion model (Stable Diffusion family); this pack needs a pixel U-Net",
    "low_res": "a super-resolution U-Net",
}


def load(state: Mapping[str, Tensor], name: str = "checkpoint", **overrides) -> adm.ADMUNet:
    """The network that the state dict belongs to, strictly loaded, in float32, frozen, in eval mode.

    `overrides` replace what shapes cannot tell: num_heads, num_head_channels, use_new_attention_order.
    Raises InputError for any other kind of network.
    """
    _refuse_relatives(state, name)
    if not adm.detect(state):
        keys = ", ".join(list(state)[:3])
        raise InputError(
            f"{name} is no guided-diffusion (ADM) U-Net: its first keys are {keys}. Choose such a checkpoint."
        )
    if overrides.get("num_heads"):
        overrides = {"num_head_channels": 0, **overrides}
    try:
        network = adm.ADMUNet(adm.read_config(state, **overrides))
        network.load_state_dict(state, strict=True)
    except (RuntimeError, KeyError, ValueError) as error:
        raise InputError(f"{name} does not load as an ADM U-Net: {str(error).splitlines()[0]}") from error
    return network.eval().requires_grad_(False)


def _refuse_relatives(state: Mapping[str, Tensor], name: str) -> None:
    if any(key.startswith("model.diffusion_model.") for key in state):
        raise InputError(f"{name} is {REFUSED['model.diffusion_model.']}.")
    first = state.get("input_blocks.0.0.weight")
    if first is not None and first.shape[1] == 6:
        raise InputError(f"{name} is {REFUSED['low_res']} (6 input channels). Choose an unconditional pixel U-Net.")
    if first is not None and first.shape[1] != 3:
        raise InputError(f"{name} takes {first.shape[1]} channels, so it is no pixel U-Net. Choose one with 3.")
    if first is not None and "output_blocks.0.0.in_layers.0.weight" not in state:
        raise InputError(f"{name} is a classifier (an encoder without decoder). Choose the diffusion U-Net beside it.")
