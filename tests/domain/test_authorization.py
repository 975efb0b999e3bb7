"""Which AUTs are one authorization, and what a message says around them: patient, diagnoses, referral, procedure."""

from typing import Any

import pytest

from hl7auth.domain.authorization import (
    Claim,
    Identifier,
    diagnoses,
    line_values,
    patient,
    procedure,
    referral,
    referral_key,
    requester,
)
from tests.messages import IMAGING, PID, PRD, THERAPY, VISIT, answer, aut, claims_of, message, parsed, request


def shape(claims: list[Claim]) -> list[tuple[str, bool, list[tuple[str, bool]]]]:
    """Each claim as its key, whether it has a message-level AUT, and its lines: procedure, and with an AUT or not."""
    return [
        (
            claim.identifier.key if claim.identifier else "",
            claim.top is not None,
            [(line.procedure.value(3), line.aut is not None) for line in claim.lines],
        )
        for claim in claims
    ]


def test_an_identifier_is_its_number_at_its_assigner() -> None:
    assert Identifier("PA1001", "ACME").key == "PA1001@ACME"


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({6: "PA1"}, "PA1@ACME"),
        ({6: "PA1^UM"}, "PA1@UM"),
        ({6: "PA1^^UMAPP"}, "PA1@UMAPP"),
        ({6: "PA1^UM^2.16^ISO"}, "PA1@UM"),
        ({6: "PA1", 2: "HILL^Hill Mutual"}, "PA1@HILL"),
        ({6: "PA1", 2: '""'}, "PA1@"),
        ({6: '""'}, ""),
        ({6: "^UM"}, ""),
        ({}, ""),
    ],
)
def test_p44_the_assigner_is_that_of_the_number_else_the_payor(fields: dict[int, str], key: str) -> None:
    assert shape(claims_of(request(VISIT, aut(fields)))) == [(key, False, [("99213", True)])]


def test_p43_the_same_number_at_both_levels_is_one_authorization_with_a_line() -> None:
    claims = claims_of(answer(VISIT, aut(number="PA1"), top=aut(number="PA1")))
    assert shape(claims) == [("PA1@ACME", True, [("99213", True)])]
    assert len(claims[0].auts) == 2


def test_an_aut_without_a_number_belongs_to_the_number_of_the_message_level() -> None:
    claims = claims_of(answer(VISIT, aut({9: "1"}), THERAPY, aut(number="PA1"), top=aut(number="PA1")))
    assert shape(claims) == [("PA1@ACME", True, [("99213", True), ("97110", True)])]


def test_a_line_that_repeats_the_number_without_an_assigner_means_the_message_level() -> None:
    claims = claims_of(answer(VISIT, aut({2: "", 6: "PA1"}), top=aut(number="PA1^UM")))
    assert shape(claims) == [("PA1@UM", True, [("99213", True)])]


def test_different_numbers_are_different_authorizations_in_order_of_their_first_aut() -> None:
    claims = claims_of(
        answer(VISIT, aut(number="PA2"), THERAPY, aut(number="PA1"), IMAGING, aut(number="PA2"), top=aut(number="PA3"))
    )
    assert shape(claims) == [
        ("PA3@ACME", True, []),
        ("PA2@ACME", False, [("99213", True), ("73721", True)]),
        ("PA1@ACME", False, [("97110", True)]),
    ]


def test_p44_different_assigners_make_different_authorizations() -> None:
    claims = claims_of(answer(VISIT, aut(number="123^A"), THERAPY, aut(number="123^B"), IMAGING, aut(number="123")))
    assert [claim.identifier for claim in claims] == [
        Identifier("123", "A"), Identifier("123", "B"), Identifier("123", "ACME")
    ]  # fmt: skip


def test_p44_identifiers_that_differ_have_different_keys() -> None:
    assert Identifier("A@B", "C").key != Identifier("A", "B@C").key


def test_a_procedure_without_aut_goes_with_the_message_level_aut() -> None:
    assert shape(claims_of(request(VISIT, THERAPY, aut({8: "1"}), top=aut(number="PA1")))) == [
        ("PA1@ACME", True, [("99213", False), ("97110", True)])
    ]
    assert shape(claims_of(request(VISIT))) == [("", False, [("99213", False)])]
    assert shape(claims_of(answer(VISIT, aut(number="PA1"), THERAPY))) == [
        ("PA1@ACME", False, [("99213", True)]), ("", False, [("97110", False)])
    ]  # fmt: skip


def test_a_request_without_a_number_is_one_claim_and_a_message_without_aut_and_pr1_none() -> None:
    claims = claims_of(request(VISIT, aut({8: "1"}), THERAPY, aut({8: "2"}), top=aut({8: "3"})))
    assert shape(claims) == [("", True, [("99213", True), ("97110", True)])]
    assert claims_of(request()) == []


def test_an_aut_that_stands_nowhere_is_no_claim() -> None:
    twice = claims_of(request(VISIT, aut(number="PA1"), aut(number="PA2")))
    assert shape(twice) == [("PA1@ACME", False, [("99213", True)])]
    late = claims_of(message(PRD, PID, aut(number="PA1")))
    assert late == []


def test_p64_an_aut_knows_which_of_the_message_it_is() -> None:
    claims = claims_of(answer(VISIT, aut(number="PA1"), THERAPY, aut(number="PA1"), top=aut(number="PA1")))
    assert [one.occurrence for one in claims[0].auts] == [1, 2, 3]
    assert claims[0].auts[2].raw_identifier == "PA1"


def test_the_action_codes_of_a_claim_where_s_says_snapshot_in_a_word() -> None:
    extra = {13: "SPEC"}
    claims = claims_of(
        answer(VISIT, aut(extra | {29: "S"}), THERAPY, aut(extra | {29: "U"}), top=aut(extra), version="2.9")
    )
    assert claims[0].actions == {"", "U"}
    assert claims_of(answer(VISIT, aut(extra | {29: "S"}), version="2.9"))[0].actions == {""}


@pytest.mark.parametrize(
    ("text", "deletes"),
    [
        ('AUT|""', True),
        ('AUT|""|""|""', True),
        ('AUT||""', True),
        ('AUT|""|WA02|""', False),
        ("AUT||ACME", False),
        ("AUT|", False),
    ],
)
def test_p35_only_an_aut_with_nothing_but_delete_indicators_deletes(text: str, deletes: bool) -> None:
    claims = claims_of(request(VISIT, text))
    assert [one.deletes for one in claims[0].auts] == [deletes]


def values_of(segment: str, version: str = "2.5") -> Any:
    return parsed(message(segment, version=version)).segments[1]


@pytest.mark.parametrize(
    ("pid", "said"),
    [
        (PID, {"id": "77001", "assigner": "NORTH", "name": "Quill, Ivo", "birth_date": "1980-01-02"}),
        ("PID|||77001", {"id": "77001"}),
        ("PID|||77001^^^^^HILL||Quill", {"id": "77001", "assigner": "HILL", "name": "Quill"}),
        ("PID|||77001^^^NORTH&2.16&ISO||Quill^Ivo^B||1980", {
            "id": "77001", "assigner": "NORTH", "name": "Quill, Ivo B", "birth_date": "1980",
        }),
        ("PID|||77001^^^NORTH~9^^^SOUTH||^Ivo~Alias", {"id": "77001", "assigner": "NORTH", "name": "Ivo"}),
        ("PID|||77001||van&Quill&v^Ivo", {"id": "77001", "name": "van, Ivo"}),
        ('PID|||77001||""||""', {"id": "77001"}),
        ("PID|||77001||||00000000", {"id": "77001"}),  # P49
        ("PID|", {}),
    ],
)  # fmt: skip
def test_the_patient(pid: str, said: dict[str, str]) -> None:
    assert patient(parsed(message(pid))) == said


def test_a_deleted_part_of_a_name_leaves_the_rest_of_it() -> None:
    assert patient(parsed(message('PID|||77001||Quill^Ivo^""')))["name"] == "Quill, Ivo"


def test_an_ampersand_in_a_name_is_text_where_it_is_escaped_or_not_declared() -> None:
    assert patient(parsed(message("PID|||77001||Quill\\T\\Moss^Ivo")))["name"] == "Quill&Moss, Ivo"
    raw = "MSH|^~\\{|FRONT|NORTH|PAYER|SOUTH|20260301||RQA^I08|C1|P|2.4\rPID|||77001||Quill&Moss{v^Ivo\r"
    assert patient(parsed(raw.encode()))["name"] == "Quill&Moss, Ivo"


def test_a_message_without_pid_or_rf1_says_nothing_of_them() -> None:
    bare = parsed(message(PRD))
    assert (patient(bare), referral(bare), referral_key(bare, "FRONT"), diagnoses(bare)) == ({}, {}, "", [])


@pytest.mark.parametrize(
    ("rf1", "said", "key"),
    [
        ("RF1||||||R1", {"originating_id": "R1"}, "R1@FRONT:NORTH"),
        ("RF1||||||R1^HILL|||||X9^UM", {"originating_id": "R1", "external_id": "X9"}, "R1@HILL"),
        ("RF1||||||R1^^EHR", {"originating_id": "R1"}, "R1@EHR"),
        ("RF1|A||||||||||X9", {"external_id": "X9"}, ""),
        ('RF1||||||""', {}, ""),
        ("RF1||||||^^R1", {}, ""),  # P80: the number is where no number belongs
        ("RF1|A", {}, ""),
    ],
)
def test_the_referral_and_the_scope_its_number_is_unique_in(rf1: str, said: dict[str, str], key: str) -> None:
    raw = parsed(message(rf1))
    assert referral(raw) == said
    assert referral_key(raw, "FRONT:NORTH") == key


def test_diagnoses_from_2_4_are_coded_values() -> None:
    raw = parsed(message("DG1|1||M17.1^Arthrosis of knee^I10", "DG1|2||M25.5^^I10", "DG1|3|", 'DG1|4||""'))
    assert diagnoses(raw) == [
        {"code": "M17.1", "text": "Arthrosis of knee", "system": "I10"}, {"code": "M25.5", "system": "I10"}
    ]  # fmt: skip


def test_diagnoses_before_2_4_have_their_system_and_text_in_fields_of_their_own() -> None:
    raw = parsed(message("DG1|1|I9|715.36|Arthrosis of knee", "DG1|2|I9|719.4^Pain^I9C|Joint pain", version="2.3"))
    assert diagnoses(raw) == [
        {"code": "715.36", "text": "Arthrosis of knee", "system": "I9"},
        {"code": "719.4", "text": "Pain", "system": "I9C"},
    ]


def test_a_deleted_description_is_not_the_text_of_a_diagnosis() -> None:
    assert diagnoses(parsed(message('DG1|1||715.36|""', version="2.3"))) == [{"code": "715.36"}]


@pytest.mark.parametrize(
    ("pr1", "version", "said"),
    [
        (VISIT, "2.5", {"code": "99213", "text": "Visit", "system": "C4"}),
        ("PR1|1|C4|99213|Office visit|20260401", "2.3", {"code": "99213", "text": "Office visit", "system": "C4"}),
        ("PR1|1|C4|99213^Visit^CPT|Office visit", "2.3", {"code": "99213", "text": "Visit", "system": "CPT"}),
        ("PR1|1|C4||Office visit", "2.3", {"text": "Office visit", "system": "C4"}),
        ('PR1|1|""|99213|""', "2.3", {"code": "99213"}),
        ("PR1|1", "2.5", {}),
        ("PR1|1||99213^Visit^C4^0450^Room^UB", "2.5", {
            "code": "99213", "text": "Visit", "system": "C4",
            "alternate": {"code": "0450", "text": "Room", "system": "UB"},
        }),
    ],
)  # fmt: skip
def test_the_procedure_in_the_layouts_of_all_versions(pr1: str, version: str, said: dict[str, Any]) -> None:
    assert procedure(values_of(pr1, version)) == said


def test_a_line_of_the_document_has_its_procedure_and_what_its_own_aut_says() -> None:
    claims = claims_of(answer(VISIT, aut({1: '""', 9: "2"}), THERAPY, top=aut(number="PA1")))
    with_aut, without = claims[0].lines
    assert line_values(with_aut) == {
        "procedure": {"code": "99213", "text": "Visit", "system": "C4"},
        "payor": {"code": "ACME"},
        "authorized_treatments": {"quantity": "2"},
    }
    assert line_values(without) == {"procedure": {"code": "97110", "text": "Exercise", "system": "C4"}}


@pytest.mark.parametrize(
    ("sender", "receiver", "asks", "answered_to"),
    [
        ("FRONT|NORTH", "PAYER|SOUTH", "FRONT:NORTH", "PAYER:SOUTH"),
        ("FRONT|", "PAYER|", "FRONT", "PAYER"),
        ("|NORTH", "|SOUTH", ":NORTH", ":SOUTH"),
        ("|", "|", "", ""),
    ],
)
def test_who_asked_is_the_sender_of_a_request_and_the_receiver_of_an_answer(
    sender: str, receiver: str, asks: str, answered_to: str
) -> None:
    raw = f"MSH|^~\\&|{sender}|{receiver}|20260301||RQA^I08|C1|P|2.5\r"
    header = parsed(raw.encode()).header
    assert requester(header, is_request=True).scope == asks
    assert requester(header, is_request=False).scope == answered_to
