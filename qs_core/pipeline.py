"""stylize(): pictures and a phrase in, restyled pictures and a report out. What the command line does, from Python."""

import hashlib
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import open_clip
import torch
from PIL import Image
from torch import Tensor

from . import demo, pictures
from .errors import InputError
from .features.clip import CLIP, TextDirection, text_direction
from .features.openclip import load_clip
from .features.vgg import VGG19, load_vgg
from .features.weights import Announce
from .losses.base import Term
from .losses.contrastive import BoundContrastive
from .model import DTYPES, DiffusionModel, load_model
from .modes import each_in_plain_mode, in_plain_mode
from .randomness import Generators, batch_seeds, streams
from .samplers import Step
from .settings import Settings, choose_clip_dtype, choose_device, choose_dtype, make_terms
from .transfer import Inversion, begin, bind_terms, count_steps, restyle, step_function

Progress = Callable[[str, int, int, Step], None]  # stage, steps done, steps in all, the step
State = tuple[Tensor, int]  # x_t (1, 3, H, W) and its number
Source = pictures.Source
VERSION = "0.1.0"
BATCH = 4  # seeds of one picture that are walked together


@dataclass(frozen=True)
class Restyled:
    """One result: (3, H, W) in about [-1, 1], the source's number, the seed, and the run's report."""

    picture: Tensor
    source: int
    seed: int
    report: dict

    @property
    def image(self) -> Image.Image:
        """The picture as an 8-bit Pillow image."""
        return pictures.to_image(self.picture)


@dataclass(frozen=True)
class Networks:
    """The loaded networks and the phrases' embeddings: what several pictures share."""

    model: DiffusionModel
    text: TextDirection
    vgg: VGG19 | None

    def without_text(self) -> "Networks":
        """The same without CLIP's text tower: the phrases are embedded."""
        return replace(self, text=replace(self.text, clip=self.text.clip.without_text()))


@dataclass(frozen=True)
class Job:
    """One picture, fitted (1, 3, H, W), with its frame and its terms: all that can be refused has been checked.

    `unchanged` (1, 3, h, w) is the result of a run that changes nothing, `dial` strength · mask for the walk, and
    `shown` the same at the result's size; both are 1 where there is nothing to be mixed.
    """

    number: int
    source: Tensor
    frame: pictures.Frame
    terms: tuple[Term, ...]
    unchanged: Tensor
    dial: float | Tensor
    shown: float | Tensor


def stylize(
    images: Source | Sequence[Source],
    prompt: str | Sequence[str],
    *,
    mask: Source | Sequence[Source] | None = None,
    progress: Progress | None = None,
    announce: Announce | None = None,
    keep: "Kept | None" = None,
    **options,
) -> Restyled | list[Restyled]:
    """Restyle one picture or several; `options` are the fields of `Settings`.

    A picture is a path, an open file, bytes, a Pillow image, a NumPy array (H, W, 3) of 8 or 16 bit or of floats in
    [0, 1], or a (3, H, W) tensor in [-1, 1]. One picture with count 1 gives one `Restyled`, else a list, picture by
    picture, seed by seed (`seed`, `seed` + 1, …). A result does not depend on its neighbours.
    `mask`, one for all pictures or one for each, is white where they are restyled and black where they stay as they
    are: any of these forms, (H, W) in [0, 1], of its picture's aspect. `announce` is given a sentence
    before each download that the chosen CLIP needs. `keep`, a `Kept` given to several calls, spares all but the first
    to load the same networks and to invert the same picture.
    Raises InputError for bad input, NonFiniteError where sampling diverges, MemoryShortage for want of memory.
    """
    single = pictures.is_one(images)
    try:
        settings = Settings(prompts=prompt, **options)
    except TypeError as error:
        raise InputError(f"{error}. The options are the fields of Settings.") from None
    masks = [] if mask is None else [mask] if pictures.is_one(mask) else list(mask)
    results = list(run([images] if single else list(images), settings, progress, masks, announce, keep))
    return results[0] if single and settings.count == 1 else results


@each_in_plain_mode
def run(
    images: Sequence[Source],
    settings: Settings,
    progress: Progress | None = None,
    masks: Sequence[Source] = (),
    announce: Announce | None = None,
    keep: "Kept | None" = None,
) -> Iterator[Restyled]:
    """Restyle pictures one after the other; every one is checked before the first is computed.

    `masks`: none, one for all pictures, or one for each. `keep` as in `stylize`.
    """
    begun = time.perf_counter()
    for image in images:
        pictures.size_of(image)  # before networks are loaded: what its head tells
    networks = keep.networks(settings, announce) if keep else load(settings, announce).without_text()
    keep = keep or Kept(inversions=1)
    short_side = None if masks else enough(settings, networks.model)
    opened = [pictures.take(image, short_side)[None] for image in images]
    fitting = _open_masks(masks, opened)
    pairs = enumerate(zip(opened, fitting, strict=True))
    jobs = [_prepare(number, picture, mask, settings, networks) for number, (picture, mask) in pairs]
    seconds = time.perf_counter() - begun
    for job in jobs:
        seeds = batch_seeds(settings.seed, settings.count)
        for first in range(0, len(seeds), BATCH):
            yield from _walk(job, seeds[first : first + BATCH], settings, networks, seconds, progress, keep)


@in_plain_mode
def load(s: Settings, announce: Announce | None = None) -> Networks:
    """Load the networks that the settings name, and embed the phrases, in float32 whatever the pictures are in."""
    device = choose_device(s.device)
    clip = open_clip_by_name(s.clip, s.clip_pretrained, device, announce)
    text = text_direction(clip, s.prompts, s.source_prompt, s.prompt_weights, s.templates)
    clip.network.visual.to(DTYPES[choose_clip_dtype(s.clip_dtype, clip, device)])
    model = load_model(s.model, device=device, dtype=choose_dtype(s.dtype), **(s.model_options or {}))
    if announce and model.doubt:
        announce(model.doubt)
    return Networks(model, text, load_vgg(s.vgg_weights, device=device) if s.vgg else None)


def open_clip_by_name(
    name: str, pretrained: str | Path | None, device: torch.device | str, announce: Announce | None = None
) -> CLIP:
    """The built-in CLIP for "demo", else open_clip's."""
    return load_clip(str(demo.CLIP) if name == demo.NAME else name, pretrained, device=device, announce=announce)


def _open_masks(masks: Sequence[Source], opened: Sequence[Tensor]) -> list[Tensor | None]:
    """(1, 1, H, W) in [0, 1] for each opened picture, of its size; None where there is no mask."""
    if not masks:
        return [None] * len(opened)
    if len(masks) not in (1, len(opened)):
        raise InputError(f"{len(opened)} pictures have {len(masks)} masks; give one for all or one for each.")
    each = masks if len(masks) == len(opened) else [masks[0]] * len(opened)
    return [_open_mask(mask, *picture.shape[-2:]) for mask, picture in zip(each, opened, strict=True)]


def _open_mask(mask: Source, height: int, width: int) -> Tensor:
    mask = pictures.take_mask(mask)
    fitting = pictures.mask_of(mask, height, width)
    if len(fitting) != 1:
        raise InputError(f"A mask tensor has shape {tuple(mask.shape)}; (height, width) is needed.")
    return fitting


def default_size(model: DiffusionModel) -> int:
    """The short side when none is given: the training size; twice that for the small built-in network."""
    return model.image_size * (2 if model.image_size <= 64 else 1)


def enough(s: Settings, model: DiffusionModel) -> int | None:
    """The short side of what the network sees of a picture; None where the result has the original's size."""
    return None if s.output_size == "original" else s.size or default_size(model)


def _prepare(number: int, picture: Tensor, mask: Tensor | None, s: Settings, networks: Networks) -> Job:
    model = networks.model
    fit = s.size or default_size(model), model.multiple, s.fit
    fitted, frame = pictures.fit(picture, *fit)
    dial = shown = s.strength
    if mask is not None:
        dial = s.strength * pictures.fit_mask(mask, *fit)
        shown = frame.source(s.strength * mask, dial, s.output_size).clamp(0, 1)
    count_steps(model.schedule(s.steps), s.skip, s.start)
    step_function(s.sampler, s.eta)
    terms = make_terms(s, model, networks.text, *fitted.shape[-2:], networks.vgg)
    unchanged = frame.source(picture, fitted, s.output_size).cpu()
    return Job(number, fitted.to(model.device), frame, terms, unchanged, dial, shown)


def _walk(
    job: Job,
    seeds: list[int],
    s: Settings,
    networks: Networks,
    load_seconds: float,
    progress: Progress | None,
    keep: "Kept",
) -> Iterator[Restyled]:
    model, randomness = networks.model, streams(seeds)
    clock = time.perf_counter()
    inversion = _invert(job, s, model, randomness.start, progress, keep)
    inverted = time.perf_counter()
    bound = bind_terms(inversion, job.terms, randomness.losses)
    economy, step = s.economy, step_function(s.sampler, s.eta)
    taken, times, last = [], [], time.perf_counter()
    for done in restyle(inversion, bound, step, randomness.noise, job.dial, economy, s.shortcuts):
        taken.append(done.losses)  # read at the end: reading waits for the device
        times.append(time.perf_counter() - last)
        _tell(progress, "sampling", inversion.start - done.i, inversion.start, done)
        last = time.perf_counter()
    seconds = {
        "total": load_seconds + last - clock,
        "load": load_seconds,
        "inversion": inverted - clock,
        "guided_step": statistics.median([each for each, row in zip(times, taken, strict=True) if row] or times),
    }
    report = {
        "resolved": {
            **_resolved(inversion, networks.text.clip),
            "masked": _masked(job, s),
            "economy": economy.describe(),
        },
        "versions": versions(),
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "peak_memory_bytes": peak_memory(model.device),
        "anchors": next((b.loss.describe() for b in bound if isinstance(b.loss, BoundContrastive)), []),
        "losses": [{name: [round(v, 6) for v in values.tolist()] for name, values in row.items()} for row in taken],
    }
    finished = _finish(job, done.x, s.output_size)
    for index, seed in enumerate(seeds):
        settings = asdict(replace(s, seed=seed, count=1))
        yield Restyled(finished[index], job.number, seed, {"settings": settings, **report})


def _finish(job: Job, x: Tensor, output_size: str) -> Tensor:
    """(B, 3, h, w) on the CPU: the walk's picture at the wished size, the source itself where nothing was to change."""
    finished = job.frame.restore(x, output_size).cpu()
    if not isinstance(job.shown, Tensor) and job.shown == 1:
        return finished
    return pictures.composite(finished, job.unchanged, pictures.coverage(job.shown))


def _masked(job: Job, s: Settings) -> float | None:
    """The share of the picture that a mask lets change; None without a mask, or where strength lets nothing change."""
    if not isinstance(job.shown, Tensor) or not s.strength:
        return None
    return round(float(job.shown.mean()) / s.strength, 4)


def _invert(
    job: Job, s: Settings, model: DiffusionModel, randomness: Generators, progress: Progress | None, keep: "Kept"
) -> Inversion:
    """The start of all seeds. Only the noised one differs between them; the others are made once."""
    schedule, count = model.schedule(s.steps), len(randomness)
    source = job.source.repeat(count, 1, 1, 1)
    from_source = source if s.start == "noised" else job.source
    total = count_steps(schedule, s.skip, s.start)

    def walk() -> State:
        for number, reached in enumerate(begin(model, schedule, from_source, s.skip, s.start, randomness), 1):
            _tell(progress, "inversion", number, total, reached)
        return reached.x, reached.i

    x, start = walk() if s.start == "noised" else keep.state(job.source, model, s, walk)
    return Inversion(model, schedule, source, x.expand_as(source).contiguous(), start)


class Kept:
    """What several calls of `stylize` share: the networks of one choice of them, and the latest inversions."""

    def __init__(self, inversions: int = 32):
        self.inversions = inversions
        self._lock = threading.RLock()
        self._choice, self._networks, self._states = None, None, {}

    def networks(self, s: Settings, announce: Announce | None = None) -> Networks:
        """Those of the settings, loaded unless they are the same as before, and the settings' phrases embedded."""
        with self._lock:
            return self._networks_of(s, announce)

    def _networks_of(self, s: Settings, announce: Announce | None) -> Networks:
        names = ("model", "model_options", "clip", "clip_pretrained", "vgg_weights", "device", "dtype", "clip_dtype")
        choice = repr([(name, getattr(s, name)) for name in names] + [bool(s.vgg)])
        if choice != self._choice:
            self._states.clear()
            self._choice, self._networks = None, None  # before others are loaded: both would be held
            self._choice, self._networks = choice, load(s, announce)
            return self._networks
        text = text_direction(self._networks.text.clip, s.prompts, s.source_prompt, s.prompt_weights, s.templates)
        return replace(self._networks, text=text)

    def state(self, source: Tensor, model: DiffusionModel, s: Settings, walk: Callable[[], State]) -> State:
        """Where walks of the picture (1, 3, H, W) begin, by `walk` unless it is known."""
        pixels = hashlib.sha256(source.cpu().contiguous().numpy().tobytes()).digest()
        key = pixels, tuple(source.shape), id(model), s.steps, s.skip, s.start
        with self._lock:
            return self._state_of(key, walk)

    def _state_of(self, key: tuple, walk: Callable[[], State]) -> State:
        if key not in self._states:
            while len(self._states) >= self.inversions:
                del self._states[next(iter(self._states))]
            self._states[key] = walk()
        return self._states[key]


def _tell(progress: Progress | None, stage: str, done: int, total: int, step: Step) -> None:
    if progress is not None:
        progress(stage, done, total, step)


def _resolved(inversion: Inversion, clip: CLIP) -> dict:
    """What the automatic settings came to, and which of the model's values were guessed."""
    model = inversion.model
    height, width = inversion.source.shape[-2:]
    return {
        "device": str(model.device),
        "dtype": str(model.network.dtype).removeprefix("torch."),
        "clip_dtype": str(clip.dtype).removeprefix("torch."),
        "width": width,
        "height": height,
        "noise_schedule": model.noise,
        "variance": model.variance,
        "guessed": list(model.guessed),
    }


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    return {
        "qs_core": VERSION,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "open_clip": open_clip.__version__,
        "platform": platform.platform(),
    }


def peak_memory(device: torch.device) -> int | None:
    """Bytes: the accelerator's peak where one is used, else the process's; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
