"""A profile compiled for one version: per segment a flat list of field rules, ready for the check.

Imports wire, rules and errors only.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hl7auth.rules.datatypes import TypeChecker
from hl7auth.rules.dictionary import Dictionary, FieldDef, Node, SegmentDef, dictionary
from hl7auth.rules.edition import keep_only
from hl7auth.rules.elements import Making, field_rule
from hl7auth.rules.finding import Severity
from hl7auth.rules.predicate import compile_condition
from hl7auth.rules.profile import Profile, SegmentProfile, Statement, forget_profiles, resolved
from hl7auth.rules.rule import ComponentRule, ElementRule, FieldRule, SegmentRules, StatementRule, Verdict, Where
from hl7auth.rules.shape import own_structures
from hl7auth.rules.status import StatusMap, standard_status
from hl7auth.rules.structure import Layout, layout_of
from hl7auth.wire.delimiters import Delimiters

__all__ = [
    "CompiledProfile",
    "ComponentRule",
    "ElementRule",
    "FieldRule",
    "GoodValues",
    "SegmentRules",
    "StatementRule",
    "Verdict",
    "compile_profile",
    "compiled",
    "keep_editions",
]


class GoodValues(NamedTuple):
    """What was found good under a sender's delimiters: values by segment and field, and whole segments."""

    values: dict[str, list[set[str]]]
    segments: set[str]


@dataclass(frozen=True, slots=True)
class CompiledProfile:
    """A profile for one version of HL7, and the raw values it has found good, by delimiters, segment and field.

    `statements` are those about the message as a whole; `structures` are those that it brings along or changes;
    `relaxed` are the fields and groups that HL7 requires in this version and the profile does not. `names` is what a
    message decides, complete. `unread` are the fields of AUT, in order, that are left out of account: this version has
    them not, and the profile does not adopt them.
    """

    profile: Profile
    version: str
    dictionary: Dictionary
    segments: dict[str, SegmentRules]
    essential: frozenset[str]
    statements: tuple[StatementRule, ...] = ()
    structures: Mapping[str, Node] = field(default_factory=dict)
    events: Mapping[tuple[str, str], str] = field(default_factory=dict)
    asks_groups: bool = False
    relaxed: frozenset[str] = frozenset()
    names: StatusMap = field(default_factory=standard_status)
    unread: tuple[int, ...] = ()
    seen: dict[Delimiters, GoodValues] = field(default_factory=dict)

    def structure_of(self, message_type: str, event: str) -> str | None:
        """The structure id of a message: as the profile's events say, else the dictionary; None for an unknown one."""
        return self.events.get((message_type, event)) or self.dictionary.structure_of(message_type, event)

    def layout(self, structure: str, names: tuple[str, ...]) -> Layout:
        """The Layout of a message with these segment names. Raises KeyError for an unknown structure."""
        return layout_of(self.structures.get(structure) or self.dictionary.structures[structure], names)

    def root_of(self, structure: str) -> Node | None:
        """The structure of that name, the profile's own or the dictionary's; None where there is none."""
        return self.structures.get(structure) or self.dictionary.structures.get(structure)

    def has_structure(self, structure: str) -> bool:
        """True when a message can be laid out by it."""
        return self.root_of(structure) is not None

    def severity_of(self, rule: str, severity: Severity) -> Severity:
        """What a breach of a rule is that belongs to no element: as the profile says, else as usual."""
        return self.profile.severities.get(rule, severity)

    def good_values(self, delimiters: Delimiters) -> GoodValues:
        """What was found good under a sender's delimiters so far."""
        good = self.seen.get(delimiters)
        if good is None:
            if len(self.seen) >= 16:  # a sender who changes delimiters with every message remembers nothing
                self.seen.clear()
            values = {name: rules.nothing_seen(delimiters) for name, rules in self.segments.items()}
            good = self.seen[delimiters] = GoodValues(values, set())
        return good


_compiled: dict[tuple[str, str, Path | None, str], CompiledProfile] = {}


def compiled(name: str, version: str, folder: Path | None = None, edition: str = "") -> CompiledProfile:
    """The profile of that name (or of an edition of it) for a version, compiled once.

    Raises what `resolved` and `dictionary` raise.
    """
    key = (name, version, folder, edition)
    found = _compiled.get(key)
    if found is None:
        found = _compiled[key] = compile_profile(resolved(name, folder, edition), version)
    return found


def keep_editions(editions: Collection[str]) -> None:
    """Lets go of all that was read and compiled but for these editions."""
    for key in [key for key in _compiled if key[3] not in editions]:
        del _compiled[key]
    forget_profiles(editions)
    keep_only(editions)


def compile_profile(profile: Profile, version: str) -> CompiledProfile:
    """A Profile compiled for a version. Raises ConfigError where it can not be, or relaxes HL7 without `departs`."""
    known = dictionary(version)
    making = Making(profile, version, known, TypeChecker(known), {}, set())
    statements = [_statement(profile, each) for each in profile.statements]
    named = {each.segment: None for each in statements if each.scope != "message"} | dict(profile.segments)
    segments = {
        name: _segment(making, known.segments.get(name) or _own_segment(name, rules), rules, statements)
        for name, rules in named.items()
        if (name in known.segments and known.segments[name].fields) or name.startswith("Z")
    }
    structures = own_structures(profile, known, making.relaxed)
    events = {_event(event): structure for event, structure in profile.events.items()}
    return CompiledProfile(
        profile=profile,
        version=version,
        dictionary=known,
        segments=segments,
        essential=frozenset(profile.structure.essential if profile.structure else ()),
        statements=tuple(each for each in statements if each.scope == "message"),
        # an event whose structure this version does not have has none
        events={key: name for key, name in events.items() if name in structures or name in known.structures},
        structures=structures,
        asks_groups=_asks_groups(segments, statements),
        relaxed=frozenset(making.relaxed),
        unread=_unread(segments.get("AUT"), known),
        names=profile.status.over(standard_status()) if profile.status else standard_status(),
    )


def _unread(rules: SegmentRules | None, known: Dictionary) -> tuple[int, ...]:
    """The fields of AUT before its action code that this version has not, as far as no profile adopts them."""
    if rules is None:
        return tuple(range(len(known.segments["AUT"].fields) + 1, 29)) if "AUT" in known.segments else ()
    fields = rules.fields
    return tuple(number for number in range(1, 29) if number >= len(fields) or fields[number].beyond)


def _event(text: str) -> tuple[str, str]:
    kind, _, event = text.partition("^")
    return kind, event


def _asks_groups(segments: Mapping[str, SegmentRules], statements: list[StatementRule]) -> bool:
    conditions = [each.holds for each in statements]
    for rules in segments.values():
        conditions += [condition for rule in rules.fields for condition in rule.conditions]
    return any(condition.asks_group for condition in conditions)


def _statement(profile: Profile, said: Statement) -> StatementRule:
    where = Where(profile.places, (("statements", said.id),))
    holds = compile_condition(said.holds, said.scope)
    severity = profile.severities.get(said.id, said.severity)
    return StatementRule(said.id, holds, said.text, severity, where, said.scope, said.segment)


def _own_segment(name: str, rules: SegmentProfile | None) -> SegmentDef:
    """A segment that HL7 does not have is what the profile says of its fields."""
    fields = rules.fields if rules else {}
    count = max(fields, default=0)
    nothing = FieldDef("", "O", 0, None, "varies", None)
    return SegmentDef(name, (nothing,) * count)


def _segment(
    making: Making, known: SegmentDef, rules: SegmentProfile | None, statements: list[StatementRule]
) -> SegmentRules:
    """The rules of a segment; without rules of its own it has statements only."""
    own = tuple(each for each in statements if each.segment == known.name and each.scope != "message")
    if rules is None:
        return SegmentRules(known.name, [], (), own)
    count = max(len(known.fields), max(rules.fields, default=0))
    fields = [field_rule(making, known, rules, number) for number in range(1, count + 1)]
    demanded = tuple(rule.number for rule in fields if not rule.beyond and rule.asked_for)
    return SegmentRules(known.name, [*fields[:1], *fields], demanded, own, rules.delete_pattern, rules.key)
