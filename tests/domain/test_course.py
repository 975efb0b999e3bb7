"""The course of a request as messages tell it."""

import pytest

from hl7auth.domain.clock import Asked, Clocks
from hl7auth.domain.course import Happening, Told, happening, past
from hl7auth.domain.crosswalk import Decision
from hl7auth.domain.process import Process
from hl7auth.domain.status import Status

HOUR = 3_600_000_000


def told(number: int, status: Status, kind: str = "asks", priority: str = "") -> Told:
    at = number * HOUR
    return Told(
        number, at, status, kind == "asks", kind == "answer", kind == "desk", "intake", "FERNGATE", Asked(at, priority)
    )


def ended(*course: Told) -> list[tuple[Decision, int, int]]:
    """Decision, and the hours of receipt and end."""
    return [(each.decision, each.clock.since // HOUR, each.decided_at // HOUR) for each in past(course, _clocks)]


def _clocks(_channel: str) -> Clocks:
    return Clocks()


ASK, YES = told(1, Status.REQUESTED), told(3, Status.APPROVED, "answer")


@pytest.mark.parametrize(
    ("state", "said", "happens"),
    [
        (Process.ENTRY, told(2, Status.REQUESTED), Happening.CHANGED),
        (Process.PENDED, told(2, Status.PENDED), Happening.CHANGED),
        (Process.APPROVED, told(2, Status.REQUESTED), Happening.ANEW),
        (Process.CANCELLED, told(2, Status.REQUESTED), Happening.ANEW),
        (Process.PENDED, told(2, Status.APPROVED, "answer"), Happening.ANSWERED),
        (Process.DENIED, told(2, Status.APPROVED, "answer"), Happening.ANSWERED),
        (Process.APPROVED, told(2, Status.PARTIALLY_APPROVED, "answer"), None),
        (Process.CANCELLED, told(2, Status.APPROVED, "answer"), None),
        (Process.ENTRY, told(2, Status.PENDED, "answer"), None),
        (Process.APPROVED, told(2, Status.PENDED, "answer"), Happening.REOPENED),
        (Process.CANCELLED, told(2, Status.PENDED, "answer"), None),
        (Process.IN_PROCESS, told(2, Status.CANCELLED), Happening.TAKEN_BACK),
        (Process.APPROVED, told(2, Status.CANCELLED, "answer"), Happening.TAKEN_BACK),
        (Process.DENIED, told(2, Status.CANCELLED), None),
        (Process.CANCELLED, told(2, Status.CANCELLED), None),
        (Process.IN_PROCESS, told(2, Status.APPROVED, "desk"), None),
        (Process.APPROVED, told(2, Status.PENDED, "desk"), None),
    ],
)
def test_what_a_message_does_depends_on_the_state(state: Process, said: Told, happens: Happening | None) -> None:
    assert happening(state, said) is happens


@pytest.mark.parametrize(
    ("course", "found"),
    [
        ((ASK,), []),
        ((YES,), []),
        ((ASK, YES), [(Decision.CERTIFIED_TOTAL, 1, 3)]),
        ((ASK, told(2, Status.REQUESTED), YES), [(Decision.CERTIFIED_TOTAL, 1, 3)]),
        ((ASK, YES, told(4, Status.DENIED, "answer")), [(Decision.NOT_CERTIFIED, 1, 4)]),
        ((ASK, YES, told(5, Status.REQUESTED)), [(Decision.CERTIFIED_TOTAL, 1, 3)]),
        (
            (ASK, YES, told(5, Status.REQUESTED), told(6, Status.DENIED, "answer")),
            [(Decision.CERTIFIED_TOTAL, 1, 3), (Decision.NOT_CERTIFIED, 5, 6)],
        ),
        ((ASK, told(2, Status.CANCELLED), told(4, Status.REQUESTED)), [(Decision.CANCELLED, 1, 2)]),
        (
            (ASK, YES, told(4, Status.PENDED, "answer"), told(6, Status.DENIED, "answer")),
            [(Decision.CERTIFIED_TOTAL, 1, 3), (Decision.NOT_CERTIFIED, 4, 6)],
        ),
    ],
)
def test_versions_end_as_the_last_word_about_each_says(
    course: tuple[Told, ...], found: list[tuple[Decision, int, int]]
) -> None:
    assert ended(*course) == found


def test_who_asks_again_in_a_hurry_gets_the_shorter_time() -> None:
    (found,) = past([ASK, told(2, Status.REQUESTED, priority="S"), YES], _clocks)
    assert (found.clock.expedited, (found.clock.due - found.clock.since) // HOUR) == (True, 73)
