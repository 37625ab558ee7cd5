"""The DDPM U-Net of Ho et al. 2020 (arXiv 2006.11239, appendix B), state-dict compatible with the published PyTorch
weights: CelebA-HQ and LSUN at 256 pixels, as SDEdit and DiffusionCLIP use them.

It differs from the ADM network in its additive timestep embedding, sines first, its single attention head, and its
down-sampling, which pads on the right and at the bottom only.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count, islice, takewhile

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import Conv2d, Identity, Linear, Module, ModuleDict, ModuleList
from torch.nn.functional import pad, silu

from ..errors import InputError
from . import adm
from .adm import Layer, UpsampleConv, attended, cast_torso
from .gradient_checkpointing import run

# What may be said of the heads without changing anything: there is one, over all of a block's channels.
TRUE_OF_ALL = {"num_heads": (None, 0, 1), "num_head_channels": (None, 0, -1), "use_new_attention_order": (None, False)}


@dataclass(frozen=True)
class DDPMConfig:
    """Names as in ADMConfig. `channel_mult` and `attention_factors` (1, 2, 4 …) are per level."""

    num_channels: int  # width of the timestep's sinusoids and of multiplier 1
    channel_mult: tuple[float, ...]
    num_res_blocks: int
    attention_factors: tuple[int, ...]  # down-sampling factors at which attention blocks stand
    out_channels: int = 3
    in_channels: int = 3

    def widths(self) -> list[int]:
        """Channels per level."""
        return [int(mult * self.num_channels) for mult in self.channel_mult]


class Norm(adm.Norm):
    """32 groups, computed in float32 whatever the input's dtype, with this family's epsilon."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.eps = 1e-6


class Downsample(Module):
    """Halves the map by a strided convolution that looks one pixel over the right and bottom border."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(pad(x, (0, 1, 0, 1)))


class ResBlock(Module):
    """Two 3x3 convolutions; the timestep embedding is added between them."""

    def __init__(self, channels: int, out_channels: int, emb_channels: int):
        super().__init__()
        self.norm1 = Norm(channels)
        self.conv1 = Conv2d(channels, out_channels, 3, padding=1)
        self.temb_proj = Linear(emb_channels, out_channels)
        self.norm2 = Norm(out_channels)
        self.conv2 = Conv2d(out_channels, out_channels, 3, padding=1)
        self.nin_shortcut = Identity() if channels == out_channels else Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.conv1(silu(self.norm1(x)))
        h = h + rearrange(self.temb_proj(silu(emb)), "b c -> b c 1 1")
        return self.nin_shortcut(x) + self.conv2(silu(self.norm2(h)))


class AttentionBlock(Module):
    """Self-attention over all positions of the map, in one head."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = Norm(channels)
        self.q = Conv2d(channels, channels, 1)
        self.k = Conv2d(channels, channels, 1)
        self.v = Conv2d(channels, channels, 1)
        self.proj_out = Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h, (height, width) = self.norm(x), x.shape[-2:]
        # The fused kernels want a place's channels side by side; else torch takes the one that holds n x n scores.
        q, k, v = (rearrange(to(h), "b c h w -> b 1 (h w) c").contiguous() for to in (self.q, self.k, self.v))
        out = attended(q, k, v)
        return x + self.proj_out(rearrange(out, "b 1 (h w) c -> b c h w", h=height, w=width))


def timestep_embedding(t: Tensor, dim: int) -> Tensor:
    """(B,) timesteps → (B, dim) sinusoids, sines first; the last frequency is 1 / 10 000 itself."""
    half = dim // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, dtype=torch.float32, device=t.device) / (half - 1))
    angles = t[:, None].float() * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class DDPMUNet(Module):
    """(B, 3, H, W) in [-1, 1] and (B,) timesteps → (B, 3, H, W): predicted noise; the variance is fixed.

    H and W must be multiples of `self.multiple`. The torso may run in half precision; embedding and head are float32.
    """

    default_variance = "fixed_small"  # that of the published weights

    def __init__(self, config: DDPMConfig):
        super().__init__()
        self.config = c = config
        self.multiple = 2 ** (len(c.channel_mult) - 1)
        width = 4 * c.num_channels
        self.temb = ModuleDict({"dense": ModuleList([Linear(c.num_channels, width), Linear(width, width)])})
        self.conv_in = Conv2d(c.in_channels, c.num_channels, 3, padding=1)
        self.down, self.layers = self._encoder()
        deepest = self.layers[-1].channels
        self.mid = ModuleDict(
            {
                "block_1": ResBlock(deepest, deepest, width),
                "attn_1": AttentionBlock(deepest),
                "block_2": ResBlock(deepest, deepest, width),
            }
        )
        self.up = self._decoder()
        first = c.widths()[0]
        self.norm_out = Norm(first)
        self.conv_out = Conv2d(first, c.out_channels, 3, padding=1)

    def _level(self, channels: list[int], out: int, factor: int) -> ModuleDict:
        """One level's residual blocks from `channels` to `out`, each with an attention block (or none) after it."""
        attends = factor in self.config.attention_factors
        return ModuleDict(
            {
                "block": ModuleList(ResBlock(c, out, 4 * self.config.num_channels) for c in channels),
                "attn": ModuleList(AttentionBlock(out) if attends else Identity() for _ in channels),
            }
        )

    def _encoder(self) -> tuple[ModuleList, tuple[Layer, ...]]:
        c = self.config
        channels, factor, levels = c.num_channels, 1, ModuleList()
        layers = [Layer(0, "conv", 0, 0, 1, channels)]
        for level, out in enumerate(c.widths()):
            levels.append(self._level([channels] + [out] * (c.num_res_blocks - 1), out, factor))
            channels = out
            for block in range(c.num_res_blocks):
                layers.append(Layer(len(layers), "res", level, block, factor, channels))
            if level < len(c.channel_mult) - 1:
                factor *= 2
                levels[-1]["downsample"] = Downsample(channels)
                layers.append(Layer(len(layers), "down", level + 1, 0, factor, channels))
        return levels, tuple(layers)

    def _decoder(self) -> ModuleList:
        c = self.config
        skips = [layer.channels for layer in self.layers]
        channels, levels = skips[-1], []
        for level, out in reversed(list(enumerate(c.widths()))):
            before = [channels] + [out] * c.num_res_blocks
            levels.append(self._level([width + skips.pop() for width in before], out, 2**level))
            channels = out
            levels[-1]["upsample"] = UpsampleConv(channels) if level else Identity()
        return ModuleList(reversed(levels))

    @property
    def dtype(self) -> torch.dtype:
        """The torso's dtype."""
        return self.conv_in.weight.dtype

    def set_torso_dtype(self, dtype: torch.dtype) -> "DDPMUNet":
        """Run the blocks in `dtype`; embedding, head and every normalisation's arithmetic stay float32."""
        cast_torso((self.conv_in, self.down, self.mid, self.up), dtype)
        return self

    def embed(self, t: Tensor, y: Tensor | None = None) -> Tensor:
        """(B,) timesteps → (B, 4 · num_channels). Raises InputError for class labels: this family has none."""
        if y is not None:
            raise InputError("Class labels were given, and a DDPM U-Net knows no classes. Leave them out.")
        first, second = self.temb["dense"]
        return second(silu(first(timestep_embedding(t, self.config.num_channels).to(first.weight.dtype))))

    def encode(self, x: Tensor, t: Tensor, y: Tensor | None = None, last: int | None = None) -> list[Tensor]:
        """The encoder's outputs in the order of `layers`, up to and including number `last` (all by default)."""
        return list(islice(self._encode(x, self.embed(t, y)), None if last is None else last + 1))

    def _encode(self, x: Tensor, emb: Tensor) -> Iterator[Tensor]:
        h, emb = self.conv_in(x.to(self.dtype)), emb.to(self.dtype)
        yield h
        for level in self.down:
            for block, attention in zip(level["block"], level["attn"], strict=True):
                h = run(partial(_attended, block, attention), h, emb)
                yield h
            if "downsample" in level:
                h = level["downsample"](h)
                yield h

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        emb = self.embed(t, y)
        skips = list(self._encode(x, emb))
        emb = emb.to(self.dtype)
        h = run(partial(_attended, self.mid["block_1"], self.mid["attn_1"]), skips[-1], emb)
        h = run(self.mid["block_2"], h, emb)
        for level in reversed(self.up):
            for block, attention in zip(level["block"], level["attn"], strict=True):
                h = run(partial(_joined, block, attention), h, skips.pop(), emb)
            h = level["upsample"](h)
        return run(self._head, h.to(self.conv_out.weight.dtype))

    def _head(self, h: Tensor) -> Tensor:
        return self.conv_out(silu(self.norm_out(h)))


def _attended(block: ResBlock, attention: Module, h: Tensor, emb: Tensor) -> Tensor:
    return attention(block(h, emb))


def _joined(block: ResBlock, attention: Module, h: Tensor, skip: Tensor, emb: Tensor) -> Tensor:
    return attention(block(torch.cat([h, skip], dim=1), emb))


def detect(state: Mapping[str, Tensor]) -> bool:
    """Whether the keys look like a DDPM U-Net's. May be wrong for relatives; `read_config` is stricter."""
    return all(key in state for key in ("temb.dense.0.weight", "conv_in.weight", "down.0.block.0.conv1.weight"))


def read_config(state: Mapping[str, Tensor], **overrides) -> DDPMConfig:
    """The configuration; shapes tell all of it. Raises InputError for overrides that say otherwise."""
    wrong = {key: value for key, value in overrides.items() if value not in TRUE_OF_ALL.get(key, ())}
    if wrong:
        told = ", ".join(f"{key}={value}" for key, value in wrong.items())
        raise InputError(
            f"{told} does not apply: a DDPM U-Net has one attention head, and its shapes tell the rest. Leave it out."
        )
    num_channels, in_channels = state["temb.dense.0.weight"].shape[1], state["conv_in.weight"].shape[1]
    levels = range(_count(state, "down.{}.block.0.conv1.weight"))
    return DDPMConfig(
        num_channels=num_channels,
        channel_mult=tuple(state[f"down.{k}.block.0.conv1.weight"].shape[0] / num_channels for k in levels),
        num_res_blocks=_count(state, "down.0.block.{}.conv1.weight"),
        attention_factors=tuple(2**k for k in levels if f"down.{k}.attn.0.q.weight" in state),
        out_channels=state["conv_out.weight"].shape[0],
        in_channels=in_channels,
    )


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many keys of the pattern there are, numbered from 0 without a gap."""
    return sum(1 for _ in takewhile(lambda k: pattern.format(k) in state, count()))
