"""A model whose states are no pictures: half as large and scaled, by a linear codec around a pixel network."""

from dataclasses import dataclass

import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate

from qs_core.anchors import Anchors
from qs_core.guidance import Guidance, bind
from qs_core.losses.base import Loss, Term
from qs_core.losses.contrastive import content_term
from qs_core.losses.pixel import MSE, Range
from qs_core.model import DiffusionModel
from qs_core.settings import Settings
from qs_core.stylizer import Stylizer, complete

SCALE = 0.8
WALK = {"spacing": "50", "skip": 44, "start": "inverted", "seeds": [0]}


@dataclass(frozen=True)
class Halved(DiffusionModel):
    """States (B, 3, H/2, W/2): means of four pixels, scaled."""

    tileable = False

    def to_state(self, picture):
        return SCALE * avg_pool2d(picture, 2)

    def to_picture(self, state):
        return interpolate(state / SCALE, scale_factor=2, mode="nearest")

    @property
    def multiple(self):
        return 2 * super().multiple


@pytest.fixture
def halved(calm):
    return Halved(calm.network)


def walked(model, source, terms, strength=1.0, mask=None, **options):
    """The picture of a guided walk at the network's size, and the inversion."""
    stylizer = Stylizer(model)
    prepared = stylizer.prepare(source, None if source.shape[-1] != 32 else 32, "pad")
    inversion = complete(stylizer.invert(prepared.source, **WALK))
    blend = prepared.blend(strength, mask)
    drawn = complete(stylizer.guide(inversion, terms, Settings("", eta=0.0, **options), [0], blend))
    return prepared.finish(drawn, blend, "original"), inversion


def test_the_walk_is_one_of_states_and_its_ends_are_pictures(halved, picture):
    source = picture(1)
    result, inversion = walked(halved, source, ())
    assert inversion.x_t.shape == inversion.clean.shape == (1, 3, 16, 16) and result.shape == source.shape
    torch.testing.assert_close(inversion.clean, halved.to_state(source))
    # Unguided it comes back to the codec's own picture, but for the steps' error.
    assert (result - halved.to_picture(inversion.clean)).abs().mean() < 0.05


class Seen(Loss):
    """Remembers the shapes that a loss is given."""

    name = "seen"

    def __init__(self, reads):
        self.reads, self.shapes = reads, []

    def against(self, source, generators):
        def loss(view):
            self.shapes.append((source.shape[-1], view.estimate.shape[-1], view.x0.shape[-1], view.state.shape[-1]))
            return {"seen": (view.state if self.reads == "state" else view.estimate).square().mean((1, 2, 3))}

        return loss


@pytest.mark.parametrize("reads, sides", [("picture", (32, 32, 32, 16)), ("state", (16, 16, 16, 16))])
def test_each_loss_sees_what_it_reads(halved, picture, reads, sides):
    loss = Seen(reads)
    walked(halved, picture(1), (Term(1.0, loss),))
    assert set(loss.shapes) == {sides}  # where no loss reads pictures, nothing is decoded


def test_losses_on_pictures_and_on_states_add_up(halved, picture):
    source, schedule = picture(1), halved.schedule("50")
    state, clean = halved.to_state(picture(2)), halved.to_state(source)
    content = content_term(halved, 2.0, Anchors("global", 16, frozenset({0, 1})))
    terms = (Term(300.0, MSE()), Term(50.0, Range()), content)

    def gradient(*chosen):
        return Guidance(halved, schedule, bind(chosen, source, [0], clean))(state, 10).gradient

    parts = [gradient(term) for term in terms]
    torch.testing.assert_close(gradient(*terms), sum(parts), rtol=1e-4, atol=1e-5)
    assert all(part.abs().max() > 1e-4 for part in parts[::2])


def test_the_gradient_is_that_of_finite_differences_through_codec_and_network(halved, picture):
    source, schedule, i = picture(1), halved.schedule("50"), 10
    state, direction = halved.to_state(picture(2)), torch.randn(1, 3, 16, 16, generator=torch.manual_seed(0))
    bound = bind((Term(1000.0, MSE()),), source, [0], halved.to_state(source))
    guidance = Guidance(halved, schedule, bound)
    slope = float((guidance(state, i).gradient * direction).sum())
    step = 1e-3
    values = [float(guidance(state + sign * step * direction, i).losses["mse"]) for sign in (1, -1)]
    assert slope == pytest.approx(1000 * (values[0] - values[1]) / (2 * step), rel=1e-2)


@pytest.mark.parametrize("output", [0.0, 1.0])
def test_where_the_blend_map_is_0_the_very_source_comes_back(halved, picture, output):
    """The codec loses detail; what does not change never passes it."""
    source, mask = picture(1), torch.zeros(1, 1, 32, 32)
    mask[..., :11] = output
    result, _ = walked(halved, source, (Term(3000.0, MSE()),), mask=mask)
    assert torch.equal(result[..., 11:], source[..., 11:])
    assert torch.equal(result, source) == (output == 0)
    nothing, _ = walked(halved, source, (), strength=0.0)
    assert torch.equal(nothing, source)
