"""Measures of content and style, against the written-out equations, scikit-image, and what is plain by hand."""

import dataclasses
import math

import numpy as np
import open_clip
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity
from timm.models import VisionTransformer
from torch.nn.functional import conv2d, gelu, layer_norm, max_pool2d, relu

from qs_core.errors import InputError, UnsupportedCheckpoint
from qs_core.features.clip import CLIP
from qs_core.features.lpips import load_lpips
from qs_core.features.vit import ViT
from qs_evaluate import metrics

CLOSE = {"rtol": 1e-4, "atol": 1e-6}  # float32, another order of summation
MEAN, STD = (0.1, 0.2, 0.3), (0.2, 0.3, 0.4)
SIDE = 40


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def blurred(pictures: torch.Tensor, times: int) -> torch.Tensor:
    for _ in range(times):
        pictures = torch.nn.functional.avg_pool2d(pictures, 3, 1, 1, count_include_pad=False)
    return pictures


@pytest.fixture
def detailed(picture):
    """Three pictures of 36 x 40 with grain in them."""
    return (picture(1, 2, 3, height=36, width=SIDE) + 0.1 * noise(0, 3, 3, 36, SIDE)).clamp(-1, 1)


@pytest.fixture(scope="module")
def deep() -> CLIP:
    """A random CLIP of three blocks, 32 px and 16 dimensions, whose norms and biases are random, too."""
    torch.manual_seed(0)
    network = open_clip.model.CLIP(
        embed_dim=16,
        vision_cfg={"layers": 3, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32},
        text_cfg={"context_length": 8, "vocab_size": 16, "width": 16, "heads": 2, "layers": 1},
    )
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape) * 0.2
    return CLIP(network.eval().requires_grad_(False), None, 32, MEAN, STD, "deep")


@pytest.fixture(scope="module")
def vit() -> ViT:
    torch.manual_seed(0)
    options = {"embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 0, "dynamic_img_size": True}
    return ViT(VisionTransformer(img_size=32, patch_size=8, **options), MEAN, STD)


class TestLuminance:
    def test_colours(self):
        colours = torch.tensor([[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, 1], [-1, -1, -1], [0, 0, 0]])
        expected = torch.tensor([0.2126, 0.7152, 0.0722, 1, 0, 0.5])
        torch.testing.assert_close(metrics.luminance(colours[:, :, None, None])[:, 0, 0], expected)

    def test_what_is_beyond_is_clamped_and_half_precision_is_widened(self):
        light = metrics.luminance(torch.full((1, 3, 2, 4), 1.5).half())
        assert light.shape == (1, 2, 4) and light.dtype == torch.float32
        torch.testing.assert_close(light, torch.ones(1, 2, 4))


class TestSSIM:
    @pytest.mark.parametrize("strength, scale, offset", [(0.05, 1, 0), (0.5, 1, 0), (1, 0.002, 0.99), (1, 0, 0.3)])
    def test_it_is_scikit_images(self, detailed, strength, scale, offset):
        """Also where a picture is nearly or wholly flat and bright, where float32 would lose most."""
        a = detailed * scale + offset
        b = a + noise(1, *a.shape) * strength * max(scale, 0.002)
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
        grey = [metrics.luminance(pictures).double().numpy() for pictures in (a, b)]
        expected = [structural_similarity(x, y, **options) for x, y in zip(*grey, strict=True)]
        got = metrics.ssim(a, b)
        assert got.dtype == torch.float32
        np.testing.assert_allclose(got.numpy(), expected, atol=1e-6, rtol=0)  # a value near 1 in float32

    def test_one_window(self):
        """11 x 11 pixels have one place: the equation, its variances about the means."""
        a, b = (metrics.luminance(noise(seed, 1, 3, 11, 11)) for seed in (0, 1))
        line = torch.exp(-(torch.arange(-5.0, 6).double() ** 2) / 4.5)
        weights = torch.outer(line, line) / line.sum() ** 2
        x, y = a[0].double(), b[0].double()
        mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
        variances = (weights * (x - mean_x) ** 2).sum() + (weights * (y - mean_y) ** 2).sum()
        covariance = (weights * (x - mean_x) * (y - mean_y)).sum()
        expected = (2 * mean_x * mean_y + 1e-4) * (2 * covariance + 9e-4)
        expected /= (mean_x**2 + mean_y**2 + 1e-4) * (variances + 9e-4)
        got = metrics.ssim(noise(0, 1, 3, 11, 11), noise(1, 1, 3, 11, 11))
        torch.testing.assert_close(got, expected[None].float(), **CLOSE)

    def test_too_small(self):
        with pytest.raises(InputError, match="Pictures are 12x10; 11 pixels a side are needed. Give larger ones"):
            metrics.ssim(torch.zeros(1, 3, 10, 12), torch.zeros(1, 3, 10, 12))


class TestGradientCorrelation:
    def test_the_equation(self, detailed):
        a, b = detailed[:1], detailed[1:2]
        kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
        kernels = torch.stack([kernel, kernel.T])[:, None]
        edges = [conv2d(metrics.luminance(x)[:, None], kernels).norm(dim=1).flatten() for x in (a, b)]
        expected = np.corrcoef(*(part.double().numpy() for part in edges))[0, 1]
        np.testing.assert_allclose(metrics.gradient_correlation(a, b).item(), expected, atol=1e-5)

    def test_neither_contrast_nor_a_negative_changes_it(self, detailed):
        torch.testing.assert_close(metrics.gradient_correlation(detailed, -0.5 * detailed), torch.ones(3), **CLOSE)

    def test_an_edge_at_another_place(self):
        left, right = torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)
        left[..., :4], right[..., 12:] = 1, 1
        assert metrics.gradient_correlation(left, right) < 0

    def test_flat_pictures(self):
        """Of any colour, and an even slope as well, whose gradient is the same everywhere."""
        flat = torch.tensor([0.1, 0.37, -0.9])[None, :, None, None].expand(1, 3, 16, 16)
        slope = torch.linspace(-1, 1, 16).expand(1, 3, 16, 16)
        for other in (flat, -flat, slope):
            assert metrics.gradient_correlation(flat, other).tolist() == [1.0]
        assert metrics.gradient_correlation(flat, noise(0, 1, 3, 16, 16)).tolist() == [0.0]
        assert metrics.gradient_correlation(noise(0, 1, 3, 16, 16), slope).tolist() == [0.0]


def tower_keys(pictures: torch.Tensor, state: dict[str, torch.Tensor], blocks: int = 3, heads: int = 2):
    """The keys of the last of a CLIP tower's blocks, from Vaswani et al.'s equations."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    patches = conv2d(((pictures + 1) / 2 - mean) / std, state["conv1.weight"], stride=8).flatten(2).mT
    x = torch.cat([state["class_embedding"].expand(len(pictures), 1, -1), patches], 1)
    x = norm(x + state["positional_embedding"], state, "ln_pre")
    for index in range(blocks):
        name = f"transformer.resblocks.{index}"
        entering = norm(x, state, f"{name}.ln_1")
        joint = entering @ state[f"{name}.attn.in_proj_weight"].T + state[f"{name}.attn.in_proj_bias"]
        query, key, value = joint.chunk(3, -1)
        if index == blocks - 1:
            return key
        parts = [part.chunk(heads, -1) for part in (query, key, value)]
        mixed = [(q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v for q, k, v in zip(*parts, strict=True)]
        x = x + linear(torch.cat(mixed, -1), state, f"{name}.attn.out_proj")
        hidden = gelu(linear(norm(x, state, f"{name}.ln_2"), state, f"{name}.mlp.c_fc"))
        x = x + linear(hidden, state, f"{name}.mlp.c_proj")


def norm(x, state, name):
    return layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])


def linear(x, state, name):
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


class TestStructure:
    def test_the_keys_of_a_clip(self, deep, picture):
        keys = metrics.clip_keys(deep)(picture(1, 2))
        assert keys.shape == (2, 1 + 16, 32)
        torch.testing.assert_close(keys, tower_keys(picture(1, 2), deep.network.visual.state_dict()), **CLOSE)

    def test_the_keys_of_a_vit(self, vit, picture):
        for layer in (0, -1):
            torch.testing.assert_close(metrics.vit_keys(vit, layer, 32)(picture(1)), vit.keys(picture(1), layer))

    def test_other_sizes_are_resized(self, deep, vit, detailed):
        assert metrics.clip_keys(deep)(detailed).shape == (3, 1 + 16, 32)
        assert metrics.vit_keys(vit, size=24)(detailed).shape == (3, 1 + 9, 32)

    def test_the_distance_written_out(self, deep, picture):
        keys = metrics.clip_keys(deep)
        (a,), (b,) = keys(picture(1)).double(), keys(picture(2)).double()
        total = 0.0
        for i in range(17):  # token 0 is the class token
            for j in range(17):
                cosines = [float(k[i] @ k[j] / (k[i].norm() * k[j].norm())) for k in (a, b)]
                total += (cosines[0] - cosines[1]) ** 2
        expected = torch.tensor([total / 17**2])
        torch.testing.assert_close(metrics.structure_distance(keys, picture(1), picture(2)), expected, **CLOSE)

    def test_a_turned_and_scaled_set_of_keys_is_the_same_structure(self, picture):
        """Only angles between the keys count."""
        turn = torch.linalg.qr(noise(0, 5, 5))[0]
        table = {True: noise(1, 1, 7, 5), False: 3 * noise(1, 1, 7, 5) @ turn}

        def keys(pictures):
            return table[bool(pictures.mean() > 0)]

        distance = metrics.structure_distance(keys, torch.ones(1, 3, 4, 4), -torch.ones(1, 3, 4, 4))
        torch.testing.assert_close(distance, torch.zeros(1), **CLOSE)

    def test_a_tower_without_such_keys(self, deep):
        network = open_clip.model.CLIP(
            embed_dim=16,
            vision_cfg={"layers": (1, 1, 1, 1), "width": 8, "image_size": 32},
            text_cfg={"context_length": 8, "vocab_size": 16, "width": 16, "heads": 2, "layers": 1},
        )
        with pytest.raises(InputError, match="The picture tower of deep is no vision transformer whose keys"):
            metrics.clip_keys(dataclasses.replace(deep, network=network))


CHANNELS = (64, 192, 384, 256, 256)


@pytest.fixture(scope="module")
def alexnet():
    """Random weights of torchvision's names and shapes, in float16; of the classifier a part, which is not read."""
    with torch.device("meta"):
        shapes = torchvision.models.alexnet(weights=None).features.state_dict()
    state = {f"features.{k}": noise(i, *v.shape).half() * 0.05 for i, (k, v) in enumerate(shapes.items())}
    return state | {"classifier.6.bias": torch.zeros(1000)}


@pytest.fixture(scope="module")
def linears():
    return {f"lin{i}.model.1.weight": noise(i, 1, c, 1, 1).abs() for i, c in enumerate(CHANNELS)}


@pytest.fixture(scope="module")
def files(alexnet, linears, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lpips")
    torch.save(alexnet, folder / "alexnet.pth")
    torch.save(linears, folder / "alex.pth")
    return folder / "alexnet.pth", folder / "alex.pth"


def lpips_by_hand(a, b, state, linears):
    """Zhang et al.'s equation 1, with the scaling of the published code."""
    total = 0.0
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    x, y = ((p - shift[:, None, None]) / scale[:, None, None] for p in (a, b))
    strides, paddings = (4, 1, 1, 1, 1), (2, 2, 1, 1, 1)
    for i, layer in enumerate((0, 3, 6, 8, 10)):
        if i in (1, 2):
            x, y = (max_pool2d(part, 3, 2) for part in (x, y))
        weight, bias = (state[f"features.{layer}.{kind}"].float() for kind in ("weight", "bias"))
        x, y = (relu(conv2d(part, weight, bias, stride=strides[i], padding=paddings[i])) for part in (x, y))
        unit = [part / (part.square().sum(1, keepdim=True).sqrt() + 1e-10) for part in (x, y)]
        total += ((unit[0] - unit[1]).square() * linears[f"lin{i}.model.1.weight"]).sum(1).mean((1, 2))
    return total


class TestLPIPS:
    def test_the_equation(self, files, alexnet, linears, picture):
        network = load_lpips(*files)
        a, b = picture(1, 2, height=72, width=64), picture(3, 4, height=72, width=64)
        expected = lpips_by_hand(a, b, alexnet, linears)
        got = metrics.lpips(network, a, b)
        assert (got > 0).all()
        torch.testing.assert_close(got, expected, **CLOSE)
        assert metrics.lpips(network, a, a).tolist() == [0.0, 0.0]
        assert not network.training and not any(p.requires_grad for p in network.parameters())

    def test_the_smallest_picture(self, files):
        network = load_lpips(*files)
        assert metrics.lpips(network, noise(0, 1, 3, 31, 31), noise(1, 1, 3, 31, 31)).isfinite().all()
        with pytest.raises(InputError, match="Picture is 40x30; LPIPS needs 31 pixels a side"):
            metrics.lpips(network, torch.zeros(1, 3, 30, 40), torch.zeros(1, 3, 30, 40))

    def test_a_missing_file(self, files, tmp_path):
        with pytest.raises(
            InputError, match="No AlexNet weights at .*none.pth. Fetch https://.*alexnet.*give the path"
        ):
            load_lpips(tmp_path / "none.pth", files[1])
        with pytest.raises(InputError, match="No linear weights of LPIPS at .*none.pth. Fetch .*v0.1/alex.pth"):
            load_lpips(files[0], tmp_path / "none.pth")

    def test_files_in_the_wrong_order(self, files):
        with pytest.raises(UnsupportedCheckpoint, match="does not load as the features of AlexNet; keys: 10 missing"):
            load_lpips(files[1], files[0])

    @pytest.mark.parametrize(
        "change, message",
        [
            ({"lin4.model.1.weight": None}, r"1 missing \(lin4.model.1.weight\)"),
            ({"lin5.model.1.weight": torch.zeros(1, 2, 1, 1)}, r"1 left over \(lin5.model.1.weight\)"),
            ({"lin0.model.1.weight": torch.zeros(1, 65, 1, 1)}, r"1 of another shape \(lin0.model.1.weight\)"),
            ({"lin0.model.1.weight": torch.full((1, 64, 1, 1), math.nan)}, "is damaged"),
        ],
    )
    def test_other_linear_weights(self, files, linears, tmp_path, change, message):
        changed = {key: value for key, value in (linears | change).items() if value is not None}
        torch.save(changed, tmp_path / "vgg.pth")
        with pytest.raises(UnsupportedCheckpoint, match=message):
            load_lpips(files[0], tmp_path / "vgg.pth")


@pytest.fixture(params=["ssim", "gradient_correlation", "structure_distance", "lpips"])
def measure(request, deep):
    """Each measure of content as (a, b) → (B,), by its name."""
    if request.param == "structure_distance":
        keys = metrics.clip_keys(deep)
        return lambda a, b: metrics.structure_distance(keys, a, b)
    if request.param == "lpips":
        network = load_lpips(*request.getfixturevalue("files"))
        return lambda a, b: metrics.lpips(network, a, b)
    return getattr(metrics, request.param)


class TestEveryMeasureOfContent:
    def test_the_same_picture(self, measure, detailed, request):
        best = 1.0 if request.node.callspec.params["measure"] in ("ssim", "gradient_correlation") else 0.0
        torch.testing.assert_close(measure(detailed, detailed), torch.full((3,), best), rtol=0, atol=1e-6)

    @pytest.mark.parametrize("spoil", ["noise", "blur"])
    def test_the_more_is_spoilt_the_worse(self, measure, detailed, spoil, request):
        sign = 1 if request.node.callspec.params["measure"] in ("ssim", "gradient_correlation") else -1
        grain = noise(5, *detailed.shape)
        worse = [detailed + s * grain if spoil == "noise" else blurred(detailed, int(20 * s)) for s in (0.05, 0.2, 0.8)]
        values = torch.stack([sign * measure(detailed, other) for other in (detailed, *worse)])
        assert (values.diff(dim=0) < 0).all()

    def test_both_orders_give_the_same(self, measure, detailed):
        a, b = detailed, detailed.flip(0)
        torch.testing.assert_close(measure(a, b), measure(b, a), **CLOSE)

    def test_a_picture_does_not_depend_on_its_neighbours(self, measure, detailed):
        other = blurred(detailed, 2)
        alone = torch.cat([measure(a, b) for a, b in zip(detailed.split(1), other.split(1), strict=True)])
        torch.testing.assert_close(measure(detailed, other), alone, **CLOSE)

    def test_no_gradient_is_kept(self, measure, detailed):
        assert not measure(detailed.requires_grad_(), detailed.flip(0)).requires_grad

    @pytest.mark.parametrize(
        "a, b, message",
        [
            ((2, 3, 36, 36), (1, 3, 36, 36), r"Pictures are \(2, 3, 36, 36\) and \(1, 3, 36, 36\); both need the same"),
            ((1, 3, 36, 40), (1, 3, 36, 36), "both need the same shape"),
            ((3, 36, 36), (3, 36, 36), r"Pictures are \(3, 36, 36\); \(B, 3, H, W\) is needed"),
            ((1, 4, 36, 36), (1, 4, 36, 36), "Give at least one colour picture"),
            ((0, 3, 36, 36), (0, 3, 36, 36), "Give at least one colour picture"),
        ],
    )
    def test_shapes_that_do_not_fit(self, measure, a, b, message):
        with pytest.raises(InputError, match=message):
            measure(torch.zeros(a), torch.zeros(b))

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_a_failed_picture(self, measure, detailed, bad):
        failed = detailed.clone()
        failed[0, 0, 0, 0] = bad
        with pytest.raises(InputError, match="Pictures hold NaN or infinity, which cannot be measured"):
            measure(detailed, failed)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 1e-7, 1e-3, 1.0, 100.0]), st.sampled_from([0.0, 1e-7, 1e-3, 1.0]))
def test_similarities_are_within_their_range(seed, a, b):
    """For any contrast, flat ones among them. 1e-5: rounding."""
    x, y = a * noise(seed, 2, 3, 12, 13), b * noise(seed + 1, 2, 3, 12, 13)
    for values in (metrics.ssim(x, y), metrics.gradient_correlation(x, y)):
        assert (values.abs() <= 1 + 1e-5).all()


class TestEmbed:
    def test_its_views(self, tiny_clip, picture):
        image = picture(1, height=48, width=64)
        crops = [(0, 0), (0, 32), (24, 0), (24, 32), (12, 16)]
        views = [image, *(image[..., top : top + 24, left : left + 32] for top, left in crops)]
        resize = torch.nn.functional.interpolate
        resized = [resize(view, (32, 32), mode="bilinear", antialias=True) for view in views]
        expected = torch.cat([tiny_clip.encode_image(view) for view in resized])
        expected = expected / expected.norm(dim=-1, keepdim=True)
        torch.testing.assert_close(metrics.embed(tiny_clip, image), expected[None], **CLOSE)

    def test_odd_sides_are_covered(self, tiny_clip):
        """Each corner's pixel is seen by its crop, the middle one by all crops."""
        image = torch.zeros(1, 3, 33, 35)
        image[..., 16, 17] = 1
        changed = (metrics.embed(tiny_clip, image) - metrics.embed(tiny_clip, torch.zeros_like(image))).norm(dim=-1)
        assert (changed > 1e-4).all()

    def test_many_pictures_are_encoded_in_parts(self, tiny_clip, picture, monkeypatch):
        images, sizes, encode = picture(*range(23)), [], type(tiny_clip).encode_image
        with monkeypatch.context() as patch:
            patch.setattr(type(tiny_clip), "encode_image", lambda clip, x: sizes.append(len(x)) or encode(clip, x))
            together = metrics.embed(tiny_clip, images)
        assert sizes == [60, 60, 18] and together.shape == (23, 6, 16) and not together.requires_grad
        alone = torch.cat([metrics.embed(tiny_clip, image) for image in images.split(1)])
        # What rounding does between batches of different size is below what counts as a move.
        assert (together - alone).norm(dim=-1).max() < metrics.STILL
        torch.testing.assert_close(together.norm(dim=-1), torch.ones(23, 6))


X, Y, Z = torch.eye(3)


class TestDirectionalSimilarity:
    def test_by_hand(self):
        """From x to y is the phrases' way; a view goes along, another back, another aside, another stays."""
        source = torch.stack([X, Y, X + Y, X])[None]
        estimate = torch.stack([Y, X, X + Y + Z, X])[None]
        # Texts are scaled to length 1 first.
        got = [metrics.directional_similarity(estimate[:, v, None], source[:, v, None], 5 * Y, 2 * X) for v in range(4)]
        torch.testing.assert_close(torch.cat(got), torch.tensor([1.0, -1.0, 0.0, 0.0]))
        both = metrics.directional_similarity(estimate[:, [0, 0, 1, 3]], source[:, [0, 0, 1, 3]], Y, X)
        torch.testing.assert_close(both, torch.tensor([0.25]))

    def test_an_angle(self):
        moved = torch.tensor([math.cos(0.3), math.sin(0.3), 0.0])
        way = (Y - X) / math.sqrt(2)
        aside = (X + Y) / math.sqrt(2)
        estimate = X + 0.01 * (moved[0] * way + moved[1] * aside)
        got = metrics.directional_similarity(estimate[None, None], X[None, None], Y, X)
        torch.testing.assert_close(got, torch.tensor([math.cos(0.3)]), **CLOSE)

    def test_the_same_picture_has_0(self, tiny_clip, picture):
        source = metrics.embed(tiny_clip, picture(1, 2))
        texts = tiny_clip.encode_text("gold"), tiny_clip.encode_text("photo")
        assert metrics.directional_similarity(source, source, *texts).tolist() == [0.0, 0.0]
        assert metrics.directional_similarity(source + 1e-8, source, *texts).tolist() == [0.0, 0.0]

    def test_phrases_of_the_same_meaning(self):
        with pytest.raises(InputError, match="same embedding; that gives no direction"):
            metrics.directional_similarity(X[None, None], Y[None, None], Z, 2 * Z)

    def test_shapes_that_do_not_fit(self):
        one, two = torch.ones(1, 6, 3), torch.ones(2, 6, 3)
        with pytest.raises(InputError, match=r"Embeddings are \(2, 6, 3\) and \(1, 6, 3\); both need the same shape"):
            metrics.directional_similarity(two, one, X, Y)
        with pytest.raises(InputError, match=r"embeddings are \(1, 6, 3\), a phrase's \(4\); .* Take both of the same"):
            metrics.directional_similarity(one, one, X, torch.ones(4))


class TestClipScore:
    def test_by_hand(self):
        """Angles of 0, 60 and 180 degrees; lengths do not count, and a negative one is not cut."""
        views = torch.stack([2 * X, X / 2 + math.sqrt(0.75) * Y, -3 * X])
        torch.testing.assert_close(metrics.clip_score(views[None], 7 * X), torch.tensor([(1 + 0.5 - 1) / 3]))
        torch.testing.assert_close(metrics.clip_score(-X[None, None], X), torch.tensor([-1.0]))

    def test_shapes_that_do_not_fit(self):
        for estimate, text in ((torch.ones(6, 3), X), (torch.ones(1, 6, 3), torch.ones(1, 3))):
            with pytest.raises(InputError, match=r"\(B, V, D\) and \(D,\) are needed"):
                metrics.clip_score(estimate, text)


class TestStyleProbability:
    def test_by_hand(self):
        """The cosines are 1 and 0; at temperature 0.5 the odds are e² to 1."""
        one = math.exp(2) / (math.exp(2) + 1)
        texts, views = torch.stack([3 * X, Y]), torch.stack([X, 2 * Y])[None]
        for target in (0, 1):
            got = metrics.style_probability(views[:, :1], texts, target, temperature=0.5)
            torch.testing.assert_close(got, torch.tensor([one if target == 0 else 1 - one]))
            torch.testing.assert_close(metrics.style_probability(views, texts, target, 0.5), torch.tensor([0.5]))

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, 10**6), st.integers(1, 5))
    def test_they_sum_to_1(self, seed, phrases):
        texts, views = noise(seed, phrases, 8), noise(seed + 1, 2, 6, 8)
        each = torch.stack([metrics.style_probability(views, texts, target) for target in range(phrases)])
        assert (each >= 0).all()
        torch.testing.assert_close(each.sum(0), torch.ones(2), **CLOSE)

    @pytest.mark.parametrize(
        "texts, target, temperature, message",
        [
            (torch.eye(3), 3, 0.01, r"Target 3 of phrases \(3, 3\): give embeddings \(k, D\) and an index"),
            (torch.eye(3), -1, 0.01, "Target -1 of phrases"),
            (torch.ones(3), 0, 0.01, "give embeddings"),
            (torch.eye(3), 0, 0.0, "Temperature is 0.0; it must be above 0"),
            (torch.eye(4), 0, 0.01, "Take both of the same CLIP"),
        ],
    )
    def test_messages(self, texts, target, temperature, message):
        with pytest.raises(InputError, match=message):
            metrics.style_probability(torch.ones(1, 6, 3), texts, target, temperature)


class TestDamage:
    def test_clipped_counts_what_the_source_did_not_have(self):
        source, edited = torch.zeros(1, 3, 10, 10), torch.zeros(1, 3, 10, 10)
        source[:, :, :1] = 1.0
        edited[:, :, :3] = -1.5
        assert metrics.clipped(edited, source).item() == pytest.approx(0.2)
        assert metrics.clipped(source, edited).item() == 0

    def test_a_value_that_is_written_as_254_is_not_clipped(self):
        nearly = torch.full((1, 3, 8, 8), 254 / 127.5 - 1)
        assert metrics.clipped(nearly, torch.zeros(1, 3, 8, 8)).item() == 0

    def test_a_cyan_speck_glitters(self, detailed):
        plain = torch.full((1, 3, 16, 16), 0.2)
        speck = plain.clone()
        speck[0, 0, 5, 7] = -1.0
        assert metrics.glitter(speck, plain).item() == pytest.approx(1 / 256)
        assert metrics.glitter(plain, speck).item() == pytest.approx(-1 / 256)

    def test_edges_between_large_areas_do_not_glitter(self):
        halves = torch.ones(1, 3, 16, 16)
        halves[:, 0, :, 8:] = -1
        assert metrics.glitter(halves, torch.zeros(1, 3, 16, 16)).item() == 0

    def test_lightness_alone_does_not_glitter(self):
        grey = noise(1, 1, 1, 16, 16).expand(1, 3, 16, 16)
        assert metrics.glitter(grey, torch.zeros(1, 3, 16, 16)).item() == 0

    def test_glitter_needs_its_window(self):
        with pytest.raises(InputError, match="5 pixels a side are needed"):
            metrics.glitter(torch.zeros(1, 3, 4, 8), torch.zeros(1, 3, 4, 8))
