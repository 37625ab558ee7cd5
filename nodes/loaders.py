"""The nodes that bring networks and pictures in: LoadDiffusionModel, LoadOpenCLIP, QSSampleImage."""

from ..qs_core import demo, pictures
from ..qs_core.model import DTYPES, load_model
from ..qs_core.pipeline import open_clip_by_name
from ..qs_core.settings import choose_dtype
from .seam import FOLDER, hold, leaves_inference_mode, model_names, model_path, to_image
from .widgets import CATEGORY, DEFAULTS, choice, text

CLIPS = [demo.NAME, "ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336", "RN50"]  # open_clip knows many more


class LoadDiffusionModel:
    """A checkpoint → QS_MODEL."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Loads an unconditional pixel diffusion U-Net (guided-diffusion / ADM, e.g. OpenAI's 256x256 network). The "
        f'built-in "demo" works at once; put other checkpoints into models/{FOLDER}. Latent models (Stable Diffusion) '
        "do not fit."
    )
    SEARCH_ALIASES = ["load unet", "guided diffusion", "ADM", "pixel diffusion", "checkpoint loader", "QS-Attn"]
    RETURN_TYPES = ("QS_MODEL",)
    RETURN_NAMES = ("model",)
    OUTPUT_TOOLTIPS = ("The U-Net with its noise schedule, for Invert Image.",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "model_name": choice(
                    model_names(),
                    demo.NAME,
                    f'The checkpoint. "demo" is built in: small, for trying out. Others come from models/{FOLDER} '
                    "(.safetensors or .pt).",
                ),
                "dtype": choice(
                    ["auto", *DTYPES],
                    DEFAULTS["dtype"],
                    "Number format of the U-Net's blocks. auto is float32, the exact one; bfloat16 and float16 need "
                    "half the memory and are faster on a GPU, at some cost in precision.",
                ),
            }
        }

    @leaves_inference_mode
    def load(self, model_name: str, dtype: str):
        return (hold(load_model(model_path(model_name), dtype=choose_dtype(dtype))),)


class LoadOpenCLIP:
    """An open_clip model → QS_CLIP."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        'Loads the CLIP that judges the style. The built-in "demo" knows a few styles and needs no download; any other '
        "understands every phrase, and open_clip downloads its weights at the first use."
    )
    SEARCH_ALIASES = ["clip loader", "open_clip", "OpenAI CLIP", "ViT-B-16", "laion"]
    RETURN_TYPES = ("QS_CLIP",)
    RETURN_NAMES = ("clip",)
    OUTPUT_TOOLTIPS = ("CLIP with its tokenizer, for CLIP Text Direction.",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "clip_name": choice(
                    CLIPS,
                    demo.NAME,
                    "The model. demo is built in. Larger ones judge styles better and cost more time and memory at "
                    "each step: ViT-B-32 the least, ViT-L-14-336 the most. The papers use ViT-B-16.",
                ),
                "pretrained": text(
                    "openai",
                    "Which weights of that model: one of open_clip's tags (openai, laion2b_s34b_b88k, …) or the path "
                    "of a file. A tag that is not on this machine yet is downloaded. Not used for demo.",
                ),
            },
            "optional": {
                "custom_name": text(
                    "",
                    "Any other name that open_clip knows (e.g. ViT-H-14), instead of the choice above.",
                    advanced=True,
                ),
            },
        }

    @leaves_inference_mode
    def load(self, clip_name: str, pretrained: str, custom_name: str = ""):
        return (hold(open_clip_by_name(custom_name.strip() or clip_name, pretrained.strip() or None, "cpu")),)


class QSSampleImage:
    """A bundled photo → IMAGE."""

    CATEGORY = CATEGORY
    DESCRIPTION = "One of six photos that come with the pack, so that a first try needs no file of yours."
    SEARCH_ALIASES = ["example image", "demo picture", "test photo", "astronaut", "cat"]
    RETURN_TYPES = ("IMAGE",)
    OUTPUT_TOOLTIPS = ("The photo, short side 256 pixels at most.",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls):
        names = list(demo.PICTURES)
        return {
            "required": {"picture": choice(names, names[0], "Which photo; LICENCES.md beside them has the sources.")}
        }

    @leaves_inference_mode
    def load(self, picture: str):
        return (to_image(pictures.read(demo.PICTURES[picture])[None]),)
