"""Styles as files: they round-trip, know their base, run nothing, and draw; a training goes on where it was cut."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from qs_core import checkpoints, demo, load_clip, load_model, text_direction
from qs_core.blend import BlendMap
from qs_core.crops import Crops
from qs_core.errors import InputError, UnsupportedCheckpoint
from qs_core.finetune import FineTuning, Training, run
from qs_core.losses.base import View
from qs_core.losses.directional import L1, DirectionalCLIP
from qs_core.randomness import named
from qs_core.styles import Weight, fingerprint, load, parse_weight
from qs_core.stylizer import Stylizer, complete
from qs_core.unguided import StyleSettings
from qs_core.unguided import run as restyle

SMALL = {"start": 300, "inversion_points": 3, "points": 2, "epochs": 2, "crops": 2, "rank": 2}


def smooth(*seeds):
    """(B, 3, 32, 32) smooth random pictures."""
    coarse = [torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(seed)) * 2 - 1 for seed in seeds]
    return torch.nn.functional.interpolate(torch.stack(coarse), (32, 32), mode="bilinear")


@pytest.fixture(scope="module")
def base():
    return load_model()


@pytest.fixture(scope="module")
def text():
    return text_direction(load_clip("demo"), ["golden"], templates=True)


@pytest.fixture(scope="module")
def made(base, text, tmp_path_factory):
    """A folder with the file of a trained style, and what its training kept."""
    folder = tmp_path_factory.mktemp("made")
    settings = Training(("golden",), **SMALL)
    training = FineTuning(base, smooth(1, 2), settings.terms(text), settings, folder / "work")
    for _ in run(training, folder / "style.safetensors"):
        pass
    return folder


@pytest.fixture
def trained(made, tmp_path):
    """The file of a trained style, to be changed at will."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "style.safetensors"


@pytest.fixture
def begin(base, text, tmp_path):
    """begin(FOLDER, …) → a training on two pictures of 32 pixels."""

    def begin(folder="work", **options):
        settings = Training(("golden",), **{**SMALL, **options})
        return FineTuning(base, smooth(1, 2), settings.terms(text), settings, tmp_path / folder)

    return begin


def weights(style):
    return style.model.network.state_dict()


def same(one, other) -> bool:
    """Whether two files hold the same bits; safetensors writes its metadata in any order."""
    (state, header), (others, another) = checkpoints.read(one), checkpoints.read(other)
    return (
        header == another
        and set(state) == set(others)
        and all(state[k].dtype == v.dtype and torch.equal(state[k], v) for k, v in others.items())
    )


def drawn(base, source, *styles, share=1.0):
    stylizer = Stylizer(base, inversions=0)
    inversion = complete(stylizer.invert(source, "300:3", 1, "inverted", [0] * len(source)))
    return complete(stylizer.redraw(inversion, styles, BlendMap(share, share), 2))


class TestLosses:
    @pytest.mark.parametrize("crops", [None, Crops(3, (0.2, 0.8))])
    def test_they_descend_and_pictures_are_independent(self, text, picture, crops):
        source, output = picture(1, 2), picture(3, 4)
        for loss in (DirectionalCLIP(text, crops), L1()):

            def value(drawn, rows=slice(None), loss=loss):
                bound = loss.against(source[rows], named([0, 1][rows], "loss"))
                return bound(View(drawn[rows], drawn[rows], 0))[loss.name]

            leaf = output.clone().requires_grad_()
            before = value(leaf)
            gradient = torch.autograd.grad(before.sum(), leaf)[0]
            step = 1e-2 * gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            assert (value(output - step) < before).all()
            torch.testing.assert_close(value(output, slice(1, 2)), before[1:].detach(), rtol=1e-4, atol=1e-5)


class TestFile:
    @pytest.mark.parametrize("rank", [2, 0])
    def test_round_trip_bit_for_bit(self, begin, base, tmp_path, rank):
        training = begin(rank=rank, epochs=1)
        path = tmp_path / "style.safetensors"
        for _ in run(training, path):
            pass
        state, header = checkpoints.read(path)
        kept = {key: weight.detach().half() if rank else weight.detach() for key, weight in training.weights.items()}
        assert set(state) == set(kept) and all(torch.equal(state[key], kept[key]) for key in kept)
        style = load(path, base)
        assert style.said["prompts"] == ["golden"] and style.said["base"] == fingerprint(base)
        assert style.start == 300
        again = tmp_path / "again.safetensors"
        checkpoints.write(again, state, header)
        assert same(again, path)
        if not rank:  # a network as any other
            assert all(torch.equal(weights(style)[k], v) for k, v in load_model(path).network.state_dict().items())

    def test_a_bare_fine_tuned_network_is_a_style(self, base, tmp_path, picture):
        state = {key: 0.9 * value for key, value in base.network.state_dict().items()}
        torch.save(state, tmp_path / "published.pth")
        style = load(tmp_path / "published.pth", base)
        assert all(torch.equal(weights(style)[key], value) for key, value in state.items())
        assert style.said == {} and style.start == 500

    def test_another_base_is_refused(self, trained, base, tmp_path):
        state = {key: value + 1e-3 for key, value in base.network.state_dict().items()}
        save_file(state, tmp_path / "other.safetensors")
        with pytest.raises(InputError, match="trained on another network"):
            load(trained, load_model(tmp_path / "other.safetensors"))

    def test_as_a_model_it_is_named(self, trained):
        with pytest.raises(UnsupportedCheckpoint, match="--style-file"):
            load_model(trained)

    @pytest.mark.parametrize(
        "said",
        [1, [], {}, {"base": "0" * 64}, {"prompts": "x"}, {"prompts": [1]}, {"start": True}, {"start": 10**9}],
    )
    def test_a_broken_header_is_refused(self, trained, base, said):
        state, header = checkpoints.read(trained)
        told = {**header["style"], **said} if isinstance(said, dict) and said else said
        checkpoints.write(trained, state, {"style": told})
        with pytest.raises(InputError):
            load(trained, base)

    def test_hostile_tensors_are_refused(self, trained, base, tmp_path):
        state, header = checkpoints.read(trained)
        key = next(key for key in state if key.endswith("lora_up.weight"))
        for bad in (
            {**state, key: torch.full_like(state[key], float("nan"))},
            {**state, key: state[key][:1]},
            {**state, key: state[key].int()},
            {name: value for name, value in state.items() if name != key},
            {**state, "nowhere.lora_up.weight": torch.ones(2, 2), "nowhere.lora_down.weight": torch.ones(2, 2)},
            {**state, "more": torch.ones(2)},
        ):
            checkpoints.write(tmp_path / "bad.safetensors", bad, header)
            with pytest.raises(UnsupportedCheckpoint):
                load(tmp_path / "bad.safetensors", base)
        (tmp_path / "cut.safetensors").write_bytes(trained.read_bytes()[:-100])
        with pytest.raises(UnsupportedCheckpoint):
            load(tmp_path / "cut.safetensors", base)
        flipped = bytearray(trained.read_bytes())
        flipped[-50] ^= 1
        (tmp_path / "flipped.safetensors").write_bytes(flipped)
        with pytest.raises(UnsupportedCheckpoint, match="damaged"):
            load(tmp_path / "flipped.safetensors", base)

    def test_code_in_a_pickle_is_not_run(self, base, tmp_path):
        class Bomb:
            def __reduce__(self):
                return (tmp_path.joinpath("ran").touch, ())

        torch.save({"conv.lora_up.weight": torch.ones(1), "x": Bomb()}, tmp_path / "bomb.pt")
        with pytest.raises(UnsupportedCheckpoint):
            load(tmp_path / "bomb.pt", base)
        assert not (tmp_path / "ran").exists()


class TestTraining:
    def test_the_loss_falls(self, begin, tmp_path):
        losses = [done.losses["directional"] for done in run(begin(epochs=10), tmp_path / "s.safetensors")]
        assert sum(losses[-4:]) < 0.9 * sum(losses[:4])

    def test_cut_and_resumed_is_the_same(self, begin, base, trained, tmp_path):
        walk = run(begin("cut"), tmp_path / "cut.safetensors")
        for _ in range(3):
            next(walk)
        walk.close()
        assert load(tmp_path / "cut.safetensors", base).said["trained"] == [3, 4]
        resumed = begin("cut")
        assert resumed.number == 3
        assert [done.number for done in run(resumed, tmp_path / "resumed.safetensors")] == [4]
        assert same(tmp_path / "resumed.safetensors", trained)

    def test_another_training_in_the_folder_is_refused(self, begin, trained):
        with pytest.raises(InputError, match="another training"):
            begin(seed=1)

    def test_pictures_are_inverted_once(self, begin, trained):
        told = []
        begin().latents(told.append)
        assert not told and len(list((trained.parent / "work").glob("inverted-*"))) == 2

    def test_checkpointing_trains_the_same(self, begin, trained, tmp_path):
        training = begin("spared", gradient_checkpointing=True)
        for _ in run(training, tmp_path / "spared.safetensors"):
            pass
        expected = load_file(trained)
        for key, value in load_file(tmp_path / "spared.safetensors").items():
            torch.testing.assert_close(value.float(), expected[key].float(), rtol=1e-2, atol=1e-4)

    @pytest.mark.parametrize("bad", [{"epochs": 0}, {"l1": -1.0}, {"growth": float("nan")}, {"points": 1}])
    def test_bad_settings_are_refused(self, bad):
        with pytest.raises(InputError):
            Training(("golden",), **bad)


class TestRedrawing:
    def test_a_style_changes_and_its_share_is_even(self, trained, base, picture):
        tuned, source = load(trained, base).model, picture(5, 6)
        none, half, full = (drawn(base, source, (tuned, Weight()), share=share) for share in (0.0, 0.5, 1.0))
        assert (full - none).abs().mean() > 5e-3
        assert 0.2 < float((half - none).abs().mean() / (full - none).abs().mean()) < 0.8
        alone = drawn(base, source[1:], (tuned, Weight()))
        torch.testing.assert_close(alone, full[1:], rtol=1e-4, atol=1e-4)

    def test_strength_0_and_a_black_mask_are_the_very_picture(self, trained, picture):
        source = picture(5)[0]
        options = {"style_files": (str(trained),), "size": 32, "points": 2}
        (same,) = restyle([source], StyleSettings(**options, strength=0.0))
        (masked,) = restyle([source], StyleSettings(**options), masks=[torch.zeros(32, 32)])
        (changed,) = restyle([source], StyleSettings(**options, rounds=1, style_weights=("0.4@100,0.3",)))
        assert torch.equal(same.picture, source) and torch.equal(masked.picture, source)
        assert (changed.picture - source).abs().mean() > 1e-2
        assert json.dumps(changed.report)

    def test_what_is_inverted_may_be_taken_as_it_is(self, trained):
        options = {"style_files": (str(trained),), "size": 32, "points": 2}
        (one,), (other,) = (
            restyle([torch.ones(3, 32, 32)], StyleSettings(**options, dequantize=each)) for each in (True, False)
        )
        assert not torch.equal(one.picture, other.picture)
        assert (one.report["settings"]["dequantize"], other.report["settings"]["dequantize"]) == (True, False)

    def test_weights_are_read(self):
        assert parse_weight("0.4@300,0.3") == Weight(((300, 0.4), (0, 0.3)))
        assert parse_weight("2").at(999) == 2
        for bad in ("", "-1", "nan", "1@300", "1@100,2@300,0", "x", "1@a,2", "inf"):
            with pytest.raises(InputError, match="not understood"):
                parse_weight(bad)


def test_the_built_in_style_is_known_by_name(base):
    assert same_weights(load("golden", base), load(demo.STYLES["golden"], base))
    with pytest.raises(InputError, match="silver"):
        load("silver", base)


def same_weights(one, other) -> bool:
    return all(torch.equal(tensor, weights(other)[name]) for name, tensor in weights(one).items())
