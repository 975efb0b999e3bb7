"""NIST's constraints as conformance statements of ours: a condition with an id and a text.

Imports exchange.markup, exchange.model and the other nist modules only.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from hl7auth.exchange.markup import Element
from hl7auth.exchange.model import Loss, Place
from hl7auth.exchange.nist_additions import constant_of, repeating_fields
from hl7auth.exchange.nist_conditions import Resolve, Untranslatable
from hl7auth.exchange.nist_contexts import Written, within_field, within_segment
from hl7auth.exchange.nist_elements import Elements
from hl7auth.exchange.nist_groups import first_segment, landing, within_group

_SEVERITIES = {"W": "warning", "A": "alert", "I": "information"}


class Statements:
    """The statements of one message, each with an id of its own."""

    def __init__(self, elements: Elements) -> None:
        self.elements = elements
        self.found: list[dict[str, Any]] = []
        self.ids: set[str] = set()

    def all_of(self, places: Iterable[Place]) -> tuple[dict[str, Any], ...]:
        """What is said of segments, of groups, and of the message."""
        definitions: dict[str, list[str]] = {}
        for place in _segments(places):
            definitions.setdefault(place.name, []).append(place.flavour)
        for name, references in definitions.items():
            self.of_segment(name, list(dict.fromkeys(references)))
        self.of_groups(self.elements.additions.message)
        return tuple(self.found)

    def of_segment(self, name: str, references: list[str]) -> None:
        """The statements that all definitions of a segment share; those of some alone are losses."""
        kinds = [self.of_definition(name, reference) for reference in references]
        counts = Counter(key for kind in kinds for key in kind)
        for key, (written, resolve) in {key: each for kind in kinds for key, each in kind.items()}.items():
            if counts[key] == len(kinds):
                self.add(written, resolve, {"segment": name})
            else:
                self.lose(written, f"{name} is defined {len(kinds)} times, and this is not about all of them")

    def of_definition(self, name: str, reference: str) -> dict[tuple[object, ...], tuple[Written, Resolve]]:
        """The constraints of one definition of a segment, with those of the data types of its fields."""
        elements = self.elements
        segment = elements.segments.get(reference)
        fields = list(enumerate(segment.all("Field"), start=1)) if segment else []
        repeating = repeating_fields(segment)
        found: dict[tuple[object, ...], tuple[Written, Resolve]] = {}
        for written in elements.additions.contexts.of("Segment", reference, name):
            if written.element.name == "Constraint":
                found[written.source.name, written.element.line, 0] = (written, within_segment(name, repeating))
        for number, field in fields:
            if field.get("Usage") in ("X", "W"):
                continue
            datatype = elements.datatypes.get(field.get("Datatype"))
            names = (datatype.get("ID"), datatype.get("Name")) if datatype else ("",)
            for written in elements.additions.contexts.of("Datatype", *names):
                if written.element.name == "Constraint" and constant_of(written.element) is None:
                    resolve = within_field(name, number, number in repeating)
                    found[written.source.name, written.element.line, number] = (written, resolve)
        return found

    def of_groups(self, context: Element) -> None:
        """The statements of a group or message and of the groups in it."""
        elements = self.elements
        whole = context is elements.additions.message
        first = first_segment(context)
        for each in elements.additions.contexts_of(context):
            about = (
                {"scope": "message"}
                if whole
                else {"segment": elements.name_of(first) if first else "MSH", "scope": "group"}
            )
            resolve = within_group(context, elements.layout, None if whole else first, "" if whole else "group.")
            if each.element.name == "Constraint":
                self.add(each, resolve, about)
            elif each.element.name == "Predicate":
                self.add_presence(each, context, resolve, about)
        for group in context.all("Group"):
            self.of_groups(group)

    def add(self, written: Written, resolve: Resolve, about: dict[str, Any]) -> None:
        element = written.element
        assertion = element.first("Assertion")
        try:
            if assertion is None:
                raise Untranslatable("it has no assertion")
            holds = self.elements.additions.translator.condition(assertion, resolve)
        except Untranslatable as reason:
            self.lose(written, str(reason))
            return
        self.put(element.get("ID") or f"line-{element.line}", about, holds, element)

    def add_presence(self, written: Written, context: Element, resolve: Resolve, about: dict[str, Any]) -> None:
        """A predicate on a whole segment or group: our usages belong to fields, so it becomes a statement."""
        element = written.element
        try:
            target = landing(context, element.get("Target"))
            if target.rest:
                return  # a field has its own condition
            condition = element.first("Condition")
            if condition is None:
                raise Untranslatable("it has no condition")
            given = self.elements.additions.translator.condition(condition, resolve)
            there = resolve(element.get("Target")).path
        except Untranslatable as reason:
            self.lose(written, str(reason))
            return
        for usage, true in ((element.get("TrueUsage"), True), (element.get("FalseUsage"), False)):
            word = {"R": "present", "X": "absent"}.get(usage)
            if word:
                holds = f"{'not ' if true else ''}({given}) or {there} {word}"
                self.put(f"{element.get('ID') or there}.{usage}", about, holds, element)

    def put(self, wanted: str, about: dict[str, Any], holds: str, element: Element) -> None:
        identifier, number = wanted, 1
        while identifier in self.ids:
            number += 1
            identifier = f"{wanted}.{number}"
        self.ids.add(identifier)
        text = element.note("Description") or identifier
        self.found.append({"id": identifier, **about, "holds": holds, "text": text, "severity": _severity(element)})

    def lose(self, written: Written, reason: str) -> None:
        element = written.element
        what = f"{element.name} {element.get('ID') or element.get('Target')}: {element.note('Description')}"
        self.elements.losses.append(Loss(written.source.place(element), what, reason))


def _severity(element: Element) -> str:
    if element.get("Strength").upper() == "SHOULD":
        return "warning"
    return _SEVERITIES.get(element.get("Classification").upper(), "error")


def _segments(places: Iterable[Place]) -> Iterable[Place]:
    for place in places:
        if place.usage in ("X", "W"):
            continue
        if place.children:
            yield from _segments(place.children)
        else:
            yield place
