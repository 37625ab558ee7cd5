"""The few nodes of ComfyUI's own that the workflows use: their declarations, and what they do to tensors.

Named, typed and ordered alike in ComfyUI 0.3.64 and 0.33.0.
"""

import torch
from torch.nn.functional import interpolate

VERSION = "0.3.64"  # of the oldest ComfyUI that has them all


class MarkdownNote:
    """Text on the canvas, which the server never sees."""


class PreviewImage:
    """Shows pictures."""

    RETURN_TYPES = ()

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"images": ("IMAGE",)}}


class SaveImage(PreviewImage):
    """Shows pictures and saves them."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"images": ("IMAGE",), "filename_prefix": ("STRING", {"default": "ComfyUI"})}}


class PreviewAny:
    """Shows text."""

    RETURN_TYPES = ()

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"source": ("*",)}}


class ImageBatch:
    """Two batches as one; the second takes the first's size."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "batch"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image1": ("IMAGE",), "image2": ("IMAGE",)}}

    def batch(self, image1, image2):
        """The batch; sizes are equal in all workflows, or differ by a legend's rounding."""
        if image1.shape[1:] != image2.shape[1:]:
            resized = interpolate(image2.movedim(-1, 1), image1.shape[1:3], mode="bilinear")
            image2 = resized.movedim(1, -1)
        return (torch.cat([image1, image2]),)


class ImageToMask:
    """One channel of a picture as a mask."""

    RETURN_TYPES = ("MASK",)
    FUNCTION = "take"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",), "channel": (["red", "green", "blue", "alpha"], {"default": "red"})}}

    def take(self, image, channel):
        """The mask."""
        return (image[..., ["red", "green", "blue", "alpha"].index(channel)],)


class ThresholdMask:
    """White where a mask is above a value, black elsewhere."""

    RETURN_TYPES = ("MASK",)
    FUNCTION = "cut"

    @classmethod
    def INPUT_TYPES(cls):
        value = {"default": 0.5, "min": 0.0, "max": 1.0, "step": 0.01}
        return {"required": {"mask": ("MASK",), "value": ("FLOAT", value)}}

    def cut(self, mask, value):
        """The mask."""
        return ((mask > value).float(),)


class MaskToImage:
    """A mask as a grey picture."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "show"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"mask": ("MASK",)}}

    def show(self, mask):
        """The picture."""
        return (mask[..., None].expand(*mask.shape, 3).clone(),)


class CheckpointLoaderSimple:
    """A checkpoint's network, text encoder and VAE."""

    RETURN_TYPES = ("MODEL", "CLIP", "VAE")

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"ckpt_name": ([], {"default": ""})}}


class CLIPTextEncode:
    """A text as conditions."""

    RETURN_TYPES = ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {"default": "", "multiline": True}), "clip": ("CLIP",)}}


class FluxGuidance:
    """Flux's own guidance, which it was given in training."""

    RETURN_TYPES = ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls):
        value = {"default": 3.5, "min": 0.0, "max": 100.0, "step": 0.1}
        return {"required": {"conditioning": ("CONDITIONING",), "guidance": ("FLOAT", value)}}


class LoadVideo:
    """A video of the input folder."""

    RETURN_TYPES = ("VIDEO",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"file": ([], {"default": ""})}}


class GetVideoComponents:
    """A video's frames, sound and rate."""

    RETURN_TYPES = ("IMAGE", "AUDIO", "FLOAT")

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"video": ("VIDEO",)}}


class CreateVideo:
    """Frames with a rate and a sound as a video."""

    RETURN_TYPES = ("VIDEO",)

    @classmethod
    def INPUT_TYPES(cls):
        rate = {"default": 30.0, "min": 1.0, "max": 120.0, "step": 1.0}
        return {"required": {"images": ("IMAGE",), "fps": ("FLOAT", rate)}, "optional": {"audio": ("AUDIO",)}}


class SaveVideo:
    """Shows a video and saves it."""

    RETURN_TYPES = ()

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "video": ("VIDEO",),
                "filename_prefix": ("STRING", {"default": "video/ComfyUI"}),
                "format": (["auto"], {"default": "auto"}),
                "codec": (["auto"], {"default": "auto"}),
            }
        }


NODES = {
    cls.__name__: cls
    for cls in (
        MarkdownNote,
        PreviewImage,
        SaveImage,
        PreviewAny,
        ImageBatch,
        ImageToMask,
        ThresholdMask,
        MaskToImage,
        CheckpointLoaderSimple,
        CLIPTextEncode,
        FluxGuidance,
        LoadVideo,
        GetVideoComponents,
        CreateVideo,
        SaveVideo,
    )
}
