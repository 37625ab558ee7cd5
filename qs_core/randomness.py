"""Randomness enters as one CPU generator per picture and consumer, so that a picture does not depend on its neighbours.

Consumers are told apart by name: "start" is the noised start, "noise" the reverse step's, each loss has its own.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

Generators = Sequence[Generator]


def seeded(seeds: Sequence[int]) -> tuple[Generator, ...]:
    """One generator per seed (0 … 2⁶⁴-1)."""
    return tuple(Generator().manual_seed(int(seed) % 2**64) for seed in seeds)


def named(seeds: Sequence[int], name: str) -> tuple[Generator, ...]:
    """One generator per seed for the consumer of that name. Its draws do not depend on which others there are.

    The key is BLAKE2b of the seed and the name, so that equal seeds give unrelated streams under two names.
    """
    return tuple(Generator().manual_seed(_key(int(seed) % 2**64, name)) for seed in seeds)


def _key(seed: int, name: str) -> int:
    digest = hashlib.blake2b(name.encode(), digest_size=8, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little")


def batch_seeds(seed: int, count: int) -> list[int]:
    """Picture b of a batch has the seed `seed` + b, so that it is the same picture as alone with that seed."""
    return [seed + b for b in range(count)]


def normal(like: Tensor, generators: Generators) -> Tensor:
    """(B, …) standard normal noise of `like`'s shape, device and dtype; row b from generator b."""
    return send(_rows(torch.randn, like.shape[1:], generators), like.device).to(like.dtype)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU's on a device. CUDA is not waited for; elsewhere that is not known to be safe."""
    return tensor.to(device, non_blocking=device.type == "cuda")


def uniform(shape: Sequence[int], generators: Generators) -> Tensor:
    """(B, *shape) uniform in [0, 1), on the CPU; row b from generator b."""
    return _rows(torch.rand, shape, generators)


def remember(generators: Generators) -> tuple[Tensor, ...]:
    """Where each generator stands, to `rewind` it to."""
    return tuple(generator.get_state() for generator in generators)


def rewind(generators: Generators, states: Sequence[Tensor]) -> None:
    """Set the generators back, so that they draw once more what they drew since `remember`."""
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)


def _rows(draw, shape: Sequence[int], generators: Generators) -> Tensor:
    return torch.stack([draw(tuple(shape), generator=g, dtype=torch.float32) for g in generators])
