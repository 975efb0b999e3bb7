"""What a profile says over what it extends, key by key.

Imports rules.profile_model, rules.profile_words and rules.strict_yaml only.
"""

from collections.abc import Mapping
from typing import TypeVar

from hl7auth.rules.profile_model import Component, Element, FieldProfile, GroupProfile, Profile, SegmentProfile
from hl7auth.rules.profile_words import Verb
from hl7auth.rules.strict_yaml import Strict

Kept = TypeVar("Kept", bound=Strict)
Part = TypeVar("Part", FieldProfile, Component)
_SAME = (frozenset({"verb", "usage"}), frozenset({"table", "binding"}))
"""Keys that say the same thing in two ways: to say one takes the other back."""


def merge(base: Profile, own: Profile) -> Profile:
    """The profile with all that it inherits."""
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
            "status": own.status.over(base.status) if own.status and base.status else own.status or base.status,
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


def _over(base: Kept, own: Kept) -> Kept:
    said = _said(own)
    for same in _SAME:
        if same & said.keys():
            said |= dict.fromkeys(same - said.keys())
    return base.model_copy(update=said)


def _said(model: Strict) -> dict[str, object]:
    """What the file really says, so that silence inherits."""
    return {key: getattr(model, key) for key in model.model_fields_set}
