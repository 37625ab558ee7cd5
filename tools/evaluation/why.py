"""Where entropy puts its anchors: its spread on each layer, overlap with edges, clustering, and a picture of them."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from qs_core import load_model
from qs_core.anchors import Anchors, Attention, entropy_global
from qs_core.pictures import read
from qs_evaluate.metrics import luminance

from .pictures import write
from .variants import Study, pick, rank

SIZE = 64
DRAWS = 20  # random selections that say what chance gives
SHOWN = ("astronaut", "cat", "pagoda", "teapot")


def edge_strength(source: Tensor, height: int) -> Tensor:
    """(H, W) of the map's size: mean absolute difference of luminance to the neighbours below and to the right."""
    y = luminance(source)[0]
    strength = torch.zeros_like(y)
    strength[:-1] += (y[1:] - y[:-1]).abs()
    strength[:, :-1] += (y[:, 1:] - y[:, :-1]).abs()
    factor = y.shape[0] // height
    return avg_pool2d(strength[None, None], factor)[0, 0] if factor > 1 else strength


def figures(positions: np.ndarray, edges: np.ndarray) -> dict[str, float]:
    """Of N positions on an (H, W) map: the share on its strongest quarter of edges, the share on its border of one
    eighth of a side, and the mean distance to the nearest other anchor, in places."""
    height, width = edges.shape
    y, x = positions // width, positions % width
    border = max(1, height // 8)
    on_border = (y < border) | (y >= height - border) | (x < border) | (x >= width - border)
    nearest = np.sort(np.hypot(y[:, None] - y, x[:, None] - x), axis=1)[:, 1]
    strong = edges.ravel() >= np.quantile(edges, 0.75)
    return {"edges": strong[positions].mean(), "border": on_border.mean(), "nearest": nearest.mean()}


def chance(count: int, edges: np.ndarray) -> dict[str, float]:
    """The same of random positions, the mean of several draws."""
    rng = np.random.default_rng(0)
    rows = [figures(rng.permutation(edges.size)[:count], edges) for _ in range(DRAWS)]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def table(folder: Path) -> str:
    """Markdown: per layer and rank, means over the twelve held-out pictures, and relative to chance."""
    model, attention = load_model("demo"), Attention()
    sources = {name: _fitted(path) for name, path in write("held_out", folder / "originals").items()}
    header = ["layer", "anchors", "entropy: lowest, mean, highest (uniform)", "ranked by"]
    header += ["on edges", "on the border", "nearest anchor"]
    lines = [f"| {' | '.join(header)} |", "|" + " --- |" * len(header)]
    with torch.no_grad():
        encoded = {name: model.encode(source, torch.zeros(1)) for name, source in sources.items()}
    for layer in model.content_layers():
        maps = {name: outputs[layer.index] for name, outputs in encoded.items()}
        side, count = SIZE // layer.factor, Anchors().count(next(iter(maps.values())))
        entropies = torch.cat([entropy_global(f, attention) for f in maps.values()])
        spread = f"{entropies.min():.2f}, {entropies.mean():.2f}, {entropies.max():.2f} ({math.log(side**2):.2f})"
        for name in ("entropy", "high_entropy", "local_entropy", "norm", "edges"):
            rows = []
            for picture, features in maps.items():
                edges = edge_strength(sources[picture], side).numpy()
                value = rank(name, features, attention)
                chosen = pick("lowest", value, features.shape[-2:], count, None, 1.0)[0].numpy()
                found, expected = figures(chosen, edges), chance(count, edges)
                rows.append([part for key in found for part in (found[key], expected[key])])
            cells = np.mean(rows, axis=0)
            shares = [f"{100 * a:.0f} % (chance {100 * b:.0f})" for a, b in (cells[:2], cells[2:4])]
            which = f"{side}{', first convolution' * (layer.kind == 'conv')}"
            lines.append(
                f"| {which} | {count} | {spread} | {name.replace('_', ' ')} | {shares[0]} | {shares[1]} "
                f"| {cells[4]:.2f} (chance {cells[5]:.2f}) |"
            )
    return "\n".join(lines)


def _fitted(path: str) -> Tensor:
    picture = read(path)[None]
    return torch.nn.functional.interpolate(picture, (SIZE, SIZE), mode="bilinear", antialias=True)


def figure(folder: Path, study: Study | None = None) -> Path:
    """A picture: entropy maps of the two deepest layers with the anchors on them, for four held-out pictures."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    model, attention = load_model("demo"), Attention()
    files = write("held_out", folder / "originals")
    layers = model.content_layers()
    drawing, axes = pyplot.subplots(len(SHOWN), 1 + len(layers), figsize=(2.2 * (1 + len(layers)), 2.3 * len(SHOWN)))
    for row, name in zip(axes, SHOWN, strict=True):
        source = _fitted(files[name])
        with torch.no_grad():
            outputs = model.encode(source, torch.zeros(1))
        row[0].imshow(((source[0].permute(1, 2, 0) + 1) / 2).clamp(0, 1).numpy())
        row[0].set_title(name, fontsize=9)
        for axis, layer in zip(row[1:], layers, strict=True):
            features = outputs[layer.index]
            height, width = features.shape[-2:]
            entropy = entropy_global(features, attention)
            chosen = pick("lowest", entropy, (height, width), Anchors().count(features), None, 1.0)[0]
            axis.imshow(entropy.reshape(height, width).numpy(), cmap="viridis")
            axis.scatter(chosen % width, chosen // width, s=5, c="red", marker="s", linewidths=0)
            kind = " (first convolution)" if layer.kind == "conv" else ""
            axis.set_title(f"{height} x {width}{kind}", fontsize=9)
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
    drawing.suptitle("Entropy of global attention (dark is low) and the anchors it selects (red)", fontsize=11)
    drawing.tight_layout()
    path = folder / "anchors.png"
    drawing.savefig(path, dpi=110)
    return path
