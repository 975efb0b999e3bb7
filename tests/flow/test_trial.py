"""Trying messages out: one sees what those before it did, and twice the same looks the same."""

from hl7auth.flow.decision import Disposition
from hl7auth.flow.trial import TRIAL_TIME, try_out
from tests.messages import VISIT, Trial, answer, aut, channel, granted, message, request, shipped_channel

MESSAGES = [
    request(VISIT, aut({8: "3"}), referral="R1"),
    b"nothing",
    answer(VISIT, granted("PA1"), referral="R1"),
    request(VISIT, aut({8: "3"}), referral="R1"),
    request(event="I11", referral="R1", control_id="C2"),
    message("MSA|AA|7", kind="ACK"),
]


def test_each_message_sees_the_effects_of_those_before() -> None:
    outcomes = try_out(MESSAGES, shipped_channel())
    assert [outcome.disposition for outcome in outcomes] == [
        "accepted", "refused", "accepted", "duplicate", "accepted", "ignored"
    ]  # fmt: skip
    written = [[change.record.key for change in outcome.changes] for outcome in outcomes]
    assert written == [
        ["?R1@FRONT:NORTH"],
        [],
        ["PA1@ACME", "?R1@FRONT:NORTH"],
        [],
        ["?R1@FRONT:NORTH", "PA1@ACME"],
        [],
    ]


def test_the_same_trial_twice_gives_the_same_outcomes() -> None:
    first, second = try_out(MESSAGES, shipped_channel()), try_out(MESSAGES, shipped_channel())
    assert [outcome.replies for outcome in first] == [outcome.replies for outcome in second]
    assert [outcome.changes for outcome in first] == [outcome.changes for outcome in second]
    assert all(outcome.plan.received_at == TRIAL_TIME for outcome in first)
    assert try_out([], shipped_channel()) == []


def test_ids_never_repeat_within_a_trial() -> None:
    outcomes = try_out(MESSAGES, shipped_channel())
    ids = [str(outcome.plan.message_id) for outcome in outcomes] + [
        each for outcome in outcomes for each in outcome.plan.reply_ids
    ]
    assert len(set(ids)) == len(ids)


def test_a_refused_message_leaves_nothing_behind() -> None:
    trial = Trial(channel(duplicates="strict"))
    refused = trial.send(request(VISIT, aut({2: "", 8: "3"})))
    assert refused.disposition is Disposition.REFUSED
    assert not trial.memory.control_id_used(refused.plan)
    assert trial.memory.same_message("C1", refused.plan.digest) is None
    assert trial.send(request(VISIT, aut({8: "3"}))).disposition is Disposition.ACCEPTED


def test_what_the_memory_knows() -> None:
    trial = Trial()
    trial.send(request(VISIT, referral="R1"), answer(VISIT, granted("PA1"), referral="R1"))
    assert [record.key for record in trial.memory.in_referral("R1@FRONT:NORTH")] == ["PA1@ACME"]
    assert trial.memory.in_referral("R2@FRONT:NORTH") == []
    assert [record.key for record in trial.memory.asked_by("C1")] == ["?R1@FRONT:NORTH"]
    assert trial.memory.asked_by("D1") == []
    assert trial.memory.record("PA2@ACME") is None
