"""ComfyUI as the library's host: its device, its memory management, and its cancel button.

Without ComfyUI, as in tests, the same calls answer for a local process.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from ..qs_core.features.clip import CLIP
from ..qs_core.host import LocalHost, out_of_memory
from ..qs_core.protocol import Model
from .inference_mode import make_usable

Result = TypeVar("Result")


def hosted() -> bool:
    """Whether ComfyUI runs this."""
    return "comfy.model_management" in sys.modules


class ComfyHost(LocalHost):
    """What the library asks of ComfyUI (`qs_core.host.Host`)."""

    @property
    def device(self) -> torch.device:
        """Where ComfyUI runs networks."""
        if not hosted():
            return super().device
        from comfy import model_management

        return model_management.get_torch_device()

    def free_memory(self, device: torch.device) -> int | None:
        """As ComfyUI counts it: its own cache is free."""
        if not hosted():
            return super().free_memory(device)
        from comfy import model_management

        return int(model_management.get_free_memory(device))

    def is_shortage(self, error: Exception) -> bool:
        """Whether torch or ComfyUI says so."""
        if out_of_memory(error) or not hosted():
            return out_of_memory(error)
        from comfy import model_management

        if model_management.OOM_EXCEPTION is Exception:
            return False  # for want of such an exception in torch ComfyUI names Exception here, which would be any
        if hasattr(model_management, "is_oom"):
            return model_management.is_oom(error)
        return isinstance(error, model_management.OOM_EXCEPTION)

    def release(self) -> None:
        """Have ComfyUI give up what it holds unused."""
        if hosted():
            from comfy import model_management

            model_management.soft_empty_cache()

    def check_cancelled(self) -> None:
        """Raises ComfyUI's own exception where the user asked to stop."""
        if hosted():
            from comfy import model_management

            model_management.throw_exception_if_processing_interrupted()


HOST = ComfyHost()


@dataclass(frozen=True)
class Loaded:
    """What a QS_MODEL or QS_CLIP wire carries: the library's object, and ComfyUI's hold on its weights.

    ComfyUI looks for the name `patcher` to tell models from other outputs; it is None without ComfyUI.
    """

    core: Model | CLIP
    patcher: object | None

    def hold(
        self, work: Callable[[], Result], others: Sequence["Loaded"], memory: int, size: tuple[int, int]
    ) -> Result:
        """work() with this and the others on the host's device, for pictures of a size (height, width)."""
        bring([self, *others], memory)
        return work()

    def preview(self, state: Tensor) -> Tensor | None:
        """States as pictures in about [-1, 1], to be shown on the way; None where nothing is to be shown."""
        with torch.no_grad():
            return self.core.to_picture(state)


def manage(core: Model | CLIP) -> Loaded:
    """Put a network under ComfyUI's memory management, so that it can be moved away when others need the room."""
    if not hosted():
        return Loaded(core, None)
    from comfy import model_management
    from comfy.model_patcher import ModelPatcher

    rest = model_management.unet_offload_device()
    return Loaded(core, ModelPatcher(core.network, load_device=HOST.device, offload_device=rest))


def bring(models: Sequence[Loaded], memory: int = 0) -> None:
    """Bring the networks whole to the host's device; `memory` bytes beside the weights are made free there."""
    if hosted():
        from comfy import model_management

        patchers = [model.patcher for model in models]
        model_management.load_models_gpu(patchers, memory_required=memory, force_full_load=True)
    for model in models:
        ready(model)


def ready(model: Loaded) -> None:
    """Put right a network that the host has brought."""
    make_usable(model.core.network, HOST.device)
