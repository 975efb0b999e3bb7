"""HL7's own message profiles (chapter 2.B of version 2.5; HL7v2xConformanceProfile), read into a Guide.

Imports rules, errors, exchange.attributes, exchange.markup and exchange.model only.

Predicates are free text there: one that is a condition of ours, as the export writes it, is carried over, any other is
a loss. Notes, references and example values become comments.
"""

import re
from collections.abc import Iterable, Mapping

from hl7auth.errors import UserError
from hl7auth.exchange.attributes import WITHDRAWN, Attributes, table_number, version_of
from hl7auth.exchange.markup import Element, Source
from hl7auth.exchange.model import Guide, Item, Loss, Place
from hl7auth.rules.predicate import compile_condition

ROOT = "HL7v2xConformanceProfile"
STATIC = "HL7v2xStaticDef"
_WRITTEN = re.compile(r"(C\([A-Z]+/[A-Z]+\)):\s*(.+)", re.DOTALL)
_INNER = {"Field": "Component", "Component": "SubComponent", "SubComponent": ""}


def choices(source: Source) -> list[tuple[str, ...]]:
    """The names of each message of the document: `RQA^I08`, its identifier, its structure."""
    found = []
    for static in source.root.all(STATIC):
        event = f"{static.get('MsgType')}^{static.get('EventType')}"
        found.append((event, *filter(None, (static.get("Identifier"), static.get("MsgStructID")))))
    return found


def read_hl7(source: Source, index: int, tables: Iterable[Source] = ()) -> Guide:
    """The message with that index. Raises UserError for a version the engine does not speak, or no message type."""
    static = list(source.root.all(STATIC))[index]
    version = version_of(source.root.get("HL7Version"))
    kind, event = static.get("MsgType"), static.get("EventType")
    if not version:
        raise UserError(f"{source.place(source.root)}: HL7Version '{source.root.get('HL7Version')}' is not supported")
    if not re.fullmatch(r"[A-Z][A-Z0-9]{2}", kind):
        raise UserError(f"{source.place(static)}: MsgType '{kind}' is no message type")
    losses: list[Loss] = []
    reader = _Reader(source, losses)
    reader.leave_out(static)
    about = static.first("MetaData") or source.root.first("MetaData") or static
    identifiers = (static.get("Identifier") or source.root.get("Identifier"),)
    return Guide(
        title=about.get("Name") or static.get("EventDesc") or f"{kind}^{event}",
        source=", ".join(filter(None, (about.get("OrgName"), about.get("Version"), about.get("Status"), source.name))),
        version=version,
        message_type=kind,
        event=event,
        structure=static.get("MsgStructID") or "_".join(filter(None, (kind, event))),
        identifiers=tuple(filter(None, identifiers)),
        places=reader.places(static),
        flavours={},
        tables=read_tables(tables),
        statements=(),
        losses=tuple(losses),
    )


def read_tables(sources: Iterable[Source]) -> dict[str, Mapping[str, object]]:
    """The tables that a table file of the same tool holds: `hl7table` with its `tableElement`s."""
    found: dict[str, Mapping[str, object]] = {}
    for source in sources:
        for table in _descend(source.root, "hl7table"):
            codes = {each.get("code"): each.get("description") for each in table.all("tableElement")}
            values = {code: text or code for code, text in codes.items() if code}
            kind = "hl7" if table.get("type").upper() == "HL7" and values else "site"
            number = table_number(table.get("id"))
            found[number] = {"name": table.get("name") or number, "kind": kind, "values": values}
    return found


def _descend(element: Element, name: str) -> Iterable[Element]:
    for child in element.children:
        if child.name == name:
            yield child
        yield from _descend(child, name)


class _Reader(Attributes):
    """One message of a document."""

    def leave_out(self, static: Element) -> None:
        """What stands around the message and is no rule of ours."""
        for name, reason in (
            ("DynamicDef", "how messages are acknowledged is said by the channel"),
            ("UseCase", "it is a text for people"),
        ):
            for element in (*self.source.root.all(name), *static.all(name)):
                self.lose(element, name, reason)
        if static.get("OrderControl"):
            self.lose(static, f"OrderControl {static.get('OrderControl')}", "messages are told apart by type and event")
        numbered = sum(bool(field.get("ItemNo")) for field in _descend(static, "Field"))
        if numbered:
            self.lose(static, f"item numbers of {numbered} field(s)", "fields are named by their position")

    def places(self, parent: Element, around: str = "") -> tuple[Place, ...]:
        """The segments and groups of a message or group."""
        found = []
        for element in parent.all("SegGroup", "Segment"):
            name = element.get("Name").upper()
            if element.name == "Segment" and not re.fullmatch(r"[A-Z][A-Z0-9]{2}", name):
                self.lose(element, f"segment '{name}'", "a segment has a name of three letters")
                continue
            path = f"{around}{name}"
            least, most = self.repeats(element, path)
            group = element.name == "SegGroup"
            if element.note("Predicate"):
                self.lose(element, f"predicate of {path}: {element.note('Predicate')}", "it is free text")
            children = self.places(element, f"{path}.") if group else ()
            if group and not children:
                self.lose(element, f"group {path}", "it has no segments")
                continue
            fields = () if group else self.items(element, "Field", f"{name}-")
            usage = self.usage(element, path)
            found.append(Place(name, usage, least, most, self.source.place(element), fields, children))
        return tuple(found)

    def items(self, parent: Element, kind: str, around: str) -> tuple[Item, ...]:
        """Fields, components or subcomponents: their number is their position."""
        return tuple(
            self.item(element, kind, number, f"{around}{number}")
            for number, element in enumerate(parent.all(kind), start=1)
        )

    def item(self, element: Element, kind: str, number: int, path: str) -> Item:
        usage, condition = self.predicate(element, self.usage(element, path), path)
        if usage == "X" and element.note("ImpNote") == WITHDRAWN:
            usage = "W"
        rules = {
            "condition": condition,
            "length": self.length(element, path),
            "constant": element.attributes.get("ConstantValue"),
            "table": table_number(element.get("Table")) if element.get("Table") not in ("", "None") else None,
        }
        inner = _INNER[kind]
        return Item(
            number=number,
            name=element.get("Name"),
            usage=usage,
            datatype=element.get("Datatype"),
            place=self.source.place(element),
            cardinality=self.cardinality(element, path) if kind == "Field" else "",
            rules={key: value for key, value in rules.items() if value not in (None, "")},
            notes=_notes(element),
            parts=self.items(element, inner, f"{path}.") if inner else (),
        )

    def predicate(self, element: Element, usage: str, path: str) -> tuple[str, str]:
        """The usage and the condition, where the free text is one of ours: `C(R/O): AUT-9 > 0`."""
        text = element.note("Predicate")
        if not text:
            return usage, ""
        written = _WRITTEN.fullmatch(text)
        condition = written[2] if written else text
        try:
            compile_condition(condition)
        except ValueError:
            self.lose(element, f"predicate of {path}: {text}", "it is free text")
            return usage, ""
        return (written[1] if written else usage), condition


def _notes(element: Element) -> tuple[str, ...]:
    """Reference, note and example values, for a comment."""
    values = [value for each in element.all("DataValues") for value in each.attributes.values() if value.strip()]
    example = f"for example {', '.join(values[:3])}" if values else ""
    return tuple(
        filter(None, (element.note("Reference"), element.note("ImpNote"), element.note("Description"), example))
    )
