"""open_clip's vision transformer as guidance needs it: the same embeddings and the same gradient to the picture but for
rounding, in less time and memory.

open_clip's own forward can be trained and gives all tokens. Here weights are constants and the class token alone is
read, so that
- of the last block all but keys and values is computed for the class token alone;
- patches are a matrix product; the gradient of a convolution with large strides is slow on CPUs;
- products keep nothing for the gradient but their weights, and QuickGELU keeps one tensor instead of two;
- on x86 CPUs float32 products run as 1x1 convolutions: torch gives these to oneDNN (on one thread from 16 crops on),
  and products to MKL, which is half as fast on AMD's processors.
The weights stay where they are and are read anew each time: the network may be moved or cast in between.
"""

import platform

import torch
from einops import rearrange
from open_clip.transformer import QuickGELU, ResidualAttentionBlock, Transformer, VisionTransformer
from torch import Tensor
from torch.nn import Identity, Module
from torch.nn.functional import conv2d, linear, scaled_dot_product_attention, silu

from .pixels import Tokens

X86 = platform.machine().lower() in ("x86_64", "amd64")
SHARPNESS = 1.702  # of QuickGELU, x·sigmoid(1.702·x)


def readable(visual: Module) -> bool:
    """Whether `embed` knows the tower: one of OpenAI's kind with frozen weights, as most of open_clip's are."""
    if type(visual) is not VisionTransformer or type(visual.transformer) is not Transformer:
        return False
    plain = visual.attn_pool is None and getattr(visual, "pool_type", "") == "tok" and not visual.output_tokens
    plain = plain and isinstance(visual.patch_dropout, Identity) and visual.proj is not None
    blocks = all(type(block) is ResidualAttentionBlock and block.attn.batch_first for block in _blocks(visual))
    return plain and blocks and not any(weight.requires_grad for weight in visual.parameters())


def embed(visual: VisionTransformer, crops: Tensor) -> Tensor:
    """(n, 3, H, W) normalised → (n, D), as the tower's own forward."""
    x = visual.ln_pre(_tokens(visual, crops))
    *blocks, last = _blocks(visual)
    for block in blocks:
        x = _mlp(block, _attend(block, x, x))
    x = _mlp(last, _attend(last, x[:, :1], x))
    return visual.ln_post(x[:, 0]) @ visual.proj


def look(visual: VisionTransformer, pictures: Tensor) -> Tokens:
    """The keys of the last block, and the class token after it, before the last norm, of (n, 3, H, W) normalised."""
    x = visual.ln_pre(_tokens(visual, pictures))
    *blocks, last = _blocks(visual)
    for block in blocks:
        x = _mlp(block, _attend(block, x, x))
    width, attention = x.shape[-1], last.attn
    own = slice(width, 2 * width)  # of queries, keys and values
    keys = product(last.ln_1(x), attention.in_proj_weight[own], attention.in_proj_bias[own])
    return Tokens(keys.float(), _mlp(last, _attend(last, x[:, :1], x))[:, 0].float())


def _blocks(visual: VisionTransformer) -> list[Module]:
    return list(visual.transformer.resblocks)


def _tokens(visual: VisionTransformer, crops: Tensor) -> Tensor:
    """(n, 1 + patches, width): the class token, then the patches row by row, each with its place added."""
    height, width = visual.patch_size
    patches = rearrange(crops, "n c (y h) (x w) -> n (y x) (c h w)", h=height, w=width)
    kernel = rearrange(visual.conv1.weight, "d c h w -> d (c h w)")
    first = visual.class_embedding.to(crops.dtype).expand(len(crops), 1, -1)
    return torch.cat([first, product(patches, kernel)], dim=1) + visual.positional_embedding.to(crops.dtype)


def _attend(block: Module, x: Tensor, all_tokens: Tensor) -> Tensor:
    """x (n, m, width), the tokens that ask, plus what they get from all of them."""
    attention, normed = block.attn, block.ln_1(all_tokens)
    weight, bias, heads = attention.in_proj_weight, attention.in_proj_bias, attention.num_heads
    if x is all_tokens:
        parts = product(normed, weight, bias).chunk(3, dim=-1)
    else:
        width = weight.shape[1]
        asked = product(normed[:, : x.shape[1]], weight[:width], bias[:width])
        parts = asked, *product(normed, weight[width:], bias[width:]).chunk(2, dim=-1)
    q, k, v = (rearrange(part, "n m (heads c) -> n heads m c", heads=heads) for part in parts)
    # On CPUs the fused kernel is several times slower in half precision than in single.
    wide = torch.float32 if x.device.type == "cpu" else x.dtype
    out = scaled_dot_product_attention(q.to(wide), k.to(wide), v.to(wide)).to(x.dtype)
    out = rearrange(out, "n heads m c -> n m (heads c)")
    return x + block.ls_1(product(out, attention.out_proj.weight, attention.out_proj.bias))


def _mlp(block: Module, x: Tensor) -> Tensor:
    first, activation, second = block.mlp
    hidden = _activated(activation, product(block.ln_2(x), first.weight, first.bias))
    return x + block.ls_2(product(hidden, second.weight, second.bias))


def _activated(activation: Module, x: Tensor) -> Tensor:
    return silu(x * SHARPNESS) / SHARPNESS if isinstance(activation, QuickGELU) else activation(x)


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(n, m, C) → (n, m, D): x·weightᵀ + bias with constant weights."""
    return _Product.apply(x, weight, bias)


class _Product(torch.autograd.Function):
    """Torch's own would keep x as well where it runs as a convolution."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        return _multiplied(x, weight, bias)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        (weight,) = ctx.saved_tensors
        return _multiplied(gradient, weight.T, None), None, None


def _multiplied(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if not (X86 and x.device.type == "cpu" and x.dtype == torch.float32 and torch.backends.mkldnn.is_available()):
        return linear(x, weight, bias)
    row = rearrange(x.contiguous(), "n m c -> n c 1 m")  # in memory as it was: channels last
    return rearrange(conv2d(row, weight[:, :, None, None], bias), "n d 1 m -> n m d")
