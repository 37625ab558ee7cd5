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
        ("CLIPTextDirection", {"prompt": " \n", "source_prompt": "photo"}, "The prompt is empty. Write a phrase"),
        ("CLIPTextDirection", {"prompt": "golden", "source_prompt": ""}, "The source_prompt is empty"),
        ("CLIPTextDirection", {"prompt": "golden", "source_prompt": "photo::2"}, "it is one phrase and takes none"),
        ("CLIPTextDirection", {"prompt": "golden::x", "source_prompt": "photo"}, "give a number there"),
        ("EncodeInvertDDIM", {"steps": 10, "skip": 10, "start": "inverted"}, "skip 10 of 10 steps is not possible"),
        ("EncodeInvertDDIM", {"steps": 9, "skip": 1, "start": "inverted", "spacing": "no"}, "Respacing 'no'"),
        ("EncodeInvertDDIM", {"steps": 9, "skip": 1, "start": "else"}, "Start 'else' is unknown; choose one of"),
        ("QSAttnGuidedSampler", {"attend": "deep"}, "attend 'deep' is not understood"),
        ("QSAttnGuidedSampler", {"crop_area_min": 0.5, "crop_area_max": 0.2}, "0 < min <= max <= 1 is needed"),
    ],
)
def test_is_refused_before_anything_runs(pack, node, inputs, message):
    assert message in pack.classes[node].VALIDATE_INPUTS(**inputs)


@pytest.mark.parametrize("node", ["CLIPTextDirection", "EncodeInvertDDIM", "QSAttnGuidedSampler", "QSPromptList"])
def test_defaults_and_linked_inputs_pass(pack, node):
    import inspect

    validate = pack.classes[node].VALIDATE_INPUTS
    names = inspect.signature(validate).parameters
    assert validate(**{name: value for name, value in pack.defaults(node).items() if name in names}) is True
    assert validate(**dict.fromkeys(names)) is True  # ComfyUI gives None for what is linked


def test_a_linked_spacing_is_known_later(pack):
    """Then steps and skip alone say nothing."""
    validate = pack.classes["EncodeInvertDDIM"].VALIDATE_INPUTS
    assert validate(steps=10, skip=30, start="inverted", spacing=None) is True
