"""Betas, respacing and q(x_t | x_0) against golden figures and the equations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qs_core.errors import InputError
from qs_core.schedule import Schedule, make_schedule, space

SPACINGS = ("50", "ddim50", "25", "10,20", "1000")
EXACT = 1e-12  # float64 against float64: only the order of operations differs


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("noise", ["linear", "cosine"])
class TestGolden:
    def test_timesteps(self, golden, noise, spacing):
        expected = golden("schedules")[f"{noise}/{spacing}/timesteps"].numpy()
        np.testing.assert_array_equal(make_schedule(spacing, noise).timesteps, expected)

    @pytest.mark.parametrize(
        "attribute, key",
        [("alpha_bar", "alphas_cumprod"), ("betas", "betas"), ("posterior_variance", "posterior_variance")],
    )
    def test_figures(self, golden, noise, spacing, attribute, key):
        expected = golden("schedules")[f"{noise}/{spacing}/{key}"].numpy()
        actual = getattr(make_schedule(spacing, noise), attribute)
        # 1 - ᾱ/ᾱ' cancels to 1e-4 at the first steps, which costs four of float64's sixteen digits.
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=EXACT)


@given(st.integers(1, 1000))
@settings(max_examples=50, deadline=None)
def test_a_count_keeps_that_many_steps_ascending_from_first_to_last(count):
    steps = space(str(count))
    assert len(steps) == count and steps[0] == 0 and (np.diff(steps) > 0).all()
    assert count == 1 or steps[-1] == 999


def test_sections_are_spaced_each_on_its_own():
    np.testing.assert_array_equal(space("2,3", steps=10), [0, 4, 5, 7, 9])


@given(st.integers(2, 999))
@settings(max_examples=30, deadline=None)
def test_respaced_betas_rebuild_alpha_bar(count):
    schedule = make_schedule(str(count))
    np.testing.assert_allclose(np.cumprod(1 - schedule.betas), schedule.alpha_bar, rtol=1e-10)


@pytest.mark.parametrize(
    "spacing, message",
    [
        ("fifty", "'fifty' is not understood"),
        ("", "is not understood"),
        ("ddim", "'ddim' is not understood"),
        ("10,,20", "is not understood"),
        ("ddim7.5", "is not understood"),
        ("ddim999", "no whole stride over 1000 steps gives 999"),
        ("ddim0", "no whole stride"),
        ("0", "0 of a section's 1000 steps; it needs 1 to 1000"),
        ("-5", "it needs 1 to 1000"),
        ("1001", "1001 of a section's 1000"),
        ("600,10", "600 of a section's 500"),
    ],
)
def test_bad_respacing(spacing, message):
    with pytest.raises(InputError, match=message):
        make_schedule(spacing)


def test_unknown_noise_names_the_choices():
    with pytest.raises(InputError, match="'sigmoid' is unknown; choose one of linear, cosine"):
        make_schedule("50", "sigmoid")


def test_diffuse_is_the_equation():
    schedule = make_schedule("50")
    x0, noise = torch.randn(2, 1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = schedule.alpha_bar[7] ** 0.5 * x0 + (1 - schedule.alpha_bar[7]) ** 0.5 * noise
    torch.testing.assert_close(schedule.diffuse(x0, noise, 7), expected)


def test_posterior_mean_by_bayes():
    """The product of two Gaussians, N(√α x_{i-1}; β) and N(√ᾱ' x0; 1-ᾱ'), has this mean."""
    schedule, i = make_schedule("50"), 20
    x0, x_t = torch.randn(2, 1, 3, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    beta, previous = schedule.betas[i], schedule.alpha_bar_previous[i]
    precision = (1 - beta) / beta + 1 / (1 - previous)
    expected = ((1 - beta) ** 0.5 * x_t / beta + previous**0.5 * x0 / (1 - previous)) / precision
    torch.testing.assert_close(schedule.posterior_mean(x0, x_t, i), expected)


def test_posterior_mean_at_state_0_is_x0():
    x0, x_t = torch.randn(2, 1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(make_schedule("50").posterior_mean(x0, x_t, 0), x0)


@pytest.mark.parametrize("kind", ["fixed_small", "fixed_large"])
def test_log_variances_are_finite_and_the_first_is_clipped(kind):
    schedule = make_schedule("50")
    values = schedule.fixed_log_variance(kind)
    assert np.isfinite(values).all() and len(values) == len(schedule)
    assert values[0] == np.log(schedule.posterior_variance[1])


def test_fixed_large_is_beta_and_fixed_small_the_posterior():
    schedule = make_schedule("50")
    np.testing.assert_allclose(np.exp(schedule.fixed_log_variance("fixed_large"))[1:], schedule.betas[1:])
    np.testing.assert_allclose(np.exp(schedule.fixed_log_variance("fixed_small"))[1:], schedule.posterior_variance[1:])


def test_a_schedule_is_frozen():
    with pytest.raises(AttributeError):
        make_schedule("50").noise = "cosine"
    assert isinstance(make_schedule("50"), Schedule)


@pytest.mark.parametrize("count", [1, 2, 21, 23, 31, 35, 39, 50, 250, 999, 1000])
def test_single_counts_are_rounded_sums_of_strides(count):
    """guided-diffusion adds the stride up; k · stride rounds elsewhere for many counts."""
    stride, position, expected = 999 / max(1, count - 1), 0.0, []
    for _ in range(count):
        expected.append(round(position))
        position += stride
    assert space(str(count)).tolist() == expected


@pytest.mark.parametrize("highest", range(1, 1000, 7))
def test_points_up_to_a_timestep_are_distinct_however_many(highest):
    for count in {2, highest // 2 + 2, highest, highest + 1} - {0, 1}:
        kept = space(f"{highest}:{count}")
        assert len(kept) == count and kept[0] == 0 and kept[-1] == highest and (np.diff(kept) > 0).all()
