"""One of our profiles as HL7's own message profile (HL7v2xConformanceProfile): one message, one version.

Imports rules, errors, exchange.attributes and exchange.model only.

What the form has no word for is left out and listed: conformance statements, severities, binding strengths, least and
conformance lengths. A condition stands in `Predicate` as our language writes it, so that it can be read back.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from hl7auth.errors import UserError
from hl7auth.exchange.attributes import WITHDRAWN
from hl7auth.exchange.model import Loss
from hl7auth.rules.compiled import CompiledProfile
from hl7auth.rules.dictionary import ComponentDef, FieldDef, Node
from hl7auth.rules.rule import ElementRule, FieldRule

_WORDS = {"C(R/X)": "C", "C(RE/X)": "CE", "W": "X", "IX": "X"}
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PARTS = ("Component", "SubComponent")


class Exported(NamedTuple):
    """The XML, and what it does not say."""

    text: str
    losses: tuple[Loss, ...]


def export_profile(rules: CompiledProfile, message: str) -> Exported:
    """The profile's rules for one message (`RQA^I08`). Raises UserError for a message without a structure."""
    kind, _, event = message.partition("^")
    structure = rules.structure_of(kind, event)
    if structure is None or not rules.has_structure(structure):
        raise UserError(f"{message} has no known structure in HL7 {rules.version}")
    root = rules.structures.get(structure) or rules.dictionary.structures[structure]
    return _Writer(rules).whole(kind, event, root)


class _Writer:
    """One document."""

    def __init__(self, rules: CompiledProfile) -> None:
        self.rules = rules
        self.losses: dict[Loss, None] = {}
        self.segments: set[str] = set()

    def whole(self, kind: str, event: str, root: Node) -> Exported:
        profile = self.rules.profile
        document = Element("HL7v2xConformanceProfile", HL7Version=self.rules.version, ProfileType="Constrainable")
        about = {"Name": profile.title, "OrgName": profile.source, "Version": "", "Status": ""}
        SubElement(document, "MetaData", about)
        SubElement(SubElement(document, "Encodings"), "Encoding").text = "ER7"
        SubElement(document, "DynamicDef", AccAck="NE", AppAck="AL", MsgAckMode="Immediate")
        static = SubElement(document, "HL7v2xStaticDef", MsgType=kind, EventType=event, MsgStructID=root.name)
        static.set("Role", "Sender")
        identifiers = profile.applies.identifiers if profile.applies else ()
        if identifiers:
            static.set("Identifier", identifiers[0])
        SubElement(static, "MetaData", about)
        self.places(static, root.children)
        self.leave_out(root.name)
        indent(document)
        text = _NO_XML.sub("", tostring(document, encoding="unicode"))
        return Exported(f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n', tuple(self.losses))

    def places(self, parent: Element, nodes: Iterable[Node]) -> None:
        for node in nodes:
            usage = "X" if node.max == 0 else "R" if node.min else "O"
            high = "*" if node.max is None else str(node.max)
            name = node.name or f"GROUP_{node.children[0].name}"
            element = SubElement(parent, "SegGroup" if node.children else "Segment", Name=name, LongName=name)
            element.attrib |= {"Usage": usage, "Min": str(node.min), "Max": high}
            if node.children:
                self.places(element, node.children)
            elif usage != "X":
                self.segments.add(node.name)
                self.fields(element, node.name)

    def fields(self, parent: Element, name: str) -> None:
        """The rules of the profile where it has some, else what the dictionary says."""
        rules = self.rules.segments.get(name)
        known = self.rules.dictionary.segments.get(name)
        if rules is not None and rules.fields:
            for rule in rules.fields[1:]:
                if not rule.beyond:
                    self.field(parent, rule)
        elif known is not None:
            for number, field in enumerate(known.fields, start=1):
                self.plain_field(parent, f"{name}-{number}", field)

    def field(self, parent: Element, rule: FieldRule) -> None:
        usage = "W" if rule.withdrawn else rule.usage
        element = self.element(parent, "Field", rule, usage)
        element.set("Min", str(max(rule.min, 1) if usage == "R" else rule.min))
        element.set("Max", "*" if rule.max is None else str(rule.max))
        element.set("Name", rule.name or rule.path)
        element.set("Datatype", rule.datatype or "varies")
        if usage != "W":
            self.parts(element, 0, rule.datatype, rule)

    def plain_field(self, parent: Element, path: str, field: FieldDef) -> None:
        usage = field.usage if field.usage in ("R", "W") else "O"
        element = SubElement(parent, "Field", Name=field.name or path, Usage=_WORDS.get(usage, usage))
        high = "*" if field.max is None else str(field.max)
        element.attrib |= {"Min": str(field.min), "Max": high, "Datatype": field.datatype or "varies"}
        if field.table:
            element.set("Table", field.table)
        if usage == "W":
            SubElement(element, "ImpNote").text = WITHDRAWN
        else:
            self.parts(element, 0, field.datatype, None)

    def parts(self, parent: Element, depth: int, datatype: str, rule: ElementRule | None) -> None:
        """Components, or subcomponents: those of the data type, and beyond them those that the profile adds."""
        if depth == len(_PARTS):
            return
        known = self.rules.dictionary.datatypes.get(datatype, ())
        own = {part.number: part for part in rule.components} if rule else {}
        for number in range(1, max(len(known), *own, 0) + 1):
            base = known[number - 1] if number <= len(known) else ComponentDef("", "", None)
            part = own.get(number)
            if part is not None:
                element = self.element(parent, _PARTS[depth], part, part.usage)
            else:
                element = SubElement(parent, _PARTS[depth], Usage="O")
            inner = (part.datatype if part else "") or base.datatype
            element.set("Name", (part.name if part else base.name) or str(number))
            element.set("Datatype", inner or "varies")
            self.parts(element, depth + 1, inner, part)

    def element(self, parent: Element, name: str, rule: ElementRule, usage: str) -> Element:
        """What is said of fields and components alike."""
        word = _WORDS.get(usage, usage)
        element = SubElement(parent, name, Usage="C" if word.startswith("C(") else word)
        if rule.length is not None:
            element.set("Length", str(rule.length))
        if rule.table:
            element.set("Table", rule.table)
        if rule.constant is not None:
            element.set("ConstantValue", rule.constant)
        if usage == "W":
            SubElement(element, "ImpNote").text = WITHDRAWN
        if rule.condition is not None:
            text = rule.condition.text
            SubElement(element, "Predicate").text = f"{usage}: {text}" if usage.startswith("C(") else text
        self.leave_out_of(rule, usage)
        return element

    def leave_out_of(self, rule: ElementRule, usage: str) -> None:
        if usage == "IX":
            self.lose(rule.path, "usage IX", "it is written as X")
        if rule.shortest or rule.lengths:
            self.lose(rule.path, "least or enumerated lengths", "the form has a greatest length only")
        if rule.stored is not None:
            self.lose(rule.path, "conformance length", "the form has a greatest length only")
        said = getattr(self.said(rule), "binding", None)
        if said is not None and (said.strength, said.extensibility) != ("required", None):
            self.lose(rule.path, "binding strength and extensibility", "the form names the table only")
        if rule.severity != "error" or rule.severities:
            self.lose(rule.path.partition("-")[0], "severities", "the form does not say what a breach is")

    def said(self, rule: ElementRule) -> object:
        """What the profile itself says of a field; None where it says nothing, and for components."""
        name, _, number = rule.path.partition("-")
        segment = self.rules.profile.segments.get(name)
        return segment.fields.get(int(number)) if segment and number.isdecimal() else None

    def leave_out(self, structure: str) -> None:
        profile = self.rules.profile
        for statement in profile.statements:
            if statement.scope == "message" or statement.segment in self.segments:
                self.lose(statement.segment, f"statement {statement.id}", "the form has none")
        for number in profile.tables:
            self.lose("tables", f"codes of table {number}", "the form names tables, and has no codes")
        for what in ("status", "dialect"):
            if getattr(profile, what) is not None:
                self.lose(structure, what, "it is about meaning, not about form")

    def lose(self, place: str, what: str, reason: str) -> None:
        self.losses[Loss(place, what, reason)] = None
