"""Soft clipping: what is beyond the range comes back in order, and what is within stays."""

import pytest
import torch
from torch.testing import assert_close

from qs_core.colour import soft_clip
from qs_core.errors import InputError
from qs_core.settings import Settings


def ramp(low: float, high: float) -> torch.Tensor:
    return torch.linspace(low, high, 3 * 32 * 32).reshape(1, 3, 32, 32)


def test_what_is_within_the_range_stays():
    assert_close(soft_clip(ramp(-1, 1), 0.2), ramp(-1, 1))


def test_no_share_leaves_all():
    beyond = ramp(-1.5, 1.5)
    assert soft_clip(beyond, 0.0) is beyond


@pytest.mark.parametrize("share", [0.05, 0.2, 1.0])
def test_the_order_of_values_is_kept_and_all_but_the_extremes_come_back(share):
    given = ramp(-1.4, 1.7)
    clipped = soft_clip(given, share)
    assert (clipped.flatten().diff() > 0).all()
    assert (clipped.abs() > 1).float().mean() <= 0.003  # a thousandth at either end, rounded up
    inner = given.abs() < 1 - share
    assert torch.equal(clipped[inner], given[inner])


def test_an_end_that_nothing_exceeds_stays():
    given = ramp(-1.4, 1)
    clipped = soft_clip(given, 0.2)
    assert_close(clipped[given > -0.8], given[given > -0.8])
    assert (clipped[given < -1] > given[given < -1]).all()


def test_each_picture_has_its_own_extreme():
    two = torch.cat([ramp(-1, 1), ramp(-1.4, 1.7)])
    assert torch.equal(soft_clip(two, 0.2)[1:], soft_clip(two[1:], 0.2))
    assert_close(soft_clip(two, 0.2)[:1], two[:1])


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_0_to_1_is_refused(share):
    with pytest.raises(InputError, match="soft_clip"):
        Settings(prompts=("gold",), soft_clip=share)
