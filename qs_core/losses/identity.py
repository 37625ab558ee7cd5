"""Identity of a face: the cosine between ArcFace's embeddings."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..features.arcface import ArcFace, load_arcface
from ..protocol import Model
from ..randomness import Generators
from .base import BoundLoss, Loss, View
from .description import Description, Option


@dataclass(frozen=True)
class Identity(Loss):
    """1 - cos between the embeddings of the estimate's face and the source's, one value per picture (DiffuseIT)."""

    name: ClassVar[str] = "identity"
    network: ArcFace

    def against(self, source: Tensor, generators: Generators) -> BoundLoss:
        with torch.no_grad():
            own = self.network(source)

        def loss(view: View) -> dict[str, Tensor]:
            return {"identity": 1 - torch.einsum("bd,bd->b", self.network(view.estimate), own)}

        return loss

    def graph_bytes(self, model: Model, batch: int, height: int, width: int) -> int:
        """What the network keeps of the pictures, in float32."""
        return batch * 252 * 2**20  # counted


IDENTITY_LOSS = Description(
    "identity",
    (
        Option(
            "identity",
            "weight",
            0.0,
            "weight: keep whose face it is",
            "Higher: the face stays the same person's.",
            widget_default=100.0,
        ),
        Option(
            "identity_weights",
            "text",
            None,
            "ArcFace's IR-SE50, a file such as model_ir_se50.pth",
            metavar="FILE",
        ),
    ),
    lambda settings, setting: Identity(setting.network),
    node="QSIdentityLoss",
    title="Identity Loss (QS)",
    text=(
        "Keeps whose face it is, by ArcFace. It needs the weights of its IR-SE50, such as model_ir_se50.pth, in "
        "models/qs_arcface. The face must be upright and centred, as FFHQ's are: the middle of the picture is read."
    ),
    aliases=("identity loss", "ArcFace", "face", "IR-SE50", "id loss", "portrait"),
    role="content",
    load=lambda settings, device, announce: load_arcface(settings.identity_weights, device=device),
)
