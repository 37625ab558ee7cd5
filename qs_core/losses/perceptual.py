"""VGG-19 content loss: mean squared difference of shallow features."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from einops import reduce
from torch import Tensor

from ..features.vgg import VGG19
from ..randomness import Generators
from .base import BoundLoss, Loss, View


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
