"""What is held: no more after many runs than after one, and of a batch one picture's crops at a time."""

import gc

import torch

from qs_core.anchors import Anchors
from qs_core.crops import Crops
from qs_core.features.clip import text_direction
from qs_core.guidance import Guidance, bind
from qs_core.losses.base import Term, View
from qs_core.losses.clip import CLIPLoss
from qs_core.losses.contrastive import content_term
from qs_core.losses.pixel import MSE
from qs_core.randomness import seeded
from qs_core.samplers import ddpm_step, sample


def held() -> int:
    """Bytes of all tensors that Python still reaches, each storage once."""
    gc.collect()
    tensors = (thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor))
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def test_repeated_runs_hold_no_more_than_one(learned, tiny_clip, picture):
    text, source = text_direction(tiny_clip, ["gold"], "photo"), picture(1, 2)
    terms = (
        Term({"clip_global": 5.0, "clip_directional": 3.0}, CLIPLoss(text, Crops(4))),
        content_term(learned, 1.0, Anchors("global", 16, frozenset({0, 1, 2}))),
        Term(10.0, MSE()),
    )

    def run():
        bound = bind(terms, source, [3, 4])
        guidance = Guidance(learned, learned.schedule("50"), bound)
        for _ in sample(learned, learned.schedule("50"), source, 3, ddpm_step, guidance, seeded([5, 6])):
            pass

    run()
    once = held()
    for _ in range(4):
        run()
    assert held() <= once  # less where something of another test goes meanwhile


def test_a_part_of_a_batch_keeps_what_one_picture_does(tiny_clip, picture):
    """Each part's graph goes with it; a batch of three is three times one picture's, one after the other."""
    text = text_direction(tiny_clip, ["gold"], "photo")

    def most(*seeds):
        image, sizes = picture(*seeds).requires_grad_(), []
        loss = CLIPLoss(text, Crops(8)).against(picture(*seeds), seeded(seeds))
        parts = loss.parts(View(image, image, 0))
        for _ in seeds:
            kept = {}

            def keep(tensor, kept=kept):
                kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
                part = next(parts)
            sizes.append(sum(kept.values()))
            del part
        return max(sizes)

    assert most(1, 2, 3) < 1.2 * most(1)  # all three pictures lie in one tensor
