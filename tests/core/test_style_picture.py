"""A style given as a picture: its colours, its direction, and the command line."""

import json

import pytest
import torch
from einops import rearrange

from qs_core import InputError, demo, pictures, stylize
from qs_core.__main__ import main
from qs_core.colour import Colours, palette, repaint, transport
from qs_core.features.clip import text_direction
from qs_core.losses.base import View
from qs_core.losses.clip import CLIPLoss, directional_distance
from qs_core.randomness import seeded

QUICK = {"size": 32, "steps": "6", "skip": 3, "crops": 4}
SWIRLS, GLASS = demo.STYLE_PICTURES["swirls"], demo.STYLE_PICTURES["stained_glass"]


class TestColours:
    def test_the_map_is_the_references(self, golden):
        """color-matcher's MKL, before it stretches the result once more."""
        figures = golden("diffuseit_mkl")
        picture, reference, expected = (
            rearrange(figures[f"{name}/f64"], "h w c -> c h w")
            for name in ("picture_stretched", "reference_stretched", "transferred")
        )
        own, target = palette([picture]), palette([reference])
        moved = torch.einsum(
            "ij,jhw->ihw", transport(own.covariance, target.covariance), picture - own.mean[:, None, None]
        )
        torch.testing.assert_close(moved + target.mean[:, None, None], expected, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("share, whose", [(0.0, "photo"), (1.0, "style")])
    def test_the_dial_s_ends_are_the_photo_s_palette_and_the_style_s(self, picture, share, whose):
        palettes = {"photo": palette([0.3 * picture(1)[0]]), "style": palette([0.2 * picture(2)[0]])}
        given = Colours(palettes["style"], share).give(0.5 * picture(3), 0.3 * picture(1), 1.0)
        reached = palette([given[0]])
        torch.testing.assert_close(reached.mean, palettes[whose].mean, rtol=0, atol=1e-6)
        torch.testing.assert_close(reached.covariance, palettes[whose].covariance, rtol=1e-5, atol=1e-7)

    def test_where_the_blend_map_is_0_nothing_moves(self, picture):
        result, blend = picture(1, 2), torch.zeros(1, 1, *picture(1).shape[-2:])
        blend[..., 5:] = 1.0
        given = Colours(palette([picture(4)[0]]), 1.0).give(result, picture(3, 5), blend)
        assert torch.equal(given[..., :5], result[..., :5]) and not torch.allclose(given[..., 5:], result[..., 5:])

    def test_each_of_a_batch_is_as_alone(self, picture):
        colours, results, photos = Colours(palette([picture(4)[0]]), 0.7), picture(1, 2), picture(3, 5)
        assert torch.equal(colours.give(results, photos, 1.0)[1:], colours.give(results[1:], photos[1:], 1.0))

    def test_a_grey_or_flat_photo_is_moved_without_noise(self, picture):
        target = palette([0.3 * picture(2)[0]])
        grey = 0.5 * picture(1)[:, :1].expand(-1, 3, -1, -1)[0]
        for photo in (grey, torch.zeros(3, 8, 8)):
            moved = repaint(photo, target)
            assert moved.isfinite().all()
        assert (moved - target.mean.float()[:, None, None]).abs().max() < 1e-6  # flat stays flat

    def test_several_pictures_count_as_all_their_pixels_together(self, picture):
        first, second = picture(1)[0], picture(2)[0]
        both, joined = palette([first, second]), torch.cat([first, second], dim=-1)
        assert torch.allclose(both.mean, palette([joined]).mean)
        torch.testing.assert_close(both.covariance, palette([joined]).covariance, rtol=1e-2, atol=0)
        torch.testing.assert_close(palette([first, second], [1.0, 1e-12]).mean, palette([first]).mean)


class TestDirection:
    @pytest.fixture
    def clip(self, tiny_clip):
        return tiny_clip

    def test_a_picture_s_direction_begins_at_the_source_s_patches(self, clip, picture):
        """An estimate that is the style picture itself lies along it; the source itself gives no direction."""
        source, style = picture(1), picture(2)
        loss = CLIPLoss(text_direction(clip, (), pictures=[style[0]]))
        bound = loss.against(source, seeded([0]))
        patches = loss._patches([*style, *source])
        torch.testing.assert_close(bound.direction[0, 0, 0], patches[0] - patches[1])
        torch.testing.assert_close(bound.origin[0, 0, 0], patches[1])
        assert directional_distance(patches[0] - bound.origin[0], bound.direction[0]).item() < 1e-5
        at = {
            name: bound(View(image, image, 400))["clip_directional"].item()
            for name, image in (("style", style), ("source", source))
        }
        assert at["style"] < at["source"]

    def test_phrases_are_what_they_were_beside_a_picture_of_little_weight(self, clip, picture):
        phrase = text_direction(clip, ["a sketch"])
        values = [
            CLIPLoss(text).against(picture(1), seeded([0]))(View(picture(3), picture(3), 400))
            for text in (phrase, phrase.joined([picture(2)[0]], 1e-6))
        ]
        for name in values[0]:
            torch.testing.assert_close(values[0][name], values[1][name], rtol=1e-4, atol=1e-5)

    def test_weights_are_of_phrases_and_pictures_together(self, clip, picture):
        shown = [picture(2)[0], picture(3)[0]]
        text = text_direction(clip, ["a sketch"], weights=[2.0], pictures=shown, picture_weights=[1.0, 1.0])
        assert text.weights.tolist() == [0.5, 0.25, 0.25]
        torch.testing.assert_close(text_direction(clip, ["a sketch"]).joined(shown, 1.0).weights, text.weights)

    @pytest.mark.parametrize(
        "given, message",
        [
            ({}, "No prompt was given"),
            ({"pictures": [torch.zeros(3, 4, 40)]}, "The style picture is 40x4; both sides need at least 8"),
            ({"pictures": [torch.zeros(3, 9, 9)], "picture_weights": [0.0]}, "sum to 0"),
            ({"pictures": [torch.zeros(3, 9, 9)] * 2, "picture_weights": [1, 0]}, "weight that is not above 0"),
            ({"pictures": [torch.zeros(3, 9, 9)], "picture_weights": [1, 2]}, "1 style pictures have 2 weights"),
        ],
    )
    def test_what_gives_no_style_is_refused(self, clip, given, message):
        with pytest.raises(InputError, match=message):
            text_direction(clip, (), **given)


def test_the_walk_goes_towards_the_picture_and_strength_0_is_the_photo():
    photo = pictures.fit(pictures.read(demo.PICTURES["cat"])[None], 64, 8, "crop")[0][0]
    given = {"style_images": GLASS, "size": 64, "steps": "16", "skip": 8, "crops": 8}
    result = stylize(photo, **given)
    values = [row["clip_global"][0] for row in result.report["losses"]]
    assert values[-1] < 0.6 * values[0], values
    assert torch.equal(stylize(photo, **given, strength=0.0).picture, photo)


def test_the_command_line_is_python(tmp_path):
    photo, out = str(demo.PICTURES["cat"]), tmp_path / "out.png"
    options = [part for name, value in QUICK.items() for part in (f"--{name}", str(value))]
    style = ["--style-image", str(SWIRLS), "--style-image", str(GLASS), "--style-weight", "3", "--style-weight", "1"]
    report = tmp_path / "report.json"
    command = ["stylize", photo, *style, "--colour-transfer", "0.25", "--output", str(out), "--report", str(report)]
    assert main([*command, *options]) == 0
    python = stylize(
        photo, style_images=[SWIRLS, pictures.read(GLASS)], style_weights=[3, 1], colour_transfer=0.25, **QUICK
    )
    assert torch.equal(pictures.read(out), pictures.from_image(python.image))
    assert json.loads(report.read_text())["settings"]["style_images"] == [str(SWIRLS), str(GLASS)]
    assert python.report["settings"]["style_images"] == (str(SWIRLS), "Tensor")


def test_several_results_are_what_each_is_alone():
    given = {"style_images": SWIRLS, "clip_dtype": "float32", **QUICK}
    both, alone = stylize(demo.PICTURES["cat"], count=2, **given), stylize(demo.PICTURES["cat"], seed=1, **given)
    torch.testing.assert_close(both[1].picture, alone.picture, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "style, said",
    [
        (["--style-image", "missing.png"], "missing.png"),
        (["--style-image", str(SWIRLS), "--colour-transfer", "2"], "colour_transfer 2"),
        ([], "a --style-image"),
    ],
)
def test_bad_input_is_refused_at_once(tmp_path, capsys, style, said):
    assert main(["stylize", str(demo.PICTURES["cat"]), *style, "--output", str(tmp_path / "o.png")]) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())
