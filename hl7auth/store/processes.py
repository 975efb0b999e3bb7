"""Processes in the store: read, begun, moved, and everything that is written down about them.

Imports sqlalchemy, orjson, domain, errors and store only.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Row

from hl7auth.domain.authorization import joined_key
from hl7auth.domain.process import Event, Overtaken, Process
from hl7auth.store.statement import run

_COLUMNS = (
    "id", "key", "version", "is_last", "in_force", "state", "decision", "auth_number", "assigner", "source", "channel",
    "payor", "member", "request_message_id", "answer_message_id", "received_at", "expedited", "due_at", "extended_to",
    "decided_at", "row_version",
)  # fmt: skip
MANUAL = "manual"
"""The source of what was entered by hand; all else comes by messages."""
_ALL = ", ".join(_COLUMNS)
_MADE = _COLUMNS[1:]


class Stored(NamedTuple):
    """A version of a process, as its table has it."""

    id: int
    key: str
    version: int
    is_last: int
    in_force: int
    state: Process
    decision: str
    auth_number: str
    assigner: str
    source: str
    channel: str
    payor: str
    member: str
    request_message_id: int
    answer_message_id: int | None
    received_at: int
    expedited: int
    due_at: int
    extended_to: int | None
    decided_at: int | None
    row_version: int


def _stored(row: Row[Any]) -> Stored:
    found = Stored._make(row)
    return found._replace(state=Process(found.state))


def read_last(connection: Connection, key: str) -> Stored | None:
    """The version that is worked on."""
    row = run(connection, f"SELECT {_ALL} FROM process WHERE key = {{p}} AND is_last = 1", (key,)).first()
    return None if row is None else _stored(row)


def read_versions(connection: Connection, key: str) -> list[Stored]:
    """All of them, oldest first."""
    rows = run(connection, f"SELECT {_ALL} FROM process WHERE key = {{p}} ORDER BY version", (key,))
    return [_stored(row) for row in rows]


def read_open(connection: Connection) -> list[Stored]:
    """Those that nobody has decided, the one that is due first first."""
    states = "'Entry', 'In Process', 'Pended', 'Changed'"
    sql = f"SELECT {_ALL} FROM process WHERE is_last = 1 AND state IN ({states}) ORDER BY due_at, id"
    return [_stored(row) for row in run(connection, sql, ())]


def read_decided(connection: Connection, start: int, end: int) -> list[Stored]:
    """The versions that were decided from `start` to before `end`, without those that were entered by hand."""
    sql = f"SELECT {_ALL} FROM process WHERE decided_at >= {{p}} AND decided_at < {{p}}"
    sql += " AND source <> {p} ORDER BY decided_at, id"
    return [_stored(row) for row in run(connection, sql, (start, end, MANUAL))]


def read_denied_versions(connection: Connection) -> set[tuple[str, int]]:
    """Key and version of what was denied, and un-finalized then by somebody: what is only sent again is no appeal."""
    sql = (
        "SELECT d.key, d.version FROM process d JOIN process n ON n.key = d.key AND n.version = d.version + 1"
        " JOIN process_history h ON h.process_id = n.id AND h.event = 'unfinalize' AND h.by <> 'hl7'"
        " WHERE d.is_last = 0 AND d.state = 'Denied'"
    )
    return {(row.key, row.version) for row in run(connection, sql, ())}


def current_document(connection: Connection, key: str) -> dict[str, Any]:
    """What stands of the request now, in the shape of documents."""
    sql = "SELECT document FROM authorization_version WHERE key = {p} AND current = 1"
    found: dict[str, Any] = orjson.loads(run(connection, sql, (key,)).scalar_one())
    return found


def granted_document(connection: Connection, process: Stored) -> dict[str, Any] | None:
    """What stands of the authorization that a request was given, under its number; None where there is none."""
    sql = "SELECT document FROM authorization_version WHERE key = {p} AND current = 1"
    key = joined_key(process.auth_number, process.assigner)
    text = run(connection, sql, (key,)).scalar()
    found: dict[str, Any] | None = orjson.loads(text) if text else None
    return found


def is_undecided(connection: Connection, key: str) -> bool:
    """Is that an authorization about which nobody has said anything yet?"""
    sql = "SELECT 1 FROM authorization_version WHERE current = 1 AND key = {p} AND status IN ('requested', 'pended')"
    return run(connection, sql, (key,)).first() is not None


def holds(connection: Connection, key: str) -> bool:
    """Is a version of it in force?"""
    return run(connection, "SELECT 1 FROM process WHERE key = {p} AND in_force = 1 LIMIT 1", (key,)).first() is not None


def number_of(document: Mapping[str, Any]) -> tuple[str, str]:
    """The number that a request has or is about, and its assigner; empty for none, and for several."""
    if document.get("identifier"):
        return document["identifier"], document.get("assigner", "")
    concerned = document.get("concerns", ())
    number, _, assigner = concerned[0].partition("@") if len(concerned) == 1 else ("", "", "")
    return number, assigner


def current_documents(connection: Connection, keys: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What stands of some hundreds of requests now, by their keys."""
    marks = ", ".join(["{p}"] * len(keys))
    sql = f"SELECT key, document FROM authorization_version WHERE current = 1 AND key IN ({marks})"
    for row in run(connection, sql, tuple(keys)):
        yield row.key, orjson.loads(row.document)


def insert(connection: Connection, new: Stored) -> Stored:
    """Writes a version, and gives it its id."""
    marks = ", ".join(["{p}"] * len(_MADE))
    sql = f"INSERT INTO process ({', '.join(_MADE)}) VALUES ({marks}) RETURNING id"
    row = run(connection, sql, (*new[1:5], str(new.state), *new[6:])).one()
    return new._replace(id=row.id)


def change(connection: Connection, before: Stored, values: Mapping[str, Any]) -> None:
    """Sets columns of a version. Raises Overtaken where somebody else changed it since it was read."""
    sets = ", ".join(f"{name} = {{p}}" for name in values)
    sql = f"UPDATE process SET {sets}, row_version = row_version + 1 WHERE id = {{p}} AND row_version = {{p}}"
    if not run(connection, sql, (*values.values(), before.id, before.row_version)).rowcount:
        raise Overtaken("somebody else has just changed this request; look at it again")


def record(
    connection: Connection, process_id: int, step: tuple[str, Event | str, str], at: int, by: str, reason: str
) -> None:
    """A row of the history: `step` is the state before, the event, and the state after."""
    before, event, after = step
    sql = (
        "INSERT INTO process_history (process_id, from_state, event, to_state, at, by, reason)"
        " VALUES ({p}, {p}, {p}, {p}, {p}, {p}, {p})"
    )
    run(connection, sql, (process_id, str(before), str(event), str(after), at, by, reason))


def pend(connection: Connection, process_id: int, code: str, text: str, follow_up: str, at: int) -> None:
    """Attaches a reason."""
    sql = "INSERT INTO process_pend (process_id, code, text, follow_up, attached_at) VALUES ({p}, {p}, {p}, {p}, {p})"
    run(connection, sql, (process_id, code, text, follow_up, at))


def resolve(connection: Connection, process_id: int, at: int, by: str) -> None:
    """Marks all reasons that are attached as resolved."""
    sql = "UPDATE process_pend SET resolved_at = {p}, resolved_by = {p} WHERE process_id = {p} AND resolved_at IS NULL"
    run(connection, sql, (at, by, process_id))


def say(connection: Connection, process_id: int, message: tuple[str, str, str], source: str, at: int) -> None:
    """A message about it: severity, code and text."""
    sql = (
        "INSERT INTO process_message (process_id, severity, code, text, source, at)"
        " VALUES ({p}, {p}, {p}, {p}, {p}, {p})"
    )
    run(connection, sql, (process_id, *message, source, at))


def unsay(connection: Connection, process_id: int) -> None:
    """Removes what the system said."""
    run(connection, "DELETE FROM process_message WHERE process_id = {p} AND source = 'system'", (process_id,))


def has_fatal(connection: Connection, process_id: int) -> bool:
    """True with a message of severity fatal."""
    sql = "SELECT 1 FROM process_message WHERE process_id = {p} AND severity = 'fatal' LIMIT 1"
    return run(connection, sql, (process_id,)).first() is not None


def happenings(connection: Connection, process_id: int) -> dict[str, list[dict[str, Any]]]:
    """Its history, pend reasons and messages, oldest first, as plain data."""
    tables = {
        "history": "SELECT from_state, event, to_state, at, by, reason FROM process_history",
        "pends": "SELECT code, text, follow_up, attached_at, resolved_at, resolved_by FROM process_pend",
        "messages": "SELECT severity, code, text, source, at FROM process_message",
    }
    return {
        name: [row._asdict() for row in run(connection, f"{sql} WHERE process_id = {{p}} ORDER BY id", (process_id,))]
        for name, sql in tables.items()
    }
