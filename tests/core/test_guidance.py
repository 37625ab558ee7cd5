"""The gradient at x_t: golden figures through the U-Net, linearity, windows, and errors that name their place."""

import copy

import pytest
import torch

from qs_core.anchors import Anchors, route_at
from qs_core.errors import NonFiniteError
from qs_core.guidance import BoundTerm, Guidance, bind, blend
from qs_core.losses.base import Loss, Term
from qs_core.losses.contrastive import Contrastive
from qs_core.losses.pixel import MSE, Range
from qs_core.model import DiffusionModel
from qs_core.randomness import seeded
from qs_core.samplers import ddim_step, ddpm_mean

GOLDEN = {"rtol": 1e-4, "atol": 1e-5}  # stated by golden/README.md
GUIDED = {"rtol": 1e-4, "atol": 1e-4}  # likewise, for the guided mean
LAYERS = (0, 1, 2, 3)


@pytest.fixture(scope="module")
def step(golden):
    return golden("guided_step_adm_scale_shift")


@pytest.fixture(scope="module")
def bound(learned, step):
    """The golden step's three losses, bound to its noised source."""

    def encode(images):
        return learned.encode(images, torch.zeros(len(images)), last=LAYERS[-1])

    contrastive = Contrastive(encode, Anchors("random"), step["tau"])
    routes = [route_at(step[f"anchors/{layer}"][None]) for layer in LAYERS]
    keys = [route(f) for route, f in zip(routes, encode(step["y_in"]), strict=True)]
    return {
        "contrastive": lambda view: {"contrastive": contrastive.compare(encode(view.estimate), keys, routes)},
        "mse": MSE().against(step["y_in"], seeded([0])),
        "range": Range().against(step["y_in"], seeded([0])),
    }


def look(model, step, *terms):
    found = Guidance(model, model.schedule("50"), terms)(step["x_t"], step["step_index"])
    found.checks.settle()
    return found


@pytest.fixture(scope="module")
def guided(learned, step, bound):
    weighted = {"contrastive": 500.0, "mse": 5000.0, "range": 50.0}
    return look(learned, step, *(BoundTerm(Term(w, None), bound[name]) for name, w in weighted.items()))


class TestGolden:
    def test_prediction(self, learned, step):
        schedule, i = learned.schedule("50"), step["step_index"]
        found = look(learned, step)
        prediction = found.prediction
        assert found.gradient is None and found.losses == {}
        torch.testing.assert_close(prediction.x0, step["x0"], **GOLDEN)
        torch.testing.assert_close(prediction.log_variance, step["log_variance"], **GOLDEN)
        torch.testing.assert_close(prediction.log_variance.exp(), step["variance"], **GOLDEN)
        torch.testing.assert_close(ddpm_mean(schedule, step["x_t"], prediction, None, i), step["mean"], **GOLDEN)

    def test_blend(self, learned, step):
        alpha_bar = float(learned.schedule("50").alpha_bar[step["step_index"]])
        assert (1 - alpha_bar) ** 0.5 == pytest.approx(step["blend"])
        torch.testing.assert_close(blend(step["x0"], step["x_t"], alpha_bar), step["x_in"], **GOLDEN)
        torch.testing.assert_close(blend(step["source"], step["y_t"], alpha_bar), step["y_in"], **GOLDEN)

    @pytest.mark.parametrize("name", ["contrastive", "mse", "range"])
    def test_losses_and_gradients(self, learned, step, bound, name):
        guided = look(learned, step, BoundTerm(Term(1.0, None), bound[name]))
        assert guided.losses[name].shape == (1,)
        assert guided.losses[name].item() == pytest.approx(step[f"loss_{name}"], rel=1e-4)
        torch.testing.assert_close(guided.gradient, step[f"grad_{name}"], **GOLDEN)

    def test_guided_mean(self, learned, step, guided):
        mean = ddpm_mean(learned.schedule("50"), step["x_t"], guided.prediction, guided.gradient, step["step_index"])
        torch.testing.assert_close(mean, step["guided_mean_500_5000_50"], **GUIDED)

    def test_guided_ddim(self, learned, step, guided):
        arguments = learned.schedule("50"), step["x_t"], guided.prediction, guided.gradient, step["step_index"], None
        torch.testing.assert_close(ddim_step(0.0)(*arguments), step["ddim_guided_eta_0"], **GUIDED)


def test_the_gradient_is_linear_in_the_weight(learned, step, bound):
    one, twice = (look(learned, step, BoundTerm(Term(w, None), bound["mse"])).gradient for w in (3.0, 6.0))
    torch.testing.assert_close(twice, 2 * one)


def test_gradients_add_up(learned, step, bound):
    mse, spread = BoundTerm(Term(3.0, None), bound["mse"]), BoundTerm(Term(2.0, None), bound["range"])
    parts = [look(learned, step, term).gradient for term in (mse, spread)]
    torch.testing.assert_close(look(learned, step, mse, spread).gradient, sum(parts), **GOLDEN)


def test_a_picture_has_the_gradient_it_has_alone(learned, picture):
    batch, schedule = picture(1, 2), learned.schedule("50")

    def gradient(x, source):
        return Guidance(learned, schedule, bind((Term(1.0, MSE()),), source, [1] * len(x)))(x, 20).gradient

    sources = picture(3, 4)
    torch.testing.assert_close(gradient(batch, sources)[1:], gradient(batch[1:], sources[1:]), **GOLDEN)


class Counting(Loss):
    """A loss of the user's own that counts how often it is bound and asked."""

    name = "counting"

    def __init__(self, value=lambda view: view.estimate.square().mean((1, 2, 3))):
        self.value, self.bound, self.asked = value, 0, 0

    def against(self, source, generators):
        self.bound += 1

        def loss(view):
            self.asked += 1
            return {"counting": self.value(view)}

        return loss


@pytest.mark.parametrize("weight", [0, 0.0, {"counting": 0.0}, {}])
def test_weight_0_costs_nothing(learned, step, weight):
    loss = Counting()
    terms = bind((Term(weight, loss),), step["source"], [0])
    assert terms == () and loss.bound == 0
    assert look(learned, step, *terms).gradient is None


@pytest.mark.parametrize("window, asked", [((1000, 0), 1), ((408, 408), 1), ((407, 0), 0), ((1000, 409), 0)])
def test_outside_its_window_a_term_costs_nothing(learned, step, window, asked):
    assert learned.schedule("50").timesteps[step["step_index"]] == 408
    loss = Counting()
    terms = bind((Term(1.0, loss, *window),), step["source"], [0])
    look(learned, step, *terms)
    assert (loss.bound, loss.asked) == (1, asked)


def test_a_loss_sees_the_prediction_and_the_timestep(learned, step):
    seen = []
    loss = Counting(lambda view: seen.append(view) or view.estimate.mean((1, 2, 3)))
    look(learned, step, *bind((Term(1.0, loss),), step["source"], [0]))
    (view,) = seen
    assert view.t == 408 and view.state is view.estimate
    torch.testing.assert_close(view.x0, step["x0"], **GOLDEN)


def test_a_loss_of_estimate_alone_or_x0_alone_is_enough(learned, step):
    for value in (lambda view: view.estimate.mean((1, 2, 3)), lambda view: view.x0.mean((1, 2, 3))):
        terms = bind((Term(1.0, Counting(value)),), step["source"], [0])
        assert look(learned, step, *terms).gradient.abs().max() > 0


class Drawing(Loss):
    """A loss whose binding is the first of a number of draws."""

    def __init__(self, name, draws=1):
        self.name, self.draws = name, draws

    def against(self, source, generators):
        return [float(torch.rand(self.draws, generator=g)[0]) for g in generators]


def drawn(*terms):
    """What each term that is bound drew first, by its loss's name; of the last one, where names are equal."""
    return {bound.term.loss.name: bound.loss for bound in bind(terms, torch.zeros(1, 3, 8, 8), [7])}


def test_a_terms_draws_depend_on_its_name_alone():
    """Not on its place, nor on which others there are, how often they draw, or whether they have weight 0."""
    one, other = Drawing("one"), Drawing("other")
    alone = drawn(Term(1.0, one))
    for others in ([], [Term(1.0, other)], [Term(0.0, other)], [Term(1.0, Drawing("other", draws=100))]):
        assert drawn(*others, Term(1.0, one))["one"] == drawn(Term(1.0, one), *others)["one"] == alone["one"]
    assert drawn(Term(1.0, other))["other"] != alone["one"]


def test_two_terms_of_one_name_draw_apart():
    one = Drawing("one")
    twice = drawn(Term(1.0, one), Term(1.0, one))["one"]
    assert twice != drawn(Term(1.0, one))["one"]
    assert drawn(Term(0.0, one), Term(1.0, one))["one"] == twice


class TestNonFinite:
    def test_a_loss_that_is_nan(self, learned, step):
        loss = Counting(lambda view: view.estimate.mean((1, 2, 3)) * float("nan"))
        terms = bind((Term(1.0, loss),), step["source"], [0])
        with pytest.raises(NonFiniteError, match="in the loss 'counting' at timestep 408"):
            look(learned, step, *terms)

    def test_a_gradient_that_is_infinite(self, learned, step):
        loss = Counting(lambda view: (view.estimate - view.estimate.detach()).abs().mean((1, 2, 3)).sqrt())
        terms = bind((Term(1.0, loss),), step["source"], [0])
        with pytest.raises(NonFiniteError, match="in the gradient of counting at timestep 408"):
            look(learned, step, *terms)

    def test_a_network_that_is_infinite(self, learned, step):
        network = copy.deepcopy(learned.network)
        network.out[2].weight.fill_(float("inf"))
        with pytest.raises(NonFiniteError, match="in the U-Net's prediction at timestep 408. Lower the weights"):
            look(DiffusionModel(network), step)
