"""Which messages have to do with one another: only these must run in order, and in one process.

Imports sqlalchemy, flow.indexed and store.indexing only.

Two messages belong together when they name or changed the same authorization, referral or request, have the same
control id, or one names the other's in MSA-2; or where somebody else belongs with both. All messages of the archive
count, also those before the ones that are compared, because what they left is the state of that time.
Memory is 24 bytes for each message of the archive.
"""

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, text

from hl7auth.flow.indexed import AUTHORIZATION, MOST_CHARACTERS, PATIENT, REFERRAL
from hl7auth.store.indexing import mark

UNIT = 250
"""Messages that are read and run at once."""

_CONTROL_IDS = (
    f"SELECT substr(lower(control_id), 1, {MOST_CHARACTERS}) AS value, id FROM message"
    " WHERE control_id <> '' AND id <= :last"
    " UNION ALL SELECT value, message_id FROM message_field WHERE field = 'MSA-2.1' AND message_id <= :last"
    " ORDER BY 1, 2"
)
_FIELD = (
    "SELECT value, message_id FROM message_field WHERE field = :field AND message_id <= :last"
    " ORDER BY value, message_id"
)
_KEYS = "SELECT key, message_id FROM authorization_version WHERE message_id <= :last ORDER BY key, version"
_SETS = (
    "SELECT referral, message_id FROM authorization_version WHERE referral <> '' AND message_id <= :last"
    " ORDER BY referral, message_id"
)
_IDS = "SELECT id FROM message WHERE id <= :last ORDER BY id"
_OF_CHANNELS = "SELECT id FROM message WHERE channel IN :names AND id BETWEEN :first AND :last ORDER BY id"
BEFORE_ALL = -(2**62)


class Asked(NamedTuple):
    """What is compared: messages from `first` to `last` of the channels `tried`.

    All messages of the channels `tied` belong together, because more than that ties them; `by_patient` where sets are
    those of a patient.
    """

    first: int
    last: int
    tried: Collection[str]
    tied: Collection[str] = ()
    by_patient: bool = False


def scopes(connection: Connection, asked: Asked) -> Iterator[list[list[int]]]:
    """Units of work: each some groups of messages that belong together, by their ids and in their order.

    Groups without a message that is compared are left out. A group is never divided.
    """
    last = {"last": asked.last}
    ids = array("q", (row[0] for row in connection.execute(text(_IDS), last)))
    roots = _Roots(ids)
    fields = (*AUTHORIZATION, *REFERRAL, *(PATIENT if asked.by_patient else ()))
    for sql, more in [(_CONTROL_IDS, {}), (_KEYS, {}), (_SETS, {}), *((_FIELD, {"field": each}) for each in fields)]:
        roots.join(connection.execute(text(sql), last | more))
    if mark(connection, "fields"):  # older messages are not indexed: nothing is known of what ties them
        roots.join(("", each) for each in ids)
    else:
        roots.join(("", each) for each in _of(connection, asked.tied, BEFORE_ALL, asked.last))
    wanted = bytearray(len(ids))
    for each in _of(connection, asked.tried, asked.first, asked.last):
        wanted[roots.find(roots.at(each))] = 1
    connection.rollback()
    return _units(ids, roots, wanted)


class _Roots:
    """Which messages belong together, each known by its place among all ids."""

    def __init__(self, ids: "array[int]") -> None:
        self._ids = ids
        self.above = array("i", range(len(ids)))

    def at(self, message_id: int) -> int:
        """The place of a message; -1 where there is none of that id."""
        found = bisect_left(self._ids, message_id)
        return found if found < len(self._ids) and self._ids[found] == message_id else -1

    def find(self, place: int) -> int:
        """The message that stands for all that belong together: the first of them."""
        above = self.above
        while above[place] != place:
            above[place] = above[above[place]]
            place = above[place]
        return place

    def join(self, rows: Iterable[Any]) -> None:
        """Messages with the same value, which come one after the other, belong together."""
        value, before, place = None, 0, -1
        for each, number in rows:
            if each != value:
                value, before, place = each, number, -1
                continue
            if number == before:
                continue
            place = self.at(before) if place < 0 else place
            before, other = number, self.at(number)
            if other >= 0:
                if place >= 0:
                    one, two = self.find(place), self.find(other)
                    self.above[max(one, two)] = min(one, two)
                place = other


def _of(connection: Connection, names: Collection[str], first: int, last: int) -> Iterator[int]:
    if names:
        sql = text(_OF_CHANNELS).bindparams(bindparam("names", expanding=True))
        yield from connection.execute(sql, {"names": sorted(names), "first": first, "last": last}).scalars()


def _units(ids: "array[int]", roots: _Roots, wanted: bytearray) -> Iterator[list[list[int]]]:
    """Groups in the order of their first message; the messages of each are chained, so that none is sorted."""
    after = array("i", [-1]) * len(ids)
    tail = array("i", range(len(ids)))
    for place in range(len(ids)):
        root = roots.find(place)
        if root != place and wanted[root]:
            after[tail[root]] = place
            tail[root] = place
    unit: list[list[int]] = []
    size = 0
    for root in range(len(ids)):
        if roots.above[root] != root or not wanted[root]:
            continue
        group, place = [], root
        while place >= 0:
            group.append(ids[place])
            place = after[place]
        unit.append(group)
        size += len(group)
        if size >= UNIT:
            yield unit
            unit, size = [], 0
    if unit:
        yield unit
