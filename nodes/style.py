"""QSStylePicture: a style given as a picture, beside phrases or in their place."""

import torch
from torch import Tensor

from ..qs_core.errors import InputError
from ..qs_core.features.clip import text_direction
from .host import Loaded, bring
from .images import from_image
from .inference_mode import leaves_inference_mode
from .text import Text
from .widgets import CATEGORY, DEFAULTS, number, wire


class QSStylePicture:
    """IMAGE → QS_TEXT."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Takes the style of a picture, such as a painting, in place of a phrase or beside one. CLIP compares patches "
        "of it with patches of the photo, so strokes and textures count and what is painted hardly does. Stands where "
        "CLIP Text Direction stands, and works with the built-in CLIP, too."
    )
    SEARCH_ALIASES = ["style image", "reference image", "style transfer", "painting", "style reference", "IPAdapter"]
    RETURN_TYPES = ("QS_TEXT",)
    RETURN_NAMES = ("text",)
    OUTPUT_TOOLTIPS = ("The direction from the photo to the style, for QS-Attn Guided Sampler.",)
    FUNCTION = "encode"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "clip": wire("QS_CLIP", "The CLIP of Load OpenCLIP."),
                "image": wire("IMAGE", "The picture whose style is taken; of a batch, the mean of all."),
                "weight": number(
                    1.0,
                    0.01,
                    100.0,
                    0.1,
                    "How much it counts beside what comes in at text, which counts 1. Alone it makes no difference.",
                    round=0.001,
                ),
                "colour_transfer": number(
                    DEFAULTS["colour_transfer"],
                    0.0,
                    1.0,
                    0.05,
                    "Colours of the result: 0 those of the photo, 1 those of the style picture, between a mixture. The "
                    "last of several such nodes decides for all.",
                    round=0.001,
                ),
            },
            "optional": {
                "text": wire(
                    "QS_TEXT",
                    "Phrases of CLIP Text Direction, or further style pictures, to mix with; of the same CLIP.",
                )
            },
        }

    @leaves_inference_mode
    def encode(self, clip: Loaded, image: Tensor, weight: float, colour_transfer: float, text: Text | None = None):
        if text is not None and text.clip is not clip:
            raise InputError("The text was made by another CLIP. Link both nodes to the same Load OpenCLIP.")
        shown = list(from_image(image) * 2 - 1)
        if text is None:
            bring([clip])
            direction = text_direction(clip.core, (), DEFAULTS["source_prompt"], pictures=shown)
        else:
            direction = text.direction.joined(shown, weight)
        return (Text(direction.on(torch.device("cpu")), clip, colour_transfer),)
