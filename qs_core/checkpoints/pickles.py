"""What a pickle would do, told from its opcodes without doing it.

torch's weights-only reader runs no code, but a pickle can still hang or crash it: by keys whose hash never ends or
always collides, by numbers and buffers of gigabytes. A state dict needs none of these.
"""

import pickletools
import re
from typing import BinaryIO

# What state dicts, and the ordinary files of trainings, are made of.
NAMES = re.compile(
    r"collections\.(OrderedDict|Counter)|_codecs\.encode|torch\.(Size|device)|torch\.((cuda|storage)\.)?\w+Storage"
    r"|torch\._utils\._rebuild_(tensor(_v[23])?|parameter)|torch\.(float|bfloat|u?int|complex)\w+|torch\.bool"
    r"|torch\.serialization\._get_layout"
)
MOST_OPCODES = 500_000  # a file of 20 000 tensors
MOST_PARTS = 1_000  # of a tuple, with those of its tuples
DEEPEST = 1_000  # open at once; Python's own pickler goes no deeper
LONGEST_NUMBER = 8  # bytes
MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # begins torch's format before 1.6
PLAIN, COMPOUND = 1, 2  # a compound, such as a tuple, is no key of a state dict


class SuspiciousPickle(ValueError):
    """A pickle that holds more than a state dict does; the message says what."""


def check(stream: BinaryIO) -> None:
    """Read one pickle. Raises SuspiciousPickle for anything that no state dict has, and for a broken one."""
    try:
        _follow(stream)
    except SuspiciousPickle:
        raise
    except Exception as error:  # whatever a broken pickle leads to
        raise SuspiciousPickle("is broken") from error


def _follow(stream: BinaryIO) -> None:
    """Keep the stack of sizes: 1 for a leaf, for a tuple 1 and its parts' sum, at least 2 for what a call made."""
    stack, marks, memo = [], [], {}
    for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        name = opcode.name
        if number > MOST_OPCODES:
            raise SuspiciousPickle(f"has more than {MOST_OPCODES} parts")
        if name == "PROTO" and argument > 3:
            raise SuspiciousPickle(f"is a pickle of protocol {argument}, and those of 2 and 3 are read")
        if name == "GLOBAL":
            _check_name(argument)
            stack.append(PLAIN)
        elif name == "LONG1" and argument.bit_length() > 8 * LONGEST_NUMBER and argument != MAGIC_NUMBER:
            raise SuspiciousPickle("holds a giant number")
        elif name == "MARK":
            marks.append(stack)
            stack = []
            if len(marks) > DEEPEST:
                raise SuspiciousPickle(f"is nested more than {DEEPEST} deep")
        elif name in ("TUPLE", "APPENDS", "SETITEMS"):
            parts, stack = stack, marks.pop()
            if name == "TUPLE":
                stack.append(_tuple(parts))
            elif name == "SETITEMS":
                _check_keys(parts[::2])
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [_tuple(stack[-count:])]
        elif name in ("APPEND", "BUILD"):
            stack.pop()
        elif name == "SETITEM":
            _check_keys(stack[-2:-1])
            del stack[-2:]
        elif name in ("REDUCE", "NEWOBJ"):
            stack[-2:] = [COMPOUND]
        elif name == "BINPERSID":
            stack[-1:] = [PLAIN]
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name not in ("PROTO", "STOP"):
            stack.append(PLAIN)


def _tuple(parts: list[int]) -> int:
    size = 1 + sum(parts)
    if size > MOST_PARTS:
        raise SuspiciousPickle(f"holds a tuple of more than {MOST_PARTS} parts")
    return max(COMPOUND, size)


def _check_name(argument: str) -> None:
    name = argument.replace(" ", ".")
    if not NAMES.fullmatch(name):
        raise SuspiciousPickle(f"holds more than tensors: it names {ascii(name)[1:-1][:80]}, and so it can run code")


def _check_keys(sizes: list[int]) -> None:
    if any(size > PLAIN for size in sizes):
        raise SuspiciousPickle("has names that are no plain text")
