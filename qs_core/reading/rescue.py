"""Files whose pixels are whole though something beside them is broken, odd or missing: the same file without it."""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

import numpy as np
from PIL import Image

from . import exif

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
NEEDED_SEGMENTS = {0xE0, 0xE2, 0xEE}  # of a JPEG's application segments: JFIF, colour profile, Adobe's colours
EXIF_SEGMENT, COMMENT, SCAN, END = 0xE1, 0xFE, 0xDA, b"\xff\xd9"
BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
NEEDED_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"sRGB", b"eXIf"}
LARGEST_PROFILE = 16 << 20  # bytes, unpacked
# What may follow data that was cut. Pixels that depend on it were not in the file.
TAILS = tuple(byte * 4096 for byte in (b"\0", b"\x55", b"\xaa", b"\xfe"))


def plain(data: bytes) -> tuple[bytes, dict] | None:
    """The same file without any metadata but what its look depends on; and what to put into the image's `info`.

    None for a format other than JPEG, PNG and TIFF.
    """
    if data.startswith(JPEG):
        return _plain_jpeg(data)
    if data.startswith(PNG):
        return _plain_png(data)
    return exif.without_orientation(data) if data[:4] in exif.ORDERS else None


def _plain_jpeg(data: bytes) -> tuple[bytes, dict]:
    kept, info, at = [data[:2]], {}, 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in BARE or marker == 0xFF:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == SCAN:
            break
        length = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at : at + length]
        if marker == EXIF_SEGMENT and segment[4:10] == b"Exif\0\0":
            info.setdefault("exif", segment[4:])
        if marker in NEEDED_SEGMENTS or not (0xE0 <= marker <= 0xEF or marker == COMMENT):
            kept.append(segment)
        at += length
    return b"".join([*kept, data[at:]]), info


def _plain_png(data: bytes) -> tuple[bytes, dict]:
    kept, info = [PNG], {}
    for name, content in _chunks(data):
        if name == b"iCCP":
            info["icc_profile"] = _unpacked(content)
        elif name in NEEDED_CHUNKS:
            kept.append(struct.pack(">I", len(content)) + name + content)
            kept.append(struct.pack(">I", zlib.crc32(name + content)))
    return b"".join(kept), info


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, content) of a PNG's whole chunks. One of the pixels' with a wrong checksum ends them: it is damaged."""
    at = len(PNG)
    while at + 12 <= len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        content, stated = data[at + 8 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        whole = stated == struct.pack(">I", zlib.crc32(name + content))
        if len(stated) < 4 or (not whole and name in NEEDED_CHUNKS):
            return
        if whole:
            yield name, content
        at += 12 + length


def _unpacked(content: bytes) -> bytes | None:
    """The colour profile in a PNG's chunk; None where it is broken or giant."""
    packed = content.partition(b"\0")[2][1:]
    try:
        unpacker = zlib.decompressobj()
        profile = unpacker.decompress(packed, LARGEST_PROFILE)
    except zlib.error:
        return None
    return profile if unpacker.eof else None


def completed(data: bytes) -> bytes | None:
    """A cut file with an end put to it; None where its pixels are not whole.

    They are whole where they do not depend on what follows: such a file lacks its end alone.
    """
    end = END if data.startswith(JPEG) else b""
    data = data.rstrip(b"\xff") if end else data  # half a marker
    first = _pixels(data + TAILS[0] + end)
    same = first is not None and all(np.array_equal(first, _pixels(data + tail + end)) for tail in TAILS[1:])
    return data + TAILS[0] + end if same else None


def _pixels(data: bytes) -> np.ndarray | None:
    try:
        with Image.open(BytesIO(data)) as image:
            return np.array(image)
    except Exception:  # a decoder may stumble over anything; the file was refused before, and now is for good
        return None
