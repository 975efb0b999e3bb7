"""Requests that another system answers: what it is sent, what its answer brings back, and what is told meanwhile."""

from typing import Any

import pytest

from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Disposition, Outcome, decide
from hl7auth.flow.destination import Destination
from hl7auth.flow.intake import plan
from hl7auth.flow.outbox import Kind, deliveries
from hl7auth.flow.relay import Hold, Returned
from hl7auth.flow.replies import Replies
from hl7auth.flow.trial import TRIAL_TIME
from hl7auth.wire.message import parse
from tests.messages import VISIT, Trial, answer, aut, channel, granted, message, request, texts

ASKED = aut({8: "3"})
SECOND = 1_000_000
DESTINATIONS = {
    name: Destination.model_validate({"mllp": {"connect": "tcp:127.0.0.1:1"}}) for name in ("payer", "ehr", "denials")
}


def on(**replies: Any) -> Channel:
    forward = {"to": "payer"} | replies.pop("forward", {})
    words = {"answer": "forward", "forward": forward} | replies
    return channel(replies=Replies.model_validate(words), destinations=DESTINATIONS)


class Relay(Trial):
    """A trial whose answers come back on the connection to the payor, at a time of the test's choosing."""

    def bring(self, raw: bytes, seconds: float = 1) -> Outcome:
        planned = plan(raw, self.channel.for_answers(), TRIAL_TIME + int(seconds * SECOND), self.new_id)
        outcome = decide(planned, self.memory)
        self.memory.apply(outcome)
        return outcome


def forwarded(outcome: Outcome) -> bytes:
    """What the payor is sent."""
    file = outcome.plan.channel.file
    found = deliveries(outcome, file.destinations, file.routes, file.order_by)
    (body,) = [each.body for each in found if each.kind is Kind.FORWARD]
    assert body is not None
    return body


def returned(outcome: Outcome) -> Returned:
    assert outcome.relay is not None
    assert outcome.relay.returned is not None
    return outcome.relay.returned


def head(raw: bytes | None) -> tuple[str, str, str, str, str, str]:
    """Type, MSH-10, MSH-15 and 16, MSA-1 and 2."""
    assert raw is not None
    read = parse(raw)
    kind, msa = read.header, read.all("MSA")[0]
    modes = (kind.accept_acknowledgment, kind.application_acknowledgment)
    return (kind.message_type, kind.control_id, *modes, msa.value(1), msa.value(2))


@pytest.mark.parametrize(("mode", "modes"), [("original", ("", "")), ("enhanced", ("AL", "AL"))])
@pytest.mark.parametrize("asked", [("", ""), ("AL", "AL"), ("NE", "NE"), ("ER", "SU")])
def test_the_payor_sees_our_control_id_and_how_we_ask_and_else_every_byte(
    mode: str, modes: tuple[str, str], asked: tuple[str, str]
) -> None:
    raw = request(VISIT, ASKED, modes=asked)
    outcome = Relay(on(forward={"mode": mode})).send(raw)
    first, _, rest = forwarded(outcome).partition(b"\r")
    wanted = request(VISIT, ASKED, modes=modes, control_id=str(outcome.plan.message_id))
    assert first.rstrip(b"|") == wanted.partition(b"\r")[0]
    assert rest == raw.partition(b"\r")[2]
    assert (outcome.disposition, outcome.code) == (Disposition.ACCEPTED, "CA")


def test_nothing_positive_is_said_before_the_payor_has_answered() -> None:
    for modes, told in ((("", ""), []), (("NE", "AL"), []), (("AL", "AL"), ["CA"]), (("ER", "AL"), [])):
        outcome = Relay(on()).send(request(VISIT, ASKED, modes=modes))
        assert [lines[1].split("|")[1] for lines in texts(outcome)] == told
    trial = Relay(on())
    trial.send(request(VISIT, ASKED, referral="R1"))
    assert trial.statuses("?R1@FRONT:NORTH") == ["requested"]


@pytest.mark.parametrize(("modes", "back"), [(("", ""), ("", "")), (("AL", "AL"), ("NE", "NE"))])
def test_the_requester_sees_its_own_control_id_and_the_store_the_decision(
    modes: tuple[str, str], back: tuple[str, str]
) -> None:
    trial = Relay(on())
    asked = trial.send(request(VISIT, ASKED, modes=modes, control_id="EHR-7"))
    raw = answer(VISIT, granted("PA1"), to=str(asked.plan.message_id), control_id="P-1")
    outcome = trial.bring(raw)
    found = returned(outcome)
    assert head(found.reply) == ("RPA", outcome.plan.reply_ids[1], *back, "AA", "EHR-7")
    assert (found.state, found.owed, found.message_id) == ("answered", True, asked.plan.message_id)
    assert found.reply is not None
    assert found.reply.split(b"\r")[2:] == raw.split(b"\r")[2:]
    assert trial.statuses("PA1@ACME", "?#EHR-7@FRONT:NORTH") == ["approved", "approved"]


def test_an_answer_that_does_not_mirror_the_parties_is_correlated_all_the_same() -> None:
    trial = Relay(on())
    asked = trial.send(request(VISIT, ASKED, referral="R1"))
    raw = answer(VISIT, granted("PA1"), to=str(asked.plan.message_id), sender="CORE|X", receiver="HUB|Y", referral="R1")
    assert returned(trial.bring(raw)).state == "answered"
    assert trial.statuses("PA1@ACME", "?R1@FRONT:NORTH") == ["approved", "approved"]


@pytest.mark.parametrize("code", ["AE", "AR", "CE", "CR"])
def test_a_refusal_of_the_payor_comes_back_with_its_reasons(code: str) -> None:
    trial = Relay(on())
    asked = trial.send(request(VISIT, ASKED))
    nak = message(f"MSA|{code}|{asked.plan.message_id}", "ERR|||101^Required^HL70357|E", kind="ACK", control_id="N1")
    outcome = trial.bring(nak)
    found = returned(outcome)
    assert outcome.disposition is Disposition.IGNORED
    assert (found.state, head(found.reply)[4:]) == ("refused", (f"A{code[1]}", "C1"))
    assert found.reply is not None
    assert b"ERR|||101^Required^HL70357|E" in found.reply
    assert outcome.changes == ()


@pytest.mark.parametrize("raw", [("ACK", "AA"), ("ACK", "CA"), ("RPA", "CA")])
def test_a_receipt_is_no_answer(raw: tuple[str, str]) -> None:
    kind, code = raw
    trial = Relay(on())
    asked = trial.send(request(VISIT, ASKED))
    body = answer(VISIT, granted("PA1"), code=code, to=str(asked.plan.message_id), kind=kind)
    assert trial.bring(body).relay is None
    good = trial.bring(answer(VISIT, granted("PA1"), to=str(asked.plan.message_id), control_id="D2"))
    assert returned(good).state == "answered"


def test_an_answer_that_breaks_the_profile_is_not_passed_on() -> None:
    trial = Relay(on())
    asked = trial.send(request(VISIT, ASKED))
    wrong = trial.bring(answer(VISIT, aut({2: "", 6: "PA1"}), to=str(asked.plan.message_id)))
    assert wrong.disposition is Disposition.REFUSED
    found = returned(wrong)
    assert (found.state, head(found.reply)[4:]) == ("failed", ("AR", "C1"))
    assert trial.statuses("PA1@ACME") == ["-"]


def test_the_same_answer_twice_is_brought_back_once_and_another_again() -> None:
    trial = Relay(on())
    number = str(trial.send(request(VISIT, ASKED)).plan.message_id)
    pended = answer(VISIT, aut(number="PA1"), to=number)
    assert returned(trial.bring(pended)).state == "answered"
    assert trial.bring(pended).disposition is Disposition.DUPLICATE
    renumbered = trial.bring(answer(VISIT, aut(number="PA1"), to=number, control_id="D9"))
    assert (renumbered.disposition, renumbered.relay) == (Disposition.ACCEPTED, None)
    final = trial.bring(answer(VISIT, granted("PA1"), to=number, control_id="D10"))
    assert returned(final).state == "answered"


#: MSH-16 of the request: is a grant, and is a refusal, told to its sender?
@pytest.mark.parametrize(("wanted", "granting", "refusing"), [("AL", 1, 1), ("SU", 1, 0), ("ER", 0, 1), ("NE", 0, 0)])
def test_nobody_is_told_what_was_not_asked_for(wanted: str, granting: int, refusing: int) -> None:
    for code, told in (("AA", granting), ("AE", refusing)):
        trial = Relay(on())
        asked = trial.send(request(VISIT, ASKED, modes=("AL", wanted)))
        number = str(asked.plan.message_id)
        raw = answer(VISIT, granted("PA1"), to=number)
        outcome = trial.bring(raw if code == "AA" else message(f"MSA|AE|{number}", kind="ACK", control_id="N1"))
        assert (returned(outcome).reply is not None) == bool(told)
        assert trial.statuses("PA1@ACME") == (["approved"] if code == "AA" else ["-"])


def test_what_is_late_goes_by_its_way_as_an_exchange_of_its_own() -> None:
    trial = Relay(on(to="ehr", forward={"within_seconds": 5}))
    asked = trial.send(request(VISIT, ASKED))
    assert asked.relay is not None
    assert asked.relay.hold == Hold(asked.plan.message_id, 5, True)
    found = returned(trial.bring(answer(VISIT, granted("PA1"), to=str(asked.plan.message_id)), seconds=8))
    assert not found.owed
    assert found.deferred is not None
    assert found.deferred.destination == "referral-intake/ehr"
    assert head(found.deferred.raw)[0] == "RPA"
    assert head(found.deferred.raw)[2:] == ("AL", "NE", "AA", "C1")


def test_the_way_of_an_answer_may_be_that_of_its_status() -> None:
    rules = [{"status": ["denied"], "to": "denials"}]
    for units, where in (("0", "denials"), ("2", "ehr")):
        trial = Relay(on(to="ehr", rules=rules, forward={"within_seconds": 0}))
        asked = trial.send(request(VISIT, ASKED))
        raw = answer(VISIT, granted("PA1", {9: units}), to=str(asked.plan.message_id))
        found = returned(trial.bring(raw))
        assert found.deferred is not None
        assert found.deferred.destination == f"referral-intake/{where}"


def test_what_is_late_by_a_moment_still_belongs_to_the_connection() -> None:
    trial = Relay(on(to="ehr", forward={"within_seconds": 5}))
    asked = trial.send(request(VISIT, ASKED))
    found = returned(trial.bring(answer(VISIT, granted("PA1"), to=str(asked.plan.message_id)), seconds=6))
    assert (found.owed, found.deferred) == (True, None)


#: late, replies to, modes of the request: what is told on the connection
LATE = """
    refuse  connection  -   -   | ACK AR
    refuse  connection  AL  AL  | ACK AR
    refuse  connection  AL  SU  |
    refuse  ehr         -   -   | ACK AR
    refuse  ehr         AL  AL  |
    pended  connection  -   -   | RPA AA
    pended  ehr         -   -   | RPA AA
    pended  ehr         AL  AL  | RPA AA
    pended  ehr         AL  ER  |
    silent  ehr         -   -   |
"""


@pytest.mark.parametrize("row", LATE.strip().splitlines(), ids=lambda row: " ".join(row.split()[:4]))
def test_what_is_told_when_the_payor_takes_too_long(row: str) -> None:
    left, _, told = row.partition("|")
    late, to, *modes = left.split()
    asked = tuple(mode.replace("-", "") for mode in modes)
    outcome = Relay(on(to=to, forward={"late": late})).send(request(VISIT, ASKED, modes=(asked[0], asked[1])))
    assert outcome.relay is not None
    assert outcome.relay.forward is not None
    words = outcome.relay.forward.late
    assert (f"{head(words)[0]} {head(words)[4]}" if words else "") == told.strip()
    if words and told.strip() == "RPA AA":
        assert b"MSA|AA|C1|pended" in words


def test_nobody_is_told_that_something_pends_which_is_decided() -> None:
    trial = Relay(on(to="ehr", forward={"late": "pended"}))
    trial.bring(answer(VISIT, granted("PA1")))
    outcome = trial.send(request(VISIT, aut({6: "PA1", 8: "3"}), event="I09", control_id="C2"))
    assert outcome.relay is not None
    assert outcome.relay.forward is not None
    assert head(outcome.relay.forward.late)[4:] == ("AR", "C2")


def test_what_comes_again_waits_for_the_same_answer_and_then_gets_it() -> None:
    trial = Relay(on())
    raw = request(VISIT, ASKED, modes=("AL", "AL"))
    asked = trial.send(raw)
    again = trial.send(raw)
    assert again.disposition is Disposition.DUPLICATE
    assert [lines[1].split("|")[1] for lines in texts(again)] == ["CA"]
    assert again.relay is not None
    assert again.relay.hold == Hold(asked.plan.message_id, 20, False)
    assert deliveries(again, DESTINATIONS, (), "none") == []


def test_what_was_given_up_is_forwarded_again_when_it_comes_again() -> None:
    trial = Relay(on())
    raw = request(VISIT, ASKED)
    asked = trial.send(raw)
    trial.bring(answer(VISIT, aut({2: "", 6: "PA1"}), to=str(asked.plan.message_id)))
    again = trial.send(raw)
    assert again.relay is not None
    assert again.relay.again == asked.plan.message_id
    good = trial.bring(answer(VISIT, granted("PA1"), to=str(asked.plan.message_id), control_id="D2"))
    assert returned(good).state == "answered"


def test_an_answer_to_nothing_of_ours_is_an_answer_like_any_other() -> None:
    trial = Relay(on())
    trial.send(request(VISIT, ASKED))
    outcome = trial.bring(answer(VISIT, granted("PA1"), to="99999"))
    assert (outcome.disposition, outcome.relay) == (Disposition.ACCEPTED, None)
    assert trial.statuses("?#C1@FRONT:NORTH") == ["requested"]
