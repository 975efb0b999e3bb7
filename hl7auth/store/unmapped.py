"""The inbox of codes: values that code tables of steps lack, counted, with an example, until a person has seen to them.

Imports sqlalchemy, domain.clock, steps, store.statement and store.schema only.

It is bounded: a sender that makes values up fills its own table's share, and then only known values are counted on.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, or_, select

from hl7auth.domain.clock import iso_time
from hl7auth.steps.draft import Unmapped
from hl7auth.store.schema import unmapped_value as inbox
from hl7auth.store.statement import run

MOST_VALUES = 1_000
"""Values that are kept of one code table at one place."""
MOST_OF_MESSAGE = 100
"""Values that are taken of one message."""
MOST_CHARACTERS = 200

_COUNT = (
    "UPDATE unmapped_value SET count = count + {p}, last_at = {p}, message_id = {p}, location = {p}"
    " WHERE place = {p} AND code_table = {p} AND value = {p}"
)
_ADD = (
    "INSERT INTO unmapped_value (place, code_table, value, location, count, first_at, last_at, message_id)"
    " SELECT {v} WHERE (SELECT count(*) FROM unmapped_value WHERE place = {p} AND code_table = {p}) < {p}"
    " ON CONFLICT (place, code_table, value) DO NOTHING"
)
_TYPES = ("TEXT", "TEXT", "TEXT", "TEXT", "BIGINT", "BIGINT", "BIGINT", "BIGINT")


class Lacking(NamedTuple):
    """A value that a table lacked at a place, in the message with that id; `at` in microseconds since 1970."""

    place: str
    table: str
    value: str
    location: str
    message_id: int
    at: int


def lacking(found: Iterable[Unmapped], place: str, message_id: int, at: int) -> list[Lacking]:
    """What one message lacked, each value once, and no more than a few."""
    values = {(each.table, _kept(each.value)): each.location for each in found}
    return [
        Lacking(place, table, value, location, message_id, at)
        for (table, value), location in list(values.items())[:MOST_OF_MESSAGE]
    ]


def write_unmapped(connection: Connection, found: Sequence[Lacking]) -> None:
    """Counts values, in the transaction of the caller. Without any, nothing is asked or written."""
    counts: dict[tuple[str, str, str], tuple[int, Lacking]] = {}
    for each in found:
        key = each[:3]
        counts[key] = (counts[key][0] + 1 if key in counts else 1, each)
    for key, (count, last) in sorted(counts.items()):  # in one order, or two writers could wait for each other
        if not run(connection, _COUNT, (count, last.at, last.message_id, last.location, *key)).rowcount:
            values = (*key, last.location, count, last.at, last.at, last.message_id, *key[:2], MOST_VALUES)
            run(connection, _ADD.replace("{v}", ", ".join(f"CAST({{p}} AS {each})" for each in _TYPES)), values)


def list_unmapped(connection: Connection, channel: str | None = None, *, all_: bool = False) -> list[dict[str, Any]]:
    """The inbox, of one channel or of all, the oldest first; with `all_` also what a person has marked as done."""
    query = select(inbox).order_by(inbox.c.first_at, inbox.c.id)
    if channel is not None:
        query = query.where(_of(channel))
    if not all_:
        query = query.where(inbox.c.done_at.is_(None))
    return [_entry(row) for row in connection.execute(query)]


def mark_done(connection: Connection, ids: Sequence[int], by: str, now: int) -> int:
    """A person has seen to these values; they are counted on, and shown no more. Returns how many there were."""
    sql = "UPDATE unmapped_value SET done_at = {p}, done_by = {p} WHERE id = {p} AND done_at IS NULL"
    return sum(run(connection, sql, (now, by, each)).rowcount for each in ids)


def forget_mapped(connection: Connection, is_mapped: Callable[[str, str, str], bool]) -> int:
    """Takes out what tables have by now; `is_mapped` is asked with place, table and value. Returns how many."""
    rows = connection.execute(select(inbox.c.id, inbox.c.place, inbox.c.code_table, inbox.c.value)).all()
    mapped = [row.id for row in rows if is_mapped(row.place, row.code_table, row.value)]
    for each in mapped:
        run(connection, "DELETE FROM unmapped_value WHERE id = {p}", (each,))
    return len(mapped)


def _of(channel: str) -> Any:
    return or_(inbox.c.place == channel, and_(inbox.c.place > f"{channel}/", inbox.c.place < f"{channel}0"))


def _kept(value: str) -> str:
    """A value as a column can hold it."""
    return value[:MOST_CHARACTERS].replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")


def _entry(row: Any) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "place": row.place,
        "table": row.code_table,
        "value": row.value,
        "location": row.location,
        "count": row.count,
        "first_seen": iso_time(row.first_at),
        "last_seen": iso_time(row.last_at),
        "message": str(row.message_id),
        "done": {"at": iso_time(row.done_at), "by": row.done_by} if row.done_at is not None else None,
    }
