"""The tables of alerts: every incident, and who is still to be told of it.

Imports sqlalchemy and store.schema only.

`open` is 1 until an incident has ended. A notice is one event for one target; it is told when `told_at` is there.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, text

from hl7auth.store.schema import BigKey, metadata

IS_OPEN = "resolved_at IS NULL"
IS_UNTOLD = "told_at IS NULL"

incident = Table(
    "incident",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("rule", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("resolved_at", BigInteger),
    # one at a time, whoever writes
    Index(
        "incident_open",
        "rule",
        "subject",
        unique=True,
        sqlite_where=text(IS_OPEN),
    ),
)

notice = Table(
    "notice",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("incident_id", BigInteger, nullable=False),
    Column("target", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("told_at", BigInteger),
    Column("attempts", Integer, nullable=False),
    Index("notice_untold", "id", sqlite_where=text(IS_UNTOLD)),
)
