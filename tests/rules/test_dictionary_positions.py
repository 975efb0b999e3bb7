"""Every field stands where its HL7 number says and every event leads to its structure: by a second source and the wire.

Imports hl7auth.rules, hl7auth.wire and pytest; reads the sources of the package hl7types as the second source.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from hl7auth.rules.corrections import versions
from hl7auth.rules.dictionary import VERSIONS, FieldDef, Node, dictionary, version_at_least
from hl7auth.wire.message import parse

STRUCTURES = ("RQA_I08", "RPA_I08", "REF_I12", "RRI_I12", "ACK")
IN_HL7TYPES = tuple(version for version in VERSIONS if not version_at_least(version, "2.9"))


class Other(NamedTuple):
    """A field as the second source has it; its usage is R, O, C, X or NA (not given)."""

    name: str
    datatype: str
    usage: str
    repeats: bool
    table: str | None


_FIELD = re.compile(r"^ +[A-Z0-9]{3}\.(\d+) - (.*) \(([^()]*)\) (R|O|C|X|NA)\b(.*)$", re.MULTILINE)
_COMPONENT = re.compile(r"^ +[A-Z0-9_]+\.(\d+) \((?:req|opt)\) - (.*) \(([^()]*)\)", re.MULTILINE)
_BASE = re.compile(r"^class (\w+)\((\w+)\)", re.MULTILINE)


def _source(version: str, kind: str, name: str) -> Path:
    """A module of hl7types; it is read, not imported, because its models take seconds to build."""
    spec = find_spec("hl7types")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(next(iter(spec.submodule_search_locations)))
    return folder / "hl7" / f"v{version.replace('.', '_')}" / kind / f"{name}.py"


@cache
def _others(version: str, segment: str) -> dict[int, Other]:
    found = {}
    for number, name, datatype, usage, rest in _FIELD.findall(_source(version, "segments", segment).read_text()):
        flags, _, table = rest.partition("|")
        code = re.match(r" (?!9999)(\d{4})", table)  # 9999 stands for no table
        found[int(number)] = Other(name, datatype, usage, "rep" in flags.split(), code[1] if code else None)
    return found


def _segments(version: str) -> list[str]:
    """The segments of the four referral structures and of the general acknowledgment."""

    def names(node: Node) -> Iterator[str]:
        for child in node.children:
            yield from names(child) if child.children else [child.name]

    return sorted({name for structure in STRUCTURES for name in names(dictionary(version).structures[structure])})


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


# --- agreement with the second source. Left: versions, field, what differs. Right: the dictionary, hl7types, and why
# the dictionary is right (or, at "open", why nobody can say).

DISAGREEMENTS = {
    ("2.3..2.4", "MSA-1", "name"): "spelling only (acknowledgement)",
    ("2.5..2.5.1", "MSA-5", "withdrawn"): "hl7types: not to be sent; the same",
    ("2.5.1", "OBX-20", "withdrawn"): "held back for 2.6; hl7types has the fields 23 to 25 here",
    ("2.5.1", "OBX-21", "withdrawn"): "as OBX-20",
    ("2.5.1", "OBX-22", "withdrawn"): "as OBX-20",
    ("2.5.1", "OBX-23", "only ours"): "as OBX-20: the 2.5.1 text has the performing organization at 23",
    ("2.5.1", "OBX-24", "only ours"): "as OBX-23",
    ("2.5.1", "OBX-25", "only ours"): "as OBX-23",
    ("2.8.1", "RF1-18", "only ours"): "hl7types lost it in 2.8.1 only; 2.8 and 2.8.2 have it there",
    ("2.3", "ERR-1", "table"): "open: 0060 (error code and location) is the table of 2.2",
    ("2.3", "GT1-52", "table"): "open: the handicap table was renumbered from 0310 to 0295",
    ("2.3", "IN1-48", "table"): "as GT1-52",
    ("2.3", "NK1-36", "table"): "as GT1-52",
    ("2.7", "OBX-8", "table"): "open: hl7types names 0078 from 2.7.1 on, hl7apy already here",
    ("2.7", "PID-18", "table"): "0061 is the table of a component (CX.3), not of the field",
    ("2.7", "PID-21", "table"): "as PID-18",
    ("2.3", "NK1-7", "usage"): "open: required in hl7types only; the lenient reading is taken",
    ("2.3", "PR1-3", "usage"): "open: 2.3 requires PR1-2; requiring both would forbid what the standard shows",
    ("2.3.1..2.5.1", "DG1-2", "usage"): "required there for backward compatibility only",
    ("2.3.1..2.5.1", "PR1-2", "usage"): "as DG1-2",
    ("2.5..2.6", "ERR-1", "usage"): "B, which hl7types does not know",
    ("2.4..2.6", "MSA-3", "usage"): "B, which hl7types does not know",
    ("2.4..2.6", "MSA-6", "usage"): "B, which hl7types does not know",
    ("2.3.1", "OBR-5", "usage"): "hl7types: not to be sent, in this version only",
    ("2.3.1", "OBR-6", "usage"): "as OBR-5",
    **{
        (span, f"OBR-{number}", "usage"): "B, which hl7types does not know"
        for span, numbers in (
            ("2.4..2.6", (5, 6)),
            ("2.5..2.6", (14, 15, 27)),
            ("2.6..2.8.2", (32, 33, 34, 35)),
            ("2.7..2.8.2", (10, 16, 28, 50)),
        )
        for number in numbers
    },
    **{("2.7..2.8.2", f"OBX-{n}", "usage"): "B, which hl7types does not know" for n in (15, 16, 18, 23, 24, 25)},
    **{
        (
            "2.7.1..2.8",
            f"OBX-{number}",
            "usage",
        ): "not to be sent in the tables of 2.7.1 and 2.8 only: those look like a "
        "profile, for a result without units, range and date is no result"
        for number in (8, 9, 12, 13, 14, 17)
    },
    **{("2.7.1", f"OBX-{number}", "usage"): "as OBX-8" for number in (7, 10)},
    **{("2.7.1..2.8", f"OBX-{number}", "usage"): "as OBX-8: conditional before and after" for number in (2, 4)},
    **{
        ("2.7..2.8.2", f"AUT-{number}", "table"): "tables without values, which hl7types leaves out"
        for number in (11, 12)
    },
    **{("2.8..2.8.2", f"AUT-{number}", "table"): "as AUT-11" for number in (13, 14, 16, 21)},
}


def _same_type(own: str, other: str) -> bool:
    """hl7types writes CM for every composite of 2.3 and * or var for a type that another field names."""
    return own == other or (own.startswith("CM_") and other == "CM") or (own == "varies" and other in ("*", "var"))


def _compare(own: FieldDef | None, other: Other | None) -> Iterator[str]:
    if own is None or other is None:
        if own is None or own.usage != "W":
            yield "only ours" if own else "only theirs"
        return
    if own.usage == "W":
        yield "withdrawn"
        return
    if _plain(own.name) != _plain(other.name):
        yield "name"
    if not _same_type(own.datatype, other.datatype):
        yield "datatype"
    if own.table != other.table:
        yield "table"
    if (own.max != 1) != other.repeats:
        yield "repetition"
    if own.usage != other.usage and (own.usage, other.usage) != ("O", "NA"):
        yield "usage"


def _found(version: str) -> set[tuple[str, str]]:
    found = set()
    for segment in _segments(version):
        fields = dict(enumerate(dictionary(version).segments[segment].fields, start=1))
        others = _others(version, segment)
        for number in fields.keys() | others.keys():
            found |= {(f"{segment}-{number}", what) for what in _compare(fields.get(number), others.get(number))}
    return found


@pytest.mark.parametrize("version", IN_HL7TYPES)
def test_agreement_field_by_field(version: str) -> None:
    """Both ways: a new disagreement fails, and so does a listed one that is gone."""
    expected = {(path, what) for span, path, what in DISAGREEMENTS if version in versions(span)}
    assert _found(version) == expected


@pytest.mark.parametrize("version", IN_HL7TYPES)
def test_no_segment_of_any_structure_is_longer_or_shorter(version: str) -> None:
    """The number of the last field, over all segments: nothing is lost at the end."""
    own = {name: len(segment.fields) for name, segment in dictionary(version).segments.items()}
    other = {name: max(_others(version, name), default=0) for name in own}
    different = {name for name in own if own[name] != other[name]}
    restored = {"QRD", "QRF"} if version in ("2.7", "2.7.1") else set()
    performing = {"OBX"} if version == "2.5.1" else set()
    withdrawn = {"UB1"} if version_at_least(version, "2.7") else set()
    assert different == restored | performing | withdrawn


@pytest.mark.parametrize("version", IN_HL7TYPES)
def test_components_stand_at_their_numbers(version: str) -> None:
    used = {field.datatype for name in _segments(version) for field in dictionary(version).segments[name].fields}
    for datatype in sorted(used):
        source = _source(version, "datatypes", datatype)
        if not source.exists() or datatype.startswith("CM"):
            continue
        others = {int(number): (name, kind) for number, name, kind in _COMPONENT.findall(source.read_text())}
        parts = dict(enumerate(dictionary(version).datatypes[datatype], start=1))
        assert {number for number, part in parts.items() if part.datatype} == set(others), datatype
        for number, (name, kind) in others.items():
            assert _plain(parts[number].name) == _plain(name), (datatype, number)
            own = parts[number].datatype
            assert own.removesuffix("_SIMPLE") == kind or own.startswith("CM_") or version in ("2.3", "2.3.1"), datatype


# --- the map of events against the classes of hl7types, which has one for each event

_UNLISTED = {  # the map says nothing where only hl7types does
    *((version, f"ADT_{event}") for version in ("2.7", "2.7.1", "2.8", "2.8.1", "2.8.2") for event in ("A47", "A49")),
}


@pytest.mark.parametrize("version", IN_HL7TYPES)
def test_events_lead_to_the_structures_of_the_second_source(version: str) -> None:
    known = dictionary(version)
    modules = _source(version, "messages", "ACK").parent.glob("*.py")
    checked = 0
    for module in modules:
        name = module.stem
        if not re.fullmatch("(RQA|RPA|REF|RRI|RQI|RPI|RQP|RPL|RPR|RQC|RCI|RCL|PIN|ADT|EHC)_[A-Z][0-9]{2}", name):
            continue
        match = _BASE.search(module.read_text())
        assert match is not None
        structure = name if match[2] == "HL7Model" else match[2]
        if name in ("RQI_I07",) or (version, name) in _UNLISTED:
            assert known.structure_of(name[:3], name[4:]) is None
            continue
        assert known.structure_of(name[:3], name[4:]) == structure
        checked += 1
    assert checked >= 50


@pytest.mark.parametrize("version", VERSIONS)
def test_every_event_has_a_structure_of_its_version(version: str) -> None:
    known = dictionary(version)
    assert set(known.events.values()) <= set(known.structures)


@pytest.mark.parametrize("version", VERSIONS)
def test_referral_events(version: str) -> None:
    known = dictionary(version)
    for number in range(8, 16):
        request, response = ("RQA", "RPA") if number < 12 else ("REF", "RRI")
        suffix = "I08" if number < 12 else "I12"
        assert known.structure_of(request, f"I{number:02}") == f"{request}_{suffix}"
        assert known.structure_of(response, f"I{number:02}") == f"{response}_{suffix}"
    assert [known.structure_of("RQI", event) for event in ("I01", "I02", "I03")] == ["RQI_I01"] * 3
    assert known.structure_of("RPI", "I01") == "RPI_I01"
    assert known.structure_of("RPI", "I04") == ("RPI_I04" if version_at_least(version, "2.4") else "RPI_I01")
    assert known.structure_of("RQP", "I04") == "RQP_I04"
    assert known.structure_of("RPL", "I02") == "RPL_I02"
    assert known.structure_of("RPR", "I03") == ("RPR_I03" if version_at_least(version, "2.4") else None)
    assert known.structure_of("PIN", "I07") == ("RQI_I01" if version_at_least(version, "2.4") else "PIN_I07")
    later = None if version_at_least(version, "2.8") else "RQC_I05"
    assert known.structure_of("RQC", "I05") == later
    assert known.structure_of("RQC", "I06") == (later if version_at_least(version, "2.4") else "RQC_I06")
    assert known.structure_of("RCI", "I05") == (None if later is None else "RCI_I05")
    assert known.structure_of("RCL", "I06") == (None if later is None else "RCL_I06")


@pytest.mark.parametrize("version", VERSIONS)
def test_events_that_do_not_belong_to_the_type_have_no_structure(version: str) -> None:
    """P07: the standard's own examples hold a REF^I11."""
    known = dictionary(version)
    assert known.structure_of("REF", "I11") is None
    assert known.structure_of("RQA", "I12") is None
    assert known.structure_of("ZQA", "Z02") is None
    assert known.structure_of("ACK", "I08") == "ACK"
    assert known.structure_of("ACK", "") == "ACK"


# --- positions, through the wire

LANDMARKS = (
    ("2.3..2.9.1", "OBR", 16, "Ordering Provider"),
    ("2.3..2.9.1", "OBR", 25, "Result Status"),
    ("2.4..2.9.1", "OBR", 44, "Procedure Code"),
    ("2.3..2.9.1", "PID", 29, "Patient Death Date and Time"),
    ("2.3..2.9.1", "PID", 30, "Patient Death Indicator"),
    ("2.3..2.9.1", "PR1", 13, "Consent Code"),
    ("2.3..2.9.1", "PR1", 14, "Procedure Priority"),
    ("2.5..2.9.1", "PR1", 20, "Procedure Action Code"),
    ("2.3..2.9.1", "DG1", 15, "Diagnosis Priority"),
    ("2.3..2.9.1", "DG1", 16, "Diagnosing Clinician"),
    ("2.5..2.9.1", "DG1", 21, "Diagnosis Action Code"),
    ("2.3..2.9.1", "IN1", 39, "Policy Limit Days"),
    ("2.3..2.9.1", "IN1", 42, "Insured's Employment Status"),
    ("2.3..2.9.1", "IN1", 49, "Insured's ID Number"),
    ("2.8..2.9.1", "IN1", 55, "Insurance Action Code"),
    ("2.5..2.9.1", "ERR", 2, "Error Location"),
    ("2.5..2.9.1", "ERR", 3, "HL7 Error Code"),
    ("2.5..2.9.1", "ERR", 4, "Severity"),
    ("2.3..2.9.1", "PV1", 50, "Alternate Visit ID"),
    ("2.3..2.9.1", "AUT", 6, "Authorization Identifier"),
    ("2.8..2.9.1", "AUT", 29, "Action Code"),
    ("2.8..2.9.1", "RF1", 25, "Action Code"),
    ("2.9..2.9.1", "MSH", 28, "Special Access Restriction Instructions"),
    ("2.9..2.9.1", "OBR", 55, "Action Code"),
    ("2.9..2.9.1", "OBX", 33, "Observation Related Specimen Identifier"),
    ("2.9..2.9.1", "NTE", 9, "Coded Comment"),
)

_VALUE = "ASCII"
"""Also a character set, because MSH-18 takes its turn like every other field."""


def _written(segment: str, position: int) -> bytes:
    """A message of MSH and one segment with a value at one position, separators counted by hand."""
    if segment == "MSH":
        return b"MSH|^~\\&" + b"|" * (position - 2) + _VALUE.encode() + b"\r"
    return b"MSH|^~\\&|\r" + segment.encode() + b"|" * position + _VALUE.encode() + b"\r"


def _read(segment: str, position: int) -> list[int]:
    """The numbers of the fields that hold the value after the message was parsed."""
    message = parse(_written(segment, position))
    last = message.segments[-1]
    assert last.name == segment
    return [number for number in range(1, 100) if last.field(number) == _VALUE]


def _position(version: str, segment: str, name: str, nearest: int) -> int:
    """Where the dictionary has a field of that name; of several (two Comments) the nearest one to `nearest`."""
    fields = dictionary(version).segments[segment].fields
    places = [number for number, field in enumerate(fields, start=1) if _plain(field.name) == _plain(name)]
    assert places, f"{version} {segment} has no {name}"
    return min(places, key=lambda place: abs(place - nearest))


@pytest.mark.parametrize("version", VERSIONS)
def test_each_field_is_read_back_at_the_number_of_the_second_source(version: str) -> None:
    """A value is written where the dictionary has the field of that name and must be read at hl7types' number."""
    oracle = version if version in IN_HL7TYPES else IN_HL7TYPES[-1]
    renamed = {path for span, path, what in DISAGREEMENTS if what in ("name", "withdrawn") and oracle in versions(span)}
    checked = 0
    for segment in _segments(version):
        if segment in ("GSP", "GSR", "GSC"):
            continue  # new in 2.9.1, no second source
        for number, other in _others(oracle, segment).items():
            if (segment == "MSH" and number < 3) or f"{segment}-{number}" in renamed:
                continue
            assert _read(segment, _position(version, segment, other.name, number)) == [number], (segment, number)
            checked += 1
    assert checked > 400


@pytest.mark.parametrize("version", VERSIONS)
def test_landmarks(version: str) -> None:
    for span, segment, number, name in LANDMARKS:
        if version in versions(span):
            assert _read(segment, _position(version, segment, name, number)) == [number], (segment, number)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_position_of_the_dictionary_is_a_position_of_the_wire(version: str) -> None:
    for segment in _segments(version):
        fields = dictionary(version).segments[segment].fields
        if segment == "MSH":
            header = parse(b"MSH|^~\\&|\r").segments[0]
            assert (header.field(1), header.field(2)) == ("|", "^~\\&")
            assert [field.name for field in fields[:2]] == ["Field Separator", "Encoding Characters"]
        for number in range(3 if segment == "MSH" else 1, len(fields) + 1):
            assert _read(segment, number) == [number]
