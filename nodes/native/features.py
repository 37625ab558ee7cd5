"""The content blocks' outputs: a run of the network that ends after the last of them."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from .families import Family


class Enough(BaseException):
    """Raised out of the network after the last block that is needed; nothing of the host catches it."""


@contextlib.contextmanager
def captured(
    network: torch.nn.Module, family: Family, options: Mapping, indices: Sequence[int]
) -> Iterator[tuple[Mapping, dict[int, object]]]:
    """The host's options for a run, and the outputs of those blocks by index, as they come."""
    outputs, handles = {}, []

    def take(index: int, output: object) -> None:
        if index in indices:
            outputs[index] = output
        if index == max(indices):
            raise Enough

    def hook(index: int) -> Callable:
        return lambda module, inputs, output: take(index, output)

    try:
        if family.part == "map":
            options = _patched(options, take)
        else:
            handles = [getattr(network, family.stacks[0])[i].register_forward_hook(hook(i)) for i in indices]
        with contextlib.suppress(Enough):
            yield options, outputs
    finally:
        for handle in handles:
            handle.remove()


def _patched(options: Mapping, take: Callable[[int, object], None]) -> dict:
    """A U-Net's blocks are called past Module.__call__, so that hooks would never fire; the host's own patch does."""

    def patch(h: torch.Tensor, transformer_options: Mapping) -> torch.Tensor:
        take(transformer_options["block"][1], h)
        return h

    own = dict(options.get("transformer_options", {}))
    patches = dict(own.get("patches", {}))
    patches["input_block_patch"] = [patch, *patches.get("input_block_patch", [])]
    return {**options, "transformer_options": {**own, "patches": patches}}
