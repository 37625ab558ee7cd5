"""Broken and hostile checkpoint files, as functions that write them, and the loading of each under watch.

`REFUSED` must not load. `HARMLESS` are odd files that may be refused, or load as the very network they were made from.
Run as a script, this file is the watched process: it loads the paths it is sent and says what came of each.
"""

import ast
import contextlib
import functools
import hashlib
import io
import json
import os
import pickle
import pickletools
import queue
import random
import re
import struct
import subprocess
import sys
import tarfile
import threading
import time
import warnings
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import save, save_file

from qs_core.model import load_model
from qs_core.unets.adm import ADMConfig, ADMUNet
from qs_core.unets.ddpm import DDPMConfig, DDPMUNet

ROOT = Path(__file__).parents[2]
MARKER = "executed"  # the file, beside the checkpoint, that code in a checkpoint tries to make
GIGABYTE = 2**30


class Case(NamedTuple):
    """A file to write, its name, and what the message must say of it beside the advice (a regular expression)."""

    write: Callable[[Path], None]
    file: str
    says: str = ""


REFUSED: dict[str, Case] = {}
HARMLESS: dict[str, Case] = {}


def case(name: str, file: str = "model.pt", says: str = "", among: dict[str, Case] = REFUSED):
    """Registers the function that writes the file."""

    def register(write: Callable[[Path], None]) -> Callable[[Path], None]:
        assert name not in REFUSED and name not in HARMLESS, name
        among[name] = Case(write, file, says)
        return write

    return register


# ---------------------------------------------------------------------------------- networks, and files of parts


@functools.cache
def adm() -> dict[str, torch.Tensor]:
    """A small ADM U-Net's state dict; its attention heads are as the rule guesses them."""
    torch.manual_seed(0)
    return ADMUNet(ADMConfig(32, (1, 2), 1, (2,), 6, True, True, num_head_channels=64)).state_dict()


@functools.cache
def ddpm() -> dict[str, torch.Tensor]:
    """A small DDPM U-Net's state dict."""
    torch.manual_seed(0)
    return DDPMUNet(DDPMConfig(32, (1,), 1, ())).state_dict()


def torch_bytes(value, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def records(value) -> dict[str, bytes]:
    """The records of the zip archive that torch.save writes."""
    with zipfile.ZipFile(io.BytesIO(torch_bytes(value))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_zip(path: Path, parts: Iterable[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of names that stand there twice
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in parts:
                archive.writestr(name, content)


def write_pickle(path: Path, content: bytes, storages: Mapping[str, bytes] | None = None) -> None:
    """A torch archive of hand-made pickle bytes."""
    data = {f"archive/data/{key}": value for key, value in (storages or {}).items()}
    parts = {"archive/data.pkl": content, "archive/byteorder": b"little", **data, "archive/version": b"3\n"}
    write_zip(path, parts.items())


def parts_of(safetensors: bytes) -> tuple[dict, bytes]:
    """A safetensors file's header and data."""
    (length,) = struct.unpack("<Q", safetensors[:8])
    return json.loads(safetensors[8 : 8 + length]), safetensors[8 + length :]


def write_safetensors(path: Path, header: dict | bytes, data: bytes = b"", length: int | None = None) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


class Stored:
    """Stands in a pickle for a storage of an archive: what `torch.load` asks the archive for."""

    def __init__(self, key: str, numel: int, kind=torch.FloatStorage):
        self.id = ("storage", kind, key, "cpu", numel)


class Call:
    """Stands in a pickle for what calling the function gives."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.id if isinstance(value, Stored) else None


def pickled(value) -> bytes:
    """Protocol 2, as torch.save has it."""
    buffer = io.BytesIO()
    Pickler(buffer, 2).dump(value)
    return buffer.getvalue()


def view(stored: Stored, size: tuple, stride: tuple, offset: int = 0) -> Call:
    """A tensor as torch.save pickles it."""
    return Call(torch._utils._rebuild_tensor_v2, stored, offset, size, stride, False, OrderedDict())


def claims(state: Mapping[str, torch.Tensor]) -> tuple[dict[str, Call], dict[str, bytes]]:
    """The state's tensors as pickled calls, to be tampered with, and the storages they are views of."""
    keys = {name: str(number) for number, name in enumerate(state)}
    values = {n: view(Stored(keys[n], v.numel()), tuple(v.shape), v.stride()) for n, v in state.items()}
    return values, {keys[name]: value.numpy().tobytes() for name, value in state.items()}


def patched_claims(path: Path, patch: Mapping[str, Call], extra: Mapping[str, bytes] | None = None) -> None:
    """The ADM network's archive, some tensors replaced by others' claims."""
    values, storages = claims(adm())
    write_pickle(path, pickled({**values, **patch}), {**storages, **(extra or {})})


# -------------------------------------------------------------------------------------------- no model at all


def contents(name: str, content: bytes, file: str = "model.pt", says: str = "") -> None:
    case(name, file, says)(lambda path: path.write_bytes(content))


PAGE = b"<!DOCTYPE html>\n<html><head><title>Google Drive - Virus scan warning</title></head><body>...</body></html>\n"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 2211383297\n"
for _suffix in ("pt", "safetensors"):
    _file = f"model.{_suffix}"
    contents(f"empty {_suffix}", b"", _file, "empty")
    contents(f"one byte {_suffix}", b"\x80", _file)
    contents(f"nine zeros {_suffix}", bytes(9), _file)
    contents(f"random bytes {_suffix}", random.Random(0).randbytes(5000), _file)
    contents(f"text {_suffix}", b"hello, this is text\n" * 50, _file)
    contents(f"web page {_suffix}", PAGE, _file, "(?i)web page|html")
    contents(f"web page after blanks {_suffix}", b"\xef\xbb\xbf\n  <html lang=en>" + PAGE, _file, "(?i)web page|html")
    contents(f"server's error {_suffix}", b'{"error":"Entry not found"}', _file)
    contents(f"LFS pointer {_suffix}", POINTER, _file, "(?i)LFS")
    contents(f"GGUF {_suffix}", b"GGUF\x03\0\0\0" + bytes(200), _file)
    contents(f"ONNX {_suffix}", b"\x08\x07\x12\x07pytorch\x1a\x052.1.0:\xf0\x01" + bytes(200), _file)
    contents(f"gzip {_suffix}", b"\x1f\x8b\x08\0" + random.Random(1).randbytes(300), _file)
    contents(f"HDF5 {_suffix}", b"\x89HDF\r\n\x1a\n" + bytes(300), _file)


@case("NumPy archive")
def _(path):
    with path.open("wb") as file:
        np.savez(file, **{key: value.numpy() for key, value in ddpm().items()})


@case("NumPy array")
def _(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(100))


@case("NumPy array of objects")
def _(path):
    with path.open("wb") as file:
        np.save(file, np.array([Runs(path)], dtype=object), allow_pickle=True)


@case("tar of a model")
def _(path):
    content = torch_bytes(ddpm())
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo("model.pt")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))


@case("torch's oldest format, a tar")
def _(path):
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            content = pickle.dumps(Runs(path), 2)
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


@case("TorchScript", says="TorchScript")
def _(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is on its way out
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), str(path))


@case("zip of a model")
def _(path):
    write_zip(path, [("model.pt", torch_bytes(ddpm()))])


@case("empty zip")
def _(path):
    write_zip(path, [])


@case("folder")
def _(path):
    path.mkdir()


@case("missing", says="No model file|not there|no file")
def _(path):
    pass


@case("name too long for a file system", "m" * 300 + ".pt")
def _(path):
    pass


if hasattr(os, "mkfifo"):  # POSIX

    @case("link to nowhere")
    def _(path):
        path.symlink_to(path.with_name("nowhere.pt"))

    @case("link to itself")
    def _(path):
        path.symlink_to(path)

    @case("pipe that nobody writes to")
    def _(path):
        os.mkfifo(path)

    @case("endless device")
    def _(path):
        path.symlink_to("/dev/zero")

    @case("endless device as safetensors", "model.safetensors")
    def _(path):
        path.symlink_to("/dev/zero")


# --------------------------------------------------------------------------------------------------- cut short

WHOLE = {
    "zip": ("model.pt", lambda: torch_bytes(ddpm())),
    "old": ("model.pt", lambda: torch_bytes(ddpm(), zipped=False)),
    "safetensors": ("model.safetensors", lambda: save(ddpm())),
}
for _kind, (_file, _bytes) in WHOLE.items():
    for _part in (0.0001, 0.003, 0.02, 0.1, 0.5, 0.9, 0.999, 1.0):

        @case(f"cut {_kind} {_part}", _file)
        def _(path, make=_bytes, part=_part):
            content = make()
            path.write_bytes(content[: min(len(content) - 1, int(part * len(content)))])


@case("safetensors with bytes after its end", "model.safetensors")
def _(path):
    path.write_bytes(save(ddpm()) + b"more")


@case("second half missing, filled with zeros")
def _(path):
    content = torch_bytes(ddpm())
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))


# ------------------------------------------------------------------------------------------ safetensors headers


def header(name: str, change: Callable[[dict], None], says: str = "") -> None:
    """The DDPM network as safetensors with a tampered header."""

    @case(f"safetensors {name}", "model.safetensors", says)
    def _(path):
        head, data = parts_of(save(ddpm()))
        change(head)
        write_safetensors(path, head, data)


FIRST = "conv_in.weight"  # (32, 3, 3, 3)


def offsets(low, high) -> Callable[[dict], None]:
    return lambda head: head[FIRST].update(data_offsets=[low, high])


header("range of negative length", offsets(200, 100))
header("negative range", offsets(-3456, 0))
header("range of fractions", offsets(0.5, 3456.5))
header("range beyond the end", offsets(10**9, 10**9 + 3456))
header("range beyond 64 bits", offsets(2**64 - 3456, 2**64))
header("ranges that overlap", lambda head: head[FIRST].update(data_offsets=head["conv_in.bias"]["data_offsets"]))
header("unknown type", lambda head: head[FIRST].update(dtype="F33"))
header("another type", lambda head: head[FIRST].update(dtype="F64"))
header("type that is no name", lambda head: head[FIRST].update(dtype=32))
header("shape larger than its bytes", lambda head: head[FIRST].update(shape=[32, 3, 3, 300]))
header("shape whose product overflows", lambda head: head[FIRST].update(shape=[2**32, 2**32, 1, 1]))
header("shape whose product overflows to its size", lambda head: head[FIRST].update(shape=[2**63, 2, 864]))
header("negative shape", lambda head: head[FIRST].update(shape=[-32, -3, 3, 3]))
header("no shape", lambda head: head[FIRST].pop("shape"))
header("shape of text", lambda head: head[FIRST].update(shape=["32", 3, 3, 3]))
header("tensor that is a list", lambda head: head.update({FIRST: [1, 2]}))
header("metadata that are no text", lambda head: head.update(__metadata__={"qs_config": {"num_heads": 4}}))
header("metadata that are a list", lambda head: head.update(__metadata__=["a"]))
header("false checksum", lambda head: head.update(__metadata__={"qs_config": "{}", "qs_crc32": "00000000"}), "checksum")
header("checksum that is no number", lambda head: head.update(__metadata__={"qs_config": "{}", "qs_crc32": "é\n"}))
for _name, _length in {"2^63": 2**63, "2^64-1": 2**64 - 1, "100 MB and 1": 100_000_001, "3 GB": 3 * 10**9}.items():

    @case(f"safetensors header of {_name}", "model.safetensors")
    def _(path, length=_length):
        write_safetensors(path, b'{"a":', bytes(1000), length)


@case("safetensors header of 150 MB that is there", "model.safetensors")
def _(path):
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 150_000_000) + b"{")
        file.truncate(150_000_008 + 1000)


@case("safetensors header's length big-endian", "model.safetensors")
def _(path):
    content = save(ddpm())
    path.write_bytes(content[:8][::-1] + content[8:])


@case("safetensors header is no JSON", "model.safetensors")
def _(path):
    write_safetensors(path, b"{'a': 1}" + b" " * 100)


@case("safetensors header is no UTF-8", "model.safetensors")
def _(path):
    write_safetensors(path, b'{"\xff\xfe": 1}' + b" " * 100)


@case("safetensors header is a list", "model.safetensors")
def _(path):
    write_safetensors(path, b"[1, 2]" + b" " * 100)


@case("safetensors header empty", "model.safetensors")
def _(path):
    write_safetensors(path, b"{}")


@case("safetensors header nested 100 000 deep", "model.safetensors")
def _(path):
    write_safetensors(path, b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


@case("safetensors names twice", "model.safetensors", among=HARMLESS)
def _(path):
    head, data = parts_of(save(ddpm()))
    text = json.dumps(head).encode()
    write_safetensors(path, text[:-1] + b"," + json.dumps({FIRST: head[FIRST]}).encode()[1:], data)


@case("safetensors of 200 000 tensors", "model.safetensors")
def _(path):
    entries = (f'"k{i}":{{"dtype":"F32","shape":[1],"data_offsets":[{4 * i},{4 * i + 4}]}}' for i in range(200_000))
    write_safetensors(path, ("{" + ",".join(entries) + "}").encode(), bytes(800_000))


@case("safetensors big-endian numbers", "model.safetensors")
def _(path):
    head, data = parts_of(save(ddpm()))
    write_safetensors(path, head, np.frombuffer(data, "<u4").astype(">u4").tobytes())


@case("safetensors with a header of 20 MB", "model.safetensors", says="header")
def _(path):
    write_safetensors(path, b'{"a":[' + b"1," * 10_000_000 + b"1]}")


@case("safetensors with 400 000 notes", "model.safetensors", says="entries")
def _(path):
    write_safetensors(path, b'{"__metadata__":{' + b'"":"",' * 400_000 + b'"b":""}}')


@case("zip of records that overlap", says="overlap")
def _(path):
    """The directory names one record of 20 MB three thousand times."""
    large, name = bytes(20_000_000), b"archive/data/0000"
    write_zip(path, [*records(ddpm()).items(), (name.decode(), large)])
    content = path.read_bytes()
    end = content.rindex(b"PK\5\6")
    start = int.from_bytes(content[end + 16 : end + 20], "little")
    entry = content[content.index(name, start) - 46 : content.index(name, start) + len(name)]
    copies = b"".join(entry.replace(name, b"archive/data/%04d" % number) for number in range(1, 3001))
    directory = content[start:end] + copies
    count = int.from_bytes(content[end + 10 : end + 12], "little") + 3000
    tail = content[end : end + 8] + struct.pack("<HHII", count, count, len(directory), start) + b"\0\0"
    path.write_bytes(content[:start] + directory + tail)


@case("zip with 200 000 entries", says="too many parts")
def _(path):
    write_zip(path, ((f"a/{number}", b"") for number in range(200_000)))


@case("old pickle of a 300 MB text", says="giant")
def _(path):
    with path.open("wb") as file:
        file.write(b"\x80\x02X" + struct.pack("<I", 300_000_000))
        file.truncate(300_000_010)


@case("old pickle of a line without end", says="giant")
def _(path):
    with path.open("wb") as file:
        file.write(b"\x80\x02c")
        file.truncate(300_000_010)


# ------------------------------------------------------------------------------------- the stated configuration


def stated(name: str, config, says: str = "", among: dict[str, Case] = REFUSED) -> None:
    """The ADM network as safetensors that states a configuration: a value, or its text."""

    @case(f"qs_config {name}", "model.safetensors", says, among)
    def _(path):
        text = config if isinstance(config, str) else json.dumps(config)
        save_file(adm(), path, {"format": "pt", "qs_config": text})


stated("no JSON", "{not json")
stated("empty", "")
stated("a list", [1, 2])
stated("a number", 3)
stated("null", "null")
stated("nested 100 000 deep", "[" * 100_000)
stated("nested 100 000 deep in an object", '{"num_heads": ' + '{"a":' * 100_000)
stated("a number of 100 000 digits", '{"image_size": ' + "9" * 100_000 + "}")
stated("5 MB of blanks", " " * 5_000_000 + "[]")
for _value in ("big", -1, 0, 10**9, 256.5, True, [256], {"w": 256}, float("nan"), float("inf"), 1e300):
    stated(f"image_size {_value}", {"image_size": _value}, "image_size")
for _value in (-3, 7, 3, True, "4", 4.0, [4], 10**6, 2**64, float("nan")):
    stated(f"num_heads {_value}", {"num_heads": _value}, "num_heads")
for _value in (-3, 7, True, "64", 63.9, 10**6):
    stated(f"num_head_channels {_value}", {"num_head_channels": _value}, "num_head_channels")
for _value in ("yes", 1, [], "false"):
    stated(f"use_new_attention_order {_value!r}", {"use_new_attention_order": _value}, "use_new_attention_order")
for _value in (5, "quadratic", ["linear"], {"linear": 1}, True, "", "LINEAR\n"):
    stated(f"noise_schedule {_value!r}", {"noise_schedule": _value}, "(?i)noise.schedule")
for _value in ("none", 5, ["learned"], "fixed_small", "", False):
    stated(f"variance {_value!r}", {"variance": _value}, "variance")
stated("of unknown names", {"colour": "blue", "__class__": "os"}, among=HARMLESS)
stated("num_heads 0, which is unused", {"num_heads": 0, "num_head_channels": 64}, among=HARMLESS)
stated("num_heads 0 alone", {"num_heads": 0}, among=HARMLESS)
stated("names twice", '{"image_size": 4, "image_size": 256, "noise_schedule": "linear"}', among=HARMLESS)


# ------------------------------------------------------------------------------------------------ zip archives


def archive(name: str, change: Callable[[dict], None], says: str = "", among: dict[str, Case] = REFUSED) -> None:
    """The DDPM network's archive with tampered records; the checksums are right."""

    @case(f"zip {name}", "model.pt", says, among)
    def _(path):
        parts = records(ddpm())
        change(parts)
        write_zip(path, parts.items())


archive("byte order of the other kind", lambda p: p.update({"archive/byteorder": b"big"}))
archive("byte order unknown", lambda p: p.update({"archive/byteorder": b"middle"}))
archive("byte order no text", lambda p: p.update({"archive/byteorder": b"\xff\xfe"}))
archive("no pickle", lambda p: p.pop("archive/data.pkl"))
archive("empty pickle", lambda p: p.update({"archive/data.pkl": b""}))
archive("a storage missing", lambda p: p.pop("archive/data/0"))
archive("a storage short", lambda p: p.update({"archive/data/0": p["archive/data/0"][:40]}))
archive("a storage empty", lambda p: p.update({"archive/data/0": b""}))
archive("a storage long", lambda p: p.update({"archive/data/0": p["archive/data/0"] + bytes(4096)}), among=HARMLESS)
archive("records outside", lambda p: p.update({"../../evil.py": b"import os", "/etc/evil": b"x"}), among=HARMLESS)
archive("records inside with dots", lambda p: p.update({"archive/data/../../evil": b"x"}), among=HARMLESS)
archive("a storage's name leads outside", lambda p: p.update({"archive/data/../0": p.pop("archive/data/0")}))
archive("version of the future", lambda p: p.update({"archive/version": b"99999\n"}))
archive("version no number", lambda p: p.update({"archive/version": b"abc\n"}))


@case("zip 25 000 records")
def _(path):
    write_zip(path, [*records(ddpm()).items(), *((f"archive/x/{i}", b"") for i in range(25_000))])


@case("zip every record twice")
def _(path):
    parts = records(ddpm())
    noise = {k: random.Random(0).randbytes(len(v)) if "/data/" in k else v for k, v in parts.items()}
    write_zip(path, [*parts.items(), *noise.items()])


@case("zip deflated", among=HARMLESS)
def _(path):
    write_zip(path, records(ddpm()).items(), zipfile.ZIP_DEFLATED)


@case("zip bomb: a storage that inflates to 3 GB")
def _(path):
    values, storages = claims(ddpm())
    write_pickle(path, pickled(values), storages)
    inflate(path, "archive/data/0")


@case("zip bomb: a pickle that inflates to 3 GB")
def _(path):
    values, storages = claims(ddpm())
    write_pickle(path, pickled(values), storages)
    inflate(path, "archive/data.pkl")


@case("zip bomb: a record that inflates to 3 GB and is no tensor")
def _(path):
    values, storages = claims(ddpm())
    write_pickle(path, pickled(values), {**storages, "notes": b"?"})
    inflate(path, "archive/data/notes")


def inflate(path: Path, name: str, size: int = 3 * 2**30) -> None:
    """Turn a record into a deflated one of `size` zeros. Its checksum is made up: it is compared after inflation."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)  # whole bytes, with no memory of before
    stream = first * (size // 2**20) + packer.flush(zlib.Z_FINISH)
    with zipfile.ZipFile(path) as source:
        parts = {entry: stream if entry == name else source.read(entry) for entry in source.namelist()}
    write_zip(path, parts.items())
    with zipfile.ZipFile(path) as source:
        entry, directory = source.getinfo(name), source.start_dir
    content = bytearray(path.read_bytes())
    place = content.index(name.encode(), directory) - 46  # of its entry in the central directory
    for at in (entry.header_offset + 8, place + 10):
        struct.pack_into("<H", content, at, zipfile.ZIP_DEFLATED)
    for at in (entry.header_offset + 22, place + 24):
        struct.pack_into("<I", content, at, size)
    path.write_bytes(content)


# --------------------------------------------------------------------------------------- tensors that lie or jar

GIANT = (4_000_000, 1_000_000)
TINY = {"tiny": bytes(64), "ones": np.ones(16, np.float32).tobytes()}


def tampered(name: str, says: str = "", among: dict[str, Case] = REFUSED, **patch) -> None:
    """The ADM network's archive with claims, by the key with __ for each dot, over a storage of 16 floats."""
    renamed = {key.replace("__", "."): value for key, value in patch.items()}
    case(f"tensor {name}", "model.pt", says, among)(lambda path: patched_claims(path, renamed, TINY))


TWO, SIXTEEN = "time_embed__0__weight", Stored("tiny", 16)
tampered("giant, stride 0", **{TWO: view(SIXTEEN, GIANT, (0, 0))})
tampered("giant label embedding, stride 0", label_emb__weight=view(SIXTEEN, (10**9, 128), (0, 0)))
tampered("giant output, stride 0", out__2__weight=view(SIXTEEN, (10**7, 32, 3, 3), (0, 0, 0, 0)))
tampered("giant input, stride 0", input_blocks__0__0__weight=view(SIXTEEN, (10**8, 3, 3, 3), (0, 0, 0, 0)))
tampered("whose size overflows", **{TWO: view(SIXTEEN, (2**40, 2**40), (0, 0))})
tampered("larger than its storage", **{TWO: view(SIXTEEN, (128, 32), (32, 1))})
tampered("gigabytes larger than its storage", **{TWO: view(SIXTEEN, (10**9, 1), (1, 1))})
tampered("of negative stride", **{TWO: view(Stored("0", 4096), (128, 32), (-32, 1), 4064)})
tampered("of negative size", **{TWO: view(SIXTEEN, (-128, -32), (32, 1))})
tampered("beyond its storage", **{TWO: view(Stored("0", 4096), (128, 32), (32, 1), 10**6)})
tampered("far beyond its storage", **{TWO: view(Stored("0", 4096), (128, 32), (32, 1), 2**61)})
tampered("before its storage", **{TWO: view(Stored("0", 4096), (128, 32), (32, 1), -4096)})
tampered("of a storage said to be longer", **{TWO: view(Stored("tiny", 4096), (128, 32), (32, 1))})
tampered("of a storage said to be huge", **{TWO: view(Stored("tiny", 10**12), (128, 32), (32, 1))})
tampered("of a storage of negative length", **{TWO: view(Stored("tiny", -4096), (128, 32), (32, 1))})
tampered("of a storage elsewhere", **{TWO: view(Stored("../../../tiny", 4096), (128, 32), (32, 1))})
tampered("of strides too few", **{TWO: view(Stored("0", 4096), (128, 32), (1,))})
tampered("of one number, stride 0", among=HARMLESS, out__0__weight=view(Stored("ones", 16), (32,), (0,)))


def values(name: str, change: Callable[[dict], dict | None], says: str = "", base=adm) -> None:
    """The network's state dict, changed, as .pt; `change` edits it, or returns what takes its place."""

    @case(name, "model.pt", says)
    def _(path):
        state = dict(base())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sparse and quantised tensors
            changed = change(state)
            torch.save(state if changed is None else changed, path)


def converted(dtype: torch.dtype) -> Callable[[dict], dict]:
    return lambda state: {key: value.to(dtype) for key, value in state.items()}


for _dtype in ("complex64", "int64", "int32", "int8", "uint8", "bool", "float8_e4m3fn", "float8_e5m2"):
    values(f"weights of {_dtype}", converted(getattr(torch, _dtype)), says=_dtype)
values("one weight of int64", lambda s: s.update({"out.2.weight": s["out.2.weight"].long()}), says="int64")
values("sparse weights", lambda s: {k: v.to_sparse() if v.ndim == 2 else v for k, v in s.items()})
values("sparse weights in rows", lambda s: {k: v.to_sparse_csr() if v.ndim == 2 else v for k, v in s.items()})
values("weights without data", lambda s: {k: v.to("meta") for k, v in s.items()})
values(
    "quantised weights",
    lambda s: {k: torch.quantize_per_tensor(v, 0.1, 0, torch.qint8) if v.ndim == 2 else v for k, v in s.items()},
)


def spoiled(number: float, key: str = "middle_block.0.in_layers.2.weight") -> Callable[[dict], None]:
    def change(state: dict) -> None:
        state[key] = state[key].clone()
        state[key].view(-1)[5] = number

    return change


for _number in (float("nan"), float("inf"), -float("inf"), 1e30, -1e30, 70_000.0):
    values(f"a weight of {_number}", spoiled(_number), says="(?i)nan|inf|finite|damaged|large")
values("a bias of NaN", spoiled(float("nan"), "out.2.bias"))
values("a norm of infinity", spoiled(float("inf"), "out.0.weight"))
values("a DDPM weight of NaN", spoiled(float("nan"), "mid.block_1.conv1.weight"), base=ddpm)
values("a double too large for single precision", lambda s: (s := converted(torch.float64)(s), spoiled(1e300)(s))[0])

for _suffix, _number in {"safetensors": float("nan"), "sft": 1e38}.items():

    @case(f"a weight of {_number} in {_suffix}", f"model.{_suffix}")
    def _(path, number=_number):
        state = dict(adm())
        spoiled(number)(state)
        save_file(state, path)


@case("a sparse tensor of giant size")
def _(path):
    sparse = torch.sparse_coo_tensor(torch.zeros(2, 1, dtype=torch.long), torch.ones(1), GIANT, check_invariants=True)
    torch.save({**adm(), "time_embed.0.weight": sparse}, path)


@case("a sparse tensor with indices outside")
def _(path):
    """Torch would not make one; the pickle says what to make it of."""
    index = view(Stored("index", 2, torch.LongStorage), (2, 1), (1, 1))
    claim = Call(torch._utils._rebuild_sparse_tensor, torch.sparse_coo, (index, view(SIXTEEN, (1,), (1,)), (128, 32)))
    with_layout(path, {"time_embed.0.weight": claim}, {**TINY, "index": struct.pack("<2q", 10**9, 10**9)})


def with_layout(path: Path, patch: Mapping[str, Call], storages: Mapping[str, bytes]) -> None:
    """As `patched_claims`; torch knows how its layouts are pickled only after it has saved one."""
    torch_bytes(torch.zeros(1, 1).to_sparse())
    patched_claims(path, patch, storages)


# ------------------------------------------------------------------------------------- pickles that hold code


class Runs:
    """A pickle of it makes the marker file when it is loaded naively."""

    def __init__(self, path: Path):
        self.marker = str(path.with_name(MARKER))

    def __reduce__(self):
        return Path.touch, (Path(self.marker),)


class Counts(dict):
    """A class that only the writer's program knows."""


CODE = {
    "touch": Runs,
    "open": lambda path: Call(open, Runs(path).marker, "w"),
    "eval": lambda path: Call(eval, f"open({Runs(path).marker!r}, 'w')"),
    "exec": lambda path: Call(exec, f"open({Runs(path).marker!r}, 'w')"),
    "os.system": lambda path: Call(os.system, f'echo > "{Runs(path).marker}"'),
    "subprocess": lambda path: Call(subprocess.call, [sys.executable, "-c", f"open({Runs(path).marker!r}, 'w')"]),
    "functools.partial": lambda path: Call(functools.partial(open, Runs(path).marker, "w")),
    "a pickle in a pickle": lambda path: Call(pickle.loads, pickle.dumps(Runs(path))),
    "a lookup": lambda path: Call(getattr, Call(__import__, "os"), "system"),
    "torch.load": lambda path: Call(torch.load, Runs(path).marker),
    "torch.hub": lambda path: Call(torch.hub.load, "somebody/something", "model"),
    "a torch function": lambda path: Call(torch.save, {}, Runs(path).marker),
}
for _name, _make in CODE.items():
    for _kind in ("zip", "old", "plain"):

        @case(f"code {_name} {_kind}", "model.pt", "(?i)code|more than tensors")
        def _(path, make=_make, kind=_kind):
            hidden = {**ddpm(), "extra": make(path)} if kind != "plain" else {"extra": make(path)}
            if kind == "plain":
                path.write_bytes(pickle.dumps(hidden, 2))
            else:
                path.write_bytes(torch_bytes(hidden, zipped=kind == "zip"))


@case("code in a pickle of protocol 4")
def _(path):
    path.write_bytes(pickle.dumps({"state_dict": Runs(path)}, 4))


@case("code in a pickle of protocol 0")
def _(path):
    path.write_bytes(pickle.dumps({"state_dict": Runs(path)}, 0))


@case("code in a pickle named safetensors", "model.safetensors")
def _(path):
    path.write_bytes(torch_bytes({**ddpm(), "extra": Runs(path)}))


@case("code after the end of the pickle", among=HARMLESS)
def _(path):
    parts = records(ddpm())
    parts["archive/data.pkl"] += pickle.dumps(Runs(path), 2)
    write_zip(path, parts.items())


@case("code in a second pickle of the archive", among=HARMLESS)
def _(path):
    write_zip(path, {**records(ddpm()), "archive/extra.pkl": pickle.dumps(Runs(path), 2)}.items())


@case("a module saved whole", says="(?i)names torch|code|more than tensors")
def _(path):
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)), path)


@case("a lightning checkpoint with a class of its own", says="(?i)code|more than tensors")
def _(path):
    Counts.__module__ = "somebodys_program"
    program = sys.modules["somebodys_program"] = type(sys)("somebodys_program")
    program.Counts = Counts
    torch.save({"state_dict": ddpm(), "callbacks": Counts(a=1)}, path)
    del sys.modules["somebodys_program"]


@case("NumPy numbers", says="(?i)numpy|more than tensors")
def _(path):
    torch.save({**ddpm(), "best": np.float64(3.0), "history": np.zeros(3)}, path)


# ------------------------------------------------------------------------------------------ pickles that explode


def opcodes(name: str, content: bytes) -> None:
    """Hand-made pickle bytes in an archive, and in a file of their own after the old format's preamble."""
    case(f"pickle {name}", "model.pt")(lambda path: write_pickle(path, content))

    @case(f"old pickle {name}", "model.pt")
    def _(path):
        info = {"little_endian": True, "protocol_version": 1001, "type_sizes": {"short": 2, "int": 4, "long": 4}}
        magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
        preamble = magic + pickle.dumps(1001, 2) + pickle.dumps(info, 2)
        path.write_bytes(preamble + content + pickle.dumps([], 2))


START, TINY_DICT = b"\x80\x02", b"}"
# A tuple as a key is hashed, depth first, without a limit: a deep one ends the process, a doubled one its patience.
opcodes("with a deep tuple as key", START + TINY_DICT + b")" + b"\x85" * 300_000 + b"K\x01s.")
opcodes("with a doubled tuple as key", START + TINY_DICT + b")" + b"q\x00h\x00\x86" * 60 + b"K\x01s.")
opcodes("of deep lists", START + b"]" * 300_000 + b"a" * 299_999 + b".")
opcodes("of doubled lists", START + b"]" + b"q\x00]h\x00ah\x00a" * 60 + b".")
opcodes("of deep dictionaries", START + b"}" + b"X\x05\x00\x00\x00model}" * 200_000 + b"s" * 200_000 + b".")
opcodes("that contains itself", START + b"}q\x00X\x05\x00\x00\x00modelh\x00s.")
opcodes("of a text of 4 GB that is not there", START + b"X\xff\xff\xff\xffabc.")
opcodes("of a long text of 2^62 bytes that is not there", START + b"\x8d" + struct.pack("<Q", 2**62) + b"abc.")
opcodes("of a number of 2 GB that is not there", START + b"\x8b\xff\xff\xff\x7f\x01.")
opcodes("of a number of negative length", START + b"\x8b\xff\xff\xff\xff\x01.")
opcodes("of a memo entry that is not there", START + b"h\x07.")
opcodes("of a memo entry numbered 4 billion", START + b"}r\xff\xff\xff\xff.")
opcodes("of marks alone", START + b"(" * 300_000 + b".")
opcodes("that ends nowhere", START + b"}" * 1000)
opcodes("that pops nothing", START + b"0000\x85\x85R.")
opcodes("of the extension registry", START + b"\x82\x01.")
opcodes("of 40 000 keys of one hash", START + b"}(" + b"".join(
    b"\x8a\x0a" + (k * (2**61 - 1)).to_bytes(10, "little") + b"N" for k in range(1, 40_001)
) + b"u.")  # fmt: skip
opcodes("of 3 GB of zeros", START + pickled(Call(bytearray, 3 * 10**9))[2:])
opcodes("of a tensor of 36 GB", START + pickled({"a": Call(torch.Tensor, 300_000, 30_000)})[2:])
opcodes("of a persistent id that is no tuple", START + b"K\x01Q.")
opcodes("of a persistent id too short", START + b"X\x07\x00\x00\x00storage\x85Q.")
opcodes("of a tensor of no storage", START + pickled({"a": view(None, (2,), (1,))})[2:])  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------- odd state dicts


def odd(name: str, value, says: str = "") -> None:
    case(f"state {name}", "model.pt", says)(lambda path: torch.save(value() if callable(value) else value, path))


odd("a list", lambda: list(adm().values()))
odd("one tensor", torch.zeros(3))
odd("a number", 3)
odd("a text", "state_dict")
odd("nothing", None)
odd("empty", {})
odd("wrapper of nothing", {"state_dict": {}})
odd("keys that are numbers", lambda: dict(enumerate(adm().values())))
odd("keys of several kinds", lambda: {**adm(), 3: torch.zeros(2), None: torch.zeros(2), (1, 2): torch.zeros(2)})
odd("an optimizer's", lambda: torch.optim.Adam([torch.nn.Parameter(torch.zeros(3))]).state_dict())
odd("an optimizer's and a step", lambda: {"optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}, "step": 3})


@case("state of 200 000 tensors")
def _(path):
    """Each costs a call; all are views of one storage."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("tiny") + text("cpu") + b"K\x10tQq\x02"
    numbers = b"K\x00K\x02\x85K\x01\x85\x89"  # offset, size, stride, no gradient
    first = b"ctorch._utils\n_rebuild_tensor_v2\nq\x01(" + storage + numbers + b"ccollections\nOrderedDict\n)Rq\x03tR"
    again = b"h\x01(h\x02" + numbers + b"h\x03tR"
    items = (text(f"k{i}.weight") + (again if i else first) for i in range(200_000))
    write_pickle(path, START + b"}(" + b"".join(items) + b"u.", TINY)


def text(value: str) -> bytes:
    """The opcode of a text."""
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def altered(name: str, change: Callable[[dict], None], says: str = "", base=adm) -> None:
    values(f"state {name}", change, says, base)


def extra(*keys: str) -> Callable[[dict], None]:
    return lambda state: state.update({key: torch.zeros(32) for key in keys})


def shaped(key: str, *shape: int) -> Callable[[dict], None]:
    return lambda state: state.update({key: torch.zeros(shape)})


altered("output block 999999999", extra("output_blocks.999999999.0.in_layers.0.weight"))
altered("output block of 5000 digits", extra(f"output_blocks.{'9' * 5000}.0.in_layers.0.weight"))
altered("output block -1", extra("output_blocks.-1.0.in_layers.0.weight"))
altered("output block x", extra("output_blocks.x.0.in_layers.0.weight"))
altered("output block without a number", extra("output_blocks."))
altered("output block ²", extra("output_blocks.².0.in_layers.0.weight"))
altered("input block -1", extra("input_blocks.-1.0.in_layers.0.weight"))
altered("input block 999999999", extra("input_blocks.999999999.0.in_layers.0.weight"))
altered("level 999999999", extra("down.999999999.block.0.conv1.weight"), base=ddpm)
altered("level x", extra("down.x.block.0.conv1.weight"), base=ddpm)
altered("a key of 1 MB", extra("k" * 1_000_000))
altered("keys with line ends and escapes", extra("a\nb", "\x1b[2J\x1b[31mred", "\u202egnp", "\0"))
altered("first key with escapes", lambda s: {"\x1b[2J\n\nnew": torch.zeros(2)})
altered("an empty key", extra(""))
altered("a key too many", extra("middle_block.9.weight"), "middle_block.9.weight")
altered("a key too few", lambda s: [s.pop("middle_block.1.qkv.bias")] and None, "middle_block.1.qkv.bias")
altered("without an end", lambda s: [s.pop(key) for key in list(s) if key.startswith("out.")] and None)
altered("without output blocks", lambda s: [s.pop(key) for key in list(s) if key.startswith("output_blocks")] and None)
altered("without a middle", lambda s: [s.pop(key) for key in list(s) if key.startswith("middle")] and None)
altered("without attention's bias", lambda s: [s.pop(key) for key in list(s) if key.endswith("qkv.bias")] and None)
altered("a key of another shape", shaped("middle_block.0.in_layers.2.weight", 64, 64, 5, 5), "middle_block.0.in_lay")
for _key in ("time_embed.0.weight", "input_blocks.0.0.weight", "input_blocks.1.0.out_layers.3.weight", "out.2.weight"):
    for _shape in ((), (0,), (4,), (0, 0), (4, 0), (0, 3, 3, 3), (1, 2, 3, 4, 5)):
        altered(f"{_key} of shape {_shape}", shaped(_key, *_shape))
for _key in ("temb.dense.0.weight", "conv_in.weight", "down.0.block.0.conv1.weight", "conv_out.weight"):
    for _shape in ((), (0, 0), (0, 3, 3, 3), (1, 2, 3, 4, 5)):
        altered(f"{_key} of shape {_shape}", shaped(_key, *_shape), base=ddpm)
altered("of 48 channels", lambda s: {k: torch.zeros([48 if n == 32 else n for n in v.shape]) for k, v in s.items()})
altered("one channel wide", lambda s: {k: torch.zeros([1] * v.ndim) for k, v in s.items()})
altered("all of zero size", lambda s: {k: torch.zeros([0] * v.ndim) for k, v in s.items()})
altered("a label embedding of another width", shaped("label_emb.weight", 1000, 7), "label_emb")
altered("an empty label embedding", shaped("label_emb.weight", 0, 128), "label_emb|class")
altered("of four output channels", shaped("out.2.weight", 4, 32, 3, 3))
altered("every name in both families", lambda s: s.update(ddpm()))


# ------------------------------------------------------------------------------------ other networks, by name


def another(name: str, says: str, state: Mapping[str, tuple] | Callable[[dict], None]) -> None:
    """A network of another kind: its shapes by name, or a change to the ADM network's."""

    @case(f"another network: {name}", "model.pt", says)
    def _(path):
        if callable(state):
            made = dict(adm())
            state(made)
        else:
            made = {key: torch.zeros(shape) for key, shape in state.items()}
        torch.save(made, path)


def latent_input(state: dict) -> None:
    state["input_blocks.0.0.weight"] = torch.zeros(32, 4, 3, 3)
    state["input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"] = torch.zeros(32, 32)


def classifier(state: dict) -> None:
    """As guided-diffusion's: the encoder half, and attention pooling at the end."""
    for key in [key for key in state if key.startswith(("output_blocks", "out."))]:
        del state[key]
    pool = {"positional_embedding": (64, 65), "qkv_proj.weight": (192, 64, 1), "c_proj.weight": (1000, 64, 1)}
    state.update({f"out.2.{key}": torch.zeros(shape) for key, shape in pool.items()})
    state.update({"out.0.weight": torch.zeros(64), "out.0.bias": torch.zeros(64)})


another("super-resolution", "(?i)super-resolution", shaped("input_blocks.0.0.weight", 32, 6, 3, 3))
another("classifier", "(?i)classifier", classifier)
another("latent U-Net", "(?i)latent", latent_input)
another("latent diffusion", "(?i)latent", {"model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3)})
another("grey pictures", "(?i)grey", shaped("input_blocks.0.0.weight", 32, 1, 3, 3))
another("diffusers", "(?i)diffusers", {
    "conv_in.weight": (128, 3, 3, 3), "time_embedding.linear_1.weight": (512, 128),
    "down_blocks.0.resnets.0.norm1.weight": (128,), "up_blocks.0.resnets.0.conv1.weight": (512, 1024, 3, 3),
})  # fmt: skip
another("autoencoder", "(?i)VAE|autoencoder", {
    "encoder.conv_in.weight": (128, 3, 3, 3), "encoder.down.0.block.0.norm1.weight": (128,),
    "decoder.conv_in.weight": (512, 4, 3, 3), "quant_conv.weight": (8, 8, 1, 1),
})  # fmt: skip
another("autoencoder in diffusion", "(?i)VAE|autoencoder", {"first_stage_model.encoder.conv_in.weight": (128, 3, 3, 3)})
another("CLIP", "(?i)CLIP", {
    "positional_embedding": (77, 512), "text_projection": (512, 512), "logit_scale": (),
    "visual.conv1.weight": (768, 3, 32, 32), "visual.transformer.resblocks.0.ln_1.weight": (768,),
})  # fmt: skip
another("CLIP of transformers", "(?i)CLIP", {
    "text_model.encoder.layers.0.self_attn.k_proj.weight": (512, 512), "vision_model.embeddings.class_embedding": (768,)
})  # fmt: skip
another("LoRA", "(?i)LoRA", {
    "lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight": (320, 4, 1, 1),
    "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": (4, 320, 1, 1),
})  # fmt: skip
another("score SDE", "(?i)score", {"all_modules.0.weight": (512, 128), "all_modules.0.bias": (512,), "sigmas": (1000,)})
another("score SDE, wrapped", "(?i)score", {"module.all_modules.0.weight": (512, 128), "module.sigmas": (1000,)})
another("image classifier", "conv1.weight", {"conv1.weight": (64, 3, 7, 7), "fc.weight": (1000, 512)})


# ------------------------------------------------------------------------------- odd, and yet the very network


@case("plain ADM", among=HARMLESS)
def _(path):
    torch.save(adm(), path)


@case("plain DDPM", "model.safetensors", among=HARMLESS)
def _(path):
    save_file(ddpm(), path)


@case("safetensors named pt", among=HARMLESS)
def _(path):
    save_file(ddpm(), path)


@case("pt named safetensors", "model.safetensors", among=HARMLESS)
def _(path):
    torch.save(ddpm(), path)


@case("columns before rows", among=HARMLESS)
def _(path):
    torch.save({k: v.t().contiguous().t() if v.ndim == 2 else v for k, v in adm().items()}, path)


@case("parameters of one storage", among=HARMLESS)
def _(path):
    flat = torch.cat([value.reshape(-1) for value in ddpm().values()])
    parts = flat.split([value.numel() for value in ddpm().values()])
    torch.save({k: part.view(v.shape) for part, (k, v) in zip(parts, ddpm().items(), strict=True)}, path)


@case("wrappers ten deep", among=HARMLESS)
def _(path):
    torch.save(functools.reduce(lambda inner, _: {"state_dict": inner}, range(10), ddpm()), path)


@case("big-endian throughout", among=HARMLESS)
def _(path):
    parts = {
        name: np.frombuffer(content, "<u4").astype(">u4").tobytes() if "/data/" in name else content
        for name, content in records(ddpm()).items()
    }
    write_zip(path, {**parts, "archive/byteorder": b"big"}.items())


@case("spaces, quotes and letters in the name", "ä 'model' %s {0} [1].pt", among=HARMLESS)
def _(path):
    torch.save(ddpm(), path)


# ----------------------------------------------------------------------------------------------------- flips


def flip(content: bytes, bit: int) -> bytes:
    """The bytes with one bit turned over."""
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def chosen_bits(content: bytes, structure: Iterable[tuple[int, int]], count: int, seed: int) -> list[int]:
    """Bits to turn over: half from anywhere, half from the given byte ranges, where a file's structure is."""
    draw = random.Random(seed)
    ranges = list(structure)
    anywhere = [draw.randrange(8 * len(content)) for _ in range(count // 2)]
    inside = [draw.randrange(8 * low, 8 * high) for low, high in (draw.choice(ranges) for _ in range(count // 2))]
    return anywhere + inside


def structure_of_zip(content: bytes) -> list[tuple[int, int]]:
    """The byte ranges of the pickle, the directory at the end, and each local header."""
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        entries, directory = source.infolist(), source.start_dir
    pickle_entry = next(entry for entry in entries if entry.filename.endswith("data.pkl"))
    start = pickle_entry.header_offset
    heads = [(entry.header_offset, entry.header_offset + 30 + len(entry.filename)) for entry in entries[:8]]
    return [(start, start + 64 + pickle_entry.file_size), (directory, len(content)), *heads]


def structure_of_old(content: bytes) -> int:
    """Where the five pickles end that stand before an old file's numbers."""
    stream = io.BytesIO(content)
    for _ in range(5):
        list(pickletools.genops(stream))
    return stream.tell()


# ------------------------------------------------------------------------------------------- loading under watch


class Outcome(NamedTuple):
    """What came of a file. `error` holds the names of the exception's classes, or the manner of the process's end."""

    error: tuple[str, ...]  # empty where it loaded
    message: str = ""
    network: tuple[str, ...] = ()  # digest of network and weights, and the rest of its settings, where it loaded
    seconds: float = 0.0  # of the processor
    memory: int = 0  # bytes above what was in use before


def digest(model) -> list[str]:
    """One text for the network's configuration and weights, and one for what else was read of it."""
    total = hashlib.sha256(repr(model.network.config).encode())
    for name, tensor in sorted(model.network.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.contiguous().numpy().tobytes())
    return [total.hexdigest(), f"{model.noise} {model.variance} {model.image_size}"]


def memory() -> int:
    """The most bytes of physical memory that this process held; 0 where there is no /proc."""
    try:
        text = Path("/proc/self/status").read_text()
    except FileNotFoundError:
        return 0
    return 1024 * int(re.search(r"VmHWM:\s*(\d+)", text)[1])


def attempt(path: str) -> Outcome:
    """Load one file here and now."""
    with contextlib.suppress(OSError):  # where there is no /proc, or it is closed
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, started = memory(), time.process_time()
    try:
        model = load_model(path)
    except Exception as error:  # judged by the tests
        kinds, message, network = [kind.__name__ for kind in type(error).__mro__], str(error), []
    else:
        kinds, message, network = [], "", digest(model)
    seconds = time.process_time() - started
    return Outcome(kinds, message, network, seconds, memory() - before)


def main() -> None:
    """Load each path of standard input and tell its outcome, a line each."""
    torch.set_num_threads(1)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(attempt(ast.literal_eval(line))), flush=True)


class Watch:
    """Loads files in another process, which may crash, hang or swell without harm; a new one takes its place."""

    def __init__(self, patience: float = 10.0, most: int = 3 * GIGABYTE // 2):
        self.patience, self.most, self.process = patience, most, None
        self.answers: queue.Queue[str] = queue.Queue()

    def load(self, path: Path) -> Outcome:
        """What came of the file."""
        if self.process is None or self.process.poll() is not None:
            self._start()
        self.process.stdin.write(repr(str(path)) + "\n")
        self.process.stdin.flush()
        answer = self._answer(self.patience)
        if answer in ("hung", "swelled"):
            self.close()
            return Outcome((answer,), memory=self.most if answer == "swelled" else 0)
        if not answer:
            return Outcome(("crashed",), f"status {self.process.wait()}")
        kinds, message, network, *rest = json.loads(answer)
        return Outcome(tuple(kinds), message, tuple(network), *rest)

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def _start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
        command = [sys.executable, "-X", "utf8", __file__]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, encoding="utf-8",
        )  # fmt: skip
        self.answers = queue.Queue()
        threading.Thread(target=self._listen, args=(self.process, self.answers), daemon=True).start()
        ready = self._answer(120.0)
        assert ready == "ready\n", f"the watched process did not start: {ready!r}"
        self.base = self._resident()

    @staticmethod
    def _listen(process: subprocess.Popen, answers: queue.Queue) -> None:
        for line in process.stdout:
            answers.put(line)
        answers.put("")  # its end

    def _answer(self, patience: float) -> str:
        """The next line; "" at the process's end, or why it was not waited for."""
        until = time.monotonic() + patience
        while time.monotonic() < until:
            try:
                return self.answers.get(timeout=0.02)
            except queue.Empty:
                if patience == self.patience and self._resident() > self.base + self.most:
                    return "swelled"
        return "hung"

    def _resident(self) -> int:
        """Bytes of physical memory that the process holds; 0 where there is no /proc."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (FileNotFoundError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
