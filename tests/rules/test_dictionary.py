"""The dictionary: where AUT stands, what its fields are, and the versions of our own.

Imports hl7auth.rules and pytest.
"""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from hl7auth.rules import corrections
from hl7auth.rules.corrections import StructureEdit
from hl7auth.rules.dictionary import (
    VERSIONS,
    Dictionary,
    FieldDef,
    Node,
    UnknownVersion,
    _edited,
    dictionary,
    version_at_least,
)

REFERRAL = ("RQA_I08", "RPA_I08", "REF_I12", "RRI_I12")
FAMILY = (*REFERRAL, "RQI_I01", "RPI_I01", "RPI_I04", "RQP_I04", "RQC_I05", "RQC_I06", "RCI_I05", "RCL_I06")

_LINE_ITEM = "PRODUCT_SERVICE_SECTION+/PRODUCT_SERVICE_GROUP+/PRODUCT_SERVICE_LINE_ITEM+/AUT?"

# Every place of an AUT. ? is 0..1, * is 0..*, + is 1..*, nothing is 1..1.
PLACES = (
    ("2.3..2.9.1", "RQA_I08", "AUTHORIZATION?/AUT"),
    ("2.3..2.5.1", "RQA_I08", "PROCEDURE*/AUTCTD_SUPPGRP2?/AUT"),
    ("2.6..2.9.1", "RQA_I08", "PROCEDURE*/AUTHORIZATION?/AUT"),
    ("2.3..2.4, 2.5.1..2.9.1", "RPA_I08", "AUTHORIZATION?/AUT"),
    ("2.5", "RPA_I08", "AUTHORIZATION_1?/AUT"),
    ("2.3..2.4, 2.5.1", "RPA_I08", "PROCEDURE+/AUTCTD_SUPPGRP2?/AUT"),
    ("2.5", "RPA_I08", "PROCEDURE+/AUTHORIZATION_2?/AUT"),
    ("2.6..2.9.1", "RPA_I08", "PROCEDURE+/AUTHORIZATION?/AUT"),
    ("2.3", "REF_I12", "AUTHORIZATION?/AUT"),
    ("2.3.1..2.7.1", "REF_I12", "AUTHORIZATION_CONTACT?/AUT"),
    ("2.8", "REF_I12", "AUTHORIZATION_CONTACT1?/AUT"),
    ("2.8.1..2.9.1", "REF_I12", "AUTHORIZATION_CONTACT2?/AUT"),
    ("2.3..2.5.1", "REF_I12", "PROCEDURE*/AUTCTD_SUPPGRP2?/AUT"),
    ("2.6..2.7.1", "REF_I12", "PROCEDURE*/AUTHORIZATION_CONTACT?/AUT"),
    ("2.8..2.9.1", "REF_I12", "PROCEDURE*/AUTHORIZATION_CONTACT2?/AUT"),
    ("2.3", "RRI_I12", "AUTHORIZATION?/AUT"),
    ("2.3.1..2.7.1", "RRI_I12", "AUTHORIZATION_CONTACT?/AUT"),
    ("2.8..2.9.1", "RRI_I12", "AUTHORIZATION_CONTACT2?/AUT"),
    ("2.3..2.5.1", "RRI_I12", "PROCEDURE*/AUTCTD_SUPPGRP2?/AUT"),
    ("2.6..2.7.1", "RRI_I12", "PROCEDURE*/AUTHORIZATION_CONTACT?/AUT"),
    ("2.8..2.9.1", "RRI_I12", "PROCEDURE*/AUTHORIZATION_CONTACT2?/AUT"),
    ("2.6..2.7.1", "EHC_E01", "INVOICE_INFORMATION/AUT?"),
    ("2.6..2.7.1", "EHC_E01", f"INVOICE_INFORMATION/{_LINE_ITEM}"),
    ("2.8..2.9.1", "EHC_E01", "INVOICE_INFORMATION_SUBMIT/AUT?"),
    ("2.8..2.9.1", "EHC_E01", f"INVOICE_INFORMATION_SUBMIT/{_LINE_ITEM}"),
    ("2.6..2.9.1", "EHC_E21", "AUTHORIZATION_REQUEST/PSL_ITEM_INFO+/AUT?"),
    ("2.6..2.9.1", "EHC_E24", "AUTHORIZATION_RESPONSE_INFO/PSL_ITEM_INFO+/AUT?"),
    *(("2.8..2.9", structure, "INSURANCE*/AUT*") for structure in ("ADT_A01", "ADT_A03", "ADT_A05", "ADT_A16")),
    *(
        ("2.9.1", structure, "INSURANCE*/AUTHORIZATION*/AUT")
        for structure in ("ADT_A01", "ADT_A03", "ADT_A05", "ADT_A16")
    ),
)

_MARKS = {(1, 1): "", (0, 1): "?", (0, None): "*", (1, None): "+"}


def _paths(node: Node, above: str = "") -> Iterator[str]:
    """Every segment below the node with the cardinalities on the way, in the notation of PLACES."""
    for child in node.children:
        path = above + child.name + _MARKS[child.min, child.max]
        if child.children:
            yield from _paths(child, f"{path}/")
        else:
            yield path


def _shape(version: str, structure: str) -> list[str]:
    return list(_paths(dictionary(version).structures[structure]))


def _field(version: str, segment: str, number: int) -> FieldDef:
    return dictionary(version).segments[segment].fields[number - 1]


def _count(version: str, segment: str) -> int:
    return len(dictionary(version).segments[segment].fields)


# --- versions


def test_versions_are_in_order() -> None:
    in_order = "2.3 2.3.1 2.4 2.5 2.5.1 2.6 2.7 2.7.1 2.8 2.8.1 2.8.2 2.9 2.9.1"
    assert " ".join(VERSIONS) == in_order
    assert version_at_least("2.7.1", "2.7")
    assert not version_at_least("2.7", "2.7.1")


@pytest.mark.parametrize("version", ["2.2", "2.10", "", "2.5_1", "corrections", "../dictionary/2.9"])
def test_an_unknown_version_is_a_fault(version: str) -> None:
    with pytest.raises(UnknownVersion) as caught:
        dictionary(version)
    assert (caught.value.code, caught.value.ack, caught.value.location) == ("203", "AR", "MSH-12")


def test_a_dictionary_is_read_once() -> None:
    assert dictionary("2.5") is dictionary("2.5")
    assert dictionary("2.5").version == "2.5"


def test_hl7apy_is_loaded_only_when_a_version_asks_for_it() -> None:
    program = (
        "import sys; from hl7auth.rules.dictionary import dictionary\n"
        "assert not any(name.startswith('hl7apy') for name in sys.modules)\n"
        "dictionary('2.4'); assert 'hl7apy.v2_4.segments' in sys.modules and 'hl7apy.v2_8_2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


# --- structures


@pytest.mark.parametrize("version", VERSIONS)
def test_every_place_of_aut(version: str) -> None:
    expected = {(structure, path) for span, structure, path in PLACES if version in corrections.versions(span)}
    found = {
        (name, path)
        for name, root in dictionary(version).structures.items()
        for path in _paths(root)
        if path.split("/")[-1].rstrip("?*+") == "AUT"
    }
    assert found == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_four_structures_demand(version: str) -> None:
    tops = {name: {child.name: child for child in dictionary(version).structures[name].children} for name in REFERRAL}
    assert {name: (top["PROCEDURE"].min, top["PROCEDURE"].max) for name, top in tops.items()} == {
        "RQA_I08": (0, None), "RPA_I08": (1, None), "REF_I12": (0, None), "RRI_I12": (0, None),
    }  # fmt: skip
    assert all((top["PID"].min, top["PID"].max) == (1, 1) for top in tops.values())
    for name in REFERRAL:
        assert sum(path.endswith("+/PRD") for path in _shape(version, name)) == 1
    assert (tops["RPA_I08"]["MSA"].min, tops["RPA_I08"]["MSA"].max) == (1, 1)
    assert (tops["RRI_I12"]["MSA"].min, tops["RRI_I12"]["MSA"].max) == (0, 1)
    assert "MSA" not in tops["RQA_I08"]
    assert "MSA" not in tops["REF_I12"]
    assert not any("ERR" in path for name in REFERRAL for path in _shape(version, name))


@pytest.mark.parametrize("version", VERSIONS)
def test_headers_grow_with_the_versions(version: str) -> None:
    for name in REFERRAL:
        top = [path for path in _shape(version, name) if "/" not in path]
        assert ("SFT*" in top) == version_at_least(version, "2.5")
        assert ("UAC?" in top) == version_at_least(version, "2.6")
    assert ("MSA" in _shape(version, "ACK"), _shape(version, "ACK")[-1]) == (
        True, "ERR*" if version_at_least(version, "2.5") else "ERR?",
    )  # fmt: skip


def test_notes_moved_out_of_the_visit_after_2_3() -> None:
    assert _shape("2.3", "RPA_I08")[-3:] == ["VISIT?/PV1", "VISIT?/PV2?", "VISIT?/NTE*"]
    assert _shape("2.3.1", "RPA_I08")[-3:] == ["VISIT?/PV1", "VISIT?/PV2?", "NTE*"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_root_is_named_and_comes_once(version: str) -> None:
    for name, root in dictionary(version).structures.items():
        assert (root.name, root.min, root.max) == (name, 1, 1)
        assert root.children


@pytest.mark.parametrize("version", VERSIONS)
def test_structures_name_segments_that_are_defined(version: str) -> None:
    known = dictionary(version)
    for name in (*FAMILY, "ACK", "ADT_A01", "ADT_A03", "ADT_A05", "ADT_A16", "EHC_E01", "EHC_E21", "EHC_E24"):
        if name in known.structures:
            missing = {path.split("/")[-1].rstrip("?*+") for path in _paths(known.structures[name])} - set(
                known.segments
            )
            assert not missing, (name, missing)


def test_the_clinical_family_ends_with_2_7_1() -> None:
    for name in ("RQC_I05", "RCI_I05", "RCL_I06"):
        assert [version for version in VERSIONS if name in dictionary(version).structures] == [*VERSIONS[:8]]


def test_a_choice_needs_none_of_its_children_and_a_sequence_does() -> None:
    choice = next(path for path in _shape("2.5", "ORM_O01") if path.endswith("/RXO?"))
    assert choice.split("/")[-2].startswith("OBRRQDRQ1RXOODSODT_SUPPGRP")
    assert "INVOICE_INFORMATION/IVC" in _shape("2.6", "EHC_E01")


# --- segments


@pytest.mark.parametrize("version", VERSIONS)
def test_field_counts(version: str) -> None:
    def by_version(*steps: tuple[str, int]) -> int:
        return [count for floor, count in steps if version_at_least(version, floor)][-1]

    orders = (
        ("2.3", 43),
        ("2.3.1", 45),
        ("2.4", 47),
        ("2.5", 49),
        ("2.5.1", 50),
        ("2.7", 53),
        ("2.7.1", 54),
        ("2.9", 55),
    )
    expected = {
        "AUT": by_version(("2.3", 10), ("2.7", 12), ("2.8", 29)),
        "RF1": by_version(("2.3", 11), ("2.6", 12), ("2.8", 25)),
        "ERR": by_version(("2.3", 1), ("2.5", 12)),
        "MSA": by_version(("2.3", 6), ("2.6", 8)),
        "MSH": by_version(("2.3", 19), ("2.3.1", 20), ("2.4", 21), ("2.6", 25), ("2.9", 28)),
        "PRD": by_version(("2.3", 9), ("2.6", 14)),
        "PID": by_version(("2.3", 30), ("2.4", 38), ("2.5", 39), ("2.7", 40)),
        "OBR": by_version(*orders),
        "PR1": by_version(("2.3", 15), ("2.3.1", 16), ("2.4", 18), ("2.5", 20), ("2.6", 22), ("2.7", 25)),
    }
    assert {segment: _count(version, segment) for segment in expected} == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_aut(version: str) -> None:
    fields = dictionary(version).segments["AUT"].fields
    types = {number: fields[number - 1].datatype for number in (1, 4, 6, 8)}
    assert types == {
        1: "CWE" if version_at_least(version, "2.6") else "CE",
        4: "DTM" if version_at_least(version, "2.6") else "TS",
        6: "EI",
        8: "CQ" if version_at_least(version, "2.7") else "NM",
    }
    required = [number for number, field in enumerate(fields, start=1) if field.usage == "R"]
    assert required == ([2, 13] if version_at_least(version, "2.8") else [2])
    assert [number for number, field in enumerate(fields, start=1) if field.usage == "C"] == [6]
    assert [number for number, field in enumerate(fields, start=1) if field.max is None] == (
        [11, 12] if version_at_least(version, "2.7") else []
    )
    assert all(field.min == (field.usage == "R") for field in fields)
    assert fields[1].name == "Authorizing Payor, Company ID"
    assert (fields[0].table, fields[1].table, fields[2].table) == ("0072", "0285", None)
    if version_at_least(version, "2.8"):
        tables = {number: fields[number - 1].table for number in (13, 14, 16, 21, 29)}
        assert tables == {13: "0551", 14: "0563", 16: "0573", 21: "0574", 29: "0206"}
        later = " ".join(fields[number - 1].datatype for number in range(13, 30))
        assert later == "CWE CWE DTM CWE ST CQ CQ CQ CWE MO XON XCN ST DTM XTN ST ID"


@pytest.mark.parametrize("version", VERSIONS)
def test_usages_that_answers_depend_on(version: str) -> None:
    withdrawn = {
        (segment, number)
        for segment, number in (("ERR", 1), ("MSA", 3), ("MSA", 5), ("PR1", 2), ("PR1", 4))
        if _field(version, segment, number).usage == "W"
    }
    expected = {("MSA", 5)} if version_at_least(version, "2.5") else set()
    expected |= {("PR1", 2), ("PR1", 4)} if version_at_least(version, "2.6") else set()
    expected |= {("ERR", 1), ("MSA", 3)} if version_at_least(version, "2.7") else set()
    assert withdrawn == expected
    assert (_field(version, "RF1", 6).usage, _field(version, "PID", 5).usage) == ("R", "R")
    if version_at_least(version, "2.5"):
        assert [number for number in range(1, 13) if _field(version, "ERR", number).usage == "R"] == [3, 4]
        assert _field(version, "ERR", 6).max == 10
    else:
        assert (_field(version, "ERR", 1).usage, _field(version, "ERR", 1).max) == ("R", None)


@pytest.mark.parametrize("version", VERSIONS)
def test_no_gap_is_left_nameless(version: str) -> None:
    """A field or component without a name would be a gap that neither hl7apy nor our files know of."""
    known = dictionary(version)
    assert [name for name, segment in known.segments.items() if not all(field.name for field in segment.fields)] == []
    nameless = [name for name, parts in known.datatypes.items() if not all(part.name for part in parts)]
    assert set(nameless) <= {"TX_CHALLENGE"}  # hl7apy's own invention for OM1 and the like, nameless there too


@pytest.mark.parametrize("version", VERSIONS)
def test_shapes_are_consistent(version: str) -> None:
    known = dictionary(version)
    for name, segment in known.segments.items():
        assert segment.name == name
        assert segment.fields
        for field in segment.fields:
            assert field.usage in {"R", "O", "C", "B", "W"}
            assert field.min == (field.usage == "R"), (name, field)
            assert field.max is None or field.max >= 1
            assert field.datatype in known.datatypes
            assert (field.usage == "W") == (field.datatype == ""), (name, field)
            assert field.table is None or not field.table.startswith("HL7")
    for name, parts in known.datatypes.items():
        assert all(part.datatype in known.datatypes for part in parts), name


def test_names_are_plain_words() -> None:
    assert _field("2.5", "PID", 6).name == "Mother's Maiden Name"
    assert _field("2.7", "AUT", 11).name == "Requested Discipline(s)"
    assert _field("2.5", "PID", 7).name == "Date/Time of Birth"
    assert _field("2.5", "PID", 19).name == "SSN Number Patient"
    assert _field("2.5", "UB2", 7).name == "Occurrence Code Date 32 35"


def test_data_types() -> None:
    known = dictionary("2.8.2").datatypes
    assert [part.name for part in known["EI"]] == [
        "Entity Identifier",
        "Namespace ID",
        "Universal ID",
        "Universal ID Type",
    ]
    assert [part.datatype for part in known["CP"]][:2] == ["MO", "ID"]
    assert (known["ST"], known["NM"], known[""]) == ((), (), ())
    assert dictionary("2.5").datatypes["CX"][4].table == "0203"
    assert (known["XTN"][0].name, known["XTN"][0].datatype, known["XTN"][1].name) == (
        "Telephone Number", "", "Telecommunication Use Code",
    )  # fmt: skip
    assert [part.datatype for part in dictionary("2.3").datatypes["CM_ELD"]] == ["ST", "NM", "NM", "CE"]


def test_nothing_can_be_changed() -> None:
    known: Any = dictionary("2.5")
    for mapping in (known.segments, known.datatypes, known.structures, known.events):
        with pytest.raises(TypeError):
            mapping["AUT"] = None
    with pytest.raises(AttributeError):
        known.segments["AUT"].fields[0].name = "x"


# --- versions of our own


def _differences(newer: Dictionary, older: Dictionary) -> set[tuple[str, int]]:
    return {
        (name, number)
        for name, segment in newer.segments.items()
        for number, field in enumerate(segment.fields, start=1)
        if name not in older.segments or field not in older.segments[name].fields[number - 1 : number]
    }


def test_2_7_1_is_2_7_with_its_order_fields() -> None:
    known, base = dictionary("2.7.1"), dictionary("2.7")
    assert _differences(known, base) == {("OBR", 13), ("OBR", 29), ("OBR", 54)}
    assert (known.structures, known.events, known.datatypes) == (base.structures, base.events, base.datatypes)
    assert (_field("2.7", "OBR", 13).datatype, _field("2.7.1", "OBR", 13).datatype) == ("ST", "CWE")


def test_2_9_is_2_8_2_with_the_fields_of_2_9() -> None:
    known, base = dictionary("2.9"), dictionary("2.8.2")
    assert _differences(known, base) == (
        {("ARV", number) for number in range(7, 11)}
        | {("MSH", 26), ("MSH", 27), ("MSH", 28), ("NTE", 9), ("PRT", 23), ("PRT", 24)}
        | {("OBR", number) for number in (9, 16, 28, 32, 33, 34, 35, 50, 55)}
        | {("OBX", 31), ("OBX", 32), ("OBX", 33)}
    )
    assert (known.structures, known.events) == (base.structures, base.events)
    assert _field("2.9", "OBR", 16) == FieldDef("Ordering Provider", "W", 0, None, "", None)
    assert _field("2.8.2", "IN1", 55).table == "0206"


def test_2_9_1_tells_gender_and_sex() -> None:
    assert {segment for segment, _ in _differences(dictionary("2.9.1"), dictionary("2.9"))} == {"GSP", "GSR", "GSC"}
    assert [_count("2.9.1", segment) for segment in ("GSP", "GSR", "GSC")] == [7, 10, 8]
    assert _field("2.9.1", "GSC", 6) == FieldDef("Clinical Context", "R", 1, None, "ERL", None)
    for name in REFERRAL:
        shape = _shape("2.9.1", name)
        at = shape.index("PID")
        assert shape[at + 1 : at + 4] == ["GSP*", "GSR*", "GSC*"]
        assert shape[shape.index("OBSERVATION*/OBR") + 1] == "OBSERVATION*/PRT*"
        kin = [path for path in shape if path.startswith("NEXT_OF_KIN")]
        expected = [] if name == "RRI_I12" else ["NEXT_OF_KIN*/NK1", "NEXT_OF_KIN*/GSP*", "NEXT_OF_KIN*/GSR*"]
        assert kin == expected
        assert "NK1*" not in shape
        old = [path for path in _shape("2.9", name) if path != "NK1*"]
        assert [path for path in shape if path in old] == old
    insurance = [path for path in _shape("2.9.1", "ADT_A05") if path.startswith("INSURANCE")]
    assert insurance[-4:] == [
        "INSURANCE*/AUTHORIZATION*/AUT", "INSURANCE*/AUTHORIZATION*/PRT*",
        "INSURANCE*/REFERRAL*/RF1", "INSURANCE*/REFERRAL*/PRT*",
    ]  # fmt: skip


def test_an_edit_of_a_place_that_does_not_exist_is_refused() -> None:
    root = Node("RQA_I08", 1, 1, (Node("PID", 1, 1), Node("VISIT", 0, 1, (Node("PV1", 1, 1),))))
    with pytest.raises(LookupError, match="RQA_I08 has no VISIT/PV2"):
        _edited(root, ("VISIT", "PV2"), StructureEdit("RQA_I08", ("VISIT", "PV2"), (0, 1), (), keep=True))
