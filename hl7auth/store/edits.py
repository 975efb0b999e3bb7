"""Messages that a person corrected and sent again: which was made of which, by whom, why, and what was changed.

Imports sqlalchemy, orjson, domain.clock and the store's archive and tables only.

The record is written before its message, under the control id that only that message has: a message that somebody made
is never without it.
"""

from typing import NamedTuple

import orjson
from sqlalchemy import Connection

from hl7auth.domain.clock import iso_time
from hl7auth.store.archive import Entry
from hl7auth.store.statement import run

_INSERT = (
    "INSERT INTO message_edit (control_id, origin, at, edited_by, reason, changes)"
    " VALUES ({p}, {p}, {p}, {p}, {p}, {p})"
)
_SELECT = (
    "SELECT e.control_id, e.origin, e.at, e.edited_by, e.reason, e.changes, m.id FROM message_edit e"
    " LEFT JOIN message m ON m.control_id = e.control_id WHERE "
)


class Edit(NamedTuple):
    """`control_id` is that of the new message, `origin` the id of the one it was made of; `at` in microseconds since
    1970; `changes` are [path, before, after]."""

    control_id: str
    origin: int
    at: int
    by: str
    reason: str
    changes: tuple[tuple[str, str, str], ...]


def write_edit(connection: Connection, edit: Edit) -> None:
    """Notes it, in the transaction of the caller."""
    changes = orjson.dumps(edit.changes).decode()
    run(connection, _INSERT, (edit.control_id, edit.origin, edit.at, edit.by, edit.reason, changes))


def edits_of(connection: Connection, message_id: int, control_id: str) -> dict[str, list[Entry]]:
    """`edit_of`: how a message was made of another one; `edits`: what was made of it."""
    found = {}
    for name, where, value in (("edit_of", "e.control_id = {p}", control_id), ("edits", "e.origin = {p}", message_id)):
        rows = run(connection, f"{_SELECT}{where} ORDER BY e.at, e.control_id", (value,)).all()
        found[name] = [
            {
                "message": str(row.id) if row.id is not None else None,
                "control_id": row.control_id,
                "origin": str(row.origin),
                "at": iso_time(row.at),
                "by": row.edited_by,
                "reason": row.reason,
                "changes": [
                    {"path": path, "before": old, "after": new} for path, old, new in orjson.loads(row.changes)
                ],
            }
            for row in rows
        ]
    return found
