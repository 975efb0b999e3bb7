"""Segments, fields and data types of a NIST profile, with the predicates, constants and bindings that belong to them.

Imports rules, exchange.attributes, exchange.markup, exchange.model and the other nist modules only.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from hl7auth.exchange.attributes import Attributes
from hl7auth.exchange.markup import Element, Source
from hl7auth.exchange.model import Flavour, Item, Loss, Place
from hl7auth.exchange.nist_additions import Additions, Overrides, repeating_fields
from hl7auth.exchange.nist_contexts import Contexts
from hl7auth.exchange.nist_groups import Segments
from hl7auth.exchange.nist_values import ValueSets
from hl7auth.rules.dictionary import dictionary

_DEEPEST = 10
"""Data types hold data types some three levels deep; a ring of them would have no end."""


class Elements(Attributes):
    """Everything of one message; flavours are collected while its segments are read."""

    def __init__(
        self,
        source: Source,
        message: Element,
        contexts: Contexts,
        values: ValueSets,
        version: str,
        losses: list[Loss],
    ) -> None:
        super().__init__(source, losses)
        self.values = values
        self.known = dictionary(version)
        self.flavours: dict[str, Flavour] = {}
        self.types: dict[str, str] = {}
        self.segments = _by_id(source.root, "Segments", "Segment")
        self.datatypes = _by_id(source.root, "Datatypes", "Datatype")
        self.layout = Segments(self.name_of, self.repeating)
        self.additions = Additions(message, contexts, values, self.layout, losses)

    def name_of(self, place: Element) -> str:
        """The name of the segment that stands at a place."""
        reference = place.get("Ref")
        segment = self.segments.get(reference)
        return segment.get("Name") if segment else reference[:3]

    def repeating(self, place: Element) -> frozenset[int]:
        """The numbers of its fields that may repeat."""
        return repeating_fields(self.segments.get(place.get("Ref")))

    def places(self, context: Element, around: tuple[tuple[Element, tuple[int, ...]], ...] = ()) -> tuple[Place, ...]:
        """The segments and groups of a message or group; `around` are the groups above, and the way down to here."""
        found = []
        for number, element in enumerate(context.all("Segment", "Group"), start=1):
            ways = tuple((above, (*way, number)) for above, way in (*around, (context, ())))
            group = element.name == "Group"
            name = element.get("Name").rpartition(".")[2].upper() if group else self.name_of(element)
            usage, (least, most) = self.usage(element, name), self.repeats(element, name)
            children = self.places(element, ways) if group else ()
            if (group and not children) or not re.fullmatch(r"\w+" if group else r"[A-Z][A-Z0-9]{2}", name, re.ASCII):
                self.lose(element, f"'{name}'", "it is no segment, or a group without segments")
                continue
            fields = () if group or usage == "X" else self.fields(element, name, ways)
            place = self.source.place(element)
            found.append(Place(name, usage, least, most, place, fields, children, element.get("Ref")))
        return tuple(found)

    def fields(
        self, element: Element, name: str, ways: tuple[tuple[Element, tuple[int, ...]], ...]
    ) -> tuple[Item, ...]:
        segment = self.segments.get(element.get("Ref"))
        if segment is None:
            self.lose(element, f"segment {element.get('Ref')}", "the profile does not define it")
            return ()
        overrides = self.additions.of_segment(segment, name)
        for context, way in ways:
            self.additions.from_above(overrides, context, way, element)
        fields = enumerate(segment.all("Field"), start=1)
        return tuple(self.item(field, (number,), f"{name}-{number}", overrides) for number, field in fields)

    def item(self, element: Element, path: tuple[int, ...], name: str, overrides: Overrides) -> Item:
        """A field of a segment or a component of a data type."""
        usage = self.usage(element, name)
        datatype = "" if usage in ("X", "W") else self.type_of(element.get("Datatype"))
        rules = {
            "length": self.length(element, name),
            "conformance_length": self.conformance_length(element, name),
            "constant": element.attributes.get("ConstantValue"),
            **self.bound(element, name),
        }
        own = {key: value for key, value in rules.items() if value not in (None, "")} | overrides.get(path, {})
        cardinality = self.cardinality(element, name) if element.name == "Field" else ""
        return Item(
            number=path[-1],
            name=element.get("Name"),
            usage=str(own.pop("usage", usage)),
            datatype=datatype,
            place=self.source.place(element),
            cardinality=cardinality,
            rules=own,
            parts=self.inner(path, overrides, self.source.place(element)),
        )

    def inner(self, path: tuple[int, ...], overrides: Overrides, place: str) -> tuple[Item, ...]:
        """What is said of the components of this very field, beyond what their data type says."""
        depth = len(path)
        numbers = sorted({each[depth] for each in overrides if len(each) > depth and each[:depth] == path})
        found = []
        for number in numbers:
            below = (*path, number)
            rules = dict(overrides.get(below, {}))
            usage = str(rules.pop("usage", ""))
            found.append(Item(number, "", usage, "", place, rules=rules, parts=self.inner(below, overrides, place)))
        return tuple(found)

    def bound(self, element: Element, name: str) -> dict[str, Any]:
        """The binding that an element of the older form says itself."""
        if not element.get("Binding"):
            return {}
        where = element.get("BindingLocation")
        binding, reason = self.values.binding(element.get("Binding").split(":"), element.get("BindingStrength"))
        if where not in ("", ".", "1"):
            binding, reason = {}, "the code may stand in another component than the first"
        if reason:
            self.lose(element, f"{name} binding to {element.get('Binding')}", reason)
        return binding

    def type_of(self, identifier: str, depth: int = 0) -> str:
        """The data type or flavour of ours; a flavour is made when it is first asked for."""
        datatype = self.datatypes.get(identifier)
        if datatype is None:
            return identifier
        if identifier not in self.types:
            base = datatype.get("Name") or identifier
            self.types[identifier] = base
            overrides = self.additions.of_type(datatype)
            components = list(enumerate(datatype.all("Component"), start=1))
            if not components and overrides:
                self.lose(datatype, f"rules of data type {identifier}", "it has no components to say them of")
            if components and depth < _DEEPEST:
                name = self.types[identifier] = self.flavour_name(identifier, base)
                parts = tuple(self.part(each, (n,), f"{name}.{n}", overrides, depth) for n, each in components)
                self.flavours[name] = Flavour(name, base, parts)
        return self.types[identifier]

    def part(self, element: Element, path: tuple[int, ...], name: str, overrides: Overrides, depth: int) -> Item:
        if element.get("Usage") not in ("X", "W"):
            self.type_of(element.get("Datatype"), depth + 1)
        return self.item(element, path, name, overrides)

    def flavour_name(self, identifier: str, base: str) -> str:
        """A name of its own: a bundle may well call its CWE just CWE."""
        name = wanted = re.sub(r"\W+", "_", identifier, flags=re.ASCII)
        taken = set(self.types.values()) | self.known.datatypes.keys()
        number = 0
        while name == base or name in taken:
            number += 1
            name = f"{wanted}_{number}"
        return name


def _by_id(root: Element, folder: str, name: str) -> Mapping[str, Element]:
    parts: Iterable[Element] = root.all(folder)
    return {each.get("ID"): each for part in parts for each in part.all(name)}
