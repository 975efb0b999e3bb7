"""What the predicates, constants and bindings of a NIST bundle add to fields, components and subcomponents.

Imports exchange.markup, exchange.model and the other nist modules only.
"""

import re
from typing import Any

from hl7auth.exchange.markup import Element
from hl7auth.exchange.model import Loss
from hl7auth.exchange.nist_conditions import Resolve, Translator, Untranslatable
from hl7auth.exchange.nist_contexts import Contexts, Written, numbers_of, within_segment, within_type
from hl7auth.exchange.nist_groups import Segments, landing, within_group
from hl7auth.exchange.nist_values import ValueSets

Overrides = dict[tuple[int, ...], dict[str, Any]]
"""By position (field, component, subcomponent): the keys of our profile that predicates and bindings add."""

_PLAIN_PATH = re.compile(r"\d{1,4}\[1\](?:\.\d{1,4}\[1\])?")


class Additions:
    """All that a bundle says beside the profile itself, for one message of it."""

    def __init__(
        self, message: Element, contexts: Contexts, values: ValueSets, layout: Segments, losses: list[Loss]
    ) -> None:
        self.message = message
        self.contexts = contexts
        self.values = values
        self.layout = layout
        self.losses = losses
        self.translator = Translator(values.codes())

    def of_type(self, datatype: Element) -> Overrides:
        """What is said of the components of a data type, wherever it is used."""
        found: Overrides = {}
        for written in self.contexts.of("Datatype", datatype.get("ID"), datatype.get("Name")):
            constant = constant_of(written.element)
            if constant:
                found.setdefault(constant[0], {})["constant"] = constant[1]
            else:
                self.add(found, written, lambda target: within_type(target[:-1]))
        return found

    def of_segment(self, segment: Element, name: str) -> Overrides:
        """What is said of the fields of a segment, wherever it stands."""
        found: Overrides = {}
        repeating = repeating_fields(segment)
        for written in self.contexts.of("Segment", segment.get("ID"), name):
            self.add(found, written, lambda target: within_segment(name, repeating, target[:-1]))
        return found

    def from_above(self, found: Overrides, context: Element, way: tuple[int, ...], segment: Element) -> None:
        """What groups and the message say of fields of this segment; a path leads down to it."""
        scope = "message." if context is self.message else "group."
        resolve = within_group(context, self.layout, segment, scope)
        for written in self.contexts_of(context):
            try:
                target = numbers_of(written.element.get("Target") or "0")
                reaches = landing(context, written.element.get("Target")).element is segment
            except Untranslatable:
                continue
            if reaches and target[: len(way)] == way and len(target) > len(way):
                self.add(found, written, lambda _: resolve, len(way))

    def contexts_of(self, context: Element) -> list[Written]:
        """What is said of a group or of the message."""
        if context is self.message:
            return self.contexts.of("Message", context.get("ID"), context.get("Name"), context.get("StructID"))
        return self.contexts.of("Group", context.get("ID"), context.get("Name"))

    def add(self, found: Overrides, written: Written, resolve_for: Any, skipped: int = 0) -> None:
        """Adds one predicate or binding; constraints are statements, but for constants in a data type."""
        element = written.element
        try:
            target = numbers_of(element.get("Target"))[skipped:] if element.get("Target") else ()
            if element.name == "Predicate" and target:
                self.add_predicate(found.setdefault(target, {}), element, resolve_for(target))
            elif element.name in ("ValueSetBinding", "SingleCodeBinding"):
                self.add_binding(found, element, target)
        except Untranslatable as reason:
            what = element.get("ID") or element.get("Target")
            text = element.note("Description")
            self.losses.append(
                Loss(written.source.place(element), f"{element.name} {what} {text}".strip(), str(reason))
            )

    def add_predicate(self, rules: dict[str, Any], element: Element, resolve: Resolve) -> None:
        yes, no = element.get("TrueUsage"), element.get("FalseUsage")
        if not {yes, no} <= {"R", "RE", "O", "X"}:
            raise Untranslatable(f"'{yes}' or '{no}' is no usage that a condition decides on")
        condition = element.first("Condition")
        if condition is None:
            raise Untranslatable("it has no condition")
        text = self.translator.condition(condition, resolve)
        rules |= {"usage": f"C({yes}/{no})", "condition": text}

    def add_binding(self, found: Overrides, element: Element, target: tuple[int, ...]) -> None:
        places = element.first("BindingLocations")
        locations = list(places.children) if places else []
        if len(locations) > 1:
            raise Untranslatable("the code may stand in more than one component")
        where = _inside(locations[0].get("CodeLocation")) if locations else ()
        place = target if where in ((), (1,)) and len(target) == 1 else (*target, *where)
        if element.name == "SingleCodeBinding":
            found.setdefault((*target, *where), {})["constant"] = element.attributes.get("Code", "")
            system = _inside(locations[0].get("CodeSystemLocation")) if locations else ()
            if system and element.get("CodeSystem"):
                found.setdefault((*target, *system), {})["constant"] = element.get("CodeSystem")
            return
        bindings = element.first("Bindings")
        names = [each.get("BindingIdentifier") for each in bindings.children] if bindings else []
        binding, reason = self.values.binding(names, element.get("BindingStrength"))
        if reason:
            raise Untranslatable(reason)
        found.setdefault(place, {}).update(binding)


def constant_of(constraint: Element) -> tuple[tuple[int, ...], str] | None:
    """Where a constraint says just that a component has one value if any: the component and the value."""
    assertion = constraint.first("Assertion")
    test = assertion.children[0] if assertion and len(assertion.children) == 1 else None
    if test is None or test.name != "PlainText" or test.get("IgnoreCase") in ("true", "1"):
        return None
    strict = test.get("NotPresentBehavior").upper() == "FAIL" or constraint.get("Strength").upper() == "SHOULD"
    if strict or constraint.get("Classification") in ("W", "A") or not _PLAIN_PATH.fullmatch(test.get("Path")):
        return None
    return numbers_of(test.get("Path")), test.attributes.get("Text", "")


def _inside(location: str) -> tuple[int, ...]:
    return () if location in ("", ".") else numbers_of(location)


def repeating_fields(segment: Element | None) -> frozenset[int]:
    """The numbers of the fields that may repeat."""
    fields = enumerate(segment.all("Field"), start=1) if segment else ()
    return frozenset(number for number, field in fields if field.get("Max") not in ("0", "1"))
