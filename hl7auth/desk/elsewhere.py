"""What was decided elsewhere: a payor's own answer to a request of the desk, and an authorization entered by hand.

Imports sqlalchemy, orjson, domain and store.
"""

from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from hl7auth.desk.answering import PEER
from hl7auth.domain.crosswalk import CROSSWALK, Decision
from hl7auth.domain.process import ANSWERED, BEGINNINGS, OPEN, Process
from hl7auth.domain.status import STATUSES, Status
from hl7auth.store import processes
from hl7auth.store.processes import MANUAL, Stored
from hl7auth.store.statement import run

_DECISIONS = {
    Status.APPROVED: Decision.CERTIFIED_TOTAL, Status.PARTIALLY_APPROVED: Decision.CERTIFIED_PARTIAL,
    Status.MODIFIED: Decision.MODIFIED, Status.DENIED: Decision.NOT_CERTIFIED,
}  # fmt: skip
_LAST = (
    "SELECT v.status, m.id, m.received_at, m.peer, m.message_type FROM authorization_version v"
    " JOIN message m ON m.id = v.message_id WHERE v.key = {p} AND v.current = 1"
)
_A_WEEK = 7 * 86_400_000_000
"""As long as a request has by itself, for a version that follows."""
_ENTERED = (
    "SELECT v.document, m.id, m.channel FROM authorization_version v JOIN message m ON m.id = v.message_id"
    " WHERE v.key = {p} AND v.current = 1 AND v.status = 'approved'"
)
_GRANTED = (
    "SELECT document FROM authorization_version WHERE message_id = {p} AND key NOT LIKE {p} AND status <> 'cancelled'"
)
_GRANTED += " ORDER BY key"


class Answered(NamedTuple):
    """What a payor answered: the message, when it came, what it decided, and the number that it gave."""

    message_id: int
    at: int
    decision: Decision
    number: str
    assigner: str


def answered(connection: Connection, process: Stored) -> Answered | None:
    """What another than the desk has decided about a request since its version began, or otherwise than the desk since
    it was decided here; None where nobody has."""
    last = run(connection, _LAST, (process.key,)).first()
    decision = _DECISIONS.get(STATUSES[last.status]) if last is not None else None
    if last is None or decision is None or last.peer == PEER:
        return None
    since = process.received_at if process.decided_at is None else process.decided_at
    is_same = process.state not in OPEN and CROSSWALK[decision].process is process.state
    if last.received_at <= since or is_same or process.state is Process.CANCELLED:
        return None
    found = run(connection, _GRANTED, (last.id, "?%")).scalars().first()
    granted: dict[str, Any] = orjson.loads(found) if found else {}
    number, assigner = granted.get("identifier", ""), granted.get("assigner", "")
    return Answered(last.id, last.received_at, decision, number, assigner)


def taken_back(connection: Connection, key: str) -> str:
    """Who has cancelled it by a message, in words; empty for the desk itself, whose decision under another number ends
    the one that was named before."""
    last = run(connection, _LAST, (key,)).first()
    if last is None or last.peer == PEER:
        return ""
    return f"taken back by its {'payor' if last.message_type in ('RPA', 'RRI') else 'requester'}"


def follow(connection: Connection, process: Stored, said: Answered) -> None:
    """Ends the work on a request that somebody else has decided."""
    after = CROSSWALK[said.decision].process
    processes.change(connection, process, {
        "state": str(after), "decision": str(said.decision), "answer_message_id": said.message_id,
        "auth_number": said.number, "assigner": said.assigner, "decided_at": said.at,
        "in_force": int(after is Process.APPROVED),
    })  # fmt: skip
    processes.resolve(connection, process.id, said.at, "hl7")
    run(connection, "UPDATE process SET in_force = 0 WHERE key = {p} AND is_last = 0", (process.key,))
    step = (process.state, ANSWERED, after)
    processes.record(connection, process.id, step, said.at, "hl7", "its payor answered")


def manual_save(connection: Connection, key: str, by: str, now: int) -> None:
    """The process of an authorization that was entered by hand: approved, and the first or next version of its key.
    Nothing where it is in the store as something else."""
    row = run(connection, _ENTERED, (key,)).first()
    if row is None:
        return
    document: dict[str, Any] = orjson.loads(row.document)
    last = processes.read_last(connection, key)
    if last is not None:
        processes.change(connection, last, {"is_last": 0, "in_force": 0})
    event, state = "manual_save", BEGINNINGS["manual_save"]
    new = processes.insert(connection, Stored(
        0, key, last.version + 1 if last else 1, 1, 1, state, str(Decision.CERTIFIED_TOTAL),
        document.get("identifier", ""), document.get("assigner", ""), MANUAL, row.channel,
        (document.get("payor") or {}).get("code", ""), (document.get("patient") or {}).get("id", ""), row.id, row.id,
        now, 0, now + _A_WEEK, None, now, 1,
    ))  # fmt: skip
    processes.record(connection, new.id, ("", event, state), now, by, "")
