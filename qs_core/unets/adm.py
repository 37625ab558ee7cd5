"""The ADM U-Net of Dhariwal & Nichol 2021 (arXiv 2105.05233), state-dict compatible with the published weights.

Attention runs through torch's fused kernel instead of a checkpoint function that differentiates parameters, so that
the whole network stays frozen while a gradient passes through it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import (
    AvgPool2d,
    Conv1d,
    Conv2d,
    Embedding,
    GroupNorm,
    Identity,
    Linear,
    Module,
    ModuleList,
    Sequential,
    SiLU,
    Upsample,
)
from torch.nn.functional import scaled_dot_product_attention

from ..errors import InputError
from .gradient_checkpointing import run
from .layouts import attention_widths, decoder_levels, encoder_levels, irregular_attention

PAIRS = 2**26  # of a query and a key that one kernel is given on the CPU: about a second, backwards, on one core


@dataclass(frozen=True)
class ADMConfig:
    """Names are guided-diffusion's flags. `channel_mult` and `attention_factors` (1, 2, 4 …) are per level."""

    num_channels: int  # width of the time embedding and of multiplier 1
    channel_mult: tuple[float, ...]
    num_res_blocks: int | tuple[int, ...]  # on every level, or for each
    attention_factors: tuple[int, ...]  # down-sampling factors at which attention blocks stand
    out_channels: int  # 6 = learned variance, 3 = fixed
    use_scale_shift_norm: bool
    resblock_updown: bool
    num_classes: int = 0
    in_channels: int = 3
    num_head_channels: int = 64
    num_heads: int = 0  # used where num_head_channels is 0 or, as guided-diffusion has it, -1
    use_new_attention_order: bool = False
    embed_channels: int | None = None  # width of the embedding behind its first layer; 4 · num_channels if None
    attends: tuple[str, ...] | None = None  # the very blocks with attention, where it does not stand by levels

    @property
    def width(self) -> int:
        """Channels of the timestep's embedding."""
        return self.embed_channels or 4 * self.num_channels

    def res_blocks(self, level: int) -> int:
        """Residual blocks of an encoder's level; a decoder's has one more."""
        return self.num_res_blocks if isinstance(self.num_res_blocks, int) else self.num_res_blocks[level]

    def has_attention(self, block: str, factor: int | None = None) -> bool:
        """Whether attention stands in a block, such as input_blocks.4, at a down-sampling factor."""
        return block in self.attends if self.attends is not None else factor is None or factor in self.attention_factors

    def heads(self, channels: int) -> int:
        """Attention heads over that many channels. Raises InputError where they do not divide evenly."""
        width = self.num_head_channels
        heads, rest = divmod(channels, width) if width > 0 else (self.num_heads, channels % max(1, self.num_heads))
        if heads < 1 or rest:
            stated = f"num_head_channels={width}" if width > 0 else f"num_heads={self.num_heads}"
            raise InputError(f"{stated} does not divide a block of {channels} channels; give one that does.")
        return heads


@dataclass(frozen=True)
class Layer:
    """One input block's place in the encoder: `index` in order, `kind` conv, res or down, `factor` of down-sampling."""

    index: int
    kind: str
    level: int
    block: int
    factor: int
    channels: int


class Norm(GroupNorm):
    """32 groups, computed in float32 whatever the input's dtype."""

    def __init__(self, channels: int):
        super().__init__(32, channels)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float()).to(x.dtype)


class Downsample(Module):
    """Halves the map by a strided convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.op = Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class UpsampleConv(Module):
    """Doubles the map, then a convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.up = Upsample(scale_factor=2, mode="nearest")
        self.conv = Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.up(x))


class ResBlock(Module):
    """Two 3x3 convolutions around the timestep embedding; `resample` halves or doubles the map inside the block."""

    def __init__(self, c: ADMConfig, channels: int, out_channels: int, resample: str = "none"):
        super().__init__()
        emb_channels = out_channels * (2 if c.use_scale_shift_norm else 1)
        self.scale_shift = c.use_scale_shift_norm
        self.in_layers = Sequential(Norm(channels), SiLU(), Conv2d(channels, out_channels, 3, padding=1))
        self.emb_layers = Sequential(SiLU(), Linear(c.width, emb_channels))
        # Identity stands where the published networks have dropout: it keeps the published key names.
        self.out_layers = Sequential(
            Norm(out_channels), SiLU(), Identity(), Conv2d(out_channels, out_channels, 3, padding=1)
        )
        same = channels == out_channels
        self.skip_connection = Identity() if same else Conv2d(channels, out_channels, 1)
        self.resample = {"none": Identity, "down": lambda: AvgPool2d(2), "up": lambda: Upsample(scale_factor=2)}[
            resample
        ]()

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.in_layers[2](self.resample(self.in_layers[:2](x)))
        e = rearrange(self.emb_layers(emb).to(h.dtype), "b c -> b c 1 1")
        norm, rest = self.out_layers[0], self.out_layers[1:]
        if self.scale_shift:
            scale, shift = e.chunk(2, dim=1)
            h = rest(norm(h) * (1 + scale) + shift)
        else:
            h = self.out_layers(h + e)
        return self.skip_connection(self.resample(x)) + h


def attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(B, heads, n, c) → attention's output; on the CPU some queries at a time where they are many.

    One kernel cannot be stopped, and takes seconds from 512 pixels on. What the parts add up to rounds otherwise.
    """
    some = max(1, PAIRS // k.shape[2]) if q.device.type == "cpu" else q.shape[2]
    if q.shape[2] <= some:
        return scaled_dot_product_attention(q, k, v)
    return torch.cat([scaled_dot_product_attention(part, k, v) for part in q.split(some, dim=2)], dim=2)


class AttentionBlock(Module):
    """Self-attention over all positions of the map."""

    def __init__(self, c: ADMConfig, channels: int):
        super().__init__()
        self.heads = c.heads(channels)
        self.new_order = c.use_new_attention_order
        self.norm = Norm(channels)
        self.qkv = Conv1d(channels, 3 * channels, 1)
        self.proj_out = Conv1d(channels, channels, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        b, _, height, width = x.shape
        flat = rearrange(x, "b c h w -> b c (h w)")
        # The published order keeps q, k, v of one head together; the new order keeps all heads' q together.
        pattern = (
            "b (three heads c) n -> three b heads n c" if self.new_order else "b (heads three c) n -> three b heads n c"
        )
        # The fused kernels want a place's channels side by side; else torch takes the one that holds n x n scores.
        q, k, v = rearrange(self.qkv(self.norm(flat)), pattern, three=3, heads=self.heads).contiguous()
        out = attended(q, k, v)
        flat = flat + self.proj_out(rearrange(out, "b heads n c -> b (heads c) n"))
        return rearrange(flat, "b c (h w) -> b c h w", h=height, w=width)


class Block(Sequential):
    """A U-Net block: modules in order, the ones that take the timestep embedding given it."""

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        for module in self:
            x = module(x, emb) if isinstance(module, ResBlock | AttentionBlock) else module(x)
        return x


def cast_torso(parts: Iterable[Module], dtype: torch.dtype) -> None:
    """Bring the parts to `dtype`, but for their normalisations, which stay float32."""
    for part in parts:
        part.to(dtype)
        for module in part.modules():
            if isinstance(module, Norm):
                module.float()


def timestep_embedding(t: Tensor, dim: int) -> Tensor:
    """(B,) timesteps → (B, dim) sinusoids, cosines first, period up to 10 000."""
    half = dim // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angles = t[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class ADMUNet(Module):
    """(B, 3, H, W) in [-1, 1] and (B,) timesteps → (B, 3 or 6, H, W): predicted noise, and variance values if learned.

    H and W must be multiples of `self.multiple`. The torso may run in half precision; embedding and head are float32.
    """

    default_variance = "fixed_large"  # of those networks that learned none

    def __init__(self, config: ADMConfig):
        super().__init__()
        self.config = c = config
        self.multiple = 2 ** (len(c.channel_mult) - 1)
        self.time_embed = Sequential(Linear(c.num_channels, c.width), SiLU(), Linear(c.width, c.width))
        if c.num_classes:
            self.label_emb = Embedding(c.num_classes, c.width)
        self.input_blocks, self.layers = self._encoder()
        deepest = self.layers[-1].channels
        attention = [AttentionBlock(c, deepest)] if c.has_attention("middle_block") else []
        self.middle_block = Block(ResBlock(c, deepest, deepest), *attention, ResBlock(c, deepest, deepest))
        self.output_blocks = self._decoder()
        first = int(c.channel_mult[0] * c.num_channels)
        self.out = Sequential(Norm(first), SiLU(), Conv2d(first, c.out_channels, 3, padding=1))

    def _encoder(self) -> tuple[ModuleList, tuple[Layer, ...]]:
        c = self.config
        channels, factor = int(c.channel_mult[0] * c.num_channels), 1
        blocks = [Block(Conv2d(c.in_channels, channels, 3, padding=1))]
        layers = [Layer(0, "conv", 0, 0, 1, channels)]
        for level, mult in enumerate(c.channel_mult):
            for block in range(c.res_blocks(level)):
                out = int(mult * c.num_channels)
                modules = [ResBlock(c, channels, out)]
                channels = out
                if c.has_attention(f"input_blocks.{len(blocks)}", factor):
                    modules.append(AttentionBlock(c, channels))
                blocks.append(Block(*modules))
                layers.append(Layer(len(layers), "res", level, block, factor, channels))
            if level < len(c.channel_mult) - 1:
                factor *= 2
                blocks.append(
                    Block(ResBlock(c, channels, channels, "down") if c.resblock_updown else Downsample(channels))
                )
                layers.append(Layer(len(layers), "down", level + 1, 0, factor, channels))
        return ModuleList(blocks), tuple(layers)

    def _decoder(self) -> ModuleList:
        c = self.config
        skips = [layer.channels for layer in self.layers]
        channels, factor, blocks = skips[-1], self.multiple, []
        for level, mult in reversed(list(enumerate(c.channel_mult))):
            for block in range(c.res_blocks(level) + 1):
                out = int(mult * c.num_channels)
                modules = [ResBlock(c, channels + skips.pop(), out)]
                channels = out
                if c.has_attention(f"output_blocks.{len(blocks)}", factor):
                    modules.append(AttentionBlock(c, channels))
                if level and block == c.res_blocks(level):
                    modules.append(
                        ResBlock(c, channels, channels, "up") if c.resblock_updown else UpsampleConv(channels)
                    )
                    factor //= 2
                blocks.append(Block(*modules))
        return ModuleList(blocks)

    @property
    def dtype(self) -> torch.dtype:
        """The torso's dtype."""
        return self.input_blocks[0][0].weight.dtype

    def set_torso_dtype(self, dtype: torch.dtype) -> "ADMUNet":
        """Run the blocks in `dtype`; embedding, head and every normalisation's arithmetic stay float32."""
        cast_torso((self.input_blocks, self.middle_block, self.output_blocks), dtype)
        return self

    def embed(self, t: Tensor, y: Tensor | None = None) -> Tensor:
        """(B,) timesteps, optionally (B,) class labels → (B, 4 · num_channels)."""
        weight = self.time_embed[0].weight
        emb = self.time_embed(timestep_embedding(t, self.config.num_channels).to(weight.dtype))
        return emb if y is None else emb + self.label_emb(y)

    def encode(self, x: Tensor, t: Tensor, y: Tensor | None = None, last: int | None = None) -> list[Tensor]:
        """The input blocks' outputs in order, up to and including block `last` (all by default)."""
        return self._encode(x, self.embed(t, y), last)

    def _encode(self, x: Tensor, emb: Tensor, last: int | None = None) -> list[Tensor]:
        h, outputs = x.to(self.dtype), []
        emb = emb.to(self.dtype)
        for block in self.input_blocks[: None if last is None else last + 1]:
            h = run(block, h, emb)
            outputs.append(h)
        return outputs

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        emb = self.embed(t, y)
        skips = self._encode(x, emb)
        emb = emb.to(self.dtype)
        h = run(self.middle_block, skips[-1], emb)
        for block in self.output_blocks:
            h = run(partial(_joined, block), h, skips.pop(), emb)
        return run(self.out, h.to(self.out[2].weight.dtype))


def _joined(block: Block, h: Tensor, skip: Tensor, emb: Tensor) -> Tensor:
    return block(torch.cat([h, skip], dim=1), emb)


def detect(state: Mapping[str, Tensor]) -> bool:
    """Whether the keys look like a guided-diffusion U-Net's. May be wrong for relatives; `read_config` is stricter."""
    return "time_embed.0.weight" in state and "input_blocks.0.0.weight" in state and "out.2.weight" in state


def read_config(state: Mapping[str, Tensor], **overrides) -> ADMConfig:
    """The configuration that names and shapes tell; the rest by rule, or by `overrides`.

    Head count and attention order cannot be read from shapes: the rule is 64 channels a head, one head for the plain
    128-channel networks with attention on one level and where 64 does not divide, four for the 128-channel ones with
    two blocks and three levels.
    """
    num_channels = state["time_embed.0.weight"].shape[1]
    blocks_per_level, updown = decoder_levels(state)
    res = tuple(blocks - 1 for blocks in reversed(blocks_per_level))
    encoder = encoder_levels(res)
    mult = tuple(
        state[f"input_blocks.{indices[0]}.0.out_layers.3.weight"].shape[0] / num_channels for indices in encoder
    )
    attention = tuple(2**k for k, indices in enumerate(encoder) if f"input_blocks.{indices[0]}.1.qkv.weight" in state)
    first = state["input_blocks.1.0.emb_layers.1.weight"].shape[0]
    scale_shift = first == 2 * state["input_blocks.1.0.out_layers.3.weight"].shape[0]
    width = state["time_embed.0.weight"].shape[0]
    config = ADMConfig(
        num_channels=num_channels,
        channel_mult=mult,
        num_res_blocks=res[0] if len(set(res)) == 1 else res,
        attention_factors=attention,
        out_channels=state["out.2.weight"].shape[0],
        use_scale_shift_norm=scale_shift,
        resblock_updown=updown,
        num_classes=state["label_emb.weight"].shape[0] if "label_emb.weight" in state else 0,
        in_channels=state["input_blocks.0.0.weight"].shape[1],
        embed_channels=None if width == 4 * num_channels else width,
        **_guess_heads(num_channels, res[0], attention, scale_shift, attention_widths(state)),
    )
    return replace(config, attends=irregular_attention(state, res, attention), **overrides)


def _guess_heads(
    channels: int, res: int, attention: tuple[int, ...], scale_shift: bool, widths: set[int]
) -> dict[str, int]:
    if channels == 128 and len(attention) == 1 and not scale_shift:
        return {"num_head_channels": 0, "num_heads": 1}
    if channels == 128 and res == 2 and len(attention) == 3:
        return {"num_head_channels": 0, "num_heads": 4}
    if any(width % 64 for width in widths):
        return {"num_head_channels": 0, "num_heads": 1}
    return {"num_head_channels": 64}
