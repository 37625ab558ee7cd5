"""A large picture in windows: one prediction, one gradient, no seam, the memory of one window."""

import pytest
import torch

from qs_core.anchors import Anchors
from qs_core.errors import InputError
from qs_core.losses.base import View
from qs_core.losses.contrastive import Contrastive, Windowed
from qs_core.randomness import seeded
from qs_core.stylizer import Stylizer, complete
from qs_core.tiles import Tiled, default_size, tiled
from tests.core.test_codec import Halved

SIZE = 72  # of windows of 32: three a side


@pytest.mark.parametrize("height, width", [(72, 72), (40, 200), (32, 33 * 8)])
def test_windows_cover_all_and_their_weights_sum_to_one(calm, height, width):
    windows, total = Tiled(calm, 32).windows(height, width), torch.zeros(height, width)
    for window in windows:
        assert max(window.weights.shape) <= 32 and window.weights.min() > 0
        assert all(part.start % calm.multiple == 0 for part in window.place[-2:])
        total[window.place] += window.weights
    torch.testing.assert_close(total, torch.ones(height, width))


def test_a_large_picture_is_tiled_and_no_other(calm):
    usual = default_size(calm)
    assert tiled(calm, None, usual, 8 * usual) is calm  # a panorama at the usual size
    assert tiled(calm, None, usual * 3 // 2, usual * 3 // 2) is calm
    assert tiled(calm, None, usual * 3 // 2 + 8, usual * 2).tile == usual
    assert tiled(calm, 31, 64, 64).tile == 32
    assert tiled(calm, 64, 64, 64) is calm


def test_the_pull_back_is_the_gradient_of_the_blended_prediction(learned, picture):
    torch.manual_seed(0)
    model, schedule, x = Tiled(learned, 32), learned.schedule("50"), picture(1, 2, height=SIZE, width=SIZE)
    of_x0, of_x_t = torch.randn_like(x), torch.randn_like(x)
    leaf = x.clone().requires_grad_()
    predicted = model.predict(leaf, schedule, 20)
    wanted = torch.autograd.grad([predicted.x0, leaf * 1], leaf, [of_x0, of_x_t])[0]
    prediction, pull_back = model.linearize(x, schedule, 20)
    assert not prediction.x0.requires_grad
    torch.testing.assert_close(prediction.x0, predicted.x0.detach())
    torch.testing.assert_close(pull_back(of_x0, of_x_t), wanted)


def test_x0_and_noise_of_the_blend_belong_together(plain, picture):
    """Blended alike, they still make up the state; a fixed variance stays one number."""
    x, schedule = picture(1, height=SIZE, width=SIZE), plain.schedule("50")
    prediction = Tiled(plain, 32).predict(x, schedule, 20)
    alpha_bar = float(schedule.alpha_bar[20])
    torch.testing.assert_close(alpha_bar**0.5 * prediction.x0 + (1 - alpha_bar) ** 0.5 * prediction.eps, x)
    assert prediction.log_variance.ndim == 0


def test_features_of_one_window_are_the_models(learned, picture):
    whole, model = picture(1), Tiled(learned, 32)
    for own, put_together in zip(learned.features(whole), model.features(whole), strict=True):
        torch.testing.assert_close(own, put_together)
    large = model.features(picture(1, height=SIZE, width=SIZE))
    factors = [layer.factor for layer in learned.content_layers()]
    assert [f.shape[-2:] for f in large] == [(SIZE // k, SIZE // k) for k in factors]


def test_the_contrastive_loss_of_windows_is_their_mean(learned, picture):
    loss = Contrastive(learned.features, Anchors("random", 16))
    model, source, estimate = Tiled(learned, 32), *picture(1, 2, height=SIZE, width=SIZE).split(1)
    windows = model.windows(SIZE, SIZE)
    bound = Windowed(loss, model.windows).against(source, seeded([3]))
    parts = [values["contrastive"] for values in bound.parts(View(estimate, estimate, 0))]
    generators = seeded([3])
    alone = [
        loss.against(source[w.place], generators)(View(estimate[w.place], estimate[w.place], 0))["contrastive"]
        for w in windows
    ]
    assert len(parts) == len(windows) == 9
    torch.testing.assert_close(sum(parts), torch.stack(alone).mean(0))


def test_a_model_of_other_states_is_refused(calm):
    with pytest.raises(InputError, match="cannot be tiled"):
        complete(Stylizer(Halved(calm.network)).invert(torch.zeros(1, 3, 64, 64), "50", 44, "inverted", [0], 32))
