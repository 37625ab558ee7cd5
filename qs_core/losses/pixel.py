"""Losses on pixels: mean squared error to the source, and the range penalty on x0."""

from dataclasses import dataclass
from typing import ClassVar

from einops import reduce
from torch import Tensor

from ..randomness import Generators
from .base import BoundLoss, Loss, View
from .description import Description, Option


@dataclass(frozen=True)
class MSE(Loss):
    """Mean squared difference between the estimate and the source (ZeCon's `mse`).

    `chroma` is the share that differences of colour count; differences of lightness, the mean of the channels, count in
    full. With 1 it is the plain mean. Deviation: against the clean source; ZeCon noises it anew at each step.
    """

    chroma: float = 1.0
    name: ClassVar[str] = "mse"

    def against(self, source: Tensor, generators: Generators) -> BoundLoss:
        def loss(view: View) -> dict[str, Tensor]:
            difference = view.estimate - source
            lightness = reduce(difference, "b c h w -> b 1 h w", "mean")
            of_colour = reduce((difference - lightness).square(), "b c h w -> b", "mean")
            return {"mse": reduce(lightness.square(), "b 1 h w -> b", "mean") + self.chroma * of_colour}

        return loss


@dataclass(frozen=True)
class Range(Loss):
    """Mean squared distance of x0 from [-1, 1]."""

    name: ClassVar[str] = "range"

    def against(self, source: Tensor, generators: Generators) -> BoundLoss:
        return range_loss


def range_loss(view: View) -> dict[str, Tensor]:
    """The range penalty of a view; it needs no source."""
    excess = view.x0 - view.x0.clamp(-1, 1)
    return {"range": reduce(excess.square(), "b c h w -> b", "mean")}


MSE_LOSS = Description(
    "mse",
    (
        Option("mse", "weight", 20_000.0, "weight: hold the pixels", "Higher: closer to the photo."),
        Option(
            "mse_chroma",
            "number",
            0.5,
            "share that differences of colour count in it; 0: lightness alone",
            "How much differences of colour count beside those of lightness. Lower: colours may change where the style "
            "says so.",
            0.0,
            1.0,
            0.05,
            metavar="S",
            advanced=True,
            appended=True,
        ),
    ),
    lambda settings, setting: MSE(settings.mse_chroma),
    node="QSMSELoss",
    title="MSE Loss (QS)",
    text=(
        "Holds on the photo's very pixels, so its colours and light. Takes the place of the sampler's own mse; with a "
        "share of the walk it can act at the start alone, where colours are decided."
    ),
    aliases=("mse loss", "pixel loss", "L2", "keep colours", "keep colors"),
    role="content",
)
RANGE_LOSS = Description(
    "range",
    (Option("range", "weight", 20_000.0, "weight: keep colours in range", "Higher: fewer clipped colours."),),
    lambda settings, setting: Range(),
    node="QSRangeLoss",
    title="Range Loss (QS)",
    text=(
        "Keeps colours within what a picture can show. Takes the place of the sampler's own range loss. Raise it where "
        "strong styles burn out into pure white, black or neon."
    ),
    aliases=("range loss", "clipping", "burned colours", "saturation"),
)
