"""What was decided: the rules for one AUT, the shipped table of codes, and lines taken together."""

from itertools import chain, combinations
from typing import Any

import pytest

from hl7auth.domain.status import APPROVAL_CODES, UNDECIDED, Status, decided, of_lines
from hl7auth.domain.values import read_aut
from hl7auth.rules.compiled import compiled
from hl7auth.rules.status import StatusMap, standard_status
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.message import Segment
from tests.messages import IMAGING, THERAPY, VISIT, Trial, answer, aut, granted, request, rules

NO_CODES = standard_status()

TABLE = {
    "approved": ("AP", "A", "A1", "Approved", "NA", "Not required"),
    "partially_approved": ("PA", "A2", "Partially approved"),
    "modified": ("MO", "A6", "Modified"),
    "denied": ("DE", "D", "A3", "Denied"),
    "pended": ("PE", "P", "A4", "Pended", "Pending", "CT"),
    "cancelled": ("CA", "C", "Cancelled"),
}


def shipped() -> StatusMap:
    return compiled("referral", "2.8").names


def said(text: str, has_number: bool = True, names: StatusMap = NO_CODES) -> Status:
    return decided(read_aut(Segment(text, Delimiters())), has_number, names)


@pytest.mark.parametrize(
    ("fields", "has_number", "status"),
    [
        ({9: "2"}, True, "approved"),
        ({9: "2"}, False, "approved"),
        ({8: "2", 9: "2"}, True, "approved"),
        ({8: "2", 9: "3"}, True, "approved"),
        ({8: "3", 9: "2"}, True, "partially_approved"),
        ({8: "3", 9: "2.5"}, True, "partially_approved"),
        ({8: "3", 18: "2^VISIT"}, True, "partially_approved"),
        ({8: "3", 9: "3", 18: "2"}, True, "partially_approved"),  # AUT-18 before AUT-9
        ({8: "3", 9: "2", 18: "two"}, True, "partially_approved"),  # what is no number says nothing
        ({8: "three", 9: "2"}, True, "approved"),
        ({9: "0"}, True, "denied"),
        ({9: "0.00"}, True, "denied"),
        ({9: "-1"}, True, "denied"),
        ({8: "3", 18: "0", 9: "3"}, True, "denied"),
        ({4: "20260401"}, True, "approved"),
        ({4: "20260401"}, False, "pended"),  # dates alone, without a number, grant nothing
        ({5: "20260930"}, True, "pended"),
        ({8: "3"}, True, "pended"),  # a number alone is no approval
        ({8: "3", 9: '""'}, True, "pended"),
        ({9: '""', 4: "20260401"}, True, "approved"),
        ({}, False, "pended"),
    ],
)
def test_without_an_approval_status_the_numbers_and_dates_decide(
    fields: dict[int, str], has_number: bool, status: str
) -> None:
    assert said(aut(fields), has_number) == status


def test_an_approval_status_is_stronger_than_numbers_and_dates() -> None:
    assert said(aut({4: "20260401", 9: "2", 14: "DE"}), True, shipped()) == "denied"
    assert said(aut({9: "0", 14: "AP"}), False, shipped()) == "approved"


@pytest.mark.parametrize(("status", "code"), [(status, code) for status, codes in TABLE.items() for code in codes])
def test_every_shipped_code_is_read_case_blind_as_code_and_as_text(status: str, code: str) -> None:
    for form in (code, code.upper(), code.lower(), f" {code} "):
        assert decided({"approval_status": {"code": form}}, False, shipped()) == status
        assert decided({"approval_status": {"code": "77", "text": form}}, False, shipped()) == status


def test_the_shipped_table_has_no_other_codes() -> None:
    assert shipped().approval_status == {code.upper(): status for status, codes in TABLE.items() for code in codes}


def test_the_code_is_asked_before_the_text() -> None:
    assert decided({"approval_status": {"code": "DE", "text": "Approved"}}, True, shipped()) == "denied"


@pytest.mark.parametrize("code", ["XX", "APPROVED?", "B000", "AP AP", ""])
def test_an_unknown_code_pends(code: str) -> None:
    values = {"approval_status": {"code": code, "text": "who knows"}, "authorized_units": {"quantity": "9"}}
    assert decided(values, True, shipped()) == "pended"
    assert decided(values, True, NO_CODES) == "pended"


def test_an_unknown_code_is_kept_verbatim() -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1", {13: "SPEC", 14: "B000^Autorizada^TRAD"}), version="2.8"))
    document = trial.document("PA1@ACME")
    assert document["status"] == "pended"
    assert document["approval_status"] == {"code": "B000", "text": "Autorizada", "system": "TRAD"}


@pytest.mark.parametrize("quantity", ["NaN", "sNaN", "-NaN"])
@pytest.mark.parametrize("key", ["authorized_units", "requested_treatments"])
def test_a_quantity_that_is_no_number_says_nothing(key: str, quantity: str) -> None:
    values: dict[str, Any] = {"authorized_treatments": {"quantity": "2"}, key: {"quantity": quantity}}
    assert decided(values, True, NO_CODES) == "approved"


@pytest.mark.parametrize("quantity", ["NaN", "Infinity", "-Infinity"])
def test_only_a_number_grants_or_refuses(quantity: str) -> None:
    assert said(aut({9: quantity}), True) == "pended"


SUBSETS = [set(each) for each in chain.from_iterable(combinations(Status, size) for size in range(1, len(Status) + 1))]
GRANTS = {Status.APPROVED, Status.PARTIALLY_APPROVED, Status.MODIFIED}


def test_lines_that_say_the_same_say_it_together() -> None:
    for status in Status:
        assert of_lines([status, status, status]) is status


def test_an_open_line_keeps_the_whole_open() -> None:
    for statuses in SUBSETS:
        if len(statuses) > 1 and statuses & UNDECIDED:
            assert of_lines(statuses) is Status.PENDED


def test_decided_lines_that_grant_something_grant_a_part() -> None:
    for statuses in SUBSETS:
        if len(statuses) > 1 and not statuses & UNDECIDED and statuses & GRANTS:
            whole = Status.MODIFIED if statuses == {Status.APPROVED, Status.MODIFIED} else Status.PARTIALLY_APPROVED
            assert of_lines(statuses) is whole


def test_lines_of_which_none_grants_anything_grant_nothing() -> None:
    for statuses in SUBSETS:
        if not statuses & GRANTS:
            assert of_lines(statuses) not in GRANTS, statuses


def test_every_status_has_a_code_for_replies_that_reads_back() -> None:
    assert APPROVAL_CODES.keys() == set(Status)
    for status, (code, text) in APPROVAL_CODES.items():
        read = decided({"approval_status": {"code": code, "text": text}}, False, shipped())
        assert read == (Status.PENDED if status is Status.REQUESTED else status)


def lines_of(trial: Trial, key: str = "PA1@ACME") -> list[str]:
    return [line["status"] for line in trial.document(key)["lines"]]


def test_p46_the_header_never_overrides_a_line() -> None:
    trial = Trial()
    top = aut({6: "PA1", 13: "SPEC", 14: "PA"})
    denied, approved = aut({13: "SPEC", 14: "DE"}), aut({8: "5", 9: "5", 13: "SPEC"})
    trial.send(answer(VISIT, denied, THERAPY, approved, IMAGING, top=top, version="2.8"))
    assert trial.document("PA1@ACME")["status"] == "partially_approved"
    lines = trial.document("PA1@ACME")["lines"]
    assert [line.get("status") for line in lines] == ["denied", "approved", None]


def test_p46_lines_decide_where_the_header_names_no_status() -> None:
    trial = Trial()
    trial.send(answer(VISIT, aut({9: "0"}), THERAPY, aut({9: "5"}), top=granted("PA1")))
    assert trial.document("PA1@ACME")["status"] == "partially_approved"
    assert lines_of(trial) == ["denied", "approved"]


def test_a_line_is_granted_by_its_dates_where_the_message_level_has_the_number() -> None:
    trial = Trial()
    trial.send(request(VISIT, aut({8: "3"})))
    trial.send(answer(VISIT, aut({4: "20260401"}), top=aut({4: "20260401"}), control_id="D1"))
    assert [line["status"] for line in trial.document("?#C1@FRONT:NORTH")["lines"]] == ["pended"]
    trial.send(answer(VISIT, aut({4: "20260401"}), top=aut({4: "20260401", 6: "PA1"}), control_id="D2"))
    assert lines_of(trial) == ["approved"]


def test_p47_a_refusal_in_a_good_answer_is_a_denial() -> None:
    trial = Trial()
    outcome = trial.send(request(VISIT, aut({8: "3"})), answer(VISIT, aut({6: "PA1", 8: "3", 9: "0"})))
    assert outcome.code == "AA"
    assert trial.statuses("PA1@ACME", "?#C1@FRONT:NORTH") == ["denied", "denied"]


def test_p47_a_refusal_without_a_number_closes_the_request() -> None:
    trial = Trial()
    outcome = trial.send(request(VISIT, aut({8: "3"})), answer(VISIT, aut({8: "3", 9: "0"})))
    assert rules(outcome) == set()
    assert trial.statuses("?#C1@FRONT:NORTH") == ["denied"]


def test_p50_a_number_is_no_approval_when_the_line_is_refused() -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1", {9: "0"})))
    assert trial.statuses("PA1@ACME") == ["denied"]
