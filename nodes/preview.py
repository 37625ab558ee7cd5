"""QSAttnHeatmap: where the attention of the source is focused, and which anchors that selects."""

import torch

from ..qs_core import anchors as kinds
from ..qs_core.anchors import Attention
from ..qs_core.guidance import Economy
from ..qs_core.randomness import seeded
from ..qs_core.settings import choose_anchors, parse_attend
from ..qs_core.transfer import content_term
from .heatmap import Heat, draw
from .inversion import Inverted
from .seam import bring, check_cancelled, in_portions, leaves_inference_mode, to_image, walk_bytes
from .widgets import CATEGORY, DEFAULTS, anchor_widgets, anchors_widget, whole, wire


class QSAttnHeatmap:
    """QS_INVERSION → IMAGE, one picture per attending layer."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Shows where the contrastive loss will look: per layer the entropy of each place's attention over the picture "
        "(bright is low, focused) and the anchors that are selected there, as dots. Give it the settings of the "
        "sampler to see what that will use. One image per layer, picture by picture."
    )
    SEARCH_ALIASES = ["attention map", "entropy", "anchors", "query selection", "heat map", "visualize QS-Attn"]
    RETURN_TYPES = ("IMAGE",)
    OUTPUT_TOOLTIPS = ("One image per attending layer, picture by picture.",)
    FUNCTION = "draw"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "inversion": wire("QS_INVERSION", "The picture and its U-Net, from Invert Image."),
                "anchors": anchors_widget(list(kinds.SELECTORS)),
                "short_side": whole(512, 128, 2048, "Size of the drawing, in pixels of its short side.", step=64),
            },
            "optional": anchor_widgets(advanced=True),
        }

    @leaves_inference_mode
    def draw(
        self,
        inversion: Inverted,
        anchors: str,
        short_side: int,
        num_anchors: int = 0,
        attend: str = "",
        attention_scale: str = DEFAULTS["attention_scale"],
        attention_temperature: float = DEFAULTS["attention_temperature"],
    ):
        attention = Attention(attention_scale, attention_temperature)
        chosen = choose_anchors(
            inversion.model.core,
            *inversion.size,
            anchors,
            num_anchors or None,
            parse_attend(attend),
            attention,
        )
        heats = layers(inversion, chosen)
        drawn = [
            draw(picture, heat, inversion.frame, short_side)
            for picture, row in zip(inversion.inversion.source, heats, strict=True)
            for heat in row
        ]
        return (to_image(torch.stack(drawn)),)


def layers(inverted: Inverted, anchors: kinds.Anchors) -> list[list[Heat]]:
    """Per picture, what the contrastive loss selects on each attending layer."""
    core, source = inverted.model.core, inverted.inversion.source
    device = bring(inverted.model, memory=walk_bytes(core, source))
    loss = content_term(core, 1.0, anchors).loss

    def heats(rows: slice, _: Economy) -> list[list[Heat]]:
        check_cancelled()
        part = source[rows]
        bound = loss.against(part.to(device), seeded([0] * len(part)))
        found = [(s.entropy.cpu(), s.positions.cpu()) for s in bound.selections if s]
        return [[Heat(entropy[b], places[b], anchors.kind) for entropy, places in found] for b in range(len(part))]

    return [row for part in in_portions(source, lambda n: walk_bytes(core, source[:n]), device, heats) for row in part]
