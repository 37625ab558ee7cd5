"""What torch.save wrote, read by torch's weights-only reader once its pickles and its archive are known to be tame."""

import io
import warnings
import zipfile
from pathlib import Path

import torch

from ..errors import UnsupportedCheckpoint
from . import pickles
from .contents import MOST_KEYS

ZIP, PICKLE = b"PK\x03\x04", b"\x80"
SAFE_TORCH = (2, 6)  # before it, weights_only could be tricked into running code (CVE-2025-32434)
OLD_PICKLES = 5  # at the beginning of the format before torch 1.6: magic number, version, system, object, storage names
LARGEST_PICKLE = 64 << 20  # bytes; the names and shapes of 20 000 tensors have some 5 MB
LARGEST_DIRECTORY = 8 << 20  # bytes of a zip file's directory; 20 000 entries have some 2 MB
ADVICE = "It was not loaded. Use a safetensors file, or one with weights alone: torch.save(model.state_dict(), …)."


def detect(first: bytes) -> bool:
    """Whether a file that begins so may be one of torch.save's."""
    return first.startswith((ZIP, PICKLE))


def read(path: Path, first: bytes) -> object:
    """What the file holds. Raises UnsupportedCheckpoint for anything but tensors and plain values."""
    zipped = first.startswith(ZIP)
    if _version() < SAFE_TORCH:
        raise UnsupportedCheckpoint(
            f"{path} is a pickle, and torch {torch.__version__} cannot read one safely (CVE-2025-32434). Update torch "
            "to 2.6 or newer, or use a safetensors file."
        )
    try:
        if zipped:
            pickles.check(io.BytesIO(_pickle_in_archive(path)))
        else:
            _check_old_file(path)
    except pickles.SuspiciousPickle as error:
        raise UnsupportedCheckpoint(f"{path} {error}. {ADVICE}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the pickle's protocol, of old storage classes
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # a damaged file can make the reader stumble over anything; its advice is not passed on
        raise UnsupportedCheckpoint(
            f"{path} is no readable checkpoint ({type(error).__name__}). Is it a model file, whole? Fetch it again."
        ) from error


def _version() -> tuple[int, ...]:
    return tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])


class _Bounded:
    """A file of which only so many bytes can be read; reading further raises."""

    def __init__(self, file, most: int):
        self.file, self.left = file, most

    def read(self, count: int) -> bytes:
        self.left -= count
        if self.left < 0:
            raise pickles.SuspiciousPickle("holds a giant pickle")
        return self.file.read(count)

    def readline(self) -> bytes:
        line = self.file.readline(self.left + 1)
        self.left -= len(line)
        if self.left < 0:
            raise pickles.SuspiciousPickle("holds a giant pickle")
        return line


def _check_old_file(path: Path) -> None:
    with path.open("rb") as file:
        bounded = _Bounded(file, LARGEST_PICKLE)
        for _ in range(OLD_PICKLES):
            pickles.check(bounded)


def _pickle_in_archive(path: Path) -> bytes:
    """The pickle in a zip file that torch.save made. Raises UnsupportedCheckpoint for any other, and a damaged one."""
    try:
        _check_directory(path)
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_entries(entries, path)
            damaged = archive.testzip()  # torch itself does not compare the records' CRC-32
            (content,) = (entry for entry in entries if entry.filename.endswith("/data.pkl"))
            text = b"" if damaged else archive.read(content)
    except UnsupportedCheckpoint:
        raise
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise UnsupportedCheckpoint(
            f"{path} is no whole PyTorch file ({type(error).__name__}). Fetch it again."
        ) from error
    if damaged:
        raise UnsupportedCheckpoint(
            f"{path} is damaged: the checksum of one of its parts is wrong. Fetch it again; if it was saved with "
            "checksums switched off, save it again with them."
        )
    return text


def _check_directory(path: Path) -> None:
    """Raises UnsupportedCheckpoint for a directory that would take long to read; found as zipfile finds it."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - (1 << 16) - 22))
        tail = file.read()
    at = len(tail) - 22
    if at < 0 or tail[at : at + 4] != b"PK\x05\x06" or tail[-2:] != b"\0\0":
        at = tail.rfind(b"PK\x05\x06")
    length = int.from_bytes(tail[at + 12 : at + 16], "little")
    if length == 0xFFFFFFFF:
        at = tail.rfind(b"PK\x06\x06")
        length = int.from_bytes(tail[at + 40 : at + 48], "little")
    if at >= 0 and length > LARGEST_DIRECTORY:
        raise UnsupportedCheckpoint(f"{path} is a zip archive of too many parts. Use the file as it was published.")


def _check_entries(entries: list[zipfile.ZipInfo], path: Path) -> None:
    names = [entry.filename for entry in entries]
    if any(name.endswith("/constants.pkl") for name in names):
        raise UnsupportedCheckpoint(
            f"{path} is a TorchScript archive, that is a program, which is never run. Use a state dict in a "
            "safetensors or .pt file; OpenAI's CLIP is loaded by its tag: openai."
        )
    content = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
    if len(content) != 1:
        raise UnsupportedCheckpoint(f"{path} is a zip archive, but no PyTorch file. Unpack it, or fetch it again.")
    compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    too_much = sum(entry.file_size for entry in entries) > path.stat().st_size or len(set(names)) < len(names)
    if compressed or too_much or len(entries) > MOST_KEYS or content[0].file_size > LARGEST_PICKLE:
        raise UnsupportedCheckpoint(
            f"{path} is a zip archive that torch.save did not make (compressed, or its parts overlap or are too many). "
            "Use the file as its authors published it."
        )
