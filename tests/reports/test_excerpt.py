"""A segment for the eye: masked by shape, with the place marked, however long it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hl7auth.reports.excerpt import WIDTH, columns, excerpt, harmless
from hl7auth.wire.delimiters import read_delimiters
from hl7auth.wire.message import Segment

MARKS = read_delimiters("|", "^~\\&")


def segment(text: str) -> Segment:
    return Segment(text, MARKS)


def test_the_name_of_the_segment_stays_and_its_values_do_not() -> None:
    shown = excerpt(segment("PID|||77001||Quill^Ivo"), 13, 18, values=False)
    assert shown.text == "PID|||99999||Aaaaa^Aaa"
    assert shown.caret == "             ^^^^^"


def test_a_masked_segment_is_as_long_as_it_was_beyond_the_length_of_a_shape() -> None:
    shown = excerpt(segment("NTE|1||" + "Zoë Quill " * 8), 7, 87, values=False)
    assert shown.text == "NTE|9||" + "Aaa Aaaaa " * 8
    assert (shown.start, shown.end) == (7, 87)


def test_the_delimiters_of_msh_stay() -> None:
    shown = excerpt(segment("MSH|^~\\&|EHR|NORTH"), 9, 12, values=False)
    assert shown.text == "MSH|^~\\&|AAA|AAAAA"


def test_values_are_shown_where_they_are_asked_for() -> None:
    assert excerpt(segment("PID|||77001"), 6, 11, values=True).text == "PID|||77001"


def test_an_empty_place_has_one_caret() -> None:
    shown = excerpt(segment("AUT|GOLD||"), 9, 9, values=False)
    assert shown.caret == "         ^"


def test_the_caret_stands_under_wide_letters() -> None:
    shown = excerpt(segment("PID|王小明|x"), 8, 9, values=True)
    assert shown.caret == " " * 11 + "^"


@pytest.mark.parametrize("start", [0, 40, 500, 960, 999])
def test_of_a_long_segment_the_neighbourhood_is_shown(start: int) -> None:
    text = "OBX|" + "".join(chr(ord("a") + number % 26) for number in range(996))
    shown = excerpt(segment(text), start, min(start + 3, 1000), values=True)
    assert len(shown.text) <= WIDTH + 2
    assert shown.text[shown.start : shown.end] == text[start : start + 3]


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300), st.integers(0, 400), st.integers(0, 400))
def test_any_place_of_any_segment_can_be_shown(text: str, start: int, size: int) -> None:
    for values in (False, True):
        shown = excerpt(segment("ZZZ|" + text), start, start + size, values=values)
        assert 0 <= shown.start <= shown.end <= len(shown.text)
        assert shown.text.isprintable()
        assert len(shown.caret) >= 1


def test_what_steers_a_terminal_is_taken_out() -> None:
    assert harmless("a\x1b]0;x\x07b\nc") == "a·]0;x·b·c"
    assert columns("王a") == 3
