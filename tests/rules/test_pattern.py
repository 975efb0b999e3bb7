"""Patterns of conditions: what they match, what they refuse, and that no value makes them slow."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hl7auth.rules.pattern import MAX_STATES, compile_pattern


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("", [""], ["a"]),
        ("abc", ["abc"], ["ab", "abcd", "ABC", ""]),
        ("a|bc|", ["a", "bc", ""], ["b", "abc"]),
        (r"\d{8}", ["20260301"], ["2026030", "202603011", "2026030a", "\u0661" * 8]),
        (r"[A-Z]{2}\d{4,13}", ["PA1234", "ZZ1234567890123"], ["P1234", "PA123", "PA12345678901234", "pa1234"]),
        (r"[A-Z0-9-]+", ["A-1", "-"], ["", "a", "A_1"]),
        (r"[^a-c]x", ["dx", "-x"], ["ax", "x"]),
        (r"[\d.]+", ["1.5", "..."], ["1,5"]),
        (r"[\]\-\\]", ["]", "-", "\\"], ["["]),
        (r"\w+\.\w+", ["a.b", "A_1.2"], ["a b", "a."]),
        (r"(ab)*c?", ["", "c", "ababc"], ["abab ", "aba"]),
        (r"(\d{3}-){2}\d{4}", ["555-010-0200"], ["555-0100-200"]),
        (r"a{0}b", ["b"], ["ab"]),
        (r"a{2,}", ["aa", "aaaa"], ["a"]),
        (r".\S\s\D\W", ["x1 a-"], ["x1 1-", "x a-"]),
        (r"\$\^\+", ["$^+"], ["$^"]),
    ],
)
def test_a_pattern_speaks_of_the_whole_value(pattern: str, good: list[str], bad: list[str]) -> None:
    matches = compile_pattern(pattern)
    assert [value for value in good if not matches(value)] == []
    assert [value for value in bad if matches(value)] == []


@pytest.mark.parametrize(
    ("pattern", "mistake"),
    [
        ("(a", "')' is missing"),
        ("a)", "')' is not expected"),
        ("[a", "it ends too early"),
        ("[z-a]", "'z-a' holds nothing"),
        ("a{", "a count is {2}, {2,} or {2,5}"),
        ("a{x}", "a count is"),
        ("a{3,2}", "a count is at most 999"),
        ("a{1000}", "a count is at most 999"),
        ("*a", "'*' is not expected"),
        ("a**", "'*' is not expected"),
        ("\\", "it ends too early"),
        (r"(a)\1", r"\1 means nothing here"),
        (r"\bword", r"\b means nothing here"),
        (r"(?=a)", "'?' is not expected"),
        (r"[^\d]", "can not stand in [^...]"),
        ("(" * 40 + ")" * 40, "more than 30 levels"),
        ("(a{99}){99}", "it is too long"),
        ("a" * (MAX_STATES + 1), "it is too long"),
    ],
)
def test_what_can_not_be_a_pattern_is_said(pattern: str, mistake: str) -> None:
    with pytest.raises(ValueError, match=re.escape(mistake)):
        compile_pattern(pattern)


_ATOMS = st.sampled_from(["a", "b", "1", r"\d", r"\w", ".", "[ab]", "[^a]", "[a-b1]", r"\.", "-", r"\s"])
_PATTERNS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.tuples(inner, inner).map("|".join).map("({})".format),
        st.tuples(inner.map("({})".format), st.sampled_from(["?", "*", "+", "{2}", "{1,2}", "{0,2}", "{2,}"])).map(
            "".join
        ),
    ),
    max_leaves=5,
)


@settings(deadline=None)
@given(_PATTERNS, st.text(alphabet="ab1. -", max_size=7))
def test_what_both_languages_have_means_the_same_in_both(pattern: str, value: str) -> None:
    theirs = re.fullmatch(pattern, value, re.ASCII | re.DOTALL) is not None
    assert compile_pattern(pattern)(value) is theirs


def test_no_value_makes_a_pattern_slow() -> None:
    """A backtracking matcher would need longer than the universe has been there."""
    assert not compile_pattern("((a*)*)*b")("a" * 50_000)
    assert not compile_pattern("(a|a)*(a|aa)*b")("a" * 50_000)
