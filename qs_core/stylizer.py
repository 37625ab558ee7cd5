"""Read this first. Stylizer: prepare → invert → guide → finish, the one walk that every caller goes through.

Moves take and give pictures (B, 3, H, W) of one size on the CPU. `invert` and `guide` are generators: the caller owns
progress, preview and cancel. Batches are walked in portions that fit into memory.
"""

import hashlib
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from . import networks, pictures
from .blend import BlendMap
from .colour import Colours, soft_clip
from .detail import add_detail
from .errors import InputError
from .features.weights import Announce
from .guidance import BoundTerm, Guidance, bind
from .host import LOCAL, Host
from .losses.base import Term
from .losses.pixel import Range
from .memory import MemoryPolicy, in_portions
from .moving.steady import Before, steadied
from .networks import Networks
from .pictures import Frame
from .protocol import Model
from .randomness import named
from .samplers import Step, ddim_step, sample, walk_length
from .settings import Settings
from .styles import Weight, mixed
from .tiles import Tiled, default_size, tiled
from .transfer import Inversion, begin, count_steps, restyle, step_function
from .trust_region import TrustRegion, texture

Result = TypeVar("Result")


@dataclass(frozen=True)
class Prepared:
    """Fitted pictures: `source` (B, 3, H, W) in [-1, 1], the originals, and how each becomes the other.

    `original` is in [-1, 1], or in [0, 1] where `unit`; so is what `finish` gives, to the last bit of the original.
    `fitting` is what `pictures.fit` was given: short side, multiple, mode.
    """

    original: Tensor
    source: Tensor
    frame: Frame
    fitting: tuple[int, int, str]
    unit: bool = False

    def __len__(self) -> int:
        return len(self.source)

    def part(self, rows: slice) -> "Prepared":
        """That of some pictures of the batch."""
        return replace(self, original=self.original[rows], source=self.source[rows])

    def blend(self, strength: float, mask: Tensor | None = None) -> BlendMap:
        """Strength times a mask (1 or B, 1, H, W) of the originals' size; None for everywhere."""
        if mask is None:
            return BlendMap(strength, strength)
        return BlendMap(strength * mask, strength * pictures.fit_mask(mask, *self.fitting))

    def finish(
        self, drawn: Tensor, blend: BlendMap, output_size: str, colours: Colours | None = None, detail: float = 0.0
    ) -> Tensor:
        """(B, 3, h, w) of what was drawn at the network's size: the original itself where the blend map is 0.

        `colours` are given to it in the share of the blend map; `detail` is how much fine structure of the original
        goes into a result of its size.
        """
        drawn = drawn.detach().float().cpu()
        if colours:
            drawn = colours.give(drawn, self.source, blend.fitted)
        result, fitted = self.frame.restore(drawn, output_size), self.source
        if detail and output_size == "original":
            low = [self.frame.restore(picture).float().cpu() for picture in (drawn, self.source)]
            original = self.frame.source(self.original * 2 - 1 if self.unit else self.original, fitted, output_size)
            result = add_detail(result, *low, original, detail)
        if self.unit:
            result, fitted = ((result + 1) / 2).clamp(0, 1), (fitted + 1) / 2
        source = self.frame.source(self.original, fitted, output_size).clamp(0 if self.unit else -1, 1)
        return pictures.composite(result, source, blend.coverage(self.frame, output_size))


@dataclass(frozen=True)
class Progress:
    """A step of the pictures `rows`: its number, from 1, of `total`. A portion that ran out of memory begins anew."""

    rows: slice
    number: int
    total: int
    step: Step
    model: Model
    policy: MemoryPolicy
    terms: Sequence[BoundTerm] = ()
    soft_clip: float = 0.0

    @property
    def last(self) -> bool:
        """Whether these pictures are done."""
        return self.number == self.total

    @property
    def drawn(self) -> Tensor:
        """(B, C, h, w): the clean states predicted on the way, at the end the result's."""
        return self.step.x if self.last else self.step.x0

    @property
    def picture(self) -> Tensor:
        """(B, 3, H, W) as they look now, by `soft_clip`: the predicted ones on the way, at the end the result."""
        with torch.no_grad():
            return soft_clip(self.model.to_picture(self.drawn), self.soft_clip)


def complete(walk: Generator[Progress, None, Result], tell: Callable[[Progress], None] | None = None) -> Result:
    """Run a move to its end, tell of each step, and give its result."""
    while True:
        try:
            reached = next(walk)
        except StopIteration as end:
            return end.value
        if tell:
            tell(reached)


class Stylizer:
    """Loaded networks and cached inversions, and the moves with them on a host.

    The model is given, or is that of the settings by `load`. `inversions` is how many inverted states are cached.
    """

    def __init__(self, model: Model | None = None, host: Host = LOCAL, inversions: int = 32):
        self.model, self.host, self.inversions = model, host, inversions
        self._choice, self._networks, self._cache, self._lock = None, None, {}, threading.RLock()

    def load(self, s: Settings, announce: Announce | None = None) -> Networks:
        """The settings' networks, loaded unless they are the same as before, and their phrases embedded.

        Threads may share what is loaded, as long as all name the same networks.
        """
        with self._lock:
            return self._load(s, announce)

    def _load(self, s: Settings, announce: Announce | None) -> Networks:
        choice = networks.choice(s)
        if choice == self._choice:
            return self._networks.reading(s)
        self._choice = self._networks = self.model = None  # before others are loaded: both would be held
        self._cache.clear()
        self._networks, self._choice = networks.load(s, announce), choice
        self.model = self._networks.model
        return self._networks

    def prepare(self, original: Tensor, size: int | None, fit: str, unit: bool = False) -> Prepared:
        """Fit pictures (B, 3, H, W) of one size to the model. Raises InputError for what `pictures.fit` refuses."""
        fitting = size or default_size(self.model), self.model.multiple, fit
        source, frame = pictures.fit(original * 2 - 1 if unit else original, *fitting)
        return Prepared(original, source, frame, fitting, unit)

    def invert(
        self,
        source: Tensor,
        spacing: str,
        skip: int,
        start: str,
        seeds: Sequence[int],
        tile: int | None = None,
        dequantize: bool = True,
    ) -> Generator[Progress, None, Inversion]:
        """Walk to the noisy states where sampling begins. A picture that stands twice, or is cached, is walked once.

        The `rows` of the progress count the pictures that are walked. Large pictures are seen in windows, by `tiled`;
        so they are on the way back, as the inversion has the model.
        """
        model, schedule = tiled(self.model, tile, *source.shape[-2:]), self.model.schedule(spacing)
        total = count_steps(schedule, skip, start)
        keys = [(b,) for b in range(len(source))]
        if self.inversions and start != "noised":
            keys = [(_digest(one), id(self.model), tile, spacing, skip, start, dequantize) for one in source]
        known = {key: self._cache[key] for key in keys if key in self._cache}
        fresh = [b for b, key in enumerate(keys) if key not in known and key not in keys[:b]]

        def walk(rows: slice, policy: MemoryPolicy) -> Iterator[Progress]:
            part, generators = source[fresh[rows]].to(model.device), named([seeds[b] for b in fresh[rows]], "start")
            steps = begin(model, schedule, part, skip, start, generators, dequantize)
            for number, step in enumerate(steps, 1):
                yield Progress(rows, number, total, step, model, policy)

        for progress in self._portions(source[fresh], model.walk_bytes, walk, partial(MemoryPolicy, self.host)):
            yield progress
            if progress.last:
                known |= zip((keys[b] for b in fresh[progress.rows]), progress.step.x.cpu(), strict=True)
        if self.inversions and start != "noised":
            self._cache = dict(list({**self._cache, **known}.items())[-self.inversions :])  # the oldest go first
        reached = len(schedule) - skip - (start == "zecon")
        with torch.no_grad():
            clean = model.to_state(source)
        gain = model.gain(clean.to(model.device))
        gain = None if gain is None else gain.cpu()
        x_t = torch.stack([known[key] for key in keys])
        return Inversion(model, schedule, source, x_t, reached, clean, gain, noised=start == "noised")

    def guide(
        self,
        inversion: Inversion,
        terms: Sequence[Term],
        s: Settings,
        seeds: Sequence[int],
        blend: BlendMap,
        before: Before | None = None,
    ) -> Generator[Progress, None, Tensor]:
        """Walk from the inversion back to pictures (B, 3, H, W), guided by the terms; of the settings it takes how.

        With `steady` the pictures are the frames of a sequence, after the frame `before`: they are walked one after the
        other, each held to the one before.

        The terms' tensors are on the model's device. With `restarts` a picture begins anew, with other noise, where the
        range loss of a step is above `restart_above`, so many times at most; the last try is taken as it comes.
        Raises InputError for restarts of a walk that does not begin at plain noise, or has no range loss.
        """
        step, done = step_function(s.sampler, s.eta, s.first_step_repeats), []
        if s.restarts:
            require_restarts(inversion.noised, terms)

        def walk(rows: slice, policy: MemoryPolicy) -> Iterator[Progress]:
            part, its_seeds = inversion.part(rows).on(inversion.model.device), seeds[rows]
            noise, its_blend = named(its_seeds, "noise"), blend.part(rows).fitted
            others, total = named(its_seeds, "restart"), walk_length(part.start, s.first_step_repeats)
            its_step = step
            if s.steady:
                its_step = steadied(step, part, _frame_before(inversion, rows, done, before), s.steady)
            smoothed = s.trust_radius and s.plain_below
            fine = texture(part.source, s.plain_below, *part.x_t.shape[-2:]) if smoothed else None
            for left in range(s.restarts, -1, -1):
                bound = bind(terms, part.source, its_seeds, part.clean)
                guidance = Guidance(
                    part.model,
                    part.schedule,
                    bound,
                    policy,
                    s.through_unet,
                    s.guidance_interval,
                    part.start,
                    part.gain,
                )
                guide = guidance
                if s.trust_radius:
                    guide = TrustRegion(guidance, part.schedule, s.style * s.trust_radius, fine)
                steps = restyle(part, its_step, guide, noise, its_blend, s.first_step_repeats)
                for number, reached in enumerate(steps, 1):
                    if left and number > s.first_step_repeats and _left_range(reached, s.restart_above):
                        break
                    yield Progress(rows, number, total, reached, part.model, policy, bound, s.soft_clip)
                else:
                    return
                part = part.drawn_anew(others)

        estimate = partial(guidance_bytes, inversion.model, terms, s.through_unet)
        policy = partial(MemoryPolicy, self.host, s.crop_chunk, s.gradient_checkpointing)
        for progress in self._portions(inversion.source, estimate, walk, policy, singly=s.restarts > 0 or s.steady > 0):
            yield progress
            if progress.last:
                done.append(progress.picture.cpu())
        return torch.cat(done)

    def redraw(
        self,
        inversion: Inversion,
        styles: Sequence[tuple[Model, Weight]],
        blend: BlendMap,
        points: int | None = None,
        steady: float = 0.0,
        before: Before | None = None,
    ) -> Generator[Progress, None, Tensor]:
        """Walk from the inversion back to pictures (B, 3, H, W) by the predictions of fine-tuned styles, unguided.

        The blend map is the styles' share of the prediction. `points` of the walk, those of the inversion if None.
        With `steady` the pictures are the frames of a sequence, as `guide` takes them.
        """
        model, schedule, start, done = inversion.model, inversion.schedule, inversion.start, []
        if isinstance(model, Tiled):
            styles = [(replace(model, model=tuned), weight) for tuned, weight in styles]
        if points is not None:
            schedule, start = model.schedule(f"{schedule.timesteps[start]}:{points}"), points - 1
        inversion = replace(inversion, schedule=schedule, start=start)

        def walk(rows: slice, policy: MemoryPolicy) -> Iterator[Progress]:
            part, share = inversion.part(rows).on(model.device), blend.part(rows).fitted
            step = ddim_step()
            if steady:
                step = steadied(step, part, _frame_before(inversion, rows, done, before), steady, last=0)
            guide = mixed(model, schedule, styles, share)
            for number, reached in enumerate(sample(model, schedule, part.x_t, start, step, guide, last=0), 1):
                yield Progress(rows, number, start + 1, reached, model, policy)

        policy = partial(MemoryPolicy, self.host)
        for progress in self._portions(inversion.source, model.walk_bytes, walk, policy, singly=steady > 0):
            yield progress
            if progress.last:
                done.append(progress.picture.cpu())
        return torch.cat(done)

    def _portions(
        self,
        source: Tensor,
        estimate: Callable[[int, int, int], int],
        walk: Callable[[slice, MemoryPolicy], Iterator[Progress]],
        policy: Callable[[], MemoryPolicy],
        singly: bool = False,
    ) -> Iterator[Progress]:
        batch, _, height, width = source.shape
        need = partial(estimate, height=height, width=width)
        return in_portions((batch, height, width), need, self.model.device, walk, policy, singly)


def _frame_before(inversion: Inversion, rows: slice, done: Sequence[Tensor], before: Before | None) -> Before | None:
    """The frame before that of these rows: the last that is done of the batch, or that before all of it."""
    return Before(inversion.source[rows.start - 1 : rows.start], done[-1]) if done else before


def require_restarts(noised: bool, terms: Sequence[Term]) -> None:
    """Raises InputError where a walk cannot begin anew, or nothing says when."""
    if not noised:
        raise InputError("Restarts draw other noise, and this walk begins at an inverted picture. Take start noised.")
    if not any(term.active and term.loss.name == Range.name for term in terms):
        raise InputError("Restarts go by the range loss, and its weight is 0. Raise it, or give 0 restarts.")


def _left_range(reached: Step, most: float) -> bool:
    """Whether the range loss of a step says that its picture, one alone, is to begin anew."""
    return Range.name in reached.losses and bool((reached.losses[Range.name] > most).any())


def guidance_bytes(model: Model, terms: Sequence[Term], through_unet: bool, batch: int, height: int, width: int) -> int:
    """About what a guided step needs beside the weights for so many pictures of a size, the backward pass included.

    The network's graph stays while the losses are taken one after the other, unless guidance is not `through_unet`.
    """
    graph = model.graph_bytes(batch, height, width) if through_unet else model.walk_bytes(batch, height, width)
    return graph + max((term.loss.graph_bytes(model, batch, height, width) for term in terms if term.active), default=0)


def _digest(picture: Tensor) -> tuple:
    """What tells a picture (3, H, W) from others."""
    return hashlib.sha256(picture.contiguous().numpy().tobytes()).digest(), tuple(picture.shape)
