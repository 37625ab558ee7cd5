"""Batches in portions, and what a node does where memory runs short."""

import pytest
import torch


@pytest.fixture
def seam(pack):
    return pack.part("nodes.seam")


def test_as_few_passes_as_memory_allows(seam, monkeypatch):
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    monkeypatch.setattr(seam, "free_memory", lambda device: 1000)
    assert seam.portions(7, 100, gpu) == [slice(0, 7)]
    assert seam.portions(10, 100, gpu) == [slice(0, 5), slice(5, 10)]  # nine would fit, ten do not
    assert seam.portions(7, 200, cpu) == [slice(0, 1), slice(1, 3), slice(3, 5), slice(5, 7)]  # half is for others
    assert seam.portions(2, 10**6, gpu) == [slice(0, 1), slice(1, 2)]  # one at a time at least: the economy may help
    monkeypatch.setattr(seam, "free_memory", lambda device: None)
    assert len(seam.portions(8, 10**9, cpu)) == 2


def test_portions_give_the_pictures_of_the_whole_batch(seam, invert, sample, photo, monkeypatch):
    batch = torch.cat([photo, photo.flip(2)])
    whole = sample(invert(batch, start="noised", start_seed=3), seed=9)
    monkeypatch.setattr(seam, "free_memory", lambda device: 0)
    parts = sample(invert(batch, start="noised", start_seed=3), seed=9)
    assert (whole - parts).abs().max() < 2e-3  # sums run in another order in a batch


def test_the_estimate_grows_with_pictures_crops_and_networks(seam, model, text):
    one, two = torch.zeros(1, 3, 32, 32), torch.zeros(2, 3, 32, 32)
    few, many = [(text.clip.core, 4)], [(text.clip.core, 4000)]
    assert seam.guidance_bytes(model.core, two, few) == 2 * seam.guidance_bytes(model.core, one, few)
    assert seam.guidance_bytes(model.core, one, many) > seam.guidance_bytes(model.core, one, few)
    assert seam.guidance_bytes(model.core, one, []) > seam.graph_bytes(model.core, one)


def test_out_of_memory_is_met_with_fewer_crops_at_a_time(pack, invert, text, photo, monkeypatch):
    """CLIP refuses more than two crops at once, as a full device would; the picture is the same."""
    clip = text.clip.core
    inversion = invert(photo)
    expected = pack("QSAttnGuidedSampler", inversion=inversion, text=text, crops=4)
    encode, sizes = type(clip).encode_image, []

    def refuse(self, pictures):
        sizes.append(len(pictures))
        if len(pictures) > 2:
            raise torch.OutOfMemoryError("full")
        return encode(self, pictures)

    monkeypatch.setattr(type(clip), "encode_image", refuse)
    result = pack("QSAttnGuidedSampler", inversion=inversion, text=text, crops=4)
    assert sizes.count(4) == 1  # what was found out at the first step is kept
    assert torch.allclose(result, expected, atol=2e-3)  # sums of parts, over guided steps


def test_out_of_memory_in_the_end_says_what_helps(pack, invert, text, photo, monkeypatch):
    def refuse(self, pictures):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    inversion = invert(photo)
    shortage = pack.part("qs_core.errors").MemoryShortage
    bound = pack.part("qs_core.losses.clip").BoundCLIP
    monkeypatch.setattr(bound, "__call__", refuse)
    with pytest.raises(shortage, match="Out of memory at 32x32, batch 1.*Use a smaller size"):
        pack("QSAttnGuidedSampler", inversion=inversion, text=text, crops=4)


def test_other_errors_are_not_taken_for_want_of_memory(pack, invert, text, photo, monkeypatch):
    def fail(self, view):
        raise ZeroDivisionError("a bug")

    inversion = invert(photo)
    monkeypatch.setattr(pack.part("qs_core.losses.clip").BoundCLIP, "__call__", fail)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        pack("QSAttnGuidedSampler", inversion=inversion, text=text, crops=4)
