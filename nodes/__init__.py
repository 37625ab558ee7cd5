"""The nodes, in the order of the menu."""

from .comparison import QSBeforeAfter, QSCompareGrid
from .folders import register_folders
from .inversion import EncodeInvertDDIM
from .loaders import LoadDiffusionModel, LoadOpenCLIP, QSSampleImage
from .losses import LOSS_NODES
from .native import UseNativeModel, UseNativeModelX0
from .presets import QSStylePreset
from .preview import QSAttnHeatmap
from .sampling import QSAttnGuidedSampler
from .text import CLIPTextDirection, QSPromptList

register_folders()

NODE_CLASS_MAPPINGS = {
    "LoadDiffusionModel": LoadDiffusionModel,
    "LoadOpenCLIP": LoadOpenCLIP,
    "CLIPTextDirection": CLIPTextDirection,
    "EncodeInvertDDIM": EncodeInvertDDIM,
    "QSAttnGuidedSampler": QSAttnGuidedSampler,
    "QSStylePreset": QSStylePreset,
    **LOSS_NODES,
    "QSPromptList": QSPromptList,
    "QSSampleImage": QSSampleImage,
    "QSAttnHeatmap": QSAttnHeatmap,
    "QSCompareGrid": QSCompareGrid,
    "QSBeforeAfter": QSBeforeAfter,
    "UseNativeModel": UseNativeModel,
    "UseNativeModelX0": UseNativeModelX0,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "LoadDiffusionModel": "Load Pixel Diffusion Model (QS)",
    "LoadOpenCLIP": "Load OpenCLIP (QS)",
    "CLIPTextDirection": "CLIP Text Direction (QS)",
    "EncodeInvertDDIM": "Invert Image, DDIM (QS)",
    "QSAttnGuidedSampler": "QS-Attn Guided Sampler",
    "QSStylePreset": "Style Preset (QS)",
    **{node: cls.LOSS.title for node, cls in LOSS_NODES.items()},
    "QSPromptList": "Prompt List (QS)",
    "QSSampleImage": "Sample Photo (QS)",
    "QSAttnHeatmap": "QS-Attn Heat Map",
    "QSCompareGrid": "Compare Grid (QS)",
    "QSBeforeAfter": "Before and After (QS)",
    "UseNativeModel": "Use Native Model (QS)",
    "UseNativeModelX0": "Use Native Model, x0 Only (QS)",
}
