"""A picture file, whatever Pillow opens and however its camera or program wrote it → an upright Pillow image.

Metadata never is a reason to fail: of it the orientation and the colour profile are read. A file whose pixels are whole
is opened; one that is cut says so. What would fill memory is reduced while it is decoded, or refused.
"""

import os
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import Image, UnidentifiedImageError

from ..errors import InputError, first_line
from ..paths import expanded, is_file
from . import exif, foreign, rescue

LIMIT = "QS_MAX_PIXELS"  # an environment variable: the most pixels of a picture that are decoded
REDUCIBLE = ("JPEG", "MPO")
REDUCED = 4  # times as many may a JPEG have that is decoded at a half, a quarter or an eighth of its size
LARGE = 16_000_000  # pixels: a picture of more comes reduced where no more is asked for, any other as it is
GAP = 3  # a reduced picture keeps at least so many times the short side that is asked for
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)

File = str | Path | bytes | BinaryIO


class Contents(NamedTuple):
    """A picture file's name in messages, and where its bytes are: a path, or themselves."""

    name: str
    source: Path | bytes

    def open(self) -> BinaryIO:
        """A new stream of the bytes."""
        return BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open("rb")

    def bytes(self) -> bytes:
        """All of them."""
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()


def contents(file: File) -> Contents:
    """Where the picture is. Raises InputError for a path without a file, and for a file that was opened as text."""
    if isinstance(file, bytes | bytearray | memoryview):
        return Contents("The picture in bytes", bytes(file))
    if hasattr(file, "read"):
        return Contents(_name(file), _all(file))
    path = expanded(file)
    if not is_file(path):
        raise InputError(f"No picture at {path}{_instead(path)}.")
    return Contents(str(path), path)


def _name(file: BinaryIO) -> str:
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else "The picture in an open file"


def _all(file: BinaryIO) -> bytes:
    """From the file's beginning, wherever it was read to."""
    try:
        file.seek(0)
    except (AttributeError, OSError, ValueError):  # a stream, which gives what it has left
        pass
    data = file.read()
    if not isinstance(data, bytes):
        raise InputError(f"{_name(file)} was opened as text. Open it as bytes: open(path, 'rb').")
    return data


def _instead(path: Path) -> str:
    try:
        if path.is_dir():
            return ": it is a folder. Name a picture in it"
    except (OSError, ValueError):
        pass
    return ": it is an address. Fetch the file first" if str(path).startswith(("http:/", "https:/")) else ""


def size(file: File) -> tuple[int, int]:
    """(height, width) of the upright picture by the file's head alone. Raises InputError as `load` does.

    A PNG whose orientation stands behind its pixels is taken as upright.
    """
    at = contents(file)
    image = _tried(at, lambda stream, info: _open(stream, info, at.name))
    _check_size(image.size, (1, 1) if image.format in REDUCIBLE and is_large(image.size) else image.size, at.name)
    tags = getattr(image, "tag_v2", None)  # a TIFF's, whose size Pillow may have turned already
    width, height = (tags[256], tags[257]) if tags else image.size
    turn = tags.get(exif.ORIENTATION, 1) if tags else orientation(image)
    return (width, height) if turn in SIDEWAYS else (height, width)


def load(file: File, short_side: int | None = None) -> Image.Image:
    """The picture as it is in its file: decoded, not yet upright, its mode and `info` as Pillow gives them.

    With `short_side` a JPEG of more than `LARGE` pixels may come smaller, its short side at least `GAP` times that.
    Raises InputError for a file that is missing, no picture, cut, or too large.
    """
    at = contents(file)

    def decode(stream: BinaryIO, info: dict) -> Image.Image:
        image = _open(stream, info, at.name)
        whole = image.size
        if short_side and is_large(whole):
            image.draft(None, (GAP * short_side, GAP * short_side))
        _check_size(whole, image.size, at.name)
        image.load()
        return image

    return _tried(at, decode)


def turned(image: Image.Image, number: int) -> Image.Image:
    """An image with that orientation turned upright."""
    return image.transpose(TURNS[number]) if number in TURNS else image


def orientation(image: Image.Image) -> int:
    """EXIF's number from 1 (upright) to 8 of a decoded image. 1 where nothing is said, or nothing that can be read."""
    if stated := exif.orientation(image.info.get("exif") or b""):
        return stated
    if hasattr(image, "tag_v2"):
        return 1  # a TIFF is turned by Pillow as it is decoded
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other tags, which are nobody's business
            return int(image.getexif().get(exif.ORIENTATION, 1))
    except Exception:  # whatever a broken tag leads to, in any Pillow
        return 1


def _tried(at: Contents, work: Callable[[BinaryIO, dict], Image.Image]) -> Image.Image:
    """What `work` makes of the stream, or of the same file without what is broken. Raises InputError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata, and of a size that is judged here
        return _mended(at, work)


def _mended(at: Contents, work: Callable[[BinaryIO, dict], Image.Image]) -> Image.Image:
    try:
        return _done(at.open(), {}, work)
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(f"{at.name} cannot be opened ({error.strerror}). Allow reading it.") from error
    except MemoryError as error:
        raise InputError(f"{at.name} does not fit into memory. Shrink it.") from error
    except Exception as error:  # a damaged file can make a decoder stumble over anything
        image = _rescued(at, work)
        if image is None:
            raise _refusal(at, error) from error
        return image


def _done(stream: BinaryIO, info: dict, work: Callable[[BinaryIO, dict], Image.Image]) -> Image.Image:
    with stream:
        return work(stream, info)


def _rescued(at: Contents, work: Callable[[BinaryIO, dict], Image.Image]) -> Image.Image | None:
    data = at.bytes()
    stripped, info = rescue.plain(data) or (data, {})
    for mend in (lambda: stripped, lambda: rescue.completed(stripped)):
        content = mend()
        if content is None:
            continue
        try:
            return _done(BytesIO(content), info, work)
        except InputError:
            raise
        except Exception:  # the next one is tried; after the last the first error is told
            continue
    return None


def _refusal(at: Contents, error: Exception) -> InputError:
    with at.open() as stream:
        known = foreign.named(stream.read(foreign.ENOUGH))
    if known:
        return InputError(f"{at.name} {known}.")
    if isinstance(error, UnidentifiedImageError):
        return InputError(f"{at.name} is no picture that Pillow can read. Give a PNG, JPEG, WebP, TIFF or BMP.")
    told = first_line(error)
    return InputError(f"{at.name} cannot be decoded ({told}); it may be truncated. Save it again.")


def _open(stream: BinaryIO, info: dict, name: str) -> Image.Image:
    image = _identified(stream)
    image.info.update(info)
    foreign.refuse(image, name)
    return image


def _identified(stream: BinaryIO) -> Image.Image:
    """Pillow's image of the stream, of any size: Pillow's own limit is replaced by `_check_size`."""
    try:
        return Image.open(stream)
    except UnidentifiedImageError:
        stream.seek(0)
        if not foreign.can_open_heic(stream.read(foreign.ENOUGH)):
            raise
        stream.seek(0)
        return Image.open(stream)
    except Image.DecompressionBombError as error:
        stream.seek(0)
        prefix = stream.read(16)
        for factory, accept in Image.OPEN.values():
            if accept and accept(prefix) is True:
                stream.seek(0)
                return factory(stream, "")
        raise error


def is_large(size: tuple[int, int]) -> bool:
    """Whether a picture of that size is to be reduced before it is floats, where the network sees less."""
    return size[0] * size[1] > LARGE


def most_pixels() -> int:
    """The most pixels that are decoded: QS_MAX_PIXELS, else twice Pillow's MAX_IMAGE_PIXELS, as in Pillow itself."""
    stated = os.environ.get(LIMIT, "").strip()
    if stated:
        if not stated.isascii() or not stated.isdigit() or not int(stated):
            raise InputError(f"{LIMIT}={stated!r} is no number of pixels. Give one such as 400000000, or unset it.")
        return int(stated)
    return 2 * (Image.MAX_IMAGE_PIXELS or 1 << 62)


def _check_size(whole: tuple[int, int], decoded: tuple[int, int], name: str) -> None:
    most, pixels = most_pixels(), whole[0] * whole[1]
    if decoded != whole and pixels <= REDUCED * most:
        pixels = decoded[0] * decoded[1]
    if pixels > most:
        raise InputError(
            f"{name} is {whole[0]}x{whole[1]}, {_millions(pixels)} pixels; at most {_millions(most)} are decoded, as a "
            f"larger one may be made to fill the memory. If it is not, set {LIMIT}={pixels}, or shrink it."
        )


def _millions(pixels: int) -> str:
    return f"{pixels / 1e6:.0f} million" if pixels >= 10**6 else str(pixels)
