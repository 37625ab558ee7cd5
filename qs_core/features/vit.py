"""A vision transformer by timm, DINO's above all: the keys of an attention layer, and the class token.

Keys say where things are and how they hang together, the class token what is to be seen: Splicing ViT Features for
Semantic Appearance Transfer (Tumanyan et al. 2022), section 3; DiffuseIT uses the same.
"""

from collections.abc import Sequence
from pathlib import Path

import huggingface_hub
import timm
import torch
from einops import rearrange
from timm.models import get_pretrained_cfg, is_model_in_modules
from timm.models.vision_transformer import Attention
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import interpolate

from .. import checkpoints
from ..errors import InputError
from ..modes import loading
from ..paths import expanded, is_file
from .pixels import Tokens, standardise
from .weights import Announce, Download, cached, from_hub, load_exactly

DINO, HUB = "vit_base_patch8_224.dino", "hub"
FILES = ("model.safetensors", "pytorch_model.bin")
PREFIXES = ("teacher.", "module.", "backbone.")  # of a network that was saved inside its training
SIDE, LONGEST = 224, 480  # at which DiffuseIT reads pictures
HEAD = ("head.weight", "head.bias")  # of a classifier, which is not read


class ViT(Module):
    """A frozen timm VisionTransformer, for pictures (B, 3, H, W) in [-1, 1] whose sides are multiples of `patch`.

    Resizing is the caller's: DINO was trained at 224, and reads any size with resampled position embeddings.
    `prefix` is the number of tokens before those of the patches: 1, the class token, for DINO.
    """

    def __init__(self, network: Module, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.network = network
        self.mean, self.std = tuple(mean), tuple(std)
        self.patch: tuple[int, int] = network.patch_embed.patch_size
        self.prefix: int = network.num_prefix_tokens
        self.eval().requires_grad_(False)

    def keys(self, pictures: Tensor, layer: int = -1) -> Tensor:
        """(B, N, D) keys of the attention in block `layer`, the last by default (11 of a ViT-B): its heads side by
        side. The first `prefix` tokens, the class token among them, are kept; the patches follow row by row.

        Only the blocks before `layer` are run, and of that one its first norm and projection.
        """
        return self._keys(self._tokens(pictures, self._index(layer)), self._index(layer))

    def cls(self, pictures: Tensor) -> Tensor:
        """(B, D) class token after the last block, before the final norm, as Splice and DiffuseIT read it."""
        if self.network.cls_token is None:
            raise InputError(f"This ViT has no class token. Choose one that has, such as {DINO}.")
        return self._tokens(pictures, len(self.network.blocks))[:, 0]

    def look(self, pictures: Tensor, side: int = SIDE, longest: int = LONGEST) -> Tokens:
        """Keys and class token of the last block, of pictures resized to a short side of `side`, as DiffuseIT reads
        them; both sides to multiples of the patch.

        Faithful: plain bilinear sampling, as the torchvision of its time resized tensors; but pictures over 1.5 times
        as large are averaged first, which it does not see.
        """
        short = min(pictures.shape[-2:])
        scaled = (min(longest, extent * side / short) for extent in pictures.shape[-2:])
        size = [max(1, round(extent / patch)) * patch for extent, patch in zip(scaled, self.patch, strict=True)]
        coarse = short > 1.5 * side
        small = interpolate(pictures, size, mode="bilinear", antialias=coarse, align_corners=False)
        last = len(self.network.blocks) - 1
        x = self._tokens(small, last)
        if self.network.cls_token is None:
            raise InputError(f"This ViT has no class token. Choose one that has, such as {DINO}.")
        return Tokens(self._keys(x, last), self.network.blocks[last](x)[:, 0])

    def graph_bytes(self, views: int) -> int:
        """About what it keeps for a gradient through so many square pictures that `look` resizes; as a CLIP's."""
        tokens = (SIDE // self.patch[0]) * (SIDE // self.patch[1]) + self.prefix
        return views * 40 * tokens * self.network.embed_dim * len(self.network.blocks)

    def _keys(self, x: Tensor, index: int) -> Tensor:
        """The keys of block `index`, of the tokens that enter it."""
        block = self.network.blocks[index]
        attention = block.attn
        projected = attention.qkv(block.norm1(x))
        keys = rearrange(projected, "b n (three h d) -> three b n h d", three=3, h=attention.num_heads)[1]
        return rearrange(attention.k_norm(keys), "b n h d -> b n (h d)")

    def _tokens(self, pictures: Tensor, depth: int) -> Tensor:
        """(B, N, D) after the first `depth` blocks."""
        height, width = pictures.shape[-2:]
        if height % self.patch[0] or width % self.patch[1]:
            raise InputError(
                f"Picture is {width}x{height}; this ViT needs sides divisible by {self.patch[1]} and {self.patch[0]}. "
                "Resize it, e.g. to 224x224."
            )
        # As timm's own forward_features begins, which runs all blocks.
        x = self.network._pos_embed(self.network.patch_embed(standardise(pictures, self.mean, self.std)))
        x = self.network.norm_pre(self.network.patch_drop(x))
        for block in self.network.blocks[:depth]:
            x = block(x)
        return x

    def _index(self, layer: int) -> int:
        count = len(self.network.blocks)
        if not -count <= layer < count:
            raise InputError(f"This ViT has the layers 0 to {count - 1}; {layer} was asked for.")
        return layer % count


@loading()
def load_vit(
    name: str = DINO,
    pretrained: str | Path | None = None,
    *,
    device: str | torch.device = "cpu",
    announce: Announce | None = None,
) -> ViT:
    """A ViT in float32, frozen, by timm's name with its tag, which says how pictures are normalised.

    `pretrained` is the path of a file, or "hub": timm's own weights from the local cache, else downloaded after
    `announce` was told. The file is a state dict in timm's names, which are those of DINO's repository, too; also one
    with the prefixes `teacher.`, `module.`, `backbone.`. A classifier's head in it is left out.
    Raises InputError for an unknown name and where there are no weights; UnsupportedCheckpoint for another network.
    """
    _check_name(name)
    path = _find(name, pretrained, announce)
    state, _ = checkpoints.read(path)
    network = timm.create_model(name, pretrained=False, num_classes=0, dynamic_img_size=True)
    if not all(isinstance(getattr(block, "attn", None), Attention) for block in network.blocks):
        raise InputError(f"{name} has blocks of another kind, whose keys cannot be read. Choose {DINO}.")
    load_exactly(network, _backbone(state), f"{path}", name)
    config = network.pretrained_cfg
    return ViT(network, config["mean"], config["std"]).to(device)


def _check_name(name: str) -> None:
    """Raises InputError unless timm has a VisionTransformer of that name and tag."""
    architecture, _, tag = name.partition(".")
    if not (timm.is_model(architecture) and is_model_in_modules(architecture, ["vision_transformer"])):
        raise InputError(f"timm has no vision transformer {name!r}. Use {DINO}, or another of timm's names.")
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
    if tag not in tags:
        told = f"no weights {tag!r}" if tag else "several weights, which want pictures normalised differently"
        example = f"{architecture}.{'dino' if 'dino' in tags else (tags or ['TAG'])[0]}"
        raise InputError(
            f"{architecture} has {told}. Give its name with one of its tags ({', '.join(tags)}): {example}."
        )


def _find(name: str, pretrained: str | Path | None, announce: Announce | None) -> Path:
    """The file of weights. Raises InputError where there is none."""
    if pretrained == HUB:
        repository = _repository(name)
        path = cached(repository, *FILES)
        return Path(
            path or _download(name).fetch(lambda: huggingface_hub.hf_hub_download(repository, FILES[0]), announce)
        )
    path = expanded(pretrained) if pretrained else None
    if path is None or not is_file(path):
        told = f"No file at {path}" if path else f"{name} needs weights"
        raise InputError(
            f"{told}. Fetch {FILES[0]} from {_download(name).address} and give its path, or choose {HUB!r} to have it "
            "downloaded."
        )
    return path


def _repository(name: str) -> str:
    repository = get_pretrained_cfg(name).hf_hub_id
    if not repository:
        raise InputError(f"timm's weights {name} are not on the hub. Give the path of a file of them.")
    return repository


def _download(name: str) -> Download:
    instead = f"Or fetch {FILES[0]} from there by other means and give its path in place of {HUB!r}."
    return from_hub(f"The weights of {name}", _repository(name), instead)


def _backbone(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The network's own part of a state dict: under the prefixes, and without a classifier."""
    for prefix in PREFIXES:
        state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)} or state
    return {key: value for key, value in state.items() if key not in HEAD}
