"""Which of two MSH-7 is surely the older."""

import pytest

from hl7auth.domain.order import is_older


@pytest.mark.parametrize(
    ("one", "other", "older"),
    [
        ("20260301101500", "20260301101501", True),
        ("20260301101501", "20260301101500", False),
        ("20260301101500", "20260301101500", False),
        ("20260301", "20260301101500", False),  # the same day, as far as the first one says
        ("20260228", "20260301101500", True),
        ("202603011015", "20260301101601", True),
        ("20260301101500.1", "20260301101500.2", True),
        ("20260301120000+0200", "20260301110000+0000", True),  # 10:00 and 11:00 in UTC
        ("20260301110000+0000", "20260301120000+0200", False),
        ("20260301120000+0200", "20260301123000+0200", True),
        ("20260301120000+0200", "20260301110000", False),  # only one names its zone: as the clocks stand
        ("202603011200+0200", "202603011030+0000", True),
        ("", "20260301101500", False),
        ("20260301101500", "", False),
        ("yesterday", "20260301101500", False),
    ],
)
def test_which_is_older(one: str, other: str, older: bool) -> None:
    assert is_older(one, other) is older
