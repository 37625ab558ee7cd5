"""How much content a restyled picture kept, and how much style it has by a CLIP that did not guide it.

For evaluation alone: nothing here has a gradient. Pictures are (B, 3, H, W) in about [-1, 1]; they are clamped to it
and measured in float32. Every measure gives one float32 value per picture, (B,), whoever else is in the batch.
"""

from collections.abc import Callable

import torch
from einops import rearrange, reduce
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor
from torch.nn.functional import conv2d, cosine_similarity, interpolate, linear, normalize

from qs_core.errors import InputError
from qs_core.features.clip import CLIP
from qs_core.features.lpips import LPIPS
from qs_core.features.vit import ViT

Keys = Callable[[Tensor], Tensor]  # pictures (B, 3, H, W) → (B, tokens, D), any size

REC_709 = (0.2126, 0.7152, 0.0722)
WINDOW, SIGMA = 11, 1.5  # of SSIM
C1, C2 = 0.01**2, 0.03**2  # (K·L)² with the range L of luminance, 1
FLAT = 1e-6  # standard deviation of the gradient, per pixel; one grey level of 256 is 4e-3
VIEWS, AT_ONCE = 6, 64
LIMIT = 1 - 1 / 255  # values from here on are written as 0 or 255
SPECK, NEIGHBOURS = 0.2, 5  # of the range of colour; side of the window
STILL = 1e-5  # between embeddings of length 1, which float32 has to some 1e-6


def luminance(pictures: Tensor) -> Tensor:
    """(B, H, W) in [0, 1]: Rec. 709's weights on the values as they are, which are not made linear first."""
    weights = torch.tensor(REC_709, device=pictures.device)
    return torch.einsum("bchw,c->bhw", (_checked(pictures) + 1) / 2, weights)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """(B,) mean structural similarity of luminance, 1 for the same picture: Wang et al. 2004.

    A Gaussian window of 11 pixels and sigma 1.5, K = 0.01 and 0.03, only where the window lies inside the picture.
    Raises InputError for a picture below 11 pixels a side.
    """
    # Where a picture is bright and flat, float32 has no digits left for a variance; not every device has float64.
    x, y = (luminance(pictures).cpu().double() for pictures in _pair(a, b, WINDOW))
    mean_x, mean_y, square_x, square_y, product = map(_blurred, (x, y, x * x, y * y, x * y))
    variances = square_x - mean_x**2 + (square_y - mean_y**2)
    covariance = product - mean_x * mean_y
    light = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return reduce(light * (2 * covariance + C2) / (variances + C2), "b h w -> b", "mean").to(a.device, torch.float32)


def _blurred(x: Tensor) -> Tensor:
    """(B, H, W) → (B, H - 10, W - 10) means in the Gaussian window, rows first, then columns."""
    places = torch.arange(WINDOW, device=x.device, dtype=x.dtype) - WINDOW // 2
    weights = (-places.square() / (2 * SIGMA**2)).exp()
    weights = weights / weights.sum()
    x = conv2d(rearrange(x, "b h w -> b 1 h w"), rearrange(weights, "k -> 1 1 k 1"))
    return rearrange(conv2d(x, rearrange(weights, "k -> 1 1 1 k")), "b 1 h w -> b h w")


def clipped(edited: Tensor, source: Tensor) -> Tensor:
    """(B,) share of values at black or white beyond the source's own share, at least 0: burned-out colours."""
    edited, source = _pair(edited, source)
    return (_at_limits(edited) - _at_limits(source)).clamp(min=0)


def _at_limits(pictures: Tensor) -> Tensor:
    return reduce((pictures.abs() >= LIMIT).float(), "b c h w -> b", "mean")


def glitter(edited: Tensor, source: Tensor) -> Tensor:
    """(B,) share of pixels whose colour stands out of their neighbourhood, less the source's own share.

    Colour is the two differences R-G and (R+G)/2-B in [-1, 1]. It stands out where it departs from the median of the
    5x5 window by more than 0.2. Strokes and tiles are wider than that; white and cyan specks on a forehead are not.
    Raises InputError for a picture below 5 pixels a side.
    """
    edited, source = _pair(edited, source, NEIGHBOURS)
    return _specks(edited) - _specks(source)


def _specks(pictures: Tensor) -> Tensor:
    red, green, blue = ((pictures + 1) / 2).unbind(1)
    colour = torch.stack([red - green, (red + green) / 2 - blue], dim=1)
    reach = NEIGHBOURS // 2
    padded = torch.nn.functional.pad(colour, (reach,) * 4, mode="reflect")
    around = padded.unfold(2, NEIGHBOURS, 1).unfold(3, NEIGHBOURS, 1).flatten(4)
    stands_out = (colour - around.median(dim=-1).values).abs().amax(dim=1) > SPECK
    return reduce(stands_out.float(), "b h w -> b", "mean")


def gradient_correlation(a: Tensor, b: Tensor) -> Tensor:
    """(B,) Pearson correlation over pixels of the Sobel gradient's magnitude of luminance: whether edges are where they
    were, however strong and of whatever colour.

    A picture whose gradient is the same everywhere (within 1e-6) is flat: two flat ones have 1, as nothing was lost; a
    flat one and another have 0. Raises InputError for a picture below 3 pixels a side.
    """
    x, y = (rearrange(_gradient(luminance(pictures)), "b h w -> b (h w)") for pictures in _pair(a, b, 3))
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    flat_x, flat_y = (part.square().mean(1).sqrt() < FLAT for part in (x, y))
    correlation = cosine_similarity(x, y, dim=1).masked_fill(flat_x | flat_y, 0.0)
    return correlation.masked_fill(flat_x & flat_y, 1.0)


def _gradient(x: Tensor) -> Tensor:
    """(B, H, W) → (B, H - 2, W - 2) length of the Sobel gradient per pixel."""
    # Differences first: that of equal numbers is exactly 0.
    across, down = x[:, :, 2:] - x[:, :, :-2], x[:, 2:] - x[:, :-2]
    across = across[:, :-2] + 2 * across[:, 1:-1] + across[:, 2:]
    down = down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]
    return torch.hypot(across, down) / 8


@torch.no_grad()
def structure_distance(keys: Keys, a: Tensor, b: Tensor) -> Tensor:
    """(B,) mean squared difference between the cosine self-similarities (tokens x tokens) of the keys of both pictures,
    0 for the same: Splice (Tumanyan et al. 2022).

    As there, the class token is one of the tokens, compared with the patches and with itself. `keys` is of `vit_keys`,
    with DINO what Splice reads, or of `clip_keys`; the figures of two networks cannot be compared.
    """
    x, y = (_self_similarity(keys(pictures)) for pictures in _pair(a, b))
    return reduce((x - y).square(), "b i j -> b", "mean")


def _self_similarity(keys: Tensor) -> Tensor:
    keys = normalize(keys.float(), dim=-1)
    return torch.einsum("bid,bjd->bij", keys, keys)


def vit_keys(vit: ViT, layer: int = -1, size: int = 224) -> Keys:
    """The keys of a ViT's block, class token included, of pictures resized to a square of `size`."""
    return lambda pictures: vit.keys(_square(pictures, size), layer)


def clip_keys(clip: CLIP) -> Keys:
    """The keys of the attention in the last block of a CLIP's picture tower, class token included and heads side by
    side, of pictures resized to the square that it reads.

    Raises InputError for a tower that is no open_clip VisionTransformer, or has attention of another kind.
    """
    visual = clip.network.visual
    blocks = visual.transformer.resblocks if isinstance(visual, VisionTransformer) else ()
    # Blocks of other kinds have other names inside, and may normalise their keys.
    if not blocks or type(blocks[-1]) is not ResidualAttentionBlock:
        raise InputError(
            f"The picture tower of {clip.name} is no vision transformer whose keys can be read. Give a CLIP such as "
            "ViT-B-16, or tell structure by DINO, or not at all."
        )

    def keys(pictures: Tensor) -> Tensor:
        mean, std = (rearrange(pictures.new_tensor(v), "c -> c 1 1") for v in (clip.mean, clip.std))
        # As open_clip's own forward begins, which runs all blocks.
        x = visual._embeds(((_square(pictures, clip.image_size) + 1) / 2 - mean) / std)
        for block in blocks[:-1]:
            x = block(x)
        attention = blocks[-1].attn
        _, weight, _ = attention.in_proj_weight.chunk(3)  # queries, keys, values
        _, bias, _ = attention.in_proj_bias.chunk(3)
        return linear(blocks[-1].ln_1(x), weight, bias)

    return keys


@torch.no_grad()
def lpips(network: LPIPS, a: Tensor, b: Tensor) -> Tensor:
    """(B,) LPIPS, 0 for the same picture, at the pictures' own size; `network` is of `features.lpips.load_lpips`."""
    return network(*_pair(a, b))


@torch.no_grad()
def embed(clip: CLIP, pictures: Tensor) -> Tensor:
    """(B, 6, D) embeddings of length 1 of six fixed views of each picture: the whole, then crops of half its sides at
    the corners (upper left, upper right, lower left, lower right) and in the centre.

    Each view is resized to CLIP's square. At most 64 views are encoded at once, those of a picture together.
    """
    parts = _checked(pictures).split(AT_ONCE // VIEWS)
    return torch.cat([_embed(clip, part) for part in parts])


def _embed(clip: CLIP, pictures: Tensor) -> Tensor:
    resized = [_square(view, clip.image_size) for view in _views(pictures)]
    embeddings = clip.encode_image(rearrange(resized, "v b c h w -> (b v) c h w"))
    return rearrange(normalize(embeddings, dim=-1), "(b v) d -> b v d", v=VIEWS)


def _views(pictures: Tensor) -> list[Tensor]:
    """Half of an odd side is rounded up, so that the corners' crops cover the picture."""
    height, width = pictures.shape[-2:]
    h, w = (height + 1) // 2, (width + 1) // 2
    corners = [(0, 0), (0, width - w), (height - h, 0), (height - h, width - w)]
    places = [*corners, ((height - h) // 2, (width - w) // 2)]
    return [pictures, *(pictures[..., top : top + h, left : left + w] for top, left in places)]


def directional_similarity(estimate: Tensor, source: Tensor, text_target: Tensor, text_source: Tensor) -> Tensor:
    """(B,) cosine between a picture's way from its source and the phrases' way, the mean over views: CLIP directional
    similarity (Gal et al. 2022, StyleGAN-NADA), here of embeddings of length 1.

    `estimate`, `source` (B, V, D) are of `embed`; the texts (D,) are scaled to length 1 before their difference. A view
    that did not move, by more than the 1e-5 that rounding can, has 0.
    Raises InputError for phrases with the same embedding.
    """
    if estimate.shape != source.shape:
        raise _mismatch("Embeddings", estimate, source)
    _require_text(estimate, text_target, text_source)
    way = normalize(text_target.float(), dim=-1) - normalize(text_source.float(), dim=-1)
    if way.norm() < STILL:
        raise InputError("Target and source phrase have the same embedding; that gives no direction. Change one.")
    moved = estimate.float() - source.float()
    cosines = cosine_similarity(moved, way, dim=-1).masked_fill(moved.norm(dim=-1) < STILL, 0.0)
    return reduce(cosines, "b v -> b", "mean")


def clip_score(estimate: Tensor, text_target: Tensor) -> Tensor:
    """(B,) cosine between a picture's embeddings (B, V, D) and a phrase's (D,), the mean over views, in [-1, 1].

    Deviation: CLIPScore (Hessel et al. 2021) is clamped at 0 and multiplied by 2.5, others by 100; here neither.
    """
    _require_text(estimate, text_target)
    return reduce(cosine_similarity(estimate.float(), text_target.float(), dim=-1), "b v -> b", "mean")


def style_probability(estimate: Tensor, texts: Tensor, target: int, temperature: float = 0.01) -> Tensor:
    """(B,) probability of phrase `target` among k by CLIP's zero-shot classification, the mean over views, in [0, 1]:
    softmax over the phrases of cosine / temperature.

    `estimate` is (B, V, D), `texts` (k, D). Only figures with the same phrases compare.
    0.01 is the temperature at which the training of CLIP ended (Radford et al. 2021).
    """
    if texts.ndim != 2 or not 0 <= target < len(texts):
        raise InputError(f"Target {target} of phrases {_told(texts)}: give embeddings (k, D) and an index into them.")
    if not temperature > 0:
        raise InputError(f"Temperature is {temperature}; it must be above 0, as CLIP's 0.01.")
    _require_text(estimate, *texts)
    images, phrases = normalize(estimate.float(), dim=-1), normalize(texts.float(), dim=-1)
    cosines = torch.einsum("bvd,kd->bvk", images, phrases)
    return reduce((cosines / temperature).softmax(-1)[..., target], "b v -> b", "mean")


def _square(pictures: Tensor, size: int) -> Tensor:
    return interpolate(pictures, (size, size), mode="bilinear", antialias=True, align_corners=False)


def _checked(pictures: Tensor) -> Tensor:
    """Pictures in float32, clamped to [-1, 1]. Raises InputError for another layout, NaN and infinity."""
    if pictures.ndim != 4 or pictures.shape[1] != 3 or not pictures.numel():
        raise InputError(f"Pictures are {_told(pictures)}; (B, 3, H, W) is needed. Give at least one colour picture.")
    if not pictures.isfinite().all():
        raise InputError("Pictures hold NaN or infinity, which cannot be measured. Leave out those that failed.")
    return pictures.detach().float().clamp(-1, 1)


def _pair(a: Tensor, b: Tensor, smallest: int = 1) -> tuple[Tensor, Tensor]:
    """Both, checked. Raises InputError for pictures of different shapes, and for sides below `smallest`."""
    a, b = _checked(a), _checked(b)
    if a.shape != b.shape:
        raise _mismatch("Pictures", a, b)
    height, width = a.shape[-2:]
    if min(height, width) < smallest:
        raise InputError(f"Pictures are {width}x{height}; {smallest} pixels a side are needed. Give larger ones.")
    return a, b


def _require_text(estimate: Tensor, *texts: Tensor) -> None:
    """Raises InputError for picture embeddings that are not (B, V, D), and text embeddings that are not (D,)."""
    other = next((text for text in texts if text.shape != estimate.shape[-1:]), None)
    if estimate.ndim != 3 or other is not None:
        told = _told(texts[0] if other is None else other)
        raise InputError(
            f"Picture embeddings are {_told(estimate)}, a phrase's {told}; (B, V, D) and (D,) are needed. Take both of "
            "the same CLIP."
        )


def _mismatch(what: str, a: Tensor, b: Tensor) -> InputError:
    return InputError(f"{what} are {_told(a)} and {_told(b)}; both need the same shape. Give as many of one size.")


def _told(tensor: Tensor) -> str:
    return f"({', '.join(map(str, tensor.shape))})"
