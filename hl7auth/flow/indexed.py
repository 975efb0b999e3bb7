"""What of a message can be looked up: the values of a bounded list of fields, each folded for comparing.

Imports wire and errors only.

A path is written `PID-3.1`: segment, field, component; without a component the first is meant. Every repetition of a
field counts, and every segment of the name.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from hl7auth.errors import UserError
from hl7auth.wire.escapes import unescape
from hl7auth.wire.message import NULL, Message, Segment, part

INDEXED = (
    "AUT-6.1", "AUT-14.1", "IN1-36.1", "IN1-49.1", "MSA-2.1", "PID-2.1", "PID-3.1", "PID-4.1", "PID-5.1", "PID-5.2",
    "PID-18.1", "RF1-6.1", "RF1-11.1",
)  # fmt: skip
"""The fields that intake writes down: what support is asked by, and few enough to cost next to nothing."""

AUTHORIZATION = ("AUT-6.1",)
PATIENT = ("PID-3.1", "IN1-36.1", "IN1-49.1", "PID-2.1", "PID-4.1", "PID-18.1")
"""Where an id of a patient or a member stands, by version and by partner."""
REFERRAL = ("RF1-6.1", "RF1-11.1")
IDENTIFIERS = (*AUTHORIZATION, *PATIENT, *REFERRAL, "MSA-2.1")

MOST_CHARACTERS = 64
"""Of a value; longer ones are cut, in the index and when they are looked up."""
MOST_OF_MESSAGE = 64
"""Values of one message; of a message with hundreds of authorizations the first are indexed."""

_PATH = re.compile(r"([A-Z][A-Z0-9]{2})[-.](\d{1,3})(?:\.(\d{1,3}))?\Z")


class Place(NamedTuple):
    """Where a value stands: field and component are counted from 1."""

    segment: str
    field: int
    component: int

    def __str__(self) -> str:
        return f"{self.segment}-{self.field}.{self.component}"


def read_place(text: str) -> Place:
    """The place that a path names. Raises UserError for what is no path."""
    found = _PATH.match(text.strip().upper())
    if not found or not int(found[2]) or found[3] == "0":
        raise UserError(f"'{text}' is no field; write it like PID-3.1 or AUT-14")
    return Place(found[1], int(found[2]), int(found[3] or 1))


def folded(value: str) -> str:
    """A value as it is compared: without case, with single blanks, cut, and such as every database can hold."""
    if not value.isprintable():
        value = "".join(each if each.isprintable() else " " for each in value)
    value = value.casefold()
    return (" ".join(value.split()) if " " in value else value)[:MOST_CHARACTERS]


def values_at(message: Message, place: Place) -> Iterable[str]:
    """The values of a place, unescaped, not folded; empty ones are left out."""
    for segment in message.all(place.segment):
        yield from _values(segment, place.field, place.component)


def index_entries(message: Message, paths: Sequence[str] = INDEXED) -> list[tuple[str, str]]:
    """(path, folded value) of what can be looked up, each once."""
    found: dict[tuple[str, str], None] = {}
    wanted = _by_segment(tuple(paths))
    for segment in message.segments:  # every message that comes in goes through here: no call that is not needed
        places = wanted.get(segment.name)
        if places is None:
            continue
        fields = segment.fields
        count, marks = len(fields), segment.delimiters
        for path, number, component in places:
            raw = fields[number] if number < count else ""
            if not raw:
                continue
            if (marks.repetition and marks.repetition in raw) or (marks.escape and marks.escape in raw):
                for value in _values(segment, number, component):
                    found[path, folded(value)] = None
                continue
            parts = raw.split(marks.component, component) if marks.component else [raw]
            if len(parts) >= component and (value := parts[component - 1]) and value != NULL:
                found[path, folded(value)] = None
        if len(found) >= MOST_OF_MESSAGE:
            break
    return [each for each in found if each[1]][:MOST_OF_MESSAGE]


@lru_cache(maxsize=64)
def _by_segment(paths: tuple[str, ...]) -> dict[str, tuple[tuple[str, int, int], ...]]:
    grouped: dict[str, list[tuple[str, int, int]]] = {}
    for path in paths:
        place = read_place(path)
        grouped.setdefault(place.segment, []).append((path, place.field, place.component))
    return {name: tuple(places) for name, places in grouped.items()}


def _values(segment: Segment, number: int, component: int) -> Iterable[str]:
    raw = segment.field(number)
    if not raw:
        return ()
    marks = segment.delimiters
    repetitions = raw.split(marks.repetition) if marks.repetition and marks.repetition in raw else (raw,)
    texts = [part(each, marks.component, component) for each in repetitions]
    if marks.escape in raw:
        texts = [unescape(each, marks) for each in texts]
    return [each for each in texts if each and each != NULL]
