"""What pictures and calls share, and what is let go: one inversion for all seeds and prompts, networks loaded once."""

import weakref

import pytest
import torch
from PIL import Image

from qs_core import InputError, Settings, Stylizer, pictures, stylize
from qs_core.pipeline import run
from qs_core.stylizer import complete

SMALL = {"size": 32, "steps": "10", "skip": 7, "crops": 2, "device": "cpu"}


@pytest.fixture
def stages():
    """Counts the steps told of each stage."""

    class Stages(dict):
        def __call__(self, stage, done, total, step):
            self[stage] = self.get(stage, 0) + 1

    return Stages()


def test_seeds_share_one_inversion(picture, stages):
    five = stylize(picture(1)[0], "a sketch with crayon", count=5, progress=stages, **SMALL)
    assert stages == {"inversion": 3, "sampling": 6}  # 3 steps; five seeds walk as four and one
    alone = stylize(picture(1)[0], "a sketch with crayon", seed=4, **SMALL)
    torch.testing.assert_close(five[4].picture, alone.picture, rtol=0, atol=1e-5)


def test_prompts_share_networks_and_inversion(picture, stages):
    stylizer, image = Stylizer(), picture(1)[0]
    first = stylize(image, "a sketch with crayon", stylizer=stylizer, progress=stages, **SMALL)
    second = stylize(image, "golden", stylizer=stylizer, progress=stages, **SMALL)
    again = stylize(image, "a sketch with crayon", stylizer=stylizer, progress=stages, **SMALL)
    assert stages == {"inversion": 3, "sampling": 9}
    assert torch.equal(first.picture, again.picture) and not torch.equal(first.picture, second.picture)
    assert torch.equal(second.picture, stylize(image, "golden", **SMALL).picture)


@pytest.mark.parametrize("change", [{"skip": 6}, {"steps": "12"}, {"start": "zecon"}, {"size": 40}])
def test_another_walk_is_inverted_anew(picture, stages, change):
    stylizer, image = Stylizer(), picture(1)[0]
    stylize(image, "golden", stylizer=stylizer, **SMALL)
    kept = stylize(image, "golden", stylizer=stylizer, progress=stages, **{**SMALL, **change})
    assert stages["inversion"] > 0
    assert torch.equal(kept.picture, stylize(image, "golden", **{**SMALL, **change}).picture)


def test_another_picture_or_a_noised_start_is_not_taken_from_another(picture, stages):
    stylizer = Stylizer()
    stylize(picture(1)[0], "golden", stylizer=stylizer, **SMALL)
    stylize(picture(2)[0], "golden", stylizer=stylizer, progress=stages, **SMALL)
    assert stages.pop("inversion") == 3
    one, other = (stylize(picture(2)[0], "golden", stylizer=stylizer, start="noised", seed=s, **SMALL) for s in (0, 1))
    assert not torch.equal(one.picture, other.picture)


def test_other_networks_are_loaded(picture):
    stylizer, image = Stylizer(), picture(1)[0]
    stylize(image, "golden", stylizer=stylizer, **SMALL)
    half = stylize(image, "golden", stylizer=stylizer, dtype="bfloat16", **SMALL)
    assert half.report["resolved"]["dtype"] == "bfloat16"
    assert torch.equal(half.picture, stylize(image, "golden", dtype="bfloat16", **SMALL).picture)


def test_the_oldest_inversion_goes_first(picture, stages):
    stylizer = Stylizer(inversions=1)
    for seed in (1, 2, 1):
        stylize(picture(seed)[0], "golden", stylizer=stylizer, progress=stages, **SMALL)
    assert stages["inversion"] == 9


@pytest.fixture
def folder(tmp_path):
    """Five small picture files."""
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        Image.new("RGB", (40, 32), (50 * number, 100, 200)).save(path)
    return paths


def test_a_folder_holds_one_picture_at_a_time(folder, monkeypatch):
    read, alive = pictures.read, weakref.WeakSet()

    def reading(path, short_side=None):
        picture = read(path, short_side)
        alive.add(picture)
        return picture

    monkeypatch.setattr(pictures, "read", reading)
    held = [len(alive) for result in run(folder, Settings("golden", **{**SMALL, "skip": 9}))]
    assert len(held) == 5 and max(held) <= 2


@pytest.mark.parametrize("broken", ["no picture", (4, 32), (400, 32)])
def test_a_file_that_its_header_refuses_stops_the_first_picture_already(folder, stages, broken):
    if isinstance(broken, str):
        folder[-1].write_text(broken)
    else:
        Image.new("RGB", broken).save(folder[-1])
    with pytest.raises(InputError, match="no picture|both sides need|at most 8:1"):
        next(run(folder, Settings("golden", **SMALL), stages))
    assert stages == {}


def test_a_batch_with_a_picture_twice_inverts_it_once(picture):
    stylizer, walked = Stylizer(), []
    stylizer.load(Settings("golden"))
    twice = stylizer.invert(picture(1, 1, 2), "10", 7, "inverted", [0, 1, 2])
    inversion = complete(twice, lambda reached: walked.append(len(reached.step.x)))
    assert walked == [2] * 3 and torch.equal(inversion.x_t[0], inversion.x_t[1])
    again = complete(stylizer.invert(picture(2), "10", 7, "inverted", [5]), lambda _: pytest.fail("walked"))
    assert torch.equal(again.x_t, inversion.x_t[2:])
