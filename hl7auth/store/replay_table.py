"""The tables of replays: what was planned, every message of it and what became of it, and who did what.

Imports sqlalchemy and store.schema only.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, Table, Text, text

from hl7auth.store.schema import BigKey, metadata

replay_plan = Table(
    "replay_plan",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("made_at", BigInteger, nullable=False),
    Column("made_by", Text, nullable=False),
    # what was asked for, and as JSON by channel the versions under which it was looked at
    Column("selection", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("versions", Text, nullable=False),
    # why effects are repeated; empty where none is
    Column("again", Text, nullable=False),
    Column("notes", Text, nullable=False),
    Column("state", Text, nullable=False),
    # 1 asks the run to come to rest
    Column("pause", Integer, nullable=False),
)

replay_item = Table(
    "replay_item",
    metadata,
    Column("plan", BigInteger, nullable=False),
    # counted from 1, in the order of the run
    Column("number", BigInteger, nullable=False),
    # a file or pack, or empty for the archive; and the message of it: its id, or its place in the file from 1
    Column("source", Text, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("control_id", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("fingerprint", BigInteger, nullable=False),
    # channel:NAME, destination:CHANNEL/NAME or endpoint:HOST:PORT
    Column("target", Text, nullable=False),
    # 1 where it repeats an effect, for the reason of its plan
    Column("again", Integer, nullable=False),
    Column("expected", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    # the version of the channel that it ran under
    Column("version", Text, nullable=False),
    # the message that it became, or the delivery
    Column("message_id", BigInteger),
    Column("delivery_id", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("at", BigInteger),
    PrimaryKeyConstraint("plan", "number", name="replay_item_key"),
    # was this sent there before?
    Index("replay_item_done", "fingerprint", "target"),
    Index(
        "replay_item_message",
        "message_id",
        sqlite_where=text("message_id IS NOT NULL"),
    ),
    Index("replay_item_origin", "place", sqlite_where=text("source = ''")),
)

replay_event = Table(
    "replay_event",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("plan", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index("replay_event_plan", "plan"),
)
