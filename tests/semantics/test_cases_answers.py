"""The life of a request: what answers it, what cancels it, what is late, and whose number it is."""

import pytest

from hl7auth.flow.decision import Disposition
from tests.messages import (
    ASKED,
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
)  # fmt: skip

BOTH = pytest.mark.parametrize("version", ["2.3.1", "2.5", "2.7"])


@BOTH
def test_p43_one_number_above_and_under_a_procedure_is_one_authorization(version: str) -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1"), top=granted("PA1"), version=version))
    document = trial.document("PA1@ACME")
    assert len(document["lines"]) == 1


@BOTH
def test_p44_the_assigner_is_part_of_the_number(version: str) -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("123^A"), THERAPY, granted("123^B"), version=version))
    trial.send(answer(VISIT, granted("123"), version=version, control_id="D2"))
    assert trial.statuses("123@A", "123@B", "123@ACME") == ["approved"] * 3


@BOTH
def test_p46_one_line_is_denied_and_the_other_approved(version: str) -> None:
    trial = Trial()
    trial.send(
        answer(VISIT, aut({8: "2", 9: "0"}), THERAPY, aut({8: "2", 9: "2"}), top=granted("PA1"), version=version)
    )
    document = trial.document("PA1@ACME")
    assert [line["status"] for line in document["lines"]] == ["denied", "approved"]
    assert document["status"] == "partially_approved"


@BOTH
def test_p47_a_refusal_is_a_decision_and_no_error(version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, version=version))
    outcome = trial.send(answer(VISIT, aut({6: "PA1", 9: "0"}), version=version))
    assert (outcome.disposition, outcome.code) == (Disposition.ACCEPTED, "AA")
    assert trial.statuses("PA1@ACME") == ["denied"]


@BOTH
def test_p50_a_number_alone_is_no_approval(version: str) -> None:
    trial = Trial()
    trial.send(answer(VISIT, aut(number="PA1"), version=version))
    assert trial.statuses("PA1@ACME") == ["pended"]


@BOTH
@pytest.mark.parametrize("asks", [True, False])
def test_p51_a_cancellation_without_any_procedure_goes_by_the_number(asks: bool, version: str) -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1"), version=version))
    if asks:
        outcome = trial.send(request(top=aut(number="PA1"), event="I11", version=version))
    else:
        outcome = trial.send(answer(VISIT, top=aut(number="PA1"), event="I11", version=version, control_id="D2"))
    assert outcome.disposition is Disposition.ACCEPTED
    assert trial.statuses("PA1@ACME") == ["cancelled"]
    unknown = trial.send(request(top=aut(number="PA9"), event="I11", version=version, control_id="C9"))
    assert unknown.code == "AE"
    assert [finding.code for finding in unknown.findings if finding.severity == "error"] == ["204"]


@BOTH
def test_p51_every_unknown_number_of_a_cancellation_is_told(version: str) -> None:
    raw = request(VISIT, aut(number="PA8"), THERAPY, aut(number="PA9"), event="I11", version=version)
    outcome = Trial().send(raw)
    assert [finding.path for finding in outcome.findings if finding.severity == "error"] == ["AUT-6", "AUT[2]-6"]


@BOTH
def test_p52_a_request_cancelled_while_it_waits_is_not_revived(version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1", version=version))
    trial.send(request(referral="R1", event="I11", control_id="C2", version=version))
    outcome = trial.send(answer(VISIT, granted("PA1"), referral="R1", version=version))
    assert changes(outcome) == []
    assert "answer.late" in rules(outcome)
    assert trial.statuses("?R1@FRONT:NORTH", "PA1@ACME") == ["cancelled", "-"]


@BOTH
def test_p52_an_authorization_that_its_requester_cancelled_comes_back_only_by_a_new_request(version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, version=version))
    trial.send(answer(VISIT, granted("PA1"), version=version))
    trial.send(request(top=aut(number="PA1"), event="I11", control_id="C2", version=version))
    late = trial.send(answer(VISIT, granted("PA1", {9: "5"}), version=version, control_id="D2"))
    assert "answer.late" in rules(late)
    assert trial.statuses("PA1@ACME") == ["cancelled"]
    trial.send(request(VISIT, ASKED, event="I10", control_id="C3", version=version))
    trial.send(answer(VISIT, granted("PA1"), to="C3", event="I10", version=version, control_id="D3"))
    assert trial.statuses("PA1@ACME") == ["approved"]


@BOTH
def test_staged_answers_are_normal(version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, version=version))
    trial.send(answer(VISIT, aut({6: "PA1"}), version=version))
    outcome = trial.send(answer(VISIT, granted("PA1"), version=version, control_id="D2"))
    assert [status for _, _, status, _ in changes(outcome)] == ["approved", "approved"]
    assert not {rule for rule in rules(outcome) if rule.startswith("answer.")}


@BOTH
def test_p59_what_matches_nothing_is_kept_and_remarked(version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, version=version))
    outcome = trial.send(answer(VISIT, granted("PA1"), to="C7", version=version))
    assert "answer.unmatched" in rules(outcome)
    assert trial.statuses("?#C1@FRONT:NORTH", "PA1@ACME") == ["pended", "approved"]


@BOTH
def test_p59_the_number_that_a_request_concerns_is_no_guess(version: str) -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1"), version=version, to="C0", control_id="D0"))
    trial.send(request(VISIT, aut({6: "PA1", 8: "9"}), event="I09", version=version))
    outcome = trial.send(answer(VISIT, granted("PA1", {9: "9"}), to="C7", event="I09", version=version))
    assert "answer.unmatched" not in rules(outcome)
    assert trial.statuses("?#C1@FRONT:NORTH", "PA1@ACME") == ["approved", "approved"]


@BOTH
def test_p59_of_two_requests_about_one_number_none_is_meant(version: str) -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1"), version=version, to="C0", control_id="D0"))
    for control_id in ("C1", "C2"):
        trial.send(request(VISIT, aut({6: "PA1", 8: "9"}), event="I09", version=version, control_id=control_id))
    outcome = trial.send(answer(VISIT, granted("PA1", {9: "9"}), to="C7", event="I09", version=version))
    assert "answer.unmatched" in rules(outcome)
    assert trial.statuses("?#C1@FRONT:NORTH", "?#C2@FRONT:NORTH") == ["pended", "pended"]


@BOTH
def test_p60_a_receipt_is_no_answer(version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, version=version))
    outcome = trial.send(answer(VISIT, granted("PA1"), code="CA", version=version))
    assert changes(outcome) == []
    assert "answer.receipt" in rules(outcome)
    assert trial.statuses("?#C1@FRONT:NORTH") == ["pended"]


@pytest.mark.parametrize("version", ["2.3", "2.4"])
@pytest.mark.parametrize("kind", ["MCF", "ACK"])
def test_p60_a_delayed_acknowledgement_is_a_receipt_whatever_it_says(kind: str, version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, version=version))
    outcome = trial.send(message("MSA|AA|C1|||D", kind=kind, event="", control_id="D1", version=version))
    assert (outcome.disposition, outcome.changes, outcome.replies) == (Disposition.IGNORED, (), [])
    assert trial.statuses("?#C1@FRONT:NORTH") == ["pended"]
    trial.send(answer(VISIT, granted("PA1"), control_id="D2", version=version))
    assert trial.statuses("?#C1@FRONT:NORTH", "PA1@ACME") == ["approved", "approved"]


@BOTH
def test_p61_one_control_id_for_several_events_is_several_messages(version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1", version=version))
    outcome = trial.send(request(referral="R1", event="I11", version=version))
    assert outcome.disposition is Disposition.ACCEPTED
    again = trial.send(request(referral="R1", event="I11", version=version))
    assert (again.disposition, again.replies) == (Disposition.DUPLICATE, outcome.replies)


@BOTH
def test_p62_a_strict_partner_may_not_use_a_control_id_twice(version: str) -> None:
    trial = Trial(channel(duplicates="strict"))
    trial.send(request(VISIT, ASKED, version=version))
    outcome = trial.send(request(THERAPY, ASKED, version=version))
    errors = [finding.code for finding in outcome.findings if finding.severity == "error"]
    assert (outcome.code, errors) == ("AE", ["205"])


@BOTH
def test_a_modification_of_nothing_known_counts_as_a_request(version: str) -> None:
    trial = Trial()
    outcome = trial.send(request(VISIT, ASKED, referral="R1", event="I09", version=version))
    assert outcome.disposition is Disposition.ACCEPTED
    assert "request.nothing-to-modify" in rules(outcome)
    assert trial.statuses("?R1@FRONT:NORTH") == ["pended"]
    known = trial.send(request(THERAPY, ASKED, referral="R1", event="I09", version=version, control_id="C2"))
    assert "request.nothing-to-modify" not in rules(known)


@BOTH
def test_the_priority_of_a_referral_is_kept(version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, top="RF1||S^Stat||||R1", version=version))
    assert trial.document("?R1@FRONT:NORTH")["referral"] == {"originating_id": "R1", "priority": "S"}


@pytest.mark.parametrize("version", ["2.4", "2.5.1"])
def test_a_status_request_tells_what_was_cancelled_where_no_approval_status_can(version: str) -> None:
    """Before AUT-14, a number and its treatments alone would look like a grant that stands."""
    trial = Trial()
    head = {"referral": "R1", "version": version}
    trial.send(request(VISIT, ASKED, **head))
    trial.send(answer(VISIT, granted("PA1"), **head))
    trial.send(request(event="I11", control_id="C2", **head))
    (reply,) = texts(trial.send(request(kind="REF", event="I15", control_id="C3", **head)))
    assert reply[2] == "RF1|E|||||R1"
    assert trial.statuses("PA1@ACME", "?R1@FRONT:NORTH") == ["cancelled", "cancelled"]
