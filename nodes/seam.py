"""The only file that knows ComfyUI: images, inference mode, memory, progress, preview, cancel and folders.

ComfyUI runs every node inside `torch.inference_mode()`, where autograd cannot work: `enable_grad` does nothing there,
and tensors made or weights moved there are unusable for a gradient ever after. So node bodies leave that mode, images
are cloned on entry, and weights are put right before each use.

Without ComfyUI the same functions work on torch's own device and report no progress.
"""

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from ..qs_core import demo, pictures
from ..qs_core.checkpoints import SUFFIXES
from ..qs_core.errors import InputError
from ..qs_core.features.clip import CLIP
from ..qs_core.model import DiffusionModel
from ..qs_core.settings import choose_device

FOLDER = "qs_diffusion"  # the name of the model folder
PREVIEW_SIDE = 512  # pixels
PREVIEW_PICTURES = 4  # of a batch, side by side


def hosted() -> bool:
    """Whether ComfyUI runs this."""
    return "comfy.model_management" in sys.modules


# ------------------------------------------------------------------------------------------- inference mode


def leaves_inference_mode(method: Callable) -> Callable:
    """A node's method, run outside of the inference mode that ComfyUI opens around it."""

    @functools.wraps(method)
    def body(*args, **kwargs):
        with torch.inference_mode(False):
            return method(*args, **kwargs)

    return body


# --------------------------------------------------------------------------------------------------- images


def from_image(image: Tensor) -> Tensor:
    """A ComfyUI IMAGE (B, H, W, 1, 3 or 4) in [0, 1] → (B, 3, H, W) float32 in [-1, 1], fit for a gradient.

    Grey is repeated, alpha composited on white. Raises InputError for any other shape and for NaN.
    """
    shape = tuple(image.shape)
    if image.ndim != 4 or shape[-1] not in (1, 3, 4) or not shape[0]:
        raise InputError(f"The image has shape {shape}; (batch, height, width, 1, 3 or 4 channels) is needed.")
    image = image.clone().float()
    bad = int((~torch.isfinite(image)).sum())
    if bad:
        raise InputError(
            f"The image holds NaN or infinity in {bad} of its {image.numel()} values (shape {shape}). "
            "Look at the node that made it: a VAE or model in half precision is the usual cause."
        )
    image = image.clamp(0, 1)
    if shape[-1] == 4:
        image = image[..., :3] * image[..., 3:] + (1 - image[..., 3:])
    image = image.expand(*shape[:3], 3) if shape[-1] == 1 else image
    return rearrange(image, "b h w c -> b c h w").contiguous() * 2 - 1


def to_image(picture: Tensor) -> Tensor:
    """(B, 3, H, W) in about [-1, 1] → a ComfyUI IMAGE (B, H, W, 3) in [0, 1], where ComfyUI keeps them."""
    image = rearrange(picture.detach().float(), "b c h w -> b h w c").add(1).div(2).clamp(0, 1).contiguous()
    return image.to(_kept_at(), dtype=_kept_as())


def _kept_at() -> torch.device:
    if not hosted():
        return torch.device("cpu")
    from comfy import model_management

    return model_management.intermediate_device()


def _kept_as() -> torch.dtype:
    if not hosted():
        return torch.float32
    from comfy import model_management

    return getattr(model_management, "intermediate_dtype", lambda: torch.float32)()


# --------------------------------------------------------------------------------------------------- memory


@dataclass(frozen=True)
class Loaded:
    """What a QS_MODEL or QS_CLIP wire carries: the library's object, and ComfyUI's hold on its weights.

    ComfyUI looks for the name `patcher` to tell models from other outputs; it is None without ComfyUI.
    """

    core: DiffusionModel | CLIP
    patcher: object | None


def hold(core: DiffusionModel | CLIP) -> Loaded:
    """Put a network under ComfyUI's memory management, so that it can be moved away when others need the room."""
    if not hosted():
        return Loaded(core, None)
    from comfy import model_management
    from comfy.model_patcher import ModelPatcher

    device, rest = model_management.get_torch_device(), model_management.unet_offload_device()
    return Loaded(core, ModelPatcher(core.network, load_device=device, offload_device=rest))


def bring(*models: Loaded, memory: int = 0) -> torch.device:
    """Bring the networks whole to the device and return it; `memory` bytes beside the weights are made free there.

    Weights that ComfyUI moved in inference mode, or left elsewhere, are replaced by clean copies.
    """
    if hosted():
        from comfy import model_management

        patchers = [model.patcher for model in models]
        model_management.load_models_gpu(patchers, memory_required=memory, force_full_load=True)
        device = model_management.get_torch_device()
    else:
        device = choose_device("auto")
    for model in models:
        _clean(model.core.network, device)
    return device


def _clean(network: torch.nn.Module, device: torch.device) -> None:
    for module in network.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and _unfit(parameter, device):
                module._parameters[name] = torch.nn.Parameter(parameter.to(device).clone(), requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None and _unfit(buffer, device):
                module._buffers[name] = buffer.to(device).clone()


def _unfit(tensor: Tensor, device: torch.device) -> bool:
    other_index = device.index is not None and tensor.device.index != device.index
    return tensor.is_inference() or tensor.device.type != device.type or other_index


def walk_bytes(model: DiffusionModel, pictures: Tensor) -> int:
    """About what the U-Net needs beside its weights for such pictures (B, 3, H, W), without a gradient."""
    return graph_bytes(model, pictures) // 4


def graph_bytes(model: DiffusionModel, pictures: Tensor) -> int:
    """About what the U-Net keeps for a gradient at such pictures (B, 3, H, W).

    Counted, in float32: 318 to 378 bytes per pixel and base channel on the built-in network, 309 on OpenAI's 256, 207
    on a 256 network with one block a level, 371 on OpenAI's 512.
    """
    batch, _, height, width = pictures.shape
    size = model.network.dtype.itemsize
    return 100 * size * model.network.layers[0].channels * batch * height * width


def views_bytes(clip: CLIP, views: int) -> int:
    """About what CLIP keeps for a gradient through so many views.

    Counted a view: ViT-B-32 19 MB, ViT-B-16 75 MB, ViT-L-14 256 MB, RN50 100 MB, the built-in one 2 MB.
    """
    weights = sum(parameter.numel() for parameter in clip.network.visual.parameters())
    return views * max(weights * 5 // 4, 2000 * clip.image_size**2)


# ------------------------------------------------------------------------------ progress, preview and cancel


class Progress:
    """Tells ComfyUI of each step, shows a preview of every n-th (0: none), and stops where the user cancelled."""

    def __init__(self, total: int, preview_every: int = 0):
        self.total, self.every, self.bar = total, preview_every, None
        if hosted():
            from comfy.utils import ProgressBar

            self.bar = ProgressBar(total)

    def __call__(self, done: int, picture: Tensor) -> None:
        """`done` of the steps are made; `picture` (B, 3, H, W) in about [-1, 1] is how it looks."""
        check_cancelled()
        if self.bar is None:
            return
        due = self.every and (done % self.every == 0 or done == self.total)
        self.bar.update_absolute(done, self.total, _preview(picture) if due else None)


def check_cancelled() -> None:
    """Raises ComfyUI's own exception where the user asked to stop."""
    if hosted():
        from comfy import model_management

        model_management.throw_exception_if_processing_interrupted()


def _preview(picture: Tensor) -> tuple:
    row = rearrange(picture[:PREVIEW_PICTURES], "b c h w -> c h (b w)")
    return "JPEG", pictures.to_image(row), PREVIEW_SIDE


# -------------------------------------------------------------------------------------------------- folders


def register_folder() -> None:
    """Tell ComfyUI of the folder models/qs_diffusion; folders that the user configured for it stay, and stay first."""
    if not hosted():
        return
    import folder_paths

    folder_paths.add_model_folder_path(FOLDER, str(Path(folder_paths.models_dir) / FOLDER))
    folders, suffixes = folder_paths.folder_names_and_paths[FOLDER]
    folder_paths.folder_names_and_paths[FOLDER] = (folders, {*suffixes, *SUFFIXES})


def model_names() -> list[str]:
    """The built-in model, then the checkpoints in the model folder."""
    if not hosted():
        return [demo.NAME]
    import folder_paths

    return [demo.NAME, *(name for name in folder_paths.get_filename_list(FOLDER) if name != demo.NAME)]


def model_path(name: str) -> str:
    """What `load_model` takes for one of `model_names()`. Raises InputError for a name that is not there."""
    if name == demo.NAME:
        return name
    if name not in model_names():
        raise InputError(f"There is no model {name!r}. Put it into ComfyUI's folder models/{FOLDER}, or choose demo.")
    import folder_paths

    return folder_paths.get_full_path_or_raise(FOLDER, name)
