"""Importing packs of another installation: they become packs of this archive, whole, or nothing of them does.

Imports sqlalchemy, packs, flow.indexed, wire, errors and store only.

Their channels get the name of where they come from in front (`north.referral-intake`), as no channel of our own can be
called, so nothing takes them for messages that this installation took in: they are found, shown and exported, and never
replayed, answered again or counted as applied here. All packs are read to the last byte before the first is taken.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Engine, delete, insert, select

from hl7auth.errors import UserError
from hl7auth.packs.format import PackFault
from hl7auth.packs.places import Store, Taken, drafted, open_pack, store_of
from hl7auth.packs.reader import Pack, check
from hl7auth.store.archive_lock import only_one
from hl7auth.store.archive_record import write_event
from hl7auth.store.bodies import place_of
from hl7auth.store.cataloged import Source, message_rows, opened_all, source_of
from hl7auth.store.database import connect
from hl7auth.store.emptying import AT_ONCE, patient
from hl7auth.store.field_index import decided_rows, write_rows
from hl7auth.store.indexing import message_entries
from hl7auth.store.pack_table import KEPT, pack
from hl7auth.store.schema import message, message_field
from hl7auth.store.sealing import described, pack_name, stored_place

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_CHANNEL = re.compile(r"[a-z0-9][a-z0-9.-]*")
_COPIED = 4 * 1024 * 1024
Moved = Callable[[str, int, int], None]


class Import(NamedTuple):
    """What to import: the packs of a place, as those of an installation of that name; where to (as `Sealing.place`), by
    whom and when. `most` is the first id that this installation has not given yet; `origin` is what somebody gave,
    where the packs were made of it."""

    source: str
    name: str
    place: str
    by: str
    now: int
    most: int
    origin: str = ""


class Imported(NamedTuple):
    """A pack that was imported, or, with no messages `added`, that was here already."""

    channel: str
    day: str
    messages: int
    added: int


class _Each(NamedTuple):
    found: Pack
    channel: str
    row: Any


def silent(_name: str, _done: int, _of: int) -> None:
    """Shows no progress."""


def bring_in(engine: Engine, wanted: Import, moved: Moved = silent) -> list[Imported]:
    """Imports all packs of a place. Raises UserError, and imports nothing, where one is damaged, of a newer version, or
    has messages whose ids are taken here; a pack that can not be written leaves nothing, and those before it stay."""
    if not _NAME.fullmatch(wanted.name):
        raise UserError(f"'{wanted.name}' is no name of an installation: small letters, digits and - only")
    source = source_of(wanted.source)
    with only_one(engine):
        with connect(engine.execution_options(reads_only=True)) as connection:
            packs = list(_checked(connection, source, wanted))
        return [_bring(engine, each, wanted, moved) for each in packs]


def _checked(connection: Connection, source: Source, wanted: Import) -> Iterator[_Each]:
    for _, found in opened_all(source):
        if isinstance(found, PackFault):
            raise found
        for damage in check(found):
            raise PackFault(damage.text)
        told = found.manifest
        if not _CHANNEL.fullmatch(told.channel):
            raise UserError(f"{found.name}: is of a channel '{told.channel}', and no channel can have that name")
        channel = f"{wanted.name}.{told.channel}"
        asked = (pack.c.channel == channel, pack.c.day == told.day, pack.c.state == KEPT)
        row = connection.execute(select(pack).where(*asked)).first()
        if row is not None and row.digest != found.digest.hex():
            raise UserError(f"{found.name}: this archive has another pack of {channel} {told.day} already")
        if told.last_id >= wanted.most:
            raise UserError(f"{found.name}: its messages have numbers that are given here only later: mind the clocks")
        ids = [place.message_id for place in found.places()]
        taken = sum(_taken(connection, ids[at : at + AT_ONCE], row) for at in range(0, len(ids), AT_ONCE))
        if taken:
            raise UserError(f"{found.name}: {taken} of its {len(ids)} messages have ids that other messages have here")
        yield _Each(found, channel, row)


def _taken(connection: Connection, ids: Sequence[int], row: Any) -> int:
    """How many messages there are of these ids that are not of that pack."""
    query = select(message.c.id, message.c.pack).where(message.c.id.in_(ids))
    return sum(row is None or each.pack != row.id for each in connection.execute(query))


def _bring(engine: Engine, each: _Each, wanted: Import, moved: Moved) -> Imported:
    told, digest = each.found.manifest, each.found.digest.hex()
    name = each.row.name if each.row is not None else pack_name(each.channel, told.day, told.generation)
    place = each.row.place if each.row is not None else stored_place(engine.url, wanted.place)
    with each.found:
        _copy(each.found, store_of(place_of(engine.url, place)), name)
        values = {"place": place, "name": name, "generation": told.generation, "sealed_at": told.made_at}
        try:
            added = _list(engine, each, values, wanted, moved)
        except BaseException:
            if each.row is None:
                _take_back(engine, each.channel, told.day, digest)
                store_of(place_of(engine.url, place)).remove(name)
            raise
    return Imported(each.channel, told.day, told.messages, added)


def _copy(found: Pack, store: Store, name: str) -> None:
    """The file, byte for byte. Raises PackFault where there is no room, or another file in its place."""
    with drafted(store, name) as (draft, file):
        for at in range(0, found.size, _COPIED):
            file.write(found.raw(at, min(_COPIED, found.size - at)))
    try:
        store.put(draft, name)
    except Taken:
        with open_pack(store, name) as other:
            if other.digest != found.digest:
                raise
    finally:
        draft.unlink(missing_ok=True)


def _list(engine: Engine, each: _Each, values: dict[str, Any], wanted: Import, moved: Moved) -> int:
    """The rows of a pack, as many at once as keep nobody waiting; goes on where an import was broken off."""
    told, added = each.found.manifest, 0
    own = {"channel": each.channel, "day": told.day, "state": KEPT} | values | described(each.found)
    with patient(engine) as connection:
        query = insert(pack).values(**own).returning(pack.c.id)
        pack_id = int(each.row.id if each.row is not None else connection.execute(query).scalar_one())
    rows = (row for row, _ in message_rows(each.found, each.channel, pack_id))
    done = 0
    while some := [row for _, row in zip(range(AT_ONCE), rows, strict=False)]:
        with patient(engine) as connection:
            added += _add(connection, each.found, some)
        done += len(some)
        moved(f"{each.channel} {told.day}", done, told.messages)
    if added:
        detail = f"{added} message(s) from {wanted.origin or each.found.name}, SHA-256 {each.found.digest.hex()}"
        with patient(engine) as connection:
            write_event(connection, wanted.by, wanted.now, "import", f"{each.channel} {told.day}", detail)
    return added


def _add(connection: Connection, found: Pack, rows: list[dict[str, Any]]) -> int:
    query = select(message.c.id).where(message.c.id.in_([row["id"] for row in rows]))
    there = set(connection.execute(query).scalars())
    fresh = [row for row in rows if row["id"] not in there]
    if fresh:
        # without its digest none of them is the same message as one that comes in here
        connection.execute(insert(message), [row | {"digest": 0} for row in fresh])
        indexed = []
        for row in fresh:
            record = found.read(row["id"])
            rules = [each["rule"] for each in orjson.loads(row["findings"])] if row["findings"] else []
            entries = message_entries(record.raw if record.shaped is None else record.shaped)
            indexed += [(path, value, row["id"]) for path, value in entries] + decided_rows(row["id"], (), rules)
        write_rows(connection, indexed)
    return len(fresh)


def _take_back(engine: Engine, channel: str, day: str, digest: str) -> None:
    with patient(engine) as connection:
        asked = (pack.c.channel == channel, pack.c.day == day, pack.c.digest == digest)
        number = connection.execute(select(pack.c.id).where(*asked)).scalar()
        if number is not None:
            ids = select(message.c.id).where(message.c.pack == number)
            connection.execute(delete(message_field).where(message_field.c.message_id.in_(ids)))
            connection.execute(delete(message).where(message.c.pack == number))
            connection.execute(delete(pack).where(pack.c.id == number))
