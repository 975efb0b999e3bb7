"""What ends authorizations: later snapshots, and cancellations by either side."""

import pytest

from hl7auth.flow.decision import Disposition
from hl7auth.wire.ack import Location
from tests.messages import (
    ASKED,
    IMAGING,
    THERAPY,
    VISIT,
    Trial,
    answer,
    aut,
    changes,
    granted,
    refused,
    request,
    rules,
    two_granted,
)


def test_what_a_later_answer_of_the_referral_leaves_out_has_ended() -> None:
    trial = two_granted(referral="R1")
    later = answer(VISIT, granted("PA1", {9: "5"}), referral="R1", control_id="D2")
    assert changes(trial.send(later))[:2] == [
        ("PA1@ACME", 2, "approved", "answer"),
        ("PA2@ACME", 2, "cancelled", "left out of a later snapshot"),
    ]
    assert trial.document("PA2@ACME")["authorized_treatments"] == {"quantity": "2"}
    again = answer(VISIT, granted("PA1", {9: "6"}), referral="R1", control_id="D3")
    assert [change for change in changes(trial.send(again)) if change[0] == "PA2@ACME"] == []


def test_without_a_referral_the_request_that_is_answered_is_the_snapshots_scope() -> None:
    trial = two_granted()
    trial.send(request(IMAGING, ASKED, control_id="C2"))
    trial.send(answer(IMAGING, granted("PA3"), to="C2", control_id="D2"))
    trial.send(answer(VISIT, granted("PA1"), to="C1", control_id="D3"))
    assert trial.statuses("PA1@ACME", "PA2@ACME", "PA3@ACME") == ["approved", "cancelled", "approved"]


def test_an_answer_without_referral_and_request_touches_only_what_it_names() -> None:
    trial = two_granted(referral="R1")
    trial.send(answer(VISIT, granted("PA1", {9: "5"}), to="ELSE", control_id="D2"))
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["approved", "approved"]


def test_a_snapshot_ends_nothing_of_another_referral() -> None:
    trial = two_granted(referral="R1")
    trial.send(answer(IMAGING, granted("PA3"), referral="R2", control_id="D2", to="ELSE"))
    assert trial.statuses("PA1@ACME", "PA2@ACME", "PA3@ACME") == ["approved", "approved", "approved"]


@pytest.mark.parametrize("line", [[VISIT], [VISIT, aut({9: "1"})], [VISIT, aut({9: "0"}), THERAPY]])
def test_p33_an_answer_that_names_no_authorization_ends_none(line: list[str]) -> None:
    trial = two_granted(referral="R1")
    trial.send(answer(*line, referral="R1", control_id="D2"))
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["approved", "approved"]


def test_p33_an_answer_without_any_aut_changes_nothing() -> None:
    trial = two_granted(referral="R1")
    assert changes(trial.send(answer(VISIT, THERAPY, referral="R1", control_id="D2"))) == []


def test_a_request_ends_nothing_of_its_referral() -> None:
    trial = two_granted(referral="R1")
    trial.send(request(IMAGING, aut(number="PA3"), referral="R1", event="I09", control_id="C2"))
    trial.send(request(IMAGING, granted("PA4"), referral="R1", kind="REF", event="I13", control_id="C3"))
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["approved", "approved"]


def test_p35_a_delete_indicator_beside_values_clears_only_that_field() -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1", {1: "GOLD", 2: "WA02"})))
    assert trial.document("PA1@WA02")["plan"] == {"code": "GOLD"}
    trial.send(answer(VISIT, granted("PA1", {1: '""', 2: "WA02"}), control_id="D2"))
    document = trial.document("PA1@WA02")
    assert "plan" not in document
    assert document["effective_date"] == "2026-04-01"
    assert document["status"] == "approved"


def test_p45_a_procedure_that_a_later_snapshot_leaves_out_is_gone() -> None:
    trial = Trial()
    trial.send(answer(VISIT, aut({9: "1"}), THERAPY, aut({9: "2"}), top=granted("PA1")))
    trial.send(answer(VISIT, aut({9: "1"}), top=granted("PA1"), control_id="D2"))
    assert [line["procedure"]["code"] for line in trial.document("PA1@ACME")["lines"]] == ["99213"]
    assert trial.document("PA1@ACME")["version"] == 2


def test_p45_a_request_without_procedures_changes_no_line_of_a_decision() -> None:
    trial = Trial()
    trial.send(answer(VISIT, aut({9: "1"}), top=granted("PA1")))
    trial.send(request(top=aut(number="PA1"), event="I09"))
    assert [line["procedure"]["code"] for line in trial.document("PA1@ACME")["lines"]] == ["99213"]


def test_p45_an_answer_without_procedures_is_refused_and_deletes_nothing() -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1"), referral="R1"))
    outcome = trial.send(answer(top=granted("PA2"), referral="R1", control_id="D2"))
    assert outcome.disposition is Disposition.REFUSED
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["approved", "-"]


@pytest.mark.parametrize(("action", "version"), [("a", "2.9"), ("Z", "2.9"), ("S", "2.8"), ("A", "2.5")])
def test_p40_an_action_code_that_the_version_does_not_have_is_refused(action: str, version: str) -> None:
    trial = Trial()
    outcome = trial.send(answer(VISIT, granted("PA1", {13: "SPEC", 29: action}), version=version))
    assert outcome.disposition is Disposition.REFUSED
    assert [finding.path for finding in outcome.findings if finding.severity == "error"] == ["AUT-29"]
    assert trial.statuses("PA1@ACME") == ["-"]


def test_p40_an_action_code_that_says_snapshot_is_a_snapshot() -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1", {13: "SPEC"}), THERAPY, granted("PA2", {13: "SPEC"}), referral="R1"))
    raw = answer(VISIT, granted("PA1", {13: "SPEC", 29: "S"}), referral="R1", version="2.9", control_id="D2")
    assert changes(trial.send(raw))[-1] == ("PA2@ACME", 2, "cancelled", "left out of a later snapshot")
    assert "action_code" not in trial.document("PA1@ACME")


@pytest.mark.parametrize(("kind", "event"), [("RQA", "I11"), ("REF", "I14")])
def test_a_cancellation_by_number(kind: str, event: str) -> None:
    trial = two_granted(referral="R1")
    raw = request(VISIT, aut(number="PA1"), kind=kind, event=event, control_id="C9")
    assert changes(trial.send(raw)) == [("PA1@ACME", 2, "cancelled", "cancellation")]
    document = trial.document("PA1@ACME")
    assert (document["status"], document["authorized_treatments"]) == ("cancelled", {"quantity": "2"})
    assert trial.statuses("PA2@ACME") == ["approved"]


def test_a_cancellation_by_number_in_a_referral_leaves_the_other_numbers() -> None:
    trial = two_granted(referral="R1")
    trial.send(request(VISIT, aut(number="PA1"), event="I11", referral="R1", control_id="C9"))
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["cancelled", "approved"]


def test_a_cancellation_by_referral_ends_all_of_it() -> None:
    trial = two_granted(referral="R1")
    trial.send(request(VISIT, granted("PA7"), control_id="C7", referral="R2"))
    assert changes(trial.send(request(event="I11", referral="R1", control_id="C9"))) == [
        ("?R1@FRONT:NORTH", 3, "cancelled", "cancellation"),
        ("PA1@ACME", 2, "cancelled", "cancellation"),
        ("PA2@ACME", 2, "cancelled", "cancellation"),
    ]
    assert trial.statuses("PA7@ACME") == ["pended"]


def test_a_cancellation_sent_twice_cancels_once() -> None:
    trial = two_granted(referral="R1")
    trial.send(request(event="I11", referral="R1", control_id="C9"))
    assert changes(trial.send(request(event="I11", referral="R1", control_id="C10"))) == []


def test_p51_an_unknown_number_is_refused_and_nothing_of_the_message_is_done() -> None:
    trial = two_granted(referral="R1")
    raw = request(VISIT, aut(number="PA1"), THERAPY, aut(number="PA9"), event="I11", referral="R1", control_id="C9")
    problem = refused(trial, raw)
    assert (problem.code, problem.location, problem.rule) == ("204", Location("AUT", 2, 6), "AUT-6.unknown")
    assert trial.statuses("PA1@ACME", "?R1@FRONT:NORTH") == ["approved", "approved"]


@pytest.mark.parametrize("head", [{"referral": "R9"}, {}])
def test_p51_a_cancellation_of_nothing_known_is_refused(head: dict[str, str]) -> None:
    trial = two_granted(referral="R1")
    problem = refused(trial, request(event="I11", control_id="C9", **head))
    assert (problem.code, problem.location, problem.rule) == ("204", Location("RF1", 1, 6), "RF1-6.unknown")


def test_p52_a_late_answer_to_a_cancelled_request_changes_nothing() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1"), request(event="I11", referral="R1", control_id="C2"))
    assert trial.statuses("?R1@FRONT:NORTH") == ["cancelled"]
    outcome = trial.send(answer(VISIT, granted("PA1"), to="C1", referral="R1"))
    assert changes(outcome) == []
    assert "answer.late" in rules(outcome)
    assert trial.statuses("?R1@FRONT:NORTH", "PA1@ACME") == ["cancelled", "-"]


def test_p52_a_late_answer_is_known_by_msa_2_alone() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1"), request(event="I11", referral="R1", control_id="C2"))
    outcome = trial.send(answer(VISIT, granted("PA1"), to="C1"))
    assert changes(outcome) == []
    assert "answer.late" in rules(outcome)


def test_the_payer_may_cancel_what_it_granted() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1"), answer(VISIT, granted("PA1"), referral="R1"))
    trial.send(answer(VISIT, granted("PA1"), referral="R1", event="I11", control_id="D2"))
    assert trial.statuses("PA1@ACME", "?R1@FRONT:NORTH") == ["cancelled", "cancelled"]
    assert [line["status"] for line in trial.document("PA1@ACME")["lines"]] == ["cancelled"]


def test_a_payers_cancellation_of_one_number_is_no_snapshot_of_the_referral() -> None:
    trial = two_granted(referral="R1")
    trial.send(answer(VISIT, granted("PA1"), referral="R1", event="I11", control_id="D2"))
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["cancelled", "approved"]


def test_the_payer_can_not_cancel_what_nobody_knows() -> None:
    trial = two_granted(referral="R1")
    raw = answer(VISIT, granted("PA1"), THERAPY, granted("PA9"), to="ELSE", event="I11", control_id="D2")
    problem = refused(trial, raw)
    assert (problem.code, problem.location, problem.rule) == ("204", Location("AUT", 2, 6), "AUT-6.unknown")
    assert trial.statuses("PA1@ACME", "PA9@ACME") == ["approved", "-"]


def test_the_payer_may_reject_a_request_under_a_number_of_its_own() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED))
    trial.send(answer(VISIT, aut({6: "PA1"}), event="I11"))
    assert trial.statuses("PA1@ACME", "?#C1@FRONT:NORTH") == ["cancelled", "cancelled"]


@pytest.mark.parametrize(("asks", "tells", "event"), [("RQA", "RPA", "I11"), ("REF", "RRI", "I14")])
def test_the_payer_may_reject_a_request_without_an_aut(asks: str, tells: str, event: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, kind=asks, event="I08" if asks == "RQA" else "I12"))
    trial.send(answer(VISIT, kind=tells, event=event))
    assert trial.statuses("?#C1@FRONT:NORTH") == ["cancelled"]
    (line,) = trial.document("?#C1@FRONT:NORTH")["lines"]
    assert (line["status"], line["requested_treatments"]) == ("cancelled", {"quantity": "3"})


def test_the_payers_confirmation_of_a_cancellation_is_not_late() -> None:
    trial = two_granted(referral="R1")
    trial.send(request(event="I11", referral="R1", control_id="C2"))
    raw = answer(VISIT, granted("PA1"), THERAPY, granted("PA2"), event="I11", to="C2", referral="R1", control_id="D2")
    assert "answer.late" not in rules(trial.send(raw))
    assert trial.statuses("?R1@FRONT:NORTH", "PA1@ACME", "PA2@ACME") == ["cancelled", "cancelled", "cancelled"]


def test_a_cancelled_request_may_be_made_again() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1"), request(event="I11", referral="R1", control_id="C2"))
    again = request(VISIT, ASKED, referral="R1", event="I10", control_id="C3")
    assert changes(trial.send(again)) == [("?R1@FRONT:NORTH", 3, "pended", "request")]
    trial.send(answer(VISIT, granted("PA1"), to="C3", referral="R1"))
    assert trial.statuses("?R1@FRONT:NORTH", "PA1@ACME") == ["approved", "approved"]
