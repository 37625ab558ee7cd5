"""The host's networks that are known to have a gradient, and what is said of the others."""

from dataclasses import dataclass
from itertools import accumulate

import torch

from ...qs_core.errors import InputError
from ...qs_core.unets.adm import Layer

DEPTHS = (0.1, 0.2, 0.35, 0.5)  # of a transformer's blocks: which ones hold content
BYTES = 50  # a transformer's graph in 16 bits, per token, block and channel; counted 30 to 49 on three of them
UNET_BYTES = {"BaseModel": 600, "SDXL": 1050}  # a U-Net's, per latent pixel and base channel; counted on both


@dataclass(frozen=True)
class Family:
    """How a class of networks is taken apart.

    `stacks` name its lists of blocks; content is read from the first. `part` is the picture's part of a block's output:
    "map" (a U-Net's), "tokens" (the last ones of a sequence), or a place in a tuple. `copies`: residuals are added in
    place, so that norms must read copies. `mutable`: autograd itself must copy, and no block can be computed again.
    `least` is the smallest side in states.
    """

    title: str
    stacks: tuple[str, ...]
    part: str | int
    image_size: int = 1024
    copies: bool = False
    mutable: bool = False
    least: int = 1


UNET = {"stacks": ("input_blocks",), "part": "map"}
# By the class of the host's model and that of its network: both have to fit. tests/comfyui/test_native.py has them all.
FAMILIES = {
    ("BaseModel", "UNetModel"): Family("SD1.5, SD2", **UNET, image_size=512),
    ("SDXL", "UNetModel"): Family("SDXL", **UNET),
    ("SD3", "OpenAISignatureMMDITWrapper"): Family("SD3, SD3.5", ("joint_blocks",), 1),
    ("Flux", "Flux"): Family("Flux", ("double_blocks", "single_blocks"), 0, copies=True),
    ("Flux2", "Flux"): Family("Flux.2", ("double_blocks", "single_blocks"), 0, copies=True),
    ("Chroma", "Chroma"): Family("Chroma", ("double_blocks", "single_blocks"), 0, copies=True),
    ("ChromaRadiance", "ChromaRadiance"): Family("Chroma Radiance", ("double_blocks", "single_blocks"), 0, copies=True),
    ("QwenImage", "QwenImageTransformer2DModel"): Family("Qwen-Image", ("transformer_blocks",), 1),
    ("Lumina2", "NextDiT"): Family("Lumina 2, Z-Image", ("layers",), "tokens"),
    ("HunyuanImage21", "HunyuanVideo"): Family("HunyuanImage 2.1", ("double_blocks", "single_blocks"), 0, copies=True),
    ("PixArt", "PixArtMS"): Family("PixArt", ("blocks",), "tokens", least=64),
    ("AuraFlow", "MMDiT"): Family("AuraFlow", ("double_layers", "single_layers"), 1),
    ("HunyuanDiT", "HunYuanDiT"): Family("HunyuanDiT", ("blocks",), "tokens"),
    ("HiDream", "HiDreamImageTransformer2DModel"): Family(
        "HiDream", ("double_stream_blocks", "single_stream_blocks"), 0
    ),
    ("Omnigen2", "OmniGen2Transformer2DModel"): Family("OmniGen2", ("layers",), "tokens"),
    ("WAN21", "WanModel"): Family("Wan 2.1, one frame", ("blocks",), "tokens"),
    ("Krea2", "SingleStreamDiT"): Family("Krea 2", ("blocks",), "tokens"),
    ("PixelDiTT2I", "PixDiT_T2I"): Family("PixelDiT", ("patch_blocks",), 0, mutable=True),
}
REFUSED = {
    "ErnieImage": "its rotary embedding has no gradient in ComfyUI",
    "CosmosPredict2": "its rotary embedding has no gradient in ComfyUI 0.33",
    "Anima": "its rotary embedding has no gradient in ComfyUI 0.33",
}


def family_of(model: object) -> Family:
    """The family of the host's BaseModel. Raises InputError for one that is not on the list, with the reason."""
    check_input(model)
    own, network = type(model).__name__, type(model.diffusion_model).__name__
    found = FAMILIES.get((own, network))
    if found is not None:
        return found
    why = REFUSED.get(own) or REFUSED.get(network)
    known = ", ".join(family.title for family in FAMILIES.values())
    raise InputError(
        f"{own} ({network}) is not among the models that can be guided{f': {why}' if why else ''}. Use one of {known}; "
        "or Use Native Model, x0 Only (QS), which needs no gradient of the network; or a pixel diffusion model."
    )


def check_input(model: object) -> None:
    """Raises InputError for the host's BaseModel that draws from another picture, not from noise alone."""
    inputs = getattr(model, "concat_keys", ()) or model.model_type.name.startswith("IMG_TO_IMG")
    config = model.model_config.unet_config
    channels = config.get("in_channels"), config.get("out_channels")
    of_unet = type(model.diffusion_model).__name__ == "UNetModel" and channels[0] != model.latent_format.latent_channels
    wider = all(isinstance(count, int) for count in channels) and channels[0] > channels[1]
    packed = type(model).__name__ == "Flux" and wider
    if inputs or of_unet or packed:
        raise InputError(
            f"{type(model).__name__} needs a picture or a mask as input (a model for inpainting or editing); a "
            "text-to-image model is needed."
        )


def content_layers(network: torch.nn.Module, family: Family, ratio: int) -> tuple[Layer, ...]:
    """Where content is read, shallow to deep; `ratio` is pictures' pixels per latent's.

    Of a U-Net the first convolution and each of the first four levels' last block with weights; of a transformer four
    blocks of its first half, which all have one size.
    """
    if family.part == "map":
        ends = [0, *(end - 1 for end in accumulate(count + 1 for count in network.num_res_blocks))][:5]
        return tuple(Layer(end, "res", k, 0, ratio * 2 ** max(0, k - 1), 0) for k, end in enumerate(ends))
    count = len(getattr(network, family.stacks[0]))
    indices = sorted({round((count - 1) * depth) for depth in DEPTHS})
    return tuple(Layer(index, "res", 0, k, ratio * patch(network), 0) for k, index in enumerate(indices))


def patch(network: torch.nn.Module) -> int:
    """Side of a transformer's patch, in latent pixels."""
    size = getattr(network, "patch_size", None) or getattr(network, "patch", 2)
    return size[-1] if isinstance(size, list | tuple) else size


def multiple(network: torch.nn.Module, family: Family, ratio: int) -> int:
    """Both sides of a picture must be multiples of it."""
    return ratio * (2 ** (len(network.channel_mult) - 1) if family.part == "map" else patch(network))


def blocks(network: torch.nn.Module, family: Family) -> list[torch.nn.Module]:
    """What can be computed again for a gradient; nothing where that is not exact."""
    if family.mutable:
        return []
    if family.part == "map":
        return [part for part in network.modules() if type(part).__name__ in ("ResBlock", "SpatialTransformer")]
    return [block for stack in family.stacks for block in getattr(network, stack, ())]


def graph_bytes(model: object, family: Family) -> float:
    """About what the network keeps for a gradient, per latent pixel, in 16 bits, without classifier-free guidance."""
    network = model.diffusion_model
    if family.part == "map":
        return UNET_BYTES[type(model).__name__] * network.model_channels
    width = max(_width(network, name) for name in ("hidden_size", "inner_dim", "dim", "features"))
    return BYTES * width * len(blocks(network, family) or getattr(network, family.stacks[0])) / patch(network) ** 2


def _width(network: torch.nn.Module, name: str) -> int:
    size = getattr(network, name, 0)
    return size if isinstance(size, int) else 0


def map_of(output: object, family: Family, network: torch.nn.Module, side: tuple[int, int]) -> torch.Tensor:
    """A content block's output as a map (B, C, h, w) for states of a size (height, width)."""
    if family.part == "map":
        return output
    place = family.part if isinstance(family.part, int) else 0
    tokens = output if isinstance(output, torch.Tensor) else output[place]
    height, width = (-(-length // patch(network)) for length in side)
    count, unit = height * width, getattr(network, "pad_tokens_multiple", None) or 1  # Z-Image fills its tokens up
    own = tokens.flatten(1, -2)[:, -(-(-count // unit) * unit) :][:, :count]
    return own.transpose(1, 2).unflatten(2, (height, width))
