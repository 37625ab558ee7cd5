"""The only file that knows ComfyUI: images, inference mode, memory, progress, preview, cancel and folders.

ComfyUI runs every node inside `torch.inference_mode()`, where autograd cannot work: `enable_grad` does nothing there,
and tensors made or weights moved there are unusable for a gradient ever after. So node bodies leave that mode, images
are cloned on entry, and weights are put right before each use.

Without ComfyUI the same functions work on torch's own device and report no progress.
"""

import functools
import gc
import logging
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from einops import rearrange
from torch import Tensor

from ..qs_core import demo, pictures
from ..qs_core.checkpoints import SUFFIXES
from ..qs_core.errors import InputError, MemoryShortage
from ..qs_core.features.clip import CLIP
from ..qs_core.features.openclip import is_tag, tags_of
from ..qs_core.features.tower import readable
from ..qs_core.guidance import Economy, guarded, out_of_memory
from ..qs_core.known import by_file
from ..qs_core.model import DiffusionModel
from ..qs_core.pipeline import BATCH
from ..qs_core.reading.arrays import without_channel
from ..qs_core.settings import choose_device

FOLDER, CLIP_FOLDER, VGG_FOLDER = "qs_diffusion", "qs_clip", "qs_vgg"  # the names of the model folders
TORCHVISION = "torchvision"  # in place of a file's name: VGG's weights in torchvision's own cache
BEYOND = 0.5  # so far outside of 0 to 1 an IMAGE's values are clamped
PREVIEW_SIDE = 512  # pixels
PREVIEW_PICTURES = 4  # of a batch, side by side

Memory = Callable[[int], int]  # bytes that so many pictures need beside the weights
Result = TypeVar("Result")


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


def plain(image: Tensor) -> Tensor:
    """A ComfyUI IMAGE (B, H, W, 1, 3 or 4) → (B, H, W, 3) float32 in [0, 1] on the CPU, fit for a gradient.

    Grey is repeated, alpha composited on white. Raises InputError for any other shape, NaN, and another range.
    """
    shape = tuple(image.shape)
    if image.ndim != 4 or shape[-1] not in (1, 3, 4) or not all(shape):
        raise InputError(f"The image has shape {shape}; (batch, height, width, 1, 3 or 4 channels) is needed.")
    image = _in_range(_finite(image, "image", "a VAE or model in half precision is the usual cause"))
    if shape[-1] == 4:
        image = image[..., :3] * image[..., 3:] + (1 - image[..., 3:])
    return image.expand(*shape[:3], 3).contiguous()


def _in_range(image: Tensor) -> Tensor:
    """Clamped to [0, 1], beyond which resizing and decoders go a little. Raises InputError for another range."""
    low, high = (float(end) for end in image.aminmax())
    if low < -BEYOND or high > 1 + BEYOND:
        meant = "0 to 255" if high > 2 else "-1 to 1"
        raise InputError(
            f"The image has values from {low:g} to {high:g}, and an IMAGE has 0 to 1. Look at the node that made it: "
            f"{meant} is the usual cause."
        )
    return image.clamp(0, 1)


def _finite(tensor: Tensor, what: str, cause: str) -> Tensor:
    """A float32 copy on the CPU, outside of inference mode. Raises InputError for NaN and infinity.

    --gpu-only keeps images and masks on the GPU, and there pictures of any size would take the walk's memory.
    """
    tensor = tensor.to("cpu", torch.float32, copy=True)
    bad = int((~torch.isfinite(tensor)).sum())
    if bad:
        raise InputError(
            f"The {what} holds NaN or infinity in {bad} of its {tensor.numel()} values (shape {tuple(tensor.shape)}). "
            f"Look at the node that made it: {cause}."
        )
    return tensor


def from_image(image: Tensor) -> Tensor:
    """A ComfyUI IMAGE as `plain` takes it → (B, 3, H, W) float32 in [-1, 1] on the CPU."""
    return rearrange(plain(image), "b h w c -> b c h w").contiguous() * 2 - 1


def to_image(picture: Tensor) -> Tensor:
    """(B, 3, H, W) in about [-1, 1] → a ComfyUI IMAGE (B, H, W, 3) in [0, 1]."""
    return as_kept(rearrange(picture.detach().float(), "b c h w -> b h w c").add(1).div(2).clamp(0, 1).contiguous())


def as_kept(image: Tensor) -> Tensor:
    """(B, H, W, 3) in [0, 1] as a ComfyUI IMAGE: where, and in the number format in which, ComfyUI keeps them."""
    return image.to(_kept_at(), dtype=_kept_as())


def from_mask(mask: Tensor, count: int) -> Tensor:
    """A ComfyUI MASK (B, H, W) or (H, W) → (1 or `count`, H, W) float32 in [0, 1] on the CPU.

    It may have a channel of 1, as some nodes make them. Raises InputError for any other shape or number of masks, and
    for NaN.
    """
    shape = tuple(mask.shape)
    mask = without_channel(mask)
    mask = mask[None] if mask.ndim == 2 else mask
    if mask.ndim != 3 or not all(shape):
        raise InputError(
            f"The mask has shape {shape}; (batch, height, width), none of them 0, is needed. Paint one on Load Image "
            "(Open in MaskEditor), or leave the input unconnected to restyle everything."
        )
    if len(mask) not in (1, count):
        raise InputError(f"There are {len(mask)} masks for {count} pictures. Give one for all, or one for each.")
    return _finite(mask, "mask", "a division by zero is the usual cause").clamp(0, 1)


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

    rest = model_management.unet_offload_device()
    return Loaded(core, ModelPatcher(core.network, load_device=compute_device(), offload_device=rest))


def compute_device() -> torch.device:
    """Where networks run."""
    if not hosted():
        return choose_device("auto")
    from comfy import model_management

    return model_management.get_torch_device()


def bring(*models: Loaded, memory: int = 0) -> torch.device:
    """Bring the networks whole to the device and return it; `memory` bytes beside the weights are made free there.

    Weights that ComfyUI moved in inference mode, or left elsewhere, are replaced by clean copies.
    """
    device = compute_device()
    if hosted():
        from comfy import model_management

        patchers = [model.patcher for model in models]
        model_management.load_models_gpu(patchers, memory_required=memory, force_full_load=True)
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


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free on the device; None where nothing tells."""
    if hosted():
        from comfy import model_management

        return int(model_management.get_free_memory(device))
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def portions(count: int, memory: Memory, device: torch.device) -> list[slice]:
    """`count` pictures in as few passes as memory allows, `memory(n)` being what n of them need beside the weights.

    A tenth is left free; on the CPU, where memory is everybody's and running out ends the program, half.
    """
    free = free_memory(device)
    share = 0.5 if device.type == "cpu" else 0.9
    fitting = (n for n in range(count, 1, -1) if free is not None and memory(n) <= share * free)
    most = BATCH if free is None else next(fitting, 1)
    passes = math.ceil(count / most)
    return [slice(k * count // passes, (k + 1) * count // passes) for k in range(passes)]


def in_portions(
    pictures: Tensor, memory: Memory, device: torch.device, work: Callable[[slice, Economy], Result]
) -> list:
    """work(rows, economy) for portions of the pictures (B, 3, H, W), in order, and what each gave.

    Where memory runs short in a portion though all was spared, that one and those that wait go in halves: pictures do
    not depend on their neighbours, so that they stay the same. Raises MemoryShortage where it runs short for one.
    """
    waiting, thrift, done = portions(len(pictures), memory, device), economy(), []
    fewer = False
    while waiting:
        rows = waiting[0]
        try:
            done.append(guarded(functools.partial(work, rows, thrift), pictures[rows], thrift))
            waiting.pop(0)
            continue
        except MemoryShortage:
            if rows.stop - rows.start == 1:
                raise
        # Out here the error is gone, and with its traceback all that the portion held.
        gc.collect()
        thrift.release()
        waiting, thrift, fewer = [half for part in waiting for half in _halves(part)], economy(), True
    if fewer or thrift.level:
        spared = ["fewer pictures were walked together"] * fewer + [thrift.describe()] * bool(thrift.level)
        logging.warning("QS: memory ran short, and %s. It took longer; the picture is the same.", " and ".join(spared))
    return done


def _halves(rows: slice) -> list[slice]:
    middle = (rows.start + rows.stop) // 2
    return [part for part in (slice(rows.start, middle), slice(middle, rows.stop)) if part.start < part.stop]


def economy() -> Economy:
    """How a walk spares memory where it runs short: ComfyUI says when that is, and gives up what it holds unused. Each
    new attempt asks first whether to stop."""
    return Economy(_give_up, _is_shortage)


def _give_up() -> None:
    check_cancelled()
    if hosted():
        from comfy import model_management

        model_management.soft_empty_cache()


def _is_shortage(error: Exception) -> bool:
    if out_of_memory(error) or not hosted():
        return out_of_memory(error)
    from comfy import model_management

    if model_management.OOM_EXCEPTION is Exception:
        return False  # for want of such an exception in torch ComfyUI names Exception here, which would be any
    if hasattr(model_management, "is_oom"):
        return model_management.is_oom(error)
    return isinstance(error, model_management.OOM_EXCEPTION)


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


def guidance_bytes(
    model: DiffusionModel, pictures: Tensor, views: list[tuple[CLIP, int]], through_unet: bool = True
) -> int:
    """About what a guided step needs beside the weights for such pictures (B, 3, H, W), the backward pass included.

    The U-Net's graph stays while the losses are taken one after the other, unless guidance is not `through_unet`.
    `views` are each CLIP loss's network and its crops of a picture; CLIP sees one picture's at a time. The contrastive
    loss keeps the encoder's part of such a graph once more: counted, a quarter on the built-in network. VGG's 844 bytes
    per pixel are always less than that.
    """
    graph = graph_bytes(model, pictures)
    held = graph if through_unet else walk_bytes(model, pictures)
    return held + max([graph // 3, *(views_bytes(clip, number) for clip, number in views)])


def views_bytes(clip: CLIP, views: int) -> int:
    """About what CLIP keeps for a gradient through so many views.

    Counted in float32: a vision transformer 34 to 39 bytes for each token, channel and block (a view of ViT-B-32 18 MB,
    of ViT-B-16 69 MB, of ViT-L-14 247 MB, of the built-in one 2 MB), RN50 1985 for each pixel (100 MB). Of other towers
    nothing was counted: at least 5 bytes for 4 weights are taken.
    """
    visual = clip.network.visual
    if readable(visual):
        return views * 40 * visual.positional_embedding.numel() * len(visual.transformer.resblocks)
    weights = sum(parameter.numel() for parameter in visual.parameters())
    return views * max(weights * 5 // 4, 2000 * clip.image_size**2)


# ------------------------------------------------------------------------------ progress, preview and cancel


class Progress:
    """Tells ComfyUI of each step of a number of pictures, shows a preview of every n-th (0: none), and stops where the
    user cancelled."""

    def __init__(self, steps: int, pictures: int, preview_every: int = 0):
        self.steps, self.total, self.every, self.bar = steps, steps * pictures, preview_every, None
        if hosted():
            from comfy.utils import ProgressBar

            self.bar = ProgressBar(self.total)

    def __call__(self, rows: slice, step: int, picture: Tensor) -> None:
        """The pictures before `rows` are done and those have made `step` of their steps; `picture` (B, 3, H, W) in
        about [-1, 1] is how they look."""
        check_cancelled()
        if self.bar is None:
            return
        due = self.every and (step % self.every == 0 or step == self.steps)
        done = rows.start * self.steps + (rows.stop - rows.start) * step
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


def register_folders() -> None:
    """Tell ComfyUI of the model folders; those that the user configured under their names stay, and stay first."""
    if not hosted():
        return
    import folder_paths

    for name in (FOLDER, CLIP_FOLDER, VGG_FOLDER):
        folder_paths.add_model_folder_path(name, str(Path(folder_paths.models_dir) / name))
        folders, suffixes = folder_paths.folder_names_and_paths[name]
        folder_paths.folder_names_and_paths[name] = (folders, {*suffixes, *SUFFIXES})


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
        raise InputError(f"There is no model {name!r}. {_where_to_get(name)} Then press R, or choose demo.")
    import folder_paths

    return folder_paths.get_full_path_or_raise(FOLDER, name)


def clip_weights(name: str, pretrained: str) -> str:
    """What `load_clip` takes for a tag, or for the name of a file in the CLIP folder. Raises InputError for neither."""
    if is_tag(name, pretrained):
        return pretrained
    files = []
    if hosted():
        import folder_paths

        files = folder_paths.get_filename_list(CLIP_FOLDER)
    if pretrained not in files:
        tags = ", ".join(tags_of(name)) or "none"
        raise InputError(
            f"{name} has no weights {pretrained!r}: it is none of its tags ({tags}), and no file in "
            f"{_folder(CLIP_FOLDER)}. Choose a tag, or put the file there."
        )
    return folder_paths.get_full_path_or_raise(CLIP_FOLDER, pretrained)


def vgg_names() -> list[str]:
    """torchvision's cache, then the files in the VGG folder."""
    if not hosted():
        return [TORCHVISION]
    import folder_paths

    return [TORCHVISION, *folder_paths.get_filename_list(VGG_FOLDER)]


def vgg_path(name: str) -> Path | None:
    """The file of one of `vgg_names()`, None for torchvision's cache. Raises InputError for any other name.

    A workflow is somebody else's text: a path in it is never opened, as one to a network share tells who asks.
    """
    if name == TORCHVISION:
        return None
    if name not in vgg_names():
        raise InputError(
            f"There is no VGG-19 file {name!r} in {_folder(VGG_FOLDER)}. Put one of torchvision's there and press R, "
            f"or choose {TORCHVISION}."
        )
    import folder_paths

    return Path(folder_paths.get_full_path_or_raise(VGG_FOLDER, name))


def _folder(kind: str) -> str:
    if not hosted():
        return f"ComfyUI's folder models/{kind}"
    import folder_paths

    return folder_paths.get_folder_paths(kind)[0]


def _where_to_get(name: str) -> str:
    """The folder that a model file belongs into and, for a published one, its address and SHA-256."""
    known, folder = by_file(name), _folder(FOLDER)
    return f"{known.advice} Put it into {folder}." if known else f"Put the file into {folder}."
