"""What answers change: which request they belong to, whose patient they speak of, and what they decide."""

from typing import Any

import pytest

from hl7auth.domain.correlation import request_answered
from hl7auth.wire.ack import Location
from tests.messages import (
    ASKED,
    FRONT,
    OTHER_PATIENT,
    PID,
    PRD,
    THERAPY,
    VISIT,
    Trial,
    answer,
    aut,
    changes,
    channel,
    granted,
    intent,
    message,
    refused,
    request,
    rules,
    two_granted,
)


def test_an_answer_belongs_to_the_request_that_msa_2_names() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, control_id="C1"), request(THERAPY, ASKED, control_id="C2"))
    assert changes(trial.send(answer(THERAPY, granted("PA1", {8: "3"}), to="C2"))) == [
        ("PA1@ACME", 1, "partially_approved", "answer"),
        ("?#C2@FRONT:NORTH", 2, "partially_approved", "answer"),
    ]
    assert trial.statuses("?#C1@FRONT:NORTH") == ["pended"]
    settled = trial.document("?#C2@FRONT:NORTH")
    assert (settled["identifier"], settled["authorized_treatments"]) == ("PA1", {"quantity": "2"})
    assert settled["patient"]["name"] == "Quill, Ivo"


def test_the_same_control_id_of_another_requester_is_another_request() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED), request(THERAPY, ASKED, sender="OTHER|EAST"))
    trial.send(answer(THERAPY, granted("PA1"), to="C1", receiver="OTHER|EAST"))
    assert trial.statuses("?#C1@FRONT:NORTH", "?#C1@OTHER:EAST") == ["pended", "approved"]


def test_p61_the_same_control_id_of_another_facility_is_another_request() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED), request(THERAPY, ASKED, sender="FRONT|WEST"))
    assert [record.version for record in trial.memory.asked_by("C1")] == [1, 1]
    trial.send(answer(THERAPY, granted("PA1"), to="C1", receiver="FRONT|WEST"))
    settled = [record for record in trial.memory.asked_by("C1") if not record.is_open]
    assert [record.document["lines"][0]["procedure"]["code"] for record in settled] == ["97110"]


def test_p61_the_same_control_id_for_another_patient_is_another_request() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED), request(VISIT, ASKED).replace(PID.encode(), OTHER_PATIENT))
    waiting = trial.memory.asked_by("C1")
    assert sorted(record.document["patient"]["name"] for record in waiting) == ["Quill, Ivo", "Reed, Ada"]
    assert [record.version for record in waiting] == [1, 1]


def test_an_answer_that_names_no_request_belongs_to_that_of_its_referral() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1"), request(VISIT, ASKED, referral="R2", control_id="C2"))
    outcome = trial.send(answer(VISIT, granted("PA1"), to="ELSE", referral="R2"))
    assert trial.statuses("?R1@FRONT:NORTH", "?R2@FRONT:NORTH") == ["pended", "approved"]
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
    before = trial.document("?R1@FRONT:NORTH")
    trial.send(answer(VISIT, granted("?R1^FRONT"), to="ELSE"))
    assert trial.document("?R1@FRONT:NORTH") == before


def test_p59_a_control_id_that_looks_like_a_referral_is_no_referral() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, control_id="R1"))
    trial.send(answer(VISIT, granted("PA1"), to="ELSE", referral="R1"))
    assert [record.status for record in trial.memory.asked_by("R1")] == ["pended"]


def test_p59_a_referral_that_looks_like_a_control_id_is_no_control_id() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, control_id="C1"))
    trial.send(answer(VISIT, granted("PA1"), to="ELSE", referral="#C1"))
    trial.send(request(THERAPY, ASKED, control_id="C2", referral="#C1"))
    assert [record.status for record in trial.memory.asked_by("C1")] == ["pended"]


def test_p61_requests_under_one_control_id_are_told_apart_or_left_alone() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1"), request(THERAPY, ASKED, referral="R2"))
    outcome = trial.send(answer(THERAPY, granted("PA2"), to="C1"))
    assert trial.statuses("?R1@FRONT:NORTH", "?R2@FRONT:NORTH") == ["pended", "pended"]
    assert "answer.unmatched" in rules(outcome)


def test_p61_of_requests_under_one_control_id_the_referral_tells_which_is_answered() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1"), request(THERAPY, ASKED, referral="R2"))
    trial.send(answer(THERAPY, granted("PA2"), to="C1", referral="R2"))
    assert trial.statuses("?R1@FRONT:NORTH", "?R2@FRONT:NORTH") == ["pended", "approved"]


def test_the_answered_request_is_found_without_guessing() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1"))
    for to, receiver, referral, key in [
        ("C1", FRONT, "", "?R1@FRONT:NORTH"),
        ("C1", "OTHER|EAST", "", None),
        ("C1", "OTHER|EAST", "R1^FRONT", None),
        ("C1", FRONT, "R1^HILL", "?R1@FRONT:NORTH"),
        ("C1", FRONT, "R2^HILL", None),
        ("C1", "FRONT|", "R1", "?R1@FRONT:NORTH"),
        ("", FRONT, "R1", "?R1@FRONT:NORTH"),
        ("", FRONT, "", None),
    ]:
        raw = answer(VISIT, granted("PA1"), to=to, receiver=receiver, referral=referral)
        found = request_answered(intent(trial, raw), trial.memory)
        assert (found.key if found else None) == key


def test_an_answer_with_several_numbers_decides_the_request() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, THERAPY, ASKED))
    trial.send(answer(VISIT, granted("PA1"), THERAPY, aut({6: "PA2", 9: "0"})))
    assert trial.statuses("PA1@ACME", "PA2@ACME", "?#C1@FRONT:NORTH") == ["approved", "denied", "partially_approved"]
    assert "identifier" not in trial.document("?#C1@FRONT:NORTH")


def test_an_answer_that_grants_several_numbers_by_their_dates_closes_the_request() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, THERAPY, ASKED))
    dated = {4: "20260401", 5: "20260930"}
    trial.send(answer(VISIT, aut({6: "PA1"} | dated), THERAPY, aut({6: "PA2"} | dated)))
    assert trial.statuses("PA1@ACME", "PA2@ACME", "?#C1@FRONT:NORTH") == ["approved", "approved", "approved"]


def test_an_answer_may_say_that_it_still_pends() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED))
    trial.send(answer(VISIT, aut({8: "3"}), to="C1", control_id="D1"))
    record = trial.memory.record("?#C1@FRONT:NORTH")
    assert record is not None
    assert record.is_open
    trial.send(answer(VISIT, granted("PA1"), to="C1", control_id="D2"))
    record = trial.memory.record("?#C1@FRONT:NORTH")
    assert record is not None
    assert not record.is_open


def test_an_answer_keeps_what_the_request_said_and_it_does_not() -> None:
    trial = Trial()
    dg1 = "DG1|1||M17.1^Arthrosis^I10"
    trial.send(request(dg1, VISIT, ASKED, referral="R1"))
    trial.send(answer(VISIT, granted("PA1"), to="C1"))
    settled = trial.document("?R1@FRONT:NORTH")
    assert settled["diagnoses"] == [{"code": "M17.1", "text": "Arthrosis", "system": "I10"}]
    assert settled["referral"] == {"originating_id": "R1"}


def test_a_decision_on_a_number_that_was_asked_for() -> None:
    trial = Trial()
    trial.send(request(VISIT, aut({6: "PA1", 8: "3"})))
    assert changes(trial.send(answer(VISIT, granted("PA1")))) == [("PA1@ACME", 2, "approved", "answer")]
    record = trial.memory.record("PA1@ACME")
    assert record is not None
    assert (record.control_id, record.requester.scope) == ("C1", "FRONT:NORTH")


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
    assert trial.statuses("?R1@FRONT:NORTH") == [status]


def test_what_was_asked_for_stays_known_when_rf1_1_decides_it() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, kind="REF", event="I12", referral="R1"))
    trial.send(referral_told("A"))
    settled = trial.document("?R1@FRONT:NORTH")
    assert [line["procedure"]["code"] for line in settled["lines"]] == ["99213"]
    assert settled["payor"] == {"code": "ACME"}


def test_an_aut_says_more_than_rf1_1() -> None:
    trial = Trial()
    trial.send(request(VISIT, kind="REF", event="I12", referral="R1"))
    trial.send(referral_told("A", VISIT, granted("PA1", {9: "0"})))
    assert trial.statuses("?R1@FRONT:NORTH", "PA1@ACME") == ["denied", "denied"]


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
        ("PID|||77001||Reed^Ada||19800102", False),  # a corrected name
        ("PID|||77001||Quill^Ivo||19751212", False),  # a corrected birth date
        ("PID|||77001^^^NORTH||Reed^Ada||19751212", False),  # whose number it is decides
        ("PID|||77001||Reed^Ada||19751212", True),  # a short number that somebody else gives out too
        ("PID|||77001^^^WEST||Reed^Ada||19751212", True),
        ("PID|||77001^^^WEST||Quill^Ivo||19800102", False),
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
    assert trial.statuses("?R1@FRONT:NORTH", "PA1@ACME", "PA2@ACME") == ["approved", "approved", "approved"]


def test_the_referral_of_another_patient_is_not_asked_for_again() -> None:
    trial = two_granted(referral="R1")
    raw = request(VISIT, ASKED, referral="R1", control_id="C9").replace(PID.encode(), OTHER_PATIENT)
    problem = refused(trial, raw)
    assert (problem.code, problem.location, problem.rule) == ("205", Location("RF1", 1, 6), "RF1-6.patient")
    cancel = request(event="I11", referral="R1", control_id="C9").replace(PID.encode(), OTHER_PATIENT)
    assert refused(trial, cancel).code == "204"


def test_an_answer_about_another_patient_settles_and_ends_nothing() -> None:
    trial = two_granted(referral="R1")
    raw = answer(VISIT, granted("PA9"), referral="R1", control_id="D2").replace(PID.encode(), OTHER_PATIENT)
    trial.send(raw)
    assert trial.statuses("?R1@FRONT:NORTH", "PA1@ACME", "PA2@ACME") == ["approved", "approved", "approved"]
    assert trial.document("?R1@FRONT:NORTH")["patient"]["name"] == "Quill, Ivo"


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
    assert trial.statuses("?#C1@FRONT:NORTH", "PA1@ACME") == ["pended", "-"]
    trial.send(answer(VISIT, granted("PA1"), control_id="D2"))
    assert trial.statuses("?#C1@FRONT:NORTH", "PA1@ACME") == ["approved", "approved"]
