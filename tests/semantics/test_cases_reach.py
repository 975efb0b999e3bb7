"""How far a message may reach: never to another patient, another payor's grant, or what nobody named."""

import pytest

from hl7auth.domain.terms import Action, Snapshot
from tests.messages import (
    ASKED,
    OTHER_PATIENT,
    PRD,
    THERAPY,
    VISIT,
    Trial,
    answer,
    aut,
    changes,
    channel,
    granted,
    message,
    request,
    rules,
    texts,
    two_granted,
)

ACTING = pytest.mark.parametrize("version", ["2.8", "2.9"])
BOTH = pytest.mark.parametrize("version", ["2.3.1", "2.5.1", "2.7"])
ALL_DELETED = "AUT|" + "|".join(['""'] * 10)


def acting(number: str, code: str, more: dict[int, str] | None = None) -> str:
    return granted(number, {13: "REHAB", 29: code} | (more or {}))


@ACTING
def test_a_deleted_line_leaves_what_the_aut_above_grants(version: str) -> None:
    trial = Trial()
    trial.send(answer(VISIT, acting("PA1", ""), THERAPY, top=acting("PA1", ""), version=version))
    trial.send(answer(VISIT, acting("PA1", "D"), version=version, control_id="D2"))
    document = trial.document("PA1@ACME")
    assert (document["status"], document["lines"][0]["status"]) == ("approved", "cancelled")


@BOTH
def test_a_line_without_an_aut_is_decided_by_the_one_above(version: str) -> None:
    trial = Trial()
    trial.send(answer(VISIT, aut({9: "0"}), THERAPY, top=granted("PA1"), version=version))
    assert trial.statuses("PA1@ACME") == ["partially_approved"]
    trial.send(answer(VISIT, ALL_DELETED, THERAPY, top=granted("PA1"), version=version, control_id="D2"))
    assert trial.statuses("PA1@ACME") == ["approved"]
    trial.send(answer(VISIT, aut({9: "0"}), THERAPY, top=aut(number="PA2"), version=version, control_id="D3"))
    assert trial.statuses("PA2@ACME") == ["denied"]  # nothing is decided above


@ACTING
def test_an_update_above_decides_for_the_lines_without_an_aut(version: str) -> None:
    trial = Trial()
    trial.send(answer(VISIT, acting("PA1", "", {9: "0"}), THERAPY, top=acting("PA1", ""), version=version))
    trial.send(answer(VISIT, top=aut({6: "PA1", 9: "0", 13: "REHAB", 29: "U"}), version=version, control_id="D2"))
    assert trial.statuses("PA1@ACME") == ["denied"]


@BOTH
def test_an_answer_without_procedures_leaves_the_lines_and_what_they_decided(version: str) -> None:
    head = {"kind": "RRI", "version": version, "referral": "R1"}
    trial = Trial()
    trial.send(answer(VISIT, aut({9: "0"}), THERAPY, aut({9: "2"}), top=granted("PA1"), event="I12", **head))
    trial.send(answer(top=granted("PA1", {5: "20261231"}), event="I12", control_id="D2", **head))
    document = trial.document("PA1@ACME")
    assert (document["status"], document["expiration_date"]) == ("partially_approved", "2026-12-31")
    trial.send(answer(top=aut(number="PA1"), event="I14", control_id="D3", **head))
    document = trial.document("PA1@ACME")
    assert [document["status"], *(line["status"] for line in document["lines"])] == ["cancelled"] * 3
    trial.send(answer(top=granted("PA1"), event="I12", control_id="D4", **head))
    document = trial.document("PA1@ACME")
    assert document["status"] == "approved"
    assert not [line for line in document["lines"] if "status" in line]


@BOTH
def test_p59_a_cancelled_number_does_not_close_the_request_of_the_others(version: str) -> None:
    trial = two_granted(referral="R1", version=version)
    cancel = request(top=aut(number="PA1"), event="I11", referral="R1", control_id="C2", version=version)
    assert changes(trial.send(cancel)) == [("PA1@ACME", 2, "cancelled", "cancellation")]
    told = answer(THERAPY, aut({6: "PA2", 9: "0"}), referral="R1", control_id="D2", version=version)
    assert "answer.late" not in rules(trial.send(told))
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["cancelled", "denied"]
    last = request(top=aut(number="PA2"), event="I11", referral="R1", control_id="C3", version=version)
    assert ("?R1@FRONT:NORTH", 4, "cancelled", "cancellation") in changes(trial.send(last))


@BOTH
def test_what_is_asked_of_a_number_ends_with_it(version: str) -> None:
    trial = two_granted(referral="R1", version=version)
    ask = request(VISIT, aut({6: "PA1", 8: "9"}), event="I09", referral="R1", control_id="C2", version=version)
    trial.send(ask)
    trial.send(request(top=aut(number="PA1"), event="I11", referral="R1", control_id="C3", version=version))
    assert trial.statuses("?R1@FRONT:NORTH", "PA1@ACME", "PA2@ACME") == ["cancelled", "cancelled", "approved"]


@BOTH
def test_p61_a_status_request_without_a_referral_tells_nothing_of_an_earlier_message(version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, aut({1: "SILVER", 8: "3"}), kind="REF", event="I12", control_id="1", version=version))
    pid = OTHER_PATIENT.decode()
    outcome = trial.send(message(PRD, pid, kind="REF", event="I15", control_id="1", version=version))
    (reply,) = texts(outcome)
    assert [line[:3] for line in reply] == ["MSH", "MSA", "PRD", "PID"]
    assert "pended" not in reply[1]


@BOTH
def test_a_status_request_for_the_referral_of_another_patient_finds_nothing(version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, kind="REF", event="I12", referral="R1", version=version))
    raw = message("RF1||||||R1", PRD, OTHER_PATIENT.decode(), kind="REF", event="I15", control_id="C2", version=version)
    outcome = trial.send(raw)
    assert [(finding.code, finding.rule) for finding in outcome.findings if finding.severity == "error"] == [
        ("204", "RF1-6.patient")
    ]


@ACTING
def test_p61_a_cancellation_closes_no_request_that_only_shares_its_control_id(version: str) -> None:
    trial = Trial()
    trial.send(answer(VISIT, acting("PA1", ""), version=version))
    trial.send(request(THERAPY, aut({8: "3", 13: "REHAB"}), version=version, control_id="1"))
    cancel = request(top=aut({6: "PA1", 13: "REHAB", 29: "D"}), event="I11", version=version, control_id="1")
    trial.send(cancel)
    assert trial.statuses("PA1@ACME", "?#1@FRONT:NORTH") == ["cancelled", "pended"]


@ACTING
@pytest.mark.parametrize("code", ["U", ""])
@pytest.mark.parametrize("contradiction", ["refuse", "warn"])
def test_a_cancellation_changes_no_decision_beside_what_it_ends(version: str, code: str, contradiction: str) -> None:
    trial = Trial(channel(action=Action.model_validate({"mixed": "act", "contradiction": contradiction})))
    trial.send(answer(VISIT, acting("PA1", ""), THERAPY, acting("PA2", ""), version=version))
    more = acting("PA2", code, {9: "999"})
    raw = request(VISIT, acting("PA1", "D"), THERAPY, more, event="I11", version=version, control_id="C2")
    outcome = trial.send(raw)
    assert "AUT-29.event" in rules(outcome)
    assert outcome.code == ("AE" if contradiction == "refuse" else "AA")
    assert trial.document("PA2@ACME")["authorized_treatments"] == {"quantity": "2"}
    assert trial.statuses("PA1@ACME") == ["approved" if contradiction == "refuse" else "cancelled"]


@BOTH
def test_p34_a_set_that_names_no_payor_is_no_set_of_patient_and_payor(version: str) -> None:
    trial = Trial(channel(snapshot=Snapshot(scope="patient_and_payor")))
    trial.send(answer(VISIT, granted("PA1"), referral="R1", version=version))
    outcome = trial.send(answer(VISIT, top=ALL_DELETED, referral="R1", control_id="D2", version=version))
    assert outcome.code == "AE"
    assert "AUT.delete-set" in rules(outcome)
    assert trial.statuses("PA1@ACME") == ["approved"]


@BOTH
def test_a_referral_is_cancelled_with_all_of_it_over_what_was_asked_in_between(version: str) -> None:
    trial = Trial(channel(snapshot=Snapshot(scope="patient_and_payor")))
    trial.send(request(VISIT, ASKED, referral="R1", version=version))
    trial.send(answer(VISIT, granted("PA1"), referral="R1", version=version))
    again = request(VISIT, aut({6: "PA1", 8: "9"}), event="I09", referral="R1", control_id="C2", version=version)
    trial.send(again, request(event="I11", referral="R1", control_id="C3", version=version))
    assert trial.statuses("?R1@FRONT:NORTH", "PA1@ACME") == ["cancelled", "cancelled"]


@BOTH
def test_what_one_answer_granted_ends_by_a_later_one_over_one_that_names_no_number(version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, version=version))
    trial.send(answer(VISIT, granted("PA1"), version=version))
    trial.send(answer(VISIT, ASKED, version=version, control_id="D2"))
    trial.send(answer(VISIT, granted("PA2"), version=version, control_id="D3"))
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["cancelled", "approved"]


@BOTH
@pytest.mark.parametrize("told", [[VISIT, granted("PB1", {2: "BETA"})], [VISIT, ALL_DELETED]])
def test_another_payor_ends_nothing_of_what_the_first_granted(told: list[str], version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1", version=version))
    trial.send(answer(VISIT, granted("PA1"), referral="R1", version=version))
    top = told[1] if told[1] == ALL_DELETED else ""
    segments = told[:1] if top else told
    head = {"referral": "R1", "sender": "BETAPAY|EAST", "control_id": "E1", "to": "C9", "version": version}
    trial.send(answer(*segments, top=top, **head))
    assert trial.statuses("PA1@ACME") == ["approved"]


@BOTH
@pytest.mark.parametrize(
    ("code", "rule"),
    [("AE", "answer.error"), ("AR", "answer.error"), ("CE", "answer.receipt"), ("CR", "answer.receipt")],
)
def test_p60_an_answer_that_tells_an_error_grants_nothing(code: str, rule: str, version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, version=version))
    outcome = trial.send(answer(VISIT, granted("PA1"), code=code, version=version))
    assert rule in rules(outcome)
    assert trial.statuses("?#C1@FRONT:NORTH", "PA1@ACME") == ["pended", "-"]


@BOTH
def test_p47_a_refusal_may_come_with_an_error(version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, version=version))
    outcome = trial.send(answer(VISIT, aut({9: "0"}), code="AE", version=version))
    assert "answer.error" in rules(outcome)
    assert trial.statuses("?#C1@FRONT:NORTH") == ["denied"]


@ACTING
def test_p40_an_x_is_compared_with_the_line_that_it_stands_under(version: str) -> None:
    trial = Trial()
    first, second = acting("PA1", "", {9: "2"}), acting("PA1", "", {9: "5"})
    trial.send(answer(VISIT, first, THERAPY, second, version=version))
    same = answer(VISIT, acting("PA1", "X"), THERAPY, acting("PA1", "X", {9: "5"}), version=version, control_id="D2")
    assert "AUT-29.differs" not in rules(trial.send(same))
    other = answer(VISIT, acting("PA1", "X", {9: "5"}), version=version, control_id="D3")
    assert "AUT-29.differs" in rules(trial.send(other))
