"""Snapshot mode from end to end: what a set replaces, at each level, and what deletes it."""

import pytest

from hl7auth.domain.terms import Order, Snapshot
from hl7auth.flow.decision import Disposition, Outcome
from tests.messages import (
    ASKED,
    IMAGING,
    THERAPY,
    VISIT,
    Trial,
    answer,
    aut,
    changes,
    channel,
    granted,
    request,
    rules,
)

DELETE_ALL = "AUT" + '|""' * 10
OLDER = pytest.mark.parametrize("version", ["2.3.1", "2.5", "2.6"])
"""Versions whose AUT has ten fields, all of which a delete pattern sends."""

BOTH = pytest.mark.parametrize("version", ["2.4", "2.5.1", "2.7"])


def codes(outcome: Outcome) -> list[tuple[str, str]]:
    """Code and path of each error."""
    return [(finding.code, finding.path) for finding in outcome.findings if finding.severity == "error"]


def two(version: str, on: Trial | None = None) -> Trial:
    """A referral with PA1 for the visit and PA2 for the therapy."""
    trial = on or Trial()
    trial.send(request(VISIT, ASKED, THERAPY, ASKED, referral="R1", version=version))
    trial.send(answer(VISIT, granted("PA1"), THERAPY, granted("PA2"), referral="R1", version=version))
    return trial


def lines(trial: Trial, key: str) -> list[tuple[str, str]]:
    """Code and status of each line."""
    return [(line["procedure"]["code"], line.get("status", "")) for line in trial.document(key)["lines"]]


@BOTH
def test_p33_no_aut_is_no_information(version: str) -> None:
    trial = two(version)
    outcome = trial.send(answer(VISIT, THERAPY, referral="R1", version=version, control_id="D2"))
    assert changes(outcome) == []
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["approved", "approved"]


@OLDER
def test_p34_an_aut_of_deletions_ends_the_set_of_the_referral(version: str) -> None:
    trial = two(version)
    trial.send(answer(VISIT, granted("PA3"), referral="R2", version=version, control_id="D2"))
    outcome = trial.send(answer(VISIT, top=DELETE_ALL, referral="R1", version=version, control_id="D3"))
    assert [(key, rule) for key, _, _, rule in changes(outcome)] == [
        ("PA1@ACME", "deleted with its set"),
        ("PA2@ACME", "deleted with its set"),
        ("?R1@FRONT:NORTH", "deleted with its set"),
    ]
    assert trial.statuses("PA1@ACME", "PA2@ACME", "PA3@ACME") == ["cancelled", "cancelled", "approved"]


@OLDER
def test_p34_without_a_referral_the_set_is_that_of_the_request(version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, version=version))
    trial.send(answer(VISIT, granted("PA1"), version=version))
    trial.send(answer(VISIT, granted("PA2"), to="C2", version=version, control_id="D2"))
    trial.send(answer(VISIT, top=DELETE_ALL, version=version, control_id="D3"))
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["cancelled", "approved"]


@OLDER
def test_p34_a_set_that_nothing_names_is_not_guessed(version: str) -> None:
    trial = two(version)
    outcome = trial.send(answer(VISIT, top=DELETE_ALL, to="C9", version=version, control_id="D3"))
    assert codes(outcome) == [("204", "AUT")]
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["approved", "approved"]


@OLDER
def test_p34_on_a_channel_where_a_message_reaches_only_what_it_names_there_is_no_set(version: str) -> None:
    trial = two(version, Trial(channel(snapshot=Snapshot(scope="message"))))
    outcome = trial.send(answer(VISIT, top=DELETE_ALL, referral="R1", version=version, control_id="D3"))
    assert codes(outcome) == [("207", "AUT")]
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["approved", "approved"]


@OLDER
def test_p34_the_first_field_alone_deletes_only_where_partners_agree(version: str) -> None:
    trial = two(version)
    outcome = trial.send(answer(VISIT, top='AUT|""', referral="R1", version=version, control_id="D2"))
    assert ("101", "AUT-2") in codes(outcome)
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["approved", "approved"]


@pytest.mark.parametrize(("pattern", "top"), [("first_field", 'AUT|""'), ("key", 'AUT||||||""')])
def test_p34_the_patterns_that_partners_may_agree_on(pattern: str, top: str) -> None:
    agreed = channel(snapshot=Snapshot(delete_pattern=(pattern,)), errors="accept")
    trial = two("2.6", Trial(agreed))
    trial.send(answer(VISIT, top=top, referral="R1", version="2.6", control_id="D2"))
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["cancelled", "cancelled"]
    outcome = trial.send(answer(VISIT, top=DELETE_ALL, referral="R1", version="2.6", control_id="D3"))
    assert outcome.disposition is Disposition.REFUSED


@OLDER
def test_p34_a_request_that_deletes_its_set_takes_back_what_was_asked_and_no_decision(version: str) -> None:
    trial = two(version)
    trial.send(request(VISIT, aut(number="PA9"), referral="R1", version=version, control_id="C2"))
    trial.send(request(IMAGING, ASKED, referral="R1", event="I09", version=version, control_id="C3"))
    outcome = trial.send(request(top=DELETE_ALL, referral="R1", event="I09", version=version, control_id="C4"))
    assert outcome.disposition is Disposition.ACCEPTED
    assert trial.statuses("?R1@FRONT:NORTH", "PA9@ACME", "PA1@ACME") == ["cancelled", "cancelled", "approved"]


@BOTH
def test_p35_a_deletion_beside_values_clears_that_field_alone(version: str) -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1", {1: "GOLD", 2: "WA02"}), version=version))
    trial.send(answer(VISIT, granted("PA1", {1: '""', 2: "WA02"}), version=version, control_id="D2"))
    assert "plan" not in trial.document("PA1@WA02")
    assert trial.statuses("PA1@WA02") == ["approved"]


@BOTH
def test_p45_a_line_that_a_later_snapshot_leaves_out_has_ended(version: str) -> None:
    trial = Trial()
    top = granted("PA1")
    trial.send(answer(VISIT, aut({9: "1"}), THERAPY, aut({9: "2"}), top=top, version=version))
    trial.send(answer(VISIT, aut({9: "1"}), top=top, version=version, control_id="D2"))
    assert lines(trial, "PA1@ACME") == [("99213", "approved")]


@BOTH
def test_p45_a_message_without_procedures_changes_no_line(version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, aut(number="PA1"), THERAPY, aut(number="PA1"), referral="R1", version=version))
    trial.send(request(top=aut({8: "5", 6: "PA1"}), referral="R1", event="I09", version=version, control_id="C2"))
    document = trial.document("PA1@ACME")
    assert [code for code, _ in lines(trial, "PA1@ACME")] == ["99213", "97110"]
    assert document["requested_treatments"] == {"quantity": "5"}


@BOTH
def test_p45_a_referral_answered_without_procedures_keeps_its_lines(version: str) -> None:
    trial = Trial()
    common = {"kind": "RRI", "event": "I12", "referral": "R1", "version": version}
    trial.send(answer(VISIT, aut({9: "1"}), top=granted("PA1"), **common))
    trial.send(answer(top=granted("PA1", {5: "20261231"}), control_id="D2", **common))
    assert [code for code, _ in lines(trial, "PA1@ACME")] == ["99213"]
    assert trial.document("PA1@ACME")["expiration_date"] == "2026-12-31"


@BOTH
def test_p45_an_answer_without_any_procedure_is_refused_and_deletes_nothing(version: str) -> None:
    trial = two(version)
    outcome = trial.send(answer(top=granted("PA1"), referral="R1", version=version, control_id="D2"))
    assert ("100", "PR1") in codes(outcome)
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["approved", "approved"]


@OLDER
def test_a_deletion_under_a_procedure_ends_the_authorization_of_that_line_alone(version: str) -> None:
    trial = Trial()
    top = granted("PA1")
    trial.send(answer(VISIT, aut({9: "1"}), THERAPY, aut({9: "2"}), top=top, version=version))
    trial.send(answer(VISIT, aut({9: "1"}), THERAPY, DELETE_ALL, top=top, version=version, control_id="D2"))
    assert lines(trial, "PA1@ACME") == [("99213", "approved"), ("97110", "cancelled")]
    assert trial.document("PA1@ACME")["lines"][1]["authorized_treatments"] == {"quantity": "2"}  # the trail stays
    assert trial.statuses("PA1@ACME") == ["approved"]


@OLDER
def test_a_deletion_under_a_procedure_finds_the_authorization_that_has_the_line(version: str) -> None:
    trial = two(version)
    trial.send(answer(VISIT, granted("PA1"), THERAPY, DELETE_ALL, referral="R1", version=version, control_id="D2"))
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["approved", "cancelled"]
    assert lines(trial, "PA2@ACME") == [("97110", "cancelled")]


@OLDER
def test_an_emptied_message_level_place_is_replaced_and_the_lines_stand(version: str) -> None:
    trial = Trial()
    common = {"referral": "R1", "version": version}
    trial.send(answer(VISIT, granted("PA1"), THERAPY, granted("PA1"), top=granted("PA1", {3: "Acme"}), **common))
    trial.send(answer(VISIT, granted("PA1"), THERAPY, granted("PA1"), top=DELETE_ALL, control_id="D2", **common))
    document = trial.document("PA1@ACME")
    assert (document["status"], len(document["lines"])) == ("approved", 2)
    assert "effective_date" not in document


@BOTH
def test_the_scope_of_a_message_is_what_it_names(version: str) -> None:
    trial = two(version, Trial(channel(snapshot=Snapshot(scope="message"))))
    trial.send(answer(VISIT, granted("PA1"), referral="R1", version=version, control_id="D2"))
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["approved", "approved"]


@BOTH
def test_the_scope_of_patient_and_payor_reaches_over_referrals(version: str) -> None:
    trial = Trial(channel(snapshot=Snapshot(scope="patient_and_payor")))
    trial.send(answer(VISIT, granted("PA1"), referral="R1", version=version))
    trial.send(answer(THERAPY, granted("PB1", {2: "OTHER"}), referral="R1", version=version, control_id="D2"))
    trial.send(answer(THERAPY, granted("PA2"), referral="R2", version=version, control_id="D3"))
    assert trial.statuses("PA1@ACME", "PA2@ACME", "PB1@OTHER") == ["cancelled", "approved", "approved"]


@BOTH
def test_an_empty_field_clears_or_keeps_as_the_channel_says(version: str) -> None:
    for empty, plan in (("clear", None), ("keep", {"code": "GOLD"})):
        trial = Trial(channel(snapshot=Snapshot(empty=empty)))
        trial.send(answer(VISIT, granted("PA1", {1: "GOLD", 3: "Acme"}), version=version))
        trial.send(answer(VISIT, granted("PA1", {3: '""'}), version=version, control_id="D2"))
        document = trial.document("PA1@ACME")
        assert document.get("plan") == plan
        assert document["lines"][0].get("plan") == plan
        assert "payor_name" not in document


@BOTH
def test_what_a_message_does_not_say_around_its_auts_stays(version: str) -> None:
    trial = Trial()
    trial.send(answer("DG1|1||M17.1^Gonarthrosis^I10", VISIT, granted("PA1"), referral="R1", version=version))
    trial.send(answer(VISIT, granted("PA1", {5: "20261231"}), version=version, control_id="D2"))
    document = trial.document("PA1@ACME")
    assert [each["code"] for each in document["diagnoses"]] == ["M17.1"]
    assert document["referral"] == {"originating_id": "R1"}
    assert document["provenance"]["diagnoses"][1] == 1


@pytest.mark.parametrize("version", ["2.9", "2.9.1"])
def test_p40_s_says_snapshot(version: str) -> None:
    trial = Trial()
    both = [granted(number, {13: "SPEC", 29: "S"}) for number in ("PA1", "PA2")]
    trial.send(answer(VISIT, both[0], THERAPY, both[1], referral="R1", version=version))
    trial.send(answer(VISIT, both[0], referral="R1", version=version, control_id="D2"))
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["approved", "cancelled"]


EARLY, LATE = "20260301100000", "20260301110000"


@BOTH
def test_an_older_message_is_applied_and_remarked(version: str) -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1"), version=version, sent_at=LATE))
    raw = answer(VISIT, granted("PA1", {5: "20261231"}), version=version, control_id="D2", sent_at=EARLY)
    outcome = trial.send(raw)
    assert changes(outcome)
    assert "order.older" in rules(outcome)


@BOTH
def test_an_older_message_is_parked_where_the_channel_says_so(version: str) -> None:
    trial = Trial(channel(order=Order(older="park")))
    trial.send(answer(VISIT, granted("PA1"), version=version, sent_at=LATE))
    raw = answer(VISIT, granted("PA1", {5: "20261231"}), version=version, control_id="D2", sent_at=EARLY)
    outcome = trial.send(raw)
    assert (outcome.disposition, outcome.code, outcome.changes) == (Disposition.PARKED, "AE", ())
    assert codes(outcome) == [("207", "MSH-7")]
    assert b"MSA|AE|D2" in outcome.replies[0]
    assert trial.document("PA1@ACME")["version"] == 1


@BOTH
def test_the_clock_of_another_sender_parks_nothing(version: str) -> None:
    trial = Trial(channel(order=Order(older="park")))
    trial.send(request(VISIT, ASKED, version=version, sent_at=LATE))
    outcome = trial.send(answer(VISIT, granted("PA1"), version=version, sent_at=EARLY))
    assert outcome.disposition is Disposition.ACCEPTED
    assert "order.older" in rules(outcome)


def test_p34_what_is_no_pattern_is_refused_even_where_errors_are_accepted() -> None:
    trial = two("2.6", Trial(channel(errors="accept")))
    for control_id, top, error in (("D2", 'AUT|""', ("101", "AUT-2")), ("D3", 'AUT||""|""', ("207", "AUT"))):
        outcome = trial.send(answer(VISIT, top=top, referral="R1", version="2.6", control_id=control_id))
        assert outcome.disposition is Disposition.REFUSED
        assert error in codes(outcome)


@OLDER
def test_p34_a_request_that_deletes_a_set_must_name_it(version: str) -> None:
    outcome = Trial().send(request(top=DELETE_ALL, event="I09", version=version))
    assert codes(outcome) == [("204", "AUT")]


@OLDER
def test_an_emptied_place_in_a_request_leaves_what_its_lines_ask(version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, top=DELETE_ALL, referral="R1", version=version))
    document = trial.document("?R1@FRONT:NORTH")
    assert document["lines"][0]["requested_treatments"] == {"quantity": "3"}


@BOTH
def test_keep_fills_up_the_message_level_aut_and_lines_known_by_pr1_19(version: str) -> None:
    trial = Trial(channel(snapshot=Snapshot(empty="keep")))
    line = VISIT + "|" * 14 + "L1"
    trial.send(answer(line, aut({3: "Acme", 9: "1"}), top=granted("PA1", {1: "GOLD"}), version=version))
    trial.send(answer(line, aut({9: "2"}), THERAPY, top=aut(number="PA1"), version=version, control_id="D2"))
    document = trial.document("PA1@ACME")
    assert document["plan"] == {"code": "GOLD"}
    assert document["lines"][0]["payor_name"] == "Acme"
    assert document["lines"][0]["authorized_treatments"] == {"quantity": "2"}


@pytest.mark.parametrize("version", ["2.5.1", "2.6"])
def test_a_deleted_line_is_found_by_pr1_19(version: str) -> None:
    trial = Trial()
    pairs = [("L1", "PA1"), ("L2", "PA2")]
    segments = [text for name, number in pairs for text in (VISIT + "|" * 14 + name, granted(number))]
    trial.send(answer(*segments, referral="R1", version=version))
    segments[3] = DELETE_ALL
    trial.send(answer(*segments, referral="R1", version=version, control_id="D2"))
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["approved", "cancelled"]


@BOTH
def test_the_scope_of_patient_and_payor_needs_both(version: str) -> None:
    trial = Trial(channel(snapshot=Snapshot(scope="patient_and_payor")))
    trial.send(answer(VISIT, granted("PA1"), referral="R1", version=version))
    raw = answer(THERAPY, granted("PA2"), referral="R1", version=version, control_id="D2")
    trial.send(raw.replace(b"PID|||77001^^^NORTH|", b"PID|||^^^NORTH|"))
    assert trial.statuses("PA1@ACME") == ["approved"]


@pytest.mark.parametrize(("version", "count"), [("2.6", 10), ("2.7", 12), ("2.8", 29), ("2.9", 29)])
def test_p34_all_fields_are_as_many_as_the_version_has_and_an_action_code_is_none_of_them(
    version: str, count: int
) -> None:
    trial = Trial()
    typed = {13: "SPEC"} if count == 29 else {}
    trial.send(answer(VISIT, granted("PA1", typed), referral="R1", version=version))
    top = "AUT|" + "|".join(['""'] * count)
    outcome = trial.send(answer(VISIT, top=top, referral="R1", control_id="D2", version=version))
    assert changes(outcome) == [("PA1@ACME", 2, "cancelled", "deleted with its set")]
