"""What is questionable in a profile that is right as YAML: rules that can never apply, tables without codes, leftovers.

Imports rules and wire only.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from hl7auth.errors import Fault
from hl7auth.rules.compiled import CompiledProfile, compile_profile
from hl7auth.rules.dictionary import Node, dictionary
from hl7auth.rules.finding import Finding
from hl7auth.rules.profile import Component, FieldProfile, Profile, Verb, by_version
from hl7auth.rules.rule import ElementRule, FieldRule, short
from hl7auth.rules.specification import specification_faults
from hl7auth.wire.versions import VERSIONS, at_least

_QUOTED = re.compile(r"'[^']*'")
_SEGMENT_IN_PATH = re.compile(r"\b([A-Z][A-Z0-9]{2})-\d")
Keys = tuple[str | int, ...]


class Doubt(NamedTuple):
    """One questionable thing: the place in the message, what is questionable about it, and `file:line`."""

    path: str
    text: str
    place: str

    def entry(self) -> dict[str, str]:
        """The doubt as plain data."""
        return self._asdict()


def doubts(profile: Profile) -> list[Doubt]:
    """What is questionable in a resolved profile. Raises ConfigError where it can not be compiled for its versions."""
    return list(_Doubts(profile).all())


class _Doubts:
    """Looks at a profile in all the versions that it is for."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.versions = (profile.applies.versions if profile.applies else ()) or VERSIONS
        self.compiled = {version: compile_profile(profile, version) for version in self.versions}
        self.names = self._segment_names()

    def all(self) -> Iterator[Doubt]:
        yield from self._specification()
        for name, segment in self.profile.segments.items():
            if self.names and name not in self.names:
                yield self._doubt(name, "no structure that the profile is for has this segment", "segments", name)
            for number, said in segment.fields.items():
                yield from self._field(name, number, said)
        yield from self._statements()
        yield from self._whole_message()
        yield from self._flavours()
        yield from self._departs()

    def _is_own(self, *keys: str | int) -> bool:
        """True when the profile's own file says it: what it inherits is for more messages than its own."""
        own, place = self.profile.place("profile"), self.profile.place(*keys)
        return own.rpartition(":")[0] == place.rpartition(":")[0]

    def _doubt(self, path: str, text: str, *keys: str | int) -> Doubt:
        return Doubt(path, text, short(self.profile.place(*keys)))

    def _specification(self) -> Iterator[Doubt]:
        """What shows when it is compiled, each once for all versions that have it."""
        found: dict[tuple[str, str], list[tuple[str, Finding]]] = {}
        for version, each in self.compiled.items():
            for fault in specification_faults(each):
                text = fault.text.replace(f"HL7 {version}", "HL7")
                found.setdefault((fault.path or fault.rule, text), []).append((version, fault))
        for (path, text), faults in found.items():
            where = "" if len(faults) == len(self.versions) else f" ({', '.join(version for version, _ in faults)})"
            yield Doubt(path, f"{text}{where}. {faults[0][1].mend}", faults[0][1].source)

    def _field(self, name: str, number: int, said: FieldProfile) -> Iterator[Doubt]:
        path, keys = f"{name}-{number}", ("segments", name, "fields", number)
        rules = [found for each in self.compiled.values() if (found := _rule(each, name, number)) is not None]
        if rules and all(rule.beyond for rule in rules) and self._is_own(*keys):
            late = said.since is not None and not any(at_least(version, said.since) for version in self.versions)
            if late or not any(_defines(version, name, number) for version in self.versions):
                text = "no version that the profile is for has this field: its rules never apply"
                yield self._doubt(path, text, *keys)
                return
        for at, element, below in _elements(path, said, keys):
            yield from self._element(at, element, below)
        for rule in rules[-1:]:
            yield from self._values(rule, said, keys)

    def _element(self, path: str, said: FieldProfile | Component, keys: Keys) -> Iterator[Doubt]:
        if said.condition:
            yield from self._condition(path, said.condition, (*keys, "condition"))
        for version in self.versions[-1:]:
            usage, verb = by_version(said.usage, version) or "", by_version(said.verb, version)
            if said.condition and (
                usage in ("R", "RE", "X", "B", "W", "IX") or verb in ("SHALL", "SHOULD", "SHALL NOT")
            ):
                yield self._doubt(path, f"the condition has no effect beside {usage or verb}", *keys, "condition")

    def _values(self, rule: ElementRule, said: FieldProfile | Component, keys: Keys) -> Iterator[Doubt]:
        """A constant or codes that the rest of the element does not allow; components that its data type has not."""
        if rule.constant is not None and rule.codes is not None and rule.constant not in rule.codes:
            yield self._doubt(rule.path, f"the constant is not in table {rule.table}", *keys, "constant")
        if rule.constant is not None and rule.length is not None and len(rule.constant) > rule.length:
            yield self._doubt(rule.path, f"the constant is longer than {rule.length}", *keys, "constant")
        if rule.codes and rule.length is not None and not rule.components and min(map(len, rule.codes)) > rule.length:
            yield self._doubt(
                rule.path, f"every code of table {rule.table} is longer than {rule.length}", *keys, "length"
            )
        parts = [len(each.dictionary.datatypes.get(rule.datatype, ())) for each in self.compiled.values()]
        for number in sorted(said.components):
            known = rule.datatype and any(rule.datatype in each.dictionary.datatypes for each in self.compiled.values())
            if known and number > max(1, *parts):
                text = f"data type {rule.datatype} has no component {number}"
                yield self._doubt(f"{rule.path}.{number}", text, *keys, "components", number)
        for part in rule.components:
            if part.number in said.components:
                yield from self._values(part, said.components[part.number], (*keys, "components", part.number))

    def _condition(self, path: str, text: str, keys: Keys) -> Iterator[Doubt]:
        for name in sorted(set(_SEGMENT_IN_PATH.findall(_QUOTED.sub("", text)))):
            if self.names and name not in self.names:
                yield self._doubt(path, f"the condition names {name}, which no structure of the profile has", *keys)

    def _statements(self) -> Iterator[Doubt]:
        for each in self.profile.statements:
            keys = "statements", each.id
            yield from self._condition(each.id, each.holds, keys)
            known = each.segment in self.profile.segments or any(
                each.segment in one.dictionary.segments for one in self.compiled.values()
            )
            if not known or (self.names and each.segment not in self.names):
                yield self._doubt(each.id, f"no message has the segment {each.segment}: it never applies", *keys)

    def _whole_message(self) -> Iterator[Doubt]:
        profile = self.profile
        for name in profile.structures:
            if name not in profile.events.values():
                yield self._doubt(name, "no event of the profile has this structure", "structures", name)
        for name, groups in profile.groups.items():
            for group, said in groups.items():
                if said.verb is Verb.SHOULD or said.usage == "RE":
                    text = "nothing is said of a group that should come and does not: write a statement instead"
                    yield self._doubt(f"{name}.{group}", text, "groups", name, group)
        for name in profile.structure.essential if profile.structure else ():
            if self.names and name not in self.names:
                yield self._doubt(name, "it is essential, and no structure of the profile has it", "structure")
        for message in profile.applies.messages if profile.applies else ():
            kind, _, event = message.partition("^")
            if event and not any(each.structure_of(kind, event) for each in self.compiled.values()):
                yield self._doubt(message, "the profile is for it and knows no structure for it", "applies", "messages")

    def _flavours(self) -> Iterator[Doubt]:
        flavours = self.profile.flavours
        used = {name for _, element, _ in self._all_elements() for name in _types(element)}
        used |= {flavour.base for flavour in flavours.values()}
        for name in sorted(set(flavours) - used):
            yield self._doubt(name, "nothing has this flavour", "flavours", name)

    def _departs(self) -> Iterator[Doubt]:
        """A place that the file names and does not relax: left over, or a number that was mistyped."""
        said = self.profile.departing
        relaxed = said.relaxed.union(*(each.relaxed for each in self.compiled.values()))
        for number, path in enumerate(said.named):
            if path not in relaxed:
                yield self._doubt(path, "departs names it, and it is not relaxed", "departs", number)
            elif path in said.inherited and path not in said.relaxed:
                text = f"departs names it, and {self.profile.extends} departs there already"
                yield self._doubt(path, text, "departs", number)

    def _all_elements(self) -> Iterator[tuple[str, FieldProfile | Component, Keys]]:
        for name, segment in self.profile.segments.items():
            for number, said in segment.fields.items():
                yield from _elements(f"{name}-{number}", said, ("segments", name, "fields", number))

    def _segment_names(self) -> frozenset[str]:
        """The segments of all structures that the profile says it is for; empty when it is for any message."""
        names: set[str] = set()
        messages = [*(self.profile.applies.messages if self.profile.applies else ()), *self.profile.events]
        for message in messages if self.profile.applies and self.profile.applies.messages else ():
            kind, _, event = message.partition("^")
            for each in self.compiled.values():
                structure = each.structure_of(kind, event)
                root = _root(each, structure) if structure else None
                if root is None:
                    return frozenset()
                names.update(_names(root))
        return frozenset(names)


def _elements(
    path: str, said: FieldProfile | Component, keys: Keys
) -> Iterator[tuple[str, FieldProfile | Component, Keys]]:
    """An element and all below it."""
    yield path, said, keys
    for number, part in said.components.items():
        yield from _elements(f"{path}.{number}", part, (*keys, "components", number))


def _types(said: FieldProfile | Component) -> Sequence[str]:
    return tuple(said.type.values()) if isinstance(said.type, Mapping) else (said.type,) if said.type else ()


def _rule(compiled: CompiledProfile, name: str, number: int) -> FieldRule | None:
    rules = compiled.segments.get(name)
    return rules.fields[number] if rules is not None and number < len(rules.fields) else None


def _defines(version: str, name: str, number: int) -> bool:
    try:
        segment = dictionary(version).segments.get(name)
    except Fault:
        return False
    return segment is not None and number <= len(segment.fields)


def _root(compiled: CompiledProfile, structure: str) -> Node | None:
    return compiled.structures.get(structure) or compiled.dictionary.structures.get(structure)


def _names(node: Node) -> Iterator[str]:
    if not node.children:
        yield node.name
    for child in node.children:
        yield from _names(child)
