"""A stand-in for the parts of ComfyUI that a native model's walk calls: its guider, its memory management, its VAE."""

import sys
from types import ModuleType, SimpleNamespace

import torch
from torch.nn.functional import avg_pool2d, interpolate

CHANNELS = 12  # of latents, which are half as wide and high as pictures


class Cancelled(Exception):
    """What the host raises after a press of its cancel button."""


class Exploding:
    """a = 1, s = σ; the network is given x / √(1+σ²) and predicts the noise."""

    sigmas = torch.linspace(0.03, 14.6, 1000)

    def noise_scaling(self, sigma, noise, latent):
        return latent + noise * sigma.reshape(-1, *[1] * (latent.ndim - 1))

    def x0(self, network, x, sigma, options):
        side = sigma.reshape(-1, 1, 1, 1)
        return x - side * network(x / (1 + side**2).sqrt(), side, options)


class Flow:
    """a = 1 - σ, s = σ, up to pure noise; the network predicts noise less picture."""

    sigmas = torch.linspace(1e-3, 1, 1000)

    def noise_scaling(self, sigma, noise, latent):
        sigma = sigma.reshape(-1, *[1] * (latent.ndim - 1))
        return sigma * noise + (1 - sigma) * latent

    def x0(self, network, x, sigma, options):
        side = sigma.reshape(-1, 1, 1, 1)
        return x - side * network(x, side, options)


class UNetModel(torch.nn.Module):
    """Two levels of convolutions, which call the host's patches as its U-Net does."""

    num_res_blocks, channel_mult, model_channels = (1, 1), (1, 1), 16

    def __init__(self):
        super().__init__()
        widths = [(CHANNELS, 16), (16, 16), (16, 16), (16, 16)]
        self.input_blocks = torch.nn.ModuleList(torch.nn.Conv2d(*width, 3, padding=1) for width in widths)
        self.out = torch.nn.Conv2d(16, CHANNELS, 3, padding=1)

    def forward(self, x, sigma, options):
        """A smooth function of x; past Module.__call__, as the host runs its blocks."""
        patches = options.get("transformer_options", {}).get("patches", {}).get("input_block_patch", [])
        h = x
        for i, block in enumerate(self.input_blocks):
            h = block.forward(avg_pool2d(h, 2) if i == 2 else h)
            h = torch.tanh(h + sigma / 10)
            for patch in patches:
                h = patch(h, {**options["transformer_options"], "block": ("input", i)})
        return self.out(interpolate(h, scale_factor=2, mode="nearest"))


class BaseModel:
    """The host's model around the network."""

    concat_keys, manual_cast_dtype = (), None
    model_type = SimpleNamespace(name="EPS")
    model_config = SimpleNamespace(unet_config={"in_channels": CHANNELS, "out_channels": CHANNELS})

    def __init__(self, model_sampling):
        self.model_sampling = model_sampling
        self.latent_format = SimpleNamespace(
            latent_channels=CHANNELS,
            latent_dimensions=2,
            process_in=lambda latent: latent * 0.5,
            process_out=lambda latent: latent / 0.5,
        )
        torch.manual_seed(0)
        self.diffusion_model = UNetModel().eval()
        self.model_lowvram = False

    def modules(self):
        return self.diffusion_model.modules()

    def memory_required(self, shape):
        return 1000


class ModelPatcher:
    """The host's hold on a model."""

    load_device = torch.device("cpu")

    def __init__(self, model):
        self.model, self.model_options = model, {"transformer_options": {}}

    def clone(self):
        own = ModelPatcher(self.model)
        own.model_options["transformer_options"].update(self.model_options["transformer_options"])
        return own

    def get_model_object(self, name):
        return getattr(self.model, name)

    def model_dtype(self):
        return torch.float32

    def remove_wrappers_with_key(self, kind, key):
        pass


class Pooling(torch.nn.Module):
    """A linear first stage: the four pixels of a place are the channels of a latent's; nothing is lost."""

    def encode(self, raw):
        return torch.nn.functional.pixel_unshuffle(raw, 2)

    def decode(self, latent):
        return torch.nn.functional.pixel_shuffle(latent, 2)


class VAE:
    """The host's VAE around it."""

    latent_channels, latent_dim, vae_dtype, device = CHANNELS, 2, torch.float32, torch.device("cpu")

    def __init__(self):
        self.first_stage_model = Pooling()
        self.patcher = ModelPatcher(self.first_stage_model)

    def spacial_compression_encode(self):
        return 2

    def process_input(self, image):
        return image * 2 - 1

    def process_output(self, image):
        return ((image + 1) / 2).clamp(0, 1)


class CFGGuider:
    """The host's guider: it prepares, calls `sampler.sample`, and undoes what it prepared."""

    prepared = 0

    def __init__(self, patcher):
        self.model_patcher, self.model_options = patcher, patcher.model_options

    def set_conds(self, positive, negative):
        self.conds = {"positive": positive, "negative": negative}

    def set_cfg(self, cfg):
        self.cfg = cfg

    def sample(self, noise, latent, sampler, sigmas, seed):
        assert torch.is_inference_mode_enabled()
        self.inner_model = self.model_patcher.model
        CFGGuider.prepared += 1
        try:
            options = {"transformer_options": dict(self.model_options["transformer_options"])}
            return sampler.sample(self, sigmas, {"model_options": options, "seed": seed}, None, noise, latent)
        finally:
            CFGGuider.prepared -= 1
            del self.inner_model


class Host:
    """The host's modules, as the pack imports them; `cancelled` is its cancel button, `partly` leaves weights out."""

    def __init__(self, monkeypatch):
        self.cancelled = self.partly = False
        self.loaded = []
        management = ModuleType("comfy.model_management")
        management.in_training = False
        management.OOM_EXCEPTION = torch.OutOfMemoryError
        management.get_torch_device = lambda: torch.device("cpu")
        management.get_free_memory = lambda device=None: 8 << 30
        management.intermediate_device = management.get_torch_device
        management.soft_empty_cache = lambda: None
        management.throw_exception_if_processing_interrupted = self._throw
        management.load_models_gpu = self._load
        samplers = ModuleType("comfy.samplers")
        samplers.CFGGuider = CFGGuider
        samplers.sampling_function = self._sampling_function
        samplers.calc_cond_batch = lambda model, conds, x, sigma, options: [_predicted(model, x, sigma, options)]
        self.told = []  # the progress bars' values
        utils = ModuleType("comfy.utils")
        utils.ProgressBar = lambda total: SimpleNamespace(update_absolute=lambda *value: self.told.append(value))
        execution = ModuleType("comfy_execution")
        execution_utils = ModuleType("comfy_execution.utils")
        execution_utils.get_executing_context = lambda: None
        previews = ModuleType("latent_preview")
        previews.get_previewer = lambda device, latent_format: None
        comfy = ModuleType("comfy")
        comfy.model_management, comfy.samplers = management, samplers
        self.management = management
        names = {"comfy": comfy, "comfy.model_management": management, "comfy.samplers": samplers}
        names |= {"comfy.utils": utils, "comfy_execution": execution, "comfy_execution.utils": execution_utils}
        for name, module in {**names, "latent_preview": previews}.items():
            monkeypatch.setitem(sys.modules, name, module)

    def _throw(self):
        if self.cancelled:
            raise Cancelled

    def _load(self, patchers, memory_required=0, force_full_load=False):
        self.loaded.append(list(patchers))
        for patcher in patchers:
            if isinstance(patcher.model, BaseModel):
                patcher.model.model_lowvram = self.partly

    def _sampling_function(self, model, x, sigma, negative, positive, cfg, options, seed=None):
        self._throw()
        return _predicted(model, x, sigma, options)


def _predicted(model, x, sigma, options):
    return model.model_sampling.x0(model.diffusion_model, x, sigma, options)
