"""Continued messages whose next part never comes: looked for from time to time, given up like any message.

Imports flow, net and observe only.
"""

import logging
from collections.abc import Callable
from typing import Protocol

from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Disposition, Outcome
from hl7auth.flow.intake import Plan
from hl7auth.flow.linked_plan import plan_overdue
from hl7auth.net.intake import Intake, Timer
from hl7auth.observe import log, now
from hl7auth.wire.framing import Frame

MOST_SECONDS = 30.0
"""Between two looks; where parts may take less than that, a quarter of what they may take."""

Overdue = Callable[[str, int], list[int]]
"""The ids of the continued messages of a channel that nothing has been added to since a time (microseconds)."""


class Told(Protocol):
    """The connections of the channel, one of which may still wait for an answer."""

    channel: Channel

    def count(self, outcome: Outcome, /) -> None:
        """One more for the figures."""

    def tell(self, peer: str, reply: bytes, /) -> None:
        """Sends a reply, if that peer is still connected."""


class _Late:
    """Stands for one overdue message in the queue of the process."""

    def __init__(self, watch: "Watch", series_id: int) -> None:
        self._watch = watch
        self._series_id = series_id

    def plan(self, received: Frame) -> Plan:  # noqa: ARG002 - nothing was received
        """The plan of giving it up."""
        return plan_overdue(self._series_id, self._watch.told.channel, self._watch.clock(), self._watch.intake.new_id)

    def answer(self, outcome: Outcome) -> None:
        """It is refused, or was complete meanwhile."""
        self._watch.given_up(self._series_id, outcome)


class Watch:
    """Looks for overdue messages of one channel until it is stopped, and at once when it starts."""

    def __init__(self, told: Told, intake: Intake, overdue: Overdue, clock: Callable[[], int] = now) -> None:
        self.told = told
        self.clock = clock
        self.intake = intake
        self._overdue = overdue
        self._seconds = told.channel.file.protocol.continued.seconds
        self._asked: set[int] = set()
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begins."""
        self._look()

    def stop(self) -> None:
        """Looks no more; the next start of the engine goes on."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def given_up(self, series_id: int, outcome: Outcome) -> None:
        """Counted and logged; told to a sender that asked for application acknowledgements and is still there."""
        self._asked.discard(series_id)
        if outcome.disposition is not Disposition.REFUSED:
            return
        self.told.count(outcome)
        text = "a continued message was not completed in time, and refused"
        channel, number = self.told.channel.name, outcome.plan.message_id
        log("continuation.overdue", text, level=logging.WARNING, channel=channel, message=number)
        if outcome.reply is not None and outcome.plan.handshake.enhanced:
            self.told.tell(outcome.plan.peer, outcome.reply)

    def _look(self) -> None:
        try:
            for series_id in self._overdue(self.told.channel.name, self.clock() - int(self._seconds * 1_000_000)):
                if series_id not in self._asked:
                    self._asked.add(series_id)
                    self.intake.submit(_Late(self, series_id), Frame(b""))
        except Exception:
            log("continuation.unknown", "overdue messages could not be looked for", level=logging.ERROR, error=True)
        self._timer = self.intake.reactor.callLater(min(max(self._seconds / 4, 0.05), MOST_SECONDS), self._look)


def watches_of(told: Told, intake: Intake, overdue: Overdue) -> list[Watch]:
    """The watch of a channel, begun; none where no messages come in parts."""
    watches = [Watch(told, intake, overdue)] if told.channel.file.protocol.joins else []
    for watch in watches:
        watch.start()
    return watches
