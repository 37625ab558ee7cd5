"""What is no picture for Pillow but often taken for one: named, or opened where a package for it is there."""

import importlib.util

from PIL import Image

from ..errors import InputError

ENOUGH = 64  # bytes of a file's beginning
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # brands, after the box's name
AVIF = (b"avif", b"avis")
PAGE = "is a web page, not a picture: the server wanted a log-in or a confirmation. Fetch it with a browser"
MAGIC = (  # first bytes → what the file is, and what to do
    (b"<!doctype", PAGE),
    (b"<html", PAGE),
    (b"<svg", "is an SVG drawing. Export it as PNG"),
    (b"<?xml", "is an XML file, such as an SVG drawing. Export it as PNG"),
    (b"%pdf", "is a PDF. Export the page as PNG"),
    (b"version https://git-lfs", "is a Git LFS pointer, not the picture itself. Fetch the file by its download link"),
    (b"\xff\x0a", "is a JPEG XL picture, which Pillow does not read. Save it as PNG or JPEG"),
    (b"\0\0\0\x0cjxl ", "is a JPEG XL picture, which Pillow does not read. Save it as PNG or JPEG"),
    (b"pk\x03\x04", "is a zip archive. Unpack it first and choose the picture inside"),
    (b"fujifilmccd-raw", "is a camera's raw file. Develop it and save it as JPEG or TIFF"),
)
INSTALL = "Install pillow-heif (pip install pillow-heif), or save it as JPEG"
SUBFILE, REDUCED, DNG = 254, 1, 50706  # TIFF's tags by which raw files are known


def named(first: bytes) -> str | None:
    """What a file that begins so is, as the end of a sentence; None where nothing is known."""
    if brand := _brand(first):
        if brand in HEIC:
            return f"is a HEIC picture, whatever its name says. {INSTALL}"
        if brand in AVIF:
            return "is an AVIF picture, which this Pillow does not read. Update Pillow, or save it as PNG or JPEG"
        return "is a film, or another file of its family. Save one of its pictures as PNG"
    start = first.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((what for magic, what in MAGIC if start.startswith(magic) or first.lower().startswith(magic)), None)


def _brand(first: bytes) -> bytes | None:
    return first[8:12] if first[4:8] == b"ftyp" else None


def can_open_heic(first: bytes) -> bool:
    """Whether a file that begins so is HEIC or AVIF and pillow-heif is there; Pillow knows its formats from then on."""
    if _brand(first) not in (*HEIC, *AVIF) or not importlib.util.find_spec("pillow_heif"):
        return False
    import pillow_heif

    pillow_heif.register_heif_opener()
    if _brand(first) in AVIF and hasattr(pillow_heif, "register_avif_opener"):
        pillow_heif.register_avif_opener()
    return True


def refuse(image: Image.Image, name: str) -> None:
    """Raises InputError for a program in PostScript, which Pillow would have Ghostscript run, and for a camera's raw
    file, of which Pillow reads a preview."""
    if image.format == "EPS":
        raise InputError(f"{name} is a PostScript drawing. Export it as PNG.")
    tags = getattr(image, "tag_v2", {})
    if DNG in tags or int(tags.get(SUBFILE, 0)) & REDUCED:
        raise InputError(f"{name} is a camera's raw file, or holds a preview first. Save it as JPEG or plain TIFF.")
