"""What messages change: requests, answers, snapshots, cancellations, and what must never change."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hl7auth.domain.intent import Intent, Record
from hl7auth.domain.semantics import Refused, apply, request_answered
from hl7auth.domain.status import UNDECIDED
from hl7auth.flow.decision import Disposition, Outcome
from hl7auth.wire.ack import Location, Problem
from tests.messages import (
    FRONT,
    IMAGING,
    PID,
    PRD,
    THERAPY,
    VISIT,
    Trial,
    answer,
    aut,
    channel,
    granted,
    message,
    request,
    rules,
)

ASKED = aut({8: "3"})


def intent(trial: Trial, raw: bytes) -> Intent:
    found = trial.plan(raw).intent
    assert found is not None
    return found


def changes(outcome: Outcome) -> list[tuple[str, int, str, str]]:
    """Key, version, status and rule of each change; the outcome must be an accepted one."""
    assert outcome.disposition is Disposition.ACCEPTED, outcome.findings
    return [(each.record.key, each.record.version, each.record.status, each.rule) for each in outcome.changes]


def refused(trial: Trial, raw: bytes) -> Problem:
    """The one problem for which the message is refused."""
    with pytest.raises(Refused) as caught:
        apply(intent(trial, raw), trial.memory)
    (problem,) = caught.value.problems
    assert trial.send(raw).changes == ()
    return problem


# --- requests -----------------------------------------------------------------------------------------------------


def test_a_request_without_a_number_waits_under_its_control_id() -> None:
    trial = Trial()
    assert changes(trial.send(request(VISIT, ASKED))) == [("?#C1@FRONT", 1, "pended", "request")]
    record = trial.memory.record("?#C1@FRONT")
    assert record is not None
    assert (record.is_request, record.is_open, record.control_id, record.requester) == (True, True, "C1", "FRONT")
    assert (record.document["key"], record.document["status"]) == ("C1@FRONT", "pended")
    assert record.document["requested_treatments"] == {"quantity": "3"}


def test_a_request_in_a_referral_waits_under_the_referral() -> None:
    trial = Trial()
    assert changes(trial.send(request(VISIT, referral="R1"))) == [("?R1@FRONT", 1, "pended", "request")]
    assert changes(trial.send(request(VISIT, referral="R1^HILL"))) == [("?R1@HILL", 1, "pended", "request")]


@pytest.mark.parametrize(
    ("modes", "status"),
    [(("", ""), "pended"), (("AL", "NE"), "requested"), (("AL", ""), "requested"), (("NE", "ER"), "requested"),
     (("AL", "AL"), "pended"), (("NE", "SU"), "pended")],
)  # fmt: skip
def test_a_request_is_pended_once_its_sender_has_been_told_to_wait(modes: tuple[str, str], status: str) -> None:
    assert changes(Trial().send(request(VISIT, modes=modes))) == [("?#C1@FRONT", 1, status, "request")]


def test_a_request_with_a_number_is_an_authorization_that_is_not_decided() -> None:
    trial = Trial()
    assert changes(trial.send(request(VISIT, aut({6: "PA1", 8: "3"})))) == [("PA1@ACME", 1, "pended", "request")]
    record = trial.memory.record("PA1@ACME")
    assert record is not None
    assert not record.is_request
    assert not record.is_open
    again = request(VISIT, aut({6: "PA1", 8: "4"}), event="I09", control_id="C2")
    assert changes(trial.send(again)) == [("PA1@ACME", 2, "pended", "request")]


def test_a_request_never_overwrites_a_decision_and_is_kept_beside_it() -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1")))
    more = request(VISIT, aut({6: "PA1", 8: "9", 9: "9"}), event="I09", control_id="C2")
    assert changes(trial.send(more)) == [("?#C2@FRONT", 1, "pended", "request")]
    assert trial.document("PA1@ACME")["authorized_treatments"] == {"quantity": "2"}
    assert trial.document("?#C2@FRONT")["concerns"] == ["PA1@ACME"]
    assert trial.document("?#C2@FRONT")["requested_treatments"] == {"quantity": "9"}


@pytest.mark.parametrize("decision", [{9: "0"}, {8: "3", 9: "2"}, {9: "2"}])
def test_every_decision_stays_in_force_under_a_new_request(decision: dict[int, str]) -> None:
    trial = Trial()
    trial.send(answer(VISIT, aut({6: "PA1"} | decision)))
    before = trial.document("PA1@ACME")
    for event in ("I08", "I09", "I10"):
        trial.send(request(VISIT, aut(number="PA1"), event=event, control_id=f"C{event}"))
    assert trial.document("PA1@ACME") == before


def test_one_request_may_speak_of_several_authorizations() -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1")))
    raw = request(VISIT, aut(number="PA1"), THERAPY, aut(number="PA2"), IMAGING, top=aut({8: "1"}), referral="R1")
    assert changes(trial.send(raw)) == [("PA2@ACME", 1, "pended", "request"), ("?R1@FRONT", 1, "pended", "request")]
    waiting = trial.document("?R1@FRONT")
    assert waiting["concerns"] == ["PA1@ACME"]
    assert [line["procedure"]["code"] for line in waiting["lines"]] == ["73721", "99213"]


def test_a_request_without_any_aut_or_procedure_waits_too() -> None:
    assert changes(Trial().send(request(referral="R1"))) == [("?R1@FRONT", 1, "pended", "request")]


def test_a_request_that_asks_for_another_thing_is_the_next_version_of_the_referrals() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1"))
    later = request(THERAPY, ASKED, referral="R1", event="I09", control_id="C2")
    assert changes(trial.send(later)) == [("?R1@FRONT", 2, "pended", "request")]


def test_a_referral_may_carry_what_was_granted_before() -> None:
    trial = Trial()
    raw = request(VISIT, granted("PA1"), THERAPY, aut(number="PA2"), kind="REF", event="I12", referral="R1")
    assert changes(trial.send(raw)) == [("PA1@ACME", 1, "approved", "request"), ("PA2@ACME", 1, "pended", "request")]
    other = request(VISIT, granted("PA1", {9: "0"}), kind="REF", event="I13", referral="R1", control_id="C2")
    assert changes(trial.send(other)) == [("?R1@FRONT", 1, "pended", "request")]
    assert trial.statuses("PA1@ACME") == ["approved"]


def test_an_authorization_request_grants_nothing_to_itself() -> None:
    trial = Trial()
    assert changes(trial.send(request(VISIT, granted("PA1")))) == [("PA1@ACME", 1, "pended", "request")]
    assert trial.document("PA1@ACME")["lines"][0]["status"] == "pended"


def test_asking_for_a_status_changes_nothing_and_telling_it_does() -> None:
    trial = Trial()
    trial.send(request(VISIT, kind="REF", event="I12", referral="R1"))
    asks = request(VISIT, granted("PA1"), kind="REF", event="I15", referral="R1", control_id="C2")
    assert changes(trial.send(asks)) == []
    tells = answer(VISIT, granted("PA1"), kind="RRI", event="I15", referral="R1", to="C2")
    assert changes(trial.send(tells)) == [
        ("PA1@ACME", 1, "approved", "answer"),
        ("?R1@FRONT", 2, "approved", "answer"),
    ]


def test_two_requests_of_one_sender_are_never_taken_for_one() -> None:
    trial = Trial()
    trial.send(request(VISIT, referral="100", control_id="C1"))
    trial.send(request(THERAPY, control_id="100"))  # another one, without a referral
    waiting = [change for key in ("C1", "100") for change in trial.memory.asked_by(key)]
    assert len({record.key for record in waiting}) == 2
    assert [record.version for record in waiting] == [1, 1]


# --- answers ------------------------------------------------------------------------------------------------------


def test_an_answer_belongs_to_the_request_that_msa_2_names() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, control_id="C1"), request(THERAPY, ASKED, control_id="C2"))
    assert changes(trial.send(answer(THERAPY, granted("PA1", {8: "3"}), to="C2"))) == [
        ("PA1@ACME", 1, "partially_approved", "answer"),
        ("?#C2@FRONT", 2, "partially_approved", "answer"),
    ]
    assert trial.statuses("?#C1@FRONT") == ["pended"]
    settled = trial.document("?#C2@FRONT")
    assert (settled["identifier"], settled["authorized_treatments"]) == ("PA1", {"quantity": "2"})
    assert settled["patient"]["name"] == "Quill, Ivo"


def test_the_same_control_id_of_another_requester_is_another_request() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED), request(THERAPY, ASKED, sender="OTHER|EAST"))
    trial.send(answer(THERAPY, granted("PA1"), to="C1", receiver="OTHER|EAST"))
    assert trial.statuses("?#C1@FRONT", "?#C1@OTHER") == ["pended", "approved"]


def test_an_answer_that_names_no_request_belongs_to_that_of_its_referral() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1"), request(VISIT, ASKED, referral="R2", control_id="C2"))
    outcome = trial.send(answer(VISIT, granted("PA1"), to="ELSE", referral="R2"))
    assert trial.statuses("?R1@FRONT", "?R2@FRONT") == ["pended", "approved"]
    assert "answer.unmatched" not in rules(outcome)


@pytest.mark.parametrize(("to", "referral"), [("ELSE", ""), ("", ""), ("ELSE", "R9"), ("R1", ""), ("?R1", "")])
def test_p59_an_answer_that_matches_nothing_is_never_applied_to_another_request(to: str, referral: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1"), request(VISIT, ASKED, control_id="C2"))
    outcome = trial.send(answer(VISIT, granted("PA1"), to=to, referral=referral))
    assert changes(outcome) == [("PA1@ACME", 1, "approved", "answer")]
    assert "answer.unmatched" in rules(outcome)


def test_p59_a_number_that_looks_like_a_waiting_request_is_a_number() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1"))
    before = trial.document("?R1@FRONT")
    trial.send(answer(VISIT, granted("?R1^FRONT"), to="ELSE"))
    assert trial.document("?R1@FRONT") == before


def test_p59_a_control_id_that_looks_like_a_referral_is_no_referral() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, control_id="R1"))
    trial.send(answer(VISIT, granted("PA1"), to="ELSE", referral="R1"))
    assert [record.status for record in trial.memory.asked_by("R1")] == ["pended"]


def test_p61_of_requests_under_one_control_id_the_referral_tells_which_is_answered() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1"), request(THERAPY, ASKED, referral="R2"))
    trial.send(answer(THERAPY, granted("PA2"), to="C1", referral="R2"))
    assert trial.statuses("?R1@FRONT", "?R2@FRONT") == ["pended", "approved"]


def test_the_answered_request_is_found_without_guessing() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1"))
    for to, receiver, referral, key in [
        ("C1", FRONT, "", "?R1@FRONT"),
        ("C1", "OTHER|EAST", "", None),
        ("C1", "OTHER|EAST", "R1^FRONT", "?R1@FRONT"),
        ("", FRONT, "R1", "?R1@FRONT"),
        ("", FRONT, "", None),
    ]:
        raw = answer(VISIT, granted("PA1"), to=to, receiver=receiver, referral=referral)
        found = request_answered(intent(trial, raw), trial.memory)
        assert (found.key if found else None) == key


def test_an_answer_with_several_numbers_decides_the_request() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, THERAPY, ASKED))
    trial.send(answer(VISIT, granted("PA1"), THERAPY, aut({6: "PA2", 9: "0"})))
    assert trial.statuses("PA1@ACME", "PA2@ACME", "?#C1@FRONT") == ["approved", "denied", "partially_approved"]
    assert "identifier" not in trial.document("?#C1@FRONT")


def test_an_answer_that_grants_several_numbers_by_their_dates_closes_the_request() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, THERAPY, ASKED))
    dated = {4: "20260401", 5: "20260930"}
    trial.send(answer(VISIT, aut({6: "PA1"} | dated), THERAPY, aut({6: "PA2"} | dated)))
    assert trial.statuses("PA1@ACME", "PA2@ACME", "?#C1@FRONT") == ["approved", "approved", "approved"]


def test_an_answer_may_say_that_it_still_pends() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED))
    trial.send(answer(VISIT, aut({8: "3"}), to="C1", control_id="D1"))
    record = trial.memory.record("?#C1@FRONT")
    assert record is not None
    assert record.is_open
    trial.send(answer(VISIT, granted("PA1"), to="C1", control_id="D2"))
    record = trial.memory.record("?#C1@FRONT")
    assert record is not None
    assert not record.is_open


def test_an_answer_keeps_what_the_request_said_and_it_does_not() -> None:
    trial = Trial()
    dg1 = "DG1|1||M17.1^Arthrosis^I10"
    trial.send(request(dg1, VISIT, ASKED, referral="R1"))
    trial.send(answer(VISIT, granted("PA1"), to="C1"))
    settled = trial.document("?R1@FRONT")
    assert settled["diagnoses"] == [{"code": "M17.1", "text": "Arthrosis", "system": "I10"}]
    assert settled["referral"] == {"originating_id": "R1"}


def test_a_decision_on_a_number_that_was_asked_for() -> None:
    trial = Trial()
    trial.send(request(VISIT, aut({6: "PA1", 8: "3"})))
    assert changes(trial.send(answer(VISIT, granted("PA1")))) == [("PA1@ACME", 2, "approved", "answer")]
    record = trial.memory.record("PA1@ACME")
    assert record is not None
    assert (record.control_id, record.requester) == ("C1", "FRONT")


def referral_told(status: str, *segments: str) -> bytes:
    """An RRI whose RF1-1 says how the referral stands."""
    head: dict[str, Any] = {"kind": "RRI", "event": "I12", "control_id": "D1"}
    return message("MSA|AA|C1", f"RF1|{status}|||||R1", PRD, PID, *segments, **head)


@pytest.mark.parametrize(
    ("code", "status"), [("A", "approved"), ("P", "pended"), ("R", "denied"), ("E", "cancelled"), ("X", "pended")]
)
def test_an_answer_without_aut_may_decide_the_referral_by_rf1_1(code: str, status: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, kind="REF", event="I12", referral="R1"))
    trial.send(referral_told(code, VISIT))
    assert trial.statuses("?R1@FRONT") == [status]


def test_what_was_asked_for_stays_known_when_rf1_1_decides_it() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, kind="REF", event="I12", referral="R1"))
    trial.send(referral_told("A"))
    settled = trial.document("?R1@FRONT")
    assert [line["procedure"]["code"] for line in settled["lines"]] == ["99213"]
    assert settled["payor"] == {"code": "ACME"}


def test_an_aut_says_more_than_rf1_1() -> None:
    trial = Trial()
    trial.send(request(VISIT, kind="REF", event="I12", referral="R1"))
    trial.send(referral_told("A", VISIT, granted("PA1", {9: "0"})))
    assert trial.statuses("?R1@FRONT", "PA1@ACME") == ["denied", "denied"]


OTHER_PATIENT = b"PID|||90002^^^NORTH||Reed^Ada||19751212"


@pytest.mark.parametrize("make", [request, answer])
@pytest.mark.parametrize(
    ("pid", "is_other"),
    [
        ("PID|||90002||Reed^Ada||19751212", True),
        ("PID|||90002||Quill^Ivo||19751212", True),
        ("PID|||90002||Reed^Ada", True),
        ("PID|||90002||Quill^I||19800102", False),  # the payor's own number of the same person
        ("PID|||90002||QUILL^Ivo", False),
        ("PID|||90002^^^NORTH||Reed^Ada||19800102", False),
        ("PID|||77001||Reed^Ada||19751212", False),  # a corrected name or birth date
    ],
)
def test_a_number_of_another_patient_is_not_known(make: Any, pid: str, is_other: bool) -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1")))
    raw = make(VISIT, granted("PA1", {9: "7"}), control_id="X2").replace(PID.encode(), pid.encode())
    if is_other:
        problem = refused(trial, raw)
        assert (problem.code, problem.location, problem.rule) == ("204", Location("AUT", 1, 6), "AUT-6.unknown")
        assert trial.document("PA1@ACME")["version"] == 1
    else:
        assert changes(trial.send(raw)) != []


def test_a_patient_of_whom_too_little_is_known_is_taken_for_the_same() -> None:
    trial = Trial(channel(errors="accept"))
    trial.send(answer(VISIT, granted("PA1")).replace(PID.encode(), b"PID|||77001"))
    assert changes(trial.send(answer(VISIT, granted("PA1", {9: "7"}), control_id="D2").replace(b"77001^^^NORTH", b"9")))
    assert changes(trial.send(answer(VISIT, granted("PA1", {9: "8"}), control_id="D3").replace(PID.encode(), b"PID|")))


def test_the_referral_of_another_patient_is_not_cancelled() -> None:
    trial = two_granted(referral="R1")
    trial.send(request(event="I11", referral="R1", control_id="C9").replace(PID.encode(), OTHER_PATIENT))
    assert trial.statuses("?R1@FRONT", "PA1@ACME", "PA2@ACME") == ["approved", "approved", "approved"]


def test_the_referral_of_another_patient_is_not_told() -> None:
    trial = two_granted(referral="R1")
    raw = request(kind="REF", event="I15", referral="R1", control_id="C9").replace(PID.encode(), OTHER_PATIENT)
    assert all(b"PA1" not in reply for reply in trial.send(raw).replies)


def test_p60_a_receipt_is_no_answer() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED))
    outcome = trial.send(answer(VISIT, granted("PA1"), code="CA"))
    assert changes(outcome) == []
    assert rules(outcome) == {"answer.receipt"}
    assert trial.statuses("?#C1@FRONT", "PA1@ACME") == ["pended", "-"]
    trial.send(answer(VISIT, granted("PA1"), control_id="D2"))
    assert trial.statuses("?#C1@FRONT", "PA1@ACME") == ["approved", "approved"]


# --- snapshots ----------------------------------------------------------------------------------------------------


def two_granted(**head: Any) -> Trial:
    """A referral with two authorizations."""
    trial = Trial()
    trial.send(request(VISIT, ASKED, THERAPY, ASKED, **head))
    trial.send(answer(VISIT, granted("PA1"), THERAPY, granted("PA2"), **head))
    return trial


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


@pytest.mark.parametrize("version", ["2.8", "2.9"])
@pytest.mark.parametrize("action", ["A", "U", "D", "X"])
def test_action_mode_is_refused_whole(action: str, version: str) -> None:
    trial = Trial()
    plain, active = granted("PA1", {13: "SPEC"}), granted("PA2", {13: "SPEC", 29: action})
    for raw in (
        request(VISIT, plain, THERAPY, active, version=version),
        answer(VISIT, plain, THERAPY, active, version=version),
    ):
        problem = refused(trial, raw)
        assert (problem.code, problem.location, problem.rule) == ("207", Location("AUT", 2, 29), "AUT-29.mode")
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["-", "-"]


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


@pytest.mark.parametrize("make", [request, answer])
def test_p34_a_delete_of_a_whole_set_is_refused(make: Any) -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1"), referral="R1"))
    problem = refused(trial, make(VISIT, "AUT" + '|""' * 10, referral="R1", control_id="X2"))
    assert (problem.code, problem.location, problem.rule) == ("207", Location("AUT", 1), "AUT.delete-set")
    assert trial.statuses("PA1@ACME") == ["approved"]


# --- cancellations ------------------------------------------------------------------------------------------------


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
        ("?R1@FRONT", 3, "cancelled", "cancellation"),
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
    assert trial.statuses("PA1@ACME", "?R1@FRONT") == ["approved", "approved"]


@pytest.mark.parametrize("head", [{"referral": "R9"}, {}])
def test_p51_a_cancellation_of_nothing_known_is_refused(head: dict[str, str]) -> None:
    trial = two_granted(referral="R1")
    problem = refused(trial, request(event="I11", control_id="C9", **head))
    assert (problem.code, problem.location, problem.rule) == ("204", Location("RF1", 1, 6), "RF1-6.unknown")


def test_p52_a_late_answer_to_a_cancelled_request_changes_nothing() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1"), request(event="I11", referral="R1", control_id="C2"))
    assert trial.statuses("?R1@FRONT") == ["cancelled"]
    outcome = trial.send(answer(VISIT, granted("PA1"), to="C1", referral="R1"))
    assert changes(outcome) == []
    assert "answer.late" in rules(outcome)
    assert trial.statuses("?R1@FRONT", "PA1@ACME") == ["cancelled", "-"]


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
    assert trial.statuses("PA1@ACME", "?R1@FRONT") == ["cancelled", "cancelled"]
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
    assert trial.statuses("PA1@ACME", "?#C1@FRONT") == ["cancelled", "cancelled"]


def test_the_payers_confirmation_of_a_cancellation_is_not_late() -> None:
    trial = two_granted(referral="R1")
    trial.send(request(event="I11", referral="R1", control_id="C2"))
    raw = answer(VISIT, granted("PA1"), THERAPY, granted("PA2"), event="I11", to="C2", referral="R1", control_id="D2")
    assert "answer.late" not in rules(trial.send(raw))
    assert trial.statuses("?R1@FRONT", "PA1@ACME", "PA2@ACME") == ["cancelled", "cancelled", "cancelled"]


def test_a_cancelled_request_may_be_made_again() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1"), request(event="I11", referral="R1", control_id="C2"))
    again = request(VISIT, ASKED, referral="R1", event="I10", control_id="C3")
    assert changes(trial.send(again)) == [("?R1@FRONT", 3, "pended", "request")]
    trial.send(answer(VISIT, granted("PA1"), to="C3", referral="R1"))
    assert trial.statuses("?R1@FRONT", "PA1@ACME") == ["approved", "approved"]


# --- versions -----------------------------------------------------------------------------------------------------


def test_the_same_content_again_makes_no_new_version() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1"), answer(VISIT, granted("PA1"), referral="R1"))
    same = answer(VISIT, granted("PA1"), referral="R1", control_id="D2", sent_at="20260305")
    assert changes(trial.send(same)) == []
    assert trial.document("PA1@ACME")["version"] == 1


def test_versions_count_up_and_the_document_knows_its_own() -> None:
    trial = Trial()
    for number in range(1, 5):
        outcome = trial.send(answer(VISIT, granted("PA1", {9: str(number)}), control_id=f"D{number}"))
        (change,) = outcome.changes
        assert change.record.version == change.record.document["version"] == number
        assert (change.before.version if change.before else 0) == number - 1
        assert change.record.message_id == outcome.plan.message_id


def test_two_authorizations_whose_numbers_and_assigners_run_together_stay_two() -> None:
    trial = Trial()
    outcome = trial.send(answer(VISIT, granted("A@B^C"), THERAPY, granted("A^B@C", {9: "0"})))
    keys = [change.record.key for change in outcome.changes]
    assert len(set(keys)) == len(keys) == 2


numbers = st.sampled_from(["", "PA1", "PA2", "PA3", "PA1^UM", "?R1^FRONT", "?C1", "PA@1^UM", "PA^1@UM"])
referrals = st.sampled_from(["", "R1", "R2", "C1", "R1^UM"])
control_ids = st.sampled_from(["C1", "C2", "R1"])
quantities = st.sampled_from(["", "0", "1", "3", '""', "NaN", "two"])


@st.composite
def auts(draw: st.DrawFn) -> str:
    fields = {6: draw(numbers), 8: draw(quantities), 9: draw(quantities), 13: "SPEC"}
    fields[4] = draw(st.sampled_from(["", "20260401"]))
    fields[14] = draw(st.sampled_from(["", "", "AP", "DE", "CA", "??"]))
    fields[29] = draw(st.sampled_from([""] * 9 + ["S", "D", "U"]))
    return draw(st.sampled_from([aut(fields)] * 9 + ['AUT|""|""']))


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    kind, event = draw(
        st.sampled_from([(kind, f"I{number:02}") for kind, first in (("RQA", 8), ("RPA", 8), ("REF", 12), ("RRI", 12))
                         for number in range(first, first + 4)])
    )  # fmt: skip
    lines = []
    for procedure in draw(st.lists(st.sampled_from([VISIT, THERAPY, IMAGING]), max_size=3)):
        lines += [procedure, *draw(st.lists(auts(), max_size=1))]
    head: dict[str, Any] = {
        "kind": kind,
        "event": event,
        "version": draw(st.sampled_from(["2.5", "2.9"])),
        "control_id": draw(control_ids),
        "referral": draw(referrals),
        "top": draw(st.one_of(st.just(""), auts())),
        "modes": draw(st.sampled_from([("", ""), ("AL", "NE"), ("ER", "SU")])),
    }
    if kind in ("RQA", "REF"):
        return request(*lines, **head)
    return answer(*lines, to=draw(control_ids), code=draw(st.sampled_from(["AA", "AA", "CA"])), **head)


@settings(max_examples=100, deadline=None)
@given(st.lists(messages(), min_size=1, max_size=12))
def test_whatever_comes_versions_are_gapless_and_decisions_outlive_requests(raws: list[bytes]) -> None:
    trial = Trial(channel(errors="accept"))
    current: dict[str, Record] = {}
    for raw in raws:
        outcome = trial.send(raw)  # only Refused is caught in there
        if outcome.disposition is not Disposition.ACCEPTED:
            assert outcome.changes == ()
        asks = outcome.plan.header.message_type in ("RQA", "REF")
        ends = outcome.plan.header.trigger_event in ("I11", "I14")
        written = [change.record.key for change in outcome.changes]
        assert len(set(written)) == len(written)
        for change in outcome.changes:
            record, before = change.record, current.get(change.record.key)
            assert change.before == before
            assert record.version == record.document["version"] == (before.version + 1 if before else 1)
            assert record.status == record.document["status"]
            assert json.loads(json.dumps(record.document)) == record.document
            if asks and not ends and before and not before.is_request:
                assert before.status in UNDECIDED
            current[record.key] = record
    for key, record in current.items():
        assert trial.memory.record(key) == record
