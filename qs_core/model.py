"""DiffusionModel: a frozen U-Net with its noise schedule, x_t → Prediction."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from . import demo, unets
from .checkpoints.specification import Specification, located
from .checkpoints.specification import read as specify
from .errors import InputError
from .modes import loading
from .precision import DTYPES
from .protocol import Prediction, PullBack, linearize
from .schedule import Schedule, make_schedule
from .unets.adm import Layer


@dataclass(frozen=True)
class DiffusionModel:
    """A pixel network, whose states are pictures, and what its weights do not tell: the noise schedule it was trained
    with and its variance's kind."""

    network: torch.nn.Module
    noise: str = "linear"
    variance: str = "learned"
    image_size: int = 256  # that of training; any multiple of `multiple` works
    class_label: int | None = None  # of a class-conditional network; None leaves the classes out
    name: str = ""
    guessed: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = ()  # what was chosen in the file
    tileable = True
    source: Path | None = None  # the file

    @property
    def multiple(self) -> int:
        """Both sides of a picture must be multiples of this."""
        return self.network.multiple

    @property
    def doubt(self) -> str:
        """What was chosen in the file and guessed of the configuration, in sentences; empty where nothing was."""
        told = [f"{self.name}: {note}." for note in self.notes]
        if self.guessed:
            told.append(
                f"{self.name}: guessed, not known: {', '.join(self.guessed)}. Where the picture is wrong, set them."
            )
        return " ".join(told)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def schedule(self, spacing: str = "50") -> Schedule:
        """The network's own noise schedule, respaced."""
        return make_schedule(spacing, self.noise)

    def to_state(self, picture: Tensor) -> Tensor:
        """The picture itself."""
        return picture

    def to_picture(self, state: Tensor) -> Tensor:
        """The state itself."""
        return state

    def gain(self, clean: Tensor) -> None:
        """None: states are pictures."""

    def unet(self, x: Tensor, t: Tensor) -> Tensor:
        """The raw network output at (B, 3, H, W) and (B,) timesteps."""
        return self.network(x, t, self._labels(x))

    def encode(self, x: Tensor, t: Tensor, last: int | None = None) -> list[Tensor]:
        """The encoder's block outputs in order, float32, up to block `last`."""
        return [h.float() for h in self.network.encode(x, t, self._labels(x), last=last)]

    def _labels(self, x: Tensor) -> Tensor | None:
        return None if self.class_label is None else torch.full((len(x),), self.class_label, device=x.device)

    def predict(self, x_t: Tensor, schedule: Schedule, i: int) -> Prediction:
        """Evaluate at state i. eps and x0 by Ho et al. eq. 4; learned variance by Nichol & Dhariwal eq. 15:

        log σ² = v·log β_i + (1 - v)·log β̃_i with v = (value + 1) / 2, β of the respaced process.
        """
        t = torch.full((len(x_t),), float(schedule.timesteps[i]), dtype=torch.float32, device=x_t.device)
        output = self.unet(x_t, t).float()
        if self.variance == "learned":
            eps, values = output.chunk(2, dim=1)
            v = (values + 1) / 2
            low, high = float(schedule.posterior_log_variance[i]), math.log(schedule.betas[i])
            log_variance = v * high + (1 - v) * low
        else:
            eps = output
            fixed = float(schedule.fixed_log_variance(self.variance)[i])
            log_variance = torch.tensor(fixed, dtype=torch.float32, device=x_t.device)
        alpha_bar = float(schedule.alpha_bar[i])
        x0 = (x_t - math.sqrt(1 - alpha_bar) * eps) / math.sqrt(alpha_bar)
        return Prediction(x0, eps, log_variance)

    def linearize(self, x_t: Tensor, schedule: Schedule, i: int) -> tuple[Prediction, PullBack]:
        """The prediction at state i, and the pull-back through the network's graph, which holds it until then."""
        return linearize(lambda leaf: self.predict(leaf, schedule, i), x_t)

    def content_layers(self) -> tuple[Layer, ...]:
        """The input blocks that the contrastive loss reads: the first convolution and each of the first four levels'
        last residual block. On OpenAI's 256 network these are ZeCon's blocks 0, 2, 5, 8 and 11.

        Deviation: on networks with one block a level ZeCon's numbers 2 and 8 fall on down-sampling blocks.
        """
        last = {layer.level: layer for layer in self.network.layers if layer.kind == "res"}
        return (self.network.layers[0], *(last[level] for level in sorted(last)[:4]))

    def features(self, states: Tensor) -> list[Tensor]:
        """The content layers' outputs at timestep 0."""
        layers = [layer.index for layer in self.content_layers()]
        t = torch.zeros(len(states), dtype=torch.float32, device=states.device)
        outputs = self.encode(states, t, last=max(layers))
        return [outputs[index] for index in layers]

    def graph_bytes(self, batch: int, height: int, width: int) -> int:
        """Counted in float32: 318 to 378 bytes per pixel and base channel on the built-in network, 309 on OpenAI's 256,
        207 on a 256 network with one block a level, 371 on OpenAI's 512."""
        return 100 * self.network.dtype.itemsize * self.network.layers[0].channels * batch * height * width

    def walk_bytes(self, batch: int, height: int, width: int) -> int:
        """A quarter of the graph."""
        return self.graph_bytes(batch, height, width) // 4

    def describe(self) -> dict:
        """What the automatic settings came to, and which values were guessed."""
        return {
            "dtype": str(self.network.dtype).removeprefix("torch."),
            "noise_schedule": self.noise,
            "variance": self.variance,
            "guessed": list(self.guessed),
        }

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


@loading()
def load_model(
    path: str | Path = demo.NAME,
    *,
    device: str | torch.device = "cpu",
    dtype: str = "float32",
    class_label: int | None = None,
    **options,
) -> DiffusionModel:
    """The model in a checkpoint file, or the built-in one ("demo"), frozen and in eval mode.

    The configuration is read from names and shapes; `options` are what these cannot tell (guided-diffusion's flags
    num_heads, num_head_channels, use_new_attention_order, image_size, noise_schedule, and variance), and come before
    the file's own header and the table of published files. A class-conditional network is used without its classes
    unless `class_label` chooses one.
    Raises InputError for an option that does not fit, UnsupportedCheckpoint for a file that is no such model.
    """
    if dtype not in DTYPES:
        raise InputError(f"dtype {dtype!r} is unknown; choose one of {', '.join(DTYPES)}.")
    specification, state = specify(path, **options)
    _check_label(class_label, specification)
    network = unets.build(specification.config, state, specification.name, DTYPES[dtype])
    return DiffusionModel(
        network.to(device),
        noise=specification.noise_schedule,
        variance=specification.variance,
        image_size=specification.image_size,
        class_label=class_label,
        name=specification.name,
        guessed=specification.guessed,
        notes=specification.notes,
        source=located(path),
    )


def _check_label(label: int | None, specification: Specification) -> None:
    classes = getattr(specification.config, "num_classes", 0)
    if label is not None and not 0 <= label < classes:
        there = f"there are 0 to {classes - 1}" if classes else "the network knows no classes"
        raise InputError(f"Class label {label} does not fit {specification.name}: {there}. Leave it out, or change it.")
