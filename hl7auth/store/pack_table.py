"""The tables of the archive: which packs there are, what a legal hold keeps, and what was done to the archive by whom.

Imports sqlalchemy and store.schema only.

A pack belongs to one channel and one UTC day. `place` is the folder or URL it is in; empty is the folder beside the
database. When messages of its day are sealed later, all of it is written anew as the next `generation`. `state` is
kept, or dropped when retention took its file.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, text

from hl7auth.store.schema import BigKey, metadata

KEPT, DROPPED = "kept", "dropped"
IS_KEPT = "state = 'kept'"

pack = Table(
    "pack",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("channel", Text, nullable=False),
    Column("day", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("place", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("messages", BigInteger, nullable=False),
    Column("first_id", BigInteger, nullable=False),
    Column("last_id", BigInteger, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("body_bytes", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    # the SHA-256 of its manifest, which has the hashes of all the rest
    Column("digest", Text, nullable=False),
    Column("sealed_at", BigInteger, nullable=False),
    Column("dropped_at", BigInteger),
    Index("pack_kept", "channel", "day", unique=True, sqlite_where=text(IS_KEPT)),
)

archive_hold = Table(
    "archive_hold",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("channel", Text, nullable=False),
    # the first and the last UTC day, as 2026-03-01; empty for no bound
    Column("first_day", Text, nullable=False),
    Column("last_day", Text, nullable=False),
    Column("placed_at", BigInteger, nullable=False),
    Column("placed_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("released_at", BigInteger),
    Column("released_by", Text),
    Column("release_reason", Text),
)

archive_event = Table(
    "archive_event",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("action", Text, nullable=False),
    # a channel, a channel and a day, or where something was exported to
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
