"""The archive read in portions, in the order of ids: what a replay begins with.

Imports sqlalchemy, flow and the store's tables and bodies only.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, func, select

from hl7auth.flow.channel import Channel
from hl7auth.flow.link import RULES
from hl7auth.store.bodies import Bodies, BodyFault, Packs, bodies_of_rows
from hl7auth.store.given import messages_gone
from hl7auth.store.schema import message

PORTION = 250
"""Messages that are read, replayed and compared at once."""
PORTION_BYTES = 16 * 1024 * 1024
BEFORE_ALL = -(2**63)

_LINKS = frozenset({"part", "link", "batch"})
_REPLAYED = ("id", "channel", "received_at", "peer", "disposition", "code", "findings", "channel_version")


class Replayed(NamedTuple):
    """What a stored message is replayed from."""

    id: int
    channel: str
    received_at: int
    peer: str
    disposition: str
    code: str
    findings: str | None
    channel_version: str | None
    raw: bytes
    shaped: bytes | None


class Portion(NamedTuple):
    """Messages that follow one another: ids above `low` up to `high`, which of them have no channel any more, and which
    were judged by their links alone or are of another installation: these changed nothing, and are not replayed.

    `lost` are those whose bodies can not be had, and are not among the rows; `given` those that retention has dropped.
    """

    low: int
    high: int
    rows: list[Replayed]
    orphans: frozenset[int]
    links: frozenset[int]
    lost: Mapping[int, BodyFault]
    given: frozenset[int]

    @property
    def messages(self) -> int:
        """Messages of it that are in the table."""
        return len(self.rows) + len(self.lost)

    @property
    def skipped(self) -> frozenset[int]:
        """Those that have no verdict of a replay."""
        return self.without_versions | self.links

    @property
    def without_versions(self) -> frozenset[int]:
        """Those of which a replay has no versions, for it can not know them."""
        return self.orphans | (self.lost.keys() - self.given)

    def in_order(self) -> Iterator[tuple[int, Replayed | None]]:
        """All of them by their ids; None for those that can not be replayed."""
        rows = {row.id: row for row in self.rows}
        return ((number, rows.get(number)) for number in sorted(rows.keys() | self.lost.keys() | self.given))


def extent(connection: Connection) -> tuple[int, int]:
    """How many messages there are, and the id of the newest."""
    total, newest = connection.execute(select(func.count(message.c.id), func.max(message.c.id))).one()
    return total, BEFORE_ALL if newest is None else newest


def portion_after(connection: Connection, low: int, last: int, channels: Mapping[str, Channel]) -> Portion | None:
    """The next messages; fewer of large ones."""
    sizes = connection.execute(_sizes_query(low, last)).all()
    if not sizes:
        return None
    room, packs = PORTION_BYTES, Packs(connection)

    def fits(row: Row[Any]) -> bool:
        nonlocal room
        room -= int(row.size) if row.pack is None else packs.size(row.pack, row.id)
        return room >= 0

    high = (list(takewhile(fits, sizes)) or sizes[:1])[-1].id
    columns = [message.c[name] for name in (*_REPLAYED, "pack", *Bodies._fields)]
    query = select(*columns).where(message.c.id > low, message.c.id <= high).order_by(message.c.id)
    stored = connection.execute(query).all()
    bodies = bodies_of_rows(connection, stored)
    lost = {message_id: each for message_id, each in bodies.items() if isinstance(each, BodyFault)}
    rows = [_replayed(row, each) for row in stored if isinstance(each := bodies[row.id], Bodies)]
    orphans = frozenset(row.id for row in rows if row.channel not in channels and not _is_imported(row))
    links = frozenset(row.id for row in stored if _is_about_links(row) or _is_imported(row)) | _parts_again(
        connection, low, high
    )
    given = frozenset(messages_gone(connection, low, high)).union(each for each in lost if lost[each].dropped)
    return Portion(low, high, rows, orphans, links, lost, given)


def _replayed(row: Row[Any], bodies: Bodies) -> Replayed:
    return Replayed(**{name: row._mapping[name] for name in _REPLAYED}, raw=bodies.raw, shaped=bodies.shaped)


def _parts_again(connection: Connection, low: int, high: int) -> frozenset[int]:
    """The duplicates of parts."""
    first = message.alias()
    query = select(message.c.id).join(first, first.c.id == message.c.duplicate_of)
    query = query.where(message.c.id > low, message.c.id <= high, first.c.disposition == "part")
    return frozenset(row.id for row in connection.execute(query))


def _is_imported(row: Any) -> bool:
    """True for a message of another installation, which changed nothing here: no channel of our own has such a name."""
    return "." in row.channel


def _is_about_links(row: Row[Any]) -> bool:
    """True for a part (its whole is a message of its own), for what stands around a batch or is about sequence numbers,
    and for what was refused for its place among others."""
    if row.disposition in _LINKS:
        return True
    if row.disposition != "refused" or not row.findings:
        return False
    return any(found["rule"].startswith(RULES) for found in json.loads(row.findings))


def _sizes_query(low: int, last: int) -> Select[Any]:
    query = select(message.c.id, message.c.pack, func.length(message.c.raw).label("size"))
    return query.where(message.c.id > low, message.c.id <= last).order_by(message.c.id).limit(PORTION)
