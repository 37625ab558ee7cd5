"""A file on disk ⇄ state dict and metadata, safely: safetensors, or `torch.load(weights_only=True)`, nothing else.

A pickle with code in it is refused, never executed. Files are mapped where their format allows it, so that a weight
is only brought into memory where it is used.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import InputError, UnsupportedCheckpoint, first_line
from ..paths import expanded, is_file, partial
from . import torch_files
from .contents import Found, check_claims, check_count, unwrap

SUFFIXES = (".safetensors", ".sft", ".pt", ".pth", ".ckpt", ".bin")
CONFIG, CHECKSUM = "qs_config", "qs_crc32"  # our entries in a safetensors header
STYLE = "style"  # what the configuration of a fine-tuned style says of it
MOST_CONFIG = 10_000  # characters
LARGEST_HEADER = 3 << 20  # bytes; 20 000 tensors need as much, the published networks some 70 000
MOST_QUOTES = 250_000  # in a header; a tensor has ten
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
PAGE = "is a web page, not a model: the server wanted a log-in or a confirmation. Fetch it with a browser"
FOREIGN = {  # first bytes → what the file is, and what to do
    b"<!doctype": PAGE,
    b"<html": PAGE,
    b"<?xml": "is a server's answer, not a model. Fetch it again, from a mirror if the address is dead",
    b"version https://git-lfs": "is a Git LFS pointer, not the model itself. Fetch the file by its download link",
    b"gguf": "is a GGUF file of a quantised network. Choose a safetensors or .pt checkpoint",
    b"\x93numpy": "is a NumPy array, not a model. Choose a safetensors or .pt checkpoint",
    b"\x1f\x8b": "is a gzip archive. Unpack it first and choose the checkpoint inside",
}


def read(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """The file's state dict (unwrapped, without common prefixes) and what its header states of the configuration.

    The format is told by the first bytes, not by the name. Raises InputError for a missing file, UnsupportedCheckpoint
    for a broken or unsafe one.
    """
    found, header = find(path)
    return found.state, header


def find(path: str | Path) -> tuple[Found, dict]:
    """As `read`, with where in the file the weights were."""
    path = expanded(path)
    if not is_file(path):
        raise InputError(f"No model file at {path}. Give the path of a .safetensors or .pt checkpoint, or 'demo'.")
    with path.open("rb") as file:
        first = file.read(512)
    _refuse_foreign(first, path)
    if torch_files.detect(first) and not _looks_like_safetensors(first):
        content, header = torch_files.read(path, first), {}
    else:
        content, header = _read_safetensors(path)
    found = unwrap(content, path)
    check_claims(found.state, path)
    return found, header


def _refuse_foreign(first: bytes, path: Path) -> None:
    if not first:
        raise UnsupportedCheckpoint(f"{path} is empty; the download may have failed. Fetch it again.")
    start = first.removeprefix(BYTE_ORDER_MARK).lstrip().lower()
    what = next((what for magic, what in FOREIGN.items() if start.startswith(magic)), None)
    if first[257:262] == b"ustar":
        what = "is a tar archive. Unpack it first and choose the checkpoint inside"
    if what:
        raise UnsupportedCheckpoint(f"{path} {what}.")


def _looks_like_safetensors(first: bytes) -> bool:
    """Whether the first bytes are a length in eight bytes, little end first, of the JSON that begins after it."""
    return first[8:9] == b"{" and int.from_bytes(first[:8], "little") <= LARGEST_HEADER


def _read_safetensors(path: Path) -> tuple[dict, dict]:
    _check_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata, names = file.metadata() or {}, file.keys()
            check_count(len(names), path)
            state = {name: file.get_tensor(name) for name in names}
    except UnsupportedCheckpoint:
        raise
    except Exception as error:  # a damaged file can make the reader stumble over anything
        known = isinstance(error, SafetensorError | OSError)
        raise _unreadable(path, str(error) if known else type(error).__name__) from error
    if CHECKSUM in metadata and metadata[CHECKSUM] != _checksum(state, metadata.get(CONFIG, "")):
        raise UnsupportedCheckpoint(
            f"{path} is damaged, or was changed by another program: its checksum is not that of its content. "
            "Fetch it again, or convert the original again."
        )
    return state, _header(metadata.get(CONFIG, "{}"), path)


def _check_header(path: Path) -> None:
    """Raises UnsupportedCheckpoint for a header that would take long to read, and for none."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length <= LARGEST_HEADER else b""
    if not header.lstrip().startswith(b"{"):
        raise _unreadable(path, "it has no header" if header else "header too large")
    if header.count(b'"') > MOST_QUOTES:
        raise _unreadable(path, "its header has too many entries")


def _unreadable(path: Path, what: str) -> UnsupportedCheckpoint:
    return UnsupportedCheckpoint(
        f"{path} is no readable safetensors or PyTorch file ({first_line(what)}). Is it a model, whole? Fetch it again."
    )


def _header(text: str, path: Path) -> dict:
    try:
        header = json.loads(text) if len(text) <= MOST_CONFIG else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise UnsupportedCheckpoint(
            f"{path} has a broken header: its {CONFIG} {text[:40]!r} is no short JSON object. Fetch it again."
        )
    return header


def write(path: str | Path, state: Mapping[str, Tensor], config: Mapping) -> None:
    """Write a safetensors file with the configuration and a checksum in its header; it appears whole or not at all.

    The checksum is a CRC-32 of the configuration and of every tensor's name, type, shape and bytes.
    Raises InputError where no file can be written.
    """
    path, text = expanded(path), json.dumps(config)
    unfinished = partial(path)
    try:
        save_file(dict(state), unfinished, {"format": "pt", CONFIG: text, CHECKSUM: _checksum(state, text)})
        os.umask(mask := os.umask(0))
        unfinished.chmod(0o666 & ~mask)  # as any new file; safetensors lets only the owner read it
        os.replace(unfinished, path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"Cannot write {path} ({error}). Choose a writable place with room for it.") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _checksum(state: Mapping[str, Tensor], text: str) -> str:
    total = zlib.crc32(text.encode())
    for name in sorted(state):
        tensor = state[name]
        total = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), total)
        total = zlib.crc32(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy(), total)
    return f"{total:08x}"


def sha256(path: str | Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with expanded(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file) -> str:
    digest = hashlib.sha256()  # Python 3.10
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
