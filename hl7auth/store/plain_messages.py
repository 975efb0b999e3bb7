"""Batch files, captures and plain files of messages, to be taken into an archive: they say nothing but their messages.

Imports domain, packs, rules, store, wire and errors only.

So the time of a message is its MSH-7 (UTC where that names no zone; that of the message before it where there is none),
and its id is made of that second and of its bytes: the same files have the same ids whenever they are read.
"""

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import blake2b, sha256
from pathlib import Path
from typing import BinaryIO

from hl7auth.domain.authorization import sending
from hl7auth.errors import Fault, UserError
from hl7auth.packs.format import Record
from hl7auth.packs.places import SUFFIX
from hl7auth.rules.datatypes import is_timestamp
from hl7auth.store.archive import Entry
from hl7auth.store.export_list import MARK, Said, require_known
from hl7auth.store.message_files import NO_MESSAGE, Found, found_in
from hl7auth.wire.message import Header, parse

_HASH_BITS = 26
_LAST_SECOND = (1 << 33) - 1
"""So ids stay below all that were ever given: a clock reached them in 2024, and no installation is that old."""
_BLOCK = 1 << 20
_ENDS = 4096
"""Bytes of a file in which its first line, and its FTS, are looked for."""
_CLOCK = "00000101000000"


def plain_messages(path: Path, channel: str) -> Iterator[Said]:
    """The messages of a file or folder, as those of that channel. Raises UserError for what is not whole or no message.

    Twice through the files: once for the times, which the ids are made of, and once for the messages.
    """
    with told(str(path)):
        seconds, marks = array("q"), array("q")
        at = 0
        for raw, header, _ in _messages(path):
            at = _sent_at(header) or at
            seconds.append(min(at // 1_000_000, _LAST_SECOND))
            marks.append(int.from_bytes(blake2b(raw, digest_size=8).digest(), "big") >> (64 - _HASH_BITS))
        if not seconds:
            raise UserError(f"{path}: there is no message in it")
        at = 0
        for (raw, header, name), number in zip(_messages(path), _ids(seconds, marks), strict=True):
            at = _sent_at(header) or at
            yield Said(channel, _entry(number, at, header, name), Record(raw))


def _ids(seconds: "array[int]", marks: "array[int]") -> list[int]:
    """An id for each: they grow by the second, and within a second in the order of the file."""
    places = sorted(range(len(seconds)), key=lambda place: (seconds[place], place))
    values = sorted(second << _HASH_BITS | mark for second, mark in zip(seconds, marks, strict=True))
    ids, last = [0] * len(places), 0
    for place, value in zip(places, values, strict=True):
        ids[place] = last = max(value, last + 1)
    return ids


def _messages(path: Path) -> Iterator[tuple[bytes, Header | None, str]]:
    """Each message with its header and its file. Raises UserError for what is no message, and for what is missing."""
    for file in found_in(path):
        if file.path.suffix == SUFFIX:
            continue
        _require_sound(file)
        notes: list[str] = []
        for raw, fault in file.messages(notes):
            if fault or not raw.startswith(b"MSH"):
                raise UserError(f"{file.path}: {fault or NO_MESSAGE}")
            yield raw, header_of(raw), file.path.name
        if odd := [note for note in notes if "byte order mark" not in note]:
            raise UserError(f"{odd[0]}: it is not whole")


def _require_sound(file: Found) -> None:
    """Raises UserError for a batch file that lost its end, and for one of ours that is not as it was written."""
    with file.path.open("rb") as stream:
        head = stream.readline(_ENDS).partition(b"\r")[0]
        if not head.startswith(b"FHS"):
            return
        size = stream.seek(0, 2)
        start = stream.seek(max(size - _ENDS, 0))
        before, found, last = stream.read().rpartition(b"FTS")
        if not found or before[-1:] not in (b"\r", b"\n"):
            raise UserError(f"{file.path}: the batch did not come whole: it has no FTS")
        told = head.split(b"|")[9:10]
        if not told or not told[0].startswith(MARK.encode()):
            return
        require_known(int(told[0].split()[-1]), str(file.path))
        stream.seek(0)
        if _hash_until(stream, start + len(before)).encode() not in last:
            raise UserError(f"{file.path}: is damaged or was changed: it does not have the hash of its FTS")


def _hash_until(stream: BinaryIO, end: int) -> str:
    found = sha256()
    while end and (data := stream.read(min(_BLOCK, end))):
        found.update(data)
        end -= len(data)
    return found.hexdigest()


def _entry(number: int, at: int, header: Header | None, name: str) -> Entry:
    """What is known of such a message; of one in an unknown character set, say, that is not even what MSH says."""
    known: Entry = {"id": number, "received_at": at, "peer": f"file {name}", "disposition": "", "code": ""}
    if header is None:
        return known
    return known | {
        "control_id": header.control_id, "message_type": header.message_type, "trigger_event": header.trigger_event,
        "version": header.version, "sender": sending(header).application, "facility": header.sending_facility,
    }  # fmt: skip


def header_of(raw: bytes) -> Header | None:
    """MSH; None for what is no message."""
    try:
        return parse(raw).header
    except Fault:
        return None


def _sent_at(header: Header | None) -> int:
    """MSH-7 in microseconds since 1970; 0 where it says none."""
    text = header.sent_at if header is not None else ""
    if not is_timestamp(text):
        return 0
    sign = max(text.find("+"), text.find("-"))
    clock, zone = (text[:sign], text[sign:]) if sign > 0 else (text, "+0000")
    whole, _, fraction = clock.partition(".")
    moment = datetime.strptime(f"{whole}{_CLOCK[len(whole) :]}{zone}", "%Y%m%d%H%M%S%z")
    return max(round(moment.timestamp()) * 1_000_000 + int(f"{fraction:0<6}"), 0)


@contextmanager
def told(place: str) -> Iterator[None]:
    """What the system says of a file is one sentence."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename or place}: {(error.strerror or str(error)).lower()}") from None
