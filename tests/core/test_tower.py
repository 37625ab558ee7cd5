"""CLIP's picture tower as guidance computes it: open_clip's own forward and gradient, in fewer operations and bytes."""

import open_clip
import pytest
import torch
from open_clip.transformer import VisionTransformer

from qs_core.features import tower

SAME = {"rtol": 1e-4, "atol": 1e-5}  # float32 sums in another order; embeddings of about 1, gradients of about 0.1
HALF = 0.04  # relative to the largest value: bfloat16 has 8 bits, and the blocks round in another order


def network(**options) -> VisionTransformer:
    """A random tower of 48 x 32 pixels, frozen, whose biases and norms are not the trivial ones."""
    torch.manual_seed(0)
    config = {"image_size": (48, 32), "patch_size": 16, "width": 64, "layers": 3, "heads": 4, "mlp_ratio": 4.0}
    visual = VisionTransformer(**{**config, "output_dim": 24, **options}).eval().requires_grad_(False)
    for parameter in visual.parameters():
        parameter.add_(0.1 * torch.randn(parameter.shape))
    return visual


def crops(count=5):
    return torch.randn(count, 3, 48, 32, generator=torch.Generator().manual_seed(1))


def with_gradient(function, x):
    """The embeddings and the gradient of their weighted squares."""
    leaf = x.clone().requires_grad_()
    made = function(leaf).float()
    weights = torch.linspace(-1, 1, made.numel()).view_as(made)
    return made.detach(), torch.autograd.grad((made.square() * weights).sum(), leaf)[0]


QUICK = {"act_layer": open_clip.transformer.QuickGELU}


@pytest.mark.parametrize("count", [5, 20])  # below 16 crops torch's convolution takes another way on one thread
@pytest.mark.parametrize("options", [{}, QUICK, {"layers": 1}, {"ls_init_value": 0.3}, {"no_ln_pre": True}])
def test_it_is_open_clips_own_forward_and_gradient(options, count):
    visual, x = network(**options), crops(count)
    assert tower.readable(visual)
    embeddings, gradient = with_gradient(lambda leaf: tower.embed(visual, leaf), x)
    expected, expected_gradient = with_gradient(visual, x)
    torch.testing.assert_close(embeddings, expected, **SAME)
    torch.testing.assert_close(gradient, expected_gradient, **SAME)
    assert expected_gradient.abs().max() > 1e-2


def test_in_half_precision_it_is_as_near_to_single_as_open_clips_own():
    visual, x = network(**QUICK), crops()
    exact = with_gradient(visual, x)
    half = network(**QUICK).bfloat16()
    own = with_gradient(lambda leaf: tower.embed(half, leaf.bfloat16()), x)
    theirs = with_gradient(lambda leaf: half(leaf.bfloat16()), x)
    for ours, other, true in zip(own, theirs, exact, strict=True):
        assert (ours - true).abs().max() < HALF * true.abs().max()
        assert (ours - true).norm() < 1.2 * (other - true).norm()


@pytest.mark.parametrize("bias", [True, False])
def test_a_product_is_torchs_own_linear(bias):
    x, weight = torch.randn(17, 6, 8), torch.randn(12, 8)
    bias = torch.randn(12) if bias else None
    made, gradient = with_gradient(lambda leaf: tower.product(leaf, weight, bias), x)
    expected, expected_gradient = with_gradient(lambda leaf: torch.nn.functional.linear(leaf, weight, bias), x)
    torch.testing.assert_close(made, expected, rtol=1e-5, atol=1e-5)  # sums of 8 products of size 1
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-3)  # gradients of about 100


@pytest.mark.parametrize(
    "options", [{"pool_type": "avg"}, {"output_tokens": True}, {"attentional_pool": True}, {"patch_dropout": 0.5}]
)
def test_other_towers_are_left_to_open_clip(options):
    assert not tower.readable(network(**options))


def test_a_tower_that_is_trained_is_left_to_open_clip():
    assert not tower.readable(network().requires_grad_(True))


def test_it_follows_weights_that_are_changed_in_place_or_replaced():
    visual, x = network(), crops()
    before = tower.embed(visual, x)
    visual.conv1.weight = torch.nn.Parameter(2 * visual.conv1.weight, requires_grad=False)
    visual.proj.mul_(0.5)
    torch.testing.assert_close(tower.embed(visual, x), visual(x), **SAME)
    assert not torch.allclose(before, visual(x), rtol=0.1)


def test_attention_is_fused_and_nothing_of_a_frozen_tower_is_differentiated(operations):
    visual, kept = network(**QUICK), []
    with operations() as seen, torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        with_gradient(lambda leaf: tower.embed(visual, leaf), crops(20))
    assert sum("scaled_dot_product" in name and "backward" not in name for name in seen.names) == 3
    assert not [name for name in seen.names if "softmax" in name]
    assert not [t for t in kept if isinstance(t, torch.nn.Parameter) and t.requires_grad]


def kept_bytes(function, x):
    sizes = {}

    def keep(tensor):
        if not isinstance(tensor, torch.nn.Parameter):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        function(x.clone().requires_grad_()).sum()
    return sum(sizes.values())


def test_it_keeps_less_for_the_gradient():
    visual, x = network(layers=6, **QUICK), crops(20)
    own, theirs = kept_bytes(lambda leaf: tower.embed(visual, leaf), x), kept_bytes(visual, x)
    assert own < 0.6 * theirs  # measured: 0.48


def test_without_its_text_tower_a_clip_sees_the_same(tiny_clip, picture):
    lean, x = tiny_clip.without_text(), picture(1, 2)
    assert torch.equal(lean.encode_image(x), tiny_clip.encode_image(x))
    names = [name for name, _ in lean.network.named_parameters()]
    assert names and all(name.startswith("visual.") for name in names)
    assert (lean.activation, lean.dtype, lean.device) == (tiny_clip.activation, tiny_clip.dtype, tiny_clip.device)
    assert lean.without_text().network.visual is tiny_clip.network.visual


def test_a_clip_whose_towers_are_not_apart_stays_whole(tiny_clip, picture):
    class Other(torch.nn.Module):
        visual = torch.nn.Linear(1, 1)

        def encode_image(self, pictures):
            return pictures.mean((2, 3))

    other = type(tiny_clip)(Other(), None, 32, (0.5,) * 3, (0.5,) * 3, "other")
    assert other.without_text() is other
    torch.testing.assert_close(other.encode_image(picture(1)), picture(1).mean((2, 3)))
