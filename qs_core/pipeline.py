"""stylize(): pictures and a phrase in, restyled pictures and a report out. What the command line does, from Python."""

import platform
import statistics
import sys
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
from .features.clip import CLIP, TextDirection, load_clip, text_direction
from .losses.contrastive import BoundContrastive
from .model import DiffusionModel, load_model
from .randomness import batch_seeds, streams
from .samplers import Step
from .settings import Settings, choose_device, choose_dtype, make_terms
from .transfer import Inversion, begin, bind_terms, restyle, step_function

Progress = Callable[[str, int, int, Step], None]  # stage, steps done, steps in all, the step
Source = str | Path | Image.Image | Tensor


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
    """The loaded networks and the phrases' embeddings: what several runs can share."""

    model: DiffusionModel
    text: TextDirection


def stylize(
    images: Source | Sequence[Source], prompt: str | Sequence[str], *, progress: Progress | None = None, **options
) -> Restyled | list[Restyled]:
    """Restyle one picture or several; `options` are the fields of `Settings`.

    A picture is a path, a Pillow image or a (3, H, W) tensor in [-1, 1]. One picture with count 1 gives one `Restyled`,
    else a list, picture by picture, seed by seed (`seed`, `seed` + 1, …). A result does not depend on its neighbours.
    Raises InputError for bad input, NonFiniteError where sampling diverges.
    """
    single = isinstance(images, str | Path | Image.Image | Tensor)
    prompts = (prompt,) if isinstance(prompt, str) else tuple(prompt)
    try:
        settings = Settings(prompts=prompts, **options)
    except TypeError as error:
        raise InputError(f"{error}. The options are the fields of Settings.") from None
    results = list(run([images] if single else list(images), settings, progress))
    return results[0] if single and settings.count == 1 else results


def run(images: Sequence[Source], settings: Settings, progress: Progress | None = None) -> Iterator[Restyled]:
    """Restyle pictures one after the other, each with all its seeds as one batch."""
    if settings.count < 1:
        raise InputError(f"count {settings.count}: at least 1 is needed.")
    begun = time.perf_counter()
    opened = [_open(image) for image in images]  # every picture is checked before anything is computed
    networks = load(settings)
    seconds = {"load": time.perf_counter() - begun}
    for number, picture in enumerate(opened):
        yield from _restyle_one(picture, number, settings, networks, dict(seconds), progress)


def load(settings: Settings) -> Networks:
    """Load the U-Net and CLIP that the settings name, and embed the phrases."""
    device = choose_device(settings.device)
    clip = open_clip_by_name(settings.clip, settings.clip_pretrained, device)
    text = text_direction(clip, settings.prompts, settings.source_prompt, settings.prompt_weights, settings.templates)
    return Networks(load_model(settings.model, device=device, dtype=choose_dtype(settings.dtype)), text)


def open_clip_by_name(name: str, pretrained: str | None, device: torch.device | str) -> CLIP:
    """The built-in CLIP for "demo", else open_clip's."""
    return load_clip(str(demo.CLIP) if name == demo.NAME else name, pretrained, device=device)


def _open(image: Source) -> Tensor:
    """(1, 3, H, W) in [-1, 1]."""
    if isinstance(image, Image.Image):
        return pictures.from_image(image)[None]
    if isinstance(image, Tensor):
        if image.ndim != 3 or image.shape[0] != 3:
            raise InputError(f"A picture tensor has shape {tuple(image.shape)}; (3, height, width) is needed.")
        return image[None].float()
    return pictures.read(image)[None]


def default_size(model: DiffusionModel) -> int:
    """The short side when none is given: the training size; twice that for the small built-in network."""
    return model.image_size * (2 if model.image_size <= 64 else 1)


def _restyle_one(
    picture: Tensor, number: int, s: Settings, networks: Networks, seconds: dict, progress: Progress | None
) -> Iterator[Restyled]:
    model = networks.model
    begun = time.perf_counter()
    fitted, frame = pictures.fit(picture, s.size or default_size(model), model.multiple, s.fit)
    source = fitted.to(model.device).repeat(s.count, 1, 1, 1)
    schedule = model.schedule(s.steps)
    step = step_function(s.sampler, s.eta)
    terms = make_terms(s, model, networks.text, *source.shape[-2:])
    seeds = batch_seeds(s.seed, s.count)
    randomness = streams(seeds)

    for reached in begin(model, schedule, source, s.skip, s.start, randomness.start):
        _tell(progress, "inversion", reached.i, len(schedule) - s.skip, reached)
    inversion = Inversion(model, schedule, source, reached.x, reached.i)
    seconds["inversion"] = time.perf_counter() - begun
    bound = bind_terms(inversion, terms, randomness.losses)
    rows, times, last = [], [], time.perf_counter()
    for done in restyle(inversion, bound, step, randomness.noise):
        times.append(time.perf_counter() - last)
        rows.append({name: [round(v, 6) for v in values.tolist()] for name, values in done.losses.items()})
        _tell(progress, "sampling", inversion.start - done.i, inversion.start, done)
        last = time.perf_counter()
    seconds |= {"guided_step": statistics.median(times), "total": seconds["load"] + time.perf_counter() - begun}
    report = {
        "settings": asdict(s),
        "network_size": list(source.shape[-2:]),
        "versions": versions(),
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "peak_memory_bytes": peak_memory(model.device),
        "anchors": next((b.loss.describe() for b in bound if isinstance(b.loss, BoundContrastive)), []),
        "losses": rows,
    }
    finished = frame.restore(done.x, s.output_size).cpu()
    for index, seed in enumerate(seeds):
        mine = {**report, "settings": asdict(replace(s, seed=seed, count=1))}
        yield Restyled(finished[index], number, seed, mine)


def _tell(progress: Progress | None, stage: str, done: int, total: int, step: Step) -> None:
    if progress:
        progress(stage, done, total, step)


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    return {
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
