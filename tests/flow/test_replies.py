"""Who answers and where the answer goes: rules, modes, deferred answers, and what a duplicate gets."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hl7auth.errors import ConfigError
from hl7auth.flow.channel import Channel, load_channels
from hl7auth.flow.decision import Disposition, Outcome
from hl7auth.flow.destination import Destination
from hl7auth.flow.handshake import ORIGINAL, Handshake
from hl7auth.flow.outbox import Delivery, Kind, deliveries
from hl7auth.flow.replies import Replies, choose
from hl7auth.wire.message import parse
from tests.messages import VISIT, Trial, answer, aut, channel, granted, message, parsed, request, texts

ASKED = aut({8: "3"})
DESTINATIONS = {
    "ehr": Destination.model_validate({"mllp": {"connect": "tcp:127.0.0.1:1"}, "order_by": "patient"}),
    "desk": Destination.model_validate({"mllp": {"connect": "tcp:127.0.0.1:2"}}),
}


def on(**replies: Any) -> Channel:
    return channel(replies=Replies.model_validate(replies), destinations=DESTINATIONS)


def everything(outcome: Outcome) -> list[Delivery]:
    file = outcome.plan.channel.file
    return deliveries(outcome, file.destinations, file.routes, file.order_by)


def sent(outcome: Outcome) -> list[Delivery]:
    """The answers that go elsewhere."""
    return [each for each in everything(outcome) if each.kind]


def heads(raws: list[bytes]) -> list[str]:
    """`ACK CA`, or `RPA AA AL/NE` with MSH-15 and MSH-16 where they are valued."""
    found = []
    for raw in raws:
        header, msa = parse(raw).header, parse(raw).all("MSA")[0]
        modes = f" {header.accept_acknowledgment}/{header.application_acknowledgment}"
        found.append(f"{header.message_type} {msa.value(1)}{modes if modes != ' /' else ''}")
    return found


# --- who answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ({}, True),
        ({"sender": ["FRONT", "REAR"]}, True),
        ({"sender": ["REAR"]}, False),
        ({"facility": ["NORTH"]}, True),
        ({"facility": ["SOUTH"]}, False),
        ({"events": ["RQA^I08"]}, True),
        ({"events": ["RQA"]}, True),
        ({"events": ["RQA^I09", "REF"]}, False),
        ({"payor": ["ACME"]}, True),
        ({"payor": ["OTHER"]}, False),
        ({"status": ["requested"]}, True),
        ({"status": ["pended", "denied"]}, True),
        ({"status": ["approved"]}, False),
        ({"when": "PID-3.1 = '77001'"}, True),
        ({"when": "PID-3.1 = '1'"}, False),
        ({"sender": ["FRONT"], "payor": ["OTHER"]}, False),
    ],
)
def test_a_rule_takes_what_fits_all_that_it_says(rule: dict[str, Any], fits: bool) -> None:
    outcome = Trial(on(rules=[rule | {"answer": "ack"}])).send(request(VISIT, ASKED))
    assert heads(outcome.replies) == (["ACK AA"] if fits else ["RPA AA"])


def test_the_first_rule_that_fits_decides() -> None:
    replies = Replies.model_validate(
        {"answer": "ack", "rules": [{"sender": ["FRONT"], "answer": "rpa"}, {"answer": "ack", "to": "ehr"}]}
    )
    read = parsed(request(VISIT, ASKED))
    assert choose(replies, read, "pended") == ("rpa", "connection", None)
    other = parsed(request(VISIT, ASKED, sender="REAR|NORTH"))
    assert choose(replies, other, "") == ("ack", "ehr", None)


def test_the_payor_of_a_message_without_auts_is_that_of_its_insurance() -> None:
    replies = Replies.model_validate({"rules": [{"payor": ["P7"], "answer": "ack"}]})
    read = parsed(message("PRD|RP|Moss^Ada", "PID|||77001", "IN1|1|GOLD|P7"))
    assert choose(replies, read, "").answer == "ack"


def test_what_the_store_has_decided_can_be_answered_otherwise() -> None:
    trial = Trial(on(answer="ack", rules=[{"status": ["approved"], "answer": "rpa"}]))
    first = trial.send(request(VISIT, ASKED, referral="R1"))
    trial.send(answer(VISIT, granted("PA1"), referral="R1"))
    later = trial.send(request(VISIT, aut(number="PA1"), referral="R1", event="I15", kind="REF", control_id="C2"))
    assert (heads(first.replies), heads(later.replies)) == (["ACK AA"], ["RRI AA"])


def test_who_gets_an_ack_is_not_told_that_it_pends() -> None:
    told, untold = Trial(), Trial(on(answer="ack"))
    for trial in (told, untold):
        trial.send(request(VISIT, ASKED, referral="R1"))
    assert (told.statuses("?R1@FRONT:NORTH"), untold.statuses("?R1@FRONT:NORTH")) == (["pended"], ["requested"])


# --- modes of sloppy senders --------------------------------------------------------------------------------------

MODES = ("", "AL", "NE", "ER", "SU", "2.3.1")


@pytest.mark.parametrize(
    ("word", "shake"),
    [
        ("original", ORIGINAL),
        ("enhanced", Handshake(True, "AL", "AL")),
        *[(f"{one}/{other}", Handshake(True, one, other)) for one, other in itertools.product(MODES[1:5], MODES[1:5])],
    ],
)
def test_a_channel_may_say_what_its_senders_want(word: str, shake: Handshake) -> None:
    replies = Replies.model_validate({"acknowledgments": word})
    for modes in itertools.product(MODES, MODES):
        assert replies.asked(parsed(message(modes=modes)).header) == shake


def test_as_asked_is_what_the_header_asks() -> None:
    replies = Replies()
    assert replies.asked(parsed(message()).header) is ORIGINAL
    assert replies.asked(parsed(message(modes=("NE", ""))).header) == Handshake(True, "NE", "NE")


def test_an_override_holds_for_refusals_and_answers_too() -> None:
    trial = Trial(on(acknowledgments="enhanced"))
    assert heads(trial.send(request(VISIT, ASKED)).replies) == ["ACK CA", "RPA AA NE/NE"]
    assert heads(trial.send(request(VISIT, aut({2: ""}), control_id="C2")).replies) == ["ACK CE"]
    assert heads(trial.send(answer(VISIT, granted("PA1"))).replies) == ["ACK CA"]
    assert trial.send(message("MSA|AA|C1", kind="ACK", control_id="A1")).replies == []
    original = Trial(on(acknowledgments="original"))
    assert heads(original.send(request(VISIT, ASKED, modes=("AL", "NE"))).replies) == ["RPA AA"]


@pytest.mark.parametrize("word", ["", "commit", "AL", "AL/XX", "AL/NE/AL"])
def test_other_words_for_modes_are_refused(word: str) -> None:
    with pytest.raises(ValidationError, match="as_asked, original, enhanced"):
        Replies.model_validate({"acknowledgments": word})


# --- where the answer goes ----------------------------------------------------------------------------------------


def test_in_enhanced_mode_the_receipt_goes_at_once_and_the_answer_is_an_exchange_of_its_own() -> None:
    outcome = Trial(on(to="ehr")).send(request(VISIT, ASKED, modes=("AL", "AL")))
    assert heads(outcome.replies) == ["ACK CA"]
    (delivery,) = sent(outcome)
    plan = outcome.plan
    assert delivery[:5] == (plan.message_id, "referral-intake/ehr", ("77001@NORTH",), plan.received_at + 1, Kind.REPLY)
    assert delivery.body is not None
    assert heads([delivery.body]) == ["RPA AA AL/NE"]
    header, msa = parse(delivery.body).header, parse(delivery.body).all("MSA")[0]
    assert (header.control_id, msa.value(2)) == (plan.reply_ids[1], "C1")


#: MSH-15, MSH-16: what comes on the connection, and at the destination, when all is well and when the content is wrong
AWAY = """
     -   -   | RPA AA |               | ACK AE |
     NE  AL  |        | RPA AA AL/NE  |        | ACK AE
     NE  SU  |        | RPA AA AL/NE  |        |
     NE  ER  |        |               |        | ACK AE
     NE  NE  |        |               |        |
     AL  NE  | ACK CA |               | ACK CE |
     AL  AL  | ACK CA | RPA AA AL/NE  | ACK CE |
     ER  SU  |        | RPA AA AL/NE  | ACK CE |
     SU  ER  | ACK CA |               |        | ACK AE
     SU  AL  | ACK CA | RPA AA AL/NE  |        | ACK AE
"""


@pytest.mark.parametrize("row", AWAY.strip().splitlines(), ids=lambda row: row.split("|")[0].strip())
def test_original_mode_knows_only_the_connection_and_every_other_pair_the_destination(row: str) -> None:
    modes, *columns = [part.strip() for part in row.split("|")]
    accept, application = (mode.replace("-", "") for mode in modes.split())
    found = []
    for asked in (ASKED, aut({2: ""})):
        outcome = Trial(on(to="ehr")).send(request(VISIT, asked, modes=(accept, application)))
        found += [", ".join(heads(outcome.replies)), ", ".join(heads([each.body or b"" for each in sent(outcome)]))]
    assert found == columns


def test_a_rule_may_send_answers_elsewhere_by_status_and_sender() -> None:
    rules = [{"sender": ["REAR"], "to": "desk"}, {"status": ["approved"], "to": "connection"}]
    trial = Trial(on(to="ehr", rules=rules))

    def to(raw: bytes) -> list[str]:
        return [each.destination for each in sent(trial.send(raw))]

    assert to(request(VISIT, ASKED, modes=("AL", "AL"), referral="R1")) == ["referral-intake/ehr"]
    rear = request(VISIT, ASKED, modes=("AL", "AL"), sender="REAR|NORTH", control_id="C2")
    assert to(rear) == ["referral-intake/desk"]
    trial.send(answer(VISIT, granted("PA1"), referral="R1"))
    status = request(referral="R1", kind="REF", event="I15", modes=("AL", "AL"), control_id="C3", top=aut(number="PA1"))
    assert to(status) == []


def test_a_message_that_comes_again_gets_its_receipt_and_its_answer_is_not_sent_twice() -> None:
    trial = Trial(on(to="ehr"))
    raw = request(VISIT, ASKED, modes=("AL", "AL"))
    first, again = trial.send(raw), trial.send(raw)
    assert again.disposition is Disposition.DUPLICATE
    assert again.replies == first.replies
    assert sent(again) == []


def test_an_ack_asks_for_nothing_and_acknowledgments_are_never_answered() -> None:
    outcome = Trial(on(answer="ack", to="ehr")).send(request(VISIT, ASKED, modes=("AL", "AL")))
    (delivery,) = sent(outcome)
    assert heads([delivery.body or b""]) == ["ACK AA"]
    looped = Trial(on(answer="ack", to="ehr", acknowledgments="enhanced")).send(delivery.body or b"")
    assert (looped.replies, sent(looped)) == ([], [])


def test_a_refused_frame_stays_on_the_connection() -> None:
    outcome = Trial(on(to="ehr", acknowledgments="enhanced")).send(b"no message")
    assert [line[1].split("|")[1] for line in texts(outcome)] == ["AR"]
    assert sent(outcome) == []


def test_destinations_for_answers_get_nothing_else_unless_a_route_says_so() -> None:
    trial = Trial(on(to="ehr"))
    for raw in (request(VISIT, ASKED), answer(VISIT, granted("PA1"))):
        assert [each.destination for each in everything(trial.send(raw))] == ["referral-intake/desk"]


# --- names --------------------------------------------------------------------------------------------------------

MLLP = '{mllp: {connect: "tcp:127.0.0.1:9"}}'
NORTH = (
    f"channel: north\nlisten: tcp:4001\ndestinations:\n  payer: {MLLP}\n  drop: {{file: {{folder: out}}}}\nreplies:\n"
)
SOUTH = f"channel: south\nlisten: tcp:4002\norder_by: patient\ndestinations:\n  ehr: {MLLP}\n  own: {MLLP}\n"


def folder(tmp_path: Path, north: str) -> list[Channel]:
    (tmp_path / "north.yaml").write_text(NORTH + north, encoding="utf-8")
    (tmp_path / "south.yaml").write_text(SOUTH, encoding="utf-8")
    return load_channels(tmp_path)


def test_answers_may_go_by_the_channel_of_another(tmp_path: Path) -> None:
    forward = "forward: {to: payer, answers_on: south}"
    north, south = folder(tmp_path, f"  acknowledgments: enhanced\n  to: south/ehr\n  answer: rpa\n  {forward}\n")
    assert north.elsewhere == {"south/ehr": "patient"}
    assert south.returns == ("north",)
    assert south.lends == ("ehr",)
    trial = Trial(north)
    (delivery,) = sent(trial.send(request(VISIT, ASKED)))
    assert (delivery.destination, delivery.lanes) == ("south/ehr", ("77001@NORTH",))
    lent = Trial(south).send(request(VISIT, ASKED))
    assert [each.destination for each in everything(lent)] == ["south/own"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("  to: nowhere\n", "replies.to: unknown destination 'nowhere' (allowed: payer, drop)"),
        ("  rules: [{}, {to: nowhere}]\n", "replies.rules.1.to: unknown destination 'nowhere'"),
        ("  to: south/nowhere\n", "unknown destination 'south/nowhere' (known: north/payer, north/drop, south/ehr"),
        ("  answer: forward\n", "answer is forward, and forward does not say where to"),
        ("  answer: ack\n  decided_within_seconds: 5\n", "decided_within_seconds is for answer: rpa"),
        ("  rules: [{answer: forward}]\n", "answer is forward, and forward does not say where to"),
        ("  forward: {to: drop}\n", "replies.forward.to: unknown mllp destination 'drop' (allowed: payer)"),
        ("  forward: {to: payer, answers_on: west}\n", "unknown channel 'west' (known: north, south)"),
        ("  forward: {to: payer, late: maybe}\n", "'refuse', 'pended' or 'silent'"),
        ("  rules: [{when: 'group.PID-3 valued'}]\n", "'this' and 'group.' mean nothing"),
        ("  rules: [{sendr: [X]}]\n", "unknown key 'replies.rules.0.sendr'"),
    ],
)  # fmt: skip
def test_a_wrong_name_is_named_by_file_and_line(tmp_path: Path, lines: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        folder(tmp_path, lines)
    assert said in str(caught.value)
    assert "north.yaml:" in str(caught.value)
