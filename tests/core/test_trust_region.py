"""The trust region: what guidance adds to the predicted noise stays within a radius, of each picture on its own."""

import math
from dataclasses import replace

import pytest
import torch

from qs_core import InputError, stylize
from qs_core.finite import Checks
from qs_core.presets import PRESETS
from qs_core.protocol import Prediction
from qs_core.samplers import Guided
from qs_core.schedule import make_schedule
from qs_core.settings import Settings
from qs_core.trust_region import SPIKE, TrustRegion, local_mean, rms, texture, without_spikes

SCHEDULE = make_schedule("50")
SMALL = {"size": 32, "steps": "6", "skip": 3, "crops": 4, "clip_dtype": "float32"}


def noise(seed, batch=2):
    return torch.randn(batch, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def guided(gradient, eps=None):
    """A guide that always gives this gradient."""
    eps = noise(0) if eps is None else eps
    return lambda x_t, i: Guided(Prediction(x_t, eps, torch.tensor(0.0)), gradient, {}, Checks(0))


def shift(gradient, i=25):
    return math.sqrt(1 - float(SCHEDULE.alpha_bar[i])) * gradient


@pytest.mark.parametrize("scale", [3.0, 1e6])
def test_a_large_gradient_is_scaled_to_the_radius_along_its_own_direction(scale):
    gradient = scale * noise(1)
    bounded = TrustRegion(guided(gradient), SCHEDULE, 0.1)(noise(2), 25).gradient
    ratio = rms(shift(bounded)) / rms(noise(0))
    assert torch.allclose(ratio, torch.full_like(ratio, 0.1), rtol=1e-5)
    assert torch.allclose(bounded / rms(bounded), without_spikes(gradient) / rms(without_spikes(gradient)), atol=1e-5)


def test_a_small_gradient_passes_as_it_is():
    gradient = 0.01 * noise(1)
    bounded = TrustRegion(guided(gradient), SCHEDULE, 0.1)(noise(2), 25).gradient
    assert torch.equal(bounded, without_spikes(gradient))


def test_the_ratio_is_told_as_it_was_before():
    told = TrustRegion(guided(5 * noise(1)), SCHEDULE, 0.1)(noise(2), 25).ratio
    assert told.shape == (2,)
    assert torch.allclose(told, (rms(shift(5 * noise(1))) / rms(noise(0))).flatten(), rtol=1e-5)


def test_each_picture_is_bounded_on_its_own():
    gradient = torch.cat([1000 * noise(1, 1), 0.01 * noise(2, 1)])
    both = TrustRegion(guided(gradient), SCHEDULE, 0.1)(noise(3), 25).gradient
    for b in range(2):
        alone = TrustRegion(guided(gradient[b : b + 1], noise(0)[b : b + 1]), SCHEDULE, 0.1)(noise(3, 1), 25).gradient
        assert torch.allclose(both[b : b + 1], alone)


def test_a_step_that_is_not_guided_stays_so():
    assert TrustRegion(guided(None), SCHEDULE, 0.1)(noise(2), 25).gradient is None


def test_a_gradient_of_zero_stays_zero():
    assert not TrustRegion(guided(torch.zeros(2, 3, 16, 16)), SCHEDULE, 0.1)(noise(2), 25).gradient.any()


def test_a_pixel_that_stands_out_is_held_and_the_others_are_not():
    gradient = torch.ones(1, 3, 16, 16)
    gradient[..., 4, 5] = -1000
    held = without_spikes(gradient)
    length = held.square().sum(1).sqrt()
    most = SPIKE * gradient.square().sum(1).sqrt().mean()
    assert torch.allclose(length.max(), most) and held[0, 0, 4, 5] < 0
    held[..., 4, 5] = gradient[..., 4, 5]
    assert torch.equal(held, gradient)


def test_what_the_radius_means_does_not_depend_on_the_weights(picture):
    """Weights four times as large turn a bounded walk little, an unbounded one far."""

    def apart(radius):
        weights = {"clip_directional": 40_000.0, "clip_global": 10_000.0, "contrastive": 1000.0, "mse": 16_000.0}
        one, four = (
            stylize(picture(1)[0], "golden", trust_radius=radius, **{k: f * w for k, w in weights.items()}, **SMALL)
            for f in (1, 4)
        )
        return float((one.picture - four.picture).square().mean())

    assert apart(0.1) < 0.3 * apart(0.0)


def test_the_report_tells_the_ratio_of_each_step(picture):
    ratios = stylize(picture(1)[0], "golden", **SMALL).report["guidance_ratio"]
    assert len(ratios) == 3 and all(len(row) == 1 and row[0] > 0 for row in ratios)
    assert stylize(picture(1)[0], "golden", trust_radius=0.0, **SMALL).report["guidance_ratio"] == [None] * 3


def test_style_0_gives_the_inversion_back(picture):
    image = picture(1)[0]
    none = stylize(image, "golden", style=0.0, eta=0.0, **SMALL).picture
    weights = {"clip_directional": 0.0, "clip_global": 0.0, "contrastive": 0.0, "mse": 0.0, "range": 0.0}
    assert torch.allclose(none, stylize(image, "golden", eta=0.0, **weights, **SMALL).picture, atol=1e-6)


def half_plain(contrast=0.8):
    """(1, 3, 48, 48): grey on the left, a chessboard of single pixels on the right."""
    pixels = torch.arange(48)
    board = contrast * (1 - 2 * ((pixels[:, None] + pixels) % 2)).float()
    return (board * (pixels >= 24)).expand(1, 3, 48, 48).clone()


def test_texture_is_none_where_a_picture_is_plain_and_nearly_one_where_it_is_not():
    found = texture(half_plain(), 0.1, 48, 48)[0, 0]
    assert not found[:, :20].any() and (found[:, 30:] > 0.95).all()


def test_texture_is_a_half_at_the_contrast_that_is_named():
    board = torch.cat([half_plain(0.1)[..., 24:]] * 2, dim=-1)
    assert texture(board, 0.1, 48, 48)[0, 0, 10:-10, 10:-10].mean().item() == pytest.approx(0.5, abs=0.02)


def test_texture_of_states_is_that_of_the_picture_at_their_size():
    found = texture(half_plain(), 0.1, 6, 6)[0, 0]
    assert found.shape == (6, 6) and not found[:, :2].any() and (found[:, 4:] > 0.9).all()


def test_guidance_is_smooth_where_the_source_is_plain_and_as_fine_as_before_elsewhere():
    gradient, eps = noise(1, 1), torch.ones(1, 3, 16, 16)
    gradient = torch.nn.functional.interpolate(gradient, scale_factor=3)
    fine = texture(half_plain(), 0.1, 48, 48)
    smoothed = TrustRegion(guided(gradient, eps), SCHEDULE, 1e9, fine)(noise(2), 25).gradient
    held = without_spikes(gradient)
    assert torch.allclose(smoothed[..., :20], local_mean(held, 8)[..., :20], atol=1e-6)
    assert (smoothed - held)[..., 30:].abs().max() < 0.1 * held.abs().max()
    assert smoothed[..., :20].std() < 0.5 * held[..., :20].std()


@pytest.mark.parametrize("size", [(20, 33), (530, 641)])
def test_the_local_mean_of_a_constant_is_that_constant_to_the_border(size):
    assert torch.allclose(local_mean(torch.full((2, 3, *size), 0.7), 8), torch.full((2, 3, *size), 0.7), atol=1e-5)


def test_the_local_mean_of_a_large_picture_is_that_of_the_small_one():
    small = local_mean(noise(1, 1), 2)
    large = torch.nn.functional.interpolate(noise(1, 1), scale_factor=64)
    found = torch.nn.functional.adaptive_avg_pool2d(local_mean(large, 2), (16, 16))
    assert (found - small).std() < 0.2 * small.std()


def test_a_source_without_texture_is_guided_as_each_picture_of_a_batch_alone():
    both = torch.cat([half_plain(), half_plain(0.05)])
    assert torch.equal(texture(both, 0.1, 48, 48)[1:], texture(both[1:], 0.1, 48, 48))


def test_smoothing_is_off_at_zero_and_idle_without_a_radius(picture):
    on, off = (stylize(picture(1)[0], "golden", plain_below=p, **SMALL).picture for p in (0.1, 0.0))
    free = [stylize(picture(1)[0], "golden", plain_below=p, trust_radius=0.0, **SMALL).picture for p in (0.1, 0.0)]
    assert not torch.equal(on, off) and torch.equal(*free)


@pytest.mark.parametrize("name", ["style", "content", "trust_radius", "plain_below"])
@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_dials_and_radius_are_numbers_from_0_on(name, value):
    with pytest.raises(InputError, match=f"{name} .*: a number from 0 on is needed"):
        replace(Settings(("golden",)), **{name: value})


def test_presets_with_the_papers_weights_are_not_bounded():
    papers = [preset for preset in PRESETS.values() if "clip_global" in preset.overrides]
    assert len(papers) == 24 and all(preset.settings()["trust_radius"] == 0 for preset in papers)
