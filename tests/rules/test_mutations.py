"""From each good sample, one rule broken at a time: the check says exactly that rule, at exactly that place."""

from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import pytest

from hl7auth.errors import Fault
from hl7auth.resources import shipped
from hl7auth.rules.check import check
from hl7auth.rules.compiled import CompiledProfile, FieldRule, compiled
from hl7auth.rules.finding import Finding
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.message import Message, Segment, parse
from hl7auth.wire.versions import VERSIONS

FOLDER = shipped("sample_messages")
PROFILE = "referral"
HEADER = frozenset({1, 2, 9, 12, 18})  # MSH fields that decide how the rest is read


class Broken(NamedTuple):
    """A message with one rule broken: the rule, the path, and what the finding must point at."""

    raw: bytes
    rule: str
    path: str
    value: str


def findings(message: Message) -> list[Finding]:
    header = message.header
    profile = compiled(PROFILE, header.version)
    structure = profile.structure_of(header.message_type, header.trigger_event)
    assert structure is not None
    return check(message, profile, profile.layout(structure, tuple(each.name for each in message.segments)))


def is_good(name: str) -> bool:
    try:
        message = parse((FOLDER / f"{name}.hl7").read_bytes())
    except Fault:
        return False
    known = message.header.version in VERSIONS and compiled(PROFILE, message.header.version).structure_of(
        message.header.message_type, message.header.trigger_event
    )
    plain = message.delimiters == Delimiters(truncation=message.delimiters.truncation) and not message.notes
    return bool(known) and plain and not any(each.severity == "error" for each in findings(message))


GOOD = [name for name in sorted(path.stem for path in FOLDER.glob("*.hl7")) if is_good(name)]


def rewritten(message: Message, segment: Segment, number: int, raw: str) -> bytes:
    """The message with another value in one field."""
    fields = list(segment.fields)
    fields += [""] * (number + 1 - len(fields))
    fields[number] = raw
    if segment.name == "MSH":
        del fields[1]
    lines = [("|".join(fields) if each is segment else each.text) for each in message.segments]
    return ("\r".join(lines) + "\r").encode(message.codec)


@cache
def read_elsewhere(version: str) -> frozenset[tuple[str, int]]:
    """Fields that a condition or a statement reads: to break one may break the other too."""
    profile = compiled(PROFILE, version)
    conditions = [each.holds for rules in profile.segments.values() for each in rules.statements]
    for rules in profile.segments.values():
        conditions += [each for rule in rules.fields for each in rule.conditions]
    return frozenset((path.segment, path.field) for condition in conditions for path in condition.paths)


def first_form(profile: CompiledProfile, datatype: str) -> tuple[str, str]:
    """The primitive type that a value without parts has, and where in the path it is told."""
    if datatype == "TS":
        return "DTM", ".1"
    place = ""
    while parts := profile.dictionary.datatypes.get(datatype, ()):
        datatype, place = parts[0].datatype, place + ".1"
        if datatype == "TS":
            return "DTM", place
    return datatype, place


def of_field(
    profile: CompiledProfile, message: Message, segment: Segment, rule: FieldRule
) -> Iterator[tuple[str, str, str, str]]:
    """(new value, rule, place behind the field, what the finding points at)."""
    raw, path = segment.field(rule.number), rule.path
    read = (segment.name, rule.number) in read_elsewhere(profile.version)
    if (rule.beyond or rule.withdrawn) and not read:
        yield "x", f"{path}.{'unexpected' if rule.beyond else 'usage'}", "", "x"
    if rule.beyond or rule.withdrawn:
        return
    if rule.usage in ("R", "RE") and raw:
        yield "", f"{path}.usage", "", ""
    form, place = first_form(profile, rule.datatype)
    if read:
        return
    if form in ("NM", "SI", "DT", "DTM", "TM") and rule.codes is None:
        yield "!x", f"{path}.type", place, "!x"
    if rule.codes is not None:
        yield "Q9Q9", f"{path}.table", "[1]", "Q9Q9"
    elif form in ("ST", "ID", "IS") and rule.length is not None and not rule.components:
        long = "x" * (rule.length + 1)
        yield long, f"{path}.length", "[1]", long
    if rule.max == 1 and raw and "~" not in raw and '"' not in raw and fits(rule, f"{raw}~{raw}"):
        yield f"{raw}~{raw}", f"{path}.cardinality", "", f"{raw}~{raw}"
    yield from of_components(rule)


def fits(rule: FieldRule, value: str) -> bool:
    return rule.length is None or len(value) <= rule.length


def of_components(rule: FieldRule) -> Iterator[tuple[str, str, str, str]]:
    for component in rule.components:
        if component.length is not None and not component.components:
            inner = "x" * (component.length + 1)
            value = "^" * (component.number - 1) + inner
            if fits(rule, value):
                yield value, f"{component.path}.length", f".{component.number}", inner


def broken(message: Message) -> Iterator[Broken]:
    """The message in every way that one rule of its profile can be broken alone."""
    profile = compiled(PROFILE, message.header.version)
    told = {(each.location.segment, each.location.field) for each in findings(message)}
    seen: Counter[str] = Counter()
    for segment in message.segments:
        seen[segment.name] += 1
        rules = profile.segments.get(segment.name)
        head = segment.name if seen[segment.name] == 1 else f"{segment.name}[{seen[segment.name]}]"
        if rules is None or rules.deletes(segment.fields):
            continue
        for rule in rules.fields[1:]:
            if (segment.name == "MSH" and rule.number in HEADER) or (segment.name, rule.number) in told:
                continue
            for value, name, place, pointed in of_field(profile, message, segment, rule):
                # a component is asked for only where the field has a value: RF1-6.1
                wanted = any(part.usage != "O" for part in rule.components) and value.startswith("^")
                if not wanted:
                    path = f"{head}-{rule.number}{place.removeprefix('[1]')}"
                    yield Broken(rewritten(message, segment, rule.number, value), name, path, pointed)


@pytest.mark.parametrize("name", GOOD)
def test_exactly_the_broken_rule_is_told_at_exactly_its_place(name: str) -> None:
    message = parse((FOLDER / f"{name}.hl7").read_bytes())
    before = Counter((each.rule, each.path) for each in findings(message))
    for each in broken(message):
        other = parse(each.raw)
        found = findings(other)
        added = Counter((finding.rule, finding.path) for finding in found) - before
        assert dict(added) == {(each.rule, each.path): 1}, each
        (finding,) = (one for one in found if (one.rule, one.path) == (each.rule, each.path))
        assert other.raw[finding.start : finding.end].decode(other.codec) == each.value
        assert finding.line == other.raw[: finding.start].count(b"\r") + 1
        assert finding.length == len(each.value)
        assert (finding.category != "", finding.mend != "", finding.standard != "") == (True, True, True)


def test_many_rules_are_broken() -> None:
    rules = [each.rule for name in GOOD for each in broken(parse((FOLDER / f"{name}.hl7").read_bytes()))]
    assert len(GOOD) >= 50
    assert len(rules) >= 3_000
    kinds = {rule.rpartition(".")[2] for rule in rules}
    assert kinds >= {"usage", "type", "table", "length", "cardinality", "unexpected"}
    assert len(set(rules)) >= 150


@pytest.mark.parametrize("name", [name for name in GOOD if not name.split("-")[1].startswith("ack")])
def test_a_broken_structure_is_told_at_its_place(name: str) -> None:
    message = parse((FOLDER / f"{name}.hl7").read_bytes())
    before = Counter((each.rule, each.path) for each in findings(message))
    lines = [segment.text for segment in message.segments]
    at = next(number for number, line in enumerate(lines) if line.startswith("PID"))
    for changed, expected in (
        ([*lines[:at], *lines[at + 1 :]], ("structure.missing", "PID")),
        ([*lines[: at + 1], *lines[at:]], ("structure.cardinality", "PID[2]")),
        ([*lines, "XYZ|1"], ("structure.unexpected", "XYZ")),
        ([*lines, "ZYX|1"], ("structure.unexpected", "ZYX")),
    ):
        other = parse(("\r".join(changed) + "\r").encode(message.codec))
        assert dict(Counter((each.rule, each.path) for each in findings(other)) - before) == {expected: 1}
