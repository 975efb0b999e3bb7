"""A message while steps shape it: its segments as they came, each with what stood behind it, and what was remarked.

Imports wire, steps and rules.predicate only.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from hl7auth.rules.predicate import Condition
from hl7auth.steps.calls import Runner
from hl7auth.steps.carried import Carried, round_trips
from hl7auth.steps.faults import StepRefused
from hl7auth.steps.line import Line, Spot, field_of
from hl7auth.steps.place import ALL, LAST, Place
from hl7auth.wire import charset
from hl7auth.wire.charset import CODECS, Decoded
from hl7auth.wire.escapes import escape, unescape
from hl7auth.wire.message import Message, Segment

MAX_LINES = 20_000
"""Segments that steps may make of a message: twice what the engine reads, so that a wrong step ends."""

MAX_WORK = 200_000_000
"""What all steps may do to one message, about one a character touched: a second or two, however steps multiply."""
_A_LINE, _A_WRITE = 10, 500

_END = re.compile(r"\r\n|\r|\n")
_NAMES = {codec: name for name, codec in reversed(CODECS.items())}
_JAPANESE_READER = "iso2022_jp_ext"


class Remark(NamedTuple):
    """What a step has to say: its number in the file (`3.1`), its verb, and a text without values of the message."""

    step: str
    verb: str
    text: str
    location: str = ""


class Unmapped(NamedTuple):
    """A value that a code table does not have. `table` as the channel writes it, `location` like `AUT[2]-14.1`."""

    table: str
    location: str
    value: str


class Draft:
    """A message being shaped. `here` is the segment of the turn within `each`, `runner` runs Python steps."""

    def __init__(self, message: Message, carried: Carried, runner: Runner | None = None) -> None:
        self.message = message
        self.marks = message.delimiters
        self.carried = carried
        self.runner = runner
        self.charset = ""
        self.strict_charset = False
        self.here: Line | None = None
        self.dropped = False
        self.remarks: list[Remark] = []
        self.unmapped: list[Unmapped] = []
        self.changed = False
        self._view: Message | None = message if carried.plain else None
        self._taken: dict[int, Line] = {}
        self._lines: list[Line] | None = None
        self._numbers: dict[int, str] | None = None
        self._work = 0

    def spend(self, work: int) -> None:
        """Count work. Raises StepRefused when it is too much."""
        self._work += work
        if self._work > MAX_WORK:
            raise StepRefused("the message is too large for these steps")

    @property
    def lines(self) -> list[Line]:
        """All segments. A step that changes values only gets by without: it takes the few that it names."""
        if self._lines is None:
            self._lines = [self._take(at) for at in range(len(self.message.segments))]
        return self._lines

    @property
    def header(self) -> Line:
        """MSH."""
        return self._lines[0] if self._lines is not None else self._take(0)

    def _take(self, at: int) -> Line:
        line = self._taken.get(at)
        if line is None:
            line = self._taken[at] = self._new_line(at)
        return line

    def _new_line(self, at: int) -> Line:
        segments = self.message.segments
        segment = segments[at]
        start, end = segment.start, segment.start + len(segment.text)
        following = segments[at + 1].start if at + 1 < len(segments) else len(self.message.text)
        if self.carried.plain:
            return Line(segment.name, segment.text, self.message.text[end:following], segment)
        return Line(segment.name, self.carried.cut(start, end), self.carried.cut(end, following))

    # what is there

    def named(self, place: Place) -> list[Line]:
        """The segments that a place means when it is written to."""
        if not place.occurrence and self.here is not None and self.here.name == place.segment:
            return [self.here]
        name = place.segment
        self.spend(_A_LINE * len(self.message.segments if self._lines is None else self._lines))
        if self._lines is None:
            found = [self._take(at) for at, each in enumerate(self.message.segments) if each.name == name]
        else:
            found = [line for line in self._lines if line.name == name]
        if place.occurrence in (0, ALL):
            return found
        at = -1 if place.occurrence == LAST else place.occurrence - 1
        return [found[at]] if found and at < len(found) else []

    def first(self, place: Place) -> Line | None:
        """The segment that a place means when it is read."""
        found = self.named(place)
        return found[0] if found else None

    def value(self, raw: str) -> str:
        """Carried text of a field or a part of it as what it means."""
        return unescape(self.carried.meaning(raw), self.marks)

    def location(self, spot: Spot) -> str:
        """`AUT[2]-14[1].1`: occurrences and repetitions are named where there are several."""
        line, place, repetition = spot
        if self._numbers is None:
            self._numbers = _numbered(self.lines)
        several = self.marks.repetition in field_of(line, place.field, self.marks)
        again = f"[{repetition}]" if several and repetition else ""
        return f"{line.name}{self._numbers.get(id(line), '')}-{place.field}{again}{place.below}"

    def holds(self, condition: Condition, line: Line | None = None, this: str = "") -> bool:
        """Does the condition hold, with `line` (or the segment of the turn, or MSH) as the segment under check?"""
        segment_line = line or self.here or self.header
        segment = segment_line.segment or self._segment(segment_line)
        marks = (self.marks.component, self.marks.subcomponent)
        own = all(
            [(not path.scope and path.segment == segment.name) or path.scope == "this" for path in condition.paths]
        )
        view = self.message if own else self._view or self._new_view()
        self.spend(_A_LINE if own else _A_LINE * len(view.segments))
        return condition(view, segment, None, self.carried.meaning(this), marks)

    def _new_view(self) -> Message:
        message = self.message
        view = Message(message.raw, message.text, self.marks, Decoded("", message.charset, message.codec))
        view.segments = [line.segment or self._segment(line) for line in self.lines]
        self._view = view
        return view

    def _segment(self, line: Line) -> Segment:
        line.segment = Segment(self.carried.meaning(line.text), self.marks)
        return line.segment

    def remark(self, step: str, verb: str, text: str, location: str = "") -> None:
        """Note what a step has to say."""
        self.remarks.append(Remark(step, verb, text, location))

    # what changes

    def rewrite(self, line: Line, text: str) -> None:
        """Give a segment another text."""
        self.spend(_A_WRITE + len(text))
        if text != line.text:
            line.text, line.segment = text, None
            self._touched()

    def insert(self, text: str, anchors: Sequence[Line], *, before: bool = False) -> None:
        """Put a segment of that text behind (or before) each of the anchors, with a segment end like theirs."""
        if len(self.lines) + len(anchors) > MAX_LINES:
            raise StepRefused(f"the steps make more than {MAX_LINES} segments")
        self.spend(_A_LINE * len(self.lines) + len(anchors) * (_A_WRITE + len(text)))
        wanted, lines = set(map(id, anchors)), []
        for line in self.lines:
            if id(line) not in wanted:
                lines.append(line)
                continue
            new = Line(text[:3], text, self.line_end)
            lines += [new, line] if before else [line, new]
            if not before:
                match = _END.match(line.end)
                line.end, new.end = (match[0], line.end[match.end() :]) if match else (self.line_end, "")
                new.end = (match[0] if match else "") + new.end
        self._lines, self._numbers = lines, None
        self._touched()

    def remove(self, lines: Sequence[Line]) -> None:
        """Take segments out, each with its end; what else stood behind it stays."""
        self.spend(_A_LINE * len(self.lines))
        gone, kept = set(map(id, lines)), []
        for line in self.lines:
            if id(line) not in gone:
                kept.append(line)
                continue
            line.gone = True
            match = _END.match(line.end)
            rest = line.end[match.end() :] if match else line.end
            if rest:
                kept[-1].end += rest  # MSH is never removed
        self._lines, self._numbers = kept, None
        if gone:
            self._touched()

    def replace_lines(self, entries: Sequence[int | str]) -> None:
        """The segments anew: a number is one that is there (from 0), a text is a new one."""
        end, lines = self.line_end, []
        last = self.lines[-1].end
        for entry in entries:
            line = self.lines[entry] if isinstance(entry, int) else Line(entry[:3], entry, end)
            line.end = line.end or end
            lines.append(line)
        if not _END.match(last):
            lines[-1].end = last if lines[-1].end == end else lines[-1].end.removeprefix(end)
        for line in self.lines:
            line.gone = True
        for line in lines:
            line.gone = False
        self._lines, self._numbers = lines, None
        self._touched()

    @property
    def line_end(self) -> str:
        """The segment end that this message uses."""
        match = _END.match(self.header.end)
        return match[0] if match else "\r"

    def fit(self, text: str) -> str:
        """New text in what the message's character set has; the rest of it becomes hexadecimal escapes."""
        codec = self.message.codec
        if text.isascii() and not codec.startswith("iso2022"):
            return text
        if self.charset:
            return text.encode("utf_8", "replace").decode("utf_8")
        name = self.message.charset if codec == _JAPANESE_READER else _NAMES[codec]
        return charset.encode(text, name, self.marks.escape).decode(codec)

    def escaped(self, value: str) -> str:
        """A value as the text of a field or a part of it."""
        return self.fit(escape(value, self.marks))

    def bytes(self) -> bytes:
        """The message as bytes: what no step changed is what came."""
        if not self.changed and not self.charset:
            return self.message.raw
        text = self._text()
        if not self.charset:
            return self.carried.to_bytes(text)
        text = self.carried.meaning(text)
        raw = charset.encode(text, self.charset, self.marks.escape)
        if self.strict_charset and not round_trips(text, CODECS[self.charset], raw):
            raise StepRefused(f"the message has characters that {self.charset} lacks", location="MSH-18")
        return raw

    def _text(self) -> str:
        cut, segments, found, at = self.carried.cut, self.message.segments, [], 0
        if self._lines is not None:
            return cut(0, segments[0].start) + "".join([line.text + line.end for line in self._lines])
        for number, line in sorted(self._taken.items()):
            start = segments[number].start
            found += [cut(at, start), line.text]
            at = start + len(segments[number].text)
        return "".join(found) + cut(at, len(self.message.text))

    def _touched(self) -> None:
        self.changed = True
        self._view = None


def _numbered(lines: Sequence[Line]) -> dict[int, str]:
    """`[2]` for the second segment of a name, by identity; nothing where it is the only one."""
    twins: dict[str, list[Line]] = {}
    for line in lines:
        twins.setdefault(line.name, []).append(line)
    return {id(line): f"[{at}]" for found in twins.values() if len(found) > 1 for at, line in enumerate(found, 1)}
