"""The life of a request at the desk that works on it: its states, and the table of what may happen in each.

Imports errors only.

One thing is always so: a request has one state at a time, and what the table does not list can not happen.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from hl7auth.errors import UserError


class Process(StrEnum):
    """Where a request is in its work. That its payor withdrew or a provider took it back is a state of its own."""

    ENTRY = "Entry"
    IN_PROCESS = "In Process"
    PENDED = "Pended"
    CHANGED = "Changed"
    APPROVED = "Approved"
    DENIED = "Denied"
    CANCELLED = "Cancelled"


class Event(StrEnum):
    """What may happen to a request. `approve` and `refuse` are the two ends of finalizing: without a fatal message, and
    with one; `deny` is a person's word about what waits."""

    SUBMIT = "submit"
    TECHNICAL_ERROR = "technical_error"
    PEND = "pend"
    APPROVE = "approve"
    REFUSE = "refuse"
    TOCHANGE = "tochange"
    RESUME = "resume"
    DENY = "deny"
    CANCEL = "cancel"
    UNFINALIZE = "unfinalize"


class Move(NamedTuple):
    """A row of the table."""

    source: Process
    event: Event
    target: Process


#: every move there is; all else is forbidden
MOVES = (
    Move(Process.ENTRY, Event.SUBMIT, Process.IN_PROCESS),
    Move(Process.ENTRY, Event.CANCEL, Process.CANCELLED),
    Move(Process.IN_PROCESS, Event.TECHNICAL_ERROR, Process.IN_PROCESS),
    Move(Process.IN_PROCESS, Event.PEND, Process.PENDED),
    Move(Process.IN_PROCESS, Event.APPROVE, Process.APPROVED),
    Move(Process.IN_PROCESS, Event.REFUSE, Process.DENIED),
    Move(Process.PENDED, Event.TOCHANGE, Process.CHANGED),
    Move(Process.PENDED, Event.RESUME, Process.IN_PROCESS),
    Move(Process.PENDED, Event.DENY, Process.DENIED),
    Move(Process.PENDED, Event.CANCEL, Process.CANCELLED),
    Move(Process.CHANGED, Event.SUBMIT, Process.IN_PROCESS),
    Move(Process.CHANGED, Event.CANCEL, Process.CANCELLED),
    Move(Process.APPROVED, Event.CANCEL, Process.CANCELLED),
    Move(Process.APPROVED, Event.UNFINALIZE, Process.CHANGED),
    Move(Process.DENIED, Event.UNFINALIZE, Process.CHANGED),
)

#: how a request comes to the desk: one that asks, and an authorization that is entered by hand with its paper
BEGINNINGS = {"create": Process.ENTRY, "manual_save": Process.APPROVED}
BY_DESK = "desk/answer"
"""Where messages of the desk come from: like a destination, whose answers a channel takes whoever may send."""
ANSWERED = "answered"
"""What its payor does to an open request that the desk has not decided: it is then as the answer says."""

_TARGETS = {(move.source, move.event): move.target for move in MOVES}

OPEN = frozenset({Process.ENTRY, Process.IN_PROCESS, Process.PENDED, Process.CHANGED})
"""The states in which nobody has decided, so that the clock runs."""


class Forbidden(UserError):
    """A move that the table does not have; `allowed` are the events that it has from there."""

    def __init__(self, state: Process, event: Event, events: Sequence[Event]) -> None:
        may = ", ".join(events) or "nothing"
        super().__init__(f"'{event}' can not be done to a request that is {state}; allowed now: {may}")
        self.state = state
        self.event = event
        self.allowed = tuple(events)


class Missing(UserError):
    """There is nothing of that key to work on."""


class Needed(Missing):
    """Something that the event needs was not said, or can not be said."""


class Overtaken(Missing):
    """Somebody else changed the request since it was looked at."""


def allowed(state: Process) -> tuple[Event, ...]:
    """The events that may happen in a state, in the order of the table."""
    return tuple(move.event for move in MOVES if move.source is state)


def moved(state: Process, event: Event) -> Process:
    """The state after an event. Raises Forbidden."""
    target = _TARGETS.get((state, event))
    if target is None:
        raise Forbidden(state, event, allowed(state))
    return target
