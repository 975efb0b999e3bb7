"""Name formats: text to components and back."""

from typing import Any

import pytest

from hl7auth.steps.faults import UnreadableRefused
from hl7auth.steps.names import check_format
from tests.steps.shaping import message, one, shaped


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        ({"from": "family, given middle"}, "Orrell, Tamsin J", "Orrell^Tamsin^J"),
        ({"from": "family, given middle"}, "Orrell,Tamsin", "Orrell^Tamsin"),
        ({"from": "given family"}, "Tamsin van Orrell", "van Orrell^Tamsin"),
        ({"from": "family, given"}, "Orrell, Tamsin~Moss,Ada", "Orrell^Tamsin~Moss^Ada"),
        ({"from": "family, given"}, "Orrell^Tamsin^J", "Orrell^Tamsin^J"),
        ({"from": "family, given"}, "Orrell, Tamsin^^^^^^L", "Orrell^Tamsin^^^^^L"),
        ({"from": "family & given"}, "Orrell \\T\\ Tamsin", "Orrell^Tamsin"),
        ({"to": "family, given middle"}, "Orrell^Tamsin^J", "Orrell, Tamsin J"),
        ({"to": "family, given middle"}, "Orrell^^J", "Orrell J"),
        ({"to": "prefix given family"}, "Orrell&van&Orrell^Tamsin^^^Dr^^L", "Dr Tamsin Orrell^^^^^^L"),
        ({"to": "family & given"}, "Orrell^Tamsin", "Orrell \\T\\ Tamsin"),
        ({"case": "upper"}, "O'Brien&van^Ada^^^^^l", "O'BRIEN&VAN^ADA^^^^^l"),
        ({"case": "upper"}, "a\\.br\\b\\T\\c^", "A\\.br\\B\\T\\C^"),
        ({"case": "title"}, "ORRELL^TAMSIN", "Orrell^Tamsin"),
        ({"from": "family, given", "case": "lower", "to": "given family"}, "Orrell, Tamsin", "tamsin orrell"),
        ({"case": "upper"}, "", ""),
        ({"case": "upper"}, '""', '""'),
    ],
)
def test_a_name_in_another_form(step: dict[str, Any], before: str, after: str) -> None:
    assert one(f"PID|||||{before}|X", {"name": {"field": "PID-5"} | step}) == f"PID|||||{after}|X"


def test_one_repetition_alone() -> None:
    assert one("PID|||||a~b", {"name": {"field": "PID-5[2]", "case": "upper"}}) == "PID|||||a~B"


def test_an_xcn_has_its_identifier_first() -> None:
    step = {"name": {"field": "AUT-24", "type": "XCN", "from": "family, given"}}
    before = "AUT" + "|" * 24
    assert one(f"{before}77^Quill, Ivo^^^^^^^NORTH", step) == f"{before}77^Quill^Ivo^^^^^^NORTH"


def test_case_may_leave_the_character_set() -> None:
    raw = message("PID|||||ÿ", head="MSH|^~\\&|A|B|C|D|2026||RQA^I08|1|P|2.5||||||8859/1", codec="latin_1")
    assert shaped(raw, {"name": {"field": "PID-5", "case": "upper"}}).raw.endswith(b"|\\XC5B8\\\r")


def test_a_name_that_lacks_a_sign_is_kept_emptied_or_refused() -> None:
    raw = message("PID|||||Orrell Tamsin")
    step = {"field": "PID-5", "from": "family, given"}
    found = shaped(raw, {"name": step})
    assert found.raw == raw
    assert found.remarks == (("1", "name", "not of the form that the step reads", "PID-5"),)
    assert shaped(raw, {"name": step | {"invalid": "empty"}}).raw == message("PID|||||")
    with pytest.raises(UnreadableRefused):
        shaped(raw, {"name": step | {"invalid": "refuse"}})


@pytest.mark.parametrize("text", ["", "surname", "family given family", ", family", "family,", "familygiven"])
def test_what_is_no_format_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no name format"):
        check_format(text)
