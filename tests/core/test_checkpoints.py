"""Files on disk: what is read, and what is refused without being executed."""

import argparse
import collections
import json
import os
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from qs_core.checkpoints import read
from qs_core.errors import InputError, UnsupportedCheckpoint
from tests.core.networks import load_unet

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.ones(4, dtype=torch.float16)}


def same(state):
    assert state.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        torch.testing.assert_close(state[name], tensor, rtol=0, atol=0)
    return True


class TestRead:
    @pytest.mark.parametrize("name", ["model.safetensors", "model.sft", "MODEL.SAFETENSORS"])
    def test_safetensors(self, tmp_path, name):
        save_file(TENSORS, tmp_path / name)
        state, header = read(tmp_path / name)
        assert same(state) and header == {}

    @pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.ckpt", "model.bin"])
    @pytest.mark.parametrize("zipped", [True, False])
    def test_torch_files_new_and_old(self, tmp_path, name, zipped):
        torch.save(TENSORS, tmp_path / name, _use_new_zipfile_serialization=zipped)
        assert same(read(str(tmp_path / name))[0])

    def test_the_header_of_safetensors(self, tmp_path):
        config = {"num_heads": 4, "noise_schedule": "cosine"}
        save_file(TENSORS, tmp_path / "m.safetensors", {"qs_config": json.dumps(config), "format": "pt"})
        assert read(tmp_path / "m.safetensors")[1] == config

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda s: {"state_dict": s, "epoch": 3},
            lambda s: {"model": s, "lr": 0.1},
            lambda s: {"ema": s, "step": 1},
            lambda s: {"model_state_dict": s},
            lambda s: {"model": {"state_dict": s}},
            lambda s: {f"module.{key}": value for key, value in s.items()},
            lambda s: {"state_dict": {f"module.{key}": value for key, value in s.items()}},
            lambda s: {**s, "epoch": 7, "note": "not a tensor"},
        ],
    )
    def test_wrapped_state_dicts(self, tmp_path, wrap):
        torch.save(wrap(TENSORS), tmp_path / "m.pt")
        assert same(read(tmp_path / "m.pt")[0])


class Executes:
    """A pickle that creates a file when it is loaded naively."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch '{self.trace}'",)


def raw_pickle(value, path):
    path.write_bytes(pickle.dumps(value, protocol=2))


def old_torch(value, path):
    torch.save(value, path, _use_new_zipfile_serialization=False)


class TestUnsafe:
    @pytest.mark.parametrize("save", [torch.save, old_torch, raw_pickle])
    @pytest.mark.parametrize("wrap", [lambda e: e, lambda e: {"state_dict": TENSORS, "extra": e}, lambda e: [e]])
    def test_code_is_refused_and_not_executed(self, tmp_path, save, wrap):
        trace = tmp_path / "executed"
        save(wrap(Executes(trace)), tmp_path / "m.pt")
        with pytest.raises(InputError, match=r"names [\w.]+, and so it can run code\. It was not loaded.*safetensors"):
            read(tmp_path / "m.pt")
        assert not trace.exists()

    def test_the_trap_would_have_worked(self, tmp_path):
        """Or the tests above would pass for the wrong reason."""
        pickle.loads(pickle.dumps(Executes(tmp_path / "executed")))
        assert (tmp_path / "executed").exists()

    def test_a_whole_module_is_refused_by_name(self, tmp_path):
        torch.save(torch.nn.Linear(2, 2), tmp_path / "m.pt")
        with pytest.raises(InputError, match=r"it names torch.nn.modules.linear.Linear"):
            read(tmp_path / "m.pt")

    def test_the_message_does_not_advise_to_load_it_unsafely(self, tmp_path):
        torch.save(Executes(tmp_path / "executed"), tmp_path / "m.pt")
        with pytest.raises(InputError) as caught:
            read(tmp_path / "m.pt")
        assert "weights_only" not in str(caught.value) and "\n" not in str(caught.value)


def half(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


class TestBroken:
    @pytest.mark.parametrize(
        "name, content, message",
        [
            ("m.pt", b"", "is empty; the download may have failed"),
            ("m.safetensors", b"", "is empty"),
            ("m.pt", b"hello, this is text\n" * 20, "is no readable safetensors or PyTorch file"),
            ("m.pt", b"<!DOCTYPE html><html>", "is a web page, not a model.* Fetch it with a browser"),
            ("m.safetensors", b"\n<html><head>", "is a web page"),
            ("m.pt", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
            ("m.gguf", b"GGUF\3", "is a GGUF file"),
            ("m.pt", bytes(range(256)) * 20, "is no readable safetensors or PyTorch file"),
            ("m.pt", bytes([0x80, 2]) + bytes(range(256)) * 20, "is broken. It was not loaded"),
        ],
    )
    def test_content_that_is_no_checkpoint(self, tmp_path, name, content, message):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=message):
            read(tmp_path / name)

    @pytest.mark.parametrize("zipped", [True, False])
    def test_truncated_torch_file(self, tmp_path, zipped):
        torch.save({"a": torch.zeros(100_000)}, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
        half(tmp_path / "m.pt")
        with pytest.raises(InputError, match="is no whole PyTorch file|no readable .*Is it a model file, whole"):
            read(tmp_path / "m.pt")

    def test_truncated_safetensors(self, tmp_path):
        save_file({"a": torch.zeros(100_000)}, tmp_path / "m.safetensors")
        half(tmp_path / "m.safetensors")
        with pytest.raises(InputError, match="is no readable safetensors or PyTorch file"):
            read(tmp_path / "m.safetensors")

    @pytest.mark.parametrize("text", ["{not json", "[1, 2]", "3"])
    def test_broken_header(self, tmp_path, text):
        save_file(TENSORS, tmp_path / "m.safetensors", {"qs_config": text})
        with pytest.raises(InputError, match="broken header"):
            read(tmp_path / "m.safetensors")

    def test_missing(self, tmp_path):
        with pytest.raises(InputError, match="No model file at .*none.pt. Give the path"):
            read(tmp_path / "none.pt")
        with pytest.raises(InputError, match="No model file at"):
            read(tmp_path)  # a folder

    @pytest.mark.parametrize("value", [torch.zeros(3), [1, 2], {}, {"epoch": 3}, {"state_dict": {}}, {"model": 3}])
    def test_nothing_named_inside(self, tmp_path, value):
        torch.save(value, tmp_path / "m.pt")
        with pytest.raises(InputError, match="holds no named tensors"):
            read(tmp_path / "m.pt")

    def test_a_checkpoint_that_is_no_unet(self, tmp_path):
        torch.save(TENSORS, tmp_path / "m.pt")
        with pytest.raises(
            InputError, match="m.pt is no guided-diffusion .ADM. or DDPM U-Net: it begins with a.weight, b"
        ):
            load_unet(read(tmp_path / "m.pt")[0], "m.pt")


class TestLegitimate:
    """What trainers, old and new, write around the same weights."""

    OTHER = {"a.weight": torch.zeros(2, 3), "b": torch.zeros(4, dtype=torch.float16)}
    OPTIMIZER = {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(6)}}, "param_groups": [{"lr": 0.1}]}

    @pytest.mark.parametrize(
        "content",
        [
            {"model": OTHER, "ema": TENSORS},
            {"model": OTHER, "model_ema": TENSORS, "optimizer": OPTIMIZER},
            {"model": TENSORS, "ema": {}},
            {"model": TENSORS, "ema": {"decay": 0.999, "num_updates": 3}},
            {"model": OTHER, "ema": {"decay": 0.999, "shadow": TENSORS}},
            {"params": OTHER, "params_ema": TENSORS},
            {"net": TENSORS, "epoch": 3},
            [OTHER, OPTIMIZER, 3, 1000, TENSORS],
            {"student": OTHER, "teacher": {f"backbone.{key}": value for key, value in TENSORS.items()}},
            {
                "state_dict": {f"model.{key}": value for key, value in TENSORS.items()},
                "pytorch-lightning_version": "1.9",
            },
            {f"_orig_mod.module.{key}": value for key, value in TENSORS.items()},
            {"state_dict": TENSORS, "lr_schedulers": [{"milestones": collections.Counter([3, 5])}]},
            collections.OrderedDict(TENSORS),
            {key: torch.nn.Parameter(value) for key, value in TENSORS.items()},
        ],
        ids=range(14),
    )
    @pytest.mark.parametrize("zipped", [True, False])
    def test_the_weights_are_found(self, tmp_path, content, zipped):
        torch.save(content, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
        assert same(read(tmp_path / "m.pt")[0])

    def test_tied_weights(self, tmp_path):
        torch.save({**TENSORS, "tied": TENSORS["a.weight"]}, tmp_path / "m.pt")
        assert len(read(tmp_path / "m.pt")[0]) == 3

    def test_parts_of_one_storage(self, tmp_path):
        flat = torch.arange(10.0)
        torch.save({"a.weight": flat[:6].view(2, 3), "b": flat[6:]}, tmp_path / "m.pt")
        state, _ = read(tmp_path / "m.pt")
        torch.testing.assert_close(state, {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.arange(6.0, 10)})

    def test_saved_on_a_gpu(self, tmp_path):
        """Such files name another class of storage; everything else is the same."""
        torch.save(TENSORS, tmp_path / "m.pt")
        with zipfile.ZipFile(tmp_path / "m.pt") as archive:
            parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
        with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content.replace(b"ctorch\nFloatStorage", b"ctorch.cuda\nFloatStorage"))
        assert same(read(tmp_path / "m.pt")[0])

    @pytest.mark.parametrize("protocol", [4, 5])
    def test_a_later_pickle_protocol_is_named(self, tmp_path, protocol):
        torch.save(TENSORS, tmp_path / "m.pt", pickle_protocol=protocol)
        with pytest.raises(UnsupportedCheckpoint, match=f"is a pickle of protocol {protocol}, and those of 2 and 3"):
            read(tmp_path / "m.pt")

    def test_training_settings_are_named(self, tmp_path):
        torch.save({"model": TENSORS, "args": argparse.Namespace(lr=0.1)}, tmp_path / "m.pt")
        with pytest.raises(UnsupportedCheckpoint, match="names argparse.Namespace, .* one with weights alone"):
            read(tmp_path / "m.pt")

    def test_what_else_is_there_is_told(self, tmp_path):
        torch.save({"optimizer": self.OPTIMIZER, "epoch": 3}, tmp_path / "m.pt")
        with pytest.raises(UnsupportedCheckpoint, match="it holds: optimizer, epoch"):
            read(tmp_path / "m.pt")
