"""The packs that there are, and whether they are what was sealed.

Imports sqlalchemy, domain.clock, packs and store only.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Row, func, select

from hl7auth.domain.clock import iso_time
from hl7auth.packs.format import PackFault
from hl7auth.packs.places import open_pack, store_of
from hl7auth.packs.reader import check
from hl7auth.store.bodies import place_of
from hl7auth.store.holds import holds_over, standing_holds
from hl7auth.store.pack_table import KEPT, pack
from hl7auth.store.schema import message

Entry = dict[str, Any]


def list_packs(connection: Connection, channel: str | None, limit: int) -> list[Entry]:
    """The packs, those that retention dropped too, by day and channel, cut at the newest."""
    query = select(pack).order_by(pack.c.day.desc(), pack.c.channel.desc(), pack.c.id.desc())
    query = query.where(pack.c.channel == channel) if channel else query
    holds = standing_holds(connection)
    rows = connection.execute(query.limit(limit) if limit else query).all()
    return [_entry(connection, row, bool(holds_over(holds, row.channel, row.day))) for row in reversed(rows)]


def verify_packs(connection: Connection, channel: str | None, limit: int = 0) -> Iterator[Entry]:
    """Reads every byte of the packs and compares them with what the database says; `faults` is empty for a good one."""
    query = select(pack).where(pack.c.state == KEPT).order_by(pack.c.day.desc(), pack.c.channel.desc())
    query = query.where(pack.c.channel == channel) if channel else query
    for row in reversed(connection.execute(query.limit(limit) if limit else query).all()):
        names = {"channel": row.channel, "day": row.day, "messages": row.messages, "name": row.name}
        yield names | {"faults": list(_faults(connection, row))}


def _faults(connection: Connection, row: Row[Any]) -> Iterator[str]:
    try:
        found = open_pack(store_of(place_of(connection.engine.url, row.place)), row.name)
    except PackFault as fault:
        yield str(fault)
        return
    if found.digest.hex() != row.digest:
        yield f"{found.name}: is another file than the one that was sealed: its manifest differs"
    yield from (damage.text for damage in check(found))
    try:
        held = {place.message_id for place in found.places()}
    except PackFault:
        return  # told already
    found.close()
    rows = connection.execute(select(message.c.id).where(message.c.pack == row.id)).scalars()
    lacking = sorted(set(rows) - held)
    if lacking:
        yield f"{found.name}: does not hold message {lacking[0]}" + (
            f" and {len(lacking) - 1} more" if lacking[1:] else ""
        )


def _entry(connection: Connection, row: Row[Any], held: bool) -> Entry:
    left = select(func.count()).select_from(message).where(message.c.pack == row.id)
    return {
        "channel": row.channel,
        "day": row.day,
        "messages": row.messages,
        "listed": connection.execute(left).scalar_one(),
        "bytes": row.bytes,
        "body_bytes": row.body_bytes,
        "state": row.state,
        "held": held,
        "generation": row.generation,
        "sealed_at": iso_time(row.sealed_at),
        "dropped_at": iso_time(row.dropped_at) if row.dropped_at else None,
        "place": place_of(connection.engine.url, row.place),
        "name": row.name,
        "digest": row.digest,
    }
