"""A profile compiled for one version: per segment a flat list of field rules, ready for the check.

Imports wire, rules and errors only.
"""

import re
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from hl7auth.rules.datatypes import TypeChecker
from hl7auth.rules.dictionary import Dictionary, FieldDef, SegmentDef, dictionary
from hl7auth.rules.predicate import Condition, compile_condition
from hl7auth.rules.profile import (
    Component,
    FieldProfile,
    Profile,
    SegmentProfile,
    Severity,
    Verb,
    by_version,
    resolved,
)  # fmt: skip
from hl7auth.rules.tables import shipped_tables
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.versions import at_least


class ComponentRule(NamedTuple):
    """Rules for one component; `codes` None means that any value will do."""

    number: int
    verb: Verb
    length: int | None
    codes: frozenset[str] | None
    code_severity: Severity
    table: str


class Verdict(NamedTuple):
    """What is wrong with a raw field value, wherever it stands."""

    rule: str
    severity: Severity
    code: str
    text: str
    repetition: int = 0
    component: int = 0
    subcomponent: int = 0


@dataclass(frozen=True)
class FieldRule:
    """Everything that is checked of one field in one version."""

    segment: str
    number: int
    name: str
    verb: Verb
    withdrawn: bool
    beyond: bool
    min: int
    max: int | None
    datatype: str
    length: int | None
    truncated_at: int | None
    codes: frozenset[str] | None
    code_severity: Severity
    table: str
    severity: Severity
    condition: Condition | None
    components: tuple[ComponentRule, ...]
    types: TypeChecker

    @cached_property
    def plain(self) -> bool:
        """True when there is nothing to judge but data type and length."""
        special = self.beyond or self.withdrawn or self.verb is Verb.SHALL_NOT
        return not (special or self.codes or self.components or self.truncated_at)

    @property
    def path(self) -> str:
        """`AUT-6`."""
        return f"{self.segment}-{self.number}"


class StatementRule(NamedTuple):
    """A compiled conformance statement."""

    id: str
    holds: Condition
    text: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class SegmentRules:
    """The rules of one segment; `fields[n]` is field n, `demanded` the numbers of those that may be missed."""

    name: str
    fields: list[FieldRule]
    demanded: tuple[int, ...]
    statements: tuple[StatementRule, ...]

    @property
    def stands_alone(self) -> bool:
        """True when the verdict on such a segment depends on nothing but itself."""
        return not self.statements and not any(self.fields[number].condition for number in self.demanded)

    def nothing_seen(self, delimiters: Delimiters) -> list[set[str]]:
        """One empty set of good values a field; the name is no field, and MSH-1 and MSH-2 are no data to be judged."""
        good: list[set[str]] = [set() for _ in self.fields]
        if good:
            good[0].add(self.name)
        if self.name == "MSH":
            good[1].add(delimiters.field)
            good[2].add(delimiters.encoding_characters)
        return good


class GoodValues(NamedTuple):
    """What was found good under a sender's delimiters: values by segment and field, and whole segments."""

    values: dict[str, list[set[str]]]
    segments: set[str]


@dataclass(frozen=True, slots=True)
class CompiledProfile:
    """A profile for one version of HL7, and the raw values it has found good, by delimiters, segment and field."""

    profile: Profile
    version: str
    dictionary: Dictionary
    segments: dict[str, SegmentRules]
    essential: frozenset[str]
    seen: dict[Delimiters, GoodValues] = field(default_factory=dict)

    def good_values(self, delimiters: Delimiters) -> GoodValues:
        """What was found good under a sender's delimiters so far."""
        good = self.seen.get(delimiters)
        if good is None:
            if len(self.seen) >= 16:  # a sender who changes delimiters with every message remembers nothing
                self.seen.clear()
            values = {name: rules.nothing_seen(delimiters) for name, rules in self.segments.items()}
            good = self.seen[delimiters] = GoodValues(values, set())
        return good


@cache
def compiled(name: str, version: str, folder: Path | None = None) -> CompiledProfile:
    """The profile of that name for a version, compiled once. Raises what `resolved` and `dictionary` raise."""
    return compile_profile(resolved(name, folder), version)


def compile_profile(profile: Profile, version: str) -> CompiledProfile:
    """A Profile compiled for a version."""
    known = dictionary(version)
    types = TypeChecker(known)
    named = {statement.segment: None for statement in profile.statements} | dict(profile.segments)
    segments = {
        name: _segment(profile, known.segments[name], rules, version, types)
        for name, rules in named.items()
        if name in known.segments and known.segments[name].fields
    }
    essential = frozenset(profile.structure.essential if profile.structure else ())
    return CompiledProfile(profile, version, known, segments, essential)


def _segment(
    profile: Profile, known: SegmentDef, rules: SegmentProfile | None, version: str, types: TypeChecker
) -> SegmentRules:
    """The rules of a segment; without rules of its own it has statements only."""
    statements = tuple(
        StatementRule(each.id, compile_condition(each.holds), each.text, each.severity)
        for each in profile.statements
        if each.segment == known.name
    )
    if rules is None:
        return SegmentRules(known.name, [], (), statements)
    count = max(len(known.fields), max(rules.fields, default=0))
    fields = [_field(profile, known, rules, number, version, types) for number in range(1, count + 1)]
    demanded = tuple(
        rule.number
        for rule in fields
        if not rule.beyond and (rule.verb in (Verb.SHALL, Verb.SHOULD) or (rule.condition and rule.verb is Verb.MAY))
    )
    return SegmentRules(known.name, [fields[0], *fields], demanded, statements)


_NO_FIELD = FieldDef("", "X", 0, None, "varies", None)


def _field(
    profile: Profile, known: SegmentDef, rules: SegmentProfile, number: int, version: str, types: TypeChecker
) -> FieldRule:
    base = known.fields[number - 1] if number <= len(known.fields) else _NO_FIELD
    own = rules.fields.get(number, FieldProfile())
    low, high = _cardinality(own, base)
    table = own.table or base.table or ""
    codes, code_severity = _codes(profile, table, version)
    late = own.since is not None and not at_least(version, own.since)
    verb = by_version(own.verb, version) or (Verb.SHALL if base.usage == "R" else Verb.MAY)
    return FieldRule(
        segment=known.name,
        number=number,
        name=own.name or base.name,
        verb=verb,
        withdrawn=base.usage in ("W", "X") and own.verb is None and not own.pre_adopted,
        beyond=(late or number > len(known.fields)) and not own.pre_adopted,
        min=low,
        max=high,
        datatype=by_version(own.type, version) or base.datatype,
        length=by_version(own.length, version),
        truncated_at=_truncation(by_version(own.conformance_length, version)),
        codes=codes,
        code_severity=code_severity,
        table=table,
        severity=own.severity or rules.severity,
        condition=compile_condition(own.condition) if own.condition else None,
        components=tuple(_component(profile, n, part, version) for n, part in own.components.items()),
        types=types,
    )


def _cardinality(own: FieldProfile, base: FieldDef) -> tuple[int, int | None]:
    if own.cardinality is None:
        return base.min, base.max
    low, high = own.cardinality.split("..")
    return int(low), None if high == "*" else int(high)


def _codes(profile: Profile, number: str, version: str) -> tuple[frozenset[str] | None, Severity]:
    """A table that nobody filled accepts everything: that is a fault of the profile at most, never of a message."""
    table = profile.tables.get(number) or shipped_tables().get(number)
    if table is None or not table.values:
        return None, "warning"
    return table.codes(version), "error" if table.kind == "hl7" else "warning"


def _component(profile: Profile, number: int, part: Component, version: str) -> ComponentRule:
    codes, code_severity = _codes(profile, part.table or "", version)
    return ComponentRule(number, part.verb, part.length, codes, code_severity, part.table or "")


def _truncation(text: str | None) -> int | None:
    """`45#` allows a sender to cut at 45; `45=` does not."""
    match = re.fullmatch(r"(\d+)#", text or "")
    return int(match[1]) if match else None
