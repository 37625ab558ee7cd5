"""What a checkpoint holds: its state dict, out of what trainers wrap around it, and whether it is a network's."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import UnsupportedCheckpoint

# Under these names trainers keep weights: those averaged over the training first, then those of the last step.
WRAPPERS = (
    *("ema", "ema_state_dict", "state_dict_ema", "model_ema", "ema_model", "params_ema", "shadow", "teacher"),
    *("state_dict", "model", "model_state_dict", "model_state", "params", "net", "network", "unet", "weights"),
)
PREFIXES = ("module.", "_orig_mod.", "model.", "ema_model.", "net.", "unet.", "backbone.")
LATENT = "model.diffusion_model."  # by which such a file is known, so it stays
DEEPEST = 4  # wrappers in each other
MOST_KEYS = 20_000  # the published networks have some 650
LARGEST = 65504.0  # float16's largest number: no trained weight is near it, a flipped exponent bit is beyond it


def unwrap(content: object, path: Path) -> dict[str, Tensor]:
    """The named tensors: the averaged weights of a trainer's file, else its weights, without common prefixes."""
    state = _find(content, DEEPEST)
    if not state:
        held = ", ".join(shown(str(key)) for key in list(content)[:8]) if isinstance(content, dict) else "no names"
        raise UnsupportedCheckpoint(
            f"{path} holds no named tensors, so it is no model checkpoint (it holds: {held}). Choose a network's state "
            "dict."
        )
    while prefix := next((p for p in PREFIXES if _common(p, state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _common(prefix: str, state: dict[str, Tensor]) -> bool:
    return all(key.startswith(prefix) and not key.startswith(LATENT) for key in state)


def _find(content: object, depth: int) -> dict[str, Tensor]:
    if isinstance(content, list) and depth:
        # ermongroup/ddim saves [model, optimizer, epoch, step, averaged model].
        return next((found for part in reversed(content) if (found := _find(part, depth - 1))), {})
    if not isinstance(content, dict):
        return {}
    wrapped = (content[key] for key in WRAPPERS if isinstance(content.get(key), dict | list))
    found = next((found for part in wrapped if depth and (found := _find(part, depth - 1))), None)
    tensors = {key: value for key, value in content.items() if isinstance(value, Tensor)}
    return found or (tensors if all(isinstance(key, str) for key in tensors) else {})


def check_count(tensors: int, path: Path) -> None:
    """Raises UnsupportedCheckpoint for more tensors than any network of these families has."""
    if tensors > MOST_KEYS:
        raise UnsupportedCheckpoint(f"{path} holds {tensors} tensors; a U-Net has some 650. Choose a checkpoint.")


def check_claims(state: Mapping[str, Tensor], path: Path) -> None:
    """Raises UnsupportedCheckpoint for tensors that would need far more memory than the file has bytes."""
    check_count(len(state), path)
    odd = next(
        (k for k, v in state.items() if v.layout != torch.strided or v.is_quantized or v.device.type != "cpu"), 0
    )
    if odd:
        raise UnsupportedCheckpoint(
            f"{path} holds a sparse, quantised or empty tensor ({shown(odd)}). Use the network's plain weights."
        )
    sizes = {key: tensor.numel() * tensor.element_size() for key, tensor in state.items()}
    size = path.stat().st_size
    beyond = next((key for key, tensor in state.items() if sizes[key] > tensor.untyped_storage().nbytes()), None)
    if beyond or sum(sizes.values()) > 2 * size:  # twice, as tensors may share what is stored once
        raise UnsupportedCheckpoint(
            f"{path} has {size} bytes, but its tensors claim {sum(sizes.values())}. Is it whole? Fetch it again."
        )


def shown(key: str) -> str:
    """A key as a message may show it: short, and without control characters."""
    return key[:60] if key.isprintable() else ascii(key[:60])


def require_same(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], name: str, kind: str, advice: str) -> None:
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
        only_more = bool(faults["left over"]) and len(told) == 1
        advice = "Save the network's own state dict alone." if only_more else advice
        raise UnsupportedCheckpoint(f"{name} does not load as {kind}; keys: {'; '.join(told)}. {advice}")


def require_weight(tensor: Tensor, key: str, name: str) -> None:
    """Raises UnsupportedCheckpoint for a weight of less than 16 bits, and for NaN, infinity and absurd numbers."""
    if not tensor.is_floating_point() or tensor.element_size() < 2:
        what = str(tensor.dtype).removeprefix("torch.")
        raise UnsupportedCheckpoint(
            f"{name} has {what} weights ({shown(key)}). Use a float32, float16 or bfloat16 file."
        )
    if not tensor.numel():
        return
    low, high = (float(end) for end in torch.aminmax(tensor))
    if not -LARGEST <= low <= high <= LARGEST:  # false for NaN as well
        raise UnsupportedCheckpoint(
            f"{name} is damaged: its weight {shown(key)} has values from {low:g} to {high:g}. Fetch it again."
        )
