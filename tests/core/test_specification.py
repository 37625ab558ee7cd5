"""What a checkpoint is, and how that is known: every published shape, every way to store one, precedence."""

import json

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from qs_core import checkpoints, unets
from qs_core.checkpoints import specification
from qs_core.checkpoints.known import Known
from qs_core.checkpoints.specification import convert, inspect, signature, specify
from qs_core.errors import InputError, UnsupportedCheckpoint
from qs_core.model import load_model
from qs_core.unets.adm import ADMConfig, ADMUNet
from qs_core.unets.ddpm import DDPMConfig, DDPMUNet

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
    "ddpm_celebahq_or_lsun_church_256",
)
READ = {  # what shapes tell of an ADM network
    "family",
    "parameters",
    "num_channels",
    "channel_mult",
    "num_res_blocks",
    "attention_factors",
    "out_channels",
    "use_scale_shift_norm",
    "resblock_updown",
    "num_classes",
    "in_channels",
}


def meta_state(shapes: dict) -> dict[str, torch.Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def adm(**changes) -> ADMConfig:
    """A small ADM configuration that is nobody's."""
    plain = {
        "num_channels": 32,
        "channel_mult": (1, 2),
        "num_res_blocks": 1,
        "attention_factors": (2,),
        "out_channels": 6,
        "use_scale_shift_norm": True,
        "resblock_updown": True,
        "num_head_channels": 32,
    }
    return ADMConfig(**{**plain, **changes})


CONFIGURATIONS = [
    adm(),
    adm(use_scale_shift_norm=False),
    adm(resblock_updown=False),
    adm(out_channels=3),
    adm(num_classes=7),
    adm(num_channels=64, channel_mult=(0.5, 1, 1)),
    adm(num_head_channels=0, num_heads=4),
    adm(num_head_channels=0, num_heads=1, attention_factors=(1, 2)),
    adm(use_new_attention_order=True, num_head_channels=16),
    adm(num_res_blocks=3, attention_factors=()),
    adm(channel_mult=(1, 1, 2, 3), attention_factors=(2, 4, 8)),
    DDPMConfig(32, (1, 2), 1, (2,)),
    DDPMConfig(32, (1, 1, 2), 2, (4,)),
    DDPMConfig(64, (1, 2), 1, ()),
]


def network_of(config, seed: int = 0):
    torch.manual_seed(seed)
    network = (ADMUNet if isinstance(config, ADMConfig) else DDPMUNet)(config)
    return network.eval().requires_grad_(False)


def told_of(config) -> dict:
    """What shapes cannot tell of that network, as options."""
    return specify(network_of(config).state_dict(), {}, **_heads(config)).options


def _heads(config) -> dict:
    return {key: getattr(config, key) for key in unets.HEADS} if isinstance(config, ADMConfig) else {}


def save_as(way: str, state: dict, folder, options: dict):
    """The state in one of the ways that checkpoints are stored."""
    name = folder / f"{way}.pt"
    if way == "pt":
        torch.save(state, name)
    elif way == "old pt":
        torch.save(state, name, _use_new_zipfile_serialization=False)
    elif way == "wrapped pt":
        torch.save({"step": 3, "state_dict": {f"module.{key}": value for key, value in state.items()}}, name)
    elif way == "safetensors":
        name = folder / "plain.safetensors"
        save_file(state, name)
    else:
        torch.save(state, name)
        name = folder / "converted.safetensors"
        convert(folder / f"{way}.pt", name, **options)
    return name


WAYS = ("pt", "old pt", "wrapped pt", "safetensors", "converted")


class TestPublished:
    @pytest.mark.parametrize("name", PUBLISHED)
    def test_shapes_tell_what_they_can_and_the_table_the_rest(self, manifests, name):
        flags, state = manifests[name]["config"], meta_state(manifests[name]["shapes"])
        found = specify(state, {}, name)
        assert found.image_size == flags["image_size"]
        assert found.parameters == manifests[name]["parameters"]
        assert found.noise_schedule == ("cosine" if name == "openai_imagenet_64_class_cond" else "linear")
        assert found.variance == ("learned" if flags.get("learn_sigma") else "fixed_small")
        rows = {row[0]: row[1:] for row in found.rows()}
        read = READ if found.family == "adm" else READ - {"use_scale_shift_norm", "resblock_updown", "num_classes"}
        assert {row for row, (_, origin) in rows.items() if origin == "read"} - {"variance"} == read
        assert not found.guessed and {origin for _, origin in rows.values()} <= {"read", "looked up by shapes"}
        if found.family == "adm":
            heads = "num_head_channels" if flags["num_head_channels"] > 0 else "num_heads"
            assert rows[heads] == (flags[heads], "looked up by shapes")
            order = flags.get("use_new_attention_order", False)
            assert rows["use_new_attention_order"] == (order, "looked up by shapes")

    @pytest.mark.parametrize("name", PUBLISHED)
    def test_the_network_on_the_meta_device_has_exactly_those_keys_and_shapes(self, manifests, name):
        config = specify(meta_state(manifests[name]["shapes"]), {}, name).config
        with torch.device("meta"):
            network = unets.family_of(config).network(config)
        assert {key: list(value.shape) for key, value in network.state_dict().items()} == manifests[name]["shapes"]

    @pytest.mark.parametrize("name", PUBLISHED)
    def test_without_the_table_the_rest_is_guessed_and_said_so(self, manifests, monkeypatch, name):
        monkeypatch.setattr(specification, "by_signature", lambda _: ())
        found = specify(meta_state(manifests[name]["shapes"]), {}, name)
        assert {"image_size", "noise_schedule"} <= set(found.guessed)
        assert found.image_size == manifests[name]["config"]["image_size"]  # the rules are right for these

    @pytest.mark.parametrize(
        "name, message",
        [
            ("refuse_super_resolution_64_256", "is a super-resolution U-Net"),
            ("refuse_classifier_256", "is a classifier"),
        ],
    )
    def test_relatives_are_refused_by_name(self, manifests, name, message):
        with pytest.raises(UnsupportedCheckpoint, match=message):
            specify(meta_state(manifests[name]["shapes"]), {}, name)

    def test_a_published_network_that_cannot_work_is_refused_unless_a_schedule_is_given(self):
        config = ADMConfig(128, (1, 2, 3, 4), 3, (4, 8), 6, True, False, num_head_channels=0, num_heads=4)
        with torch.device("meta"):
            state = ADMUNet(config).state_dict()
        with pytest.raises(
            UnsupportedCheckpoint, match="shapes of OpenAI improved-diffusion ImageNet 64.*give its noise"
        ):
            specify(state, {}, "mine.pt")
        assert specify(state, {}, "mine.pt", noise_schedule="cosine").noise_schedule == "cosine"

    def test_a_missing_file_that_is_published_is_told_with_address_and_hash(self, tmp_path):
        with pytest.raises(InputError, match=r"Fetch 256x256_diffusion_uncond.pt from https://.* SHA-256 is a37c32ff"):
            load_model(tmp_path / "256x256_diffusion_uncond.pt")


class TestStorage:
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize(
        "name, options",
        [
            ("adm_scale_shift", {"num_head_channels": 16}),
            ("adm_plain", {"num_heads": 4}),
            ("ddpm_small", {}),
        ],
    )
    def test_golden_figures_after_a_round_trip(self, tmp_path, golden, weights, name, options, way):
        state = {key: value.contiguous() for key, value in weights(name).items()}
        path = save_as(way, state, tmp_path, options)
        model, figures = load_model(path, **({} if way == "converted" else options)), golden(name)
        torch.testing.assert_close(model.unet(figures["x"], figures["timesteps"]), figures["output"], **GOLDEN)

    @pytest.mark.slow
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("config", CONFIGURATIONS, ids=range(len(CONFIGURATIONS)))
    def test_same_configuration_and_same_output(self, tmp_path, config, way):
        network, options = network_of(config), told_of(config)
        path = save_as(way, network.state_dict(), tmp_path, options)
        model = load_model(path, **({} if way == "converted" else options))
        assert model.network.config == config
        x, t = torch.randn(2, 3, 16, 8), torch.tensor([3.0, 900.0])
        torch.testing.assert_close(model.unet(x, t), network(x, t), rtol=0, atol=0)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_stored_in_another_precision(self, tmp_path, dtype):
        network = network_of(adm())
        torch.save({key: value.to(dtype) for key, value in network.state_dict().items()}, tmp_path / "m.pt")
        loaded = load_model(tmp_path / "m.pt", num_head_channels=32).network
        for key, value in loaded.state_dict().items():
            assert value.dtype == torch.float32
            torch.testing.assert_close(value, network.state_dict()[key].to(dtype).float(), rtol=0, atol=0)

    def test_averaged_weights_come_before_the_last_ones(self, tmp_path):
        last, averaged = network_of(adm(), 0).state_dict(), network_of(adm(), 1).state_dict()
        torch.save({"model": last, "ema": averaged}, tmp_path / "m.pt")
        loaded = load_model(tmp_path / "m.pt", num_head_channels=32).network.state_dict()
        torch.testing.assert_close(dict(loaded), dict(averaged), rtol=0, atol=0)

    def test_the_file_may_go_once_the_model_is_loaded(self, tmp_path):
        network = network_of(adm())
        save_file(network.state_dict(), tmp_path / "m.safetensors")
        model = load_model(tmp_path / "m.safetensors", num_head_channels=32)
        (tmp_path / "m.safetensors").write_bytes(b"")
        x, t = torch.randn(1, 3, 16, 16), torch.zeros(1)
        torch.testing.assert_close(model.unet(x, t), network(x, t), rtol=0, atol=0)


configurations = st.builds(
    ADMConfig,
    num_channels=st.sampled_from([32, 64]),
    channel_mult=st.lists(st.sampled_from([1.0, 2.0]), min_size=2, max_size=3).map(tuple),
    num_res_blocks=st.integers(1, 2),
    attention_factors=st.sets(st.sampled_from([1, 2])).map(lambda factors: tuple(sorted(factors))),
    out_channels=st.sampled_from([3, 6]),
    use_scale_shift_norm=st.booleans(),
    resblock_updown=st.booleans(),
    num_classes=st.sampled_from([0, 5]),
    num_head_channels=st.sampled_from([8, 32]),
    use_new_attention_order=st.booleans(),
)
options = st.fixed_dictionaries(
    {"image_size": st.integers(8, 1024), "noise_schedule": st.sampled_from(["linear", "cosine"])}
)


@pytest.mark.slow
@given(configurations, options, st.sampled_from([torch.float32, torch.float16]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_configuration_survives_conversion_and_nothing_is_guessed(tmp_path, config, chosen, dtype):
    state = {key: value.to(dtype) for key, value in network_of(config).state_dict().items()}
    source, target = tmp_path / "m.pt", tmp_path / "m.safetensors"
    target.unlink(missing_ok=True)
    torch.save(state, source)
    written = convert(source, target, **_heads(config), **chosen)
    read = inspect(target)
    assert read.config == written.config == config and read.options == written.options
    assert not read.guessed and set(read.origins.values()) == {"stated"}
    assert {key: read.options[key] for key in chosen} == chosen
    stored, _ = checkpoints.read(target)
    torch.testing.assert_close(stored, state, rtol=0, atol=0)


class TestPrecedence:
    STATE = network_of(adm()).state_dict()

    def entry(self, name="somebody's", sha256=None, **stands) -> Known:
        values = {"num_head_channels": 16, "use_new_attention_order": False, "image_size": 96}
        values |= {"noise_schedule": "cosine", "variance": "learned", **stands}
        shape = signature(unets.read_config(self.STATE, "m"))
        where = {"address": "https://example.org", "licence": "none", "sha256": sha256}
        return Known(name=name, file=f"{name}.pt", settings=values, signature=shape, **where)

    def known(self, monkeypatch, *entries):
        monkeypatch.setattr(specification, "by_signature", lambda s: tuple(e for e in entries if e.signature == s))
        monkeypatch.setattr(specification, "by_sha256", lambda d: next((e for e in entries if e.sha256 == d), None))

    def test_given_before_stated_before_looked_up_before_guessed(self, monkeypatch):
        found = specify(self.STATE, {})
        assert (found.image_size, found.origins["image_size"]) == (32, "guessed")  # attention at 16 pixels
        self.known(monkeypatch, self.entry())
        found = specify(self.STATE, {})
        assert (found.image_size, found.origins["image_size"]) == (96, "looked up by shapes")
        assert (found.config.num_head_channels, found.noise_schedule) == (16, "cosine")
        found = specify(self.STATE, {"image_size": 48, "num_heads": 2})
        assert (found.image_size, found.origins["image_size"]) == (48, "stated")
        assert (found.config.num_heads, found.config.num_head_channels) == (2, 0)
        assert found.origins["num_heads"] == "stated" and "num_head_channels" not in found.origins
        found = specify(self.STATE, {"image_size": 48, "num_heads": 2}, image_size=80, num_head_channels=32)
        assert (found.image_size, found.origins["image_size"]) == (80, "given")
        assert (found.config.num_head_channels, found.origins["num_head_channels"]) == (32, "given")

    def test_published_files_that_differ_are_told_apart_by_their_hash(self, monkeypatch):
        self.known(
            monkeypatch, self.entry("one", "a" * 64), self.entry("two", "b" * 64, image_size=128, num_head_channels=8)
        )
        found = specify(self.STATE, {}, digest=lambda: "b" * 64)
        assert (found.image_size, found.config.num_head_channels) == (128, 8)
        assert found.origins["image_size"] == "looked up"
        unknown = specify(self.STATE, {}, digest=lambda: "c" * 64)
        assert unknown.noise_schedule == "cosine" and unknown.origins["noise_schedule"] == "looked up by shapes"
        assert {"image_size", "num_head_channels"} <= set(unknown.guessed)

    def test_the_hash_is_taken_only_where_it_decides(self, monkeypatch):
        def never():
            raise AssertionError("the whole file was read for nothing")

        self.known(monkeypatch, self.entry("one", "a" * 64), self.entry("two", "b" * 64))
        assert specify(self.STATE, {}, digest=never).image_size == 96

    def test_a_file_of_the_published_name_and_shapes_is_looked_up_as_that_one(self, monkeypatch):
        one, two = self.entry("one"), self.entry("two", image_size=128)
        self.known(monkeypatch, one, two)
        monkeypatch.setattr(specification, "by_file", lambda name: two if name == "two.pt" else None)
        found = specify(self.STATE, {}, "two.pt")
        assert (found.image_size, found.origins["image_size"]) == (128, "looked up")

    def test_guided_diffusions_other_flags_must_agree_with_the_shapes(self):
        agreed = {"learn_sigma": True, "class_cond": False, "num_channels": 32, "num_res_blocks": 1}
        assert specify(self.STATE, {}, **agreed, resblock_updown=True, use_scale_shift_norm=True).config
        with pytest.raises(InputError, match="learn_sigma=False is given, but the shapes of m.pt say True. Leave"):
            specify(self.STATE, {}, "m.pt", learn_sigma=False)

    @pytest.mark.parametrize(
        "header, message",
        [
            ({"image_size": "big"}, "image_size='big' stands in the header of m.pt, .* Use pixels from 8 to 8192"),
            ({"image_size": -1}, "image_size='-1'"),
            ({"image_size": True}, "image_size='True'"),
            ({"num_heads": -3}, "num_heads='-3'"),
            ({"num_heads": "4"}, "num_heads='4'"),
            ({"num_heads": 7}, "num_heads=7 does not divide .* It was stated, not given: set num_heads or num_head"),
            ({"noise_schedule": 5}, "noise_schedule='5'.* Use one of linear, cosine"),
            ({"use_new_attention_order": 1}, "use_new_attention_order='1'"),
            ({"variance": "none"}, "variance='none'"),
            ({"variance": "fixed_small"}, r"\(stated, not given\) does not fit m.pt, whose network learned"),
            ({"colour": "blue"}, "'colour' stands in the header of m.pt, and is unknown"),
        ],
    )
    def test_a_header_that_states_the_impossible(self, header, message):
        with pytest.raises(InputError, match=message):
            specify(self.STATE, header, "m.pt")


class TestConvert:
    def test_the_header_states_the_configuration_and_a_checksum(self, tmp_path):
        torch.save(network_of(adm()).state_dict(), tmp_path / "m.pt")
        convert(tmp_path / "m.pt", tmp_path / "m.safetensors", num_head_channels=32, image_size=64)
        with safe_open(tmp_path / "m.safetensors", framework="pt") as file:
            metadata = file.metadata()
        stated = {"num_head_channels": 32, "use_new_attention_order": False, "image_size": 64}
        stated |= {"noise_schedule": "linear", "variance": "learned"}
        assert json.loads(metadata["qs_config"]) == stated
        assert len(metadata["qs_crc32"]) == 8

    def test_a_changed_weight_is_noticed(self, tmp_path):
        torch.save(network_of(adm()).state_dict(), tmp_path / "m.pt")
        convert(tmp_path / "m.pt", tmp_path / "m.safetensors")
        content = bytearray((tmp_path / "m.safetensors").read_bytes())
        content[-3] ^= 1  # the lowest bits of a mantissa
        (tmp_path / "m.safetensors").write_bytes(content)
        with pytest.raises(UnsupportedCheckpoint, match="is damaged, or was changed by another program: its checksum"):
            load_model(tmp_path / "m.safetensors")

    def test_what_it_cannot_write(self, tmp_path):
        torch.save(network_of(adm()).state_dict(), tmp_path / "m.pt")
        with pytest.raises(InputError, match="give a name ending in .safetensors"):
            convert(tmp_path / "m.pt", tmp_path / "m.ckpt")
        with pytest.raises(InputError, match="There is no folder .*nowhere"):
            convert(tmp_path / "m.pt", tmp_path / "nowhere" / "m.safetensors")
        (tmp_path / "m.safetensors").write_bytes(b"mine")
        with pytest.raises(InputError, match="is there already"):
            convert(tmp_path / "m.pt", tmp_path / "m.safetensors")
        assert (tmp_path / "m.safetensors").read_bytes() == b"mine"

    def test_a_file_that_would_not_load_is_not_converted(self, tmp_path):
        state = network_of(adm()).state_dict()
        state["out.2.bias"] = torch.full((6,), torch.nan)
        torch.save(state, tmp_path / "m.pt")
        with pytest.raises(UnsupportedCheckpoint, match="is damaged: its weight out.2.bias has values from nan to nan"):
            convert(tmp_path / "m.pt", tmp_path / "m.safetensors")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["m.pt"]


class TestClasses:
    @pytest.fixture
    def path(self, tmp_path):
        torch.save(network_of(adm(num_classes=7)).state_dict(), tmp_path / "m.pt")
        return tmp_path / "m.pt"

    def test_left_out_by_default(self, path):
        model, x, t = load_model(path, num_head_channels=32), torch.randn(1, 3, 16, 16), torch.zeros(1)
        torch.testing.assert_close(model.unet(x, t), model.network(x, t), rtol=0, atol=0)

    def test_one_chosen_reaches_prediction_and_encoder(self, path):
        x, t = torch.randn(2, 3, 16, 16), torch.zeros(2)
        model = load_model(path, num_head_channels=32, class_label=6)
        labels = torch.tensor([6, 6])
        torch.testing.assert_close(model.unet(x, t), model.network(x, t, labels), rtol=0, atol=0)
        torch.testing.assert_close(model.encode(x, t)[1], model.network.encode(x, t, labels)[1], rtol=0, atol=0)
        assert not torch.allclose(model.unet(x, t), load_model(path, num_head_channels=32).unet(x, t))

    @pytest.mark.parametrize("label", [-1, 7])
    def test_one_that_is_not_there(self, path, label):
        with pytest.raises(InputError, match=f"Class label {label} does not fit m.pt: there are 0 to 6"):
            load_model(path, class_label=label)
