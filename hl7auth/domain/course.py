"""The course of a request as messages alone tell it: asked for, answered by its payor, taken back, asked for anew.

Imports domain only.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from hl7auth.domain.clock import Asked, Clock, Clocks, clock
from hl7auth.domain.crosswalk import CROSSWALK, Decision
from hl7auth.domain.process import OPEN, Event, Process, allowed
from hl7auth.domain.status import STATUSES, UNDECIDED, Status

DECISIONS = {
    Status.APPROVED: Decision.CERTIFIED_TOTAL, Status.PARTIALLY_APPROVED: Decision.CERTIFIED_PARTIAL,
    Status.MODIFIED: Decision.MODIFIED, Status.DENIED: Decision.NOT_CERTIFIED,
}  # fmt: skip
"""What a payor decided that answered by itself, by the status that its answer comes to."""


class Told(NamedTuple):
    """What one message made of a request. `asks` when a request made it; `by_desk` when it is a decision of the desk;
    `asked` is what clocks need of it."""

    message_id: int
    at: int
    status: str
    asks: bool
    is_answer: bool
    by_desk: bool
    channel: str
    payor: str
    asked: Asked


class Happening(StrEnum):
    """What a message does to a request: `changed` while it is open, `anew` after it has ended; `reopened` is by its
    payor, who pends what was decided."""

    ANSWERED = "answered"
    TAKEN_BACK = "taken back"
    CHANGED = "changed"
    ANEW = "anew"
    REOPENED = "reopened"


def happening(state: Process, told: Told) -> Happening | None:
    """What a message does to a request in a state; None where it is nothing to it."""
    status = STATUSES[told.status]
    if told.by_desk:
        return None
    if status is Status.CANCELLED:
        may_end = state is Process.IN_PROCESS or Event.CANCEL in allowed(state)
        return Happening.TAKEN_BACK if may_end else None
    if (decision := DECISIONS.get(status)) is not None:
        is_same = state not in OPEN and CROSSWALK[decision].process is state
        return None if is_same or state is Process.CANCELLED else Happening.ANSWERED
    if told.asks:
        return Happening.CHANGED if state in OPEN else Happening.ANEW
    is_reopened = told.is_answer and state in (Process.APPROVED, Process.DENIED)
    return Happening.REOPENED if is_reopened else None


def asked_anew(state: Process) -> Process:
    """Where a request begins again that had ended."""
    return Process.ENTRY if state is Process.CANCELLED else Process.CHANGED


class Past(NamedTuple):
    """A version of a request that nobody worked on, and how it ended. Times in microseconds since 1970."""

    decision: Decision
    decided_at: int
    clock: Clock
    payor: str


def past(course: Sequence[Told], clocks_of: Callable[[str], Clocks]) -> list[Past]:
    """How the versions of a request ended that the desk never saw, oldest first; the last word about each counts."""
    found: list[Past] = []
    state: Process | None = None
    asked: list[Told] = []
    ended = False
    for told in course:
        if state is None:
            if told.asks and STATUSES[told.status] in UNDECIDED:
                state, asked = Process.ENTRY, [told]
            continue
        happens = happening(state, told)
        if happens is Happening.CHANGED:
            asked.append(told)
        elif happens in (Happening.ANEW, Happening.REOPENED):
            state, asked, ended = asked_anew(state), [told], False
        elif happens is not None:
            taken_back = happens is Happening.TAKEN_BACK
            decision = Decision.CANCELLED if taken_back else DECISIONS[STATUSES[told.status]]
            running = clock([each.asked for each in asked], told.at, clocks_of(asked[-1].channel))
            assert running is not None
            found[len(found) - ended :] = [Past(decision, told.at, running, asked[-1].payor)]
            state, ended = CROSSWALK[decision].process, True
    return found


def asks_since(course: Iterable[Told], begun: int) -> list[Told]:
    """The messages that asked for what was begun at a time: while nobody had decided."""
    return [each for each in course if each.asks and STATUSES[each.status] in UNDECIDED and each.at >= begun]
