"""Sealing: bodies of days gone by move from the tables to packs, one for each channel and day.

Imports sqlalchemy, packs, store and errors only.

The order is everything: the pack is written, synced, named and read back whole; then the database says that it is
there; and only then is a body emptied, in the transaction that compares it byte by byte with what the pack gives back.
Whatever breaks this off leaves every body in at least one place, and the next seal goes on from there.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import URL, Connection, Engine, Row, func, insert, select, update

from hl7auth import __version__
from hl7auth.packs.places import SUFFIX, open_pack, store_of
from hl7auth.packs.reader import Pack
from hl7auth.packs.writer import Title
from hl7auth.store.archive_lock import only_one
from hl7auth.store.archive_record import write_event
from hl7auth.store.bodies import default_place, opened, place_of
from hl7auth.store.database import connect
from hl7auth.store.emptying import empty, patient
from hl7auth.store.pack_building import build
from hl7auth.store.pack_table import KEPT, pack
from hl7auth.store.sealable import Day, days_to_seal, ids_to_seal, late_ids

Moved = Callable[[str, int, int], None]


class Sealed(NamedTuple):
    """What became of one channel and day: messages that were sealed now, and that are `open` and stay in the tables.

    The rest is about the whole pack; `bytes` is its size, and `body_bytes` what it unpacks to.
    """

    channel: str
    day: str
    sealed: int
    open: int
    generation: int = 0
    messages: int = 0
    body_bytes: int = 0
    bytes: int = 0


class Sealing(NamedTuple):
    """What to seal: days before that one (counted from 1970), of one channel or all, and where to; by whom and when.

    `place` is a path or URL, and empty for the folder beside the database.
    """

    before: int
    channel: str | None
    place: str
    by: str
    now: int


def silent(_day: str, _done: int, _of: int) -> None:
    """Shows no progress."""


def seal(engine: Engine, sealing: Sealing, moved: Moved = silent) -> list[Sealed]:
    """Seals all days before that one. `moved` hears of each day, with messages done and in all.

    Raises UserError where another seal is at work, a pack can not be written or read back, or the database is locked
    for too long: the days before are sealed then, and nothing of that day is lost.
    """
    with only_one(engine):
        with connect(engine.execution_options(reads_only=True)) as connection:
            sweep(connection)
            days = days_to_seal(connection, sealing.before, sealing.channel)
        done = [_seal_day(engine, day, sealing, moved) for day in days]
        return [each for each in done if each.sealed or each.open]


def stored_place(database: URL, place: str) -> str:
    """The place as the table of packs has it: what does not depend on where we are, or "" for beside the database."""
    if "://" in place:
        return place
    if place:
        return str(Path(place).absolute())
    return "" if database.drivername.startswith("sqlite") else str(default_place(database).absolute())


def pack_name(channel: str, day: str, generation: int) -> str:
    """`CHANNEL/DAY.hl7pack`, and with the number of its generation from the second on."""
    return f"{channel}/{day}{SUFFIX}" if generation == 1 else f"{channel}/{day}.{generation}{SUFFIX}"


def sweep(connection: Connection) -> None:
    """Removes packs that a later generation has replaced, where a seal was broken off before it could."""
    for row in connection.execute(select(pack).where(pack.c.state == KEPT, pack.c.generation > 1)).all():
        store = store_of(place_of(connection.engine.url, row.place))
        older = pack_name(row.channel, row.day, row.generation - 1)
        if older in store.names() and _ids(open_pack(store, older)) <= _ids(opened(connection, row)):
            store.remove(older)


def _seal_day(engine: Engine, day: Day, sealing: Sealing, moved: Moved) -> Sealed:
    name = f"{day.channel} {day.name}"
    with connect(engine.execution_options(reads_only=True)) as connection:
        before = row = _pack_of(connection, day)
        fresh = ids_to_seal(connection, day) if day.messages else []
        late = late_ids(connection, row.id) if row is not None else []
        held = _ids(opened(connection, row)) if row is not None else set[int]()
        left = day.messages - len(fresh)
        if late or not held.issuperset(fresh):
            row = _renew(engine, connection, day, (before, sorted({*fresh, *late})), sealing)
        done = sorted({*fresh, *late})
        if row is None or not done:
            return Sealed(day.channel, day.name, 0, left)
        made = opened(connection, row)
    moved(name, 0, len(done))
    for count in empty(engine, row.id, made, done):
        moved(name, count, len(done))
    if before is not None and before.name != row.name:
        store_of(place_of(engine.url, before.place)).remove(before.name)
    whole = (row.generation, row.messages, row.body_bytes, row.bytes)
    return Sealed(day.channel, day.name, len(done), left, *whole)


def _renew(
    engine: Engine, connection: Connection, day: Day, what: tuple[Row[Any] | None, list[int]], sealing: Sealing
) -> Row[Any]:
    """Writes the pack of a day, with what is in the one before, proves it and records it. Raises UserError."""
    before, ids = what
    place = stored_place(engine.url, sealing.place)
    last = select(func.max(pack.c.generation)).where(pack.c.channel == day.channel, pack.c.day == day.name)
    generation = (connection.execute(last).scalar() or 0) + 1
    name = pack_name(day.channel, day.name, generation)
    title = Title(day.channel, day.name, generation, sealing.now, f"hl7auth {__version__}")
    store = store_of(place_of(engine.url, place))
    made = build(store, name, title, connection, (opened(connection, before) if before is not None else None, ids))
    connection.rollback()
    values = {"place": place, "name": name, "generation": generation, "sealed_at": sealing.now} | described(made)
    detail = f"{made.manifest.messages} message(s), {made.size} bytes, SHA-256 {made.digest.hex()}: {name}"
    with patient(engine) as writing:
        kept = (pack.c.channel == day.channel, pack.c.day == day.name, pack.c.state == KEPT)
        statement = insert(pack) if before is None else update(pack).where(*kept)
        writing.execute(statement.values(channel=day.channel, day=day.name, state=KEPT, **values))
        write_event(writing, sealing.by, sealing.now, "seal", f"{day.channel} {day.name}", detail)
        return writing.execute(select(pack).where(*kept)).one()


def described(made: Pack) -> dict[str, Any]:
    """What the table of packs says of a pack by itself."""
    names = ("messages", "first_id", "last_id", "first_at", "last_at", "body_bytes")
    return {name: getattr(made.manifest, name) for name in names} | {"bytes": made.size, "digest": made.digest.hex()}


def _pack_of(connection: Connection, day: Day) -> Row[Any] | None:
    wanted = (pack.c.channel == day.channel, pack.c.day == day.name, pack.c.state == KEPT)
    return connection.execute(select(pack).where(*wanted)).first()


def _ids(found: Pack) -> set[int]:
    return {place.message_id for place in found.places()}
