"""The original's fine structure in a result of its size."""

import pytest
import torch

from qs_core import InputError, Settings, stylize
from qs_core.detail import add_detail
from qs_core.pictures import resize

SMALL = {"size": 32, "steps": "10", "skip": 7, "crops": 2, "device": "cpu", "output_size": "original"}


@pytest.fixture
def photo():
    """(1, 3, 96, 96): a smooth picture with fine grey grain."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 6, 6, generator=generator) - 0.5
    grain = 0.2 * (torch.rand(1, 1, 96, 96, generator=generator) - 0.5)
    return torch.nn.functional.interpolate(coarse, (96, 96), mode="bilinear") + grain


def test_an_unchanged_picture_comes_back_at_its_own_size(photo):
    small = resize(photo, (24, 24))
    blurred = resize(small, (96, 96))
    back = add_detail(blurred, small, small, photo, 1.0)
    assert (back - photo).abs().mean() < 0.05 * (blurred - photo).abs().mean()


def test_detail_has_the_contrast_of_the_style_and_never_its_tones(photo):
    small = resize(photo, (24, 24))
    enlarged = resize(small, (96, 96))
    full = add_detail(enlarged, small, small, photo, 1.0) - enlarged
    half = add_detail(enlarged / 2, small / 2, small, photo, 1.0) - enlarged / 2
    inverted = add_detail(-enlarged, -small, small, photo, 1.0) + enlarged
    assert half.std() / full.std() == pytest.approx(0.5, abs=0.1)
    assert (inverted * full).mean() < 0
    assert resize(full, (24, 24)).abs().mean() < 0.1 * full.abs().mean()


def test_the_dial_scales_it_and_zero_is_the_result(photo):
    small = resize(photo, (24, 24))
    enlarged = resize(small, (96, 96))
    one, two = (add_detail(enlarged, small, small, photo, amount) - enlarged for amount in (1.0, 2.0))
    torch.testing.assert_close(two, 2 * one)
    assert add_detail(enlarged, small, small, photo, 0.0) is enlarged
    assert add_detail(small, small, small, small, 1.0) is small


def test_an_edit_takes_it(photo):
    blurred, fine = (stylize(photo[0], "golden", detail=amount, **SMALL).picture for amount in (0.0, 1.0))
    assert blurred.shape == fine.shape == (3, 96, 96)
    steps = [(p[..., 1:] - p[..., :-1]).abs().mean() for p in (blurred, fine, photo[0])]
    assert steps[0] < 0.7 * steps[2] < steps[1]
    with pytest.raises(InputError, match="output_size original"):
        Settings("golden", detail=1.0)
