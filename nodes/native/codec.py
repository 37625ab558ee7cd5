"""The host's VAE as a codec: pictures in [-1, 1] and the latents that the network sees, one picture at a time."""

import contextlib
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .differentiable import recomputing

PARTS = ("ResnetBlock", "AttnBlock", "Upsample", "Block", "ResidualBlock", "AttentionBlock")
KL_BYTES, SMALL_BYTES = 2500, 550  # per picture pixel and byte of the dtype, for a decode with its blocks recomputed


def decode_bytes(vae: object, height: int, width: int) -> int:
    """About what a decode of one picture needs, with a gradient or without; nothing where latents are pictures."""
    small = type(vae.first_stage_model).__name__.startswith("TAE")
    each = 0 if vae.latent_channels == 3 else SMALL_BYTES if small else KL_BYTES
    return each * vae.vae_dtype.itemsize * height * width


@dataclass(frozen=True)
class Codec:
    """A VAE and the host's latent format. Its weights have been thawed, and are on their device."""

    vae: object
    latent_format: object

    @property
    def video(self) -> bool:
        """Whether latents have a dimension of frames, of which there is one here."""
        return self.latent_format.latent_dimensions == 3

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.vae.device

    def encode(self, picture: Tensor) -> Tensor:
        """The latents (B, C, h, w) of pictures, float32 on the pictures' device; no gradient."""
        with torch.no_grad():
            return torch.cat([self._encode(one) for one in picture.split(1)]).to(picture.device)

    def _encode(self, picture: Tensor) -> Tensor:
        image = self._framed((picture + 1) / 2, self.vae.latent_dim == 3)
        raw = self.vae.process_input(image).to(self.vae.vae_dtype).to(self.device)
        latent = self.vae.first_stage_model.encode(raw).float()
        shaped = getattr(self.vae, "format_encoded", None)
        latent = shaped(latent) if shaped else latent
        return self._flat(self.latent_format.process_in(self._framed(self._flat(latent), self.video)))

    def decode(self, latent: Tensor) -> Tensor:
        """The pictures of latents, float32, unclamped. With a gradient, which keeps the blocks' inputs alone."""
        return torch.cat([self._decode(one) for one in latent.split(1)])

    def _decode(self, latent: Tensor) -> Tensor:
        raw = self._flat(self.latent_format.process_out(self._framed(latent, self.video)))
        raw = self._framed(raw, self.vae.latent_dim == 3).to(self.vae.vae_dtype)
        with recomputing(self._parts) if torch.is_grad_enabled() else contextlib.nullcontext():
            image = self._flat(self.vae.first_stage_model.decode(raw.to(self.device))).float()
        scale, offset = self._range
        return ((image * scale + offset) * 2 - 1).to(latent.device)

    @cached_property
    def _parts(self) -> list[torch.nn.Module]:
        return [part for part in self.vae.first_stage_model.modules() if type(part).__name__ in PARTS]

    @cached_property
    def _range(self) -> tuple[float, float]:
        """The host's picture value is scale · raw + offset. Its function clamps, in place, and is hence asked twice."""
        low, high = self.vae.process_output(torch.tensor([-0.25, 0.25])).tolist()
        return (high - low) / 0.5, (low + high) / 2

    @staticmethod
    def _framed(x: Tensor, video: bool) -> Tensor:
        return x[:, :, None] if video else x

    @staticmethod
    def _flat(x: Tensor) -> Tensor:
        return x[:, :, 0] if x.ndim == 5 else x
