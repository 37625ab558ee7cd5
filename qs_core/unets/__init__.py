"""The families of U-Net that can be loaded, in the order they are tried."""

from collections.abc import Mapping

from torch import Tensor

from ..errors import InputError
from . import adm, ddpm

FAMILIES = ((adm, adm.ADMUNet, "an ADM U-Net"), (ddpm, ddpm.DDPMUNet, "a DDPM U-Net"))
HEADS = ("num_heads", "num_head_channels", "use_new_attention_order")
REFUSED = {
    "model.diffusion_model.": "a latent-diffusion model (Stable Diffusion family); this pack needs a pixel U-Net",
    "low_res": "a super-resolution U-Net",
}


def load(state: Mapping[str, Tensor], name: str = "checkpoint", **overrides) -> adm.ADMUNet | ddpm.DDPMUNet:
    """The network that the state dict belongs to, strictly loaded, in float32, frozen, in eval mode.

    `overrides` replace what shapes cannot tell: num_heads, num_head_channels, use_new_attention_order.
    Raises InputError for any other kind of network.
    """
    _refuse_relatives(state, name)
    family, network_class, kind = next((entry for entry in FAMILIES if entry[0].detect(state)), (None, None, ""))
    if family is None:
        keys = ", ".join(list(state)[:3])
        raise InputError(
            f"{name} is no guided-diffusion (ADM) or DDPM U-Net: its first keys are {keys}. Choose such a checkpoint."
        )
    if overrides.get("num_heads"):
        overrides = {"num_head_channels": 0, **overrides}
    try:
        network = network_class(family.read_config(state, **overrides))
    except InputError:
        raise
    except Exception as error:  # whatever a wrong name or shape leads to
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"{name} has {kind}'s names but no shapes of one ({what}). Is the file whole?") from error
    _require_same(network.state_dict(), state, name, kind)
    network.load_state_dict(state, strict=True)
    return network.eval().requires_grad_(False)


def _require_same(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], name: str, kind: str) -> None:
    """Raises InputError that names the keys which are missing, left over, or of another shape."""
    faults = {
        "missing": [key for key in wanted if key not in state],
        "left over": [key for key in state if key not in wanted],
        "of another shape": [k for k in wanted if k in state and wanted[k].shape != state[k].shape],
    }
    told = [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{' …' * (len(keys) > 3)})" for what, keys in faults.items() if keys
    ]
    if told:
        raise InputError(f"{name} does not load as {kind}; keys: {'; '.join(told)}. Is it such a network, whole?")


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
