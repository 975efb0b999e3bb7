"""A message as a described tree: segments, their fields with names and data types, their parts, codes in words.

Imports wire, rules and errors only.

Plain data, ready to be shown: what is empty is left out, values are unescaped and cut, and of a message with thousands
of fields the first are told.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from hl7auth.errors import Fault
from hl7auth.rules.dictionary import Dictionary, dictionary
from hl7auth.rules.tables import shipped_tables
from hl7auth.wire.escapes import unescape
from hl7auth.wire.message import NULL, Segment, parse
from hl7auth.wire.versions import VERSIONS

Entry = dict[str, Any]

MOST_FIELDS = 2_000
MOST_PARTS = 100
"""Of a field, and of each component."""
MOST_CHARACTERS = 200
"""Of a value."""
_FIRST = {"MSH": 3, "BHS": 3, "FHS": 3}
"""Fields before are separators."""


def message_tree(raw: bytes, fallback: str = "8859/1") -> list[Entry]:
    """The segments of a message; none of what is no message.

    A segment has segment, occurrence and fields; a field or a part of one has path, name, value, and where they are
    known type and meaning (of a code), or instead of a value parts.
    """
    try:
        message = parse(raw, fallback)
    except Fault:
        return []
    version = message.header.version
    known = dictionary(version if version in VERSIONS else VERSIONS[-1])
    found, seen, told = [], dict[str, int](), 0
    for segment in message.segments:
        seen[segment.name] = seen.get(segment.name, 0) + 1
        fields = list(islice(_fields(segment, known), MOST_FIELDS - told))
        told += len(fields)
        found.append({"segment": segment.name, "occurrence": seen[segment.name], "fields": fields})
    return found


def tree_lines(tree: list[Entry]) -> list[str]:
    """The tree for the eye: a line for each value."""
    lines = []
    for segment in tree:
        lines.append(f"{segment['segment']}" + (f" [{segment['occurrence']}]" if segment["occurrence"] > 1 else ""))
        for field in segment["fields"]:
            lines += _lines(field, "  ")
    return lines


def _lines(entry: Entry, indent: str) -> Iterator[str]:
    meaning = f"  = {entry['meaning']}" if "meaning" in entry else ""
    value = f": {entry['value']}" if "value" in entry else ""
    yield f"{indent}{entry['path']} {entry['name']}".rstrip() + value + meaning
    for part in entry.get("parts", ()):
        yield from _lines(part, indent + "  ")


def _fields(segment: Segment, known: Dictionary) -> Iterator[Entry]:
    defined = known.segments.get(segment.name)
    for number in range(_FIRST.get(segment.name, 1), min(len(segment.fields), MOST_FIELDS)):
        field = defined.fields[number - 1] if defined is not None and number <= len(defined.fields) else None
        datatype = field.datatype if field else ""
        if (segment.name, number) == ("OBX", 5):
            datatype = segment.value(2)
        repetitions = segment.repetitions(number)
        for at, raw in enumerate(repetitions[:MOST_FIELDS], start=1):
            path = f"{segment.name}-{number}" + (f"[{at}]" if len(repetitions) > 1 else "")
            entry: Entry = {"path": path, "name": field.name if field else ""}
            if raw:
                yield entry | _content(raw, path, datatype, field.code_table if field else None, segment, known, 0)


def _content(
    raw: str, path: str, datatype: str, table: str | None, segment: Segment, known: Dictionary, depth: int
) -> Entry:
    """What stands in a field (depth 0) or a component (depth 1): a value, or parts."""
    marks = segment.delimiters
    mark = (marks.component, marks.subcomponent, "")[depth]
    types = known.datatypes.get(datatype, ())
    found: Entry = {"type": datatype} if datatype else {}
    if not mark or (mark not in raw and depth) or (mark not in raw and not types):
        return found | _value(raw, table, segment)
    parts = []
    for number, text in enumerate(raw.split(mark)[:MOST_PARTS], start=1):
        if not text:
            continue
        part = types[number - 1] if number <= len(types) else None
        codes = (part.table if part else None) or (table if number == 1 else None)
        below, place = part.datatype if part else "", f"{path}.{number}"
        entry = {"path": place, "name": part.name if part else ""}
        parts.append(entry | _content(text, place, below, codes, segment, known, depth + 1))
    return found | {"parts": parts}


def _value(raw: str, table: str | None, segment: Segment) -> Entry:
    if raw == NULL:
        return {"value": raw, "meaning": "deleted by the sender"}
    value = unescape(raw, segment.delimiters)
    shown = "".join(each if each.isprintable() else " " for each in value[:MOST_CHARACTERS])
    found: Entry = {"value": shown + ("..." if len(value) > MOST_CHARACTERS else "")}
    codes = shipped_tables().get(table) if table else None
    code = codes.values.get(value) if codes else None
    meaning = code if isinstance(code, str) else code.text if code else ""
    return found | ({"meaning": meaning} if meaning else {})
