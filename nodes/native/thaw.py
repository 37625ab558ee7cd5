"""The host makes its tensors in inference mode, where autograd cannot use them. Here they become normal ones.

Weights are wrapped anew over the same memory; nothing is copied or moved.
"""

import copy

import torch
from torch import Tensor

PLAIN = (Tensor, torch.nn.Parameter)


def thaw(tensor: Tensor) -> Tensor:
    """A normal tensor over the same memory; itself where it is one, or of a class of its own, as quantised weights."""
    if not tensor.is_inference() or type(tensor) not in PLAIN:
        return tensor
    fresh = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
    return fresh.set_(tensor.untyped_storage(), tensor.storage_offset(), tensor.size(), tensor.stride())


def thaw_module(module: torch.nn.Module) -> None:
    """Every weight a normal tensor that takes no gradient. To be called outside of inference mode, in each session:
    what the host moves is an inference tensor again."""
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is None:
                continue
            fresh = thaw(weight)
            if fresh is not weight:
                part._parameters[name] = torch.nn.Parameter(fresh, requires_grad=False)
            else:
                weight.requires_grad_(False)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = thaw(buffer)


def normal(value: object) -> object:
    """The host's conditions, options or format with copies in place of inference tensors."""
    if isinstance(value, Tensor):
        return value.clone() if value.is_inference() else value
    if isinstance(value, dict):
        return {key: normal(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(normal(inner) for inner in value)
    if type(value).__module__ in ("comfy.conds", "comfy.latent_formats"):
        own = copy.copy(value)
        vars(own).update(normal(vars(value)))
        return own
    return value
