"""The DDPM U-Net of Ho et al.: golden output, and every configuration read back from shapes."""

import pytest
import torch
from safetensors.torch import save_file

from qs_core import load_model
from qs_core.errors import InputError
from qs_core.unets import adm
from qs_core.unets.ddpm import DDPMConfig, DDPMUNet, Downsample, detect, read_config, timestep_embedding
from tests.core.networks import load_unet

GOLDEN = {"rtol": 1e-4, "atol": 1e-5}  # stated by golden/README.md
PUBLISHED = ("ddpm_celebahq_or_lsun_church_256",)
SHAPES = (
    DDPMConfig(32, (1, 2), 1, (2,)),
    DDPMConfig(32, (1, 1, 2), 2, ()),
    DDPMConfig(64, (0.5, 1, 1.5), 1, (1, 4), out_channels=6),
)


def build(config: DDPMConfig, device: str = "cpu") -> DDPMUNet:
    torch.manual_seed(0)
    with torch.device(device):
        return DDPMUNet(config).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def small(weights) -> DDPMUNet:
    """The golden network: 32 px, two levels, attention on the second."""
    return load_unet(weights("ddpm_small"))


@pytest.fixture
def file(tmp_path, weights):
    """The golden network's weights, saved."""
    path = tmp_path / "ddpm.safetensors"
    save_file(weights("ddpm_small"), path)
    return path


class TestGolden:
    def test_output(self, golden, small):
        figures = golden("ddpm_small")
        torch.testing.assert_close(small(figures["x"], figures["timesteps"]), figures["output"], **GOLDEN)

    def test_config(self, weights):
        assert read_config(weights("ddpm_small")) == DDPMConfig(32, (1, 2), 1, (2,))


@pytest.mark.parametrize("name", PUBLISHED)
class TestPublished:
    @pytest.fixture
    def state(self, manifests, name) -> dict[str, torch.Tensor]:
        return {key: torch.empty(shape, device="meta") for key, shape in manifests[name]["shapes"].items()}

    def test_shapes_tell_the_configuration(self, manifests, name, state):
        flags = manifests[name]["config"]
        assert read_config(state) == DDPMConfig(
            num_channels=flags["ch"],
            channel_mult=tuple(flags["ch_mult"]),
            num_res_blocks=flags["num_res_blocks"],
            attention_factors=tuple(flags["image_size"] // size for size in flags["attn_resolutions"]),
            out_channels=flags["out_ch"],
            in_channels=flags["in_channels"],
        )

    def test_the_network_has_the_published_keys_and_shapes(self, manifests, name, state):
        network = build(read_config(state), "meta")
        assert {key: list(value.shape) for key, value in network.state_dict().items()} == manifests[name]["shapes"]
        assert sum(p.numel() for p in network.parameters()) == manifests[name]["parameters"]

    def test_the_family_is_told_from_adm(self, manifests, name, state):
        assert detect(state) and not adm.detect(state)
        shapes = manifests["openai_imagenet_256_uncond"]["shapes"]
        assert not detect(shapes)


@pytest.mark.parametrize("config", SHAPES)
class TestEveryShape:
    def test_a_network_survives_its_state_dict(self, config):
        network = build(config)
        loaded = load_unet(network.state_dict())
        assert loaded.config == config
        x, t = torch.randn(2, 3, 16, 32), torch.tensor([0.0, 999.0])
        torch.testing.assert_close(loaded(x, t), network(x, t))
        assert loaded(x, t).shape == (2, config.out_channels, 16, 32)

    def test_layers_state_what_the_encoder_gives(self, config):
        network = build(config)
        outputs = network.encode(torch.randn(1, 3, 16, 32), torch.zeros(1))
        assert [layer.index for layer in network.layers] == list(range(len(outputs)))
        for layer, output in zip(network.layers, outputs, strict=True):
            assert output.shape[1:] == (layer.channels, 16 // layer.factor, 32 // layer.factor)
        assert network.multiple == max(layer.factor for layer in network.layers)

    def test_a_half_precision_torso_stays_close(self, config):
        network, x, t = build(config), torch.randn(1, 3, 16, 32), torch.full((1,), 300.0)
        exact = network(x, t)
        halved = network.set_torso_dtype(torch.bfloat16)
        assert halved.dtype == torch.bfloat16 and halved.norm_out.weight.dtype == torch.float32
        assert halved.down[0]["block"][0].norm1.weight.dtype == torch.float32
        # bfloat16 keeps 8 bits: about one part in 256 for each of the dozen layers in a row.
        assert (halved(x, t) - exact).norm() < 0.05 * exact.norm()


def test_layers_are_named_in_order(small):
    named = [(layer.kind, layer.level, layer.block, layer.factor, layer.channels) for layer in small.layers]
    assert named == [("conv", 0, 0, 1, 32), ("res", 0, 0, 1, 32), ("down", 1, 0, 2, 32), ("res", 1, 0, 2, 64)]


def test_encode_stops_after_the_last_layer_asked_for(small):
    x, t = torch.randn(1, 3, 32, 16), torch.zeros(1)
    every, few = small.encode(x, t), small.encode(x, t, last=2)
    assert len(every) == 4 and len(few) == 3
    torch.testing.assert_close(few[2], every[2], rtol=0, atol=0)


def test_a_gradient_passes_the_frozen_network(small):
    assert not small.training and not any(p.requires_grad for p in small.parameters())
    x = torch.randn(2, 3, 16, 16, requires_grad=True)
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(small(x, torch.zeros(2))[0].square().sum(), x)
    assert gradient[0].abs().min() > 0  # every pixel matters, through the attention if not through convolutions
    assert torch.equal(gradient[1], torch.zeros(3, 16, 16))  # and none of its neighbour in the batch


def test_down_sampling_looks_right_and_down():
    module = Downsample(1).requires_grad_(False)
    module.conv.weight.fill_(1)
    module.conv.bias.zero_()
    counted = module(torch.ones(1, 1, 4, 4))
    assert counted[0, 0].tolist() == [[9, 6], [6, 4]]


def test_the_timestep_embedding_is_sinusoids_sines_first():
    embedding = timestep_embedding(torch.tensor([0.0, 3.0]), 6)
    angles = torch.tensor([3, 0.03, 0.0003])
    torch.testing.assert_close(embedding[0], torch.tensor([0.0, 0, 0, 1, 1, 1]))
    torch.testing.assert_close(embedding[1], torch.cat([angles.sin(), angles.cos()]))


class TestTheDoor:
    def test_a_saved_file_loads(self, file, golden):
        figures, model = golden("ddpm_small"), load_model(file, variance="fixed_small")
        assert isinstance(model.network, DDPMUNet) and model.multiple == 2
        torch.testing.assert_close(model.unet(figures["x"], figures["timesteps"]), figures["output"], **GOLDEN)
        prediction = model.predict(figures["x"], model.schedule("50"), 20)
        assert prediction.eps.shape == prediction.x0.shape == figures["x"].shape

    def test_content_layers_are_found(self, file):
        model = load_model(file, variance="fixed_small")
        assert [(layer.kind, layer.level) for layer in model.content_layers()] == [("conv", 0), ("res", 0), ("res", 1)]

    def test_the_published_variance_is_the_small_one(self, file):
        assert DDPMUNet.default_variance == "fixed_small"
        assert load_model(file).variance == "fixed_small"

    def test_heads_may_be_stated_as_they_are(self, weights):
        assert load_unet(weights("ddpm_small"), num_heads=1).config == load_unet(weights("ddpm_small")).config

    @pytest.mark.parametrize(
        "options, told",
        [
            ({"num_heads": 4}, "num_heads=4 does not apply: a DDPM U-Net has one attention head"),
            ({"num_head_channels": 64}, "num_head_channels=64 does not apply"),
            ({"use_new_attention_order": True}, "use_new_attention_order=True does not apply"),
        ],
    )
    def test_other_heads_are_refused(self, file, weights, options, told):
        with pytest.raises(InputError, match=told):
            load_unet(weights("ddpm_small"), **options)
        with pytest.raises(InputError, match=told):
            load_model(file, **options)

    def test_another_number_of_channels_is_refused(self, weights):
        with pytest.raises(InputError, match="works on a VAE's latents .4 input channels., and 3 are needed"):
            load_unet({**weights("ddpm_small"), "conv_in.weight": torch.zeros(32, 4, 3, 3)})

    @pytest.mark.parametrize("key", ["mid.block_1.conv2.weight", "conv_out.weight", "down.1.attn.0.q.weight"])
    def test_a_missing_tensor_is_refused(self, weights, key):
        state = {name: value for name, value in weights("ddpm_small").items() if name != key}
        with pytest.raises(InputError, match="tiny.pt"):
            load_unet(state, "tiny.pt")

    def test_class_labels_are_refused(self, small):
        with pytest.raises(InputError, match="knows no classes"):
            small(torch.zeros(1, 3, 8, 8), torch.zeros(1), torch.tensor([1]))
