"""Pictures and styles' files in, restyled pictures out: inversion and an unguided walk, without CLIP."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from torch import Tensor

from . import pictures, values
from .errors import InputError
from .features.weights import Announce
from .host import choose_device
from .model import DiffusionModel, load_model
from .modes import each_in_plain_mode
from .moving.steady import Before, of_size, require_steady
from .pictures import Source
from .pipeline import Draw, Restyled, open_mask, take_masks
from .precision import choose_dtype
from .randomness import named, normal
from .report import peak_memory, versions
from .samplers import Step, ddim_step, sample
from .styles import Style, load, parse_weight
from .stylizer import Stylizer, complete, default_size
from .transfer import count_steps

Tell = Callable[[str, int, int, Step], None]
INVERSION_POINTS = 10
ROUND_POINTS = 6  # of the walk that pulls a picture into the network's domain


@dataclass(frozen=True)
class StyleSettings:
    """The settings of a run with styles' files.

    `style_weights` are as `parse_weight` reads them, one a file; `inversion` is a respacing whose last state the walk
    begins at, by default 10 points up to the timestep that the first style was trained from. `points` are those of the
    walk back, by default as many as a training walks. Deviation: DiffusionCLIP inverts with 40 and draws with 12; on
    the built-in network the pictures look the same. Deviation: it inverts pictures as they are.
    """

    style_files: tuple[str, ...]
    style_weights: tuple[str, ...] = ()
    model: str = "demo"
    model_options: dict | None = None
    size: int | None = None
    fit: str = "pad"
    output_size: str = "network"
    inversion: str | None = None
    dequantize: bool = True  # as in `Settings`
    points: int = 6
    rounds: int = 0  # that pull an unseen picture into the network's domain before
    strength: float = 1.0
    steady: float = 0.0  # pictures are a sequence: from 0, each by itself, to 1, held to the one before
    seed: int = 0  # of the rounds alone
    device: str = "auto"
    dtype: str = "auto"
    count = 1

    def __post_init__(self):
        """Refuse what needs no network to be refused."""
        object.__setattr__(self, "seed", values.seed(self.seed))
        if len(self.style_weights) not in (0, len(self.style_files)):
            raise InputError(
                f"{len(self.style_files)} styles have {len(self.style_weights)} weights; give one for each."
            )
        for weight in self.style_weights:
            parse_weight(weight)
        if not 0 <= self.strength <= 1:  # false for NaN as well
            raise InputError(f"strength {self.strength}: 0 (the source) to 1 (the full style) is needed.")
        require_steady(self.steady)
        if self.points < 2 or self.rounds < 0:
            raise InputError(f"points {self.points}, rounds {self.rounds}: at least 2 points and 0 rounds are needed.")


def inversion_spacing(style: Style) -> str:
    """The respacing of the inversion that a style is applied from, where nothing else is wished."""
    return f"{style.start}:{min(INVERSION_POINTS, style.start + 1)}"


@each_in_plain_mode
def run(
    images: Sequence[Source], settings: StyleSettings, progress: Tell | None = None, masks: Sequence[Source] = ()
) -> Iterator[Restyled]:
    """Restyle pictures one after the other; `masks` as in `pipeline.run`. Raises InputError for bad input."""
    s, begun = settings, time.perf_counter()
    masks, before = take_masks(masks, len(images)), None
    for image in images:
        pictures.size_of(image)
    networks = _load(s)
    loaded = time.perf_counter() - begun
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        made = _restyle(number, image, mask, s, networks, loaded, progress, before)
        before = made.frame
        yield made


def drawer(s: StyleSettings, size: tuple[int, int], announce: Announce | None = None) -> Draw:
    """As `pipeline.drawer`'s; nothing of it is ever downloaded."""
    networks = _load(s)

    def draw(number: int, frame: Source, mask: Source | None, progress: Tell | None, before: Before | None) -> Restyled:
        return _restyle(number, frame, mask, s, networks, 0.0, progress, before)

    return draw


@dataclass(frozen=True)
class Networks:
    """The model, its styles, and the respacing of the inversion."""

    model: DiffusionModel
    styles: Sequence[Style]
    spacing: str

    @property
    def start(self) -> int:
        """The timestep that the walk begins at."""
        return int(self.model.schedule(self.spacing).timesteps[-1])


def _load(s: StyleSettings) -> Networks:
    """What the settings name. Raises InputError for styles of another network, and for a walk that cannot be."""
    model = load_model(s.model, device=choose_device(s.device), dtype=choose_dtype(s.dtype), **(s.model_options or {}))
    styles = [load(path, model) for path in s.style_files]
    networks = Networks(model, styles, s.inversion or inversion_spacing(styles[0]))
    count_steps(model.schedule(networks.spacing), 1, "inverted")
    model.schedule(f"{networks.start}:{s.points}")
    return networks


def _restyle(
    number: int,
    image: Source,
    mask: Source | None,
    s: StyleSettings,
    networks: Networks,
    loaded: float,
    progress: Tell | None,
    before: Before | None,
) -> Restyled:
    model, styles = networks.model, networks.styles
    short_side = s.size or default_size(model) if mask is None and s.output_size == "network" else None
    original, stylizer = pictures.take(image, short_side)[None], Stylizer(model, inversions=0)
    begun = time.perf_counter()
    prepared = stylizer.prepare(original, s.size, s.fit)
    blend = prepared.blend(s.strength, open_mask(mask, *original.shape[-2:]))

    def tell(stage: str, reached) -> None:
        if progress is not None:
            progress(stage, reached.number, reached.total, reached.step)

    source = pull_in(model, prepared.source, networks.start, s.rounds, s.seed)
    walk = stylizer.invert(source, networks.spacing, 1, "inverted", [0], dequantize=s.dequantize)
    inversion = complete(walk, lambda reached: tell("inversion", reached))
    inversion = replace(inversion, source=prepared.source)  # motion is that of the frames as they came in
    weights = [parse_weight(text) for text in s.style_weights or ["1"] * len(styles)]
    chosen = [(style.model, weight) for style, weight in zip(styles, weights, strict=True)]
    walk = stylizer.redraw(inversion, chosen, blend, s.points, s.steady, of_size(before, prepared.source))
    drawn = complete(walk, lambda reached: tell("redrawing", reached))
    finished = prepared.finish(drawn, blend, s.output_size)[0]
    height, width = prepared.source.shape[-2:]
    report = {
        "settings": {**asdict(s), "inversion": networks.spacing},
        "styles": [dict(style.said) for style in styles],
        "resolved": {"device": str(model.device), "width": width, "height": height, **model.describe()},
        "versions": versions(),
        "seconds": {"load": round(loaded, 4), "walks": round(time.perf_counter() - begun, 4)},
        "peak_memory_bytes": peak_memory(model.device),
    }
    return Restyled(finished, number, s.seed, report, Before(prepared.source, drawn) if s.steady else None)


def pull_in(model: DiffusionModel, source: Tensor, start: int, rounds: int, seed: int) -> Tensor:
    """(1, 3, H, W) → the picture after so many rounds of noise up to timestep `start` and a walk of 6 points back.

    A picture that is strange to the network is thus drawn as one of its own: DiffusionCLIP's "unseen to unseen", with 8
    to 10 rounds. Deviation: its noise is of one timestep less than the walk begins at.
    """
    if not rounds:
        return source
    schedule, picture = model.schedule(f"{start}:{ROUND_POINTS}"), source.to(model.device)
    generators, last = named([seed], "rounds"), ROUND_POINTS - 1
    for _ in range(rounds):
        noised = schedule.diffuse(picture, normal(picture, generators), last)
        *_, reached = sample(model, schedule, noised, last, ddim_step(), last=0)
        picture = reached.x
    return picture.cpu()
