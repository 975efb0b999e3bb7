"""The record of the archive: who sealed, dropped, held, released, exported or imported what, when and why.

Imports sqlalchemy, domain.clock and store.pack_table only.
"""

from typing import Any

from sqlalchemy import Connection, insert, select

from hl7auth.domain.clock import iso_time
from hl7auth.store.pack_table import archive_event


def write_event(connection: Connection, who: str, now: int, action: str, subject: str, detail: str) -> None:
    """A line of the record, in the transaction of what it tells."""
    values = {"at": now, "by": who, "action": action, "subject": subject, "detail": detail}
    connection.execute(insert(archive_event).values(**values))


def list_events(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """The record, oldest first, cut at the newest."""
    query = select(archive_event).order_by(archive_event.c.id.desc())
    rows = connection.execute(query.limit(limit) if limit else query).all()
    return [
        {"at": iso_time(row.at), "by": row.by, "action": row.action, "subject": row.subject, "detail": row.detail}
        for row in reversed(rows)
    ]
