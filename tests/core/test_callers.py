"""stylize() from whatever its caller is in: modes of torch, default formats and devices, threads, numpy's numbers."""

import contextlib
import threading

import numpy as np
import pytest
import torch

from qs_core import InputError, Stylizer, demo, load_clip, load_model, stylize
from qs_core.modes import each_in_plain_mode

PHOTO = demo.PICTURES["pagoda"]
QUICK = {"size": 32, "steps": "4", "skip": 2, "crops": 4, "clip_dtype": "float32", "device": "cpu"}


def go(**options) -> torch.Tensor:
    return stylize(PHOTO, "golden", **{**QUICK, **options}).picture


@pytest.fixture(scope="module")
def wanted() -> torch.Tensor:
    return go()


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


MODES = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "another default device": lambda: torch.device("meta"),
}


class TestModes:
    @pytest.mark.parametrize("mode", MODES)
    def test_the_picture_is_the_same_in_every_one(self, mode, wanted):
        with MODES[mode]():
            result = go()
        assert torch.equal(result, wanted) and not result.is_inference() and result.dtype == torch.float32

    @pytest.mark.parametrize("mode", MODES)
    def test_what_is_kept_there_is_of_use_outside(self, mode, wanted):
        keep = Stylizer()
        with MODES[mode]():
            inside = go(stylizer=keep)
        assert torch.equal(inside, wanted) and torch.equal(go(stylizer=keep), wanted)

    @pytest.mark.parametrize("mode", MODES)
    def test_the_callers_own_mode_stays(self, mode):
        with MODES[mode]():
            before = torch.is_inference_mode_enabled(), torch.is_grad_enabled(), torch.get_default_dtype()
            go()
            assert (torch.is_inference_mode_enabled(), torch.is_grad_enabled(), torch.get_default_dtype()) == before

    def test_networks_loaded_in_inference_mode_guide_outside(self):
        with torch.inference_mode():
            model, clip = load_model(), load_clip(str(demo.CLIP))
        for network in (model.network, clip.network):
            assert not any(parameter.is_inference() for parameter in network.parameters())

    def test_a_picture_made_in_inference_mode(self, wanted):
        with torch.inference_mode():
            picture = torch.rand(3, 40, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
            mask = torch.ones(40, 32)
        plain = stylize(picture.clone().numpy().transpose(1, 2, 0) / 2 + 0.5, "golden", mask=mask, **QUICK)
        assert (stylize(picture, "golden", mask=mask, **QUICK).picture - plain.picture).abs().mean() < 1e-3

    def test_a_generators_steps_are_plain_and_what_is_between_them_is_not(self):
        @each_in_plain_mode
        def steps():
            while True:
                yield torch.is_inference_mode_enabled(), torch.is_grad_enabled()

        with torch.inference_mode():
            made = steps()
            for _ in range(2):
                assert next(made) == (False, True)
                assert torch.is_inference_mode_enabled() and not torch.is_grad_enabled()
            made.close()


class TestThreads:
    def test_several_at_once_share_what_is_kept(self, wanted):
        keep, results, failed = Stylizer(), {}, []

        def work(number: int):
            try:
                with torch.inference_mode(number % 2 == 0):
                    results[number] = go(stylizer=keep, seed=number // 2)
            except Exception as error:  # told below, in the thread that asserts
                failed.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        assert torch.equal(results[0], results[1]) and torch.equal(results[2], results[3])
        torch.testing.assert_close(results[0], wanted, rtol=0, atol=1e-4)


class TestAFailedCall:
    @pytest.mark.parametrize(
        "options", [{"skip": 99}, {"attend": "7"}, {"model": "none.pt"}, {"clip": "none"}, {"num_anchors": 10**6}]
    )
    def test_what_is_kept_stays_of_use(self, options, wanted):
        keep = Stylizer()
        for _ in range(2):
            with pytest.raises(InputError):
                go(stylizer=keep, **options)
            assert torch.equal(go(stylizer=keep), wanted)

    def test_one_that_the_caller_broke_off(self, wanted):
        keep = Stylizer()

        def stop(stage, done, total, step):
            raise KeyboardInterrupt

        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                go(stylizer=keep, progress=stop)
            assert torch.equal(go(stylizer=keep), wanted)


class TestNumbers:
    def test_numpys(self, wanted):
        integers = {"size": np.int64(32), "skip": np.int32(2), "crops": np.int16(4), "seed": np.uint8(0)}
        others = {"strength": np.float32(1), "templates": np.bool_(False), "count": np.int64(1)}
        result = stylize(PHOTO, "golden", **{**QUICK, **integers, **others})
        assert torch.equal(result.picture, wanted)
        settings = result.report["settings"]
        assert all(type(settings[name]) is int for name in integers) and type(settings["strength"]) is float

    def test_a_seed_of_none_is_a_new_one_and_is_told(self):
        first, second = (stylize(PHOTO, "golden", **QUICK, seed=None) for _ in range(2))
        seeds = [result.report["settings"]["seed"] for result in (first, second)]
        assert seeds[0] != seeds[1] and [first.seed, second.seed] == seeds
        assert torch.equal(go(seed=seeds[0]), first.picture)

    @pytest.mark.parametrize(
        "options, told",
        [
            ({"seed": "x"}, "seed 'x': a whole number is needed"),
            ({"seed": 1.5}, "seed 1.5: a whole number is needed"),
            ({"crops": None}, "crops None: a whole number is needed"),
            ({"strength": "much"}, "strength 'much': a number is needed"),
            ({"mse": [1]}, "mse .1.: a number is needed"),
            ({"strength": float("nan")}, "strength nan"),
            ({"templates": "yes"}, "templates 'yes': True or False is needed"),
            ({"prompt_weights": "2"}, "prompt_weights '2': numbers are needed"),
            ({"crop_area": 0.2}, "crop_area 0.2: numbers are needed"),
            ({"nonsense": 1}, "nonsense"),
        ],
    )
    def test_what_is_none(self, options, told):
        with pytest.raises(InputError, match=told):
            go(**options)

    def test_phrases(self):
        for phrases in (None, 3, [None], ["golden", 3], b"golden"):
            with pytest.raises(InputError, match="prompt"):
                stylize(PHOTO, phrases, **QUICK)
