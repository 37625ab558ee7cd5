"""QSAttnHeatmap: where the attention of the source is focused, and which anchors that selects."""

import math
from collections.abc import Iterator
from functools import partial

import torch

from ..qs_core import anchors as kinds
from ..qs_core.anchors import Attention
from ..qs_core.losses.contrastive import ANCHORS, ATTENTION, content_term
from ..qs_core.losses.layers import choose_anchors, parse_layers
from ..qs_core.memory import MemoryPolicy, in_portions
from ..qs_core.randomness import seeded
from ..qs_core.tiles import Tiled
from .heatmap import Heat, draw
from .host import HOST
from .images import to_image
from .inference_mode import leaves_inference_mode
from .inversion import Inverted
from .widgets import CATEGORY, DEFAULTS, whole, widgets, wire


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
                **widgets(ANCHORS, choices=tuple(kinds.SELECTORS), tooltip=ANCHORS.tooltip.rpartition(" random: ")[0]),
                "short_side": whole(512, 128, 2048, "Size of the drawing, in pixels of its short side.", step=64),
            },
            "optional": {k: v for option in ATTENTION for k, v in widgets(option, advanced=True).items()},
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
            *seen(inversion),
            anchors,
            num_anchors or None,
            parse_layers(attend),
            attention,
        )
        heats = layers(inversion, chosen)
        drawn = [
            draw(picture, heat, inversion.prepared.frame, short_side)
            for picture, row in zip(inversion.inversion.source, heats, strict=True)
            for heat in row
        ]
        return (to_image(torch.stack(drawn)),)


def layers(inverted: Inverted, anchors: kinds.Anchors) -> list[list[Heat]]:
    """Per picture, what the contrastive loss selects on each attending layer: of a large picture window by window."""
    model, clean = inverted.inversion.model, inverted.inversion.clean
    batch, size = len(inverted), inverted.size
    loss, windows = content_term(model, 1.0, anchors).loss, math.prod(size) / math.prod(seen(inverted))

    def heats(rows: slice, _: MemoryPolicy) -> Iterator[list[Heat]]:
        bound = loss.against(clean[rows].to(HOST.device), seeded([0] * (rows.stop - rows.start)))
        found = [(s.entropy.cpu(), s.positions.cpu()) for s in bound.selections if s]
        for b in range(rows.stop - rows.start):
            yield [Heat(e[b], places[b], anchors.kind, round(e[b].numel() / windows)) for e, places in found]

    def work() -> list[list[Heat]]:
        policy = partial(MemoryPolicy, HOST)
        return list(in_portions((batch, *size), lambda n: model.walk_bytes(n, *size), HOST.device, heats, policy))

    return inverted.model.hold(work, [], model.walk_bytes(batch, *size), size)


def seen(inverted: Inverted) -> tuple[int, int]:
    """Height and width that the U-Net sees at a time: the picture's, or those of a window of a large one."""
    model = inverted.inversion.model
    return tuple(model.windows(*inverted.size)[0].weights.shape) if isinstance(model, Tiled) else inverted.size
