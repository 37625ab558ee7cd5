"""What callers mean by a setting: Python's own numbers, numpy's, and paths → the plain types that a report can hold."""

import math
import operator
import os
import re
import secrets
import types
import typing
from collections.abc import Iterable

from .errors import InputError

WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text or a path"}
SEEDS = 2**32


def seed(value: object) -> int:
    """A whole number; a new one by chance for None. Raises InputError for anything else."""
    return secrets.randbelow(SEEDS) if value is None else plain("seed", value, int)


def plain(name: str, value: object, kind: object) -> object:
    """The value in the plain type of that kind, int, float, bool or str, with or without None; else as it is.

    Raises InputError that names the setting.
    """
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if value is None and types.NoneType in kinds:
        return None
    wanted = next((each for each in kinds if each in WORDS), None)
    if wanted is None or (len([each for each in kinds if each is not types.NoneType]) > 1):
        return value
    try:
        return _CONVERT[wanted](value)
    except (TypeError, ValueError):
        raise InputError(f"{name} {value!r}: {WORDS[wanted]} is needed.") from None


def numbers(name: str, values: object) -> tuple[float, ...]:
    """Several numbers. Raises InputError that names the setting for anything else."""
    try:
        if isinstance(values, str | bytes):
            raise TypeError
        return tuple(_number(value) for value in values)
    except (TypeError, ValueError):
        raise InputError(f"{name} {values!r}: numbers are needed.") from None


def phrases(values: object) -> tuple[str, ...]:
    """One phrase or several. Raises InputError for anything else."""
    several = (values,) if isinstance(values, str) else values
    if not isinstance(several, Iterable) or isinstance(several, bytes):
        raise InputError(f"The prompt {values!r} is no text. Say what the picture should become.")
    several = tuple(several)
    wrong = next((phrase for phrase in several if not isinstance(phrase, str)), None)
    if wrong is not None or None in several:
        raise InputError(f"The prompt {wrong!r} is no text. Say what the picture should become.")
    return several


def weighted(line: str) -> tuple[str, float]:
    """A phrase and its weight out of "a phrase" or "a phrase::2". Raises InputError for a weight that is no number."""
    phrase, mark, number = line.strip().rpartition("::")
    if not mark:
        return line.strip(), 1.0
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight):
        raise InputError(f"The prompt line {line.strip()!r} ends in ::{number}; give a number there, e.g. {phrase}::2.")
    return phrase.strip(), weight


def doubtful(phrase: str) -> str | None:
    """A sentence where a phrase ends like a weight of another program, "phrase:2", and is read as words."""
    words, mark, number = phrase.rpartition(":")
    if not mark or words.endswith(":") or not re.fullmatch(r"\s*-?\d+(\.\d+)?\s*", number):
        return None
    return f"The prompt {phrase!r} is read as words; a weight is written {words}::{number.strip()}."


def _number(value: object) -> float:
    if isinstance(value, str | bytes):
        raise TypeError
    return float(value)


def _truth(value: object) -> bool:
    if type(value).__name__ not in ("bool", "bool_"):  # Python's and numpy's
        raise TypeError
    return bool(value)


def _text(value: object) -> str:
    text = os.fspath(value)
    if not isinstance(text, str):
        raise TypeError
    return text


_CONVERT = {int: lambda value: int(operator.index(value)), float: _number, bool: _truth, str: _text}
