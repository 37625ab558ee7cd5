"""Text on drawn pictures: Pillow's own font at any size, broken into lines that fit."""

import unicodedata

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


def folded(text: str) -> str:
    """The text without accents and long dashes, which the font would draw as boxes; other scripts it has none of."""
    apart = unicodedata.normalize("NFKD", text.translate(OTHERWISE))
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def one_line(text: str, face: ImageFont.ImageFont, width: float) -> str:
    """The text on one line of at most `width` pixels, shortened by an ellipsis; empty where no letter fits."""
    line = " ".join(folded(text).split())
    if face.getlength(line) <= width:
        return line
    short = _shorten(line, face, width)
    return short if len(short) > 1 else ""


def wrap(text: str, face: ImageFont.ImageFont, width: float) -> list[str]:
    """The text in lines of at most `width` pixels, broken between words, or within one that is too long by itself."""
    lines, rest = [], folded(text).split()
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
