"""Every correction of hl7apy's tables is still needed and has its effect; the notation of the dictionary files.

Imports hl7auth.rules, pytest and hl7apy's tables. A correction that a new hl7apy no longer needs fails here.
"""

from importlib import import_module
from typing import Any

import pytest

from hl7auth.rules import corrections
from hl7auth.rules.corrections import Sketch, syntax
from hl7auth.rules.dictionary import VERSIONS, FieldDef, Node, dictionary

IN_HL7APY = tuple(version for version in VERSIONS if version not in ("2.7.1", "2.9", "2.9.1"))


def _field(version: str, segment: str, number: int) -> FieldDef:
    return dictionary(version).segments[segment].fields[number - 1]


def _below(node: Node, path: str) -> Node:
    for step in path.split("/"):
        node = next(child for child in node.children if child.name == step)
    return node


def _tables(version: str, kind: str) -> Any:
    return import_module(f"hl7apy.v{version.replace('.', '_')}.{kind}")


def _raw(version: str, segment: str) -> dict[int, dict[str, Any]]:
    """The fields of a segment by number, as hl7apy holds them, in the words of corrections.yaml."""
    reference = _tables(version, "segments").SEGMENTS[segment]
    found = {}
    for label, (_, _, datatype, name, table, _), (low, high), _ in reference[1] if len(reference) > 1 else ():
        usage = "R" if low else "W" if high == 0 else "O"
        found[int(label.split("_")[1])] = {
            "usage": usage, "max": "*" if high < 0 else high, "datatype": datatype,
            "table": table and table[3:], "name": name,
        }  # fmt: skip
    return found


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()


@pytest.mark.parametrize("version", IN_HL7APY)
def test_corrected_fields_are_still_wrong_in_hl7apy(version: str) -> None:
    for entry in corrections.entries("fields", version):
        assert set(entry["hl7apy"]) == set(entry["right"]), entry
        for number in corrections.numbers(entry["fields"]):
            raw = _raw(version, entry["segment"])[number]
            for key, wrong in entry["hl7apy"].items():
                assert raw[key] == wrong != entry["right"][key], (
                    f"{version} {entry['segment']}-{number} {key} is {raw[key]}"
                )


@pytest.mark.parametrize("version", IN_HL7APY)
def test_corrected_fields_are_right_in_the_dictionary(version: str) -> None:
    """Where two entries speak of one field (a cardinality here, a usage there) both must have come through."""
    for entry in corrections.entries("fields", version):
        for number in corrections.numbers(entry["fields"]):
            field = _field(version, entry["segment"], number)
            for key, right in entry["right"].items():
                assert getattr(field, key) == right, (version, entry["segment"], number, key)


@pytest.mark.parametrize("version", IN_HL7APY)
def test_withdrawn_fields_are_still_missing_or_misnamed_in_hl7apy(version: str) -> None:
    for entry in corrections.entries("withdrawn", version):
        raw = _raw(version, entry["segment"])
        for number, name in entry["fields"].items():
            held = raw.get(number)
            right = held is not None and held["usage"] == "W" and _plain(held["name"]) == _plain(name)
            assert not right, f"{version} {entry['segment']}-{number} is right in hl7apy"
            assert _field(version, entry["segment"], number) == FieldDef(name, "W", 0, None, "", None)


@pytest.mark.parametrize("version", IN_HL7APY)
def test_absent_fields_are_still_in_hl7apy(version: str) -> None:
    for entry in corrections.entries("absent", version):
        for number in corrections.numbers(entry["fields"]):
            assert _raw(version, entry["segment"])[number]["name"] == entry["hl7apy"]
            assert len(dictionary(version).segments[entry["segment"]].fields) < number


@pytest.mark.parametrize("version", IN_HL7APY)
def test_restored_segments_and_components_are_still_missing_in_hl7apy(version: str) -> None:
    for entry in corrections.entries("segments", version):
        for segment, lines in entry["fields"].items():
            assert _raw(version, segment) == {}
            older = [
                (field.usage, field.max, field.datatype, field.table)
                for field in dictionary("2.6").segments[segment].fields
            ]
            own = dictionary(version).segments[segment].fields
            assert [(field.usage, field.max, field.datatype, field.table) for field in own] == older
            assert len(lines) == len(own)
    for entry in corrections.entries("components", version):
        parts = _tables(version, "datatypes").DATATYPES_STRUCTS[entry["datatype"]]
        for number in entry["components"]:
            assert f"{entry['datatype']}_{number}" not in {part[0] for part in parts}
            assert dictionary(version).datatypes[entry["datatype"]][number].name.upper() == parts[0][1][3].replace(
                "_", " "
            )


@pytest.mark.parametrize("version", IN_HL7APY)
def test_tables_of_components_are_missing_in_hl7apy_or_the_same(version: str) -> None:
    added = 0
    for entry in corrections.entries("tables", version):
        parts = _tables(version, "datatypes").DATATYPES_STRUCTS.get(entry["datatype"], ())
        held = {part[0]: part[1][4] for part in parts}
        known = dictionary(version).datatypes.get(entry["datatype"], ())
        for number, table in entry["components"].items():
            label = f"{entry['datatype']}_{number}"
            if label in held:
                assert held[label] in (None, f"HL7{table}")
                assert known[number - 1].table == (table if known[number - 1].datatype else None)
                added += held[label] is None
    assert (added > 0) is (version not in ("2.5", "2.5.1"))


def test_a_table_beside_a_field_that_is_not_of_its_first_component() -> None:
    pid, rf1 = dictionary("2.8.2").segments["PID"], dictionary("2.8.2").segments["RF1"]
    assert (pid.fields[4].table, pid.fields[4].code_table) == ("0200", None)
    assert (rf1.fields[0].table, rf1.fields[0].code_table) == ("0283", "0283")
    assert dictionary("2.6").segments["OBX"].fields[2].table is None


@pytest.mark.parametrize("version", IN_HL7APY)
def test_corrected_structures_are_still_wrong_in_hl7apy(version: str) -> None:
    groups = _tables(version, "groups").GROUPS
    for entry in corrections.entries("structures", version):
        reference = _tables(version, "messages").MESSAGES[entry["in"]]
        for step in entry["at"].split("/"):
            low, high, reference = next(
                (child[2][0], child[2][1], child[1]) for child in reference[1] if child[0] == f"{entry['in']}_{step}"
            )
        assert f"{low}..{'*' if high < 0 else high}" == entry["hl7apy"]
        assert entry["hl7apy"] != entry["right"] == "0..*"
        node = _below(dictionary(version).structures[entry["in"]], entry["at"])
        assert (node.min, node.max) == (0, None)
    for entry in corrections.entries("sequences", version):
        for start in entry["structures"]:
            kinds = {reference[0] for name, reference in groups.items() if name.startswith(start)}
            assert "choice" in kinds, f"{version} {start} has no choice any more"


def test_every_section_of_the_corrections_says_where_it_comes_from() -> None:
    for section in ("fields", "absent", "withdrawn", "components", "tables", "segments", "structures", "sequences"):
        found = [entry for version in VERSIONS for entry in corrections.entries(section, version)]
        assert found
        assert all(entry["source"] for entry in found)


@pytest.mark.parametrize("version", IN_HL7APY)
def test_the_rest_is_as_hl7apy_has_it_at_the_number_in_its_name(version: str) -> None:
    corrected = {(change.segment, change.number) for change in corrections.patch(version).fields}
    for segment, known in dictionary(version).segments.items():
        for number, raw in _raw(version, segment).items():
            if (segment, number) in corrected:
                continue
            field = known.fields[number - 1]
            assert _plain(field.name) == _plain(raw["name"]), (segment, number)
            assert field.usage == raw["usage"], (segment, number)
            if field.usage != "W":
                table = None if raw["table"] == "9999" else raw["table"]  # hl7apy writes 9999 for none
                assert (field.datatype, field.table) == (raw["datatype"], table), (segment, number)
                assert (field.max or "*") == raw["max"], (segment, number)


# --- the notation of our files


def test_ranges() -> None:
    assert corrections.versions("2.6, 2.8..2.8.2") == ("2.6", "2.8", "2.8.1", "2.8.2")
    assert corrections.versions(2.7) == ("2.7",)
    assert corrections.versions(None) == VERSIONS
    assert corrections.numbers("1, 5-7") == (1, 5, 6, 7)
    assert corrections.numbers(13) == (13,)
    with pytest.raises(ValueError, match=r"tuple\.index"):
        corrections.versions("2.10")


def test_abstract_syntax() -> None:
    assert syntax("NK1 [{GSP}] [UAC] {PRD}") == (
        Sketch("NK1", 1, 1), Sketch("GSP", 0, None), Sketch("UAC", 0, 1), Sketch("PRD", 1, None),
    )  # fmt: skip
    assert syntax("[{KIN: NK1 [{GSP}]}] [NOTE: NTE] PID") == (
        Sketch("KIN", 0, None, (Sketch("NK1", 1, 1), Sketch("GSP", 0, None))),
        Sketch("NOTE", 0, 1, (Sketch("NTE", 1, 1),)),
        Sketch("PID", 1, 1),
    )
