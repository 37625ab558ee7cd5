"""The nodes that bring networks and pictures in: LoadDiffusionModel, LoadOpenCLIP, QSSampleImage."""

from ..qs_core import demo, pictures
from ..qs_core.checkpoints.specification import LARGEST_IMAGE, VARIANCES
from ..qs_core.features.openclip import load_clip
from ..qs_core.model import load_model
from ..qs_core.precision import DTYPES, choose_clip_dtype, choose_dtype, warn_of_emulation
from ..qs_core.schedule import NOISE
from .folders import (
    CLIP_FOLDER,
    FOLDER,
    clip_instead,
    clip_weights,
    model_names,
    model_path,
    pretrained_names,
)
from .host import HOST, manage
from .images import to_image
from .inference_mode import leaves_inference_mode
from .progress import say
from .widgets import CATEGORY, DEFAULTS, choice, text, verdict, whole

AUTO = "auto"
ORDERS = {"no": False, "yes": True}
SAMPLES = {**demo.PICTURES, **demo.STYLE_PICTURES}
CLIPS = [demo.NAME, "ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336", "RN50"]  # open_clip knows many more


class LoadDiffusionModel:
    """A checkpoint → QS_MODEL."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Loads a pixel diffusion U-Net of the guided-diffusion (ADM) or DDPM family, e.g. OpenAI's 256x256 network. "
        f'The built-in "demo" works at once; put other checkpoints into models/{FOLDER}. Their configuration is read '
        "from the file, and looked up for published ones. Latent models (Stable Diffusion) do not fit."
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
            },
            "optional": {
                "image_size": whole(
                    0,
                    0,
                    LARGEST_IMAGE,
                    "Side of the pictures the network was trained on; others work as well. 0: read, looked up or "
                    "guessed from the file.",
                    advanced=True,
                ),
                "noise_schedule": choice(
                    [AUTO, *NOISE],
                    AUTO,
                    "How noise grew in training. auto: linear, but for the published networks that are known to have "
                    "another. A wrong one gives noise or mud.",
                    advanced=True,
                ),
                "variance": choice(
                    [AUTO, *VARIANCES],
                    AUTO,
                    "Noise of the ddpm step. auto: learned where the network has learned it, else that of its family.",
                    advanced=True,
                ),
                "num_heads": whole(
                    0,
                    0,
                    1024,
                    "Attention heads, which the file cannot tell. 0: looked up or guessed. A wrong number draws worse "
                    "without an error.",
                    advanced=True,
                ),
                "num_head_channels": whole(
                    0,
                    0,
                    4096,
                    "Channels of an attention head, instead of num_heads. 0: looked up or guessed.",
                    advanced=True,
                ),
                "use_new_attention_order": choice(
                    [AUTO, *ORDERS],
                    AUTO,
                    "Order of the attention's channels, which the file cannot tell. Of the published networks only "
                    "OpenAI's 64x64 has the new one.",
                    advanced=True,
                ),
                "class_label": whole(
                    -1,
                    -1,
                    100_000,
                    "The class that a class-conditional network draws. -1: none, as for all other networks.",
                    advanced=True,
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, model_name=None):
        """True, or what is wrong with the name; ComfyUI then does not compare it with its own list."""
        return verdict(model_path, model_name)

    @leaves_inference_mode
    def load(
        self,
        model_name: str,
        dtype: str,
        noise_schedule: str = AUTO,
        variance: str = AUTO,
        use_new_attention_order: str = AUTO,
        class_label: int = -1,
        **numbers: int,
    ):
        options = {"noise_schedule": noise_schedule, "variance": variance}
        options = {name: value for name, value in options.items() if value != AUTO}
        options |= {name: number for name, number in numbers.items() if number}
        if use_new_attention_order != AUTO:
            options["use_new_attention_order"] = ORDERS[use_new_attention_order]
        label = None if class_label < 0 else class_label
        chosen = choose_dtype(dtype)
        model = load_model(model_path(model_name), dtype=chosen, class_label=label, **options)
        if model.doubt:
            say(model.doubt)
        warn_of_emulation(chosen, HOST.device, say)
        return (manage(model),)


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
                "pretrained": choice(
                    pretrained_names(CLIPS[1:]),
                    "openai",
                    "Which weights of that model: one of open_clip's tags, which is downloaded if it is not on this "
                    f"machine yet, or a file in models/{CLIP_FOLDER}. Each model has its own tags; openai fits all in "
                    "the list above. Not used for demo.",
                ),
            },
            "optional": {
                "custom_name": text(
                    "",
                    "Any other name that open_clip knows, instead of the choice above: ViT-H-14; ViT-B-16-quickgelu "
                    "for a file of OpenAI's weights.",
                    placeholder="empty: the choice above; else e.g. ViT-H-14",
                    advanced=True,
                ),
                "dtype": choice(
                    ["auto", *DTYPES],
                    DEFAULTS["clip_dtype"],
                    "Number format of the part that looks at pictures. auto is bfloat16 for a ViT where the device has "
                    "it, else float32. bfloat16 is faster, and the picture looks the same.",
                    advanced=True,
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, clip_name=None, pretrained=None, custom_name="", input_types=None):
        """True, or what is wrong with the names; ComfyUI then does not compare them with its own list, nor the type of
        what is linked: in older workflows `pretrained` takes a text."""
        return verdict(_chosen, clip_name, pretrained, custom_name)

    @leaves_inference_mode
    def load(self, clip_name: str, pretrained: str, custom_name: str = "", dtype: str = AUTO):
        name, weights = _chosen(clip_name, pretrained, custom_name)
        clip = load_clip(name, weights, announce=say, instead=clip_instead())
        chosen = choose_clip_dtype(dtype, clip, HOST.device)
        clip.network.visual.to(DTYPES[chosen])
        warn_of_emulation(chosen, HOST.device, say)
        return (manage(clip),)


def _chosen(clip_name: str, pretrained: str, custom_name: str) -> tuple[str, str | None]:
    """The model's name, and its tag or file. Raises InputError for what is none of them."""
    name = custom_name.strip() or clip_name
    return (name, None) if name == demo.NAME else (name, clip_weights(name, pretrained.strip()))


class QSSampleImage:
    """A bundled photo → IMAGE."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "One of six photos that come with the pack, or of three paintings, so that a first try needs no file of yours."
    )
    SEARCH_ALIASES = ["example image", "demo picture", "test photo", "astronaut", "cat"]
    RETURN_TYPES = ("IMAGE",)
    OUTPUT_TOOLTIPS = ("The picture, short side 256 pixels at most.",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls):
        names = list(SAMPLES)
        said = "Which photo, or which painting for Style from Picture. LICENCES.md beside the photos has their sources."
        return {"required": {"picture": choice(names, names[0], said)}}

    @leaves_inference_mode
    def load(self, picture: str):
        # Rounded: in [-1, 1] on the way a value loses its last bit, and Save Image cuts off instead of rounding.
        return (to_image(pictures.read(SAMPLES[picture])[None]).mul(255).round().div(255),)
