"""Named settings: each is valid, and says what its source says."""

import json

import pytest

from qs_core import demo, load_clip
from qs_core.errors import InputError
from qs_core.presets import BUILT_IN, DIFFUSEIT, FFHQ, IMAGENET, PRESETS, README, preset
from qs_core.schedule import make_schedule
from qs_core.settings import Settings
from qs_core.transfer import count_steps, step_function

# name: CLIP global, CLIP directional, contrastive, MSE, VGG, largest crop, skip; as the table has them.
TABLE = {
    "mosaic (ImageNet)": (20_000, 20_000, 500, 1000, 100, 0.3, 25),
    "golden (ImageNet)": (5000, 5000, 100, 5000, 10, 0.05, 15),
    "oil painting of flowers (ImageNet)": (20_000, 20_000, 1500, 10_000, 10, 0.05, 25),
    "snow (ImageNet)": (20_000, 20_000, 700, 10_000, 100, 0.05, 25),
    "stone wall (FFHQ)": (2000, 50_000, 500, 5000, 10, 0.1, 25),
    "portrait by Gogh (FFHQ)": (10_000, 7000, 10, 3000, 50, 0.3, 25),
    "golden (FFHQ)": (7000, 7000, 200, 0, 50, 0.05, 15),
    "marbling (FFHQ)": (20_000, 40_000, 1000, 10_000, 10, 0.3, 25),
    "a sketch with crayon (ZeCon README)": (10_000, 20_000, 500, 5000, 100, 0.3, 25),
}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid(name):
    s = Settings(**preset(name))
    assert PRESETS[name].name == name and s.prompts == tuple(filter(None, [PRESETS[name].prompt]))
    assert count_steps(make_schedule(s.steps), s.skip, s.start) > 0
    step_function(s.sampler, s.eta, s.first_step_repeats)


@pytest.mark.parametrize("name, row", TABLE.items())
def test_rows_of_the_table(name, row):
    s = Settings(**preset(name))
    weights = (s.clip_global, s.clip_directional, s.contrastive, s.mse, s.vgg)
    assert (*weights, s.crop_area[1], s.skip) == row
    assert (s.source_prompt, s.crop_area[0], s.steps, s.eta) == ("Photo", 0.01, "50", 0)
    assert (s.start, s.sampler, s.anchors) == ("zecon", "ddpm", "random")


def test_how_many_there_are_of_each_source():
    count = {source: sum(p.source == source for p in PRESETS.values()) for source in (README, IMAGENET, FFHQ)}
    assert count == {README: 1, IMAGENET: 11, FFHQ: 10}
    assert sum(p.source == DIFFUSEIT for p in PRESETS.values()) == 2
    assert {p.source for p in PRESETS.values()} == {README, IMAGENET, FFHQ, DIFFUSEIT, BUILT_IN}


def test_every_style_of_the_built_in_clip_has_a_preset_that_it_understands():
    styles = json.loads((demo.CLIP / "vocabulary.json").read_text(encoding="utf-8"))["styles"]
    own = {name: p for name, p in PRESETS.items() if p.source == BUILT_IN}
    assert set(own) == {name.replace("_", " ") for name in styles} - {"photo"}
    clip = load_clip(str(demo.CLIP))
    for name, p in own.items():
        assert p.prompt in styles[name.replace(" ", "_")]
        assert clip.encode_text(p.prompt).isfinite().all() and clip.encode_text(p.source_prompt).isfinite().all()


def test_a_preset_can_be_changed_without_changing_it_for_others():
    preset("golden (FFHQ)")["skip"] = 1
    assert preset("golden (FFHQ)")["skip"] == 15


@pytest.mark.parametrize(
    "name, message",
    [
        ("Golden", "There is no preset 'Golden'; near it are golden, golden .ImageNet., golden .FFHQ."),
        ("crayon sketch", "There is no preset 'crayon sketch'; near it are .*crayon"),
        ("xyzzy", "There is no preset 'xyzzy'; there are crayon, golden, "),
        ("", "There is no preset ''; there are crayon"),
    ],
)
def test_an_unknown_name_lists_near_ones(name, message):
    with pytest.raises(InputError, match=message):
        preset(name)
