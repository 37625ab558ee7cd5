"""Tiny networks of ComfyUI's real classes with random weights, their conditions, and VAEs. Runs inside of ComfyUI."""

import copy
import importlib
import math

import torch

UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "use_spatial_transformer": True,
    "legacy": False,
    "context_dim": 64,
    "adm_in_channels": None,
    "use_linear_in_transformer": False,
    "num_classes": None,
}
XL = UNET | {
    "num_res_blocks": [2, 2, 2],
    "channel_mult": [1, 2, 4],
    "transformer_depth": [0, 0, 2, 2, 3, 3],
    "transformer_depth_middle": 3,
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 3, 3, 3],
    "use_linear_in_transformer": True,
    "num_classes": "sequential",
    "adm_in_channels": 2816,
}
HEADS = {"hidden_size": 128, "num_heads": 4, "mlp_ratio": 4.0}
STREAMS = HEADS | {
    "patch_size": 2,
    "context_in_dim": 64,
    "depth": 4,
    "depth_single_blocks": 2,
    "axes_dim": [8, 12, 12],
    "theta": 10000,
    "qkv_bias": True,
}
CHROMA = STREAMS | {
    "guidance_embed": False,
    "in_dim": 64,
    "out_dim": 128,
    "hidden_dim": 64,
    "n_layers": 2,
    "vec_in_dim": None,
    "txt_ids_dims": [],
}
NERF = {
    "patch_size": 16,
    "nerf_hidden_size": 16,
    "nerf_mlp_ratio": 4,
    "nerf_depth": 2,
    "nerf_max_freqs": 8,
    "nerf_tile_size": 512,
    "nerf_final_head_type": "conv",
    "nerf_embedder_dtype": torch.float32,
    "use_x0": False,
    "use_sequential_txt_ids": False,
}
NEXT = {
    "image_model": "lumina2",
    "patch_size": 2,
    "in_channels": 16,
    "cap_feat_dim": 64,
    "n_layers": 3,
    "qk_norm": True,
}

# Name → the class in comfy.supported_models, its configuration, tokens and width of the text, width of the pooled text.
CASES = {
    "SD15": ("SD15", UNET, (77, 64), None),
    "SD2": ("SD20", UNET | {"model_channels": 64, "use_linear_in_transformer": True}, (77, 64), None),
    "SDXL": ("SDXL", XL, (77, 64), 1280),
    "SD3": (
        "SD3",
        {
            "in_channels": 16,
            "patch_size": 2,
            "depth": 2,
            "num_blocks": 4,
            "input_size": None,
            "adm_in_channels": 32,
            "context_embedder_config": {
                "target": "torch.nn.Linear",
                "params": {"in_features": 64, "out_features": 128},
            },
            "num_patches": 1024,
            "pos_embed_max_size": 32,
            "qk_norm": "rms",
        },
        (20, 64),
        32,
    ),
    "Flux": (
        "Flux",
        STREAMS
        | {
            "image_model": "flux",
            "in_channels": 16,
            "out_channels": 16,
            "vec_in_dim": 32,
            "guidance_embed": True,
            "txt_ids_dims": [],
        },
        (20, 64),
        32,
    ),
    "Flux2": (
        "Flux2",
        STREAMS
        | {
            "image_model": "flux2",
            "in_channels": 128,
            "out_channels": 128,
            "patch_size": 1,
            "vec_in_dim": None,
            "mlp_ratio": 3.0,
            "axes_dim": [8, 8, 8, 8],
            "theta": 2000,
            "qkv_bias": False,
            "ops_bias": False,
            "guidance_embed": True,
            "global_modulation": True,
            "mlp_silu_act": True,
            "txt_ids_dims": [3],
        },
        (20, 64),
        None,
    ),
    "Chroma": ("Chroma", CHROMA | {"image_model": "chroma", "in_channels": 64, "out_channels": 64}, (20, 64), 1),
    "ChromaRadiance": (
        "ChromaRadiance",
        CHROMA | NERF | {"image_model": "chroma_radiance", "in_channels": 3, "out_channels": 3},
        (20, 64),
        1,
    ),
    "Lumina2": (
        "Lumina2",
        NEXT
        | {
            "dim": 144,
            "n_heads": 6,
            "n_kv_heads": 2,
            "axes_dims": [8, 8, 8],
            "axes_lens": [300, 512, 512],
            "rope_theta": 10000.0,
            "ffn_dim_multiplier": 1.0,
        },
        (20, 64),
        None,
    ),
    "ZImage": (
        "ZImage",
        NEXT
        | {
            "dim": 256,
            "n_heads": 4,
            "n_kv_heads": 4,
            "axes_dims": [16, 24, 24],
            "axes_lens": [1536, 512, 512],
            "rope_theta": 256.0,
            "ffn_dim_multiplier": 1.0,
            "z_image_modulation": True,
            "time_scale": 1000.0,
            "pad_tokens_multiple": 32,
        },
        (20, 64),
        None,
    ),
    "QwenImage": (
        "QwenImage",
        {
            "image_model": "qwen_image",
            "in_channels": 64,
            "out_channels": 16,
            "num_layers": 3,
            "attention_head_dim": 32,
            "num_attention_heads": 4,
            "joint_attention_dim": 64,
            "axes_dims_rope": (8, 12, 12),
        },
        (20, 64),
        None,
    ),
    "HunyuanImage21": (
        "HunyuanImage21",
        STREAMS
        | {
            "image_model": "hunyuan_video",
            "in_channels": 64,
            "out_channels": 64,
            "patch_size": [1, 1],
            "vec_in_dim": None,
            "axes_dim": [16, 16],
            "meanflow": False,
            "depth_single_blocks": 2,
            "theta": 256,
            "byt5": False,
            "guidance_embed": False,
            "use_cond_type_embedding": False,
            "vision_in_dim": None,
            "meanflow_sum": False,
        },
        (20, 64),
        None,
    ),
    "PixArtSigma": (
        "PixArtSigma",
        {
            "image_model": "pixart_sigma",
            "num_heads": 4,
            "patch_size": 2,
            "hidden_size": 144,
            "in_channels": 4,
            "depth": 3,
            "input_size": 16,
            "pe_interpolation": 1,
            "model_max_length": 20,
            "micro_condition": False,
            "caption_channels": 64,
        },
        (20, 64),
        None,
    ),
    "AuraFlow": (
        "AuraFlow",
        {"max_seq": 256, "cond_seq_dim": 64, "n_double_layers": 2, "n_layers": 4, "dim": 128, "n_heads": 2},
        (20, 64),
        None,
    ),
    "HunyuanDiT": (
        "HunyuanDiT",
        HEADS
        | {
            "image_model": "hydit",
            "depth": 4,
            "size_cond": True,
            "use_style_cond": True,
            "text_states_dim": 64,
            "text_states_dim_t5": 64,
            "text_len": 77,
            "text_len_t5": 20,
        },
        (77, 64),
        1024,
    ),
    "HiDream": (
        "HiDream",
        {
            "image_model": "hidream",
            "attention_head_dim": 32,
            "axes_dims_rope": [8, 12, 12],
            "caption_channels": [64, 64],
            "max_resolution": [128, 128],
            "num_attention_heads": 4,
            "num_layers": 2,
            "num_single_layers": 2,
            "num_routed_experts": 2,
            "num_activated_experts": 1,
            "out_channels": 16,
            "in_channels": 16,
            "patch_size": 2,
            "text_emb_dim": 32,
            "llama_layers": [0, 1, 2, 3],
        },
        (20, 64),
        32,
    ),
    "OmniGen2": (
        "Omnigen2",
        {
            "image_model": "omnigen2",
            "axes_dim_rope": [8, 12, 12],
            "axes_lens": [1024, 1664, 1664],
            "ffn_dim_multiplier": None,
            "hidden_size": 128,
            "in_channels": 16,
            "multiple_of": 32,
            "norm_eps": 1e-05,
            "num_attention_heads": 4,
            "num_kv_heads": 2,
            "num_layers": 3,
            "num_refiner_layers": 1,
            "out_channels": None,
            "patch_size": 2,
            "text_feat_dim": 64,
            "timestep_scale": 1000.0,
        },
        (20, 64),
        None,
    ),
    "Wan21": (
        "WAN21_T2V",
        {
            "image_model": "wan2.1",
            "dim": 128,
            "out_dim": 16,
            "num_heads": 4,
            "ffn_dim": 256,
            "num_layers": 3,
            "patch_size": (1, 2, 2),
            "freq_dim": 64,
            "window_size": (-1, -1),
            "qk_norm": True,
            "cross_attn_norm": True,
            "eps": 1e-6,
            "in_dim": 16,
            "model_type": "t2v",
            "text_dim": 64,
        },
        (20, 64),
        None,
    ),
    "Krea2": (
        "Krea2",
        {
            "image_model": "krea2",
            "features": 128,
            "tdim": 64,
            "txtdim": 64,
            "heads": 4,
            "kvheads": 2,
            "multiplier": 2,
            "layers": 3,
            "txtlayers": 2,
            "txtheads": 2,
            "txtkvheads": 2,
        },
        (20, 128),
        None,
    ),
    "PixelDiT": (
        "PixelDiTT2I",
        {
            "image_model": "pixeldit_t2i",
            "num_groups": 4,
            "hidden_size": 128,
            "pixel_hidden_size": 8,
            "pixel_attn_hidden_size": 64,
            "pixel_num_groups": 4,
            "patch_depth": 3,
            "pixel_depth": 1,
            "patch_size": 16,
            "txt_embed_dim": 64,
            "txt_max_length": 20,
        },
        (20, 64),
        None,
    ),
    "Ernie": (
        "ErnieImage",
        {
            "image_model": "ernie",
            "hidden_size": 128,
            "num_attention_heads": 4,
            "num_layers": 3,
            "ffn_hidden_size": 256,
            "text_in_dim": 64,
            "rope_axes_dim": (8, 12, 12),
        },
        (20, 64),
        None,
    ),
}
PARAMETERS = {  # the classes whose fields a configuration may have, which differ between hosts
    "Flux": ("comfy.ldm.flux.model", "FluxParams"),
    "Chroma": ("comfy.ldm.chroma.model", "ChromaParams"),
    "ChromaRadiance": ("comfy.ldm.chroma_radiance.model", "ChromaRadianceParams"),
    "HunyuanImage21": ("comfy.ldm.hunyuan_video.model", "HunyuanVideoParams"),
}


def randomise(module, seed: int = 0) -> None:
    """Weights that keep the size of what passes through."""
    generator = torch.Generator().manual_seed(seed)

    def noise(tensor, scale):
        tensor.copy_(scale * torch.randn(tensor.shape, generator=generator))

    for name, weight in module.named_parameters():
        if weight.ndim >= 2:
            noise(weight, 1 / math.sqrt(weight[0].numel()))
        elif name.endswith(("weight", "scale")):
            weight.fill_(1)
        else:
            noise(weight, 0.02)
    for _, buffer in module.named_buffers():
        if buffer.is_floating_point() and not (torch.isfinite(buffer).all() and buffer.abs().max() < 1e4):
            noise(buffer, 0.02)


def exists(name: str) -> bool:
    """Whether this host has the class."""
    import comfy.supported_models

    return hasattr(comfy.supported_models, CASES[name][0])


def patcher(name: str):
    """A MODEL."""
    import comfy.model_patcher
    import comfy.supported_models

    kind, config, _, _ = CASES[name]
    config = copy.deepcopy(config)
    if name in PARAMETERS:
        module, params = PARAMETERS[name]
        classes = getattr(importlib.import_module(module), params).__mro__
        fields = {field for cls in classes for field in cls.__dict__.get("__annotations__", {})}
        config = {key: value for key, value in config.items() if key in fields | {"image_model"}}
    if name == "Lumina2":
        from comfy.ldm.lumina.model import NextDiT

        if "rope_theta" not in NextDiT.__init__.__code__.co_varnames:
            del config["rope_theta"]
    its = getattr(comfy.supported_models, kind)(config)
    its.set_inference_dtype(torch.float32, None)
    model = its.get_model({}, "")
    randomise(model.diffusion_model)
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model, load_device=cpu, offload_device=cpu)


def condition(name: str, seed: int = 3) -> list:
    """A CONDITIONING."""
    _, _, (tokens, width), pooled = CASES[name]

    def noise(*shape):
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed))

    more = {"pooled_output": noise(1, pooled)} if pooled else {}
    if name == "HunyuanDiT":
        more |= {"attention_mask": torch.ones(1, 77), "attention_mask_mt5xl": torch.ones(1, 20)}
        more["conditioning_mt5xl"] = noise(1, 20, 64)
    if name == "HiDream":
        more["conditioning_llama3"] = noise(1, 4, 20, 64)
    if name in ("OmniGen2", "Lumina2", "ZImage"):
        more["attention_mask"] = torch.ones(1, tokens, dtype=torch.long)
    return [[noise(1, tokens, width), more]]


class Linear(torch.nn.Module):
    """A linear VAE of any number of channels and ratio, where the real one is large."""

    def __init__(self, channels: int, ratio: int, video: bool):
        super().__init__()
        self.ratio, self.video = ratio, video
        self.into = torch.nn.Parameter(torch.randn(channels, 3, generator=torch.Generator().manual_seed(1)))

    def encode(self, x):
        """Means of squares."""
        flat = torch.nn.functional.avg_pool2d(x[:, :, 0] if self.video else x, self.ratio)
        latent = torch.einsum("cd,bdhw->bchw", self.into, flat)
        return latent[:, :, None] if self.video else latent

    def decode(self, z):
        """The nearest picture."""
        flat = torch.einsum("dc,bchw->bdhw", torch.linalg.pinv(self.into), z[:, :, 0] if self.video else z)
        picture = torch.nn.functional.interpolate(flat, scale_factor=self.ratio, mode="nearest")
        return picture[:, :, None] if self.video else picture


def vae(latent_format):
    """A VAE of the host's class for a latent format: its own small one, none for pixels, or a linear one."""
    import comfy.model_patcher
    import comfy.sd

    channels, video = latent_format.latent_channels, latent_format.latent_dimensions == 3
    if channels == 3:
        return comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)})
    if channels in (4, 16) and not video:
        from comfy.taesd.taesd import TAESD

        own = TAESD(latent_channels=channels)
        randomise(own)
        own.vae_scale.fill_(1)
        own.vae_shift.fill_(0)
        return comfy.sd.VAE(sd={key: value.clone() for key, value in own.state_dict().items()})
    made = comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)})
    ratio = {64: 32, 128: 16}.get(channels, 8)
    made.first_stage_model = Linear(channels, ratio, video)
    cpu = torch.device("cpu")
    made.patcher = comfy.model_patcher.ModelPatcher(made.first_stage_model, load_device=cpu, offload_device=cpu)
    made.latent_channels, made.latent_dim, made.not_video = channels, 3 if video else 2, video
    made.downscale_ratio = made.upscale_ratio = ratio
    return made
