"""The nodes, in the order of the menu."""

from .comparison import QSBeforeAfter, QSCompareGrid
from .folders import register_folders
from .inversion import EncodeInvertDDIM
from .loaders import LoadDiffusionModel, LoadOpenCLIP, QSSampleImage
from .losses import LOSS_NODES
from .presets import QSStylePreset
from .preview import QSAttnHeatmap
from .restyle import QSRestyle
from .sampling import QSAttnGuidedSampler
from .text import CLIPTextDirection, QSPromptList

register_folders()

NODE_CLASS_MAPPINGS = {
    "LoadDiffusionModel": LoadDiffusionModel,
    "LoadOpenCLIP": LoadOpenCLIP,
    "CLIPTextDirection": CLIPTextDirection,
    "EncodeInvertDDIM": EncodeInvertDDIM,
    "QSAttnGuidedSampler": QSAttnGuidedSampler,
    "QSRestyle": QSRestyle,
    "QSStylePreset": QSStylePreset,
    **LOSS_NODES,
    "QSPromptList": QSPromptList,
    "QSSampleImage": QSSampleImage,
    "QSAttnHeatmap": QSAttnHeatmap,
    "QSCompareGrid": QSCompareGrid,
    "QSBeforeAfter": QSBeforeAfter,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "LoadDiffusionModel": "Load Pixel Diffusion Model (QS)",
    "LoadOpenCLIP": "Load OpenCLIP (QS)",
    "CLIPTextDirection": "CLIP Text Direction (QS)",
    "EncodeInvertDDIM": "Invert Image, DDIM (QS)",
    "QSAttnGuidedSampler": "QS-Attn Guided Sampler",
    "QSRestyle": "Restyle (QS)",
    "QSStylePreset": "Style Preset (QS)",
    **{node: cls.LOSS.title for node, cls in LOSS_NODES.items()},
    "QSPromptList": "Prompt List (QS)",
    "QSSampleImage": "Sample Photo (QS)",
    "QSAttnHeatmap": "QS-Attn Heat Map",
    "QSCompareGrid": "Compare Grid (QS)",
    "QSBeforeAfter": "Before and After (QS)",
}
