"""The nodes, in the order of the menu."""

from ..qs_core import errors
from .comparison import QSBeforeAfter, QSCompareGrid
from .folders import register_folders
from .inputs import completed
from .inversion import EncodeInvertDDIM
from .loaders import LoadDiffusionModel, LoadOpenCLIP, QSSampleImage
from .losses import LOSS_NODES
from .native import UseNativeModel, UseNativeModelX0
from .presets import QSStylePreset
from .preview import QSAttnHeatmap
from .restyle import QSRestyle
from .sampling import QSAttnGuidedSampler
from .style import QSStylePicture
from .styles import QSApplyStyle, QSFineTuneStyle, QSLoadStyle
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
    "QSFineTuneStyle": QSFineTuneStyle,
    "QSLoadStyle": QSLoadStyle,
    "QSApplyStyle": QSApplyStyle,
    "QSPromptList": QSPromptList,
    "QSSampleImage": QSSampleImage,
    "QSAttnHeatmap": QSAttnHeatmap,
    "QSCompareGrid": QSCompareGrid,
    "QSBeforeAfter": QSBeforeAfter,
    "QSStylePicture": QSStylePicture,
    "UseNativeModel": UseNativeModel,
    "UseNativeModelX0": UseNativeModelX0,
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
    "QSFineTuneStyle": "Fine-tune Style (QS)",
    "QSLoadStyle": "Load Style (QS)",
    "QSApplyStyle": "Apply Style (QS)",
    "QSPromptList": "Prompt List (QS)",
    "QSSampleImage": "Sample Photo (QS)",
    "QSAttnHeatmap": "QS-Attn Heat Map",
    "QSCompareGrid": "Compare Grid (QS)",
    "QSBeforeAfter": "Before and After (QS)",
    "QSStylePicture": "Style from Picture (QS)",
    "UseNativeModel": "Use Native Model (QS)",
    "UseNativeModelX0": "Use Native Model, x0 Only (QS)",
}

for node in NODE_CLASS_MAPPINGS.values():
    setattr(node, node.FUNCTION, completed(node, getattr(node, node.FUNCTION)))
for error in (errors.InputError, errors.UnsupportedCheckpoint, errors.MemoryShortage, errors.NonFiniteError):
    error.__module__ = "QS"  # ComfyUI shows it before the name, and the module's is the pack's whole path
