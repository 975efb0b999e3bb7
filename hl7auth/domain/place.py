"""Where in a message a value of the authorization document stands: `AUT[2]-5`, under `PR1[2]`.

Imports wire, rules and domain only.

A place is told only where the message, read again, says there what the document holds: never by a guess.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from hl7auth.domain.authorization import Aut, Claim, Line, diagnoses, patient, procedure, read_claims, referral
from hl7auth.domain.document import Document
from hl7auth.domain.intent import CANCELLATIONS
from hl7auth.domain.path import PARTS, Path, value_at
from hl7auth.domain.status import UNDECIDED
from hl7auth.domain.values import NUMBERS, read_code
from hl7auth.rules.dictionary import dictionary
from hl7auth.rules.structure import layout
from hl7auth.wire.message import Message, Segment
from hl7auth.wire.versions import VERSIONS

_DECIDING = ("approval_status", "authorized_units", "authorized_treatments", "effective_date")
"""The fields that say a status, the first of them that is sent; the order of domain.status.decided."""


class Place(NamedTuple):
    """A place of a message: segment with occurrence, field and deeper; `under` the PR1 of its group.

    `raw` is the field as it came, None where a whole segment is meant.
    """

    path: str
    under: str
    raw: str | None

    @property
    def text(self) -> str:
        """`AUT[2]-5 under PR1[2]: 20260930`."""
        under = f" under {self.under}" if self.under else ""
        return f"{self.path}{under}" + ("" if self.raw is None else f": {self.raw or '(empty)'}")

    def entry(self) -> dict[str, str | None]:
        """The place as `authorization why` shows it."""
        return {"path": self.path, "under": self.under or None, "raw": self.raw}


class Said(NamedTuple):
    """What a message says: the type and event that it acts as, and its claims."""

    message: Message
    message_type: str
    trigger_event: str
    claims: Sequence[Claim]


class Source(NamedTuple):
    """What is looked at: what a message said, as far as it is about the authorization, and the document it made."""

    said: Said
    claims: list[Claim]
    document: Document

    @property
    def message(self) -> Message:
        """The message itself."""
        return self.said.message

    @property
    def lines(self) -> list[Line]:
        """The lines of all its claims."""
        return [line for claim in self.claims for line in claim.lines]


def read_said(message: Message) -> Said | None:
    """What a message says by the standard alone, without the agreements of a channel; None where that has no such."""
    header = message.header
    if header.version not in VERSIONS:
        return None
    structure = dictionary(header.version).structure_of(header.message_type, header.trigger_event)
    if structure is None:
        return None
    names = tuple([segment.name for segment in message.segments])
    claims = read_claims(message, layout(header.version, structure, names))
    return Said(message, header.message_type, header.trigger_event, claims)


def place_of(said: Said, key: str, document: Document, path: Path) -> Place | None:
    """Where the message that made this document (stored under `key`) says the value at `path`; None if nowhere."""
    mine = [each for each in said.claims if key.startswith("?") or (each.identifier and each.identifier.key == key)]
    source = Source(said, mine, document)
    if path[0] == "lines":
        return _in_lines(source, path[1:])
    name = str(path[0])
    if name in _AROUND:
        return _around(source, name, path[1:])
    if name == "status":
        return _status(source)
    if name in ("identifier", "assigner"):
        return _identifier(source, name)
    for line, aut in _auts(source)[: None if document.get(name) else 1]:  # what is gone, the leading AUT left out
        if aut.values.get(name) == document.get(name):
            return _aut_place(source, aut, line, name, path[1:])
    return None


def _auts(source: Source) -> list[tuple[Line | None, Aut]]:
    """The AUTs of the claims with their lines, the message-level one first."""
    tops: list[tuple[Line | None, Aut]] = [(None, claim.top) for claim in source.claims if claim.top]
    return tops + [(line, line.aut) for line in source.lines if line.aut]


def _aut_place(source: Source, aut: Aut, line: Line | None, name: str, rest: Path) -> Place | None:
    number = NUMBERS.get(name, 0)
    if aut.segment.name != "AUT" or not number or (aut.values.get(name) and not aut.segment.field(number)):
        return None  # a partner's own segment says it
    return _place(source, aut.segment, f"{number}{_below(name, rest)}", number, line)


def _below(name: str, rest: Path) -> str:
    """The component of a part of a value, behind the repetition where the value is one of several."""
    entry = f"[{rest[0] + 1}]" if rest and isinstance(rest[0], int) else ""
    part = rest[-1] if rest and isinstance(rest[-1], str) else ""
    return entry + PARTS.get(name, {}).get(part, "")


def _place(source: Source, segment: Segment, below: str, number: int, line: Line | None = None) -> Place:
    under = _name(source, line.procedure) if line and segment is not line.procedure else ""
    return Place(f"{_name(source, segment)}-{below}", under, segment.field(number))


def _name(source: Source, segment: Segment) -> str:
    same = source.message.all(segment.name)
    at = next(at for at, each in enumerate(same, start=1) if each.start == segment.start)
    return f"{segment.name}[{at}]" if len(same) > 1 else segment.name


_OF_PROCEDURE = {"identifier": 19, "priority": 14}


def _in_lines(source: Source, rest: Path) -> Place | None:
    lines = source.document.get("lines", [])
    if not rest or not isinstance(rest[0], int) or rest[0] >= len(lines):
        return None
    stored, found = lines[rest[0]], _line(source, rest[0])
    if found is None:
        return None
    name = str(rest[1]) if len(rest) > 1 else ""
    if name in ("", "procedure"):
        deeper = "3" + _below("procedure", rest[2:]) if name else ""
        place = _place(source, found.procedure, deeper, 3)
        return place if name else Place(_name(source, found.procedure), "", None)
    if name in _OF_PROCEDURE:
        field = _OF_PROCEDURE[name]
        return _place(source, found.procedure, f"{field}.1", field)
    if name == "status":
        return _by_event(source, stored.get(name)) or (_by_aut(source, found.aut, found) if found.aut else None)
    if found.aut is None or found.aut.values.get(name) != stored.get(name):
        return None
    return _aut_place(source, found.aut, found, name, rest[2:])


def _line(source: Source, number: int) -> Line | None:
    """The line of the message that a line of the document is: the same one of those with its procedure."""
    wanted = source.document["lines"]
    same = [line for line in source.lines if procedure(line.procedure) == wanted[number].get("procedure")]
    at = sum(1 for each in wanted[:number] if each.get("procedure") == wanted[number].get("procedure"))
    return same[at] if at < len(same) else None


def _status(source: Source) -> Place | None:
    """Where the status was said: by the event, by the one AUT that decides for the whole, else by RF1-1."""
    by_event = _by_event(source, source.document.get("status"))
    if by_event is not None:
        return by_event
    auts = _auts(source)
    own = [each for each in auts if each[0] is not None]
    tops = [each for each in auts if each[0] is None and (not own or "approval_status" in each[1].values)]
    if len(tops or own) == 1:
        line, aut = (tops or own)[0]
        return _by_aut(source, aut, line)
    rf1 = source.message.first("RF1")
    return _place(source, rf1, "1", 1) if rf1 and rf1.field(1) and not auts else None


def _by_event(source: Source, status: object) -> Place | None:
    """What the event itself says: a request is undecided, and a cancellation cancels, or denies what waited."""
    asks = source.said.message_type in ("RQA", "REF")
    ends = status == "cancelled" or (status == "denied" and not any(aut.action for _, aut in _auts(source)))
    if (asks and status in UNDECIDED) or (ends and source.said.trigger_event in CANCELLATIONS):
        return _place(source, source.message.segments[0], "9", 9)
    return None


def _by_aut(source: Source, aut: Aut, line: Line | None) -> Place | None:
    if aut.action == "D":
        return _place(source, aut.segment, "29", 29, line)
    name = next((name for name in _DECIDING if aut.values.get(name)), "")
    return _aut_place(source, aut, line, name, ()) if name else None


def _identifier(source: Source, name: str) -> Place | None:
    for line, aut in _auts(source):
        if aut.segment.components(6)[0] != aut.number:
            continue  # a partner's own segment says it
        if name == "identifier" and aut.number == source.document.get(name):
            return _place(source, aut.segment, "6.1", 6, line)
        if name == "assigner" and aut.number and (aut.assigner or aut.payor) == source.document.get(name):
            number = 6 if aut.assigner else 2
            return _place(source, aut.segment, "6" if aut.assigner else "2.1", number, line)
    return None


#: What stands around the AUTs: its segment, and how it is read
_AROUND: dict[str, tuple[str, Any]] = {
    "patient": ("PID", patient),
    "referral": ("RF1", referral),
    "diagnoses": ("DG1", diagnoses),
}


def _around(source: Source, name: str, rest: Path) -> Place | None:
    segment_name, read = _AROUND[name]
    segments = source.message.all(segment_name)
    if not segments or value_at({name: read(source.message)}, (name, *rest)) != value_at(
        source.document, (name, *rest)
    ):
        return None
    if name == "diagnoses":
        if not rest or not isinstance(rest[0], int):
            return None
        coded = [each for each in segments if read_code(each.field(3), each.delimiters)]
        return _place(source, coded[rest[0]], "3" + _below(name, rest[1:]), 3)
    below = PARTS[name].get(str(rest[0]), "") if rest else ""
    return _place(source, segments[0], below, int(below.split(".")[0])) if below else Place(segment_name, "", None)
