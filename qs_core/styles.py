"""Styles: fine-tuned networks as files, and the prediction that several of them share.

A file holds the low-rank difference to its base network, or a whole network's weights, as DiffusionCLIP publishes them.
"""

import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from . import checkpoints, demo, lowrank, unets
from .checkpoints import STYLE, specification
from .checkpoints.contents import require_weight
from .errors import InputError, UnsupportedCheckpoint
from .finite import Checks
from .model import DiffusionModel
from .paths import exists, expanded
from .protocol import Model, Prediction
from .samplers import Guide, Guided
from .schedule import Schedule

DEFAULTS = {"start": 500, "points": 40}  # where nothing is said: DiffusionCLIP's example


@dataclass(frozen=True)
class Style:
    """A fine-tuned model and what its file says: `base` (fingerprint), `prompts`, `source_prompt`, and the walk it was
    trained on: `start`, the highest timestep, and `points`, of the inversion. Of a bare network nothing is known."""

    model: DiffusionModel
    said: Mapping[str, object]

    @property
    def start(self) -> int:
        """The timestep that it was trained from."""
        return {**DEFAULTS, **self.said}["start"]


@dataclass(frozen=True)
class Weight:
    """A style's weight over the walk: (t, w) pairs, falling in t to 0; w holds from t up to the one before."""

    parts: tuple[tuple[int, float], ...] = ((0, 1.0),)

    def at(self, t: int) -> float:
        """The weight at a timestep."""
        return next(weight for threshold, weight in self.parts if t >= threshold)


def parse_weight(text: str) -> Weight:
    """The weight that "0.5" says, or "0.4@300,0.3": 0.4 down to timestep 300, then 0.3.

    Raises InputError for anything else, and for weights below 0.
    """
    try:
        pairs = [part.split("@") if "@" in part else (part, "0") for part in str(text).split(",")]
        parts = tuple((int(threshold), float(weight)) for weight, threshold in pairs)
    except ValueError:
        parts = ()
    falling = all(a[0] > b[0] for a, b in zip(parts, parts[1:], strict=False))
    if not parts or not falling or parts[-1][0] != 0 or not all(0 <= weight < 1e6 for _, weight in parts):
        raise InputError(
            f"The style weight {text!r} is not understood. Give a number from 0 on, or e.g. 0.4@300,0.3: 0.4 down to "
            "timestep 300, then 0.3."
        )
    return Weight(parts)


def fingerprint(model: DiffusionModel) -> str:
    """SHA-256 of the network's weights in float32 with their names, whatever file they are in.

    They are read from the model's file, where it has one: the loaded ones may be in half precision.
    """
    if model.source is None:
        return _digest(model.network.state_dict())
    return _digest_of_file(model.source, model.source.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _digest_of_file(path: Path, changed: int) -> str:
    return _digest(specification.read(path)[1])


def _digest(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy())
    return digest.hexdigest()


def write(path: str | Path, state: Mapping[str, Tensor], said: Mapping, options: Mapping) -> None:
    """Write a style: differences, or a whole network's weights, and the options that its shapes cannot tell."""
    stated = header(said, {} if lowrank.detect(state) else options)
    checkpoints.write(path, {key: tensor.detach().cpu().contiguous() for key, tensor in state.items()}, stated)


def header(said: Mapping, options: Mapping) -> dict:
    """What the file's header states. Raises InputError where that is too long for it."""
    stated = {**options, STYLE: dict(said)}
    if len(json.dumps(stated)) > checkpoints.MOST_CONFIG:
        raise InputError("The prompts are too long for a style's header. Shorten them.")
    return stated


def load(path: str | Path, base: DiffusionModel) -> Style:
    """The style of a file for its base model, or the built-in one of that name where there is no such file.

    Raises InputError for a style of another network, UnsupportedCheckpoint for a file that is no style.
    """
    path = expanded(path)
    if str(path) in demo.STYLES and not exists(path):
        path = demo.STYLES[str(path)]
    found, stated = checkpoints.find(path)
    said, state, name = _said(stated.get(STYLE), path.name), found.state, path.name
    small = lowrank.detect(state)
    if small and not said:
        raise UnsupportedCheckpoint(
            f"{name} does not say which network it belongs to. Use a style that was trained here."
        )
    if said and said["base"] != fingerprint(base):
        raise InputError(
            f"The style {name} was trained on another network than {base.name} (its weights' SHA-256 begins with "
            f"{said['base'][:8]}, here with {fingerprint(base)[:8]}). Use that network, or train the style anew."
        )
    if small:
        for key, tensor in state.items():
            require_weight(tensor, key, name)
        network = lowrank.merged(base.network, state, name)
    else:
        state = dict(specification.read(path)[1])
        network = unets.build(base.network.config, state, name, base.network.dtype).to(base.device)
    return Style(replace(base, network=network, name=name, source=path), said)


def _said(said: object, name: str) -> dict:
    """What a header says of the style; empty where it says nothing. Raises UnsupportedCheckpoint for nonsense."""
    if said is None:
        return {}
    known = said if isinstance(said, dict) else {}
    phrases, numbers = known.get("prompts"), [known.get(key) for key in DEFAULTS]
    if not (
        isinstance(phrases, list)
        and all(isinstance(phrase, str) for phrase in (*phrases, known.get("source_prompt")))
        and re.fullmatch("[0-9a-f]{64}", str(known.get("base")))
        and all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
        and 1 <= said["start"] < 1000
        and 2 <= said["points"] <= said["start"] + 1
    ):
        raise UnsupportedCheckpoint(f"{name} has a broken header: what it says of the style is none. Fetch it again.")
    return said


def mixed(
    model: Model, schedule: Schedule, styles: Sequence[tuple[Model, Weight]], share: float | Tensor = 1.0
) -> Guide:
    """The guide that predicts ε = share · Σ w·ε_style / Σ w + (1 - share) · ε_model, unguided.

    `share` is a number or a map (1 or B, 1, H, W), from 0, the model itself, to 1. Where no style has a weight, the
    model's prediction holds alone. A network whose part is 0 is not asked. Raises InputError for no style.
    """
    if not styles:
        raise InputError("No style was given. Give the file of one.")
    least, most = (float(end) for end in torch.as_tensor(share).aminmax())

    def guide(x_t: Tensor, i: int) -> Guided:
        t = int(schedule.timesteps[i])
        weights = [weight.at(t) for _, weight in styles]
        total, parts = sum(weights), []
        its = share.to(x_t) if isinstance(share, Tensor) else share
        with torch.no_grad():
            if total and most > 0:
                asked = [(tuned, w / total) for (tuned, _), w in zip(styles, weights, strict=True) if w]
                parts = [(tuned.predict(x_t, schedule, i), its * w) for tuned, w in asked]
            if not parts or least < 1:
                parts.append((model.predict(x_t, schedule, i), 1 - its if parts else 1.0))
            prediction = Prediction(*(sum(w * each[k] for each, w in parts) for k in range(3)))
        checks = Checks(t)
        checks.add(prediction.x0, "the style's prediction")
        return Guided(prediction, None, {}, checks)

    return guide
