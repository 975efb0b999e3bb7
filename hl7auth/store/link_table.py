"""The tables of what ties messages to one another: sequence numbers, continued messages, and what belongs to what.

Imports sqlalchemy and store.schema only.

A row of `message_part` says that a message is part of another: a continued one (by its first part), or the frame around
a batch.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, Table, Text, text

from hl7auth.store.schema import BigKey, metadata

sequence = Table(
    "sequence",
    metadata,
    Column("channel", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("facility", Text, nullable=False),
    # NULL after a resynchronization: the next number is the first of a new count
    Column("last", BigInteger),
    Column("message_id", BigInteger, nullable=False),
    PrimaryKeyConstraint("channel", "sender", "facility", name="sequence_stream"),
)

continuation = Table(
    "continuation",
    metadata,
    # the message id of the first part
    Column("id", BigKey, primary_key=True, autoincrement=False),
    Column("channel", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("facility", Text, nullable=False),
    Column("awaits", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("touched_at", BigInteger, nullable=False),
    # open, joined, refused or overdue
    Column("state", Text, nullable=False),
    Column("became", BigInteger),
    Index("continuation_became", "became"),
    # what makes two open ones with the same next part impossible
    Index(
        "continuation_open",
        "channel",
        "sender",
        "facility",
        "awaits",
        unique=True,
        sqlite_where=text("state = 'open'"),
    ),
)

message_part = Table(
    "message_part",
    metadata,
    Column("whole", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),
    Column("message_id", BigInteger, nullable=False),
    Column("last", Integer, nullable=False),
    PrimaryKeyConstraint("whole", "number", name="message_part_place"),
    Index("message_part_message", "message_id"),
)
