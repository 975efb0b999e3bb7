"""What belongs to a message: its deliveries, and the messages that ask, answer, repeat it or touch what it touched.

Imports sqlalchemy, domain.clock, flow, store.archive, store.bodies and the tables only.
"""

from typing import Any

from sqlalchemy import Connection

from hl7auth.domain.clock import iso_time
from hl7auth.flow.indexed import folded
from hl7auth.store.archive import Entry
from hl7auth.store.bodies import BodyFault, sealed_answer
from hl7auth.store.statement import run

MOST_RELATED = 50
"""Of each kind; the newest."""

_ANSWERS = (
    "SELECT m.id, m.control_id, m.message_type, m.trigger_event, m.received_at, m.disposition FROM message_field f"
    " CROSS JOIN message m WHERE f.field = 'MSA-2.1' AND f.value = {p} AND m.id = f.message_id AND m.id <> {p}"
    " ORDER BY f.message_id DESC LIMIT {p}"
)
_BY_CONTROL_ID = (
    "SELECT id, control_id, message_type, trigger_event, received_at, disposition FROM message"
    " WHERE control_id = {p} AND id <> {p} ORDER BY id DESC LIMIT {p}"
)
_SAME = (
    "SELECT DISTINCT m.id, m.control_id, m.message_type, m.trigger_event, m.received_at, m.disposition"
    " FROM authorization_version mine CROSS JOIN authorization_version theirs CROSS JOIN message m"
    " WHERE mine.message_id = {p} AND theirs.key = mine.key AND m.id = theirs.message_id AND m.id <> {p}"
    " ORDER BY m.id DESC LIMIT {p}"
)
_DELIVERIES = (
    "SELECT id, destination, state, attempts, queued_at, settled_at, reason, answer FROM delivery"
    " WHERE message_id = {p} AND part = 0 ORDER BY id LIMIT {p}"
)


def related(connection: Connection, message_id: int, control_id: str, answers: str) -> list[Entry]:
    """The messages that belong to one, the oldest first, each with what it is to it.

    `answers` is the control id that the message names in MSA-2. `as` is request, answer, repetition (of the same
    control id) or "same authorization".
    """
    found: dict[int, Entry] = {}
    kinds: list[tuple[str, str, tuple[object, ...]]] = []
    if control_id:
        kinds.append(("answer", _ANSWERS, (folded(control_id), message_id)))
        kinds.append(("repetition", _BY_CONTROL_ID, (control_id, message_id)))
    if answers:
        kinds.append(("request", _BY_CONTROL_ID, (answers, message_id)))
    kinds.append(("same authorization", _SAME, (message_id, message_id)))
    for kind, sql, values in kinds:
        for row in run(connection, sql, (*values, MOST_RELATED)):
            found.setdefault(row.id, _entry(row, kind))
    return [found[number] for number in sorted(found)]


def deliveries_of(connection: Connection, message_id: int) -> list[Entry]:
    """Where a message was sent on to, and what became of it."""
    return [
        {
            "id": str(row.id),
            "destination": row.destination,
            "state": row.state,
            "attempts": row.attempts,
            "queued_at": iso_time(row.queued_at),
            "settled_at": iso_time(row.settled_at) if row.settled_at is not None else None,
            "reason": row.reason,
            "answer": _answer(connection, message_id, row),
        }
        for row in run(connection, _DELIVERIES, (message_id, MOST_RELATED))
    ]


def _answer(connection: Connection, message_id: int, row: Any) -> str | None:
    """What came back; where it is lost with its pack, why."""
    try:
        found = row.answer if row.answer is not None else sealed_answer(connection, message_id, row.id)
    except BodyFault as fault:
        return f"({fault})"
    return bytes(found).decode("utf-8", "replace") if found is not None else None


def _entry(row: Any, kind: str) -> Entry:
    return {
        "as": kind,
        "id": str(row.id),
        "event": f"{row.message_type}^{row.trigger_event}" if row.trigger_event else row.message_type,
        "control_id": row.control_id,
        "received_at": iso_time(row.received_at),
        "disposition": row.disposition,
    }
