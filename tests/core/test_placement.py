"""Whether all is on the model's device, without a GPU: fake tensors know their device, and refuse to mix two.

torch's FakeTensorMode takes "cuda" for a device and computes shapes alone. What reads a value has a stand-in: checks of
finite values, the share of a step, and the gradient, as a backward pass wants a real device.
"""

import open_clip
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from qs_core import transfer
from qs_core.anchors import KINDS, Anchors
from qs_core.blend import BlendMap
from qs_core.crops import Crops
from qs_core.features.clip import CLIP, TextDirection
from qs_core.finite import Checks
from qs_core.host import LocalHost
from qs_core.losses.base import Term
from qs_core.losses.clip import CLIPLoss
from qs_core.losses.contrastive import content_term
from qs_core.losses.pixel import MSE, Range
from qs_core.model import DiffusionModel
from qs_core.samplers import ddim_step, ddpm_step
from qs_core.settings import Settings
from qs_core.stylizer import Stylizer, complete
from qs_core.unets.adm import ADMConfig, ADMUNet

CUDA = torch.device("cuda", 0)


class Blind(LocalHost):
    """A host that has no device to ask."""

    def free_memory(self, device):
        return None


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(Checks, "settle", lambda checks: None)
    monkeypatch.setattr(torch.autograd, "grad", lambda of, at, *_, **__: [torch.empty_like(x) for x in _list(at)])
    monkeypatch.setattr(transfer, "step_share", lambda blend, steps: torch.full((1, 1, 32, 32), 0.5))
    monkeypatch.setattr(transfer, "check", lambda blend, source: None)
    with FakeTensorMode() as mode:
        yield mode


def _list(tensors):
    return [tensors] if isinstance(tensors, torch.Tensor) else list(tensors)


@pytest.fixture
def model(fake):
    with CUDA:
        network = ADMUNet(ADMConfig(32, (1, 2), 1, (2,), 6, True, True, num_head_channels=32))
    return DiffusionModel(network.eval().requires_grad_(False))


@pytest.fixture
def text(fake):
    vision = {"layers": 1, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32}
    reading = {"context_length": 77, "vocab_size": 100, "width": 16, "heads": 2, "layers": 1}
    with CUDA:
        network = open_clip.model.CLIP(embed_dim=16, vision_cfg=vision, text_cfg=reading).eval().requires_grad_(False)
        embeddings = torch.zeros(16), torch.zeros(2, 16), torch.ones(2)
    clip = CLIP(network, None, 32, (0.5,) * 3, (0.5,) * 3, "tiny")
    return TextDirection(clip, *embeddings, "photo", ("gold", "ink"))


def test_fake_tensors_refuse_a_mix(fake):
    with pytest.raises(RuntimeError, match="same device|found two different devices"):
        torch.zeros(2, device=CUDA) + torch.zeros(2)


@pytest.mark.parametrize("start", transfer.STARTS)
def test_the_inversion(model, start):
    reached = complete(Stylizer(model, Blind(), 0).invert(torch.zeros(3, 3, 32, 32), "50", 44, start, [0, 1, 2]))
    assert reached.x_t.device.type == "cpu" and reached.on(CUDA).x_t.device == CUDA


@pytest.mark.parametrize("kind", KINDS)
def test_each_selector(model, kind):
    source = torch.zeros(2, 3, 32, 32, device=CUDA)
    anchors = Anchors(kind, 16, frozenset({0, 1, 2}))
    for features, selection in zip(model.features(source), anchors.select(model.features(source)), strict=True):
        route = selection.route if selection else anchors.draw(features, [torch.Generator(), torch.Generator()])
        assert route(features).device == CUDA


@pytest.mark.parametrize("through_unet", [True, False])
@pytest.mark.parametrize("sampler", transfer.SAMPLERS)
def test_a_guided_walk_under_every_loss_and_a_mask(model, text, sampler, through_unet):
    stylizer, s = Stylizer(model, Blind(), 0), Settings("", sampler=sampler, through_unet=through_unet)
    inversion = complete(stylizer.invert(torch.zeros(2, 3, 32, 32), "50", 47, "inverted", [0, 1]))
    anchors = Anchors("global", 16, frozenset({1}))
    clip = Term({"clip_global": 1.0, "clip_directional": 1.0}, CLIPLoss(text, Crops(4)))
    terms = (clip, content_term(model, 1.0, anchors), Term(1.0, MSE()), Term(1.0, Range()))
    blend = BlendMap(torch.ones(2, 1, 32, 32), torch.ones(2, 1, 32, 32))
    seen = []
    drawn = complete(stylizer.guide(inversion, terms, s, [0, 1], blend), lambda reached: seen.append(reached.step))
    assert len(seen) == 3 and all(step.x.device == CUDA for step in seen) and drawn.device.type == "cpu"
    assert all(value.device == CUDA for step in seen for value in step.losses.values())
    assert set(seen[0].losses) == {"clip_global", "clip_directional", "contrastive", "mse", "range"}


@pytest.mark.parametrize("step", [ddpm_step, ddim_step(0.5)])
def test_each_step(model, step):
    x, noise = torch.zeros(2, 3, 32, 32, device=CUDA), torch.zeros(2, 3, 32, 32, device=CUDA)
    schedule = model.schedule("50")
    assert step(schedule, x, model.predict(x, schedule, 10), x, 10, noise).device == CUDA
