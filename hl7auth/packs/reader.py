"""Reading a pack: one message without the rest, all of it in order, and whether every byte is what was written.

Imports zstandard, packs.format and errors only.

Nothing is believed before its hash is right. A message costs three reads at most: a page of the index, the record, and
once for each pack its end.
"""

import io
import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import cached_property
from hashlib import sha256
from threading import Lock
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

import zstandard

from hl7auth.packs.format import (
    FENCE,
    FORMAT,
    HEAD,
    INDEX,
    LARGEST_DICTIONARY,
    LARGEST_LINE,
    LARGEST_MANIFEST,
    LARGEST_RECORD,
    MAGIC,
    PER_PAGE,
    TRAILER,
    Manifest,
    PackFault,
    Place,
    Record,
    Section,
    decode,
    digest_of,
    read_manifest,
)

_PAGES_KEPT = 64


class Blob(Protocol):
    """Bytes somewhere, read in parts."""

    @property
    def size(self) -> int:
        """How many there are."""

    def read(self, at: int, size: int) -> bytes:
        """Some of them; fewer at the end. Raises PackFault."""

    def close(self) -> None:
        """Lets go of it."""


class Pack:
    """An open pack. May be used by several threads. `name` is what faults call it."""

    def __init__(self, blob: Blob, name: str) -> None:
        """Reads the end of it. Raises PackFault for what is no whole pack, or one of a newer format."""
        self._blob, self.name, self._lock = blob, name, Lock()
        self._pages: dict[int, list[Place]] = {}
        self.manifest, self.digest = self._read_manifest()
        self._fences = list(FENCE.iter_unpack(self._whole_section(self.manifest.fences, "fences", FENCE.size)))
        self._starts: list[int] = [first for first, _ in self._fences]

    def close(self) -> None:
        """Lets go of the file."""
        self._blob.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._blob.size

    def find(self, message_id: int) -> Place | None:
        """Where a message is; None where this pack does not have it. Raises PackFault."""
        number = bisect_right(self._starts, message_id) - 1
        if number < 0:
            return None
        page = self._page(number)
        at = bisect_left(page, (message_id,))
        return page[at] if at < len(page) and page[at].message_id == message_id else None

    def read(self, message_id: int) -> Record:
        """The bodies of one message. Raises PackFault where they are not there, or not what was written."""
        place = self.find(message_id)
        if place is None:
            raise self._fault(f"does not hold message {message_id}")
        return self.unpack(place, self.frame(place))

    def places(self) -> Iterator[Place]:
        """Where every message is, in the order of ids. Raises PackFault."""
        for number in range(len(self._fences)):
            yield from self._read_page(number)

    def frame(self, place: Place) -> bytes:
        """The packed record of a message, of which nothing is proved yet. Raises PackFault."""
        return self._read(place.at, place.size, f"the record of message {place.message_id}")

    def unpack(self, place: Place, frame: bytes) -> Record:
        """The bodies of a message, proved. Raises PackFault."""
        damaged = self._fault(f"message {place.message_id} is damaged: its bytes are not those that were sealed")
        try:
            said = zstandard.frame_content_size(frame)
            if said != place.unpacked or said > LARGEST_RECORD:
                raise damaged
            with self._lock:
                data = self._unpacker.decompress(frame)
        except zstandard.ZstdError:
            raise damaged from None
        if digest_of(data) != place.digest:
            raise damaged
        return decode(data)

    def raw(self, at: int, size: int) -> bytes:
        """Some bytes of the file, of which nothing is proved. Raises PackFault."""
        return self._read(at, size, "a part of it")

    def require_head(self) -> None:
        """Raises PackFault where the beginning, which no message needs, or the dictionary is not what was written."""
        if self._read(0, HEAD.size, "its beginning") != HEAD.pack(MAGIC, FORMAT):
            raise self._fault("its beginning is damaged")
        self._whole_section(self.manifest.dictionary, "dictionary")

    @cached_property
    def dictionary(self) -> bytes:
        """What the records were packed with; empty for none. Raises PackFault."""
        packed = self._whole_section(self.manifest.dictionary, "dictionary")
        try:
            if not 0 <= zstandard.frame_content_size(packed) <= LARGEST_DICTIONARY:  # which it would take at once
                raise self._fault("its dictionary is damaged")
            return zstandard.ZstdDecompressor().decompress(packed)
        except zstandard.ZstdError:
            raise self._fault("its dictionary is damaged") from None

    def catalog(self) -> Iterator[dict[str, Any]]:
        """What the tables knew of each message, in the order of ids. Raises PackFault."""
        packed = self._whole_section(self.manifest.catalog, "catalog")
        try:
            with zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as stream:
                lines = io.BufferedReader(stream)
                while line := lines.readline(LARGEST_LINE):
                    entry = json.loads(line)  # of which a part is none
                    if not isinstance(entry, dict) or not isinstance(entry.get("id"), int):
                        raise ValueError
                    yield entry
        except (zstandard.ZstdError, ValueError, RecursionError):
            raise self._fault("its catalog is damaged") from None

    @cached_property
    def _unpacker(self) -> zstandard.ZstdDecompressor:
        if not self.dictionary:
            return zstandard.ZstdDecompressor()
        return zstandard.ZstdDecompressor(dict_data=zstandard.ZstdCompressionDict(self.dictionary))

    def _read_manifest(self) -> tuple[Manifest, bytes]:
        size = self._blob.size
        end = self._blob.read(max(size - TRAILER.size, 0), TRAILER.size)
        if len(end) < TRAILER.size or not end.endswith(MAGIC):
            raise self._fault("is no whole pack: its end is missing, or it is another kind of file")
        at, length, digest, version, _ = TRAILER.unpack(end)
        if version > FORMAT:
            newest = f"has format {version}, and this version reads up to {FORMAT}"
            raise self._fault(f"{newest}: it was written by a newer hl7auth; use that version")
        data = self._blob.read(at, length) if length <= LARGEST_MANIFEST and at + length <= size else b""
        if digest_of(data) != digest:
            raise self._fault("its manifest is damaged")
        try:
            return read_manifest(data), digest
        except PackFault as fault:
            raise self._fault(str(fault)) from None

    def _page(self, number: int) -> list[Place]:
        found = self._pages.get(number)
        if found is None:
            found = self._read_page(number)
            if len(self._pages) >= _PAGES_KEPT:
                self._pages.clear()
            self._pages[number] = found
        return found

    def _read_page(self, number: int) -> list[Place]:
        index = self.manifest.index
        begin = number * PER_PAGE * INDEX.size
        size = min(PER_PAGE * INDEX.size, index.size - begin)
        data = self._read(index.at + begin, size, "a page of the index")
        if digest_of(data) != self._fences[number][1] or size % INDEX.size:
            raise self._fault("a page of its index is damaged")
        return [Place(*values) for values in INDEX.iter_unpack(data)]

    def _whole_section(self, section: Section, name: str, of: int = 1) -> bytes:
        data = self._read(section.at, section.size, name)
        if digest_of(data).hex() != section.digest or len(data) % of:
            raise self._fault(f"its {name} is damaged" if name != "fences" else "its index is damaged")
        return data

    def _read(self, at: int, size: int, what: str) -> bytes:
        if at < 0 or size < 0 or at + size > self._blob.size:
            raise self._fault(f"{what} would stand behind the end of the file")
        data = self._blob.read(at, size)
        if len(data) != size:
            raise self._fault(f"{what} can not be read whole")
        return data

    def _fault(self, text: str) -> PackFault:
        return PackFault(f"{self.name}: {text}")


class Damage(NamedTuple):
    """What is wrong with a pack; the message where it is about one."""

    text: str
    message_id: int | None = None


def check(pack: Pack) -> Iterator[Damage]:
    """Reads everything that a pack holds, and tells what is not as it was written; nothing for a sound one."""
    ids: list[int] = []
    size = 0
    frames, damaged = sha256(), False
    try:
        pack.require_head()
        for place in pack.places():
            ids.append(place.message_id)
            frame = pack.frame(place)
            frames.update(frame)
            try:
                size += pack.unpack(place, frame).size
            except PackFault as fault:
                yield Damage(str(fault), place.message_id)
                damaged = True
        told = [entry["id"] for entry in pack.catalog()]
    except PackFault as fault:
        yield Damage(str(fault))
        return
    manifest = pack.manifest
    if told != ids or len(ids) != manifest.messages or ids != sorted(set(ids)):
        yield Damage(f"{pack.name}: manifest, index and catalog do not tell of the same messages")
    if not damaged and frames.hexdigest() != manifest.records.digest:
        yield Damage(f"{pack.name}: its records are damaged, though each still unpacks to what was sealed")
    if not damaged and size != manifest.body_bytes:
        yield Damage(f"{pack.name}: its bodies are not as many bytes as its manifest says")
