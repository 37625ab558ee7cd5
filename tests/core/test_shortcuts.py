"""Options that trade a little: each does what it says, and nothing where it is not asked for."""

import math

import pytest
import torch

from qs_core.crops import Crops
from qs_core.errors import InputError
from qs_core.features.clip import text_direction
from qs_core.guidance import Guidance, bind
from qs_core.losses.base import Term, View
from qs_core.losses.clip import CLIP_LOSS, CLIPLoss, FinalCrops
from qs_core.losses.description import Setting
from qs_core.losses.pixel import MSE, Range
from qs_core.networks import load
from qs_core.randomness import seeded
from qs_core.samplers import ddim_step, sample
from qs_core.settings import Settings

STATE = 10


@pytest.fixture
def terms():
    return Term(3.0, MSE()), Term(2.0, Range())


def test_past_the_unet_the_gradient_is_that_of_a_gaussian_s_posterior_mean(learned, terms, picture):
    """Written out: x0 and the estimate as functions of x_t, x0 with its predicted value and the slope √ᾱ."""
    source, x, schedule = picture(1, 2), picture(3, 4), learned.schedule("50")
    alpha_bar = float(schedule.alpha_bar[STATE])
    predicted = learned.predict(x, schedule, STATE).x0
    x_t = x.clone().requires_grad_()
    x0 = predicted + math.sqrt(alpha_bar) * (x_t - x)
    estimate = math.sqrt(1 - alpha_bar) * x0 + (1 - math.sqrt(1 - alpha_bar)) * x_t
    view = View(estimate, x0, 0)
    bound = bind(terms, source, [0, 1])
    (expected,) = torch.autograd.grad(sum(one.term.weigh(one.loss(view)).sum() for one in bound), x_t)
    past = Guidance(learned, schedule, bound, through_unet=False)(x, STATE)
    torch.testing.assert_close(past.gradient, expected, rtol=1e-4, atol=1e-6)
    assert expected.abs().max() > 1e-3
    full = Guidance(learned, schedule, bound)(x, STATE)
    torch.testing.assert_close(past.losses, full.losses)
    assert (past.gradient - full.gradient).abs().max() > 1e-3 * full.gradient.abs().max()


def test_past_the_unet_it_keeps_nothing(learned, terms, picture):
    kept = []
    bound = bind(terms, picture(1), [0])
    weights = {parameter.untyped_storage().data_ptr() for parameter in learned.network.parameters()}

    def keep(tensor):
        kept.append(tensor.untyped_storage().data_ptr() in weights)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        Guidance(learned, learned.schedule("50"), bound, through_unet=False)(picture(2), STATE)
        assert kept and not any(kept)
        Guidance(learned, learned.schedule("50"), bound)(picture(2), STATE)
    assert any(kept)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_the_steps_between_are_not_guided(learned, terms, picture, every):
    source, schedule, seen = picture(1), learned.schedule("50"), []

    def step(schedule, x_t, prediction, gradient, i, noise):
        seen.append(gradient is not None)
        return ddim_step()(schedule, x_t, prediction, gradient, i, noise)

    bound = bind(terms, source, [0])
    guidance = Guidance(learned, schedule, bound, interval=every, start=6)
    walk = list(sample(learned, schedule, source, 6, step, guidance))
    assert [bool(one.losses) for one in walk] == seen == [k % every == 0 for k in range(6)]


def test_late_in_the_walk_there_are_fewer_crops(tiny_clip, picture):
    text = text_direction(tiny_clip, ["gold"], "photo")
    source, image = picture(1), picture(2)

    def value(loss, t):
        return loss.against(source, seeded([3]))(View(image, image, t))

    changing, many, few = (
        CLIPLoss(text, Crops(8), FinalCrops(2, 300)),
        CLIPLoss(text, Crops(8)),
        CLIPLoss(text, Crops(2)),
    )
    assert value(changing, 300) == value(many, 300) and value(changing, 299) == value(few, 299)
    assert value(few, 299) != value(many, 299)


def test_the_final_crops_are_those_of_the_walk_s_second_half(calm, tiny_clip):
    text = text_direction(tiny_clip, ["gold"], "photo")
    setting = Setting(calm, text, 32, 32, None)
    loss = CLIP_LOSS.term(Settings("gold", skip=20, final_crops=4), setting).loss
    timesteps = calm.schedule("50").timesteps
    numbers = [loss.crops_at(int(timesteps[i])).number for i in range(30, 0, -1)]
    assert numbers == [32] * 15 + [4] * 15
    assert CLIP_LOSS.term(Settings("gold"), setting).loss.final is None


@pytest.mark.parametrize(
    "options, tower, torso",
    [({"clip_dtype": "float32"}, "float32", "float32"), ({"clip_dtype": "bfloat16"}, "bfloat16", "float32")]
    + [({"clip_dtype": "float32", "dtype": "bfloat16"}, "float32", "bfloat16")],
)
def test_clips_tower_has_a_dtype_of_its_own(options, tower, torso):
    networks = load(Settings("a sketch with crayon", **options))
    assert str(networks.text.clip.dtype) == f"torch.{tower}" and str(networks.model.network.dtype) == f"torch.{torso}"


@pytest.mark.parametrize("name", ["count", "guidance_interval", "crop_chunk", "final_crops"])
def test_at_least_one(name):
    with pytest.raises(InputError, match=f"{name} 0: at least 1 is needed"):
        Settings("gold", **{name: 0})
