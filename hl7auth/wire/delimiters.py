"""The delimiters a sender declares in MSH-1 and MSH-2 (chapter 2, 2.5.4).

Imports the standard library and errors only.
"""

from functools import lru_cache
from typing import NamedTuple

from hl7auth.errors import Unreadable


class Delimiters(NamedTuple):
    """One character each; an empty string where the sender declared none."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    truncation: str = ""

    @property
    def encoding_characters(self) -> str:
        """The text of MSH-2."""
        return "".join(self[1:])


@lru_cache(maxsize=256)
def read_delimiters(field: str, encoding_characters: str) -> Delimiters:
    """Delimiters from MSH-1 and MSH-2: three (no subcomponents), four, or from 2.7 five characters, all different.

    Raises Unreadable at MSH-2 for anything else: without sure delimiters every value behind them is a guess.
    """
    chars = encoding_characters
    everything = field + chars
    if not 3 <= len(chars) <= 5 or len(set(everything)) != len(everything):
        raise Unreadable("MSH-2 must hold three to five different delimiters", location="MSH-2")
    if not everything.isascii() or any(char.isalnum() or char.isspace() or ord(char) < 0x20 for char in everything):
        raise Unreadable("a delimiter is an ASCII sign: no letter, digit, blank or control character", location="MSH-2")
    declared = [*chars, *[""] * (5 - len(chars))]
    return Delimiters(field, *declared)
