"""Blocks that keep no activations for the gradient, but compute them again when it is pulled back (Chen et al. 2016,
arXiv 1604.06174): one more forward's time for a fraction of the memory.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor
from torch.utils.checkpoint import checkpoint

_WISHED = ContextVar("gradient_checkpointing", default=False)


@contextmanager
def gradient_checkpointing(wished: bool = True) -> Iterator[None]:
    """Within it every U-Net's blocks run so, where `wished`. Not a switch on the network: others may be using it."""
    token = _WISHED.set(wished)
    try:
        yield
    finally:
        _WISHED.reset(token)


def wished() -> bool:
    """Whether this runs within `gradient_checkpointing`."""
    return _WISHED.get()


def run(block: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """block(*inputs), of which within `gradient_checkpointing` the inputs alone are kept."""
    if not wished():
        return block(*inputs)
    # A frozen network draws no random numbers, so there is no state of theirs to keep.
    return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)
