"""Ourselves on a case: the library's own loaders and functions on the case's random weights."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from qs_core.blend import BlendMap
from qs_core.features.clip import text_direction
from qs_core.features.openclip import load_clip
from qs_core.features.vgg import load_vgg
from qs_core.host import LocalHost
from qs_core.losses.contrastive import Contrastive
from qs_core.losses.description import REFERENCE_AREA
from qs_core.model import load_model
from qs_core.precision import DTYPES, choose_clip_dtype
from qs_core.randomness import batch_seeds
from qs_core.settings import Settings, make_terms
from qs_core.stylizer import Stylizer, complete

from .cases import CROP_AREA, REFERENCE_LAYERS, WEIGHTS, Case, clip_name, config_of, picture


class WholeBatch(LocalHost):
    """A host that says to have memory for any batch, so that the case's own batch is measured."""

    def free_memory(self, device: torch.device) -> int:
        return 2**60


class Ours:
    """The library on a case; `begin` walks to where guided sampling starts and gives its steps, one at a time."""

    def __init__(self, case: Case, weights: Path):
        self.case, self.device = case, torch.device(case.device)
        scale = REFERENCE_AREA / case.size**2  # undoes the library's own, so that the weights are the README's
        base = {name: scale * weight for name, weight in WEIGHTS.items()}
        base |= {"crops": case.crops, "crop_area": CROP_AREA, "anchors": case.anchors, "steps": case.steps}
        base |= {"num_anchors": case.num_anchors, "skip": case.skip, "sampler": "ddpm", "dtype": case.dtype}
        self.settings = Settings(**{"prompts": "a sketch with crayon", **base, **case.settings})
        width = config_of(case)[0].num_head_channels
        self.model = load_model(weights / "unet.pt", device=case.device, dtype=case.dtype, num_head_channels=width)
        clip = load_clip(clip_name(case), weights / "clip.pt", device=case.device)
        self.text = text_direction(clip, self.settings.prompts, self.settings.source_prompt)
        clip.network.visual.to(DTYPES[choose_clip_dtype(self.settings.clip_dtype, clip, self.device)])
        self.text = replace(self.text, clip=clip.without_text())
        self.vgg = load_vgg(weights / "vgg.pt", device=case.device)
        self.stylizer = Stylizer(self.model, WholeBatch(), inversions=0)

    def begin(self) -> Iterator[object]:
        """DDIM inversion at once, then the guided steps as they are asked for."""
        s, seeds, source = self.settings, batch_seeds(self.settings.seed, self.case.batch), picture(self.case)
        inversion = complete(self.stylizer.invert(source, s.steps, s.skip, s.start, seeds, dequantize=s.dequantize))
        return self.stylizer.guide(inversion, self.terms(), s, seeds, BlendMap(s.strength, s.strength))

    def terms(self):
        """The losses of the settings; the contrastive one on ZeCon's layers unless the case wants our own."""
        made = make_terms(self.settings, self.model, self.text, self.case.size, self.case.size, {"vgg": self.vgg})
        if self.case.own_layers:
            return made
        return tuple(self._on_reference_layers(term) if isinstance(term.loss, Contrastive) else term for term in made)

    def _on_reference_layers(self, term):
        layers = [k for k in REFERENCE_LAYERS if k < len(self.model.network.layers)]

        def encode(pictures):
            outputs = self.model.encode(pictures, torch.zeros(len(pictures), device=pictures.device), last=layers[-1])
            return [outputs[k] for k in layers]

        return replace(term, loss=replace(term.loss, encode=encode))
