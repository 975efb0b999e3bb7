"""Where a verdict lies in a message: path, line and bytes, and what the value there looks like without telling it.

Imports wire and rules only.
"""

from bisect import bisect_left
from operator import attrgetter

from hl7auth.rules.finding import Finding, shape_of
from hl7auth.rules.rule import Verdict
from hl7auth.wire.ack import Location
from hl7auth.wire.message import Message, Segment

_START = attrgetter("start")


def at_place(message: Message, segment: Segment, occurrence: int, number: int, verdict: Verdict) -> Finding:
    """The Finding for a verdict on a field of a segment; `number` 0 is the segment itself."""
    repetition, component, sub = verdict.repetition, verdict.component, verdict.subcomponent
    path = segment.name if occurrence == 1 else f"{segment.name}[{occurrence}]"
    path += f"-{number}" if number else ""
    path += f"[{repetition}]" if repetition > 1 else ""
    path += f".{component}" if component else ""
    path += f".{sub}" if sub else ""
    location = Location(segment.name, occurrence, number, repetition, component, sub)
    start, end = span(segment, number, repetition, component, sub)
    value = message.text[start:end] if number else ""
    element = verdict.element
    return Finding(
        verdict.rule,
        verdict.severity,
        path,
        verdict.text,
        verdict.code,
        location,
        *message.byte_range(start, end),
        verdict.category,
        line_of(message, segment),
        len(value),
        shape_of(value),
        element.source(verdict.kind) if element else "",
        element.standard if element else "",
        verdict.mend,
    )


def line_of(message: Message, segment: Segment) -> int:
    """The 1-based number of a segment in its message."""
    return bisect_left(message.segments, segment.start, key=_START) + 1


def span(segment: Segment, number: int, repetition: int, component: int, sub: int) -> tuple[int, int]:
    """Where a place lies in the text; a place that is not there is the empty range where what is there ends."""
    if number == 0:
        return segment.start, segment.start + len(segment.text)
    fields, marks = segment.fields, segment.delimiters
    first = 2 if segment.name == "MSH" else 0  # MSH-1 is the separator itself
    start = segment.start + sum(len(field) + 1 for field in fields[:number]) - first
    if number >= len(fields):
        end = segment.start + len(segment.text)
        return end, end
    text = fields[number]
    for mark, place in ((marks.repetition, repetition), (marks.component, component), (marks.subcomponent, sub)):
        parts = text.split(mark) if place and mark else [text]
        if place > len(parts):
            return start + len(text), start + len(text)
        start += sum(len(each) + 1 for each in parts[: place - 1]) if place else 0
        text = parts[place - 1] if place else text
    return start, start + len(text)
