"""Which stored line a procedure means."""

from typing import Any

from hl7auth.domain.authorization import Line
from hl7auth.domain.lines import Lines, matched
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.message import Segment


def line(code: str = "", identifier: str = "") -> Line:
    text = f"PR1|1||{code}" + ("|" * 16 + identifier if identifier else "")
    return Line(Segment(text, Delimiters()), None)


def stored(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"procedure": {"code": code}} | ({"identifier": name} if name else {}) for code, name in pairs]


def test_an_identifier_goes_before_the_code() -> None:
    lines = stored(("A", "1"), ("A", "2"), ("B", ""))
    assert matched(lines, [line("A", "2"), line("A", "1"), line("B", "9"), line("A", "9")]) == [1, 0, 2, None]


def test_a_code_that_comes_twice_means_the_next_one_each_time() -> None:
    assert matched(stored(("A", ""), ("B", ""), ("A", "")), [line("A"), line("A"), line("A")]) == [0, 2, None]


def test_without_a_code_the_place_counts() -> None:
    assert matched(stored(("A", ""), ("", "")), [line(), line()]) == [None, 1]
    assert matched(stored(("", "")), [line(), line()]) == [0, None]


def test_a_deleted_identifier_is_none() -> None:
    assert matched(stored(("A", "")), [line("A", '""')]) == [0]


def test_how_many_lines_are_alike() -> None:
    lines = Lines(stored(("A", ""), ("A", ""), ("B", "")))
    assert [lines.alike(each) for each in (line("A"), line("B"), line("C"), line(), line("A", "1"))] == [2, 1, 0, 0, 0]
