"""What a node's method is given: left out as in the menu, linked as typed."""

import inspect
import logging

import pytest
import torch
from PIL import Image


@pytest.fixture
def received(pack, monkeypatch):
    """A function: what a node's own method gets of inputs that come in."""
    completed = pack.part("nodes.inputs").completed

    def receive(node, **inputs):
        cls = pack.classes[node]
        method = inspect.unwrap(getattr(cls, cls.FUNCTION))

        def spy(self, **given):
            return given

        spy.__signature__ = inspect.signature(method)
        return completed(cls, spy)(cls(), **inputs)

    return receive


def test_what_is_left_out_has_the_widget_s_default(pack, received):
    """Of every node, whatever its method's own defaults or the library's are."""
    for node, cls in pack.classes.items():
        declared = cls.INPUT_TYPES()
        required = {name: spec[1].get("default") for name, spec in declared["required"].items()}
        optional = {n: spec[1]["default"] for n, spec in declared.get("optional", {}).items() if "default" in spec[1]}
        if getattr(cls, "INPUT_IS_LIST", False):
            required, optional = ({n: [value] for n, value in some.items()} for some in (required, optional))
        given = received(node, **{name: value for name, value in required.items() if value not in (None, [None])})
        assert {name: given.get(name) for name in optional} == optional, node


def test_output_size_left_out_is_the_original_s(pack, invert, text, photo):
    """As an API call may send it; the library's own default is the network's."""
    inversion = invert(torch.nn.functional.interpolate(photo.movedim(-1, 1), (48, 48)).movedim(1, -1))
    sampler = pack.classes["QSAttnGuidedSampler"]
    required = {name: spec[1].get("default") for name, spec in sampler.INPUT_TYPES()["required"].items()}
    with torch.inference_mode():
        drawn, _ = sampler().sample(**required | {"inversion": inversion, "text": text}, crops=2)
    assert drawn.shape == (1, 48, 48, 3)


@pytest.mark.parametrize(
    "node, inputs, message",
    [
        ("QSAttnGuidedSampler", {"contrastive": -300.0}, r"contrastive is -300\.0 by a link; a number from 0\.0 to"),
        ("QSAttnGuidedSampler", {"seed": -5}, r"seed is -5 by a link; a whole number from 0 to 18446744073709551615"),
        ("QSAttnGuidedSampler", {"strength": float("nan")}, r"strength is nan by a link"),
        ("QSAttnGuidedSampler", {"crops": 2.5}, r"crops is 2\.5 by a link; a whole number from 1 to 1024"),
        ("QSAttnGuidedSampler", {"sampler": "euler"}, r"sampler is 'euler' by a link; one of ddpm, ddim is needed"),
        ("EncodeInvertDDIM", {"steps": 1001}, r"steps is 1001 by a link; a whole number from 2 to 1000 is needed"),
        ("QSMSELoss", {"weight": -1.0}, r"weight is -1\.0 by a link"),
        ("CLIPTextDirection", {"prompt": 3}, r"prompt is 3 by a link; a text is needed"),
        ("CLIPTextDirection", {"templates": "yes"}, r"templates is 'yes' by a link; true or false is needed"),
        ("QSCompareGrid", {"columns": [0, 65]}, r"columns is 65 by a link; a whole number from 0 to 64"),
        ("QSBeforeAfter", {"position": 1.5}, r"position is 1\.5 by a link"),
    ],
)
def test_a_linked_value_is_held_to_the_widget_s_range(received, input_error, node, inputs, message):
    with pytest.raises(input_error, match=message):
        received(node, **inputs)


def test_both_ends_of_every_range_are_taken(pack, received):
    for node in pack.classes:
        lists = getattr(pack.classes[node], "INPUT_IS_LIST", False)
        for name, (_, options) in pack.inputs(node).items():
            for value in [options[end] for end in ("min", "max") if end in options]:
                received(node, **{name: [value] if lists else value})


def test_a_black_mask_is_told(pack, invert, sample, photo, caplog):
    inversion = invert(photo)
    drawn = sample(inversion, mask=torch.zeros(1, 64, 64))
    assert torch.equal(drawn, photo)
    assert "The mask is black: the picture stays as it is." in caplog.text and "MaskEditor" in caplog.text


def test_a_bypassed_sampler_has_a_photo_to_pass_on(pack):
    """ComfyUI passes an output the first linked input of its type; the sampler has one, and the templates link it."""
    cls = pack.classes["QSAttnGuidedSampler"]
    assert [name for name, spec in pack.inputs("QSAttnGuidedSampler").items() if spec[0] == "IMAGE"] == ["image"]
    assert cls.RETURN_TYPES == ("IMAGE", "IMAGE")


def test_a_sample_photo_is_the_file_s_to_the_last_value(pack):
    """Also as Save Image stores it, which cuts off what is behind the point."""
    for name, path in pack.part("qs_core.demo").PICTURES.items():
        image = pack("QSSampleImage", picture=name)
        file = torch.frombuffer(bytearray(Image.open(path).convert("RGB").tobytes()), dtype=torch.uint8)
        assert torch.equal((255.0 * image).to(torch.uint8).flatten(), file), name
        assert torch.equal(image.flatten(), file.float() / 255), name


class Cancelled(BaseException):
    """As ComfyUI's own, which is no Exception in its newer versions."""


class TestAttentive:
    @pytest.fixture
    def host(self, pack, monkeypatch):
        """ComfyUI's host, which cancels at the n-th question of its counter, and never where that is 0."""
        host, asked = pack.part("nodes.host").ComfyHost, []

        def check(_):
            asked.append(1)
            if len(asked) == check.last:
                raise Cancelled

        check.last = 0
        monkeypatch.setattr(host, "check_cancelled", check)
        check.asked = asked
        return check

    def test_it_stops_at_any_operation_also_in_the_backward_pass(self, pack, host, invert, sample, photo, monkeypatch):
        monkeypatch.setattr(pack.part("nodes.attentive"), "SHORT", -1.0)  # every step is a long one
        inversion = invert(photo)
        host.asked.clear()
        whole = sample(inversion)
        assert len(host.asked) > 1000
        backward = []
        grad = torch.autograd.grad

        def watched(*args, **kwargs):
            backward.append(len(host.asked))
            got = grad(*args, **kwargs)
            backward.append(len(host.asked))
            return got

        monkeypatch.setattr(torch.autograd, "grad", watched)
        host.asked.clear()
        assert torch.equal(sample(inversion), whole)
        began, ended = backward[:2]
        assert ended - began > 50  # asked between its operations
        for last in (5, began - 3, (began + ended) // 2, backward[-1] - 3):
            host.asked.clear()
            host.last = last
            with pytest.raises(Cancelled):
                sample(inversion)
            assert len(host.asked) == last
        host.last = 0
        assert torch.equal(sample(inversion), whole)  # nothing is left behind

    def test_short_steps_are_left_alone(self, pack, host, invert, photo, monkeypatch):
        monkeypatch.setattr(pack.part("nodes.attentive"), "SHORT", 100.0)
        invert(photo, steps=3, skip=2)
        first = len(host.asked)
        host.asked.clear()
        invert(photo, steps=12, skip=2)
        assert len(host.asked) < first + 12

    def test_the_cost_is_said(self, invert, photo, caplog):
        with caplog.at_level(logging.INFO):
            invert(photo.repeat(2, 1, 1, 1), steps=6, skip=3)
        said = [
            record.getMessage() for record in caplog.records if record.getMessage().startswith("QS: Invert Image: ")
        ]
        assert said[0].startswith("QS: Invert Image: 2 pictures at 32x32, about 0.0 GB beside the weights.")
        assert " s a step, about " in said[1] and len(said) == 2


def test_attention_in_parts_is_attention(pack, monkeypatch):
    adm = pack.part("qs_core.unets.adm")
    q, k, v = torch.randn(3, 1, 2, 50, 16).unbind()
    whole = adm.attended(q, k, v)
    monkeypatch.setattr(adm, "PAIRS", 50 * 7)
    torch.testing.assert_close(adm.attended(q, k, v), whole)


def test_errors_are_named_without_the_pack_s_path(pack, input_error):
    assert f"{input_error.__module__}.{input_error.__qualname__}" == "QS.InputError"
