"""A large picture in windows: one prediction, one gradient, no seam, the memory of one window."""

import pytest
import torch
import torchvision

from qs_core.anchors import Anchors
from qs_core.errors import InputError
from qs_core.features.vgg import VGG19
from qs_core.losses.base import View
from qs_core.losses.contrastive import Contrastive, Windowed, content_term
from qs_core.losses.description import Setting
from qs_core.losses.perceptual import VGG_LOSS, VGGContent, WindowedVGG
from qs_core.randomness import seeded
from qs_core.settings import Settings
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


@pytest.mark.parametrize("kind", ["global", "local", "local_global"])
def test_what_all_windows_select_is_on_one_map(learned, picture, kind):
    """Each anchor of each window, at its place on the whole picture's map, and entropies without a seam."""
    model, source = Tiled(learned, 32), picture(1, 2, height=SIZE, width=SIZE)
    anchors = Anchors(kind, 16, frozenset({1, 2}))
    bound, windows = content_term(model, 1.0, anchors).loss.against(source, seeded([0, 0])), model.windows(SIZE, SIZE)
    nothing, *selections = bound.selections
    assert nothing is None and len(selections) == 2
    for layer, selection in enumerate(selections, 1):
        factor = learned.content_layers()[layer].factor
        assert selection.entropy.shape == (2, SIZE // factor, SIZE // factor)
        expected, count = set(), 0
        for window in windows:
            alone = content_term(learned, 1.0, anchors).loss.against(source[window.place], seeded([0, 0]))
            its, side = alone.selections[layer], window.weights.shape[-1] // factor
            top, left = (part.start // factor for part in window.place[-2:])
            expected |= {(top + p // side, left + p % side) for p in its.positions[0].tolist()}
            count += its.positions.shape[1]
        found = selection.positions[0].tolist()
        assert len(found) == count and {(p // (SIZE // factor), p % (SIZE // factor)) for p in found} == expected
    whole = content_term(learned, 1.0, anchors).loss.against(picture(1), seeded([0])).selections
    one = content_term(model, 1.0, anchors).loss.against(picture(1), seeded([0])).selections
    for own, put_together in zip(whole[1:], one[1:], strict=True):
        torch.testing.assert_close(own.entropy, put_together.entropy)
        assert torch.equal(own.positions, put_together.positions)


def test_random_anchors_of_windows_are_no_selection(learned, picture):
    bound = content_term(Tiled(learned, 32), 1.0, Anchors("random", 16)).loss.against(
        picture(1, height=SIZE, width=SIZE), seeded([0])
    )
    assert set(bound.selections) == {None}


@pytest.fixture(scope="module")
def vgg():
    """The shallow layers alone, with random weights."""
    torch.manual_seed(0)
    with torch.device("meta"):
        layers = torchvision.models.vgg19(weights=None, init_weights=False).features[:7]
    layers.to_empty(device="cpu")
    for weights in layers.parameters():
        torch.nn.init.normal_(weights, std=0.1)
    return VGG19(layers, (1, 6)).eval().requires_grad_(False)


class TestVGG:
    """Its loss of a large picture in windows."""

    def test_in_windows_it_is_nearly_that_of_the_whole(self, vgg, learned, picture):
        source, estimate = picture(1, 2, height=SIZE, width=SIZE).split(1)
        bound = WindowedVGG(vgg, Tiled(learned, 32).windows).against(source, seeded([0]))
        leaf = estimate.clone().requires_grad_()
        parts = list(bound.parts(View(leaf, leaf, 0)))
        value = sum(part["vgg"] for part in parts)
        whole = VGGContent(vgg).against(source, seeded([0]))(View(leaf, leaf, 0))["vgg"]
        assert len(parts) == 9
        torch.testing.assert_close(value, whole, rtol=0.02, atol=0)
        ours, theirs = (torch.autograd.grad(one.sum(), leaf)[0].flatten() for one in (value, whole))
        assert torch.cosine_similarity(ours, theirs, dim=0) > 0.98

    def test_a_picture_of_one_window_has_the_very_loss(self, vgg, learned, picture):
        view, source = View(picture(2), picture(2), 0), picture(1)
        bound = WindowedVGG(vgg, Tiled(learned, 32).windows).against(source, seeded([0]))
        whole = VGGContent(vgg).against(source, seeded([0]))
        torch.testing.assert_close(bound(view)["vgg"], whole(view)["vgg"])

    def test_a_tiled_model_has_it_in_windows_in_the_memory_of_one(self, vgg, learned):
        s = Settings("golden", vgg=1.0)
        loss, whole = (VGG_LOSS.make(s, Setting(m, None, SIZE, SIZE, vgg)) for m in (Tiled(learned, 32), learned))
        assert isinstance(loss, WindowedVGG) and isinstance(whole, VGGContent)
        need = [each.graph_bytes(learned, 1, 512, 512) for each in (loss, whole)]
        assert need[0] == whole.graph_bytes(learned, 1, 32, 32) < need[1] / 200


def test_a_model_of_other_states_is_refused(calm):
    with pytest.raises(InputError, match="cannot be tiled"):
        complete(Stylizer(Halved(calm.network)).invert(torch.zeros(1, 3, 64, 64), "50", 44, "inverted", [0], 32))
