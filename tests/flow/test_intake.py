"""Planning a message: what is taken, what is tolerated, and what the protocol refuses."""

import itertools
from typing import Any

import pytest

from hl7auth.flow.decision import Disposition
from hl7auth.flow.handshake import ORIGINAL
from hl7auth.flow.intake import Plan, plan
from hl7auth.flow.trial import TRIAL_TIME
from hl7auth.wire.ack import Location
from tests.messages import (
    PID,
    PRD,
    VISIT,
    Trial,
    answer,
    aut,
    channel,
    granted,
    message,
    planned,
    refusal,
    reply_to,
    request,
    shipped_channel,
    texts,
)


def warnings(found: Plan) -> list[tuple[str, str]]:
    assert found.refusal is None, found.refusal
    return [(finding.rule, finding.path) for finding in found.findings if finding.severity == "warning"]


# --- what is taken ----------------------------------------------------------------------------------------------------


def test_a_good_message_is_planned_whole() -> None:
    ids = itertools.count(40).__next__
    raw = request(VISIT, aut({8: "3"}), referral="R1")
    found = plan(raw, shipped_channel(), TRIAL_TIME, ids, peer="10.0.0.7")
    assert (found.message_id, found.reply_ids) == (40, ("41", "42"))
    assert (found.raw, found.peer, found.received_at) == (raw, "10.0.0.7", TRIAL_TIME)
    assert found.header.event == "RQA^I08"
    assert (found.refusal, list(found.findings), found.handshake) == (None, [], ORIGINAL)
    assert found.message is not None
    assert found.intent is not None
    intent = found.intent
    assert (intent.message_id, intent.message_type, intent.trigger_event, intent.control_id) == (40, "RQA", "I08", "C1")
    assert (intent.referral, intent.requester.scope, intent.answers, intent.is_request) == (
        "R1@FRONT:NORTH",
        "FRONT:NORTH",
        "",
        True,
    )
    assert intent.request_key == "?R1@FRONT:NORTH"
    assert intent.context["referral"] == {"originating_id": "R1"}
    assert -(2**63) <= found.digest < 2**63


def test_an_answer_names_what_it_answers_and_whom() -> None:
    intent = planned(answer(VISIT, granted("PA1"), to="C7")).intent
    assert intent is not None
    assert (intent.answers, intent.requester.scope, intent.is_request, intent.receipt_only) == (
        "C7",
        "FRONT:NORTH",
        False,
        False,
    )
    assert intent.request_key == "?#C7@FRONT:NORTH"
    without = planned(message(PRD, PID, VISIT, kind="RRI", event="I12")).intent
    assert without is not None
    assert without.answers == ""


def test_p09_another_structure_than_the_events_is_a_warning() -> None:
    assert warnings(planned(request(VISIT, event="I08"))) == []
    assert warnings(planned(request(VISIT, event="I08^RQA_I08"))) == []
    assert warnings(planned(request(VISIT, event="I08^RQA_I09"))) == [("MSH-9.structure", "MSH-9.3")]
    assert warnings(planned(request("PR1|1|C4|99213||20260401|D", version="2.3"))) == []


def test_p10_latin_1_without_a_character_set_is_read_with_a_warning() -> None:
    raw = request(VISIT, codec="latin_1").replace(b"Quill", "Quéll".encode("latin_1"))
    found = planned(raw)
    assert warnings(found) == [("wire.undeclared-charset", "MSH")]
    assert found.raw == raw
    assert found.intent is not None
    assert found.intent.context["patient"]["name"] == "Quéll, Ivo"


def test_p10_the_channel_says_how_such_bytes_are_read() -> None:
    raw = request(VISIT).replace(b"Quill", b"Qu\xa4ll")
    found = Trial(channel(fallback_charset="8859/15")).plan(raw)
    assert found.intent is not None
    assert found.intent.context["patient"]["name"] == "Qu€ll, Ivo"


@pytest.mark.parametrize(
    "note", ["byte-order-mark", "start-block-missing", "end-block-without-cr", "noise-before-start"]
)
def test_p11_what_the_framing_tolerated_is_a_warning(note: str) -> None:
    assert warnings(planned(request(VISIT), note)) == [(f"wire.{note}", "MSH")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_p06_segments_that_end_with_a_line_feed_are_tolerated(end: bytes) -> None:
    assert warnings(planned(request(VISIT).replace(b"\r", end))) == [("wire.segment-end-not-cr", "MSH")]


@pytest.mark.parametrize("modes", [("AL", ""), ("", "AL"), ("NE", "")])
def test_p54_half_of_an_enhanced_mode_is_a_warning(modes: tuple[str, str]) -> None:
    found = planned(request(VISIT, modes=modes))
    assert found.handshake.enhanced
    assert [path for _, path in warnings(found)] == ["MSH-15" if not modes[0] else "MSH-16"]


def test_p54_a_value_that_is_no_condition_is_a_warning_and_original_mode() -> None:
    found = planned(request(VISIT, modes=("2.3.1", "")))
    assert warnings(found) == [("MSH-15.table", "MSH-15")]
    assert found.handshake == ORIGINAL


@pytest.mark.parametrize("version", ["2.4^AUS&Australia&ISO3166", "2.9", "2.3.1"])
def test_p58_the_first_component_of_the_version_counts(version: str) -> None:
    extra = {13: "SPEC"} if version == "2.9" else {}
    assert planned(request(VISIT, aut(extra), version=version)).refusal is None


def test_a_channel_may_take_messages_with_errors() -> None:
    raw = request(VISIT, aut({2: "", 8: "3"}))
    refused = planned(raw)
    assert refused.refusal is not None
    assert (refused.refusal.ack, refused.intent) == ("AE", None)
    assert [problem.location for problem in refused.refusal.problems] == [Location("AUT", 1, 2)]
    taken = Trial(channel(errors="accept")).plan(raw)
    assert taken.refusal is None
    assert taken.intent is not None
    assert taken.findings == refused.findings


# --- what the protocol refuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "code", "place"),
    [
        ({"control_id": ""}, "101", (10, 0)),  # P73
        ({"kind": "", "event": ""}, "101", (9, 0)),
        ({"kind": "ORU", "event": "R01"}, "200", (9, 1)),
        ({"kind": "rqa"}, "200", (9, 1)),
        ({"event": "I12"}, "201", (9, 2)),
        ({"event": ""}, "201", (9, 2)),
        ({"kind": "REF", "event": "I11"}, "201", (9, 2)),  # P07
        ({"kind": "RPA", "event": "I07"}, "201", (9, 2)),
        ({"version": "2.2"}, "203", (12, 0)),  # P58
        ({"version": "3.0"}, "203", (12, 0)),
        ({"version": "2.10"}, "203", (12, 0)),
        ({"version": ""}, "203", (12, 0)),
        ({"processing_id": "T"}, "202", (11, 0)),  # P57
        ({"processing_id": "D"}, "202", (11, 0)),
        ({"processing_id": ""}, "202", (11, 0)),
    ],
)
def test_the_header_is_refused_with_ar(head: dict[str, str], code: str, place: tuple[int, int]) -> None:
    raw = request(VISIT, **head)
    field, component = place
    assert refusal(raw) == ("AR", [(code, Location("MSH", 1, field, 0, component))])
    assert planned(raw).intent is None
    outcome = Trial().send(raw)
    assert (outcome.disposition, outcome.code, outcome.changes) == (Disposition.REFUSED, "AR", ())
    lines = reply_to(raw)
    assert lines[1].split("|")[:3] == ["MSA", "AR", head.get("control_id", "C1")]
    where = f"MSH^1^{field}" + (f"^1^{component}" if component else "")
    assert lines[0].split("|")[11] == "2.5"  # also to a sender whose own version is not known
    assert lines[2].startswith(f"ERR||{where}|{code}^")


def test_everything_that_is_wrong_with_the_header_is_said_at_once() -> None:
    ack, problems = refusal(request(VISIT, control_id="", kind="ADT", event="A01", version="2.1", processing_id="X"))
    assert ack == "AR"
    assert [code for code, _ in problems] == ["101", "200", "203", "202"]


def test_a_channel_refuses_what_it_does_not_accept() -> None:
    accepts = shipped_channel().file.accepts.model_copy(
        update={"messages": ("RPA",), "versions": ("2.4",), "processing_ids": ("T", "D")}
    )
    found = Trial(channel(accepts=accepts)).plan(request(VISIT)).refusal
    assert found is not None
    assert [problem.code for problem in found.problems] == ["200", "203", "202"]
    assert Trial(channel(accepts=accepts)).plan(
        answer(VISIT, granted("PA1"), version="2.4", processing_id="T")
    ).refusal is None  # fmt: skip


def test_p57_the_modifier_of_a_processing_id_does_not_matter() -> None:
    assert planned(request(VISIT, processing_id="P^T")).refusal is None


def test_p73_two_messages_without_a_control_id_are_no_duplicates() -> None:
    trial = Trial()
    first, second = trial.send(request(VISIT, control_id="")), trial.send(request(VISIT, control_id=""))
    assert (first.disposition, second.disposition) == (Disposition.REFUSED, Disposition.REFUSED)
    assert texts(second)[0][1].startswith("MSA|AR|")
    assert texts(second)[0][1].split("|")[2] == ""


@pytest.mark.parametrize("kind", ["ACK", "MCF"])
@pytest.mark.parametrize("head", [{}, {"version": "9.9"}, {"modes": ("AL", "AL")}, {"control_id": ""}])
def test_p56_an_acknowledgement_is_never_answered(kind: str, head: dict[str, Any]) -> None:
    raw = message("MSA|AA|C1", kind=kind, **head)
    outcome = Trial().send(raw)
    assert (outcome.disposition, outcome.replies, outcome.changes) == (Disposition.IGNORED, [], ())
    assert planned(raw).is_acknowledgment


def test_p56_an_acknowledgement_in_an_unknown_character_set_is_not_answered_either() -> None:
    outcome = Trial().send(message("MSA|AE|C1", kind="ACK", charset="CNS 11643-1992"))
    assert outcome.replies == []


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (request(VISIT).replace(b"|P|2.5\r", b"|P|2.5||more\r"), Location("MSH", 1, 14)),
        (request(VISIT, "DSC|more|F"), Location("DSC")),
        (request(VISIT, "ADD|rest of it"), Location("ADD")),
    ],
)
def test_a_part_of_a_longer_message_is_not_taken_for_the_whole(raw: bytes, place: Location) -> None:
    assert refusal(raw) == ("AE", [("207", place)])
    outcome = Trial().send(raw)
    assert (outcome.code, outcome.changes) == ("AE", ())
    assert [finding.rule for finding in outcome.findings] == ["protocol.207"]


def test_a_message_can_not_be_copied_into_a_giant() -> None:
    many = [line for number in range(700) for line in (VISIT, granted(f"PA{number}"))]
    notes = [f"DG1|{number}||{'x' * 600}" for number in range(10)]
    raw = answer(*notes, *many)
    assert refusal(raw) == ("AE", [("207", Location("AUT"))])
    assert Trial().send(raw).changes == ()
    assert planned(answer(*notes, *many[:200])).refusal is None
