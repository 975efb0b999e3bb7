"""Operations: what was taken on and is worked on, one after the other, so that who asked can come back for the result.

Imports sqlalchemy, domain.clock and store.statement.run only.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row

from hl7auth.domain.clock import iso_time
from hl7auth.store.statement import run

FORGOTTEN_AT_ONCE = 500


class Stage(StrEnum):
    """Where an operation is."""

    NOT_STARTED = "NotStarted"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class Operation(NamedTuple):
    """What was asked: `kind` and `request` are plain data, `body_hash` tells the same request sent again."""

    id: str
    kind: str
    caller: str
    created_at: int
    idempotency_key: str
    body_hash: str
    request: Mapping[str, Any]


def accept(connection: Connection, asked: Operation) -> tuple[str, bool]:
    """Takes it on; gives the id under which it is known, and whether that is of this very request: an idempotency key
    that was used for another one is the False case. Without a key every request is a new one."""
    sql = (
        "INSERT INTO operation (id, kind, caller, state, created_at, idempotency_key, body_hash, request)"
        " VALUES ({p}, {p}, {p}, 'NotStarted', {p}, {p}, {p}, {p})"
        " ON CONFLICT (caller, idempotency_key) WHERE idempotency_key <> '' DO NOTHING"
    )
    values = (asked.id, asked.kind, asked.caller, asked.created_at, asked.idempotency_key, asked.body_hash,
              json.dumps(asked.request, ensure_ascii=False))  # fmt: skip
    if run(connection, sql, values).rowcount:
        return asked.id, True
    known = "SELECT id, body_hash FROM operation WHERE caller = {p} AND idempotency_key = {p}"
    row = run(connection, known, (asked.caller, asked.idempotency_key)).one()
    return row.id, row.body_hash == asked.body_hash


def begin(connection: Connection, operation_id: str) -> Operation | None:
    """Marks it Running; None for one that has ended. One that was Running when a process died is begun again."""
    sql = "UPDATE operation SET state = 'Running' WHERE id = {p} AND state IN ('NotStarted', 'Running')"
    if not run(connection, sql, (operation_id,)).rowcount:
        return None
    row = _row(connection, operation_id)
    assert row is not None
    return Operation(row.id, row.kind, row.caller, row.created_at, row.idempotency_key, row.body_hash,
                     json.loads(row.request))  # fmt: skip


def end(connection: Connection, operation_id: str, stage: Stage, result: Mapping[str, Any], now: int) -> None:
    """Succeeded or Failed, with what came of it."""
    sql = "UPDATE operation SET state = {p}, result = {p}, finished_at = {p} WHERE id = {p}"
    run(connection, sql, (str(stage), json.dumps(result, ensure_ascii=False), now, operation_id))


def forget(connection: Connection, before: int) -> int:
    """Removes some hundreds of those that ended before a time, with what was asked; returns how many."""
    old = "SELECT id FROM operation WHERE finished_at < {p} ORDER BY finished_at LIMIT {p}"
    return run(connection, f"DELETE FROM operation WHERE id IN ({old})", (before, FORGOTTEN_AT_ONCE)).rowcount


def open_ids(connection: Connection, kinds: str = "") -> list[str]:
    """Those that are not ended, of kinds that begin so, in their order."""
    sql = "SELECT id FROM operation WHERE state IN ('NotStarted', 'Running') AND kind LIKE {p} ORDER BY created_at, id"
    return [row.id for row in run(connection, sql, (f"{kinds}%",))]


def is_open(connection: Connection, kind: str, beside: str) -> bool:
    """Is another one of that very kind not ended?"""
    sql = "SELECT 1 FROM operation WHERE state IN ('NotStarted', 'Running') AND kind = {p} AND id <> {p} LIMIT 1"
    return run(connection, sql, (kind, beside)).first() is not None


def read(connection: Connection, operation_id: str) -> tuple[str, dict[str, Any]] | None:
    """Whose it is, and how it stands; None for an unknown one."""
    row = _row(connection, operation_id)
    if row is None:
        return None
    entry = {
        "id": row.id,
        "kind": row.kind,
        "status": row.state,
        "created_at": iso_time(row.created_at),
        "finished_at": None if row.finished_at is None else iso_time(row.finished_at),
    }
    result = json.loads(row.result) if row.result else {}
    return row.caller, entry | result


def accesses(connection: Connection, key: str) -> list[dict[str, str]]:
    """Who has access to an authorization or one of its lines."""
    sql = (
        "SELECT line, idtype, providerid, role FROM authorization_access WHERE key = {p}"
        " ORDER BY line, idtype, providerid, role"
    )
    return [row._asdict() for row in run(connection, sql, (key,))]


def grant_access(connection: Connection, key: str, line: str, access: tuple[str, str, str]) -> None:
    """Adds one; what is there stays."""
    sql = (
        "INSERT INTO authorization_access (key, line, idtype, providerid, role) VALUES ({p}, {p}, {p}, {p}, {p})"
        " ON CONFLICT DO NOTHING"
    )
    run(connection, sql, (key, line, *access))


def take_access(connection: Connection, key: str, line: str | None = None,
                access: tuple[str, str, str] | None = None) -> None:  # fmt: skip
    """Takes one away, or all of a line, or all of an authorization."""
    sql, values = "DELETE FROM authorization_access WHERE key = {p}", [key]
    if line is not None:
        sql, values = f"{sql} AND line = {{p}}", [*values, line]
    if access is not None:
        sql, values = f"{sql} AND idtype = {{p}} AND providerid = {{p}} AND role = {{p}}", [*values, *access]
    run(connection, sql, values)


def _row(connection: Connection, operation_id: str) -> Row[Any] | None:
    return run(connection, "SELECT * FROM operation WHERE id = {p}", (operation_id,)).first()
