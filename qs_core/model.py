"""DiffusionModel: a frozen U-Net with its noise schedule, x_t → Prediction."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from . import checkpoints, demo, unets
from .errors import InputError
from .schedule import NOISE, Schedule, make_schedule
from .unets.adm import Layer

VARIANCES = ("learned", "fixed_small", "fixed_large")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Prediction(NamedTuple):
    """What one evaluation at x_t says, float32: images (B, 3, H, W); x0 is not clipped."""

    x0: Tensor
    eps: Tensor
    log_variance: Tensor  # (B, 3, H, W) or a scalar tensor, of q(x_{i-1} | x_i) as the network has it


@dataclass(frozen=True)
class DiffusionModel:
    """A network and what its weights do not tell: the noise schedule it was trained with and its variance's kind."""

    network: torch.nn.Module
    noise: str = "linear"
    variance: str = "learned"
    image_size: int = 256  # that of training; any multiple of `multiple` works
    name: str = ""
    guessed: tuple[str, ...] = field(default=())

    @property
    def multiple(self) -> int:
        """Both sides of a picture must be multiples of this."""
        return self.network.multiple

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def schedule(self, spacing: str = "50") -> Schedule:
        """The network's own noise schedule, respaced."""
        return make_schedule(spacing, self.noise)

    def unet(self, x: Tensor, t: Tensor) -> Tensor:
        """The raw network output at (B, 3, H, W) and (B,) timesteps."""
        return self.network(x, t)

    def encode(self, x: Tensor, t: Tensor, last: int | None = None) -> list[Tensor]:
        """The encoder's block outputs in order, float32, up to block `last`."""
        return [h.float() for h in self.network.encode(x, t, last=last)]

    def predict(self, x_t: Tensor, schedule: Schedule, i: int) -> Prediction:
        """Evaluate at state i. eps and x0 by Ho et al. eq. 4; learned variance by Nichol & Dhariwal eq. 15:

        log σ² = v·log β_i + (1 - v)·log β̃_i with v = (value + 1) / 2, β of the respaced process.
        """
        t = torch.full((len(x_t),), float(schedule.timesteps[i]), device=x_t.device)
        output = self.unet(x_t, t).float()
        if self.variance == "learned":
            eps, values = output.chunk(2, dim=1)
            v = (values + 1) / 2
            low, high = float(schedule.posterior_log_variance[i]), math.log(schedule.betas[i])
            log_variance = v * high + (1 - v) * low
        else:
            eps = output
            log_variance = torch.tensor(float(schedule.fixed_log_variance(self.variance)[i]), device=x_t.device)
        alpha_bar = float(schedule.alpha_bar[i])
        x0 = (x_t - math.sqrt(1 - alpha_bar) * eps) / math.sqrt(alpha_bar)
        return Prediction(x0, eps, log_variance)

    def content_layers(self) -> tuple[Layer, ...]:
        """The input blocks that the contrastive loss reads: the first convolution and each of the first four levels'
        last residual block. On OpenAI's 256 network these are ZeCon's blocks 0, 2, 5, 8 and 11.

        Deviation: on networks with one block a level ZeCon's numbers 2 and 8 fall on down-sampling blocks.
        """
        last = {layer.level: layer for layer in self.network.layers if layer.kind == "res"}
        return (self.network.layers[0], *(last[level] for level in sorted(last)[:4]))

    def check_size(self, image: Tensor) -> None:
        """Raises InputError unless `image` is (B, 3, H, W) with sides that are multiples of `multiple`."""
        height, width = image.shape[-2:]
        if image.ndim != 4 or image.shape[1] != 3:
            raise InputError(f"The image has shape {tuple(image.shape)}; (batch, 3, height, width) is needed.")
        if height % self.multiple or width % self.multiple:
            fitted = [max(1, round(side / self.multiple)) * self.multiple for side in (width, height)]
            raise InputError(
                f"Image is {width}x{height}; this U-Net needs both sides divisible by {self.multiple}. "
                f"Resize to {fitted[0]}x{fitted[1]}."
            )


def load_model(
    path: str | Path = demo.NAME,
    *,
    device: str | torch.device = "cpu",
    dtype: str = "float32",
    noise_schedule: str | None = None,
    variance: str | None = None,
    image_size: int | None = None,
    **overrides,
) -> DiffusionModel:
    """The model in a checkpoint file, or the built-in one ("demo"), frozen and in eval mode.

    The configuration is read from shapes and the file's own header; keyword arguments (guided-diffusion's flag names:
    num_heads, num_head_channels, use_new_attention_order, image_size, noise_schedule) override both.
    Raises InputError for a file that is no such model.
    """
    path = demo.UNET if str(path) == demo.NAME else Path(path)
    state, header = checkpoints.read(path)
    unknown = set(overrides) - set(unets.HEADS)
    if unknown:
        raise InputError(f"Unknown model option {', '.join(sorted(unknown))}; there are {', '.join(unets.HEADS)}.")
    if "num_heads" in overrides:
        header = {**header, "num_head_channels": 0}  # the two exclude each other, and the caller's wish comes first
    heads = {key: header[key] for key in unets.HEADS if key in header} | overrides
    network = unets.load(state, path.name, **heads)
    learned = network.config.out_channels == 6
    given = {"noise_schedule": noise_schedule, "variance": variance, "image_size": image_size}
    stated = {key: given[key] if given[key] is not None else header.get(key) for key in given}
    chosen_variance = stated["variance"] or ("learned" if learned else network.default_variance)
    if chosen_variance not in VARIANCES or (chosen_variance == "learned") != learned:
        raise InputError(
            f"variance={chosen_variance!r} does not fit {path.name}, whose network "
            f"{'learned its variance' if learned else 'has a fixed one: fixed_small or fixed_large'}."
        )
    if (stated["noise_schedule"] or "linear") not in NOISE:
        choices = ", ".join(NOISE)
        raise InputError(f"Noise schedule {stated['noise_schedule']!r} is unknown; choose one of {choices}.")
    if dtype not in DTYPES:
        raise InputError(f"dtype {dtype!r} is unknown; choose one of {', '.join(DTYPES)}.")
    if dtype != "float32":
        network.set_torso_dtype(DTYPES[dtype])
    return DiffusionModel(
        network.to(device),
        noise=stated["noise_schedule"] or "linear",
        variance=chosen_variance,
        image_size=stated["image_size"] or 256,
        name=path.name,
        guessed=_guessed(heads, stated),
    )


def _guessed(heads: dict, stated: dict) -> tuple[str, ...]:
    """The values that neither the file's header nor the caller stated."""
    told = {*heads, *(key for key, value in stated.items() if value is not None)}
    told |= {"num_head_channels"} if "num_heads" in told else set()
    return tuple(key for key in ("num_head_channels", "use_new_attention_order", *stated) if key not in told)
