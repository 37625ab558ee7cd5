"""The CLIP losses, global and directional: one loss with two values over the same random crops of the same view."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import torch
from einops import rearrange, reduce
from torch import Tensor
from torch.nn.functional import cosine_similarity, interpolate, normalize, pad

from ..crops import Crops, cut, homographies
from ..features.clip import TextDirection
from ..protocol import Model
from ..randomness import Generators, seeded
from .base import Loss, View
from .description import Description, Option, Setting

# DiffuseIT turns pieces about the picture's middle and fills its corners with black; here they are turned about their
# own, and corners are mirrored.
AUGMENTATIONS = {
    "zecon": {},
    "diffuseit": {"ratio": (0.9, 1.1), "degrees": 10.0, "shift": 0.0, "distortion": 0.0, "flip": 0.5},
}
PATCHES = 64  # at least so many of a picture tell its style


def spherical_distance(image: Tensor, text: Tensor) -> Tensor:
    """2·arcsin(‖û - v̂‖/2)² between embeddings (…, D); ZeCon's global CLIP loss, one value per row."""
    chord = (normalize(image, dim=-1) - normalize(text, dim=-1)).norm(dim=-1)
    return 2 * (chord / 2).arcsin().square()


def directional_distance(image: Tensor, text: Tensor) -> Tensor:
    """1 - cos between an image direction and a text direction (…, D); StyleGAN-NADA, one value per row.

    Faithful: the directions are differences of embeddings that were not normalised.
    """
    return 1 - cosine_similarity(image, text, dim=-1)


class FinalCrops(NamedTuple):
    """Another number of crops at the walk's end, where the timestep is below `t` and little changes any more."""

    number: int
    t: int


@dataclass(frozen=True)
class CLIPLoss(Loss):
    """`clip_global` and `clip_directional`, each the mean over crops and the weighted sum over target phrases.

    `clip_target` is DiffuseIT's: minus the product of a crop's embedding with the target, text - 0.4 source text + 0.2
    source picture, all of unit length before and the target after (Kwon & Ye 2023, section 3.3).

    The source is encoded once, whole. Faithful: it is squashed to CLIP's square for that. Deviation: ZeCon encodes one
    copy of it per crop at each step, to the same end, and draws other crops for each of the two losses.

    A style picture is a further target: the mean embedding of as many patches of it as there are crops, of their share
    of the picture. Its direction begins at the mean of the source's patches, as does the crops' own.
    """

    name: ClassVar[str] = "clip"
    text: TextDirection
    crops: Crops = Crops()
    final: FinalCrops | None = None
    targeted: bool = False  # whether `clip_target` is taken

    def against(self, source: Tensor, generators: Generators) -> "BoundCLIP":
        size = self.text.clip.image_size
        with torch.no_grad():
            whole = interpolate(source, (size, size), mode="bilinear", antialias=True, align_corners=False)
            origin = rearrange(self.text.clip.encode_image(whole), "b d -> b 1 1 d")
            # Where the crops' directions begin, the targets, and where the directions to these begin.
            groups = [(origin, rearrange(self.text.targets, "k d -> 1 1 k d"), self.text.source)]
            if self.text.pictures:
                patches = rearrange(self._patches(source), "b d -> b 1 1 d")
                groups.append((patches, rearrange(self._patches(self.text.pictures), "p d -> 1 1 p d"), patches))
        shapes = [(len(source), 1, targets.shape[2], -1) for _, targets, _ in groups]
        origins = [origin.expand(shape) for (origin, _, _), shape in zip(groups, shapes, strict=True)]
        directions = [(to - begin).expand(shape) for (_, to, begin), shape in zip(groups, shapes, strict=True)]
        targets = torch.cat([targets for _, targets, _ in groups], dim=2)
        aims = self.aims(targets, rearrange(groups[0][0], "b 1 1 d -> b 1 d")) if self.targeted else None
        return BoundCLIP(self, torch.cat(origins, 2), targets, torch.cat(directions, 2), generators, aims)

    def aims(self, targets: Tensor, whole: Tensor) -> Tensor:
        """(B, k, D) of unit length: DiffuseIT's targets, of (1, 1, k, D) and the whole source's embedding (B, 1, D)."""
        means = torch.cat([self.text.means[1:], targets[0, 0, len(self.text.prompts) :]])
        start, end = normalize(self.text.means[0], dim=-1), normalize(means, dim=-1)
        return normalize(end - 0.4 * start + 0.2 * normalize(whole, dim=-1), dim=-1)

    def _patches(self, pictures: Iterable[Tensor]) -> Tensor:
        """(n, D) mean embedding of each picture's patches; the same places in every picture of a size."""
        crops, clip = replace(self.crops, number=max(self.crops.number, PATCHES)), self.text.clip
        means = []
        for picture in pictures:
            matrices = homographies(crops, *picture.shape[-2:], seeded([0]))
            parts = matrices.split(self.crops.number, dim=1)
            cuts = (cut(picture[None], some, clip.image_size, crops.area) for some in parts)
            means.append(torch.cat([clip.encode_image(some) for some in cuts]).mean(0))
        return torch.stack(means)

    def graph_bytes(self, model: Model, batch: int, height: int, width: int) -> int:
        """What CLIP keeps for one picture's crops: it sees one picture's at a time."""
        return self.text.clip.graph_bytes(self.crops.number)

    def crops_at(self, t: int) -> Crops:
        """The crops at a timestep."""
        return replace(self.crops, number=self.final.number) if self.final and t < self.final.t else self.crops

    def mean(self, distances: Tensor, number: int) -> Tensor:
        """(n, k) of some of a picture's crops → their part of the mean over all of that number, a scalar."""
        return reduce(distances, "n k -> k", "sum") / number @ self.text.weights


@dataclass(frozen=True)
class BoundCLIP:
    """The loss bound to a source: its embedding for each target (B, 1, k, D), the targets' (1, 1, k, D), and the
    directions to them (B, 1, k, D)."""

    loss: CLIPLoss
    origin: Tensor
    targets: Tensor
    direction: Tensor
    generators: Generators
    aims: Tensor | None = None

    @property
    def of_source(self) -> dict[str, Tensor]:
        """`clip_target` at the source, seen whole."""
        if self.aims is None:
            return {}
        whole = normalize(self.origin[:, 0, 0], dim=-1)
        return {"clip_target": -(torch.einsum("bd,bkd->bk", whole, self.aims) @ self.loss.text.weights)}

    @property
    def views(self) -> int:
        """Crops of one picture, at most."""
        final = self.loss.final
        return max(self.loss.crops.number, final.number if final else 0)

    def __call__(self, view: View) -> dict[str, Tensor]:
        parts = list(self.parts(view))
        return {name: sum(part[name] for part in parts) for name in parts[0]}

    def parts(self, view: View) -> Iterator[dict[str, Tensor]]:
        """The values by parts that add up, each of so many crops of one picture as `view.chunk` says.

        Picture by picture also where it says all: a batch then rounds as each picture alone does.
        """
        height, width = view.estimate.shape[-2:]
        crops = self.loss.crops_at(view.t)
        matrices = homographies(crops, height, width, self.generators)
        for row, (one, its) in enumerate(zip(view.estimate.split(1), matrices.split(1), strict=True)):
            for some in its.split(view.chunk or crops.number, dim=1):
                values = self._part(one, some, row, crops.number)
                yield {name: pad(value[None], (row, len(matrices) - row - 1)) for name, value in values.items()}

    def _part(self, picture: Tensor, matrices: Tensor, row: int, number: int) -> dict[str, Tensor]:
        """(1, 3, H, W), (1, m, 3, 3) of so many crops in all, and the picture's row → each value's part, a scalar."""
        loss = self.loss
        crops = cut(picture, matrices, loss.text.clip.image_size, loss.crops.area)
        image = rearrange(loss.text.clip.encode_image(crops), "n d -> n 1 d")
        found = {
            "clip_global": loss.mean(spherical_distance(image, self.targets[0]), number),
            "clip_directional": loss.mean(directional_distance(image - self.origin[row], self.direction[row]), number),
        }
        if self.aims is not None:
            products = normalize(image, dim=-1) @ self.aims[row].T
            found["clip_target"] = -loss.mean(rearrange(products, "n 1 k -> n k"), number)
        return found


def final_crops(settings: Any, model: Model) -> FinalCrops | None:
    """The crops of the walk's second half, from the state in its middle on; None where they are as many as before."""
    if settings.final_crops is None:
        return None
    schedule = model.schedule(settings.steps)
    middle = (len(schedule) - settings.skip) // 2
    return FinalCrops(settings.final_crops, int(schedule.timesteps[middle]) + 1)


def _make(settings: Any, setting: Setting) -> CLIPLoss:
    crops = Crops(settings.crops, settings.crop_area, **AUGMENTATIONS[settings.augmentation])
    return CLIPLoss(setting.text, crops, final_crops(settings, setting.model), settings.clip_target != 0)


CLIP_LOSS = Description(
    "clip",
    (
        Option(
            "clip_directional",
            "weight",
            40_000.0,
            "weight: pull along the phrases' difference",
            "Pull along the difference of the two phrases. Higher: more style.",
        ),
        Option(
            "clip_global",
            "weight",
            40_000.0,
            "weight: pull toward the phrase",
            "Pull towards the text itself. Higher: more style, less content.",
        ),
        Option(
            "crops",
            "whole",
            32,
            "random crops that CLIP sees each step",
            "Random pieces of the picture that CLIP judges at each step. More is steadier, slower and needs memory.",
            low=1,
            high=1024,
            metavar="N",
        ),
        Option(
            "crop_area",
            "range",
            (0.05, 0.3),
            "their share of the picture",
            (
                "The smallest piece, as a share of the picture's area. Smaller: finer texture.",
                "The largest piece, as a share of the picture's area. Larger: style of the whole scene.",
            ),
            low=0.001,
            high=1.0,
            step=0.01,
            metavar="MIN,MAX",
            parse=tuple,
        ),
        Option(
            "clip_target",
            "weight",
            0.0,
            "weight: pull to the phrase less the source phrase, as DiffuseIT",
            "Pull to the text, less 0.4 of the source text, plus 0.2 of the photo, as DiffuseIT does.",
            advanced=True,
            appended=True,
        ),
        Option(
            "augmentation",
            "choice",
            "zecon",
            "how pieces are warped",
            "How pieces are warped. zecon: turned and seen in perspective. diffuseit: turned a little, or mirrored.",
            choices=tuple(AUGMENTATIONS),
            advanced=True,
            appended=True,
        ),
        Option(
            "final_crops",
            "whole",
            None,
            "crops in the second half of the walk, to save time",
            low=1,
            metavar="N",
        ),
    ),
    _make,
    node="QSCLIPLoss",
    title="CLIP Loss (QS)",
    text=(
        "Pulls towards the text, judged by CLIP on random pieces of the picture. Takes the place of the sampler's own "
        "CLIP losses; several of these nodes add up: small and large pieces, a second style, or a second CLIP."
    ),
    aliases=("clip loss", "clip guidance", "directional loss", "style loss", "crops", "cutouts", "two clips"),
    role="style",
    check=lambda settings: Crops(settings.crops, settings.crop_area),
    takes_text=True,
)
