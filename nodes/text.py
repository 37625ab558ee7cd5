"""CLIPTextDirection: what the picture is and what it should become. QSPromptList: several such, one by one."""

from dataclasses import dataclass

import torch

from ..qs_core.errors import InputError
from ..qs_core.features.clip import TextDirection, text_direction
from .host import Loaded, bring
from .inference_mode import leaves_inference_mode
from .widgets import CATEGORY, DEFAULTS, flag, parse_prompts, text, verdict, wire


@dataclass(frozen=True)
class Text:
    """What a QS_TEXT wire carries: the phrases' embeddings and the style pictures, kept on the CPU, the CLIP that made
    them, and how far a result takes on the pictures' colours."""

    direction: TextDirection
    clip: Loaded
    colour_transfer: float = DEFAULTS["colour_transfer"]

    @property
    def patcher(self) -> object | None:
        """By it ComfyUI's cache sees that this holds a network."""
        return self.clip.patcher

    def on(self, device: torch.device) -> TextDirection:
        """The direction with its tensors on a device."""
        return self.direction.on(device)


class CLIPTextDirection:
    """Phrases → QS_TEXT."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Says what the picture is and what it should become. The style is the difference of the two phrases in CLIP's "
        "eyes, so name the style and leave the content out: photo → a sketch with crayon."
    )
    SEARCH_ALIASES = ["style prompt", "text prompt", "clip text encode", "directional clip", "StyleGAN-NADA"]
    RETURN_TYPES = ("QS_TEXT",)
    RETURN_NAMES = ("text",)
    OUTPUT_TOOLTIPS = ("The direction from the source phrase to the target, for QS-Attn Guided Sampler.",)
    FUNCTION = "encode"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "clip": wire("QS_CLIP", "The CLIP of Load OpenCLIP."),
                "prompt": text(
                    "a sketch with crayon",
                    "What the picture should become. Several styles are mixed: one a line, with ::weight behind it if "
                    "they shall not count alike (a line ::2 counts twice one without).",
                    multiline=True,
                    placeholder="a style in words, e.g. a sketch with crayon",
                ),
                "source_prompt": text(
                    DEFAULTS["source_prompt"], "What the picture is now; photo fits most.", placeholder="e.g. photo"
                ),
                "templates": flag(
                    DEFAULTS["templates"],
                    "Average each phrase over 80 sentences such as 'a bad photo of …', as some papers do: steadier, "
                    "but slower to start. Off suits style phrases.",
                ),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, prompt=None):
        """ComfyUI blames every input that is named here; what is wrong with source_prompt `encode` says."""
        return refused(prompt) or True

    @leaves_inference_mode
    def encode(self, clip: Loaded, prompt: str, source_prompt: str, templates: bool):
        if reason := refused(prompt) or refused_source(source_prompt):
            raise InputError(reason)
        bring([clip])
        prompts, weights = parse_prompts(prompt)
        direction = text_direction(clip.core, prompts, source_prompt, weights, templates)
        return (Text(direction.on(torch.device("cpu")), clip),)


def refused(prompt: str | None) -> str | None:
    """Why the text of a prompt widget cannot be meant, or None."""
    if prompt is None:
        return None
    try:
        phrases, _ = parse_prompts(prompt)
    except InputError as error:
        return str(error)
    return None if phrases else "The prompt is empty. Write a phrase such as: a sketch with crayon."


def refused_source(phrase: str | None) -> str | None:
    """Why the text of a source_prompt widget cannot be meant, or None."""
    if phrase is None or (phrase.strip() and "::" not in phrase):
        return None
    if not phrase.strip():
        return "The source_prompt is empty. Write a phrase such as: photo."
    return f"The source_prompt {phrase!r} has a weight; it is one phrase and takes none. Leave out ::."


class QSPromptList:
    """Lines → a list of STRING, so that what follows runs once a line."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Several prompts, one a line. Link prompts to CLIP Text Direction, and everything after it runs once for each: "
        "several prompts make several pictures, from one inversion. Link labels to Compare Grid."
    )
    SEARCH_ALIASES = [
        "prompt list",
        "several prompts",
        "multiple styles",
        "batch prompts",
        "prompt schedule",
        "xy plot",
    ]
    RETURN_TYPES = ("STRING", "STRING")
    RETURN_NAMES = ("prompts", "labels")
    OUTPUT_TOOLTIPS = ("The prompts, one after the other.", "What each is called, for Compare Grid.")
    OUTPUT_IS_LIST = (True, True)
    FUNCTION = "split"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "lines": text(
                    "a sketch with crayon\nwatercolor art\ngolden\nstained glass",
                    "One prompt a line; empty lines are left out. Styles divided by | are mixed, each with ::weight if "
                    "wished. What stands before = and a blank is the label: gold = golden::2 | oil painting.",
                    multiline=True,
                    placeholder="one style a line, e.g. a sketch with crayon",
                )
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, lines=None):
        return verdict(parse_list, lines)

    def split(self, lines: str):
        pairs = parse_list(lines)
        return [prompt for prompt, _ in pairs], [label for _, label in pairs]


def parse_list(lines: str) -> list[tuple[str, str]]:
    """The prompt, one phrase a line, and the label of each line. Raises InputError where there is none."""
    pairs = []
    for line in (line.strip() for line in lines.splitlines()):
        label, mark, phrases = f"{line} ".partition(" = ")
        label, phrases = (label, phrases) if mark else ("", line)
        if line:
            prompt = "\n".join(part.strip() for part in phrases.split("|") if part.strip())
            if refused(prompt):
                raise InputError(f"In the line {line!r}: {refused(prompt)}")
            pairs.append((prompt, label.strip() or phrases.strip()))
    if not pairs:
        raise InputError("The prompt list is empty. Write one prompt a line, such as: a sketch with crayon.")
    return pairs
