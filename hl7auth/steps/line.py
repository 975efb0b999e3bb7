"""A segment while steps shape it, and a spot in it.

Imports wire and steps.place only.
"""

from typing import NamedTuple

from hl7auth.steps.place import HEADERS, Place
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.message import Segment


class Line:
    """A segment: its carried text, and all that stood between it and the next one."""

    __slots__ = ("end", "gone", "name", "segment", "text")

    def __init__(self, name: str, text: str, end: str, segment: Segment | None = None) -> None:
        self.name = name
        self.text = text
        self.end = end
        self.segment = segment
        self.gone = False


class Spot(NamedTuple):
    """A place in one segment; `repetition` 0 is the field as a whole."""

    line: Line
    place: Place
    repetition: int


def field_of(line: Line, number: int, marks: Delimiters) -> str:
    """The carried text of a field; empty when the segment ends before it."""
    fields = line.text.split(marks.field)
    at = number - (line.name in HEADERS)
    return fields[at] if at < len(fields) else ""
