"""Text on drawn pictures at any size, broken into lines that fit: Pillow's own font, or one of the system's for other
scripts."""

import unicodedata
from collections.abc import Iterator
from functools import cache

from PIL import ImageFont

BACKGROUND, INK, FAINT = (24, 24, 27), (240, 240, 240), (165, 165, 170)
PAPER, PAPER_INK = (255, 255, 255), (24, 24, 27)
LINES = 3  # of one label; what is longer ends in an ellipsis
OVERSAMPLE = 3  # shapes are drawn that much larger and shrunk, for smooth edges
# What Unicode does not take apart into a letter of the font and an accent.
OTHERWISE = str.maketrans(
    {
        **dict.fromkeys("\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}", "-"),
        "\N{MULTIPLICATION SIGN}": "x",
        "\N{RIGHTWARDS ARROW}": "->",
        "ß": "ss",
        "æ": "ae",
        "Æ": "AE",
        "œ": "oe",
        "Œ": "OE",
        "ø": "o",
        "Ø": "O",
        "ł": "l",
        "Ł": "L",
        "ı": "i",
    }
)


def font(size: float) -> ImageFont.ImageFont:
    """Pillow's own; before Pillow 10.1, or without FreeType, it has one size."""
    try:
        return ImageFont.load_default(size)
    except (TypeError, OSError):
        return ImageFont.load_default()


# Files that systems and their packages name so; Pillow looks for them in the system's folders.
FILES = (
    "DejaVuSans.ttf",  # Greek, Cyrillic, Arabic and others
    "NotoSansCJK-Regular.ttc",
    "NotoSansSC-Regular.otf",
    "SourceHanSansSC-Regular.otf",
    "wqy-zenhei.ttc",
    "wqy-microhei.ttc",
    "DroidSansFallbackFull.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "STHeiti Light.ttc",
    "msyh.ttc",
    "simsun.ttc",
    "meiryo.ttc",
    "malgun.ttf",
    "Arial Unicode.ttf",
)
PROBE = 20  # pixels, at which glyphs are looked for


def lettered(text: str, size: float) -> tuple[str, ImageFont.ImageFont]:
    """The text as it can be drawn, and a font that draws it: Pillow's own without accents, else the first of the
    system's that has every letter, else Pillow's own with boxes for what it lacks."""
    plain = folded(text)
    if not _draws(None, plain):
        for name in _installed():
            if _draws(name, text):
                return text, ImageFont.truetype(name, size)
    return plain, font(size)


@cache
def _installed() -> tuple[str, ...]:
    """Those of FILES that are here."""

    def found() -> Iterator[str]:
        for name in FILES:
            try:
                yield ImageFont.truetype(name, PROBE) and name
            except OSError:
                continue

    return tuple(found())


@cache
def _probe(name: str | None) -> tuple[ImageFont.ImageFont, bytes]:
    """A font of FILES, None for Pillow's own, and the box that it draws for what it lacks."""
    face = font(PROBE) if name is None else ImageFont.truetype(name, PROBE)
    return face, bytes(face.getmask(chr(0x10FFFF)))


def _draws(name: str | None, text: str) -> bool:
    """Whether a font of FILES, None for Pillow's own, has every letter of the text."""
    face, box = _probe(name)
    return all(bytes(face.getmask(letter)) != box for letter in set(text) if not letter.isspace())


def folded(text: str) -> str:
    """The text without accents and long dashes, which the font would draw as boxes; other scripts it has none of."""
    apart = unicodedata.normalize("NFKD", text.translate(OTHERWISE))
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def one_line(text: str, face: ImageFont.ImageFont, width: float) -> str:
    """The text on one line of at most `width` pixels, shortened by an ellipsis; empty where no letter fits."""
    line = " ".join(text.split())
    if face.getlength(line) <= width:
        return line
    short = _shorten(line, face, width)
    return short if len(short) > 1 else ""


def wrap(text: str, face: ImageFont.ImageFont, width: float) -> list[str]:
    """The text in lines of at most `width` pixels, broken between words, or within one that is too long by itself."""
    lines, rest = [], text.split()
    while rest and len(lines) < LINES:
        count = next((k for k in range(len(rest), 0, -1) if face.getlength(" ".join(rest[:k])) <= width), 0)
        if not count:
            head, tail = _split(rest[0], face, width)
            rest[:1] = [head, tail] if tail else [head]
            count = 1
        lines.append(" ".join(rest[:count]))
        rest = rest[count:]
    if rest:
        lines[-1] = _shorten(lines[-1], face, width)
    return lines


def _split(word: str, face: ImageFont.ImageFont, width: float) -> tuple[str, str]:
    count = next((k for k in range(len(word), 1, -1) if face.getlength(word[:k]) <= width), 1)
    return word[:count], word[count:]


def _shorten(line: str, face: ImageFont.ImageFont, width: float) -> str:
    while line and face.getlength(f"{line}…") > width:
        line = line[:-1]
    return f"{line.rstrip()}…"
