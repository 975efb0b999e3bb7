"""What is replayed: messages of the archive, of files and captures, and of sealed packs, as they are planned and run.

Imports sqlalchemy, packs, store, wire and errors only.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, select

from hl7auth.packs.format import PackFault
from hl7auth.packs.places import SUFFIX, open_pack, store_of
from hl7auth.packs.reader import Pack
from hl7auth.store.bodies import MOST_AT_ONCE, Bodies, BodyFault, bodies_of_rows
from hl7auth.store.message_files import Found, found_in
from hl7auth.store.replays import Item
from hl7auth.store.schema import message

CHANGED = "the file holds something else than when this was planned: plan it again"
_MOST_BYTES = 32 * 1024 * 1024
"""Of one portion of files or packs: fewer of large messages."""


class Piece(NamedTuple):
    """A message to be replayed. `place` is its id, or its place in a file from 1; `fault` says why it can not be.

    Of the archive and of packs `channel`, `peer`, `disposition` and `duplicate_of` are known.
    """

    source: str
    place: int
    raw: bytes
    channel: str = ""
    peer: str = ""
    disposition: str = ""
    duplicate_of: int | None = None
    fault: str = ""

    @property
    def fingerprint(self) -> int:
        """A signed 64-bit hash of its bytes."""
        return int.from_bytes(blake2b(self.raw, digest_size=8).digest(), "big", signed=True)


def from_archive(connection: Connection, ids: Sequence[int]) -> list[Piece]:
    """Messages of the archive by their ids, in that order; those that are not there any more say so."""
    columns = ("id", "channel", "peer", "disposition", "duplicate_of", "pack", *Bodies._fields)
    query = select(*(message.c[name] for name in columns)).where(message.c.id.in_(ids))
    rows = {row.id: row for row in connection.execute(query)}
    bodies = bodies_of_rows(connection, rows.values())
    found = []
    for number in ids:
        row, body = rows.get(number), bodies.get(number)
        if row is None or body is None:
            found.append(Piece("", number, b"", fault="the message is not there any more"))
            continue
        lost = str(body) if isinstance(body, BodyFault) else ""
        raw = body.raw if isinstance(body, Bodies) else b""
        found.append(Piece("", number, raw, row.channel, row.peer, row.disposition, row.duplicate_of, lost))
    return found


def in_archive(connection: Connection, ids: Sequence[int], at_once: int) -> Iterator[list[Piece]]:
    """The same in portions."""
    for at in range(0, len(ids), at_once):
        yield from_archive(connection, ids[at : at + at_once])


def in_files(paths: Sequence[Path], notes: list[str], at_once: int) -> Iterator[list[Piece]]:
    """The messages of files, folders and packs in portions; `notes` gets what is odd about them.

    Raises UserError for what is not there or can not be read.
    """
    portion: list[Piece] = []
    size = 0
    for piece in (piece for path in paths for piece in _pieces(path, notes)):
        portion.append(piece)
        size += len(piece.raw)
        if len(portion) >= at_once or size >= _MOST_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _pieces(path: Path, notes: list[str]) -> Iterator[Piece]:
    for file in found_in(path):
        if file.path.suffix == SUFFIX:
            yield from _of_pack(file.path)
        else:
            yield from _of_file(file, notes)


def _of_file(file: Found, notes: list[str]) -> Iterator[Piece]:
    name = str(file.path)
    for place, (raw, fault) in enumerate(file.messages(notes), start=1):
        yield Piece(name, place, raw, fault=fault)


def _of_pack(path: Path) -> Iterator[Piece]:
    """A pack that can not be opened is an error; a message of it that is damaged is one that can not be replayed."""
    with opened_pack(path) as pack:
        for place, entry in zip(pack.places(), pack.catalog(), strict=True):
            known = (pack.manifest.channel, entry.get("peer", ""), entry.get("disposition", ""))
            raw, fault = _unpacked(pack, place.message_id)
            yield Piece(str(path), place.message_id, raw, *known, entry.get("duplicate_of"), fault)


def opened_pack(path: Path) -> Pack:
    """A pack by its file. Raises PackFault."""
    return open_pack(store_of(str(path.parent)), path.name)


def _unpacked(pack: Pack, number: int) -> tuple[bytes, str]:
    try:
        return pack.read(number).raw, ""
    except PackFault as fault:
        return b"", str(fault)


class Reading:
    """Reads the messages of a plan again, in their order: files are gone through once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._path = ""
        self._file: Iterator[tuple[bytes, str]] | None = None
        self._place = 0
        self._pack: Pack | None = None

    def close(self) -> None:
        """Lets go of the files."""
        if self._pack is not None:
            self._pack.close()
        self._file = self._pack = None

    def read(self, items: Sequence[Item]) -> list[Piece]:
        """The messages of items that follow one another. What is not what was planned has a fault."""
        found: list[Piece] = []
        for source, some in groupby(items, lambda item: item.source):
            group = list(some)
            if not source:
                for at in range(0, len(group), MOST_AT_ONCE):
                    ids = [item.place for item in group[at : at + MOST_AT_ONCE]]
                    found += from_archive(self._connection, ids)
                self._connection.rollback()  # ends the snapshot
            else:
                found += [self._one(item) for item in group]
        return [self._same(item, piece) for item, piece in zip(items, found, strict=True)]

    def _same(self, item: Item, piece: Piece) -> Piece:
        if piece.fault or piece.fingerprint == item.fingerprint:
            return piece
        return piece._replace(fault=CHANGED)

    def _one(self, item: Item) -> Piece:
        if item.source != self._path:
            self.close()
            self._path, self._place = item.source, 0
        try:
            return self._of_pack(item) if item.source.endswith(SUFFIX) else self._of_file(item)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            return Piece(item.source, item.place, b"", fault=f"{item.source}: {reason.lower()}")
        except PackFault as fault:
            return Piece(item.source, item.place, b"", fault=str(fault))

    def _of_pack(self, item: Item) -> Piece:
        if self._pack is None:
            self._pack = opened_pack(Path(item.source))
        raw, fault = _unpacked(self._pack, item.place)
        return Piece(item.source, item.place, raw, self._pack.manifest.channel, fault=fault)

    def _of_file(self, item: Item) -> Piece:
        if self._file is None or item.place <= self._place:
            self._file, self._place = Found(Path(item.source)).messages([]), 0
        for raw, fault in self._file:
            self._place += 1
            if self._place == item.place:
                return Piece(item.source, item.place, raw, fault=fault)
        self._file = None
        return Piece(item.source, item.place, b"", fault=CHANGED)
