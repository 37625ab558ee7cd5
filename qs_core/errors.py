"""What the library raises when a person gave it something it cannot work with."""

from textwrap import shorten


class InputError(ValueError):
    """Bad input: the message says what came, what is needed and what to do. Nothing was written."""


class UnsupportedCheckpoint(InputError):
    """A file that is no loadable checkpoint of the kind: another network, damaged, or unsafe. Nothing of it was run."""


class MemoryShortage(RuntimeError):
    """The device's memory does not suffice, whatever is spared; the message says what was tried and what helps."""


class WorkersLost(RuntimeError):
    """Workers of a job ended, whatever was tried; the message says why. What was done is kept."""


class NonFiniteError(ArithmeticError):
    """NaN or infinity appeared while sampling; the message names the step and the loss."""


def first_line(error: Exception | str, most: int = 400) -> str:
    """An error's first line, or its kind where it says nothing; a long one ends behind a whole word."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return shorten(lines[0], most, placeholder=" …")
