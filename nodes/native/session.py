"""A walk inside of the host's own sampling: the host loads the weights, applies patches and hooks, and undoes them."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from ...qs_core.errors import InputError
from ..host import HOST
from .codec import Codec
from .differentiable import attention, differentiable
from .families import Family
from .thaw import normal, thaw_module

Result = TypeVar("Result")
WHOLE = (
    "The model does not fit into memory as a whole; guidance needs that. Use a smaller model, fp8 weights, a smaller "
    "size, or start ComfyUI without --lowvram or --novram."
)


@dataclass(frozen=True)
class Inputs:
    """What the node was given, in the host's own types."""

    model: object  # MODEL, not a dynamic one
    vae: object
    positive: object
    negative: object
    cfg: float
    loss_vae: object | None = None

    @property
    def patchers(self) -> list:
        """The host's holds on all weights."""
        vaes = [self.vae, *([self.loss_vae] if self.loss_vae else [])]
        return [self.model, *(vae.patcher for vae in vaes)]


@dataclass(frozen=True)
class Session:
    """What is there while the walk runs: the host's loaded model, its options and conditions, and the codecs."""

    inner: object
    options: dict
    conds: dict
    codec: Codec
    loss_codec: Codec
    given: list  # what the network's latest runs gave, by which a gradient that a patch stops is found


class _Inside:
    """A sampler of the host whose sampling is `work`."""

    def __init__(self, inputs: Inputs, family: Family | None, others: Sequence, memory: int, work: Callable):
        self.inputs, self.family, self.others, self.memory, self.work = inputs, family, others, memory, work
        self.result = None

    def sample(self, model_wrap, sigmas, extra_args, callback, noise, latent_image=None, *_, **__):
        """Called by the host, in its inference mode, when all is prepared."""
        from comfy import model_management

        inner, options = model_wrap.inner_model, extra_args["model_options"]
        patchers = [model_wrap.model_patcher, *self.inputs.patchers[1:], *self.others]
        model_management.load_models_gpu(patchers, memory_required=self.memory, force_full_load=True)
        if any(getattr(patcher.model, "model_lowvram", False) for patcher in patchers):
            raise InputError(WHOLE)
        options.setdefault("transformer_options", {})["optimized_attention_override"] = attention(HOST.check_cancelled)
        with torch.inference_mode(False):
            session = self._session(inner, options, model_wrap.conds)
            with differentiable(inner.diffusion_model, self.family), _watching(inner.diffusion_model, session.given):
                self.result = self.work(session)
        return latent_image

    def _session(self, inner: object, options: dict, conds: dict) -> Session:
        vae, loss_vae = self.inputs.vae, self.inputs.loss_vae or self.inputs.vae
        for module in (inner, vae.first_stage_model, loss_vae.first_stage_model):
            thaw_module(module)
        latent_format = normal(inner.latent_format)
        codecs = Codec(vae, latent_format), Codec(loss_vae, latent_format)
        return Session(inner, options, normal(conds), *codecs, [])


@contextlib.contextmanager
def _watching(network: torch.nn.Module, given: list) -> Iterator[None]:
    """Within it `given` holds the output of each run of the network."""

    def saw(module, inputs, output):
        given.append(output if isinstance(output, torch.Tensor) else output[0])

    handle = network.register_forward_hook(saw)
    try:
        yield
    finally:
        handle.remove()


def within(
    inputs: Inputs,
    family: Family | None,
    shape: tuple[int, int, int],
    others: Sequence,
    memory: int,
    work: Callable[[Session], Result],
) -> Result:
    """work(session) inside of the host's sampling of latents of a shape (channels, height, width).

    `others` are the host's holds on networks that are needed beside, `memory` the bytes beside all weights.
    Raises InputError where the weights do not fit as a whole, or a network turns out to have no gradient.
    """
    from comfy import samplers

    with torch.inference_mode():
        guider = samplers.CFGGuider(inputs.model)
        guider.set_conds(inputs.positive, inputs.negative)
        guider.set_cfg(inputs.cfg)
        inside = _Inside(inputs, family, others, memory, work)
        channels, *side = shape
        frames = [1] if inputs.model.get_model_object("latent_format").latent_dimensions == 3 else []
        latent = torch.zeros(1, channels, *frames, *side)
        try:
            guider.sample(latent, latent, inside, torch.tensor([1.0, 0.0]), seed=0)
        except RuntimeError as error:
            if "no autograd formula was registered" not in str(error) and "Autograd not implemented" not in str(error):
                raise
            name = type(inputs.model.model).__name__
            raise InputError(f"{name} uses operations without a gradient in this ComfyUI: {error}") from error
    return inside.result
