"""A message that steps shaped before it is judged: who is answered how, and what is kept of it."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from hl7auth.domain.intent import Change
from hl7auth.flow.channel import Channel, load_channel
from hl7auth.flow.decision import Disposition, Outcome, decide
from hl7auth.flow.intake import plan
from hl7auth.flow.shaping import MOST_REMARKS, shape_frame
from hl7auth.flow.trial import TRIAL_TIME, Memory, try_out
from hl7auth.steps.calls import Entries, PythonCall
from hl7auth.steps.faults import StepFailed
from hl7auth.steps.run import Shaped
from tests.engine import answer, message, msh, request

TAKEN = "the message was taken and filtered out: this channel does nothing with it"


def channel(folder: Path, steps: str, more: str = "") -> Channel:
    path = folder / "north.yaml"
    path.write_text(f"channel: north\nlisten: tcp:0\n{more}steps:\n{steps}\n", encoding="utf-8")
    return load_channel(path)


def taken(folder: Path, steps: str, *messages: bytes, more: str = "") -> list[Outcome]:
    return try_out(messages, channel(folder, steps, more))


def reply(outcome: Outcome) -> list[list[str]]:
    (found,) = outcome.replies
    return [segment.split("|") for segment in found.decode().rstrip("\r").split("\r")]


def rules(outcome: Outcome) -> list[tuple[str, str, str]]:
    return [(each.rule, each.severity, each.path) for each in outcome.findings if each.rule.startswith("steps")]


def test_what_is_judged_and_stored_is_what_the_steps_made(tmp_path: Path) -> None:
    (outcome,) = taken(tmp_path, "- set: {AUT-2.1: NOVA}", request("C1", number="N1"))
    assert outcome.disposition is Disposition.ACCEPTED
    assert [change.record.key for change in outcome.changes if isinstance(change, Change)] == ["N1@NOVA"]
    assert outcome.plan.raw == request("C1", number="N1")
    shaping = outcome.plan.shaping
    assert shaping is not None
    assert shaping.raw == request("C1", number="N1").replace(b"|ACME|", b"|NOVA|")
    assert "NOVA" in "".join(reply(outcome)[-1])


def test_what_steps_leave_alone_is_kept_once(tmp_path: Path) -> None:
    (outcome,) = taken(tmp_path, "- set: {ZZZ-2: NOVA}", request())
    assert outcome.plan.shaping is not None
    assert outcome.plan.shaping.raw is None
    assert rules(outcome) == [("steps.1", "information", "")]


def test_the_sender_is_answered_in_its_own_terms(tmp_path: Path) -> None:
    steps = (
        "- set: {MSH-3: {text: OTHER}, MSH-5: {text: ELSE}, MSH-10: X1}\n"
        "- set: {MSH-11: P}\n- version: '2.5.1'\n- charset: UNICODE UTF-8"
    )
    raw = request("C1").replace(b"|P|2.5", b"|T|2.5").replace(b"Quill", b"Qu\xecll")
    (outcome,) = taken(tmp_path, steps, raw)
    assert outcome.disposition is Disposition.ACCEPTED
    head, ack = reply(Outcome(*outcome)._replace(reply=outcome.replies[0].replace(b"\xec", b"i")))[:2]
    assert head[2:6] == ["PAYER", "SOUTH", "EHR", "NORTH"]
    assert (head[10], head[11], ack[2]) == ("T", "2.5", "C1")
    assert len(head) <= 17, "the sender named no character set"
    assert b"Qu\xecll" in outcome.replies[0]
    assert (outcome.plan.header.control_id, outcome.plan.header.sending_application) == ("C1", "EHR")


def test_an_unknown_version_is_mended_and_answered_in_one_that_is_known(tmp_path: Path) -> None:
    (outcome,) = taken(tmp_path, "- version: '2.5'", request("C1").replace(b"|P|2.5", b"|P|2.5X"))
    assert outcome.disposition is Disposition.ACCEPTED
    assert reply(outcome)[0][11] == "2.5"


def test_the_same_message_again_is_known_by_what_came(tmp_path: Path) -> None:
    north, count = channel(tmp_path, "- python: site:stamp"), itertools.count(1)

    def runner(_: PythonCall, lines: Any) -> Entries:
        return [*range(len(lines)), f"ZTS|{next(count)}"]

    first, again = try_out([request("C1"), request("C1")], north, runner)
    assert (first.disposition, again.disposition) == (Disposition.ACCEPTED, Disposition.DUPLICATE)
    assert again.replies == first.replies


@pytest.mark.parametrize(
    ("raw", "code", "remark"),
    [
        (request("C1"), ["MSA", "AA", "C1", TAKEN], []),
        (request("C1").replace(b"|P|2.5", b"|P|2.8"), ["MSA", "AA", "C1"], ["I"]),
        (request("C1", modes=("AL", "NE")), ["MSA", "CA", "C1", TAKEN], []),
        (request("C1", modes=("NE", "SU")), ["MSA", "AA", "C1", TAKEN], []),
    ],
)
def test_who_sent_what_is_dropped_is_told_that_it_came(
    tmp_path: Path, raw: bytes, code: list[str], remark: list[str]
) -> None:
    (outcome,) = taken(tmp_path, "- drop: MSH-9.1 = 'RQA'", raw)
    assert (outcome.disposition, outcome.code, outcome.changes) == (Disposition.FILTERED, "AA", ())
    found = reply(outcome)
    assert found[0][8].startswith("ACK^I08")
    assert found[1] == code
    assert [each[4] for each in found[2:]] == remark
    assert rules(outcome) == [("steps.1", "information", "")]
    assert outcome.findings[0].text == "drop: dropped: MSH-9.1 = 'RQA'"


def test_what_no_reply_is_owed_gets_none_when_it_is_dropped(tmp_path: Path) -> None:
    steps = "- drop: PID present"
    asked = (answer("C1", "X"), request("C2", modes=("NE", "NE")), answer("C3", "X", modes=("NE", "AL")))
    assert [each.replies for each in taken(tmp_path, steps, *asked)] == [[], [], []]
    (commit,) = taken(tmp_path, steps, answer("C4", "X", modes=("AL", "NE")))
    assert reply(commit)[1][:3] == ["MSA", "CA", "C4"]


def test_a_filter_sees_what_the_channel_would_not_accept(tmp_path: Path) -> None:
    raw = message(msh("ADT", "A01", version="2.5"), "PID|||77001||Quill^Ivo")
    (outcome,) = taken(tmp_path, "- match: MSH-9.1 = 'RQA'", raw)
    assert (outcome.disposition, outcome.code) == (Disposition.FILTERED, "AA")
    (outcome,) = taken(tmp_path, "- drop: MSH-9.1 = 'SIU'", raw)
    assert (outcome.disposition, outcome.code) == (Disposition.REFUSED, "AR")


def test_a_filter_does_not_count_as_used_for_its_control_id(tmp_path: Path) -> None:
    steps, strict = "- drop: PID-8 = 'U'", "duplicates: strict\n"
    dropped = request("C1").replace(b"19800102", b"19800102|U")
    found = taken(tmp_path, steps, dropped, dropped, request("C1"), more=strict)
    assert [str(each.disposition) for each in found] == ["filtered", "filtered", "accepted"]


@pytest.mark.parametrize(
    ("steps", "code", "rule", "place"),
    [
        ("- translate: {field: AUT-2, table: {A: B}, unmapped: refuse}", "103", "steps.refused", "AUT^1^2^1^1"),
        ("- python: site:tidy", "207", "steps.failed", ""),
    ],
)
def test_a_step_that_fails_refuses_the_message(tmp_path: Path, steps: str, code: str, rule: str, place: str) -> None:
    (outcome,) = taken(tmp_path, steps, request("C1"))
    assert (outcome.disposition, outcome.code, outcome.changes) == (Disposition.REFUSED, "AE", ())
    _, ack, err = reply(outcome)
    assert ack[1:3] == ["AE", "C1"]
    assert (err[2], err[3].split("^")[0], err[4]) == (place, code, "E")
    assert err[8].startswith("the message could not be prepared: ")
    assert [(each[0], each[1]) for each in rules(outcome)] == [(rule, "error")]


def test_what_a_step_makes_must_be_a_message(tmp_path: Path) -> None:
    (outcome,) = taken(tmp_path, "- set: {MSH-18: NONSENSE}", request("C1"))
    assert (outcome.disposition, outcome.code) == (Disposition.REFUSED, "AE")
    assert "is no message" in reply(outcome)[2][8]


def test_values_that_a_table_lacks_are_found(tmp_path: Path) -> None:
    (outcome,) = taken(tmp_path, "- translate: {field: AUT-2, table: {A: B}}", request("C1"))
    assert outcome.disposition is Disposition.ACCEPTED
    assert rules(outcome) == [("steps.unmapped", "warning", "AUT-2.1")]
    assert outcome.plan.shaping is not None
    assert outcome.plan.shaping.unmapped == (("(in step 1)", "AUT-2.1", "ACME"),)


def test_what_steps_have_to_say_is_bounded(tmp_path: Path) -> None:
    auts = "".join(f"AUT||X{at}\r" for at in range(MOST_REMARKS * 3)).encode()
    (outcome,) = taken(tmp_path, "- translate: {field: AUT-2, table: {A: B}}", request("C1") + auts)
    assert len(rules(outcome)) == MOST_REMARKS


def test_an_acknowledgement_is_never_shaped(tmp_path: Path) -> None:
    raw = message(msh("ACK", "I08"), "MSA|AA|X")
    (outcome,) = taken(tmp_path, "- drop: MSH-9.1 = 'ACK'", raw)
    assert (outcome.disposition, outcome.replies) == (Disposition.IGNORED, [])


def test_what_asks_for_replies_may_be_mended(tmp_path: Path) -> None:
    (outcome,) = taken(tmp_path, "- set: {MSH-15: NE, MSH-16: NE}", request("C1"))
    assert (outcome.disposition, outcome.replies) == (Disposition.ACCEPTED, [])


def test_a_frame_that_holds_no_message_is_left_to_the_plan(tmp_path: Path) -> None:
    north = channel(tmp_path, "- python: site:tidy")
    assert shape_frame(b"PID|1\r", north, None) is None
    planned = plan(b"PID|1\r", north, TRIAL_TIME, itertools.count(1).__next__)
    assert decide(planned, Memory()).code == "AR"


def test_what_was_shaped_elsewhere_is_taken_as_it_is(tmp_path: Path) -> None:
    north, ids = channel(tmp_path, "- python: site:tidy"), itertools.count(1).__next__
    made = Shaped(request("C1").replace(b"|ACME|", b"|NOVA|"))
    planned = plan(request("C1"), north, TRIAL_TIME, ids, shaped=made)
    assert planned.message is not None
    assert planned.message.raw == made.raw
    planned = plan(request("C1"), north, TRIAL_TIME, ids, shaped=Shaped(b"", fault=StepFailed("no")))
    assert planned.refusal is not None
    assert planned.raw == request("C1")
