"""Files of messages: one message, several, MLLP captures, and the batch protocol (chapter 2, 2.10.3), taken apart.

Imports wire.framing only.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from hl7auth.wire.framing import BOM, BYTE_ORDER_MARK, Deframer

_CAPTURE = re.compile(rb"\A[\r\n\x00 \t]*\x0b|\x0b(?:\xef\xbb\xbf)?(?:MSH|FHS|BHS)|\x1c[\r\n]|\x1c\Z")
# A line that begins a message, or one of the batch protocol's own
_START = re.compile(rb"(?:\A|[\r\n])[ \t]*((?:MSH(?=[^\w\s])|(?:FHS|BHS|BTS|FTS)(?=[^\w]|\Z)))")
_LINE_END = re.compile(rb"\r\n?|\n")
_BLANK = b"\r\n\x00 \t"
_CLOSES_BATCH = frozenset({b"FHS", b"BTS", b"FTS"})


class Batch(NamedTuple):
    """Messages byte for byte as the file has them, and sentences on what was odd about the file."""

    messages: list[bytes]
    notes: tuple[str, ...] = ()


def split(data: bytes) -> Batch:
    """The messages of a file in their order.

    MLLP frames are found by their framing bytes; otherwise a message begins where a line begins with MSH and ends
    before the next such line or a line of the batch protocol. Blank lines behind its last segment are not part of it.
    """
    if _CAPTURE.search(data):
        return _split_capture(data)
    return _split_lines(data)


class _Tally:
    """Counts what BTS-1 (messages of a batch) and FTS-1 (batches of a file) claim."""

    def __init__(self) -> None:
        self.messages = 0
        self.batches = 0
        self.open = False

    def sees(self, name: bytes) -> None:
        """A batch begins with BHS, or with a message where none is open."""
        if name == b"FHS":
            self.batches = 0
        if name == b"BHS" or (name == b"MSH" and not self.open):
            self.batches, self.messages, self.open = self.batches + 1, 0, True
        if name == b"MSH":
            self.messages += 1
        if name in _CLOSES_BATCH:
            self.open = False

    def objection(self, line: bytes) -> str:
        """What is wrong with the count in a BTS or FTS line; "" when it is right or not given."""
        name, said = line[:3].decode("ascii"), line[4:].split(line[3:4] or b"|", 1)[0].strip()
        found, things = (self.messages, "messages") if name == "BTS" else (self.batches, "batches")
        if name == "BTS":
            self.messages = 0
        if not said or (said.isdigit() and said.lstrip(b"0") == str(found or "").encode()):
            return ""
        return f"{name}-1 says {said[:20].decode('ascii', 'replace')} {things}, {found} found"


def _split_lines(data: bytes) -> Batch:
    messages: list[bytes] = []
    notes: list[str] = [BYTE_ORDER_MARK] if data.startswith(BOM) else []
    data, tally, strays = data.removeprefix(BOM), _Tally(), 0
    for name, piece in _pieces(data):
        tally.sees(name)
        message = _without_blank_lines(piece)
        if name == b"MSH":
            messages.append(message)
            continue
        line, _, rest = message.replace(b"\n", b"\r").partition(b"\r")
        if name in (b"BTS", b"FTS"):
            notes += filter(None, [tally.objection(line)])
        strays += bool((rest if name else piece).strip(_BLANK))
    if strays:
        notes.append("the file holds lines that belong to no message")
    return Batch(messages, tuple(notes))


def _pieces(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each line that begins something with all that follows it; what stands before the first has no name."""
    name, start = b"", 0
    for match in _START.finditer(data):
        yield name, data[start : match.start(1)]
        name, start = match[1], match.start(1)
    yield name, data[start:]


def _without_blank_lines(piece: bytes) -> bytes:
    """`piece` up to and with the end of its last segment, which counts only if it is the one the segments have.

    A file of one message a line often ends its messages with a line feed, whatever ends their segments.
    """
    body = piece.rstrip(_BLANK)
    style = _LINE_END.search(piece)
    if style is None:
        return piece
    while body and _LINE_END.match(piece, len(body)) is None:  # blanks at the end of the last field are data
        body = piece[: len(body) + 1]
    return body + style[0] if piece.startswith(style[0], len(body)) else body


def _split_capture(data: bytes) -> Batch:
    deframer = Deframer(max_bytes=len(data))
    frames = deframer.feed(data) + deframer.close()
    messages: list[bytes] = []
    notes: list[str] = []
    for frame in frames:
        inner = _split_lines(frame.payload) if frame.payload.lstrip(_BLANK)[:3] in (b"FHS", b"BHS") else None
        messages += inner.messages if inner else [frame.payload] if frame.payload else []
        notes += [f"message {len(messages)}: {note}" for note in frame.notes]
        notes += inner.notes if inner else () if frame.payload else ("a frame is empty",)
    if deframer.noise_bytes:
        notes.append(f"{deframer.noise_bytes} bytes stand outside of frames")
    return Batch(messages, tuple(notes))
