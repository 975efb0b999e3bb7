"""What can be sealed: the messages of days gone by that nobody works on any more, and what a pack keeps of each.

Imports sqlalchemy, packs.format, the store's tables and errors only.

A message stays in its table while one of its deliveries is open, while it is the last word of a request that is,
or while it is a part whose other parts are awaited. Forwarded requests stay for good.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, and_, cast, func, or_, select, text

from hl7auth.errors import UserError
from hl7auth.flow.relay import DESK
from hl7auth.packs.format import Record
from hl7auth.store.bodies import Bodies
from hl7auth.store.delivery_table import IS_OPEN, delivery
from hl7auth.store.forward_table import IS_OWED, forward
from hl7auth.store.link_table import continuation, message_part
from hl7auth.store.pack_table import KEPT, pack
from hl7auth.store.schema import authorization_version as versions
from hl7auth.store.schema import message

DAY = 86_400_000_000
"""Microseconds."""
AT_ONCE = 250
"""Messages that are read at once."""

BODIES = Bodies._fields
_CATALOG = tuple(column for column in message.c if column.name not in (*BODIES, "id", "channel", "pack"))
_DELIVERY = (
    "id", "destination", "lane", "state", "queued_at", "due_at", "settled_at", "attempts", "reason",
)  # fmt: skip


class Day(NamedTuple):
    """Messages of one channel and UTC day whose bodies are in the tables: how many, and between which ids."""

    channel: str
    number: int
    messages: int
    low: int
    high: int

    @property
    def name(self) -> str:
        """The day as 2026-03-01."""
        return day_name(self.number)


class Sealable(NamedTuple):
    """A message as a pack keeps it: its id, what the tables know of it, and its bodies."""

    message_id: int
    entry: dict[str, Any]
    record: Record


def day_name(number: int) -> str:
    """The UTC day, counted from 1970-01-01, as 2026-03-01."""
    return datetime.fromtimestamp(number * 86_400, UTC).date().isoformat()


def day_number(name: str) -> int:
    """The UTC day of a date as 2026-03-01. Raises UserError."""
    try:
        return (date.fromisoformat(name) - date(1970, 1, 1)).days
    except ValueError:
        raise UserError(f"'{name}' is no date: write it as 2026-03-01") from None


def days_to_seal(connection: Connection, before: int, channel: str | None) -> list[Day]:
    """The days before that one which have bodies in the tables, or answers that came after their message was sealed."""
    day = cast(func.floor(message.c.received_at / DAY), BigInteger) if _is_server(connection) else _day_of_sqlite()
    columns = (message.c.channel, day.label("day"), func.count(), func.min(message.c.id), func.max(message.c.id))
    wanted = [message.c.pack.is_(None), message.c.received_at < before * DAY]
    wanted += [message.c.channel == channel] if channel else []
    query = select(*columns).where(*wanted).group_by(message.c.channel, text("2"))
    found = {(row[0], int(row[1])): Day(row[0], int(row[1]), *row[2:]) for row in connection.execute(query)}
    for row in connection.execute(_late_days(before, channel)):
        key = (row.channel, day_number(row.day))
        found.setdefault(key, Day(*key, 0, 0, 0))
    return [found[key] for key in sorted(found, key=lambda each: (each[1], each[0]))]


def ids_to_seal(connection: Connection, day: Day) -> list[int]:
    """The messages of a day that nobody works on any more."""
    query = select(message.c.id).where(
        message.c.id.between(day.low, day.high),
        message.c.channel == day.channel,
        message.c.received_at.between(day.number * DAY, (day.number + 1) * DAY - 1),
        message.c.pack.is_(None),
        ~_has_open_delivery(),
        ~_is_part_of_open(),
        # the reply of a forwarded request may still change: it comes from another, and may come again
        ~select(forward.c.message_id)
        .where(forward.c.message_id == message.c.id, or_(forward.c.destination != DESK, text(IS_OWED)))
        .exists(),
        ~select(versions.c.key).where(versions.c.message_id == message.c.id, *_is_open_request()).exists(),
    )
    return [row.id for row in connection.execute(query.order_by(message.c.id))]


def late_ids(connection: Connection, pack_id: int) -> list[int]:
    """The messages of a pack that were sent on once more since: their new answers are in the tables."""
    query = select(message.c.id).join(delivery, delivery.c.message_id == message.c.id)
    wanted = (message.c.pack == pack_id, delivery.c.answer.is_not(None), ~_has_open_delivery())
    return sorted({row.id for row in connection.execute(query.where(*wanted))})


def sealables(connection: Connection, ids: Sequence[int]) -> Iterator[Sealable]:
    """These messages as the tables have them, in the order of ids, some at a time; of sealed ones new answers only."""
    for at in range(0, len(ids), AT_ONCE):
        some = ids[at : at + AT_ONCE]
        sent = _deliveries(connection, some)
        query = select(message).where(message.c.id.in_(some)).order_by(message.c.id)
        for row in connection.execute(query).all():
            yield _sealable(row, sent.get(row.id, []))
        connection.rollback()  # a snapshot that lasts would keep the log from being written back


def _sealable(row: Row[Any], sent: list[Row[Any]]) -> Sealable:
    values = row._mapping
    entry = {column.name: values[column.name] for column in _CATALOG if values[column.name] is not None}
    if sent:
        told = [{name: each._mapping[name] for name in _DELIVERY} for each in sent]
        entry["deliveries"] = [{name: value for name, value in each.items() if value is not None} for each in told]
    answers = tuple((each.id, bytes(each.answer)) for each in sent if each.answer is not None)
    return Sealable(row.id, entry, Record(**{name: values[name] for name in BODIES}, answers=answers))


def _deliveries(connection: Connection, ids: Sequence[int]) -> dict[int, list[Row[Any]]]:
    columns = (delivery.c.message_id, delivery.c.answer, *(delivery.c[name] for name in _DELIVERY))
    query = select(*columns).where(delivery.c.message_id.in_(ids), delivery.c.part == 0).order_by(delivery.c.id)
    found: dict[int, list[Row[Any]]] = {}
    for row in connection.execute(query):
        found.setdefault(row.message_id, []).append(row)
    return found


def _late_days(before: int, channel: str | None) -> Any:
    joined = delivery.join(message, message.c.id == delivery.c.message_id).join(pack, pack.c.id == message.c.pack)
    wanted = [delivery.c.answer.is_not(None), pack.c.state == KEPT, delivery.c.settled_at < before * DAY]
    wanted += [pack.c.channel == channel] if channel else []
    return select(pack.c.channel, pack.c.day).select_from(joined).where(*wanted).distinct()


def _has_open_delivery() -> ColumnElement[bool]:
    other = delivery.alias("waits")
    open_states = text(IS_OPEN.replace("state", "waits.state"))
    return select(other.c.id).where(and_(other.c.message_id == message.c.id, open_states)).exists()


def _is_part_of_open() -> ColumnElement[bool]:
    """True for a part of a continued message whose other parts are awaited."""
    open_ones = message_part.join(continuation, continuation.c.id == message_part.c.whole)
    wanted = (message_part.c.message_id == message.c.id, continuation.c.state == "open")
    return select(message_part.c.whole).select_from(open_ones).where(*wanted).exists()


def _is_open_request() -> tuple[ColumnElement[bool], ...]:
    return (versions.c.current == 1, versions.c.status.in_(("requested", "pended")))


def _is_server(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def _day_of_sqlite() -> ColumnElement[Any]:
    return message.c.received_at // DAY
