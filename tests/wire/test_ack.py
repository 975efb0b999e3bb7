"""Acknowledgements per version, and MSA read back."""

import pytest

from hl7auth.wire.ack import Location, Msa, Problem, Reply, acknowledge, condition, read_msa
from hl7auth.wire.message import parse
from hl7auth.wire.versions import VERSIONS, at_least

THIRD_AUT = Problem("101", "AUT-2 is empty", Location("AUT", 3, 2), rule="AUT-2.usage")


def reply(version: str, event: str = "I08", control_id: str = "C1", delimiters: str = "^~\\&") -> Reply:
    c = delimiters[0]
    raw = f"MSH|{delimiters}|EHR{c}1|CLINIC|UM|PAYER|20260301||RQA{c}{event}|{control_id}|T|{version}\r"
    message = parse(raw.encode())
    return Reply(message.header, message.delimiters, "20260301101500+0000", "R9")


def segments(version: str, *problems: Problem, code: str = "AE") -> list[str]:
    return acknowledge(reply(version), code, problems).rstrip("\r").split("\r")


def test_p63_the_reply_swaps_parties_copies_msh_11_and_keeps_the_event() -> None:
    msh, msa = acknowledge(reply("2.5.1", "I10"), "AA").rstrip("\r").split("\r")
    assert msh == "MSH|^~\\&|UM|PAYER|EHR^1|CLINIC|20260301101500+0000||ACK^I10^ACK|R9|T|2.5.1"
    assert msa == "MSA|AA|C1"


@pytest.mark.parametrize(
    ("version", "kind"), [("2.3", "ACK^I08"), ("2.3.1", "ACK^I08"), ("2.4", "ACK^I08^ACK"), ("2.9.1", "ACK^I08^ACK")]
)
def test_the_structure_of_an_ack_is_named_from_2_4(version: str, kind: str) -> None:
    assert f"|{kind}|" in segments(version)[0]


def test_p64_p65_err_1_up_to_2_4() -> None:
    assert segments("2.4", THIRD_AUT)[2] == "ERR|AUT^3^2^101&Required field missing&HL70357"
    assert segments("2.3", THIRD_AUT)[2] == "ERR|AUT^3^2^101&Required field missing&L"
    both = segments("2.4", THIRD_AUT, Problem("102", "no date", Location("AUT", 1, 4)))
    assert len(both) == 3
    assert both[2].count("~") == 1


def test_p64_p65_err_2_3_4_from_2_5_and_no_msa_3_from_2_7() -> None:
    for version in [each for each in VERSIONS if at_least(each, "2.5")]:
        lines = segments(version, THIRD_AUT, Problem("102", "no date", Location("AUT", 1, 4, 1, 1)))
        assert lines[2] == "ERR||AUT^3^2|101^Required field missing^HL70357|E|||AUT-2.usage|AUT-2 is empty"
        assert lines[3].startswith("ERR||AUT^1^4^1^1|102^")
        assert lines[1] == ("MSA|AE|C1" if at_least(version, "2.7") else "MSA|AE|C1|AUT-2 is empty")


def test_err_1_is_never_written_from_2_7() -> None:
    for version in [each for each in VERSIONS if at_least(each, "2.7")]:
        assert segments(version, THIRD_AUT)[2].split("|")[1] == ""


@pytest.mark.parametrize(
    ("code", "version", "written"),
    [
        ("204", "2.8.2", ("204", "")), ("204", "2.9", ("207", "101")), ("205", "2.9", ("207", "102")),
        ("206", "2.9.1", ("207", "103")), ("198", "2.8", ("100", "")), ("198", "2.9", ("198", "")),
        ("199", "2.5", ("207", "")), ("104", "2.6", ("102", "")), ("104", "2.7", ("104", "")),
        ("101", "2.3", ("101", "")),
    ],
)  # fmt: skip
def test_codes_that_a_version_does_not_have(code: str, version: str, written: tuple[str, str]) -> None:
    assert condition(code, version) == written


def test_err_5_carries_table_0533_from_2_9() -> None:
    line = segments("2.9", Problem("205", "known already", Location("AUT", 1, 6)))[2]
    assert line.split("|")[3:6] == ["207^Application internal error^HL70357", "E", "102^^HL70533"]


def test_p74_msa_2_echoes_a_long_control_id_in_full() -> None:
    long_id = "0f8fad5b-d9cb-469f-a165-70867728950e"
    assert f"MSA|AA|{long_id}\r" in acknowledge(reply("2.3.1", control_id=long_id), "AA")


def test_p73_an_empty_control_id_is_answered_with_an_empty_msa_2() -> None:
    assert "\rMSA|AR|\r" in acknowledge(reply("2.5", control_id=""), "AR")


def test_the_senders_delimiters_are_used() -> None:
    text = acknowledge(reply("2.4", delimiters="@~\\{"), "AE", [THIRD_AUT])
    assert text.startswith("MSH|@~\\{|UM|PAYER|EHR@1|")
    assert "ERR|AUT@3@2@101{Required field missing{HL70357\r" in text


def test_what_is_said_can_not_break_the_reply() -> None:
    lines = segments("2.5", Problem("207", "a|b^c\rMSH|", Location("MSH")))
    assert len(lines) == 3
    assert lines[2].endswith("a\\F\\b\\S\\c\\X0D\\MSH\\F\\")


def test_an_unknown_version_is_answered_in_a_known_one() -> None:
    assert segments("3.14")[0].endswith("|T|2.5")


def test_msa_is_read_back() -> None:
    assert read_msa(acknowledge(reply("2.4"), "CA")) == Msa("CA", "C1", "")
    assert read_msa("MSH|^~\\&|\rMSA|AE|7|wrong\rERR|x") == Msa("AE", "7", "wrong")
    assert read_msa("MSH|^~\\&|\rPID|1\r") is None
    assert read_msa("hello") is None
    assert Msa("CA", "", "").positive
    assert not Msa("AR", "", "").positive
