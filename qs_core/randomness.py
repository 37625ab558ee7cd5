"""Randomness enters as one CPU generator per picture: same seed, same picture, whoever else is in the batch."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

Generators = Sequence[Generator]


def seeded(seeds: Sequence[int]) -> tuple[Generator, ...]:
    """One generator per seed (0 … 2⁶⁴-1)."""
    return tuple(Generator().manual_seed(int(seed) % 2**64) for seed in seeds)


def spawn(generators: Generators) -> tuple[Generator, ...]:
    """Independent children, so that one consumer's number of draws does not shift another's."""
    return seeded([int(torch.randint(2**62, (), generator=g)) for g in generators])


class Streams(NamedTuple):
    """Randomness of one run, apart by use: changing the crops does not change the noise."""

    start: Generators
    losses: Generators
    noise: Generators


def streams(seeds: Sequence[int]) -> Streams:
    """The streams of pictures with the given seeds."""
    generators = seeded(seeds)
    return Streams(spawn(generators), spawn(generators), spawn(generators))


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
