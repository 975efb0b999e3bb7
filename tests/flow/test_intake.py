"""Planning a frame: what is no message, what the protocol refuses, what is tolerated, and what tells a repetition."""

import itertools
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hl7auth.flow.decision import Disposition, decide
from hl7auth.flow.handshake import ORIGINAL
from hl7auth.flow.intake import Plan, plan, refuse_frame, salvage, timestamp
from hl7auth.flow.trial import TRIAL_TIME, Memory
from hl7auth.wire.ack import Location
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.message import parse
from tests.messages import (
    PID,
    PRD,
    THERAPY,
    VISIT,
    Trial,
    answer,
    aut,
    channel,
    granted,
    message,
    request,
    shipped_channel,
    texts,
)


def planned(raw: bytes, *notes: str) -> Plan:
    return Trial().plan(raw, notes)


def refusal(raw: bytes) -> tuple[str, list[tuple[str, Location | None]]]:
    """The acknowledgement code of the refusal, and code and place of each problem."""
    found = planned(raw).refusal
    assert found is not None
    return found.ack, [(problem.code, problem.location) for problem in found.problems]


def warnings(found: Plan) -> list[tuple[str, str]]:
    assert found.refusal is None, found.refusal
    return [(finding.rule, finding.path) for finding in found.findings if finding.severity == "warning"]


def reply_to(raw: bytes) -> list[str]:
    """The segments of the one reply."""
    (lines,) = texts(Trial().send(raw))
    return lines


# --- what is taken ------------------------------------------------------------------------------------------------


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
    assert (intent.referral, intent.requester, intent.answers, intent.is_request) == ("R1@FRONT", "FRONT", "", True)
    assert intent.request_key == "?R1@FRONT"
    assert intent.context["referral"] == {"originating_id": "R1"}
    assert -(2**63) <= found.digest < 2**63


def test_an_answer_names_what_it_answers_and_whom() -> None:
    intent = planned(answer(VISIT, granted("PA1"), to="C7")).intent
    assert intent is not None
    assert (intent.answers, intent.requester, intent.is_request, intent.receipt_only) == ("C7", "FRONT", False, False)
    assert intent.request_key == "?#C7@FRONT"
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


# --- what the protocol refuses ------------------------------------------------------------------------------------


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


# --- what is no message -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw", [b"", b"\r", b"GET / HTTP/1.1\r\n\r\n", b"MSH", b"msh|^~\\&|a", b"FHS|^~\\&|x\r", b"\x00" * 40, b"MSHMSH"]
)
def test_garbage_is_refused_with_100(raw: bytes) -> None:
    assert refusal(raw) == ("AR", [("100", None)])
    found = planned(raw)
    assert (found.message, found.intent, found.raw) == (None, None, raw)
    assert reply_to(raw)[1].split("|")[:3] == ["MSA", "AR", ""]


def test_p04_garbage_before_msh_is_refused_naming_its_control_id() -> None:
    raw = b"dsfddf" + request(VISIT, control_id="C77")
    assert refusal(raw) == ("AR", [("100", None)])
    assert planned(raw).message is None
    assert reply_to(raw)[1].split("|")[:3] == ["MSA", "AR", "C77"]


def test_p06_segments_joined_by_blanks_are_never_one_msh() -> None:
    raw = request(VISIT, aut(number="PA1"), control_id="C77").replace(b"\r", b" ")
    assert refusal(raw) == ("AR", [("100", None)])
    found = planned(raw)
    assert (found.message, found.intent, found.header.control_id) == (None, None, "C77")
    assert reply_to(raw)[1].split("|")[:3] == ["MSA", "AR", "C77"]
    assert "blanks" in reply_to(raw)[1]


@pytest.mark.parametrize("encoding", ["^^~\\", "^~", "^~\\&#!", "A~\\&", "^ \\&", "|~\\&"])
def test_delimiters_that_are_none_are_refused_at_msh_2(encoding: str) -> None:
    raw = request(VISIT, control_id="C77").replace(b"^~\\&", encoding.encode(), 1)
    assert refusal(raw) == ("AR", [("100", Location("MSH", field=2))])
    if "|" not in encoding:
        assert reply_to(raw)[1].split("|")[:3] == ["MSA", "AR", "C77"]
    assert reply_to(raw)[0].startswith("MSH|^~\\&|")


def test_p71_an_unknown_character_set_is_refused_and_the_bytes_are_kept() -> None:
    raw = request(VISIT, charset="CNS 11643-1992", control_id="C77").replace(b"Quill", b"\xa4\xa4")
    assert refusal(raw) == ("AR", [("207", None)])
    found = planned(raw)
    assert (found.raw, found.message) == (raw, None)
    lines = reply_to(raw)
    assert lines[1].split("|")[:3] == ["MSA", "AR", "C77"]
    assert "CNS 11643-1992" in lines[1]
    assert "CNS" not in lines[0]  # the reply is not in a set that nobody can write
    assert lines[0].split("|")[2:6] == ["PAYER", "SOUTH", "FRONT", "NORTH"]


def test_more_segments_than_the_engine_reads_are_refused() -> None:
    raw = request(*["NTE|1||x"] * 10_001, control_id="C77")
    assert refusal(raw) == ("AR", [("207", None)])
    assert reply_to(raw)[1].split("|")[:3] == ["MSA", "AR", "C77"]


@pytest.mark.parametrize(
    ("raw", "control_id"),
    [
        (b"MSH|^~\\&|A|B|C|D|2026||RQA^I08|C77|P|2.5", "C77"),
        (b"MSH|^~\\&|A|B|C|D|2026||RQA^I08|C77", "C77"),
        (b"MSH|^~\\&|A|B|C|D|2026||RQA^I08", ""),
        (b"MSH|^~\\&|A", ""),
        (b"MSH|^~\\&", ""),
        (b"MSH|^^|A|B|C|D|2026||RQA^I08|C77|P|2.5\rPID|x", "C77"),
        (b"MSH|^^|A|B|C|D|2026||RQA^I08", ""),
        (b"MSH|^^|A|B|C|D|2026||RQA^I08|C\x0b\x01|P", ""),
        (b"MSH|^^\rPID|1|2|3|4|5|6|7|8|9", ""),
        (b"log line MSH|^~\\&|A|B|C|D|2026||RQA^I08|C77|P|2.5\r", "C77"),
        (b"PID|1|2|3|4|5|6|7|8|9", ""),
        (b"", ""),
    ],
)
def test_what_can_be_saved_of_a_broken_header(raw: bytes, control_id: str) -> None:
    assert salvage(raw)[0].control_id == control_id


def test_a_saved_header_keeps_the_delimiters_but_not_the_character_set() -> None:
    header, delimiters = salvage(b"MSH$%*!?$A$B$C$D$2026$$RQA%I08$C77$P$2.5$$$$$$BIG-9")
    assert (header.control_id, header.trigger_event, header.charset) == ("C77", "I08", "")
    assert delimiters == Delimiters("$", "%", "*", "!", "?")


def test_a_frame_that_broke_off_is_refused_with_its_control_id() -> None:
    ids = itertools.count(1).__next__
    raw = request(VISIT, control_id="C77", modes=("AL", "AL"))[:80]
    found = refuse_frame(raw, "the frame was never finished", shipped_channel(), TRIAL_TIME, ids, "10.0.0.7")
    assert found.refusal is not None
    assert (found.refusal.ack, found.refusal.problems[0].code) == ("AR", "207")
    assert (found.raw, found.peer, found.message, found.header.control_id) == (raw, "10.0.0.7", None, "C77")
    assert len({str(found.message_id), *found.reply_ids}) == 3
    (lines,) = texts(decide(found, Memory()))
    assert lines[1].startswith("MSA|AR|C77|the frame was never finished")


# --- digests ------------------------------------------------------------------------------------------------------


def digest(raw: bytes) -> int:
    found = Trial(channel(errors="accept")).plan(raw)
    assert found.refusal is None, found.refusal
    return found.digest


BASE = request(VISIT, aut({8: "3"}), referral="R1")


def test_p61_the_same_content_at_another_time_is_the_same_message() -> None:
    for sent_at in ("20260301101501", "20270101", "", "20260301101500.123+0100"):
        assert digest(request(VISIT, aut({8: "3"}), referral="R1", sent_at=sent_at)) == digest(BASE)


@pytest.mark.parametrize(
    "other",
    [
        request(VISIT, aut({8: "4"}), referral="R1"),
        request(VISIT, aut({8: "3"}), referral="R2"),
        request(VISIT, aut({8: "3"}), referral="R1", control_id="C2"),
        request(VISIT, aut({8: "3"}), referral="R1", event="I09"),
        request(VISIT, aut({8: "3"}), referral="R1", kind="REF", event="I12"),
        request(VISIT, aut({8: "3"}), referral="R1", sender="OTHER|NORTH"),
        request(VISIT, aut({8: "3"}), referral="R1", version="2.4"),
        request(THERAPY, aut({8: "3"}), referral="R1"),
        request(VISIT, aut({9: "3"}), referral="R1"),
    ],
)
def test_p61_other_content_is_another_message(other: bytes) -> None:
    assert digest(other) != digest(BASE)


def test_p61_only_msh_7_is_left_out_wherever_the_same_digits_stand() -> None:
    def sent(sent_at: str, facility: str = "UNIT2026", number: str = "1") -> bytes:
        return request(VISIT, aut({8: number}), sender=f"EHR|{facility}", sent_at=sent_at)

    assert digest(sent("2026")) == digest(sent("2027"))
    assert digest(sent("2026", facility="UNIT")) != digest(sent("2026"))
    assert digest(sent("1", number="1")) != digest(sent("1", number="11"))


def test_p61_a_time_with_trailing_separators_is_left_out_too() -> None:
    assert digest(request(VISIT, sent_at="20260301^")) == digest(request(VISIT, sent_at="20260302"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("AUT||112233^||||||1|0", "AUT||112233||||||1|0"),
        ("AUT||112233^^||||||1|0|||", "AUT||112233||||||1|0"),
        ("AUT||112233&^||||||1|0", "AUT||112233||||||1|0"),
        ("AUT||112233||||||1|0^", "AUT||112233||||||1|0"),
        ("AUT||112233~||||||1|0", "AUT||112233||||||1|0"),
        ("AUT||112233||||^~^|||1", "AUT||112233|||||||1"),
    ],
)
def test_p14_trailing_separators_say_nothing(one: str, other: str) -> None:
    first, second = Trial(channel(errors="accept")), Trial(channel(errors="accept"))
    plans = first.plan(request(VISIT, one)), second.plan(request(VISIT, other))
    assert plans[0].digest == plans[1].digest
    first.send(request(VISIT, one))
    second.send(request(VISIT, other))
    assert first.document("?#C1@FRONT") == second.document("?#C1@FRONT")


def test_p14_neither_does_the_end_of_the_last_segment() -> None:
    raw = request(VISIT, aut({8: "3"}))
    assert digest(raw.rstrip(b"\r")) == digest(raw)
    assert digest(raw.rstrip(b"\r") + b"||") == digest(raw)
    assert digest(raw.replace(b"\r", b"\r\n")) == digest(raw)


def test_a_separator_that_means_something_makes_another_message() -> None:
    assert digest(request(VISIT, aut({1: "^GOLD"}))) != digest(request(VISIT, aut({1: "GOLD"})))
    assert digest(request(VISIT, aut({1: "~GOLD"}))) != digest(request(VISIT, aut({1: "GOLD"})))


def test_each_channel_has_its_own_digests() -> None:
    assert Trial(channel(channel="other")).plan(BASE).digest != digest(BASE)


def test_a_time_stamp_of_a_reply() -> None:
    assert timestamp(0) == "19700101000000+0000"
    assert timestamp(TRIAL_TIME // 1_000_000) == "20260101000000+0000"


# --- anything at all ----------------------------------------------------------------------------------------------

SAMPLES = [
    request(VISIT, aut({6: "PA1", 8: "3"}), THERAPY, referral="R1", top=aut({4: "20260401"})),
    answer(VISIT, granted("PA1"), modes=("AL", "ER")),
    request(VISIT, kind="REF", event="I12", version="2.9", charset="UNICODE UTF-8"),
    message("MSA|AA|C1", kind="ACK", event=""),
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A message with some bytes taken out, put in or put elsewhere."""
    raw = bytearray(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(raw) - 1, 0)) | st.integers(0, 70))
        size = draw(st.integers(0, 4))
        raw[at : at + size] = draw(
            st.binary(max_size=4)
            | st.sampled_from([b"|", b"^", b"~", b"\\", b"&", b"\r", b"\n", b'""', b"MSH|", b"\xff"])
        )
    return bytes(raw[: draw(st.sampled_from([None, None, None, 9, 40, 70, 100]))])


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: b"MSH" + tail) | damaged())
@example(b"MSH|^~\\&")
@example(b"MSH|^~\\&|")
@example(b"MSH\xff^~\\&\xff\xff\xff")
@example(b"MSH|^~\\&|||||||RQA^I08|\\X0D\\|P|2.5\r")
@example(b"xxMSH^|||")
def test_no_bytes_make_the_engine_fail_and_garbage_is_never_a_message(raw: bytes) -> None:
    for on in (shipped_channel(), channel(errors="accept", duplicates="strict")):
        trial = Trial(on)
        found = trial.plan(raw)
        assert found.raw == raw
        if not raw.startswith(b"MSH"):
            assert found.message is None
        if found.message is None:
            assert found.intent is None
            assert found.refusal is not None
            assert found.refusal.ack == "AR"
        outcome = trial.send(raw)
        assert len(outcome.replies) <= 2
        for reply in outcome.replies:
            again = parse(reply)
            assert [segment.name for segment in again.segments[:2]] == ["MSH", "MSA"]
            if outcome.plan.header.control_id.isascii():
                assert again.segments[1].value(2) == outcome.plan.header.control_id
