"""Style presets: the losses are those of the library's settings, and the dials multiply them."""

import pytest
import torch


@pytest.fixture(scope="session")
def terms(pack, invert, photo, text):
    """A function: a preset's losses as terms, by the loss's type."""
    inversion = invert(photo).inversion
    base = pack.part("qs_core.settings").Settings(prompts=("x",))

    def build(losses, text=text):
        with torch.inference_mode(False):
            made = [recipe.term(base, inversion, text) for recipe in losses]
        return {type(term.loss).__name__: term for term in made}

    return build


def chosen(pack, name: str, **options) -> dict:
    names = pack.classes["QSStylePreset"].RETURN_NAMES
    return dict(zip(names, pack.outputs("QSStylePreset", style_name=name, **options), strict=True))


def test_every_preset_gives_the_terms_of_the_library(pack, model, text, terms):
    settings, presets = pack.part("qs_core.settings"), pack.part("qs_core.presets")
    assert len(presets.PRESETS) > 20
    for name in presets.PRESETS:
        wished = settings.Settings(**presets.preset(name))
        expected = settings.make_terms(wished, model.core, text.direction, 32, 32)
        out = chosen(pack, name)
        styled = text if wished.prompts else pack("QSStylePicture", clip=text.clip, image=torch.zeros(1, 8, 8, 3))
        made = terms(out["losses"], styled)
        for term in expected:
            its = made.get(type(term.loss).__name__)
            if its is None:  # the preset says nothing of it: the sampler's own stays
                assert type(term.loss).__name__ == "Range" and wished.range == settings.Settings.range
                continue
            assert its.weight == pytest.approx(term.weight), name
            for part in ("crops", "anchors"):
                assert getattr(its.loss, part, None) == getattr(term.loss, part, None), name
        assert (out["prompt"], out["source_prompt"]) == ("".join(wished.prompts), wished.source_prompt)
        assert (str(out["steps"]), out["skip"]) == (wished.steps, wished.skip)


def test_the_dials_multiply_style_and_content(pack, terms):
    plain, turned = (
        terms(chosen(pack, "mosaic (ImageNet)", **options)["losses"])
        for options in ({}, {"style": 2.0, "content": 0.5})
    )
    for name, weight in plain["CLIPLoss"].weight.items():
        assert turned["CLIPLoss"].weight[name] == 2 * weight
        assert weight > 0 or name == "clip_target"
    for loss in ("Contrastive", "MSE"):
        assert turned[loss].weight == plain[loss].weight / 2 > 0
    assert turned["Range"].weight == plain["Range"].weight


def test_what_comes_in_takes_the_place_of_the_style_s_own(pack):
    mine = pack("QSMSELoss", weight=7.0)
    losses = chosen(pack, "mosaic (ImageNet)", losses=mine)["losses"]
    assert [recipe.settings["mse"] for recipe in losses if recipe.kind == "mse"] == [7.0]
    assert {recipe.kind for recipe in losses} == {"clip", "contrastive", "mse", "range"}


def test_the_summary_tells_what_is_left_to_do(pack):
    said = chosen(pack, "stone wall (FFHQ)", style=2.0)["summary"]
    assert "Photo -> stone wall (Table 5, FFHQ)" in said
    assert (
        "clip_directional 100000, clip_global 4000, contrastive 500, mse 5000, vgg 10 (left out: turn vgg on)" in said
    )
    others = "steps 50, start zecon, sampler ddpm, eta 0.0, trust_radius 0.0, soft_clip 0.0, skip 25"
    assert f"set on the other nodes: {others}\n" in said
    assert "the other nodes: as they are" in chosen(pack, "crayon")["summary"]


def test_vgg_is_taken_along_only_where_it_is_asked_for(pack, input_error, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # where torchvision's cache is
    assert "vgg" not in {recipe.kind for recipe in chosen(pack, "mosaic (ImageNet)")["losses"]}
    assert "vgg" not in {recipe.kind for recipe in chosen(pack, "clay (FFHQ)", vgg=True)["losses"]}  # of weight 0
    with pytest.raises(input_error, match="No VGG-19 weights at"):
        chosen(pack, "mosaic (ImageNet)", vgg=True)


def test_a_preset_s_graph_gives_the_library_s_picture(pack, invert, sample, photo, text):
    out = chosen(pack, "crayon")
    direction = pack("CLIPTextDirection", clip=text.clip, prompt=out["prompt"], source_prompt=out["source_prompt"])
    result = pack("QSAttnGuidedSampler", inversion=invert(photo), text=direction, losses=out["losses"], crops=4, seed=3)
    picture = photo[0].movedim(-1, 0).contiguous().clone() * 2 - 1
    options = pack.part("qs_core.presets").preset("crayon") | {
        "steps": "6",
        "skip": 3,
        "size": 32,
        "crops": 4,
        "seed": 3,
        "clip_dtype": "float32",
    }
    prompts = options.pop("prompts")
    expected = (pack.part("qs_core.pipeline").stylize(picture, prompts, **options).picture + 1) / 2
    assert torch.allclose(result[0], expected.clamp(0, 1).movedim(0, -1), atol=1e-5)


def test_an_unknown_style_is_named_with_its_neighbours(pack):
    validate = pack.classes["QSStylePreset"].VALIDATE_INPUTS
    assert validate(style_name="mosaic") is True and validate() is True
    assert "There is no preset 'Mosaik'; near it are mosaic" in validate(style_name="Mosaik")
