"""QSRestyle: the same picture as the line of nodes, from fewer inputs."""

import pytest
import torch

QUICK = {"size": 16, "seed": 3, "style": 1.5, "content": 0.5}


@pytest.fixture
def quick(pack, monkeypatch):
    """Few steps, for the node and for the line."""
    monkeypatch.setitem(pack.part("nodes.restyle").DEFAULTS, "steps", "4")
    monkeypatch.setitem(pack.part("nodes.restyle").DEFAULTS, "skip", 2)
    return {"steps": 4, "skip": 2}


def test_it_is_the_line_of_nodes(pack, photo, quick):
    mask = torch.zeros(1, 32, 32)
    mask[:, :16] = 1
    drawn = pack("QSRestyle", image=photo, known_style="oil", mask=mask, **QUICK)
    inversion = pack("EncodeInvertDDIM", model=pack("LoadDiffusionModel"), image=photo, size=QUICK["size"], **quick)
    text = pack("CLIPTextDirection", clip=pack("LoadOpenCLIP"), prompt="an oil painting")
    dials = {name: QUICK[name] for name in ("seed", "style", "content")}
    line = pack("QSAttnGuidedSampler", inversion=inversion, text=text, mask=mask, **dials)
    assert torch.equal(drawn, line) and drawn.shape == photo.shape


def test_own_words_take_the_place_of_the_known_style(pack, photo, quick):
    drawn = [
        pack("QSRestyle", image=photo, known_style=known, phrase=phrase, **QUICK)
        for known, phrase in (("crayon", "an oil painting"), ("oil", " "), ("crayon", ""))
    ]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_linked_networks_are_used(pack, photo, model, monkeypatch, quick):
    restyle = pack.part("nodes.restyle")
    monkeypatch.setattr(restyle, "built_in", None)
    assert pack("QSRestyle", image=photo, model=model, clip=pack("LoadOpenCLIP"), **QUICK).shape == photo.shape


def test_words_that_mean_nothing_are_refused_before_anything_is_computed(pack, photo, input_error, monkeypatch):
    monkeypatch.setattr(pack.classes["EncodeInvertDDIM"], "invert", None)
    with pytest.raises(input_error, match="Did you mean watercolour"):
        pack("QSRestyle", image=photo, phrase="watercolur", **QUICK)
    validate = pack.classes["QSRestyle"].VALIDATE_INPUTS
    assert (
        "give a number" in validate("oil::x")
        and validate("") is True
        and validate(None) is True
        and validate("oil") is True
    )


def test_every_known_style_is_known(pack):
    clip = pack("LoadOpenCLIP").core
    for phrase in pack.part("qs_core.presets").STYLES.values():
        clip.check(phrase, [phrase])


@pytest.mark.parametrize(
    "shape, size, said",
    [((96, 64), 32, "64x96 pixels. It is restyled at 32x48 and enlarged 2.0 times"), ((32, 32), 32, "")],
)
def test_a_picture_that_loses_detail_is_told_so_with_the_way_out(pack, model, caplog, shape, size, said):
    image = torch.rand(1, *shape, 3)
    pack("EncodeInvertDDIM", model=model, image=image, size=size, steps=2, skip=1)
    assert (said in caplog.text) and ("set size to 64" in caplog.text) == bool(said)


def test_the_sentence_stands_on_the_node_that_runs(pack, monkeypatch):
    """As ComfyUI 0.3.64 and 0.33.0 take it: a text for a node's id."""
    import sys
    from types import SimpleNamespace

    progress, told = pack.part("nodes.progress"), []
    server = SimpleNamespace(instance=SimpleNamespace(send_progress_text=lambda *said: told.append(said)))
    utils = SimpleNamespace(get_executing_context=lambda: SimpleNamespace(node_id="7"))
    monkeypatch.setattr(progress, "hosted", lambda: True)
    monkeypatch.setitem(sys.modules, "server", SimpleNamespace(PromptServer=server))
    monkeypatch.setitem(sys.modules, "comfy_execution", SimpleNamespace(utils=utils))
    monkeypatch.setitem(sys.modules, "comfy_execution.utils", utils)
    progress.say("It looks soft.")
    assert told == [("It looks soft.", "7")]
