"""Deliveries written with their message, and shown; and what a person decides about one, on the record.

Imports sqlalchemy, domain.clock, flow, errors, and store.bodies, .delivery_table, .notices and .statement only.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, select

from hl7auth.domain.clock import iso_time
from hl7auth.errors import UserError
from hl7auth.flow.outbox import Delivery, Kind, State
from hl7auth.store.bodies import sealed_answer
from hl7auth.store.delivery_table import IS_OPEN, delivery, delivery_event
from hl7auth.store.notices import notify
from hl7auth.store.schema import message
from hl7auth.store.statement import run, run_many

Entry = dict[str, Any]

_INSERT = (
    "INSERT INTO delivery (message_id, destination, lane, part, parts, kind, body, state, head, halts, queued_at,"
    " due_at, attempts) VALUES ({p}, {p}, {p}, {p}, {p}, {p}, {p}, 'queued',"
    " CASE WHEN EXISTS (SELECT 1 FROM delivery WHERE destination = {p}"
    f" AND lane = {{p}} AND {IS_OPEN}) THEN 0 ELSE 1 END, 0, {{p}}, {{p}}, 0)"
)
RECORD = "INSERT INTO delivery_event (delivery_id, at, by, action, reason) VALUES ({p}, {p}, {p}, {p}, {p})"
_PROMOTE = (
    "UPDATE delivery SET head = 1 WHERE head = 0 AND id ="
    f" (SELECT min(id) FROM delivery WHERE destination = {{p}} AND lane = {{p}} AND {IS_OPEN})"
)


def write_deliveries(connection: Connection, found: Sequence[Delivery]) -> None:
    """Queues deliveries in their order, in the transaction that stores their messages."""
    rows = [
        (each.message_id, each.destination, lane, int(at > 0), 0 if at else len(each.lanes) - 1, each.kind,
         None if at else each.body, each.destination, lane, each.at, each.at)
        for each in found
        for at, lane in enumerate(each.lanes)
    ]  # fmt: skip
    if rows:
        run_many(connection, _INSERT, rows)
        notify(connection)


def promote(connection: Connection, destination: str, lanes: Sequence[str]) -> None:
    """The first open delivery of each lane comes to its head."""
    run_many(connection, _PROMOTE, [(destination, lane) for lane in lanes])


def places(connection: Connection, delivery_id: int) -> list[tuple[int, str]]:
    """Ids and lanes of the rows that hold the place of a delivery in its other lanes."""
    sql = (
        "SELECT q.id, q.lane FROM delivery d JOIN delivery q ON q.message_id = d.message_id"
        " AND q.destination = d.destination AND q.queued_at = d.queued_at AND q.part = 1 WHERE d.id = {p}"
    )
    rows: Any = run(connection, sql, (delivery_id,))
    return [(row[0], row[1]) for row in rows]


def list_deliveries(
    connection: Connection, filters: Mapping[str, str], limit: int, before: int | None = None
) -> list[Entry]:
    """Deliveries, oldest first, cut at the newest, or at those before an id. Filters: destination, state, lane,
    message_id."""
    wanted = [delivery.c[name] == (int(value) if name == "message_id" else value) for name, value in filters.items()]
    wanted += [delivery.c.id < before] if before is not None else []
    query = select(delivery).where(and_(delivery.c.part == 0, *wanted)).order_by(delivery.c.id.desc())
    rows = connection.execute(query.limit(limit) if limit else query).all()
    return [_entry(row) for row in reversed(rows)]


def stranded(connection: Connection, known: Collection[str]) -> dict[str, int]:
    """How many open deliveries wait for destinations (`channel/name`) that are not among the known ones; requests whose
    answer is still waited for are not counted."""
    sql = (
        f"SELECT destination, count(*) FROM delivery d WHERE {IS_OPEN} AND part = 0"
        " AND (coalesce(kind, '') <> 'forward' OR NOT EXISTS"
        " (SELECT 1 FROM forward f WHERE f.message_id = d.message_id AND f.state = 'open'))"
        " GROUP BY destination"
    )
    rows: Any = connection.exec_driver_sql(sql).all()
    return {name: count for name, count in sorted(rows) if name not in known}


def read_delivery(connection: Connection, delivery_id: int) -> Entry:
    """One delivery with its answer, what it waits for, and its record. Raises UserError."""
    row = _row(connection, delivery_id)
    others = [lane for _, lane in places(connection, delivery_id)]
    control_id = connection.execute(select(message.c.control_id).where(message.c.id == row.message_id)).scalar()
    events = select(delivery_event).where(delivery_event.c.delivery_id == delivery_id).order_by(delivery_event.c.id)
    return _entry(row) | {
        "control_id": control_id,
        "lanes": [row.lane, *others],
        "waits_for": [str(each) for each in _before(connection, row, [row.lane, *others])],
        "answer": row.answer if row.answer is not None else sealed_answer(connection, row.message_id, row.id),
        "record": [
            {"at": iso_time(each.at), "by": each.by, "action": each.action, "reason": each.reason}
            for each in connection.execute(events)
        ],
    }


def retry(connection: Connection, delivery_id: int, by: str, reason: str, now: int) -> int:
    """Sends a delivery now: one that waits or is parked in its place, any other as a new one at the end of its lanes.

    Returns the id of the delivery that will be sent. Raises UserError for one that is being sent.
    """
    row = _quiet(connection, delivery_id, now)
    if row.state not in (State.QUEUED, State.PARKED):
        return _again(connection, row, row.destination, "retry", (by, reason), now)
    for each in (delivery_id, *(place for place, _ in places(connection, delivery_id))):
        sql = "UPDATE delivery SET state = 'queued', halts = 0, due_at = {p}, attempts = 0 WHERE id = {p}"
        run(connection, sql, (now, each))
    notify(connection)
    run(connection, RECORD, (delivery_id, now, by, "retry", reason))
    return delivery_id


def skip(connection: Connection, delivery_id: int, by: str, reason: str, now: int) -> None:
    """Gives a delivery up that is queued or parked: what is behind it flows on. Raises UserError for any other."""
    row = _quiet(connection, delivery_id, now)
    if row.state not in (State.QUEUED, State.PARKED):
        raise UserError(f"delivery {delivery_id} is {row.state}: there is nothing to skip")
    _leave(connection, row, reason or "skipped", now)
    run(connection, RECORD, (delivery_id, now, by, "skip", reason))


def move(connection: Connection, delivery_id: int, to: str, by: str, reason: str, now: int) -> int:
    """Sends a delivery to another destination (`channel/name`) instead, at the end of its lanes there.

    Returns its new id. Raises UserError for one that is being sent, was sent, or is there already.
    """
    row = _quiet(connection, delivery_id, now)
    if row.state == State.SENT or row.destination == to:
        raise UserError(f"delivery {delivery_id} was sent, or is for {to} already")
    if row.state in (State.QUEUED, State.PARKED):
        _leave(connection, row, f"moved to {to}", now)
    return _again(connection, row, to, "move", (by, reason), now)


def _again(
    connection: Connection, row: Row[Any], destination: str, action: str, record: tuple[str, str], now: int
) -> int:
    """A new delivery of the same message."""
    lanes = (row.lane, *(lane for _, lane in places(connection, row.id)))
    # message, destination and time are what its rows in several lanes have in common, and nothing else has
    sql = "SELECT max(queued_at) FROM delivery WHERE message_id = {p} AND destination = {p}"
    last: int | None = run(connection, sql, (row.message_id, destination)).scalar_one()
    at = max(now, last + 1) if last is not None else now
    kind = Kind(row.kind) if row.kind else None
    write_deliveries(connection, [Delivery(row.message_id, destination, lanes, at, kind, row.body)])
    if kind is Kind.FORWARD:
        reopen(connection, row.message_id, destination)
    sql = "SELECT max(id) FROM delivery WHERE message_id = {p} AND destination = {p} AND part = 0"
    new: int = run(connection, sql, (row.message_id, destination)).scalar_one()
    by, reason = record
    run(connection, RECORD, (row.id, now, by, action, f"goes on as delivery {new}" + (f": {reason}" if reason else "")))
    run(connection, RECORD, (new, now, by, action, f"was delivery {row.id}" + (f": {reason}" if reason else "")))
    return new


def send_again(connection: Connection, message_id: int, now: int) -> None:
    """Forwards a request once more that was given up: its sender sent it again."""
    newest = select(delivery).where(
        delivery.c.message_id == message_id, delivery.c.kind == Kind.FORWARD, delivery.c.part == 0
    )
    row = connection.execute(newest.order_by(delivery.c.id.desc()).limit(1)).first()
    if row is not None:
        _again(connection, row, row.destination, "retry", ("sender", "the message came again"), now)


def reopen(connection: Connection, message_id: int, destination: str) -> None:
    """A forwarded request is on its way once more; answers come from that destination."""
    sql = (
        "UPDATE forward SET destination = {p}, state = 'open', said = 0"
        " WHERE message_id = {p} AND state IN ('open', 'failed')"
    )
    run(connection, sql, (destination, message_id))


def _leave(connection: Connection, row: Row[Any], reason: str, now: int) -> None:
    others = places(connection, row.id)
    sql = "UPDATE delivery SET state = 'skipped', halts = 0, settled_at = {p}, reason = {p} WHERE id = {p}"
    run_many(connection, sql, [(now, reason, each) for each in (row.id, *(place for place, _ in others))])
    notify(connection)
    promote(connection, row.destination, [row.lane, *(lane for _, lane in others)])


def _quiet(connection: Connection, delivery_id: int, now: int) -> Row[Any]:
    row = _row(connection, delivery_id)
    is_next = row.state == State.QUEUED and row.owner is not None and row.lease_until > now
    if row.state == State.IN_FLIGHT or is_next:
        raise UserError(f"delivery {delivery_id} is being sent right now")
    return row


def _row(connection: Connection, delivery_id: int) -> Row[Any]:
    query = select(delivery).where(delivery.c.id == delivery_id, delivery.c.part == 0)
    if connection.dialect.name != "sqlite":  # which locks the whole database
        query = query.with_for_update()
    row = connection.execute(query).first()
    if row is None:
        raise UserError(f"there is no delivery {delivery_id}")
    return row


def _before(connection: Connection, row: Row[Any], lanes: Sequence[str]) -> list[int]:
    """The open deliveries at the head of its lanes that are not it."""
    if row.state not in (State.QUEUED, State.PARKED):
        return []
    sql = f"SELECT min(id) FROM delivery WHERE destination = {{p}} AND lane = {{p}} AND {IS_OPEN} AND id < {{p}}"
    found = [run(connection, sql, (row.destination, lane, row.id)).scalar() for lane in lanes]
    return sorted({each for each in found if each is not None})


def _entry(row: Row[Any]) -> Entry:
    return {
        "id": str(row.id),
        "message": str(row.message_id),
        "destination": row.destination,
        "lane": row.lane,
        "kind": row.kind or "message",
        "state": "stopped" if row.halts else row.state,
        "attempts": row.attempts,
        "queued_at": iso_time(row.queued_at),
        "due_at": iso_time(row.due_at) if row.state == State.QUEUED else None,
        "settled_at": iso_time(row.settled_at) if row.settled_at else None,
        "reason": row.reason,
    }
