"""Trained styles: QSFineTuneStyle makes one, QSLoadStyle takes one from a file, QSApplyStyle restyles by them."""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from ..qs_core import finetune
from ..qs_core.errors import InputError
from ..qs_core.features.clip import text_direction
from ..qs_core.pictures import OUTPUT_SIZES
from ..qs_core.styles import Style, Weight, fingerprint, load, parse_weight
from ..qs_core.stylizer import Stylizer
from .folders import STYLE_FOLDER, new_style_path, style_names, style_path
from .host import HOST, Loaded, bring, manage
from .images import as_output, from_image, to_image
from .inference_mode import leaves_inference_mode
from .inversion import Inverted
from .progress import Bar
from .text import Text
from .widgets import CATEGORY, MAX_SEED, STEADY, choice, flag, number, text, verdict, whole, wire

DEFAULTS = finetune.Training(("",))


@dataclass(frozen=True)
class Chosen:
    """A style on a QS_STYLES wire, a tuple of such: its network, its weight, and its base's fingerprint."""

    model: Loaded
    weight: Weight
    base: str

    @property
    def patcher(self) -> object | None:
        """By it ComfyUI's cache sees that this holds a network."""
        return self.model.patcher


Styles = tuple[Chosen, ...]


def chosen(style: Style, weight: str, base: Loaded) -> Chosen:
    """The style under ComfyUI's memory management."""
    return Chosen(manage(style.model), parse_weight(weight), fingerprint(base.core))


class QSFineTuneStyle:
    """QS_MODEL, IMAGE and QS_TEXT → QS_STYLES, and a file."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Trains a style on a handful of pictures (DiffusionCLIP). Once, in minutes; Apply Style then restyles any "
        "picture in seconds, without CLIP. The style is a small file. Cancel keeps what is there, and the same "
        "settings go on from it."
    )
    SEARCH_ALIASES = ["DiffusionCLIP", "train style", "LoRA training", "finetune", "fine-tuning"]
    RETURN_TYPES = ("QS_STYLES", "IMAGE")
    RETURN_NAMES = ("styles", "samples")
    OUTPUT_TOOLTIPS = ("The style, for Apply Style.", "The training pictures as they were drawn last.")
    FUNCTION = "train"

    @classmethod
    def INPUT_TYPES(cls):
        d = DEFAULTS
        return {
            "required": {
                "model": wire("QS_MODEL", "The U-Net of Load Pixel Diffusion Model, in float32. A copy is trained."),
                "images": wire("IMAGE", "A handful of photos, such as eight, of the kind to be restyled."),
                "text": wire("QS_TEXT", "The style, from CLIP Text Direction."),
                "name": text(
                    "my_style", f"The name of the file in models/{STYLE_FOLDER}; one of this name is replaced."
                ),
                "epochs": whole(d.epochs, 1, 1000, "How often each picture is trained on. More changes more."),
                "rank": whole(
                    d.rank, 0, 256, "Size of the difference that is trained. 0: all weights, as in the paper."
                ),
                "l1": number(d.l1, 0.0, 100.0, 0.1, "How firmly the pictures are held. Higher: closer to the photos."),
                "start": whole(
                    d.start, 10, 999, "The noise up to which pictures are inverted, of 999. Higher changes more."
                ),
                "seed": whole(d.seed, 0, MAX_SEED, "Random numbers of the training: the same seed, the same style."),
                "preview_every": whole(1, 0, 1000, "Show the picture of every so many iterations; 0: never."),
            },
            "optional": {
                "size": whole(
                    0, 0, 1024, "Side of the squares in pixels. 0: the network's training size.", step=8, advanced=True
                ),
                "learning_rate": number(
                    0.0,
                    0.0,
                    0.1,
                    1e-5,
                    f"Adam's. 0: {finetune.LOW_RANK_RATE:g}, or {finetune.FULL_RATE:g} for all weights.",
                    round=1e-7,
                    advanced=True,
                ),
                "growth": number(
                    d.growth, 0.5, 2.0, 0.05, "Factor of the learning rate from one epoch to the next.", advanced=True
                ),
                "crops": whole(
                    d.crops, 0, 256, "Pieces that CLIP sees of a picture. 0: the whole picture.", advanced=True
                ),
                "points": whole(d.points, 2, 50, "Steps of the walk that is trained.", advanced=True),
                "stepwise": flag(
                    d.stepwise, "Train at each step by itself: less memory, another result.", advanced=True
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, name=None):
        return verdict(new_style_path, name)

    @leaves_inference_mode
    def train(
        self,
        model: Loaded,
        images: Tensor,
        text: Text,
        name: str,
        preview_every: int,
        size: int = 0,
        learning_rate: float = 0.0,
        **settings,
    ):
        path, said = new_style_path(name), text.direction
        s = finetune.Training(
            said.prompts,
            said.source_prompt,
            tuple(float(weight) for weight in said.weights),
            size=size or None,
            learning_rate=learning_rate or None,
            **settings,
        )
        taken = finetune.squares(list(from_image(images) * 2 - 1), s.size, model.core)
        graphs = 1 if s.stepwise else s.points
        bring([model, text.clip], graphs * model.core.graph_bytes(1, *taken.shape[-2:]))
        clip = text.clip.core
        direction = text_direction(clip, s.prompts, s.source_prompt, s.prompt_weights, templates=True)
        training = finetune.FineTuning(model.core, taken, s.terms(direction), s, path.with_suffix(""), HOST)
        bar, drawn = Bar(training.total, 1, preview_every), taken.clone()
        walk = finetune.run(training, path)
        try:
            while True:
                done = next(walk)
                drawn[done.index] = done.picture
                bar(slice(0, 1), done.number, lambda done=done: done.picture[None])
        except StopIteration as end:
            return (chosen(end.value, "1", model),), to_image(drawn)
        finally:
            walk.close()


class QSLoadStyle:
    """A style's file → QS_STYLES."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Takes a trained style from its file: of this pack, or a fine-tuned U-Net of DiffusionCLIP. Several in a chain "
        "are mixed."
    )
    SEARCH_ALIASES = ["load style", "DiffusionCLIP", "load LoRA", "trained style"]
    RETURN_TYPES = ("QS_STYLES",)
    RETURN_NAMES = ("styles",)
    OUTPUT_TOOLTIPS = ("This style and those that came in, for Apply Style or the next Load Style.",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls):
        names = style_names()
        return {
            "required": {
                "model": wire("QS_MODEL", "The U-Net that the style was trained on; any other is refused."),
                "style_name": choice(
                    names, names[0], f"The style. The first are built in; others come from models/{STYLE_FOLDER}."
                ),
                "weight": text(
                    "1",
                    "Its share beside other styles: a number, or several over the walk, as the help page shows.",
                ),
            },
            "optional": {"styles": wire("QS_STYLES", "Further styles, to be mixed with this one.")},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, style_name=None, weight=None):
        told = verdict(style_path, style_name)
        return verdict(parse_weight, weight) if told is True else told

    @leaves_inference_mode
    def load(self, model: Loaded, style_name: str, weight: str, styles: Styles = ()):
        return ((*styles, chosen(load(style_path(style_name), model.core), weight, model)),)


class QSApplyStyle:
    """QS_INVERSION and QS_STYLES → IMAGE."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Redraws the picture by trained styles, without CLIP and without guidance: in a fraction of the time. Take the "
        "style's own spacing in Invert Image, 500:10 for those trained with the defaults, with skip 1."
    )
    SEARCH_ALIASES = ["apply style", "DiffusionCLIP", "trained style", "fast style transfer"]
    RETURN_TYPES = ("IMAGE",)
    OUTPUT_TOOLTIPS = ("The restyled picture, or batch of them.",)
    FUNCTION = "apply"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "inversion": wire("QS_INVERSION", "The picture and its noisy state, from Invert Image."),
                "styles": wire("QS_STYLES", "The styles, from Load Style or Fine-tune Style."),
                "strength": number(
                    1.0,
                    0.0,
                    1.0,
                    0.05,
                    "The styles' share of each prediction; the rest is the photo's own network. 0: the very picture.",
                    round=0.001,
                ),
                "points": whole(6, 2, 1000, "Steps of the walk back. More is finer and slower."),
                "preview_every": whole(1, 0, 1000, "Show the picture every so many steps; 0: never."),
            },
            "optional": {
                "mask": wire("MASK", "Where to restyle: white is redrawn, black stays untouched."),
                "feather": whole(8, 0, 512, "Width of the mask's soft edge in pixels. 0: hard.", advanced=True),
                "output_size": choice(
                    OUTPUT_SIZES[::-1],
                    "original",
                    "original: the size of the picture that came in. network: as the U-Net drew it.",
                    advanced=True,
                ),
                "steady": STEADY,
            },
        }

    @leaves_inference_mode
    def apply(
        self,
        inversion: Inverted,
        styles: Styles,
        strength: float,
        points: int,
        preview_every: int,
        mask: Tensor | None = None,
        feather: int = 8,
        output_size: str = "original",
        steady: float = 0.0,
    ):
        blend, core = inversion.blend(strength, mask, feather), inversion.model.core
        if any(style.base != fingerprint(core) for style in styles):
            raise InputError("A style was trained on another network than Invert Image has. Link the same to both.")
        memory = inversion.inversion.model.walk_bytes(len(inversion), *inversion.size)
        bring([inversion.model, *(style.model for style in styles)], memory)
        frame, bar, done = inversion.prepared.frame, Bar(points, len(inversion), preview_every), []
        walk = Stylizer(core, HOST, inversions=0).redraw(
            inversion.inversion, [(style.model.core, style.weight) for style in styles], blend, points, steady
        )
        for reached in walk:
            bar(reached.rows, reached.number, lambda reached=reached: frame.restore(reached.picture))
            if reached.last:
                part = inversion.prepared.part(reached.rows)
                done.append(part.finish(reached.picture, blend.part(reached.rows), output_size))
        return (as_output(rearrange(torch.cat(done), "b c h w -> b h w c").contiguous()),)
