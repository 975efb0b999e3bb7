"""Steps that add and remove: the line ends and odd lines of the sender stay where they were."""

from typing import Any

import pytest

from tests.steps.shaping import HEAD, message, one, segments, shaped

RAW = message("PID|1", "AUT|A", "PR1|1", "AUT|B", "NTE|1")


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ({}, "PID AUT PR1 AUT NTE ZAU"),
        ({"after": "AUT"}, "PID AUT PR1 AUT ZAU NTE"),
        ({"after": "AUT[1]"}, "PID AUT ZAU PR1 AUT NTE"),
        ({"after": "AUT[*]"}, "PID AUT ZAU PR1 AUT ZAU NTE"),
        ({"after": "NTE[last]"}, "PID AUT PR1 AUT NTE ZAU"),
        ({"after": "MSH"}, "ZAU PID AUT PR1 AUT NTE"),
        ({"before": "AUT"}, "PID ZAU AUT PR1 AUT NTE"),
        ({"before": "AUT[*]"}, "PID ZAU AUT PR1 ZAU AUT NTE"),
        ({"before": "AUT[2]"}, "PID AUT PR1 ZAU AUT NTE"),
        ({"after": "AUT[3]"}, "PID AUT PR1 AUT NTE"),
        ({"after": "IN1"}, "PID AUT PR1 AUT NTE"),
    ],
)
def test_add_a_segment(where: dict[str, str], names: str) -> None:
    found = segments(RAW, {"add": {"segment": "ZAU|1|A^B"} | where})
    assert " ".join(segment[:3] for segment in found) == names
    assert all(segment == "ZAU|1|A^B" for segment in found if segment.startswith("ZAU"))


def test_an_anchor_that_is_not_there_is_remarked() -> None:
    (remark,) = shaped(RAW, {"add": {"segment": "ZAU", "after": "IN1"}}).remarks
    assert remark.text == "no IN1: nothing added"


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_an_added_segment_ends_as_its_neighbours_do(end: str) -> None:
    text = end.join([HEAD, "PID|1", "AUT|A"])
    step = {"add": {"segment": "ZAU|1"}}
    assert shaped(text.encode(), step).raw == (text + end + "ZAU|1").encode()
    assert shaped((text + end).encode(), step).raw == (text + end + "ZAU|1" + end).encode()
    behind = {"add": {"segment": "ZAU|1", "after": "PID"}}
    assert shaped(text.encode(), behind).raw == end.join([HEAD, "PID|1", "ZAU|1", "AUT|A"]).encode()


def test_an_added_segment_has_the_delimiters_of_the_sender() -> None:
    raw = b"MSH$%*?!$A$B$C$D$2026$$RQA%I08$1$P$2.5\r"
    assert shaped(raw, {"add": {"segment": "ZAU|a^b|$"}}).raw == raw + b"ZAU$a%b$?F?\r"


def test_an_added_segment_can_be_filled_by_later_steps() -> None:
    steps = ({"add": {"segment": "ZAU|1", "after": "PID"}}, {"copy": {"from": "AUT-1", "to": "ZAU-2"}})
    assert segments(RAW, *steps)[1] == "ZAU|1|A"


def test_remove_segments() -> None:
    assert segments(RAW, {"remove": {"segment": "AUT"}}) == ["PID|1", "PR1|1", "NTE|1"]
    assert segments(RAW, {"remove": {"segment": "AUT[2]"}}) == ["PID|1", "AUT|A", "PR1|1", "NTE|1"]
    assert segments(RAW, {"remove": {"segment": "AUT", "where": "AUT-1 = 'A'"}})[1:] == ["PR1|1", "AUT|B", "NTE|1"]
    assert shaped(RAW, {"remove": {"segment": "ZIN"}}).raw == RAW


def test_what_stood_behind_a_removed_segment_stays() -> None:
    raw = f"{HEAD}\rPID|1\r,\r  AUT|A\r\rNTE|1".encode()
    assert shaped(raw, {"remove": {"segment": "PID"}}).raw == f"{HEAD}\r,\r  AUT|A\r\rNTE|1".encode()
    assert shaped(raw, {"remove": {"segment": "NTE"}}).raw == f"{HEAD}\rPID|1\r,\r  AUT|A\r\r".encode()


@pytest.mark.parametrize(
    ("before", "step", "after"),
    [
        ("PID|1||5", {"add": {"repetition": "6^^^N^MR", "to": "PID-3"}}, "PID|1||5~6^^^N^MR"),
        ("PID|1", {"add": {"repetition": "6^^^N^MR", "to": "PID-3"}}, "PID|1||6^^^N^MR"),
        ('PID|1||""', {"add": {"repetition": "6", "to": "PID-3"}}, "PID|1||6"),
        ("PID|1||5~6~7|X", {"remove": {"repetition": "PID-3[2]"}}, "PID|1||5~7|X"),
        ("PID|1||5~6~7|X", {"remove": {"repetition": "PID-3[last]"}}, "PID|1||5~6|X"),
        ("PID|1||5~6~7|X", {"remove": {"repetition": "PID-3[4]"}}, "PID|1||5~6~7|X"),
        ("PID|1||5|X", {"remove": {"repetition": "PID-3[1]"}}, "PID|1|||X"),
        ("PID|1||5^S~6^M~7^S", {"remove": {"repetition": "PID-3", "where": "this.2 = 'S'"}}, "PID|1||6^M"),
        ("PID|1||5^S~6^M~7^S", {"remove": {"repetition": "PID-3[*]", "where": "PID-1 = '1'"}}, "PID|1||"),
        ("PID|1", {"remove": {"repetition": "PID-3", "where": "this.2 empty"}}, "PID|1"),
    ],
)
def test_repetitions(before: str, step: dict[str, Any], after: str) -> None:
    assert one(before, step) == after
