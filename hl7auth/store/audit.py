"""The audit log: who read or changed what, in rows that are only ever added, each with the hash of the one before.

Imports sqlalchemy, domain.clock, store.desk_table (by SQL) and store.statement.run only.

A row that is changed, taken out, or cut off the end shows when the chain is verified. The end of the chain is one row,
which writers take turns at.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row

from hl7auth.domain.clock import iso_time
from hl7auth.store.statement import run, run_many

_END = "end"
_INSERT = (
    "INSERT INTO audit (id, at, who, action, subject, detail, previous, hash)"
    " VALUES ({p}, {p}, {p}, {p}, {p}, {p}, {p}, {p})"
)
_COLUMNS = "id, at, who, action, subject, detail, previous, hash"
_BEGIN = "INSERT INTO audit_end (name, id, hash) VALUES ('end', 0, '') ON CONFLICT (name) DO NOTHING"
_PORTION = 2_000


class Deed(NamedTuple):
    """What somebody did: `action` as `authorization.read`, `subject` the key of what it was done to; `detail` is plain
    data. `at` in microseconds since 1970."""

    at: int
    who: str
    action: str
    subject: str
    detail: Mapping[str, Any] = {}


class Verified(NamedTuple):
    """How many rows are sound, and what is wrong with the first that is not; empty where nothing is."""

    rows: int
    fault: str = ""


def write(connection: Connection, who: str, action: str, subject: str, detail: Mapping[str, Any], at: int) -> None:
    """Adds one row, in the transaction of the caller: as its last statement, for others wait from here on."""
    write_all(connection, [Deed(at, who, action, subject, detail)])


def write_all(connection: Connection, deeds: Sequence[Deed]) -> None:
    """Adds rows in their order."""
    if not deeds:
        return
    lock = " FOR UPDATE" if connection.dialect.name == "postgresql" else ""
    sql = f"SELECT id, hash FROM audit_end WHERE name = {{p}}{lock}"
    end = run(connection, sql, (_END,)).first()
    if end is None:
        run(connection, _BEGIN, ())
        end = run(connection, sql, (_END,)).one()
    number, previous = int(end.id), str(end.hash)
    rows = []
    for deed in deeds:
        number += 1
        values = (number, deed.at, deed.who, deed.action, deed.subject, _text(deed.detail), previous)
        previous = _hash(values)
        rows.append((*values, previous))
    run_many(connection, _INSERT, rows)
    run(connection, "UPDATE audit_end SET id = {p}, hash = {p} WHERE name = {p}", (number, previous, _END))


def verify(connection: Connection) -> Verified:
    """Goes through the whole chain."""
    previous, count = "", 0
    while rows := run(connection, f"SELECT {_COLUMNS} FROM audit WHERE id > {{p}} ORDER BY id LIMIT {{p}}",
                      (count, _PORTION)).all():  # fmt: skip
        for row in rows:
            if row.id != count + 1:
                return Verified(count, f"row {count + 1} is missing")
            if row.previous != previous or _hash(tuple(row)[:-1]) != row.hash:
                return Verified(count, f"row {row.id} is not as it was written")
            previous, count = row.hash, count + 1
    end = run(connection, "SELECT id, hash FROM audit_end WHERE name = {p}", (_END,)).first()
    if end is None:
        return Verified(count, "the end of the chain is missing" if count else "")
    if (end.id, end.hash) != (count, previous):
        return Verified(count, f"rows after {count} are missing: there were {end.id}")
    return Verified(count)


def listed(connection: Connection, subject: str, before: int | None, limit: int) -> list[dict[str, Any]]:
    """Rows, newest first, of one subject or of all, from before an id."""
    where = ["id < {p}"] * (before is not None) + ["subject = {p}"] * bool(subject)
    values = [each for each in (before, subject or None) if each is not None]
    clause = f" WHERE {' AND '.join(where)}" if where else ""
    rows = run(connection, f"SELECT {_COLUMNS} FROM audit{clause} ORDER BY id DESC LIMIT {{p}}", (*values, limit))
    return [_entry(row) for row in rows]


def _entry(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": iso_time(row.at),
        "who": row.who,
        "action": row.action,
        "subject": row.subject,
        "detail": json.loads(row.detail),
        "hash": row.hash,
    }


def _text(detail: Mapping[str, Any]) -> str:
    return json.dumps(detail, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _hash(values: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()
