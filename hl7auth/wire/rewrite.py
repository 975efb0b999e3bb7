"""Single fields of a message written anew, and every other byte left as it came.

Imports wire and errors only.
"""

from collections.abc import Iterator, Mapping

from hl7auth.errors import Fault, Unreadable
from hl7auth.wire import charset
from hl7auth.wire.message import Message, Segment, parse

Fields = Mapping[int, str]
"""The raw text of fields by their HL7 number."""


def rewritten(message: Message, changes: Mapping[str, Fields]) -> bytes:
    """The bytes of a message with fields of its first segments of those names replaced (`{"MSH": {10: "C7"}}`).

    Values stand as they are given, escaped; what the character set of the message lacks becomes an escape. A segment
    that is not there stays away. Raises Unreadable where the fields can not be found among the bytes.
    """
    wanted = {name: _writable(fields, message) for name, fields in changes.items() if message.first(name)}
    edits = [edit for name, fields in wanted.items() for edit in _edits(message.all(name)[0], fields)]
    raw = message.raw
    for start, end, text in sorted(edits, reverse=True):
        first, last = message.byte_range(start, end)
        raw = raw[:first] + text.encode("ascii") + raw[last:]
    _verify(raw, wanted)
    return raw


def _writable(fields: Fields, message: Message) -> Fields:
    """Plain ASCII, which nearly every character set writes as it is; anything else as escapes."""
    return {at: charset.encode(text, "", message.delimiters.escape).decode("ascii") for at, text in fields.items()}


def _edits(segment: Segment, fields: Fields) -> Iterator[tuple[int, int, str]]:
    """Places in the text of the message, and what comes there. MSH-1 is the separator itself."""
    mark = segment.delimiters.field
    there = segment.text.split(mark)
    shift = int(segment.name == "MSH")
    tail: list[str] = []
    for number in sorted(fields):
        at = number - shift
        if at < len(there):
            start = segment.start + sum(len(each) + 1 for each in there[:at])
            yield start, start + len(there[at]), fields[number]
        elif fields[number]:
            tail += [""] * (at - len(there) - len(tail)) + [fields[number]]
    if tail:
        end = segment.start + len(segment.text)
        yield end, end, "".join(mark + each for each in tail)


def _verify(raw: bytes, wanted: Mapping[str, Fields]) -> None:
    """Shift sequences of a character set may stand between a text and its bytes: then nothing is guessed."""
    try:
        now = parse(raw)
    except Fault as fault:
        raise Unreadable(str(fault)) from None
    for name, fields in wanted.items():
        segment = now.first(name)
        if segment is None or any(segment.field(at) != text for at, text in fields.items()):
            raise Unreadable(f"{name} can not be written in this character set")
