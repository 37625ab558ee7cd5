"""QSAttnGuidedSampler: from the noisy state back to a picture, bent towards the text and held to the content."""

import logging
from functools import partial

import torch
from einops import rearrange
from torch import Tensor

from ..qs_core import transfer
from ..qs_core.blend import BlendMap
from ..qs_core.losses import BY_KIND
from ..qs_core.losses.contrastive import ATTENTION
from ..qs_core.losses.layers import parse_layers
from ..qs_core.randomness import batch_seeds
from ..qs_core.samplers import walk_length
from ..qs_core.settings import Settings
from ..qs_core.stylizer import Progress, Stylizer, guidance_bytes
from .attentive import attentive
from .host import HOST
from .images import as_output
from .inference_mode import leaves_inference_mode
from .inversion import Inverted
from .losses import Losses, Recipe, networks
from .progress import Bar, say
from .text import Text
from .widgets import (
    CATEGORY,
    DEFAULTS,
    MAX_SEED,
    OPTION,
    STEADY,
    choice,
    flag,
    number,
    settings_of,
    verdict,
    whole,
    widgets,
    wire,
)

# What some losses' weights do beside the others, where all are on one node.
DIRECTIONAL = "Pull along the difference of the two phrases. Higher: more style; the steadier of the two."
CONTRASTIVE = "Hold on the content through the U-Net's features. Higher: shapes stay, style fades."
MSE = "Hold on the source's very pixels and colours. Higher: closer to the photo."
BLACK = (
    "The mask is black: the picture stays as it is. Load Image gives such a mask for a picture without transparency: "
    "unlink it to restyle everything, or paint the place white in MaskEditor."
)
RANGE = "Keeps colours within what a picture can show. Raise it where colours clip."


class QSAttnGuidedSampler:
    """QS_INVERSION and QS_TEXT → IMAGE."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Redraws the picture in the style of the text. At each step CLIP pulls towards the text, and a contrastive "
        "loss on the U-Net's own features holds the content at the places that attention selects (QS-Attn). A batch "
        "gives the same pictures as one by one: picture b (from 0) takes seed + b."
    )
    SEARCH_ALIASES = ["style transfer", "QS-Attn", "ZeCon", "guided sampler", "text style", "CLIP guidance", "restyle"]
    RETURN_TYPES = ("IMAGE", "IMAGE")
    RETURN_NAMES = ("IMAGE", "frames")
    OUTPUT_TOOLTIPS = (
        "The restyled picture, or batch of them.",
        "The way there, as frames_every sets: what the U-Net predicts after every so many steps, picture by picture, "
        "each ending with the result.",
    )
    FUNCTION = "sample"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "inversion": wire("QS_INVERSION", "The picture and its noisy state, from Invert Image."),
                "text": wire("QS_TEXT", "The style, from CLIP Text Direction."),
                "seed": whole(
                    DEFAULTS["seed"],
                    0,
                    MAX_SEED,
                    "Random numbers of noise, crops and random anchors: the same seed gives the same picture. Picture "
                    "b of a batch (from 0) takes seed + b.",
                    control_after_generate=True,
                ),
                "strength": number(
                    DEFAULTS["strength"],
                    0.0,
                    1.0,
                    0.05,
                    "How much of the style is let through: 1 all of it, lower less, 0 the very same picture.",
                    round=0.001,
                ),
                **widgets(OPTION["clip_directional"], tooltip=DIRECTIONAL, advanced=True),
                **widgets(OPTION["clip_global"], advanced=True),
                **widgets(OPTION["contrastive"], tooltip=CONTRASTIVE, advanced=True),
                **widgets(OPTION["mse"], tooltip=MSE, advanced=True),
                "sampler": choice(
                    transfer.SAMPLERS,
                    DEFAULTS["sampler"],
                    "ddpm adds fresh noise at each step, as the papers do: stronger styles. ddim adds as much as eta "
                    "says, none at eta 0: closer to the source.",
                    advanced=True,
                ),
                "preview_every": whole(1, 0, 1000, "Show the picture every so many steps; 0: never."),
            },
            "optional": {
                "losses": wire(
                    "QS_LOSSES",
                    "Losses from loss nodes or a style preset. One of a kind takes the place of this node's own of "
                    "that kind (clip, contrastive, mse, range); several of a kind add up.",
                ),
                "mask": wire(
                    "MASK",
                    "Where to restyle: white is redrawn, black stays untouched. Without it, everything. Load Image "
                    "gives a black mask for a picture that has none, and then nothing changes.",
                ),
                "feather": whole(
                    8,
                    0,
                    512,
                    "Width of the mask's soft edge in pixels of the picture that came in, within the white part. 0: "
                    "hard.",
                    advanced=True,
                ),
                **widgets(OPTION["anchors"], advanced=True),
                "output_size": choice(
                    ["network", "original"],
                    "original",
                    "original: the size of the picture that came in; what fit crop cut out is scaled to fit into that. "
                    "network: as the U-Net drew it.",
                    advanced=True,
                ),
                **widgets(OPTION["range"], tooltip=RANGE, advanced=True),
                "eta": number(
                    DEFAULTS["eta"],
                    0.0,
                    1.0,
                    0.05,
                    "Share of fresh noise in ddim: 0 none, 1 as much as ddpm. ddpm does not use it.",
                    advanced=True,
                ),
                **widgets(OPTION["crops"], advanced=True),
                **widgets(OPTION["crop_area"], advanced=True),
                **{k: v for option in ATTENTION for k, v in widgets(option, advanced=True).items()},
                "frames_every": whole(
                    0,
                    0,
                    1000,
                    "Keep what the U-Net predicts after every so many steps for the frames output, for a video or a "
                    "grid. 0: only the result.",
                    advanced=True,
                ),
                "through_unet": flag(
                    DEFAULTS["through_unet"],
                    "Guide by the gradient through the U-Net, as the papers do. Off: faster and with less memory, for "
                    "large networks on small GPUs; the picture is another, and weights may want another value.",
                    advanced=True,
                ),
                "style": number(
                    DEFAULTS["style"], 0.0, 4.0, 0.05, "How strongly the style pulls: 0 not at all, 2 twice as much."
                ),
                "content": number(
                    DEFAULTS["content"], 0.0, 4.0, 0.05, "How firmly the photo is held: its shapes and its colours."
                ),
                "trust_radius": number(
                    DEFAULTS["trust_radius"],
                    0.0,
                    10.0,
                    0.01,
                    "The largest guidance beside the noise, at each step. Smaller is calmer. 0: not bounded, as in the "
                    "papers, for their presets and networks.",
                    round=0.001,
                    advanced=True,
                ),
                "image": wire(
                    "IMAGE",
                    "The photo. Nothing is made of it: it goes on as the result where this node is bypassed (Ctrl+B).",
                ),
                "first_step_repeats": whole(
                    DEFAULTS["first_step_repeats"],
                    1,
                    100,
                    "Make the first step so often, noised again between, as DiffuseIT does (10): more change. With "
                    "ddpm alone.",
                    advanced=True,
                ),
                "restarts": whole(
                    DEFAULTS["restarts"],
                    0,
                    100,
                    "Begin anew with other noise, at most so often, where colours leave the range, as DiffuseIT does. "
                    "With start noised alone.",
                    advanced=True,
                ),
                "detail": number(
                    DEFAULTS["detail"],
                    0.0,
                    2.0,
                    0.05,
                    "How much of the photo's fine structure, which the U-Net is too small to see, goes into a result "
                    "of the original size: 0 none, 1 all of it.",
                    advanced=True,
                ),
                "steady": STEADY,
                "soft_clip": number(
                    DEFAULTS["soft_clip"],
                    0.0,
                    1.0,
                    0.05,
                    "How near to black and white a curve begins that brings back colours beyond them, so that shadows "
                    "and highlights keep their detail. 0: colours are cut off there, as in the papers.",
                    advanced=True,
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, attend=""):
        """ComfyUI blames every input that is named here; whether a crop's areas are a range `sample` says."""
        return verdict(parse_layers, attend)

    @leaves_inference_mode
    def sample(
        self,
        inversion: Inverted,
        text: Text,
        seed: int,
        preview_every: int,
        losses: Losses = (),
        mask: Tensor | None = None,
        feather: int = 8,
        frames_every: int = 0,
        image: Tensor | None = None,
        **inputs,
    ):
        others = {name: value for name, value in inputs.items() if name in DEFAULTS}
        given = {"colour_transfer": text.colour_transfer, **others, **settings_of(inputs)}
        settings = Settings(prompts=text.direction.prompts, **given)
        blend = inversion.blend(settings.strength, mask, feather)
        if mask is not None and not mask.any():
            say(BLACK)
        if blend.is_zero:
            same = _image(inversion.prepared.finish(inversion.inversion.source, blend, settings.output_size))
            return same, same
        films = restyle(inversion, text, merged(losses), settings, blend, seed, preview_every, frames_every)
        return torch.stack([film[-1] for film in films]), torch.cat(films)


def merged(losses: Losses) -> Losses:
    """Of each kind the losses of loss nodes, else a style preset's, else the sampler's own; VGG has none of these.

    In the order of LOSSES, so that a node with the sampler's own values changes nothing.
    """
    return tuple(recipe for kind in BY_KIND for recipe in _of_kind(kind, losses))


def _of_kind(kind: str, losses: Losses) -> Losses:
    given = [recipe for recipe in losses if recipe.kind == kind]
    nodes = [recipe for recipe in given if not recipe.preset]
    own = [] if BY_KIND[kind].load else [Recipe(kind, {})]
    return tuple(nodes or given or own)


def restyle(
    inverted: Inverted,
    text: Text,
    recipes: Losses,
    s: Settings,
    blend: BlendMap,
    seed: int,
    preview_every: int,
    frames_every: int,
) -> list[Tensor]:
    """A film (frames, H, W, 3) for each picture, the result last, in as few passes as memory allows."""
    inversion, frame = inverted.inversion, inverted.prepared.frame
    terms = [recipe.term(s, inversion, text) for recipe in recipes]
    others = {id(loaded): loaded for loaded in (text.clip, *networks(recipes))}
    steps = walk_length(inversion.start, s.first_step_repeats)
    bar, films = Bar(steps, len(inverted), preview_every), [[] for _ in range(len(inverted))]
    need = partial(
        guidance_bytes, inversion.model, terms, s.through_unet, height=inverted.size[0], width=inverted.size[1]
    )
    seeds, ratios = [seed] * len(inverted) if s.steady else batch_seeds(seed, len(inverted)), {}

    def look(reached: Progress) -> Tensor | None:
        shown = inverted.model.preview(reached.drawn)
        return None if shown is None else frame.restore(shown)

    def walk() -> None:
        walked = Stylizer(inverted.model.core, HOST, inversions=0).guide(inversion, terms, s, seeds, blend)
        for reached in attentive(walked, HOST, "QS-Attn Guided Sampler", (len(inverted), *inverted.size), need):
            rows, number = reached.rows, reached.number
            bar(rows, number, lambda reached=reached: look(reached))
            if number == 1:  # of a portion that begins anew as well
                films[rows] = [[] for _ in films[rows]]
            if reached.step.ratio is not None:
                ratios[rows.start, number] = reached.step.ratio
            if reached.last or (frames_every and number % frames_every == 0):
                colours = text.direction.colours(s.colour_transfer)
                shown = inverted.prepared.part(rows).finish(
                    reached.picture, blend.part(rows), s.output_size, colours, s.detail
                )
                for film, picture in zip(films[rows], _image(shown), strict=True):
                    film.append(picture)

    inverted.model.hold(walk, list(others.values()), need(len(inverted)), inverted.size)
    if ratios:
        told = " ".join(f"{float(ratio.mean()):.2f}" for _, ratio in sorted(ratios.items()))
        logging.info("QS: guidance beside the predicted noise, step by step, before trust_radius: %s", told)
    return [torch.stack(film) for film in films]


def _image(picture: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1] → a ComfyUI IMAGE."""
    return as_output(rearrange(picture, "b c h w -> b h w c").contiguous())
