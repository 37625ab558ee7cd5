"""The dial and the mask: bit for bit the source at 0, the free walk at 1, an even way between."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from qs_core import demo, pictures
from qs_core.blend import step_share
from qs_core.errors import InputError
from qs_core.guidance import Guidance, bind
from qs_core.losses.base import Term
from qs_core.losses.pixel import MSE
from qs_core.networks import load
from qs_core.pipeline import stylize
from qs_core.randomness import named, seeded
from qs_core.settings import Settings, make_terms
from qs_core.transfer import Inversion, begin, restyle, source_at, step_function

ENDS = {"rtol": 0, "atol": 1e-6}


def last(walk):
    *_, final = walk
    return final


def begun(model, source, start="inverted", states=3):
    schedule = model.schedule("50")
    reached = last(begin(model, schedule, source, 50 - states, start, seeded([0] * len(source))))
    return Inversion(model, schedule, source, reached.x, reached.i)


def walked(inversion, *strength, sampler="ddim"):
    """The picture of a walk that pulls every pixel towards grey, so that it changes everywhere."""
    grey = replace(inversion, source=torch.zeros_like(inversion.source))
    bound = bind((Term(500.0, MSE()),), grey.source, [])
    generators = seeded(range(len(inversion.source)))
    return last(
        restyle(
            inversion,
            step_function(sampler, 0.5),
            Guidance(inversion.model, inversion.schedule, bound),
            generators,
            *strength,
        )
    ).x


class TestStepShare:
    @pytest.mark.parametrize("steps", [1, 2, 12, 25, 200])
    def test_it_solves_its_equation(self, steps):
        for dial in (0.01, 0.1, 0.35, 0.5, 0.9, 0.99):
            share = float(step_share(dial, steps))
            kept = sum(share**k for k in range(1, steps + 1))
            assert kept == pytest.approx(dial * steps, rel=1e-3)

    def test_the_ends_are_exact(self):
        assert step_share(torch.tensor([0.0, 1.0]), 25).tolist() == [0, 1]
        assert float(step_share(0, 25)) == 0 and float(step_share(1.0, 25)) == 1

    def test_a_map_is_solved_element_by_element(self):
        dials = torch.rand(2, 1, 3, 4, generator=torch.Generator().manual_seed(0))
        expected = [float(step_share(float(dial), 12)) for dial in dials.flatten()]
        assert step_share(dials, 12).flatten().tolist() == pytest.approx(expected, abs=1e-6)
        assert step_share(dials, 12).shape == dials.shape

    def test_for_one_step_it_is_the_dial(self):
        assert float(step_share(0.3, 1)) == pytest.approx(0.3)


class TestSourceAt:
    @pytest.mark.parametrize("start", ["inverted", "noised", "zecon"])
    def test_it_meets_both_ends(self, calm, picture, start):
        inversion = begun(calm, picture(1, 2), start)
        assert torch.equal(source_at(inversion, 0), inversion.source)
        torch.testing.assert_close(source_at(inversion, inversion.start), inversion.x_t, **ENDS)

    def test_between_them_it_has_each_states_noise(self, calm, picture):
        """A state of the source and one noise: by the schedule, but for the noise that state 0 already has."""
        inversion, schedule = begun(calm, picture(1), "noised", 6), calm.schedule("50")
        noise = (inversion.x_t - schedule.alpha_bar[6] ** 0.5 * inversion.source) / (1 - schedule.alpha_bar[6]) ** 0.5
        for i in range(1, 6):
            # sqrt(1 - alpha_bar) of state 0 is 0.01: the most that is taken from a noise of up to 4.
            expected = schedule.diffuse(inversion.source, noise, i)
            torch.testing.assert_close(source_at(inversion, i), expected, rtol=0, atol=0.05)

    def test_it_is_the_inversions_own_path_where_the_noise_is_constant(self, calm, picture):
        source, schedule = picture(1), calm.schedule("50")
        states = list(begin(calm, schedule, source, 44, "inverted", seeded([0])))
        inversion = Inversion(calm, schedule, source, states[-1].x, states[-1].i)
        for state in states:
            assert (source_at(inversion, state.i) - state.x).abs().mean() < 0.02


class TestRestyle:
    @pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
    @pytest.mark.parametrize("start", ["inverted", "noised", "zecon"])
    def test_0_is_the_source_and_1_the_free_walk(self, calm, picture, start, sampler):
        inversion = begun(calm, picture(1, 2), start)
        free = walked(inversion, sampler=sampler)
        ones, zeros = torch.ones(1, 1, 32, 32), torch.zeros(2, 1, 32, 32)
        for strength in (0.0, zeros):
            assert torch.equal(walked(inversion, strength, sampler=sampler), inversion.source)
        for strength in (1.0, ones):
            assert torch.equal(walked(inversion, strength, sampler=sampler), free)
        assert (free - inversion.source).abs().mean() > 0.05

    def test_outside_the_mask_nothing_changes(self, calm, picture):
        inversion, mask = begun(calm, picture(1, 2)), torch.zeros(1, 1, 32, 32)
        mask[..., :16] = 1
        mask[..., 16:20] = torch.tensor([0.8, 0.6, 0.4, 0.2])
        changed = (walked(inversion, mask) - inversion.source).abs()
        assert changed[..., 20:].max() == 0 and changed[..., :16].mean() > 0.05
        soft = changed[..., 16:20].mean((0, 1, 2))
        assert (soft.diff() < 0).all() and soft[0] < changed[..., :16].mean() and soft[-1] > 0

    def test_each_picture_may_have_its_own_mask(self, calm, picture):
        inversion = begun(calm, picture(1, 2))
        masks = torch.stack([torch.zeros(1, 32, 32), torch.ones(1, 32, 32)])
        result, free = walked(inversion, masks), walked(inversion)
        assert torch.equal(result[0], inversion.source[0]) and torch.equal(result[1], free[1])

    @pytest.mark.parametrize(
        "strength, message",
        [
            (1.5, "Strength from 1.5 to 1.5: 0 .* to 1"),
            (-0.1, "Strength from -0.1"),
            (float("nan"), "Strength from nan"),
            (torch.full((1, 1, 32, 32), float("nan")), "Strength from nan"),
            (torch.tensor([0.0, 2.0]).expand(1, 1, 32, 16, 2).reshape(1, 1, 32, 32), "Strength from 0 to 2"),
            (torch.ones(32, 32), r"The strength map has shape \(32, 32\); the walk needs \(2, 1, 32, 32\)"),
            (torch.ones(3, 1, 32, 32), "has shape"),
            (torch.ones(2, 3, 32, 32), "has shape"),
            (torch.ones(1, 1, 16, 16), "has shape"),
        ],
    )
    def test_what_it_refuses_at_the_call(self, calm, picture, strength, message):
        inversion = begun(calm, picture(1, 2))
        with pytest.raises(InputError, match=message):
            restyle(inversion, step_function("ddim"), None, seeded([0, 1]), strength)


@pytest.mark.slow
def test_the_dial_is_even_on_the_built_in_model():
    """The distance from the source at 0, 0.1 … 1, on a face: monotone, and no tenth of the dial makes a jump."""
    s = Settings(("a sketch with crayon",), steps="12", skip=6, size=32, crops=8)
    networks = load(s)
    photo = pictures.read(demo.PICTURES["astronaut"])[None]
    source, frame = pictures.fit(photo, s.size, networks.model.multiple)
    reached = last(begin(networks.model, networks.model.schedule(s.steps), source, s.skip, s.start, []))
    inversion = Inversion(networks.model, networks.model.schedule(s.steps), source, reached.x, reached.i)

    def distances(dial):
        """At the network's size, and at the original's, each composed with the source."""
        bound = bind(make_terms(s, networks.model, networks.text, 32, 32), inversion.source, [0])
        guidance = Guidance(networks.model, inversion.schedule, bound)
        x = last(restyle(inversion, step_function(s.sampler, s.eta), guidance, named([0], "noise"), dial)).x
        small = pictures.composite(x, source, pictures.coverage(dial))
        large = pictures.composite(frame.restore(x, "original"), photo, pictures.coverage(dial))
        return [float((a - b).square().mean().sqrt()) for a, b in ((small, source), (large, photo))]

    small, large = np.array([distances(dial / 10) for dial in range(11)]).T
    assert small[0] == large[0] == 0
    assert (np.diff(small) > 0).all() and (np.diff(large) > 0).all()
    # Of the whole way, the longest tenth; even would be 0.1. Measured: 0.16, and 0.14 to 0.16 at 64 px.
    assert np.diff(small).max() < 0.25 * small[-1]
    # At 32 px the network loses most of a photo's detail, whatever the dial: that fades in over the first tenth.
    assert np.diff(large)[1:].max() < 0.25 * large[-1]
    assert distances(0.05)[1] == pytest.approx(large[1] / 2, rel=0.1)


def half_mask(height, width):
    mask = torch.zeros(height, width)
    mask[:, : width // 2] = 1
    return mask


class TestStylize:
    """The built-in model on a picture of 40x48 pixels; the network takes 32x40 of it, padded."""

    quick = {"steps": "6", "skip": 4, "size": 32, "crops": 2, "eta": 0.0}

    @pytest.fixture
    def photo(self):
        array = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
        return Image.fromarray(array).resize((48, 40))

    @pytest.mark.parametrize("output_size, fit", [("original", "pad"), ("network", "pad"), ("original", "crop")])
    def test_strength_0_is_the_source(self, photo, output_size, fit):
        result = stylize(photo, "golden", strength=0.0, output_size=output_size, fit=fit, **self.quick)
        free = stylize(photo, "golden", output_size=output_size, fit=fit, **self.quick)
        assert result.picture.shape == free.picture.shape and not torch.equal(result.picture, free.picture)
        if (output_size, fit) == ("original", "pad"):
            assert torch.equal(result.picture, pictures.from_image(photo))
            assert np.array_equal(np.asarray(result.image), np.asarray(photo))
        else:
            fitted, frame = pictures.fit(pictures.from_image(photo)[None], 32, 8, fit)
            assert result.picture.shape[-2:] == frame.restore(fitted, output_size).shape[-2:]
            assert torch.equal(result.picture, frame.source(pictures.from_image(photo)[None], fitted, output_size)[0])

    def test_at_its_own_size_a_picture_is_never_resampled(self, photo):
        unscaled = {**self.quick, "size": 40}
        result = stylize(photo, "golden", strength=0, **unscaled)
        assert torch.equal(result.picture, pictures.from_image(photo))

    @pytest.mark.parametrize("output_size", ["network", "original"])
    def test_a_mask_keeps_what_is_outside_it(self, photo, output_size):
        options = {"output_size": output_size, **self.quick}
        masked = stylize(photo, "golden", mask=half_mask(40, 48), **options)
        kept, free = (stylize(photo, "golden", strength=dial, **options).picture for dial in (0.0, 1.0))
        outside = slice(masked.picture.shape[-1] // 2 + 2, None)
        assert torch.equal(masked.picture[..., outside], kept[..., outside])
        inside = (masked.picture - kept)[..., : masked.picture.shape[-1] // 2 - 2].abs().mean()
        assert inside > 0.5 * (free - kept).abs().mean()
        assert masked.report["resolved"]["masked"] == pytest.approx(0.5, abs=0.03)
        assert masked.report["resolved"]["memory_policy"] == "nothing was spared"

    def test_a_white_mask_is_none_and_a_black_one_strength_0(self, photo):
        plain = stylize(photo, "golden", **self.quick)
        white = stylize(photo, "golden", mask=Image.new("L", (48, 40), "white"), **self.quick)
        black = stylize(photo, "golden", mask=torch.zeros(1, 40, 48), output_size="original", **self.quick)
        assert torch.equal(white.picture, plain.picture)
        assert torch.equal(black.picture, pictures.from_image(photo))

    def test_masks_are_files_too_one_for_each_picture_or_one_for_all(self, photo, tmp_path):
        Image.new("L", (24, 20), "black").save(tmp_path / "black.png")
        options = {"output_size": "original", **self.quick}
        one, other = stylize([photo, photo], "golden", mask=[tmp_path / "black.png", torch.ones(40, 48)], **options)
        assert torch.equal(one.picture, pictures.from_image(photo))
        assert not torch.equal(other.picture, one.picture)
        both = stylize([photo, photo], "golden", mask=str(tmp_path / "black.png"), **options)
        assert all(torch.equal(result.picture, one.picture) for result in both)

    @pytest.mark.parametrize(
        "options, message",
        [
            ({"strength": 1.2}, "strength 1.2: 0 .* to 1"),
            ({"strength": float("nan")}, "strength nan"),
            ({"mask": torch.ones(20, 20)}, "The mask is 20x20 and the picture 48x40; give one of the same aspect"),
            ({"mask": torch.ones(0, 48)}, r"The mask has shape \(0, 48\)"),
            ({"mask": torch.full((40, 48), 2.0)}, "The mask's values go from 2 to 2"),
            ({"mask": torch.full((40, 48), float("nan"))}, "The mask's values go from nan"),
            ({"mask": torch.ones(2, 40, 48)}, "A mask tensor has shape"),
            ({"mask": [torch.ones(40, 48)] * 2}, "1 pictures have 2 masks"),
            ({"mask": "none.png"}, "No picture at none.png"),
        ],
    )
    def test_what_it_refuses(self, photo, options, message):
        with pytest.raises(InputError, match=message):
            stylize(photo, "golden", **self.quick, **options)
