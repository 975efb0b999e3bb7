"""Escape sequences of HL7 text (chapter 2, 2.7): undone in one pass from the left, written only where needed.

Imports the standard library only.
"""

import re
from collections.abc import Callable
from functools import lru_cache

from hl7auth.wire.delimiters import Delimiters

_HEX = re.compile(r"X((?:[0-9A-Fa-f]{2})+)\Z")


def unescape(text: str, delimiters: Delimiters, codec: str = "utf_8") -> str:
    """`text` with its delimiter and hexadecimal escapes undone; unknown and formatting sequences stay as they are.

    One pass: what an escape yields is never looked at again, so the escaped form of a backslash around an F stays
    the three characters the sender meant. `codec` reads the bytes of a hexadecimal escape.
    """
    if not delimiters.escape or delimiters.escape not in text:
        return text
    return _undo(delimiters, codec)(text)


def escape(text: str, delimiters: Delimiters) -> str:
    """`text` made safe to stand in a field: delimiters, segment ends and framing bytes become escapes."""
    if not delimiters.escape:
        return text
    return text.translate(_escapes(delimiters))


@lru_cache(maxsize=64)
def _undo(delimiters: Delimiters, codec: str) -> Callable[[str], str]:
    mark = re.escape(delimiters.escape)
    pattern = re.compile(f"{mark}([^{mark}\r]*){mark}")
    named = {
        "F": delimiters.field,
        "S": delimiters.component,
        "T": delimiters.subcomponent,
        "R": delimiters.repetition,
        "E": delimiters.escape,
    }
    if delimiters.truncation:
        named["P"] = delimiters.truncation

    def one(match: re.Match[str]) -> str:
        body = match[1]
        if body in named:
            return named[body]
        digits = _HEX.match(body)
        return _from_hex(digits[1], codec) if digits else match[0]

    return lambda text: pattern.sub(one, text)


def _from_hex(digits: str, codec: str) -> str:
    data = bytes.fromhex(digits)
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        return data.decode("latin_1")


@lru_cache(maxsize=64)
def _escapes(delimiters: Delimiters) -> dict[int, str]:
    mark = delimiters.escape
    letters = {
        delimiters.field: "F",
        delimiters.component: "S",
        delimiters.repetition: "R",
        delimiters.subcomponent: "T",
        mark: "E",
    }
    table = {ord(char): f"{mark}{letter}{mark}" for char, letter in letters.items() if char}
    # a raw segment end or framing byte inside a field would end the segment or the frame at the receiver
    table.update({code: f"{mark}X{code:02X}{mark}" for code in (0x0A, 0x0B, 0x0D, 0x1C)})
    return table
