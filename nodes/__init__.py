"""The nodes, in the order of the menu."""

from .inversion import EncodeInvertDDIM
from .loaders import LoadDiffusionModel, LoadOpenCLIP, QSSampleImage
from .preview import QSAttnHeatmap
from .sampling import QSAttnGuidedSampler
from .seam import register_folder
from .text import CLIPTextDirection

register_folder()

NODE_CLASS_MAPPINGS = {
    "LoadDiffusionModel": LoadDiffusionModel,
    "LoadOpenCLIP": LoadOpenCLIP,
    "CLIPTextDirection": CLIPTextDirection,
    "EncodeInvertDDIM": EncodeInvertDDIM,
    "QSAttnGuidedSampler": QSAttnGuidedSampler,
    "QSSampleImage": QSSampleImage,
    "QSAttnHeatmap": QSAttnHeatmap,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "LoadDiffusionModel": "Load Pixel Diffusion Model (QS)",
    "LoadOpenCLIP": "Load OpenCLIP (QS)",
    "CLIPTextDirection": "CLIP Text Direction (QS)",
    "EncodeInvertDDIM": "Invert Image, DDIM (QS)",
    "QSAttnGuidedSampler": "QS-Attn Guided Sampler",
    "QSSampleImage": "Sample Photo (QS)",
    "QSAttnHeatmap": "QS-Attn Heat Map",
}
