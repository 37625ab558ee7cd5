"""ComfyUI's IMAGE and MASK ⇄ the library's pictures."""

import torch
from einops import rearrange
from torch import Tensor

from ..qs_core.errors import InputError
from ..qs_core.reading.arrays import without_channel
from .host import hosted

BEYOND = 0.5  # so far outside of 0 to 1 an IMAGE's values are clamped


def plain(image: Tensor) -> Tensor:
    """A ComfyUI IMAGE (B, H, W, 1, 3 or 4) → (B, H, W, 3) float32 in [0, 1] on the CPU, fit for a gradient.

    Grey is repeated, alpha composited on white. Raises InputError for any other shape, NaN, and another range.
    """
    shape = tuple(image.shape)
    if image.ndim != 4 or shape[-1] not in (1, 3, 4) or not all(shape):
        raise InputError(f"The image has shape {shape}; (batch, height, width, 1, 3 or 4 channels) is needed.")
    image = _in_range(_finite(image, "image", "a VAE or model in half precision is the usual cause"))
    if shape[-1] == 4:
        image = image[..., :3] * image[..., 3:] + (1 - image[..., 3:])
    return image.expand(*shape[:3], 3).contiguous()


def _in_range(image: Tensor) -> Tensor:
    """Clamped to [0, 1], beyond which resizing and decoders go a little. Raises InputError for another range."""
    low, high = (float(end) for end in image.aminmax())
    if low < -BEYOND or high > 1 + BEYOND:
        meant = "0 to 255" if high > 2 else "-1 to 1"
        raise InputError(
            f"The image has values from {low:g} to {high:g}, and an IMAGE has 0 to 1. Look at the node that made it: "
            f"{meant} is the usual cause."
        )
    return image.clamp(0, 1)


def _finite(tensor: Tensor, what: str, cause: str) -> Tensor:
    """A float32 copy on the CPU, outside of inference mode. Raises InputError for NaN and infinity.

    --gpu-only keeps images and masks on the GPU, and there pictures of any size would take the walk's memory.
    """
    tensor = tensor.to("cpu", torch.float32, copy=True)
    bad = int((~torch.isfinite(tensor)).sum())
    if bad:
        raise InputError(
            f"The {what} holds NaN or infinity in {bad} of its {tensor.numel()} values (shape {tuple(tensor.shape)}). "
            f"Look at the node that made it: {cause}."
        )
    return tensor


def from_image(image: Tensor) -> Tensor:
    """A ComfyUI IMAGE as `plain` takes it → (B, 3, H, W) float32 in [0, 1] on the CPU."""
    return rearrange(plain(image), "b h w c -> b c h w").contiguous()


def to_image(picture: Tensor) -> Tensor:
    """(B, 3, H, W) in about [-1, 1] → a ComfyUI IMAGE (B, H, W, 3) in [0, 1]."""
    return as_output(rearrange(picture.detach().float(), "b c h w -> b h w c").add(1).div(2).clamp(0, 1).contiguous())


def as_output(image: Tensor) -> Tensor:
    """(B, H, W, 3) in [0, 1] as a ComfyUI IMAGE: where, and in the number format in which, ComfyUI keeps them."""
    if not hosted():
        return image
    from comfy import model_management

    dtype = getattr(model_management, "intermediate_dtype", lambda: torch.float32)()
    return image.to(model_management.intermediate_device(), dtype=dtype)


def from_mask(mask: Tensor, count: int) -> Tensor:
    """A ComfyUI MASK (B, H, W) or (H, W) → (1 or `count`, H, W) float32 in [0, 1] on the CPU.

    It may have a channel of 1, as some nodes make them. Raises InputError for any other shape or number of masks, and
    for NaN.
    """
    shape = tuple(mask.shape)
    mask = without_channel(mask)
    mask = mask[None] if mask.ndim == 2 else mask
    if mask.ndim != 3 or not all(shape):
        raise InputError(
            f"The mask has shape {shape}; (batch, height, width), none of them 0, is needed. Paint one on Load Image "
            "(Open in MaskEditor), or leave the input unconnected to restyle everything."
        )
    if len(mask) not in (1, count):
        raise InputError(f"There are {len(mask)} masks for {count} pictures. Give one for all, or one for each.")
    return _finite(mask, "mask", "a division by zero is the usual cause").clamp(0, 1)
