"""Steps that change values: only what they name changes, in the sender's delimiters, escapes and character set."""

from typing import Any

import pytest

from hl7auth.steps.faults import StepRefused
from tests.steps.shaping import HEAD, message, one, segments, shaped


@pytest.mark.parametrize(
    ("before", "values", "after"),
    [
        ("PID|1||5||X^Y||1980|F", {"PID-8": "U"}, "PID|1||5||X^Y||1980|U"),
        ("PID|1", {"PID-4": "A"}, "PID|1|||A"),
        ("PID", {"PID-1": "1"}, "PID|1"),
        ("PID|1|", {"PID-2": "A"}, "PID|1|A"),
        ("PID|1||5|||", {"PID-3": ""}, "PID|1|||||"),
        ("PID|1", {"PID-9": ""}, "PID|1"),
        ("PID|1||5", {"PID-3.4": ""}, "PID|1||5"),
        ("PID|1||5", {"PID-3.4": "N"}, "PID|1||5^^^N"),
        ("PID|1||5^^^A^MR~6~", {"PID-3.4": "N"}, "PID|1||5^^^N^MR~6^^^N~^^^N"),
        ("PID|1||5^^^A&B&C^MR", {"PID-3.4.2": "N"}, "PID|1||5^^^A&N&C^MR"),
        ("PID|1||5~6~7", {"PID-3": "N"}, "PID|1||N"),
        ("PID|1||5^A~6^A~7^A", {"PID-3[2]": "N"}, "PID|1||5^A~N~7^A"),
        ("PID|1||5^A~6^A~7^A", {"PID-3[*]": "N"}, "PID|1||N~N~N"),
        ("PID|1||5~6~7", {"PID-3[last].2": "N"}, "PID|1||5~6~7^N"),
        ("PID|1||5", {"PID-3[3].2": "N"}, "PID|1||5~~^N"),
        ("PID|1||5", {"PID-3[3]": ""}, "PID|1||5"),
        ('PID|1||""', {"PID-3.4": "N"}, "PID|1||^^^N"),
        ('PID|1||""', {"PID-3.4": ""}, 'PID|1||""'),
        ("PID|1||5", {"PID-3": '""'}, 'PID|1||""'),
        ("PID|1||5", {"PID-3": {"hl7": "A^B&C~D"}}, "PID|1||A^B&C~D"),
        ("PID|1||5", {"PID-3": {"text": "a|b^c&d~e\\f"}}, "PID|1||a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f"),
        ("PID|1||5", {"PID-3.2": {"text": "M & N"}}, "PID|1||5^M \\T\\ N"),
        ("PID|1||5", {"PID-3": "a\rb\nc\x0b"}, "PID|1||a\\X0D\\b\\X0A\\c\\X0B\\"),
        ("PID|1||5", {"PID-3": "é"}, "PID|1||\\XC3A9\\"),
        ("PID|1||5", {"ZZZ-3": "é"}, "PID|1||5"),
    ],
)
def test_set(before: str, values: dict[str, Any], after: str) -> None:
    assert one(before, {"set": values}) == after


def test_set_reaches_every_segment_unless_one_is_named() -> None:
    raw = message("AUT|A", "PR1|1", "AUT|B", "AUT|C")
    assert segments(raw, {"set": {"AUT-1": "N"}}) == ["AUT|N", "PR1|1", "AUT|N", "AUT|N"]
    assert segments(raw, {"set": {"AUT[*]-1": "N"}}) == ["AUT|N", "PR1|1", "AUT|N", "AUT|N"]
    assert segments(raw, {"set": {"AUT[2]-1": "N"}}) == ["AUT|A", "PR1|1", "AUT|N", "AUT|C"]
    assert segments(raw, {"set": {"AUT[last]-1": "N"}}) == ["AUT|A", "PR1|1", "AUT|B", "AUT|N"]
    assert segments(raw, {"set": {"AUT[4]-1": "N"}}) == ["AUT|A", "PR1|1", "AUT|B", "AUT|C"]


def test_a_segment_that_is_not_there_is_remarked() -> None:
    (remark,) = shaped(message("PID|1"), {"set": {"ZAU-1": "N"}}).remarks
    assert remark == ("1", "set", "no ZAU: nothing set", "")


def test_fields_of_msh_count_as_hl7_counts_them() -> None:
    raw = shaped(message(), {"set": {"MSH-3": "GATE", "MSH-10": "C2"}}).raw
    assert raw == HEAD.replace("FRONT", "GATE").replace("|C1|", "|C2|").encode() + b"\r"


def test_values_are_written_with_the_delimiters_of_the_sender() -> None:
    raw = b"MSH$%*?!$A$B$C$D$2026$$RQA%I08$1$P$2.5\rPID$1$$5\r"
    steps = {"set": {"PID-3": {"hl7": "A^B&C~D\\E\\!"}, "PID-4": {"text": "^$%"}}}
    assert shaped(raw, steps).raw.endswith(b"\rPID$1$$A%B!C*D?E??T?$^?F??S?\r")


def test_a_sender_without_subcomponents_has_none_written() -> None:
    raw = b"MSH|^~\\|A|B|C|D|2026||RQA^I08|1|P|2.5\rPID|1||5^A&B\r"
    assert shaped(raw, {"set": {"PID-3.2.1": "N"}}).raw.endswith(b"|5^N\r")
    for step in ({"set": {"PID-3.2.2": "N"}}, {"set": {"PID-3": {"hl7": "A&B"}}}):
        with pytest.raises(StepRefused, match="declares no subcomponent separator"):
            shaped(raw, step)


@pytest.mark.parametrize(
    ("before", "pair", "after"),
    [
        ("AUT|A|B|C", {"from": "AUT-1", "to": "AUT-3"}, "AUT|A|B|A"),
        ("AUT|A^B~C|D", {"from": "AUT-1", "to": "AUT-2"}, "AUT|A^B~C|A^B~C"),
        ("AUT|A^B~C|D", {"from": "AUT-1", "to": "AUT-2[2]"}, "AUT|A^B~C|D~A^B"),
        ("AUT|A^B~C|D", {"from": "AUT-1", "to": "AUT-2.3"}, "AUT|A^B~C|D^^A"),
        ("AUT|A&X^B~C|D", {"from": "AUT-1.1", "to": "AUT-2.1.2"}, "AUT|A&X^B~C|D&A"),
        ("AUT|A&X^B~C|D", {"from": "AUT-1.1", "to": "AUT-2"}, "AUT|A&X^B~C|A&X"),
        ("AUT|A&X^B~C|D", {"from": "AUT-1.1.2", "to": "AUT-2"}, "AUT|A&X^B~C|X"),
        ("AUT|A^B~C^D|D", {"from": "AUT-1[2].2", "to": "AUT-2"}, "AUT|A^B~C^D|D"),
        ("AUT|A^B~C^D|X", {"from": "AUT-1[last].1", "to": "AUT-2"}, "AUT|A^B~C^D|C"),
        ("AUT|A^B~C^D", {"from": "AUT-1.2", "to": "AUT-1.3"}, "AUT|A^B^B~C^D^D"),
        ("AUT|a\\T\\b\\.br\\", {"from": "AUT-1", "to": "AUT-2.2"}, "AUT|a\\T\\b\\.br\\|^a\\T\\b\\.br\\"),
        ("AUT||B", {"from": "AUT-1", "to": "AUT-2"}, "AUT||"),
        ('AUT|""|B', {"from": "AUT-1", "to": "AUT-2"}, 'AUT|""|""'),
    ],
)
def test_copy(before: str, pair: dict[str, str], after: str) -> None:
    assert one(before, {"copy": pair}) == after


def test_copy_between_segments_takes_the_first_and_writes_all() -> None:
    raw = message("AUT|A", "AUT|B", "ZAU", "ZAU")
    assert segments(raw, {"copy": {"from": "AUT-1", "to": "ZAU-2"}})[2:] == ["ZAU||A", "ZAU||A"]
    assert segments(raw, {"copy": {"from": "AUT[2]-1", "to": "ZAU[1]-2"}})[2:] == ["ZAU||B", "ZAU"]
    assert segments(raw, {"copy": {"from": "AUT[*]-1", "to": "ZAU[*]-2"}})[2:] == ["ZAU||A", "ZAU||B"]
    assert segments(raw, {"copy": {"from": "AUT-1", "to": "AUT-2"}})[:2] == ["AUT|A|A", "AUT|B|B"]
    assert shaped(raw, {"copy": {"from": "PV1-1", "to": "ZAU-2"}}).raw == raw


def test_move_leaves_nothing_behind_but_separators() -> None:
    assert one("PR1|1|A|B", {"move": {"from": "PR1-2", "to": "PR1-3"}}) == "PR1|1||A"
    assert one("PR1|1|A^B", {"move": {"from": "PR1-2.1", "to": "PR1-2.2"}}) == "PR1|1|^A"
    assert one("PR1|1|A", {"move": {"from": "PR1-2", "to": "PR1-2"}}) == "PR1|1|A"
    raw = message("AUT|A", "AUT|B", "ZAU")
    assert segments(raw, {"move": {"from": "AUT[2]-1", "to": "ZAU-1"}}) == ["AUT|A", "AUT|", "ZAU|B"]
    assert shaped(message("AUT|A"), {"move": {"from": "AUT-1", "to": "ZAU-1"}}).raw == message("AUT|A")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("PID|||||Orrell Tamsin J", "PID|||||Orrell^Tamsin J"),
        ("PID|||||Orrell^X", "PID|||||Orrell^X"),
        ("PID|||||A B~C D", "PID|||||A^B~C^D"),
        ("PID|||||", "PID|||||"),
        ("PID|||||a\\.sp 1\\b c", "PID|||||a\\.sp 1\\b^c"),
    ],
)
def test_split(before: str, after: str) -> None:
    assert one(before, {"split": {"from": "PID-5.1", "at": " ", "to": ["PID-5.1", "PID-5.2"]}}) == after


def test_split_finds_delimiters_as_they_are_escaped() -> None:
    step = {"split": {"from": "AUT-1", "at": "&", "to": ["AUT-1", "AUT-2", "AUT-3"]}}
    assert one("AUT|a\\T\\b\\F\\|X|Y", step) == "AUT|a|b\\F\\|Y"


def test_join_leaves_out_what_is_empty() -> None:
    step = {"join": {"from": ["PID-5.2", "PID-5.3", "PID-5.1"], "with": " & ", "to": "PID-9"}}
    assert one("PID|||||Orrell^^J", step) == "PID|||||Orrell^^J||||J \\T\\ Orrell"
    assert one("PID|||||^^|||X", step) == "PID|||||^^|||X"
    same = {"join": {"from": ["PID-5.1", "PID-5.2"], "to": "PID-5.1"}}
    assert one("PID|||||A^B~C^D", same) == "PID|||||AB^B~CD^D"


def test_new_values_are_written_in_the_character_set_of_the_message() -> None:
    head = f"{HEAD}||||||"
    for name, codec in (("8859/1", "latin_1"), ("UNICODE UTF-8", "utf_8"), ("GB 18030-2000", "gb18030")):
        raw = message("PID|1||Ä", head=head + name, codec=codec)
        assert segments(raw, {"set": {"PID-4": "ö"}}, codec=codec) == ["PID|1||Ä|ö"]
    raw = message("PID|1||Ä", head=head + "8859/1", codec="latin_1")
    assert segments(raw, {"set": {"PID-4": "漢"}}, codec="latin_1") == ["PID|1||Ä|\\XE6BCA2\\"]
    raw = message("PID|1||漢字", head=head + "ISO IR87", codec="iso2022_jp")
    assert segments(raw, {"set": {"PID-4": "字é"}}, codec="iso2022_jp") == ["PID|1||漢字|字\\XC3A9\\"]


def test_undeclared_bytes_stay_and_new_text_follows_them() -> None:
    raw = message("PID|1||Müller", codec="latin_1")
    assert segments(raw, {"set": {"PID-4": "ß"}}, codec="latin_1") == ["PID|1||Müller|ß"]
    raw = message("PID|1||Müller", codec="utf_8")
    assert segments(raw, {"set": {"PID-4": "ß"}}, codec="utf_8") == ["PID|1||Müller|ß"]


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "end"])
def test_segment_ends_blanks_and_odd_lines_stay(end: str, last: str) -> None:
    text = end.join([HEAD, "  PID|1||5", ",", "", "AUT|A"]) + (end if last else "")
    assert shaped(text.encode(), {"set": {"AUT-1": "N", "PID-3": "6"}}).raw == (
        text.replace("|5", "|6").replace("AUT|A", "AUT|N").encode()
    )
