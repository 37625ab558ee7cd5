"""Batches in portions, and what a node does where memory runs short."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch


@pytest.fixture
def comfy(pack):
    """The pack's view of its host."""
    return pack.part("nodes.host").HOST


def test_as_few_passes_as_memory_allows(pack):
    portions = pack.part("qs_core.memory").portions
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    hundred, two_hundred, far_too_much = (lambda n, each=each: n * each for each in (100, 200, 10**6))
    assert portions(7, hundred, 1000, gpu) == [slice(0, 7)]
    assert portions(10, hundred, 1000, gpu) == [slice(0, 5), slice(5, 10)]  # nine would fit, ten do not
    assert portions(7, two_hundred, 1000, cpu) == [slice(0, 1), slice(1, 3), slice(3, 5), slice(5, 7)]  # half: others'
    assert portions(2, far_too_much, 1000, gpu) == [slice(0, 1), slice(1, 2)]  # at least one: the policy may help
    assert portions(5, lambda n: 600 + 100 * n, 1000, gpu) == [slice(0, 2), slice(2, 5)]  # three need 900
    assert len(portions(8, far_too_much, None, cpu)) == 2


def test_portions_give_the_pictures_of_the_whole_batch(comfy, invert, sample, photo, monkeypatch):
    batch = torch.cat([photo, photo.flip(2)])
    whole = sample(invert(batch, start="noised", start_seed=3), seed=9)
    monkeypatch.setattr(type(comfy), "free_memory", lambda host, device: 0)
    parts = sample(invert(batch, start="noised", start_seed=3), seed=9)
    assert (whole - parts).abs().max() < 2e-3  # sums run in another order in a batch


def test_the_estimate_grows_with_pictures_crops_and_networks(pack, model, text):
    losses, crops = pack.part("qs_core.losses.clip"), pack.part("qs_core.crops").Crops
    term, estimate = pack.part("qs_core.losses.base").Term, pack.part("qs_core.stylizer").guidance_bytes
    content, anchors = pack.part("qs_core.losses.contrastive").content_term, pack.part("qs_core.anchors").Anchors

    def guided(pictures, crop_number=None, through_unet=True):
        terms = [content(model.core, 1.0, anchors())]
        if crop_number:
            terms.append(term(1.0, losses.CLIPLoss(text.direction, crops(crop_number))))
        return estimate(model.core, terms, through_unet, pictures, 32, 32)

    graph = [model.core.graph_bytes(pictures, 32, 32) for pictures in (1, 2)]
    assert graph[1] == 2 * graph[0] and guided(1) > graph[0]
    assert guided(2, 4) > guided(1, 4) > guided(1, 4, through_unet=False)
    # CLIP sees one picture's crops at a time.
    assert guided(1, 4000) - graph[0] == guided(2, 4000) - graph[1] == text.clip.core.graph_bytes(4000)
    assert guided(1, 4000) > guided(1, 4)


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
    monkeypatch.setattr(bound, "parts", refuse)
    with pytest.raises(shortage, match="Out of memory at 32x32, batch 1.*Use a smaller size"):
        pack("QSAttnGuidedSampler", inversion=inversion, text=text, crops=4)


def test_other_errors_are_not_taken_for_want_of_memory(pack, invert, text, photo, monkeypatch):
    def fail(self, view):
        raise ZeroDivisionError("a bug")

    inversion = invert(photo)
    monkeypatch.setattr(pack.part("qs_core.losses.clip").BoundCLIP, "parts", fail)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        pack("QSAttnGuidedSampler", inversion=inversion, text=text, crops=4)


@pytest.fixture
def at_most(pack, model, monkeypatch):
    """A function: the U-Net refuses more pictures than that at once, as a full device would; returns what it was
    given since."""

    def limit(pictures: int) -> list[int]:
        forward, sizes = type(model.core.network).forward, []

        def refuse(network, x, *arguments, **options):
            sizes.append(len(x))
            if len(x) > pictures:
                raise torch.OutOfMemoryError("full")
            return forward(network, x, *arguments, **options)

        monkeypatch.setattr(type(model.core.network), "forward", refuse)
        return sizes

    return limit


@pytest.mark.parametrize("start", ["inverted", "noised"])
def test_a_batch_that_turns_out_too_large_is_halved_and_gives_the_same_pictures(
    invert, sample, photo, at_most, caplog, start
):
    batch = torch.cat([photo, photo.flip(2), photo.flip(1)])
    expected = sample(invert(batch, start=start, start_seed=3), seed=9, frames_every=1)
    sizes = at_most(1)
    halved = sample(invert(batch, start=start, start_seed=3), seed=9, frames_every=1)
    assert 3 in sizes and 2 in sizes
    assert (halved - expected).abs().max() < 2e-3  # sums run in another order in a batch
    said = [record.message for record in caplog.records]
    assert len(said) == (2 if start == "inverted" else 1)  # once for each walk
    assert all("memory ran short, and fewer pictures were walked together" in line for line in said)


def test_the_heat_map_is_halved_as_well(pack, invert, photo, at_most):
    inversion = invert(torch.cat([photo, photo.flip(2)]), start="noised")
    expected = pack("QSAttnHeatmap", inversion=inversion, short_side=128)
    encode, sizes = type(inversion.model.core).features, []
    try:

        def refuse(core, pictures, *arguments, **options):
            sizes.append(len(pictures))
            if len(pictures) > 1:
                raise torch.OutOfMemoryError("full")
            return encode(core, pictures, *arguments, **options)

        type(inversion.model.core).features = refuse
        halved = pack("QSAttnHeatmap", inversion=inversion, short_side=128)
    finally:
        type(inversion.model.core).features = encode
    assert sizes == [2, 1, 1]
    assert (halved - expected).abs().mean() < 1e-2  # an anchor may be another by rounding


@pytest.mark.parametrize("node", ["EncodeInvertDDIM", "QSAttnGuidedSampler", "QSAttnHeatmap"])
def test_where_one_picture_is_too_large_each_node_says_what_helps(pack, model, invert, text, photo, monkeypatch, node):
    """In the inversion, in binding the losses to the source, and in the heat map."""
    given = {"inversion": invert(photo), "text": text, "model": model, "image": photo, "size": 32}
    given = {name: value for name, value in given.items() if name in pack.inputs(node)}

    def refuse(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory.\nmore")

    for name in ("predict", "features"):
        monkeypatch.setattr(type(model.core), name, refuse)
    message = r"Out of memory at 32x32, batch 1, though .* \(CUDA out of memory.\). Use a smaller size"
    with pytest.raises(pack.part("qs_core.errors").MemoryShortage, match=message):
        pack(node, **given)


def test_what_was_spared_is_logged_once(pack, invert, text, photo, monkeypatch, caplog):
    clip, inversion = text.clip.core, invert(photo)
    encode = type(clip).encode_image

    def refuse(self, pictures):
        if len(pictures) > 1:
            raise torch.OutOfMemoryError("full")
        return encode(self, pictures)

    monkeypatch.setattr(type(clip), "encode_image", refuse)
    pack("QSAttnGuidedSampler", inversion=inversion, text=text, crops=4)
    (line,) = [record.message for record in caplog.records]
    assert line.startswith("QS: memory ran short, and CLIP held 1 crop at a time.")


def test_the_user_may_stop_between_attempts(comfy, invert, sample, photo, at_most, monkeypatch):
    inversion = invert(photo)
    at_most(0)

    def stop(host):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(comfy), "check_cancelled", stop)
    with pytest.raises(KeyboardInterrupt):
        sample(inversion)


@pytest.fixture
def host(monkeypatch):
    """The parts of ComfyUI that a test puts there."""
    comfy, management, utils = ModuleType("comfy"), ModuleType("comfy.model_management"), ModuleType("comfy.utils")
    comfy.model_management, comfy.utils = management, utils
    for module in (comfy, management, utils):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    management.throw_exception_if_processing_interrupted = lambda: None
    return SimpleNamespace(management=management, utils=utils)


def test_any_error_is_no_shortage_where_comfyui_has_no_name_for_one(comfy, host):
    """For want of such an exception in torch ComfyUI names Exception, and then its own is_oom says yes to any."""
    host.management.OOM_EXCEPTION = Exception
    assert not comfy.is_shortage(ZeroDivisionError())
    host.management.is_oom = lambda error: isinstance(error, host.management.OOM_EXCEPTION)
    assert not comfy.is_shortage(ZeroDivisionError())
    assert comfy.is_shortage(RuntimeError("MPS backend out of memory (MPS allocated: 18 GB)"))
    host.management.OOM_EXCEPTION = OSError
    assert comfy.is_shortage(OSError()) and not comfy.is_shortage(ZeroDivisionError())


def test_previews_come_every_n_steps_and_at_the_end_of_each_portion(pack, host):
    updates = []

    class ProgressBar:
        def __init__(self, total):
            assert total == 5 * 3

        def update_absolute(self, value, total, preview):
            updates.append((value, preview))

    host.utils.ProgressBar = ProgressBar
    tell = pack.part("nodes.progress").Bar(5, 3, preview_every=2)
    for rows in (slice(0, 2), slice(2, 3)):
        for step in range(1, 6):
            tell(rows, step, lambda rows=rows: torch.zeros(rows.stop - rows.start, 3, 8, 10))
    assert [value for value, _ in updates] == [2, 4, 6, 8, 10, 11, 12, 13, 14, 15]
    assert [preview is not None for _, preview in updates] == [False, True, False, True, True] * 2
    kind, shown, side = updates[1][1]
    assert (kind, shown.size, side) == ("JPEG", (20, 8), 512)  # two pictures side by side
    tell.every = 0
    tell(slice(0, 3), 5, lambda: torch.zeros(3, 3, 8, 8))
    assert updates[-1] == (15, None)
