"""Colours: luminance, soft clipping, and one picture's colours for another (Pitié & Kokaram 2007)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

WHITE_POINT = 0.999  # quantile of a picture's values that soft clipping takes to the limit
REC_601 = (0.299, 0.587, 0.114)
LEVEL = 2 / 255  # of an 8-bit picture in [-1, 1]; a deviation below that tells nothing


def luminance(pictures: Tensor) -> Tensor:
    """(…, 3, H, W) → (…, 1, H, W): Rec. 601's weights on the values as they are, which are not made linear first."""
    return (pictures * pictures.new_tensor(REC_601).reshape(3, 1, 1)).sum(-3, keepdim=True)


@dataclass(frozen=True)
class Palette:
    """The mean (3,) and the covariance (3, 3) of colours in [-1, 1], float64."""

    mean: Tensor
    covariance: Tensor

    def towards(self, other: "Palette", share: float) -> "Palette":
        """The palette at a share of the shortest way to another, 0 this one, 1 the other."""
        move = torch.lerp(torch.eye(3, dtype=torch.float64), transport(self.covariance, other.covariance), share)
        return Palette(torch.lerp(self.mean, other.mean, share), move @ self.covariance @ move.T)


@dataclass(frozen=True)
class Colours:
    """A style's palette, and the share of the way to it: at 0 a result has its photo's palette, at 1 the style's."""

    style: Palette
    share: float

    def give(self, results: Tensor, photos: Tensor, blend: float | Tensor) -> Tensor:
        """(B, 3, H, W) results of photos (1 or B, 3, H, W) with that palette, in the share of a blend map, which is a
        number or broadcasts to (B, 1, H, W)."""
        moved = [
            repaint(result.clamp(-1, 1), palette([photo]).towards(self.style, self.share))
            for result, photo in zip(results, photos.expand_as(results), strict=True)
        ]
        return torch.lerp(results, torch.stack(moved), torch.as_tensor(blend, dtype=results.dtype))


def repaint(picture: Tensor, target: Palette) -> Tensor:
    """(3, H, W) moved linearly to a palette and clamped to [-1, 1]."""
    own = palette([picture])
    moved = torch.einsum(
        "ij,jhw->ihw", transport(own.covariance, target.covariance), picture.double() - own.mean[:, None, None]
    )
    return (moved + target.mean[:, None, None]).clamp(-1, 1).to(picture.dtype)


def palette(pictures: Sequence[Tensor], weights: Sequence[float] | None = None) -> Palette:
    """The palette of all pixels of pictures (3, H, W), picture by picture as the weights say, 1 each by default."""
    weights = torch.tensor([1.0] * len(pictures) if weights is None else list(weights), dtype=torch.float64)
    shares = weights / weights.sum()
    pixels = [rearrange(picture.detach().cpu().double(), "c h w -> c (h w)") for picture in pictures]
    means = torch.stack([one.mean(1) for one in pixels])
    mean = shares @ means
    within = sum(share * torch.cov(one) for share, one in zip(shares, pixels, strict=True))
    apart = means - mean
    return Palette(mean, within + torch.einsum("p,pi,pj->ij", shares, apart, apart))


def transport(source: Tensor, target: Tensor) -> Tensor:
    """(3, 3) Σs^-½ (Σs^½ Σt Σs^½)^½ Σs^-½: the linear map between covariances that moves colours least.

    What varies less than a level of 8 bits in the source, as the hues of a grey photo do, is not stretched from less.
    """
    values, vectors = torch.linalg.eigh(source)
    root = vectors * values.clamp(min=LEVEL**2).sqrt() @ vectors.T
    inverse = vectors / values.clamp(min=LEVEL**2).sqrt() @ vectors.T
    values, vectors = torch.linalg.eigh(root @ target @ root)
    return inverse @ (vectors * values.clamp(min=0).sqrt() @ vectors.T) @ inverse


def soft_clip(pictures: Tensor, share: float) -> Tensor:
    """(B, 3, H, W) with what is beyond [-1, 1] brought back by a curve: shadows and highlights keep detail.

    The outer `share` of either half of the range takes part, 0 to 1; 0 changes nothing. The curve is Reinhard's
    (2002, eq. 4), t·(1 + t/T²)/(1 + t), from the inner end t = 0 of that part to the picture's own extreme T. Each
    picture and each end has its own T, so an end that nothing exceeds stays as it is. Values above T stay beyond.
    """
    if not share:
        return pictures
    return -_compressed(-_compressed(pictures, share), share)


def _compressed(pictures: Tensor, share: float) -> Tensor:
    """The upper end alone."""
    knee = 1 - share
    white = pictures.flatten(1).kthvalue(1 + int(WHITE_POINT * (pictures[0].numel() - 1)), dim=1).values
    extreme = (rearrange(white, "b -> b 1 1 1").clamp(min=1) - knee) / share
    t = ((pictures - knee) / share).clamp(min=0)
    return torch.where(pictures > knee, knee + share * t * (1 + t / extreme**2) / (1 + t), pictures)
