"""VGG-19 content loss: mean squared difference of shallow features."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from einops import reduce
from torch import Tensor

from ..features.vgg import VGG19, load_vgg
from ..randomness import Generators
from .base import BoundLoss, Loss, View
from .description import Description, Option


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
    lambda settings, setting: VGGContent(setting.network),
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
