"""The CLIP losses, global and directional: one loss with two values over the same random crops of the same view."""

from dataclasses import dataclass

import torch
from einops import rearrange, reduce
from torch import Tensor
from torch.nn.functional import cosine_similarity, interpolate, normalize
from torch.utils.checkpoint import checkpoint

from ..crops import Crops, cut, homographies
from ..features.clip import TextDirection
from ..randomness import Generators
from .base import View


def spherical_distance(image: Tensor, text: Tensor) -> Tensor:
    """2·arcsin(‖û - v̂‖/2)² between embeddings (…, D); ZeCon's global CLIP loss, one value per row."""
    chord = (normalize(image, dim=-1) - normalize(text, dim=-1)).norm(dim=-1)
    return 2 * (chord / 2).arcsin().square()


def directional_distance(image: Tensor, text: Tensor) -> Tensor:
    """1 - cos between an image direction and a text direction (…, D); StyleGAN-NADA, one value per row.

    Faithful: the directions are differences of embeddings that were not normalised.
    """
    return 1 - cosine_similarity(image, text, dim=-1)


@dataclass(frozen=True)
class CLIPLoss:
    """`clip_global` and `clip_directional`, each the mean over crops and the weighted sum over target phrases.

    The source is encoded once, whole. Faithful: it is squashed to CLIP's square for that. Deviation: ZeCon encodes one
    copy of it per crop at each step, to the same end, and draws other crops for each of the two losses.
    """

    text: TextDirection
    crops: Crops = Crops()

    def against(self, source: Tensor, generators: Generators) -> "BoundCLIP":
        size = self.text.clip.image_size
        with torch.no_grad():
            whole = interpolate(source, (size, size), mode="bilinear", antialias=True, align_corners=False)
            origin = rearrange(self.text.clip.encode_image(whole), "b d -> b 1 1 d")
        targets = rearrange(self.text.targets, "k d -> 1 1 k d")
        return BoundCLIP(self, origin, targets, targets - self.text.source, generators)

    def embed(self, picture: Tensor, matrices: Tensor, at_once: int | None) -> Tensor:
        """(1, 3, H, W), (1, n, 3, 3) → (n, D) embeddings of the crops; `at_once` as in `View`.

        Where that is fewer than all, crops are cut and encoded in parts, each computed again when its gradient is.
        """

        def encode(picture: Tensor, part: Tensor) -> Tensor:
            return self.text.clip.encode_image(cut(picture, part, self.text.clip.image_size, self.crops.area))

        if at_once is None or at_once >= self.crops.number:
            return encode(picture, matrices)
        parts = matrices.split(at_once, dim=1)
        again = {"use_reentrant": False, "preserve_rng_state": False}  # frozen: nothing random is in there
        return torch.cat([checkpoint(encode, picture, part, **again) for part in parts])

    def mean(self, distances: Tensor) -> Tensor:
        """(B, n, k) → (B,)."""
        return reduce(distances, "b n k -> b k", "mean") @ self.text.weights


@dataclass(frozen=True)
class BoundCLIP:
    """The loss bound to a source: its embedding, the target phrases' and the directions to them, as (…, …, k, D)."""

    loss: CLIPLoss
    origin: Tensor
    targets: Tensor
    direction: Tensor
    generators: Generators

    @property
    def views(self) -> int:
        """Crops of one picture."""
        return self.loss.crops.number

    def __call__(self, view: View) -> dict[str, Tensor]:
        height, width = view.estimate.shape[-2:]
        matrices = homographies(self.loss.crops, height, width, self.generators)
        # Picture by picture: a batch then rounds as each picture alone does.
        pairs = zip(view.estimate.split(1), matrices.split(1), strict=True)
        views = [self.loss.embed(one, its, view.at_once) for one, its in pairs]
        image = rearrange(views, "b n d -> b n 1 d")
        return {
            "clip_global": self.loss.mean(spherical_distance(image, self.targets)),
            "clip_directional": self.loss.mean(directional_distance(image - self.origin, self.direction)),
        }
