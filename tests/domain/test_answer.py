"""Answers: which segments come back, what is written anew, and what the requester learns of decisions."""

import pytest

from hl7auth.flow.decision import Outcome
from hl7auth.wire.versions import VERSIONS, at_least
from tests.messages import IMAGING, PID, PRD, THERAPY, VISIT, Trial, answer, aut, channel, granted, message, request

EVERYTHING = (
    "SFT|Moss Ltd|1|EHR|7",
    "RF1||R|||O|R1",
    aut({8: "3"}),
    PRD,
    PID,
    "NK1|1|Quill^Una",
    "GT1|1||Quill^Una",
    "IN1|1|GOLD|ACME",
    "DG1|1||M17.1^Arthrosis^I10",
    "AL1|1||X9",
    VISIT,
    aut({8: "3"}),
    "OBR|1|||1554-5",
    "OBX|1|NM|1554-5||98",
    "PV1|1|O",
    "NTE|1||by letter",
    "ZZZ|1|ours",
)


def reply(outcome: Outcome, codec: str = "ascii") -> list[str]:
    """The segments of the application's answer."""
    assert outcome.reply is not None, outcome.findings
    return outcome.reply.decode(codec).rstrip("\r").split("\r")


def names(lines: list[str]) -> list[str]:
    return [line[:3] for line in lines]


def only(lines: list[str], name: str, number: int = 0) -> list[str]:
    """The fields of the segment of that name; `number` counts from 0."""
    return [line for line in lines if line[:3] == name][number].split("|")


def asked_again(trial: Trial, *segments: str, **head: str) -> list[str]:
    """The answer to a later request."""
    return reply(trial.send(request(*segments, **{"control_id": "C9", "event": "I09"} | head)))


def test_an_rpa_gives_back_the_segments_of_its_structure_in_their_order() -> None:
    lines = reply(Trial().send(message(*EVERYTHING)))
    assert names(lines) == ["MSH", "MSA", *[line[:3] for line in EVERYTHING[1:-1]]]
    kept = [line for line in EVERYTHING[1:-1] if line[:3] not in ("RF1", "AUT")]
    assert [line for line in lines[2:] if line[:3] not in ("RF1", "AUT")] == kept


def test_an_rri_has_no_next_of_kin_guarantor_or_insurance() -> None:
    lines = reply(Trial().send(message(*EVERYTHING, kind="REF", event="I12")))
    assert names(lines) == [
        "MSH", "MSA", "RF1", "AUT", "PRD", "PID", "DG1", "AL1", "PR1", "AUT", "OBR", "OBX", "PV1", "NTE"
    ]  # fmt: skip


@pytest.mark.parametrize("version", ["2.6", "2.8"])
def test_p75_segments_come_back_as_they_were_sent(version: str) -> None:
    segments = (
        "PID|1||77001^^^NORTH||Quill^Ivo||19800102|M|||1 Hill Rd^^Northby||||||S|||||||||||||||N",
        "IN1|1|GOLD|ACME|Acme||||||||||||Quill^Ivo|||||||||||||||||||||||||||||||77",
        "DG1|1||M17.1^Arthrosis^I10||20260301|A||||||||||Moss^Ada",
        "PR1|1||99213^Visit^C4||20260401|||||||||M17.1||22",
        "OBR|1|77^EHR||1554-5^Glucose^LN|||20260301|||||||||Moss^Ada||||||20260301|||F",
        "PV1|1|O|3^4^5||||||||||||||||V9" + "|" * 20 + "20260301",
    )
    lines = reply(Trial().send(message(PRD, *segments, version=version)))
    assert lines[3:] == list(segments)


@pytest.mark.parametrize("event", ["I08", "I09", "I10", "I15", "I12", "I13"])
@pytest.mark.parametrize("version", VERSIONS)
def test_p63_the_answer_keeps_the_event_and_names_its_structure_from_2_3_1(version: str, event: str) -> None:
    kind, answers, structure = ("RQA", "RPA", "RPA_I08") if event < "I12" else ("REF", "RRI", "RRI_I12")
    msh = only(reply(Trial().send(request(VISIT, kind=kind, event=event, version=version))), "MSH")
    assert msh[8] == (f"{answers}^{event}^{structure}" if at_least(version, "2.3.1") else f"{answers}^{event}")
    assert msh[11] == version
    assert msh[2:6] == ["PAYER", "SOUTH", "FRONT", "NORTH"]
    assert msh[10] == "P"
    assert msh[9] not in ("", "C1")


@pytest.mark.parametrize(("kind", "event", "answers"), [("RQA", "I11", "RPA"), ("REF", "I14", "RRI")])
def test_p63_a_cancellation_is_answered_under_its_event(kind: str, event: str, answers: str) -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1")))
    msh = only(asked_again(trial, VISIT, aut(number="PA1"), kind=kind, event=event), "MSH")
    assert msh[8].startswith(f"{answers}^{event}^")


@pytest.mark.parametrize(
    ("asked", "said"), [(("", ""), []), (("AL", "AL"), ["NE", "NE"]), (("NE", "SU"), ["NE", "NE"])]
)
def test_an_answer_asks_for_no_acknowledgement_of_itself(asked: tuple[str, str], said: list[str]) -> None:
    assert only(reply(Trial().send(request(VISIT, modes=asked))), "MSH")[14:] == said


@pytest.mark.parametrize("version", VERSIONS)
def test_a_request_that_nobody_decided_is_answered_as_pended(version: str) -> None:
    sent = aut({8: "3", 13: "SPEC"} if at_least(version, "2.8") else {8: "3"})
    pr1 = "PR1|1|C4|99213||20260401" if version == "2.3" else VISIT
    lines = reply(Trial().send(request(pr1, sent, top=sent, referral="R1", version=version)))
    assert lines[1] == ("MSA|AA|C1" if at_least(version, "2.7") else "MSA|AA|C1|pended")
    assert only(lines, "RF1") == ["RF1", "P", "", "", "", "", "R1"]
    pended = sent + "|PE^Pended^HL70563" if at_least(version, "2.8") else sent
    assert [line for line in lines if line.startswith("AUT")] == [pended, pended]


def test_what_the_requester_said_itself_is_not_written_over() -> None:
    own = aut({13: "SPEC", 14: "WAIT^Waiting"})
    lines = reply(Trial().send(message("RF1|A|||||R1", own, PRD, PID, VISIT, version="2.8")))
    assert only(lines, "RF1")[1] == "A"
    assert only(lines, "AUT")[14] == "WAIT^Waiting"
    assert reply(Trial(channel(errors="accept")).send(message("RF1", PRD, PID)))[2] == "RF1"


def test_a_stored_decision_is_written_at_both_levels() -> None:
    trial = Trial()
    decided = aut({6: "PA1", 8: "3", 9: "2"}), aut({8: "1", 9: "0"})
    trial.send(answer(VISIT, decided[0], THERAPY, decided[1], top=granted("PA1", {1: "GOLD^Gold", 10: "20260302"})))
    lines = asked_again(
        trial, VISIT, aut({6: "PA1", 8: "5"}), THERAPY, aut({8: "7"}), top=aut(number="PA1"), referral="R1"
    )
    assert [line for line in lines if line.startswith("AUT")] == [
        "AUT|GOLD^Gold|ACME||20260401|20260930|PA1|||2|20260302",
        "AUT||ACME||||PA1||3|2",
        "AUT||ACME||||||1|0",
    ]
    assert lines[1] == "MSA|AA|C9"
    assert only(lines, "RF1")[1] == "A"


def test_from_2_8_a_decision_is_written_in_full() -> None:
    trial = Trial()
    full = {4: "20260401", 6: "PA1", 13: "SPEC", 14: "AP^Approved^HL70563", 18: "2^VISIT", 24: "7^Marsh^Eve", 28: "ok"}
    trial.send(answer(VISIT, aut(full), version="2.8"))
    lines = asked_again(trial, VISIT, aut({6: "PA1", 13: "SPEC"}), version="2.8")
    assert only(lines, "AUT") == aut(full).split("|")


def test_each_version_gets_the_fields_it_has() -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1", {11: "PT", 13: "SPEC", 14: "AP", 28: "ok"}), version="2.8"))
    assert only(asked_again(trial, VISIT, aut(number="PA1"), version="2.5"), "AUT")[9:] == ["2"]
    assert only(asked_again(trial, VISIT, aut(number="PA1"), version="2.7", control_id="C8"), "AUT")[9:] == [
        "2", "", "PT"
    ]  # fmt: skip


def test_a_number_of_treatments_has_no_unit_before_2_7() -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1", {9: "2^VISIT", 13: "SPEC"}), version="2.8"))
    assert only(asked_again(trial, VISIT, aut(number="PA1"), version="2.5"), "AUT")[9] == "2"


def test_the_number_comes_back_as_the_requester_wrote_it() -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1^UM")))
    lines = asked_again(trial, VISIT, aut(number="PA1^UM^2.16.840^ISO"))
    assert only(lines, "AUT")[6] == "PA1^UM^2.16.840^ISO"
    assert only(lines, "AUT")[9] == "2"


def test_lines_are_found_by_their_procedure_and_without_a_code_by_their_place() -> None:
    trial = Trial()
    trial.send(
        answer(VISIT, aut({9: "1"}), THERAPY, aut({9: "2"}), "PR1|3||^Rest||2026", aut({9: "3"}), top=granted("PA1"))
    )
    lines = asked_again(
        trial, THERAPY, aut({8: "9"}), VISIT, aut({8: "9"}), "PR1|3||^Rest||2026", aut({8: "9"}), top=aut(number="PA1")
    )
    assert [only(lines, "AUT", number)[9] for number in (1, 2, 3)] == ["2", "1", "3"]


def test_a_procedure_that_nobody_decided_has_no_decision() -> None:
    trial = Trial()
    trial.send(answer(VISIT, aut({9: "1"}), top=granted("PA1")))
    lines = asked_again(
        trial, IMAGING, aut({8: "9"}), VISIT, aut({8: "9"}), THERAPY, aut({8: "9"}), top=aut(number="PA1")
    )
    assert only(lines, "AUT", 1) == aut({8: "9"}).split("|")
    assert only(lines, "AUT", 2)[9] == "1"
    assert only(lines, "AUT", 3) == aut({8: "9"}).split("|")


def test_a_request_about_one_decided_and_one_new_authorization() -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1")))
    lines = asked_again(trial, VISIT, aut(number="PA1"), THERAPY, aut({6: "PA2", 8: "4"}), IMAGING, aut({8: "5"}))
    assert lines[1] == "MSA|AA|C9|pended"
    assert [only(lines, "AUT", number) for number in (1, 2)] == [
        aut({6: "PA2", 8: "4"}).split("|"), aut({8: "5"}).split("|")
    ]  # fmt: skip
    assert only(lines, "AUT", 0)[9] == "2"


def test_an_aut_that_stands_nowhere_is_answered_as_pended() -> None:
    trial = Trial(channel(errors="accept"))
    lines = reply(trial.send(request(VISIT, aut({8: "1"}), aut({8: "2"}))))
    assert [only(lines, "AUT", number) for number in (0, 1)] == [aut({8: "1"}).split("|"), aut({8: "2"}).split("|")]


@pytest.mark.parametrize("decided", [True, False])
def test_an_action_code_is_never_sent_back(decided: bool) -> None:
    trial = Trial()
    if decided:
        trial.send(answer(VISIT, granted("PA1", {13: "SPEC"})))
    lines = asked_again(trial, VISIT, aut({6: "PA1", 13: "SPEC", 28: "x", 29: "S"}), version="2.9")
    assert len(only(lines, "AUT")) <= 29


def test_the_requesters_own_delimiters() -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1", {1: "GOLD^50% & more^L", 7: "12&USD"})))
    raw = (
        "MSH$%*!?$FRONT$NORTH$PAYER$SOUTH$20260301$$RQA%I09$C9$P$2.5\rRF1$$$$$$R1\rPRD$RP$Moss%Ada\r"
        "PID$$$77001$$Quill%Ivo\rPR1$1$$99213%Visit%C4$$20260401\rAUT$$ACME$$$$PA1\r"
    )
    lines = reply(trial.send(raw.encode()))
    assert lines[0].startswith("MSH$%*!?$PAYER$SOUTH$FRONT$NORTH$")
    assert "$RPA%I09%RPA_I08$" in lines[0]
    assert lines[1] == "MSA$AA$C9"
    assert lines[-1] == "AUT$GOLD%50!S! & more%L$ACME$$20260401$20260930$PA1$12?USD$$2"
    trial = Trial()
    lines = reply(trial.send(raw.replace("$2.5\r", "$2.8\r").replace("$PA1\r", "$PA1$$$$$$$SPEC\r").encode()))
    assert lines[-1].split("$")[14] == "PE%Pended%HL70563"
    assert lines[2] == "RF1$P$$$$$R1"


def test_p72_the_character_set_is_that_of_the_requester() -> None:
    raw = request(VISIT, charset="8859/1", codec="iso8859_1").replace(b"Moss", "Möss".encode("iso8859_1"))
    outcome = Trial().send(raw)
    assert only(reply(outcome, "iso8859_1"), "MSH")[17] == "8859/1"
    assert only(reply(outcome, "iso8859_1"), "PRD")[2] == "Möss^Ada"


def test_a_cancellation_is_confirmed_as_such() -> None:
    trial = Trial()
    trial.send(answer(VISIT, THERAPY, top=granted("PA1", {13: "SPEC", 14: "AP^Approved"}), version="2.8"))
    lines = asked_again(trial, VISIT, THERAPY, top=aut({6: "PA1", 13: "SPEC"}), version="2.8", event="I11")
    assert only(lines, "AUT")[14] == "CA^Cancelled^HL70563"


def test_a_cancellation_of_a_line_is_not_answered_with_the_old_approval() -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1", {13: "SPEC", 14: "AP^Approved"}), version="2.8"))
    lines = asked_again(trial, VISIT, aut({6: "PA1", 13: "SPEC"}), version="2.8", event="I11")
    assert only(lines, "AUT")[14].split("^")[0] == "CA"


def test_a_cancellation_that_was_carried_out_is_not_pending() -> None:
    trial = Trial()
    trial.send(request(VISIT, aut({8: "3"}), referral="R1"))
    lines = asked_again(trial, event="I11", referral="R1")
    assert trial.statuses("?R1@FRONT:NORTH") == ["cancelled"]
    assert lines[1] == "MSA|AA|C9"
    assert only(lines, "RF1")[1] != "P"


def test_asking_for_the_status_of_a_decided_referral_is_not_answered_as_pending() -> None:
    trial = Trial()
    trial.send(request(VISIT, kind="REF", event="I12", referral="R1"))
    trial.send(answer(VISIT, granted("PA1"), kind="RRI", event="I12", referral="R1"))
    assert trial.statuses("?R1@FRONT:NORTH") == ["approved"]
    lines = asked_again(trial, kind="REF", event="I15", referral="R1")
    assert lines[1] == "MSA|AA|C9"
    assert only(lines, "RF1")[1] != "P"


def decided_referral(*segments: str, top: str = "", **head: str) -> Trial:
    """A referral that was answered with these segments."""
    trial = Trial()
    trial.send(request(VISIT, kind="REF", event="I12", referral="R1"))
    trial.send(answer(*segments, top=top, kind="RRI", event="I12", referral="R1", **head))
    return trial


@pytest.mark.parametrize(
    ("decision", "status"),
    [
        (granted("PA1"), "A"),
        (granted("PA1", {8: "3"}), "A"),
        (granted("PA1", {9: "0"}), "R"),
        (aut(number="PA1"), "P"),
    ],
)
def test_rf1_1_says_how_the_referral_stands(decision: str, status: str) -> None:
    lines = asked_again(decided_referral(VISIT, decision), kind="REF", event="I15", referral="R1")
    assert only(lines, "RF1")[1] == status


def test_a_referral_that_is_not_known_has_no_status() -> None:
    lines = reply(Trial().send(request(kind="REF", event="I15", referral="R1")))
    assert only(lines, "RF1")[1] == ""
    assert lines[1] == "MSA|AA|C1"
    assert names(lines) == ["MSH", "MSA", "RF1", "PRD", "PID"]


def test_what_the_store_knows_is_added_where_the_request_names_no_procedure() -> None:
    trial = decided_referral(VISIT, aut({6: "PA1", 9: "1"}), THERAPY, aut({6: "PA2^UM", 9: "0"}))
    trial.send(answer(VISIT, granted("PA9"), to="ELSE", control_id="D9"))  # of no referral
    lines = asked_again(trial, "DG1|1||M17.1", "PV1|1|O", "NTE|1||how is it?", kind="REF", event="I15", referral="R1")
    assert lines[2:] == [
        "RF1|A|||||R1",
        PRD,
        PID,
        "DG1|1||M17.1",
        "PR1|1||99213^Visit^C4",
        "AUT||ACME||||PA1|||1",
        "PR1|2||97110^Exercise^C4",
        "AUT||ACME||||PA2^UM|||0",
        "PV1|1|O",
        "NTE|1||how is it?",
    ]


def test_one_authorization_is_told_in_full_where_the_request_names_none() -> None:
    trial = decided_referral(VISIT, aut({8: "3", 9: "2"}), top=granted("PA1^UM"))
    lines = asked_again(trial, kind="REF", event="I15", referral="R1")
    assert lines[2:] == [
        "RF1|A|||||R1",
        "AUT||ACME||20260401|20260930|PA1^UM|||2",
        PRD,
        PID,
        "PR1|1||99213^Visit^C4",
        "AUT||ACME||||PA1^UM||3|2",
    ]


def test_a_number_of_the_payor_is_told_without_a_namespace() -> None:
    lines = asked_again(decided_referral(VISIT, granted("PA1")), kind="REF", event="I15", referral="R1")
    assert {line.split("|")[6] for line in lines if line.startswith("AUT")} == {"PA1"}


def test_every_aut_of_an_answer_names_its_payor() -> None:
    trial = decided_referral(VISIT, THERAPY, aut({9: "1"}), top=granted("PA1"))
    lines = asked_again(trial, kind="REF", event="I15", referral="R1")
    assert names(lines)[-3:] == ["PR1", "PR1", "AUT"]
    assert {line.split("|")[2] for line in lines if line.startswith("AUT")} == {"ACME"}


def test_a_request_that_names_its_number_alone_learns_the_procedures() -> None:
    trial = Trial()
    trial.send(answer(VISIT, aut({9: "1"}), top=granted("PA1")))
    lines = asked_again(trial, top=aut(number="PA1"))
    assert lines[2:] == [
        "AUT||ACME||20260401|20260930|PA1|||2", PRD, PID, "PR1|1||99213^Visit^C4", "AUT||ACME||||PA1|||1"
    ]  # fmt: skip


def test_a_referral_that_was_refused_without_a_number_is_told_as_refused() -> None:
    trial = decided_referral(VISIT, aut({8: "3", 9: "0"}))
    lines = asked_again(trial, kind="REF", event="I15", referral="R1")
    assert lines[1:] == [
        "MSA|AA|C9", "RF1|R|||||R1", PRD, PID, "PR1|1||99213^Visit^C4", "AUT||ACME||||||3|0"
    ]  # fmt: skip
