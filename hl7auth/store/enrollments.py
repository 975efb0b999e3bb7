"""Enrollments in the store, and the requests that wait for one.

Imports sqlalchemy, orjson, store.statement and store.enrollment_table (so that its tables are known) only.
"""

from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from hl7auth.store import enrollment_table as _tables  # noqa: F401
from hl7auth.store.statement import run

_KEEP = (
    "INSERT INTO enrollment (member, payor, data, received_at) VALUES ({p}, {p}, {p}, {p})"
    " ON CONFLICT (member, payor) DO UPDATE SET data = excluded.data, received_at = excluded.received_at"
)
_TROUBLE = (
    "INSERT INTO process_trouble (process_id, reason, tries, since, retry_at) VALUES ({p}, {p}, 1, {p}, {p})"
    " ON CONFLICT (process_id) DO UPDATE SET reason = excluded.reason, tries = process_trouble.tries + 1,"
    " retry_at = excluded.retry_at"
)


class Kept(NamedTuple):
    """What a source said of a member, and when; `data` is None where it knows nobody of that number."""

    data: dict[str, Any] | None
    received_at: int


class Trouble(NamedTuple):
    """Why a request is suspended. `tries` counts those in vain; times are microseconds since 1970."""

    process_id: int
    reason: str
    tries: int
    since: int
    retry_at: int


def read_enrollment(connection: Connection, member: str, payor: str) -> Kept | None:
    """What is kept of a member of a payor."""
    sql = "SELECT data, received_at FROM enrollment WHERE member = {p} AND payor = {p}"
    row = run(connection, sql, (member, payor)).first()
    return None if row is None else Kept(orjson.loads(row.data), row.received_at)


def keep_enrollment(connection: Connection, member: str, payor: str, data: dict[str, Any] | None, at: int) -> None:
    """Keeps what was said last."""
    run(connection, _KEEP, (member, payor, orjson.dumps(data).decode(), at))


def read_trouble(connection: Connection, process_id: int) -> Trouble | None:
    """Why a request is suspended, if it is."""
    sql = "SELECT process_id, reason, tries, since, retry_at FROM process_trouble WHERE process_id = {p}"
    row = run(connection, sql, (process_id,)).first()
    return None if row is None else Trouble._make(row)


def suspend(connection: Connection, process_id: int, reason: str, now: int, retry_at: int) -> None:
    """It waits until then."""
    run(connection, _TROUBLE, (process_id, reason, now, retry_at))


def release(connection: Connection, process_id: int) -> bool:
    """It waits no more; False where it did not."""
    return bool(run(connection, "DELETE FROM process_trouble WHERE process_id = {p}", (process_id,)).rowcount)


def due(connection: Connection, now: int, limit: int) -> list[tuple[str, Trouble]]:
    """The keys of suspended requests whose time has come, the one that waits longest first."""
    sql = (
        "SELECT p.key, t.process_id, t.reason, t.tries, t.since, t.retry_at FROM process_trouble t"
        " JOIN process p ON p.id = t.process_id WHERE t.retry_at <= {p} AND p.is_last = 1 AND p.state = 'In Process'"
        " ORDER BY t.retry_at, t.process_id LIMIT {p}"
    )
    return [(row[0], Trouble._make(row[1:])) for row in run(connection, sql, (now, limit))]


def claim(connection: Connection, found: Trouble, until: int) -> bool:
    """Takes a suspended request for oneself until then; False where somebody else was faster."""
    sql = "UPDATE process_trouble SET retry_at = {p} WHERE process_id = {p} AND retry_at = {p}"
    return bool(run(connection, sql, (until, found.process_id, found.retry_at)).rowcount)
