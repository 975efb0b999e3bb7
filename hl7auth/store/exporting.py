"""Exporting messages: one file each, one batch file, a zip archive, or a Parquet table.

Imports sqlalchemy, pyarrow (the extra `analytics`), domain.clock, store and errors only.

What is written is whole or not there: a file gets its name when all of it is on the disk, and none is written over.
Each form carries the hashes by which store.export_reading proves it when it comes back.
"""

import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection

from hl7auth.errors import UserError
from hl7auth.store.archive import Entry, list_messages
from hl7auth.store.bodies import MOST_AT_ONCE, Bodies, dropped_ids, read_bodies
from hl7auth.store.export_list import FORMAT, LIST, MANIFEST, MARK, listed, manifest, read_list
from hl7auth.store.export_reading import row_digest


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


def _folder(connection: Connection, found: Sequence[Entry], to: Path) -> Exported:
    """ID.hl7 of each message; the list says what is known of them and of those that an earlier export left there."""
    to.mkdir(parents=True, exist_ok=True)
    lines = _listed_before(to)
    written = 0
    for entry, bodies in _found(connection, found):
        path = to / f"{entry['id']}.hl7"
        lines[int(entry["id"])] = listed(entry, bodies.raw, None)
        if not path.exists():
            _put(path, bodies.raw)
            written += 1
    text = b"".join(lines[number] for number in sorted(lines))
    (to / MANIFEST).unlink(missing_ok=True)  # until the list is the new one, nothing vouches for the folder
    _put(to / LIST, text)
    _put(to / MANIFEST, manifest(text, len(lines)))
    return Exported(len(found), written)


def _listed_before(folder: Path) -> dict[int, bytes]:
    """The lines of the list that is there. Raises UserError where it is not what its manifest says."""
    if not (folder / MANIFEST).exists():
        return {}
    text = (folder / LIST).read_bytes()
    try:
        entries = read_list((folder / MANIFEST).read_bytes(), text, str(folder))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / MANIFEST}: is no manifest of an export: {error}") from None
    return {int(each.said["id"]): line for each, line in zip(entries, text.splitlines(keepends=True), strict=True)}


def _put(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.part")
    draft.write_bytes(data)
    draft.rename(path)


def _batch(found: Iterator[Found], draft: Path, now: int) -> Exported:
    """FHS, BHS, the messages as they came, BTS, FTS (chapter 2, 2.10.3)."""
    at = datetime.fromtimestamp(now / 1_000_000, UTC).strftime("%Y%m%d%H%M%S+0000")
    mark = f"{MARK} {FORMAT}"
    count, left_out, proof = 0, [], sha256()
    with draft.open("wb") as file:

        def write(data: bytes) -> None:
            proof.update(data)
            file.write(data)

        write(f"FHS|^~\\&|HL7AUTH||||{at}|||{mark}\rBHS|^~\\&|HL7AUTH||||{at}\r".encode())
        for entry, bodies in found:
            if not bodies.raw.startswith(b"MSH"):
                left_out.append(entry["id"])
                continue
            write(bodies.raw.rstrip(b"\r\n") + b"\r")
            count += 1
        write(f"BTS|{count}\r".encode())
        file.write(f"FTS|1|{mark} {proof.hexdigest()}\r".encode())
    return Exported(count + len(left_out), count, tuple(left_out))


def _zip(found: Iterator[Found], draft: Path, _now: int) -> Exported:
    """ID.hl7 and ID.reply.hl7 of each message, what is known of them in a list, and its manifest."""
    lines = []
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, bodies in found:
            archive.writestr(f"{entry['id']}.hl7", bodies.raw)
            if bodies.reply is not None:
                archive.writestr(f"{entry['id']}.reply.hl7", bodies.reply)
            lines.append(listed(entry, bodies.raw, bodies.reply))
        archive.writestr(LIST, b"".join(lines))
        archive.writestr(MANIFEST, manifest(b"".join(lines), len(lines)))
    return Exported(len(lines), len(lines))


def _parquet(found: Iterator[Found], draft: Path, _now: int) -> Exported:
    """A row for each message: what lists show, what came and what was answered."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise UserError("Parquet needs another package: pip install 'hl7auth[analytics]'") from None
    texts = (
        "channel", "peer", "control_id", "event", "hl7_version", "sender", "disposition", "code", "duplicate_of",
        "channel_version",
    )  # fmt: skip
    binaries = ("raw", "accept_ack", "reply")
    schema = pa.schema(
        [("id", pa.int64()), ("received_at", pa.timestamp("us", tz="UTC"))]
        + [(name, pa.string()) for name in texts]
        + [(name, pa.binary()) for name in binaries]
        + [("sha256", pa.binary(32))],
        metadata={MARK: str(FORMAT)},
    )
    count = 0
    with parquet.ParquetWriter(draft, schema, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        for entry, bodies in found:
            row: dict[str, Any] = {name: entry.get(name) for name in texts}
            row |= {"id": int(entry["id"]), "received_at": datetime.fromisoformat(entry["received_at"])}
            row["sha256"] = row_digest(bodies.raw, bodies.accept_ack, bodies.reply)
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
