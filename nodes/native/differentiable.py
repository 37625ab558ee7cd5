"""What makes the host's networks differentiable while a walk runs, and is undone after it."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .families import Family

NORMS = (torch.nn.LayerNorm, torch.nn.RMSNorm)


@contextlib.contextmanager
def differentiable(network: torch.nn.Module, family: Family | None) -> Iterator[None]:
    """Within it operations in place do not spoil what autograd keeps, and the host takes those that have a gradient."""
    from comfy import model_management

    flag = getattr(model_management, "in_training", None)  # of later hosts: rotary embeddings with a gradient
    layers = [part for part in network.modules() if family and family.copies and isinstance(part, NORMS)]
    mutable = family is not None and family.mutable
    handles = [layer.register_forward_pre_hook(_copied) for layer in layers]
    try:
        if flag is not None:
            model_management.in_training = True
        with torch.autograd.graph.allow_mutation_on_saved_tensors() if mutable else contextlib.nullcontext():
            yield
    finally:
        for handle in handles:
            handle.remove()
        if flag is not None:
            model_management.in_training = flag


def _copied(module: torch.nn.Module, inputs: tuple) -> tuple:
    return (inputs[0].clone(), *inputs[1:])


def attention(check_cancelled: Callable[[], None]) -> Callable[..., Tensor]:
    """The host's override by torch's own attention: others have no gradient, or lose a part of it. It asks first
    whether to stop, so that a cancel ends a step."""

    def override(func, q, k, v, heads, *args, **options):
        from comfy.ldm.modules.attention import attention_pytorch

        check_cancelled()
        return attention_pytorch(q, k, v, heads, *args, **options)

    return override


@contextlib.contextmanager
def recomputing(blocks: Sequence[torch.nn.Module]) -> Iterator[None]:
    """Within it a gradient keeps those blocks' inputs alone; the pull-back computes them again, on copies.

    Only for blocks that are known to be exact so: torch does not notice there what is changed in place.
    """
    try:
        for block in blocks:
            block.forward = _recomputed(block.forward)
        yield
    finally:
        for block in blocks:
            block.__dict__.pop("forward", None)


def _recomputed(forward: Callable) -> Callable:
    def run(*args, **options):
        return forward(*map(_copy, args), **{name: _copy(value) for name, value in options.items()})

    return lambda *args, **options: checkpoint(run, *args, use_reentrant=False, preserve_rng_state=False, **options)


def _copy(value: object) -> object:
    return value.clone() if isinstance(value, Tensor) and value.is_floating_point() else value
