"""Pictures and masks that come as numbers: NumPy arrays and tensors → tensors in the library's ranges."""

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..errors import InputError

TOPS = {np.dtype(np.bool_): 1.0, np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}
BEYOND = 1.0  # so far outside of its range a float picture may be, as a sampler's result is; it is meant as it is
SHAPES = "(height, width), (height, width, 1), (height, width, 3) or (height, width, 4)"


def from_bytes(array: np.ndarray) -> Tensor:
    """(3, H, W) float32 in [-1, 1] of (H, W, 3) in 0…255, with one float copy at a time."""
    tensor = torch.from_numpy(rearrange(array, "h w c -> c h w").astype(np.float32, order="C"))
    return tensor.div_(255).mul_(2).sub_(1)


def from_array(array: np.ndarray) -> Tensor:
    """(3, H, W) float32 in [-1, 1] of an array as `pictures.take` takes it; alpha is composited on white.

    Raises InputError for another shape or type, and for floats outside [0, 1].
    """
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        hint = " Transpose it." if array.ndim == 3 and array.shape[0] in (1, 3, 4) else ""
        raise InputError(f"A picture array has shape {array.shape}; {SHAPES} is needed.{hint}")
    values = _scaled(array, "picture")
    colour = values[..., :3]
    if array.shape[2] == 4:
        colour = colour * values[..., 3:] + (1 - values[..., 3:])
    picture = np.broadcast_to(colour, (*array.shape[:2], 3)) * 2 - 1
    return torch.from_numpy(np.ascontiguousarray(rearrange(picture, "h w c -> c h w"), dtype=np.float32))


def _scaled(array: np.ndarray, what: str) -> np.ndarray:
    """Float32 in [0, 1]. Raises InputError for a type or range that has no such meaning."""
    if array.dtype in TOPS:
        return array.astype(np.float32) / np.float32(TOPS[array.dtype])
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"A {what} array has type {array.dtype}; uint8, uint16, or floats in [0, 1] are needed.")
    _require_range(float(array.min(initial=0)), float(array.max(initial=0)), 0.0, f"A {what} array", "uint8 values")
    return array.astype(np.float32)


def from_tensor(tensor: Tensor) -> Tensor:
    """(3, H, W) float32, fit for a gradient, of a picture tensor as `pictures.take` takes it.

    Raises InputError for another shape or type, and for floats outside [-1, 1].
    """
    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise InputError(f"A picture tensor has shape {tuple(tensor.shape)}; (3, height, width) is needed.")
    if tensor.dtype == torch.uint8:
        return tensor.float().div_(255).mul_(2).sub_(1)
    if not tensor.is_floating_point():
        raise InputError(f"A picture tensor has type {_plain(tensor)}; floats in [-1, 1] or uint8 are needed.")
    if tensor.numel():
        low, high = (float(end) for end in tensor.detach().aminmax())
        _require_range(low, high, -1.0, "A picture tensor", "a uint8 tensor")
    tensor = tensor.detach().float()
    return tensor.clone() if tensor.is_inference() else tensor


def _require_range(low: float, high: float, least: float, what: str, instead: str) -> None:
    """NaN is let through: `pictures.fit` names it."""
    if low < least - BEYOND or high > 1 + BEYOND:
        raise InputError(
            f"{what} has values from {low:g} to {high:g}; floats from {least:g} to 1 are needed. Scale it, or give "
            f"{instead}."
        )


def mask_of_numbers(mask: Tensor | np.ndarray) -> Tensor:
    """The mask as float32: what is whole numbers with 1, 255 or 65535 for white is in [0, 1]; else as it is.

    Raises InputError for another type.
    """
    if isinstance(mask, np.ndarray):
        mask = _as_tensor(mask)
    whole = not mask.is_floating_point() and mask.dtype != torch.bool
    mask = mask.detach().float()
    if whole and mask.numel():
        mask = mask / next((top for top in (1.0, 255.0) if mask.max() <= top), 65535.0)
    return mask.clone() if mask.is_inference() else mask


def _as_tensor(mask: np.ndarray) -> Tensor:
    if mask.dtype.kind in "ui":
        return torch.from_numpy(mask.astype(np.int64))
    if mask.dtype.kind not in "bf":
        raise InputError(f"A mask array has type {mask.dtype}; bool, uint8, or floats in [0, 1] are needed.")
    return torch.from_numpy(np.array(mask, dtype=bool if mask.dtype.kind == "b" else np.float32))


def without_channel(mask: Tensor) -> Tensor:
    """A mask (H, W) or (B, H, W) of one that may have a channel of 1, before or behind; any other shape as it is."""
    if mask.ndim == 4 and 1 in (mask.shape[1], mask.shape[3]):
        return mask[:, 0] if mask.shape[1] == 1 else mask[..., 0]
    return mask[..., 0][None] if mask.ndim == 3 and mask.shape[-1] == 1 and mask.shape[1] > 1 else mask


def _plain(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
