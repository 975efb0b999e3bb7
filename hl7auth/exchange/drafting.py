"""A Guide as the keys of one of our profiles: what HL7's dictionary says of itself is not repeated.

Imports rules and the exchange modules only.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from hl7auth.exchange.abstract import NOT_SENT, abstract_syntax, is_sent
from hl7auth.exchange.attributes import WITHDRAWN
from hl7auth.exchange.merging import common
from hl7auth.exchange.model import Flavour, Guide, Item, Loss, Place
from hl7auth.rules.dictionary import Dictionary, FieldDef, dictionary
from hl7auth.rules.shape import relaxed_places
from hl7auth.rules.syntax import parse_syntax
from hl7auth.rules.tables import shipped_tables

_UNCHECKED = {"kind": "site"}
_ANY_TYPE = frozenset({"", "*", "varies", "Varies", "VARIES"})


class Draft(NamedTuple):
    """The keys of a profile, comments by the path of the key they stand at, and what is not in it."""

    keys: dict[str, Any]
    comments: Mapping[str, str]
    losses: tuple[Loss, ...]


def draft(guide: Guide, name: str) -> Draft:
    """The profile of that name. Raises what `dictionary` raises."""
    return _Drafting(guide, name).whole()


class _Drafting:
    """One profile in the making."""

    def __init__(self, guide: Guide, name: str) -> None:
        self.guide = guide
        self.name = name
        self.known: Dictionary = dictionary(guide.version)
        self.losses = list(guide.losses)
        self.explained = {loss.place for loss in guide.losses if loss.what.startswith("predicate of")}
        self.comments: dict[str, str] = {}
        self.departs: list[str] = []

    def whole(self) -> Draft:
        guide = self.guide
        event = f"{guide.message_type}^{guide.event}" if guide.event else guide.message_type
        syntax, groups = abstract_syntax(guide.places, self.losses)
        # whose place is wrong matters in a profile that names every place: a fault of structure is an error
        essential = list(dict.fromkeys(_names(guide.places)))
        if syntax:
            # what an event needs is what HL7 requires of its own structure, whatever the guide calls it
            usual = self.known.structure_of(guide.message_type, guide.event)
            for name in dict.fromkeys((guide.structure, usual or guide.structure)):
                self.departs += relaxed_places(parse_syntax(syntax, name), self.known)
        segments = self.segments()
        flavours = {name: self.flavour(each) for name, each in guide.flavours.items()}
        keys: dict[str, Any] = {
            "profile": self.name,
            "title": guide.title,
            "source": guide.source,
            "departs": self.departs,
            "applies": {
                "messages": [event],
                "versions": [guide.version],
                "identifiers": list(guide.identifiers),
            },
            "structures": {guide.structure: syntax} if syntax else {},
            "events": {event: guide.structure} if syntax and guide.event else {},
            "groups": {guide.structure: groups} if groups else {},
            "structure": {"essential": essential},
            "segments": segments,
            "flavours": flavours,
            "statements": [dict(each) for each in guide.statements],
        }
        used = set(_bound(segments)) | set(_bound(flavours))
        keys["tables"] = {number: dict(table) for number, table in guide.tables.items() if number in used}
        keys["tables"] |= {number: dict(_UNCHECKED) for number in self.unchecked(segments)}
        return Draft(_without_empty(keys), self.comments, tuple(self.losses))

    def sent(self, places: Iterable[Place]) -> list[Place]:
        """The segments that may be sent."""
        found: list[Place] = []
        for place in places:
            if is_sent(place):
                found += self.sent(place.children) if place.children else [place]
        return found

    def segments(self) -> dict[str, Any]:
        """The rules of each segment: where it is defined more than once, what all definitions share."""
        drafts: dict[str, list[tuple[str, dict[int, dict[str, Any]]]]] = {}
        for place in self.sent(self.guide.places):
            drafts.setdefault(place.name, []).append((place.place, self.fields(place)))
        found = {}
        for name, each in drafts.items():
            if name not in self.known.segments and not name.startswith("Z"):
                reason = f"HL7 {self.guide.version} has no such segment, and it is no Z segment"
                self.losses.append(Loss(each[0][0], f"rules of segment {name}", reason))
                continue
            shared = common(each, f"{name}-", self.losses)
            fields = {number: rules for number, said in shared.items() if (rules := self.unusual(name, number, said))}
            found[name] = {"fields": fields} if fields else {}
        return found

    def unchecked(self, segments: Iterable[str]) -> list[str]:
        """The tables of HL7's own fields that the document does not want checked: one without codes accepts all."""
        fields = [
            field for name in segments if name in self.known.segments for field in self.known.segments[name].fields
        ]
        parts = [part for field in fields for part in self.known.datatypes.get(field.datatype, ())]
        tables = {field.table for field in fields} | {part.table for part in parts}
        return sorted(table for table in tables if table and table in self.guide.unchecked)

    def base(self, segment: str, number: int) -> FieldDef | None:
        known = self.known.segments.get(segment)
        return known.fields[number - 1] if known and number <= len(known.fields) else None

    def unusual(self, segment: str, number: int, rules: dict[str, Any]) -> dict[str, Any]:
        """The rules without the usage that the dictionary says too; a required field that is no more is a departure."""
        base = self.base(segment, number)
        usual = "O" if base is None else base.usage if base.usage in ("R", "X", "W") else "O"
        if usual == "R" and rules["usage"] != "R":
            self.departs.append(f"{segment}-{number}")
        return {key: value for key, value in rules.items() if key != "usage" or value != usual}

    def fields(self, place: Place) -> dict[int, dict[str, Any]]:
        """What is said of every field of one definition of a segment, beyond the dictionary; usage always."""
        found = {}
        for item in place.fields:
            found[item.number] = self.field(item, place.name)
            text = "; ".join(note for note in item.notes if note != WITHDRAWN)
            if text:
                self.comments.setdefault(f"segments.{place.name}.fields.{item.number}", text)
        return found

    def field(self, item: Item, segment: str) -> dict[str, Any]:
        base = self.base(segment, item.number)
        path = f"{segment}-{item.number}"
        rules = self.element(item, base.datatype if base else "", base.table if base else None, path)
        rules["usage"] = item.usage
        if base is None or (base.usage == "W" and item.usage not in NOT_SENT):
            rules["name"] = item.name
            if segment in self.known.segments and item.usage not in NOT_SENT:
                rules["pre_adopted"] = True
        elif item.name and item.name.casefold() != base.name.casefold():
            rules["name"] = item.name
        cardinality = _cardinality(item, base)
        if cardinality:
            rules["cardinality"] = cardinality
        return _ordered(rules)

    def element(self, item: Item, datatype: str, table: str | None, path: str) -> dict[str, Any]:
        rules = dict(item.rules)
        if item.usage in ("C", "CE") and "condition" not in rules and item.place not in self.explained:
            self.lose(item, f"{path} usage {item.usage}", "it has no condition that could be carried over")
        if rules.get("table") == table:
            rules.pop("table", None)
        if item.datatype not in (*_ANY_TYPE, datatype) and item.usage not in NOT_SENT:
            if item.datatype in self.known.datatypes or item.datatype in self.guide.flavours:
                rules["type"] = item.datatype
            else:
                self.lose(item, f"{path} data type {item.datatype}", f"HL7 {self.guide.version} has no such type")
        parts = self.parts(item.parts, str(rules.get("type", datatype)), path)
        return rules | ({"components": parts} if parts else {})

    def parts(self, items: Iterable[Item], datatype: str, path: str) -> dict[int, dict[str, Any]]:
        """The rules of components or subcomponents of a data type or flavour."""
        flavour = self.guide.flavours.get(datatype)
        components = self.known.datatypes.get(flavour.base if flavour else datatype, ())
        found = {}
        for item in items:
            base = components[item.number - 1] if item.number <= len(components) else None
            inner = f"{path}.{item.number}"
            # of the tables that HL7 names for components we check those of its own codes only, unless a profile says so
            rules = self.element(item, base.datatype if base else "", _defined(base.table if base else None), inner)
            if item.usage not in ("O", ""):
                rules["usage"] = item.usage
            if rules:
                found[item.number] = _ordered(rules)
        return found

    def flavour(self, flavour: Flavour) -> dict[str, Any]:
        parts = self.parts(flavour.parts, flavour.base, flavour.name)
        return {"base": flavour.base} | ({"components": parts} if parts else {})

    def lose(self, item: Item, what: str, reason: str) -> None:
        self.losses.append(Loss(item.place, what, reason))


_ORDER = (
    "name",
    "usage",
    "condition",
    "cardinality",
    "type",
    "length",
    "conformance_length",
    "constant",
    "table",
    "binding",
    "pre_adopted",
    "components",
)


def _ordered(rules: dict[str, Any]) -> dict[str, Any]:
    return {key: rules[key] for key in _ORDER if key in rules}


def _cardinality(item: Item, base: FieldDef | None) -> str:
    """The cardinality where the dictionary has another one. A field that is required comes at least once anyway, and
    one that is optional may be missing whatever its Min says."""
    if not item.cardinality or item.usage in NOT_SENT:
        return ""
    low, _, high = item.cardinality.partition("..")
    low = "0" if item.usage == "O" else low
    as_often = base is not None and high == ("*" if base.max is None else str(base.max))
    if as_often and base and (low == str(base.min) or (item.usage == "R" and int(low) <= 1)):
        return ""
    return f"{low}..{high}"


def _names(places: Iterable[Place]) -> Iterator[str]:
    """The names of all segments, of those too that are not to come."""
    for place in places:
        if place.children:
            yield from _names(place.children)
        else:
            yield place.name


def _defined(table: str | None) -> str | None:
    known = shipped_tables().get(table or "")
    return table if known is not None and known.kind == "hl7" else None


def _bound(rules: Mapping[Any, Any]) -> Iterator[str]:
    """The tables that rules name."""
    for key, value in rules.items():
        if key == "table":
            yield value
        elif isinstance(value, Mapping):
            yield from _bound(value)


def _without_empty(keys: dict[str, Any]) -> dict[str, Any]:
    applies = {key: value for key, value in keys["applies"].items() if value}
    return {key: value for key, value in (keys | {"applies": applies}).items() if value}
