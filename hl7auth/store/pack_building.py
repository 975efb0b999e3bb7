"""Building the pack of a day from the tables and from the pack that it replaces, and proving that it can be read.

Imports sqlalchemy, packs and store only.
"""

from collections.abc import Iterator, Sequence
from heapq import merge
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection

from hl7auth.packs.format import PackFault, Place, Record
from hl7auth.packs.places import File, Store, Taken, drafted, open_pack
from hl7auth.packs.reader import Pack, check
from hl7auth.packs.writer import Title, Writer, trained
from hl7auth.store.sealable import sealables

_SAMPLES = 1_500
"""Messages that the dictionary is trained on."""


class _Item(NamedTuple):
    """A message of the pack; packed already where it comes from the pack before as it is."""

    message_id: int
    entry: dict[str, Any]
    record: Record
    packed: tuple[Place, bytes] | None = None


def build(
    store: Store, name: str, title: Title, connection: Connection, what: tuple[Pack | None, Sequence[int]]
) -> Pack:
    """Writes the pack of what is in another and of these messages, puts it in its place, and reads all of it back.

    Raises PackFault, and leaves nothing behind, where that can not be done.
    """
    old, ids = what
    with drafted(store, name) as (draft, file):
        writer = Writer(file, title, _dictionary(connection, old, ids))
        size = 0
        for item in _items(connection, old, ids):
            size += item.record.size
            if item.packed is not None:
                writer.add_packed(item.packed[0], item.entry, item.packed[1])
            else:
                writer.add(item.message_id, item.entry, item.record)
        writer.close(size)
    try:
        _put(store, draft, name)
    finally:
        draft.unlink(missing_ok=True)
    made = open_pack(store, name)
    for damage in check(made):
        raise PackFault(f"{damage.text}; it was written just now, and the tables still have all of it")
    return made


def _items(connection: Connection, old: Pack | None, ids: Sequence[int]) -> Iterator[_Item]:
    if old is None:
        return (_Item(each.message_id, each.entry, each.record) for each in sealables(connection, ids))
    new = set(ids)
    fresh = (_renewed(each.message_id, each.entry, each.record, old) for each in sealables(connection, ids))
    return merge(fresh, _kept(old, new), key=lambda item: item.message_id)


def _kept(old: Pack, new: set[int]) -> Iterator[_Item]:
    """What the pack before has and stays as it is; each proved, for damage is not carried on."""
    for place, entry in zip(old.places(), old.catalog(), strict=True):
        if place.message_id not in new:
            frame = old.frame(place)
            message_id = entry.pop("id")
            yield _Item(message_id, entry, old.unpack(place, frame), (place, frame))


def _renewed(message_id: int, entry: dict[str, Any], record: Record, old: Pack) -> _Item:
    """A message of the tables; where the pack before has it, its bodies are from there, and all answers are kept."""
    if old.find(message_id) is None:
        return _Item(message_id, entry, record)
    before = old.read(message_id)
    return _Item(
        message_id,
        entry,
        before._replace(answers=tuple(sorted({**dict(before.answers), **dict(record.answers)}.items()))),
    )


def _dictionary(connection: Connection, old: Pack | None, ids: Sequence[int]) -> bytes:
    """That of the pack before, because its records are taken over as they are; else one trained on samples."""
    if old is not None:
        return old.dictionary
    apart = max(len(ids) // _SAMPLES, 1)
    samples = [each.record for each in sealables(connection, ids[::apart])]
    return trained(samples, sum(each.size for each in samples) * apart)


def _put(store: Store, draft: Path, name: str) -> None:
    """Puts the draft in its place. What a seal left there that was broken off gives way, anything else does not."""
    try:
        store.put(draft, name)
    except Taken:
        if not _is_part_of(store, name, draft):
            told = "holds messages that this database does not have there: it is another's"
            raise PackFault(f"{store.url}/{name}: {told}; move it away, or seal to another place (--at)") from None
        store.remove(name)
        store.put(draft, name)


def _is_part_of(store: Store, name: str, draft: Path) -> bool:
    try:
        there = open_pack(store, name)
    except PackFault:
        return False
    ours = Pack(File(draft), str(draft))
    proved = {place.message_id: place.digest for place in ours.places()}
    return all(proved.get(place.message_id) == place.digest for place in there.places())
