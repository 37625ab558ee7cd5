"""What a QS_MODEL wire carries of a native model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import interpolate

from ..host import Loaded, ready
from .model import NativeModel

Result = TypeVar("Result")


@dataclass(frozen=True)
class LoadedNative(Loaded):
    """The model, and the host's hold on its network."""

    core: NativeModel

    def get_models(self) -> list:
        """The host's holds on its other networks; by this name ComfyUI asks for them."""
        return self.core.inputs.patchers[1:]

    def hold(self, work: Callable[[], Result], others: Sequence[Loaded], memory: int, size: tuple[int, int]) -> Result:
        """work() inside of the host's sampling, which brings the networks and prepares the model."""

        def body() -> Result:
            for other in others:
                ready(other)
            return work()

        return self.core.hold(body, [other.patcher for other in others], memory, size)

    def preview(self, state: Tensor) -> Tensor | None:
        """How states look to the host's own previewer, at the pictures' size; None where the user turned it off."""
        if self._previewer is None:
            return None
        video = self.core.latent_format.latent_dimensions == 3
        with torch.no_grad():
            shown = [
                self._previewer.decode_latent_to_preview(one[:, :, None] if video else one) for one in state.split(1)
            ]
        picture = torch.from_numpy(np.stack([np.asarray(image) for image in shown])).float() / 127.5 - 1
        size = [length * self.core.ratio for length in state.shape[-2:]]
        return interpolate(rearrange(picture, "b h w c -> b c h w"), size, mode="nearest")

    @cached_property
    def _previewer(self) -> object | None:
        import latent_preview

        return latent_preview.get_previewer(self.core.device, self.core.latent_format)
