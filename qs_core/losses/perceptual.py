"""VGG-19 content loss: mean squared difference of shallow features."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from einops import reduce
from torch import Tensor

from ..features.vgg import VGG19, load_vgg
from ..protocol import Model
from ..randomness import Generators
from ..tiles import Tiled, Window
from .base import BoundLoss, Loss, View
from .description import Description, Option, Setting


@dataclass(frozen=True)
class VGGContent(Loss):
    """Σ over layers of the mean squared difference of features; ZeCon reads conv1_1 and conv2_1, both after their ReLU.

    Deviation: VGG sees [0, 1] normalised as it was trained; ZeCon normalises [-1, 1] as if it were [0, 1].
    """

    name: ClassVar[str] = "vgg"
    vgg: VGG19

    def against(self, source: Tensor, generators: Generators) -> BoundLoss:
        with torch.no_grad():
            features = self.vgg(source)

        def loss(view: View) -> dict[str, Tensor]:
            pairs = zip(self.vgg(view.estimate), features, strict=True)
            return {"vgg": sum(reduce((e - s).square(), "b c h w -> b", "mean") for e, s in pairs)}

        return loss

    def graph_bytes(self, model: Model, batch: int, height: int, width: int) -> int:
        """That of VGG."""
        return self.vgg.graph_bytes(batch, height, width)


@dataclass(frozen=True)
class WindowedVGG(Loss):
    """The same of a large picture in windows, in the memory of one: the mean by the windows' weights.

    Deviation: at a window's border, which hardly counts, VGG sees zeros instead of what is beyond.
    """

    name: ClassVar[str] = "vgg"
    vgg: VGG19
    windows: Callable[[int, int], Sequence[Window]]

    def against(self, source: Tensor, generators: Generators) -> "BoundWindows":
        return BoundWindows(self.vgg, source, self.windows(*source.shape[-2:]))

    def graph_bytes(self, model: Model, batch: int, height: int, width: int) -> int:
        """That of one window."""
        return self.vgg.graph_bytes(batch, *self.windows(height, width)[0].weights.shape)


@dataclass(frozen=True)
class BoundWindows:
    """The loss bound to a source, whose features are computed again at each step, to hold one window's."""

    vgg: VGG19
    source: Tensor
    windows: Sequence[Window]

    def parts(self, view: View) -> Iterator[dict[str, Tensor]]:
        """The values by windows that add up."""
        for window in self.windows:
            with torch.no_grad():
                features = self.vgg(self.source[window.place])
            pairs = zip(self.vgg(view.estimate[window.place]), features, strict=True)
            yield {"vgg": sum(self._mean((e - s).square(), window) for e, s in pairs)}

    def __call__(self, view: View) -> dict[str, Tensor]:
        return {"vgg": sum(values["vgg"] for values in self.parts(view))}

    def _mean(self, apart: Tensor, window: Window) -> Tensor:
        """(B,): what (B, C, h, w) of a window is of the mean over the whole picture."""
        factor = window.weights.shape[-1] // apart.shape[-1]
        places = (self.source.shape[-2] // factor) * (self.source.shape[-1] // factor)
        weights = window.at(factor).weights.to(apart)
        return reduce(weights * apart, "b c h w -> b c", "sum").mean(1) / places


def _make(settings: Any, setting: Setting) -> Loss:
    if isinstance(setting.model, Tiled):
        return WindowedVGG(setting.network, setting.model.windows)
    return VGGContent(setting.network)


VGG_LOSS = Description(
    "vgg",
    (
        Option(
            "vgg",
            "weight",
            0.0,
            "weight: hold VGG-19 features",
            "Higher: edges and texture of the photo stay.",
            widget_default=100.0,  # that of ZeCon's command
        ),
        Option(
            "vgg_weights", "text", None, "a file with them; by default torchvision's, from its cache", metavar="FILE"
        ),
    ),
    _make,
    node="QSVGGLoss",
    title="VGG Loss (QS)",
    text=(
        "Holds edges and texture through the shallow features of VGG-19, as ZeCon does. It needs torchvision's VGG-19 "
        "weights, in torchvision's cache or in models/qs_vgg (nothing is downloaded; where they belong is said if they "
        "are missing)."
    ),
    aliases=("vgg loss", "perceptual loss", "content loss", "VGG19", "feature loss"),
    role="content",
    load=lambda settings, device, announce: load_vgg(settings.vgg_weights, device=device),
)
