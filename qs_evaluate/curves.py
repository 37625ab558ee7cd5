"""Content at equal style: each method's curve over its weights, and the gap between two curves with its uncertainty.

A weight that holds more content leaves less style, so methods are not compared weight by weight but where their styles
agree. The unit of the bootstrap is the picture: prompts and seeds of one picture are averaged, not counted as evidence.
Rows are dicts, one per edit: method, weight, prompt, picture, seed, and the metrics as numbers.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from qs_core.errors import InputError

CONTENT = ("ssim", "gradient", "structure", "lpips")
STYLE = ("directional", "clip_score", "probability")
DISTANCES = frozenset({"structure", "lpips"})  # less of them is more content
CONFIDENCE = 0.95

Rows = Sequence[Mapping[str, object]]


class NoOverlap(InputError):
    """Two curves reach no common range of styles: there is no equal style at which to compare them."""


@dataclass(frozen=True)
class Table:
    """One metric of one method: a mean over prompts and seeds for each weight (rows) and picture (columns)."""

    weights: tuple[float, ...]  # ascending
    pictures: tuple[str, ...]  # sorted
    values: np.ndarray  # (weights, pictures)


@dataclass(frozen=True)
class Curve:
    """Content as a piecewise linear function of style: points in ascending order of style, no style twice."""

    style: np.ndarray  # (points,)
    content: np.ndarray  # (points,)

    def at(self, style: float) -> float:
        """Content at a style. Raises InputError outside the reached range: a curve is never extrapolated."""
        low, high = self.style[0], self.style[-1]
        if not low <= style <= high:
            raise InputError(f"Style {style:.4g} is outside the {low:.4g} to {high:.4g} that this method reaches.")
        return float(np.interp(style, self.style, self.content))


@dataclass(frozen=True)
class Comparison:
    """How much more content method `a` keeps than `b` at equal style; positive is more, for distances as well."""

    a: str
    b: str
    content: str
    style: str
    gain: float  # of the mean curves, averaged over the common range of styles
    low: float  # the 95 % bootstrap interval over pictures, see `percentiles`
    high: float
    p: float  # two-sided by the bootstrap, see `p_value`: too small for few pictures
    p_flip: float  # two-sided by flipped signs of the pictures' own gains, see `flip_test`
    pictures: int
    pictures_better: int  # those whose own curves have a gain above 0
    pictures_apart: int  # those whose own curves have no common range: neither better nor worse
    range: tuple[float, float]  # of the styles that both mean curves reach
    resamples: int
    lost: int  # resamples without a common range: not in the interval, counted against significance in p


@dataclass(frozen=True)
class Estimate:
    """A mean over pictures and its 95 % bootstrap interval; without one where there is one picture."""

    value: float
    low: float | None
    high: float | None
    lost: int = 0  # resamples whose curve does not reach the style, not in the interval


def methods(rows: Rows) -> tuple[str, ...]:
    """The methods' names in the order of their first rows."""
    return tuple(dict.fromkeys(str(row["method"]) for row in rows))


def weights(rows: Rows, method: str) -> tuple[float, ...]:
    """The weights of a method, ascending. Raises InputError for a method without rows."""
    found = sorted({float(row["weight"]) for row in rows if row["method"] == method})
    if not found:
        raise InputError(f"Method {method!r} has no rows; there are {', '.join(methods(rows)) or 'none'}.")
    return tuple(found)


def swept(rows: Rows) -> tuple[str, ...]:
    """The methods with more than one weight: those that have a curve. The others are single points, never compared."""
    return tuple(method for method in methods(rows) if len(weights(rows, method)) > 1)


def measured(rows: Rows, metrics: Collection[str]) -> tuple[str, ...]:
    """Those of the metrics that any row holds a value of."""
    return tuple(metric for metric in metrics if any(row.get(metric) not in (None, "") for row in rows))


def edits(rows: Rows, method: str, weight: float) -> dict[tuple[str, str, int], Mapping[str, object]]:
    """The rows of a method at a weight by (picture, prompt, seed). Raises InputError for an edit held twice."""
    found: dict[tuple[str, str, int], Mapping[str, object]] = {}
    for row in rows:
        if row["method"] == method and float(row["weight"]) == weight:
            key = (str(row["picture"]), str(row["prompt"]), int(row["seed"]))
            if key in found:
                raise InputError(f"{_cell(method, weight)} has two rows of {_edit(key)}. Remove one of them.")
            found[key] = row
    return found


def check_pairing(rows: Rows, *names: str) -> None:
    """Raises InputError unless the methods have the same pictures x prompts x seeds at each of their weights."""
    cells = {(name, weight): set(edits(rows, name, weight)) for name in names for weight in weights(rows, name)}
    everything = set().union(*cells.values())
    for (name, weight), keys in cells.items():
        missing = sorted(everything - keys)
        if missing:
            raise InputError(
                f"{_cell(name, weight)} lacks {len(missing)} of {len(everything)} edits, the first of them "
                f"{_edit(missing[0])}. All need the same pictures, prompts and seeds; run what is missing."
            )


def shared_seeds(rows: Rows, *names: str) -> tuple[int, ...]:
    """The seeds that all of the methods have. Raises InputError where there is none."""
    seeds = [{int(row["seed"]) for row in rows if row["method"] == name} for name in names]
    common = tuple(sorted(set.intersection(*seeds)))
    if not common:
        raise InputError(
            f"Methods {' and '.join(map(repr, names))} have no seed in common. Run them with the same seeds."
        )
    return common


def _cell(method: str, weight: float) -> str:
    return f"Method {method!r} at weight {weight:g}"


def _edit(key: tuple[str, str, int]) -> str:
    return f"picture {key[0]!r}, prompt {key[1]!r}, seed {key[2]}"


def table(rows: Rows, method: str, metric: str) -> Table:
    """A metric of a method. Raises InputError for an edit that is missing at a weight, and for a value that is."""
    check_pairing(rows, method)
    columns = []
    for weight in weights(rows, method):
        cells: dict[str, list[float]] = {}
        for key, row in edits(rows, method, weight).items():
            cells.setdefault(key[0], []).append(_value(row, metric, f"{_cell(method, weight)}, {_edit(key)}"))
        names = tuple(sorted(cells))
        columns.append([math.fsum(cells[name]) / len(cells[name]) for name in names])
    return Table(weights(rows, method), names, np.array(columns))


def _value(row: Mapping[str, object], metric: str, where: str) -> float:
    value = row.get(metric)
    if value in (None, "") or not math.isfinite(float(value)):
        raise InputError(f"{where}: {metric} is {value!r}; a finite number is needed. Measure that edit again.")
    return float(value)


def mean_over(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(resamples, weights): means of (weights, pictures), each picture as often as `counts` (resamples, pictures)."""
    return counts @ values.T / counts.sum(1, keepdims=True)


def draw(pictures: int, resamples: int, seed: int) -> np.ndarray:
    """(resamples, pictures): how often each picture is in each resample of as many, drawn with replacement."""
    return np.random.default_rng(seed).multinomial(pictures, np.full(pictures, 1 / pictures), size=resamples)


def percentiles(samples: np.ndarray, pictures: int) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the 95 % bootstrap interval of samples along their first dimension: expanded percentiles.

    Plain percentiles of a mean are too close for few pictures: a resample's spread is short by sqrt((n - 1) / n), and
    the normal's tails are thinner than Student's. Hesterberg (2015, arXiv 1411.5279) moves the levels outwards by both.
    """
    tail = NormalDist().cdf(-math.sqrt(pictures / (pictures - 1)) * _student(CONFIDENCE, pictures - 1))
    return tuple(np.quantile(samples, [tail, 1 - tail], axis=0))


def _student(inside: float, freedom: int) -> float:
    """The t with P(|T| < t) = `inside` for Student's T, by bisection of its angle atan(t / sqrt(freedom))."""
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _share(middle, freedom) < inside else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _share(angle: float, freedom: int) -> float:
    """P(|T| < sqrt(freedom) tan(angle)) as a finite sum (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    odd, square = freedom % 2, math.cos(angle) ** 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for k in range(freedom // 2):
        total += term
        term *= square * ((2 * k + 2) / (2 * k + 3) if odd else (2 * k + 1) / (2 * k + 2))
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total


def make_curve(style: np.ndarray, content: np.ndarray) -> Curve:
    """The curve through (style, content) points in any order; contents of equal style are averaged."""
    styles, place = np.unique(style, return_inverse=True)
    return Curve(styles, np.bincount(place, weights=content) / np.bincount(place))


def curve(rows: Rows, method: str, content: str = "ssim", style: str = "directional") -> Curve:
    """The mean curve of a method, in the metrics' own units. Raises InputError for a method of one weight."""
    if len(weights(rows, method)) < 2:
        raise InputError(f"Method {method!r} has one weight, and so no curve. At least two are needed.")
    return make_curve(table(rows, method, style).values.mean(1), table(rows, method, content).values.mean(1))


def overlap(*curves: Curve) -> tuple[float, float]:
    """The range of styles that all curves reach. Raises NoOverlap where there is none."""
    low, high = max(curve.style[0] for curve in curves), min(curve.style[-1] for curve in curves)
    if not low < high:
        reach = ", ".join(f"{curve.style[0]:.4g} to {curve.style[-1]:.4g}" for curve in curves)
        raise NoOverlap(f"The styles reached have no common range: {reach}. Sweep weights whose styles overlap.")
    return float(low), float(high)


def gain(a: Curve, b: Curve) -> float:
    """The mean of content_a(s) - content_b(s) over the styles s that both reach. Raises NoOverlap."""
    overlap(a, b)
    return float(_gains(a.style[None], a.content[None], b.style[None], b.content[None])[0])


def _gains(style_a: np.ndarray, content_a: np.ndarray, style_b: np.ndarray, content_b: np.ndarray) -> np.ndarray:
    """(R,): the gain of each of R pairs of curves, given as (R, points) in any order; NaN where none overlaps."""
    style_a, content_a = _in_order(style_a, content_a)
    style_b, content_b = _in_order(style_b, content_b)
    low = np.maximum(style_a[:, :1], style_b[:, :1])
    high = np.minimum(style_a[:, -1:], style_b[:, -1:])
    apart = ~(low < high)
    # Between neighbouring knots of either curve the difference is linear, so that the trapezia are exact.
    knots = np.sort(np.concatenate([style_a, style_b], 1).clip(low, np.maximum(low, high)), 1)
    gap = _interpolate(knots, style_a, content_a) - _interpolate(knots, style_b, content_b)
    area = (np.diff(knots, axis=1) * (gap[:, 1:] + gap[:, :-1]) / 2).sum(1)
    length = np.where(apart, np.nan, high - low)[:, 0]
    return area / length


def _in_order(style: np.ndarray, content: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(R, points) each, by ascending style; points of equal style all hold their mean content."""
    order = np.argsort(style, axis=1, kind="stable")
    style, content = np.take_along_axis(style, order, 1), np.take_along_axis(content, order, 1)
    equal = style[:, :, None] == style[:, None, :]
    if (equal.sum((1, 2)) > style.shape[1]).any():
        content = (equal * content[:, None, :]).sum(2) / equal.sum(2)
    return style, content


def _interpolate(at: np.ndarray, style: np.ndarray, content: np.ndarray) -> np.ndarray:
    """(R, K): the contents at (R, K) styles of curves (R, points) in order; the end's outside their range."""
    left = ((style[:, None, :] <= at[:, :, None]).sum(2) - 1).clip(0, max(0, style.shape[1] - 2))
    right = np.minimum(left + 1, style.shape[1] - 1)
    x0, x1, y0, y1 = (np.take_along_axis(v, i, 1) for v in (style, content) for i in (left, right))
    width = x1 - x0
    share = np.where(width > 0, (at - x0) / np.where(width > 0, width, 1), 0)
    return y0 + share.clip(0, 1) * (y1 - y0)


def estimates(rows: Rows, method: str, metric: str, resamples: int = 10_000, seed: int = 0) -> dict[float, Estimate]:
    """The metric's mean over pictures at each weight of a method."""
    part = table(rows, method, metric)
    drawn = mean_over(part.values, draw(len(part.pictures), resamples, seed))
    values = part.values.mean(1)
    return {weight: _estimate(values[k], drawn[:, k], len(part.pictures)) for k, weight in enumerate(part.weights)}


def estimate_at(
    level: float, rows: Rows, method: str, content: str, style: str, resamples: int = 10_000, seed: int = 0
) -> Estimate:
    """The content of a method's mean curve at a level of style. Raises InputError where the curve does not reach it."""
    value = curve(rows, method, content, style).at(level)
    styles, contents = table(rows, method, style), table(rows, method, content)
    counts = draw(len(styles.pictures), resamples, seed)
    x, y = _in_order(mean_over(styles.values, counts), mean_over(contents.values, counts))
    reached = (x[:, 0] <= level) & (level <= x[:, -1])
    drawn = _interpolate(np.full((len(x), 1), level), x, y)[:, 0]
    return _estimate(value, drawn[reached], len(styles.pictures), lost=int((~reached).sum()))


def _estimate(value: float, drawn: np.ndarray, pictures: int, lost: int = 0) -> Estimate:
    if pictures < 2 or not len(drawn):
        return Estimate(float(value), None, None, lost)
    low, high = percentiles(drawn, pictures)
    return Estimate(float(value), float(low), float(high), lost)


def compare(
    rows: Rows,
    a: str,
    b: str,
    content: str = "ssim",
    style: str = "directional",
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Method `a` against `b`: the gain of the mean curves, its bootstrap interval and p-value over pictures.

    A resample draws pictures with replacement, the same for both methods, and makes both mean curves anew.
    Raises InputError for methods that are not paired or not swept, or of one picture; NoOverlap for styles apart.
    """
    whole = curve(rows, a, content, style), curve(rows, b, content, style)
    check_pairing(rows, a, b)
    tables = [table(rows, method, metric) for method in (a, b) for metric in (style, content)]
    pictures = len(tables[0].pictures)
    if pictures < 2:
        raise InputError(f"Methods {a!r} and {b!r} have {pictures} picture; an interval needs at least 2, better 10.")
    sign = -1 if content in DISTANCES else 1
    common = overlap(*whole)
    each = sign * _gains(*(part.values.T for part in tables))
    counts = draw(pictures, resamples, seed)
    drawn = sign * _gains(*(mean_over(part.values, counts) for part in tables))
    kept = drawn[~np.isnan(drawn)]
    if not len(kept):
        raise NoOverlap(
            f"None of {resamples} resamples of the pictures has a range of styles that both {a!r} and {b!r} reach."
        )
    low, high = percentiles(kept, pictures)
    return Comparison(
        a=a,
        b=b,
        content=content,
        style=style,
        gain=sign * gain(*whole),
        low=float(low),
        high=float(high),
        p=p_value(kept, resamples, pictures),
        p_flip=flip_test(np.nan_to_num(each), resamples, seed),
        pictures=pictures,
        pictures_better=int((each > 0).sum()),
        pictures_apart=int(np.isnan(each).sum()),
        range=common,
        resamples=resamples,
        lost=resamples - len(kept),
    )


def p_value(kept: np.ndarray, resamples: int, pictures: int) -> float:
    """Two-sided: 2 (1 + lost + min(#{gain <= 0}, #{gain >= 0})) / (1 + resamples), but in [2^(1 - pictures), 1].

    The 1 keeps it off 0, which no finite number of resamples shows; lost resamples count as if they contradicted. The
    lower bound is the least that a two-sided sign test of so few pictures can give: without it, three pictures of one
    mind would look as sure as a hundred. Even so it is too small for few: of 1000 simulated sets of 12 pictures without
    a difference (normal noise), 85 had p <= 0.05; by `flip_test` 51 had.
    """
    other = min((kept <= 0).sum(), (kept >= 0).sum()) + resamples - len(kept)
    return float(min(1.0, max(2 * (1 + other) / (1 + resamples), 2.0 ** (1 - pictures))))


def flip_test(gains: np.ndarray, resamples: int, seed: int = 0) -> float:
    """Two-sided p-value of the mean of pictures' gains: how often flipped signs give one as far from 0.

    Under the hypothesis that the sign of each picture's gain is chance. Exact for all 2^n flips where they are no more
    than `resamples`, else by as many random ones beside the true signs. A picture without overlap has the gain 0.
    """
    n = len(gains)
    if 2**n <= resamples:
        signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    else:
        signs = np.random.default_rng(seed).choice([-1, 1], (resamples + 1, n))
        signs[0] = 1
    sums = np.abs(signs @ gains)
    return float((sums >= sums[0] - 1e-9 * np.abs(gains).sum()).mean())  # flips of equal sum differ by rounding


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """The p-values adjusted for their number by Holm and Bonferroni's step-down method, in the given order.

    The k-th smallest of m is multiplied by m - k + 1, never below the one before, at most 1.
    """
    adjusted, floor = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = floor
    return tuple(adjusted)
