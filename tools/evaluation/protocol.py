"""What is run, fixed before it is: docs/evaluation.md states why. `SCREENED` are the variants of the tuning pictures,
`CONFIRMED` the methods of the held-out ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from qs_core.host import choose_device
from qs_core.precision import computes
from qs_core.presets import PRESETS
from qs_core.settings import OPTIONS
from qs_evaluate import SWEEPS, Judge, Method, Plan

from ..data.styles import STYLES
from .pictures import write
from .variants import Content, Study

JUDGE = Path(__file__).parent / "judge"
# Half of the guided steps and of the crops: with bfloat16 about a fifth of the time of the default settings.
REDUCED = {"size": 64, "steps": "25", "skip": 12, "crops": 16}
FULL = {"size": 64}
LARGE = {**REDUCED, "size": 128}
PROMPTS = ("a sketch with crayon", "golden", "water painting", "wooden", "red bricks", "mosaic")
WEIGHTS = (0.3, 0.6, 1.2, 2.4)  # factors of the CLIP weights
SCREENING_PROMPTS = ("a sketch with crayon", "mosaic")
SCREENING_WEIGHTS = (0.4, 1.0, 2.4)
ALL = (0, 1, 2, 3, 4)  # the layers' numbers: at 64 px maps of 64 (the first convolution), 64, 32, 16 and 8 a side
DEEPEST = (3, 4)  # those that attend by default

NONE = Method("none", {"contrastive": 0.0})
RANDOM = Method("random", {"anchors": "random"})
GLOBAL = Method("global", {"anchors": "global"})
LOCAL = Method("local", {"anchors": "local"})
LOCAL_GLOBAL = Method("local_global", {"anchors": "local_global"})
PUBLISHED = (NONE, RANDOM, GLOBAL, LOCAL, LOCAL_GLOBAL)


def _study(name: str, layers: tuple[int, ...] = DEEPEST, **parts) -> Method:
    """A variant: those of `Content` by name, the others of `Study`."""
    of_content = {key: parts.pop(key) for key in ("only", "noised", "alike", "fixed_random") if key in parts}
    return Method(name, content=Content(Study(**parts), layers, **of_content))


EVEN = {"rank": "none", "pick": "sampled", "attended": False, "redrawn": True}  # random, as a study
SAMPLED = {"pick": "sampled", "redrawn": True}

SCREENED = (
    *PUBLISHED,
    # the contrastive weight itself
    Method("random, weight 150", {"anchors": "random", "contrastive": 150.0}),
    Method("random, weight 600", {"anchors": "random", "contrastive": 600.0}),
    Method("global, weight 150", {"contrastive": 150.0}),
    Method("global, weight 600", {"contrastive": 600.0}),
    # which layers attend
    Method("global, all layers", {"attend": "all"}),
    Method("global, 16 alone", {"attend": "16"}),
    Method("global, 32 alone", {"attend": "32"}),
    Method("global, 64 alone", {"attend": "64"}),
    Method("global, 64 and 32", {"attend": "64,32"}),
    Method("global, 32 and 16", {"attend": "32,16"}),
    # scale and temperature
    Method("global, cosine 0.02", {"attention_temperature": 0.02}),
    Method("global, cosine 0.2", {"attention_temperature": 0.2}),
    Method("global, sqrt 1", {"attention_scale": "sqrt", "attention_temperature": 1.0}),
    Method("global, raw 1", {"attention_scale": "raw", "attention_temperature": 1.0}),
    # how many: the share of a map
    _study("random, 1/16", ALL, share=1 / 16, **EVEN),
    _study("global, 1/16", share=1 / 16),
    Method("random, 1024", {"anchors": "random", "num_anchors": 1024}),
    Method("global, 1024", {"num_anchors": 1024}),
    # routed through attention, or read in place; fixed, or drawn again each step
    _study("global, not routed", attended=False),
    _study("random, routed", rank="none", **SAMPLED),
    _study("random, fixed", (), fixed_random=True),
    _study("sampled by entropy", attended=False, **SAMPLED),
    _study("sampled by entropy, routed", **SAMPLED),
    # clean or noised source
    _study("random, noised source", (), noised=True),
    _study("global, noised source", noised=True),
    # controls: anything but low entropy
    _study("highest entropy, not routed", rank="high_entropy", attended=False),
    _study("highest norm, not routed", rank="norm", attended=False),
    _study("edges, not routed", rank="edges", attended=False),
    _study("grid, two deepest", rank="none", pick="grid", attended=False),
    _study("grid, all layers", ALL, rank="none", pick="grid", attended=False),
    # low entropy with spread
    _study("lowest of each cell", pick="cells"),
    _study("lowest of each cell, not routed", pick="cells", attended=False),
    _study("farthest of the lower half", pick="farthest"),
    _study("half lowest, half random", pick="mixed", redrawn=True),
    # drawn anew on all layers
    _study("one of each cell", ALL, rank="none", pick="cells", attended=False, redrawn=True),
    _study("one of each cell by entropy", ALL, pick="cells", attended=False, redrawn=True),
    _study("sampled by entropy, all layers", ALL, attended=False, **SAMPLED),
    _study("sampled by high entropy, all layers", ALL, rank="high_entropy", attended=False, **SAMPLED),
    _study("sampled by edges, all layers", ALL, rank="edges", attended=False, **SAMPLED),
    # features and negatives
    _study("global, standardised", standardised=True),
    _study("global, 32 and 16, standardised", (2, 3), standardised=True),
    _study("random, without like negatives", (), alike=0.9),
    _study("random, weighed by entropy", ALL, weighed=True, sharpness=0.0, attended=False, **SAMPLED),
)


# The second round of screening: what the first one suggested, on both phrases.
FEW = {"share": 1 / 16}
CELLS = {"pick": "cells", "attended": False, "redrawn": True}
SECOND = (
    RANDOM,
    GLOBAL,
    Method("global, sqrt 1", {"attention_scale": "sqrt", "attention_temperature": 1.0}),
    _study("random, 1/16", ALL, **FEW, **EVEN),
    _study("random, 1/64", ALL, share=1 / 64, **EVEN),
    _study("random, without like negatives", (), alike=0.9),
    _study("random, without negatives above 0.7", (), alike=0.7),
    _study("random, 1/16, without like negatives", ALL, alike=0.9, **FEW, **EVEN),
    _study("one of each cell", ALL, rank="none", pick="cells", attended=False, redrawn=True),
    _study("one of each cell, 1/16", ALL, rank="none", pick="cells", attended=False, redrawn=True, **FEW),
    _study("one of each cell by entropy", ALL, **CELLS),
    _study("one of each cell by entropy, 1/16", ALL, **CELLS, **FEW),
    _study("sampled by entropy, all layers, 1/16", ALL, attended=False, **SAMPLED, **FEW),
    _study("sampled by high entropy, all layers, 1/16", ALL, rank="high_entropy", attended=False, **SAMPLED, **FEW),
    _study("one of each cell by entropy, without like negatives", ALL, alike=0.9, **CELLS),
    _study("one of each cell by entropy, 1/16, without like negatives", ALL, alike=0.9, **CELLS, **FEW),
)

# What the screening proposed: two that are within 0.004 of each other. The first is the one tested as primary.
FINALIST = _study("distinct", (), alike=0.9)  # random, without like negatives
SECOND_FINALIST = _study("stratified", ALL, **CELLS)  # one of each cell by entropy, on all layers
SEEDS = (0, 1, 2)  # of random and the finalists
CONFIRMED = (
    NONE,
    replace(RANDOM, seeds=SEEDS),
    GLOBAL,
    LOCAL,
    LOCAL_GLOBAL,
    replace(SECOND_FINALIST, seeds=SEEDS),
    replace(FINALIST, seeds=SEEDS),
)
CHECKED_WEIGHTS = (0.6, 1.2)

SHOWN = ("astronaut", "cat", "pagoda", "coffee", "flower", "teapot")
SHEET = "sheet-a-sketch-with-crayon.png"


def judge() -> Judge:
    """The built-in judge."""
    return Judge(str(JUDGE))


def reduced(settings: dict) -> dict:
    """The settings with both networks in bfloat16 where the device computes in it, else in float32."""
    device = choose_device("auto")
    dtype = "bfloat16" if computes("bfloat16", device) else "float32"
    if dtype == "float32":
        warnings.warn(f"{device} does not compute in bfloat16. float32 is used: slower, and more exact.", stacklevel=2)
    return {**settings, "dtype": dtype, "clip_dtype": dtype}


def screening(folder: Path) -> Plan:
    """All variants on the tuning pictures, on one phrase."""
    sources = write("tuning", folder / "originals")
    return Plan(sources, SCREENING_PROMPTS[:1], SCREENED, SCREENING_WEIGHTS, (0,), judge(), reduced(REDUCED))


def second(folder: Path) -> Plan:
    """The better ones, and what they suggest, on both phrases."""
    sources = write("tuning", folder / "originals")
    return Plan(sources, SCREENING_PROMPTS, SECOND, SCREENING_WEIGHTS, (0,), judge(), reduced(REDUCED))


def confirm(folder: Path) -> Plan:
    """The published methods and the finalist on the held-out pictures."""
    sources = write("held_out", folder / "originals")
    return Plan(sources, PROMPTS, CONFIRMED, WEIGHTS, (0,), judge(), reduced(REDUCED))


# Guidance as it was before the trust region, with the weights of then.
BEFORE = {"trust_radius": 0.0, "clip_directional": 7000.0, "clip_global": 2500.0, "contrastive": 300.0}
BEFORE |= {"soft_clip": 0.0, "mse": 4000.0, "mse_chroma": 1.0, "range": 50.0}
STABILITY_PROMPTS = ("a sketch with crayon", "golden")
SENSITIVE = ("obama", "lion", "garden")  # a face, an animal, a plant


NOW = Method("now")
GUIDANCE = (Method("before", BEFORE), NOW)


def _of_paper(preset: str, **changes: object) -> dict:
    """A paper's settings whatever the phrase, with changes. VGG's weights come with nobody, and so it is left out."""
    shared = {"source_prompt": "photo", "vgg": 0.0, **changes}
    return {**PRESETS[preset].overrides, **shared}


# The systems of the paper's table 1. All but DiffuseIT see 16 crops, as the plan says.
ZECON = _of_paper("a sketch with crayon (ZeCon README)", crops=16)
DIFFUSEIT = Method("DiffuseIT", _of_paper("Black Leopard (DiffuseIT)"), weights=(1.0, 4.0))
QUERY_SELECTED = Method("query-selected", {**ZECON, "anchors": "global"})
SYSTEMS = {"size": 64, "crops": 16}
SYSTEM_PICTURES = 8  # the split's first: its six photos, and two drawings
SYSTEM_WEIGHTS = (0.5, 1.0, 2.0)
NOW_WEIGHTS = (1.0, 2.0, 4.0)  # at each dial it has less style than the papers' systems
SHARES = (0.25, 0.5, 0.75, 1.0)  # of a trained style
SMALL = {"size": 64, "steps": "8", "skip": 4, "crops": 4, "first_step_repeats": 1, "restarts": 0}  # the quick form's
APART = 8  # a style's photos of the bench are that far apart in the sorted list of 24


def unseen(folder: Path) -> dict[str, str]:
    """The photos in the folder `unseen` beside the run's: `python -m tools.evaluation.unseen` fetches them."""
    found = {photo.stem: str(photo) for photo in sorted((folder.parent / "unseen").glob("*.png"))}
    if not found:
        raise SystemExit(f"{folder.parent / 'unseen'} holds no photos: python -m tools.evaluation.unseen fetches them.")
    return found


def stability(folder: Path) -> Plan:
    """The defaults at 128 px: each style on three of the unseen photos."""
    sources = unseen(folder)
    names, prompts = list(sources), tuple(style.phrases[0] for name, style in STYLES.items() if name != "photo")
    tried = {prompt: tuple(names[k % APART :: APART]) for k, prompt in enumerate(prompts)}
    return Plan(sources, prompts, GUIDANCE[1:], (1.0,), (0,), judge(), {"size": 128}, tried=tried)


def dial(folder: Path) -> Plan:
    """The dial of style at 1, 2 and 3, at 128 px: two portraits, a lion and a flower of the unseen photos."""
    sources = {name: path for name, path in unseen(folder).items() if name in (*SENSITIVE, "biden")}
    prompts = (*STABILITY_PROMPTS, "water painting")
    return Plan(sources, prompts, GUIDANCE[1:], (1.0, 2.0, 3.0), (0,), judge(), {"size": 128}, sweep="style")


def sensitivity(folder: Path) -> dict[str, Plan]:
    """The defaults against other weights, steps and sizes, on three of the unseen photos."""
    sources = {name: path for name, path in unseen(folder).items() if name in SENSITIVE}
    losses = {o.name: o.default for o in OPTIONS if o.kind == "weight"}
    weights = [Method(f"weights x {k:g}", {name: k * value for name, value in losses.items()}) for k in (4, 0.25)]
    steps = [Method(f"{n} steps", {"steps": str(n), "skip": n // 2}) for n in (25, 100)]
    varied = {"128": (Method("as it is"), *weights, *steps), "64": (Method("64 px"),), "256": (Method("256 px"),)}
    return {
        size: Plan(sources, STABILITY_PROMPTS, methods, (1.0,), (0,), judge(), {"size": int(size)})
        for size, methods in varied.items()
    }


def stable(folder: Path) -> Plan:
    """Guidance before the trust region and now, on the held-out pictures, swept over the dial of style."""
    sources = write("held_out", folder / "originals")
    settings = {**FULL, "crops": 16}
    return Plan(sources, STABILITY_PROMPTS, GUIDANCE, SWEEPS["style"], (0,), judge(), settings, sweep="style")


def systems(folder: Path, styles: Mapping[str, str]) -> Plan:
    """The systems of the paper's table 1 on the held-out pictures; `styles` are DiffusionCLIP's, trained, by phrase."""
    sources = dict(list(write("held_out", folder / "originals").items())[:SYSTEM_PICTURES])
    trained = Method("DiffusionCLIP", weights=SHARES, styles=styles)
    papers = (DIFFUSEIT, Method("ZeCon", ZECON), QUERY_SELECTED)
    methods, prompts = (trained, *papers, replace(NOW, weights=NOW_WEIGHTS)), tuple(styles)
    return Plan(sources, prompts, methods, SYSTEM_WEIGHTS, (0,), judge(), SYSTEMS, sweep="style")


def anchors(folder: Path) -> Plan:
    """The paper's selections against random under stable guidance, on the held-out pictures."""
    sources = write("held_out", folder / "originals")
    methods, settings = (RANDOM, GLOBAL, LOCAL, LOCAL_GLOBAL), reduced(REDUCED)
    return Plan(sources, STABILITY_PROMPTS, methods, SWEEPS["style"], (0,), judge(), settings, sweep="style")


def _check(settings: dict, folder: Path) -> Plan:
    """The finalists, the paper's selection and random on the held-out pictures, on one phrase."""
    sources = write("held_out", folder / "originals")
    methods = (RANDOM, GLOBAL, SECOND_FINALIST, FINALIST)
    return Plan(sources, PROMPTS[:1], methods, CHECKED_WEIGHTS, (0,), judge(), settings)


PLANS: dict[str, Callable[[Path], Plan]] = {
    "screening": screening,
    "second": second,
    "confirm": confirm,
    "stability": stability,
    "dial": dial,
    "stable": stable,
    "anchors": anchors,
    "full": partial(_check, FULL),
    "large": lambda folder: _check(reduced(LARGE), folder),
}


def quick(plan: Plan) -> Plan:
    """The plan cut down to two pictures, one phrase, two weights and four steps: that it runs, not what it finds."""
    methods = tuple(
        replace(method, seeds=(), weights=_ends(method.weights), settings=_shortened(method.settings))
        for method in plan.methods
    )
    sources = dict(list(plan.sources.items())[:2])
    settings, ends = {**plan.settings, **SMALL}, _ends(plan.weights)
    return replace(plan, sources=sources, prompts=plan.prompts[:1], methods=methods, weights=ends, settings=settings)


def _ends(weights: tuple[float, ...]) -> tuple[float, ...]:
    return (weights[0], weights[-1]) if weights else ()


def _shortened(settings: Mapping) -> dict:
    """A method's settings without those that the quick form sets for all."""
    return {name: value for name, value in settings.items() if name not in SMALL}
