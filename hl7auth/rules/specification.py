"""Faults of a profile that only show when it is compiled for a version: never blamed on a message.

Imports wire and rules only.
"""

import re
from collections.abc import Iterator

from hl7auth.rules.compiled import CompiledProfile
from hl7auth.rules.dictionary import Dictionary, Node, dictionary
from hl7auth.rules.elements import table_of
from hl7auth.rules.finding import Category, Finding
from hl7auth.rules.place import Path
from hl7auth.rules.predicate import Condition
from hl7auth.rules.rule import ElementRule, FieldRule, SegmentRules, Where
from hl7auth.rules.shape import names_place
from hl7auth.wire.ack import Location
from hl7auth.wire.versions import VERSIONS

_RULE_ID = re.compile(
    r"([A-Z][A-Z0-9]{2})-(\d+)(?:\.(\d+))?(?:\.\d+)?\.(?:usage|cardinality|delete|length|conformance_length|truncated"
    r"|type|table|constant|unexpected)"
)
_OTHER_RULES = re.compile(r"structure\.(?:sequence|cardinality|unexpected|missing)|wire\.[a-z-]+|check\.limit")


def _newest() -> Dictionary:
    """A profile speaks of all versions: what a later one has is no mistake in it."""
    return dictionary(VERSIONS[-1])


def specification_faults(profile: CompiledProfile) -> list[Finding]:
    """Everything in the profile that can not be evaluated in this version: tables that nobody filled, conditions
    without a sentence that a machine can read, places and types that do not exist, overrides of rules that are none."""
    return [*_of_segments(profile), *_of_statements(profile), *_of_severities(profile), *_of_groups(profile)]


def _fault(rule: str, path: str, text: str, category: Category, source: str, mend: str) -> Finding:
    segment = path[:3] if path else "MSH"
    finding = Finding(rule, "specification", path, text, "0", Location(segment), 0, 0)
    return finding._replace(category=category, source=source, mend=mend)


def _of_segments(profile: CompiledProfile) -> Iterator[Finding]:
    for rules in profile.segments.values():
        for rule in rules.fields[1:]:
            if not rule.beyond:
                yield from _of_element(profile, rule)
                yield from _of_field(profile, rule)
    for name in profile.profile.segments:
        if name not in profile.segments and name not in _newest().segments:
            text = f"HL7 has no segment {name}: its rules are not checked"
            source = Where(profile.profile.places, (("segments", name),)).source()
            mend = f"Give {name} a name that begins with Z, or leave it out."
            yield _fault(f"{name}.unknown", name, text, "structure", source, mend)


def _of_field(profile: CompiledProfile, rule: FieldRule) -> Iterator[Finding]:
    known = profile.dictionary.datatypes
    if rule.datatype and rule.datatype not in known and rule.datatype not in ("varies", "VARIES", "*", "ANY"):
        text = f"{rule.path} has data type {rule.datatype}, which HL7 {profile.version} does not have"
        mend = f"Name a data type of HL7 {profile.version}, or a flavour of the profile."
        yield _fault(f"{rule.path}.type", rule.path, text, "format", rule.source("type"), mend)


def _of_element(profile: CompiledProfile, rule: ElementRule) -> Iterator[Finding]:
    if rule.table and rule.codes is None and _is_bound(profile, rule):
        table = table_of(profile.profile, rule.table)
        state = "has no codes yet" if table else "is not configured"
        text = f"{rule.path} {rule.name} is bound to table {rule.table}, which {state}: any value will do"
        mend = f'Fill table {rule.table} in the profile (tables: {{"{rule.table}": ...}}).'
        yield _fault(f"{rule.path}.table", rule.path, text, "value set", rule.source("table"), mend)
    if rule.condition is None and rule.usage.startswith("C("):
        text = f"{rule.path} {rule.name} has usage {rule.usage} without a condition: it is taken as optional"
        mend = "Say in `condition` when it is required."
        yield _fault(f"{rule.path}.usage", rule.path, text, "predicate", rule.source("usage"), mend)
    if rule.condition is not None:
        yield from _of_condition(profile, f"{rule.path}.usage", rule.path, rule.condition, rule.where)
    for component in rule.components:
        yield from _of_element(profile, component)


def _is_bound(profile: CompiledProfile, rule: ElementRule) -> bool:
    """True where the profile itself speaks of the element: what HL7 suggests alone is nobody's fault."""
    places = profile.profile.places
    return any(".".join(map(str, keys)) in places for keys in rule.where.spots)


def _of_condition(
    profile: CompiledProfile, rule: str, path: str, condition: Condition, where: Where
) -> Iterator[Finding]:
    for asked in condition.paths:
        if asked.scope != "this" and asked.field and not _exists(profile, asked):
            place = f"{asked.segment}-{asked.field}"
            text = f"the condition of {rule} reads {place}, which does not exist: it is always empty"
            mend = "Read another field."
            yield _fault(rule, path, text, "predicate", where.source("usage"), mend)


def _exists(profile: CompiledProfile, asked: Path) -> bool:
    own = profile.segments.get(asked.segment)
    if own is not None and 0 < asked.field < len(own.fields):
        return True
    known = [each.segments.get(asked.segment) for each in (profile.dictionary, _newest())]
    return any(asked.field <= len(each.fields) for each in known if each is not None)


def _of_statements(profile: CompiledProfile) -> Iterator[Finding]:
    rules = [*profile.statements, *(each for segment in profile.segments.values() for each in segment.statements)]
    for statement in rules:
        yield from _of_condition(profile, statement.id, statement.segment, statement.holds, statement.where)


def _of_severities(profile: CompiledProfile) -> Iterator[Finding]:
    statements = {each.id for each in profile.profile.statements}
    for rule in profile.profile.severities:
        match = _RULE_ID.fullmatch(rule)
        known = profile.segments.get(match[1]) if match else None
        if rule in statements or _OTHER_RULES.fullmatch(rule):
            continue
        if match is not None and known is not None and _has_place(profile, known, match):
            continue
        text = f"severities names '{rule}', which is no rule of this profile"
        source = Where(profile.profile.places, (("severities", rule),)).source()
        yield _fault(rule, "", text, "constraint", source, "Name a rule as findings do, like AUT-13.usage.")


def _has_place(profile: CompiledProfile, rules: SegmentRules, rule: re.Match[str]) -> bool:
    """True when the segment has that field, and its data type that component, in this version or in the last."""
    number = int(rule[2])
    if not _exists(profile, Path("", rules.name, number)):
        return False
    component = int(rule[3] or 0)
    if not component or number >= len(rules.fields):
        return True
    types = [each.datatypes.get(rules.fields[number].datatype) for each in (profile.dictionary, _newest())]
    known = [len(parts) for parts in types if parts]
    return not known or component <= max(known)


def _is_anywhere(root: Node, structure: str, path: tuple[str, ...]) -> bool:
    """Groups change their names from version to version: one that any version has is no mistake."""
    others = (dictionary(version).structures.get(structure) for version in reversed(VERSIONS))
    return names_place(root, path) or any(other is not None and names_place(other, path) for other in others)


def _of_groups(profile: CompiledProfile) -> Iterator[Finding]:
    for event, structure in profile.profile.events.items():
        if not profile.has_structure(structure):
            text = f"{event} has structure {structure}, which neither the profile nor HL7 {profile.version} has"
            source = Where(profile.profile.places, (("events", event),)).source()
            yield _fault("structure", "", text, "structure", source, "Describe the structure in `structures`.")
    for structure, groups in profile.profile.groups.items():
        root = profile.structures.get(structure)
        if root is None and not any(structure in dictionary(version).structures for version in VERSIONS):
            text = f"neither the profile nor HL7 has a structure {structure}: what is said of it is not checked"
            source = Where(profile.profile.places, (("groups", structure),)).source()
            yield _fault("structure", "", text, "structure", source, "Describe the structure in `structures`.")
        for group in groups if root else ():
            if root and not _is_anywhere(root, structure, tuple(group.split("."))):
                text = f"{structure} of HL7 has no {group}: what the profile says of it is not checked"
                source = Where(profile.profile.places, (("groups", structure, group),)).source()
                yield _fault("structure", "", text, "structure", source, "Name a group or a segment of the structure.")
