"""The nodes with a stand-in for ComfyUI: what is asked of it, and when. The real one is in tests/comfyui."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch


class Interrupted(Exception):
    """The host's own exception."""


@pytest.fixture
def comfy(monkeypatch):
    """A ComfyUI that notes what it is asked for."""
    seen = SimpleNamespace(memory=[], freed=0, previews=[], steps=[], stop_after=None)
    modules = {name: ModuleType(name) for name in ("comfy", "comfy.model_management", "comfy.model_patcher")}
    modules |= {name: ModuleType(name) for name in ("comfy.utils", "folder_paths")}
    modules["folder_paths"].get_filename_list = lambda kind: []
    modules["folder_paths"].get_folder_paths = lambda kind: [f"models/{kind}"]
    management = modules["comfy.model_management"]
    cpu = torch.device("cpu")
    management.get_torch_device = management.unet_offload_device = management.intermediate_device = lambda: cpu
    management.intermediate_dtype = lambda: torch.float16
    management.get_free_memory = lambda device: 10**12
    management.OOM_EXCEPTION = torch.OutOfMemoryError
    management.load_models_gpu = lambda models, memory_required, force_full_load: seen.memory.append(
        (len(models), memory_required)
    )

    def soft_empty_cache():
        seen.freed += 1

    def throw():
        seen.steps.append(1)
        if seen.stop_after is not None and len(seen.steps) > seen.stop_after:
            raise Interrupted

    management.soft_empty_cache, management.throw_exception_if_processing_interrupted = soft_empty_cache, throw

    class ModelPatcher:
        def __init__(self, model, load_device, offload_device):
            self.model = model

    class ProgressBar:
        def __init__(self, total):
            self.total = total

        def update_absolute(self, value, total, preview):
            seen.previews.append((value, total, preview is not None))

    modules["comfy.model_patcher"].ModelPatcher, modules["comfy.utils"].ProgressBar = ModelPatcher, ProgressBar
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
        if "." in name:
            setattr(modules["comfy"], name.partition(".")[2], module)
    return seen


@pytest.fixture
def graph(pack, comfy, photo):
    """A function: the sampler's picture from networks that the host holds; options go to the sampler."""
    model, clip = pack("LoadDiffusionModel"), pack("LoadOpenCLIP", dtype="float32")
    text = pack("CLIPTextDirection", clip=clip)
    inversion = pack("EncodeInvertDDIM", model=model, image=photo, size=32, steps=6, skip=3, preview_every=2)
    return lambda **options: pack("QSAttnGuidedSampler", inversion=inversion, text=text, crops=4, **options)


def test_each_node_asks_for_room_and_tells_of_its_steps(graph, comfy):
    result = graph(seed=5)
    assert result.dtype == torch.float16  # as the host keeps pictures
    (text_only, inversion, sampling) = comfy.memory
    assert text_only == (1, 0) and inversion[0] == 1 and sampling[0] == 2 and sampling[1] > inversion[1] > 0
    walks = comfy.previews[:3], comfy.previews[3:]
    assert [value for value, _, _ in walks[0]] == [value for value, _, _ in walks[1]] == [1, 2, 3]
    assert [shown for _, _, shown in walks[0]] == [False, True, True]
    assert len(comfy.steps) >= 6


def test_cancel_stops_between_two_steps(graph, comfy):
    comfy.steps.clear()
    comfy.stop_after = 1
    with pytest.raises(Interrupted):
        graph()
    assert len(comfy.steps) == 2


def test_the_host_gives_up_memory_before_another_attempt(pack, graph, comfy, monkeypatch):
    clip = pack.part("qs_core.features.clip").CLIP
    encode = clip.encode_image

    def refuse(self, pictures):
        if len(pictures) > 2:
            raise torch.OutOfMemoryError("full")
        return encode(self, pictures)

    monkeypatch.setattr(clip, "encode_image", refuse)
    graph()
    assert comfy.freed == 1
