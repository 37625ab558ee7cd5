"""Where the contrastive loss looks: random, global, local and local+global anchors.

QS-Attn (Hu et al. 2022, arXiv 2203.08483) and the paper, section III: attention of the source's features over
themselves; the rows of lowest entropy are the anchors, and the *source's* rows route the values of both pictures.
All arithmetic is float32. No H·W x H·W matrix is held but for maps of 2048 positions or fewer.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import normalize, pad

from .errors import InputError
from .randomness import Generators, send

Route = Callable[[Tensor], Tensor]  # (B, C, H, W) → (B, N, C)
KINDS = ("random", "global", "local", "local_global")
SCALES = ("raw", "sqrt", "cosine")
BLOCK = 4 * 2**20  # attention scores held at a time (16 MB)


@dataclass(frozen=True)
class Attention:
    """The scale of the dot product: raw as in QS-Attn, divided by √d, or cosine; then divided by `temperature`."""

    scale: str = "cosine"
    temperature: float = 0.07

    def __post_init__(self):
        if self.scale not in SCALES:
            raise InputError(f"Attention scale {self.scale!r} is unknown; choose one of {', '.join(SCALES)}.")
        if not self.temperature > 0:
            raise InputError(f"Attention temperature {self.temperature} must be above 0.")

    def tokens(self, features: Tensor) -> tuple[Tensor, float]:
        """(B, HW, C) float32 tokens and the factor that makes their dot product a score."""
        tokens = rearrange(features.float(), "b c h w -> b (h w) c").contiguous()
        if self.scale == "cosine":
            tokens = normalize(tokens, dim=-1)
        root = math.sqrt(tokens.shape[-1]) if self.scale == "sqrt" else 1.0
        return tokens, 1 / (root * self.temperature)


@dataclass(frozen=True)
class Selection:
    """What a selector found on one layer: entropies (B, H, W) in nats, positions (B, N) row-major, and the route."""

    entropy: Tensor
    positions: Tensor
    route: Route


def entropy_global(features: Tensor, attention: Attention) -> Tensor:
    """(B, HW) exact entropy in nats of each row of the softmax attention of (B, C, H, W) over itself.

    H_i = logsumexp_j(s_ij) - Σ_j p_ij s_ij, in blocks of rows.
    """
    tokens, scale = attention.tokens(features)
    return torch.stack([_entropy_rows(one, scale) for one in tokens])


def _entropy_rows(tokens: Tensor, scale: float) -> Tensor:
    count = len(tokens)
    rows = max(1, min(count, BLOCK // count))
    keys, entropies = tokens.T.contiguous() * scale, tokens.new_empty(count)
    scores = tokens.new_empty(rows, count)
    for start in range(0, count, rows):
        block = tokens[start : start + rows]
        s = torch.mm(block, keys, out=scores[: len(block)])
        s -= s.amax(dim=1, keepdim=True)
        p = s.exp()
        total = p.sum(dim=1)
        # Where p underflows to 0 the product is 0 as well: s is finite.
        entropies[start : start + rows] = total.log() - p.mul_(s).sum(dim=1) / total
    return entropies


def lowest(entropy: Tensor, count: int) -> Tensor:
    """(B, N) positions of the `count` lowest of (B, HW) entropies, ascending, ties by position."""
    return entropy.sort(dim=1, stable=True).indices[:, :count]


def select_global(features: Tensor, count: int, attention: Attention) -> Selection:
    """Rows of the full attention with the lowest entropy; they average the values of the whole map."""
    return _with_global_rows(features, entropy_global(features, attention), count, attention)


def select_local(features: Tensor, count: int, attention: Attention, kernel: int = 7) -> Selection:
    """Rows of attention within a kernel x kernel window; they average the values of the window.

    Deviation: the reference reads `unfold`'s (C, k²) layout as (k², C), which scrambles it, and lets zero padding take
    part in the softmax; here the window's places outside the map repeat its border.
    """
    entropy, weights = _local(features, attention, kernel)
    positions = lowest(entropy, count)
    chosen = torch.gather(weights, 1, positions[..., None].expand(-1, -1, kernel**2))  # (B, N, k²)
    neighbours = _neighbours(features.shape[-2:], kernel, features.device)[positions]  # (B, N, k²)

    def route(values: Tensor) -> Tensor:
        flat = rearrange(values.float(), "b c h w -> b (h w) c")
        gathered = torch.stack([one[index] for one, index in zip(flat, neighbours, strict=True)])
        return torch.einsum("bnk,bnkc->bnc", chosen, gathered)

    return Selection(_as_map(entropy, features), positions, route)


def select_local_global(features: Tensor, count: int, attention: Attention, kernel: int = 7) -> Selection:
    """Positions by the entropy of local attention, rows of global attention."""
    return _with_global_rows(features, _local(features, attention, kernel)[0], count, attention)


def _with_global_rows(features: Tensor, entropy: Tensor, count: int, attention: Attention) -> Selection:
    positions = lowest(entropy, count)
    tokens, scale = attention.tokens(features)
    queries = torch.stack([one[index] for one, index in zip(tokens, positions, strict=True)])
    rows = torch.softmax(queries @ tokens.transpose(1, 2) * scale, dim=-1)  # (B, N, HW)
    return Selection(
        _as_map(entropy, features), positions, lambda values: rows @ rearrange(values.float(), "b c h w -> b (h w) c")
    )


def _as_map(entropy: Tensor, features: Tensor) -> Tensor:
    return rearrange(entropy, "b (h w) -> b h w", h=features.shape[-2])


def _local(features: Tensor, attention: Attention, kernel: int) -> tuple[Tensor, Tensor]:
    """Entropies (B, HW) and weights (B, HW, k²) of attention within each window."""
    height, width = features.shape[-2:]
    tokens, scale = attention.tokens(features)
    centre = rearrange(tokens, "b (h w) c -> b c h w", h=height)
    padded = pad(centre, [kernel // 2] * 4, mode="replicate")
    shifts = [(y, x) for y in range(kernel) for x in range(kernel)]
    scores = torch.stack([(centre * padded[..., y : y + height, x : x + width]).sum(1) for y, x in shifts], dim=-1)
    log_p = torch.log_softmax(rearrange(scores, "b h w k -> b (h w) k") * scale, dim=-1)
    p = log_p.exp()
    return -(p * log_p).sum(-1), p


def _neighbours(shape: Sequence[int], kernel: int, device: torch.device) -> Tensor:
    """(HW, k²) positions of each place's window, row-major, those outside clamped to the border."""
    height, width = shape
    offset = torch.arange(kernel, device=device) - kernel // 2
    rows = (torch.arange(height, device=device)[:, None] + offset).clamp(0, height - 1)  # (H, k)
    columns = (torch.arange(width, device=device)[:, None] + offset).clamp(0, width - 1)
    grid = rows[:, None, :, None] * width + columns[None, :, None, :]  # (H, W, k, k)
    return rearrange(grid, "h w y x -> (h w) (y x)")


def route_at(positions: Tensor) -> Route:
    """A route that reads (B, N) row-major positions themselves."""

    def route(values: Tensor) -> Tensor:
        flat = rearrange(values, "b c h w -> b c (h w)")
        picked = torch.gather(flat, 2, positions[:, None].expand(-1, flat.shape[1], -1))
        return rearrange(picked, "b c n -> b n c")

    return route


def select_random(features: Tensor, count: int, generators: Generators) -> Route:
    """A route to `count` distinct random positions of each picture."""
    places = features.shape[-2] * features.shape[-1]
    positions = torch.stack([torch.randperm(places, generator=g)[:count] for g in generators])
    return route_at(send(positions, features.device))


SELECTORS = {"global": select_global, "local": select_local, "local_global": select_local_global}


@dataclass(frozen=True)
class Anchors:
    """How anchors are chosen. `attend` are the layers (their numbers in the loss's list) whose anchors are selected by
    attention; the others, and all of them for kind "random", are drawn anew at each step, as in QS-Attn and ZeCon.
    """

    kind: str = "global"
    number: int = 256
    attend: frozenset[int] = frozenset()
    attention: Attention = Attention()

    def __post_init__(self):
        if self.kind not in KINDS:
            raise InputError(f"Anchors {self.kind!r} are unknown; choose one of {', '.join(KINDS)}.")
        if self.number < 1:
            raise InputError(f"{self.number} anchors: at least 1 is needed.")

    def count(self, features: Tensor) -> int:
        """Anchors on one layer: the wished number, at most a quarter of the map."""
        return max(1, min(self.number, features.shape[-2] * features.shape[-1] // 4))

    def select(self, features: Sequence[Tensor]) -> list[Selection | None]:
        """The selection of each attended layer, None where positions are random."""
        if self.kind == "random":
            return [None] * len(features)
        select = SELECTORS[self.kind]
        return [
            select(f, self.count(f), self.attention) if layer in self.attend else None
            for layer, f in enumerate(features)
        ]

    def draw(self, features: Tensor, generators: Generators) -> Route:
        """Fresh random anchors for one layer."""
        return select_random(features, self.count(features), generators)
