"""The shipped dictionary files as values: what hl7apy's tables have wrong, and the versions that hl7apy has not.

Imports wire, resources and yaml only.

A Patch says what to change in the tables of one version; rules.dictionary makes the changes. The files are
profiles/dictionary/corrections.yaml, whose entries name their versions, and one file for each version of its own.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple, TypedDict, cast

import yaml

from hl7auth.resources import shipped
from hl7auth.wire.versions import VERSIONS


class FieldValues(TypedDict, total=False):
    """What is to change in a field; the keys are those of a FieldDef."""

    name: str
    usage: str
    min: int
    max: int | None
    datatype: str
    table: str | None


class FieldChange(NamedTuple):
    """New values for a field, which need not exist yet; None means that the version has no such field."""

    segment: str
    number: int
    values: FieldValues | None


class ComponentChange(NamedTuple):
    """The name of a withdrawn component."""

    datatype: str
    number: int
    name: str


class TableChange(NamedTuple):
    """The table of a component, where the version has the component and no table of it."""

    datatype: str
    number: int
    table: str


class Sketch(NamedTuple):
    """A segment or group of an abstract syntax: as a Node, which it becomes."""

    name: str
    min: int
    max: int | None
    children: tuple["Sketch", ...] = ()


class StructureEdit(NamedTuple):
    """What to do at `path` below a structure: give the node there another cardinality, and put `nodes` behind it.

    Without `keep` they come in its place.
    """

    structure: str
    path: tuple[str, ...]
    cardinality: tuple[int, int | None] | None
    nodes: tuple[Sketch, ...]
    keep: bool


class Patch(NamedTuple):
    """All changes for one version, on top of `base` (another version) or of hl7apy's tables where it is None.

    `events` are (message type, trigger event, structure); `sequences` are the beginnings of names of structures whose
    groups are never a choice.
    """

    base: str | None
    fields: tuple[FieldChange, ...]
    components: tuple[ComponentChange, ...]
    tables: tuple[TableChange, ...]
    structures: tuple[StructureEdit, ...]
    events: tuple[tuple[str, str, str], ...]
    sequences: tuple[str, ...]


def patch(version: str) -> Patch:
    """The Patch of a version. Raises FileNotFoundError or yaml.YAMLError when the installation is broken."""
    path = shipped("profiles") / "dictionary" / f"{version}.yaml"
    if not path.is_file():
        return _corrections(version)
    data = _load(path.name)
    edits = tuple(edit for entry in data.get("structures", ()) for edit in _edits(entry))
    return Patch(data["base"], tuple(_defined(data["fields"])), (), (), edits, (), ())


def entries(section: str, version: str) -> list[dict[str, Any]]:
    """The entries of one section of corrections.yaml that speak of a version; without `versions` they speak of all."""
    return [entry for entry in _load("corrections.yaml")[section] if version in versions(entry.get("versions"))]


def versions(text: object) -> tuple[str, ...]:
    """The versions of `2.6, 2.8..2.8.2`; all for None."""
    if text is None:
        return VERSIONS
    found: list[str] = []
    for part in str(text).split(","):
        first, _, last = part.strip().partition("..")
        found += VERSIONS[VERSIONS.index(first) : VERSIONS.index(last or first) + 1]
    return tuple(found)


def numbers(text: object) -> tuple[int, ...]:
    """The field numbers of `6`, `13-29` or `1, 5-10`."""
    found: list[int] = []
    for part in str(text).split(","):
        first, _, last = part.strip().partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def syntax(text: str) -> tuple[Sketch, ...]:
    """The nodes of HL7's abstract syntax: [ ] is optional, { } repeats, NAME: opens a group; `[{KIN: NK1 [{GSP}]}]`."""
    return _sequence(re.findall(r"[\[\]{}]|\w+:?", text))


@cache
def _load(name: str) -> dict[str, Any]:
    text = (shipped("profiles") / "dictionary" / name).read_text(encoding="utf-8")
    data: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    return data


def _corrections(version: str) -> Patch:
    return Patch(
        None,
        tuple(_field_changes(version)),
        tuple(
            ComponentChange(entry["datatype"], number, name)
            for entry in entries("components", version)
            for number, name in entry["components"].items()
        ),
        tuple(
            TableChange(entry["datatype"], number, table)
            for entry in entries("tables", version)
            for number, table in entry["components"].items()
        ),
        tuple(
            StructureEdit(entry["in"], tuple(entry["at"].split("/")), _cardinality(entry["right"]), (), keep=True)
            for entry in entries("structures", version)
        ),
        tuple(
            (entry["type"], event, entry["structure"])
            for entry in entries("events", version)
            for event in entry["events"]
        ),
        tuple(start for entry in entries("sequences", version) for start in entry["structures"]),
    )


def _field_changes(version: str) -> Iterator[FieldChange]:
    for entry in entries("fields", version):
        for number in numbers(entry["fields"]):
            yield FieldChange(entry["segment"], number, _values(entry["right"]))
    for entry in entries("absent", version):
        for number in numbers(entry["fields"]):
            yield FieldChange(entry["segment"], number, None)
    for entry in entries("withdrawn", version):
        for number, name in entry["fields"].items():
            yield FieldChange(entry["segment"], number, withdrawn(name))
    for entry in entries("segments", version):
        yield from _defined(entry["fields"])


def _values(right: dict[str, Any]) -> FieldValues:
    """What an entry says is right. A field is there at least once when it is required, and only then."""
    values = dict(right)
    if "usage" in right:
        values["min"] = int(right["usage"] == "R")
    if "max" in right:
        values["max"] = _maximum(str(right["max"]))
    return cast(FieldValues, values)


def withdrawn(name: str) -> FieldValues:
    """A field of which the standard keeps nothing but the number and the memory of a name."""
    return {"name": name, "usage": "W", "min": 0, "max": None, "datatype": "", "table": None}


def _defined(segments: dict[str, dict[int, str]]) -> Iterator[FieldChange]:
    for segment, lines in segments.items():
        for number, line in lines.items():
            yield FieldChange(segment, number, _line(line))


def _line(text: str) -> FieldValues:
    """The values of `C 0..1 CWE 0952 Security Classification Tag` or `W Ordering Provider`."""
    usage, rest = text.split(maxsplit=1)
    if usage == "W":
        return withdrawn(rest)
    cardinality, datatype, table, name = rest.split(maxsplit=3)
    low, high = _cardinality(cardinality)
    known = None if table == "-" else table
    return {"name": name, "usage": usage, "min": low, "max": high, "datatype": datatype, "table": known}


def _edits(entry: dict[str, Any]) -> Iterator[StructureEdit]:
    keep = "after" in entry
    nodes = syntax(entry["after" if keep else "instead"])
    for structure in entry["in"]:
        yield StructureEdit(structure, tuple(entry["at"].split("/")), None, nodes, keep)


def _cardinality(text: str) -> tuple[int, int | None]:
    low, _, high = text.partition("..")
    return int(low), _maximum(high)


def _maximum(text: str) -> int | None:
    return None if text == "*" else int(text)


def _sequence(marks: list[str], low: int = 1, high: int | None = 1) -> tuple[Sketch, ...]:
    """Takes marks up to the bracket that closes; a group carries the cardinality of the brackets around it."""
    found: list[Sketch] = []
    while marks:
        mark = marks.pop(0)
        if mark == "[":
            found += _sequence(marks, 0, high)
        elif mark == "{":
            found += _sequence(marks, low, None)
        elif mark in "]}":
            break
        elif mark.endswith(":"):
            return (Sketch(mark[:-1], low, high, _sequence(marks)),)
        else:
            found.append(Sketch(mark, low, high))
    return tuple(found)
