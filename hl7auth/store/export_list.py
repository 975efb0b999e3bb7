"""The list of an export: what is known of each message beside its file, and the manifest that proves all of it.

Imports packs.format, store.archive and errors only.

`messages.jsonl` has a line for each message, with the SHA-256 of its files; `manifest.json` has the format, the number
of lines and the SHA-256 of the list. Whoever holds the two can tell whether anything is missing or was changed.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

from hl7auth.errors import UserError
from hl7auth.packs.format import Record
from hl7auth.store.archive import Entry

FORMAT = 1
"""The format that is written, and the newest that can be read."""

LIST, MANIFEST = "messages.jsonl", "manifest.json"

MARK = "hl7auth export"
"""Of a batch file: FHS-10 says this and the format, FTS-2 this, the format and the SHA-256 of all before FTS."""


class Said(NamedTuple):
    """A message with its channel, what is known of it as packs keep that (`id`, `received_at` ...), and its bodies."""

    channel: str
    entry: Entry
    record: Record


class Listed(NamedTuple):
    """A line of the list, with the SHA-256 that its file and its reply must have, in hexadecimal digits."""

    said: Entry
    digest: str
    reply: str


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return sha256(data).hexdigest()


def listed(entry: Entry, raw: bytes, reply: bytes | None) -> bytes:
    """The line of a message, and of its reply where that is exported."""
    hashes = {"sha256": digest(raw)} | ({"reply_sha256": digest(reply)} if reply is not None else {})
    return json.dumps(entry | hashes, ensure_ascii=False).encode() + b"\n"


def manifest(lines: bytes, messages: int) -> bytes:
    """The manifest of a list."""
    return json.dumps({"format": FORMAT, "messages": messages, "sha256": digest(lines)}, indent=1).encode() + b"\n"


def require_known(version: object, name: str) -> None:
    """Raises UserError for a format that only a newer version can read; ValueError for what is none."""
    if not isinstance(version, int) or version < 1:
        raise ValueError("its manifest has no format")
    if version > FORMAT:
        raise UserError(f"{name}: was written by a newer hl7auth (format {version}); use that version to read it")


def read_list(told: bytes, lines: bytes, name: str) -> list[Listed]:
    """The lines of a list that is what its manifest says. Raises UserError; ValueError and KeyError for no manifest."""
    document: dict[str, Any] = json.loads(told)
    require_known(document["format"], name)
    if digest(lines) != document["sha256"]:
        raise UserError(f"{name}: {LIST} is damaged or was changed: it does not have the hash of {MANIFEST}")
    return list(_entries(lines))


def _entries(lines: bytes) -> Iterator[Listed]:
    for line in lines.split(b"\n"):
        if line:
            said = json.loads(line)
            yield Listed(said, str(said.pop("sha256")), str(said.pop("reply_sha256", "")))
