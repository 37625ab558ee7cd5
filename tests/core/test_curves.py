"""Curves of content over style, the gap between two of them, and what is known of its uncertainty."""

import math
import time
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qs_core.errors import InputError
from qs_evaluate.curves import (
    Curve,
    NoOverlap,
    check_pairing,
    compare,
    curve,
    estimate_at,
    estimates,
    flip_test,
    gain,
    holm,
    make_curve,
    measured,
    methods,
    overlap,
    p_value,
    percentiles,
    swept,
    table,
    weights,
)

EXACT = 1e-12  # sums of a few float64 numbers near 1


def line(*points: tuple[float, float]) -> Curve:
    return make_curve(*np.array(points, dtype=float).T)


def make_rows(
    method: str, points, pictures=("p", "q", "r"), prompts=("sketch",), seeds=(0,), change=None
) -> list[dict]:
    """Rows of a method of (style, content) points, one per weight 1, 2, …; content plus `change`(picture)."""
    return [
        {
            "method": method,
            "weight": float(k),
            "prompt": prompt,
            "picture": picture,
            "seed": seed,
            "directional": float(style),
            "ssim": content + (change(picture) if change else 0.0),
            "structure": 1 - content,
        }
        for k, (style, content) in enumerate(points, 1)
        for picture in pictures
        for prompt in prompts
        for seed in seeds
    ]


class TestCurve:
    def test_points_are_taken_in_the_order_of_style(self):
        found = line((0.3, 0.5), (0.1, 0.9), (0.2, 0.6))
        assert found.style.tolist() == [0.1, 0.2, 0.3] and found.content.tolist() == [0.9, 0.6, 0.5]
        assert found.at(0.15) == pytest.approx(0.75, abs=EXACT)

    def test_contents_of_equal_style_are_averaged(self):
        found = line((0.1, 0.9), (0.2, 0.4), (0.2, 0.6))
        assert found.style.tolist() == [0.1, 0.2] and found.content[1] == pytest.approx(0.5, abs=EXACT)

    def test_it_is_never_extrapolated(self):
        with pytest.raises(InputError, match="Style 0.35 is outside the 0.1 to 0.3"):
            line((0.1, 0.9), (0.3, 0.5)).at(0.35)

    def test_prompts_and_seeds_are_averaged_within_a_picture_and_then_pictures(self):
        rows = make_rows("a", [(0, 0), (1, 0)], pictures=("p", "q"), prompts=("x", "y"), seeds=(0, 1))
        for k, row in enumerate(rows):
            row["ssim"] = float(k)
        found = table(rows, "a", "ssim")
        assert found.weights == (1, 2) and found.pictures == ("p", "q")
        assert found.values.tolist() == [[1.5, 5.5], [9.5, 13.5]]
        assert curve(rows, "a").content.tolist() == [3.5, 11.5]

    def test_a_picture_counts_once_however_many_edits_it_has(self):
        rows = make_rows("a", [(0, 0), (1, 0)], pictures=("p",), seeds=(0, 1, 2))
        rows += make_rows("a", [(0, 1), (1, 1)], pictures=("q",))
        assert curve(rows, "a").content.tolist() == [0.5, 0.5]

    def test_one_weight_is_no_curve(self):
        rows = make_rows("none", [(0.3, 0.5)]) + make_rows("a", [(0.1, 0.9), (0.3, 0.5)])
        assert methods(rows) == ("none", "a") and swept(rows) == ("a",) and weights(rows, "a") == (1, 2)
        with pytest.raises(InputError, match="'none' has one weight"):
            curve(rows, "none")

    def test_a_method_without_rows(self):
        with pytest.raises(InputError, match="'b' has no rows; there are a"):
            weights(make_rows("a", [(0, 1)]), "b")


class TestGain:
    def test_two_parallel_lines(self):
        assert gain(line((0, 1), (1, 0)), line((0, 0.9), (1, -0.1))) == pytest.approx(0.1, abs=EXACT)

    def test_only_the_common_range_counts(self):
        """1 - s against 0 on [0.5, 1]: the mean of 1 - s there."""
        assert gain(line((0, 1), (1, 0)), line((0.5, 0), (2, 0))) == pytest.approx(0.25, abs=EXACT)

    def test_the_order_of_the_sweep_does_not_matter(self):
        ordered, mixed = line((0, 1), (0.5, 0.8), (1, 0)), line((0.5, 0.8), (1, 0), (0, 1))
        other = line((0.2, 0.5), (0.9, 0.1))
        assert gain(ordered, other) == gain(mixed, other)

    def test_a_kink_between_the_others_points_is_seen(self):
        """A triangle of height 1 over [0, 1] against 0: area 1/2, wherever its top stands."""
        assert gain(line((0, 0), (0.37, 1), (1, 0)), line((0, 0), (1, 0))) == pytest.approx(0.5, abs=EXACT)

    def test_crossing_curves_cancel(self):
        assert gain(line((0, 0), (1, 1)), line((0, 1), (1, 0))) == pytest.approx(0, abs=EXACT)

    @pytest.mark.parametrize("other", [line((2, 1), (3, 0)), line((1, 1), (3, 0)), line((0.5, 1))])
    def test_styles_apart(self, other):
        with pytest.raises(NoOverlap, match="no common range: 0 to 1, "):
            gain(line((0, 1), (1, 0)), other)

    def test_overlap_of_several(self):
        assert overlap(line((0, 1), (3, 0)), line((1, 1), (4, 0)), line((-1, 1), (2, 0))) == (1, 2)

    points = st.lists(st.tuples(st.integers(0, 20), st.floats(-1, 1)), min_size=2, max_size=6)

    @given(points, points)
    @settings(max_examples=200, deadline=None)
    def test_against_a_fine_sum(self, a, b):
        """The exact integral is what NumPy's interpolation gives on a fine grid that holds every knot."""
        a, b = line(*a), line(*b)
        low, high = max(a.style[0], b.style[0]), min(a.style[-1], b.style[-1])
        if not low < high:
            with pytest.raises(NoOverlap):
                gain(a, b)
            return
        at = np.linspace(low, high, int(high - low) * 10 + 1)
        gap = np.interp(at, a.style, a.content) - np.interp(at, b.style, b.content)
        expected = ((gap[1:] + gap[:-1]) / 2).mean()
        assert gain(a, b) == pytest.approx(expected, abs=1e-9)
        assert gain(b, a) == pytest.approx(-expected, abs=1e-9)


class TestCompare:
    A, B = [(0.1, 0.9), (0.3, 0.7)], [(0.15, 0.75), (0.35, 0.55)]  # both of slope -1, 0.1 apart

    def test_a_gap_that_every_picture_has(self):
        rows = make_rows("a", self.A) + make_rows("b", self.B)
        found = compare(rows, "a", "b", resamples=200)
        assert (found.a, found.b, found.content, found.style) == ("a", "b", "ssim", "directional")
        assert [found.gain, found.low, found.high] == pytest.approx([0.1] * 3, abs=1e-9)
        assert found.range == pytest.approx((0.15, 0.3)) and found.lost == 0
        assert (found.pictures, found.pictures_better, found.pictures_apart) == (3, 3, 0)
        assert found.p == 0.25  # three pictures cannot tell more than a sign test of three
        assert found.p_flip == 0.25

    def test_the_sign_of_distances_is_turned(self):
        rows = make_rows("a", self.A) + make_rows("b", self.B)
        found = compare(rows, "a", "b", content="structure", resamples=50)
        assert found.gain == pytest.approx(0.1, abs=1e-9) and found.pictures_better == 3 and found.low > 0

    def test_swapping_the_methods_turns_all_signs(self):
        change = dict(zip("pqrs", (0.3, -0.2, 0.1, 0.05), strict=True)).get
        rows = make_rows("a", self.A, "pqrs", change=change) + make_rows("b", self.B, "pqrs")
        one, two = compare(rows, "a", "b", resamples=500), compare(rows, "b", "a", resamples=500)
        assert [one.gain, one.low, one.high] == pytest.approx([-two.gain, -two.high, -two.low], abs=1e-9)
        assert one.p == two.p and (one.pictures_better, two.pictures_better) == (3, 1)

    def test_what_pictures_share_is_no_uncertainty(self):
        """A picture that is hard for both methods moves both curves: pairs are compared."""
        change = dict(zip("pqrs", (0.3, -0.2, 0.1, 0.05), strict=True)).get
        rows = make_rows("a", self.A, "pqrs", change=change) + make_rows("b", self.B, "pqrs", change=change)
        found = compare(rows, "a", "b", resamples=200)
        assert [found.low, found.high] == pytest.approx([0.1, 0.1], abs=1e-9)

    def test_the_same_seed_gives_the_same_figures(self):
        change = dict(zip("pqrs", (0.3, -0.2, 0.1, 0.05), strict=True)).get
        rows = make_rows("a", self.A, "pqrs", change=change) + make_rows("b", self.B, "pqrs")
        one = compare(rows, "a", "b", resamples=99, seed=3)
        assert one == compare(rows, "a", "b", resamples=99, seed=3) != compare(rows, "a", "b", resamples=99, seed=4)

    def test_the_interval_is_that_of_a_plain_loop(self):
        """Against resampled rows and a curve built anew each time."""
        random = np.random.default_rng(1)
        rows = make_rows("a", self.A, "pqrs", seeds=(0, 1)) + make_rows("b", self.B, "pqrs", seeds=(0, 1))
        for row in rows:
            row["ssim"] += random.normal(0, 0.05)
            row["directional"] += random.normal(0, 0.01)
        found = compare(rows, "a", "b", resamples=200, seed=5)
        outwards = NormalDist().cdf(-math.sqrt(4 / 3) * 3.182446305)  # Student's of 3 degrees, from tables
        parts = [[table(rows, method, metric).values for metric in ("directional", "ssim")] for method in "ab"]
        gains = []
        for counts in np.random.default_rng(5).multinomial(4, [0.25] * 4, size=200):
            drawn = np.repeat(np.arange(4), counts)
            gains.append(gain(*(make_curve(style[:, drawn].mean(1), ssim[:, drawn].mean(1)) for style, ssim in parts)))
        assert [found.low, found.high] == pytest.approx(np.quantile(gains, [outwards, 1 - outwards]), abs=1e-6)

    def test_styles_apart(self):
        rows = make_rows("a", self.A) + make_rows("b", [(0.4, 0.5), (0.5, 0.4)])
        with pytest.raises(NoOverlap, match="0.1 to 0.3, 0.4 to 0.5"):
            compare(rows, "a", "b", resamples=10)

    def test_resamples_and_pictures_without_overlap_are_counted(self):
        """On picture p the styles meet widely, on q they are apart; only p, p is sure to overlap."""
        rows = make_rows("a", [(0.0, 0.9), (1.0, 0.5)], "p") + make_rows("b", [(0.0, 0.8), (1.0, 0.4)], "p")
        rows += make_rows("a", [(0.0, 0.9), (0.1, 0.5)], "q") + make_rows("b", [(0.6, 0.8), (0.7, 0.4)], "q")
        found = compare(rows, "a", "b", resamples=1000)
        assert found.pictures_apart == 1 and found.pictures_better == 1
        assert 200 < found.lost < 300  # q, q: a quarter of them
        assert found.p >= 2 * found.lost / 1001

    def test_ten_thousand_resamples_take_seconds(self):
        random = np.random.default_rng(0)
        names = [f"photo {k}" for k in range(12)]
        rows = [
            row
            for method in "ab"
            for row in make_rows(method, [(0.1, 0.9), (0.2, 0.8), (0.3, 0.6), (0.4, 0.5)], names, seeds=(0, 1))
        ]
        for row in rows:
            row["ssim"] += random.normal(0, 0.02)
        begun = time.perf_counter()
        found = compare(rows, "a", "b")
        assert found.resamples == 10_000 and time.perf_counter() - begun < 10

    def test_one_picture_has_no_interval(self):
        rows = make_rows("a", self.A, "p") + make_rows("b", self.B, "p")
        with pytest.raises(InputError, match="have 1 picture; an interval needs at least 2"):
            compare(rows, "a", "b")


class TestPairing:
    def rows(self) -> list[dict]:
        return make_rows("a", TestCompare.A) + make_rows("b", TestCompare.B)

    def test_paired(self):
        assert check_pairing(self.rows(), "a", "b") is None

    def test_an_edit_that_one_weight_lacks(self):
        rows = [row for row in self.rows() if (row["method"], row["weight"], row["picture"]) != ("b", 2, "q")]
        expected = "'b' at weight 2 lacks 1 of 3 edits, the first of them picture 'q', prompt 'sketch', seed 0"
        with pytest.raises(InputError, match=expected):
            compare(rows, "a", "b")

    def test_a_picture_that_one_method_lacks(self):
        rows = self.rows() + make_rows("a", TestCompare.A, ("s",))
        with pytest.raises(InputError, match="'b' at weight 1 lacks 1 of 4 edits.*'s'"):
            compare(rows, "a", "b")

    def test_other_seeds(self):
        rows = make_rows("a", TestCompare.A, seeds=(0,)) + make_rows("b", TestCompare.B, seeds=(1,))
        with pytest.raises(InputError, match="lacks 3 of 6 edits"):
            compare(rows, "a", "b")

    def test_an_edit_held_twice(self):
        rows = self.rows()
        with pytest.raises(InputError, match="'a' at weight 1 has two rows of picture 'p'"):
            compare([*rows, dict(rows[0])], "a", "b")

    @pytest.mark.parametrize("value", ["", None, math.nan, math.inf])
    def test_a_value_that_is_missing(self, value):
        rows = self.rows()
        rows[0]["ssim"] = value
        with pytest.raises(InputError, match="picture 'p', prompt 'sketch', seed 0: ssim is .*; a finite number"):
            compare(rows, "a", "b")

    def test_which_metrics_are_measured(self):
        rows = [row | {"lpips": ""} for row in self.rows()]
        assert measured(rows, ("ssim", "gradient", "structure", "lpips")) == ("ssim", "structure")


class TestEstimates:
    def test_the_mean_and_its_interval(self):
        change = dict(zip("pqrs", (0.3, -0.2, 0.1, 0.0), strict=True)).get
        found = estimates(make_rows("a", [(0.1, 0.5), (0.2, 0.4)], "pqrs", change=change), "a", "ssim")
        assert list(found) == [1.0, 2.0]
        assert found[1.0].value == pytest.approx(0.55, abs=EXACT)
        assert 0.3 <= found[1.0].low < 0.45 and 0.65 < found[1.0].high <= 0.8

    def test_one_picture_has_none(self):
        found = estimates(make_rows("a", [(0.1, 0.5)], "p"), "a", "ssim")[1.0]
        assert (found.value, found.low, found.high) == (0.5, None, None)

    def test_at_a_style(self):
        found = estimate_at(0.25, make_rows("a", [(0.3, 0.6), (0.1, 0.9), (0.2, 0.8)]), "a", "ssim", "directional", 50)
        assert [found.value, found.low, found.high] == pytest.approx([0.7] * 3, abs=1e-9) and found.lost == 0

    def test_at_a_style_that_some_resamples_miss(self):
        rows = make_rows("a", [(0.0, 0.9), (1.0, 0.5)], "p") + make_rows("a", [(0.0, 0.9), (0.2, 0.5)], "q")
        found = estimate_at(0.5, rows, "a", "ssim", "directional", 1000)
        assert 200 < found.lost < 300  # q, q reaches 0.2

    def test_at_a_style_out_of_reach(self):
        with pytest.raises(InputError, match="outside"):
            estimate_at(0.5, make_rows("a", [(0.0, 0.9), (0.2, 0.5)]), "a", "ssim", "directional", 10)


class TestPValue:
    def test_the_share_on_the_other_side(self):
        kept = np.array([-0.1] * 4 + [0.2] * 95)
        assert p_value(kept, 99, 20) == pytest.approx(2 * 5 / 100)

    def test_it_is_never_0_nor_above_1(self):
        assert p_value(np.ones(999), 999, 30) == pytest.approx(2 / 1000)
        assert p_value(np.zeros(99), 99, 30) == 1

    def test_lost_resamples_count_against_it(self):
        assert p_value(np.ones(90), 99, 30) == pytest.approx(2 * 10 / 100)

    def test_few_pictures_cannot_be_sure(self):
        assert p_value(np.ones(9999), 9999, 5) == 1 / 16


class TestFlips:
    def test_all_of_one_sign(self):
        assert flip_test(np.array([0.1, 0.2, 0.3, 0.1]), 1000) == 2 / 16

    def test_a_written_example(self):
        """Of the eight sums ±3 ±2 ±1, ±6 and ±4 are at least as far from 0 as 3 + 2 - 1."""
        assert flip_test(np.array([3.0, 2.0, -1.0]), 1000) == 4 / 8

    def test_equal_sums_count_in_spite_of_rounding(self):
        assert flip_test(np.array([0.1, 0.2, -0.3]), 1000) == 1

    def test_random_flips_come_near_all_flips(self):
        gains = np.random.default_rng(0).normal(0.5, 1, 13)
        assert flip_test(gains, 2**13 - 1) == pytest.approx(flip_test(gains, 2**13), abs=0.02)

    def test_it_is_never_0(self):
        assert flip_test(np.ones(40), 99) == 1 / 100

    def test_no_gains(self):
        assert flip_test(np.array([]), 99) == 1


class TestPercentiles:
    @pytest.mark.parametrize(
        "pictures, student", [(2, 12.7062047), (3, 4.3026527), (6, 2.5705818), (12, 2.2009852), (31, 2.0422725)]
    )
    def test_the_levels_are_students(self, pictures, student):
        """Quantiles of Student's T from tables; on the samples 0 … 1 an end is its level."""
        level = NormalDist().cdf(-math.sqrt(pictures / (pictures - 1)) * student)
        assert percentiles(np.linspace(0, 1, 100_001), pictures) == pytest.approx((level, 1 - level), abs=1e-7)

    def test_many_pictures_have_plain_percentiles(self):
        assert percentiles(np.linspace(0, 1, 1001), 10_000) == pytest.approx((0.025, 0.975), abs=1e-4)


class TestHolm:
    def test_a_written_example(self):
        """Of four: 0.005 · 4, 0.01 · 3, 0.03 · 2, and 0.04 · 1, which may not fall below the one before."""
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))

    def test_at_most_1(self):
        assert holm([0.6, 0.5]) == (1, 1)

    def test_one_and_none(self):
        assert holm([0.04]) == (0.04,) and holm([]) == ()

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
    def test_monotone_and_between_raw_and_bonferroni(self, raw):
        adjusted = holm(raw)
        assert all(p <= a <= min(1, len(raw) * p) for p, a in zip(raw, adjusted, strict=True))
        assert [adjusted[i] for i in np.argsort(raw, kind="stable")] == sorted(adjusted)


def test_the_interval_covers_the_truth():
    """Of 100 sets of 12 pictures whose true gain is 0.05, the 95 % interval holds it about as often as it says."""
    random, held, truth, names = np.random.default_rng(0), 0, 0.05, [f"photo {k}" for k in range(12)]
    for _ in range(100):
        hard, own = random.normal(0, 0.1, 12), random.normal(0, 0.04, (2, 12))
        rows = []
        for method, gap in (("a", truth), ("b", 0.0)):
            for k, name in enumerate(names):
                styles = np.array([0.1, 0.2, 0.3]) + random.normal(0, 0.01, 3)
                ssim = 0.9 - styles + gap + hard[k] + own["ab".index(method), k] + random.normal(0, 0.01, 3)
                rows += make_rows(method, list(zip(styles, ssim, strict=True)), (name,))
        found = compare(rows, "a", "b", resamples=500)
        held += found.low <= truth <= found.high
    assert 90 <= held <= 99
