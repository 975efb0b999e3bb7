"""Action mode from end to end: each code, each refusal, and that nothing else moves."""

from typing import Any

import pytest

from hl7auth.domain.terms import Action
from hl7auth.flow.decision import Disposition, Outcome
from tests.messages import THERAPY, VISIT, Trial, answer, aut, changes, channel, granted, request, rules

WITH_ACTIONS = pytest.mark.parametrize("version", ["2.8", "2.8.2", "2.9"])
TYPE = {13: "SPEC"}


def acting(code: str, number: str = "PA1", more: dict[int, str] | None = None) -> str:
    """An AUT with that action code and no more than it needs."""
    return aut({6: number, 13: "SPEC", 29: code} | (more or {}))


def given(number: str, more: dict[int, str] | None = None) -> str:
    return granted(number, TYPE | (more or {}))


def errors(outcome: Outcome) -> list[tuple[str, str]]:
    return [(finding.code, finding.path) for finding in outcome.findings if finding.severity == "error"]


def told(outcome: Outcome) -> list[str]:
    """ERR-3.1 (and ERR-5.1) of each ERR of the reply."""
    found = []
    for segment in outcome.replies[-1].decode("ascii").split("\r"):
        if segment.startswith("ERR|"):
            fields = segment.split("|") + [""] * 6
            found.append(" ".join(filter(None, (fields[3].split("^")[0], fields[5].split("^")[0]))))
    return found


def one(version: str, on: Trial | None = None) -> Trial:
    """PA1 with one line, PA2 with two."""
    trial = on or Trial()
    trial.send(answer(VISIT, given("PA1", {1: "GOLD"}), version=version, control_id="A1", to="X1"))
    two_lines = (VISIT, given("PA2"), THERAPY, given("PA2"))
    trial.send(answer(*two_lines, top=given("PA2"), version=version, control_id="A2", to="X2"))
    return trial


def say(*segments: str, **head: Any) -> bytes:
    """An answer that belongs to no request."""
    return answer(*segments, **{"to": "X9", "control_id": "A9"} | head)


@pytest.mark.parametrize("version", ["2.3.1", "2.5", "2.7"])
def test_p24_an_action_code_where_there_is_none_is_an_error_and_never_overlooked(version: str) -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1"), version=version))
    outcome = trial.send(say(VISIT, granted("PA1", {13: "SPEC", 29: "D"}), version=version))
    assert outcome.disposition is Disposition.REFUSED
    assert [path for _, path in errors(outcome)] == ["AUT-29"]
    assert trial.statuses("PA1@ACME") == ["approved"]


@pytest.mark.parametrize(("version", "last"), [("2.3.1", 10), ("2.5", 10), ("2.7", 12)])
def test_p24_other_fields_that_a_version_does_not_have_are_left_out_with_a_warning(version: str, last: int) -> None:
    trial = Trial()
    more = {number: f"X{number}" for number in range(last + 1, 29)}
    outcome = trial.send(answer(VISIT, granted("PA1", more), version=version))
    warned = {path for severity, path in ((each.severity, each.path) for each in outcome.findings)
              if severity == "warning"}  # fmt: skip
    assert outcome.disposition is Disposition.ACCEPTED
    assert {f"AUT-{number}" for number in more} <= warned
    assert trial.statuses("PA1@ACME") == ["approved"]
    assert not {"approval_status", "reason", "comment"} & trial.document("PA1@ACME").keys()


@pytest.mark.parametrize(
    ("version", "said"), [("2.8", "204"), ("2.8.2", "204"), ("2.9", "207 101"), ("2.9.1", "207 101")]
)
@pytest.mark.parametrize("code", ["U", "D"])
def test_p36_and_p38_an_unknown_number_is_204(code: str, version: str, said: str) -> None:
    trial = one("2.8")
    outcome = trial.send(say(VISIT, acting(code, "PA9"), version=version))
    assert (outcome.code, told(outcome)) == ("AE", [said])
    assert trial.statuses("PA9@ACME", "PA1@ACME", "PA2@ACME") == ["-", "approved", "approved"]


@pytest.mark.parametrize(("version", "said"), [("2.8", "205"), ("2.9", "207 102")])
def test_p37_an_a_for_a_known_number_rolls_the_whole_message_back(version: str, said: str) -> None:
    trial = one("2.8")
    outcome = trial.send(say(VISIT, acting("A", "PA5"), THERAPY, acting("A", "PA1"), version=version))
    assert (outcome.code, told(outcome)) == ("AE", [said])
    assert trial.statuses("PA5@ACME", "PA1@ACME") == ["-", "approved"]
    assert trial.document("PA1@ACME")["version"] == 1


@WITH_ACTIONS
def test_every_problem_is_told_at_once(version: str) -> None:
    trial = one(version)
    raw = say(VISIT, acting("A", "PA1"), THERAPY, acting("U", "PA9"), VISIT, acting("D", ""), version=version)
    outcome = trial.send(raw)
    assert errors(outcome) == [("205", "AUT-6"), ("204", "AUT[2]-6"), ("101", "AUT[3]-6")]


@WITH_ACTIONS
def test_the_same_a_again_is_accepted_where_the_channel_says_so(version: str) -> None:
    trial = one(version, Trial(channel(action=Action(same_again="accept"))))
    raw = say(VISIT, given("PA1", {1: "GOLD", 29: "A"}), version=version)
    assert changes(trial.send(raw)) == []
    other = say(VISIT, given("PA1", {1: "BASE", 29: "A"}), version=version, control_id="A10")
    assert errors(trial.send(other)) == [("205", "AUT-6")]


@WITH_ACTIONS
def test_p38_a_d_cancels_and_keeps_the_trail(version: str) -> None:
    trial = one(version)
    raw = say(VISIT, acting("D"), version=version)
    first, second = trial.send(raw), trial.send(raw)
    assert changes(first) == [("PA1@ACME", 2, "cancelled", "deleted")]
    document = trial.document("PA1@ACME")
    assert (document["effective_date"], document["plan"]) == ("2026-04-01", {"code": "GOLD"})
    assert (second.disposition, second.replies) == (Disposition.DUPLICATE, first.replies)


@WITH_ACTIONS
def test_p38_what_was_deleted_is_not_known_any_more_and_may_be_added_again(version: str) -> None:
    trial = one(version)
    trial.send(say(VISIT, acting("D"), version=version))
    again = trial.send(say(VISIT, acting("U", more={3: "Acme"}), version=version, control_id="A10"))
    assert errors(again) == [("204", "AUT-6")]
    trial.send(say(VISIT, given("PA1", {29: "A"}), version=version, control_id="A11"))
    assert (trial.statuses("PA1@ACME"), trial.document("PA1@ACME")["version"]) == (["approved"], 3)


@WITH_ACTIONS
@pytest.mark.parametrize(("sent", "stored"), [("", "2026-09-30"), ('""', None), ("20271231", "2027-12-31")])
def test_p39_empty_keeps_a_deletion_clears_a_value_sets(sent: str, stored: str | None, version: str) -> None:
    trial = one(version)
    trial.send(say(VISIT, acting("U", more={3: "Acme", 5: sent}), version=version))
    document = trial.document("PA1@ACME")
    assert (document.get("expiration_date"), document["lines"][0].get("expiration_date")) == (stored, stored)
    assert (document["plan"], document["payor_name"]) == ({"code": "GOLD"}, "Acme")
    assert document["status"] == "approved"


@WITH_ACTIONS
def test_p39_a_kept_field_keeps_its_source(version: str) -> None:
    trial = one(version)
    first = trial.document("PA1@ACME")["provenance"]["*"]
    outcome = trial.send(say(VISIT, acting("U", more={3: "Acme"}), version=version))
    provenance = trial.document("PA1@ACME")["provenance"]
    assert provenance["plan"] == provenance["effective_date"] == provenance["status"] == first
    assert provenance["*"] == [outcome.plan.message_id, 2]
    assert "payor_name" not in provenance


@WITH_ACTIONS
def test_repeating_fields_always_come_whole(version: str) -> None:
    trial = Trial()
    trial.send(say(VISIT, given("PA1", {12: "PT~OT~ST"}), version=version))
    trial.send(say(VISIT, acting("U", more={12: "OT"}), version=version, control_id="A10"))
    assert trial.document("PA1@ACME")["authorized_disciplines"] == [{"code": "OT"}]


@WITH_ACTIONS
def test_a_decision_is_updated_with_what_decides_it(version: str) -> None:
    trial = one(version)
    trial.send(say(VISIT, acting("U", more={9: "0"}), version=version))
    assert trial.statuses("PA1@ACME", "PA2@ACME") == ["denied", "approved"]


@pytest.mark.parametrize("version", ["2.8", "2.9"])
def test_p40_x_changes_nothing_and_remarks_what_differs(version: str) -> None:
    trial = one(version)
    same = trial.send(say(VISIT, given("PA1", {1: "GOLD", 29: "X"}), version=version))
    assert (changes(same), "AUT-29.differs" in rules(same)) == ([], False)
    other = trial.send(say(VISIT, given("PA1", {1: "BASE", 29: "X"}), version=version, control_id="A10"))
    assert (changes(other), "AUT-29.differs" in rules(other)) == ([], True)


@pytest.mark.parametrize(("code", "version"), [("a", "2.8"), ("Z", "2.8"), ("a", "2.9"), ("Z", "2.9"), ("S", "2.8")])
@pytest.mark.parametrize("on", ["reject", "accept"])
def test_p40_a_code_that_is_not_in_the_table_is_103(code: str, version: str, on: str) -> None:
    if (code, on) == ("S", "accept"):
        return  # a channel that accepts errors takes S for what it says
    trial = one(version, Trial(channel(errors=on)))
    outcome = trial.send(say(VISIT, acting(code), version=version))
    assert outcome.disposition is Disposition.REFUSED
    assert ("103", "AUT-29") in errors(outcome)
    assert trial.document("PA1@ACME")["version"] == 1


@WITH_ACTIONS
def test_p41_two_modes_in_one_message_are_refused(version: str) -> None:
    trial = one(version)
    outcome = trial.send(say(VISIT, acting("D"), THERAPY, given("PA7"), version=version))
    assert errors(outcome) == [("207", "AUT[2]-29")]
    assert trial.statuses("PA1@ACME", "PA7@ACME") == ["approved", "-"]


@WITH_ACTIONS
def test_p41_or_each_does_what_it_says_and_ends_nothing_else(version: str) -> None:
    trial = one(version, Trial(channel(action=Action(mixed="act"))))
    trial.send(say(VISIT, acting("D"), THERAPY, given("PA7"), version=version, referral="R1"))
    assert trial.statuses("PA1@ACME", "PA2@ACME", "PA7@ACME") == ["cancelled", "approved", "approved"]


@WITH_ACTIONS
@pytest.mark.parametrize("code", ["A", "U", "D", "X"])
def test_p42_action_mode_needs_the_number(code: str, version: str) -> None:
    outcome = one(version).send(say(VISIT, acting(code, ""), version=version))
    assert errors(outcome) == [("101", "AUT-6")]


@WITH_ACTIONS
def test_an_a_with_deletions_stores_nothing_for_them(version: str) -> None:
    trial = Trial()
    outcome = trial.send(say(VISIT, given("PA1", {3: '""', 29: "A"}), version=version))
    assert "AUT-29.nothing-to-delete" in rules(outcome)
    assert "payor_name" not in trial.document("PA1@ACME")


def lines(trial: Trial, key: str) -> list[tuple[str, str, str]]:
    """Code, status and the authorized number of each line."""
    return [
        (line["procedure"].get("code", ""), line["status"], line.get("authorized_treatments", {}).get("quantity", ""))
        for line in trial.document(key)["lines"]
    ]


@WITH_ACTIONS
def test_p43_a_d_under_a_procedure_acts_on_that_line_alone(version: str) -> None:
    trial = one(version)
    trial.send(say(THERAPY, acting("D", "PA2"), version=version))
    assert lines(trial, "PA2@ACME") == [("99213", "approved", "2"), ("97110", "cancelled", "2")]
    assert trial.statuses("PA2@ACME") == ["approved"]
    trial.send(say(VISIT, acting("D", "PA2"), version=version, control_id="A10"))
    assert trial.statuses("PA2@ACME") == ["cancelled"]


@WITH_ACTIONS
def test_a_u_under_a_procedure_acts_on_that_line_alone(version: str) -> None:
    trial = one(version)
    trial.send(say(THERAPY, acting("U", "PA2", {9: "7"}), version=version))
    assert lines(trial, "PA2@ACME") == [("99213", "approved", "2"), ("97110", "approved", "7")]
    assert trial.document("PA2@ACME")["authorized_treatments"] == {"quantity": "2"}


@WITH_ACTIONS
def test_a_line_may_be_added_and_an_unknown_one_is_204(version: str) -> None:
    trial = one(version)
    knee, top = "PR1|1||73721^Knee^C4||20260401", acting("X", "PA2")
    assert errors(trial.send(say(knee, acting("U", "PA2", {9: "1"}), version=version))) == [("204", "AUT-6")]
    added = acting("A", "PA2", {9: "1"})
    assert errors(trial.send(say(knee, added, version=version, control_id="A10"))) == [("205", "AUT-6")]
    trial.send(say(knee, added, top=top, version=version, control_id="A11"))
    assert lines(trial, "PA2@ACME")[2] == ("73721", "approved", "1")
    again = trial.send(say(knee, added, top=top, version=version, control_id="A12"))
    assert errors(again) == [("205", "AUT[2]-6")]


def procedure(code: str, identifier: str = "") -> str:
    return f"PR1|1||{code}||20260401" + ("|" * 14 + identifier if identifier else "")


@WITH_ACTIONS
def test_pr1_19_tells_lines_of_one_procedure_apart(version: str) -> None:
    trial = Trial()
    pairs = [(procedure("97110^^C4", name), given("PA1", {9: count})) for name, count in (("L1", "1"), ("L2", "2"))]
    trial.send(say(*pairs[0], *pairs[1], version=version))
    trial.send(say(procedure("97110^^C4", "L2"), acting("U", more={9: "9"}), version=version, control_id="A10"))
    assert [count for _, _, count in lines(trial, "PA1@ACME")] == ["1", "9"]
    outcome = trial.send(say(procedure("97110^^C4"), acting("D"), version=version, control_id="A11"))
    assert errors(outcome) == [("204", "AUT-6")]
    assert "PR1-19.ambiguous" in rules(outcome)


@WITH_ACTIONS
def test_lines_without_a_code_go_by_their_place(version: str) -> None:
    trial = Trial(channel(errors="accept"))
    bare = [procedure(""), given("PA1", {9: "1"}), procedure(""), given("PA1", {9: "2"})]
    trial.send(say(*bare, version=version))
    raw = say(procedure(""), acting("X"), procedure(""), acting("D"), version=version, control_id="A10")
    trial.send(raw)
    assert [status for _, status, _ in lines(trial, "PA1@ACME")] == ["approved", "cancelled"]


@WITH_ACTIONS
def test_a_contradiction_of_event_and_code_is_refused_or_remarked(version: str) -> None:
    asks = request(VISIT, acting("D"), version=version)
    ends = request(VISIT, acting("A"), event="I11", version=version, control_id="C2")
    trial = one(version)
    for raw in (asks, ends):
        assert errors(trial.send(raw)) == [("207", "AUT-29")]
    lenient = one(version, Trial(channel(action=Action(contradiction="warn"))))
    outcome = lenient.send(ends)
    assert "AUT-29.event" in rules(outcome)
    assert lenient.statuses("PA1@ACME") == ["cancelled"]  # the event is what the whole message says


@WITH_ACTIONS
def test_a_cancellation_with_a_d_under_a_procedure_ends_that_line(version: str) -> None:
    trial = one(version)
    trial.send(request(THERAPY, acting("D", "PA2"), event="I11", version=version))
    assert [status for _, status, _ in lines(trial, "PA2@ACME")] == ["approved", "cancelled"]


@WITH_ACTIONS
def test_a_request_changes_what_was_asked_while_nobody_has_decided(version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, acting("A", more={8: "3"}), version=version))
    trial.send(request(VISIT, acting("U", more={8: "6"}), event="I09", version=version, control_id="C2"))
    document = trial.document("PA1@ACME")
    assert (document["status"], document["requested_treatments"]) == ("pended", {"quantity": "6"})
    trial.send(request(VISIT, acting("D"), event="I09", version=version, control_id="C3"))
    assert trial.statuses("PA1@ACME") == ["cancelled"]


@WITH_ACTIONS
@pytest.mark.parametrize("code", ["U", "D"])
def test_a_request_about_a_decision_is_kept_beside_it(code: str, version: str) -> None:
    trial = one(version)
    raw = request(VISIT, acting(code, more={8: "6"}), event="I09", version=version, referral="R1")
    assert [change[0] for change in changes(trial.send(raw))] == ["?R1@FRONT:NORTH"]
    assert trial.document("PA1@ACME")["version"] == 1
    beside = trial.document("?R1@FRONT:NORTH")
    assert (beside["concerns"], beside["actions"], beside["status"]) == (["PA1@ACME"], {"PA1@ACME": code}, "pended")


@WITH_ACTIONS
def test_an_answer_in_action_mode_decides_its_request(version: str) -> None:
    trial = Trial()
    trial.send(request(VISIT, aut({8: "3", 13: "SPEC"}), referral="R1", version=version))
    trial.send(answer(VISIT, given("PA1", {29: "A"}), referral="R1", version=version))
    document = trial.document("?R1@FRONT:NORTH")
    assert (document["status"], document["authorizations"]) == ("approved", ["PA1@ACME"])
    assert document["requested_treatments"] == {"quantity": "3"}


def referral(code: str, priority: str = "", number: str = "R1") -> str:
    return "|".join(["RF1", "", priority, "", "", "", number, *[""] * 18, code])


def refers(code: str, *segments: str, priority: str = "", event: str = "I13", **head: Any) -> bytes:
    return request(*segments, top=referral(code, priority), kind="REF", event=event, **head)


@WITH_ACTIONS
def test_rf1_25_acts_the_same_on_the_referral(version: str) -> None:
    trial = Trial()
    for code in ("U", "D"):
        assert errors(trial.send(refers(code, VISIT, version=version, control_id=f"N{code}"))) == [("204", "RF1-6")]
    trial.send(refers("A", VISIT, priority="S", event="I12", version=version))
    assert trial.document("?R1@FRONT:NORTH")["referral"] == {"originating_id": "R1", "priority": "S"}
    assert errors(trial.send(refers("A", VISIT, event="I12", version=version, control_id="C2"))) == [("205", "RF1-6")]
    trial.send(refers("U", THERAPY, version=version, control_id="C3"))
    document = trial.document("?R1@FRONT:NORTH")
    assert document["referral"]["priority"] == "S"
    assert [line["procedure"]["code"] for line in document["lines"]] == ["97110"]
    trial.send(refers("D", version=version, control_id="C4"))
    assert trial.statuses("?R1@FRONT:NORTH") == ["cancelled"]


@pytest.mark.parametrize("version", ["2.8", "2.9"])
def test_an_unknown_code_in_rf1_25_is_103(version: str) -> None:
    for on in ("reject", "accept"):
        outcome = Trial(channel(errors=on)).send(refers("Q", VISIT, version=version))
        assert ("103", "RF1-25") in errors(outcome)


@WITH_ACTIONS
def test_a_u_in_the_message_level_aut_acts_on_the_whole(version: str) -> None:
    trial = one(version)
    trial.send(say(VISIT, top=acting("U", "PA2", {3: "Acme", 14: "DE"}), version=version))
    document = trial.document("PA2@ACME")
    assert (document["payor_name"], document["status"], document["expiration_date"]) == ("Acme", "denied", "2026-09-30")
    assert [status for _, status, _ in lines(trial, "PA2@ACME")] == ["approved", "approved"]


@WITH_ACTIONS
def test_a_request_about_a_whole_decision_is_kept_beside_it(version: str) -> None:
    trial = one(version)
    trial.send(request(VISIT, top=acting("U", "PA2", {8: "9"}), event="I09", version=version, referral="R1"))
    beside = trial.document("?R1@FRONT:NORTH")
    assert (beside["actions"], beside["requested_treatments"]) == ({"PA2@ACME": "U"}, {"quantity": "9"})
    trial.send(answer(VISIT, acting("U", "PA2", {9: "9"}), version=version, referral="R1", to="X7", control_id="A8"))
    assert trial.statuses("?R1@FRONT:NORTH") == ["approved"]


@WITH_ACTIONS
def test_a_cancellation_with_a_d_closes_the_request_that_still_waits(version: str) -> None:
    trial = one(version)
    trial.send(request(THERAPY, aut({8: "3", 13: "SPEC"}), referral="R1", version=version))
    raw = request(top=acting("D", "PA2"), referral="R1", event="I11", version=version, control_id="C2")
    trial.send(raw)
    assert trial.statuses("PA2@ACME", "?R1@FRONT:NORTH") == ["cancelled", "cancelled"]


@WITH_ACTIONS
def test_what_its_requester_cancelled_no_code_of_a_late_answer_brings_back(version: str) -> None:
    trial = one(version)
    trial.send(request(top=acting("", "PA1"), event="I11", version=version))
    outcome = trial.send(say(VISIT, given("PA1", {29: "A"}), version=version))
    assert changes(outcome) == []
    assert "answer.late" in rules(outcome)


@WITH_ACTIONS
def test_p41_a_snapshot_beside_an_action_replaces_its_own_place_alone(version: str) -> None:
    trial = one(version, Trial(channel(action=Action(mixed="act"))))
    trial.send(say(VISIT, acting("D"), THERAPY, aut({6: "PA2", 9: "1", 13: "SPEC"}), version=version))
    assert lines(trial, "PA2@ACME") == [("99213", "approved", "2"), ("97110", "approved", "1")]
    assert "effective_date" not in trial.document("PA2@ACME")["lines"][1]
