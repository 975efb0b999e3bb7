"""Planning frames: what is no message, what tells a repetition, and anything at all that a sender can send."""

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hl7auth.flow.decision import decide
from hl7auth.flow.intake import refuse_frame, salvage, timestamp
from hl7auth.flow.trial import TRIAL_TIME, Memory
from hl7auth.wire.ack import Location
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.message import parse
from tests.messages import (
    THERAPY,
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


# --- digests ----------------------------------------------------------------------------------------------------------


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
    assert first.document("?#C1@FRONT:NORTH") == second.document("?#C1@FRONT:NORTH")


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


# --- anything at all --------------------------------------------------------------------------------------------------

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
@example(b"MSH!:\x80\x81\x00")
@example(request(VISIT, charset="ER").replace(b"|P|2.5", b"\n|P|2.5"))
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
            control_id = outcome.plan.header.raw_control_id
            if control_id.isascii() and not {"\x0b", "\x1c"} & set(control_id):  # framing bytes never come back raw
                assert again.segments[1].field(2) == control_id
