"""Writing a pack: records in the order of their ids, then everything that makes them findable and provable.

Imports zstandard, packs.format and errors only.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any, BinaryIO, NamedTuple

import zstandard

from hl7auth.packs.format import (
    FENCE,
    FORMAT,
    HEAD,
    MAGIC,
    PER_PAGE,
    TRAILER,
    Manifest,
    PackFault,
    Place,
    Record,
    Section,
    catalog_line,
    digest_of,
    encode,
    pages,
)

LEVEL = 9
"""Of zstd: beyond it a record gets smaller by a few bytes, and takes twenty times as long."""
LARGEST_DICTIONARY = 112_640
_LEAST_SAMPLES = 16
_SHARE = 50
"""A dictionary is at most this part of what it is to spare: that of a quiet day is small."""


class Title(NamedTuple):
    """What a pack is about, and who made it when."""

    channel: str
    day: str
    generation: int
    made_at: int
    made_by: str


def trained(samples: Sequence[Record], body_bytes: int) -> bytes:
    """A dictionary of what these messages have in common, for a pack of so many bytes; empty where it would not pay."""
    size = min(LARGEST_DICTIONARY, body_bytes // _SHARE)
    if len(samples) < _LEAST_SAMPLES or size < 1024:
        return b""
    with suppress(zstandard.ZstdError):  # too little in common, or too few
        return zstandard.train_dictionary(size, [encode(each) for each in samples]).as_bytes()
    return b""


class Writer:
    """A pack that is being written to a file, which is whole when `close` returns; the caller syncs it."""

    def __init__(self, file: BinaryIO, title: Title, dictionary: bytes = b"") -> None:
        self._file, self._title, self._at = file, title, 0
        self._places: list[Place] = []
        self._times: list[int] = []
        self._catalog = zstandard.ZstdCompressor(level=LEVEL).compressobj()
        self._lines = bytearray()
        self._records = sha256()
        self._packer = _packer(dictionary)
        self._write(HEAD.pack(MAGIC, FORMAT))
        self._dictionary = self._section(zstandard.ZstdCompressor(level=LEVEL).compress(dictionary))
        self._first = self._at

    def add(self, message_id: int, entry: Mapping[str, Any], record: Record) -> None:
        """A message: what the tables know of it (with `received_at`), and its bodies. Ids must grow."""
        data = encode(record)
        frame = self._packer.compress(data)
        self.add_packed(Place(message_id, self._at, len(frame), len(data), digest_of(data)), entry, frame)

    def add_packed(self, place: Place, entry: Mapping[str, Any], frame: bytes) -> None:
        """A message of another pack with the same dictionary, as it stands there."""
        if self._places and place.message_id <= self._places[-1].message_id:
            raise PackFault(f"message {place.message_id} does not come after the one before it")
        self._places.append(place._replace(at=self._at))
        self._write(frame)
        self._records.update(frame)
        self._times.append(int(entry["received_at"]))
        self._lines += self._catalog.compress(catalog_line({"id": place.message_id} | dict(entry)))

    def close(self, body_bytes: int) -> bytes:
        """Writes all that follows the records; returns the SHA-256 of the manifest."""
        if not self._places:
            raise PackFault("a pack holds at least one message")
        records = Section(self._first, self._at - self._first, self._records.hexdigest())
        catalog = self._section(bytes(self._lines) + self._catalog.flush())
        begin, fences, index_hash = self._at, bytearray(), sha256()
        for number, page in enumerate(pages(self._places)):
            index_hash.update(page)
            fences += FENCE.pack(self._places[number * PER_PAGE].message_id, digest_of(page))
            self._write(page)
        index = Section(begin, self._at - begin, index_hash.hexdigest())
        title, ids = self._title, (self._places[0].message_id, self._places[-1].message_id)
        manifest = Manifest(
            title.channel, title.day, title.generation, len(self._places), *ids, min(self._times), max(self._times),
            body_bytes, title.made_at, title.made_by, self._dictionary, records, catalog, index,
            self._section(bytes(fences)),
        ).encoded()  # fmt: skip
        digest = digest_of(manifest)
        trailer = TRAILER.pack(self._at, len(manifest), digest, FORMAT, MAGIC)
        self._write(manifest)
        self._write(trailer)
        return digest

    def _section(self, data: bytes) -> Section:
        begin = self._at
        self._write(data)
        return Section(begin, len(data), digest_of(data).hex())

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._at += len(data)


def _packer(dictionary: bytes) -> zstandard.ZstdCompressor:
    if not dictionary:
        return zstandard.ZstdCompressor(level=LEVEL, write_checksum=False)
    shared = zstandard.ZstdCompressionDict(dictionary)
    shared.precompute_compress(level=LEVEL)
    return zstandard.ZstdCompressor(level=LEVEL, dict_data=shared, write_checksum=False, write_dict_id=False)
