"""One generator per picture."""

import torch

from qs_core.randomness import named, normal, remember, rewind, seeded, uniform


def test_same_seed_same_draws_whoever_is_beside():
    alone = normal(torch.empty(1, 3, 4, 4), seeded([7]))
    together = normal(torch.empty(3, 3, 4, 4), seeded([1, 7, 2]))
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=0)


def test_seeds_differ():
    first, second = normal(torch.empty(2, 3, 8, 8), seeded([1, 2]))
    assert not torch.equal(first, second)


def test_every_seed_of_comfyui_is_accepted():
    assert len(seeded([0, 2**63, 2**64 - 1])) == 3


def test_normal_takes_shape_and_dtype():
    drawn = normal(torch.empty(2, 3, 5, 6, dtype=torch.float64), seeded([1, 2]))
    assert drawn.shape == (2, 3, 5, 6) and drawn.dtype == torch.float64


def test_normal_is_standard():
    drawn = normal(torch.empty(1, 100_000), seeded([3]))
    # Standard errors of mean and deviation are 0.003 and 0.002; four of them.
    assert abs(drawn.mean()) < 0.0126 and abs(drawn.std() - 1) < 0.009


def test_uniform_is_in_the_half_open_interval():
    drawn = uniform((10_000,), seeded([3, 4]))
    assert drawn.shape == (2, 10_000) and drawn.min() >= 0 and drawn.max() < 1


def test_streams_are_reproducible_and_unlike_those_of_other_names_and_seeds():
    like = torch.empty(2, 3, 8, 8)
    clip = normal(like, named([5, 6], "clip 1"))
    assert torch.equal(clip, normal(like, named([5, 6], "clip 1")))
    assert torch.equal(clip[1:], normal(like[:1], named([6], "clip 1")))
    for others in (named([5, 6], "clip 2"), named([7, 8], "clip 1"), seeded([5, 6])):
        assert not torch.equal(clip, normal(like, others))


def test_streams_of_two_names_are_independent():
    like = torch.empty(1, 10_000)
    first, second = normal(like, named([5], "start")), normal(like, named([5], "noise"))
    # The correlation of 10 000 independent pairs has a standard error of 0.01; four of them.
    assert abs((first * second).mean()) < 0.04


def test_streams_are_the_same_on_every_machine():
    """A seed's picture must not change with a release or a platform."""
    assert [g.initial_seed() for g in named([0, 2**64 - 1], "noise")] == [5733062208680567546, 2837832626756035427]


def test_rewound_generators_draw_the_same_again():
    generators = seeded([1, 2])
    uniform((3,), generators)
    states = remember(generators)
    first = uniform((5,), generators)
    uniform((7,), generators)
    rewind(generators, states)
    assert torch.equal(uniform((5,), generators), first)
