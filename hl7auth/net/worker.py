"""One of the worker processes of an engine: it serves the connections that its parent gives it.

Imports twisted, flow, rules, net and observe only.
"""

import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet import defer, error
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from hl7auth.net.control import tell_failed
from hl7auth.net.entrance import entrance, renew, strangers
from hl7auth.net.pair import CHANGED, CHANGES, READY, STOPPING, Pair
from hl7auth.net.service import Service
from hl7auth.net.workers import Changes, Setup
from hl7auth.rules.edition import take_over


class Worker:
    """One of the processes of a parent. Serves the connections that it is given, until there is no parent."""

    def __init__(self, setup: Setup, reactor: Any, end: socket.socket) -> None:
        self._reactor = reactor
        self._service = Service(setup.channels, setup.size, setup.database, reactor, setup.number)
        self._pair = Pair(reactor, end, self._take, self._end)
        self._entrances: dict[int, Factory] = {}
        for number, channel in setup.channels.items():
            self._entrances[number] = entrance(self._service.factory(number, channel, self._leaver(number)))

    async def start(self) -> None:
        """Tells the parent. An interrupt from the keyboard reaches us too, but it is the parent who ends us."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._service.ear.open()
        self._pair.say(READY)

    async def stop(self) -> None:
        """What was received is committed and answered; then everything is closed."""
        self._pair.say(STOPPING)
        self._pair.deaf()
        await self._service.finish()

    async def _change(self, changes: Changes) -> None:
        """Works by changes of the parent, who has checked them."""
        take_over(changes.editions)
        for number, channel in changes.channels.items():
            if number in self._service.factories:
                await self._service.become(number, channel)
                factory = self._service.factories[number]
                for connection in list(factory.connections) if number in changes.moved else strangers(factory):
                    connection.close_when_answered()
            else:
                factory = self._service.factory(number, channel, self._leaver(number))
            self._entrances[number] = entrance(factory)
        for number in changes.gone:
            if number in self._service.factories:
                del self._entrances[number]
                self._service.dismiss(number)
        if changes.renew:
            for each in self._entrances.values():
                renew(each)
        self._pair.say(CHANGED)

    def _end(self) -> None:
        """The parent is gone, or wants no more."""
        with suppress(error.ReactorNotRunning):
            self._reactor.stop()

    def _leaver(self, number: int) -> Callable[[], None]:
        return lambda: self._pair.say(number)

    def _take(self, number: int, descriptor: int | None) -> None:
        assert descriptor is not None
        if number == CHANGES:
            with os.fdopen(descriptor, "rb") as told:
                changes = Changes.model_validate_json(told.read())
            defer.Deferred.fromCoroutine(self._change(changes)).addErrback(self._give_up)
            return
        with socket.socket(fileno=descriptor) as connection:
            if number not in self._entrances:
                self._pair.say(number)
                return
            try:
                self._reactor.adoptStreamConnection(descriptor, connection.family, self._entrances[number])
            except OSError:
                self._pair.say(number)  # it ended on its way

    def _give_up(self, failure: Failure) -> None:
        """Another process begins with the channels of now."""
        tell_failed(failure)
        self._end()
