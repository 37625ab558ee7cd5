"""DiffusionModel: predictions against golden figures, and load_model at the door."""

import json

import pytest
import torch
from safetensors.torch import save_file

from qs_core.errors import InputError
from qs_core.model import DiffusionModel, load_model
from qs_core.samplers import ddpm_mean

GOLDEN = {"rtol": 1e-4, "atol": 1e-5}  # stated by golden/README.md


@pytest.mark.parametrize("name, model", [("adm_scale_shift", "learned"), ("adm_plain", "plain")])
class TestGolden:
    def test_schedule(self, golden, request, name, model):
        schedule = request.getfixturevalue(model).schedule("50")
        figures = golden(name)
        assert torch.equal(torch.from_numpy(schedule.timesteps), figures["respaced_timesteps"])
        torch.testing.assert_close(torch.from_numpy(schedule.alpha_bar), figures["respaced_alphas_cumprod"])

    def test_step(self, golden, request, name, model):
        figures, model = golden(name), request.getfixturevalue(model)
        schedule, i, x_t = model.schedule("50"), figures["step_index"], figures["inverted_50_skip_25"]
        prediction = model.predict(x_t, schedule, i)
        torch.testing.assert_close(prediction.x0, figures["step_pred_xstart"], **GOLDEN)
        mean = ddpm_mean(schedule, x_t, prediction, None, i)
        torch.testing.assert_close(mean, figures["step_mean"], **GOLDEN)
        variance = prediction.log_variance.exp().expand_as(x_t)
        torch.testing.assert_close(variance, figures["step_variance"], **GOLDEN)


def test_x0_and_eps_compose_x_t(learned, picture):
    schedule, x_t = learned.schedule("50"), picture(1)
    prediction = learned.predict(x_t, schedule, 30)
    torch.testing.assert_close(schedule.diffuse(prediction.x0, prediction.eps, 30), x_t, **GOLDEN)


def test_fixed_small_is_the_posterior_variance(plain, picture):
    model = DiffusionModel(plain.network, variance="fixed_small")
    schedule = model.schedule("50")
    log_variance = model.predict(picture(1), schedule, 30).log_variance
    assert log_variance.exp().item() == pytest.approx(schedule.posterior_variance[30], rel=1e-6)


def test_a_prediction_does_not_depend_on_the_batch(learned, picture):
    schedule, batch = learned.schedule("50"), picture(1, 2, height=32, width=48)
    together = learned.predict(batch, schedule, 20)
    alone = learned.predict(batch[1:], schedule, 20)
    for one, both in zip(alone, together, strict=True):
        torch.testing.assert_close(both[1:], one, **GOLDEN)


@pytest.mark.parametrize(
    "shape, message",
    [
        ((1, 3, 33, 32), "Image is 32x33; this U-Net needs both sides divisible by 2. Resize to 32x32"),
        ((1, 3, 32, 1), "Image is 1x32; .* Resize to 2x32"),
        ((1, 4, 32, 32), r"shape \(1, 4, 32, 32\); \(batch, 3, height, width\) is needed"),
        ((3, 32, 32), r"shape \(3, 32, 32\)"),
    ],
)
def test_sizes_the_network_cannot_take(learned, shape, message):
    with pytest.raises(InputError, match=message):
        learned.check_size(torch.zeros(shape))


def test_sizes_the_network_can_take(learned):
    learned.check_size(torch.zeros(2, 3, 34, 128))


class TestLoad:
    """From a file, with what the header states and what the caller overrides."""

    @pytest.fixture
    def file(self, tmp_path, weights):
        def write(name="tiny.safetensors", state="adm_scale_shift", change=lambda t: t, **header):
            path = tmp_path / name
            tensors = {key: change(value).contiguous() for key, value in weights(state).items()}
            if path.suffix == ".safetensors":
                save_file(tensors, path, {"qs_config": json.dumps(header)} if header else None)
            else:
                torch.save(tensors, path)
            return path

        return write

    @pytest.mark.parametrize("name", ["tiny.safetensors", "tiny.pt", "tiny.pth"])
    def test_saved_and_loaded_is_the_same_network(self, file, golden, name):
        figures = golden("adm_scale_shift")
        model = load_model(file(name), num_head_channels=16)
        torch.testing.assert_close(model.unet(figures["x"], figures["timesteps"]), figures["output"], **GOLDEN)
        assert model.variance == "learned" and model.noise == "linear" and model.name == name

    def test_stored_in_float16(self, file, golden):
        figures = golden("adm_scale_shift")
        model = load_model(file(change=torch.Tensor.half), num_head_channels=16)
        torch.testing.assert_close(model.unet(figures["x"], figures["timesteps"]), figures["output"], **GOLDEN)

    @pytest.mark.parametrize("dtype, tolerance", [("bfloat16", 0.05), ("float16", 0.01)])
    def test_a_half_torso_agrees_within_its_precision(self, file, golden, dtype, tolerance):
        figures = golden("adm_scale_shift")
        model = load_model(file(), num_head_channels=16, dtype=dtype)
        output = model.unet(figures["x"], figures["timesteps"])
        assert output.dtype == torch.float32
        # bfloat16 has 8 bits, float16 11; about thirty roundings in a row, relative to the output's spread.
        assert (output - figures["output"]).std() < tolerance * figures["output"].std()
        assert model.encode(figures["x"], figures["timesteps"])[0].dtype == torch.float32

    def test_the_header_tells_what_shapes_cannot(self, file):
        header = {"num_head_channels": 16, "noise_schedule": "cosine", "image_size": 32}
        model = load_model(file(**header))
        assert model.network.config.num_head_channels == 16
        assert (model.noise, model.image_size) == ("cosine", 32)
        assert not {"num_head_channels", "noise_schedule", "image_size"} & set(model.guessed)

    def test_the_caller_overrides_the_header(self, file):
        path = file(num_head_channels=16, noise_schedule="cosine", image_size=32)
        model = load_model(path, num_head_channels=32, noise_schedule="linear", image_size=64)
        assert model.network.config.num_head_channels == 32
        assert (model.noise, model.image_size) == ("linear", 64)

    def test_a_wished_head_count_replaces_the_headers_head_width(self, file):
        model = load_model(file(num_head_channels=16), num_heads=1)
        assert {block.heads for block in model.network.middle_block if hasattr(block, "heads")} == {1}
        assert "num_head_channels" not in model.guessed

    def test_what_was_guessed_is_reported(self, file):
        model = load_model(file(), num_head_channels=16)
        assert set(model.guessed) == {"use_new_attention_order", "noise_schedule", "image_size"}

    def test_fixed_variance_by_default_large(self, file):
        assert load_model(file(state="adm_plain"), num_heads=4).variance == "fixed_large"
        assert load_model(file(state="adm_plain"), num_heads=4, variance="fixed_small").variance == "fixed_small"

    @pytest.mark.parametrize(
        "options, message",
        [
            ({"dtype": "int8"}, "dtype 'int8' is unknown; choose one of float32, bfloat16, float16"),
            (
                {"variance": "fixed_small"},
                "variance='fixed_small' does not fit tiny.safetensors, whose network learned",
            ),
            ({"variance": "huge"}, "variance='huge'"),
            ({"heads": 4}, "Model option 'heads' is given, and is unknown. Use num_heads"),
            ({"noise_schedule": "sigmoid"}, "noise_schedule='sigmoid' is given, .* Use one of linear, cosine"),
            ({"class_label": 3}, "Class label 3 does not fit tiny.safetensors: the network knows no classes"),
        ],
    )
    def test_options_it_cannot_take(self, file, options, message):
        with pytest.raises(InputError, match=message):
            load_model(file(), num_head_channels=16, **options)
