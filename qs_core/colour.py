"""Lightness, and colours of one picture for another: the linear Monge-Kantorovitch map of Pitié & Kokaram (2007)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

REC_601 = (0.299, 0.587, 0.114)
LEVEL = 2 / 255  # of an 8-bit picture in [-1, 1]; a deviation below that tells nothing


def luminance(pictures: Tensor) -> Tensor:
    """(…, 3, H, W) → (…, 1, H, W): Rec. 601's weights on the values as they are, which are not made linear first."""
    return (pictures * torch.tensor(REC_601).reshape(3, 1, 1).to(pictures)).sum(-3, keepdim=True)


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
