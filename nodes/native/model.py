"""NativeModel: a host's MODEL and VAE as the library's Model. It computes only while its session is there."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from ...qs_core import codec
from ...qs_core.errors import InputError
from ...qs_core.protocol import Prediction, PullBack, linearize
from ...qs_core.schedule import Schedule
from ...qs_core.unets.adm import Layer
from ...qs_core.unets.gradient_checkpointing import wished
from . import families
from .codec import decode_bytes
from .differentiable import recomputing
from .families import Family
from .features import captured
from .levels import levels
from .session import Inputs, Session, within

Result = TypeVar("Result")
FORWARD = 6  # a network's graph is about so many times what it needs without a gradient
STOPPED = "A patch on the model (a cache, compilation or attention) stops the gradient. Remove it."


class NativeModel:
    """States are the host's latents, made variance preserving. `guidance` multiplies the losses' pull."""

    tileable = False  # its states are latents

    through_network = True

    def __init__(self, inputs: Inputs, guidance: float = 1.0):
        self.inputs, self.guidance, self._session = inputs, guidance, None
        self.base = inputs.model.model
        self.latent_format = inputs.model.get_model_object("latent_format")
        self.ratio = inputs.vae.spacial_compression_encode()
        self.family = self._family()
        self.levels = levels(inputs.model.get_model_object("model_sampling"))

    def _family(self) -> Family | None:
        return families.family_of(self.base)

    @contextlib.contextmanager
    def _within(self, session: Session) -> Iterator[None]:
        self._session = session
        try:
            yield
        finally:
            self._session = None

    def hold(self, work: Callable[[], Result], others: Sequence, memory: int, size: tuple[int, int]) -> Result:
        """work() within the host's sampling for pictures of a size (height, width)."""

        def body(session: Session) -> Result:
            with self._within(session):
                return work()

        shape = self.latent_format.latent_channels, *(length // self.ratio for length in size)
        return within(self.inputs, self.family, shape, others, memory, body)

    @property
    def session(self) -> Session:
        """The host's loaded model. Raises RuntimeError outside of `hold`."""
        if self._session is None:
            raise RuntimeError("The native model is used outside of its session.")
        return self._session

    @property
    def network(self) -> torch.nn.Module:
        """The host's network."""
        return self.base.diffusion_model

    @property
    def device(self) -> torch.device:
        """Where the host runs it."""
        return self.inputs.model.load_device

    @property
    def image_size(self) -> int:
        """Short side of the training pictures."""
        return self.family.image_size

    @property
    def multiple(self) -> int:
        """Both sides of a picture must be multiples of it."""
        return families.multiple(self.network, self.family, self.ratio)

    def schedule(self, spacing: str = "50") -> Schedule:
        """The model's own noise levels, respaced."""
        return self.levels.schedule(spacing)

    def to_state(self, picture: Tensor) -> Tensor:
        """The latents of pictures, by the VAE."""
        return self.session.codec.encode(picture)

    def to_picture(self, state: Tensor) -> Tensor:
        """The pictures of latents: with a gradient by the losses' VAE, else by the model's own."""
        its = self.session.loss_codec if torch.is_grad_enabled() else self.session.codec
        return its.decode(state)

    def gain(self, clean: Tensor) -> Tensor:
        """The codec's, by which the losses' weights mean about the same as for pixel models."""
        return codec.gain(self.to_picture, clean) / self.guidance

    def predict(self, x_t: Tensor, schedule: Schedule, i: int) -> Prediction:
        """Evaluate at state i, with the host's conditions, patches and classifier-free guidance."""
        from comfy import samplers

        session, t, alpha_bar = self.session, int(schedule.timesteps[i]), float(schedule.alpha_bar[i])
        options = self._with_levels(session.options, schedule)
        x, sigma = self._host(x_t * float(self.levels.norm[t]), t)
        conds = session.conds.get("negative"), session.conds["positive"]
        with self._recomputing():
            x0 = samplers.sampling_function(session.inner, x, sigma, *conds, self.inputs.cfg, options, seed=0)
        x0 = (x0[:, :, 0] if x0.ndim == 5 else x0).float()
        log_variance = torch.tensor(float(schedule.fixed_log_variance("fixed_small")[i]), device=x_t.device)
        return Prediction(x0, (x_t - math.sqrt(alpha_bar) * x0) / math.sqrt(1 - alpha_bar), log_variance)

    def linearize(self, x_t: Tensor, schedule: Schedule, i: int) -> tuple[Prediction, PullBack]:
        """The prediction at state i and the pull-back through the network. Raises InputError where a patch on the model
        stops the gradient."""
        return linearize(lambda leaf: self._checked(leaf, schedule, i), x_t)

    def _checked(self, leaf: Tensor, schedule: Schedule, i: int) -> Prediction:
        """The prediction, after a look whether it hangs on the network's output, not on x_t alone."""
        given = self.session.given
        given.clear()
        prediction = self.predict(leaf, schedule, i)
        live = [output for output in given if output.requires_grad]
        given.clear()
        if not live or not prediction.x0.requires_grad:
            raise InputError(STOPPED)
        reached = torch.autograd.grad(prediction.x0.sum(), live, retain_graph=True, allow_unused=True)
        if all(gradient is None for gradient in reached):
            raise InputError(STOPPED)
        return prediction

    def content_layers(self) -> tuple[Layer, ...]:
        """Blocks of the network, by level for U-Nets and by depth for transformers."""
        return families.content_layers(self.network, self.family, self.ratio)

    def features(self, states: Tensor) -> list[Tensor]:
        """Their outputs at the lowest noise level, for the first entry of the positive conditions."""
        from comfy import samplers

        session, indices = self.session, [layer.index for layer in self.content_layers()]
        cond = {k: v for k, v in session.conds["positive"][0].items() if k in ("model_conds", "uuid", "hooks")}
        x, sigma = self._host(states, 0)
        with captured(self.network, self.family, session.options, indices) as (options, outputs), self._recomputing():
            samplers.calc_cond_batch(session.inner, [[cond]], x, sigma, options)
        maps = [families.map_of(outputs[i], self.family, self.network, states.shape[-2:]).float() for i in indices]
        if states.requires_grad and torch.is_grad_enabled() and not all(one.requires_grad for one in maps):
            raise InputError(STOPPED)
        return maps

    def check_size(self, picture: Tensor) -> None:
        """Raises InputError for sides that are no multiples, or too small."""
        height, width = picture.shape[-2:]
        if height % self.multiple or width % self.multiple:
            raise InputError(f"Image is {width}x{height}; this model needs both sides divisible by {self.multiple}.")
        least = self.family.least * self.ratio if self.family else 0
        if min(height, width) < least:
            raise InputError(f"Image is {width}x{height}; {self.family.title} needs {least} at least on both sides.")

    def graph_bytes(self, batch: int, height: int, width: int) -> int:
        """Counted on real layouts, see `families`; the codec's decode is added, and the weights' other dtype."""
        decoded = batch * decode_bytes(self.inputs.loss_vae or self.inputs.vae, height, width)
        return batch * self._of_network(height, width) + self._cast_bytes + decoded

    def walk_bytes(self, batch: int, height: int, width: int) -> int:
        """A sixth of the network's graph, and one decode."""
        return batch * self._of_network(height, width) // FORWARD + decode_bytes(self.inputs.vae, height, width)

    def _of_network(self, height: int, width: int) -> int:
        """Bytes of one picture's graph; classifier-free guidance runs the network twice."""
        twice = 1 if math.isclose(self.inputs.cfg, 1.0) else 2
        pixels = height * width // self.ratio**2
        return int(twice * pixels * families.graph_bytes(self.base, self.family) * self._computed.itemsize / 2)

    @cached_property
    def _computed(self) -> torch.dtype:
        return self.base.manual_cast_dtype or self.inputs.model.model_dtype()

    @property
    def _cast_bytes(self) -> int:
        """Weights that are stored in another dtype are kept in the computed one as well."""
        if self.base.manual_cast_dtype is None:
            return 0
        return sum(weight.numel() for weight in self.network.parameters()) * self._computed.itemsize

    def describe(self) -> dict:
        """The host's classes, and what the node was given."""
        return {
            "dtype": str(self._computed).removeprefix("torch."),
            "noise_schedule": type(self.inputs.model.get_model_object("model_sampling")).__mro__[1].__name__,
            "variance": "fixed_small",
            "guessed": [],
            "native": type(self.base).__name__,
            "network": type(self.network).__name__,
            "cfg": self.inputs.cfg,
            "guidance": self.guidance,
            "vae": type(self.inputs.vae.first_stage_model).__name__,
            "loss_vae": type((self.inputs.loss_vae or self.inputs.vae).first_stage_model).__name__,
            "through_network": self.through_network,
        }

    def _recomputing(self) -> contextlib.AbstractContextManager:
        wanted = self.family is not None and wished() and torch.is_grad_enabled()
        return recomputing(families.blocks(self.network, self.family) if wanted else ())

    def _host(self, x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """A state as the host has it, and its σ (B,)."""
        sigma = torch.full((len(x),), float(self.levels.sigma[t]), dtype=torch.float32, device=x.device)
        return (x[:, :, None] if self.latent_format.latent_dimensions == 3 else x), sigma

    def _with_levels(self, options: dict, schedule: Schedule) -> dict:
        """Options that tell patches which noise levels are visited."""
        sigmas = torch.from_numpy(self.levels.sigma[schedule.timesteps][::-1].copy()).float()
        return {**options, "transformer_options": {**options["transformer_options"], "sample_sigmas": sigmas}}


class X0Model(NativeModel):
    """A model of any class, guided at its predicted x0 alone: no gradient through the network, and no content layers.

    ∂x0/∂x_t is taken for √ᾱ, as in `Guidance` without its network.
    """

    through_network = False
    image_size = 1024

    def _family(self) -> None:
        families.check_input(self.base)

    @property
    def multiple(self) -> int:
        """What every known network takes."""
        return max(64, 2 * self.ratio)

    def linearize(self, x_t: Tensor, schedule: Schedule, i: int) -> tuple[Prediction, PullBack]:
        """The prediction, and √ᾱ in place of the network's Jacobian."""
        with torch.no_grad():
            prediction = self.predict(x_t, schedule, i)
        root = math.sqrt(float(schedule.alpha_bar[i]))
        return prediction, lambda of_x0, of_x_t: root * of_x0 + of_x_t

    def content_layers(self) -> tuple[Layer, ...]:
        """None: the loss on features needs the network's gradient."""
        return ()

    def features(self, states: Tensor) -> list[Tensor]:
        """Raises InputError."""
        raise InputError("Guided at x0 alone, a model has no features to look at. Use Native Model (QS) has them.")

    def _of_network(self, height: int, width: int) -> int:
        return int(self.base.memory_required([2, self.latent_format.latent_channels, *self._states(height, width)]))

    def _states(self, height: int, width: int) -> tuple[int, int]:
        return height // self.ratio, width // self.ratio

    def graph_bytes(self, batch: int, height: int, width: int) -> int:
        """Nothing of the network is kept."""
        return self.walk_bytes(batch, height, width)
