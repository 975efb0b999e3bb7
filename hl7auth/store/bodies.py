"""The bodies of messages and the answers of deliveries, wherever they are: in the tables, or in a sealed pack.

Imports sqlalchemy, packs, store.pack_table and errors only.

Whoever needs what came or what was answered asks here. `message.pack` says where a body is: NULL for the table itself.
What a pack can not prove is never given out: in its place stands a BodyFault, which says why.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from sqlalchemy import URL, Connection, Row, select

from hl7auth.domain.clock import iso_time
from hl7auth.errors import UserError
from hl7auth.packs.format import Absent, PackFault, Record
from hl7auth.packs.places import open_pack, store_of
from hl7auth.packs.reader import Pack
from hl7auth.store.pack_table import DROPPED, pack
from hl7auth.store.schema import message

MOST_AT_ONCE = 500
"""Ids in one IN list."""
_PACKS_OPEN = 32


class BodyFault(UserError):
    """The bodies of a message can not be had. `dropped` tells retention, which wanted it so, from damage."""

    def __init__(self, text: str, *, dropped: bool = False) -> None:
        super().__init__(text)
        self.dropped = dropped


class Bodies(NamedTuple):
    """What came, what the steps of the channel made of it where that is something else, and what was answered."""

    raw: bytes
    shaped: bytes | None = None
    accept_ack: bytes | None = None
    reply: bytes | None = None

    @property
    def judged(self) -> bytes:
        """The message as the steps of its channel left it: this was checked and applied, and is sent on."""
        return self.raw if self.shaped is None else self.shaped


def read_bodies(connection: Connection, ids: Sequence[int]) -> dict[int, Bodies]:
    """The bodies of stored messages, by id. Raises BodyFault for the first that can not be had."""
    found: dict[int, Bodies] = {}
    for message_id, bodies in try_bodies(connection, ids).items():
        if isinstance(bodies, BodyFault):
            raise bodies
        found[message_id] = bodies
    return found


def try_bodies(connection: Connection, ids: Sequence[int]) -> dict[int, Bodies | BodyFault]:
    """The bodies of stored messages, or why there are none, by id; nothing for ids that there are not."""
    found: dict[int, Bodies | BodyFault] = {}
    columns = (message.c.id, message.c.pack, *(message.c[name] for name in Bodies._fields))
    for at in range(0, len(ids), MOST_AT_ONCE):
        query = select(*columns).where(message.c.id.in_(ids[at : at + MOST_AT_ONCE]))
        found.update(bodies_of_rows(connection, connection.execute(query).all()))
    return found


def bodies_of_rows(connection: Connection, rows: Iterable[Row[Any]]) -> dict[int, Bodies | BodyFault]:
    """The bodies of rows that have `id`, `pack` and the columns of Bodies."""
    found: dict[int, Bodies | BodyFault] = {}
    packs = Packs(connection)
    for row in rows:
        if row.pack is None:
            found[row.id] = Bodies(row.raw, row.shaped, row.accept_ack, row.reply)
        else:
            record = packs.record(row.pack, row.id)
            found[row.id] = record if isinstance(record, BodyFault) else Bodies(*record[:4])
    return found


def dropped_ids(connection: Connection) -> frozenset[int]:
    """The messages whose bodies retention has dropped."""
    query = select(message.c.id).join(pack, pack.c.id == message.c.pack).where(pack.c.state == DROPPED)
    return frozenset(connection.execute(query).scalars())


def sealed_bodies(connection: Connection, pack_id: int, message_id: int) -> Bodies:
    """The bodies of a message of a pack. Raises BodyFault."""
    record = try_record(connection, pack_id, message_id)
    if isinstance(record, BodyFault):
        raise record
    return Bodies(*record[:4])


def sealed_answer(connection: Connection, message_id: int, delivery_id: int) -> bytes | None:
    """The answer of a delivery whose message is sealed; None where it got none. Raises BodyFault."""
    pack_id = connection.execute(select(message.c.pack).where(message.c.id == message_id)).scalar()
    if pack_id is None:
        return None
    record = try_record(connection, pack_id, message_id)
    if isinstance(record, BodyFault):
        raise record
    return dict(record.answers).get(delivery_id)


def try_record(connection: Connection, pack_id: int, message_id: int) -> Record | BodyFault:
    """All bodies of a message of a pack, or why there are none."""
    return Packs(connection).record(pack_id, message_id)


class Packs:
    """The packs of messages that are read one after the other: each is looked up once, and not for every message."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[int, Row[Any]] = {}
        self._last: tuple[int, Pack] | None = None

    def record(self, pack_id: int, message_id: int) -> Record | BodyFault:
        """All bodies of a message of a pack, or why there are none."""
        try:
            try:
                return self._pack(pack_id).read(message_id)
            except Absent:
                # written anew meanwhile, with more messages in it: the row then says so
                before, self._last = self._known.pop(pack_id), None
                again = self._pack(pack_id)
                if self._known[pack_id].digest == before.digest:
                    raise
                return again.read(message_id)
        except PackFault as fault:
            return BodyFault(f"the bodies of message {message_id} can not be had: {fault}")
        except BodyFault as fault:
            return BodyFault(f"the bodies of message {message_id} {fault}", dropped=fault.dropped)

    def size(self, pack_id: int, message_id: int) -> int:
        """How much a message of a pack unpacks to, in bytes; 0 where that can not be told."""
        try:
            place = self._pack(pack_id).find(message_id)
        except (PackFault, BodyFault):
            return 0
        return place.unpacked if place is not None else 0

    def _pack(self, pack_id: int) -> Pack:
        if self._last is None or self._last[0] != pack_id:
            if pack_id not in self._known:
                self._known[pack_id] = _row(self._connection, pack_id)
            self._last = pack_id, opened(self._connection, self._known[pack_id])
        return self._last[1]


def opened(connection: Connection, row: Row[Any]) -> Pack:
    """The pack of a row of its table, which has to be the very one that was recorded. Raises PackFault."""
    return _open_packs.get(place_of(connection.engine.url, row.place), row.name, row.digest)


def place_of(database: URL, place: str) -> str:
    """Where packs are: as their row says, or in the folder `archive` beside the database."""
    return place or str(default_place(database))


def default_place(database: URL) -> Path:
    """`archive` beside the file of the database, or in `var`."""
    name = database.database or ""
    if not database.drivername.startswith("sqlite") or name in ("", ":memory:") or name.startswith("file:"):
        return Path("var/archive")
    return Path(name).parent / "archive"


def _row(connection: Connection, pack_id: int) -> Row[Any]:
    row = connection.execute(select(pack).where(pack.c.id == pack_id)).first()
    if row is None:
        raise BodyFault("can not be had: the database does not know their pack")
    if row.state == DROPPED:
        raise BodyFault(f"were dropped by retention on {iso_time(row.dropped_at)[:10]}", dropped=True)
    return row


class _OpenPacks:
    """The packs that were read last, open."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._packs: OrderedDict[tuple[str, str, str], Pack] = OrderedDict()

    def get(self, place: str, name: str, digest: str) -> Pack:
        key = (place, name, digest)
        with self._lock:
            if key in self._packs:
                self._packs.move_to_end(key)
                return self._packs[key]
        found = open_pack(store_of(place), name)
        if found.digest.hex() != digest:
            found.close()
            raise PackFault(f"{found.name}: is another file than the one that was sealed: its manifest differs")
        with self._lock:
            self._packs[key] = found
            while len(self._packs) > _PACKS_OPEN:
                self._packs.popitem(last=False)  # closed when its last reader lets go of it
        return found


_open_packs = _OpenPacks()
