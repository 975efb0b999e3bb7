"""The table of forwarded requests: who waits for what answer, what came of it, and how that is told.

Imports sqlalchemy and store.schema only.

`message_id` is the request, and as text the control id that the payor knows it by. `state` is open, answered, refused
or failed. `owed` is 1 while a connection may still take the reply, which stands with the message; when `hold_until` is
over it goes by `way`, in the order of `lanes`. `ways` and `lanes` are JSON text.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Index, Integer, LargeBinary, Table, Text, select, text

from hl7auth.store.schema import BigKey, metadata

IS_OPEN = "state = 'open'"
IS_OWED = "owed = 1"

forward = Table(
    "forward",
    metadata,
    Column("message_id", BigKey, primary_key=True, autoincrement=False),
    Column("channel", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("wanted", Text, nullable=False),
    Column("enhanced", Integer, nullable=False),
    Column("ways", Text, nullable=False),
    Column("within", BigInteger, nullable=False),
    Column("late", LargeBinary),
    Column("failed", LargeBinary),
    Column("hold_until", BigInteger, nullable=False),
    Column("owed", Integer, nullable=False),
    Column("way", Text, nullable=False),
    Column("lanes", Text, nullable=False),
    Column("said", BigInteger, nullable=False),
    Column("answer_id", BigInteger),
    Column("told_late", Integer, nullable=False),
    Index("forward_open", "message_id", sqlite_where=text(IS_OPEN)),
    Index("forward_owed", "hold_until", sqlite_where=text(IS_OWED)),
)


def forward_entry(connection: Connection, message_id: int) -> dict[str, Any] | None:
    """How it stands with a message that was forwarded, as plain data; None for any other."""
    row = connection.execute(select(forward).where(forward.c.message_id == message_id)).first()
    if row is None:
        return None
    return {
        "to": row.destination,
        "state": row.state,
        "answered_by": str(row.answer_id) if row.answer_id else None,
        "told_late": bool(row.told_late),
    }
