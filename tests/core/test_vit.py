"""Keys and class tokens of a vision transformer, against the equations; where its weights come from."""

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import VisionTransformer
from torch.nn.functional import conv2d, gelu, layer_norm

from qs_core.errors import InputError, UnsupportedCheckpoint
from qs_core.features.vit import ViT, load_vit

MEAN, STD = (0.1, 0.2, 0.3), (0.2, 0.3, 0.4)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # float32, another order of summation
NAME = "vit_tiny_patch16_224.augreg_in21k"  # the smallest that timm publishes: 22 MB


def tiny(**options) -> VisionTransformer:
    torch.manual_seed(0)
    network = VisionTransformer(
        img_size=32, patch_size=8, embed_dim=32, depth=3, num_heads=2, num_classes=0, dynamic_img_size=True, **options
    )
    for parameter in network.parameters():  # norms, biases and the class token, too
        parameter.data = torch.randn(parameter.shape) * 0.2
    return network


@pytest.fixture
def vit() -> ViT:
    return ViT(tiny(), MEAN, STD)


def norm(x, state, name):
    return layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)


def linear(x, state, name):
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def by_hand(pictures: torch.Tensor, state: dict[str, torch.Tensor], layer: int, heads: int = 2):
    """Tokens that enter block `layer`, and that block's keys, from Vaswani et al.'s equations."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    weight, bias = state["patch_embed.proj.weight"], state["patch_embed.proj.bias"]
    patches = conv2d(((pictures + 1) / 2 - mean) / std, weight, bias, stride=8).flatten(2).transpose(1, 2)
    x = torch.cat([state["cls_token"].expand(len(pictures), -1, -1), patches], 1) + state["pos_embed"]
    for index in range(layer + 1):
        name = f"blocks.{index}"
        query, key, value = linear(norm(x, state, f"{name}.norm1"), state, f"{name}.attn.qkv").chunk(3, -1)
        if index == layer:
            return x, key
        parts = [part.chunk(heads, -1) for part in (query, key, value)]
        mixed = [(q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v for q, k, v in zip(*parts, strict=True)]
        x = x + linear(torch.cat(mixed, -1), state, f"{name}.attn.proj")
        hidden = gelu(linear(norm(x, state, f"{name}.norm2"), state, f"{name}.mlp.fc1"))
        x = x + linear(hidden, state, f"{name}.mlp.fc2")
    return x, None


class TestFeatures:
    @pytest.mark.parametrize("layer, index", [(-1, 2), (2, 2), (0, 0), (-2, 1)])
    def test_keys(self, vit, picture, layer, index):
        _, expected = by_hand(picture(1, 2), vit.network.state_dict(), index)
        keys = vit.keys(picture(1, 2), layer)
        assert keys.shape == (2, 1 + 16, 32) and vit.prefix == 1
        torch.testing.assert_close(keys, expected, **CLOSE)

    def test_keys_where_the_attention_normalises_them(self, picture):
        network = tiny(qk_norm=True)
        state = network.state_dict()
        _, raw = by_hand(picture(1), state, 0)
        weight, bias = state["blocks.0.attn.k_norm.weight"], state["blocks.0.attn.k_norm.bias"]
        expected = torch.cat([layer_norm(head, (16,), weight, bias, 1e-6) for head in raw.chunk(2, -1)], -1)
        torch.testing.assert_close(ViT(network, MEAN, STD).keys(picture(1), 0), expected, **CLOSE)

    def test_the_class_token_is_that_of_the_last_block(self, vit, picture):
        state = vit.network.state_dict()
        more = {key.replace("blocks.2", "blocks.3"): value for key, value in state.items()}
        entering, _ = by_hand(picture(1, 2), more | state, 3)  # what a fourth block would be given
        torch.testing.assert_close(vit.cls(picture(1, 2)), entering[:, 0], **CLOSE)

    def test_it_is_what_timm_computes(self, vit, picture):
        mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
        expected = vit.network.forward_features(((picture(1) + 1) / 2 - mean) / std)[:, 0]
        torch.testing.assert_close(vit.network.norm(vit.cls(picture(1))), expected, **CLOSE)

    def test_another_size(self, vit, picture):
        assert vit.keys(picture(1, height=48, width=24)).shape == (1, 1 + 6 * 3, 32)

    def test_only_the_blocks_that_are_needed_are_run(self, vit, picture):
        run = []
        for index, block in enumerate(vit.network.blocks):
            block.register_forward_hook(lambda *_, index=index: run.append(index))
        vit.keys(picture(1), 1)
        assert run == [0]

    @pytest.mark.parametrize("read", [ViT.keys, ViT.cls])
    def test_the_gradient_reaches_the_picture_and_no_weight(self, vit, picture, read):
        image = picture(1).requires_grad_()
        read(vit, image).square().sum().backward()
        assert image.grad.isfinite().all() and (image.grad != 0).any((1, 2)).all()
        assert not any(p.requires_grad or p.grad is not None for p in vit.parameters()) and not vit.training

    def test_a_size_that_is_no_multiple(self, vit, picture):
        with pytest.raises(InputError, match="Picture is 36x32; this ViT needs sides divisible by 8 and 8"):
            vit.keys(picture(1, height=32, width=36))

    @pytest.mark.parametrize("layer", [3, -4])
    def test_a_layer_that_is_not_there(self, vit, picture, layer):
        with pytest.raises(InputError, match=f"layers 0 to 2; {layer} was asked for"):
            vit.keys(picture(1), layer)

    def test_no_class_token(self, picture):
        network = ViT(tiny(class_token=False, global_pool="avg"), MEAN, STD)
        assert network.prefix == 0 and network.keys(picture(1)).shape == (1, 16, 32)
        with pytest.raises(InputError, match="has no class token. Choose one"):
            network.cls(picture(1))


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return dict(timm.create_model(NAME, num_classes=0).state_dict())


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of timm's repository of NAME in a Hugging Face cache that holds nothing yet."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    folder = tmp_path / f"models--timm--{NAME}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc", encoding="utf-8")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    return folder / "snapshots" / "abc"


@pytest.fixture
def asked(monkeypatch):
    """What was asked of the network, which does not answer."""
    asked = []

    def download(repository, file):
        asked.append(f"{repository}/{file}")
        raise ConnectionError("Network is unreachable")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


class TestLoad:
    @pytest.mark.parametrize("prefix", ["", "backbone.", "teacher.backbone.", "teacher.module.backbone."])
    def test_a_file_gives_timms_network(self, state, tmp_path, picture, prefix, asked):
        inside = {f"{prefix}{key}": value for key, value in state.items()}
        other = {"student.backbone.cls_token": torch.zeros(1), "teacher.head.mlp.0.bias": torch.zeros(1)}
        torch.save(inside | (other if prefix.startswith("teacher") else {}), tmp_path / "dino.pth")
        vit = load_vit(NAME, tmp_path / "dino.pth")
        assert (vit.mean, vit.std, vit.patch) == ((0.5,) * 3, (0.5,) * 3, (16, 16))
        reference = timm.create_model(NAME, num_classes=0).eval()
        reference.load_state_dict(state)
        image = picture(1, height=224, width=224)  # mean and deviation 0.5 take [0, 1] back to [-1, 1]
        torch.testing.assert_close(vit.network.norm(vit.cls(image)), reference.forward_features(image)[:, 0], **CLOSE)
        assert not any(p.requires_grad for p in vit.parameters()) and not vit.training and asked == []

    def test_half_precision_and_a_classifiers_head(self, state, tmp_path):
        half = {key: value.half() for key, value in state.items()}
        save_file(half | {"head.weight": torch.zeros(5, 192), "head.bias": torch.zeros(5)}, tmp_path / "w.safetensors")
        assert {p.dtype for p in load_vit(NAME, tmp_path / "w.safetensors").parameters()} == {torch.float32}

    @pytest.mark.parametrize(
        "change, message",
        [
            ({"norm.bias": None}, r"1 missing \(norm.bias\)"),
            ({"extra": torch.zeros(2)}, r"1 left over \(extra\)"),
            ({"pos_embed": torch.zeros(1, 785, 192)}, r"1 of another shape \(pos_embed\)"),
        ],
    )
    def test_what_does_not_fit_is_named(self, state, tmp_path, change, message):
        changed = {key: value for key, value in (state | change).items() if value is not None}
        torch.save(changed, tmp_path / "weights.pt")
        with pytest.raises(UnsupportedCheckpoint, match=f"does not load as {NAME}; keys: {message}"):
            load_vit(NAME, tmp_path / "weights.pt")

    @pytest.mark.parametrize(
        "name, message",
        [
            ("vit_huge_patch3", "timm has no vision transformer 'vit_huge_patch3'. Use vit_base_patch8_224.dino"),
            ("resnet50.a1_in1k", "timm has no vision transformer 'resnet50.a1_in1k'"),
            (
                "vit_base_patch8_224",
                "has several weights, which want .*normalised differently.*: vit_base_patch8_224.dino",
            ),
            ("vit_base_patch8_224.dinosaur", "has no weights 'dinosaur'.*dino"),
        ],
    )
    def test_names(self, name, message):
        with pytest.raises(InputError, match=message):
            load_vit(name, "hub")

    @pytest.mark.parametrize("pretrained", [None, "none.pth"])
    def test_no_file(self, pretrained, asked):
        with pytest.raises(InputError, match="Fetch model.safetensors from https://huggingface.co/timm/.*choose 'hub'"):
            load_vit(NAME, pretrained)
        assert asked == []


class TestHub:
    def test_from_the_cache_without_a_word_or_the_network(self, state, cache, asked):
        said = []
        save_file(state, cache / "model.safetensors")
        load_vit(NAME, "hub", announce=said.append)
        assert (said, asked) == ([], [])

    def test_a_download_is_announced_before_it_begins(self, state, cache, tmp_path, monkeypatch):
        said = []

        def download(repository, file):
            assert len(said) == 1
            said.append(f"{repository}/{file}")
            save_file(state, tmp_path / file)
            return str(tmp_path / file)

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
        load_vit(NAME, "hub", announce=said.append)
        assert said[1:] == [f"timm/{NAME}/model.safetensors"]
        assert f"from https://huggingface.co/timm/{NAME} to {tmp_path}." in said[0]

    def test_a_download_that_fails(self, cache, asked, tmp_path):
        with pytest.raises(InputError, match="Network is unreachable.*give its path in place of 'hub'") as caught:
            load_vit(NAME, "hub")
        assert str(tmp_path) in str(caught.value) and asked == [f"timm/{NAME}/model.safetensors"]

    def test_switched_off_nothing_is_downloaded(self, cache, asked, monkeypatch):
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(InputError, match="HF_HUB_OFFLINE forbids it"):
            load_vit(NAME, "hub")
        assert asked == []
