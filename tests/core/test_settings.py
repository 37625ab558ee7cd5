"""What a run's settings ask for: anchors by resolution, terms by area, device and dtype by name."""

import pytest
import torch

from qs_core.errors import InputError
from qs_core.features.clip import text_direction
from qs_core.host import choose_device
from qs_core.losses.clip import CLIPLoss
from qs_core.losses.contrastive import Contrastive
from qs_core.losses.layers import choose_anchors
from qs_core.losses.pixel import MSE, Range
from qs_core.settings import Settings, make_terms


class TestAnchors:
    """The calm network's content layers have 32², 32² and 16² positions on a picture of 32 px."""

    def test_the_two_deepest_layers_attend_by_default(self, calm):
        assert choose_anchors(calm, 32, 32, "global").attend == {1, 2}

    @pytest.mark.parametrize(
        "attend, layers", [((32,), {0, 1}), ((16,), {2}), ((16, 32), {0, 1, 2}), ("all", {0, 1, 2})]
    )
    def test_layers_are_named_by_resolution(self, calm, attend, layers):
        assert choose_anchors(calm, 32, 32, "local", attend=attend).attend == layers

    def test_a_resolution_is_the_short_side(self, calm):
        assert choose_anchors(calm, 64, 32, "global", attend=(16,)).attend == {2}

    def test_a_resolution_that_there_is_not(self, calm):
        with pytest.raises(InputError, match="No layer has resolution 8; at 32x32 there are 32, 16, or all"):
            choose_anchors(calm, 32, 32, "global", attend=(8,))

    def test_more_anchors_than_any_layer_has_positions(self, calm):
        assert choose_anchors(calm, 32, 32, "global", 1024).number == 1024
        with pytest.raises(InputError, match="1025 anchors: the largest map of a 32x32 picture has 1024 positions"):
            choose_anchors(calm, 32, 32, "global", 1025)


class TestTerms:
    def terms(self, calm, tiny_clip, height=256, width=256, **options):
        settings = Settings(("gold",), **options)
        made = make_terms(settings, calm, text_direction(tiny_clip, ["gold"]), height, width)
        return {type(term.loss): term for term in made}

    def test_weights_are_quoted_at_256_pixels(self, calm, tiny_clip):
        weights = {"clip_global": 1.0, "clip_directional": 2.0, "contrastive": 3.0, "mse": 4.0, "range": 5.0}
        terms = self.terms(calm, tiny_clip, **weights)
        assert terms[CLIPLoss].weight == {"clip_global": 1, "clip_directional": 2, "clip_target": 0}
        assert (terms[Contrastive].weight, terms[MSE].weight, terms[Range].weight) == (3, 4, 5)

    def test_and_follow_the_area(self, calm, tiny_clip):
        quarter, full = self.terms(calm, tiny_clip, 64, 256), self.terms(calm, tiny_clip)
        for loss in (Contrastive, MSE, Range):
            assert quarter[loss].weight == full[loss].weight / 4
        assert quarter[CLIPLoss].weight == {name: w / 4 for name, w in full[CLIPLoss].weight.items()}

    def test_weight_0_leaves_an_inactive_term(self, calm, tiny_clip):
        terms = self.terms(calm, tiny_clip, clip_global=0.0, clip_directional=0.0, mse=0.0)
        assert not terms[CLIPLoss].active and not terms[MSE].active and terms[Range].active


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    for name in ("cuda:99", "toaster"):
        with pytest.raises(InputError, match=f"Device '{name}' is not available here"):
            choose_device(name)
