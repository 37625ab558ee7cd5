"""ArcFace's IR-SE50: the published network's names and shapes, its preprocessing, and files that are refused."""

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d

from qs_core import InputError, demo, stylize
from qs_core.errors import UnsupportedCheckpoint
from qs_core.features import arcface
from qs_core.features.arcface import ArcFace, load_arcface


def test_it_is_the_published_network():
    with torch.device("meta"):
        state = ArcFace().state_dict()
    counted = [value for key, value in state.items() if "running" not in key and "num_batches" not in key]
    assert sum(value.numel() for value in counted) == 43_797_696
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    assert shapes["input_layer.0.weight"] == (64, 3, 3, 3) and shapes["input_layer.2.weight"] == (64,)
    assert shapes["body.3.shortcut_layer.0.weight"] == (128, 64, 1, 1)
    assert "body.0.shortcut_layer.0.weight" not in shapes and "body.24.res_layer.0.weight" not in shapes
    assert shapes["body.23.res_layer.5.fc1.weight"] == (32, 512, 1, 1)
    assert shapes["output_layer.3.weight"] == (512, 25088) and shapes["output_layer.4.weight"] == (512,)


@pytest.fixture
def small(monkeypatch):
    """One unit for the first and last width, so that its file is small."""
    monkeypatch.setattr(arcface, "GROUPS", ((64, 1), (128, 1), (256, 1), (512, 1)))
    torch.manual_seed(0)
    return ArcFace().eval()


def test_it_reads_the_middle_of_256_pixels(small):
    torch.manual_seed(1)
    picture = torch.rand(1, 3, 256, 256) * 2 - 1
    face = adaptive_avg_pool2d(picture[:, :, 35:223, 32:220], 112)
    expected = small.output_layer(small.body(small.input_layer(face)))
    found = small(picture)
    torch.testing.assert_close(found, expected / expected.norm(dim=-1, keepdim=True))
    around = picture.clone()
    around[:, :, :35] = around[:, :, 223:] = around[..., :32] = around[..., 220:] = 0
    assert torch.equal(small(around), found)


def test_files_are_read_whole_or_refused(small, tmp_path):
    state = {key: value.half() if value.is_floating_point() else value for key, value in small.state_dict().items()}
    torch.save({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, tmp_path / "old.pth")
    loaded = load_arcface(tmp_path / "old.pth")  # of a torch that did not count batches
    assert not loaded.training and all(
        torch.equal(v.half(), state[k]) for k, v in loaded.state_dict().items() if v.ndim
    )
    torch.save({k: v for k, v in state.items() if "fc1" not in k}, tmp_path / "plain.pth")
    with pytest.raises(UnsupportedCheckpoint, match="does not load as ArcFace's IR-SE50; keys: 4 missing .*fc1"):
        load_arcface(tmp_path / "plain.pth")


@pytest.mark.parametrize("weights, said", [(None, "needs the weights of ArcFace"), ("none.pth", "No file at none.pth")])
def test_without_a_file_it_says_which(weights, said):
    with pytest.raises(InputError, match=f"{said}.*model_ir_se50.pth"):
        stylize(demo.PICTURES["astronaut"], "golden", identity=100.0, identity_weights=weights, size=32)
