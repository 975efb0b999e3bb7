"""Compiled rules: what is checked of one field, component, statement and segment in one version.

Imports wire, rules.profile_words, rules.predicate, rules.datatypes and rules.finding only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import PurePath
from typing import NamedTuple

from hl7auth.rules.datatypes import TypeChecker
from hl7auth.rules.finding import Category, Severity
from hl7auth.rules.predicate import Condition
from hl7auth.rules.profile_words import DeletePattern, Verb
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.message import NULL

#: The keys of a profile that a breach of one kind comes from, the most telling first
_SAYING: dict[str, tuple[str, ...]] = {
    "usage": ("usage", "verb", "condition", "cardinality"),
    "cardinality": ("cardinality",),
    "delete": ("cardinality",),
    "length": ("length",),
    "conformance_length": ("conformance_length",),
    "truncated": ("conformance_length",),
    "type": ("type",),
    "table": ("binding", "table"),
    "constant": ("constant",),
    "unexpected": ("since",),
}


class Where(NamedTuple):
    """Where a profile speaks of an element: its own keys first, then those of the flavour it has.

    `places` are those of the profile: `file:line` by key.
    """

    places: Mapping[str, str]
    spots: tuple[tuple[str | int, ...], ...]

    def source(self, kind: str = "") -> str:
        """`profiles/aut-standard.yaml:12`; of the nearest key around it where the kind of rule is not said."""
        for keys in self.spots:
            for key in _SAYING.get(kind, ()):
                if found := self.places.get(".".join(map(str, (*keys, key)))):
                    return short(found)
        for keys in self.spots[:1]:
            for end in range(len(keys), 0, -1):
                if found := self.places.get(".".join(map(str, keys[:end]))):
                    return short(found)
        return ""


@lru_cache(maxsize=4096)
def short(place: str) -> str:
    """`profiles/aut-standard.yaml:12` of a place with its whole path: a report travels, folders do not."""
    path, _, line = place.rpartition(":")
    return "/".join(PurePath(path).parts[-2:]) + f":{line}" if path else ""


@dataclass(frozen=True, kw_only=True)
class ElementRule:
    """What is checked of a field or a component alike; `codes` None means that any value will do.

    `length`, `shortest` and `lengths` are LEN (greatest, least, or the ones that there may be), `stored` is C.LEN.
    """

    path: str
    number: int
    name: str
    usage: str
    verb: Verb
    condition: Condition | None
    datatype: str
    length: int | None
    shortest: int
    lengths: tuple[int, ...]
    truncated_at: int | None
    stored: int | None
    constant: str | None
    codes: frozenset[str] | None
    code_severity: Severity
    table: str
    severity: Severity
    severities: Mapping[str, Severity]
    components: "tuple[ComponentRule, ...]"
    where: Where
    standard: str
    types: TypeChecker
    _sources: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def source(self, kind: str) -> str:
        """The place in the profile that a breach of one kind comes from."""
        found = self._sources.get(kind)
        if found is None:
            found = self._sources[kind] = self.where.source(kind)
        return found

    @property
    def conditions(self) -> list[Condition]:
        """Its condition and those of its components."""
        own = [] if self.condition is None else [self.condition]
        return own + [each for part in self.components for each in part.conditions]

    @property
    def asked_for(self) -> bool:
        """True when it may be missed: R, RE, or one of them by condition."""
        return "R" in self.usage

    @cached_property
    def branches(self) -> tuple[str, str] | None:
        """Of C(a/b) what holds where the condition is true, and where it is false; None without a condition."""
        if self.condition is None or not self.usage.startswith("C("):
            return None
        yes, _, no = self.usage[2:-1].partition("/")
        return yes, no

    @cached_property
    def measured(self) -> bool:
        """True when there is more to a length than its greatest."""
        return bool(self.shortest or self.lengths or self.stored or self.truncated_at)

    def severity_of(self, kind: str, severity: Severity) -> Severity:
        """What a breach is: as the profile says for this kind, else as usual, but never worse than the element."""
        return self.severities.get(kind) or milder(severity, self.severity)


@dataclass(frozen=True, kw_only=True)
class ComponentRule(ElementRule):
    """Rules for one component, or one subcomponent; its data type is empty where the field's own is enough."""

    @cached_property
    def looks_around(self) -> bool:
        """True when a condition asks for more than the element that holds it."""
        own = self.branches is not None and self.condition is not None and not self.condition.asks_this_alone
        return own or any(part.looks_around for part in self.components)


class PartLimits(NamedTuple):
    """What is quickly seen of a component; `at` counts from 0, and a `composite` one is looked at more closely."""

    at: int
    length: int | None
    codes: frozenset[str] | None
    wanted: bool
    composite: bool


@dataclass(frozen=True, kw_only=True)
class FieldRule(ElementRule):
    """Everything that is checked of one field in one version."""

    segment: str
    withdrawn: bool
    beyond: bool
    min: int
    max: int | None
    retyped: frozenset[int]

    @cached_property
    def plain(self) -> bool:
        """True when there is nothing to judge but data type and greatest length."""
        return self.limits == () and not self.codes

    @cached_property
    def limits(self) -> tuple[PartLimits, ...] | None:
        """What makes a value right besides data type, greatest length and table; None where it takes a closer look."""
        special = self.beyond or self.withdrawn or self.usage in ("X", "B") or self.contextual or self.min > 1
        if special or self.constant is not None or self.measured or self.retyped:
            return None
        found = []
        for part in self.components:
            if part.constant is not None or part.measured or part.usage not in ("O", "R", "RE"):
                return None
            if any(inner.number == 1 or inner.usage != "O" for inner in part.components):
                return None
            wanted = part.usage != "O"
            found.append(PartLimits(part.number - 1, part.length, part.codes, wanted, bool(part.components)))
        return tuple(found)

    @cached_property
    def needs_scene(self) -> bool:
        """True when a condition decides over a value that is there."""
        return self.contextual or any(part.conditions for part in self.components)

    @cached_property
    def contextual(self) -> bool:
        """True when a value alone does not tell whether it is right."""
        forbidden = self.branches is not None and "X" in self.branches
        return forbidden or any(part.looks_around for part in self.components)


class Verdict(NamedTuple):
    """What is wrong with a raw field value, wherever it stands; `kind` is the last word of the rule id."""

    rule: str
    severity: Severity
    code: str
    text: str
    repetition: int = 0
    component: int = 0
    subcomponent: int = 0
    kind: str = ""
    category: Category = ""
    element: ElementRule | None = None
    mend: str = ""


class StatementRule(NamedTuple):
    """A compiled conformance statement."""

    id: str
    holds: Condition
    text: str
    severity: Severity
    where: Where
    scope: str = "segment"
    segment: str = ""


@dataclass(frozen=True, slots=True)
class SegmentRules:
    """The rules of one segment; `fields[n]` is field n, `demanded` the numbers of those that may be missed."""

    name: str
    fields: list[FieldRule]
    demanded: tuple[int, ...]
    statements: tuple[StatementRule, ...]
    delete_pattern: tuple[DeletePattern, ...] = ("all_fields",)
    key: int | None = None
    _alone: list[bool] = field(default_factory=list)

    @property
    def stands_alone(self) -> bool:
        """True when the verdict on such a segment depends on nothing but itself."""
        if not self._alone:
            conditions = any(self.fields[number].condition for number in self.demanded)
            self._alone.append(not (self.statements or conditions or any(rule.contextual for rule in self.fields)))
        return self._alone[0]

    def deletes(self, fields: list[str]) -> bool:
        """True for a segment of `""` that deletes all (chapter 2, 2.10.4.1), in a form that the profile allows.

        All fields: more than one is sent, without a gap, and each is `""`. Else one alone is, the first or the key.
        """
        if NULL not in fields:
            return False
        sent = [number for number, raw in enumerate(fields) if raw and number]
        if any(fields[number] != NULL for number in sent):
            return False
        if len(sent) > 1:
            return "all_fields" in self.delete_pattern and sent[-1] == len(sent)
        (only,) = sent
        return ("first_field" in self.delete_pattern and only == 1) or (
            "key" in self.delete_pattern and only == self.key
        )

    def nothing_seen(self, delimiters: Delimiters) -> list[set[str]]:
        """One empty set of good values a field; the name is no field, and MSH-1 and MSH-2 are no data to be judged."""
        good: list[set[str]] = [set() for _ in self.fields]
        if good:
            good[0].add(self.name)
        if self.name == "MSH":
            good[1].add(delimiters.field)
            good[2].add(delimiters.encoding_characters)
        return good


def milder(one: Severity, other: Severity) -> Severity:
    """The lesser of two severities."""
    return max(one, other, key=_ORDER.index)


_ORDER: list[Severity] = ["error", "warning", "alert", "information"]
