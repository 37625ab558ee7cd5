"""A whole restyling against a stored picture: inversion, every loss that needs no download, blend map and composition.

`python tests/core/test_end_to_end.py` writes golden/end_to_end.npz anew, after a change of pictures that is meant.
"""

import math
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from qs_core import unets
from qs_core.features.clip import CLIP, text_direction
from qs_core.model import DiffusionModel
from qs_core.settings import Settings, make_terms
from qs_core.stylizer import Stylizer, complete

FILE = Path(__file__).parents[1] / "golden" / "end_to_end.npz"
WALKS = {
    "ddim": {"trust_radius": 0.0},
    "ddpm": {"trust_radius": 0.0, "sampler": "ddpm", "start": "zecon", "anchors": "random"},
    "masked": {"trust_radius": 0.0, "strength": 0.6, "eta": 0.0, "through_unet": False, "final_crops": 2},
    "bounded": {"trust_radius": 0.02, "plain_below": 0.0},
    "dequantized": {"trust_radius": 0.0, "dequantize": True},
}
WEIGHTS = {"clip_global": 15.0, "clip_directional": 15.0, "contrastive": 3.0, "mse": 100.0, "range": 20.0}
# Float32 sums in another order, through six guided steps: measured 4e-4 for noise of 3e-7 in each x0. A pixel of
# 8 bits is 8e-3, the CLIP losses alone make a mean difference of 1e-2.
SAME = {"rtol": 0, "atol": 2e-3}


def waves(network: torch.nn.Module) -> torch.nn.Module:
    """The network with weights that no random generator made, so that every release of torch has the same."""
    for number, parameter in enumerate(network.parameters()):
        places = torch.arange(parameter.numel(), dtype=torch.float64).view(parameter.shape)
        scale = 0.4 / math.sqrt(parameter[0].numel()) if parameter.ndim > 1 else 0.1
        parameter.data = (scale * torch.sin(places * 1.7 + number)).float() + (parameter.ndim == 1)
    return network.eval().requires_grad_(False)


def restyled(name: str) -> torch.Tensor:
    """(2, 3, 32, 32) of two pictures by golden and made-up weights."""
    with np.load(FILE.with_name("adm_scale_shift.npz"), allow_pickle=False) as file:
        state = {k.removeprefix("weights/"): torch.from_numpy(file[k]).float() for k in file.files if "weights/" in k}
    config = unets.read_config(state, "golden", num_head_channels=16)
    model = DiffusionModel(unets.build(config, state, "golden"), variance="learned")
    vision = {"layers": 1, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32}
    reading = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    network = waves(open_clip.model.CLIP(embed_dim=16, vision_cfg=vision, text_cfg=reading))
    clip = CLIP(network, open_clip.SimpleTokenizer(), 32, (0.5,) * 3, (0.5,) * 3, "waves")
    y, x = torch.meshgrid(torch.linspace(0, 6, 32), torch.linspace(0, 6, 32), indexing="ij")
    colours = [torch.stack([torch.sin(k * y), torch.cos(x - y), torch.sin(k * x) * torch.cos(y)]) for k in (1, 2)]
    mask = ((x + y) / 12)[None, None] if name == "masked" else None
    weights = {name: 64 * value for name, value in WEIGHTS.items()}  # from 32x32 to 256x256 pixels
    fixed = {"soft_clip": 0.0, "dequantize": False, "steps": "50", "skip": 44, "crops": 4}
    fixed |= {"attend": "all", "mse_chroma": 1.0}
    s = Settings("gold", **{**fixed, **weights, **WALKS[name]})
    stylizer = Stylizer(model)
    prepared = stylizer.prepare(torch.stack(colours), 32, "pad")
    blend = prepared.blend(s.strength, mask)
    inversion = complete(stylizer.invert(prepared.source, s.steps, s.skip, s.start, [3, 4], dequantize=s.dequantize))
    terms = make_terms(s, model, text_direction(clip, s.prompts, s.source_prompt), 32, 32)
    return prepared.finish(complete(stylizer.guide(inversion, terms, s, [3, 4], blend)), blend, "original")


@pytest.mark.parametrize("name", WALKS)
def test_it_is_the_stored_picture(golden, name):
    stored, found = golden("end_to_end")[name], restyled(name)
    torch.testing.assert_close(found, stored, **SAME)
    assert 0.02 < stored.std() < 3 and (stored[0] - stored[1]).abs().mean() > 0.1


if __name__ == "__main__":
    np.savez_compressed(FILE, **{name: restyled(name).numpy() for name in WALKS})
    sys.exit(f"written: {FILE}")
