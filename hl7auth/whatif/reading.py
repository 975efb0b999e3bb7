"""Reading what some messages were, and what they did, a bounded number of bytes at a time.

Imports sqlalchemy, flow and the store's tables and bodies only.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, func, select

from hl7auth.flow.decision import Stored
from hl7auth.flow.link import RULES
from hl7auth.store.bodies import Bodies, BodyFault, Packs, read_bodies, try_bodies
from hl7auth.store.portions import PORTION, PORTION_BYTES, Replayed
from hl7auth.store.schema import authorization_version as versions
from hl7auth.store.schema import message

_COLUMNS = (
    message.c.id, message.c.channel, message.c.received_at, message.c.peer, message.c.control_id, message.c.digest,
    message.c.sender, message.c.facility, message.c.trigger_event, message.c.disposition, message.c.code,
    message.c.duplicate_of, message.c.findings, message.c.channel_version, message.c.pack,
    func.length(message.c.raw).label("size"),
)  # fmt: skip
_VERSION = tuple(column for column in versions.c if column.name not in ("current", "at"))
_LINKS = frozenset({"part", "link", "batch"})


class Past(NamedTuple):
    """A stored message: its row, the versions that it made, and of one that is compared its bodies, or why not."""

    row: Row[Any]
    versions: list[Row[Any]]
    bodies: Bodies | BodyFault | None

    @property
    def is_about_links(self) -> bool:
        """True for a part, for what stands around a batch, and for what was refused for its place among others."""
        if self.row.disposition in _LINKS:
            return True
        refused = self.row.disposition == "refused" and self.row.findings
        return bool(refused) and any(f'"rule":"{rule}' in self.row.findings for rule in RULES)

    @property
    def replayed(self) -> Replayed:
        """What it is run from again."""
        row, bodies = self.row, self.bodies
        assert isinstance(bodies, Bodies)
        said = (row.id, row.channel, row.received_at, row.peer, row.disposition, row.code, row.findings)
        return Replayed(*said, row.channel_version, bodies.raw, bodies.shaped)


def read_past(connection: Connection, ids: Sequence[int], first: int) -> Iterator[Past]:
    """The messages of these ids in that order; those from `first` on with their bodies."""
    for at in range(0, len(ids), PORTION):
        some = ids[at : at + PORTION]
        rows: dict[int, Any] = {}
        for each in connection.execute(select(*_COLUMNS).where(message.c.id.in_(some))):
            rows[each.id] = each
        made: dict[int, list[Row[Any]]] = {}
        query = select(*_VERSION).where(versions.c.message_id.in_(some)).order_by(versions.c.key, versions.c.version)
        for row in connection.execute(query):
            made.setdefault(row.message_id, []).append(row)
        for group in _by_size(connection, [rows[number] for number in some if number in rows], first):
            bodies = try_bodies(connection, [row.id for row in group if row.id >= first])
            for row in group:
                yield Past(row, made.get(row.id, []), bodies.get(row.id))


def fetch(connection: Connection, message_id: int) -> Stored:
    """The replies that a message got. Raises BodyFault where they are lost."""
    try:
        bodies = read_bodies(connection, [message_id])[message_id]
    except BodyFault as fault:
        if not fault.dropped:
            raise
        return Stored(message_id, None, None, dropped=True)
    return Stored(message_id, bodies.accept_ack, bodies.reply)


def _by_size(connection: Connection, rows: list[Row[Any]], first: int) -> Iterator[list[Row[Any]]]:
    """The rows in groups whose bodies are not too large together."""
    group: list[Row[Any]] = []
    room, packs = PORTION_BYTES, Packs(connection)
    for row in rows:
        if row.id >= first:
            room -= int(row.size) if row.pack is None else packs.size(row.pack, row.id)
        if room < 0 and group:
            yield group
            group, room = [], PORTION_BYTES
        group.append(row)
    if group:
        yield group
