"""What a profile relaxes of that which the profile it extends requires; it has to say so in `departs`.

Imports rules.profile_model, rules.profile_words, rules.profile_merge, rules.syntax, rules.dictionary and errors only.
"""

from collections.abc import Iterator, Mapping

from hl7auth.errors import ConfigError
from hl7auth.rules.dictionary import Node
from hl7auth.rules.profile_merge import over_elements
from hl7auth.rules.profile_model import (
    Component,
    Departing,
    Element,
    FieldProfile,
    Flavour,
    GroupProfile,
    Profile,
    SegmentProfile,
)
from hl7auth.rules.profile_words import Verb, by_version
from hl7auth.rules.syntax import parse_syntax
from hl7auth.wire.versions import VERSIONS, at_least

_ASKING = ("verb", "usage", "cardinality", "since", "pre_adopted")
"""Keys that decide whether an element has to have a value."""
_DEEPEST = 2
"""Levels below a field: components and subcomponents."""
Keys = tuple[str | int, ...]
Parts = tuple[int, ...]


def departing(base: Profile, own: Profile) -> Departing:
    """What the profile's own file departs from. Raises ConfigError where it relaxes an R without `departs`."""
    relaxed = dict[str, str]()
    for place, path in departures(base, own):
        relaxed.setdefault(path, place)
    for path, place in relaxed.items():
        if path not in own.departs:
            raise ConfigError(
                f"{place}: {path} is required by '{base.profile}'; to relax it, name it in departs: [{path}]"
            )
    return Departing(own.departs, frozenset(relaxed), frozenset(base.departs))


def departures(base: Profile, own: Profile) -> Iterator[tuple[str, str]]:
    """(`file:line: key`, path) of each place that the base requires and the profile's own file does not.

    Paths are those of fields and components (`AUT-2`, `AUT-6.1`), groups (`RPA_I08.PROCEDURE`) and components of
    flavours (`CWE_CODED.3`).
    """
    for name, segment in own.segments.items():
        inherited = base.segments.get(name, SegmentProfile()).fields
        merged = over_elements(inherited, segment.fields, FieldProfile())
        for number, rules in segment.fields.items():
            if number in inherited:
                both = inherited[number], merged[number]
                yield from _of_field(base, own, both, rules, (name, number))
    yield from _of_flavours(base, own)
    for structure, groups in own.groups.items():
        for group, said in groups.items():
            had = base.groups.get(structure, {}).get(group)
            if had is not None and least(had) and least(said) == 0:
                yield _spot(own, ("groups", structure, group)), f"{structure}.{group}"
    for structure in own.structures.keys() & base.structures.keys():
        for path in _lost_places(base.structures[structure], own.structures[structure], structure):
            yield _spot(own, ("structures", structure)), path


def least(group: GroupProfile) -> int | None:
    """How often a group has to come, by cardinality, verb or usage; None where the profile does not say."""
    if group.cardinality is not None:
        return int(group.cardinality.partition("..")[0])
    if group.verb is None and group.usage is None:
        return None
    return int(group.verb is Verb.SHALL or group.usage == "R")


def required(element: Element, version: str) -> bool:
    """True when the element is R, SHALL have a value, or has to come at least once, and exists in that version."""
    usage, verb, least_once = by_version(element.usage, version), by_version(element.verb, version), False
    if isinstance(element, FieldProfile):
        if element.since is not None and not element.pre_adopted and not at_least(version, element.since):
            return False
        least_once = element.cardinality is not None and not element.cardinality.startswith("0")
    return usage == "R" or verb is Verb.SHALL or (least_once and usage in (None, "O") and verb in (None, Verb.MAY))


def _of_field(
    base: Profile, own: Profile, both: tuple[FieldProfile, FieldProfile], rules: FieldProfile, at: tuple[str, int]
) -> Iterator[tuple[str, str]]:
    """`both` are the field as it was and as it is with the rules."""
    was, merged = both
    path, keys = f"{at[0]}-{at[1]}", ("segments", at[0], "fields", at[1])
    if any(required(was, version) and not required(merged, version) for version in VERSIONS):
        for key in [each for each in _ASKING if each in rules.model_fields_set][:1]:
            yield _spot(own, (*keys, key)), path
    # a flavour that the file redefines is judged by itself
    flavours = {**own.flavours, **base.flavours}
    for parts in _lost(was, merged, base.flavours, flavours):
        yield _spot(own, (*keys, *_saying(rules, parts))), f"{path}.{'.'.join(map(str, parts))}"


def _of_flavours(base: Profile, own: Profile) -> Iterator[tuple[str, str]]:
    """The flavours that the file redefines, each by itself: what it is made of is as it was."""
    flavours = {**own.flavours, **base.flavours}
    for name, flavour in own.flavours.items():
        if name in base.flavours:
            rules = Component(components=flavour.components)
            now = Component(type=flavour.base, components=flavour.components)
            for parts in _lost(Component(type=name), now, base.flavours, flavours):
                keys = _saying(rules, parts) or ("base",)
                yield _spot(own, ("flavours", name, *keys)), f"{name}.{'.'.join(map(str, parts))}"


def _lost(
    was: Element, merged: Element, before: Mapping[str, Flavour], after: Mapping[str, Flavour]
) -> Iterator[Parts]:
    """The components that had to have a value in some version and have not any more."""
    found = dict[Parts, None]()
    for version in VERSIONS:
        still = set(_wanted(merged, after, version))
        found |= dict.fromkeys(parts for parts in _wanted(was, before, version) if parts not in still)
    yield from found


def _wanted(element: Element, flavours: Mapping[str, Flavour], version: str, above: Parts = ()) -> Iterator[Parts]:
    """The components that have to have a value, with those that the element's flavour requires."""
    components, name, seen = dict(element.components), by_version(element.type, version), set[str]()
    while name is not None and name in flavours and name not in seen:
        seen.add(name)
        flavour = flavours[name]
        components, name = over_elements(flavour.components, components, Component()), flavour.base
    for number, part in components.items():
        if required(part, version):
            yield (*above, number)
        if len(above) + 1 < _DEEPEST:
            yield from _wanted(part, flavours, version, (*above, number))


def _saying(rules: Element, parts: Parts) -> Keys:
    """The keys by which an element's rules come to bear on a component: its own, else the nearest type around it."""
    keys, found = list[str | int](), list[str | int]()
    for number in parts:
        found = [*keys, "type"] if "type" in rules.model_fields_set else found
        if number not in rules.components:
            return tuple(found or keys)
        keys, rules = [*keys, "components", number], rules.components[number]
    said = [each for each in (*_ASKING, "type") if each in rules.model_fields_set][:1]
    return (*keys, *said) if said else tuple(found or keys)


def _lost_places(before: str, after: str, name: str) -> Iterator[str]:
    """The places at message level that one syntax requires and another of that name does not."""
    try:
        was, now = parse_syntax(before, name), parse_syntax(after, name)
    except ValueError:
        return  # told of where it is compiled
    still = {_first(child) for child in now.children if child.min}
    yield from (f"{name}.{child.name}" for child in was.children if child.min and _first(child) not in still)


def _first(node: Node) -> str:
    return _first(node.children[0]) if node.children else node.name


def _spot(profile: Profile, keys: Keys) -> str:
    return f"{profile.place(*keys)}: {'.'.join(map(str, keys))}"
