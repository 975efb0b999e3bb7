"""The tables of the outgoing side: every delivery, and what was decided about it by whom.

Imports sqlalchemy and store.schema only.

A delivery that keeps its order in several lanes has a row in each: the first carries it, the others (`part` = 1) only
hold its place; `parts` counts them. `head` is 1 for the first open row of a lane; a delivery is sent when it is at the
head of all its lanes. `halts` is 1 for the one at which the whole destination stopped.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text, text

from hl7auth.store.schema import BigKey, metadata

IS_OPEN = "state IN ('queued', 'in_flight', 'parked')"
IS_READY = "state = 'queued' AND head = 1 AND part = 0"
IS_IN_FLIGHT = "state = 'in_flight'"
HALTS = "halts = 1"

delivery = Table(
    "delivery",
    metadata,
    # grows in the order of the commits, and so is the order within a lane
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("message_id", BigInteger, nullable=False),
    Column("destination", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("part", Integer, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("head", Integer, nullable=False),
    Column("halts", Integer, nullable=False),
    Column("queued_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("owner", Text),
    Column("lease_until", BigInteger),
    Column("settled_at", BigInteger),
    Column("reason", Text),
    Column("answer", LargeBinary),
    # what is sent where it is not the message: a reply, or the message as it is forwarded
    Column("kind", Text),
    Column("body", LargeBinary),
    Index("delivery_message", "message_id"),
    Index("delivery_open", "destination", "lane", "id", sqlite_where=text(IS_OPEN)),
    Index("delivery_ready", "destination", "due_at", sqlite_where=text(IS_READY)),
    Index("delivery_halts", "destination", sqlite_where=text(HALTS)),
    # what makes two deliveries of one lane at the same time impossible, whatever a query thought
    Index(
        "delivery_in_flight",
        "destination",
        "lane",
        unique=True,
        sqlite_where=text(IS_IN_FLIGHT),
    ),
)

delivery_event = Table(
    "delivery_event",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("delivery_id", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Index("delivery_event_delivery", "delivery_id"),
)
