"""CLIPTextDirection: what the picture is, and what it should become."""

from dataclasses import dataclass, replace

import torch

from ..qs_core.features.clip import TextDirection, text_direction
from .seam import Loaded, bring, leaves_inference_mode
from .widgets import CATEGORY, DEFAULTS, parse_prompts, text, wire


@dataclass(frozen=True)
class Text:
    """What a QS_TEXT wire carries: the phrases' embeddings, kept on the CPU, and the CLIP that made them."""

    direction: TextDirection
    clip: Loaded

    def on(self, device: torch.device) -> TextDirection:
        """The direction with its embeddings on a device."""
        d = self.direction
        return replace(d, source=d.source.to(device), targets=d.targets.to(device), weights=d.weights.to(device))


class CLIPTextDirection:
    """Phrases → QS_TEXT."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Says what the picture is and what it should become. The style is the difference of the two phrases in CLIP's "
        "eyes, so name the style and leave the content out: photo → a sketch with crayon."
    )
    SEARCH_ALIASES = ["style prompt", "text prompt", "clip text encode", "directional clip", "StyleGAN-NADA"]
    RETURN_TYPES = ("QS_TEXT",)
    RETURN_NAMES = ("text",)
    OUTPUT_TOOLTIPS = ("The direction from the source phrase to the target, for QS-Attn Guided Sampler.",)
    FUNCTION = "encode"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "clip": wire("QS_CLIP", "The CLIP of Load OpenCLIP."),
                "prompt": text(
                    "a sketch with crayon",
                    "What the picture should become. Several styles are mixed: one a line, with ::weight behind it if "
                    "they shall not count alike (a line ::2 counts twice one without).",
                    multiline=True,
                ),
                "source_prompt": text(DEFAULTS["source_prompt"], "What the picture is now; photo fits most."),
                "templates": (
                    "BOOLEAN",
                    {
                        "default": DEFAULTS["templates"],
                        "tooltip": "Average each phrase over 80 sentences such as 'a bad photo of …', as some papers "
                        "do: steadier, but slower to start. Off suits style phrases.",
                    },
                ),
            }
        }

    @leaves_inference_mode
    def encode(self, clip: Loaded, prompt: str, source_prompt: str, templates: bool):
        bring(clip)
        prompts, weights = parse_prompts(prompt)
        direction = text_direction(clip.core, prompts, source_prompt, weights, templates)
        return (Text(Text(direction, clip).on(torch.device("cpu")), clip),)
