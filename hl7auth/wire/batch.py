"""Files of messages: one message, several, MLLP captures, and the batch protocol (chapter 2, 2.10.3), taken apart.

Imports wire.framing only.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from hl7auth.wire.framing import BOM, FS, VT, Deframer, Frame

_CAPTURE = re.compile(rb"\x0b(?:\xef\xbb\xbf)?(?:MSH|FHS|BHS)|\x1c(?:[\r\n]|\Z)")
_ENDED = rb"(?=[^\w\s]|[\r\n]|\Z)"
# What a line may begin with, that begins a message or is one of the batch protocol's own. One expression for each: one
# that begins with letters is found ten times as fast as one that begins with a choice
_NAMES = tuple(
    re.compile(each) for each in (rb"MSH(?=[^\w\s])", *(name + _ENDED for name in (rb"FHS", rb"BHS", rb"BTS", rb"FTS")))
)
_BATCH_HEAD = re.compile(rb"(?:FHS|BHS|BTS|FTS)" + _ENDED)
_LINE_END = re.compile(rb"\r\n?|\n")
_BLANK = b"\r\n\x00 \t"
_INDENT, _LINE_ENDS = b" \t", b"\r\n"
_NAME = 3
"""Bytes of a name."""
_LONGEST_HEAD = 80
"""Bytes of a line's beginning that are looked at again with the next block: an indent and a name."""
_LARGEST_FRAME = 256 * 1024 * 1024
"""Of a capture that is read in blocks: a frame that never ends must not take all memory."""


class Batch(NamedTuple):
    """Messages byte for byte as the file has them, and sentences on what was odd about the file.

    `broken` counts from 0 the messages of frames that did not come whole: they may be anything.
    """

    messages: list[bytes]
    notes: tuple[str, ...] = ()
    broken: tuple[int, ...] = ()


def split(data: bytes) -> Batch:
    """The messages of a file in their order.

    MLLP frames are found by their framing bytes; otherwise a message begins where a line begins with MSH and ends
    before the next such line or a line of the batch protocol. Blank lines behind its last segment are not part of it.
    """
    return _split_capture(data) if _is_capture(data) else _Lines().read(data, _heads(data), last=True)


def split_blocks(blocks: Iterable[bytes]) -> Iterator[Batch]:
    """What `split` finds, for a file that comes in blocks: some messages at a time, however large the file is.

    Whether it is an MLLP capture is seen by its first block. The notes come with the messages that are read last.
    """
    blocks = iter(blocks)
    first = next(blocks, b"")
    yield from (_capture_blocks if _is_capture(first) else _line_blocks)(chain([first], blocks))


def _is_capture(data: bytes) -> bool:
    framing_bytes = VT in data or FS in data
    return framing_bytes and bool(data.lstrip(_BLANK).startswith(VT) or _CAPTURE.search(data))


def _line_blocks(blocks: Iterable[bytes]) -> Iterator[Batch]:
    """A piece ends where the next line begins one, so that all before the last such line can be read."""
    lines, held, heads = _Lines(), b"", list[int]()
    for block in blocks:
        since = max(len(held) - _LONGEST_HEAD, heads[-1] + 1 if heads else 0, 0)
        held += block
        heads += [at for at in _heads(held, since) if at + _NAME < len(held)]
        if heads and (cut := heads[-1]):
            yield lines.read(held[:cut], heads[:-1])
            held, heads = held[cut:], [0]
    yield lines.read(held, _heads(held), last=True)


def _capture_blocks(blocks: Iterable[bytes]) -> Iterator[Batch]:
    deframer, count = Deframer(max_bytes=_LARGEST_FRAME), 0
    for block in blocks:
        batch, count = _frames(deframer.feed(block), count)
        yield batch
    batch, _ = _frames(deframer.close(), count)
    noise = (f"{deframer.noise_bytes} bytes stand outside of frames",) if deframer.noise_bytes else ()
    yield batch._replace(notes=batch.notes + noise)


def objection(line: bytes, found: int) -> str:
    """What is wrong with BTS-1 (messages) or FTS-1 (batches) where so many came; "" when it is right or not given."""
    name, said = line[:3].decode("ascii"), line[4:].split(line[3:4] or b"|", 1)[0].strip()
    if not said or (said.isdigit() and said.lstrip(b"0") == str(found or "").encode()):
        return ""
    things = "messages" if name == "BTS" else "batches"
    shown = "".join(char if char.isprintable() else "?" for char in said[:20].decode("ascii", "replace"))
    return f"{name}-1 says {shown} {things}, {found} found"


def begins_batch(data: bytes) -> bool:
    """True for a frame whose first line is one of the batch protocol's own."""
    return _BATCH_HEAD.match(data) is not None


def pieces(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """What a frame of a batch holds, one after the other: name (FHS, BHS, MSH, BTS, FTS), line or message, and what
    stands behind a line and belongs to nothing. What stands before the first of them is a message that is none."""
    data = data.removeprefix(BOM)
    for name, piece in _pieces(data, _heads(data)):
        if name in (b"MSH", b""):
            if piece.strip(_BLANK):
                yield b"MSH", _without_blank_lines(piece), b""
        else:
            line, rest = _first_line(piece)
            yield name, line.lstrip(b" \t"), rest.strip(_BLANK)


class _Tally:
    """Counts what BTS-1 (messages of a batch) and FTS-1 (batches of a file) claim."""

    def __init__(self) -> None:
        self.messages = 0
        self.batches = 0
        self.open = False

    def sees(self, name: bytes) -> None:
        """A batch begins with BHS, or with a message where none is open; each ending is counted by `objection`."""
        if name == b"FHS":
            self.batches, self.open = 0, False
        if name == b"BHS" or (name == b"MSH" and not self.open):
            self.batches, self.messages, self.open = self.batches + 1, 0, True
        if name == b"MSH":
            self.messages += 1

    def objection(self, line: bytes) -> str:
        """What is wrong with the count in a BTS or FTS line; "" when it is right or not given."""
        found = self.messages if line[:3] == b"BTS" else self.batches
        if line[:3] != b"BTS":
            self.batches = 0
        self.messages, self.open = 0, False
        return objection(line, found)


class _Lines:
    """Reads a file of lines, whole or piece by piece; what a later line must agree with is counted over all."""

    def __init__(self) -> None:
        self.tally = _Tally()
        self.begun = self.strays = False

    def read(self, data: bytes, heads: Sequence[int], last: bool = False) -> Batch:
        """The messages of some more of the file, which ends where something begins; `heads` are those of the data."""
        messages: list[bytes] = []
        notes: list[str] = []
        if not self.begun and data.startswith(BOM):
            notes.append("a byte order mark stands before the first line")
            data = data.removeprefix(BOM)
            heads = _heads(data)
        self.begun = True
        for name, piece in _pieces(data, heads):
            self.tally.sees(name)
            if name == b"MSH":
                messages.append(_without_blank_lines(piece))
                continue
            line, rest = _first_line(piece) if name else (b"", piece)
            self.strays = self.strays or bool(rest.strip(_BLANK))
            objection = self.tally.objection(line) if name in (b"BTS", b"FTS") else ""
            notes += [objection] if objection else []
        if last and self.strays:
            notes.append("the file holds lines that belong to no message")
        return Batch(messages, tuple(notes))


def _heads(data: bytes, since: int = 0) -> list[int]:
    """Where lines begin something, from a place on: the places of their names, behind what they are indented by."""
    return sorted(
        match.start() for name in _NAMES for match in name.finditer(data, since) if _begins_line(data, match.start())
    )


def _begins_line(data: bytes, at: int) -> bool:
    while at and data[at - 1] in _INDENT:
        at -= 1
    return not at or data[at - 1] in _LINE_ENDS


def _pieces(data: bytes, heads: Sequence[int]) -> Iterator[tuple[bytes, bytes]]:
    """Each line that begins something with all that follows it; what stands before the first has no name."""
    name, start = b"", 0
    for at in heads:
        if at or name:
            yield name, data[start:at]
        name, start = data[at : at + _NAME], at
    yield name, data[start:]


def _first_line(piece: bytes) -> tuple[bytes, bytes]:
    end = _LINE_END.search(piece)
    return (piece[: end.start()], piece[end.end() :]) if end else (piece, b"")


def _without_blank_lines(piece: bytes) -> bytes:
    """`piece` up to and with the end of its last segment, which counts only if it is the one the segments have.

    A file of one message a line often ends its messages with a line feed, whatever ends their segments.
    """
    style = _LINE_END.search(piece)
    last = _LINE_END.search(piece, len(piece.rstrip(_BLANK)))  # blanks at the end of the last field are data
    if style is None or last is None:
        return piece
    end = last.start()
    return piece[: end + len(style[0])] if piece.startswith(style[0], end) else piece[:end]


def _split_capture(data: bytes) -> Batch:
    deframer = Deframer(max_bytes=len(data))
    batch, _ = _frames(deframer.feed(data) + deframer.close(), 0)
    noise = (f"{deframer.noise_bytes} bytes stand outside of frames",) if deframer.noise_bytes else ()
    return batch._replace(notes=batch.notes + noise)


def _frames(frames: Sequence[Frame], before: int) -> tuple[Batch, int]:
    """The messages of frames that come after so many others, and how many frames there are with them."""
    messages: list[bytes] = []
    notes: list[str] = []
    broken: list[int] = []
    for number, frame in enumerate(frames, start=before + 1):
        batch = _open(frame)
        if frame.refused:
            broken += range(len(messages), len(messages) + len(batch.messages))
        messages += batch.messages
        notes += [f"frame {number}: {note}" for note in frame.notes + batch.notes]
    return Batch(messages, tuple(notes), tuple(broken)), before + len(frames)


def _open(frame: Frame) -> Batch:
    """A frame is one message, whatever it holds, unless the batch protocol is spoken inside."""
    if not frame.payload:
        return Batch([], ("it is empty",))
    if frame.payload.startswith((b"FHS", b"BHS")):
        return _Lines().read(frame.payload, _heads(frame.payload), last=True)
    return Batch([frame.payload])
