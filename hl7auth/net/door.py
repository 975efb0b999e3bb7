"""The listening port of a channel where workers serve: accepts, counts, and hands on.

Imports twisted, flow, net.board, net.refusals and observe only.
"""

import logging
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from hl7auth.flow.channel import Channel
from hl7auth.flow.figures import Ending
from hl7auth.net.board import Board, Slots
from hl7auth.net.refusals import Refusals
from hl7auth.observe import log

HOLD_SECONDS = 0.25
"""How long a connection beyond the limit waits: the worker may not yet have told of one that has just ended."""

MAX_HELD = 16
"""Connections that wait for a worker or for the limit; further ones wait in the kernel."""

_ACCEPTS = 32
_RETRY_SECONDS = 0.01
_EXHAUSTED_SECONDS = 0.1

#: closes with a reset, as Twisted's abortConnection does
_ABORT = struct.pack("ii", 1, 0)


@implementer(IReadDescriptor)
class Door:
    """One port. `hand` gives a connection to a worker, and is False when none can take it now."""

    def __init__(
        self,
        reactor: Any,
        channel: Channel,
        port: Any,
        hand: Callable[[socket.socket], bool],
        slots: Slots | None = None,
    ) -> None:
        self.channel = channel
        self.port: Any = None
        self.open = 0
        self._reactor = reactor
        self._hand = hand
        slots = Board(1).channel(0) if slots is None else slots
        self._refusals = Refusals(channel.name, reactor.seconds, slots)
        self._held: deque[tuple[socket.socket, float]] = deque()
        self._retry: Any = None
        self._reading = False
        self._started = self._closed = self._resting = False
        self.take(port)

    def start(self) -> None:
        """Begins to accept."""
        self._started = True
        self._read(True)

    def close(self) -> None:
        """Accepts no more; what waits is refused."""
        self._closed = True
        self._read(False)
        self._cancel_retry()
        for connection, _ in self._held:
            connection.close()
        self._held.clear()

    def let_go(self) -> None:
        """Accepts nothing, until it takes a port again."""
        self._resting = True
        self._read(False)

    def take(self, port: Any) -> None:
        """Accepts at this port from now on."""
        port.stopReading()  # Twisted would serve the connections itself
        self.port = port
        self._resting = False
        if self._started and not self._closed:
            self._read(len(self._held) < MAX_HELD)

    def become(self, channel: Channel) -> None:
        """Goes on for another version of the channel."""
        self.channel = channel
        if self._started:
            self._place()

    @property
    def is_open(self) -> bool:
        """Does it accept, or will it as soon as those who wait have a place?"""
        return self._started and not self._closed

    def left(self, count: int = 1) -> None:
        """So many of the connections that were handed on have ended."""
        self.open -= count
        self._place()

    def fileno(self) -> int:
        """For the reactor."""
        number: int = self.port.fileno()
        return number

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """For the reactor."""
        return "door"

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Accepts what is there, as far as it can be placed."""
        for _ in range(_ACCEPTS):
            if not self._reading:
                return
            try:
                connection, _ = self.port.socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error)
                return
            connection.setblocking(False)
            self._held.append((connection, self._reactor.seconds()))
            self._place()

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802, ARG002 - Twisted's name
        """Only a reactor that gives a descriptor up calls this."""
        self.close()

    def _place(self) -> None:
        """Gives those who wait to workers, in order; refuses who has waited in vain for the limit."""
        if self._closed or self._resting:
            return
        while self._held:
            connection, since = self._held[0]
            full = self.open >= self.channel.file.limits.connections
            if not full and self._hand(connection):
                self.open += 1
            elif full and self._reactor.seconds() - since >= HOLD_SECONDS:
                self._refuse(connection)
            else:
                break
            connection.close()
            self._held.popleft()
        if self._held and (self._retry is None or not self._retry.active()):
            self._retry = self._reactor.callLater(_RETRY_SECONDS, self._place)
        if self._reading != (len(self._held) < MAX_HELD):
            self._read(not self._reading)

    def _refuse(self, connection: socket.socket) -> None:
        self._refusals.add(Ending.TOO_MANY, "too many connections", _host(connection))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)

    def _read(self, wanted: bool) -> None:
        if self._reading == wanted:
            return
        self._reading = wanted
        (self._reactor.addReader if wanted else self._reactor.removeReader)(self)

    def _cancel_retry(self) -> None:
        if self._retry is not None and self._retry.active():
            self._retry.cancel()

    def _pause(self, error: OSError) -> None:
        """Out of descriptors or memory: the connections wait in the kernel meanwhile."""
        log("connection.failed", "can not accept", level=logging.ERROR, channel=self.channel.name, reason=error.errno)
        self._read(False)
        self._cancel_retry()
        self._retry = self._reactor.callLater(_EXHAUSTED_SECONDS, self._place)


def _host(connection: socket.socket) -> str:
    """Who has connected; nobody, where it is gone already or has no address."""
    try:
        found = connection.getpeername()
    except OSError:
        return ""
    return str(found[0]) if isinstance(found, tuple) else ""
