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
from hl7auth.rules.profile import profile_files, resolved
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.message import Message, Segment, parse
from hl7auth.wire.versions import VERSIONS

FOLDER = shipped("sample_messages")
HEADER = frozenset({1, 2, 9, 12, 18})  # MSH fields that decide how the rest is read
#: the profiles of each kind of message: what the shipped channel checks, and the message by the standard
PROFILES = {
    "RQA": ("referral", "rqa-i08"),
    "RPA": ("referral", "rpa-i08"),
    "REF": ("referral", "ref-i12"),
    "RRI": ("referral", "rri-i12"),
    "ZQA": ("network-zqa", "network-zqa-tolerant"),
    "ZPA": ("network-zqa", "network-zqa-tolerant"),
}


class Broken(NamedTuple):
    """A message with one rule broken: the rule, the path, and what the finding must point at."""

    raw: bytes
    rule: str
    path: str
    value: str


def sample(name: str) -> Message:
    return parse((FOLDER / f"{name}.hl7").read_bytes())


def findings(message: Message, profile: str) -> list[Finding]:
    header = message.header
    rules = compiled(profile, header.version)
    structure = rules.structure_of(header.message_type, header.trigger_event)
    assert structure is not None
    return check(message, rules, rules.layout(structure, tuple(each.name for each in message.segments)))


def is_good(name: str, profile: str) -> bool:
    message = sample(name)
    known = compiled(profile, message.header.version).structure_of(
        message.header.message_type, message.header.trigger_event
    )
    plain = message.delimiters == Delimiters(truncation=message.delimiters.truncation) and not message.notes
    return bool(known) and plain and not any(each.severity == "error" for each in findings(message, profile))


def pairs() -> Iterator[tuple[str, str]]:
    """Each sample with each of its profiles by which it is good."""
    for name in sorted(path.stem for path in FOLDER.glob("*.hl7")):
        try:
            header = sample(name).header
        except Fault:
            continue
        for profile in PROFILES.get(header.message_type, ()) if header.version in VERSIONS else ():
            if is_good(name, profile):
                yield name, profile


GOOD = list(pairs())


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
def read_elsewhere(name: str, version: str) -> frozenset[tuple[str, int]]:
    """Fields that a condition or a statement reads: to break one may break the other too."""
    profile = compiled(name, version)
    conditions = [each.holds for rules in profile.segments.values() for each in rules.statements]
    conditions += [each.holds for each in profile.statements]
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
    read = (segment.name, rule.number) in read_elsewhere(profile.profile.profile, profile.version)
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
    if (rule.max is None or rule.max > 1) and raw and "~" not in raw and fits(rule, f'{raw}~""'):
        yield f'{raw}~""', f"{path}.delete", "[2]", '""'
    yield from of_components(rule)


def fits(rule: FieldRule, value: str) -> bool:
    return rule.length is None or len(value) <= rule.length


def of_components(rule: FieldRule) -> Iterator[tuple[str, str, str, str]]:
    """What is wrong in one component, while the others are empty or anything."""
    for component in rule.components:
        before, place = "^" * (component.number - 1), f".{component.number}"
        if component.length is not None and not component.components:
            inner = "x" * (component.length + 1)
            if fits(rule, before + inner) and (component.codes is None or inner in component.codes):
                yield before + inner, f"{component.path}.length", place, inner
        coded = component.codes is not None and not (component.number == 1 and rule.codes)
        if coded and not component.components and (component.length or 4) >= 4 and fits(rule, f"{before}Q9Q9"):
            yield f"{before}Q9Q9", f"{component.path}.table", place, "Q9Q9"
        if component.usage in ("R", "RE") and component.number == 1 and rule.codes is None:
            yield "^x", f"{component.path}.usage", place, ""


def broken(message: Message, name: str) -> Iterator[Broken]:
    """The message in every way that one rule of its profile can be broken alone."""
    profile = compiled(name, message.header.version)
    told = {(each.location.segment, each.location.field) for each in findings(message, name)}
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
            for value, broke, place, pointed in of_field(profile, message, segment, rule):
                # a component is asked for only where the field has a value: RF1-6.1
                wanted = {part.number for part in rule.components if part.usage != "O"}
                if not value.startswith("^") or not wanted or broke.endswith(".usage"):
                    path = f"{head}-{rule.number}{place.removeprefix('[1]')}"
                    yield Broken(rewritten(message, segment, rule.number, value), broke, path, pointed)


def assert_told(message: Message, each: Broken, profile: str, before: Counter[tuple[str, str]]) -> None:
    """The check says exactly that rule, at exactly that place, in exactly these bytes."""
    other = parse(each.raw)
    found = findings(other, profile)
    added = Counter((finding.rule, finding.path) for finding in found) - before
    assert dict(added) == {(each.rule, each.path): 1}, each
    (finding,) = (one for one in found if (one.rule, one.path) == (each.rule, each.path))
    assert other.raw[finding.start : finding.end].decode(other.codec) == each.value
    assert finding.line == other.raw[: finding.start].count(b"\r") + 1
    assert finding.length == len(each.value)
    assert (finding.category != "", finding.mend != "") == (True, True)
    assert finding.standard != "" or finding.location.segment.startswith("Z")


@pytest.mark.parametrize(("name", "profile"), GOOD)
def test_exactly_the_broken_rule_is_told_at_exactly_its_place(name: str, profile: str) -> None:
    message = sample(name)
    before = Counter((each.rule, each.path) for each in findings(message, profile))
    for each in broken(message, profile):
        assert_told(message, each, profile, before)


def test_many_rules_are_broken() -> None:
    rules = [(profile, each.rule) for name, profile in GOOD for each in broken(sample(name), profile)]
    assert len({name for name, _ in GOOD}) >= 60
    assert len(rules) >= 8_000
    kinds = {rule.rpartition(".")[2] for _, rule in rules}
    assert kinds >= {"usage", "type", "table", "length", "cardinality", "unexpected", "delete"}
    assert len(set(rules)) >= 600


@pytest.mark.parametrize(("name", "profile"), [each for each in GOOD if each[1] == "referral"])
def test_a_broken_structure_is_told_at_its_place(name: str, profile: str) -> None:
    message = sample(name)
    before = Counter((each.rule, each.path) for each in findings(message, profile))
    lines = [segment.text for segment in message.segments]
    at = next(number for number, line in enumerate(lines) if line.startswith("PID"))
    for changed, expected in (
        ([*lines[:at], *lines[at + 1 :]], ("structure.missing", "PID")),
        ([*lines[: at + 1], *lines[at:]], ("structure.cardinality", "PID[2]")),
        ([*lines, "XYZ|1"], ("structure.unexpected", "XYZ")),
        ([*lines, "ZYX|1"], ("structure.unexpected", "ZYX")),
    ):
        other = parse(("\r".join(changed) + "\r").encode(message.codec))
        assert dict(Counter((each.rule, each.path) for each in findings(other, profile)) - before) == {expected: 1}


# --- conditions and statements, which one field alone does not break

# profile, sample, what is changed (segment, field, value; None: the segment is left out), rule, path
SAID = [
    ("referral", "02-rpa-i08-v2.5.1-approved", [("AUT", 4, "20260901")], "AUT-dates", "AUT"),
    ("rqa-i08", "01-rqa-i08-v2.5.1-request", [("AUT", 4, "20260901"), ("AUT", 5, "20260101")], "AUT-dates", "AUT"),
    ("referral", "02-rpa-i08-v2.5.1-approved", [("AUT", 6, "")], "AUT-6.usage", "AUT-6"),
    ("rpa-i08", "02-rpa-i08-v2.5.1-approved", [("AUT", 6, "")], "AUT-6.usage", "AUT-6"),
    ("rqa-i08", "01-rqa-i08-v2.5.1-request", [("MSH", 15, "AL")], "MSH-modes", "MSH"),
    ("rqa-i08", "01-rqa-i08-v2.5.1-request", [("MSH", 9, "RQA^I08^RQA_I09")], "MSH-structure", "MSH"),
    ("rqa-i08", "01-rqa-i08-v2.5.1-request", [("MSH", 9, "RQA^I12^RQA_I08")], "MSH-event", "MSH"),
    ("rpa-i08", "02-rpa-i08-v2.5.1-approved", [("MSH", 9, "RPA^I12^RPA_I08")], "MSH-event", "MSH"),
    ("ref-i12", "30-ref-i12-v2.8.2-referral", [("MSH", 9, "REF^I08^REF_I12")], "MSH-event", "MSH"),
    ("rri-i12", "31-rri-i12-v2.8.2-authorized", [("MSH", 9, "RRI^I08^RRI_I12")], "MSH-event", "MSH"),
    ("rqa-i08", "01-rqa-i08-v2.5.1-request", [("AUT", 9, "3")], "RQA-asks", "AUT"),
    ("rpa-i08", "02-rpa-i08-v2.5.1-approved", [("MSH", 15, "NE"), ("MSH", 16, "AL")], "RPA-final", "MSH"),
    ("network-zqa", "102-zqa-z02-v2.4-request", [("PRD", 1, "ZZ")], "PRD-role", "PRD"),
    ("network-zqa", "102-zqa-z02-v2.4-request", [("AUT", 9, "3")], "ZQA-asks", "AUT"),
    ("network-zqa", "102-zqa-z02-v2.4-request", [("PID", 2, "null")], "PID-null", "PID"),
    ("network-zqa", "103-zpa-z02-v2.4-partially-approved", [("AUT", 9, "1")], "ZPA-refused-line", "AUT"),
    ("network-zqa", "103-zpa-z02-v2.4-partially-approved", [("ZAU", 3, "M000^No")], "ZPA-header", "MSH"),
    ("network-zqa", "103-zpa-z02-v2.4-partially-approved", [("ZAU", 2, "0")], "ZAU-no-number", "ZAU"),
    ("network-zqa", "103-zpa-z02-v2.4-partially-approved", [("PID", 0, None)], "ZPA-patient", "MSH"),
    ("network-zqa", "105-zqa-z04-v2.4-cancelled", [("ZAU", 2, "")], "ZQA-cancels", "MSH"),
    ("network-zqa", "103-zpa-z02-v2.4-partially-approved", [("ZAU", 2, "")], "AUT-6.usage", "AUT[2]-6"),
    ("network-zqa", "105-zqa-z04-v2.4-cancelled", [("PRD", 0, None)], "structure.missing", "PRD"),
]


def changed(message: Message, changes: list[tuple[str, int, str | None]]) -> Message:
    """The message with fields of the first segments of these names changed, or without them."""
    for name, number, raw in changes:
        segment = next(each for each in message.segments if each.name == name)
        if raw is None:
            lines = [each.text for each in message.segments if each is not segment]
            message = parse(("\r".join(lines) + "\r").encode(message.codec))
        else:
            message = parse(rewritten(message, segment, number, raw))
    return message


def told_by(message: Message, profile: str) -> Counter[tuple[str, str]]:
    """The rules and paths of all findings; where nobody knows the event, of those that need no structure."""
    rules, header = compiled(profile, message.header.version), message.header
    structure = rules.structure_of(header.message_type, header.trigger_event)
    found = findings(message, profile) if structure else check(message, rules, None)
    assert all(each.mend and each.source and each.category for each in found if each.rule in {row[3] for row in SAID})
    return Counter((each.rule, each.path) for each in found)


@pytest.mark.parametrize(("profile", "name", "changes", "rule", "path"), SAID)
def test_exactly_the_broken_statement_is_told(
    profile: str, name: str, changes: list[tuple[str, int, str | None]], rule: str, path: str
) -> None:
    message = sample(name)
    added = told_by(changed(message, changes), profile) - told_by(message, profile)
    assert dict(added) == {(rule, path): 1}


def test_who_names_no_payor_at_all_is_told_so() -> None:
    message = changed(sample("102-zqa-z02-v2.4-request"), [("AUT", 2, ""), ("MSH", 6, "")])
    told = told_by(message, "network-zqa")
    assert (told["ZQA-payor", "AUT"], told["ZQA-payor", "AUT[2]"], told["AUT-2.usage", "AUT-2"]) == (1, 0, 1)


def test_every_statement_of_every_shipped_profile_is_broken() -> None:
    said = {each.id for name in profile_files() for each in resolved(name).statements}
    assert said - {rule for *_, rule, _ in SAID} == {"ZQA-payor"}
