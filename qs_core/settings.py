"""Every setting of one run, with its default, and the terms it asks for."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial

import torch

from . import values
from .anchors import Anchors, Attention
from .crops import Crops
from .errors import InputError
from .features.clip import CLIP, TextDirection
from .features.tower import readable
from .features.vgg import VGG19
from .guidance import Economy, Shortcuts
from .losses.base import Term
from .losses.clip import CLIPLoss, Late
from .losses.perceptual import VGGContent
from .losses.pixel import MSE, Range
from .model import DTYPES, DiffusionModel
from .pictures import OUTPUT_SIZES
from .transfer import content_term

REFERENCE_AREA = 256 * 256  # the picture size at which weights are quoted
TERMS = ("clip", "contrastive", "mse", "range", "vgg")  # the kinds of terms


@dataclass(frozen=True)
class Settings:
    """Weights are quoted at 256x256 pixels, as the papers do, and rescaled to the picture's size.

    Deviation: the defaults were chosen by eye on the built-in models. ZeCon's command (DDPM, CLIP 10 000 and 20 000,
    contrastive 500, MSE 5000, VGG 100, crops of 1 to 30 %) redraws fine content there, as its fresh noise is resolved
    by a U-Net that has seen few pictures; DDIM with half the noise keeps it.
    """

    prompts: tuple[str, ...]
    prompt_weights: tuple[float, ...] = ()
    source_prompt: str = "photo"
    templates: bool = False
    model: str = "demo"
    model_options: dict | None = None  # of `load_model`: what the checkpoint's shapes cannot tell, and class_label
    clip: str = "demo"
    clip_pretrained: str | None = None
    size: int | None = None  # short side; the model's training size if None, twice that for the built-in one
    fit: str = "pad"
    output_size: str = "network"
    steps: str = "50"
    skip: int = 25
    start: str = "inverted"
    sampler: str = "ddim"
    eta: float = 0.5
    strength: float = 1.0  # the dial from 0, the source itself, to 1
    anchors: str = "global"
    num_anchors: int | None = None  # 256, at most a quarter of each map
    attend: tuple[int, ...] | str | None = None  # resolutions, "all", or the two deepest
    attention_scale: str = "cosine"
    attention_temperature: float = 0.07
    contrastive: float = 300.0
    clip_global: float = 2500.0
    clip_directional: float = 7000.0
    crops: int = 32
    crop_area: tuple[float, float] = (0.05, 0.3)
    mse: float = 4000.0
    vgg: float = 0.0
    vgg_weights: str | None = None  # a file; torchvision's cache if None
    range: float = 50.0
    seed: int = 0  # None: a new one by chance, which the report tells
    count: int = 1
    device: str = "auto"
    dtype: str = "auto"
    clip_dtype: str = "auto"  # of CLIP's image tower; see `choose_clip_dtype`
    # What saves memory and leaves the picture as it is but for rounding.
    crops_at_once: int | None = None  # whose activations CLIP holds; all of a picture's if None
    recompute: bool = False  # the U-Net's activations: one more forward a step
    # What saves time and changes the picture.
    crops_late: int | None = None  # crops in the second half of the walk; as many as before if None
    guide_every: int = 1  # steps from one that is guided to the next
    through_unet: bool = True  # false: guidance by the gradient at x0, not pulled back through the U-Net

    @property
    def economy(self) -> Economy:
        """How memory is spared from the first step on; a new one each time, since it grows."""
        return Economy(at_once=self.crops_at_once, recompute=self.recompute)

    @property
    def shortcuts(self) -> Shortcuts:
        """What guidance leaves out."""
        return Shortcuts(self.through_unet, self.guide_every)

    def __post_init__(self):
        """Take the obvious types for the stated ones, and refuse what needs no network to be refused."""
        give = partial(object.__setattr__, self)  # the usual way in a frozen dataclass
        give("prompts", values.phrases(self.prompts))
        give("prompt_weights", values.numbers("prompt_weights", self.prompt_weights))
        give("steps", str(self.steps))
        give("attend", parse_attend(self.attend))
        give("crop_area", values.numbers("crop_area", self.crop_area))
        give("seed", values.seed(self.seed))
        for setting in fields(self):
            give(setting.name, values.plain(setting.name, getattr(self, setting.name), setting.type))
        if not 0 <= self.strength <= 1:  # false for NaN as well
            raise InputError(f"strength {self.strength}: 0 (the source) to 1 (the full style) is needed.")
        for name in ("count", "guide_every", "crops_at_once", "crops_late"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}: at least 1 is needed.")
        if self.output_size not in OUTPUT_SIZES:
            raise InputError(f"Output size {self.output_size!r} is unknown; choose one of {', '.join(OUTPUT_SIZES)}.")


def parse_attend(attend: Sequence[int] | int | str | None) -> tuple[int, ...] | str | None:
    """Which layers attend: None (the two deepest) for nothing, "all", or resolutions from 32, (32, 16) or "32,16".

    Raises InputError for anything else.
    """
    attend = attend.strip().lower() if isinstance(attend, str) else attend
    if attend in (None, "", "all"):
        return attend or None
    try:
        parts = attend.split(",") if isinstance(attend, str) else [attend] if isinstance(attend, int) else attend
        return tuple(int(part) for part in parts)
    except (TypeError, ValueError):
        raise InputError(f"attend {attend!r} is not understood; give resolutions such as 32,16, or all.") from None


def choose_device(name: str) -> torch.device:
    """The torch device; "auto" is CUDA where there is one. Raises InputError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except Exception as error:  # a backend that is not there can fail in any way
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"Device {name!r} is not available here ({told[0].split('. ')[0][:120]}). Use --device cpu."
        ) from error
    return device


def choose_dtype(name: str) -> str:
    """The dtype of the U-Net's torso by name; "auto" is float32 everywhere."""
    if name not in ("auto", *DTYPES):
        raise InputError(f"dtype {name!r} is unknown; choose auto, {', '.join(DTYPES)}.")
    return "float32" if name == "auto" else name


def choose_clip_dtype(name: str, clip: CLIP, device: torch.device) -> str:
    """The dtype of CLIP's image tower by name. "auto" is bfloat16 for a vision transformer on a device that has
    instructions for it: faster, and with the built-in CLIP no eye can tell the pictures apart; else float32."""
    if name != "auto":
        return choose_dtype(name)
    return "bfloat16" if readable(clip.network.visual) and computes_bfloat16(device) else "float32"


def computes_bfloat16(device: torch.device) -> bool:
    """Whether an x86 CPU or a CUDA GPU has instructions for bfloat16, as far as torch tells. Emulated, it is slower
    than float32; of other devices nothing is known here."""
    if device.type == "cuda":
        return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):  # an older torch does not tell
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def choose_anchors(
    model: DiffusionModel,
    height: int,
    width: int,
    kind: str,
    number: int | None = None,
    attend: Sequence[int] | str | None = None,
    attention: Attention = Attention(),  # noqa: B008 - frozen
) -> Anchors:
    """Anchors for pictures of one size. `attend` names layers by resolution, the short side of their map.

    Raises InputError for a resolution that no layer has, and for more anchors than any layer has positions.
    """
    factors = [layer.factor for layer in model.content_layers()]
    if number is not None and number > height * width:
        raise InputError(
            f"{number} anchors: the largest map of a {width}x{height} picture has {height * width} positions."
        )
    resolutions = [min(height, width) // factor for factor in factors]
    if attend is None:
        chosen = range(len(factors) - 2, len(factors))
    elif attend == "all":
        chosen = range(len(factors))
    else:
        missing = [r for r in attend if r not in resolutions]
        if missing:
            there = ", ".join(str(r) for r in dict.fromkeys(resolutions))
            raise InputError(f"No layer has resolution {missing[0]}; at {width}x{height} there are {there}, or all.")
        chosen = [k for k, r in enumerate(resolutions) if r in attend]
    return Anchors(kind, number or 256, frozenset(chosen), attention)


def make_terms(
    s: Settings, model: DiffusionModel, text: TextDirection, height: int, width: int, vgg: VGG19 | None = None
) -> tuple[Term, ...]:
    """The terms of a run on pictures of one size. A mean over pixels or crops pulls each pixel 256²/(H·W) times harder
    on a small picture; the weights are scaled back by H·W/256²."""
    kinds = TERMS if vgg else TERMS[:-1]
    return tuple(make_term(kind, s, model, text, height, width, vgg) for kind in kinds)


def make_term(
    kind: str, s: Settings, model: DiffusionModel, text: TextDirection, height: int, width: int, vgg: VGG19 | None
) -> Term:
    """One of `make_terms`, by its name in TERMS; "vgg" needs the network."""
    scale = height * width / REFERENCE_AREA
    if kind == "clip":
        weights = {"clip_global": scale * s.clip_global, "clip_directional": scale * s.clip_directional}
        return Term(weights, CLIPLoss(text, Crops(s.crops, s.crop_area), _late(s, model)))
    if kind == "contrastive":
        attention = Attention(s.attention_scale, s.attention_temperature)
        anchors = choose_anchors(model, height, width, s.anchors, s.num_anchors, s.attend, attention)
        return content_term(model, scale * s.contrastive, anchors)
    losses = {"mse": MSE, "range": Range, "vgg": lambda: VGGContent(vgg)}
    return Term(scale * getattr(s, kind), losses[kind]())


def _late(s: Settings, model: DiffusionModel) -> Late | None:
    """The crops of the walk's second half, from the state in its middle on; None where they are as many as before."""
    if s.crops_late is None:
        return None
    schedule = model.schedule(s.steps)
    middle = (len(schedule) - s.skip) // 2
    return Late(s.crops_late, int(schedule.timesteps[middle]) + 1)
