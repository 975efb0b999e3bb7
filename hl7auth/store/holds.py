"""Legal holds: what of the archive is to be kept, whatever retention says, until somebody releases it.

Imports sqlalchemy, domain.clock, errors and store only.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, insert, select, update

from hl7auth.domain.clock import iso_time
from hl7auth.errors import UserError
from hl7auth.store.archive_record import write_event
from hl7auth.store.pack_table import archive_hold
from hl7auth.store.schema import message
from hl7auth.store.sealable import day_number

Entry = dict[str, Any]


class Held(NamedTuple):
    """The days of a channel that are held; "" for no bound."""

    channel: str
    first_day: str
    last_day: str


def place_hold(connection: Connection, held: Held, by: str, reason: str, now: int) -> int:
    """Holds days of a channel; returns the number of the hold. Raises UserError without a reason, for no days,
    and for a channel that there is nothing of: one that is misspelt would hold nothing, and nobody would know."""
    if not reason.strip():
        raise UserError("a hold needs a reason: --reason TEXT")
    for day in filter(None, held[1:]):
        day_number(day)
    if held.first_day and held.last_day and held.first_day > held.last_day:
        raise UserError(f"{held.first_day} is after {held.last_day}")
    if not _has_messages(connection, held.channel):
        known = connection.execute(select(message.c.channel).distinct().order_by(message.c.channel)).scalars()
        raise UserError(f"no message came on a channel '{held.channel}' (known: {', '.join(known) or 'none'})")
    values = held._asdict() | {"placed_at": now, "placed_by": by, "reason": reason}
    number = connection.execute(insert(archive_hold).values(**values).returning(archive_hold.c.id)).scalar_one()
    write_event(connection, by, now, "hold", _subject(*held), f"hold {number}: {reason}")
    return int(number)


def _has_messages(connection: Connection, channel: str) -> bool:
    return connection.execute(select(message.c.id).where(message.c.channel == channel).limit(1)).first() is not None


def release_hold(connection: Connection, number: int, by: str, reason: str, now: int) -> None:
    """Ends a hold. Raises UserError without a reason, and for a hold that there is not or not any more."""
    if not reason.strip():
        raise UserError("a release needs a reason: --reason TEXT")
    row = connection.execute(select(archive_hold).where(archive_hold.c.id == number)).first()
    if row is None or row.released_at is not None:
        raise UserError(f"hold {number} " + ("was released already" if row is not None else "is not known"))
    values = {"released_at": now, "released_by": by, "release_reason": reason}
    connection.execute(update(archive_hold).where(archive_hold.c.id == number).values(**values))
    subject = _subject(row.channel, row.first_day, row.last_day)
    write_event(connection, by, now, "release", subject, f"hold {number}: {reason}")


def standing_holds(connection: Connection) -> Sequence[Row[Any]]:
    """The holds that stand."""
    query = select(archive_hold).where(archive_hold.c.released_at.is_(None)).order_by(archive_hold.c.id)
    return connection.execute(query).all()


def holds_over(holds: Sequence[Row[Any]], channel: str, day: str) -> list[Row[Any]]:
    """Those that hold a day of a channel."""
    return [
        each
        for each in holds
        if each.channel == channel and each.first_day <= day and (not each.last_day or day <= each.last_day)
    ]


def list_holds(connection: Connection) -> list[Entry]:
    """All holds, oldest first."""
    rows = connection.execute(select(archive_hold).order_by(archive_hold.c.id))
    return [
        {
            "hold": str(row.id),
            "channel": row.channel,
            "from": row.first_day or None,
            "to": row.last_day or None,
            "placed_at": iso_time(row.placed_at),
            "by": row.placed_by,
            "reason": row.reason,
            "released_at": iso_time(row.released_at) if row.released_at else None,
            "released_by": row.released_by,
            "release_reason": row.release_reason,
        }
        for row in rows
    ]


def _subject(channel: str, first_day: str, last_day: str) -> str:
    days = f" {first_day or 'the first day'} to {last_day or 'any day'}" if first_day or last_day else ""
    return f"{channel}{days}"
