"""What a checkpoint holds: its state dict, out of what trainers wrap around it, and whether it is a network's."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import UnsupportedCheckpoint

# Under these names trainers keep weights: those averaged over the training first, then those of the last step.
AVERAGED = (
    *("ema", "ema_state_dict", "state_dict_ema", "model_ema", "ema_model", "ema_params", "params_ema", "ema_weights"),
    *("weights_ema", "ema_state", "averaged_model", "model_avg", "shadow", "teacher"),
)
WRAPPERS = (
    *AVERAGED,
    *(
        "state_dict",
        "model",
        "model_state_dict",
        "model_state",
        "params",
        "net",
        "network",
        "unet",
        "weights",
        "module",
    ),
)
# And with these prefixes beside each other in one state dict, in the same order.
PREFIXES = (
    *("ema_model.", "model_ema.", "ema.", "ema_unet.", "ema_net.", "averaged_model.", "shadow.", "teacher."),
    *("module.", "_orig_mod.", "model.", "online_model.", "net.", "network.", "unet.", "backbone.", "student."),
    *("inner_model.", "denoise_fn.", "denoise_model.", "denoiser.", "eps_model.", "diffusion.", "diffusion_model."),
)
LATENT = "model.diffusion_model."  # by which such a file is known, so it stays
DEEPEST = 4  # wrappers in each other
MOST_KEYS = 20_000  # the published networks have some 650
LARGEST = 65504.0  # float16's largest number: no trained weight is near it, a flipped exponent bit is beyond it


class Found(NamedTuple):
    """Named tensors, where they were, as names joined by dots, and where others were that could have been taken."""

    state: dict[str, Tensor]
    place: str = ""
    others: tuple[str, ...] = ()

    @property
    def choice(self) -> str:
        """What was chosen, as a clause; empty where there was nothing to choose."""
        return f"the weights in {self.place} were taken, not those in {', '.join(self.others)}" if self.others else ""


def unwrap(content: object, path: Path) -> Found:
    """The named tensors: the averaged weights of a trainer's file, else its weights, without common prefixes."""
    found = _find(content, DEEPEST)
    if not found:
        held = ", ".join(shown(str(key)) for key in list(content)[:8]) if isinstance(content, dict) else "no names"
        raise UnsupportedCheckpoint(
            f"{path} holds no named tensors, so it is no model checkpoint (it holds: {held}). Choose a network's state "
            "dict."
        )
    while inner := _without_prefix(found):
        found = inner
    return found


def _without_prefix(found: Found) -> Found | None:
    """The part under the first of the prefixes; None where there are names that have none of them.

    Names without a dot are buffers of what stands around a network, such as betas and n_averaged.
    """
    names = [key for key in found.state if "." in key]
    present = [prefix for prefix in PREFIXES if any(name.startswith(prefix) for name in names)]
    if not all(name.startswith(tuple(present)) and not name.startswith(LATENT) for name in names) or not present:
        return None
    first = present[0]
    state = {key.removeprefix(first): value for key, value in found.state.items() if key.startswith(first)}
    places = [".".join(filter(None, (found.place, prefix.removesuffix(".")))) for prefix in present]
    return Found(state, places[0], (*found.others, *places[1:]))


def _find(content: object, depth: int, place: str = "") -> Found | None:
    if not depth:
        return None
    if isinstance(content, list):
        # ermongroup/ddim saves [model, optimizer, epoch, step, averaged model].
        parts = [(str(number), content[number]) for number in reversed(range(len(content)))]
    elif isinstance(content, dict):
        parts = [(key, content[key]) for key in WRAPPERS if isinstance(content.get(key), dict | list)]
    else:
        return None
    inner = [found for name, part in parts if (found := _find(part, depth - 1, f"{place}.{name}".lstrip(".")))]
    if isinstance(content, dict):
        inner = _named_shadow(content, inner, place) + inner
    if inner:
        return inner[0]._replace(others=tuple(other.place for other in inner[1:]) + inner[0].others)
    if isinstance(content, list):
        return None
    tensors = {key: value for key, value in content.items() if isinstance(value, Tensor)}
    return Found(tensors, place) if tensors and all(isinstance(key, str) for key in tensors) else None


def _named_shadow(content: dict, inner: list[Found], place: str) -> list[Found]:
    """The averaged weights of trainers that keep them in a list, in the order of the model's parameters."""
    for name in AVERAGED:
        shadow = content[name].get("shadow_params") if isinstance(content.get(name), dict) else None
        if not isinstance(shadow, list) or not all(isinstance(part, Tensor) for part in shadow):
            continue
        for model in inner:
            if [part.shape for part in shadow] == [part.shape for part in model.state.values()]:
                return [Found(dict(zip(model.state, shadow, strict=True)), f"{place}.{name}".lstrip("."))]
    return []


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
