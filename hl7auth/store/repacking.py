"""Exports and other files of messages made into packs, so that they are imported as these are.

Imports packs, store and errors only.

The same files always become the same packs. What they do not tell (findings, what steps made of a message) is not in
them. Messages are sorted in a file of their own, so that a file of any size takes little memory.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hl7auth.errors import UserError
from hl7auth.packs.format import decode, encode
from hl7auth.packs.places import drafted, store_of
from hl7auth.packs.writer import Title, Writer, trained
from hl7auth.store.export_list import Said
from hl7auth.store.export_reading import Kind, kind_of, said_by
from hl7auth.store.sealable import DAY, day_name
from hl7auth.store.sealing import pack_name

_SAMPLES = 500
_TABLE = (
    "CREATE TABLE said (channel TEXT, day INTEGER, id INTEGER, entry TEXT, size INTEGER, record BLOB,"
    " PRIMARY KEY (channel, day, id)) WITHOUT ROWID"
)


@contextmanager
def packs_of(place: str, channel: str | None = None) -> Iterator[str]:
    """Where the packs of a place are: there, or in a folder that is made of its files and is there for a while.

    Raises UserError, before anything is made, for what is not whole. `channel` is that of files which do not say it.
    """
    kind = kind_of(place)
    if kind is Kind.PACKS:
        if channel is not None:
            raise UserError(f"{place}: packs say themselves of which channel they are: --channel is for other files")
        yield place
        return
    with TemporaryDirectory(prefix="hl7auth-import-") as folder:
        try:
            with closing(sqlite3.connect(Path(folder) / "sorting")) as sorting:
                _sort(sorting, said_by(place, kind, channel), place)
                for name, day in sorting.execute("SELECT DISTINCT channel, day FROM said ORDER BY 1, 2").fetchall():
                    _write(sorting, folder, name, day)
        except sqlite3.IntegrityError:
            raise UserError(f"{place}: the same id is in it twice") from None
        except (OSError, sqlite3.OperationalError) as error:
            raise UserError(f"{folder}: {(getattr(error, 'strerror', None) or str(error)).lower()}") from None
        (Path(folder) / "sorting").unlink()
        try:
            yield folder
        except UserError as error:
            raise UserError(str(error).replace(folder, place)) from None


def _sort(sorting: sqlite3.Connection, messages: Iterator[Said], place: str) -> None:
    sorting.execute("PRAGMA synchronous = off")
    sorting.execute("PRAGMA journal_mode = off")
    sorting.execute(_TABLE)
    count = 0
    for each in messages:
        packed = encode(each.record)
        values = (each.entry["received_at"] // DAY, each.entry["id"], json.dumps(each.entry), each.record.size, packed)
        sorting.execute("INSERT INTO said VALUES (?, ?, ?, ?, ?, ?)", (each.channel, *values))
        count += 1
    if not count:
        raise UserError(f"{place}: there is no message in it")
    sorting.commit()


def _write(sorting: sqlite3.Connection, folder: str, channel: str, day: int) -> None:
    of_day = "FROM said WHERE channel = ? AND day = ?"
    count, size = sorting.execute(f"SELECT count(*), sum(size) {of_day}", (channel, day)).fetchone()
    apart = max(count // _SAMPLES, 1)
    ids = [number for (number,) in sorting.execute(f"SELECT id {of_day} ORDER BY id", (channel, day))][::apart]
    one = f"SELECT record {of_day} AND id = ?"
    samples = [decode(sorting.execute(one, (channel, day, number)).fetchone()[0]) for number in ids]
    title = Title(channel, day_name(day), 1, 0, "export")
    store, name = store_of(folder), pack_name(channel, title.day, 1)
    with drafted(store, name) as (draft, file):
        writer = Writer(file, title, trained(samples, size))
        for number, entry, packed in sorting.execute(f"SELECT id, entry, record {of_day} ORDER BY id", (channel, day)):
            writer.add(number, json.loads(entry), decode(packed))
        writer.close(size)
    store.put(draft, name)
