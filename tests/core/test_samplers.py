"""invert and sample: golden figures, exact inverses, and one picture's independence of the others."""

import pytest
import torch

from qs_core.anchors import Anchors
from qs_core.guidance import Guidance, bind
from qs_core.losses.base import Term
from qs_core.losses.contrastive import Contrastive
from qs_core.losses.pixel import MSE, Range
from qs_core.model import DiffusionModel
from qs_core.randomness import normal, seeded
from qs_core.samplers import ddim_step, ddpm_step, invert, sample
from qs_core.unets.adm import ADMConfig, ADMUNet

GOLDEN = {"rtol": 1e-4, "atol": 1e-5}  # stated by golden/README.md
BATCH = {"rtol": 1e-3, "atol": 1e-4}  # float32 sums in another order, carried through six guided steps


def last(walk):
    *_, final = walk
    return final


class TestGolden:
    @pytest.mark.parametrize("name, model", [("adm_scale_shift", "learned"), ("adm_plain", "plain")])
    def test_inversion(self, golden, request, name, model):
        figures, model = golden(name), request.getfixturevalue(model)
        steps = list(invert(model, model.schedule("50"), figures["source"], 25))
        assert [step.i for step in steps] == list(range(1, 26))
        torch.testing.assert_close(steps[-1].x, figures["inverted_50_skip_25"], **GOLDEN)

    def test_zecon_start(self, golden, learned):
        figures = golden("guided_step_adm_scale_shift")
        start = learned.schedule("50").diffuse(figures["source"], figures["inverted_50_skip_25"], 24)
        torch.testing.assert_close(start, figures["zecon_start_index_24"], **GOLDEN)

    @pytest.mark.parametrize("eta", [0.0, 0.5])
    def test_ddim(self, golden, learned, eta):
        figures, schedule = golden("guided_step_adm_scale_shift"), learned.schedule("50")
        i, x_t = figures["step_index"], figures["x_t"]
        prediction = learned.predict(x_t, schedule, i)
        x = ddim_step(eta)(schedule, x_t, prediction, None, i, figures["ddim_noise"])
        torch.testing.assert_close(x, figures[f"ddim_eta_{eta}"], **GOLDEN)


def constant_noise() -> DiffusionModel:
    """A network that predicts the same noise everywhere: its DDIM flow is a straight line."""
    torch.manual_seed(0)
    network = ADMUNet(ADMConfig(32, (1, 2), 1, (), 3, False, False, num_head_channels=32)).eval().requires_grad_(False)
    network.out[2].weight.zero_()
    return DiffusionModel(network, variance="fixed_small")


@pytest.mark.parametrize("height, width", [(32, 32), (16, 48)])
class TestRoundTrip:
    def test_exact_where_the_noise_is_constant(self, picture, height, width):
        model, source = constant_noise(), picture(1, 2, height=height, width=width)
        schedule = model.schedule("50")
        latent = last(invert(model, schedule, source, 25))
        back = list(sample(model, schedule, latent.x, latent.i, ddim_step()))
        assert [step.i for step in back] == list(range(24, -1, -1))
        torch.testing.assert_close(back[-1].x, source, rtol=0, atol=1e-4)  # fifty float32 moves

    def test_close_for_a_smooth_network(self, calm, picture, height, width):
        source, schedule = picture(1, 2, height=height, width=width), calm.schedule("50")
        latent = last(invert(calm, schedule, source, 25))
        back = last(sample(calm, schedule, latent.x, latent.i, ddim_step()))
        assert (latent.x - source).abs().mean() > 0.1
        assert (back.x - source).abs().mean() < 0.02  # DDIM reverses up to the change of eps between two states


def guided(model, source, seeds, steps=6, step=ddpm_step):
    schedule, generators = model.schedule("50"), seeded(seeds)
    x = schedule.diffuse(source, normal(source, generators), steps)

    def encode(images):
        return model.encode(images, torch.zeros(len(images)))

    anchors = Anchors("global", 16, frozenset({2, 3}))
    terms = (Term(20, Contrastive(encode, anchors)), Term(200.0, MSE()), Term(50.0, Range()))
    bound = bind(terms, source, seeds)
    return last(sample(model, schedule, x, steps, step, Guidance(model, schedule, bound), generators))


@pytest.mark.parametrize("step", [ddpm_step, ddim_step(0.7)])
def test_a_picture_does_not_depend_on_its_batch(calm, picture, step):
    batch = picture(1, 2, height=16, width=32)
    together = guided(calm, batch, [11, 12], step=step)
    alone = guided(calm, batch[1:], [12], step=step)
    torch.testing.assert_close(together.x[1:], alone.x, **BATCH)
    for name, value in alone.losses.items():
        torch.testing.assert_close(together.losses[name][1:], value, **BATCH)


def test_same_seed_same_picture_other_seed_another(calm, picture):
    source = picture(1)
    first, again, other = (guided(calm, source, [seed]).x for seed in (5, 5, 6))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.allclose(first, other, atol=1e-3)


def test_the_last_transition_adds_no_noise(calm, picture):
    schedule, x = calm.schedule("50"), picture(1)
    (step,) = sample(calm, schedule, x, 1, ddpm_step, generators=seeded([1]))
    mean = schedule.posterior_mean(calm.predict(x, schedule, 1).x0, x, 1)
    torch.testing.assert_close(step.x, mean)


def test_noise_has_the_predicted_variance(calm, picture):
    schedule, x, i = calm.schedule("50"), picture(1), 25
    prediction = calm.predict(x, schedule, i)
    noise = normal(x, seeded([1]))
    moved = ddpm_step(schedule, x, prediction, None, i, noise) - ddpm_step(schedule, x, prediction, None, i, None)
    torch.testing.assert_close(moved, prediction.log_variance.exp().sqrt() * noise, **GOLDEN)


def test_eta_1_has_the_variance_of_the_posterior(calm, picture):
    schedule, x, i = calm.schedule("50"), picture(1), 25
    prediction, noise = calm.predict(x, schedule, i), torch.ones(1, 3, 32, 32)
    with_noise, without = (ddim_step(1.0)(schedule, x, prediction, None, i, n) for n in (noise, None))
    sigma = torch.full_like(x, schedule.posterior_variance[i] ** 0.5)
    torch.testing.assert_close(with_noise - without, sigma, **GOLDEN)


def test_eta_1_without_guidance_has_the_mean_of_the_posterior(calm, picture):
    schedule, x, i = calm.schedule("50"), picture(1), 25
    prediction = calm.predict(x, schedule, i)
    mean = schedule.posterior_mean(prediction.x0, x, i)
    torch.testing.assert_close(ddim_step(1.0)(schedule, x, prediction, None, i, None), mean, **GOLDEN)


def test_no_grad_mode_leaks_out_of_a_yield(calm, picture):
    schedule, source = calm.schedule("50"), picture(1)
    for walk in (invert(calm, schedule, source, 2), sample(calm, schedule, source, 2, ddim_step())):
        for step in walk:
            assert torch.is_grad_enabled()
            assert not step.x.requires_grad and not step.x0.requires_grad


def test_walking_under_no_grad_guides_all_the_same(calm, picture):
    source = picture(1)
    expected = guided(calm, source, [5]).x
    with torch.no_grad():
        torch.testing.assert_close(guided(calm, source, [5]).x, expected)


def test_guidance_brings_the_picture_nearer_to_the_source(calm, picture):
    source, schedule = picture(1), calm.schedule("50")
    x = schedule.diffuse(source, normal(source, seeded([1])), 10)
    free = last(sample(calm, schedule, x, 10, ddpm_step)).x
    bound = bind((Term(3000.0, MSE()),), source, [1])
    pulled = last(sample(calm, schedule, x, 10, ddpm_step, Guidance(calm, schedule, bound))).x
    assert (pulled - source).square().mean() < 0.5 * (free - source).square().mean()
