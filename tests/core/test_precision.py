"""Which dtype is taken where, and what is said of one that the device emulates."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from qs_core import InputError, precision
from qs_core.networks import load
from qs_core.precision import choose_clip_dtype, choose_dtype, computes, warn_of_emulation
from qs_core.settings import Settings

CPU = torch.device("cpu")


def test_dtypes():
    assert choose_dtype("auto") == "float32" and choose_dtype("bfloat16") == "bfloat16"
    with pytest.raises(InputError, match="dtype 'int4' is unknown; choose auto, float32, bfloat16, float16"):
        choose_dtype("int4")


@pytest.mark.parametrize(
    "capabilities, expected",
    [
        ({"avx512_bf16": True, "amx_bf16": False}, "bfloat16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bfloat16"),
        ({"avx512_bf16": False, "avx512_f": True}, "float32"),
        ({"bf16": True, "neon": True}, "float32"),
    ],
)
def test_clip_is_in_bfloat16_where_the_device_has_it(tiny_clip, monkeypatch, capabilities, expected):
    monkeypatch.setattr(precision, "_onednn_uses", lambda name: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    cpu = torch.device("cpu")
    assert choose_clip_dtype("auto", tiny_clip, cpu) == expected
    assert choose_clip_dtype("float32", tiny_clip, cpu) == "float32"
    assert choose_clip_dtype("float16", tiny_clip, cpu) == "float16"
    assert choose_clip_dtype("auto", tiny_clip, torch.device("mps")) == "float32"
    with pytest.raises(InputError, match="dtype 'int4' is unknown"):
        choose_clip_dtype("int4", tiny_clip, cpu)


def test_a_clip_whose_tower_is_not_measured_stays_in_float32(tiny_clip, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    resnet = replace(tiny_clip, network=SimpleNamespace(visual=torch.nn.Conv2d(3, 3, 1)))
    assert choose_clip_dtype("auto", resnet, torch.device("cpu")) == "float32"


def test_without_word_of_the_cpu_clip_stays_in_float32(tiny_clip, monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert choose_clip_dtype("auto", tiny_clip, torch.device("cpu")) == "float32"


@pytest.mark.parametrize("capability, expected", [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")])
def test_on_a_gpu_its_generation_says_it(tiny_clip, monkeypatch, capability, expected):
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_clip_dtype("auto", tiny_clip, torch.device("cuda")) == expected


@pytest.fixture
def old_cpu(monkeypatch):
    """A processor with AVX2 alone."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)


@pytest.fixture
def new_cpu(monkeypatch):
    """A processor that computes in both reduced dtypes."""
    told = {"avx512_bf16": True, "avx512_fp16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    monkeypatch.setattr(precision, "_onednn_uses", lambda name: True)


def test_every_device_computes_in_float32(old_cpu):
    assert computes("float32", CPU) and computes("float32", torch.device("mps"))


def test_other_devices_are_taken_to_compute_in_float16_alone():
    assert computes("float16", torch.device("mps")) and not computes("bfloat16", torch.device("mps"))


def test_instructions_that_onednn_may_not_use_do_not_count(new_cpu, monkeypatch):
    assert computes("bfloat16", CPU) and computes("float16", CPU)
    monkeypatch.setattr(precision, "_onednn_uses", lambda name: False)
    assert not computes("bfloat16", CPU) and not computes("float16", CPU)


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_an_emulated_dtype_is_obeyed_with_a_warning(old_cpu, monkeypatch, name):
    monkeypatch.setattr(precision, "slowdown", lambda name, device: 31.4)
    said = []
    warn_of_emulation(name, CPU, said.append)
    assert said == [
        f"This device (cpu) emulates {name}: a convolution takes 31 times as long as in float32. Choose dtype float32, "
        "or auto."
    ]
    with pytest.warns(UserWarning, match=f"emulates {name}"):
        networks = load(Settings(("golden",), dtype=name, clip_dtype="float32"))
    assert networks.model.network.dtype == precision.DTYPES[name]


@pytest.mark.parametrize("capabilities", [{"avx512_bf16": True, "avx512_fp16": True}, {"bf16": True, "neon": True}])
def test_a_torch_without_word_of_onednn_is_no_error(monkeypatch, capabilities):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace())
    assert computes("bfloat16", CPU) is computes("float16", CPU) is ("avx512_bf16" in capabilities)


def test_nothing_is_said_where_the_device_has_it_or_of_float32(new_cpu, old_cpu):
    warn_of_emulation("float32", CPU, pytest.fail)


def test_the_slowdown_is_measured_and_kept():
    first = precision.slowdown("bfloat16", "cpu")
    assert first > 0 and precision.slowdown("bfloat16", "cpu") is first
