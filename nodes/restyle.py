"""QSRestyle: the whole line in one node, for a first try."""

from functools import cache

from torch import Tensor

from ..qs_core.presets import STYLES
from .host import Loaded
from .inversion import EncodeInvertDDIM
from .loaders import LoadDiffusionModel, LoadOpenCLIP
from .sampling import QSAttnGuidedSampler
from .text import CLIPTextDirection, refused
from .widgets import CATEGORY, DEFAULTS, MAX_SEED, choice, text, whole, wire


class QSRestyle:
    """IMAGE and a phrase → IMAGE."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Redraws a picture in a style, all in one node. Choose a known style, or say one in your own words. Two dials "
        "set how much of the style and how much of the picture is kept. It is Invert Image, CLIP Text Direction and "
        "QS-Attn Guided Sampler with their defaults; take those for everything else."
    )
    SEARCH_ALIASES = ["style transfer", "restyle", "QS-Attn", "text style", "easy", "simple", "beginner", "img2img"]
    RETURN_TYPES = ("IMAGE",)
    OUTPUT_TOOLTIPS = ("The restyled picture, or batch of them, at the size of what came in.",)
    FUNCTION = "restyle"

    @classmethod
    def INPUT_TYPES(cls):
        dials = QSAttnGuidedSampler.INPUT_TYPES()["optional"]
        return {
            "required": {
                "image": wire("IMAGE", "The picture to restyle; a batch is restyled picture by picture."),
                "known_style": choice(
                    list(STYLES),
                    next(iter(STYLES)),
                    "A style that the built-in CLIP knows. Used while phrase is empty.",
                ),
                "phrase": text(
                    "",
                    "What the picture should become, in your own words, in place of known_style. Name the style, not "
                    "the content. The built-in CLIP knows few words and says which; link another for any phrase.",
                    multiline=True,
                    placeholder="or in your own words, e.g. an oil painting",
                ),
                "style": dials["style"],
                "content": dials["content"],
                "size": EncodeInvertDDIM.INPUT_TYPES()["required"]["size"],
                "seed": whole(
                    DEFAULTS["seed"],
                    0,
                    MAX_SEED,
                    "Random numbers: the same seed gives the same picture. Picture b of a batch (from 0) takes seed + "
                    "b.",
                    control_after_generate=True,
                ),
            },
            "optional": {
                "model": wire("QS_MODEL", "A U-Net of Load Pixel Diffusion Model. Without it, the built-in one."),
                "clip": wire("QS_CLIP", "A CLIP of Load OpenCLIP. Without it, the built-in one."),
                "mask": wire(
                    "MASK", "Where to restyle: white is redrawn, black stays untouched. Without it, everything."
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, phrase=None):  # None: linked, known later
        return (phrase and phrase.strip() and refused(phrase)) or True

    def restyle(
        self,
        image: Tensor,
        known_style: str,
        phrase: str,
        style: float,
        content: float,
        size: int,
        seed: int,
        model: Loaded | None = None,
        clip: Loaded | None = None,
        mask: Tensor | None = None,
    ):
        prompt = phrase.strip() or STYLES[known_style]
        (direction,) = run(CLIPTextDirection, clip=clip or built_in(LoadOpenCLIP), prompt=prompt)
        (inverted,) = run(EncodeInvertDDIM, model=model or built_in(LoadDiffusionModel), image=image, size=size)
        dials = {"seed": seed, "style": style, "content": content}
        picture, _ = run(QSAttnGuidedSampler, inversion=inverted, text=direction, mask=mask, **dials)
        return (picture,)


def run(node: type, **given: object) -> tuple:
    """What a node puts out, with its widgets' defaults for what is not given."""
    declared = [its for section in node.INPUT_TYPES().values() for its in section.items()]
    defaults = {name: spec[1]["default"] for name, spec in declared if "default" in spec[1]}
    return getattr(node(), node.FUNCTION)(**{**defaults, **given})


@cache
def built_in(loader: type) -> Loaded:
    """The network that a loader gives by default, loaded once."""
    return run(loader)[0]
