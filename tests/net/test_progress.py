"""Since when nothing arrives at a destination, and what counts as its word."""

import pytest

from hl7auth.flow.figures import Standing
from hl7auth.flow.verdict import Act
from hl7auth.net.progress import Progress


def seen(progress: Progress, connections: int = 0, *, halted: bool = False) -> tuple[Standing, int]:
    found = progress.figures("north/payer", connections, halted)
    return found.standing, found.since


def test_nothing_is_known_before_something_was_tried() -> None:
    progress = Progress()
    assert seen(progress) == (Standing.UNKNOWN, 0)
    assert seen(progress, 1) == (Standing.UP, 0)
    assert seen(progress, 1, halted=True) == (Standing.STOPPED, 0)


def test_it_is_down_while_there_is_no_connection() -> None:
    progress = Progress()
    for now in (10, 20):
        progress.connected(False, now)
    assert seen(progress) == (Standing.DOWN, 10)
    progress.connected(True, 30)
    assert seen(progress, 1) == (Standing.UP, 0)


@pytest.mark.parametrize("code", ["closed", "timeout", "unreadable", "failed", "HTTP 503", "HTTP 500"])
def test_it_is_down_since_the_first_of_an_unbroken_row_of_failures(code: str) -> None:
    progress = Progress()
    for now in (10, 20):
        progress.answered(code, now)
    assert seen(progress, 1) == (Standing.DOWN, 10)
    progress.connected(False, 30)
    assert seen(progress) == (Standing.DOWN, 10)


@pytest.mark.parametrize("code", ["AA", "AE", "CR", "written", "HTTP 200", "HTTP 401"])
def test_who_answers_is_there_whatever_it_says(code: str) -> None:
    progress = Progress()
    progress.answered("timeout", 10)
    progress.answered(code, 20)
    assert seen(progress) == (Standing.UP, 0)


def test_what_never_left_the_house_says_nothing_about_the_other_side() -> None:
    progress = Progress()
    progress.answered("timeout", 10)
    progress.answered("unshaped", 20)
    assert seen(progress) == (Standing.DOWN, 10)


def test_what_was_settled_is_counted() -> None:
    progress = Progress()
    for act, now in ((Act.SENT, 10), (Act.RETRY, 20), (Act.SENT, 30), (Act.DEAD, 40)):
        progress.settled(act, now)
    found = progress.figures("north/payer", 0, False)
    assert (found.sent, found.settled, found.last_at) == (2, 4, 30)
