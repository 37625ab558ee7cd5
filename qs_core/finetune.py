"""Fine-tuning a style, DiffusionCLIP (Kim et al. 2022, arXiv 2110.02711): prepare → invert → train → a style's file.

A handful of pictures is inverted once. A copy of the network then walks back from those states in a few steps, and each
walk is one step of Adam on the losses of the picture it reached. What comes of it restyles other pictures without CLIP.
"""

import copy
import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import Parameter

from . import checkpoints, lowrank, styles
from .checkpoints.specification import inspect
from .crops import Crops
from .errors import InputError
from .features.clip import TextDirection, text_direction
from .features.openclip import load_clip
from .features.weights import Announce
from .host import LOCAL, Host, choose_device
from .losses.base import BoundLoss, Term, View
from .losses.directional import L1, DirectionalCLIP
from .model import DiffusionModel, load_model
from .paths import is_file
from .pictures import Source, fit, take
from .randomness import named
from .samplers import ddim_move
from .stylizer import Stylizer, complete
from .unets.gradient_checkpointing import gradient_checkpointing

FULL_RATE, LOW_RANK_RATE = 8e-6, 2e-3  # of Adam: the paper's, and that of differences
STATE = "training.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq")  # Adam's, by torch's names


@dataclass(frozen=True)
class Training:
    """The settings of a training.

    Deviation: the paper trains all weights (rank 0) on the whole picture (crops 0) with 50 pictures, 5 epochs and a
    growth of 1.3. The defaults are for ten pictures and a low-rank difference, as tried on the built-in network.
    """

    prompts: tuple[str, ...]
    source_prompt: str = "photo"
    prompt_weights: tuple[float, ...] = ()
    size: int | None = None  # side of the squares; the model's training size if None
    start: int = 500  # the timestep up to which pictures are inverted
    inversion_points: int = 20
    points: int = 6  # of the walk that is trained
    stepwise: bool = False  # a step of Adam at each point, on the picture predicted there: one graph of the U-Net
    epochs: int = 10
    learning_rate: float | None = None
    growth: float = 1.0  # of the learning rate, from one epoch to the next
    rank: int = 8  # of the difference; 0 trains all weights
    clip: float = 3.0  # weights of the losses
    l1: float = 0.5
    crops: int = 4  # that CLIP sees of a picture; 0: the whole picture, as in the paper
    crop_area: tuple[float, float] = (0.1, 0.6)
    gradient_checkpointing: bool = False
    seed: int = 0

    def __post_init__(self):
        """Refuse what needs no network to be refused."""
        least = {"inversion_points": 2, "points": 2, "epochs": 1, "rank": 0, "crops": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise InputError(f"{name} {getattr(self, name)}: at least {low} is needed.")
        for name in ("clip", "l1", "growth", "rate"):
            if not 0 <= getattr(self, name) < 1e6:  # false for NaN as well
                raise InputError(f"{name} {getattr(self, name)}: a number from 0 on is needed.")

    @property
    def rate(self) -> float:
        """Adam's learning rate."""
        return self.learning_rate if self.learning_rate is not None else LOW_RANK_RATE if self.rank else FULL_RATE

    def terms(self, text: TextDirection) -> tuple[Term, ...]:
        """The losses with their weights. `text` is embedded with templates."""
        crops = Crops(self.crops, tuple(self.crop_area)) if self.crops else None
        return Term(self.clip, DirectionalCLIP(text, crops)), Term(self.l1, L1())


@dataclass(frozen=True)
class Trained:
    """An iteration of `total` is done: its number, the picture (3, S, S) that was drawn, and each loss's value."""

    number: int
    total: int
    epoch: int
    index: int
    picture: Tensor
    losses: dict[str, float]


def prepare(
    images: Sequence[Source],
    model: str,
    clip: str,
    clip_pretrained: str | None,
    device: str,
    model_options: dict | None,
    settings: Training,
    folder: Path,
    announce: Announce | None = None,
) -> "FineTuning":
    """The training on pictures in any form that `pictures.take` reads, by networks' names as in `Settings`."""
    where = choose_device(device)
    loaded = load_model(model, device=where, **(model_options or {}))
    judge = load_clip(clip, clip_pretrained, device=where, announce=announce)
    s = settings
    text = text_direction(judge, s.prompts, s.source_prompt, s.prompt_weights, templates=True)
    taken = squares([take(image) for image in images], s.size, loaded)
    return FineTuning(loaded, taken, s.terms(replace(text, clip=judge.without_text())), s, folder)


def squares(originals: Sequence[Tensor], size: int | None, model: DiffusionModel) -> Tensor:
    """Pictures (3, H, W) in [-1, 1] → (B, 3, S, S): their middles, at the network's training size by default."""
    if not originals:
        raise InputError("There is no picture to train on. Give a handful, such as ten.")
    side = size or model.image_size
    return torch.cat([fit(_middle(original)[None], side, model.multiple, "crop")[0] for original in originals])


def _middle(picture: Tensor) -> Tensor:
    height, width = picture.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[:, top : top + side, left : left + side]


class FineTuning:
    """The training of a style on pictures (B, 3, S, S), with what it keeps in a folder: inversions, and its state.

    Raises InputError for a model in half precision, and where the folder holds another training.
    """

    def __init__(
        self,
        model: DiffusionModel,
        pictures: Tensor,
        terms: Sequence[Term],
        settings: Training,
        folder: Path,
        host: Host = LOCAL,
    ):
        if {parameter.dtype for parameter in model.network.parameters()} != {torch.float32}:
            raise InputError("A network is trained in float32. Load it with dtype float32.")
        model.check_size(pictures)
        self.model, self.pictures, self.terms, self.s, self.folder, self.host = (
            *(model, pictures, terms),
            *(settings, folder, host),
        )
        s, self.base = settings, styles.fingerprint(model)
        self.inversion, self.schedule = f"{s.start}:{s.inversion_points}", model.schedule(f"{s.start}:{s.points}")
        model.schedule(self.inversion)
        self.said = {
            "base": self.base,
            "prompts": list(s.prompts),
            "source_prompt": s.source_prompt,
            "start": s.start,
            "points": s.inversion_points,
            "settings": asdict(s),
        }
        self.options = inspect(model.source).options if model.source else {}
        styles.header(self.said, self.options)
        content = [json.dumps(self.said, sort_keys=True), *(self._latent(one).name for one in pictures)]
        self.key = hashlib.sha256("".join(content).encode()).hexdigest()
        self.total, self.number = s.epochs * len(pictures), 0
        self.tuned, self.weights, self.adam = self._begin()
        if is_file(folder / STATE):
            self._resume()

    def _begin(self) -> tuple[DiffusionModel, dict[str, Parameter], torch.optim.Adam]:
        network = copy.deepcopy(self.model.network)
        if self.s.rank:
            weights = lowrank.attach(network, self.s.rank, named([self.s.seed], "rank")[0])
        else:
            weights = dict(network.requires_grad_().named_parameters())
        return replace(self.model, network=network), weights, torch.optim.Adam(weights.values(), lr=self.s.rate)

    def latents(self, tell: Callable | None = None) -> Tensor:
        """(B, 3, S, S): the states that the pictures are inverted to; those in the folder are taken from there."""
        names = [self._latent(one) for one in self.pictures]
        missing = [b for b, name in enumerate(names) if not name.is_file()]
        if missing:
            stylizer, seeds = Stylizer(self.model, self.host, inversions=0), [0] * len(missing)
            walk = stylizer.invert(self.pictures[missing], self.inversion, 1, "inverted", seeds)
            found = complete(walk, tell).x_t
            self.folder.mkdir(parents=True, exist_ok=True)
            for b, latent in zip(missing, found, strict=True):
                checkpoints.write(names[b], {"latent": latent.contiguous()}, {})
        return torch.stack([checkpoints.read(name)[0]["latent"] for name in names])

    def _latent(self, picture: Tensor) -> Path:
        """The file of a picture's inversion, by all that it depends on."""
        said = f"{self.base} {self.inversion} {tuple(picture.shape)} dequantized".encode()
        return self.folder / f"inverted-{hashlib.sha256(said + picture.numpy().tobytes()).hexdigest()[:32]}.safetensors"

    def train(self, latents: Tensor) -> Iterator[Trained]:
        """Train to the end, from where the folder's state stands. Each epoch's state is kept, and that of a training
        that is closed, cancelled or fails between two iterations."""
        kept, whole = self.number, True
        try:
            while self.number < self.total:
                epoch, index = divmod(self.number, len(latents))
                whole = False
                drawn, losses = self._iterate(latents[index], self.pictures[index], self.number, epoch)
                self.number, whole = self.number + 1, True
                if self.number % len(latents) == 0:
                    self.save()
                    kept = self.number
                self.host.check_cancelled()
                yield Trained(self.number, self.total, epoch, index, drawn, losses)
        finally:
            if whole and kept != self.number:
                self.save()

    def _iterate(self, latent: Tensor, picture: Tensor, number: int, epoch: int) -> tuple[Tensor, dict[str, float]]:
        """One walk, and its step of Adam; stepwise, one for each point."""
        device, generators = self.model.device, named([self.s.seed], f"iteration {number}")
        source, x = picture[None].to(device), latent[None].to(device)
        bound = [(term, term.loss.against(source, generators)) for term in self.terms if term.active]
        for group in self.adam.param_groups:
            group["lr"] = self.s.rate * self.s.growth**epoch
        last, told = len(self.schedule) - 1, {}
        with torch.enable_grad(), gradient_checkpointing(self.s.gradient_checkpointing):
            for i in range(last, -1, -1):
                prediction = self.tuned.predict(x, self.schedule, i)
                x = ddim_move(prediction.x0, prediction.eps, float(self.schedule.alpha_bar_previous[i]))
                if self.s.stepwise:
                    told = self._descend(bound, prediction.x0)
                    x = x.detach()
            if not self.s.stepwise:
                told = self._descend(bound, x)
        return x.detach()[0].cpu(), told

    def _descend(self, bound: Sequence[tuple[Term, BoundLoss]], drawn: Tensor) -> dict[str, float]:
        """One step of Adam on the losses of a picture; their values."""
        view, values, total = View(drawn, drawn, 0), {}, 0.0
        for term, loss in bound:
            its = loss(view)
            values |= its
            total = total + term.weigh(its).sum()
        self.adam.zero_grad(set_to_none=True)
        total.backward()
        self.adam.step()
        return {name: float(value.detach().sum()) for name, value in values.items()}

    def write(self, path: str | Path) -> None:
        """Write the style as it is now. Differences are rounded to float16."""
        state = {key: weight.half() if self.s.rank else weight for key, weight in self.weights.items()}
        styles.write(path, state, {**self.said, "trained": [self.number, self.total]}, self.options)

    def save(self) -> None:
        """Keep weights, Adam's moments and the number of iterations in the folder."""
        state = {f"weight:{name}": weight.detach().cpu() for name, weight in self.weights.items()}
        for name, weight in self.weights.items():
            its = self.adam.state[weight]
            state |= {f"{moment}:{name}": its[moment].detach().cpu() for moment in MOMENTS}
        self.folder.mkdir(parents=True, exist_ok=True)
        steps = int(next(iter(self.adam.state.values()))["step"])
        checkpoints.write(self.folder / STATE, state, {"key": self.key, "iterations": self.number, "steps": steps})

    def _resume(self) -> None:
        """Take up the state in the folder. Raises InputError where it is another training's."""
        state, header = checkpoints.read(self.folder / STATE)
        expected = {f"{kind}:{name}" for kind in ("weight", *MOMENTS) for name in self.weights}
        if header.get("key") != self.key or set(state) != expected:
            raise InputError(
                f"{self.folder} holds another training: other pictures, settings or network. Give another folder, or "
                f"remove {STATE} there."
            )
        self.number = int(header["iterations"])
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(state[f"weight:{name}"])
                moments = {moment: state[f"{moment}:{name}"].clone().to(weight.device) for moment in MOMENTS}
                self.adam.state[weight] = {"step": torch.tensor(float(header["steps"])), **moments}


def run(
    training: FineTuning, output: str | Path, tell: Callable | None = None
) -> Generator[Trained, None, styles.Style]:
    """Invert, train, and write the style, also of a training that is cancelled on the way. Returns the style."""
    latents = training.latents(tell)
    try:
        yield from training.train(latents)
    finally:
        if training.number:
            training.write(output)
    return styles.load(output, training.model)
