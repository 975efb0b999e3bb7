"""What a partner's own segments say of authorizations, put where AUT would say it.

Imports wire, rules and domain only.

Such a segment behind a PR1 speaks of that line; one at message level of the whole, and of the lines that say nothing of
their own. Where lines have a code, the status of the whole is that of its lines: the header never overrides a line.
"""

from typing import NamedTuple

from hl7auth.domain.authorization import Aut, Line
from hl7auth.domain.status import DECIDING, Status, decided, of_lines
from hl7auth.domain.values import Values, read_code
from hl7auth.rules.dialect import Dialect
from hl7auth.rules.profile import StatusMap
from hl7auth.rules.structure import MESSAGE, UNPLACED, Layout
from hl7auth.wire.ack import Location
from hl7auth.wire.message import NULL, Message, Segment

_ENDS_PROCEDURES = frozenset({"PV1", "PV2", "IN1", "PID", "PRD", "DG1"})

Said = dict[int, dict[str, tuple[Segment, int]]]
"""The partner's segments by the index of their PR1 (or MESSAGE) and their name, with their occurrence."""


class Speech(NamedTuple):
    """How a message is to be understood: `names` is what AUT-14 means where AUT decides for itself, `payer` what the
    partner's own numbers are unique in."""

    dialect: Dialect
    names: StatusMap
    payer: str
    is_answer: bool


def translated(
    message: Message, layout: Layout, top: Aut | None, lines: list[Line], speech: Speech
) -> tuple[Aut | None, list[Line]]:
    """The message-level AUT and the lines with numbers and decisions as the dialect has them."""
    dialect = speech.dialect
    said = _own_segments(message, layout, dialect)
    places = [index for index, segment in enumerate(message.segments) if segment.name == "PR1"]
    lines = [
        line._replace(aut=_spoken(line.aut, said.get(at, {}), speech)) for at, line in zip(places, lines, strict=True)
    ]
    top = _spoken(top, said.get(MESSAGE, {}), speech)
    header = top.decision if top else ""
    has_codes = any(line.aut and line.aut.decision for line in lines)
    if header:
        lines = [_under(line, header) for line in lines]
    if top is not None and has_codes:
        told = [_told(line.aut, speech.names) for line in lines if line.aut]
        told += [Status(header)] if header and len(told) < len(lines) else []
        top = top._replace(decision=of_lines(told))
    return top, lines


def _under(line: Line, header: str) -> Line:
    """The line, decided by the header's code if it says nothing of its own."""
    if line.aut is None or line.aut.decision or not DECIDING.isdisjoint(line.aut.values):
        return line
    return line._replace(aut=line.aut._replace(decision=header))


def _told(aut: Aut, names: StatusMap) -> Status:
    return Status(aut.decision) if aut.decision else decided(aut.values, bool(aut.number), names)


def without_absent(patient: Values, dialect: Dialect) -> Values:
    """PID without the values that this partner writes for nothing."""
    places = {"id": "PID-3", "name": "PID-5"}
    return {key: value for key, value in patient.items() if dialect.says(places.get(key, ""), value)}


def _own_segments(message: Message, layout: Layout, dialect: Dialect) -> Said:
    names, said = dialect.own_segments, Said()
    counts = dict.fromkeys(names, 0)
    procedure = MESSAGE
    for index, segment in enumerate(message.segments):
        if segment.name == "PR1":
            procedure = index
        elif segment.name in _ENDS_PROCEDURES:
            procedure = MESSAGE
        elif segment.name in names:
            counts[segment.name] += 1
            owner = layout.owners[index] if index < len(layout.owners) else UNPLACED
            known = owner != UNPLACED and (owner == MESSAGE or message.segments[owner].name == "PR1")
            said.setdefault(owner if known else procedure, {})[segment.name] = (segment, counts[segment.name])
    return said


def _spoken(aut: Aut | None, own: dict[str, tuple[Segment, int]], speech: Speech) -> Aut | None:
    """The AUT with what the partner's segments add; where there is none, what they say alone.

    In an answer a segment with neither a number nor a code says nothing, and decides nothing anew.
    """
    dialect = speech.dialect
    if aut is None:
        if not own:
            return None
        segment, occurrence = next(iter(own.values()))
        said = _spoken(Aut(segment, occurrence, "", "", "", "", {}), own, speech)
        return said if said and (said.number or said.decision or not speech.is_answer) else None
    number, assigner, number_at = _number(aut, own, dialect)
    if number and not assigner and dialect.own_numbers:
        assigner = speech.payer
    return _decided(aut._replace(number=number, assigner=assigner, number_at=number_at), own, dialect)


def _number(aut: Aut, own: dict[str, tuple[Segment, int]], dialect: Dialect) -> tuple[str, str, Location | None]:
    """The first number that says something, its assigner, and where it stands if not in AUT."""
    for place in dialect.number:
        name, field = place[:3], int(place[4:])
        if name == "AUT":
            found, assigner, at = aut.number, aut.assigner, None
        elif name in own:
            segment, occurrence = own[name]
            found, assigner = _identifier(segment.components(field, 3))
            at = Location(name, occurrence, field)
        else:
            continue
        if found and dialect.says(place, found):
            return found, assigner, at
    return "", "", None


def _identifier(parts: list[str]) -> tuple[str, str]:
    """Number and assigner of an EI: its namespace, else its application."""
    number, namespace, application = ("" if each == NULL else each for each in parts[:3])
    return number, namespace or application


def _decided(aut: Aut, own: dict[str, tuple[Segment, int]], dialect: Dialect) -> Aut:
    """The AUT with the partner's code as its status; the code itself is kept as it came."""
    status = dialect.status
    if status is None or status.source[:3] not in own:
        return aut
    segment, _ = own[status.source[:3]]
    said = read_code(segment.field(int(status.source[4:])), segment.delimiters)
    code = dialect.says(status.source, (said or {}).get("code", ""))
    if not code:
        return aut
    return aut._replace(values={"approval_status": said} | aut.values, decision=status.meaning(code))
