"""When what is kept of a member will do, when it is asked for anew, and when it can not be had."""

import pytest

from hl7auth.domain.enrolling import FATAL_CODE, FATAL_TEXT, Wanted, Way, wanted, way

HOUR = 3_600_000_000
NOW = 1_772_000_000_000_000


@pytest.mark.parametrize(
    ("age", "keep", "found"),
    [
        (0, True, Way.REUSE),
        (1_000 * HOUR, True, Way.REUSE),  # whatever its age
        (HOUR - 1, False, Way.REUSE),
        (HOUR, False, Way.FETCH),
        (None, True, Way.FATAL),
        (None, False, Way.FETCH),
    ],
)
def test_the_cases_of_keep_present_and_expired(age: int | None, keep: bool, found: Way) -> None:
    assert way(None if age is None else NOW - age, NOW, HOUR, keep=keep) is found


def test_the_fatal_message_is_told_word_for_word() -> None:
    assert f"{FATAL_CODE}: {FATAL_TEXT}" == (
        "AUT-FL-ENRO-001: No enrollment data found and enrollment callout is disabled"
    )


def test_what_is_asked_stands_in_the_request() -> None:
    document = {
        "patient": {"id": "P1", "assigner": "HILL", "name": "Roe, Jane", "birth_date": "1980-01-02"},
        "lines": [
            {"effective_date": "2026-03-02", "expiration_date": "2026-04-01"},
            {"plan": {"code": "GOLD"}, "effective_date": "2026-03-01", "expiration_date": "2026-05-01"},
        ],
    }
    found = wanted(document, "ACME")
    assert found == Wanted("P1", "HILL", "ACME", "GOLD", "2026-03-01", "2026-05-01", "Roe, Jane", "1980-01-02")
    assert found.entity == "P1@HILL"
    assert wanted({}, "") == Wanted("", "", "", "", "", "", "", "")
    assert wanted({"patient": {"id": "P1"}}, "").entity == "P1"
