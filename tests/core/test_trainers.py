"""The same network as the common trainers and libraries save it: the right weights are found, and which is said."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from qs_core import load_model
from qs_core.__main__ import main
from qs_core.errors import UnsupportedCheckpoint
from qs_core.unets.adm import ADMConfig, ADMUNet
from qs_core.unets.ddpm import DDPMConfig, DDPMUNet


def adm(seed: int, **changes) -> ADMUNet:
    torch.manual_seed(seed)
    plain = dict(num_channels=32, channel_mult=(1, 2), num_res_blocks=1, attention_factors=(2,), out_channels=6)
    options = {**plain, "use_scale_shift_norm": True, "resblock_updown": True, "num_head_channels": 64, **changes}
    return ADMUNet(ADMConfig(**options))


AVERAGED, LAST = adm(0), adm(1)
EMA, RAW = AVERAGED.state_dict(), LAST.state_dict()
SWA = torch.optim.swa_utils.AveragedModel(AVERAGED).state_dict()
OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(6)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}


def under(prefix: str, state: dict) -> dict:
    return {prefix + key: value for key, value in state.items()}


BOTH = {  # → where the averaged weights are
    "Lightning, ema_model.": ({"state_dict": {**under("model.", RAW), **under("ema_model.", EMA)}}, "ema_model"),
    "ema_pytorch": (
        {"model": RAW, "ema": {"step": torch.tensor(5), **under("online_model.", RAW), **under("ema_model.", EMA)}},
        "ema.ema_model",
    ),
    "ema_pytorch around a diffusion": (
        {"model": RAW, "ema": {**under("ema_model.model.", EMA), "ema_model.betas": torch.zeros(9)}},
        "ema.ema_model.model",
    ),
    "AveragedModel beside the last": ({"model": RAW, "ema": SWA, "optimizer": OPTIMIZER}, "ema.module"),
    "DiffAE": (
        {"state_dict": {"x_T": torch.zeros(2, 3), **under("model.", RAW), **under("ema_model.", EMA)}},
        "ema_model",
    ),
    "k-diffusion": ({"model": under("inner_model.", RAW), "model_ema": under("inner_model.", EMA)}, "model_ema"),
    "torch_ema, a list in the model's order": (
        {"model": RAW, "ema": {"decay": 0.999, "num_updates": 3, "shadow_params": list(EMA.values())}},
        "ema",
    ),
    "DDIM's list": ([RAW, OPTIMIZER, 3, 1000, EMA], "4"),
}
ONE = {
    "AveragedModel alone": SWA,
    "buffers beside a wrapper": {"model": {**under("model.", EMA), "betas": torch.zeros(1000)}},
    "DeepSpeed": {"module": EMA, "dp_world_size": 1, "optimizer": OPTIMIZER},
    "denoise_fn.": under("denoise_fn.", EMA),
    "compiled and parallel": under("module._orig_mod.", EMA),
    "an empty average": {"ema": {"decay": 0.9}, "model": EMA},
}


def same(network, state: dict) -> bool:
    own = network.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[key], state[key]) for key in own)


class TestTrainers:
    @pytest.mark.parametrize("name", BOTH)
    @pytest.mark.parametrize("zipped", [True, False])
    def test_the_averaged_weights_are_taken_and_said(self, tmp_path, name, zipped):
        content, place = BOTH[name]
        torch.save(content, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
        model = load_model(tmp_path / "m.pt")
        assert same(model.network, EMA)
        assert re.match(rf"m\.pt: the weights in [\w.]*{place}[\w.]* were taken, not those in ", model.doubt)

    @pytest.mark.parametrize("name", ONE)
    def test_where_there_is_no_choice_nothing_is_said(self, tmp_path, name):
        torch.save(ONE[name], tmp_path / "m.pt")
        model = load_model(tmp_path / "m.pt")
        assert same(model.network, EMA) and "were taken" not in model.doubt

    def test_inspect_says_it(self, tmp_path, capsys):
        torch.save(BOTH["ema_pytorch"][0], tmp_path / "m.pt")
        assert main(["inspect", str(tmp_path / "m.pt")]) == 0
        assert "the weights in ema.ema_model were taken, not those in model" in capsys.readouterr().out

    def test_an_average_of_other_shapes_is_not_taken_for_the_models(self, tmp_path):
        shadow = [torch.zeros(2) for _ in RAW]
        torch.save({"model": RAW, "ema": {"shadow_params": shadow}}, tmp_path / "m.pt")
        assert same(load_model(tmp_path / "m.pt").network, RAW)

    def test_the_heads_of_diffaes_networks_are_known(self, tmp_path):
        shape = dict(channel_mult=(1, 1, 2, 3, 4), num_res_blocks=2, attention_factors=(8,), out_channels=3)
        small = adm(0, **shape, num_head_channels=0, num_heads=1)
        torch.save({"state_dict": under("ema_model.", small.state_dict())}, tmp_path / "last.ckpt")
        model = load_model(tmp_path / "last.ckpt")
        x, t = torch.randn(1, 3, 32, 32), torch.tensor([5.0])
        with torch.no_grad():
            assert torch.equal(model.network(x, t), small(x, t))


NAMES = {  # this library's → diffusers' of today, and of 2022
    "norm": ("group_norm", "group_norm"),
    "q": ("to_q", "query"),
    "k": ("to_k", "key"),
    "v": ("to_v", "value"),
    "proj_out": ("to_out.0", "proj_attn"),
}
HO = {
    "_class_name": "UNet2DModel",
    "act_fn": "silu",
    "attention_head_dim": None,
    "center_input_sample": False,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D"],
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-6,
    "norm_num_groups": 32,
    "sample_size": 64,
}


def theirs(key: str, levels: int, old: bool) -> str:
    """The name that diffusers gives to one of the DDPM family's weights."""
    key = re.sub(r"^temb\.dense\.(\d)", lambda m: f"time_embedding.linear_{int(m[1]) + 1}", key)
    key = key.replace("mid.block_1", "mid_block.resnets.0").replace("mid.block_2", "mid_block.resnets.1")
    key = key.replace("mid.attn_1", "mid_block.attentions.0").replace("norm_out", "conv_norm_out")
    key = re.sub(r"^down\.(\d+)\.", r"down_blocks.\1.", key)
    key = re.sub(r"^up\.(\d+)\.", lambda m: f"up_blocks.{levels - 1 - int(m[1])}.", key)
    key = key.replace(".block.", ".resnets.").replace(".attn.", ".attentions.")
    key = key.replace(".downsample.", ".downsamplers.0.").replace(".upsample.", ".upsamplers.0.")
    key = key.replace("temb_proj", "time_emb_proj").replace("nin_shortcut", "conv_shortcut")
    pattern = r"(attentions\.\d+)\.(norm|q|k|v|proj_out)\."
    return re.sub(pattern, lambda m: f"{m[1]}.{NAMES[m[2]][old]}.", key)


class TestDiffusers:
    @pytest.fixture
    def network(self) -> DDPMUNet:
        torch.manual_seed(0)
        return DDPMUNet(DDPMConfig(32, (1, 1, 2), 2, (2,))).eval()

    def save(self, network: DDPMUNet, folder: Path, old: bool, config: dict | None = HO) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        state = {theirs(key, 3, old): value for key, value in network.state_dict().items()}
        for key, value in state.items():
            if "attentions" in key and value.ndim == 4:
                state[key] = value[:, :, 0, 0].contiguous()
        if old:
            torch.save(state, folder / "diffusion_pytorch_model.bin")
        else:
            save_file(state, folder / "diffusion_pytorch_model.safetensors")
        if config is not None:
            (folder / "config.json").write_text(json.dumps(config))
        return folder

    def check(self, path: Path, network: DDPMUNet):
        model = load_model(path)
        x, t = torch.randn(2, 3, 32, 32), torch.tensor([17.0, 801.0])
        with torch.no_grad():
            assert torch.equal(model.network(x, t), network(x, t))
        return model

    @pytest.mark.parametrize("old", [False, True])
    def test_a_folder_its_file_and_a_pipeline(self, tmp_path, network, old):
        folder = self.save(network, tmp_path / "a", old)
        (file,) = folder.glob("diffusion_pytorch_model.*")
        for path in (folder, file, self.save(network, tmp_path / "pipeline" / "unet", old).parent):
            assert self.check(path, network).image_size == 64
        assert main(["inspect", str(folder), "--verify"]) == 1  # none published has this hash

    def test_the_file_alone_is_taken_as_ho_et_als_and_that_is_said(self, tmp_path, network):
        model = self.check(self.save(network, tmp_path, False, None) / "diffusion_pytorch_model.safetensors", network)
        assert "taken as one of Ho et al.'s networks, as no config.json is beside it" in model.doubt

    def test_the_scheduler_is_read(self, tmp_path, network):
        folder = self.save(network, tmp_path, False)
        scheduler = {"beta_schedule": "squaredcos_cap_v2", "variance_type": "fixed_large", "num_train_timesteps": 1000}
        (folder / "scheduler_config.json").write_text(json.dumps(scheduler))
        model = load_model(folder)
        assert (model.noise, model.variance) == ("cosine", "fixed_large")
        (folder / "scheduler_config.json").write_text(json.dumps(scheduler | {"prediction_type": "v_prediction"}))
        with pytest.raises(UnsupportedCheckpoint, match="trained to predict v_prediction"):
            load_model(folder)

    @pytest.mark.parametrize(
        "change, told",
        [
            ({"freq_shift": 0}, "another timestep embedding than Ho et al.'s networks .freq_shift 0"),
            ({"attention_head_dim": 8}, "several attention heads"),
            ({"downsample_padding": 1}, "another way to halve the map"),
            ({"norm_eps": 1e-5}, "another epsilon"),
        ],
    )
    def test_what_is_not_like_them_is_refused_with_the_reason(self, tmp_path, network, change, told):
        with pytest.raises(UnsupportedCheckpoint, match=told):
            load_model(self.save(network, tmp_path, False, HO | change))

    def test_a_broken_configuration(self, tmp_path, network):
        (self.save(network, tmp_path, False) / "config.json").write_text("{")
        with pytest.raises(UnsupportedCheckpoint, match="config.json is broken"):
            load_model(tmp_path)

    def test_it_is_converted(self, tmp_path, network):
        folder = self.save(network, tmp_path, False)
        assert main(["convert", str(folder), str(tmp_path / "c.safetensors")]) == 0
        self.check(tmp_path / "c.safetensors", network)

    def test_the_library_itself_gives_the_same_numbers(self, tmp_path):
        diffusers = pytest.importorskip("diffusers")
        torch.manual_seed(0)
        down, up = HO["down_block_types"], ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"]
        options = {key: value for key, value in HO.items() if key not in ("_class_name", "sample_size")}
        theirs = diffusers.UNet2DModel(sample_size=32, block_out_channels=(32, 32, 64), up_block_types=up, **options)
        assert theirs.config.down_block_types == down
        theirs.eval().save_pretrained(tmp_path)
        x, t = torch.randn(2, 3, 32, 32), torch.tensor([17, 801])
        with torch.no_grad():
            wanted, found = theirs(x, t).sample, load_model(tmp_path).network(x, t.float())
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
