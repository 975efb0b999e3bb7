"""Waiting for the turn to commit among workers: a lock says whose it is, a bell that it may be free.

Imports twisted and sockets.

The bell is a pipe that all workers share. Who waits reads it; who gives the turn back writes to it. Whoever takes a
ring off the pipe asks for the turn at once, so that no ring is lost; a worker that dies does not ring, and its turn
is found free at the next look (net.intake.TURN_PAUSE).
"""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from typing import Protocol as Interface

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

_MOST_RINGS = 65_536


class Lock(Interface):
    """Whose turn it is: store.turn."""

    def take(self) -> bool:
        """True when it is this process's from now on. Never waits."""

    def give_back(self) -> None:
        """Lets another have it."""


@implementer(IReadDescriptor)
class SharedTurn:
    """A worker's view of the turn. `hear` and `ring` are the ends of the pipe, both non-blocking."""

    def __init__(self, reactor: Any, lock: Lock, hear: int, ring: int) -> None:
        self._reactor = reactor
        self._lock = lock
        self._hear = hear
        self._ring = ring
        self._call: Callable[[], None] | None = None

    def take(self) -> bool:
        """True when it is this process's turn from now on; False when another has it. Never waits."""
        self._stop_listening()
        return self._lock.take()

    def give_back(self) -> None:
        """Lets another have it."""
        self._lock.give_back()
        with suppress(BlockingIOError):  # full of rings that nobody needed
            os.write(self._ring, b"\a")

    def when_free(self, call: Callable[[], None]) -> None:
        """Calls once, when another has given its turn back; not after the next `take`."""
        self._call = call
        self._reactor.addReader(self)

    def fileno(self) -> int:
        """For the reactor."""
        return self._hear

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """For the reactor."""
        return "turn"

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """It rings."""
        with suppress(BlockingIOError):  # another was faster
            os.read(self._hear, _MOST_RINGS)
        call = self._call
        self._stop_listening()
        if call is not None:
            call()

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802, ARG002 - Twisted's name
        """The pipe is as old as the process: only a reactor that gives it up calls this."""
        self._call = None

    def _stop_listening(self) -> None:
        if self._call is not None:
            self._call = None
            self._reactor.removeReader(self)
