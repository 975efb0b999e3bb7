"""What a pack is made of: its sections, its manifest, and how the bodies of one message are written as one record.

Imports errors only.

    HEAD | dictionary | records, each a zstd frame of its own | catalog | index, in pages | fences | manifest | TRAILER

The trailer has the hash of the manifest, the manifest those of its sections, a fence that of a page of the index, and
the index that of each record: whoever knows the hash of the manifest can prove any single message.
All numbers are big-endian. A pack is written once, front to back, and never changed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from struct import Struct, error
from typing import Any, NamedTuple

from hl7auth.errors import UserError

FORMAT = 1
"""The format that is written, and the newest that can be read."""

MAGIC = b"HL7PACK\n"
HEAD = Struct(">8sH")
"""Magic and format."""
TRAILER = Struct(">QI32sH8s")
"""Place, size and SHA-256 of the manifest, format, magic."""
INDEX = Struct(">qQII32s")
"""Id of the message, place and size of its frame, size of its record, SHA-256 of the record."""
FENCE = Struct(">q32s")
"""The first id of a page of the index, and the page's SHA-256."""
PER_PAGE = 256
"""Messages of one page of the index."""
LARGEST_RECORD = 1 << 30
"""Bytes: what says that it unpacks to more is not believed."""
LARGEST_DICTIONARY = 1 << 20
LARGEST_LINE = 1 << 26
"""Of the catalog: what the tables know of one message."""
LARGEST_MANIFEST = 1 << 20

_PART = Struct(">BqI")
RAW, SHAPED, ACCEPT_ACK, REPLY, ANSWER = range(5)


class PackFault(UserError):
    """A pack, or a message of one, that can not be read, or is not what was written."""


class Absent(PackFault):
    """There is no such pack where it is looked for."""


class Record(NamedTuple):
    """The bodies of one message, and the answers that its deliveries got, by the id of the delivery."""

    raw: bytes
    shaped: bytes | None = None
    accept_ack: bytes | None = None
    reply: bytes | None = None
    answers: tuple[tuple[int, bytes], ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all bodies."""
        return sum(len(data) for _, _, data in _parts(self))


class Place(NamedTuple):
    """Where the record of a message is, and what it has to be."""

    message_id: int
    at: int
    size: int
    unpacked: int
    digest: bytes


class Section(NamedTuple):
    """A part of the file, with its SHA-256 in hexadecimal digits."""

    at: int
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a pack says of itself. Times are microseconds since 1970; `body_bytes` is what its bodies unpack to."""

    channel: str
    day: str
    generation: int
    messages: int
    first_id: int
    last_id: int
    first_at: int
    last_at: int
    body_bytes: int
    made_at: int
    made_by: str
    dictionary: Section
    records: Section
    catalog: Section
    index: Section
    fences: Section

    def encoded(self) -> bytes:
        """The manifest as it stands in the file: one JSON document."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        told = {name: each._asdict() if isinstance(each, Section) else each for name, each in values.items()}
        return json.dumps({"format": FORMAT} | told, indent=1).encode()


def read_manifest(data: bytes) -> Manifest:
    """A manifest whose hash was right. Raises PackFault for one that is none all the same."""
    try:
        document: dict[str, Any] = json.loads(data)
        values = {name: _field(document[name], kind) for name, kind in Manifest.__annotations__.items()}
        return Manifest(**values)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as fault:
        raise PackFault(f"its manifest can not be read ({fault})") from None


def _field(value: Any, kind: type) -> Any:
    if kind is Section:
        return Section(int(value["at"]), int(value["size"]), str(value["digest"]))
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def encode(record: Record) -> bytes:
    """The record as it is packed and hashed."""
    parts = _parts(record)
    head = b"".join(_PART.pack(kind, ref, len(data)) for kind, ref, data in parts)
    return bytes([len(parts) >> 8, len(parts) & 0xFF]) + head + b"".join(data for _, _, data in parts)


def decode(data: bytes) -> Record:
    """The record of those bytes, whose hash was right. Raises PackFault."""
    single: dict[int, bytes] = {}
    answers: list[tuple[int, bytes]] = []
    try:
        count = data[0] << 8 | data[1]
        at = 2 + count * _PART.size
        for kind, ref, size in _PART.iter_unpack(data[2:at]):
            if kind == ANSWER:
                answers.append((ref, data[at : at + size]))
            else:
                single[kind] = data[at : at + size]
            at += size
        whole = at == len(data)
    except (IndexError, error):
        whole = False
    if not whole or RAW not in single:
        raise PackFault("a record does not have the form of one")
    return Record(single[RAW], single.get(SHAPED), single.get(ACCEPT_ACK), single.get(REPLY), tuple(answers))


def _parts(record: Record) -> list[tuple[int, int, bytes]]:
    single = ((RAW, record.raw), (SHAPED, record.shaped), (ACCEPT_ACK, record.accept_ack), (REPLY, record.reply))
    parts = [(kind, 0, data) for kind, data in single if data is not None]
    return parts + [(ANSWER, ref, data) for ref, data in record.answers]


def digest_of(data: bytes) -> bytes:
    """SHA-256."""
    return sha256(data).digest()


def pages(places: Sequence[Place]) -> list[bytes]:
    """The index, page by page."""
    encoded = [INDEX.pack(*place) for place in places]
    return [b"".join(encoded[at : at + PER_PAGE]) for at in range(0, len(encoded), PER_PAGE)]


def catalog_line(entry: Mapping[str, Any]) -> bytes:
    """What the tables know of a message, as a line of the catalog."""
    return json.dumps(entry, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
