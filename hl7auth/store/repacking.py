"""An export as a zip archive made into packs again, so that it is imported as these are.

Imports packs, wire, errors and store only.

The same export always becomes the same packs. What an export does not tell (findings, what steps made of a message, its
accept acknowledgement) is not in them.
"""

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hl7auth.errors import Fault, UserError
from hl7auth.packs.format import PackFault, Record
from hl7auth.packs.places import drafted, store_of
from hl7auth.packs.writer import Title, Writer, trained
from hl7auth.store.sealable import DAY, day_name
from hl7auth.store.sealing import pack_name
from hl7auth.wire.message import parse

LIST = "messages.jsonl"
_SAMPLES = 500


@contextmanager
def repacked(path: Path) -> Iterator[str]:
    """A folder of packs that is there for a while. Raises UserError for what is no whole export."""
    with TemporaryDirectory(prefix="hl7auth-import-") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                for (channel, day), entries in sorted(_days(archive, path).items()):
                    _write(archive, folder, Title(channel, day_name(day), 1, 0, "export"), entries)
        except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError) as error:
            raise UserError(f"{path}: is no whole export as zip: {error}") from None
        except OSError as error:
            raise UserError(f"{path}: {(error.strerror or str(error)).lower()}") from None
        yield folder


def _days(archive: zipfile.ZipFile, path: Path) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """What is known of each message, by channel and day."""
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    with archive.open(LIST) as lines:
        for line in lines:
            said = json.loads(line)
            at = datetime.fromisoformat(said["received_at"])
            entry = {"id": int(said["id"]), "received_at": round(at.timestamp() * 1_000_000)}
            entry |= {name: said[name] for name in ("peer", "control_id", "sender", "disposition", "code")}
            entry |= {"version": said["hl7_version"], "channel_version": said.get("channel_version")}
            entry["message_type"], _, entry["trigger_event"] = said["event"].partition("^")
            if said.get("duplicate_of"):
                entry["duplicate_of"] = int(said["duplicate_of"])
            found.setdefault((str(said["channel"]), entry["received_at"] // DAY), []).append(entry)
    if not found:
        raise UserError(f"{path}: there is no message in it")
    return found


def _write(archive: zipfile.ZipFile, folder: str, title: Title, entries: list[dict[str, Any]]) -> None:
    entries.sort(key=lambda entry: int(entry["id"]))
    names = frozenset(archive.namelist())
    size = sum(archive.getinfo(f"{entry['id']}.hl7").file_size for entry in entries)
    store = store_of(folder)
    name = pack_name(title.channel, title.day, 1)
    step = max(len(entries) // _SAMPLES, 1)
    dictionary = trained([_record(archive, entry["id"], names) for entry in entries[::step]], size)
    with drafted(store, name) as (draft, file):
        writer, written = Writer(file, title, dictionary), 0
        for entry in entries:
            record = _record(archive, entry["id"], names)
            written += record.size
            writer.add(entry["id"], entry | {"facility": _facility(record.raw)}, record)
        writer.close(written)
    store.put(draft, name)


def _record(archive: zipfile.ZipFile, number: int, names: frozenset[str]) -> Record:
    reply = f"{number}.reply.hl7"
    return Record(archive.read(f"{number}.hl7"), reply=archive.read(reply) if reply in names else None)


def _facility(raw: bytes) -> str:
    try:
        return parse(raw).header.sending_facility
    except (Fault, PackFault):
        return ""
