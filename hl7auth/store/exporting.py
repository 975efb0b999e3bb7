"""Exporting messages: one file each, one batch file, a zip archive, or a Parquet table.

Imports sqlalchemy, pyarrow (the extra `analytics`), domain.clock, store and errors only.

What is written is whole or not there: a file gets its name when all of it is on the disk, and none is written over.
"""

import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection

from hl7auth.errors import UserError
from hl7auth.store.archive import Entry, list_messages
from hl7auth.store.bodies import MOST_AT_ONCE, Bodies, dropped_ids, read_bodies


class Form(StrEnum):
    """What an export is written as."""

    FOLDER = "folder"
    BATCH = "batch"
    ZIP = "zip"
    PARQUET = "parquet"


class Exported(NamedTuple):
    """How many messages there were, how many are written, the ids of those that the form has no place for, and how many
    retention has dropped."""

    messages: int
    written: int
    left_out: tuple[str, ...] = ()
    dropped: int = 0


Found = tuple[Entry, Bodies]


def export(connection: Connection, filters: Mapping[str, str], limit: int, form: Form, to: Path, now: int) -> Exported:
    """Writes the newest messages of a selection, in their order, to a folder or a file that is not there yet.

    Raises UserError where there is a file, where it can not be written, or where a body is lost.
    """
    listed, dropped = _kept(connection, list_messages(connection, filters, limit))
    if form is not Form.FOLDER and to.exists():
        raise UserError(f"{to} is there already")
    try:
        if form is Form.FOLDER:
            done = _folder(connection, listed, to)
            return done._replace(messages=done.messages + dropped, dropped=dropped)
        to.parent.mkdir(parents=True, exist_ok=True)
        draft = to.with_name(f".{to.name}.part")
        try:
            done = _WRITERS[form](_found(connection, listed), draft, now)
            _sync(draft)
            draft.rename(to)
            return done._replace(messages=done.messages + dropped, dropped=dropped)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{to}: {(error.strerror or str(error)).lower()}") from None


def _kept(connection: Connection, listed: list[Entry]) -> tuple[list[Entry], int]:
    """The messages but those whose bodies retention has dropped, and how many these are."""
    gone = dropped_ids(connection) if listed else frozenset[int]()
    kept = [each for each in listed if int(each["id"]) not in gone]
    return kept, len(listed) - len(kept)


def _found(connection: Connection, listed: Sequence[Entry]) -> Iterator[Found]:
    for at in range(0, len(listed), MOST_AT_ONCE):
        some = listed[at : at + MOST_AT_ONCE]
        bodies = read_bodies(connection, [int(each["id"]) for each in some])
        yield from ((each, bodies[int(each["id"])]) for each in some)


def _folder(connection: Connection, listed: Sequence[Entry], to: Path) -> Exported:
    to.mkdir(parents=True, exist_ok=True)
    written = 0
    for entry, bodies in _found(connection, listed):
        path = to / f"{entry['id']}.hl7"
        if not path.exists():
            draft = to / f".{entry['id']}.part"
            draft.write_bytes(bodies.raw)
            draft.rename(path)
            written += 1
    return Exported(len(listed), written)


def _batch(found: Iterator[Found], draft: Path, now: int) -> Exported:
    """FHS, BHS, the messages as they came, BTS, FTS (chapter 2, 2.10.3)."""
    at = datetime.fromtimestamp(now / 1_000_000, UTC).strftime("%Y%m%d%H%M%S+0000")
    count, left_out = 0, []
    with draft.open("wb") as file:
        file.write(f"FHS|^~\\&|HL7AUTH||||{at}\rBHS|^~\\&|HL7AUTH||||{at}\r".encode())
        for entry, bodies in found:
            if not bodies.raw.startswith(b"MSH"):
                left_out.append(entry["id"])
                continue
            file.write(bodies.raw.rstrip(b"\r\n") + b"\r")
            count += 1
        file.write(f"BTS|{count}\rFTS|1\r".encode())
    return Exported(count + len(left_out), count, tuple(left_out))


def _zip(found: Iterator[Found], draft: Path, _now: int) -> Exported:
    """ID.hl7 and ID.reply.hl7 of each message, and what is known of them in messages.jsonl."""
    lines = []
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, bodies in found:
            archive.writestr(f"{entry['id']}.hl7", bodies.raw)
            if bodies.reply is not None:
                archive.writestr(f"{entry['id']}.reply.hl7", bodies.reply)
            lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
        archive.writestr("messages.jsonl", "".join(lines))
    return Exported(len(lines), len(lines))


def _parquet(found: Iterator[Found], draft: Path, _now: int) -> Exported:
    """A row for each message: what lists show, what came and what was answered."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise UserError("Parquet needs another package: pip install 'hl7auth[analytics]'") from None
    texts = ("channel", "peer", "control_id", "event", "hl7_version", "sender", "disposition", "code", "duplicate_of")
    binaries = ("raw", "accept_ack", "reply")
    schema = pa.schema(
        [("id", pa.int64()), ("received_at", pa.timestamp("us", tz="UTC"))]
        + [(name, pa.string()) for name in texts]
        + [(name, pa.binary()) for name in binaries]
    )
    count = 0
    with parquet.ParquetWriter(draft, schema, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        for entry, bodies in found:
            row: dict[str, Any] = {name: entry.get(name) for name in texts}
            row |= {"id": int(entry["id"]), "received_at": datetime.fromisoformat(entry["received_at"])}
            rows.append(row | {name: getattr(bodies, name) for name in binaries})
            count += 1
            if len(rows) == MOST_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                rows = []
        writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return Exported(count, count)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


_WRITERS: dict[Form, Callable[[Iterator[Found], Path, int], Exported]] = {
    Form.BATCH: _batch,
    Form.ZIP: _zip,
    Form.PARQUET: _parquet,
}
