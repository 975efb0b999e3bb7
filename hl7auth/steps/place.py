"""Where a step reads or writes: `PID-3[2].4` names segment, occurrence, field, repetition, component, subcomponent.

Imports the standard library only.

    place      = segment "-" field [ "[" which "]" ] [ "." component [ "." subcomponent ] ]
    segment    = name [ "[" which "]" ]
    which      = number | "*" | "last"

`AUT[2]-6` is the field of the second AUT, `AUT[*]-6` that of each, `AUT[last]-6` that of the last; the same words
choose among the repetitions of a field. All numbers begin with 1. What a place without `[...]` means depends:

* written to: every such segment, and every repetition where a component is named (`PID-3.4`); without a component
  the field as a whole, with all its repetitions (`PID-3`)
* read from: the first such segment, and the first repetition where a component is named
* read and written in one step within one segment (`AUT-6.1` to `AUT-7.1`): each AUT by itself, and each repetition
  by itself where both are the same field
* within `each: AUT`: a place in AUT without `[...]` is the AUT of the turn
"""

import re
from typing import NamedTuple

ALL = -1
LAST = -2

_WHICH = r"(?:\[(\*|last|[1-9]\d{0,4})\])?"
_SEGMENT = re.compile(rf"([A-Z][A-Z0-9]{{2}}){_WHICH}", re.ASCII)
_PLACE = re.compile(
    rf"([A-Z][A-Z0-9]{{2}}){_WHICH}-([1-9]\d{{0,2}}){_WHICH}(?:\.([1-9]\d{{0,2}}))?(?:\.([1-9]\d{{0,2}}))?", re.ASCII
)
HEADERS = frozenset({"MSH", "BHS", "FHS"})
"""Segments whose field 1 is the field separator itself."""


class Place(NamedTuple):
    """A place; 0 where a part is not named, ALL for `*`, LAST for `last`."""

    segment: str
    occurrence: int = 0
    field: int = 0
    repetition: int = 0
    component: int = 0
    subcomponent: int = 0

    @property
    def level(self) -> int:
        """How deep: 0 a whole field, 1 one of its repetitions, 2 a component, 3 a subcomponent."""
        return 3 if self.subcomponent else 2 if self.component else 1 if self.repetition else 0

    @property
    def below(self) -> str:
        """What stands behind the field: `.1.2`."""
        return "".join(f".{number}" for number in (self.component, self.subcomponent) if number)

    def deep(self) -> "Place":
        """The place itself, or its first component where it names none."""
        return self if self.component else self._replace(component=1)


def read_place(text: str) -> Place:
    """The place that a text names. Raises ValueError that says how places are written."""
    match = _PLACE.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is no place: write AUT-6, PID-3[2].4, AUT[*]-6 or PID-5.1.1")
    name, occurrence, field, repetition, component, subcomponent = match.groups()
    if name in HEADERS and int(field) <= 2:
        raise ValueError(f"{text} holds the delimiters, which no step reads or writes")
    return Place(name, _which(occurrence), int(field), _which(repetition), int(component or 0), int(subcomponent or 0))


def read_segment(text: str) -> Place:
    """The segments that a text names (`AUT`, `AUT[2]`, `AUT[*]`, `AUT[last]`). Raises ValueError."""
    match = _SEGMENT.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is no segment: write AUT, AUT[2], AUT[*] or AUT[last]")
    return Place(match[1], _which(match[2]))


def _which(text: str | None) -> int:
    if text is None:
        return 0
    return ALL if text == "*" else LAST if text == "last" else int(text)
