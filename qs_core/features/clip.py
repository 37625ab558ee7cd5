"""CLIP: pictures and phrases → embeddings, and the direction that phrases give."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

import open_clip
import torch
from open_clip.transformer import QuickGELU
from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import interpolate, normalize

from ..colour import Colours, palette
from ..errors import InputError
from ..pictures import SMALLEST
from . import tower
from .pixels import standardise


class PictureTower(Module):
    """A CLIP without its text tower."""

    def __init__(self, visual: Module):
        super().__init__()
        self.visual = visual

    def encode_image(self, pictures: Tensor) -> Tensor:
        """(n, 3, H, W) normalised → (n, D) embeddings, not normalised."""
        return self.visual(pictures)


PLAIN = (open_clip.CLIP, open_clip.CustomTextCLIP, PictureTower)  # whose picture embedding is what the tower gives

PICTURE_SIDE = 512  # the short side at which a style picture is looked at, at most


@dataclass(frozen=True)
class CLIP:
    """A frozen open_clip model, its tokenizer, and the input it wants; a vocabulary if it knows but a few words."""

    network: Module
    tokenizer: object
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    name: str
    vocabulary: "Vocabulary | None" = None

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @property
    def activation(self) -> str:
        """The activation of its transformers, "QuickGELU" or "GELU". A wrong one gives wrong embeddings unnoticed.

        Without the text tower it is known of a vision transformer alone.
        """
        return "QuickGELU" if any(isinstance(module, QuickGELU) for module in self.network.modules()) else "GELU"

    @property
    def dtype(self) -> torch.dtype:
        """What the image tower computes in."""
        return next(self.network.visual.parameters()).dtype

    def encode_image(self, pictures: Tensor) -> Tensor:
        """(n, 3, image_size, image_size) in [-1, 1] → (n, D) float32 embeddings, not normalised."""
        normalised = standardise(pictures, self.mean, self.std).to(self.dtype)
        if type(self.network) in PLAIN and tower.readable(self.network.visual):
            return tower.embed(self.network.visual, normalised).float()
        return self.network.encode_image(normalised).float()

    def look(self, pictures: Tensor) -> tower.Tokens:
        """Keys and class token of the picture tower's last block, of (n, 3, H, W) in [-1, 1] squashed to its square.

        Raises InputError where the tower is no vision transformer that `tower` knows.
        """
        self.require_transformer()
        square = (self.image_size, self.image_size)
        small = interpolate(pictures, square, mode="bilinear", antialias=True, align_corners=False)
        return tower.look(self.network.visual, standardise(small, self.mean, self.std).to(self.dtype))

    def require_transformer(self) -> None:
        """Raises InputError where the picture tower is no vision transformer that `tower` knows."""
        if not tower.readable(self.network.visual):
            raise InputError(
                f"The picture tower of {self.name} is no vision transformer whose keys can be read. Take another CLIP, "
                "such as ViT-B-16, or give a ViT's weights."
            )

    def graph_bytes(self, views: int) -> int:
        """About what it keeps for a gradient through so many views.

        Counted in float32: a vision transformer 34 to 39 bytes for each token, channel and block (a view of ViT-B-32 18
        MB, of ViT-B-16 69 MB, of ViT-L-14 247 MB, of the built-in one 2 MB), RN50 1985 for each pixel (100 MB). Of
        other towers nothing was counted: at least 5 bytes for 4 weights are taken.
        """
        visual = self.network.visual
        if tower.readable(visual):
            return views * 40 * visual.positional_embedding.numel() * len(visual.transformer.resblocks)
        weights = sum(parameter.numel() for parameter in visual.parameters())
        return views * max(weights * 5 // 4, 2000 * self.image_size**2)

    def without_text(self) -> "CLIP":
        """The same without the text tower, so that its memory can go once the phrases are embedded; itself where the
        two are not apart."""
        return replace(self, network=PictureTower(self.network.visual)) if type(self.network) in PLAIN else self

    def encode_text(self, phrase: str, templates: bool = False) -> Tensor:
        """(D,) float32 embedding of a phrase; with `templates`, the mean of the normalised embeddings of open_clip's
        80 ImageNet templates around it, not normalised again.

        Raises InputError for an empty phrase, one that the tokenizer must cut, and words a closed vocabulary lacks.
        """
        embeddings = self.sentences(phrase, templates)
        return normalize(embeddings, dim=-1).mean(0) if templates else embeddings[0]

    def sentences(self, phrase: str, templates: bool = False) -> Tensor:
        """(n, D) float32 embeddings of the phrase, or of the templates' sentences around it; errors as above.

        Deviation: open_clip has 80 templates; the list of DiffuseIT and DiffusionCLIP has 79.
        """
        texts = [template(phrase) for template in OPENAI_IMAGENET_TEMPLATES] if templates else [phrase]
        self.check(phrase, texts)
        tokens = self.tokenizer(texts).to(self.device)
        with torch.no_grad():
            return self.network.encode_text(tokens).float()

    def check(self, phrase: str, texts: Sequence[str]) -> None:
        """Raises InputError for a phrase that would not be read whole in `texts`, or not be understood."""
        if not phrase.strip():
            raise InputError("The prompt is empty. Say what the picture should become, e.g. 'a sketch with crayon'.")
        limit, longest = self.tokenizer.context_length, max(self._count(text) for text in texts)
        if longest > limit:
            inside = " inside a template" if len(texts) > 1 else ""
            raise InputError(
                f"The prompt has {longest} tokens{inside}; {self.name} reads {limit} and would cut it. Shorten it."
            )
        if self.vocabulary:
            self.vocabulary.check(phrase)

    def _count(self, text: str) -> int:
        if hasattr(self.tokenizer, "encode"):
            return len(self.tokenizer.encode(text)) + 2
        return len(self.tokenizer.tokenizer(text)["input_ids"])  # open_clip's wrapper of a Hugging Face tokenizer


@dataclass(frozen=True)
class Vocabulary:
    """What a model that was trained on few words knows: its words, the fillers among them, and phrases by style."""

    words: frozenset[str]
    fillers: frozenset[str]
    styles: dict[str, list[str]]

    def check(self, phrase: str) -> None:
        """Raises InputError for a phrase with an unknown word, or without any that names a style."""
        words = re.findall(r"[^\W\d_]+", phrase.lower())
        unknown = [word for word in words if word not in self.words]
        if unknown:
            problem = f"never saw the word{'s' * (len(unknown) > 1)} {', '.join(map(repr, unknown))}"
        elif not set(words) - self.fillers:
            problem = f"finds no style in {phrase!r}"
        else:
            return
        near = dict.fromkeys(guess for word in unknown for guess in self.near(word))
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        elsewhere = (
            "For any other phrase choose a real CLIP, such as ViT-B-16 with the pretrained weights openai."
            if " ".join(unknown).isascii()
            else "It reads English alone, as do most CLIPs, ViT-B-16 among them: write the style in English."
        )
        raise InputError(
            f"The built-in CLIP {problem}.{meant} It knows these styles: "
            f"{'; '.join(p[0] for p in self.styles.values())}. {elsewhere}"
        )

    def near(self, word: str) -> list[str]:
        """The known word that names a style and is spelled most like it, if any is; none for three letters or fewer."""
        known = self.words - self.fillers if len(word) > 3 else ()
        return get_close_matches(word, sorted(known), n=1, cutoff=0.75)


@dataclass(frozen=True)
class TextDirection:
    """What phrases and pictures say to one CLIP: embeddings of the source phrase (D,) and of the target phrases (k, D),
    style pictures (3, H, W) in [-1, 1], and the weights of both, phrases first (k + pictures,), of sum 1.

    Pictures are embedded by the loss, which knows its patches.
    """

    clip: CLIP
    source: Tensor
    targets: Tensor
    weights: Tensor
    source_prompt: str
    prompts: tuple[str, ...]
    pictures: tuple[Tensor, ...] = ()
    means: Tensor | None = None  # (1 + k, D): source and targets as plain means over templates, the same without these

    def __post_init__(self):
        if self.means is None:
            object.__setattr__(self, "means", torch.cat([self.source[None], self.targets]))

    def on(self, device: torch.device) -> "TextDirection":
        """The same with its tensors on a device."""
        moved = {name: getattr(self, name).to(device) for name in ("source", "targets", "weights", "means")}
        return replace(self, **moved, pictures=tuple(picture.to(device) for picture in self.pictures))

    def joined(self, pictures: Sequence[Tensor], weight: float) -> "TextDirection":
        """The same with further style pictures (3, H, W), which count `weight` together, beside the 1 of the rest."""
        share = torch.full((len(pictures),), weight / len(pictures)).to(self.weights)
        weights = torch.cat([self.weights, share]) / (1 + weight)
        shown = tuple(_shown(picture).to(weights.device) for picture in pictures)
        return replace(self, pictures=(*self.pictures, *shown), weights=weights)

    def colours(self, share: float) -> Colours | None:
        """Those of the style pictures, in that share; None where there are none."""
        if not self.pictures:
            return None
        return Colours(palette(self.pictures, self.weights[len(self.prompts) :].tolist()), share)


def text_direction(
    clip: CLIP,
    prompts: Sequence[str],
    source_prompt: str = "photo",
    weights: Sequence[float] | None = None,
    templates: bool = False,
    pictures: Sequence[Tensor] = (),
    picture_weights: Sequence[float] | None = None,
) -> TextDirection:
    """Embed the source phrase and the target phrases, and take style pictures (3, H, W) in [-1, 1] along.

    The weights of all, 1 by default, are scaled to sum 1. Raises InputError for neither prompt nor picture, as many
    weights as prompts or pictures not given, a weight sum or a picture's weight that is not positive, and a picture
    that is too small.
    """
    if not prompts and not pictures:
        raise InputError(
            "No prompt was given. Say what the picture should become, e.g. 'a sketch with crayon', or give a style "
            "picture."
        )
    weights = [*_each("prompt", prompts, weights), *_each("style picture", pictures, picture_weights)]
    if any(prompt.strip() == source_prompt.strip() for prompt in prompts):
        raise InputError(f"The prompt {source_prompt!r} is what the picture is already; that gives no direction.")
    if not sum(weights) > 0:
        raise InputError(f"The prompt weights sum to {sum(weights)}; they need a sum above 0.")
    if not all(weight > 0 for weight in weights[len(prompts) :]):
        raise InputError("A style picture has a weight that is not above 0. Give 1, or leave the picture out.")
    share = torch.tensor(weights, dtype=torch.float32, device=clip.device) / sum(weights)
    sentences = [clip.sentences(phrase, templates) for phrase in (source_prompt, *prompts)]
    embedded = torch.stack([normalize(some, dim=-1).mean(0) if templates else some[0] for some in sentences])
    means = torch.stack([some.mean(0) for some in sentences])
    shown = tuple(_shown(picture).to(clip.device) for picture in pictures)
    return TextDirection(clip, embedded[0], embedded[1:], share, source_prompt, tuple(prompts), shown, means)


def _each(what: str, things: Sequence, weights: Sequence[float] | None) -> list[float]:
    """A weight for each thing. Raises InputError for another number of them."""
    weights = [1.0] * len(things) if not weights else list(weights)
    if len(weights) != len(things):
        raise InputError(f"{len(things)} {what}s have {len(weights)} weights; give one weight for each {what}.")
    return weights


def _shown(picture: Tensor) -> Tensor:
    """A style picture (3, H, W), shrunk where it is larger than patches need. Raises InputError for too small a one."""
    height, width = picture.shape[-2:]
    if min(height, width) < SMALLEST:
        raise InputError(f"The style picture is {width}x{height}; both sides need at least {SMALLEST} pixels.")
    scale = PICTURE_SIDE / min(height, width)
    if scale >= 1:
        return picture
    size = [round(side * scale) for side in picture.shape[-2:]]
    return interpolate(picture[None], size, mode="bilinear", antialias=True, align_corners=False)[0]
