"""The attribute table of a segment as HL7's own pages draw it: one row a field, with its components that have rules.

Imports rules and resources only.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from hl7auth.resources import shipped
from hl7auth.rules.elements import table_of
from hl7auth.rules.profile import Component, FieldProfile, Profile, SegmentProfile, by_version
from hl7auth.rules.rule import ElementRule, FieldRule, SegmentRules
from hl7auth.rules.strict_yaml import Strict, load

FLAGS = {
    "C": "condition",
    "#": "may be cut off at C.LEN",
    "=": "never cut off",
    "P": "pre-adopted",
    "W": "withdrawn",
}
TITLES = {
    "number": "Seq#",
    "data_element": "Data Element",
    "name": "Description",
    "flags": "Flags",
    "verb": "Implement",
    "cardinality": "Cardinality",
    "length": "Length",
    "conformance_length": "C.LEN",
    "vocabulary": "Vocabulary",
    "type": "Data Type",
}


class Names(Strict):
    """The shape of profiles/dictionary/names.yaml: data types by code, item numbers by segment and field."""

    datatypes: dict[str, str]
    elements: dict[str, dict[int, str]]


@cache
def names() -> Names:
    """The names that come with the engine."""
    return load(shipped("profiles") / "dictionary" / "names.yaml", Names)


def rows(profile: Profile, rules: SegmentRules, version: str) -> list[dict[str, Any]]:
    """The fields that exist in the version, in their order; `components` holds the rows of those that have rules."""
    said = profile.segments.get(rules.name, SegmentProfile()).fields
    return [
        _with_components(profile, rule, said.get(rule.number, FieldProfile()), version)
        for rule in rules.fields[1:]
        if not rule.beyond
    ]


def flat(table: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every row, each followed by those of its components."""
    for row in table:
        yield row
        yield from flat(row.get("components", []))


def _with_components(
    profile: Profile, rule: ElementRule, said: FieldProfile | Component, version: str
) -> dict[str, Any]:
    parts = [
        _with_components(profile, part, said.components[part.number], version)
        for part in rule.components
        if part.number in said.components
    ]
    return _row(profile, rule, said, version) | ({"components": parts} if parts else {})


def _row(profile: Profile, rule: ElementRule, said: FieldProfile | Component, version: str) -> dict[str, Any]:
    field = rule if isinstance(rule, FieldRule) else None
    stored = by_version(said.conformance_length, version)
    row: dict[str, Any] = {
        "number": rule.number if field else rule.path.partition("-")[2],
        "data_element": names().elements.get(field.segment, {}).get(field.number) if field else None,
        "name": rule.name,
        "flags": _flags(rule, said, stored),
        "verb": "withdrawn" if field and field.withdrawn else _verb(rule),
        "usage": rule.usage,
        "cardinality": f"{field.min}..{'*' if field.max is None else field.max}" if field else None,
        "length": _length(rule),
        "conformance_length": rule.stored,
        "type": rule.datatype or None,
        "type_name": names().datatypes.get(rule.datatype.partition("_")[0]),  # CM_MSG is a CM
        "table": rule.table or None,
        "vocabulary": _vocabulary(profile, rule) or None,
    }
    more = {
        "conditional": bool(said.condition),
        "condition": said.condition,
        "constant": rule.constant,
        "source": rule.where.source(),
    }
    return row | {key: value for key, value in more.items() if value}


def _verb(rule: ElementRule) -> str:
    """The verb; where HL7's verbs have no word for a usage, its code."""
    return str(rule.verb) if rule.usage in ("R", "RE", "O", "X", "C(R/O)") else rule.usage


def _flags(rule: ElementRule, said: FieldProfile | Component, stored: str | None) -> str:
    flags = "C" if said.condition else ""
    flags += stored[-1] if stored else ""
    flags += "P" if isinstance(said, FieldProfile) and said.pre_adopted else ""
    return flags + ("W" if isinstance(rule, FieldRule) and rule.withdrawn else "")


def _length(rule: ElementRule) -> int | str | None:
    if rule.lengths:
        return ", ".join(map(str, rule.lengths))
    if rule.shortest:
        return f"{rule.shortest}..{'*' if rule.length is None else rule.length}"
    return rule.length


def _vocabulary(profile: Profile, rule: ElementRule) -> str:
    """The table and its name, and whether it may have other codes; a constant stands for itself."""
    if rule.constant is not None:
        return f"'{rule.constant}'"
    table = table_of(profile, rule.table) if rule.table else None
    return f"{rule.table} {table.name}" if table else rule.table
