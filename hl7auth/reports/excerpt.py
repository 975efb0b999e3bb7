"""One segment for the eye, with the columns of the place a finding is about; masked by shape unless asked otherwise.

Imports wire and rules.finding only.
"""

from typing import NamedTuple
from unicodedata import east_asian_width

from hl7auth.rules.finding import shape_of
from hl7auth.wire.message import Segment

WIDTH = 96
"""Columns of an excerpt: with its indent it fits a terminal of 120, and a place needs its neighbours only."""

_CUT = "…"


class Excerpt(NamedTuple):
    """`text` is what is shown of the segment; the place are its characters from `start` to before `end`."""

    text: str
    start: int
    end: int

    @property
    def caret(self) -> str:
        """A line to stand below the text: carets under the place, one where the place is empty."""
        return " " * columns(self.text[: self.start]) + "^" * max(columns(self.text[self.start : self.end]), 1)


def excerpt(segment: Segment, start: int, end: int, values: bool) -> Excerpt:
    """The neighbourhood of characters `start` to `end` of a segment. Without `values` everything is masked but its name
    and, in MSH, the delimiters."""
    size = len(segment.text)
    start, end = min(start, size), min(end, size)
    low = max(0, min(start - WIDTH // 2, size - WIDTH))
    high = min(size, low + WIDTH)
    shown = segment.text[low:high]
    kept = 3 + (1 + len(segment.delimiters.encoding_characters) if segment.name == "MSH" else 0)
    plain = max(0, kept - low)
    text = harmless(shown) if values else shown[:plain] + shape_of(shown[plain:], None)
    before, after = _CUT if low else "", _CUT if high < size else ""
    shift = len(before) - low
    return Excerpt(before + text + after, start + shift, min(end, high) + shift)


def harmless(text: str) -> str:
    """The text without what would steer a terminal or break a line; as long as it was."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "·" for char in text)


def columns(text: str) -> int:
    """The columns that a terminal needs for a text."""
    return len(text) if text.isascii() else sum(2 if east_asian_width(char) in "WF" else 1 for char in text)
