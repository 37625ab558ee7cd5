"""Every edit of an evaluation, measured: pictures x prompts x seeds x methods, each method at several weights.

A run can be stopped at any time: rows are appended to `rows.csv` as they come, and the same plan goes on from there.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from qs_core import pictures
from qs_core.blend import BlendMap
from qs_core.errors import InputError, NonFiniteError, WorkersLost
from qs_core.features.clip import CLIP, TextDirection, text_direction
from qs_core.features.lpips import load_lpips
from qs_core.features.openclip import load_clip
from qs_core.features.vit import load_vit
from qs_core.features.weights import Announce
from qs_core.host import choose_device
from qs_core.jobs import pools
from qs_core.losses.base import Term
from qs_core.losses.contrastive import Contrastive
from qs_core.model import DiffusionModel
from qs_core.networks import choice, load, load_own
from qs_core.paths import is_file, write_whole
from qs_core.settings import Settings, make_terms
from qs_core.styles import Weight
from qs_core.styles import load as load_style
from qs_core.stylizer import Progress, Stylizer, complete
from qs_core.unguided import StyleSettings, inversion_spacing

from . import metrics

ContentTerm = Callable[[DiffusionModel, Settings, int, int], Term]  # model, settings, height, width → the term
KEY = ("method", "weight", "prompt", "picture", "seed")
COLUMNS = (*KEY, "ssim", "gradient", "structure", "lpips", "directional", "clip_score", "probability")
COLUMNS += ("clipped", "glitter", "seconds", "file", "dtype", "clip_dtype")
TEXT = ("method", "prompt", "picture", "file", "dtype", "clip_dtype")
# What can be swept, and over what by default: factors of both CLIP weights, style's dial, or the contrastive weight.
SWEEPS = {"clip": (0.3, 0.6, 1.2, 2.4), "style": (0.5, 1.0, 2.0, 4.0), "contrastive": (75.0, 300.0, 1200.0, 4800.0)}


@dataclass(frozen=True)
class Method:
    """A way to restyle: the fields of `Settings` that it changes. `content`, if given, makes the contrastive term
    instead of the settings; `seeds` and `weights`, if given, stand for the plan's.

    With `styles`, a trained style's file for each prompt, it walks unguided, and its weights are the style's shares of
    the prediction, at most 1.
    """

    name: str
    settings: Mapping[str, object] = field(default_factory=dict)
    content: ContentTerm | None = None
    seeds: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    styles: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "weights", tuple(float(weight) for weight in self.weights))

    def describe(self) -> dict:
        """All that decides its rows, a style by its file's content. What it leaves to the plan is left out, so that
        folders of earlier versions go on."""
        digests = {prompt: hashlib.sha256(Path(path).read_bytes()).hexdigest() for prompt, path in self.styles.items()}
        said = {**asdict(self), "content": _described(self.content), "styles": digests}
        return {name: value for name, value in said.items() if value or name not in ("weights", "styles")}


def method_named(name: str) -> Method:
    """A kind of anchors, or "none", no contrastive loss."""
    return Method(name, {"contrastive": 0.0} if name == "none" else {"anchors": name})


@dataclass(frozen=True)
class Judge:
    """Who measures: a CLIP that does not guide; for structure a DINO ViT's file, "guide" for the guiding CLIP's own
    keys, or "none"; and LPIPS's two files, the backbone's and the linear weights', if given."""

    clip: str
    pretrained: str | None = None
    structure: str = "guide"
    lpips: tuple[str, str] | None = None


@dataclass(frozen=True)
class Plan:
    """What decides the rows; pictures by their content, weights by name. `sources` maps names to picture files.

    Each method is swept over the `weights`: for `sweep` "contrastive" they are that loss's, for "style" the dial's, for
    "clip" the factors of both CLIP weights. A method that fixes the contrastive weight in its settings has one point in
    the first sweep.
    CLIP guides in float32 unless the settings name another dtype, so that rows of all machines are of one kind.
    `tried` names the pictures of a prompt; all of them where it is not given.
    """

    sources: Mapping[str, str]
    prompts: tuple[str, ...]
    methods: tuple[Method, ...]
    weights: tuple[float, ...]
    seeds: tuple[int, ...]
    judge: Judge
    settings: Mapping[str, object] = field(default_factory=dict)
    sweep: str = "clip"
    tried: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "weights", tuple(float(weight) for weight in self.weights))
        settings = {"dequantize": Settings.dequantize, **self.settings}  # a plan of before dequantization is another
        if settings.get("clip_dtype", "auto") == "auto":  # which would be the machine's own, and not in the plan
            settings["clip_dtype"] = "float32"
        object.__setattr__(self, "settings", settings)
        if self.sweep not in SWEEPS:
            raise InputError(f"Sweep {self.sweep!r} is unknown; choose one of {', '.join(SWEEPS)}.")
        for what in ("prompts", "weights", "seeds"):
            _require_distinct(what, getattr(self, what))
        _require_distinct("methods", [method.name for method in self.methods])
        for method in self.methods:
            _require_distinct(f"seeds of {method.name}", method.seeds)
            _require_distinct(f"weights of {method.name}", method.weights)
            if method.styles:
                self._check_styles(method)
        guide = self.settings.get("clip", "demo"), self.settings.get("clip_pretrained")
        if guide == (self.judge.clip, self.judge.pretrained):
            raise InputError(f"{guide[0]} guides, and so cannot judge. Choose another CLIP as the judge.")
        for what in ("sources", "prompts", "methods", "weights", "seeds"):
            if not getattr(self, what):
                raise InputError(f"The plan has no {what}; at least one is needed.")

    def _check_styles(self, method: Method) -> None:
        """Refuse a trained style that is missing, and shares that are none."""
        for prompt in self.prompts:
            if prompt not in method.styles or not is_file(Path(method.styles[prompt])):
                raise InputError(f"Method {method.name!r} has no style's file for {prompt!r}. Train one.")
        wrong = next((weight for weight in self.weights_of(method) if not 0 <= weight <= 1), None)
        if wrong is not None:
            raise InputError(f"Method {method.name!r} has weight {wrong:g}. A trained style's share is 0 to 1.")

    def describe(self) -> dict:
        """JSON of all that decides the rows. Raises InputError for a picture that cannot be read."""
        methods = [method.describe() for method in self.methods]
        seen = {name: pictures.read(path).numpy().tobytes() for name, path in self.sources.items()}
        digests = {name: hashlib.sha256(pixels).hexdigest() for name, pixels in seen.items()}
        return json.loads(json.dumps({**asdict(self), "methods": methods, "sources": digests}))

    def cells(self) -> Iterator[Cell]:
        """Every method at every weight and prompt."""
        for prompt in self.prompts:
            for method in self.methods:
                for weight in self.weights_of(method):
                    yield Cell(method, weight, prompt)

    def weights_of(self, method: Method) -> tuple[float, ...]:
        """What the method is swept over."""
        if method.weights:
            return method.weights
        if self.sweep == "contrastive" and "contrastive" in method.settings:
            return (float(method.settings["contrastive"]),)
        return self.weights


def _require_distinct(what: str, values: Sequence) -> None:
    twice = next((value for value in values if list(values).count(value) > 1), None)
    if twice is not None:
        raise InputError(f"{twice!r} is twice among the {what}. Give each once.")


def _described(content: ContentTerm | None) -> str:
    """A function by its name, as its repr holds an address; another object by its repr."""
    name = getattr(content, "__qualname__", None)
    return f"{content.__module__}.{name}" if name else repr(content)


@dataclass(frozen=True)
class Cell:
    """What the edits of one batch share."""

    method: Method
    weight: float
    prompt: str

    def settings(self, plan: Plan) -> Settings:
        """The plan's, then the method's, then the weight."""
        s = Settings(**{**plan.settings, **self.method.settings, "prompts": self.prompt})
        if plan.sweep != "clip":
            return replace(s, **{plan.sweep: self.weight})
        return replace(s, clip_global=self.weight * s.clip_global, clip_directional=self.weight * s.clip_directional)

    def row(self, picture: str, seed: int) -> dict:
        """The key of one edit, and where its picture lies."""
        key = {"method": self.method.name, "weight": self.weight, "prompt": self.prompt}
        key |= {"picture": picture, "seed": seed}
        readable = re.sub(r"[^\w.-]+", "_", "-".join(str(part)[:30] for part in key.values()))
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:8]  # names that differ little stay apart
        return {**key, "file": f"{readable}-{digest}.png"}


class Bench:
    """The loaded networks, the sources with their inversions, and the judge: what all edits of a process share."""

    def __init__(self, plan: Plan, folder: Path, announce: Announce | None = None):
        self.plan, self.folder = plan, folder
        base = Settings(**{**plan.settings, "prompts": plan.prompts[:1]})
        networks = load(base, announce)
        self.model, guide = networks.model, networks.text.clip
        dtypes = {"dtype": self.model.network.dtype, "clip_dtype": guide.dtype}
        self.precision = {name: str(dtype).removeprefix("torch.") for name, dtype in dtypes.items()}
        device, settings = choose_device(base.device), [cell.settings(plan) for cell in plan.cells()]
        self.texts = {key: _text(guide, s) for key, s in {_phrase(s): s for s in settings}.items()}
        others = {choice(s): s for s in settings if choice(s) != choice(base)}
        self.of_losses = {key: load_own(s, device, announce) for key, s in others.items()}
        self.of_losses[choice(base)] = networks.of_losses
        files = {method.styles[prompt] for method in plan.methods if method.styles for prompt in plan.prompts}
        self.styles = {file: load_style(file, self.model) for file in sorted(files)}
        self.judge = load_clip(plan.judge.clip, plan.judge.pretrained, device=device, announce=announce)
        if _same(self.judge, guide):
            raise InputError(f"{plan.judge.clip} has the weights of the CLIP that guides. Choose another judge.")
        judged = [_text(self.judge, replace(base, prompts=(prompt,))) for prompt in plan.prompts]
        self.judged = torch.stack([judged[0].source, *(text.targets[0] for text in judged)])
        self.temperature = float(1 / self.judge.network.logit_scale.exp())
        self.keys = _keys(plan.judge.structure, base, announce)
        self.lpips = load_lpips(*plan.judge.lpips, device=device) if plan.judge.lpips else None
        self.stylizer = Stylizer(self.model, inversions=len(plan.sources) * len(plan.methods))
        self.sources = {name: self._fitted(path, base) for name, path in plan.sources.items()}
        self.embedded = {name: metrics.embed(self.judge, self._source([name])) for name in self.sources}

    def write_sources(self) -> None:
        """The pictures as the U-Net takes them, for the contact sheets."""
        for name, source in self.sources.items():
            pictures.write(self.folder / "sources" / f"{name}.png", source[0])

    def _fitted(self, path: str, base: Settings) -> Tensor:
        """(1, 3, H, W) as the U-Net takes it; the picture at its own size is let go."""
        return self.stylizer.prepare(pictures.read(path)[None], base.size, base.fit).source

    def _source(self, names: Sequence[str]) -> Tensor:
        """Pictures of one size (B, 3, H, W) as the U-Net takes them, on its device."""
        return torch.cat([self.sources[name] for name in names]).to(self.model.device)

    def edit(self, cell: Cell, pairs: Sequence[tuple[str, int]]) -> tuple[list[dict], list[str]]:
        """The rows of one batch, and what diverged. Where a batch does, each of its pictures is tried alone."""
        try:
            return self._edit(cell, pairs), []
        except NonFiniteError as error:
            if len(pairs) == 1:
                return [], [f"{cell.method.name} at {cell.weight:g}, {cell.prompt!r}, {pairs[0][0]}: {error}"]
        each = [self.edit(cell, [pair]) for pair in pairs]
        return [row for rows, _ in each for row in rows], [failed for _, failures in each for failed in failures]

    def _edit(self, cell: Cell, pairs: Sequence[tuple[str, int]]) -> list[dict]:
        """The rows of pictures of one size, each with its seed. Writes the pictures."""
        source, seeds = torch.cat([self.sources[name] for name, _ in pairs]), [seed for _, seed in pairs]
        edited, took = self.walk(cell, source, seeds)
        seconds = took / len(pairs)
        rows = [{**cell.row(*pair), "seconds": round(seconds, 3), **self.precision} for pair in pairs]
        measured = self.measure([name for name, _ in pairs], edited.to(self.model.device), cell.prompt)
        for name, values in measured.items():
            for row, value in zip(rows, values.tolist(), strict=True):
                row[name] = round(value, 6)
        for row, picture in zip(rows, edited, strict=True):
            pictures.write(self.folder / "pictures" / row["file"], picture)
        return rows

    def walk(self, cell: Cell, source: Tensor, seeds: Sequence[int]) -> tuple[Tensor, float]:
        """The edited pictures (B, 3, H, W) of fitted ones, and the seconds of the walk back from the inversion."""
        return self._redrawn(cell, source) if cell.method.styles else self._guided(cell, source, seeds)

    def _guided(self, cell: Cell, source: Tensor, seeds: Sequence[int]) -> tuple[Tensor, float]:
        s = cell.settings(self.plan)
        inversion = complete(self.stylizer.invert(source, s.steps, s.skip, s.start, seeds, dequantize=s.dequantize))
        terms = self._terms(cell, s, *source.shape[-2:])
        return _timed(self.stylizer.guide(inversion, terms, s, seeds, BlendMap(s.strength, s.strength)))

    def _redrawn(self, cell: Cell, source: Tensor) -> tuple[Tensor, float]:
        """As `unguided.run` does it, the weight as the style's share."""
        style = self.styles[cell.method.styles[cell.prompt]]
        spacing, dequantize = inversion_spacing(style), cell.settings(self.plan).dequantize
        walk = self.stylizer.invert(source, spacing, 1, "inverted", [0] * len(source), dequantize=dequantize)
        chosen, share = [(style.model, Weight())], BlendMap(cell.weight, cell.weight)
        return _timed(self.stylizer.redraw(complete(walk), chosen, share, StyleSettings.points))

    def _terms(self, cell: Cell, s: Settings, height: int, width: int) -> list[Term]:
        """Those of `make_terms`, with the method's own contrastive one where it brings one."""
        text, own = self.texts[_phrase(s)], self.of_losses[choice(s)]
        terms = make_terms(s, self.model, text, height, width, own)
        if not cell.method.content:
            return list(terms)
        content = cell.method.content(self.model, s, height, width)
        return [content if isinstance(term.loss, Contrastive) else term for term in terms]

    def measure(self, names: Sequence[str], edited: Tensor, prompt: str) -> dict[str, Tensor]:
        """(B,) of each metric, of edited pictures (B, 3, H, W) against the sources of these names."""
        source = self._source(names)
        before = torch.cat([self.embedded[name] for name in names])
        after, number = metrics.embed(self.judge, edited), 1 + self.plan.prompts.index(prompt)
        with torch.no_grad():
            found = {
                "ssim": metrics.ssim(edited, source),
                "clipped": metrics.clipped(edited, source),
                "glitter": metrics.glitter(edited, source),
                "gradient": metrics.gradient_correlation(edited, source),
                "directional": metrics.directional_similarity(after, before, self.judged[number], self.judged[0]),
                "clip_score": metrics.clip_score(after, self.judged[number]),
                "probability": metrics.style_probability(after, self.judged, number, self.temperature),
            }
            if self.keys:
                found["structure"] = metrics.structure_distance(self.keys, edited, source)
            if self.lpips:
                found["lpips"] = metrics.lpips(self.lpips, edited, source)
        return found


def _keys(name: str, base: Settings, announce: Announce | None) -> metrics.Keys | None:
    """What tells structure. The guide's own CLIP is loaded once more, as guiding may compute in another dtype."""
    device = choose_device(base.device)
    if name == "none":
        return None
    if name == "guide":
        return metrics.clip_keys(load_clip(base.clip, base.clip_pretrained, device=device))
    return metrics.vit_keys(load_vit(pretrained=name, device=device, announce=announce))


def _same(a: CLIP, b: CLIP) -> bool:
    """Whether two CLIPs have the same image tower, in whatever dtype."""
    one, other = a.network.visual.state_dict(), b.network.visual.state_dict()
    return one.keys() == other.keys() and all(
        tensor.shape == other[name].shape and torch.equal(tensor.to(other[name].dtype), other[name])
        for name, tensor in one.items()
    )


def _phrase(s: Settings) -> tuple:
    """What tells the texts of two settings apart."""
    return s.prompts, s.source_prompt, s.templates


def _text(clip: CLIP, s: Settings) -> TextDirection:
    return text_direction(clip, s.prompts, s.source_prompt, None, s.templates)


def _timed(walk: Generator[Progress, None, Tensor]) -> tuple[Tensor, float]:
    """What a walk gives, and the seconds it took."""
    begun = time.perf_counter()
    return complete(walk), time.perf_counter() - begun


def run(
    plan: Plan,
    folder: Path,
    workers: int = 1,
    batch: int = 4,
    progress: Callable[[int, int], None] | None = None,
    announce: Announce | None = None,
    engine: str = "local",
    address: str | None = None,
) -> list[dict]:
    """All rows of the plan, those already in `folder/rows.csv` taken from there; `progress` is told edits done and all.

    `workers` processes share the edits, as `pools.pool` says of them and of `engine` and `address`; all write to
    `folder`. The rows do not depend on them, nor on `batch`, but for rounding. `announce` is given a sentence before
    each download. Raises InputError where the folder holds the rows of another plan, and for all that `stylize`
    refuses; at the end NonFiniteError where edits diverged, WorkersLost where workers ended with them.
    """
    if workers < 1 or batch < 1:
        raise InputError(f"{workers} workers, batch {batch}: at least 1 of each is needed.")
    inside = (folder / "sources").resolve()
    if any(Path(path).resolve().parent == inside for path in plan.sources.values()):
        raise InputError(f"{inside} is where the run writes its own copies. Take the pictures from another folder.")
    rows = resume(plan, folder)
    done = {tuple(str(row[key]) for key in KEY) for row in rows}
    tasks = _tasks(plan, done, batch)
    total, failures, lost = len(rows) + sum(len(pairs) for _, pairs in tasks), [], []
    if not tasks:
        return rows
    with (folder / "rows.csv").open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        for outcome in _outcomes(plan, folder, tasks, announce, workers=workers, engine=engine, address=address):
            if outcome.error:
                lost.append(outcome)
                continue
            fresh, failed = outcome.result
            writer.writerows(fresh)
            file.flush()
            rows += fresh
            failures += failed
            if progress:
                progress(len(rows), total)
    if lost:
        edits = sum(len(outcome.task[1]) for outcome in lost)
        raise WorkersLost(f"{edits} of {total} edits were not done, the others are. {lost[0].error}")
    if failures:
        raise NonFiniteError(
            f"{len(failures)} of {total} edits diverged, the others are done. Leave that weight out. {failures[0]}"
        )
    return rows


def resume(plan: Plan, folder: Path) -> list[dict]:
    """The rows that the folder holds of this plan; a new folder is begun.

    Raises InputError where they are of another plan. A row that was cut off by the end of a run is computed again.
    """
    try:
        for name in ("pictures", "sources"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot write to {folder} ({error.strerror}). Choose a writable folder.") from error
    described, path, table = plan.describe(), folder / "plan.json", folder / "rows.csv"
    held = table.read_bytes() if table.exists() else b""
    whole = held[: held.rfind(b"\n") + 1]
    reader = csv.DictReader(io.StringIO(whole.decode("utf-8"), newline=""))
    rows, columns = [_typed(row) for row in reader], tuple(reader.fieldnames or ())
    if rows and (columns != COLUMNS or not path.exists() or json.loads(path.read_text(encoding="utf-8")) != described):
        raise InputError(f"{folder} holds the rows of another plan. Give another folder, or delete this one.")
    write_whole(path, json.dumps(described, indent=1).encode())
    if whole != held or not whole:
        write_whole(table, whole or (",".join(COLUMNS) + "\r\n").encode())
    return rows


def _typed(row: dict) -> dict:
    """A row of the file with numbers as such; a metric that was not measured is left out."""
    typed = {name: value if name in TEXT else float(value) for name, value in row.items() if value != ""}
    return {**typed, "seed": int(row["seed"])}


def _tasks(plan: Plan, done: set[tuple], batch: int) -> list[tuple[Cell, list[tuple[str, int]]]]:
    """What is left, in batches of pictures of one size."""
    shapes = {name: pictures.read(path).shape for name, path in plan.sources.items()}
    names = sorted(plan.sources, key=lambda name: tuple(shapes[name]))
    tasks = []
    for cell in plan.cells():
        tried = plan.tried.get(cell.prompt, names)
        pairs = [(name, seed) for name in names if name in tried for seed in cell.method.seeds or plan.seeds]
        left = [pair for pair in pairs if tuple(str(cell.row(*pair)[key]) for key in KEY) not in done]
        for _, alike in groupby(left, key=lambda pair: shapes[pair[0]]):
            alike = list(alike)
            tasks += [(cell, alike[k : k + batch]) for k in range(0, len(alike), batch)]
    return tasks


def _outcomes(plan: Plan, folder: Path, tasks: list, announce: Announce | None, **sharing) -> Iterator[pools.Outcome]:
    """What `Bench.edit` gives of each task, as it ends."""
    bench = Bench(plan, folder, announce)  # with several workers, to refuse and to download before they begin
    bench.write_sources()
    make = partial(_begin_worker, plan, folder)
    if sharing["workers"] == 1 and sharing["engine"] == "local":
        make = partial(_given, bench)
    else:
        del bench
    with pools.pool(make, device=plan.settings.get("device", "auto"), **sharing) as workers:
        yield from pools.each(tasks, workers, announce)


def _begin_worker(plan: Plan, folder: Path, announce: Announce | None) -> pools.Work:
    return _given(Bench(plan, folder, announce), announce)


def _given(bench: Bench, announce: Announce | None) -> pools.Work:
    return lambda task: bench.edit(*task)
