"""What a profile says over what it extends, key by key; and that it says so where it relaxes a requirement.

Imports rules.profile_model, rules.strict_yaml and errors only.
"""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from hl7auth.errors import ConfigError
from hl7auth.rules.profile_model import (
    Component,
    Element,
    FieldProfile,
    GroupProfile,
    Profile,
    SegmentProfile,
    Verb,
    by_version,
)  # fmt: skip
from hl7auth.rules.strict_yaml import Strict
from hl7auth.wire.versions import VERSIONS, at_least

Kept = TypeVar("Kept", bound=Strict)
Part = TypeVar("Part", FieldProfile, Component)
_ASKING = ("verb", "usage", "cardinality", "since", "pre_adopted")
"""Keys that decide whether an element has to have a value."""
_SAME = (frozenset({"verb", "usage"}), frozenset({"table", "binding"}))
"""Keys that say the same thing in two ways: to say one takes the other back."""


def merge(base: Profile, own: Profile) -> Profile:
    """The profile with all that it inherits. Raises ConfigError where it relaxes an R without `departs`."""
    for place, path in departures(base, own):
        if path not in own.departs:
            raise ConfigError(
                f"{place}: {path} is required by '{base.profile}'; to relax it, name it in departs: [{path}]"
            )
    segments = dict(base.segments)
    for name, segment in own.segments.items():
        inherited = segments.get(name, SegmentProfile())
        fields = over_elements(inherited.fields, segment.fields, FieldProfile())
        segments[name] = inherited.model_copy(update={**_said(segment), "fields": fields})
    replaced = {statement.id for statement in own.statements}
    merged = own.model_copy(
        update={
            "departs": tuple(dict.fromkeys((*base.departs, *own.departs))),
            "applies": own.applies or base.applies,
            "structures": {**base.structures, **own.structures},
            "events": {**base.events, **own.events},
            "groups": _groups(base.groups, own.groups),
            "segments": segments,
            "flavours": {**base.flavours, **own.flavours},
            "statements": (*(kept for kept in base.statements if kept.id not in replaced), *own.statements),
            "structure": own.structure or base.structure,
            "tables": {**base.tables, **own.tables},
            "status": own.status or base.status,
            "severities": {**base.severities, **own.severities},
            "dialect": own.dialect or base.dialect,
        }
    )
    merged.places.update(base.places | own.places)
    return merged


def _groups(
    base: Mapping[str, dict[str, GroupProfile]], own: Mapping[str, dict[str, GroupProfile]]
) -> dict[str, dict[str, GroupProfile]]:
    found = {name: dict(groups) for name, groups in base.items()}
    for name, groups in own.items():
        into = found.setdefault(name, {})
        for place, rules in groups.items():
            into[place] = _over(into.get(place, GroupProfile()), rules)
    return found


def over_elements(base: Mapping[int, Part], own: Mapping[int, Part], nothing: Part) -> dict[int, Part]:
    """The fields or components of both, by number."""
    found = dict(base)
    for number, rules in own.items():
        inherited = found.get(number, nothing)
        update: dict[str, object] = {
            "components": over_elements(inherited.components, rules.components, Component()),
            "severities": {**inherited.severities, **rules.severities},
        }
        if isinstance(inherited, FieldProfile) and (taken_back := _least_taken_back(inherited, rules)):
            update["cardinality"] = taken_back
        found[number] = _over(inherited, rules).model_copy(update=update)
    return found


def _least_taken_back(base: FieldProfile, own: Element) -> str | None:
    """MAY over a field that had to come takes back that it must, unless the cardinality is said anew."""
    said = own.model_fields_set
    if base.cardinality is None or "cardinality" in said or not said & {"verb", "usage"} or _asked(own):
        return None
    return f"0..{base.cardinality.partition('..')[2]}"


def _asked(element: Element) -> bool:
    """True when the element is required or wished for in some version."""
    wanted = {Verb.SHALL, Verb.SHOULD}
    verbs, usages = _all(element.verb), _all(element.usage)
    return any(verb in wanted for verb in verbs) or any(usage not in ("O", "X", "B", "W", "IX") for usage in usages)


def _all(value: object) -> tuple[object, ...]:
    return tuple(value.values()) if isinstance(value, Mapping) else () if value is None else (value,)


def departures(base: Profile, own: Profile) -> Iterator[tuple[str, str]]:
    """(`file:line: key`, path) of each place that the base requires and the profile's own file does not."""
    for name, segment in own.segments.items():
        inherited = base.segments.get(name, SegmentProfile()).fields
        merged = over_elements(inherited, segment.fields, FieldProfile())
        keys = ("segments", name, "fields")
        for number, rules in segment.fields.items():
            if number in inherited:
                both = inherited[number], merged[number]
                yield from _relaxed(own, both, rules, f"{name}-{number}", (*keys, number))
    for structure, groups in own.groups.items():
        for group, said in groups.items():
            had = base.groups.get(structure, {}).get(group)
            if had is not None and least(had) and least(said) == 0:
                yield _spot(own, ("groups", structure, group)), f"{structure}.{group}"


def least(group: GroupProfile) -> int | None:
    """How often a group has to come, by cardinality, verb or usage; None where the profile does not say."""
    if group.cardinality is not None:
        return int(group.cardinality.partition("..")[0])
    if group.verb is None and group.usage is None:
        return None
    return int(group.verb is Verb.SHALL or group.usage == "R")


def _relaxed(
    own: Profile, both: tuple[Element, Element], rules: Element, path: str, keys: tuple[str | int, ...]
) -> Iterator[tuple[str, str]]:
    """`both` are the element as it was and as it is with the rules."""
    base, merged = both
    if any(required(base, version) and not required(merged, version) for version in VERSIONS):
        for key in [each for each in _ASKING if each in rules.model_fields_set][:1]:
            yield _spot(own, (*keys, key)), path
    for number, part in rules.components.items():
        if number in base.components:
            below = (*keys, "components", number)
            parts = base.components[number], merged.components[number]
            yield from _relaxed(own, parts, part, f"{path}.{number}", below)


def required(element: Element, version: str) -> bool:
    """True when the element is R, SHALL have a value, or has to come at least once, and exists in that version."""
    usage, verb, least_once = by_version(element.usage, version), by_version(element.verb, version), False
    if isinstance(element, FieldProfile):
        if element.since is not None and not element.pre_adopted and not at_least(version, element.since):
            return False
        least_once = element.cardinality is not None and not element.cardinality.startswith("0")
    return usage == "R" or verb is Verb.SHALL or (least_once and usage in (None, "O") and verb in (None, Verb.MAY))


def _spot(profile: Profile, keys: tuple[str | int, ...]) -> str:
    return f"{profile.place(*keys)}: {'.'.join(map(str, keys))}"


def _over(base: Kept, own: Kept) -> Kept:
    said = _said(own)
    for same in _SAME:
        if same & said.keys():
            said |= dict.fromkeys(same - said.keys())
    return base.model_copy(update=said)


def _said(model: Strict) -> dict[str, object]:
    """What the file really says, so that silence inherits."""
    return {key: getattr(model, key) for key in model.model_fields_set}
