"""What requests change, versions, and what no sequence of messages can break."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hl7auth.domain.intent import Record
from hl7auth.domain.status import UNDECIDED
from hl7auth.flow.decision import Disposition
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
)


def test_a_request_without_a_number_waits_under_its_control_id() -> None:
    trial = Trial()
    assert changes(trial.send(request(VISIT, ASKED))) == [("?#C1@FRONT:NORTH", 1, "pended", "request")]
    record = trial.memory.record("?#C1@FRONT:NORTH")
    assert record is not None
    assert (record.is_request, record.is_open, record.control_id, record.requester.scope) == (
        True,
        True,
        "C1",
        "FRONT:NORTH",
    )
    assert (record.document["key"], record.document["status"]) == ("C1@FRONT:NORTH", "pended")
    assert record.document["requested_treatments"] == {"quantity": "3"}


def test_a_request_in_a_referral_waits_under_the_referral() -> None:
    trial = Trial()
    assert changes(trial.send(request(VISIT, referral="R1"))) == [("?R1@FRONT:NORTH", 1, "pended", "request")]
    assert changes(trial.send(request(VISIT, referral="R1^HILL"))) == [("?R1@HILL", 1, "pended", "request")]


@pytest.mark.parametrize(
    ("modes", "status"),
    [(("", ""), "pended"), (("AL", "NE"), "requested"), (("AL", ""), "requested"), (("NE", "ER"), "requested"),
     (("AL", "AL"), "pended"), (("NE", "SU"), "pended")],
)  # fmt: skip
def test_a_request_is_pended_once_its_sender_has_been_told_to_wait(modes: tuple[str, str], status: str) -> None:
    assert changes(Trial().send(request(VISIT, modes=modes))) == [("?#C1@FRONT:NORTH", 1, status, "request")]


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
    assert changes(trial.send(more)) == [("?#C2@FRONT:NORTH", 1, "pended", "request")]
    assert trial.document("PA1@ACME")["authorized_treatments"] == {"quantity": "2"}
    assert trial.document("?#C2@FRONT:NORTH")["concerns"] == ["PA1@ACME"]
    assert trial.document("?#C2@FRONT:NORTH")["requested_treatments"] == {"quantity": "9"}


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
    assert changes(trial.send(raw)) == [
        ("PA2@ACME", 1, "pended", "request"),
        ("?R1@FRONT:NORTH", 1, "pended", "request"),
    ]
    waiting = trial.document("?R1@FRONT:NORTH")
    assert waiting["concerns"] == ["PA1@ACME"]
    assert [line["procedure"]["code"] for line in waiting["lines"]] == ["73721", "99213"]


def test_a_request_without_any_aut_or_procedure_waits_too() -> None:
    assert changes(Trial().send(request(referral="R1"))) == [("?R1@FRONT:NORTH", 1, "pended", "request")]


def test_a_request_that_asks_for_another_thing_is_the_next_version_of_the_referrals() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1"))
    later = request(THERAPY, ASKED, referral="R1", event="I09", control_id="C2")
    assert changes(trial.send(later)) == [("?R1@FRONT:NORTH", 2, "pended", "request")]


def test_a_referral_may_carry_what_was_granted_before() -> None:
    trial = Trial()
    raw = request(VISIT, granted("PA1"), THERAPY, aut(number="PA2"), kind="REF", event="I12", referral="R1")
    assert changes(trial.send(raw)) == [("PA1@ACME", 1, "approved", "request"), ("PA2@ACME", 1, "pended", "request")]
    other = request(VISIT, granted("PA1", {9: "0"}), kind="REF", event="I13", referral="R1", control_id="C2")
    assert changes(trial.send(other)) == [("?R1@FRONT:NORTH", 1, "pended", "request")]
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
        ("?R1@FRONT:NORTH", 2, "approved", "answer"),
    ]


def test_two_requests_of_one_sender_are_never_taken_for_one() -> None:
    trial = Trial()
    trial.send(request(VISIT, referral="100", control_id="C1"))
    trial.send(request(THERAPY, control_id="100"))  # another one, without a referral
    waiting = [change for key in ("C1", "100") for change in trial.memory.asked_by(key)]
    assert len({record.key for record in waiting}) == 2
    assert [record.version for record in waiting] == [1, 1]


# --- versions ---------------------------------------------------------------------------------------------------------


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
