"""A file on disk ⇄ state dict and metadata, safely: safetensors, or `torch.load(weights_only=True)`, nothing else.

A pickle with code in it is refused, never executed. Files are mapped where their format allows it, so that a weight
is only brought into memory where it is used.
"""

import hashlib
import io
import json
import os
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import InputError, UnsupportedCheckpoint
from . import pickles

WRAPPERS = ("ema", "state_dict", "model", "model_state_dict")  # averaged weights before those of the last step
SUFFIXES = (".safetensors", ".sft", ".pt", ".pth", ".ckpt", ".bin")
CONFIG, CHECKSUM = "qs_config", "qs_crc32"  # our entries in a safetensors header
MOST_KEYS = 20_000  # the published networks have some 650
MOST_CONFIG = 10_000  # characters
SAFE_TORCH = (2, 6)  # before it, weights_only could be tricked into running code (CVE-2025-32434)
OLD_PICKLES = 5  # pickles at the beginning of torch's format before 1.6
LARGEST_PICKLE = 64 << 20  # bytes; the names and shapes of 20 000 tensors have some 5 MB
ZIP, OLD_PICKLE = b"PK\x03\x04", b"\x80"
LARGEST_HEADER = 100_000_000  # bytes, safetensors' own limit
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
FOREIGN = {  # first bytes → what the file is, and what to do
    b"<!doctype": "is a web page, not a model: the server wanted a log-in or a confirmation. Fetch it with a browser",
    b"<html": "is a web page, not a model: the server wanted a log-in or a confirmation. Fetch it with a browser",
    b"<?xml": "is a server's answer, not a model. Fetch it again, from a mirror if the address is dead",
    b"version https://git-lfs": "is a Git LFS pointer, not the model itself. Fetch the file by its download link",
    b"gguf": "is a GGUF file of a quantised network. Choose a safetensors or .pt checkpoint",
    b"\x93numpy": "is a NumPy array, not a model. Choose a safetensors or .pt checkpoint",
    b"\x1f\x8b": "is a gzip archive. Unpack it first and choose the checkpoint inside",
}


def read(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """The file's state dict (unwrapped, `module.` prefixes cut off) and what its header states of the configuration.

    The format is told by the first bytes, not by the name. Raises InputError for a missing file, UnsupportedCheckpoint
    for a broken or unsafe one.
    """
    path = Path(path)
    if not _is_file(path):
        raise InputError(f"No model file at {path}. Give the path of a .safetensors or .pt checkpoint, or 'demo'.")
    with path.open("rb") as file:
        first = file.read(512)
    _refuse_foreign(first, path)
    if first.startswith((ZIP, OLD_PICKLE)) and not _looks_like_safetensors(first):
        state, header = _read_pickle(path, zipped=first.startswith(ZIP)), {}
    else:
        state, header = _read_safetensors(path)
    state = _unwrap(state, path)
    _check_claims(state, path)
    return state, header


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # e.g. a name that is too long for the file system
        return False


def _refuse_foreign(first: bytes, path: Path) -> None:
    if not first:
        raise UnsupportedCheckpoint(f"{path} is empty; the download may have failed. Fetch it again.")
    start = first.removeprefix(BYTE_ORDER_MARK).lstrip().lower()
    what = next((what for magic, what in FOREIGN.items() if start.startswith(magic)), None)
    if first[257:262] == b"ustar":
        what = "is a tar archive. Unpack it first and choose the checkpoint inside"
    if what:
        raise UnsupportedCheckpoint(f"{path} {what}.")


# ---------------------------------------------------------------------------------------------- safetensors


def _looks_like_safetensors(first: bytes) -> bool:
    """Whether the first bytes are a length in eight bytes, little end first, of the JSON that begins after it."""
    return first[8:9] == b"{" and int.from_bytes(first[:8], "little") <= LARGEST_HEADER


def _read_safetensors(path: Path) -> tuple[dict, dict]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata, names = file.metadata() or {}, file.keys()
            _check_count(len(names), path)
            state = {name: file.get_tensor(name) for name in names}
    except UnsupportedCheckpoint:
        raise
    except Exception as error:  # a damaged file can make the reader stumble over anything
        known = isinstance(error, SafetensorError | OSError)
        told = _first_line(error) if known else type(error).__name__
        raise UnsupportedCheckpoint(
            f"{path} is no readable safetensors or PyTorch file ({told}). Is it a model, whole? Fetch it again."
        ) from error
    if CHECKSUM in metadata and metadata[CHECKSUM] != _checksum(state, metadata.get(CONFIG, "")):
        raise UnsupportedCheckpoint(f"{path} is damaged: its checksum is not that of its content. Fetch it again.")
    return state, _header(metadata.get(CONFIG, "{}"), path)


def _header(text: str, path: Path) -> dict:
    try:
        header = json.loads(text) if len(text) <= MOST_CONFIG else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise UnsupportedCheckpoint(
            f"{path} has a broken header: its {CONFIG} {text[:40]!r} is no JSON object. Fetch it again."
        )
    return header


def write(path: str | Path, state: Mapping[str, Tensor], config: Mapping) -> None:
    """Write a safetensors file with the configuration and a checksum in its header; it appears whole or not at all.

    The checksum is a CRC-32 of the configuration and of every tensor's name, type, shape and bytes.
    """
    path, text = Path(path), json.dumps(config)
    partial = path.with_name(f".{path.name}.partial")
    try:
        save_file(dict(state), partial, {"format": "pt", CONFIG: text, CHECKSUM: _checksum(state, text)})
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _checksum(state: Mapping[str, Tensor], text: str) -> str:
    total = zlib.crc32(text.encode())
    for name in sorted(state):
        tensor = state[name]
        total = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), total)
        total = zlib.crc32(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy(), total)
    return f"{total:08x}"


def sha256(path: str | Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file) -> str:
    digest = hashlib.sha256()  # Python 3.10
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


# -------------------------------------------------------------------------------------------------- pickles


def _read_pickle(path: Path, zipped: bool) -> dict:
    if _torch_version() < SAFE_TORCH:
        raise UnsupportedCheckpoint(
            f"{path} is a pickle, and torch {torch.__version__} cannot read one safely (CVE-2025-32434). Update torch "
            "to 2.6 or newer, or use a safetensors file."
        )
    try:
        if zipped:
            pickles.check(io.BytesIO(_check_archive(path)))
        else:
            _check_old_file(path)
    except pickles.SuspiciousPickle as error:
        raise UnsupportedCheckpoint(
            f"{path} {error}. It was not loaded: such a file is broken, or can run code. "
            "Use a safetensors file, or one saved with torch.save(model.state_dict())."
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the pickle's protocol, of old storage classes
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # a damaged file can make the reader stumble over anything; its advice is not passed on
        raise UnsupportedCheckpoint(
            f"{path} is no readable checkpoint ({type(error).__name__}). Is it a model file, whole? Fetch it again."
        ) from error


def _check_old_file(path: Path) -> None:
    """Check the pickles of torch's format before 1.6: magic number, version, system, the object, storage names."""
    with path.open("rb") as file:
        for _ in range(OLD_PICKLES):
            pickles.check(file)


def _torch_version() -> tuple[int, ...]:
    return tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])


def _check_archive(path: Path) -> bytes:
    """The pickle in a zip file that torch.save made. Raises UnsupportedCheckpoint for any other, and a damaged one."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if any(entry.filename.endswith("/constants.pkl") for entry in entries):
                raise UnsupportedCheckpoint(
                    f"{path} is a TorchScript archive, that is a program, which is never run. Use a state dict in a "
                    "safetensors or .pt file; OpenAI's CLIP is loaded by its tag: openai."
                )
            content = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
            if len(content) != 1:
                raise UnsupportedCheckpoint(
                    f"{path} is a zip archive, but no PyTorch file. Unpack it, or fetch it again."
                )
            strange = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
            if strange or len(entries) > MOST_KEYS or content[0].file_size > LARGEST_PICKLE:
                raise UnsupportedCheckpoint(
                    f"{path} is a zip archive that torch.save did not make (compressed, or of too many parts). "
                    "Use the file as its authors published it."
                )
            damaged = archive.testzip()  # torch itself does not compare the records' CRC-32
            text = b"" if damaged else archive.read(content[0])
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        if isinstance(error, UnsupportedCheckpoint):
            raise
        raise UnsupportedCheckpoint(
            f"{path} is no whole PyTorch file ({_first_line(error)}). Fetch it again."
        ) from error
    if damaged:
        raise UnsupportedCheckpoint(f"{path} is damaged: the checksum of one of its parts is wrong. Fetch it again.")
    return text


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:200]


# -------------------------------------------------------------------------------------------- what it holds


def _unwrap(state, path: Path) -> dict[str, Tensor]:
    for _ in range(3):
        inner = next(
            (state[key] for key in WRAPPERS if isinstance(state, dict) and isinstance(state.get(key), dict)), None
        )
        if inner is None:
            break
        state = inner
    tensors = (
        {key: value for key, value in state.items() if isinstance(value, Tensor)} if isinstance(state, dict) else {}
    )
    if not tensors or not all(isinstance(key, str) for key in tensors):
        raise UnsupportedCheckpoint(
            f"{path} holds no named tensors, so it is no model checkpoint. Choose a network's state dict."
        )
    if all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    return tensors


def _check_count(tensors: int, path: Path) -> None:
    if tensors > MOST_KEYS:
        raise UnsupportedCheckpoint(f"{path} holds {tensors} tensors; a U-Net has some 650. Choose a checkpoint.")


def _check_claims(state: Mapping[str, Tensor], path: Path) -> None:
    """Raises UnsupportedCheckpoint for tensors that would need more memory than the file has bytes."""
    _check_count(len(state), path)
    odd = next(
        (k for k, v in state.items() if v.layout != torch.strided or v.is_quantized or v.device.type != "cpu"), 0
    )
    if odd:
        raise UnsupportedCheckpoint(
            f"{path} holds a sparse, quantised or empty tensor ({ascii(odd[:80])}). Use the network's plain weights."
        )
    claimed, size = sum(tensor.numel() * tensor.element_size() for tensor in state.values()), path.stat().st_size
    if claimed > size:
        raise UnsupportedCheckpoint(
            f"{path} has {size} bytes, but its tensors claim {claimed}. It is damaged, or made to harm. Fetch it again."
        )
