"""An archive of another installation, opened to be read: its packs as a store of their own, which goes away again.

Imports sqlalchemy, packs, domain, errors and store only.

Nothing is written to the place of the packs. What the tables there knew of a message is in its pack, but for the
histories of authorizations.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, insert

from hl7auth.errors import UserError
from hl7auth.packs.format import PackFault
from hl7auth.packs.reader import Pack, check
from hl7auth.store.cataloged import message_rows, opened_all, source_of
from hl7auth.store.database import connect
from hl7auth.store.delivery_table import delivery
from hl7auth.store.indexing import index_fields
from hl7auth.store.pack_table import KEPT, pack
from hl7auth.store.rebuild import scratch
from hl7auth.store.schema import message, search_mark
from hl7auth.store.sealing import described

_AT_ONCE = 500


@contextmanager
def foreign(place: str, told: Callable[[str], None], *, indexed: bool = False) -> Iterator[Connection]:
    """A connection to what the packs of a place say; `told` hears of those that can not be read.

    With `indexed` every message is read once, so that it is found by its fields. Raises UserError where there is none.
    """
    source = source_of(place)
    where = source.store.url if "://" in source.store.url else str(Path(source.store.url).absolute())
    with scratch() as engine:
        read = 0
        for number, (name, found) in enumerate(opened_all(source), 1):
            try:
                if isinstance(found, PackFault):
                    raise found
                with found:
                    _take(engine, found, {"id": number, "place": where, "name": name})
                read += 1
            except PackFault as fault:
                told(f"{fault}: its messages are left out")
        if not read:
            raise UserError(f"{place}: none of {len(source.names)} pack(s) can be read")
        if indexed:
            index_fields(engine)
        with connect(engine.execution_options(reads_only=True)) as connection:
            yield connection


def verify_foreign(place: str, channel: str | None) -> Iterator[dict[str, Any]]:
    """Reads every byte of the packs of a place; `faults` is empty for a good one. Raises UserError for no packs."""
    for name, found in opened_all(source_of(place)):
        if isinstance(found, PackFault):
            if channel in (None, name.partition("/")[0]):
                yield {"channel": "", "day": "", "messages": 0, "name": name, "faults": [str(found)]}
            continue
        with found:
            told = found.manifest
            if channel in (None, told.channel):
                names = {"channel": told.channel, "day": told.day, "messages": told.messages, "name": name}
                yield names | {"faults": [damage.text for damage in check(found)]}


def _take(engine: Engine, found: Pack, values: dict[str, Any]) -> None:
    """The rows of a pack, all or none."""
    told = found.manifest
    own = {"channel": told.channel, "day": told.day, "generation": told.generation, "sealed_at": told.made_at}
    with engine.begin() as connection:
        connection.execute(insert(pack).values(state=KEPT, **values, **own, **described(found)))
        rows: list[dict[str, Any]] = []
        for row, sent in message_rows(found, told.channel, values["id"]):
            rows.append(row)
            if sent:
                connection.execute(insert(delivery), sent)
            if len(rows) == _AT_ONCE:
                connection.execute(insert(message), rows)
                rows = []
        if rows:
            connection.execute(insert(message), rows)
        if values["id"] == 1:  # what comes in by intake is indexed there, and here nothing is yet
            connection.execute(insert(search_mark).values(name="fields", message_id=2**62))
