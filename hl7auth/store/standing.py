"""What the store knows about how the engine goes: what waits for each destination, and what came and went lately.

Imports sqlalchemy, flow, observe (how ids tell the time), store.statement and store.delivery_table only.

Every look is bounded by what waits or by a time: none of them reads the whole archive.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection

from hl7auth.flow.figures import Waiting
from hl7auth.flow.outbox import State
from hl7auth.observe import first_id
from hl7auth.store.delivery_table import HALTS, IS_OPEN
from hl7auth.store.statement import run

MOST_LOOKED_AT = 100_000
"""Messages among which the last one of each channel is looked for."""

_WAITING = (
    "SELECT destination, state, count(*), min(queued_at) FROM delivery"
    f" WHERE {IS_OPEN} AND part = 0 GROUP BY destination, state"
)
#: by the key first: an index that begins with the channel would have SQLite read every message there ever was
CAME = (
    "WITH fresh AS MATERIALIZED (SELECT channel, disposition, received_at FROM message WHERE id >= {p})"
    " SELECT channel, disposition, count(*), max(received_at) FROM fresh GROUP BY 1, 2"
)
_WENT = (
    "SELECT destination, state, count(*), max(settled_at) FROM delivery"
    " WHERE message_id >= {p} AND part = 0 GROUP BY 1, 2"
)
_LAST = (
    "SELECT channel, max(received_at) FROM"
    " (SELECT channel, received_at FROM message ORDER BY id DESC LIMIT {p}) newest GROUP BY 1"
)


class Counted(NamedTuple):
    """How many, and when the last of them was, in microseconds; 0 for never."""

    number: int
    last_at: int


def waiting(connection: Connection) -> dict[str, Waiting]:
    """What waits for each destination; none that nothing waits for."""
    found: dict[str, Waiting] = {}
    rows: Any = run(connection, _WAITING, ())
    for destination, state, count, oldest in rows:
        known = found.get(destination, Waiting())
        first = min(known.oldest_at or oldest, oldest)
        found[destination] = known._replace(**{state: count, "oldest_at": first})
    return found


def stopped(connection: Connection) -> set[str]:
    """The destinations that stand still until a person decides."""
    rows: Any = run(connection, f"SELECT DISTINCT destination FROM delivery WHERE {HALTS}", ())
    return {row[0] for row in rows}


def came(connection: Connection, since: int) -> dict[str, Mapping[str, Counted]]:
    """Messages by channel and disposition since a time."""
    return _by_name(run(connection, CAME, (first_id(since),)))


def went(connection: Connection, since: int) -> dict[str, Mapping[State, Counted]]:
    """Deliveries of the messages since a time, by destination and state."""
    found = _by_name(run(connection, _WENT, (first_id(since),)))
    return {name: {State(state): each for state, each in by.items()} for name, by in found.items()}


def last_messages(connection: Connection, most: int = MOST_LOOKED_AT) -> dict[str, int]:
    """When the last message of each channel came, among so many of the newest."""
    rows: Any = run(connection, _LAST, (most,))
    return {row[0]: row[1] for row in rows}


def _by_name(rows: Any) -> dict[str, Mapping[str, Counted]]:
    found: dict[str, dict[str, Counted]] = {}
    for name, what, number, last in rows:
        found.setdefault(name, {})[what] = Counted(number, last or 0)
    return dict(found)
