"""DiffusionCLIP's losses (Kim et al. 2022, arXiv 2110.02711): directional CLIP on a logarithm, and L1."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from ..crops import Crops, cut, homographies
from ..features.clip import TextDirection
from ..randomness import Generators
from .base import BoundLoss, Loss, View


def directional(source: Tensor, output: Tensor, direction: Tensor) -> Tensor:
    """L = 1 - cos(Δimage, Δtext) of embeddings (…, D) that are normalised before their difference, one value a row."""
    change = normalize(output, dim=-1) - normalize(source, dim=-1)
    return 1 - (change / (change.norm(dim=-1, keepdim=True) + 1e-7) * normalize(direction, dim=-1)).sum(-1)


def logarithmic(distance: Tensor) -> Tensor:
    """-log((2 - L) / 2): 0 along the direction, without bound against it."""
    return -((2 - distance) / 2).log()


def whole(pictures: Tensor, size: int, antialias: bool = True) -> Tensor:
    """(B, 3, H, W) → (B, 3, size, size): the short side resized (bicubic), the middle cut out.

    Deviation: antialiased, as torchvision does today and did not at DiffusionCLIP's time.
    """
    height, width = pictures.shape[-2:]
    sides = [int(size * side / min(height, width)) for side in (height, width)]
    resized = interpolate(pictures, sides, mode="bicubic", antialias=antialias, align_corners=False)
    top, left = (round((side - size) / 2) for side in sides)
    return resized[..., top : top + size, left : left + size]


@dataclass(frozen=True)
class DirectionalCLIP(Loss):
    """-log((2 - L) / 2) with L the mean over views, and the weighted sum over target phrases.

    The view is the whole picture, or with `crops` each crop against the same crop of the source. `text` is embedded
    with templates. Deviation: the logarithm is each picture's own; DiffusionCLIP takes it of the batch's mean.
    """

    name: ClassVar[str] = "directional"
    text: TextDirection
    crops: Crops | None = None
    antialias: bool = True

    def against(self, source: Tensor, generators: Generators) -> BoundLoss:
        direction = rearrange(self.text.targets - self.text.source, "k d -> 1 1 k d")
        with torch.no_grad():
            still = None if self.crops else self._embed(source, None)

        def loss(view: View) -> dict[str, Tensor]:
            places = self.crops and homographies(self.crops, *source.shape[-2:], generators)
            with torch.no_grad():
                origin = self._embed(source, places) if still is None else still
            distance = directional(origin, self._embed(view.estimate, places), direction)
            return {self.name: logarithmic(distance.mean(1) @ self.text.weights)}

        return loss

    def _embed(self, pictures: Tensor, places: Tensor | None) -> Tensor:
        """(B, 3, H, W), the crops' homographies (B, n, 3, 3) or None for the whole → (B, n or 1, 1, D)."""
        clip = self.text.clip
        if places is None:
            seen = whole(pictures, clip.image_size, self.antialias)
        else:
            seen = cut(pictures, places, clip.image_size, self.crops.area)
        return rearrange(clip.encode_image(seen), "(b n) d -> b n 1 d", b=len(pictures))


class L1(Loss):
    """Mean of |picture - source|."""

    name: ClassVar[str] = "l1"

    def against(self, source: Tensor, generators: Generators) -> BoundLoss:
        return lambda view: {"l1": (view.estimate - source).abs().mean((1, 2, 3))}
