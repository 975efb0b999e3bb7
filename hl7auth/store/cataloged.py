"""What packs say of their messages, as rows of the tables: so an archive is read that has no database here.

Imports sqlalchemy, packs and the store's tables only.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from hl7auth.errors import UserError
from hl7auth.packs.format import PackFault
from hl7auth.packs.places import SUFFIX, Store, open_pack, store_of
from hl7auth.packs.reader import Pack
from hl7auth.store.delivery_table import delivery
from hl7auth.store.schema import message

_MESSAGE = {column.name: "" if str(column.type) == "TEXT" else 0 for column in message.c if not column.nullable}
_KNOWN = {column.name for column in message.c}
_DELIVERY = {column.name for column in delivery.c}
_AS_SENT = {"lane": "", "part": 0, "parts": 1, "head": 0, "halts": 0, "queued_at": 0, "due_at": 0, "attempts": 0}


class Source(NamedTuple):
    """Packs by their names in a place; those of one day only as their last seal left them."""

    store: Store
    names: list[str]


def source_of(place: str) -> Source:
    """The packs of a folder, of a bucket, or of one file. Raises UserError where there are none."""
    if place.endswith(SUFFIX):
        folder, _, name = place.rpartition("/")
        above, _, channel = folder.rpartition("/")
        return Source(store_of(above or ("/" if folder.startswith("/") else ".")), [f"{channel or '.'}/{name}"])
    store = store_of(place)
    names = store.names()
    if not names:
        raise UserError(f"{place}: there are no packs (CHANNEL/DAY{SUFFIX})")
    last: dict[str, tuple[int, str]] = {}
    for name in names:  # CHANNEL/DAY, and with the number of its generation from the second on
        stem = name.removesuffix(SUFFIX)
        day, _, number = stem.rpartition(".")
        channel_day, generation = (day, int(number)) if number.isdigit() else (stem, 1)
        last[channel_day] = max(last.get(channel_day, (0, "")), (generation, name))
    return Source(store, sorted(name for _, name in last.values()))


def opened_all(source: Source) -> Iterator[tuple[str, Pack | PackFault]]:
    """Each pack, or what is wrong with it."""
    for name in source.names:
        try:
            found: Pack | PackFault = open_pack(source.store, name)
        except PackFault as fault:
            found = fault
        yield name, found


def message_rows(found: Pack, channel: str, pack_id: int) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The messages of a pack as rows without bodies, each with the rows of its deliveries. Raises PackFault."""
    for entry in found.catalog():
        known = {name: value for name, value in entry.items() if name in _KNOWN}
        row = dict.fromkeys(column.name for column in message.c) | _MESSAGE | known
        sent = [
            {name: value for name, value in (_AS_SENT | each).items() if name in _DELIVERY}
            | {"message_id": entry["id"], "settled_at": each.get("settled_at"), "reason": each.get("reason")}
            for each in entry.get("deliveries", ())
        ]
        yield row | {"channel": channel, "pack": pack_id, "raw": b""}, sent
