"""A received message as positions: segments at once, fields when read, everything below on demand.

Imports wire and errors only.

The received bytes stay the record. Nothing here is ever written back: a forwarded message is its bytes.
"""

import re
from bisect import bisect_right
from functools import lru_cache
from typing import ClassVar, NamedTuple

from hl7auth.errors import Fault, Unreadable
from hl7auth.wire import charset
from hl7auth.wire.delimiters import Delimiters, read_delimiters
from hl7auth.wire.escapes import unescape

NULL = '""'
"""The HL7 delete indicator (chapter 2, 2.4.3): the stored value is to be removed. Not the same as empty."""

MAX_SEGMENTS = 10_000
"""A referral with a thousand procedures has some 5,000 segments; beyond this a frame is an attack or a batch file."""

MAX_REPETITIONS = 100_000
"""Each is judged by itself, some 8 µs: what is beyond this would keep all other senders waiting for seconds."""

_SHORTEST = len("MSH|^~\\&")
_LINE = re.compile(r"[^\r\n]+")
_JOINED_BY_BLANKS = re.compile(rb"\A[^\r\n]*[ \t](?:PID|PRD|PR1|AUT|MSA|RF1|IN1)\|[^\r\n]*[\r\n]*\Z")
_HEADERS = frozenset({"MSH", "BHS", "FHS"})


class TooManySegments(Fault):
    """The message has more segments than the engine reads."""

    ack: ClassVar[str] = "AR"


class TooManyRepetitions(Fault):
    """The message has more repetitions of fields than the engine reads."""

    ack: ClassVar[str] = "AR"


class Segment:
    """One segment: its name and its raw text; fields are split on first use and counted as HL7 counts them.

    `start` is the offset of its first character in the message's text.
    """

    __slots__ = ("_fields", "delimiters", "name", "start", "text")

    def __init__(self, text: str, delimiters: Delimiters, start: int = 0) -> None:
        self.text = text
        self.name = text[:3]
        self.delimiters = delimiters
        self.start = start
        self._fields: list[str] | None = None

    def __repr__(self) -> str:
        return f"<{self.name} of {len(self.text)} characters>"

    @property
    def fields(self) -> list[str]:
        """Raw fields by HL7 number: [0] is the name; in MSH [1] is the field separator itself."""
        if self._fields is None:
            self._fields = self.text.split(self.delimiters.field)
            if self.name in _HEADERS:
                self._fields.insert(1, self.delimiters.field)
        return self._fields

    def field(self, number: int) -> str:
        """The raw text of a field; empty when the segment ends before it."""
        fields = self.fields
        return fields[number] if number < len(fields) else ""

    def repetitions(self, number: int) -> list[str]:
        """The raw repetitions of a field; none for an empty field."""
        raw = self.field(number)
        if not raw:
            return []
        mark = self.delimiters.repetition
        return raw.split(mark) if mark and mark in raw else [raw]

    def raw(self, number: int, component: int = 1, repetition: int = 1, subcomponent: int = 0) -> str:
        """The raw text of a component (or, where `subcomponent` is given, of one part of it)."""
        marks = self.delimiters
        text = part(self.field(number), marks.repetition, repetition)
        text = part(text, marks.component, component)
        return part(text, marks.subcomponent, subcomponent) if subcomponent else text

    def components(self, number: int, least: int = 1) -> list[str]:
        """The unescaped components of a field's first repetition, filled up with empty ones to at least so many."""
        fields = self._fields or self.fields
        text = fields[number] if number < len(fields) else ""
        if not text:
            return [""] * least
        marks = self.delimiters
        if marks.repetition in text:
            text = part(text, marks.repetition, 1)
        parts = text.split(marks.component) if marks.component in text else [text]
        if marks.escape in text:
            parts = [unescape(each, marks) for each in parts]
        return parts if len(parts) >= least else parts + [""] * (least - len(parts))

    def value(self, number: int, component: int = 1, repetition: int = 1, subcomponent: int = 0) -> str:
        """The unescaped value at a place; empty when absent, NULL (`""`) when the sender deletes it."""
        fields = self._fields or self.fields
        text = fields[number] if number < len(fields) else ""
        if not text:  # most fields of most messages
            return ""
        marks = self.delimiters
        for mark, place in ((marks.repetition, repetition), (marks.component, component)):
            if mark in text and mark:
                parts = text.split(mark)
                text = parts[place - 1] if place <= len(parts) else ""
            elif place != 1:
                return ""
        if subcomponent:
            text = part(text, marks.subcomponent, subcomponent)
        return unescape(text, marks) if marks.escape in text else text


class Header(NamedTuple):
    """What MSH says, unescaped, each in its first component unless named otherwise (chapter 2, 2.14.9).

    `parties` are MSH-3 to MSH-6, `raw_control_id` is MSH-10, exactly as they were sent: so they come back in a reply.
    """

    sending_application: str
    sending_facility: str
    receiving_application: str
    receiving_facility: str
    sent_at: str
    message_type: str
    trigger_event: str
    structure: str
    control_id: str
    processing_id: str
    version: str
    sequence_number: str
    accept_acknowledgment: str
    application_acknowledgment: str
    charset: str
    parties: tuple[str, str, str, str] = ("", "", "", "")
    raw_control_id: str = ""

    @property
    def event(self) -> str:
        """`RQA^I08`, as people write it."""
        return f"{self.message_type}^{self.trigger_event}" if self.trigger_event else self.message_type


class Message:
    """A parsed message. `notes` are short words for what was tolerated; they become warnings."""

    __slots__ = (
        "_by_name",
        "_byte_starts",
        "_header",
        "charset",
        "codec",
        "delimiters",
        "notes",
        "raw",
        "segments",
        "text",
    )

    def __init__(self, raw: bytes, text: str, delimiters: Delimiters, decoded: charset.Decoded) -> None:
        self.raw = raw
        self.text = text
        self.delimiters = delimiters
        self.charset = decoded.charset
        self.codec = decoded.codec
        self.segments: list[Segment] = []
        self.notes: tuple[str, ...] = decoded.notes
        self._header: Header | None = None
        self._by_name: dict[str, list[Segment]] | None = None
        self._byte_starts: list[tuple[int, int]] | None = None

    @property
    def header(self) -> Header:
        """MSH as a Header."""
        if self._header is None:
            self._header = read_header(self.segments[0], self.charset)
        return self._header

    def all(self, name: str) -> list[Segment]:
        """Every segment of that name, in order."""
        if self._by_name is None:
            self._by_name = {}
            for segment in self.segments:
                self._by_name.setdefault(segment.name, []).append(segment)
        return self._by_name.get(name, [])

    def first(self, name: str) -> Segment | None:
        """The first segment of that name."""
        found = self.all(name)
        return found[0] if found else None

    def byte_range(self, start: int, end: int) -> tuple[int, int]:
        """The bytes of the received message that hold characters `start` to `end` of its text.

        The places of segments are counted once, so that many ranges cost no more than the message is long.
        """
        if len(self.raw) == len(self.text):
            return start, end
        if self._byte_starts is None:
            self._byte_starts = self._count_bytes()
        at = max(bisect_right(self._byte_starts, (start, len(self.raw))) - 1, 0)
        chars, first = self._byte_starts[at]
        first += self._size(chars, start)
        return first, first + self._size(start, end)

    def _size(self, start: int, end: int) -> int:
        return len(self.text[start:end].encode(self.codec, "replace"))

    def _count_bytes(self) -> list[tuple[int, int]]:
        """(character, byte) at which each segment begins, and the message."""
        starts = [(0, 0)]
        for segment in self.segments[1:]:
            chars, size = starts[-1]
            starts.append((segment.start, size + self._size(chars, segment.start)))
        return starts


def parse(raw: bytes, fallback: str = "8859/1") -> Message:
    """A Message from the bytes between the framing bytes. `fallback` is the 0211 name used when MSH-18 is silent.

    Tolerates LF and CRLF as segment ends, blank and indented lines, and lines that are no segment (dropped), each with
    a note. Raises Unreadable, UnsupportedCharset, TooManySegments or TooManyRepetitions.
    """
    if raw[:3] != b"MSH" or len(raw) < _SHORTEST:
        raise Unreadable
    if raw.find(b"\r", 0, -1) < 0 and raw.find(b"\n", 0, -1) < 0 and _JOINED_BY_BLANKS.match(raw):
        raise Unreadable("the segments are joined by blanks; each must end with a carriage return")
    decoded = charset.decode(raw, fallback)
    text = decoded.text
    separator = text[3]
    end = text.find(separator, 4)
    if end < 0:
        raise Unreadable("MSH-2 has no end", location="MSH-2")
    message = Message(raw, text, read_delimiters(separator, text[4:end]), decoded)
    if text.count("\r") + text.count("\n") > MAX_SEGMENTS:
        raise TooManySegments(f"the message has more than {MAX_SEGMENTS} segments")
    repetition = message.delimiters.repetition
    if len(text) > MAX_REPETITIONS and repetition and text.count(repetition) > MAX_REPETITIONS:
        raise TooManyRepetitions(f"the message has more than {MAX_REPETITIONS} repetitions")
    _split(message)
    return message


def part(text: str, delimiter: str, number: int) -> str:
    """Part `number` (1-based) of `text`; empty when there are fewer. An undeclared delimiter splits nothing."""
    if not delimiter or delimiter not in text:
        return text if number == 1 else ""
    parts = text.split(delimiter)
    return parts[number - 1] if number <= len(parts) else ""


def canonical(message: Message, leave_out: int = 0) -> str:
    """The text with trailing separators removed at every level and CR as segment end.

    Two messages that differ only there say the same (chapter 2, 2.6) and have the same canonical text. `leave_out` is
    the number of an MSH field to be taken as empty.
    """
    marks = message.delimiters
    lines = [segment.text for segment in message.segments]
    if leave_out:
        fields = message.segments[0].fields
        lines[0] = marks.field.join([fields[0], *fields[2:leave_out], "", *fields[leave_out + 1 :]])
    prefix = lines[0][: 4 + len(marks.encoding_characters)]  # MSH-1 and MSH-2 are no data: nothing is trimmed there
    lines[0] = lines[0][len(prefix) :]
    text = "\r".join([line.rstrip(marks.field) for line in lines]) + "\r"
    *below, field_level = _trailing(marks)
    trimmed = text
    for mark, ends, run in below:
        if mark in trimmed and ends.search(trimmed):
            trimmed = run.sub("", trimmed)
    return prefix + (text if trimmed is text else field_level.run.sub("", trimmed))


class _Trailing(NamedTuple):
    """How a separator is trailing: `ends` finds one before a separator of a higher level, `run` all of them there."""

    mark: str
    ends: re.Pattern[str]
    run: re.Pattern[str]


@lru_cache(maxsize=64)
def _trailing(marks: Delimiters) -> tuple[_Trailing, ...]:
    """The separators, lowest level first.

    A run is looked at from its first character only, or a long run that ends in data would cost its square.
    """
    ranks = [mark for mark in (marks.subcomponent, marks.component, marks.repetition, marks.field) if mark]
    found = []
    for rank, mark in enumerate(ranks):
        above, one = "".join(re.escape(other) for other in (*ranks[rank + 1 :], "\r")), re.escape(mark)
        found.append(_Trailing(mark, re.compile(f"{one}[{above}]"), re.compile(f"(?<!{one}){one}++(?=[{above}])")))
    return tuple(found)


def _split(message: Message) -> None:
    text = message.text
    if "\n" in text:
        _split_tolerantly(message)
        return
    segments, marks, separator, start = message.segments, message.delimiters, message.delimiters.field, 0
    for line in text.split("\r"):
        if line[3:4] == separator and line[:3].isalnum():
            segments.append(Segment(line, marks, start))
        elif line:
            _add_odd_line(message, line, start)
        start += len(line) + 1


def _split_tolerantly(message: Message) -> None:
    """LF alone ends a segment only where no CR does, so that a line feed inside a text field stays data."""
    text = message.text
    if "\r" in text and "\r\n" not in text:
        pieces = re.compile(r"[^\r]+").finditer(text)
        message.notes += ("line-feed-in-data",)
    else:
        pieces = _LINE.finditer(text)
        message.notes += ("segment-end-not-cr",)
    for piece in pieces:
        _add_odd_line(message, piece[0], piece.start())


def _add_odd_line(message: Message, line: str, start: int) -> None:
    stripped = line.lstrip(" \t\n")
    name, after = stripped[:3], stripped[3:4]
    if name.isalnum() and name.isupper() and after in ("", message.delimiters.field) and len(name) == 3:
        if len(stripped) != len(line) and "indented-segment" not in message.notes:
            message.notes += ("indented-segment",)
        message.segments.append(Segment(stripped, message.delimiters, start + len(line) - len(stripped)))
    elif stripped and "line-is-no-segment" not in message.notes:
        message.notes += ("line-is-no-segment",)


def read_header(msh: Segment, charset: str = "") -> Header:
    """MSH as a Header, whatever the rest of the message is. `charset` is what the message was read in."""
    fields = msh.fields
    fields = fields + [""] * (19 - len(fields))
    marks = msh.delimiters

    def first(number: int) -> str:
        return unescape(part(fields[number], marks.component, 1), marks)

    kind = fields[9].split(marks.component)
    return Header(
        first(3), first(4), first(5), first(6), fields[7], kind[0], kind[1] if len(kind) > 1 else "",
        kind[2] if len(kind) > 2 else "", unescape(fields[10], marks), first(11), first(12), fields[13],
        first(15), first(16), charset,
        (fields[3], fields[4], fields[5], fields[6]), fields[10],
    )  # fmt: skip
