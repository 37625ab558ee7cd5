"""Each saving that leaves the result as it is, against the plain computation written out here."""

import pytest
import torch
from torch.nn.functional import interpolate

from qs_core.anchors import Anchors, route_at
from qs_core.crops import Crops, cut, homographies
from qs_core.errors import NonFiniteError
from qs_core.features.clip import text_direction
from qs_core.guidance import BoundTerm, Guidance, bind, blend
from qs_core.losses.base import Loss, Term, View
from qs_core.losses.clip import CLIPLoss, directional_distance, spherical_distance
from qs_core.losses.contrastive import content_term, patch_nce
from qs_core.losses.pixel import MSE, Range
from qs_core.model import DiffusionModel
from qs_core.randomness import seeded
from qs_core.samplers import ddpm_step, sample
from qs_core.unets.ddpm import DDPMConfig, DDPMUNet

SAME = {"rtol": 1e-4, "atol": 1e-6}  # float32 sums in another order; gradients of 1e-2 to 1
CROPS = Crops(6, (0.1, 0.5))
WEIGHTS = {"clip_global": 5.0, "clip_directional": 3.0}
STATE = 10


def attending(model):
    """The content term with the two deepest layers attending and the others drawn at each step."""
    layers = len(model.content_layers())
    return content_term(model, 2.0, Anchors("global", 16, frozenset(range(layers - 2, layers))))


@pytest.fixture
def terms(learned, tiny_clip):
    text = text_direction(tiny_clip, ["gold", "a sketch"], "photo", (1.0, 2.0))
    return Term(WEIGHTS, CLIPLoss(text, CROPS)), attending(learned), Term(10.0, MSE()), Term(4.0, Range())


def plain_gradient(model, terms, source):
    """One graph from x_t through the U-Net and all losses to their weighted sum, and its gradient at x_t."""
    bound, schedule = bind(terms, source, [3, 4]), model.schedule("50")
    x_t = source.clone().requires_grad_()
    prediction = model.predict(x_t, schedule, STATE)
    view = View(blend(prediction.x0, x_t, float(schedule.alpha_bar[STATE])), prediction.x0, 0)
    total = sum(one.term.weigh(one.loss(view)).sum() for one in bound)
    return torch.autograd.grad(total, x_t)[0]


def test_one_forward_and_losses_one_after_the_other_give_the_gradient_of_one_graph(
    learned, terms, picture, monkeypatch
):
    source, forward, calls = picture(1, 2), type(learned.network).forward, []
    expected = plain_gradient(learned, terms, source)
    monkeypatch.setattr(type(learned.network), "forward", lambda *a, **o: calls.append(1) or forward(*a, **o))
    guided = Guidance(learned, learned.schedule("50"), bind(terms, source, [3, 4]))(source, STATE)
    torch.testing.assert_close(guided.gradient, expected, **SAME)
    assert len(calls) == 1 and expected.abs().max() > 1e-2


@pytest.mark.parametrize("chunk", [None, 4, 1])
def test_crops_in_batches_and_the_source_encoded_once_are_as_one_by_one(tiny_clip, picture, chunk):
    """As ZeCon: crop by crop, a copy of the source for each, one value per crop, their mean."""
    text = text_direction(tiny_clip, ["gold"], "photo")
    source, image = picture(1), picture(2).requires_grad_()
    values = []
    for matrix in homographies(CROPS, 32, 32, seeded([7]))[0]:
        view = tiny_clip.network.encode_image(cut(image, matrix[None, None], 32, CROPS.area))
        start = tiny_clip.network.encode_image(interpolate(source, (32, 32)))
        values.append(
            WEIGHTS["clip_global"] * spherical_distance(view, text.targets)
            + WEIGHTS["clip_directional"] * directional_distance(view - start, text.targets - text.source)
        )
    (expected,) = torch.autograd.grad(torch.stack(values).mean(), image)
    loss = CLIPLoss(text, CROPS)
    bound = BoundTerm(Term(WEIGHTS, loss), loss.against(source, seeded([7])))
    gradients = [
        torch.autograd.grad(bound.term.weigh(part).sum(), image)[0]
        for part in bound.parts(View(image, image, 0, chunk))
    ]
    assert len(gradients) == {None: 1, 4: 2, 1: 6}[chunk]
    torch.testing.assert_close(sum(gradients), expected, **SAME)
    assert expected.abs().max() > 1e-2


def test_of_a_batch_one_picture_s_crops_are_held_at_a_time(tiny_clip, picture):
    text, kept = text_direction(tiny_clip, ["gold"], "photo"), []
    source, image = picture(1, 2, 3), picture(4, 5, 6).requires_grad_()
    loss = CLIPLoss(text, CROPS).against(source, seeded([1, 2, 3]))
    for row, part in enumerate(loss.parts(View(image, image, 0))):
        (gradient,) = torch.autograd.grad(sum(value.sum() for value in part.values()), image)
        kept.append([bool(one.abs().max() > 0) for one in gradient])
        assert [bool(value) for value in part["clip_global"] > 0] == [k == row for k in range(3)]
    assert kept == [[k == row for k in range(3)] for row in range(3)]


def test_the_encoder_stops_at_the_last_layer_that_is_read(operations, learned, picture):
    t, x = torch.zeros(1), picture(1)
    whole, last = learned.encode(x, t), 2
    with operations() as all_blocks:
        learned.encode(x, t)
    with operations() as some_blocks:
        part = learned.encode(x, t, last=last)
    assert len(part) == last + 1 and all(torch.equal(a, b) for a, b in zip(part, whole, strict=False))
    assert some_blocks.count("convolution") < all_blocks.count("convolution")


def test_gathered_anchors_are_those_of_the_whole_map():
    """As ZeCon: the map permuted and flattened, of which the rows are taken."""
    features = torch.randn(2, 5, 6, 7, requires_grad=True)
    positions = torch.stack([torch.randperm(42)[:8] for _ in range(2)])
    flat = features.permute(0, 2, 3, 1).flatten(1, 2)
    expected = torch.stack([one[index] for one, index in zip(flat, positions, strict=True)])
    made = route_at(positions)(features)
    assert torch.equal(made, expected)
    weights = torch.randn_like(made)
    (a,), (b,) = (torch.autograd.grad((rows * weights).sum(), features) for rows in (made, expected))
    assert torch.equal(a, b)


def test_the_source_s_keys_are_routed_once_with_the_same_gradient(learned, picture):
    source, image = picture(1), picture(2).requires_grad_()
    loss = attending(learned).loss
    bound, plain = (loss.against(source, seeded([5])) for _ in range(2))
    routed = []
    for selection in bound.selections:
        if selection:
            route = selection.route
            object.__setattr__(selection, "route", lambda values, route=route: routed.append(1) or route(values))
    for _ in range(3):
        (gradient,) = torch.autograd.grad(bound(View(image, image, 0))["contrastive"].sum(), image)
        routes = [
            s.route if s else loss.anchors.draw(f, plain.generators)
            for s, f in zip(plain.selections, plain.features, strict=True)
        ]
        fresh = zip(loss.encode(image), loss.encode(source), routes, strict=True)
        value = sum(patch_nce(route(e), route(s), loss.tau) for e, s, route in fresh)
        (expected,) = torch.autograd.grad(value.sum(), image)
        torch.testing.assert_close(gradient, expected, **SAME)
    attended = sum(selection is not None for selection in bound.selections)
    assert attended == 2 and len(routed) == attended + 3 * attended  # once the source, each step the estimate


def ddpm():
    torch.manual_seed(0)
    return DiffusionModel(
        DDPMUNet(DDPMConfig(32, (1, 2), 1, (2,))).eval().requires_grad_(False), variance="fixed_small"
    )


@pytest.mark.parametrize("family", ["adm", "ddpm"])
def test_attention_in_the_unet_is_fused(operations, learned, picture, family):
    model = learned if family == "adm" else ddpm()
    with operations() as seen:
        model.unet(picture(1), torch.tensor([300.0]))
    blocks = [module for module in model.network.modules() if type(module).__name__ == "AttentionBlock"]
    assert blocks and seen.count("scaled_dot_product") == len(blocks)
    assert seen.count("softmax") == 0


def test_no_gradient_of_a_parameter_is_computed(learned, terms, picture):
    """Frozen weights are constants: what is kept for the gradient has none that would be differentiated."""
    for parameter in (*learned.network.parameters(), *terms[0].loss.text.clip.network.parameters()):
        assert not parameter.requires_grad
    source, kept = picture(1, 2), []
    bound = bind(terms, source, [3, 4])
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        Guidance(learned, learned.schedule("50"), bound)(source, STATE)
    weights = [t for t in kept if isinstance(t, torch.nn.Parameter)]
    assert weights and not any(t.requires_grad for t in weights)


def test_a_step_asks_the_device_once(operations, learned, terms, picture, monkeypatch):
    """Reading a value waits for all that the device was given; a step with any number of losses reads once."""
    source, schedule, lists, tolist = picture(1, 2), learned.schedule("50"), [], torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: lists.append(tensor) or tolist(tensor))

    def reads(which):
        lists.clear()
        bound = bind(which, source, [3, 4])
        with operations() as seen:
            guidance = Guidance(learned, schedule, bound)
            next(sample(learned, schedule, source, STATE, ddpm_step, guidance, seeded([5, 6])))
        return seen.count("_local_scalar_dense"), len(lists)

    # Crops are drawn on the CPU, where their equations are checked once.
    assert [reads(which) for which in ((), terms[2:], terms[1:])] == [(0, 1)] * 3
    assert reads(terms)[1] == 1 and reads(terms)[0] <= 1


def test_what_is_not_finite_is_still_named_by_its_first_place(learned, picture):
    class Broken(Loss):
        name = "broken"

        def against(self, source, generators):
            return lambda view: {"broken": view.estimate.mean((1, 2, 3)) / 0}

    source = picture(1)
    bound = bind((Term(1.0, MSE()), Term(1.0, Broken()), Term(1.0, Range())), source, [0])
    guidance = Guidance(learned, learned.schedule("50"), bound)
    walk = sample(learned, learned.schedule("50"), source, STATE, ddpm_step, guidance, seeded([5]))
    with pytest.raises(
        NonFiniteError, match=f"in the loss 'broken' at timestep {learned.schedule('50').timesteps[10]}"
    ):
        next(walk)
