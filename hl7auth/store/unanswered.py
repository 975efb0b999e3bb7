"""Forwarded requests that nobody answers, and answers that no connection took: what becomes of them.

Imports sqlalchemy, orjson, flow and store.deliveries only.
"""

from collections.abc import Collection
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from hl7auth.flow.outbox import Delivery, Kind
from hl7auth.flow.relay import FAILED, GRACE, is_owed
from hl7auth.flow.returning import own_exchange
from hl7auth.store.deliveries import write_deliveries
from hl7auth.store.statement import run

_MOST = 500
_GIVEN_UP = (
    "SELECT f.message_id FROM forward f WHERE f.state = 'open'"
    " AND EXISTS (SELECT 1 FROM delivery d WHERE d.message_id = f.message_id AND d.kind = 'forward'"
    " AND d.state IN ('dead', 'skipped')) AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message_id = f.message_id"
    " AND d.kind = 'forward' AND d.state IN ('queued', 'in_flight', 'parked', 'sent'))"
    f" ORDER BY f.message_id LIMIT {_MOST}"
)
_UNTAKEN = (
    "SELECT f.message_id, f.way, f.lanes, m.reply FROM forward f JOIN message m ON m.id = f.message_id"
    f" WHERE f.owed = 1 AND f.hold_until < {{p}} ORDER BY f.hold_until LIMIT {_MOST}"
)
_ABANDONED = (
    "SELECT f.message_id, f.channel, EXISTS (SELECT 1 FROM delivery d WHERE d.message_id = f.message_id"
    " AND d.kind = 'forward' AND d.state = 'sent') FROM forward f WHERE f.state = 'open' AND f.destination = {p}"
    " ORDER BY f.message_id"
)


class Tended(NamedTuple):
    """What was done: requests that nobody will answer, and answers that go by their way now."""

    failed: int
    sent_on: int


def is_to_tend(connection: Connection, now: int) -> bool:
    """Is there anything to do? Only reads."""
    given_up = run(connection, _GIVEN_UP, ()).first()
    return given_up is not None or run(connection, _UNTAKEN, (now - GRACE,)).first() is not None


def tend(connection: Connection, now: int) -> Tended:
    """Closes requests whose delivery was given up, and sends on what no connection took. Nobody else writes."""
    lost = [row[0] for row in run(connection, _GIVEN_UP, ()).all()]
    for each in lost:
        _fail(connection, each, now)
    rows: Any = run(connection, _UNTAKEN, (now - GRACE,)).all()
    sent = sum(_send_on(connection, row[0], row[1], row[2], row[3], now) for row in rows)
    return Tended(len(lost), sent)


def abandon(connection: Connection, destination: str, returned: Collection[str], now: int) -> int:
    """Closes the open requests for a destination that nobody serves, but for those that it got and that may be answered
    elsewhere. Their deliveries stay in the queue, for a person. Nobody else writes."""
    rows: Any = run(connection, _ABANDONED, (destination,)).all()
    lost = [row[0] for row in rows if not (row[2] and row[1] in returned)]
    for each in lost:
        _fail(connection, each, now)
    return len(lost)


def _fail(connection: Connection, message_id: int, now: int) -> None:
    sql = "SELECT failed, hold_until, way, lanes FROM forward WHERE message_id = {p}"
    row: Any = run(connection, sql, (message_id,)).one()
    failed, hold_until, way, keys = row
    owed = failed is not None and is_owed(hold_until, now)
    run(
        connection, "UPDATE forward SET state = {p}, owed = {p} WHERE message_id = {p}", (FAILED, int(owed), message_id)
    )
    if failed is not None:
        run(connection, "UPDATE message SET reply = {p} WHERE id = {p}", (failed, message_id))
        if not owed:
            _send_on(connection, message_id, way, keys, failed, now)


def _send_on(connection: Connection, message_id: int, way: str, keys: str, reply: bytes | None, now: int) -> bool:
    """By its way, where there is one; else it stays with the message, for who sends that again."""
    run(connection, "UPDATE forward SET owed = 0 WHERE message_id = {p}", (message_id,))
    if not way or reply is None:
        return False
    names = tuple(orjson.loads(keys)) or (f"#{message_id}",)
    found = Delivery(message_id, way, names, now, Kind.REPLY, own_exchange(bytes(reply)))
    write_deliveries(connection, [found])
    return True
