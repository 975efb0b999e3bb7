"""What somebody entered about an authorization, as the message that says it: the engine then knows it from no other.

Imports domain, rules.datatypes and wire only.

An answer (RPA^I08) in action mode adds (A), updates (U) or cancels (D) what it names; without an action it is a
snapshot. A value of None clears, a key that is not there keeps. A request (RQA^I08) asks.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hl7auth.domain.grant import NOBODY
from hl7auth.domain.values import AUT_FIELDS, Values, hl7_date, write_aut, write_code
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.escapes import escape
from hl7auth.wire.message import NULL

MARKS = Delimiters("|", "^", "~", "\\", "&")
VERSION = "2.8"
DESK = "HL7AUTH"
"""MSH-3 and MSH-5 of what is entered here."""

_CPT = re.compile(r"\d{5}|\d{4}[FTU]")
_HCPCS = re.compile(r"[A-Z]\d{4}")
_LAST = 29
_NUMBERS = {field.key: field.number for field in AUT_FIELDS}
_NO_TYPE = {"code": "UNSPECIFIED"}
"""AUT-13, which an AUT has to say."""


class EnteredLine(NamedTuple):
    """A line: PR1-19, the code of PR1-3, and what its AUT says; no action is no AUT."""

    identifier: str
    code: str
    values: Values
    action: str = ""


class Entered(NamedTuple):
    """`values` are those of the message-level AUT by the keys of documents; `answers` is the control id of the request
    that is answered; `patient` as in documents, empty where nobody said whom it is for."""

    number: str
    assigner: str
    payor: str
    values: Values
    action: str = ""
    lines: Sequence[EnteredLine] = ()
    patient: Mapping[str, Any] = {}
    answers: str = ""
    referral: str = ""


class Head(NamedTuple):
    """MSH-7 and MSH-10."""

    stamp: str
    control_id: str


def is_code(text: str) -> bool:
    """True for the shape of a CPT or HCPCS Level II code; which codes there are, nobody says here."""
    return bool(_CPT.fullmatch(text) or _HCPCS.fullmatch(text))


def answer(entered: Entered, head: Head) -> bytes:
    """The RPA."""
    top = _aut(entered, entered.values, entered.action)
    segments = [_msh("RPA", head), f"MSA|AA|{_text(entered.answers or head.control_id)}", top, "PRD|RP", _pid(entered)]
    for number, line in enumerate(entered.lines or (EnteredLine("", "", {}),), 1):
        segments.append(_pr1(number, line))
        if line.action or line.values:
            segments.append(_aut(entered, line.values, line.action))
    return _joined(segments)


def request(entered: Entered, head: Head) -> bytes:
    """The RQA, under a referral of its own (RF1-6)."""
    rf1 = f"RF1||||||{_text(entered.referral)}^{DESK}"
    segments = [_msh("RQA", head), rf1, _aut(entered, entered.values, ""), "PRD|RP", _pid(entered)]
    segments += [_pr1(number, line) for number, line in enumerate(entered.lines, 1)]
    return _joined(segments)


def _msh(kind: str, head: Head) -> str:
    fields = ("MSH", "^~\\&", DESK, DESK, DESK, DESK, head.stamp, "", f"{kind}^I08^{kind}_I08", head.control_id, "P",
              VERSION, "", "", "NE", "NE", "", "UNICODE UTF-8")  # fmt: skip
    return "|".join(fields)


def _aut(entered: Entered, values: Values, action: str) -> str:
    said = {"payor": {"code": entered.payor}, "referral_type": _NO_TYPE} | values
    identifier = f"{_text(entered.number)}^{_text(entered.assigner)}" if entered.number else ""
    fields = write_aut(said, identifier, MARKS, _LAST).split("|")
    fields += [""] * (_LAST + 1 - len(fields))
    for key, value in values.items():
        if value is None:
            fields[_NUMBERS[key]] = NULL
    fields[_LAST] = action
    return "|".join(fields).rstrip("|")


def _pid(entered: Entered) -> str:
    patient = entered.patient
    identifier, assigner = (patient.get("id", ""), patient.get("assigner", "")) if patient.get("id") else NOBODY
    family, _, given = str(patient.get("name") or "Unknown").partition(", ")
    born = hl7_date(str(patient.get("birth_date", "")))
    name = f"{_text(family)}^{_text(given)}".rstrip("^")
    return f"PID|1||{_text(identifier)}^^^{_text(assigner)}||{name}||{born}".rstrip("|")


def _pr1(number: int, line: EnteredLine) -> str:
    system = "HCPCS" if _HCPCS.fullmatch(line.code) else "C4" if _CPT.fullmatch(line.code) else "L"
    code = write_code({"code": line.code, "system": system}, MARKS) if line.code else ""
    fields = ["PR1", str(number), "", code, *[""] * 15, _text(line.identifier)]
    return "|".join(fields).rstrip("|")


def _text(text: str) -> str:
    return escape(text, MARKS)


def _joined(segments: Sequence[str]) -> bytes:
    return "".join(f"{each}\r" for each in segments).encode()
