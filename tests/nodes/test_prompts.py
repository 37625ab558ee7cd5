"""Prompt lists, and what is refused before anything is computed."""

import pytest


def test_each_line_is_a_prompt_and_a_label(pack):
    prompts, labels = pack.outputs("QSPromptList", lines="a sketch with crayon\n\n gold = golden::2 | oil painting \n")
    assert prompts == ["a sketch with crayon", "golden::2\noil painting"]
    assert labels == ["a sketch with crayon", "gold"]


def test_a_label_ends_at_an_equals_sign_with_blanks_around_it(pack):
    prompts, labels = pack.outputs("QSPromptList", lines="e=mc2 in chalk\na = b = c\ngold = golden")
    assert prompts == ["e=mc2 in chalk", "b = c", "golden"]
    assert labels == ["e=mc2 in chalk", "a", "gold"]


def test_the_default_list_is_understood_by_the_built_in_clip(pack, text):
    prompts, _ = pack.outputs("QSPromptList")
    assert len(prompts) == 4
    for prompt in prompts:
        assert pack("CLIPTextDirection", clip=text.clip, prompt=prompt).direction.prompts == (prompt,)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (" \n", "The prompt list is empty"),
        ("gold =", "In the line 'gold =': The prompt is empty"),
        ("golden::much", "In the line 'golden::much': The prompt line 'golden::much' ends in ::much"),
    ],
)
def test_lists_that_cannot_be_meant(pack, input_error, lines, message):
    with pytest.raises(input_error, match=message):
        pack.outputs("QSPromptList", lines=lines)
    assert message in pack.classes["QSPromptList"].VALIDATE_INPUTS(lines=lines)


@pytest.mark.parametrize(
    ("node", "inputs", "message"),
    [
        ("CLIPTextDirection", {"prompt": " \n"}, "The prompt is empty. Write a phrase"),
        ("CLIPTextDirection", {"prompt": "golden::x"}, "give a number there"),
        ("EncodeInvertDDIM", {"spacing": "no"}, "Respacing 'no'"),
        ("QSAttnGuidedSampler", {"attend": "deep"}, "attend 'deep' is not understood"),
    ],
)
def test_is_refused_before_anything_runs_and_that_input_alone_is_blamed(pack, node, inputs, message):
    """ComfyUI blames every input that VALIDATE_INPUTS names."""
    import inspect

    check = pack.classes[node].VALIDATE_INPUTS
    assert message in check(**inputs)
    assert set(inspect.signature(check).parameters) == set(inputs)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"source_prompt": ""}, "The source_prompt is empty"),
        ({"source_prompt": "photo::2"}, "it is one phrase and takes none"),
        ({"prompt": " "}, "The prompt is empty"),
    ],
)
def test_phrases_are_refused_before_clip_is_used(pack, input_error, inputs, message):
    with pytest.raises(input_error, match=message):
        pack("CLIPTextDirection", clip=None, **inputs)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"steps": 10, "skip": 10}, "skip 10 of 10 steps is not possible"),
        (
            {"steps": 9, "skip": 1, "start": "zecon", "spacing": "2"},
            "skip 1 of 2 steps is not possible with start zecon",
        ),
    ],
)
def test_steps_are_refused_before_the_first_is_taken(pack, input_error, model, photo, monkeypatch, inputs, message):
    monkeypatch.setattr(pack.part("nodes.host").Loaded, "hold", lambda *_: pytest.fail("began"))
    with pytest.raises(input_error, match=message):
        pack("EncodeInvertDDIM", model=model, image=photo, size=32, **inputs)


def test_crop_areas_are_refused_before_the_first_step(pack, input_error, invert, text, photo, monkeypatch):
    inversion = invert(photo)
    monkeypatch.setattr(pack.part("nodes.host").Loaded, "hold", lambda *_: pytest.fail("began"))
    with pytest.raises(input_error, match="Crop area 0.5, 0.2: give a range"):
        pack("QSAttnGuidedSampler", inversion=inversion, text=text, crop_area_min=0.5, crop_area_max=0.2)


@pytest.mark.parametrize("node", ["CLIPTextDirection", "EncodeInvertDDIM", "QSAttnGuidedSampler", "QSPromptList"])
def test_defaults_and_linked_inputs_pass(pack, node):
    import inspect

    validate = pack.classes[node].VALIDATE_INPUTS
    names = inspect.signature(validate).parameters
    assert validate(**{name: value for name, value in pack.defaults(node).items() if name in names}) is True
    assert validate(**dict.fromkeys(names)) is True  # ComfyUI gives None for what is linked
