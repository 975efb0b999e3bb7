"""What a message claims about authorizations: each AUT with its place, grouped by the authorization it belongs to.

Imports wire, rules.structure (the layout), rules.datatypes and domain.values only.

Which AUTs are one authorization: those with the same AUT-6 and assigner. An AUT under a procedure without a number
belongs to the number of the message-level AUT; AUTs with different numbers are different authorizations.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from hl7auth.domain.values import NUMBERS, Values, iso_date, read_aut, read_code
from hl7auth.rules.datatypes import is_timestamp
from hl7auth.rules.structure import MESSAGE, UNPLACED, Layout
from hl7auth.wire.ack import Location
from hl7auth.wire.message import NULL, Header, Message, Segment, part


class Identifier(NamedTuple):
    """AUT-6 with its assigner: the namespace or application of AUT-6, else the payor of AUT-2."""

    number: str
    assigner: str

    @property
    def key(self) -> str:
        """`PA1001@ACME`, the key of the store."""
        return joined_key(self.number, self.assigner)


_MISTAKABLE = re.compile(r"[@%~]|\A[?#]")


@lru_cache(maxsize=1024)
def joined_key(number: str, scope: str) -> str:
    """`number@scope`; what could be mistaken for the join, or for the mark of a request, is written as in a URL."""
    if _MISTAKABLE.search(number) or _MISTAKABLE.search(scope):
        for mark in "%@~?#":
            number, scope = (each.replace(mark, f"%{ord(mark):02X}") for each in (number, scope))
    return f"{number}@{scope}"


class Aut(NamedTuple):
    """One AUT as received, or what a partner's own segment says in its place: `action` is AUT-29, `decision` what the
    partner's own code decides (empty: its fields decide), `number_at` where its number stands if not in AUT-6."""

    segment: Segment
    occurrence: int
    number: str
    assigner: str
    payor: str
    action: str
    values: Values
    decision: str = ""
    number_at: Location | None = None

    @property
    def identifier(self) -> Identifier | None:
        """The authorization it names, if it names one."""
        return Identifier(self.number, self.assigner or self.payor) if self.number else None

    @property
    def stated(self) -> Values:
        """Its values without those it deletes. Shared, so not to be changed in place."""
        if NULL not in self.segment.text:
            return self.values
        return {key: value for key, value in self.values.items() if value is not None}

    @property
    def raw_identifier(self) -> str:
        """AUT-6 as it came."""
        return self.segment.field(6)

    def where(self, field: int = 0) -> Location:
        """The place of one of its fields, as an ERR names it."""
        if field == 6 and self.number_at is not None:
            return self.number_at
        return Location(self.segment.name, self.occurrence, field if self.segment.name == "AUT" else 0)

    @property
    def deletes(self) -> bool:
        """True when all it sends is `""`: whether that deletes a whole set is for the partners to agree on.

        A partner's own segment has no such meaning.
        """
        if NULL not in self.segment.text or self.segment.name != "AUT":
            return False
        sent = [text for text in self.segment.fields[1:] if text]
        return bool(sent) and all(text == NULL for text in sent)

    @property
    def sent_fields(self) -> frozenset[int]:
        """The numbers of its fields that are not empty."""
        return frozenset(number for number, text in enumerate(self.segment.fields) if number and text)


class Line(NamedTuple):
    """A procedure (PR1) and the AUT under it, if any."""

    procedure: Segment
    aut: Aut | None


@dataclass(slots=True)
class Claim:
    """What a message says about one authorization, or (without identifier) about a request that has no number yet.

    `built` remembers what a document takes from it; nobody may change a claim that has been built from.
    """

    identifier: Identifier | None
    top: Aut | None = None
    lines: list[Line] = field(default_factory=list)
    built: Any = field(default=None, compare=False, repr=False)

    @property
    def auts(self) -> list[Aut]:
        """Every AUT of the claim."""
        lines = [line.aut for line in self.lines if line.aut]
        return [self.top, *lines] if self.top else lines

    @property
    def actions(self) -> frozenset[str]:
        """The values of AUT-29 in the claim; snapshot is the empty one, and S says so in a word."""
        return frozenset("" if aut.action == "S" else aut.action for aut in self.auts)


def read_claims(message: Message, layout: Layout, unread: tuple[int, ...] = ()) -> list[Claim]:
    """The claims of a message in order of their first AUT; procedures without AUT go with the message-level AUT."""
    return grouped(*read_auts(message, layout, unread))


def grouped(top: Aut | None, lines: list[Line]) -> list[Claim]:
    """The message-level AUT and the lines, by the authorization that each belongs to."""
    claims: dict[Identifier | None, Claim] = {}
    home = top.identifier if top else None

    def claim(identifier: Identifier | None) -> Claim:
        return claims.setdefault(identifier, Claim(identifier))

    if top:
        claim(home).top = top
    for line in lines:
        claim(_belongs(line, top)).lines.append(line)
    return list(claims.values())


def patient(message: Message) -> Values:
    """PID as {id, assigner, name, birth_date}; what is not sent is left out."""
    pid = message.first("PID")
    if pid is None:
        return {}
    sub = pid.delimiters.subcomponent
    identifier, names = pid.components(3, 6), ["" if each == NULL else each for each in pid.components(5, 3)]
    given = f"{names[1]} {names[2]}".strip()
    family = pid.value(5, subcomponent=1) if sub and sub in names[0] else names[0]
    name = ", ".join(each for each in (family, given) if each)
    values = {
        "id": identifier[0],
        "assigner": part(identifier[3], sub, 1) or part(identifier[5], sub, 1),
        "name": name,
        # a date that is none (00000000) says nothing
        "birth_date": iso_date(born) if is_timestamp(born := pid.components(7)[0]) else "",
    }
    return {key: value for key, value in values.items() if value and NULL not in value}


def diagnoses(message: Message) -> list[Values]:
    """DG1-3 of every DG1 as coded values; up to 2.3.1 its system may stand in DG1-2 and its text in DG1-4."""
    found = []
    for segment in message.all("DG1"):
        value = read_code(segment.field(3), segment.delimiters)
        if value:
            found.append(_completed(value, segment.value(4), segment.value(2)))
    return found


def _completed(value: Values, text: str, system: str) -> Values:
    """A coded value with what older versions keep in neighbouring fields."""
    beside = {"text": text, "system": system}
    return value | {key: said for key, said in beside.items() if said not in ("", NULL) and key not in value}


def referral(message: Message) -> Values:
    """RF1-6, RF1-11 and RF1-2 as {originating_id, external_id, priority}."""
    rf1 = message.first("RF1")
    if rf1 is None:
        return {}
    values = {"originating_id": rf1.components(6)[0], "external_id": rf1.components(11)[0]}
    if len(rf1.fields) > 2 and rf1.fields[2]:
        values["priority"] = rf1.components(2)[0]
    return {key: value for key, value in values.items() if value and value != NULL}


class Party(NamedTuple):
    """An application at a facility: MSH-3 and 4, or MSH-5 and 6."""

    application: str
    facility: str

    @property
    def scope(self) -> str:
        """What its numbers are unique in, as keys show it: `FRONT:NORTH`, since many clinics share one application."""
        return joined_names(self.application, self.facility)

    def may_be(self, other: "Party") -> bool:
        """False when both name themselves and differ; partners often leave one of the two empty."""
        application, facility = self
        if not application and not facility:
            return False
        if application and other.application and application != other.application:
            return False
        return not (facility and other.facility and facility != other.facility)


@lru_cache(maxsize=1024)
def joined_names(application: str, facility: str) -> str:
    """`FRONT:NORTH`, and without a facility `FRONT`; a colon in a name is written as in a URL."""
    names = [name.replace("%", "%25").replace(":", "%3A") for name in (application, facility)]
    return ":".join(names) if facility else names[0]


def sending(header: Header) -> Party:
    """MSH-3 and 4."""
    return Party(header.sending_application, header.sending_facility)


def receiving(header: Header) -> Party:
    """MSH-5 and 6."""
    return Party(header.receiving_application, header.receiving_facility)


def requester(header: Header, is_request: bool) -> Party:
    """Who asked: the sender of a request, the receiver of an answer."""
    return sending(header) if is_request else receiving(header)


def payer_scope(message: Message, is_request: bool) -> str:
    """What the numbers of the other one of the two are unique in: whom a request is sent to, who sends an answer.

    A facility with a universal id (`PREPAGA^112233^IIN`) is named by that: the namespace is each side's own, and left
    out by some.
    """
    party = receiving(message.header) if is_request else sending(message.header)
    universal = message.segments[0].components(6 if is_request else 4, 2)[1]
    return universal if universal not in ("", NULL) else party.scope


def referral_key(message: Message, asked_by: str) -> str:
    """RF1-6 with the scope it is unique in: its own namespace, else the requester; empty without RF1-6."""
    rf1 = message.first("RF1")
    number, namespace, application = rf1.components(6, 3)[:3] if rf1 else ("", "", "")
    return joined_key(number, namespace or application or asked_by) if number not in ("", NULL) else ""


def procedure(segment: Segment) -> Values:
    """PR1-3 as {code, text, system}; 2.3 has the coding system in PR1-2 and a description in PR1-4."""
    value = read_code(segment.field(3), segment.delimiters) or {}
    if "system" in value and "text" in value:
        return value
    return _completed(value, segment.value(4), segment.value(2))


def line_values(line: Line) -> Values:
    """A line of the document: its procedure and the values of its own AUT."""
    values: dict[str, Any] = {"procedure": procedure(line.procedure)}
    identifier = line_identifier(line.procedure)
    if identifier:
        values["identifier"] = identifier
    if len(line.procedure.fields) > 14:
        values |= line_priority(line.procedure)
    return values | (line.aut.stated if line.aut else {})


def line_priority(segment: Segment) -> Values:
    """PR1-14 as {priority}, where it is sent: a rank (table 0418), or how urgent partners say the procedure is."""
    priority = segment.components(14)[0]
    return {"priority": priority} if priority not in ("", NULL) else {}


def line_identifier(segment: Segment) -> str:
    """PR1-19, by which a sender may tell its lines apart (from 2.5)."""
    if len(segment.fields) <= 19:
        return ""
    number = segment.components(19)[0]
    return "" if number == NULL else number


def read_auts(message: Message, layout: Layout, unread: tuple[int, ...] = ()) -> tuple[Aut | None, list[Line]]:
    """The message-level AUT and every procedure with the AUT under it; `unread` fields are left out of account."""
    top: Aut | None = None
    under: dict[int, Aut] = {}
    procedures: list[int] = []
    occurrence = 0
    for index, segment in enumerate(message.segments):
        if segment.name == "PR1":
            procedures.append(index)
        elif segment.name == "AUT":
            occurrence += 1
            owner = layout.owners[index]
            if owner == MESSAGE:
                top = _aut(segment, occurrence, unread)
            elif owner != UNPLACED and message.segments[owner].name == "PR1":
                under[owner] = _aut(segment, occurrence, unread)
    return top, [Line(message.segments[index], under.get(index)) for index in procedures]


def _aut(segment: Segment, occurrence: int, unread: tuple[int, ...]) -> Aut:
    number, namespace, application = segment.components(6, 3)[:3]
    payor = segment.components(2)[0]
    action = segment.components(29)[0]  # a sender of 29 times `""` deletes its set, and names no action
    named = ["" if text == NULL else text for text in (number, namespace or application, payor, action)]
    values = read_aut(segment)
    if unread and len(segment.fields) > unread[0]:
        values = {key: value for key, value in values.items() if NUMBERS[key] not in unread}
    return Aut(segment, occurrence, named[0], named[1], named[2], named[3], values)


def _belongs(line: Line, top: Aut | None) -> Identifier | None:
    """A line that names the same number without an assigner or another payor means the message-level AUT's."""
    home = top.identifier if top else None
    if line.aut is None or not line.aut.number:
        return home
    own = line.aut.identifier
    same_payor = top is not None and line.aut.payor in ("", top.payor)
    if home and own and own.number == home.number and not line.aut.assigner and same_payor:
        return home
    return own
