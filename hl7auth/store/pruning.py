"""Pruning: packs that a channel's retention does not keep any more go as whole files; what is held stays.

Imports sqlalchemy, packs, flow.retention and store only.

The database is told first that a pack is dropped, then its file is removed: what breaks this off in between leaves a
file that nothing points to, and the next prune removes it. Nothing is taken row by row: bodies that are still in the
tables stay until a seal has moved them.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, select, update

from hl7auth.flow.retention import Retention
from hl7auth.packs.format import Absent, PackFault
from hl7auth.packs.places import open_pack, store_of
from hl7auth.store.archive_lock import only_one
from hl7auth.store.archive_record import write_event
from hl7auth.store.bodies import place_of
from hl7auth.store.database import connect
from hl7auth.store.emptying import patient
from hl7auth.store.holds import holds_over, standing_holds
from hl7auth.store.pack_table import DROPPED, KEPT, pack
from hl7auth.store.sealable import day_name, days_to_seal

DUE, HELD, UNSEALED = "due", "held", "unsealed"


class Pruned(NamedTuple):
    """A day of a channel whose time is over, and its `state`: due, dropped, held by the hold of that number, or
    unsealed: its bodies are in the tables."""

    channel: str
    day: str
    messages: int
    bytes: int
    state: str
    hold: int | None = None


class Pruning(NamedTuple):
    """What is kept, by the names of channels, on which day (counted from 1970), and who prunes when."""

    kept: Mapping[str, Retention]
    today: int
    by: str
    now: int

    def ends(self) -> Iterator[tuple[str, int]]:
        """The channels that do not keep everything, and the first day that each keeps."""
        for name in sorted(self.kept):
            first = self.kept[name].first_kept(self.today)
            if first is not None:
                yield name, first


def preview(engine: Engine, pruning: Pruning) -> list[Pruned]:
    """What a prune would find, by day and channel. Changes nothing."""
    with connect(engine.execution_options(reads_only=True)) as connection:
        found = [each for _, each in _over(connection, pruning)] + list(_unsealed(connection, pruning))
    return _in_order(found)


def prune(engine: Engine, pruning: Pruning) -> list[Pruned]:
    """Drops the packs whose time is over and that nobody holds.

    Raises UserError where somebody else changes the archive, or where a file can not be removed: the next prune then
    goes on.
    """
    with only_one(engine):
        _sweep(engine)
        with connect(engine.execution_options(reads_only=True)) as connection:
            packs, unsealed = _over(connection, pruning), list(_unsealed(connection, pruning))
        done = [_drop(engine, row, each, pruning) if each.state == DUE else each for row, each in packs]
    return _in_order(done + unsealed)


def _in_order(found: list[Pruned]) -> list[Pruned]:
    return sorted(found, key=lambda each: (each.day, each.channel, each.state))


def _over(connection: Connection, pruning: Pruning) -> list[tuple[Row[Any], Pruned]]:
    """The packs whose time is over, each with the hold that keeps it."""
    holds, found = standing_holds(connection), []
    for name, first in pruning.ends():
        wanted = (pack.c.state == KEPT, pack.c.channel == name, pack.c.day < day_name(first))
        for row in connection.execute(select(pack).where(*wanted).order_by(pack.c.day)):
            held = holds_over(holds, row.channel, row.day)
            state, number = (HELD, held[0].id) if held else (DUE, None)
            found.append((row, Pruned(row.channel, row.day, row.messages, row.bytes, state, number)))
    return found


def _unsealed(connection: Connection, pruning: Pruning) -> Iterator[Pruned]:
    """Days whose time is over, and that have bodies in the tables."""
    for name, first in pruning.ends():
        for day in days_to_seal(connection, first, name):
            if day.messages:
                yield Pruned(day.channel, day.name, day.messages, 0, UNSEALED)


def _drop(engine: Engine, row: Row[Any], found: Pruned, pruning: Pruning) -> Pruned:
    with patient(engine) as connection:
        held = holds_over(standing_holds(connection), row.channel, row.day)
        if held:  # since we looked
            return found._replace(state=HELD, hold=held[0].id)
        connection.execute(update(pack).where(pack.c.id == row.id).values(state=DROPPED, dropped_at=pruning.now))
        days = pruning.kept[row.channel].bodies_days
        detail = f"{row.messages} message(s), SHA-256 {row.digest}: bodies_days is {days}"
        write_event(connection, pruning.by, pruning.now, "drop", f"{row.channel} {row.day}", detail)
    _remove(engine, row)
    return found._replace(state=DROPPED)


def _sweep(engine: Engine) -> None:
    """Removes the files of packs that were dropped by a prune that was broken off."""
    with connect(engine.execution_options(reads_only=True)) as connection:
        rows = connection.execute(select(pack).where(pack.c.state == DROPPED)).all()
    there = {place: set(store_of(place_of(engine.url, place)).names()) for place in {row.place for row in rows}}
    for row in rows:
        if row.name in there[row.place]:
            _remove(engine, row)


def _remove(engine: Engine, row: Row[Any]) -> None:
    """Removes the file of a pack, unless it is another pack by now. Raises PackFault."""
    store = store_of(place_of(engine.url, row.place))
    try:
        with open_pack(store, row.name) as found:
            ours = found.digest.hex() == row.digest
    except Absent:
        return
    except PackFault:
        ours = True  # a damaged one is to go as well
    if ours:
        store.remove(row.name)
