"""The yearly figures: counts, rates and times, and the policy beside them."""

import pytest

from hl7auth.domain.crosswalk import Decision
from hl7auth.domain.public_figures import POLICY, Ended, Item, figures

HOUR = 3_600_000_000


def _ended(decision: str, hours: int, *, expedited: bool = False, extended: bool = False, appealed: bool = False,
           payor: str = "ACME") -> Ended:  # fmt: skip
    due = 72 if expedited else 168
    return Ended(Decision(decision), expedited, 0, hours * HOUR, due * HOUR, extended, appealed, payor)


def test_the_figures_of_a_year() -> None:
    found = figures(2026, [
        _ended("certified_total", 10),
        _ended("certified_partial", 20, extended=True),
        _ended("modified", 30, appealed=True),
        _ended("not_certified", 180),
        _ended("cancelled", 1),
        _ended("not_certified", 12, expedited=True, payor="OTHER"),
        _ended("certified_total", 80, expedited=True),
        _ended("certified_total", 4, expedited=True),
    ])  # fmt: skip
    standard, expedited = found["all"]["standard"], found["all"]["expedited"]
    assert standard["decided"] == 4
    assert standard["approved"] == {"count": 3, "percent": "75.0"}
    assert standard["denied"] == {"count": 1, "percent": "25.0"}
    assert standard["approved_after_appeal"] == standard["extended_and_approved"] == {"count": 1, "percent": "25.0"}
    assert standard["approved_in_part"]["count"] == standard["approved_modified"]["count"] == 1
    assert (standard["hours_average"], standard["hours_median"]) == (60.0, 25.0)
    assert (standard["late"], standard["cancelled"]) == (1, 1)
    assert expedited["approved"] == {"count": 2, "percent": "66.7"}
    assert (expedited["hours_average"], expedited["hours_median"], expedited["late"]) == (32.0, 12.0, 1)
    assert found["payors"]["OTHER"]["expedited"]["denied"] == {"count": 1, "percent": "100.0"}
    assert found["policy"] == list(POLICY)


@pytest.mark.parametrize("urgency", ["standard", "expedited"])
def test_figures_of_nothing_are_none(urgency: str) -> None:
    group = figures(2026, [_ended("cancelled", 1)])["all"][urgency]
    assert (group["approved"]["percent"], group["hours_average"], group["hours_median"]) == (None, None, None)


def test_items_are_what_was_asked_for_and_needed_an_authorization() -> None:
    knee, brace = Item("PHY-KNEE", "L"), Item("L1832", "HCPCS")
    found = figures(2026, [
        _ended("certified_total", 1)._replace(items=(knee, brace, knee)),
        _ended("not_certified", 1)._replace(items=(brace,)),
        _ended("not_required", 1)._replace(items=(knee,)),
        _ended("cancelled", 1)._replace(items=(knee,)),
        _ended("modified", 1, payor="AAA")._replace(items=(knee,)),
    ])["items"]  # fmt: skip
    assert [tuple(each.values()) for each in found] == [
        ("AAA", "PHY-KNEE", "L", 1), ("ACME", "L1832", "HCPCS", 2), ("ACME", "PHY-KNEE", "L", 1),
    ]  # fmt: skip
