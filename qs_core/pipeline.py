"""stylize(): pictures and a phrase in, restyled pictures and a report out. What the command line does, from Python."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from . import pictures
from .errors import InputError
from .features.weights import Announce
from .losses.base import Term
from .modes import each_in_plain_mode
from .moving.steady import Before, of_size
from .networks import Networks, load
from .protocol import Model
from .randomness import batch_seeds
from .report import Log
from .samplers import Step
from .settings import Settings, make_terms
from .stylizer import Stylizer, complete, require_restarts
from .tiles import default_size, tiled
from .transfer import count_steps, step_function

Tell = Callable[[str, int, int, Step], None]  # stage, steps done, steps in all, the step
Source = pictures.Source


@dataclass(frozen=True)
class Restyled:
    """One result: (3, H, W) in about [-1, 1], the source's number, the seed, and the run's report.

    `frame` is what the next frame of a sequence is held to; None where `steady` is 0.
    """

    picture: Tensor
    source: int
    seed: int
    report: dict
    frame: Before | None = None

    @property
    def image(self) -> Image.Image:
        """The picture as an 8-bit Pillow image."""
        return pictures.to_image(self.picture)


Draw = Callable[[int, Source, Source | None, Tell | None, Before | None], Restyled]  # as `drawer` gives it


def stylize(
    images: Source | Sequence[Source],
    prompt: str | Sequence[str] = (),
    *,
    mask: Source | Sequence[Source] | None = None,
    progress: Tell | None = None,
    announce: Announce | None = None,
    stylizer: Stylizer | None = None,
    **options,
) -> Restyled | list[Restyled]:
    """Restyle one picture or several; `options` are the fields of `Settings`.

    A picture is a path, an open file, bytes, a Pillow image, a NumPy array (H, W, 3) of 8 or 16 bit or of floats in
    [0, 1], or a (3, H, W) tensor in [-1, 1]. One picture with count 1 gives one `Restyled`, else a list, picture by
    picture, seed by seed (`seed`, `seed` + 1, …). A result does not depend on its neighbours.
    `mask`, one for all pictures or one for each, is white where they are restyled and black where they stay as they
    are: any of these forms, (H, W) in [0, 1], of its picture's aspect. `announce` is given a sentence
    before each download that the chosen CLIP needs. A `stylizer` given to several calls loads the same networks once
    and inverts the same picture once. `style_images` among the options are pictures of any form whose style is taken,
    beside or in place of a prompt.
    Raises InputError for bad input, NonFiniteError where sampling diverges, MemoryShortage for want of memory.
    """
    single = pictures.is_one(images)
    try:
        settings = Settings(prompts=prompt, **options)
    except TypeError as error:
        raise InputError(f"{error}. The options are the fields of Settings.") from None
    masks = [] if mask is None else [mask] if pictures.is_one(mask) else list(mask)
    results = list(run([images] if single else list(images), settings, progress, masks, announce, stylizer))
    return results[0] if single and settings.count == 1 else results


@each_in_plain_mode
def run(
    images: Sequence[Source],
    settings: Settings,
    progress: Tell | None = None,
    masks: Sequence[Source] = (),
    announce: Announce | None = None,
    stylizer: Stylizer | None = None,
) -> Iterator[Restyled]:
    """Restyle pictures one after the other. Each is opened when its turn comes.

    Before the first is computed, all is refused that settings, networks and the files' headers tell. `masks`: none, one
    for all pictures, or one for each. `stylizer` as in `stylize`.
    """
    begun = time.perf_counter()
    masks = take_masks(masks, len(images))
    sizes = {pictures.size_of(image) for image in images}
    for mask in dict.fromkeys(mask for mask in masks if isinstance(mask, str | Path)):
        pictures.size_of(mask)
    networks = stylizer.load(settings, announce) if stylizer else load(settings, announce).without_text()
    stylizer = stylizer or Stylizer(networks.model, inversions=1)
    refuse(sizes, settings, networks)
    seconds = time.perf_counter() - begun
    before = None
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        for result in restyle_one(number, image, mask, settings, networks, stylizer, seconds, progress, before):
            before = result.frame
            yield result


def drawer(s: Settings, size: tuple[int, int], announce: Announce | None = None) -> Draw:
    """draw(number, frame, mask, progress, before) → the result of one frame after another of a (height, width).

    Raises InputError for settings that cannot be.
    """
    if s.count > 1:
        raise InputError(f"count {s.count}: of each frame there is one result. Give 1.")
    networks = load(s, announce).without_text()
    stylizer = Stylizer(networks.model, inversions=1)
    refuse({size}, s, networks)

    def draw(number: int, frame: Source, mask: Source | None, progress: Tell | None, before: Before | None) -> Restyled:
        return next(restyle_one(number, frame, mask, s, networks, stylizer, 0.0, progress, before))

    return draw


def restyle_one(
    number: int,
    image: Source,
    mask: Source | None,
    s: Settings,
    networks: Networks,
    stylizer: Stylizer,
    load_seconds: float,
    progress: Tell | None,
    before: Before | None = None,
) -> Iterator[Restyled]:
    """The results of one picture, seed by seed, each portion as it is done. With `steady` it is the frame after
    `before`, unless that one has another size."""
    short_side = s.size or default_size(networks.model) if mask is None and s.output_size == "network" else None
    original, seeds = pictures.take(image, short_side)[None], batch_seeds(s.seed, s.count)
    prepared = stylizer.prepare(original, s.size, s.fit)
    blend = prepared.blend(s.strength, open_mask(mask, *original.shape[-2:]))
    log = Log(s, load_seconds)
    sources = prepared.source.expand(len(seeds), -1, -1, -1)

    def tell(stage: str, reached) -> None:
        if progress is not None:
            progress(stage, reached.number, reached.total, reached.step)

    invert = stylizer.invert(sources, s.steps, s.skip, s.start, seeds, s.tile, s.dequantize)
    inversion = complete(invert, lambda reached: tell("inversion", reached))
    log.inverted()
    terms = _terms(s, networks, inversion.model, *prepared.source.shape[-2:])
    for reached in stylizer.guide(inversion, terms, s, seeds, blend, of_size(before, prepared.source)):
        log.add(reached)
        tell("sampling", reached)
        if reached.last:
            shown = blend.shown(prepared.frame, s.output_size)
            report = log.report(inversion, networks.text.clip, reached, shown)
            drawn = reached.picture.cpu()
            finished = prepared.finish(drawn, blend, s.output_size, networks.text.colours(s.colour_transfer), s.detail)
            for k, seed in enumerate(seeds[reached.rows]):
                frame = Before(prepared.source, drawn[k : k + 1]) if s.steady else None
                yield Restyled(finished[k], number, seed, log.with_settings(report, seed), frame)


def refuse(sizes: set[tuple[int, int]], s: Settings, networks: Networks) -> None:
    """Raises InputError for settings of the walk, and pictures of these sizes (height, width), that cannot be."""
    count_steps(networks.model.schedule(s.steps), s.skip, s.start)
    step_function(s.sampler, s.eta, s.first_step_repeats)
    short = s.size or default_size(networks.model)
    fitted = {pictures.fitted_size(*size, short, networks.model.multiple, s.fit) for size in sizes}
    for size in fitted:
        terms = _terms(s, networks, tiled(networks.model, s.tile, *size), *size)
        if s.restarts:
            require_restarts(s.start == "noised", terms)


def _terms(s: Settings, networks: Networks, model: Model, height: int, width: int) -> tuple[Term, ...]:
    return make_terms(s, model, networks.text, height, width, networks.of_losses, networks.more)


def take_masks(masks: Sequence[Source], count: int) -> list[Source | None]:
    """The mask of each picture; None where there is none."""
    if not masks:
        return [None] * count
    if len(masks) not in (1, count):
        raise InputError(f"{count} pictures have {len(masks)} masks; give one for all or one for each.")
    return list(masks) if len(masks) == count else [masks[0]] * count


def open_mask(mask: Source | None, height: int, width: int) -> Tensor | None:
    """(1, 1, H, W) in [0, 1] for a picture of that size."""
    if mask is None:
        return None
    mask = pictures.take_mask(mask)
    fitting = pictures.mask_of(mask, height, width)
    if len(fitting) != 1:
        raise InputError(f"A mask tensor has shape {tuple(mask.shape)}; (height, width) is needed.")
    return fitting
