"""Destinations that are gone from their channels while answers of theirs are still to come: how they are seen off.

Imports twisted, sqlalchemy (its errors), store.forwards, net.dispatch and observe only.

What was forwarded under the version before ends as it began: such a destination still sends these requests and takes
their answers, but nothing else. When its time is over, who asked is told that nobody will answer.
"""

import logging
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from sqlalchemy.exc import SQLAlchemyError
from twisted.internet import defer

from hl7auth.net.dispatch import Dispatcher
from hl7auth.observe import log, now
from hl7auth.store.forwards import Forwards

LOOK_SECONDS = 0.25
LEAST_SECONDS = 30.0
"""How long answers are waited for at least, where connections wait less: they go by their way, or are kept."""


class _Leaving(NamedTuple):
    dispatcher: Dispatcher
    until: float | None = None
    """None as long as the database could not be asked."""
    answered: bool = False
    """Nothing is to come any more; a last receipt may still be on its way out."""


class Parting:
    """All that leave. `returned` are the channels to whose requests answers may come on another channel as well; `told`
    is called when somebody is told that nobody answers."""

    def __init__(
        self,
        reactor: Any,
        forwards: Forwards,
        returned: Callable[[], Collection[str]],
        told: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._forwards = forwards
        self._returned = returned
        self._told = told
        self._leaving: dict[str, _Leaving] = {}
        self._abandoned: set[str] = set()
        self._next: Any = None

    async def see_off(self, destination: str, dispatcher: Dispatcher) -> None:
        """Ends a dispatcher now, if nothing is to come from its destination, else later."""
        self._leaving[destination] = _Leaving(dispatcher)
        dispatcher.part()
        if self._waited_for().get(destination, 0.0) is None:
            await self.end(destination)
        else:
            self._schedule(0)

    async def end(self, destination: str) -> None:
        """It ends now, for it is there again, or nothing is to come."""
        if destination in self._leaving:
            await self._leaving.pop(destination).dispatcher.stop()

    def abandon(self, destinations: Iterable[str]) -> None:
        """Nobody brings anything to these, and nobody answers: who asked is told as soon as the database can be had."""
        self._abandoned.update(destinations)
        if self._abandoned:
            self._schedule(0)

    def wake(self) -> None:
        """Something may have been queued."""
        for each in self._leaving.values():
            each.dispatcher.wake()

    def stop(self) -> "defer.Deferred[Any]":
        """Ends all; what is still to come is looked after when this is started again."""
        if self._next is not None and self._next.active():
            self._next.cancel()
        leaving = [each.dispatcher.stop() for each in self._leaving.values()]
        self._leaving.clear()
        return defer.gatherResults(leaving)

    def _schedule(self, seconds: float) -> None:
        if self._next is None or not self._next.active():
            self._next = self._reactor.callLater(seconds, self._look)

    def _look(self) -> None:
        for destination, within in self._waited_for().items():
            self._look_at(destination, self._leaving[destination], within)
        for destination in tuple(self._abandoned):
            self._tell(destination)
        if self._leaving or self._abandoned:
            self._schedule(LOOK_SECONDS)

    def _waited_for(self) -> dict[str, float | None]:
        """How long answers of those that leave are waited for, in seconds; None where none is to come."""
        try:
            found = self._forwards.awaited() if self._leaving else {}
        except SQLAlchemyError:
            return {}
        return {destination: found.get(destination) for destination in self._leaving}

    def _look_at(self, destination: str, leaving: _Leaving, within: float | None) -> None:
        time = self._reactor.seconds()
        until = leaving.until or time + max(within or 0.0, LEAST_SECONDS)
        if (within is None and leaving.answered) or time >= until:
            del self._leaving[destination]
            leaving.dispatcher.stop().addErrback(_failed)
            self._abandoned.add(destination)
        else:
            self._leaving[destination] = leaving._replace(until=until, answered=within is None)

    def _tell(self, destination: str) -> None:
        try:
            count = self._forwards.abandon(destination, self._returned(), now())
        except SQLAlchemyError:
            return  # locked, or gone: the next look will do
        self._abandoned.discard(destination)
        if count:
            text = "nobody answers what was forwarded, for its destination is gone; its senders are told"
            log("forward.failed", text, level=logging.WARNING, destination=destination, count=count)
            self._told()


def _failed(failure: Any) -> None:
    log("destination.failed", "a destination did not end as it should", level=logging.ERROR, reason=str(failure.value))
