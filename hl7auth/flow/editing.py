"""A message corrected by hand: values set at their places, everything else as it was.

Imports wire and errors only.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from hl7auth.errors import UserError
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.escapes import escape
from hl7auth.wire.message import Message, Segment

_SETTING = re.compile(
    r"([A-Z][A-Z0-9]{2})(?:\[(\d{1,4})\])?[-.](\d{1,3})(?:\[(\d{1,4})\])?(?:\.(\d{1,3})(?:\.(\d{1,3}))?)?=(.*)",
    re.DOTALL,
)
_MOST = 200
"""The highest number of a field, a repetition or a part that may be set: beyond are slips of the finger."""


class Setting(NamedTuple):
    """A value for a place; all numbers are counted from 1. Component 0 is the field (or repetition) as a whole, and
    then `value` is raw: its delimiters are meant."""

    segment: str
    occurrence: int
    field: int
    repetition: int
    component: int
    subcomponent: int
    value: str

    @property
    def path(self) -> str:
        """The place as people write it."""
        name = self.segment + (f"[{self.occurrence}]" if self.occurrence > 1 else "") + f"-{self.field}"
        name += f"[{self.repetition}]" if self.repetition > 1 else ""
        return name + "".join(f".{each}" for each in (self.component, self.subcomponent) if each)


def read_setting(text: str) -> Setting:
    """`AUT-2.1=HH001`, `AUT[2]-6.1=PA7`, `PID-3[2]=A1^^^HILL`. Raises UserError for anything else."""
    found = _SETTING.fullmatch(text)
    if found is None:
        raise UserError(f"'{text}' sets nothing; write it like AUT-2.1=HH001 or AUT[2]-6.1=PA7")
    segment, value = found[1], found[7]
    occurrence, field, repetition = (int(found[at] or 1) for at in (2, 3, 4))
    component, subcomponent = int(found[5] or 0), int(found[6] or 0)
    place = text.partition("=")[0]
    zero = 0 in (occurrence, field, repetition) or "0" in (found[5], found[6])
    if zero or max(field, repetition, component, subcomponent) > _MOST:
        raise UserError(f"there is no {place}: numbers go from 1 to {_MOST}")
    if segment == "MSH" and field in (1, 2, 10):
        raise UserError(f"{place} can not be set: a corrected message keeps its delimiters, and gets a control id")
    if any(each in value for each in "\r\n\x0b\x1c"):
        raise UserError(f"the value of {place} would end its segment")
    return Setting(segment, occurrence, field, repetition, component, subcomponent, value)


def edited(message: Message, settings: Sequence[Setting]) -> str:
    """The text of the message with the values set. Raises UserError where there is no such segment."""
    lines = [segment.text for segment in message.segments]
    for each in settings:
        places = [at for at, segment in enumerate(message.segments) if segment.name == each.segment]
        if each.occurrence > len(places):
            raise UserError(f"{each.path}: the message has {len(places)} segment(s) {each.segment}")
        at = places[each.occurrence - 1]
        lines[at] = _with(lines[at], each, message.delimiters)
    return "".join(f"{line}\r" for line in lines)


def as_new(text: str, control_id: str, sent_at: str, marks: Delimiters) -> str:
    """The text as a message of its own: with that control id, and as sent (MSH-7) at that time."""
    head, _, rest = text.partition("\r")
    for number, value in ((7, sent_at), (10, control_id)):
        head = _with(head, Setting("MSH", 1, number, 1, 0, 0, value), marks)
    return f"{head}\r{rest}"


def encoded(text: str, codec: str) -> bytes:
    """The text in the character set of the message. Raises UserError where that lacks a character."""
    try:
        return text.encode(codec)
    except UnicodeEncodeError as error:
        lacking = text[error.start]
        raise UserError(f"the character set of the message (MSH-18) has no '{lacking}'") from None


def _with(line: str, setting: Setting, marks: Delimiters) -> str:
    """The segment with the value set, as long as it has to be for that."""
    # MSH-1 is the separator itself, which splitting takes away
    number = setting.field - (1 if Segment(line, marks).name == "MSH" else 0)
    fields = _filled(line.split(marks.field), number + 1)
    if not setting.component:
        value = setting.value.replace(marks.field, escape(marks.field, marks))
    else:
        value = escape(setting.value, marks)
    steps = [(marks.repetition, setting.repetition), (marks.component, setting.component)]
    steps.append((marks.subcomponent, setting.subcomponent))
    fields[number] = _placed(fields[number], steps, value)
    return marks.field.join(fields)


def _placed(text: str, steps: Sequence[tuple[str, int]], value: str) -> str:
    if not steps or not steps[0][1]:
        return value
    (mark, number), *deeper = steps
    if not mark:
        if number > 1:
            raise UserError("the message declares no such delimiter (MSH-2)")
        return _placed(text, deeper, value)
    parts = _filled(text.split(mark), number)
    parts[number - 1] = _placed(parts[number - 1], deeper, value)
    return mark.join(parts)


def _filled(parts: list[str], count: int) -> list[str]:
    return parts + [""] * (count - len(parts))
