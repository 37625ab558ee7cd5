"""Picture files written byte by byte, with the numbers that a reader must find in them, known without any reader."""

import struct
import zlib

import numpy as np

PNG = b"\x89PNG\r\n\x1a\n"
# Chromaticities' matrices to XYZ under D50, as profiles state them.
SRGB = ((0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
P3 = ((0.5151, 0.2412, -0.0011), (0.2919, 0.6922, 0.0419), (0.1572, 0.0666, 0.7841))
ADOBE = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(values: np.ndarray, depth: int, colour: int, extra: bytes = b"", after: bytes = b"") -> bytes:
    """(H, W, channels) whole numbers; `extra` chunks before the pixels, `after` behind them."""
    height, width = values.shape[:2]
    rows = values.reshape(height, -1)
    if depth == 16:
        packed = rows.astype(">u2").view(np.uint8)
    elif depth == 8:
        packed = rows.astype(np.uint8)
    else:
        bits = (rows[..., None] >> np.arange(depth - 1, -1, -1)) & 1
        packed = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    lines = b"".join(b"\0" + row.tobytes() for row in packed)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return PNG + head + extra + chunk(b"IDAT", zlib.compress(lines)) + after + chunk(b"IEND", b"")


def tiff(values: np.ndarray, photometric: int, order: str = "<", tags: tuple[tuple[int, int, int], ...] = ()) -> bytes:
    """(H, W, channels) of the type that the file shall have; further tags as (number, type, value)."""
    height, width, channels = values.shape
    bits, form = 8 * values.dtype.itemsize, {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    pixels = values.astype(values.dtype.newbyteorder(order)).tobytes()
    entries = [(256, 4, width), (257, 4, height), (259, 3, 1), (262, 3, photometric), (273, 4, 8), (277, 3, channels)]
    entries += [(278, 4, height), (279, 4, len(pixels)), *tags]
    behind, directory = b"", []
    start = 8 + len(pixels) + len(pixels) % 2
    many = [(258, [bits] * channels), (339, [form] * channels)]
    end = start + 2 + 12 * (len(entries) + len(many)) + 4
    for tag, numbers in many:
        content = struct.pack(f"{order}{channels}H", *numbers)
        place = content.ljust(4, b"\0") if len(content) <= 4 else struct.pack(order + "I", end + len(behind))
        behind += content if len(content) > 4 else b""
        directory.append((tag, struct.pack(order + "HHI", tag, 3, channels) + place))
    for tag, kind, value in entries:
        place = struct.pack(order + {3: "H2x", 4: "I"}[kind], value)
        directory.append((tag, struct.pack(order + "HHI", tag, kind, 1) + place))
    table = b"".join(entry for _, entry in sorted(directory))
    mark = b"II*\0" if order == "<" else b"MM\0*"
    body = mark + struct.pack(order + "I", start) + pixels + b"\0" * (len(pixels) % 2)
    return body + struct.pack(order + "H", len(directory)) + table + struct.pack(order + "I", 0) + behind


def exif(orientation: int, order: str = "<", odd: bytes = b"") -> bytes:
    """EXIF data with the orientation alone, or with one more entry of 12 bytes before it."""
    mark, entry = (b"II*\0" if order == "<" else b"MM\0*"), struct.pack(order + "HHIHxx", 0x0112, 3, 1, orientation)
    return mark + struct.pack(order + "IH", 8, 1 + bool(odd)) + odd + entry + struct.pack(order + "I", 0)


def turned(seen: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, 3) as EXIF's orientation has it shown."""
    if orientation in (5, 6, 7, 8):
        seen = seen.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        seen = seen[:, ::-1]
    return seen[::-1] if orientation in (3, 4, 7, 8) else seen


def profile(columns=None, gamma: float = 2.2, space: bytes = b"RGB ") -> bytes:
    """An ICC profile of version 2 with a matrix and a gamma, or of grey with a gamma."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    curve = b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256)) + b"\0\0"
    white = b"XYZ " + b"\0" * 4 + fixed(0.9642) + fixed(1.0) + fixed(0.8249)
    text = b"desc" + struct.pack(">II", 0, 5) + b"made\0" + b"\0" * 78
    tags = [(b"desc", text), (b"cprt", b"text\0\0\0\0none\0"), (b"wtpt", white)]
    if space == b"GRAY":
        tags += [(b"kTRC", curve)]
    else:
        xyz = [b"XYZ " + b"\0" * 4 + b"".join(map(fixed, column)) for column in columns]
        tags += zip((b"rXYZ", b"gXYZ", b"bXYZ"), xyz, strict=True)
        tags += ((name, curve) for name in (b"rTRC", b"gTRC", b"bTRC"))
    table, body, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags:
        content = content.ljust(-(-len(content) // 4) * 4, b"\0")
        table += name + struct.pack(">II", at + len(body), len(content))
        body += content
    head = struct.pack(">I4sI4s4s4s12x4s28x", at + len(body), b"none", 0x02100000, b"mntr", space, b"XYZ ", b"acsp")
    head += fixed(0.9642) + fixed(1.0) + fixed(0.8249)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def managed(seen: np.ndarray, columns, gamma: float) -> np.ndarray:
    """What (H, W, 3) in [0, 1] under such a profile looks like in sRGB."""
    light = seen**gamma
    linear = (light @ np.array(columns) @ np.linalg.inv(np.array(SRGB))).clip(0, 1) if columns else light
    return encoded(linear)


def encoded(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def with_segments(jpeg: bytes, *segments: tuple[int, bytes]) -> bytes:
    """A JPEG with more application segments, (marker, content)."""
    made = (bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content for marker, content in segments)
    return jpeg[:2] + b"".join(made) + jpeg[2:]
