"""Reading exports, to be taken into an archive: zip archives, folders and Parquet tables, each proved by its hashes.

Imports pyarrow (the extra `analytics`), packs, store and errors only.
"""

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

from hl7auth.errors import UserError
from hl7auth.packs.format import Record
from hl7auth.packs.places import SUFFIX
from hl7auth.store.archive import Entry
from hl7auth.store.export_list import LIST, MANIFEST, MARK, Listed, Said, digest, read_list, require_known
from hl7auth.store.plain_messages import header_of, plain_messages, told

_AT_ONCE = 500


class Kind(StrEnum):
    """What a place of messages is. `PLAIN` are files that say nothing but their messages."""

    PACKS = "packs"
    ZIP = "zip"
    FOLDER = "folder"
    PARQUET = "parquet"
    PLAIN = "plain"


def kind_of(place: str) -> Kind:
    """By what is there, not by its name. What is not there counts as packs, which say so. Raises UserError."""
    path = Path(place)
    if "://" in place or not path.exists():
        return Kind.PACKS
    if path.is_dir():
        if (path / MANIFEST).exists():
            return Kind.FOLDER
        return Kind.PACKS if next(path.rglob(f"*{SUFFIX}"), None) or not any(path.iterdir()) else Kind.PLAIN
    with told(place), path.open("rb") as file:
        start = file.read(8)
    if start == b"HL7PACK\n" or place.endswith(SUFFIX):
        return Kind.PACKS
    if start.startswith(b"PK\x03\x04") or place.endswith(".zip"):
        return Kind.ZIP
    return Kind.PARQUET if start.startswith(b"PAR1") or place.endswith(".parquet") else Kind.PLAIN


def said_by(place: str, kind: Kind, channel: str | None) -> Iterator[Said]:
    """All messages of it, each proved. `channel` is that of plain files. Raises UserError for what is not whole."""
    if (channel is None) == (kind is Kind.PLAIN):
        if channel is None:
            raise UserError(f"{place}: such files do not say of which channel they are: --channel NAME does")
        raise UserError(f"{place}: says itself of which channels it is: --channel is for other files")
    if kind is Kind.PLAIN:
        return plain_messages(Path(place), channel or "")
    return _READERS[kind](Path(place))


def _zip(path: Path) -> Iterator[Said]:
    with _whole(path, "zip"), zipfile.ZipFile(path) as archive:
        for each in read_list(archive.read(MANIFEST), archive.read(LIST), str(path)):
            yield _listed(each, archive.read, str(path))


def _folder(path: Path) -> Iterator[Said]:
    def read(name: str) -> bytes:
        return (path / name).read_bytes()

    with _whole(path, "folder"):
        for each in read_list(read(MANIFEST), read(LIST), str(path)):
            yield _listed(each, read, str(path))


def _listed(each: Listed, read: Callable[[str], bytes], place: str) -> Said:
    """A message by its line and its files."""
    number = int(each.said["id"])
    raw = _proved(read(f"{number}.hl7"), each.digest, f"{place}: {number}.hl7")
    reply = f"{number}.reply.hl7"
    answered = _proved(read(reply), each.reply, f"{place}: {reply}") if each.reply else None
    at = datetime.fromisoformat(each.said["received_at"])
    return _known(each.said, round(at.timestamp() * 1_000_000), Record(raw, reply=answered))


def _proved(data: bytes, wanted: str, name: str) -> bytes:
    if digest(data) != wanted:
        raise UserError(f"{name} is damaged or was changed: it does not have the hash of {LIST}")
    return data


def _parquet(path: Path) -> Iterator[Said]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise UserError("Parquet needs another package: pip install 'hl7auth[analytics]'") from None
    try:
        with _whole(path, "Parquet"), parquet.ParquetFile(path) as file:
            told = (file.schema_arrow.metadata or {}).get(MARK.encode(), b"")
            if not told.isdigit():
                raise UserError(f"{path}: is Parquet, but was not written by `hl7auth archive export`")
            require_known(int(told), str(path))
            for batch in file.iter_batches(batch_size=_AT_ONCE):
                yield from (_of_row(row, path) for row in batch.to_pylist())
    except ArrowException as error:
        raise UserError(f"{path}: is no whole export as Parquet: {str(error).partition(chr(10))[0]}") from None


def _of_row(row: dict[str, Any], path: Path) -> Said:
    record = Record(row["raw"], accept_ack=row["accept_ack"], reply=row["reply"])
    if row["sha256"] != row_digest(record.raw, record.accept_ack, record.reply):
        raise UserError(f"{path}: message {row['id']} is damaged or was changed: it does not have its hash")
    return _known(row, round(row["received_at"].timestamp() * 1_000_000), record)


def row_digest(raw: bytes, accept_ack: bytes | None, reply: bytes | None) -> bytes:
    """SHA-256 over those of the three bodies of a row, with zeros for one that is absent."""
    bodies = (raw, accept_ack, reply)
    return sha256(b"".join(bytes(32) if each is None else sha256(each).digest() for each in bodies)).digest()


def _known(said: dict[str, Any], received_at: int, record: Record) -> Said:
    entry: Entry = {"id": int(said["id"]), "received_at": received_at}
    entry |= {name: str(said[name]) for name in ("peer", "control_id", "sender", "disposition", "code")}
    entry |= {"version": str(said["hl7_version"]), "channel_version": said.get("channel_version")}
    entry["message_type"], _, entry["trigger_event"] = str(said["event"]).partition("^")
    if said.get("duplicate_of"):
        entry["duplicate_of"] = int(said["duplicate_of"])
    header = header_of(record.raw)
    return Said(str(said["channel"]), entry | {"facility": header.sending_facility if header else ""}, record)


@contextmanager
def _whole(path: Path, form: str) -> Iterator[None]:
    """Anything that does not have the form is one sentence."""
    odd = (zipfile.BadZipFile, zlib.error, KeyError, ValueError, TypeError, EOFError, RuntimeError, RecursionError)
    with told(str(path)):
        try:
            yield
        except odd as error:
            raise UserError(f"{path}: is no whole export as {form}: {error}") from None


_READERS: dict[Kind, Callable[[Path], Iterator[Said]]] = {Kind.ZIP: _zip, Kind.FOLDER: _folder, Kind.PARQUET: _parquet}
