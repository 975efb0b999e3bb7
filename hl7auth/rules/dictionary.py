"""The HL7 dictionary: per version the segments, data types, message structures and the map from events to structures.

Imports wire, errors, rules.corrections and hl7apy's tables only; nothing else in hl7auth imports hl7apy.

The tables of hl7apy (2.3 to 2.8.2 without 2.7.1) are read once a version into the shapes below, corrected and extended
by profiles/dictionary/*.yaml, and let go. A field stands where its HL7 number says: hl7apy leaves withdrawn fields out,
which moves all that follow.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from hl7auth.errors import Fault
from hl7auth.rules.corrections import Patch, Sketch, StructureEdit, patch
from hl7auth.wire.versions import VERSIONS
from hl7auth.wire.versions import at_least as version_at_least

__all__ = [
    "VERSIONS",
    "ComponentDef",
    "Dictionary",
    "FieldDef",
    "Node",
    "SegmentDef",
    "UnknownVersion",
    "dictionary",
    "version_at_least",
]


class UnknownVersion(Fault):
    """The version in MSH-12 is not supported."""

    code = "203"
    ack = "AR"


@dataclass(frozen=True, slots=True)
class FieldDef:
    """A field. `usage` is R, O, C, B or W (chapter 2, 2.5.3.4); `max` None is unbounded; `table` is like "0206".

    A withdrawn field (W) keeps its number and name; its data type is empty and nothing counts its repetitions.
    """

    name: str
    usage: str
    min: int
    max: int | None
    datatype: str
    table: str | None

    @property
    def code_table(self) -> str | None:
        """The table that the value, or its first component, is of. HL7 also writes the table of another component
        beside a field (0200 beside a name): that one stands at the component."""
        return None if self.datatype in _TABLE_ELSEWHERE else self.table


_TABLE_ELSEWHERE = frozenset({"CQ", "CX", "ICD", "PLN", "XAD", "XCN", "XON", "XPN", "XTN"})


@dataclass(frozen=True, slots=True)
class SegmentDef:
    """A segment; `fields[i]` is field i+1."""

    name: str
    fields: tuple[FieldDef, ...]


@dataclass(frozen=True, slots=True)
class ComponentDef:
    """A component of a data type; the data type of a withdrawn component is empty."""

    name: str
    datatype: str
    table: str | None


@dataclass(frozen=True, slots=True)
class Node:
    """A place in an abstract syntax: a segment (no children) or a group, named without the structure's prefix.

    Of a group that is a choice of one child every child counts as optional.
    """

    name: str
    min: int
    max: int | None
    children: tuple["Node", ...] = ()


@dataclass(frozen=True, slots=True)
class Dictionary:
    """Everything known of one version. A primitive data type has no components."""

    version: str
    segments: Mapping[str, SegmentDef]
    datatypes: Mapping[str, tuple[ComponentDef, ...]]
    structures: Mapping[str, Node]
    events: Mapping[tuple[str, str], str]

    def structure_of(self, message_type: str, event: str) -> str | None:
        """The structure id for MSH-9.1 and MSH-9.2 (table 0354); an ACK has one structure for all events."""
        return "ACK" if message_type == "ACK" else self.events.get((message_type, event))


@cache
def dictionary(version: str) -> Dictionary:
    """The Dictionary of a version of VERSIONS, read on first use. Raises UnknownVersion for any other."""
    if version not in VERSIONS:
        raise UnknownVersion(f"HL7 version {version} is not supported", location="MSH-12")
    changes = patch(version)
    draft = _inherited(dictionary(changes.base)) if changes.base else _read(version, changes.sequences)
    _apply(changes, draft)
    defined = {name: fields for name, fields in draft.segments.items() if fields}
    segments = {name: SegmentDef(name, _gapless(fields, _NO_FIELD)) for name, fields in defined.items()}
    datatypes = {name: _gapless(parts, _NO_COMPONENT) for name, parts in draft.datatypes.items()}
    return Dictionary(
        version,
        MappingProxyType(segments),
        MappingProxyType(datatypes),
        MappingProxyType(draft.structures),
        MappingProxyType(draft.events),
    )


class _Draft(NamedTuple):
    """A dictionary in the making: fields and components by number."""

    segments: dict[str, dict[int, FieldDef]]
    datatypes: dict[str, dict[int, ComponentDef]]
    structures: dict[str, Node]
    events: dict[tuple[str, str], str]


_NO_FIELD = FieldDef("", "W", 0, None, "", None)
_NO_COMPONENT = ComponentDef("", "", None)
_Part = TypeVar("_Part", FieldDef, ComponentDef)


def _gapless(parts: dict[int, _Part], gap: _Part) -> tuple[_Part, ...]:
    """The parts by number. A number that nothing is known of is held by `gap`, so that the next ones stay in place."""
    return tuple(parts.get(number, gap) for number in range(1, max(parts, default=0) + 1))


def _inherited(base: Dictionary) -> _Draft:
    return _Draft(
        {name: dict(enumerate(segment.fields, start=1)) for name, segment in base.segments.items()},
        {name: dict(enumerate(parts, start=1)) for name, parts in base.datatypes.items()},
        dict(base.structures),
        dict(base.events),
    )


def _apply(changes: Patch, draft: _Draft) -> None:
    for segment, number, values in changes.fields:
        fields = draft.segments.setdefault(segment, {})
        if values is None:
            del fields[number]
        else:
            fields[number] = replace(fields.get(number, _NO_FIELD), **values)
            draft.datatypes.setdefault(fields[number].datatype, {})
    for datatype, number, name in changes.components:
        draft.datatypes[datatype][number] = ComponentDef(name, "", None)
    for datatype, number, table in changes.tables:
        part = draft.datatypes.get(datatype, {}).get(number)
        if part is not None and part.datatype and part.table is None:
            draft.datatypes[datatype][number] = replace(part, table=table)
    for edit in changes.structures:
        draft.structures[edit.structure] = _edited(draft.structures[edit.structure], edit.path, edit)
    for message_type, event, structure in changes.events:
        draft.events[message_type, event] = structure


def _edited(node: Node, path: tuple[str, ...], edit: StructureEdit) -> Node:
    """The node with the change made at `path` below it. Raises LookupError when there is no such place."""
    if path[0] not in {child.name for child in node.children}:
        raise LookupError(f"{edit.structure} has no {'/'.join(edit.path)}")
    children: list[Node] = []
    for child in node.children:
        if child.name != path[0]:
            children.append(child)
        elif len(path) > 1:
            children.append(_edited(child, path[1:], edit))
        else:
            low, high = edit.cardinality or (child.min, child.max)
            children += [replace(child, min=low, max=high)] if edit.keep else []
            children += [_drawn(sketch) for sketch in edit.nodes]
    return replace(node, children=tuple(children))


def _drawn(sketch: Sketch) -> Node:
    return Node(sketch.name, sketch.min, sketch.max, tuple(_drawn(child) for child in sketch.children))


# The shapes of hl7apy's tables; a maximum of -1 is unbounded:
# SEGMENTS {name: (kind, ((field name, (kind, parts, datatype, NAME, table, length), (min, max), 'FIE'), ...))}
# DATATYPES_STRUCTS {name: ((component name, [as in a field], (min, max), 'CMP'), ...)}
# MESSAGES {name: ('sequence' or 'choice', ((name, reference to the inner one, (min, max), 'SEG' or 'GRP'), ...))}


def _read(version: str, sequences: tuple[str, ...]) -> _Draft:
    package = f"hl7apy.v{version.replace('.', '_')}"
    segments = {
        name: dict(map(_field, reference[1]))
        for name, reference in import_module(f"{package}.segments").SEGMENTS.items()
        if reference[0] == "sequence" and len(reference) > 1
    }
    types = import_module(f"{package}.datatypes").DATATYPES_STRUCTS.items()
    datatypes = {name: dict(map(_component, parts)) for name, parts in types}
    used = {field.datatype for fields in segments.values() for field in fields.values()}
    used |= {part.datatype for parts in datatypes.values() for part in parts.values()}
    messages = import_module(f"{package}.messages").MESSAGES.items()
    structures = {name: Node(name, 1, 1, _nodes(name, reference, sequences)) for name, reference in messages}
    events = {(name[:3], name[4:]): name for name in structures if re.fullmatch(r"[A-Z]{3}_[A-Z]\d\d", name)}
    return _Draft(segments, {name: {} for name in used} | datatypes, structures, events)


def _field(row: Any) -> tuple[int, FieldDef]:
    label, (_, _, datatype, name, table, _), (low, high), _ = row
    number = int(label.rpartition("_")[2])
    if high == 0:
        return number, replace(_NO_FIELD, name=_title(name))
    usage, most = "R" if low else "O", None if high < 0 else high
    return number, FieldDef(_title(name), usage, low, most, datatype or "", _table(table))


def _component(row: Any) -> tuple[int, ComponentDef]:
    label, (_, _, datatype, name, table, _), (_, high), _ = row
    number = int(label.rpartition("_")[2])
    return number, ComponentDef(_title(name), (high and datatype) or "", _table(table))


def _table(name: str | None) -> str | None:
    """The number of a table; 9999 stands for none."""
    return name.removeprefix("HL7") if name and name != "HL79999" else None


def _nodes(structure: str, reference: Any, sequences: tuple[str, ...]) -> tuple[Node, ...]:
    choice = reference[0] == "choice" and not structure.startswith(sequences)
    nodes: list[Node] = []
    for name, inner, (low, high), kind in reference[1]:
        least, most = 0 if choice else low, None if high < 0 else high
        if kind == "GRP":
            children = _nodes(structure, inner, sequences)
            nodes.append(Node(name.removeprefix(f"{structure}_"), least, most, children))
        else:
            nodes.append(_segment(name, least, most))
    return tuple(nodes)


@cache
def _segment(name: str, low: int, high: int | None) -> Node:
    """One Node for all the places where a segment stands with the same cardinality."""
    return Node(name, low, high)


_SMALL = frozenset({"A", "AND", "AS", "AT", "BY", "FOR", "FROM", "IN", "OF", "ON", "OR", "THE", "TO", "WITH"})
_UPPER = frozenset({"DRG", "ID", "LMP", "PSRO", "QRY", "SSN", "UR", "VIP"})


def _title(name: str) -> str:
    """`MOTHER_S_MAIDEN_NAME` as Mother's Maiden Name, `DISCIPLINE_S` as Discipline(s), `DATE_TIME` as Date/Time."""
    text = " ".join(map(_word, name.split("_")))
    text = text.replace(" S ", "'s ").replace("Date Time", "Date/Time")
    return text[:1].upper() + (text[1:-2] + "(s)" if text.endswith(" S") else text[1:])


@cache
def _word(word: str) -> str:
    if word in _UPPER or any(map(str.isdigit, word)):
        return word
    return word.lower() if word in _SMALL else word.capitalize()
