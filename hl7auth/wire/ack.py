"""General acknowledgements (chapter 2, 2.9 and 2.14): ACK with MSA and ERR, written per version, and MSA read back.

Imports wire only.
"""

from collections.abc import Sequence
from typing import NamedTuple

from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.escapes import escape
from hl7auth.wire.message import Header
from hl7auth.wire.versions import VERSIONS, at_least

#: Table 0357, message error condition codes
ERROR_CONDITIONS = {
    "0": "Message accepted",
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "104": "Value too long",
    "198": "Non-Conformant Cardinality",
    "199": "Other HL7 Error",
    "200": "Unsupported message type",
    "201": "Unsupported event code",
    "202": "Unsupported processing id",
    "203": "Unsupported version id",
    "204": "Unknown key identifier",
    "205": "Duplicate key identifier",
    "206": "Application record locked",
    "207": "Application internal error",
}

_BEFORE_29 = {"198": "100", "199": "207"}
_BEFORE_27 = {"104": "102"}
#: from 2.9 the key codes of 0357 give way to 207 with a code of table 0533 in ERR-5
_SINCE_29 = {"204": "101", "205": "102", "206": "103"}

FALLBACK_VERSION = "2.5"
"""Spoken to a sender whose own version can not be read or is not known."""


class Location(NamedTuple):
    """A place as ERR names it; `occurrence` counts segments of that name in the whole message, from 1."""

    segment: str
    occurrence: int = 1
    field: int = 0
    repetition: int = 0
    component: int = 0
    subcomponent: int = 0


class Problem(NamedTuple):
    """One ERR: a code of table 0357, its severity (0516: E, W, I), where, and a sentence for the sender."""

    code: str
    text: str
    location: Location | None = None
    severity: str = "E"
    rule: str = ""


class Reply(NamedTuple):
    """What all replies to one message share; `expected` is MSA-4 where sequence numbers are in use."""

    header: Header
    delimiters: Delimiters
    timestamp: str
    control_id: str
    expected: str = ""


class Msa(NamedTuple):
    """MSA as received: MSA-1 code, MSA-2 control id of the message that is answered, MSA-3 text."""

    code: str
    control_id: str
    text: str

    @property
    def positive(self) -> bool:
        """AA or CA."""
        return self.code in ("AA", "CA")


def reply_version(header: Header) -> str:
    """The version a reply is written in: the sender's own where it is known."""
    return header.version if header.version in VERSIONS else FALLBACK_VERSION


def acknowledge(reply: Reply, code: str, problems: Sequence[Problem] = (), text: str = "") -> str:
    """An ACK as text with CR segment ends: MSH, MSA, and one ERR (up to 2.4) or one ERR per problem (from 2.5)."""
    version = reply_version(reply.header)
    kind = "ACK"
    if reply.header.trigger_event:
        marks = reply.delimiters
        kind += marks.component + escape(reply.header.trigger_event, marks)
        kind += f"{marks.component}ACK" if at_least(version, "2.4") else ""
    first = next((each.text for each in problems if each.severity == "E"), "")
    segments = [msh(reply, kind), msa(reply, code, text or first)]
    segments += error_segments(problems, version, reply.delimiters)
    return "\r".join(segments) + "\r"


def msh(reply: Reply, kind: str, accept: str = "", application: str = "") -> str:
    """The MSH of a reply: parties swapped, MSH-11 copied, MSH-12 the sender's, MSH-18 as the sender declared it."""
    h, f, marks = reply.header, reply.delimiters.field, reply.delimiters
    theirs = h.parties
    parties = (theirs[2], theirs[3], theirs[0], theirs[1])
    # a sender may use the sign of the time zone as a delimiter
    sent_at = reply.timestamp if not set("+-") & set(marks.field + marks.encoding_characters) else reply.timestamp[:14]
    head = f"MSH{f}{marks.encoding_characters}{f}{f.join(parties)}{f}{sent_at}{f}{f}{kind}{f}"
    head += f"{reply.control_id}{f}{escape(h.processing_id, marks) or 'P'}{f}{reply_version(h)}"
    if accept or application or h.charset:
        head += f"{f}{f}{f}{accept}{f}{application}"
    return head + (f"{f}{f}{h.charset}" if h.charset else "")


def msa(reply: Reply, code: str, text: str = "") -> str:
    """The MSA of a reply. MSA-3 went out of use with 2.7; MSA-2 is the sender's MSH-10 in full, whatever its length."""
    f, marks = reply.delimiters.field, reply.delimiters
    line = f"MSA{f}{code}{f}{reply.header.raw_control_id}"
    said = bool(text) and not at_least(reply_version(reply.header), "2.7")
    if said:
        line += f + escape(text[:80], marks)  # MSA-3 is ST 80
    if reply.expected:
        line += (f if said else f + f) + reply.expected
    return line


def error_segments(problems: Sequence[Problem], version: str, delimiters: Delimiters) -> list[str]:
    """ERR for each problem: one segment with repeating ERR-1 up to 2.4, a segment each with ERR-2, 3, 4 from 2.5."""
    if not problems:
        return []
    if at_least(version, "2.5"):
        return [_err_since_25(problem, version, delimiters) for problem in problems]
    repeated = delimiters.repetition.join(_err_1(problem, version, delimiters) for problem in problems)
    return [f"ERR{delimiters.field}{repeated}"]


def condition(code: str, version: str) -> tuple[str, str]:
    """A 0357 code as that version knows it, and the 0533 code that goes with it (empty before 2.9)."""
    if at_least(version, "2.9"):
        return ("207", _SINCE_29[code]) if code in _SINCE_29 else (code, "")
    code = _BEFORE_29.get(code, code)
    return (code if at_least(version, "2.7") else _BEFORE_27.get(code, code)), ""


def read_msa(text: str) -> Msa | None:
    """The MSA of a reply, or None when there is none; reads no more than it must, since senders read many."""
    at = text.find("\rMSA")
    if not text.startswith("MSH") or at < 0:
        return None
    end = text.find("\r", at + 1)
    fields = text[at + 1 : end if end > 0 else None].split(text[3])
    fields += [""] * (4 - len(fields))
    return Msa(fields[1], fields[2], fields[3])


def _err_1(problem: Problem, version: str, marks: Delimiters) -> str:
    """ELD: segment, sequence, field, code; its CE parts are subcomponents, and 2.3 has no table 0357 to name."""
    where = problem.location or Location("MSH")
    code, _ = condition(problem.code, version)
    system = "HL70357" if at_least(version, "2.3.1") else "L"
    inner = marks.subcomponent or " "
    text = inner.join((code, escape(ERROR_CONDITIONS[code], marks), system))
    return marks.component.join((where.segment, str(where.occurrence), str(where.field or ""), text))


def _err_since_25(problem: Problem, version: str, marks: Delimiters) -> str:
    code, application_code = condition(problem.code, version)
    c = marks.component
    fields = [
        "ERR",
        "",
        _erl(problem.location, c),
        c.join((code, escape(ERROR_CONDITIONS[code], marks), "HL70357")),
        problem.severity,
    ]
    fields += [f"{application_code}{c}{c}HL70533" if application_code else "", "", escape(problem.rule, marks)]
    fields += [escape(problem.text[:250], marks)]  # ERR-8 is TX 250
    return marks.field.join(fields).rstrip(marks.field)


def _erl(location: Location | None, component: str) -> str:
    """ERL; a repetition is named only where something deeper or a repetition other than the first is meant."""
    if location is None:
        return ""
    segment, occurrence, field, repetition, inner, sub = location
    deeper = inner or repetition > 1
    parts = [segment, str(occurrence), str(field or ""), str(repetition or 1) if deeper else ""]
    parts += [str(inner or ""), str(sub or "")]
    return component.join(parts).rstrip(component)
