"""Deciding: replies in every handshake, duplicates, refusals with their ERR, failures, and remarks of the store."""

import itertools

import pytest

from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Disposition, Outcome, decide, failed
from hl7auth.flow.reply import MAX_REPORTED
from hl7auth.flow.trial import Memory
from hl7auth.wire.message import parse
from tests.messages import (
    IMAGING,
    THERAPY,
    VISIT,
    Trial,
    answer,
    aut,
    channel,
    granted,
    message,
    request,
    rules,
    texts,
)

CONDITIONS = ("", "AL", "NE", "ER", "SU")
PAIRS = list(itertools.product(CONDITIONS, CONDITIONS))
GOOD, WRONG, UNWANTED = aut({8: "3"}), aut({2: "", 8: "3"}), "T"


def codes(outcome: Outcome) -> str:
    """The replies in order as MSH-9.1 and MSA-1: `ACK CA, RPA AA`."""
    lines = [[line.split("|") for line in reply] for reply in texts(outcome)]
    return ", ".join(f"{msh[8].split('^')[0]} {msa[1]}" for msh, msa, *_ in lines)


#: MSH-15, MSH-16: replies to a request that is taken, refused for its content, refused for its kind
TABLE = """
     -   -   | RPA AA          | ACK AE | ACK AR
     -   AL  | RPA AA          | ACK AE | ACK AR
     -   NE  |                 |        |
     -   ER  |                 | ACK AE | ACK AR
     -   SU  | RPA AA          |        |
     AL  -   | ACK CA          | ACK CE | ACK CR
     AL  AL  | ACK CA, RPA AA  | ACK CE | ACK CR
     AL  NE  | ACK CA          | ACK CE | ACK CR
     AL  ER  | ACK CA          | ACK CE | ACK CR
     AL  SU  | ACK CA, RPA AA  | ACK CE | ACK CR
     NE  -   |                 |        |
     NE  AL  | RPA AA          | ACK AE | ACK AR
     NE  NE  |                 |        |
     NE  ER  |                 | ACK AE | ACK AR
     NE  SU  | RPA AA          |        |
     ER  -   |                 | ACK CE | ACK CR
     ER  AL  | RPA AA          | ACK CE | ACK CR
     ER  NE  |                 | ACK CE | ACK CR
     ER  ER  |                 | ACK CE | ACK CR
     ER  SU  | RPA AA          | ACK CE | ACK CR
     SU  -   | ACK CA          |        |
     SU  AL  | ACK CA, RPA AA  | ACK AE | ACK AR
     SU  NE  | ACK CA          |        |
     SU  ER  | ACK CA          | ACK AE | ACK AR
     SU  SU  | ACK CA, RPA AA  |        |
"""
ROWS = {
    tuple(mode.replace("-", "") for mode in left.split()): [text.strip() for text in replies]
    for left, *replies in (line.split("|") for line in TABLE.strip().splitlines())
}


@pytest.mark.parametrize("modes", PAIRS, ids=lambda modes: f"{modes[0]}-{modes[1]}")
def test_p53_the_replies_to_a_request_in_every_handshake(modes: tuple[str, str]) -> None:
    taken = Trial().send(request(VISIT, GOOD, modes=modes))
    wrong = Trial().send(request(VISIT, WRONG, modes=modes))
    unwanted = Trial().send(request(VISIT, GOOD, modes=modes, processing_id=UNWANTED))
    assert [codes(taken), codes(wrong), codes(unwanted)] == ROWS[modes]
    assert [taken.code, wrong.code, unwanted.code] == ["AA", "AE", "AR"]  # as if a reply were always sent


@pytest.mark.parametrize("modes", PAIRS, ids=lambda modes: f"{modes[0]}-{modes[1]}")
def test_p55_an_answer_gets_an_accept_acknowledgement_at_most(modes: tuple[str, str]) -> None:
    taken = Trial().send(answer(VISIT, granted("PA1"), modes=modes))
    assert taken.disposition is Disposition.ACCEPTED
    assert codes(taken) == ("ACK CA" if modes[0] in ("AL", "SU") else "")


@pytest.mark.parametrize("modes", PAIRS[1:], ids=lambda modes: f"{modes[0]}-{modes[1]}")
def test_p55_so_does_an_answer_that_is_refused(modes: tuple[str, str]) -> None:
    wrong = Trial().send(answer(VISIT, aut({2: "", 6: "PA1"}), modes=modes))
    assert wrong.disposition is Disposition.REFUSED
    assert codes(wrong) == ("ACK CE" if modes[0] in ("AL", "ER") else "")


def test_an_answer_in_original_mode_gets_no_reply_unless_it_is_refused() -> None:
    assert Trial().send(answer(VISIT, granted("PA1"))).replies == []
    assert codes(Trial().send(answer(VISIT, aut({2: "", 6: "PA1"})))) == "ACK AE"


def test_p55_an_answer_that_asks_for_an_answer_is_told_so() -> None:
    assert "MSH-16.answer" in rules(Trial().send(answer(VISIT, granted("PA1"), modes=("ER", "ER"))))
    assert "MSH-16.answer" not in rules(Trial().send(answer(VISIT, granted("PA1"), modes=("AL", "NE"))))
    assert "MSH-16.answer" not in rules(Trial().send(answer(VISIT, granted("PA1"))))


def test_p63_both_replies_name_the_message_and_have_control_ids_of_their_own() -> None:
    outcome = Trial().send(request(VISIT, GOOD, event="I10", modes=("AL", "AL"), control_id="C7"))
    (accept, *_), (reply, *_) = ([line.split("|") for line in lines] for lines in texts(outcome))
    assert (accept[8], reply[8]) == ("ACK^I10^ACK", "RPA^I10^RPA_I08")
    assert (accept[9], reply[9]) == outcome.plan.reply_ids
    assert accept[2:6] == reply[2:6] == ["PAYER", "SOUTH", "FRONT", "NORTH"]
    assert accept[6] == reply[6] == "20260101000000+0000"
    assert all(lines[1].split("|")[2] == "C7" for lines in texts(outcome))
    assert len(accept) == 12  # an accept acknowledgement asks for nothing


# --- duplicates -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("modes", [("", ""), ("AL", "AL"), ("ER", "SU"), ("NE", "NE")])
def test_p61_the_same_message_again_gets_its_stored_replies_and_does_nothing(modes: tuple[str, str]) -> None:
    trial = Trial()
    first = trial.send(request(VISIT, GOOD, modes=modes))
    trial.send(answer(VISIT, granted("PA1")))  # what was answered then is answered now
    again = trial.send(request(VISIT, GOOD, modes=modes, sent_at="20260302"))
    assert (again.disposition, again.changes, again.duplicate_of) == ("duplicate", (), first.plan.message_id)
    assert again.replies == first.replies
    assert trial.send(request(VISIT, GOOD, modes=modes)).duplicate_of == first.plan.message_id


def test_p61_one_control_id_for_everything_is_processed_each_time() -> None:
    trial = Trial()
    for raw in (
        request(VISIT, GOOD, referral="R1"),
        request(VISIT, GOOD, referral="R1", event="I09"),
        request(THERAPY, GOOD, referral="R2"),
        request(event="I11", referral="R1"),
    ):
        assert trial.send(raw).disposition is Disposition.ACCEPTED
    assert trial.statuses("?R1@FRONT:NORTH", "?R2@FRONT:NORTH") == ["cancelled", "pended"]


def test_a_duplicate_is_one_for_the_same_sender_only() -> None:
    trial = Trial()
    trial.send(request(VISIT, GOOD))
    assert trial.send(request(VISIT, GOOD, sender="OTHER|EAST")).disposition is Disposition.ACCEPTED
    assert trial.statuses("?#C1@FRONT:NORTH", "?#C1@OTHER:EAST") == ["pended", "pended"]


def test_what_was_refused_is_judged_anew() -> None:
    trial = Trial()
    for _ in range(2):
        assert trial.send(request(VISIT, WRONG)).disposition is Disposition.REFUSED


def test_a_duplicate_of_a_message_that_got_no_reply_gets_none() -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1")))
    again = trial.send(answer(VISIT, granted("PA1")))
    assert (again.disposition, again.replies) == ("duplicate", [])


def strict() -> Channel:
    return channel(duplicates="strict")


def test_p62_a_strict_channel_refuses_other_content_under_a_used_control_id() -> None:
    trial = Trial(strict())
    first = trial.send(request(VISIT, GOOD))
    assert trial.send(request(VISIT, GOOD)).duplicate_of == first.plan.message_id
    outcome = trial.send(request(THERAPY, GOOD))
    assert (outcome.disposition, outcome.code, outcome.changes) == ("refused", "AE", ())
    assert texts(outcome)[0][1].startswith("MSA|AE|C1|")
    assert texts(outcome)[0][2].startswith("ERR||MSH^1^10|205^Duplicate key identifier^HL70357|E|")
    assert [(finding.rule, finding.path, finding.code) for finding in outcome.findings] == [
        ("protocol.205", "MSH-10", "205")
    ]
    assert codes(trial.send(request(THERAPY, GOOD, modes=("AL", "NE")))) == "ACK CE"
    assert trial.document("?#C1@FRONT:NORTH")["lines"][0]["procedure"]["code"] == "99213"


def test_p62_another_event_or_sender_may_use_the_control_id_again() -> None:
    trial = Trial(strict())
    trial.send(request(VISIT, GOOD))
    assert trial.send(request(VISIT, GOOD, event="I09")).disposition is Disposition.ACCEPTED
    assert trial.send(request(VISIT, GOOD, sender="OTHER|EAST")).disposition is Disposition.ACCEPTED
    assert trial.send(request(VISIT, GOOD, sender="FRONT|WEST")).disposition is Disposition.ACCEPTED


def test_p62_from_2_9_a_duplicate_key_is_said_in_err_5() -> None:
    trial = Trial(strict())
    trial.send(request(VISIT, aut({13: "SPEC"}), version="2.9"))
    outcome = trial.send(request(THERAPY, aut({13: "SPEC"}), version="2.9"))
    err = texts(outcome)[0][2].split("|")
    assert (err[3].split("^")[0], err[5]) == ("207", "102^^HL70533")


# --- refusals ---------------------------------------------------------------------------------------------------


def test_every_error_is_reported_where_it_is() -> None:
    outcome = Trial().send(request(VISIT, WRONG, THERAPY, GOOD, IMAGING, aut({2: "", 4: "soon"})))
    lines = texts(outcome)[0]
    assert [line.split("|")[2] for line in lines[2:]] == ["AUT^1^2", "AUT^3^4^1^1", "AUT^3^2"]
    assert {finding.severity for finding in outcome.findings} == {"error"}


def test_warnings_alone_refuse_nothing() -> None:
    outcome = Trial().send(request(VISIT, aut({6: "A" * 16, 8: "3"})))  # P66
    assert (outcome.disposition, outcome.code) == ("accepted", "AA")
    assert [finding.severity for finding in outcome.findings] == ["warning"]


def told(tells: str, version: str, *modes: str) -> list[str]:
    """The ERR segments of the first reply to a request with a warning (an effective date behind the expiration)."""
    crossed = aut({4: "20260401", 5: "20260301"} | ({13: "T^Therapy^L"} if version == "2.9" else {}))
    found = Trial(channel(tells=tells)).send(request(top=crossed, version=version, modes=modes))
    assert found.code == "AA"
    return [line for line in texts(found)[0] if line.startswith("ERR")]


@pytest.mark.parametrize("version", ["2.5", "2.7", "2.9"])
def test_p66_warnings_are_told_in_an_ack_only_where_the_channel_says_so(version: str) -> None:
    assert told("errors", version, "AL", "NE") == []
    lines = [line.split("|") for line in told("warnings", version, "AL", "NE")]
    assert ("AUT", "W") in [(line[2].split("^")[0], line[4]) for line in lines]


def test_p66_before_2_5_an_err_has_no_severity_and_tells_errors_only() -> None:
    assert told("all", "2.4", "AL", "NE") == []


@pytest.mark.parametrize("version", ["2.4", "2.5", "2.8"])
def test_a_bad_message_does_not_make_a_giant_reply(version: str) -> None:
    lines = [line for _ in range(60) for line in (VISIT, aut({2: "", 13: "SPEC"} if version == "2.8" else {2: ""}))]
    outcome = Trial().send(request(*lines, version=version))
    errors = [line for line in texts(outcome)[0] if line.startswith("ERR")]
    reported = len(errors) if version != "2.4" else errors[0].count("~") + 1
    assert reported == MAX_REPORTED == 50
    assert len(outcome.findings) == 60


def test_p51_an_unknown_number_is_answered_with_204_at_its_place() -> None:
    outcome = Trial().send(request(VISIT, GOOD, THERAPY, aut(number="PA9"), event="I11"))
    assert (outcome.disposition, outcome.code, outcome.changes) == ("refused", "AE", ())
    lines = texts(outcome)[0]
    assert lines[0].split("|")[8] == "ACK^I11^ACK"
    assert lines[1].startswith("MSA|AE|C1|")
    assert lines[2].startswith("ERR||AUT^2^6|204^Unknown key identifier^HL70357|E|||AUT-6.unknown|")
    assert [(finding.rule, finding.path) for finding in outcome.findings] == [("AUT-6.unknown", "AUT[2]-6")]


def test_findings_name_what_the_check_did_not_find_beside_what_it_did() -> None:
    outcome = Trial().send(request(VISIT, aut(number="A" * 16), event="I11"))
    assert [(finding.rule, finding.severity) for finding in outcome.findings] == [
        ("AUT-6.1.length", "warning"), ("AUT-6.unknown", "error")
    ]  # fmt: skip
    header = Trial().send(request(VISIT, event="I12"))
    assert [(finding.rule, finding.path) for finding in header.findings] == [("protocol.201", "MSH-9.2")]
    garbage = Trial().send(b"nothing")
    assert [(finding.rule, finding.path) for finding in garbage.findings] == [("protocol.100", "")]


def test_a_message_is_taken_with_its_errors_where_the_channel_says_so() -> None:
    trial = Trial(channel(errors="accept"))
    outcome = trial.send(request(VISIT, WRONG))
    assert (outcome.disposition, codes(outcome)) == ("accepted", "RPA AA")
    assert [finding.severity for finding in outcome.findings] == ["error"]


@pytest.mark.parametrize(
    ("modes", "replies"),
    [(("", ""), "ACK AE"), (("AL", "AL"), "ACK CE"), (("NE", "ER"), "ACK AE"), (("NE", "NE"), ""), (("SU", "NE"), "")],
)
def test_a_failure_of_the_engine_is_207_and_nothing_is_applied(modes: tuple[str, str], replies: str) -> None:
    trial = Trial()
    plan = trial.plan(request(VISIT, GOOD, modes=modes))
    outcome = failed(plan)
    assert (outcome.disposition, outcome.code, outcome.changes) == (Disposition.FAILED, "AE", ())
    assert codes(outcome) == replies
    assert "protocol.207" in rules(outcome)
    if replies:
        assert "|207^Application internal error^HL70357|E" in texts(outcome)[0][2]
    trial.memory.apply(outcome)
    assert decide(plan, trial.memory).disposition is Disposition.ACCEPTED  # it may be sent again


@pytest.mark.parametrize("modes", [("", ""), ("AL", ""), ("ER", "ER")])
def test_p56_not_even_a_failure_answers_an_acknowledgement(modes: tuple[str, str]) -> None:
    assert failed(Trial().plan(message("MSA|AA|C1", kind="ACK", modes=modes))).replies == []


def test_an_acknowledgement_is_kept_and_does_nothing() -> None:
    trial = Trial()
    trial.send(request(VISIT, GOOD))
    outcome = trial.send(message("MSA|AA|C1", kind="ACK", event="I08"))
    assert (outcome.disposition, outcome.code, outcome.replies, outcome.changes) == ("ignored", "", [], ())
    assert trial.statuses("?#C1@FRONT:NORTH") == ["pended"]


# --- remarks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("to", "remarks"), [("C1", set()), ("C2", {"answer.unmatched"}), ("", {"answer.unmatched"})])
def test_p59_an_answer_that_nobody_waits_for_is_remarked(to: str, remarks: set[str]) -> None:
    trial = Trial()
    trial.send(request(VISIT, GOOD))
    outcome = trial.send(answer(VISIT, granted("PA1"), to=to, modes=("AL", "NE")))
    assert rules(outcome) - {"MSA-2.usage"} == remarks
    assert (outcome.disposition, codes(outcome)) == ("accepted", "ACK CA")


def test_an_answer_to_a_request_that_had_its_number_is_no_surprise() -> None:
    trial = Trial()
    trial.send(request(VISIT, aut({6: "PA1", 8: "3"})))
    assert rules(trial.send(answer(VISIT, granted("PA1"), to="C1"))) == set()


def test_remarks_are_warnings_at_msa_2() -> None:
    (finding,) = Trial().send(answer(VISIT, granted("PA1"))).findings
    assert (finding.severity, finding.path, finding.code) == ("warning", "MSA-2", "199")


# --- bytes ------------------------------------------------------------------------------------------------------


def decided_text(charset: str, version: str = "2.8", text: str = "Müller – 50 €, 日本") -> tuple[bytes, Outcome]:
    """The AUT-17 of an answer to a requester with that character set, where the payer wrote UTF-8."""
    trial = Trial()
    payer = answer(
        VISIT, granted("PA1", {13: "SPEC", 17: text}), version=version, charset="UNICODE UTF-8", codec="utf_8"
    )
    assert trial.send(payer).disposition is Disposition.ACCEPTED
    outcome = trial.send(request(VISIT, aut({6: "PA1", 13: "SPEC"}), version=version, charset=charset, event="I09"))
    assert outcome.reply is not None
    (line,) = [line for line in outcome.reply.split(b"\r") if line.startswith(b"AUT")]
    return line.split(b"|")[17], outcome


@pytest.mark.parametrize(
    ("charset", "written"),
    [
        ("UNICODE UTF-8", "Müller – 50 €, 日本".encode()),
        ("8859/1", b"M\xfcller \\XE28093\\ 50 \\XE282AC\\, \\XE697A5E69CAC\\"),
        ("8859/15", b"M\xfcller \\XE28093\\ 50 \xa4, \\XE697A5E69CAC\\"),
        ("ASCII", b"M\\XC3BC\\ller \\XE28093\\ 50 \\XE282AC\\, \\XE697A5E69CAC\\"),
        ("", b"M\\XC3BC\\ller \\XE28093\\ 50 \\XE282AC\\, \\XE697A5E69CAC\\"),
    ],
)
def test_p72_what_the_requesters_character_set_lacks_is_escaped(charset: str, written: bytes) -> None:
    field, outcome = decided_text(charset)
    assert field == written
    assert outcome.reply is not None
    aut_segment = parse(outcome.reply).first("AUT")
    assert aut_segment is not None
    assert aut_segment.value(17) == "Müller – 50 €, 日本"


def test_p72_escapes_use_the_requesters_own_escape_character() -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1", {3: "Müller"}), charset="UNICODE UTF-8", codec="utf_8"))
    raw = request(VISIT, aut(number="PA1"), event="I09").replace(b"^~\\&", b"^~!&", 1)
    outcome = trial.send(raw)
    assert outcome.reply is not None
    assert b"|M!XC3BC!ller|" in outcome.reply


def test_p10_a_sender_of_latin_1_without_a_name_for_it_gets_its_own_bytes_back() -> None:
    raw = request(VISIT, GOOD).replace(b"Quill", b"Qu\xe9ll")
    outcome = Trial().send(raw)
    assert outcome.reply is not None
    assert b"Qu\xe9ll" in outcome.reply
    assert b"Qu\xc3\xa9ll" in (Trial().send(raw.replace(b"\xe9", b"\xc3\xa9")).reply or b"")


def test_p72_and_characters_beyond_latin_1_as_escapes() -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1", {3: "5 €"}), charset="UNICODE UTF-8", codec="utf_8"))
    raw = request(VISIT, aut(number="PA1"), event="I09").replace(b"Quill", b"Qu\xe9ll")
    outcome = trial.send(raw)
    assert outcome.reply is not None
    assert b"|5 \\XE282AC\\|" in outcome.reply


@pytest.mark.parametrize(("version", "escaped"), [("2.5", b"a\\X0B\\b\\X1C\\c"), ("2.5 ", b"")])
def test_framing_bytes_inside_a_message_do_not_come_back_raw(version: str, escaped: bytes) -> None:
    outcome = Trial(channel(errors="accept")).send(request(VISIT, "NTE|1||a\x0bb\x1cc", version=version))
    (reply,) = outcome.replies
    assert not set(reply) & {0x0B, 0x1C}
    assert escaped in reply


def test_a_reply_to_what_could_not_be_read_is_ascii() -> None:
    raw = request(VISIT, control_id="C77", charset="NONE SUCH").replace(b"C77", "Ç77".encode("latin_1"))
    (reply,) = Trial().send(raw).replies
    assert reply.isascii()


def test_outcomes_come_from_the_plan_and_the_knowledge_alone() -> None:
    trial = Trial()
    plan = trial.plan(request(VISIT, GOOD, modes=("AL", "AL")))
    assert decide(plan, trial.memory) == decide(plan, Memory())
