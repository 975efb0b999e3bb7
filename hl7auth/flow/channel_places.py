"""Segments that the steps of a channel name, and that neither HL7 nor its profiles have: most often a slip of the pen.

Imports rules, steps, errors, flow.channel, flow.channel_leaves and flow.channel_reach only.
"""

import re
from collections.abc import Iterator
from typing import Any

from hl7auth.errors import Fault, UserError
from hl7auth.flow.channel_leaves import Keys
from hl7auth.flow.channel_model import ChannelFile
from hl7auth.flow.channel_reach import choices
from hl7auth.rules.compiled import compiled
from hl7auth.rules.predicate import compile_condition

_CONDITIONS = frozenset({"match", "drop", "when", "where"})
_PLACES = frozenset({"from", "to", "field", "each", "after", "before", "segment", "repetition"})
_VALUES = frozenset({"version", "charset", "python", "table", "column", "unmapped", "with", "at", "type", "case"})
_FORMATS = frozenset({"date", "name"})
_SEGMENT = re.compile(r"([A-Z][A-Z0-9]{2})(?![A-Za-z0-9])", re.ASCII)


def unknown_segments(file: ChannelFile, data: Any) -> Iterator[tuple[Keys, str]]:
    """The keys in `data`, the file as plain data, with a sentence. A Z segment is the partners' own affair."""
    lists: list[tuple[Keys, Any]] = [(("steps",), data.get("steps") or ())]
    for name, each in (data.get("destinations") or {}).items():
        lists.append((("destinations", name, "steps"), each.get("steps") or ()))
    if not any(steps for _, steps in lists):
        return
    known = _known(file)
    for keys, steps in lists:
        for at, name in _named(steps, keys):
            if name not in known and not name.startswith("Z"):
                # three letters are close to many names; the same letters in another order are not
                meant = [each for each in sorted(known) if sorted(each) == sorted(name)]
                yield at, f"HL7 has no segment {name}" + (f" (did you mean '{meant[0]}'?)" if meant else "")


def _known(file: ChannelFile) -> set[str]:
    """The segments of every version that is accepted. A profile that can not be used is told elsewhere."""
    found: set[str] = set()
    for choice in choices(file):
        for version in choice.versions:
            try:
                profile = compiled(choice.profile, version)
            except (UserError, Fault):
                continue
            found |= profile.dictionary.segments.keys() | profile.segments.keys()
    return found


def _named(data: Any, keys: Keys, verb: str = "") -> Iterator[tuple[Keys, str]]:
    """Every segment that is named, with the keys of where."""
    if isinstance(data, dict):
        for key, value in data.items():
            if verb == "set":
                yield from (((*keys, key), name) for name in _first(key))
            elif key not in _VALUES:
                yield from _named(value, (*keys, key), "" if isinstance(value, list) and key == "steps" else key)
    elif isinstance(data, list):
        for number, each in enumerate(data):
            yield from _named(each, (*keys, number), verb)
    elif isinstance(data, str):
        if verb in _CONDITIONS:
            yield from ((keys, path.segment) for path in compile_condition(data).paths if path.segment)
        elif verb in _PLACES and not _is_text(verb, keys):
            yield from ((keys, name) for name in _first(data))


def _is_text(verb: str, keys: Keys) -> bool:
    """`from` and `to` of dates and names are formats, and a repetition that is added is a value."""
    step = {str(key) for key in keys[-2:]}
    return (verb in ("from", "to") and bool(_FORMATS & step)) or (verb == "repetition" and "add" in step)


def _first(text: str) -> list[str]:
    match = _SEGMENT.match(text)
    return [match[1]] if match else []
