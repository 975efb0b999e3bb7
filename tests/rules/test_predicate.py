"""Conditions: precedence, operands, relations over numbers, dates and text, what empty means, and every mistake."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hl7auth.rules.predicate import compile_condition
from hl7auth.wire.message import Message, parse

MSH = "MSH|^~\\&|PAYER|SOUTH|EHR|NORTH|20260302||RPA^I08^RPA_I08|C1|P|2.5"


def message(*segments: str) -> Message:
    return parse("\r".join((MSH, *segments)).encode())


def holds(text: str, aut: str, *before: str) -> bool:
    """The condition on an AUT that stands behind the segments `before`."""
    parsed = message(*before, aut)
    return compile_condition(text)(parsed, parsed.segments[-1])


TRUE, FALSE = "'a' = 'a'", "'a' = 'b'"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TRUE, True),
        (FALSE, False),
        (f"not {FALSE}", True),
        (f"not not {FALSE}", False),
        (f"{TRUE} or {FALSE} and {FALSE}", True),
        (f"({TRUE} or {FALSE}) and {FALSE}", False),
        (f"{FALSE} and {FALSE} or {TRUE}", True),
        (f"not {TRUE} or {TRUE}", True),
        (f"not ({TRUE} or {TRUE})", False),
        (f"not {FALSE} and {FALSE}", False),
        (f"{FALSE} or {FALSE} or {TRUE}", True),
        (f"{TRUE} and {TRUE} and {FALSE}", False),
        (f"  (({TRUE}))  ", True),
    ],
)
def test_not_binds_closest_then_and_then_or(text: str, expected: bool) -> None:
    assert holds(text, "AUT|") is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AUT-2 = 'ACME'", True),
        ("AUT-2.1 = 'ACME'", True),
        ("AUT-2.2 = 'Acme & Sons'", True),
        ("AUT-2.3 = 'L'", True),
        ("AUT-2.4 empty", True),
        ("AUT-1 = 'one'", True),
        ("AUT-30 empty", True),
        ("PID-3 = '77001'", True),
        ("message.MSH-9.2 = 'I08'", True),
        ("MSH-1 = '|'", True),
        ("DG1-1 empty", True),
        ("message.DG1-1 valued", False),
    ],
)
def test_a_path_reads_the_unescaped_first_repetition(text: str, expected: bool) -> None:
    assert holds(text, "AUT|one~two|ACME^Acme \\T\\ Sons^L", "PID|||77001") is expected


def test_a_path_means_the_segment_under_check_and_message_the_first_of_the_message() -> None:
    first, second = "AUT|||||||||1", "AUT|||||||||2"
    assert holds("AUT-9 = 2", second, first)
    assert holds("message.AUT-9 = 1", second, first)
    assert not holds("message.AUT-9 = AUT-9", second, first)
    # of another segment's name there is no "this one": the first of the message is meant
    parsed = message("PR1|1", "PR1|2", "AUT|")
    assert compile_condition("PR1-1 = 1")(parsed, parsed.segments[-1])


@pytest.mark.parametrize(("value", "valued"), [("", False), ('""', False), ("x", True), ("0", True)])
def test_a_deleted_value_is_empty_too(value: str, valued: bool) -> None:
    aut = f"AUT||{value}|end"
    assert holds("AUT-2 valued", aut) is valued
    assert holds("AUT-2 empty", aut) is not valued
    # a comparison with an empty side is false, whichever side and relation
    for text in ("AUT-2 != 'y'", "'y' != AUT-2", "AUT-2 >= AUT-2"):
        assert holds(text, aut) is valued
    assert not holds("AUT-2 != '\"\"'", aut)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AUT-2 in {'A', 'B'}", False),
        ("AUT-2 in {'A', 'ACME', 'B'}", True),
        ("AUT-2 in {'acme'}", False),
        ("AUT-9 in {1, 2}", True),
        ("AUT-9 in {'2'}", True),
        ("AUT-10 in {'A'}", False),
        ("not AUT-2 in {'A'}", True),
    ],
)
def test_a_set_of_literals(text: str, expected: bool) -> None:
    assert holds(text, "AUT||ACME|||||||2") is expected


@pytest.mark.parametrize(
    ("left", "relation", "right", "expected"),
    [
        ("10", ">", "9", True),
        ("9", "<", "10", True),
        ("007", "=", "7", True),
        ("7.50", "=", "7.5", True),
        ("+5", "=", "5", True),
        (".5", "<", "1.", True),
        ("-3", "<", "2", True),
        ("7", "!=", "7.0", False),
        ("3", ">=", "3", True),
        ("3", "<=", "2.9", False),
        ("abc", "<", "abd", True),
        ("ABC", "=", "abc", False),
        ("10", "<", "9a", True),
        # spellings that only programs have are text
        ("1E2", "=", "100", False),
        ("1_0", "=", "10", False),
        ("Infinity", "<", "5", False),
        ("NaN", "=", "NaN", True),
        ("١", "=", "1", False),
    ],
)
def test_numbers_compare_as_numbers_and_the_rest_as_text(left: str, relation: str, right: str, expected: bool) -> None:
    parsed = parse("\r".join((f"{MSH}||||||UNICODE UTF-8", f"AUT||{left}|{right}")).encode())
    assert compile_condition(f"AUT-2 {relation} AUT-3")(parsed, parsed.segments[-1]) is expected


@pytest.mark.parametrize(
    ("left", "relation", "right", "expected"),
    [
        ("20260101", "<=", "20260102", True),
        ("20260102", "<=", "20260101", False),
        ("202612312359", "<=", "20270101", True),
        ("20270101", "<=", "202612312359", False),
        ("20270101", ">", "202612312359", True),
        # a day holds all its hours: neither is before the other
        ("202601011200", "<=", "20260101", True),
        ("20260101", "<=", "202601011200", True),
        ("202601011200", "<", "20260101", False),
        ("20260101", "=", "202601011200", True),
        ("20260101120000.25", "<", "20260101120000.5", True),
        ("20260101120000", "<", "20260101120000.5", False),
        ("20260101+0100", "<=", "20260101", True),
        ("202603", "<=", "20260215", False),
        ("20260215", "<=", "2026", True),
        ("2027", "<=", "20260215", False),
        # alone a year is a number, and what no calendar has is one too
        ("2026", "<", "202501", True),
        ("20261301", "<", "202601011200", True),
    ],
)
def test_dates_compare_as_far_as_both_are_given(left: str, relation: str, right: str, expected: bool) -> None:
    assert holds(f"AUT-4 {relation} AUT-5", f"AUT||||{left}|{right}") is expected


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "ends too early"),
        ("AUT-2", "ends too early"),
        ("AUT-2 =", "ends too early"),
        ("AUT-2 valued and", "ends too early"),
        ("not", "ends too early"),
        ("(AUT-2 valued", "')' is expected"),
        ("AUT-2 valued)", "')' is not expected"),
        ("AUT-2 valued AUT-3 valued", "'AUT-3' is not expected"),
        ("AUT-2 'x'", "'valued', 'empty', 'in' or a relation is expected"),
        ("AUT-2 or AUT-3", "'valued', 'empty', 'in' or a relation is expected"),
        ("AUT-2 {1}", "'valued', 'empty', 'in' or a relation is expected"),
        ("= 1", "a path like AUT-6.1 or a literal is expected"),
        ("AUT-2 = valued", "a path like AUT-6.1 or a literal is expected"),
        ("AUT-2 in 'A'", "'{' is expected"),
        ("AUT-2 in {'A' 'B'}", "'}' is expected"),
        ("AUT-2 in {}", "a number or a quoted text is expected"),
        ("AUT-2 in {AUT-3}", "a number or a quoted text is expected"),
        ("AUT-2 in {'A',", "ends too early"),
        ("AUT-2 is valued", "can not read 'is valued'"),
        ("AUT-2 = 'open", "can not read ''open'"),
        ("aut-2 valued", "can not read 'aut-2 valued'"),
        ("AUT-0 valued", "can not read 'AUT-0 valued'"),
        ("AUT-6.0 valued", "can not read 'AUT-6.0 valued'"),
        ("AUT-6.1.2.3 valued", "can not read 'AUT-6.1.2.3 valued'"),
        ("AUT-x valued", "can not read 'AUT-x valued'"),
        ("message.AUT valued", "'present' or 'absent' is expected behind a segment"),
        ("AUT-2 == 1", "a path like AUT-6.1 or a literal is expected"),
        ("AUT-2 valuedness", "can not read 'valuedness'"),
    ],
)
def test_a_mistake_is_named_and_the_condition_quoted(text: str, mistake: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the next lines look at the text
        compile_condition(text)
    assert mistake in str(caught.value)
    assert str(caught.value).endswith(f"in condition: {text}") or str(caught.value).endswith(f"too early: {text}")


def test_levels_have_a_bound() -> None:
    assert holds("(" * 50 + TRUE + ")" * 50, "AUT|")
    assert holds(" or ".join(["not (not (" + TRUE + "))"] * 200), "AUT|")  # beside each other there may be any number
    for mark in ("(", "not "):
        with pytest.raises(ValueError, match="more than 50 levels"):
            compile_condition(mark * 51 + TRUE)


_WORDS = "AUT-2 message.AUT-6.1 PID-3 'a' '' 1 -2.5 and or not valued empty in ( ) { } , = != < <= > >= AUT- x ' --"
_LISTS = st.lists(st.sampled_from(_WORDS.split()))


@settings(deadline=None)
@given(st.one_of(st.text(), _LISTS.map(" ".join), _LISTS.map("".join)))
@example("(" * 5000)
@example("not " * 5000)
@example("9" * 5000)
@example("AUT-" + "9" * 5000 + " valued")
def test_any_text_is_a_condition_or_a_value_error(text: str) -> None:
    try:
        condition = compile_condition(text)
    except ValueError:
        return
    parsed = message('AUT|x|1^2|""|20260101')
    assert condition(parsed, parsed.segments[-1]) in (True, False)
