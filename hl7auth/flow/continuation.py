"""Continued messages (chapter 2, 2.10.2): what makes a message a part, and parts put together again, byte for byte.

Imports wire, flow.link and errors only.
"""

from collections.abc import Iterator, Sequence

from hl7auth.errors import Unreadable
from hl7auth.flow.link import Part
from hl7auth.wire.ack import Location, Problem
from hl7auth.wire.message import Header, Message, Segment, parse

NOT_CONTINUED = frozenset({"MSH", "MSA", "DSC"})
"""Segments that an ADD can not go on with: they are about the exchange, not about its content."""


def has_parts(message: Message) -> bool:
    """True for a part of a continued message, and for one whose segments are continued by ADD."""
    return bool(message.segments[0].field(14) or message.first("DSC") or message.first("ADD"))


def part_of(message: Message) -> Part | None:
    """Which part this is; None for a whole message, which may still have segments that are continued by ADD."""
    dsc = message.first("DSC")
    part = Part(message.segments[0].value(14), dsc.value(1) if dsc else "")
    return part if dsc is not None or part.continues else None


def part_problem(message: Message) -> Problem | None:
    """What is wrong with a part by itself, or with what ADD continues."""
    dsc = message.all("DSC")
    if len(dsc) > 1 or (dsc and message.segments[-1] is not dsc[0]):
        return _problem("DSC ends a message that is continued: nothing can follow it", Location("DSC"))
    if dsc and not dsc[0].value(1):
        text = "DSC-1 is empty: nothing says which message continues this one"
        return Problem("101", text, Location("DSC", 1, 1), rule="continuation.pointer")
    if dsc and dsc[0].value(2) not in ("", "F"):
        text = "DSC-2 does not say F: only messages that were taken apart are joined, no queries continued"
        return _problem(text, Location("DSC", 1, 2))
    for before, segment in zip(message.segments, message.segments[1:], strict=False):
        # the first ADD of a later part goes on with the last segment of the part before
        across = segment is message.segments[1] and message.segments[0].field(14)
        if segment.name == "ADD" and before.name in NOT_CONTINUED and not across:
            return _problem(f"ADD can not continue {before.name}", Location("ADD"))
    return None


def difference(first: Message, part: Message) -> str:
    """The field in which a part differs from the first one although it must not; "" when there is none."""
    if first.delimiters != part.delimiters:
        return "MSH-2"
    return _difference(first.header, part.header)


def _difference(first: Header, other: Header) -> str:
    same = (
        ("MSH-9", first.event, other.event),
        ("MSH-5", first.parties[2:], other.parties[2:]),
        ("MSH-11", first.processing_id, other.processing_id),
        ("MSH-12", first.version, other.version),
        ("MSH-18", first.charset, other.charset),
    )
    return next((name for name, one, two in same if one != two), "")


def joined(parts: Sequence[bytes], fallback: str) -> bytes:
    """The message that those parts are, in the bytes that they had: one MSH, no DSC, and no ADD.

    Raises Fault when a part can not be read, or an ADD has nothing to go on with.
    """
    lines: list[bytes] = []
    for number, raw in enumerate(parts):
        message = parse(raw, fallback)
        for name, line in _lines(message, skip=number > 0):
            if name == "ADD":
                if lines[-1][:3].decode("ascii") in NOT_CONTINUED:
                    raise Unreadable("ADD can not continue MSH or MSA")
                lines[-1] += line[4:]
            else:
                lines.append(line)
    return b"\r".join(lines) + b"\r"


def _lines(message: Message, *, skip: bool) -> Iterator[tuple[str, bytes]]:
    for segment in message.segments[int(skip) :]:
        if segment.name != "DSC":
            yield segment.name, _bytes(message, segment)


def _bytes(message: Message, segment: Segment) -> bytes:
    start, end = message.byte_range(segment.start, segment.start + len(segment.text))
    return message.raw[start:end]


def _problem(text: str, location: Location) -> Problem:
    return Problem("100", text, location, rule="continuation.part")
