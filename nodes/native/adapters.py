"""The nodes that make a QS_MODEL of a host's MODEL, VAE and CONDITIONING."""

import copy

from ...qs_core.errors import InputError
from ..widgets import CATEGORY, number, wire
from .loaded import LoadedNative
from .model import NativeModel, X0Model
from .session import Inputs

RELOAD = (
    "This loader cannot reload the {what} without dynamic VRAM. Use Load Checkpoint, Load Diffusion Model or Load VAE, "
    "or start ComfyUI with --disable-dynamic-vram."
)


class UseNativeModel:
    """MODEL, VAE and CONDITIONING → QS_MODEL."""

    MODEL = NativeModel
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Makes a model that ComfyUI has loaded (SD1.5, SDXL, SD3.5, Flux, Chroma, Qwen-Image, Z-Image and others) the "
        "network of Invert Image and the sampler. Guidance runs through it and through the VAE. The positive describes "
        "the photo, or is empty; the style goes into CLIP Text Direction."
    )
    SEARCH_ALIASES = ["stable diffusion", "SDXL", "Flux", "SD1.5", "latent model", "checkpoint", "native model", "VAE"]
    RETURN_TYPES = ("QS_MODEL",)
    RETURN_NAMES = ("model",)
    OUTPUT_TOOLTIPS = ("The model with its conditions and VAE, for Invert Image.",)
    FUNCTION = "use"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "model": wire("MODEL", "From Load Checkpoint or Load Diffusion Model, with LoRAs and patches."),
                "vae": wire("VAE", "The model's own VAE. Models that work on pixels want pixel_space of Load VAE."),
                "positive": wire(
                    "CONDITIONING",
                    "Describes the photo, or is empty: inversion and sampling both use it. The style goes into CLIP "
                    "Text Direction.",
                ),
            },
            "optional": {
                "negative": wire("CONDITIONING", "Used where cfg is not 1."),
                "cfg": number(
                    1.0,
                    0.0,
                    30.0,
                    0.1,
                    "Classifier-free guidance of both walks. 1: off, the best for inversion. Above 1 the inverted "
                    "noise does not lead back to the photo, and each step costs twice.",
                    advanced=True,
                ),
                "loss_vae": wire(
                    "VAE",
                    "A small VAE to decode with inside guidance, such as taesd, taesdxl, taesd3 or taef1 of Load VAE: "
                    "a tenth of the memory. The result is still decoded by the first one.",
                ),
                "guidance": number(
                    1.0,
                    0.0,
                    100.0,
                    0.05,
                    "Multiplies the pull of all losses, for a model on which they come out too weak or too strong. The "
                    "sampler's trust_radius still bounds it. The log tells the ratio of guidance to noise by step.",
                    advanced=True,
                ),
            },
        }

    def use(self, model, vae, positive, negative=None, cfg=1.0, loss_vae=None, guidance=1.0):
        """Called in the host's inference mode: copies of weights are the host's to make."""
        fitting = model.get_model_object("latent_format")
        for each in (vae, *([loss_vae] if loss_vae else [])):
            check_vae(each, fitting)
        if loss_vae and loss_vae.spacial_compression_encode() != vae.spacial_compression_encode():
            raise InputError("The loss_vae makes latents of another size than the vae. Use one for the same model.")
        loss_vae = loss_vae and whole_vae(loss_vae)
        if not guidance:
            raise InputError("guidance 0 turns all losses off; use the sampler's style 0 for that.")
        inputs = Inputs(whole(model, "model"), whole_vae(vae), positive, negative or positive, cfg, loss_vae)
        return (LoadedNative(self.MODEL(inputs, guidance), inputs.model),)


class UseNativeModelX0(UseNativeModel):
    """MODEL, VAE and CONDITIONING → QS_MODEL, without the network's gradient."""

    MODEL = X0Model
    DESCRIPTION = (
        "Like Use Native Model, for models whose network has no gradient, and for small cards: guidance looks at the "
        "predicted picture alone and goes through the VAE. There is no content loss on features (set contrastive to "
        "0), and the style comes out coarser; hold the content by MSE, VGG, a mask or a higher skip."
    )
    SEARCH_ALIASES = ["stable diffusion", "low vram", "latent model", "native model", "x0 guidance"]


def check_vae(vae: object, latent_format: object) -> None:
    """Raises InputError for a VAE whose latents are not the model's."""
    needed, made = latent_format.latent_channels, vae.latent_channels
    if needed == 3 and vae.spacial_compression_encode() != 1:
        raise InputError("This model works on pixels: choose pixel_space in Load VAE.")
    ratio = getattr(latent_format, "spacial_downscale_ratio", None)  # later hosts tell
    if needed != made or ratio not in (None, vae.spacial_compression_encode()):
        raise InputError(f"The VAE has {made} channels, the model {needed}. Connect the VAE of the same checkpoint.")


def whole(patcher: object, what: str) -> object:
    """The host's hold on weights that stay in place for the backward pass: not streamed, on one device, not compiled.

    Raises InputError where the host cannot load them anew without streaming.
    """
    try:
        own = patcher.clone(disable_dynamic=True) if getattr(patcher, "is_dynamic", bool)() else patcher.clone()
    except RuntimeError as error:
        raise InputError(RELOAD.format(what=what)) from error
    if hasattr(own, "remove_additional_models"):
        own.remove_additional_models("multigpu")
    own.remove_wrappers_with_key("apply_model", "torch.compile")  # hooks inside of a compiled network may not fire
    return own


def whole_vae(vae: object) -> object:
    """The VAE itself, or a copy over weights that are not streamed."""
    if not getattr(vae.patcher, "is_dynamic", bool)():
        return vae
    own = copy.copy(vae)
    own.patcher = whole(vae.patcher, "VAE")
    own.first_stage_model = own.patcher.model
    return own
