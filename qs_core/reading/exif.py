"""The one EXIF tag that a picture's look depends on, read by itself: what the others hold is nobody's business."""

import struct

ORIENTATION = 0x0112
HEADER = b"Exif\0\0"  # once, and in some cameras' files twice
ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
WHOLE = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}  # EXIF's types of whole numbers, as struct names them
RATIONAL = {5: "II", 10: "ii"}  # which stand elsewhere in the file


def orientation(exif: bytes) -> int | None:
    """The number from 1 to 8 in EXIF data, None where there is none or it cannot be read."""
    while exif.startswith(HEADER):
        exif = exif[len(HEADER) :]
    try:
        order, kind, at = _find(exif)
        number = _value(exif, order, kind, at)
    except (LookupError, struct.error, ZeroDivisionError):  # cut short, or no EXIF at all
        return None
    return number if number in range(1, 9) else None


def without_orientation(tiff: bytes) -> tuple[bytes, dict]:
    """A TIFF that says it is upright, and for an image's `info` what it said; itself where it said nothing."""
    stated = orientation(tiff)
    if stated is None:
        return tiff, {}
    order, _, at = _find(tiff)
    upright = tiff[: at - 6] + struct.pack(order + "HIH", 3, 1, 1) + tiff[at + 2 :]
    entry = struct.pack("<IHHHIHxxI", 8, 1, ORIENTATION, 3, 1, stated, 0)
    return upright, {"exif": b"II*\0" + entry}


def _find(exif: bytes) -> tuple[str, int, int]:
    """Byte order, type and place of the orientation's value. Raises LookupError or struct.error for none."""
    order = ORDERS[exif[:4]]
    (at,) = struct.unpack_from(order + "I", exif, 4)
    (count,) = struct.unpack_from(order + "H", exif, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", exif, entry)
        if tag == ORIENTATION:
            return order, kind, entry + 8
    raise LookupError


def _value(exif: bytes, order: str, kind: int, at: int) -> int:
    if kind in WHOLE:
        return struct.unpack_from(order + WHOLE[kind], exif, at)[0]
    (elsewhere,) = struct.unpack_from(order + "I", exif, at)
    above, below = struct.unpack_from(order + RATIONAL[kind], exif, elsewhere)
    return above // below
