"""VGG-19's weights from a file: what loads, what it computes then, and what is refused."""

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch.nn.functional import conv2d, relu

from qs_core.errors import InputError, UnsupportedCheckpoint
from qs_core.features.vgg import MEAN, STD, load_vgg

HALF = {"rtol": 1e-4, "atol": 1e-5}  # the reference computes in float32 with the same float16 weights


@pytest.fixture(scope="module")
def state():
    """Random weights of torchvision's names and shapes, in float16: 40 MB."""
    with torch.device("meta"):
        shapes = torchvision.models.vgg19(weights=None, init_weights=False).features.state_dict()
    stream = torch.Generator().manual_seed(0)
    return {f"features.{key}": torch.randn(v.shape, generator=stream).half() * 0.05 for key, v in shapes.items()}


@pytest.fixture(scope="module")
def file(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg19.safetensors"
    save_file(state | {"classifier.0.weight": torch.zeros(2)}, path)
    return path


def by_hand(picture: torch.Tensor, state: dict[str, torch.Tensor]) -> torch.Tensor:
    """Layer 1 (relu1_1) from the equation."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    weight, bias = state["features.0.weight"].float(), state["features.0.bias"].float()
    return relu(conv2d(((picture + 1) / 2 - mean) / std, weight, bias, padding=1))


class TestLoad:
    def test_a_file_with_the_classifier_in_half_precision(self, file, state, picture):
        network, image = load_vgg(file), picture(0)
        first, second = network(image)
        torch.testing.assert_close(first, by_hand(image, state), **HALF)
        assert second.shape == (1, 128, 16, 16) and len(network.features) == 7
        assert {p.dtype for p in network.parameters()} == {torch.float32}
        assert not network.training and not any(p.requires_grad for p in network.parameters())

    def test_features_alone_under_their_own_names(self, state, tmp_path, picture):
        torch.save({key.removeprefix("features."): value for key, value in state.items()}, tmp_path / "features.pt")
        (first,) = load_vgg(tmp_path / "features.pt", layers=(1,))(picture(0))
        torch.testing.assert_close(first, by_hand(picture(0), state), **HALF)

    def test_without_a_file_torchvisions_cache_is_read(self, file, tmp_path, monkeypatch):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        cache = tmp_path / "hub" / "checkpoints" / "vgg19-dcbb9e9d.pth"
        with pytest.raises(
            InputError, match="No VGG-19 weights at .*Fetch https://download.pytorch.org/.*vgg19"
        ) as caught:
            load_vgg()
        assert str(cache) in str(caught.value)
        cache.parent.mkdir(parents=True)
        cache.write_bytes(file.read_bytes())
        assert len(load_vgg().features) == 7

    def test_no_file(self, tmp_path):
        with pytest.raises(InputError, match="No VGG-19 weights at .*other.pth. Fetch https.*or give the path"):
            load_vgg(tmp_path / "other.pth")

    def test_a_layer_that_is_not_there(self, file):
        with pytest.raises(InputError, match=r"VGG-19 has the layers 0 to 36; \[1, 37\] were asked for"):
            load_vgg(file, layers=(1, 37))

    def test_a_vgg_16_is_refused_though_its_first_layers_fit(self, tmp_path):
        with torch.device("meta"):
            shapes = torchvision.models.vgg16(weights=None, init_weights=False).features.state_dict()
        torch.save(
            {f"features.{key}": torch.zeros(v.shape).half() for key, v in shapes.items()}, tmp_path / "vgg16.pth"
        )
        with pytest.raises(UnsupportedCheckpoint, match="does not load as the features of VGG-19; keys: .* missing"):
            load_vgg(tmp_path / "vgg16.pth")

    @pytest.mark.parametrize("content", [b"", b"hello"])
    def test_a_broken_file(self, tmp_path, content):
        (tmp_path / "vgg19.pth").write_bytes(content)
        with pytest.raises(UnsupportedCheckpoint, match="vgg19.pth"):
            load_vgg(tmp_path / "vgg19.pth")
