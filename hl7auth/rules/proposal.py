"""A profile proposed from what was learned of traffic, as YAML that a person reads, corrects and keeps.

Imports rules and wire only.

What always came SHALL come, what nearly always came SHOULD; a field that HL7 or the profile beneath requires and that
did not always come is named in `departs`. The counts stand beside each line as comments.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping

from hl7auth.rules.dictionary import dictionary
from hl7auth.rules.learn import LEAST, FieldUse, Use
from hl7auth.rules.profile import FieldProfile
from hl7auth.rules.tables import shipped_tables
from hl7auth.wire.versions import VERSIONS

NEARLY_ALWAYS = 0.9
"""From this share on the sender means to send a field: what is missing then is worth a warning."""

MOST_CODES = 40
"""A table of more codes is a code system, which nobody lists in a profile."""

_LENGTHS = (1, 2, 3, 4, 5, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 120, 150, 200, 250, 300, 400, 500)
_MEASURED = frozenset({"DT", "TM", "TS", "DTM", "NM", "SI"})
"""Data types that say themselves how long a value can be."""
_FEW_REPETITIONS = 5


def propose(use: Use, name: str) -> str:
    """The text of a profile file of that name. It holds no value of a patient. Raises ValueError without messages."""
    if not use.messages:
        raise ValueError("nothing was learned: there was no message of a known version")
    departs: list[str] = []
    segments = [line for each in sorted(use.segments, key=_order) for line in _segment(use, each, departs)]
    return "\n".join([*_head(use, name, departs), "segments:", *segments, *_tables(use), ""])


def _head(use: Use, name: str, departs: list[str]) -> list[str]:
    events = sorted(event for event in use.events if event != "?")
    versions = sorted(use.versions, key=VERSIONS.index)
    counts = ", ".join(f"{count} {event}" for event, count in use.events.most_common())
    lines = [
        f"# Proposed from {use.messages} messages ({counts}). Read every line before you rely on it: what always",
        "# came is asked for, and lengths are rounded up from the longest that came. The comments count the segments",
        f"# that have a field; a code is listed when at least {LEAST} messages have it.",
        f"profile: {json.dumps(name)}",
        f"title: Learned from {use.messages} messages",
    ]
    lines += [f"extends: {use.base.profile}"] if use.base else []
    if departs:
        lines += ["# required by HL7 or by the profile above, and did not always come", f"departs: {_list(departs)}"]
    return [*lines, f"applies: {{messages: {_list(events)}, versions: {_list(versions)}}}"]


def _order(name: str) -> tuple[bool, bool, str]:
    return name != "MSH", name[0] == "Z", name


def _segment(use: Use, name: str, departs: list[str]) -> Iterator[str]:
    counted = use.segments[name]
    inherited = use.base.segments.get(name) if use.base else None
    yield (
        f"  {name}:  # in {counted.messages} of {use.messages} messages, {counted.segments} in all, "
        f"{counted.most} at most in one"
    )
    if inherited is None:
        yield "    severity: warning"
    yield "    fields:" if counted.fields else "    fields: {}"
    for number, field in sorted(counted.fields.items()):
        possible = sum(count for version, count in counted.versions.items() if _has(name, number, version))
        own = inherited.fields.get(number) if inherited else None
        keys = _field(field, possible, any(number in use.required(name, each) for each in counted.versions), own)
        if not possible:
            keys |= _undefined(name, number, field)
        if field.missed or (keys.get("verb") != "SHALL" and "verb" in keys and _ever_required(use, name, number)):
            departs.append(f"{name}-{number}")
        said = ", ".join(f"{key}: {value}" for key, value in keys.items())
        yield f"      {number}: {{{said}}}  # {_counts(field, possible or counted.segments)}"


def _ever_required(use: Use, name: str, number: int) -> bool:
    """True when some version requires the field, be it one that the traffic has not."""
    return any(number in use.required(name, version) for version in VERSIONS)


def _has(name: str, number: int, version: str) -> bool:
    segment = dictionary(version).segments.get(name)
    return segment is not None and number <= len(segment.fields)


def _field(use: FieldUse, possible: int, required: bool, inherited: FieldProfile | None) -> dict[str, str]:
    """The keys of a field. Of few segments nothing is asked for that was not asked for before."""
    share = (use.valued + use.deleted) / possible if possible else 0
    keys: dict[str, str] = {}
    if use.missed:
        keys["verb"] = "SHOULD"
    elif share == 1 and (required or possible >= LEAST):
        keys["verb"] = "SHALL"
    elif not required and share >= NEARLY_ALWAYS and possible >= LEAST:
        keys["verb"] = "SHOULD"
    elif not required and (inherited is None or inherited.condition is None):
        keys["verb"] = "MAY"
    most = "*" if use.repetitions > _FEW_REPETITIONS else str(max(use.repetitions, 1))
    keys["cardinality"] = f"{int(keys.get('verb') == 'SHALL')}..{most}"
    if use.longest and use.datatype not in _MEASURED:
        keys["length"] = str(_rounded(use.longest))
    return keys


def _undefined(name: str, number: int, use: FieldUse) -> dict[str, str]:
    """What a field needs that no version of the traffic defines: of a later version, or of the partner's own."""
    if name[0] != "Z":
        return {"pre_adopted": "true"}
    return {"name": json.dumps(f"{name}-{number}"), "type": "CWE" if use.composite else "ST"}


def _counts(use: FieldUse, possible: int) -> str:
    text = f"{use.valued} of {possible}"
    text += f", longest {use.longest}" if use.longest else ""
    text += f", up to {use.repetitions} repetitions" if use.repetitions > 1 else ""
    return text + (f', {use.deleted} deleted by ""' if use.deleted else "")


def _rounded(longest: int) -> int:
    """The next usual length: what came is a sample, not a limit."""
    return next((length for length in _LENGTHS if length >= longest), -(-longest // 1000) * 1000)


def _tables(use: Use) -> Iterator[str]:
    """The tables that neither HL7 nor the profile beneath fills, of codes that many messages share."""
    begun = False
    for number, fields in sorted(_unfilled(use).items()):
        codes = Counter[str]()
        for each in fields:
            codes.update(each.codes)
        told = {code: count for code, count in sorted(codes.items()) if count >= LEAST}
        if not 0 < len(told) <= MOST_CODES:
            continue
        if not begun:
            yield "tables:"
            begun = True
        others = len(codes) - len(told) + sum(each.others for each in fields)
        yield f"  {json.dumps(number)}:" + (f"  # not told: {others}" if others else "")
        yield "    name: As it came"
        yield "    kind: user"
        yield "    values:"
        yield from (f'      {json.dumps(code)}: "?"  # {count}' for code, count in told.items())


def _unfilled(use: Use) -> Mapping[str, list[FieldUse]]:
    known = shipped_tables() | (use.base.tables if use.base else {})
    filled = {number for number, table in known.items() if table.values}
    found: dict[str, list[FieldUse]] = {}
    for each in (each for segment in use.segments.values() for each in segment.fields.values()):
        if each.codes and each.table not in filled:
            found.setdefault(each.table, []).append(each)
    return found


def _list(texts: list[str]) -> str:
    return f"[{', '.join(json.dumps(text) for text in texts)}]"
