"""MLLP release 1: payloads put into blocks, and blocks found in a stream of bytes, however the network cut it.

Imports the standard library only.

A block is VT, the payload, FS CR. What people send beside that is tolerated with a note; the notes are short machine
words that become warnings of the message. Where blocks begin and end depends on the bytes alone, never on how they
were divided into reads, except for `Deframer.flush`, which is how a timer speaks.
"""

import re
from enum import Enum, auto
from typing import NamedTuple

VT = b"\x0b"
FS = b"\x1c"
CR = b"\r"

DEFAULT_MAX_BYTES = 16 * 1024 * 1024
"""Documents (scans, letters) travel as base64 in OBX-5: 16 MiB carry one of 12 MB, and bound what a sender can cost."""

KEPT_OF_TOO_LONG = 1024
"""How much of a frame above the limit is kept: enough for MSH, so that the refusal can name MSH-10."""

START_BLOCK_MISSING = "start-block-missing"
START_BLOCK_REPEATED = "start-block-repeated"
END_BLOCK_WITHOUT_CR = "end-block-without-cr"
BYTE_ORDER_MARK = "byte-order-mark"
NOISE_BEFORE_START = "noise-before-start"
TRUNCATED = "truncated"
TOO_LONG = "too-long"

BOM = b"\xef\xbb\xbf"
_END = FS + CR
_PLAIN_START = VT + b"MSH"
_BARE_STARTS = (b"MSH", BOM + b"MSH")
_RESTART = rb"\x0b(?:\xef\xbb\xbf)?MSH"
_STRICT_STOP = re.compile(rb"\x1c\r|" + _RESTART)
_LENIENT_STOP = re.compile(rb"\x1c[\r\n\x00\x0b]|" + _RESTART)
_NOISE_STOP = re.compile(rb"\x0b|\x1c[\r\n\x00]")
_UNFINISHED = len(VT + BOM + b"MS")  # the longest beginning of a stop that can still become one
_IDLE_BYTES = b"\r\n\x00 \t"
_IDLE = re.compile(rb"[\r\n\x00 \t]*+")
_WINDOW = 16 * 1024


class Frame(NamedTuple):
    """The bytes between the framing bytes, and short words for what was tolerated or is wrong with them."""

    payload: bytes
    notes: tuple[str, ...] = ()

    @property
    def refused(self) -> bool:
        """True for a frame that did not come whole: it is to be answered negatively, never read."""
        return TRUNCATED in self.notes or TOO_LONG in self.notes


def frame(payload: bytes) -> bytes:
    """`payload` as one MLLP block."""
    return VT + payload + _END


class _Place(Enum):
    BETWEEN = auto()
    NOISE = auto()
    INSIDE = auto()
    OVERFLOW = auto()


_BETWEEN = _Place.BETWEEN


class Deframer:
    """Finds frames in one connection's bytes.

    `lenient` also ends a frame at FS NUL, FS LF, FS VT or (by `flush`) FS alone, and begins one at MSH without VT.
    `noise_bytes` counts what was skipped outside of frames over the whole connection, keep-alives left out;
    `discarded` counts what was thrown away of the latest frame above `max_bytes`.
    """

    __slots__ = ("_held", "_notes", "_place", "_seen", "_stop", "discarded", "lenient", "max_bytes", "noise_bytes")

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES, lenient: bool = True) -> None:
        self.reframe(max_bytes, lenient)
        self.noise_bytes = 0
        self.discarded = 0
        self._place = _BETWEEN
        self._held = bytearray()  # in a frame it begins with the payload
        self._seen = 0  # bytes of the payload known to hold no stop
        self._notes: tuple[str, ...] = ()  # of the frame that is open or comes next

    def reframe(self, max_bytes: int, lenient: bool) -> None:
        """Goes on with other settings, also in the frame that has begun."""
        self.max_bytes = max_bytes
        self.lenient = lenient
        self._stop = _LENIENT_STOP if lenient else _STRICT_STOP

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes, in order; never raises, and holds at most `max_bytes` and a few bytes."""
        if (  # the common case: one read is one well-formed block
            data.startswith(_PLAIN_START)
            and data.find(FS) == len(data) - 2
            and data.endswith(CR)
            and not self._held
            and self._place is _BETWEEN
            and not self._notes
            and data.find(VT, 1) < 0
            and len(data) - 3 <= self.max_bytes
        ):
            return [Frame(data[1:-2])]
        return self._advance(data)

    @property
    def buffered(self) -> int:
        """Bytes held back until more arrive."""
        return len(self._held)

    @property
    def in_frame(self) -> bool:
        """True while a frame has begun and not ended."""
        return self._place in (_Place.INSIDE, _Place.OVERFLOW)

    @property
    def pending_end(self) -> bool:
        """True when FS came last and the byte that tells whether it ends a block has not come."""
        return self._held.endswith(FS)

    def flush(self) -> list[Frame]:
        """Takes a pending FS for the end of its block; for when nothing followed it. Does nothing when strict."""
        if not (self.lenient and self.pending_end):
            return []
        place, payload = self._place, bytes(self._held[:-1])
        self._held.clear()
        self._place = _BETWEEN
        if place is _Place.INSIDE:
            # the byte that would have told can hide only as many bytes above the limit as a stop is long
            too_long = len(payload) > self.max_bytes
            return [self._too_long(payload, 0) if too_long else self._complete(payload, END_BLOCK_WITHOUT_CR)]
        if place is _Place.NOISE:
            self.noise_bytes += 1
        else:
            self.discarded += len(payload)
        return []

    def close(self) -> list[Frame]:
        """What the end of the stream completes: a pending end, else the begun frame, truncated and so refused."""
        frames = self.flush()
        if self._place is _Place.INSIDE and _holds_something(self._held):
            frames.append(self._complete(bytes(self._held), TRUNCATED))
        self._held.clear()
        self._place, self._notes = _BETWEEN, ()
        return frames

    def _advance(self, data: bytes) -> list[Frame]:
        frames: list[Frame] = []
        held, buffer, at, more = self._held, memoryview(data), 0, True
        if held:
            held += data
        raw: bytes | bytearray = held or data
        while more:
            at, more = self._step(raw, at, frames)
        if raw is held:
            del held[:at]
        else:
            held += buffer[at:]
        return frames

    def _step(self, raw: bytes | bytearray, at: int, frames: list[Frame]) -> tuple[int, bool]:
        """Goes on from `at`: how far it came, and whether there is more to see before the next read."""
        if self._place is _Place.INSIDE:
            return self._inside(raw, at, frames)
        if self._place is _BETWEEN:
            return self._between(raw, at)
        return self._noise(raw, at) if self._place is _Place.NOISE else self._overflow(raw, at)

    def _between(self, raw: bytes | bytearray, at: int) -> tuple[int, bool]:
        idle = _IDLE.match(raw, at)
        at = idle.end() if idle else at
        first = bytes(raw[at : at + len(_BARE_STARTS[1])])
        if first.startswith(VT):
            self._begin()
            return at + 1, True
        if not first:
            return at, False
        if self.lenient and first.startswith(_BARE_STARTS):
            self._begin(START_BLOCK_MISSING)
        elif self.lenient and any(start.startswith(first) for start in _BARE_STARTS):
            return at, False
        else:
            self._place = _Place.NOISE
        return at, True

    def _noise(self, raw: bytes | bytearray, at: int) -> tuple[int, bool]:
        """Skips to a VT, or behind an end block: noise has an end where a block has one."""
        stop = _NOISE_STOP.search(raw, at)
        end = stop.start() if stop else len(raw) - raw.endswith(FS)
        self.noise_bytes += len(bytes(raw[at:end]).translate(None, _IDLE_BYTES))
        if NOISE_BEFORE_START not in self._notes:
            self._notes += (NOISE_BEFORE_START,)
        if stop is None:
            return end, False
        self._place = _BETWEEN
        if stop[0] == VT:
            return end, True
        self.noise_bytes += 1
        return stop.end(), True

    def _inside(self, raw: bytes | bytearray, at: int, frames: list[Frame]) -> tuple[int, bool]:
        stop = self._search(raw, at + self._seen)
        end = stop.start() if stop else max(at, len(raw) - _UNFINISHED)
        self._seen = end - at
        if self._seen > self.max_bytes:
            frames.append(self._too_long(raw, at))
            self._place, self.discarded = _Place.OVERFLOW, 0
            return at + min(KEPT_OF_TOO_LONG, self.max_bytes), True
        if stop is None:
            return at, False
        payload, mark = bytes(memoryview(raw)[at:end]), stop[0]
        if not mark.startswith(VT):
            frames.append(self._complete(payload, *(() if mark == _END else (END_BLOCK_WITHOUT_CR,))))
        elif _holds_something(payload):
            frames.append(self._complete(payload, TRUNCATED))
        else:
            self._notes += (START_BLOCK_REPEATED,)
        return self._leave(stop), True

    def _overflow(self, raw: bytes | bytearray, at: int) -> tuple[int, bool]:
        stop = self._search(raw, at)
        end = stop.start() if stop else max(at, len(raw) - _UNFINISHED)
        self.discarded += end - at
        return (end, False) if stop is None else (self._leave(stop), True)

    def _search(self, raw: bytes | bytearray, at: int) -> re.Match[bytes] | None:
        """The next stop. Plain text is crossed with memchr, 40 times as fast as the pattern alone; the window keeps
        that linear where stops of one kind stand close together and the other kind far away."""
        while at < len(raw):
            window = at + _WINDOW
            end = raw.find(FS, at, window)
            start = raw.find(VT, at, window if end < 0 else end)
            if start >= 0 or end >= 0:
                return self._stop.search(raw, start if start >= 0 else end)
            at = window
        return None

    def _leave(self, stop: re.Match[bytes]) -> int:
        """Where to go on behind a stop: a VT in it begins the next frame."""
        self._place = _BETWEEN
        start = stop[0].find(VT)
        if start < 0:
            return stop.end()
        self._begin()
        return stop.start() + start + 1

    def _begin(self, *notes: str) -> None:
        self._place, self._seen = _Place.INSIDE, 0
        self._notes += notes

    def _too_long(self, raw: bytes | bytearray, at: int) -> Frame:
        return self._complete(bytes(raw[at : at + min(KEPT_OF_TOO_LONG, self.max_bytes)]), TOO_LONG)

    def _complete(self, payload: bytes, *notes: str) -> Frame:
        before, self._notes = self._notes, ()
        if payload.startswith(BOM):
            payload, before = payload[len(BOM) :], (*before, BYTE_ORDER_MARK)
        return Frame(payload, before + notes)


def _holds_something(payload: bytes | bytearray) -> bool:
    """False for a block in which nothing but start blocks and idle bytes came: there is nothing to answer in it."""
    return bool(payload.removeprefix(BOM).strip(VT + _IDLE_BYTES))
