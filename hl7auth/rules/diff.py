"""What changes for a message when it is checked against one profile instead of another.

Imports rules and wire only.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from hl7auth.rules.compiled import CompiledProfile, compile_profile
from hl7auth.rules.profile import Component, FieldProfile, Profile, SegmentProfile
from hl7auth.rules.rule import ElementRule, FieldRule, SegmentRules
from hl7auth.wire.versions import VERSIONS

Kind = Literal["stricter", "looser", "new", "gone", "changed"]
_OF_FIELD = re.compile(r"[A-Z][A-Z0-9]{2}-\d")
Said = FieldProfile | Component
KINDS: tuple[Kind, ...] = ("stricter", "looser", "new", "gone", "changed")

_USAGES = {"R": 3.0, "RE": 1.0, "O": 0.0, "B": 0.0, "IX": 0.0, "W": 1.0, "X": 2.0}
_SEVERITIES = ("information", "alert", "warning", "error")
_USAGE_WORDS = {
    "R": "required (SHALL)",
    "RE": "required if known (SHOULD)",
    "O": "optional (MAY)",
    "X": "not to be sent (SHALL NOT)",
    "B": "kept for old receivers only (B)",
    "W": "withdrawn (W)",
    "IX": "left out of account (IX)",
}


class Difference(NamedTuple):
    """One thing that differs at a place (`AUT-13`, `RPA_I08.PROCEDURE`): what, how it was and is, in which versions."""

    kind: Kind
    path: str
    name: str
    what: str
    before: str
    after: str
    versions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The difference in words."""
        place = f"{self.path} {self.name}".strip()
        return f"{place}: {self.what}: {self.after or 'nothing is said'} (before: {self.before or 'nothing was said'})"

    def entry(self) -> dict[str, Any]:
        """The difference as plain data."""
        return {**self._asdict(), "versions": list(self.versions), "text": self.text}


def diff(before: Profile, after: Profile, versions: Sequence[str] = VERSIONS) -> list[Difference]:
    """The differences between two resolved profiles in these versions, place by place.

    Raises ConfigError for a profile that can not be compiled in one of them.
    """
    found: dict[Difference, list[tuple[str, str]]] = {}
    for version in versions:
        old, new = compile_profile(before, version), compile_profile(after, version)
        for each in _in_version(old, new):
            # a field that is spelled otherwise in another version is the same field
            found.setdefault(each._replace(name=""), []).append((version, each.name))
    differences = [
        each._replace(name=reached[-1][1], versions=tuple(version for version, _ in reached))
        for each, reached in found.items()
    ]
    return [*differences, *(each._replace(versions=tuple(versions)) for each in _whole(before, after))]


def _in_version(old: CompiledProfile, new: CompiledProfile) -> Iterator[Difference]:
    for name in dict.fromkeys((*old.segments, *new.segments)):
        had, has = old.segments.get(name), new.segments.get(name)
        had_fields, has_fields = bool(had and had.fields), bool(has and has.fields)
        if had_fields != has_fields:
            kind: Kind = "new" if has_fields else "gone"
            words = ("", "they are checked")
            yield Difference(kind, name, "", "fields", *(words if has_fields else words[::-1]))
        elif had is not None and has is not None:
            yield from _segment(old.profile, new.profile, had, has)


def _segment(old: Profile, new: Profile, had: SegmentRules, has: SegmentRules) -> Iterator[Difference]:
    whole = tuple(str(each.segments.get(had.name, SegmentProfile()).severity) for each in (old, new))
    if whole[0] != whole[1]:
        kind = _compared(*map(_SEVERITIES.index, whole))
        yield Difference(kind, had.name, "", "severity of its fields", whole[0], whole[1])
    for before, after in zip(had.fields[1:], has.fields[1:], strict=False):
        said = (_said(old, before), _said(new, after))
        if not (before.beyond and after.beyond):
            yield from _field(before, after)
            yield from _element(before, after, said, whole)
    for extra in had.fields[len(has.fields) :]:
        yield Difference("gone", extra.path, extra.name, "field", "known", "")
    for extra in has.fields[len(had.fields) :]:
        yield Difference("new", extra.path, extra.name, "field", "", "known")


def _said(profile: Profile, rule: FieldRule) -> FieldProfile:
    segment = profile.segments.get(rule.segment, SegmentProfile())
    return segment.fields.get(rule.number, FieldProfile())


def _field(old: FieldRule, new: FieldRule) -> Iterator[Difference]:
    if old.beyond != new.beyond:
        words = "not in this version", "allowed, though of another version"
        yield _of(new, "looser" if old.beyond else "stricter", "version", *(words if old.beyond else words[::-1]))
    if (old.max, old.min) != (new.max, new.min):
        kind = _both(_compared(_most(new.max), _most(old.max)), _compared(old.min, new.min))
        yield _of(new, kind, "cardinality", _cardinality(old), _cardinality(new))
    if old.withdrawn != new.withdrawn:
        words = "withdrawn", "in use"
        yield _of(new, "looser" if old.withdrawn else "stricter", "use", *(words if old.withdrawn else words[::-1]))


def _element(
    old: ElementRule, new: ElementRule, said: tuple[Said, Said], above: tuple[str, ...]
) -> Iterator[Difference]:
    """What fields and components have in common, and their components. `above` are the severities around them: a
    difference that comes from there is told there."""
    if old.usage != new.usage:
        yield _of(new, _compared(_asked(old.usage), _asked(new.usage)), "usage", _usage(old), _usage(new))
    conditions = said[0].condition or "", said[1].condition or ""
    if conditions[0] != conditions[1]:
        yield _of(new, _by_presence(*conditions), "condition", *conditions)
    if old.datatype != new.datatype and old.datatype and new.datatype:
        yield _of(new, "changed", "data type", old.datatype, new.datatype)
    if (old.length, old.shortest, old.lengths) != (new.length, new.shortest, new.lengths):
        kind = _both(_compared(_most(new.length), _most(old.length)), _compared(old.shortest, new.shortest))
        yield _of(new, kind, "length", _length(old), _length(new))
    if old.stored != new.stored:
        yield _of(new, "changed", "conformance length", str(old.stored or ""), str(new.stored or ""))
    if old.constant != new.constant:
        yield _of(
            new,
            _by_presence(old.constant or "", new.constant or ""),
            "constant",
            old.constant or "",
            new.constant or "",
        )
    yield from _codes(old, new)
    severities = old.severity, new.severity
    if severities[0] != severities[1] and severities != above:
        yield _of(new, _compared(*map(_SEVERITIES.index, severities)), "severity", *severities)
    for kind_of in sorted({*old.severities, *new.severities}):
        worst = old.severities.get(kind_of, old.severity), new.severities.get(kind_of, new.severity)
        if worst[0] != worst[1] and worst != severities:
            yield _of(new, _compared(*map(_SEVERITIES.index, worst)), f"severity of {kind_of}", *worst)
    yield from _components(old, new, said)


def _components(old: ElementRule, new: ElementRule, said: tuple[Said, Said]) -> Iterator[Difference]:
    had, has = ({part.number: part for part in rule.components} for rule in (old, new))
    for number in sorted(had.keys() | has.keys()):
        below = said[0].components.get(number, Component()), said[1].components.get(number, Component())
        if number in had and number in has:
            yield from _element(had[number], has[number], below, (old.severity, new.severity))
        elif number in has:
            yield _of(has[number], "new", "component", "", _summary(has[number]))
        else:
            yield _of(had[number], "gone", "component", _summary(had[number]), "")


def _summary(rule: ElementRule) -> str:
    parts = [_usage(rule), _length(rule), f"table {rule.table}" if rule.table else "", rule.constant or ""]
    return ", ".join(part for part in parts if part)


def _codes(old: ElementRule, new: ElementRule) -> Iterator[Difference]:
    if old.table != new.table:
        yield _of(new, _by_presence(old.table, new.table), "table", old.table, new.table)
    if old.codes == new.codes:
        if old.codes is not None and old.code_severity != new.code_severity:
            worst = old.code_severity, new.code_severity
            yield _of(new, _compared(*map(_SEVERITIES.index, worst)), "severity of other codes", *worst)
        return
    had, has = old.codes or frozenset(), new.codes or frozenset()
    if old.codes is None or new.codes is None:
        kind: Kind = "stricter" if old.codes is None else "looser"
        words = "any code", f"one of {_listed(has or had)}"
        yield _of(new, kind, "codes", *(words if old.codes is None else words[::-1]))
        return
    kind = "stricter" if has < had else "looser" if has > had else "changed"
    yield _of(new, kind, "codes", f"with {_listed(had - has)}", f"with {_listed(has - had)}")


def _whole(old: Profile, new: Profile) -> Iterator[Difference]:
    """What is said of the whole message."""
    for key, what in (("structures", "structure"), ("events", "structure of the event"), ("flavours", "flavour")):
        yield from _keyed(what, _plain(getattr(old, key)), _plain(getattr(new, key)))
    groups = (
        {f"{name}.{group}": rules for name, inner in each.groups.items() for group, rules in inner.items()}
        for each in (old, new)
    )
    yield from _keyed("group", *(_plain(each) for each in groups))
    # what is said of the rules of a field shows in its severities
    rules = ({rule: each for rule, each in one.severities.items() if not _OF_FIELD.match(rule)} for one in (old, new))
    yield from _keyed("severity of the rule", *(_plain(each) for each in rules))
    statements = ({each.id: each for each in profile.statements} for profile in (old, new))
    yield from _keyed("statement", *(_plain(each) for each in statements))
    for key, what in (
        ("structure", "essential segments"),
        ("applies", "applies to"),
        ("status", "status"),
        ("dialect", "dialect"),
    ):
        yield from _keyed(what, _plain({"profile": getattr(old, key)}), _plain({"profile": getattr(new, key)}))
    relaxed = ", ".join(old.departs), ", ".join(new.departs)
    if relaxed[0] != relaxed[1]:
        yield Difference("changed", "profile", "", "departs from what is required at", *relaxed)


def _keyed(what: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Difference]:
    for key in dict.fromkeys((*old, *new)):
        before, after = old.get(key, ""), new.get(key, "")
        if before != after:
            kind: Kind = "changed" if before and after else "new" if after else "gone"
            yield Difference(kind, key, "", what, before, after)


def _plain(values: Mapping[str, Any]) -> dict[str, str]:
    """Each value as the text that the file would have."""
    return {key: text for key, value in values.items() if (text := _text(value))}


def _text(value: Any) -> str:
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, dict):
        return ", ".join(f"{key} {text}" for key, each in value.items() if (text := _text(each)))
    if isinstance(value, list | tuple):
        return " ".join(map(_text, value))
    return "" if value is None else str(value)


def _of(rule: ElementRule, kind: Kind, what: str, before: str, after: str) -> Difference:
    return Difference(kind, rule.path, rule.name, what, before, after)


def _compared(before: float, after: float) -> Kind:
    return "stricter" if after > before else "looser" if after < before else "changed"


def _both(one: Kind, other: Kind) -> Kind:
    """The kind of two comparisons together, each "changed" where it is equal."""
    if "changed" in (one, other):
        return other if one == "changed" else one
    return one if one == other else "changed"


def _by_presence(before: str, after: str) -> Kind:
    return "changed" if before and after else "stricter" if after else "looser"


def _most(number: int | None) -> float:
    return float("inf") if number is None else number


def _asked(usage: str) -> float:
    """How much a usage asks for; of C(a/b) the middle of both."""
    if usage.startswith("C("):
        yes, _, no = usage[2:-1].partition("/")
        return (_USAGES[yes] + _USAGES[no]) / 2
    return _USAGES[usage]


def _usage(rule: ElementRule) -> str:
    return _USAGE_WORDS.get(rule.usage, f"by condition ({rule.usage})")


def _cardinality(rule: FieldRule) -> str:
    return f"{rule.min}..{'*' if rule.max is None else rule.max}"


def _length(rule: ElementRule) -> str:
    if rule.lengths:
        return " or ".join(map(str, rule.lengths))
    if rule.shortest:
        return f"{rule.shortest}..{'*' if rule.length is None else rule.length}"
    return f"at most {rule.length}" if rule.length is not None else ""


def _listed(codes: frozenset[str]) -> str:
    some = sorted(codes)
    more = f" and {len(some) - 12} more" if len(some) > 12 else ""
    return (", ".join(some[:12]) + more) or "none"
