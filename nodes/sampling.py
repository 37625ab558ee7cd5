"""QSAttnGuidedSampler: from the noisy state back to a picture, bent towards the text and held to the content."""

import torch

from ..qs_core import anchors, transfer
from ..qs_core.randomness import batch_seeds, streams
from ..qs_core.settings import Settings, make_terms
from .inversion import Inverted
from .seam import Progress, bring, graph_bytes, leaves_inference_mode, to_image, views_bytes
from .text import Text
from .widgets import CATEGORY, DEFAULTS, MAX_SEED, choice, number, text, weight, whole, wire


def anchor_widgets() -> dict[str, tuple]:
    """The inputs that say where on the picture the contrastive loss looks, but for the kind of anchors."""
    return {
        "num_anchors": whole(
            0,
            0,
            65536,
            "How many places the contrastive loss compares on each layer, at most a quarter of its map. 0: 256. More "
            "hold the content more evenly, fewer more at the selected places.",
            advanced=True,
        ),
        "attend": text(
            "",
            "Layers that select their anchors by attention; the others take random ones. Empty: the two deepest; or "
            "all; or resolutions such as 32,16 (the short side of the layer's map). All is slow on large pictures.",
            advanced=True,
        ),
        "attention_scale": choice(
            anchors.SCALES,
            DEFAULTS["attention_scale"],
            "How alike two places are: cosine of their features; sqrt, the dot product over the root of the channels; "
            "raw, the plain one as in QS-Attn, whose attention often sees one place only.",
            advanced=True,
        ),
        "attention_temperature": number(
            DEFAULTS["attention_temperature"],
            0.001,
            100.0,
            0.01,
            "Higher spreads each place's attention over more of the picture (higher entropy), lower sharpens it.",
            round=0.001,
            advanced=True,
        ),
    }


class QSAttnGuidedSampler:
    """QS_INVERSION and QS_TEXT → IMAGE."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Redraws the picture in the style of the text. At each step CLIP pulls towards the text, and a contrastive "
        "loss on the U-Net's own features holds the content at the places that attention selects (QS-Attn). A batch "
        "gives the same pictures as one by one: picture b (from 0) takes seed + b."
    )
    SEARCH_ALIASES = ["style transfer", "QS-Attn", "ZeCon", "guided sampler", "text style", "CLIP guidance"]
    RETURN_TYPES = ("IMAGE",)
    OUTPUT_TOOLTIPS = ("The restyled picture, or batch of them.",)
    FUNCTION = "sample"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "inversion": wire("QS_INVERSION", "The picture and its noisy state, from Invert Image."),
                "text": wire("QS_TEXT", "The style, from CLIP Text Direction."),
                "seed": whole(
                    DEFAULTS["seed"],
                    0,
                    MAX_SEED,
                    "Random numbers of noise, crops and random anchors: the same seed gives the same picture. Picture "
                    "b of a batch (from 0) takes seed + b.",
                    control_after_generate=True,
                ),
                "anchors": choice(
                    anchors.KINDS,
                    DEFAULTS["anchors"],
                    "Where the content is held. random: anywhere. global: where attention over the whole picture is "
                    "most focused (QS-Attn). local: within a 7x7 window. local_global: selected locally, compared "
                    "globally.",
                ),
                "clip_global": weight("clip_global", "Pull towards the text itself. Higher: more style, less content."),
                "clip_directional": weight(
                    "clip_directional",
                    "Pull along the difference of the two phrases. Higher: more style; the steadier of the two.",
                ),
                "contrastive": weight(
                    "contrastive", "Hold on the content through the U-Net's features. Higher: shapes stay, style fades."
                ),
                "mse": weight("mse", "Hold on the source's very pixels and colours. Higher: closer to the photo."),
                "sampler": choice(
                    transfer.SAMPLERS,
                    DEFAULTS["sampler"],
                    "ddpm adds fresh noise at each step, as the papers do: stronger styles. ddim (eta 0) adds none: "
                    "closer to the source.",
                ),
                "output_size": choice(
                    ["network", "original"],
                    DEFAULTS["output_size"],
                    "network: as the U-Net drew it. original: resized to the size of the picture that came in.",
                ),
                "preview_every": whole(1, 0, 1000, "Show the picture every so many steps; 0: never."),
            },
            "optional": {
                "range": weight(
                    "range", "Keeps colours within what a picture can show. Raise it where colours clip.", advanced=True
                ),
                "eta": number(
                    DEFAULTS["eta"],
                    0.0,
                    1.0,
                    0.05,
                    "Share of fresh noise in ddim: 0 none, 1 as much as ddpm. ddpm does not use it.",
                    advanced=True,
                ),
                "crops": whole(
                    DEFAULTS["crops"],
                    1,
                    1024,
                    "Random pieces of the picture that CLIP judges at each step. More is steadier, slower and needs "
                    "more memory.",
                    advanced=True,
                ),
                "crop_area_min": number(
                    DEFAULTS["crop_area"][0],
                    0.001,
                    1.0,
                    0.01,
                    "The smallest piece, as a share of the picture's area. Smaller: finer texture.",
                    round=0.001,
                    advanced=True,
                ),
                "crop_area_max": number(
                    DEFAULTS["crop_area"][1],
                    0.001,
                    1.0,
                    0.01,
                    "The largest piece, as a share of the picture's area. Larger: style of the whole scene.",
                    round=0.001,
                    advanced=True,
                ),
                **anchor_widgets(),
            },
        }

    @leaves_inference_mode
    def sample(
        self,
        inversion: Inverted,
        text: Text,
        seed: int,
        output_size: str,
        preview_every: int,
        crop_area_min: float = DEFAULTS["crop_area"][0],
        crop_area_max: float = DEFAULTS["crop_area"][1],
        num_anchors: int = 0,
        attend: str = "",
        **options,
    ):
        settings = Settings(
            prompts=text.direction.prompts,
            crop_area=(crop_area_min, crop_area_max),
            num_anchors=num_anchors or None,
            attend=attend,
            output_size=output_size,
            **options,
        )
        return (to_image(restyle(inversion, text, settings, seed, preview_every)),)


def restyle(inverted: Inverted, text: Text, settings: Settings, seed: int, preview_every: int) -> torch.Tensor:
    """(B, 3, H, W) in about [-1, 1]: the walk back under the settings' terms."""
    core, source = inverted.model.core, inverted.inversion.source
    step = transfer.step_function(settings.sampler, settings.eta)
    views = views_bytes(text.clip.core, len(source) * settings.crops)
    device = bring(inverted.model, text.clip, memory=graph_bytes(core, source) + views)
    inversion = inverted.on(device)
    terms = make_terms(settings, core, text.on(device), *inverted.size)
    randomness = streams(batch_seeds(seed, len(source)))
    bound = transfer.bind_terms(inversion, terms, randomness.losses)
    tell = Progress(inversion.start, preview_every)
    for reached in transfer.restyle(inversion, bound, step, randomness.noise):
        tell(inversion.start - reached.i, inverted.frame.restore(reached.x0 if reached.i else reached.x))
    return inverted.frame.restore(reached.x, settings.output_size)
