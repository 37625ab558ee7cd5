"""Every loss: what it is at the identity, that it descends along its gradient, and that images are independent."""

import pytest
import torch

from qs_core.anchors import Anchors, Attention, route_at
from qs_core.crops import Crops, cut, homographies
from qs_core.features import arcface
from qs_core.features.arcface import ArcFace
from qs_core.features.clip import text_direction
from qs_core.features.vgg import VGG19
from qs_core.losses.base import Term, View
from qs_core.losses.clip import AUGMENTATIONS, CLIPLoss, directional_distance, spherical_distance
from qs_core.losses.contrastive import Contrastive, patch_nce
from qs_core.losses.identity import Identity
from qs_core.losses.perceptual import VGGContent
from qs_core.losses.pixel import MSE, Range
from qs_core.losses.vit import ViTLoss
from qs_core.randomness import seeded

OF_VIT = ("vit_structure", "vit_contrastive", "vit_divergence", "vit_style", "style_pixels")
GOLDEN = {"rtol": 1e-4, "atol": 1e-5}  # stated by golden/README.md
BATCH = {"rtol": 1e-4, "atol": 1e-6}  # float32 sums in another order


@pytest.fixture(scope="module")
def losses(learned, tiny_clip):
    """Each loss of the library on small networks, by name."""
    torch.manual_seed(0)
    conv = torch.nn.Conv2d
    vgg = VGG19(torch.nn.Sequential(conv(3, 8, 3), torch.nn.ReLU(inplace=True), conv(8, 8, 3)), (0, 2))

    def encode(images):
        return learned.encode(images, torch.zeros(len(images)))

    text = text_direction(tiny_clip, ["a sketch", "gold"], "photo", (3.0, 1.0))
    return {
        "mse": MSE(),
        "range": Range(),
        "vgg": VGGContent(vgg.requires_grad_(False)),
        "contrastive random": Contrastive(encode, Anchors("random", 32)),
        "contrastive global": Contrastive(encode, Anchors("global", 32, frozenset({2, 3}))),
        "contrastive local": Contrastive(encode, Anchors("local", 32, frozenset(range(4)), Attention("sqrt", 0.5))),
        "contrastive local_global": Contrastive(encode, Anchors("local_global", 32, frozenset({0, 3}))),
        "clip": CLIPLoss(text, Crops(8, (0.1, 0.5))),
        "clip of a phrase and a picture": CLIPLoss(
            text.joined([torch.rand(3, 40, 24) * 2 - 1], 2.0), Crops(8, (0.1, 0.5))
        ),
        "clip target": CLIPLoss(text, Crops(8, (0.6, 1.0), **AUGMENTATIONS["diffuseit"]), targeted=True),
        "identity": Identity(face()),
        **{name: ViTLoss(tiny_clip, frozenset([name]), [torch.rand(3, 40, 24) * 2 - 1], [1.0]) for name in OF_VIT},
    }


def face() -> ArcFace:
    """An ArcFace of one unit a group, with random weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arcface, "GROUPS", tuple((width, 1) for width, _ in arcface.GROUPS))
        return ArcFace().eval().requires_grad_(False)


NAMES = (
    "mse",
    "range",
    "vgg",
    "contrastive random",
    "contrastive global",
    "contrastive local",
    "contrastive local_global",
    "clip",
    "clip of a phrase and a picture",
    "clip target",
    "identity",
    *OF_VIT,
)
LEAST_AT_THE_SOURCE = (*NAMES[:7], "vit_structure", "vit_contrastive", "identity")


def value(loss, source, image, seeds=(0,)) -> torch.Tensor:
    """(B,) the sum of a loss's values with estimate and x0 both at `image`; the same seeds draw the same places."""
    bound = loss.against(source, seeded(seeds))
    values = bound(View(image, image, 400))
    assert all(v.shape == (len(image),) for v in values.values())
    return sum(values.values())


@pytest.mark.parametrize("name", NAMES)
class TestEveryLoss:
    def test_it_descends_along_its_own_gradient(self, losses, picture, name):
        source, image = picture(1), (1.5 * picture(2)).requires_grad_()
        before = value(losses[name], source, image)
        (gradient,) = torch.autograd.grad(before.sum(), image)
        step = 1e-2 / gradient.norm()  # a hundredth of a unit of picture distance
        after = value(losses[name], source, image.detach() - step * gradient)
        expected = 1e-2 * gradient.norm()
        assert after < before
        # To first order the fall is the slope; half to one and a half of it leaves room for curvature.
        assert 0.5 * expected < (before - after).item() < 1.5 * expected

    def test_a_value_does_not_depend_on_the_batch(self, losses, picture, name):
        sources, images = picture(1, 2), 1.5 * picture(3, 4)
        together = value(losses[name], sources, images, seeds=(5, 6))
        torch.testing.assert_close(together[1:], value(losses[name], sources[1:], images[1:], seeds=(6,)), **BATCH)

    def test_a_gradient_does_not_depend_on_the_batch(self, losses, picture, name):
        def gradient(sources, images, seeds):
            images = images.clone().requires_grad_()
            return torch.autograd.grad(value(losses[name], sources, images, seeds).sum(), images)[0]

        sources, images = picture(1, 2), 1.5 * picture(3, 4)
        together = gradient(sources, images, (5, 6))[1:]
        torch.testing.assert_close(together, gradient(sources[1:], images[1:], (6,)), **BATCH)

    def test_same_seed_same_value(self, losses, picture, name):
        first, again = (value(losses[name], picture(1), picture(2), (3,)) for _ in range(2))
        torch.testing.assert_close(first, again, rtol=0, atol=0)

    def test_pictures_need_not_be_square(self, losses, picture, name):
        source, image = picture(1, height=16, width=40), 1.5 * picture(2, height=16, width=40)
        assert (value(losses[name], source, image).item() > 0) != (name == "vit_divergence")


@pytest.mark.parametrize("name", LEAST_AT_THE_SOURCE)
@pytest.mark.parametrize("other", [2, 3])
def test_it_is_less_at_the_source_than_elsewhere(losses, picture, name, other):
    source = picture(1)
    for image in (1.5 * picture(other), source.flip(-1) * 1.2, source + 0.5 * torch.randn_like(source)):
        assert value(losses[name], source, source) < value(losses[name], source, image)


@pytest.mark.parametrize("name", ["mse", "range", "vgg"])
def test_it_is_zero_at_the_source(losses, picture, name):
    assert value(losses[name], picture(1), picture(1)).item() == 0


class TestPixel:
    def test_mse_by_hand(self):
        source, estimate = torch.zeros(2, 3, 2, 2), torch.zeros(2, 3, 2, 2)
        estimate[1, 0, 0, 0] = 6.0
        assert MSE().against(source, seeded([0, 0]))(View(estimate, source, 0))["mse"].tolist() == [0, 3]

    def test_range_by_hand(self):
        x0 = torch.tensor([[[[1.0, -1.0], [3.0, -2.0]]]])
        assert Range().against(x0, seeded([0]))(View(x0, x0, 0))["range"].item() == (4 + 1) / 4

    def test_mse_looks_at_the_estimate_and_range_at_x0(self, picture):
        near, far = picture(1), 3 * picture(2)
        view = View(near, far, 0)
        assert MSE().against(near, seeded([0]))(view)["mse"].item() == 0
        assert Range().against(near, seeded([0]))(view)["range"].item() > 0


class TestPatchNCE:
    def features(self, seed, count=20):
        return torch.randn(2, count, 8, generator=torch.Generator().manual_seed(seed))

    def test_by_the_equation(self):
        """-log of the positive's share among the positive and every other anchor's source feature."""
        estimate, source, tau = self.features(0), self.features(1), 0.2
        q, k = (x.double() / x.double().norm(dim=-1, keepdim=True) for x in (estimate, source))
        expected = []
        for b in range(2):
            terms = []
            for s in range(20):
                scores = [(q[b, s] @ k[b, j] / tau).exp() for j in range(20)]
                terms.append(-(scores[s] / sum(scores)).log())
            expected.append(sum(terms) / 20)
        # The diagonal of the negatives counts as exp(-10 / 0.2), which is 2e-22.
        torch.testing.assert_close(patch_nce(estimate, source, tau), torch.stack(expected).float(), **GOLDEN)

    def test_scale_does_not_matter(self):
        estimate, source = self.features(0), self.features(1)
        torch.testing.assert_close(patch_nce(7 * estimate, 0.3 * source), patch_nce(estimate, source), **GOLDEN)

    def test_order_does_not_matter(self):
        estimate, source, order = self.features(0), self.features(1), torch.randperm(20)
        shuffled = patch_nce(estimate[:, order], source[:, order])
        torch.testing.assert_close(shuffled, patch_nce(estimate, source), **GOLDEN)

    def test_the_source_carries_no_gradient(self):
        estimate, source = self.features(0).requires_grad_(), self.features(1).requires_grad_()
        patch_nce(estimate, source).sum().backward()
        assert source.grad is None and estimate.grad.abs().max() > 0

    def test_one_anchor_has_nothing_to_be_told_from(self):
        torch.testing.assert_close(patch_nce(*(self.features(s, 1)[..., :1].abs() for s in (0, 1))), torch.zeros(2))

    def test_zero_features_stay_finite(self):
        zeros = torch.zeros(1, 4, 8, requires_grad=True)
        loss = patch_nce(zeros, torch.zeros(1, 4, 8))
        loss.sum().backward()
        assert loss.isfinite().all() and zeros.grad.isfinite().all()


class TestContrastive:
    def test_layers_are_summed(self):
        maps = [torch.randn(1, 8, 4, 4) for _ in range(4)]
        route, loss = route_at(torch.tensor([[0, 5, 9]])), Contrastive(None, Anchors())
        keys = [route(source) for source in maps[2:]]
        both = loss.compare(maps[:2], keys, [route, route])
        parts = [loss.compare(maps[k : k + 1], keys[k : k + 1], [route]) for k in (0, 1)]
        torch.testing.assert_close(both, sum(parts))

    def test_the_source_is_encoded_once_and_selected_once(self, picture):
        calls = []

        def encode(images):
            calls.append(len(images))
            return [torch.nn.functional.avg_pool2d(images, 4)]

        bound = Contrastive(encode, Anchors("global", 8, frozenset({0}))).against(picture(1), seeded([0]))
        for _ in range(3):
            bound(View(picture(2), picture(2), 0))
        assert len(calls) == 1 + 3

    def test_what_is_told_of_the_anchors(self, losses, picture):
        rows = losses["contrastive global"].against(picture(1, 2), seeded([0, 1])).describe()
        assert [row["kind"] for row in rows] == ["random", "random", "global", "global"]
        assert [(row["height"], row["width"], row["channels"]) for row in rows[1:3]] == [(32, 32, 32), (16, 16, 32)]
        spread = rows[3]["entropy"]
        assert spread["min"][1] <= spread["highest_selected"][1] <= spread["mean"][1] <= spread["max"][1]


class TestCLIP:
    def test_golden_spherical(self, golden):
        figures = golden("guided_step_adm_scale_shift")
        distance = spherical_distance(figures["clip_a"], figures["text_a"])
        torch.testing.assert_close(distance, figures["clip_spherical"], **GOLDEN)

    def test_golden_directional(self, golden):
        figures = golden("guided_step_adm_scale_shift")
        image, text = (figures[f"{kind}_a"] - figures[f"{kind}_b"] for kind in ("clip", "text"))
        distance = directional_distance(image, text)
        torch.testing.assert_close(distance, figures["clip_directional"], **GOLDEN)

    def test_distances_at_and_opposite_the_text(self):
        text = torch.tensor([[3.0, 4.0]])
        assert spherical_distance(2 * text, text).item() == pytest.approx(0, abs=1e-6)
        assert directional_distance(2 * text, text).item() == pytest.approx(0, abs=1e-6)
        assert directional_distance(-text, text).item() == pytest.approx(2)
        right_angle = torch.tensor([[-4.0, 3.0]])
        # Half the squared angle.
        assert spherical_distance(right_angle, text).item() == pytest.approx(2 * (torch.pi / 4) ** 2)

    def test_it_reports_two_values_per_image(self, losses, picture):
        values = losses["clip"].against(picture(1, 2), seeded([0, 1]))(View(picture(3, 4), picture(3, 4), 0))
        assert set(values) == {"clip_global", "clip_directional"}
        assert all(v.shape == (2,) and v.isfinite().all() for v in values.values())

    def test_it_is_the_mean_over_crops_against_the_whole_source(self, tiny_clip, picture):
        """Crop by crop; the source, 32 px as CLIP wants it, is seen whole and the direction starts there."""
        text, crops, (source, image) = text_direction(tiny_clip, ["gold"]), Crops(4), (picture(1), picture(2))
        values = CLIPLoss(text, crops).against(source, seeded([7]))(View(image, image, 0))
        views = cut(image, homographies(crops, 32, 32, seeded([7])), 32, crops.area)
        seen = [tiny_clip.encode_image(view[None])[0] for view in views]
        start, target = tiny_clip.encode_image(source)[0], text.targets[0]
        spherical = torch.stack([spherical_distance(one, target) for one in seen]).mean()
        directional = torch.stack([directional_distance(one - start, target - text.source) for one in seen]).mean()
        torch.testing.assert_close(values["clip_global"][0], spherical, **GOLDEN)
        torch.testing.assert_close(values["clip_directional"][0], directional, **GOLDEN)

    def test_targets_are_weighed(self, tiny_clip, picture):
        def both(prompts, weights=()):
            text = text_direction(tiny_clip, prompts, "photo", weights)
            bound = CLIPLoss(text, Crops(6)).against(picture(1), seeded([0]))
            return bound(View(picture(2), picture(2), 0))

        first, second, mixed = both(["a sketch"]), both(["gold"]), both(["a sketch", "gold"], (3.0, 1.0))
        for name in mixed:
            torch.testing.assert_close(mixed[name], 0.75 * first[name] + 0.25 * second[name], **GOLDEN)

    def test_small_pictures_are_cropped_all_the_same(self, tiny_clip, picture):
        text = text_direction(tiny_clip, ["a sketch"])
        small = picture(1, height=8, width=8)
        values = CLIPLoss(text, Crops(6)).against(small, seeded([0]))(View(small, small, 0))
        assert all(v.isfinite().all() for v in values.values())


class TestVGG:
    def test_only_the_layers_needed_are_kept(self):
        layers = torch.nn.Sequential(*(torch.nn.Conv2d(3, 3, 1) for _ in range(6)))
        network = VGG19(layers, (0, 2))
        assert len(network.features) == 3 and len(network(torch.zeros(1, 3, 4, 4))) == 2

    def test_an_in_place_relu_does_not_change_the_layer_before(self):
        conv = torch.nn.Conv2d(3, 8, 1)
        network = VGG19(torch.nn.Sequential(conv, torch.nn.ReLU(inplace=True)), (0, 1))
        before, after = network(torch.randn(1, 3, 4, 4))
        assert before.min() < 0
        torch.testing.assert_close(after, before.relu())

    def test_it_sees_pictures_normalised_as_it_was_trained(self):
        network = VGG19(torch.nn.Sequential(torch.nn.Identity()), (0,))
        (seen,) = network(torch.ones(1, 3, 1, 1))
        expected = torch.tensor([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
        torch.testing.assert_close(seen.flatten(), expected)


class TestTerm:
    def test_it_is_linear_in_its_weight(self):
        values = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0, 5.0])}
        assert Term(2.0, None).weigh(values).tolist() == [8, 14]
        assert Term(4.0, None).weigh(values).tolist() == [16, 28]

    def test_a_mapping_weighs_by_name(self):
        values = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0, 5.0])}
        assert Term({"a": 10.0, "b": 1.0}, None).weigh(values).tolist() == [13, 25]
        assert Term({"b": 1.0}, None).weigh(values).tolist() == [3, 5]

    def test_it_is_frozen(self):
        with pytest.raises(AttributeError):
            Term(1.0, MSE()).weight = 2.0

    @pytest.mark.parametrize(
        "weight, active", [(0, False), (1e-9, True), ({"a": 0.0}, False), ({"a": 0, "b": -1}, True)]
    )
    def test_active(self, weight, active):
        assert Term(weight, None).active is active


class TestColourInMSE:
    def value(self, chroma, change):
        source = torch.zeros(1, 3, 4, 4)
        view = View(source + torch.tensor(change)[None, :, None, None], source, 0)
        return MSE(chroma).against(source, seeded([0]))(view)["mse"].item()

    def test_with_1_it_is_the_plain_mean(self):
        assert self.value(1.0, [0.3, -0.1, 0.5]) == pytest.approx((0.09 + 0.01 + 0.25) / 3)

    def test_a_change_of_lightness_counts_in_full(self):
        assert self.value(0.0, [0.4, 0.4, 0.4]) == pytest.approx(0.16)

    def test_a_change_of_colour_counts_by_its_share(self):
        assert self.value(0.25, [0.6, -0.6, 0.0]) == pytest.approx(0.25 * self.value(1.0, [0.6, -0.6, 0.0]))
