"""Messages for the tests of the domain and flow floors: invented people, payers and numbers, and a place to send them.

Imports domain, flow, rules and wire only.
"""

import itertools
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pytest

from hl7auth.domain.authorization import Claim, read_claims
from hl7auth.domain.document import Document
from hl7auth.domain.intent import Intent
from hl7auth.domain.semantics import Refused, apply
from hl7auth.flow.channel import Channel, find_channel
from hl7auth.flow.decision import Disposition, Outcome, decide
from hl7auth.flow.intake import Plan, plan
from hl7auth.flow.trial import TRIAL_TIME, Memory
from hl7auth.rules.dictionary import dictionary
from hl7auth.rules.structure import layout
from hl7auth.wire.ack import Location, Problem
from hl7auth.wire.message import Message, parse

FRONT, PAYER = "FRONT|NORTH", "PAYER|SOUTH"
PRD = "PRD|RP|Moss^Ada"
PID = "PID|||77001^^^NORTH||Quill^Ivo||19800102"
VISIT, THERAPY, IMAGING = (
    "PR1|1||99213^Visit^C4||20260401",
    "PR1|2||97110^Exercise^C4||20260401",
    "PR1|3||73721^Knee^C4||20260401",
)


def message(
    *segments: str,
    kind: str = "RQA",
    event: str = "I08",
    version: str = "2.5",
    control_id: str = "C1",
    sender: str = "",
    receiver: str = "",
    sent_at: str = "20260301101500",
    processing_id: str = "P",
    modes: tuple[str, str] = ("", ""),
    charset: str = "",
    codec: str = "ascii",
) -> bytes:
    """A message of those segments under an MSH; `event` may name the structure too (`I08^RQA_I08`)."""
    asks = kind in ("RQA", "REF")
    parties = f"{sender or (FRONT if asks else PAYER)}|{receiver or (PAYER if asks else FRONT)}"
    name = f"{kind}^{event}" if event else kind
    msh = f"MSH|^~\\&|{parties}|{sent_at}||{name}|{control_id}|{processing_id}|{version}"
    msh += f"|||{modes[0]}|{modes[1]}||{charset}".rstrip("|")
    return ("\r".join((msh, *segments)) + "\r").encode(codec)


def request(*segments: str, top: str = "", referral: str = "", **head: Any) -> bytes:
    """An RQA (or, by `kind`, a REF) with RF1-6 and a message-level AUT where given; `segments` follow PID."""
    before = [f"RF1||||||{referral}"] if referral else []
    return message(*before, *([top] if top else []), PRD, PID, *segments, **{"kind": "RQA"} | head)


def answer(*segments: str, to: str = "C1", code: str = "AA", top: str = "", referral: str = "", **head: Any) -> bytes:
    """An RPA (or, by `kind`, an RRI) to the message with control id `to`; `segments` follow PID."""
    before = [f"MSA|{code}|{to}"] + ([f"RF1||||||{referral}"] if referral else [])
    head = {"kind": "RPA", "control_id": "D1"} | head
    return message(*before, *([top] if top else []), PRD, PID, *segments, **head)


def aut(fields: Mapping[int, str] | None = None, **named: str) -> str:
    """An AUT of the payor ACME; `number` is AUT-6, the other fields go by their HL7 number."""
    values = {2: "ACME"} | dict(fields or {})
    if "number" in named:
        values[6] = named["number"]
    return "AUT|" + "|".join(values.get(at, "") for at in range(1, max(values) + 1))


def granted(number: str, more: Mapping[int, str] | None = None) -> str:
    """An AUT that grants two treatments under that number."""
    return aut({4: "20260401", 5: "20260930", 6: number, 9: "2"} | dict(more or {}))


def parsed(raw: bytes) -> Message:
    """The message of those bytes."""
    return parse(raw)


def claims_of(raw: bytes) -> list[Claim]:
    """The claims of a message under the structure of its event."""
    read = parse(raw)
    header = read.header
    structure = dictionary(header.version).structure_of(header.message_type, header.trigger_event)
    assert structure is not None
    return read_claims(read, layout(header.version, structure, tuple(segment.name for segment in read.segments)))


@cache
def shipped_channel() -> Channel:
    """The channel that is shipped."""
    return find_channel("referral-intake")


def channel(**changes: Any) -> Channel:
    """The shipped channel with some keys set otherwise."""
    shipped = shipped_channel()
    return shipped.model_copy(update={"file": shipped.file.model_copy(update=changes)})


class Trial:
    """Messages sent one after another to a channel that remembers."""

    def __init__(self, on: Channel | None = None) -> None:
        self.channel = on or shipped_channel()
        self.memory = Memory()
        self.new_id = itertools.count(1).__next__

    def plan(self, raw: bytes, notes: Sequence[str] = ()) -> Plan:
        """The plan of a message, which changes nothing."""
        return plan(raw, self.channel, TRIAL_TIME, self.new_id, notes)

    def send(self, *raws: bytes) -> Outcome:
        """The outcome of the last of these messages."""
        for raw in raws:
            outcome = decide(self.plan(raw), self.memory)
            self.memory.apply(outcome)
        return outcome

    def document(self, key: str) -> Document:
        """The current document of an authorization, or of a request (`?R1@FRONT:NORTH`)."""
        record = self.memory.record(key)
        assert record is not None, f"{key} is not known"
        return record.document

    def statuses(self, *keys: str) -> list[str]:
        """The current statuses of these keys, `-` for an unknown one."""
        records = [self.memory.record(key) for key in keys]
        return [record.status if record else "-" for record in records]


def texts(outcome: Outcome, codec: str = "ascii") -> list[list[str]]:
    """The replies of an outcome, each as its segments."""
    return [raw.decode(codec).rstrip("\r").split("\r") for raw in outcome.replies]


def rules(outcome: Outcome) -> set[str]:
    """The rules that the findings of an outcome name."""
    return {finding.rule for finding in outcome.findings}


ASKED = aut({8: "3"})
OTHER_PATIENT = b"PID|||90002^^^NORTH||Reed^Ada||19751212"


def intent(trial: Trial, raw: bytes) -> Intent:
    """What a message says; it must not be refused before."""
    found = trial.plan(raw).intent
    assert found is not None
    return found


def changes(outcome: Outcome) -> list[tuple[str, int, str, str]]:
    """Key, version, status and rule of each change; the outcome must be an accepted one."""
    assert outcome.disposition is Disposition.ACCEPTED, outcome.findings
    return [(each.record.key, each.record.version, each.record.status, each.rule) for each in outcome.changes]


def refused(trial: Trial, raw: bytes) -> Problem:
    """The one problem for which the message is refused."""
    with pytest.raises(Refused) as caught:
        apply(intent(trial, raw), trial.memory)
    (problem,) = caught.value.problems
    assert trial.send(raw).changes == ()
    return problem


def two_granted(**head: Any) -> Trial:
    """A referral with two authorizations."""
    trial = Trial()
    trial.send(request(VISIT, ASKED, THERAPY, ASKED, **head))
    trial.send(answer(VISIT, granted("PA1"), THERAPY, granted("PA2"), **head))
    return trial


def planned(raw: bytes, *notes: str) -> Plan:
    """The plan of a message alone."""
    return Trial().plan(raw, notes)


def refusal(raw: bytes) -> tuple[str, list[tuple[str, Location | None]]]:
    """The acknowledgement code of the refusal, and code and place of each problem."""
    found = planned(raw).refusal
    assert found is not None
    return found.ack, [(problem.code, problem.location) for problem in found.problems]


def reply_to(raw: bytes) -> list[str]:
    """The segments of the one reply."""
    (lines,) = texts(Trial().send(raw))
    return lines
