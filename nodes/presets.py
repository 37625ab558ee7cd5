"""QSStylePreset: the weights of a style by name, as losses that the user can still change."""

from collections.abc import Collection
from dataclasses import replace

from ..qs_core.losses import LOSSES
from ..qs_core.presets import PRESETS, preset
from .inference_mode import leaves_inference_mode
from .losses import Losses, Recipe, checked, losses_input
from .losses import vgg as load_vgg
from .widgets import CATEGORY, DEFAULTS, choice, flag, number, verdict

# The weights that each of a preset's dials multiplies.
STYLE, CONTENT, OTHERS = (
    tuple(name for loss in LOSSES for name, its in loss.roles.items() if its == role)
    for role in ("style", "content", "")
)
CARRIED = {"prompts", "source_prompt", *(name for loss in LOSSES for name in loss.names)}


class QSStylePreset:
    """A style's name → its phrases, losses and steps."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "The weights of a style by name: the built-in styles, and those of the ZeCon paper, which were set for its own "
        "networks at 256 pixels. Two dials change them. Link prompts to CLIP Text Direction and losses to the sampler; "
        "summary says what to set by hand, such as steps and skip of Invert Image."
    )
    SEARCH_ALIASES = ["preset", "style", "ZeCon weights", "recommended settings", "watercolor", "mosaic", "sketch"]
    RETURN_TYPES = ("STRING", "STRING", "QS_LOSSES", "INT", "INT", "STRING")
    RETURN_NAMES = ("prompt", "source_prompt", "losses", "steps", "skip", "summary")
    OUTPUT_TOOLTIPS = (
        "What the picture should become, for CLIP Text Direction.",
        "What it is now, for CLIP Text Direction.",
        "The style's losses, for the sampler.",
        "Steps to the noise, for Invert Image. Better typed in there: linked, it inverts anew after any change here.",
        "Steps to leave out, for Invert Image. Better typed in there: linked, it inverts anew after any change here.",
        "The weights and their origin, and what the style sets on other nodes, to read with Preview Any.",
    )
    FUNCTION = "choose"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "style_name": choice(
                    list(PRESETS),
                    next(iter(PRESETS)),
                    "The first ones are the built-in styles. ImageNet and FFHQ are ZeCon's two networks, whose weights "
                    "differ by far.",
                ),
                "style": number(1.0, 0.0, 4.0, 0.05, "Multiplies the CLIP weights. Higher: more style."),
                "content": number(
                    1.0, 0.0, 4.0, 0.05, "Multiplies the contrastive, MSE and VGG weights. Higher: more of the photo."
                ),
                "vgg": flag(
                    False,
                    "Take the paper's VGG loss along. It needs torchvision's VGG-19 weights on this machine; without "
                    "it edges and texture are held a little less.",
                ),
            },
            "optional": {
                "losses": losses_input(
                    "One of a kind takes the place of this style's own, as does one that is added after it."
                )
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, style_name=None):
        return verdict(preset, style_name)

    @leaves_inference_mode
    def choose(self, style_name: str, style: float, content: float, vgg: bool, losses: Losses = ()):
        settings = preset(style_name)
        weights = {name: style * settings.get(name, DEFAULTS[name]) for name in STYLE}
        weights |= {name: content * settings.get(name, DEFAULTS[name]) for name in CONTENT}
        given = {recipe.kind for recipe in losses}
        chosen = (*recipes({**settings, **weights}, vgg, without=given), *losses)
        steps, skip = int(settings.get("steps", DEFAULTS["steps"])), settings.get("skip", DEFAULTS["skip"])
        said = summary(style_name, {**settings, **weights}, vgg)
        return "\n".join(settings["prompts"]), settings["source_prompt"], chosen, steps, skip, said


def recipes(settings: dict, vgg: bool, without: Collection[str] = ()) -> Losses:
    """One recipe for each kind of loss whose settings are given, but for those kinds `without`; VGG where it is wished
    and weighs anything."""
    made = []
    for loss in (loss for loss in LOSSES if loss.kind not in without):
        its = checked(loss.kind, {name: settings[name] for name in loss.names if name in settings})
        if loss.kind == "vgg":
            made += [Recipe(loss.kind, its, network=load_vgg())] if vgg and its.get("vgg") else []
        elif not loss.load or any(its.get(name) for name in loss.weights):
            made += [Recipe(loss.kind, its)] if its else []
    return tuple(replace(recipe, preset=True) for recipe in made)


def summary(name: str, settings: dict, vgg: bool) -> str:
    """What the style is made of, a line each."""
    chosen = PRESETS[name]
    told = (key for key in (*STYLE, *CONTENT, *OTHERS) if settings.get(key) or key in chosen.overrides)
    weights = [f"{key} {settings[key]:g}" for key in told]
    if settings["vgg"] and not vgg:
        weights[weights.index(f"vgg {settings['vgg']:g}")] += " (left out: turn vgg on)"
    elsewhere = [f"{key} {value}" for key, value in settings.items() if key not in CARRIED]
    lines = [
        f"{chosen.name}: {chosen.source_prompt} -> {chosen.prompt} ({chosen.source})",
        f"weights: {', '.join(weights)}",
        f"set on the other nodes: {', '.join(elsewhere)}" if elsewhere else "the other nodes: as they are",
        chosen.note,
    ]
    return "\n".join(line for line in lines if line)
