"""What an answer of a destination means for a delivery: a table, and the pause before the next attempt.

Imports wire only.

At-least-once: an answer that is lost on its way is asked for again by sending the message again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from hl7auth.wire.ack import read_msa

SECOND = 1_000_000
"""Times are microseconds since 1970, UTC."""


class Act(StrEnum):
    """What is done about an answer. `park`: this key waits for a person; `stop`: the whole destination does; `skip`:
    a step says that this message is not for this destination, and the rest flows on."""

    SENT = "sent"
    RETRY = "retry"
    PARK = "park"
    STOP = "stop"
    DEAD = "dead"
    SKIP = "skip"


TABLE: Mapping[str, Act] = {
    # table 0008, and after it codes of table 0357 that say more
    "AA": Act.SENT,
    "CA": Act.SENT,
    "AE": Act.PARK,  # its content: the same message would fail again
    "AE 206": Act.RETRY,  # the record is locked
    "AE 207": Act.RETRY,  # an internal error: nothing was applied
    "AR": Act.RETRY,  # for reasons unrelated to its content: out of service
    "AR 103": Act.PARK,  # a sender or receiver that nobody knows there
    "AR 200": Act.PARK,  # its type, event, processing id or version: those never change
    "AR 201": Act.PARK,
    "AR 202": Act.PARK,
    "AR 203": Act.PARK,
    "CE": Act.PARK,
    "CE 206": Act.RETRY,
    "CE 207": Act.RETRY,
    "CR": Act.PARK,
    "CR 207": Act.RETRY,
    # without an HL7 answer
    "written": Act.SENT,
    "timeout": Act.RETRY,
    "closed": Act.RETRY,
    "unreadable": Act.RETRY,
    "failed": Act.RETRY,
    "unshaped": Act.PARK,
    "filtered": Act.SKIP,
    # statuses of HTTP; a hundred of them share the line of their first digit
    "HTTP 2": Act.SENT,
    "HTTP 3": Act.PARK,
    "HTTP 4": Act.PARK,
    "HTTP 401": Act.STOP,
    "HTTP 403": Act.STOP,
    "HTTP 404": Act.STOP,
    "HTTP 405": Act.STOP,
    "HTTP 408": Act.RETRY,
    "HTTP 425": Act.RETRY,
    "HTTP 429": Act.RETRY,
    "HTTP 5": Act.RETRY,
}
"""What answers mean unless a destination says otherwise."""

_KEY = re.compile(r"(?:[AC][AER])(?: [0-9A-Za-z]{1,20})?|HTTP [2-5](?:\d\d)?|timeout|closed|unreadable|failed|unshaped")
KEPT_OF_ANSWER = 16 * 1024
"""Bytes of an answer that are kept beside its delivery: an RPA with its authorizations, not a scanned letter."""


class Answer(NamedTuple):
    """What came back. `code` is a key of the table but for its condition; `raw` the bytes of the answer."""

    code: str
    condition: str = ""
    text: str = ""
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Policy:
    """The table of one destination, and its pauses in seconds. `then` is done after so many `attempts` (0: never)."""

    table: Mapping[str, Act] = field(default_factory=lambda: TABLE)
    first_seconds: float = 1.0
    factor: float = 2.0
    most_seconds: float = 300.0
    jitter: float = 0.2
    attempts: int = 0
    then: Act = Act.PARK


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a delivery; `due_at` is when it is sent again, for a retry. `reason` holds no patient's data."""

    act: Act
    reason: str
    due_at: int = 0


def judge(answer: Answer, attempts: int, policy: Policy, now: int, dice: float) -> Verdict:
    """The verdict on an answer to the attempt number `attempts` (from 1). `dice` is from 0 to 1, both included.

    An answer that is not in the table is for a person to look at: it parks.
    """
    act = looked_up(answer, policy.table)
    reason = _reason(answer)
    if act is not Act.RETRY:
        return Verdict(act, reason)
    if policy.attempts and attempts >= policy.attempts:
        return Verdict(policy.then, f"{reason}; given up after {attempts} attempts")
    return Verdict(act, reason, now + int(pause(policy, attempts, dice) * SECOND))


def looked_up(answer: Answer, table: Mapping[str, Act]) -> Act:
    """The line of the table: the most exact one that is there."""
    for key in (f"{answer.code} {answer.condition}", answer.code, answer.code[: len("HTTP 5")]):
        if key in table:
            return table[key]
    return Act.PARK


def pause(policy: Policy, attempts: int, dice: float) -> float:
    """Seconds to wait after so many attempts."""
    # 64 doublings are beyond any bound: no float overflows
    plain = min(policy.first_seconds * policy.factor ** min(attempts - 1, 64), policy.most_seconds)
    return plain * (1 + policy.jitter * (2 * dice - 1))


def key_fault(key: str) -> str:
    """What is wrong with a key of the table; empty when nothing is."""
    if _KEY.fullmatch(key):
        return ""
    allowed = (
        "AA to CR, alone or with a code of ERR like 'AE 207', 'HTTP 503', timeout, closed, unreadable, failed, unshaped"
    )
    return f"'{key}' is no answer (allowed: {allowed})"


def read_answer(raw: bytes) -> tuple[Answer, str] | None:
    """An HL7 answer, and the control id that it is about (MSA-2, as it was sent); None for what has no MSA."""
    text = raw.decode("latin_1").replace("\r\n", "\r").replace("\n", "\r")
    msa = read_msa(text)
    if msa is None or msa.code not in ("AA", "AE", "AR", "CA", "CE", "CR"):
        return None
    condition = "" if msa.positive else _condition(text)
    return Answer(msa.code, condition, "", raw), msa.control_id.strip()


def control_id_of(raw: bytes) -> str:
    """MSH-10 as it is sent: what MSA-2 of the answer has to say."""
    line = raw[: raw.find(b"\r")].decode("latin_1") if b"\r" in raw else raw.decode("latin_1")
    fields = line.split(line[3:4] or "|")
    return fields[9].strip() if len(fields) > 9 else ""


def _condition(text: str) -> str:
    """The code of table 0357 in the first ERR: ERR-3 since 2.5, else the fourth component of ERR-1."""
    at = text.find("\rERR")
    if at < 0:
        return ""
    segment = text[at + 1 :].split("\r", 1)[0]
    marks = text[3:8]
    fields = segment.split(marks[0])
    if len(fields) > 3 and fields[3]:
        return fields[3].split(marks[1])[0].strip()
    parts = fields[1].split(marks[1]) if len(fields) > 1 else []
    inner = marks[4:5] or "&"
    return parts[3].split(inner)[0].strip() if len(parts) > 3 else ""


def _reason(answer: Answer) -> str:
    """Codes only: the text of an answer may name a patient, and is kept with the answer itself."""
    said = f"{answer.code} {answer.condition}".strip()
    return f"{said}: {answer.text}" if answer.text else said
