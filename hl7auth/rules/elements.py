"""Rules of fields and components made of what a profile says and what the dictionary has.

Imports wire, rules and errors only.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypedDict, TypeVar

from hl7auth.errors import ConfigError
from hl7auth.rules.datatypes import TypeChecker
from hl7auth.rules.dictionary import ComponentDef, Dictionary, FieldDef, SegmentDef, dictionary
from hl7auth.rules.finding import Severity
from hl7auth.rules.predicate import Condition, compile_condition
from hl7auth.rules.profile_merge import over_elements
from hl7auth.rules.profile_model import Binding, Component, Element, FieldProfile, Profile, SegmentProfile
from hl7auth.rules.profile_words import Verb, by_version, reached
from hl7auth.rules.rule import ComponentRule, FieldRule, Where
from hl7auth.rules.section import section_of
from hl7auth.rules.tables import Table, shipped_tables
from hl7auth.wire.versions import VERSIONS, at_least

Said = TypeVar("Said", FieldProfile, Component)
NO_FIELD = FieldDef("", "X", 0, None, "varies", None)
_VERBS = {Verb.SHALL: "R", Verb.SHOULD: "RE", Verb.MAY: "O", Verb.SHALL_NOT: "X"}
_USAGES = {"C": "C(R/X)", "CE": "C(RE/X)"}
_BINDINGS: dict[tuple[str, str], Severity] = {
    ("required", "closed"): "error",
    ("required", "open"): "warning",
    ("suggested", "closed"): "warning",
    ("suggested", "open"): "alert",
}


class Making(NamedTuple):
    """What all rules of a profile in one version are made with. `coded` remembers which parts of values have codes,
    `relaxed` are the fields that HL7 requires and the profile does not."""

    profile: Profile
    version: str
    dictionary: Dictionary
    types: TypeChecker
    coded: dict[tuple[str, str | None], bool]
    relaxed: set[str]


class _Outer(NamedTuple):
    """What a component takes from the element that holds it."""

    path: str
    severity: Severity
    where: Where
    standard: str


class _Common(TypedDict):
    usage: str
    verb: Verb
    condition: Condition | None
    length: int | None
    shortest: int
    lengths: tuple[int, ...]
    truncated_at: int | None
    stored: int | None
    constant: str | None
    codes: frozenset[str] | None
    code_severity: Severity
    table: str
    severities: Mapping[str, Severity]


def field_rule(making: Making, known: SegmentDef, rules: SegmentProfile, number: int) -> FieldRule:
    """The rule of one field. Raises ConfigError where the profile relaxes an R of HL7 without `departs`."""
    profile, version = making.profile, making.version
    own = rules.fields.get(number, FieldProfile())
    base = known.fields[number - 1] if number <= len(known.fields) else _later(known.name, number, own)
    path, keys = f"{known.name}-{number}", ("segments", known.name, "fields", number)
    own, datatype, flavours = _unflavoured(making, own, by_version(own.type, version) or base.datatype)
    common = _common(making, own, path, base.usage, _table(making, base, datatype))
    low, high = _cardinality(own, base)
    late = own.since is not None and not at_least(version, own.since)
    relaxed = common["usage"] != "R" or (late and not own.pre_adopted)
    if base.usage == "R" and relaxed and number in rules.fields:
        making.relaxed.add(path)
    if path in making.relaxed and path not in profile.departs:
        spot = (*keys, "since" if late else "usage" if own.usage is not None else "verb")
        named = f"{profile.place(*spot)}: {'.'.join(map(str, spot))}"
        raise ConfigError(f"{named}: HL7 {version} requires {path}; to relax it, name it in departs: [{path}]")
    severity = own.severity or rules.severity
    where = Where(profile.places, (keys, *flavours))
    standard = section_of(known.name, version, number, by_version(rules.section, version))
    parts, retyped = _components(making, own, datatype, _Outer(path, severity, where, standard))
    withdrawn = by_version(own.usage, version) == "W" or (
        base.usage in ("W", "X") and own.verb is None and own.usage is None
    )
    return FieldRule(
        path=path,
        number=number,
        name=own.name or base.name,
        datatype=datatype,
        severity=severity,
        components=parts,
        where=where,
        standard=standard,
        segment=known.name,
        withdrawn=withdrawn and not own.pre_adopted,
        beyond=(late or number > len(known.fields)) and not own.pre_adopted,
        min=low,
        max=high,
        retyped=retyped,
        types=making.types,
        **common,
    )


def _table(making: Making, base: FieldDef, datatype: str) -> str | None:
    """The table of the field, unless its first component has it too: a wrong code is told of once."""
    parts = making.dictionary.datatypes.get(datatype, ())
    twice = bool(parts) and parts[0].table == base.code_table and _is_defined(making, base.code_table)
    return None if twice else base.code_table


def _later(segment: str, number: int, own: FieldProfile) -> FieldDef:
    """A field of a later version that is pre-adopted is what the last version says, but nobody requires it yet."""
    if own.pre_adopted:
        found = dictionary(VERSIONS[-1]).segments.get(segment)
        if found is not None and number <= len(found.fields):
            later = found.fields[number - 1]
            return FieldDef(later.name, "O", 0, later.max, later.datatype, later.table)
    return NO_FIELD


def _unflavoured(making: Making, own: Said, datatype: str) -> tuple[Said, str, tuple[tuple[str | int, ...], ...]]:
    """The element with what its flavours say below what it says itself, and the data type that they are made of."""
    flavours, spots = making.profile.flavours, list[tuple[str | int, ...]]()
    while datatype in flavours:
        if ("flavours", datatype) in spots:
            place = making.profile.place("flavours", datatype)
            raise ConfigError(f"{place}: flavours.{datatype}.base: it is a flavour of itself")
        spots.append(("flavours", datatype))
        flavour = flavours[datatype]
        update: dict[str, object] = {"components": over_elements(flavour.components, own.components, Component())}
        if own.length is None:
            update["length"] = flavour.length
        own, datatype = own.model_copy(update=update), flavour.base
    return own, datatype, tuple(spots)


def _common(making: Making, own: Element, path: str, base_usage: str, base_table: str | None) -> _Common:
    version = making.version
    usage = _usage(own, base_usage, version)
    length = own.length
    if isinstance(length, dict):
        floor = reached(length, version)
        length = length[floor] if floor else None
    shortest, longest, lengths = _lengths(length)
    stored = by_version(own.conformance_length, version)
    table, codes, code_severity = _codes(making, own, base_table)
    listed = making.profile.severities
    severities = {str(kind): each for kind, each in own.severities.items()} | {
        rule.rpartition(".")[2]: each for rule, each in listed.items() if rule.rpartition(".")[0] == path
    }
    return _Common(
        usage=usage,
        verb=next((verb for verb, code in _VERBS.items() if code == usage), Verb.MAY),
        condition=compile_condition(own.condition) if own.condition else None,
        length=longest,
        shortest=shortest,
        lengths=lengths,
        truncated_at=int(stored[:-1]) if stored and stored.endswith("#") else None,
        stored=int(stored[:-1]) if stored else None,
        constant=own.constant,
        codes=codes,
        code_severity=code_severity,
        table=table,
        severities=severities,
    )


def _usage(own: Element, base: str, version: str) -> str:
    """R, RE, O, X, B, W, IX or C(a/b). Of HL7's own words only R counts: its conditions are sentences."""
    code, verb = by_version(own.usage, version), by_version(own.verb, version)
    if code is not None:
        usage = _USAGES.get(code, code)
    elif verb is not None:
        usage = _VERBS[verb]
    else:
        usage = "R" if base == "R" else "O"
    if usage == "O" and isinstance(own, FieldProfile) and not (own.cardinality or "0").startswith("0"):
        usage = "R"  # what has to come at least once is required, whatever the word
    if usage == "O" and own.condition:
        usage = "C(R/O)"
    return usage


def _lengths(length: int | str | tuple[int, ...] | None) -> tuple[int, int | None, tuple[int, ...]]:
    """(least, greatest, the ones that there may be)."""
    if isinstance(length, tuple):
        return 0, max(length), tuple(sorted(set(length)))
    if isinstance(length, str):
        least, _, most = length.partition("..")
        return int(least) if int(least) > 1 else 0, None if most == "*" else int(most), ()
    return 0, length, ()


def _cardinality(own: Element, base: FieldDef) -> tuple[int, int | None]:
    said = own.cardinality if isinstance(own, FieldProfile) else None
    if said is None:
        return base.min, base.max
    low, _, high = said.partition("..")
    return int(low), None if high == "*" else int(high)


def table_of(profile: Profile, number: str) -> Table | None:
    """The profile's own table of that number, else the shipped one."""
    return profile.tables.get(number) or shipped_tables().get(number)


def _codes(making: Making, own: Element, base: str | None) -> tuple[str, frozenset[str] | None, Severity]:
    """A table that nobody filled accepts everything: that is a fault of the profile at most, never of a message."""
    binding = own.binding or Binding(table=own.table or base or "")
    table = table_of(making.profile, binding.table)
    codes = table.codes(making.version) if table is not None else None
    if table is None or not codes:
        return binding.table, None, "warning"
    extensibility = binding.extensibility or ("closed" if table.kind == "hl7" else "open")
    return binding.table, codes, _BINDINGS[binding.strength, extensibility]


def _components(
    making: Making, own: Element, datatype: str, outer: _Outer
) -> tuple[tuple[ComponentRule, ...], frozenset[int]]:
    """The rules of the components, and the numbers of those whose data type is not that of the dictionary."""
    known = making.dictionary.datatypes.get(datatype, ())
    found, retyped = [], set[int]()
    for number in sorted({*own.components, *range(1, len(known) + 1)}):
        base = known[number - 1] if number <= len(known) else ComponentDef("", "", None)
        said = own.components.get(number)
        if said is None and base.datatype not in making.profile.flavours and not _has_codes(making, base):
            continue
        rule = _component(making, said or Component(), base, number, outer)
        if said is not None or rule.codes is not None or rule.components:
            found.append(rule)
        if rule.datatype:
            retyped.add(number)
    return tuple(found), frozenset(retyped)


def _component(making: Making, own: Component, base: ComponentDef, number: int, outer: _Outer) -> ComponentRule:
    path = f"{outer.path}.{number}"
    spots = tuple((*keys, "components", number) for keys in outer.where.spots)
    said, datatype, flavours = _unflavoured(making, own, by_version(own.type, making.version) or base.datatype)
    where = Where(making.profile.places, (*spots, *flavours))
    severity = own.severity or outer.severity
    inner = _Outer(path, severity, where, outer.standard)
    is_subcomponent = path.count(".") > 1
    return ComponentRule(
        path=path,
        number=number,
        name=own.name or base.name,
        datatype=datatype if datatype != base.datatype else "",
        severity=severity,
        components=() if is_subcomponent else _components(making, said, datatype, inner)[0],
        where=where,
        standard=outer.standard,
        types=making.types,
        **_common(making, said, path, "", base.table if _is_defined(making, base.table) else None),
    )


def _has_codes(making: Making, part: ComponentDef) -> bool:
    """True when HL7 defines the codes of the component or of one inside it: few have any, and most are never made."""
    coded = making.coded.get((part.datatype, part.table))
    if coded is None:
        making.coded[part.datatype, part.table] = False  # a data type within itself
        inner = making.dictionary.datatypes.get(part.datatype, ())
        coded = _is_defined(making, part.table) or any(_has_codes(making, each) for each in inner)
        making.coded[part.datatype, part.table] = coded
    return coded


def _is_defined(making: Making, number: str | None) -> bool:
    """True for a table of HL7's own codes; suggestions for parts of a value are not worth a word."""
    table = table_of(making.profile, number or "")
    return table is not None and table.kind == "hl7"
