"""The authorization document: its shape, who set which field, when two say the same, and how it is shown."""

import copy
import json
from typing import Any

from hl7auth.domain.document import build, same_content, shown, with_provenance
from hl7auth.domain.intent import Intent
from hl7auth.domain.status import Status
from tests.messages import IMAGING, THERAPY, VISIT, Trial, answer, aut, granted, request

DG1 = "DG1|1||M17.1^Arthrosis of knee^I10"

#: the one shape, without provenance
TOP = {
    "key", "identifier", "assigner", "status", "version", "patient", "referral", "diagnoses", "lines", "provenance",
}  # fmt: skip
AUT_KEYS = {
    "plan", "payor", "payor_name", "effective_date", "expiration_date", "process_date", "reimbursement_limit",
    "requested_treatments", "authorized_treatments", "requested_disciplines", "authorized_disciplines",
    "referral_type", "approval_status", "planned_treatment_stop_date", "clinical_service", "reason",
    "authorized_units", "used_units", "scheduled_units", "encounter_type", "remaining_benefit",
    "authorized_provider", "authorized_professional", "source_text", "source_date", "source_phone", "comment",
}  # fmt: skip
FULL = (
    "AUT|GOLD|ACME|Acme Health|20260401|20260930|PA1|100&USD|3|2|20260302|PT|PT|SPEC|AP|20260801|REH|why|2|0|1|O"
    "|50^USD|Hill^^77|7702^Marsh^Eve|phone|20260302|555-0100|call first"
)


def intent(raw: bytes) -> Intent:
    found = Trial().plan(raw).intent
    assert found is not None
    return found


def built(raw: bytes, assumed: Status | None = None) -> dict[str, Any]:
    """The document of the first claim of a message."""
    said = intent(raw)
    return build(said.claims[0], said.context, said.names, assumed)


def test_the_document_has_the_one_shape_and_leaves_out_what_is_absent() -> None:
    trial = Trial()
    trial.send(answer(DG1, VISIT, aut({13: "SPEC", 9: "2"}), top=FULL, referral="R1", version="2.8"))
    document = shown(trial.document("PA1@ACME"))
    assert document.keys() == TOP | AUT_KEYS
    assert document["lines"][0].keys() == {
        "procedure", "status", "payor", "authorized_treatments", "referral_type"
    }  # fmt: skip
    assert document["patient"] == {
        "id": "77001", "assigner": "NORTH", "name": "Quill, Ivo", "birth_date": "1980-01-02"
    }  # fmt: skip
    assert document["referral"] == {"originating_id": "R1"}
    assert document["diagnoses"] == [{"code": "M17.1", "text": "Arthrosis of knee", "system": "I10"}]


def test_a_thin_message_makes_a_thin_document() -> None:
    trial = Trial()
    trial.send(answer(VISIT, aut(number="PA1")))
    assert shown(trial.document("PA1@ACME")).keys() == {
        "key", "identifier", "assigner", "status", "version", "patient", "payor", "lines", "provenance"
    }  # fmt: skip


def test_a_document_is_plain_data_that_json_keeps() -> None:
    trial = Trial()
    trial.send(request(VISIT, aut({8: "3"}), referral="R1"), answer(VISIT, granted("PA1"), referral="R1"))
    for key in ("PA1@ACME", "?R1@FRONT:NORTH"):
        document = trial.document(key)
        assert json.loads(json.dumps(document)) == document


def test_the_top_says_what_the_message_level_aut_says() -> None:
    document = built(answer(VISIT, aut({9: "1"}), top=granted("PA1", {3: '""'})))
    assert document["authorized_treatments"] == {"quantity": "2"}
    assert "payor_name" not in document
    assert document["lines"][0]["authorized_treatments"] == {"quantity": "1"}


def test_without_a_message_level_aut_the_top_says_what_the_only_line_says() -> None:
    document = built(answer(VISIT, granted("PA1")))
    assert document["authorized_treatments"] == {"quantity": "2"}
    assert document["effective_date"] == "2026-04-01"


def test_several_lines_share_the_payor_and_plan_that_all_of_them_name() -> None:
    first, second = granted("PA1", {1: "GOLD", 3: "Acme"}), granted("PA1", {1: "GOLD", 3: "Acme Health"})
    document = built(answer(VISIT, first, THERAPY, second))
    assert (document["plan"], document["payor"]) == ({"code": "GOLD"}, {"code": "ACME"})
    assert not document.keys() & {"payor_name", "effective_date", "authorized_treatments"}


def test_procedures_without_any_aut_have_no_top_values() -> None:
    document = built(request(VISIT, THERAPY), Status.REQUESTED)
    assert document.keys() == {"key", "status", "patient", "lines", "diagnoses"}
    assert (document["key"], document["status"]) == ("", "requested")


def test_the_kind_of_message_gives_the_status_of_all_its_lines() -> None:
    document = built(answer(VISIT, granted("PA1"), THERAPY, top=granted("PA1")), Status.CANCELLED)
    assert document["status"] == "cancelled"
    assert [line["status"] for line in document["lines"]] == ["cancelled", "cancelled"]


def test_a_line_that_nobody_speaks_of_has_no_status() -> None:
    document = built(answer(VISIT, THERAPY, top=granted("PA1")))
    assert document["status"] == "approved"
    assert all("status" not in line for line in document["lines"])


def test_same_content_looks_at_what_is_said_and_not_at_who_said_it() -> None:
    document = built(answer(VISIT, granted("PA1")))
    stored = with_provenance(document, 7, 3, None)
    assert same_content(document, stored)
    assert same_content(stored, document)
    assert same_content(json.loads(json.dumps(stored)), document)
    assert not same_content(document, document | {"comment": "new"})
    assert not same_content(document | {"comment": "old"}, document)
    assert not same_content(document, document | {"status": "denied"})


def test_provenance_names_the_message_that_set_each_field() -> None:
    first = with_provenance({"key": "K", "status": "pended", "plan": 1, "reason": "a"}, 11, 1, None)
    second = with_provenance({"key": "K", "status": "approved", "plan": 1, "comment": "b"}, 12, 2, first)
    third = with_provenance({"key": "K", "status": "approved", "plan": 1, "reason": "a", "comment": "c"}, 13, 3, second)
    assert shown(first)["provenance"] == {
        "status": {"message": "11", "version": 1},
        "plan": {"message": "11", "version": 1},
        "reason": {"message": "11", "version": 1},
    }
    assert shown(third)["provenance"] == {
        "status": {"message": "12", "version": 2},
        "plan": {"message": "11", "version": 1},
        "reason": {"message": "13", "version": 3},  # taken back by the second, said anew by the third
        "comment": {"message": "13", "version": 3},
    }


def test_provenance_through_messages() -> None:
    trial = Trial()
    one = trial.send(answer(VISIT, granted("PA1"), control_id="D1", referral="R1"))
    two = trial.send(answer(VISIT, granted("PA1", {10: "20260402"}), control_id="D2", referral="R1"))
    source = shown(trial.document("PA1@ACME"))["provenance"]
    assert source["effective_date"] == {"message": str(one.plan.message_id), "version": 1}
    assert source["process_date"] == {"message": str(two.plan.message_id), "version": 2}
    assert source["lines"] == {"message": str(two.plan.message_id), "version": 2}


def test_a_document_without_provenance_is_shown_and_continued() -> None:
    old = {"key": "K", "status": "pended", "version": 1}
    assert shown(old) == {"key": "K", "status": "pended", "version": 1, "provenance": {}}
    new = with_provenance({"key": "K", "status": "pended"}, 5, 2, old)
    assert new["provenance"] == {"*": [5, 2]}


def test_the_head_is_shown_first_and_nothing_empty() -> None:
    document = with_provenance(built(answer(VISIT, granted("PA1"))), 1, 1, None)
    mixed = {"comment": "", "reason": None, "plan": {}, **dict(reversed(document.items()))}
    view = shown(mixed)
    assert list(view)[:6] == ["key", "identifier", "assigner", "status", "version", "patient"]
    assert list(view)[-1] == "provenance"
    assert not view.keys() & {"comment", "reason", "plan", "diagnoses"}
    assert not view["provenance"].keys() & {"key", "version", "comment", "diagnoses"}


def test_numbers_that_are_nothing_are_shown() -> None:
    assert shown({"key": "K", "used_units": 0, "flag": False}) == {
        "key": "K", "used_units": 0, "flag": False, "provenance": {}
    }  # fmt: skip


def test_no_step_changes_a_document_of_before() -> None:
    trial = Trial()
    taken: list[tuple[Any, Any]] = []
    for number, raw in enumerate(
        [
            request(DG1, VISIT, aut({8: "3"}), THERAPY, aut({8: "3"}), referral="R1"),
            answer(DG1, VISIT, granted("PA1"), THERAPY, granted("PA2"), referral="R1", control_id="D1"),
            answer(DG1, VISIT, granted("PA1", {9: "1"}), IMAGING, granted("PA3"), referral="R1", control_id="D2"),
            request(VISIT, aut(number="PA1"), referral="R1", event="I09", control_id="C2"),
            request(VISIT, aut(number="PA1"), referral="R1", event="I11", control_id="C3"),
        ]
    ):
        outcome = trial.send(raw)
        assert outcome.changes, number
        for change in outcome.changes:
            shown(change.record.document)
            taken.append((change.record.document, copy.deepcopy(change.record.document)))
    assert all(now == then for now, then in taken)
