"""What dispatchers have to write goes with what the intake writes: one transaction and one sync for both.

Imports sqlalchemy, flow, store.apart, store.queue and net.dispatch only.

Only with SQLite, where one process writes: there a transaction costs more than what is in it, and whoever writes keeps
the other waiting. A dispatcher that finds nobody to go with soon has a transaction of its own.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from hl7auth.flow.decision import Outcome
from hl7auth.net.dispatch import Dispatcher
from hl7auth.store.apart import Undone, apart
from hl7auth.store.queue import Exchange


class Riding:
    """The dispatchers that go with the intake. What one of them can not write is no matter of the messages."""

    def __init__(self, dispatchers: Callable[[], Sequence[Dispatcher]]) -> None:
        self._dispatchers = dispatchers
        self._under_way: list[tuple[Dispatcher, Exchange]] = []

    def beside(self, connection: Connection, outcomes: Sequence[Outcome]) -> None:
        """Settles and claims, in a transaction that stores messages. Raises what ends that transaction."""
        self._under_way = []  # of one that did not end well
        dispatchers = self._dispatchers()
        if not dispatchers:
            return
        channels = {outcome.plan.channel.name for outcome in outcomes}
        riders = [each for each in dispatchers if each.rides(channels)]
        stored = {outcome.plan.message_id: _judged(outcome) for outcome in outcomes} if riders else {}
        for each in riders:
            try:
                with apart(connection):
                    self._under_way.append((each, each.ride(connection, stored)))
            except Undone:
                each.alight()

    def kept(self) -> None:
        """That transaction is on disk."""
        found, self._under_way = self._under_way, []
        for dispatcher, exchange in found:
            dispatcher.rode(exchange)


def _judged(outcome: Outcome) -> bytes:
    plan = outcome.plan
    return plan.raw if plan.shaping is None or plan.shaping.raw is None else plan.shaping.raw
