"""The papers' settings and the built-in styles, by name, as keyword arguments of `Settings`.

ZeCon's weights of each style are those that a fork of its code (mac-mvak/ZeCon, params/*.json) transcribed, very likely
from table 5 of the paper (arXiv 2303.08622). They were set for its two U-Nets at 256 pixels and OpenAI's ViT-B/16: with
other networks they are a start. A preset names no network, size or device: those stay the caller's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from .errors import InputError

README, IMAGENET, FFHQ = "ZeCon README", "Table 5, ImageNet", "Table 5, FFHQ"
DIFFUSEIT, BUILT_IN = "DiffuseIT README", "built-in"


@dataclass(frozen=True)
class Preset:
    """Settings by name: the phrases, what differs from the defaults of `Settings`, and where that is from."""

    name: str
    prompt: str
    source_prompt: str
    overrides: dict
    source: str
    note: str = ""

    def settings(self) -> dict:
        """Keyword arguments of `Settings`, a new dict each time."""
        prompts = (self.prompt,) if self.prompt else ()
        return {"prompts": prompts, "source_prompt": self.source_prompt, **self.overrides}


# What ZeCon's code does whatever the style: DDIM inversion taken as noise, DDPM back, anchors anywhere.
ZECON = {
    "steps": "50",
    "start": "zecon",
    "sampler": "ddpm",
    "eta": 0.0,
    "anchors": "random",
    "crops": 32,
    "range": 50.0,
    "mse_chroma": 1.0,
    "trust_radius": 0.0,
    "soft_clip": 0.0,
}


def _zecon(name: str, prompt: str, source: str, row: Sequence[float], note: str = "") -> Preset:
    """One row of the table: CLIP global, CLIP directional, contrastive, MSE, VGG, largest crop, skip."""
    clip_global, clip_directional, contrastive, mse, vgg, largest, skip = row
    weights = {
        "clip_global": float(clip_global),
        "clip_directional": float(clip_directional),
        "contrastive": float(contrastive),
        "mse": float(mse),
        "vgg": float(vgg),
    }
    return Preset(name, prompt, "Photo", {**ZECON, **weights, "crop_area": (0.01, largest), "skip": skip}, source, note)


# Columns as in `_zecon`.
IMAGENET_ROWS = {
    "mosaic": (20_000, 20_000, 500, 1000, 100, 0.3, 25),
    "golden": (5000, 5000, 100, 5000, 10, 0.05, 15),
    "watercolor art": (5000, 10_000, 300, 0, 100, 0.3, 25),
    "stained glasses": (15_000, 15_000, 200, 1000, 10, 0.05, 25),
    "oil painting of flowers": (20_000, 20_000, 1500, 10_000, 10, 0.05, 25),
    "red bricks": (20_000, 40_000, 1000, 1000, 10, 0.05, 25),
    "wooden": (20_000, 50_000, 1000, 1000, 10, 0.05, 25),
    "leather": (20_000, 30_000, 2000, 20_000, 200, 0.3, 25),
    "marbling": (20_000, 30_000, 2000, 20_000, 200, 0.3, 25),
    "autumn": (20_000, 20_000, 700, 10_000, 100, 0.05, 25),
    "snow": (20_000, 20_000, 700, 10_000, 100, 0.05, 25),
}
FFHQ_ROWS = {
    "pop art": (10_000, 20_000, 50, 1000, 50, 0.3, 25),
    "stone wall": (2000, 50_000, 500, 5000, 10, 0.1, 25),
    "tanned face": (15_000, 15_000, 1000, 10_000, 100, 0.3, 25),
    "clay": (40_000, 40_000, 1000, 10_000, 0, 0.05, 25),
    "portrait by Gogh": (10_000, 7000, 10, 3000, 50, 0.3, 25),
    "a sketch with crayon": (10_000, 20_000, 500, 10_000, 100, 0.3, 25),
    "3d render in the style of Pixar": (5000, 5000, 500, 10_000, 100, 0.3, 25),
    "golden": (7000, 7000, 200, 0, 50, 0.05, 15),
    "ukiyo-e": (8000, 20_000, 1000, 5000, 100, 0.3, 25),
    "marbling": (20_000, 40_000, 1000, 10_000, 10, 0.3, 25),
}
# The fork's history has another version of its FFHQ file, in which these differ.
OTHERWISE = {
    "stone wall": "Another version of the fork's file has skip 15.",
    "tanned face": "Another version of the fork's file has MSE 1000.",
    "a sketch with crayon": "Another version of the fork's file has MSE 1000.",
    "golden": "Another version of the fork's file has skip 25.",
}


# What DiffuseIT's commands for phrases and for pictures share. Its walk begins one state below ours: skip is its own 40
# or 80 and one more.
DIFFUSEIT_WALK = {
    "start": "noised",
    "sampler": "ddpm",
    "first_step_repeats": 10,
    "restarts": 5,
    "clip_directional": 0.0,
    "clip_global": 0.0,
    "crops": 8,
    "crop_area": (0.8, 1.0),
    "augmentation": "diffuseit",
    "vit_structure": 1000.0,
    "vit_contrastive": 200.0,
    "vit_divergence": 100.0,
    "contrastive": 0.0,
    "mse": 0.0,
    "range": 200.0,
    "trust_radius": 0.0,
    "soft_clip": 0.0,
}
OF_DIFFUSEIT = (
    "It reads DINO's ViT (--vit and its weights), for which the guiding CLIP's own transformer stands in, and several "
    "CLIPs together. It begins anew without end. For faces it adds identity 100 and restart_above 0.0005. On the "
    "built-in networks little of the photo is left: there take start inverted, sampler ddim, trust_radius 0.1, "
    "first_step_repeats 1 and restarts 0."
)


def _papers() -> list[Preset]:
    readme = _zecon(
        "a sketch with crayon (ZeCon README)", "a sketch with crayon", README, (10_000, 20_000, 500, 5000, 100, 0.3, 25)
    )
    by_phrase = Preset(
        "Black Leopard (DiffuseIT)",
        "Black Leopard",
        "Lion",
        {**DIFFUSEIT_WALK, "steps": "100", "skip": 41, "templates": True, "clip_target": 2000.0, "vit_regularize": 2.0},
        DIFFUSEIT,
        OF_DIFFUSEIT,
    )
    by_picture = Preset(
        "a picture (DiffuseIT)",
        "",
        "photo",
        {**DIFFUSEIT_WALK, "steps": "200", "skip": 81, "vit_style": 2000.0, "style_pixels": 3000.0}
        | {"colour_transfer": 1.0},
        DIFFUSEIT,
        f"Give it a style picture. {OF_DIFFUSEIT}",
    )
    imagenet = [_zecon(f"{prompt} (ImageNet)", prompt, IMAGENET, row) for prompt, row in IMAGENET_ROWS.items()]
    ffhq = [
        _zecon(f"{prompt} (FFHQ)", prompt, FFHQ, row, OTHERWISE.get(prompt, "")) for prompt, row in FFHQ_ROWS.items()
    ]
    return [readme, *imagenet, *ffhq, by_phrase, by_picture]


STYLES = {  # that the built-in CLIP knows, each by a phrase
    "crayon": "a sketch with crayon",
    "golden": "golden",
    "watercolor": "water painting",
    "wooden": "wooden",
    "bricks": "red bricks",
    "pencil": "a pencil sketch",
    "mosaic": "mosaic",
    "neon": "neon lights",
    "oil": "an oil painting",
    "ink": "an ink drawing",
    "stained glass": "stained glass",
    "van gogh": "a van gogh painting",
    "pastel": "a pastel drawing",
    "charcoal": "a charcoal drawing",
    "ukiyo e": "a ukiyo e print",
    "marbling": "marbling",
    "pop art": "pop art",
    "comic": "a comic book",
    "stone wall": "a stone wall",
    "leather": "leather",
    "autumn": "autumn",
    "snow": "snow",
    "clay": "clay",
    "vintage photo": "a vintage photo",
    "pixel art": "pixel art",
    "cyberpunk": "cyberpunk",
}


def _built_in() -> list[Preset]:
    return [Preset(name, phrase, "photo", {}, BUILT_IN) for name, phrase in STYLES.items()]


PRESETS: dict[str, Preset] = {preset.name: preset for preset in [*_built_in(), *_papers()]}


def preset(name: str) -> dict:
    """Keyword arguments of `Settings` for a preset. Raises InputError, listing near names, for one there is not."""
    if name not in PRESETS:
        folded = {other.lower(): other for other in PRESETS}
        wish = name.strip().lower()
        near = [folded[key] for key in folded if wish and wish in key]
        near += [folded[key] for key in get_close_matches(wish, folded, n=5) if folded[key] not in near]
        advice = f"near it are {', '.join(near[:8])}" if near else f"there are {', '.join(PRESETS)}"
        raise InputError(f"There is no preset {name!r}; {advice}.")
    return PRESETS[name].settings()
