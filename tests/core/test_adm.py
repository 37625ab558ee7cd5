"""The ADM U-Net: golden outputs, and every configuration read back from shapes."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qs_core import unets
from qs_core.errors import InputError
from qs_core.unets.adm import ADMConfig, ADMUNet, read_config, timestep_embedding
from tests.core.networks import load_unet

GOLDEN = {"rtol": 1e-4, "atol": 1e-5}  # stated by golden/README.md
PUBLISHED = (
    "openai_imagenet_256_uncond",
    "openai_imagenet_512_class_cond",
    "openai_lsun_bedroom_256",
    "ffhq_p2_256",
    "openai_imagenet_64_class_cond",
    "community_imagenet_512_uncond_finetune",
    "community_kaliyuga_256",
    "community_portrait_512",
)
MULTIPLIERS = {512: (0.5, 1, 1, 2, 2, 4, 4), 256: (1, 1, 2, 2, 4, 4), 64: (1, 2, 3, 4)}  # guided-diffusion's defaults


def on_meta(config: ADMConfig) -> ADMUNet:
    with torch.device("meta"):
        return ADMUNet(config)


def meta_state(shapes: dict) -> dict[str, torch.Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def expected_config(flags: dict) -> ADMConfig:
    """guided-diffusion's own reading of its flags."""
    size = flags["image_size"]
    factors = sorted(size // int(r) for r in flags["attention_resolutions"].split(","))
    per_head = flags["num_head_channels"]
    return ADMConfig(
        num_channels=flags["num_channels"],
        channel_mult=MULTIPLIERS[size],
        num_res_blocks=flags["num_res_blocks"],
        attention_factors=tuple(factors),
        out_channels=6 if flags["learn_sigma"] else 3,
        use_scale_shift_norm=flags["use_scale_shift_norm"],
        resblock_updown=flags["resblock_updown"],
        num_classes=1000 if flags.get("class_cond") else 0,
        num_head_channels=max(0, per_head),
        num_heads=0 if per_head > 0 else flags["num_heads"],
        use_new_attention_order=flags.get("use_new_attention_order", False),
    )


@pytest.mark.parametrize("name, model", [("adm_scale_shift", "learned"), ("adm_plain", "plain")])
class TestGolden:
    def test_output(self, golden, request, name, model):
        figures, model = golden(name), request.getfixturevalue(model)
        torch.testing.assert_close(model.unet(figures["x"], figures["timesteps"]), figures["output"], **GOLDEN)

    def test_encoder(self, golden, request, name, model):
        figures, model = golden(name), request.getfixturevalue(model)
        outputs = model.encode(figures["x"], figures["timesteps"])
        assert len(outputs) == 4
        for index, output in enumerate(outputs):
            torch.testing.assert_close(output, figures[f"encoder/{index}"], **GOLDEN)

    def test_config_is_read_back(self, request, weights, name, model):
        network = request.getfixturevalue(model).network
        heads = {key: getattr(network.config, key) for key in ("num_heads", "num_head_channels")}
        assert read_config(weights(name), **heads) == network.config


class TestPublished:
    @pytest.mark.parametrize("name", PUBLISHED)
    def test_shapes_tell_the_configuration(self, manifests, name):
        flags = manifests[name]["config"]
        new_order = {key: True for key in ("use_new_attention_order",) if flags.get(key)}
        assert read_config(meta_state(manifests[name]["shapes"]), **new_order) == expected_config(flags)

    @pytest.mark.parametrize("name", PUBLISHED)
    def test_the_network_has_the_published_keys_and_shapes(self, manifests, name):
        manifest = manifests[name]
        network = on_meta(read_config(meta_state(manifest["shapes"])))
        assert {key: list(value.shape) for key, value in network.state_dict().items()} == manifest["shapes"]
        assert sum(p.numel() for p in network.parameters()) == manifest["parameters"]

    @pytest.mark.parametrize(
        "name, message",
        [
            ("refuse_super_resolution_64_256", "super-resolution U-Net .6 input channels"),
            ("refuse_classifier_256", "is a classifier"),
        ],
    )
    def test_relatives_are_refused(self, manifests, name, message):
        with pytest.raises(InputError, match=message):
            load_unet(meta_state(manifests[name]["shapes"]), name)


configurations = st.builds(
    ADMConfig,
    num_channels=st.sampled_from([64, 128]),
    channel_mult=st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0]), min_size=2, max_size=4).map(tuple),
    num_res_blocks=st.integers(1, 3),
    attention_factors=st.sets(st.sampled_from([1, 2])).map(lambda factors: tuple(sorted(factors))),
    out_channels=st.sampled_from([3, 6]),
    use_scale_shift_norm=st.booleans(),
    resblock_updown=st.booleans(),
    num_classes=st.sampled_from([0, 10]),
    num_head_channels=st.just(32),
    use_new_attention_order=st.booleans(),
)


@pytest.mark.slow
@given(configurations)
@settings(max_examples=40, deadline=None)
def test_any_configuration_is_read_back_from_its_shapes(config):
    told = {"num_heads": 0, "num_head_channels": 32, "use_new_attention_order": config.use_new_attention_order}
    assert read_config(on_meta(config).state_dict(), **told) == config


SHAPES = (
    ADMConfig(32, (1, 2), 1, (2,), 6, True, True, num_head_channels=32),
    ADMConfig(32, (1, 1, 2), 2, (), 3, False, False, num_head_channels=0, num_heads=1),
    ADMConfig(64, (0.5, 1), 1, (1, 2), 6, True, False, num_head_channels=16, num_classes=4),
    ADMConfig(32, (1, 2), 1, (1,), 6, False, True, num_head_channels=32, use_new_attention_order=True),
)


@pytest.mark.parametrize("config", SHAPES)
def test_a_network_survives_its_state_dict(config):
    torch.manual_seed(0)
    network = ADMUNet(config).eval()
    heads = {key: getattr(config, key) for key in unets.HEADS}
    loaded = load_unet(network.state_dict(), **heads)
    assert loaded.config == config
    x, t = torch.randn(2, 3, 8, 16), torch.tensor([0.0, 999.0])
    with torch.no_grad():
        torch.testing.assert_close(loaded(x, t), network(x, t))
    assert loaded(x, t).shape == (2, config.out_channels, 8, 16)


def test_a_loaded_network_is_frozen_in_eval_mode_and_float32(weights):
    half = {key: value.half() for key, value in weights("adm_plain").items()}
    network = load_unet(half, num_heads=4)
    assert not network.training and all(not p.requires_grad for p in network.parameters())
    assert {p.dtype for p in network.parameters()} == {torch.float32}


@pytest.mark.parametrize("config", SHAPES)
def test_layers_state_what_the_encoder_gives(config):
    network = ADMUNet(config)
    outputs = network.encode(torch.randn(1, 3, 16, 16), torch.zeros(1))
    assert [layer.index for layer in network.layers] == list(range(len(outputs)))
    for layer, output in zip(network.layers, outputs, strict=True):
        assert output.shape[1:] == (layer.channels, 16 // layer.factor, 16 // layer.factor)


def test_encode_stops_after_the_last_block_asked_for(learned):
    x, t = torch.randn(1, 3, 32, 32), torch.zeros(1)
    every, few = learned.encode(x, t), learned.encode(x, t, last=2)
    assert len(few) == 3
    torch.testing.assert_close(few[2], every[2], rtol=0, atol=0)


def test_head_options_matter_only_with_attention_in_more_than_one_head(weights):
    one = load_unet(weights("adm_plain"), num_heads=1)
    four = load_unet(weights("adm_plain"), num_heads=4)
    x, t = torch.randn(1, 3, 32, 32), torch.zeros(1)
    assert not torch.allclose(one(x, t), four(x, t))


def test_guided_diffusions_minus_one_means_no_head_channels(weights):
    network = load_unet(weights("adm_plain"), num_heads=4, num_head_channels=-1)
    expected = load_unet(weights("adm_plain"), num_heads=4)
    x, t = torch.randn(1, 3, 32, 32), torch.zeros(1)
    torch.testing.assert_close(network(x, t), expected(x, t))


def test_both_attention_orders_agree_for_one_head(weights):
    options = {"num_heads": 1}
    old = load_unet(weights("adm_plain"), **options)
    new = load_unet(weights("adm_plain"), **options, use_new_attention_order=True)
    x, t = torch.randn(1, 3, 32, 32), torch.zeros(1)
    torch.testing.assert_close(old(x, t), new(x, t))


def test_heads_that_do_not_divide_the_channels_are_refused(weights):
    with pytest.raises(InputError, match="num_head"):
        load_unet(weights("adm_plain"), num_heads=3)
    with pytest.raises(InputError, match="num_head"):
        load_unet(weights("adm_plain"), num_head_channels=48)


def test_a_missing_tensor_is_refused(weights):
    state = dict(weights("adm_plain"))
    del state["middle_block.0.out_layers.3.weight"]
    with pytest.raises(InputError, match="tiny.pt does not load as an ADM U-Net"):
        load_unet(state, "tiny.pt", num_heads=4)


def test_another_kind_of_network_is_refused_by_its_keys():
    with pytest.raises(InputError, match="it begins with conv1.weight, fc.bias"):
        load_unet({"conv1.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}, "resnet.pt")
    with pytest.raises(InputError, match="latent-diffusion model"):
        load_unet({"model.diffusion_model.out.2.weight": torch.zeros(1)}, "sd15.ckpt")


def test_a_latent_unet_is_refused_by_its_channels(weights):
    state = {**weights("adm_plain"), "input_blocks.0.0.weight": torch.zeros(32, 4, 3, 3)}
    with pytest.raises(InputError, match="works on a VAE's latents .4 input channels."):
        load_unet(state)


def test_the_timestep_embedding_is_sinusoids_cosines_first():
    embedding = timestep_embedding(torch.tensor([0.0, 3.0]), 4)
    expected = torch.tensor([[1, 1, 0, 0], [3, 0.03, 0, 0]])
    expected[1] = torch.cat([expected[1, :2].cos(), expected[1, :2].sin()])
    torch.testing.assert_close(embedding, expected)


def test_class_labels_change_the_embedding():
    network = ADMUNet(replace(SHAPES[2], num_classes=4))
    t = torch.zeros(1)
    labelled = network.embed(t, torch.tensor([1]))
    torch.testing.assert_close(labelled - network.embed(t), network.label_emb.weight[1:2])


class TestOtherLayouts:
    """Block and level layouts that the architecture's forward pass runs, though guided-diffusion's flags have none."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"num_res_blocks": (1, 2, 3)},
            {"num_res_blocks": (2, 1, 1), "resblock_updown": False, "attention_factors": (4,)},
            {"embed_channels": 64},
            {"attends": ()},
            {"attends": ("input_blocks.3", "output_blocks.0")},
            {"attends": ("middle_block", "output_blocks.5"), "attention_factors": ()},
            {"channel_mult": (1,), "num_res_blocks": 2},
            {"channel_mult": (2, 1, 3), "num_res_blocks": (1, 1, 2), "num_classes": 5, "embed_channels": 96},
        ],
    )
    @pytest.mark.parametrize("scale_shift", [True, False])
    def test_a_network_survives_its_state_dict(self, changes, scale_shift):
        torch.manual_seed(0)
        plain = dict(num_channels=32, channel_mult=(1, 2, 2), num_res_blocks=1, attention_factors=(2,), out_channels=6)
        options = {**plain, "resblock_updown": True, "num_head_channels": 32, **changes}
        network = ADMUNet(ADMConfig(use_scale_shift_norm=scale_shift, **options)).eval()
        loaded = load_unet(network.state_dict(), num_head_channels=32)
        x, t = torch.randn(2, 3, 16, 24), torch.tensor([3.0, 900.0])
        with torch.no_grad():
            assert torch.equal(loaded(x, t), network(x, t))
        outputs = loaded.encode(x, t)
        for layer, output in zip(loaded.layers, outputs, strict=True):
            assert output.shape[1:] == (layer.channels, 16 // layer.factor, 24 // layer.factor)

    @pytest.mark.parametrize(
        "count, told", [(1, "draws grey pictures .1 input channel."), (4, "VAE's latents"), (6, "super-resolution")]
    )
    def test_other_inputs_are_refused_with_the_true_reason(self, weights, count, told):
        state = {**weights("adm_plain"), "input_blocks.0.0.weight": torch.zeros(32, count, 3, 3)}
        with pytest.raises(InputError, match=f"{told}.* 3 are needed"):
            load_unet(state)
