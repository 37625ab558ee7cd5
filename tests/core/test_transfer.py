"""The three moves on tensors: begin, bind, restyle."""

import pytest
import torch

from qs_core.anchors import Anchors
from qs_core.colour import LEVEL
from qs_core.errors import InputError
from qs_core.guidance import Guidance, bind
from qs_core.losses.base import Term
from qs_core.losses.contrastive import content_term
from qs_core.losses.pixel import MSE
from qs_core.model import DiffusionModel, load_model
from qs_core.randomness import seeded
from qs_core.stylizer import Stylizer, complete
from qs_core.transfer import STARTS, Inversion, begin, dequantized, restyle, step_function

GOLDEN = {"rtol": 1e-4, "atol": 1e-5}  # stated by golden/README.md


class Latent(DiffusionModel):
    """A model whose states are said to be no pictures."""

    tileable = False


def last(walk):
    *_, final = walk
    return final


def begun(model, source, skip=40, start="inverted", **options):
    return last(begin(model, model.schedule("50"), source, skip, start, seeded([0] * len(source)), **options))


@pytest.mark.parametrize(
    "start, key, index", [("inverted", "inverted_50_skip_25", 25), ("zecon", "zecon_start_index_24", 24)]
)
def test_golden_starts(golden, learned, start, key, index):
    figures = golden("guided_step_adm_scale_shift")
    reached = begun(learned, figures["source"], 25, start, dequantize=start == "zecon")  # which knows no such noise
    assert reached.i == index
    torch.testing.assert_close(reached.x, figures[key], **GOLDEN)


def test_a_picture_is_dequantized_by_noise_as_wide_as_a_level(picture):
    two = picture(1, 2)
    noise = dequantized(two) - two
    assert noise.abs().max() <= 0.5001 * LEVEL
    # 3072 draws: standard errors 0.0052 of the mean, 0.0023 of the standard deviation; four of them.
    assert abs(noise[0].mean() / LEVEL) < 0.021 and abs(noise[0].std() / LEVEL - 12**-0.5) < 0.0095
    torch.testing.assert_close(noise[0], noise[1], rtol=0, atol=1e-6)  # frames of a sequence hold still


@pytest.mark.parametrize("grey", [-1.0, 0.0, 1.0])
def test_a_plain_picture_is_inverted_to_nearly_noise(grey):
    demo, plain = load_model("demo"), torch.full((1, 3, 64, 64), grey)

    def lines(dequantize):
        """How far the means of rows differ, beside the values: 1/8 of noise."""
        state = begun(demo, plain, 25, dequantize=dequantize).x
        return float(state.mean(-1).std() / state.std())

    assert lines(dequantize=False) > 0.4
    assert lines(dequantize=True) < 0.25


@pytest.mark.parametrize("start", STARTS)
def test_only_pictures_that_are_inverted_are_dequantized(calm, picture, start):
    source = picture(1)
    as_it_is = begun(calm, source, start=start, dequantize=False).x
    assert torch.equal(begun(calm, source, start=start).x, as_it_is) == (start != "inverted")
    latent = Latent(calm.network)
    assert torch.equal(begun(latent, source, start=start).x, as_it_is)


def test_a_cached_inversion_knows_whether_it_was_dequantized(calm, picture):
    stylizer = Stylizer(calm)
    first, other, again = (
        complete(stylizer.invert(picture(1), "50", 40, "inverted", [0], dequantize=each)).x_t
        for each in (True, False, True)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_noised_start_has_the_states_noise(calm, picture):
    source, schedule = picture(1), calm.schedule("50")
    reached = begun(calm, source, 40, "noised")
    noise = (reached.x - schedule.alpha_bar[10] ** 0.5 * source) / (1 - schedule.alpha_bar[10]) ** 0.5
    assert reached.i == 10
    # 3072 draws: standard errors 0.018 and 0.013; four of them.
    assert abs(noise.mean()) < 0.072 and abs(noise.std() - 1) < 0.052


@pytest.mark.parametrize("start", STARTS)
def test_the_shortest_walk_reaches_state_0(calm, picture, start):
    source, schedule = picture(1), calm.schedule("50")
    shortest = 48 if start == "zecon" else 49
    reached = begun(calm, source, shortest, start)
    inversion = Inversion(calm, schedule, source, reached.x, reached.i)
    steps = list(restyle(inversion, step_function("ddpm"), None, seeded([0])))
    assert [step.i for step in steps] == [0]


@pytest.mark.parametrize(
    "skip, start, message",
    [
        (0, "inverted", "skip 0 of 50 steps .* give 1 to 49"),
        (50, "inverted", "skip 50 of 50 steps is not possible .* give 1 to 49"),
        (49, "zecon", "skip 49 of 50 steps is not possible .* give 1 to 48"),
        (25, "random", "Start 'random' is unknown; choose one of inverted, noised, zecon"),
    ],
)
def test_where_no_walk_can_begin(calm, picture, skip, start, message):
    with pytest.raises(InputError, match=message):
        begun(calm, picture(1), skip, start)


def test_a_size_the_network_cannot_take(calm, picture):
    with pytest.raises(InputError, match="Image is 33x32; this U-Net needs both sides divisible by 2"):
        begun(calm, picture(1, height=32, width=33))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("euler",), "Sampler 'euler' is unknown"),
        (("ddim", 1.5), "eta 1.5 is outside 0 to 1"),
        (("ddim", -1), "eta -1"),
    ],
)
def test_steps_that_there_are_not(arguments, message):
    with pytest.raises(InputError, match=message):
        step_function(*arguments)


def test_the_content_term_reads_the_models_content_layers(calm, picture):
    term = content_term(calm, 3.0, Anchors("global", 16, frozenset({2})), tau=0.1)
    features = term.loss.encode(picture(1))
    assert term.weight == 3.0 and term.loss.tau == 0.1
    assert [f.shape[1:] for f in features] == [(32, 32, 32), (32, 32, 32), (64, 16, 16)]


def test_guided_by_content_and_pixels_a_walk_ends_near_the_source(calm, picture):
    source, schedule = picture(1), calm.schedule("50")
    reached = begun(calm, source, 40, "noised")
    inversion = Inversion(calm, schedule, source, reached.x, reached.i)

    def ends(*terms):
        bound = bind(terms, inversion.source, [1])
        return last(restyle(inversion, step_function("ddpm"), Guidance(calm, schedule, bound), seeded([2])))

    free = ends()
    held = ends(content_term(calm, 20.0, Anchors("global", 32, frozenset({1, 2}))), Term(3000.0, MSE()))
    assert set(held.losses) == {"contrastive", "mse"} and free.losses == {}
    assert (held.x - source).abs().mean() < 0.7 * (free.x - source).abs().mean()
