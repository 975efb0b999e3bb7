"""Hears at once what other processes queued or answered, where the database is a server.

Imports twisted, store.notices, net.intake, observe and errors.
"""

import logging
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from hl7auth.errors import UserError
from hl7auth.net.intake import Timer
from hl7auth.observe import log
from hl7auth.store.notices import Notices

AGAIN_SECONDS = 5.0
"""Before the next attempt at a server that is gone: an attempt may hold everything up for two seconds."""


@implementer(IReadDescriptor)
class Ear:
    """Calls all of `calls` when something was heard, and when something may have been missed."""

    def __init__(self, reactor: Any, notices: Notices) -> None:
        self.calls: tuple[Callable[[], None], ...] = ()
        self.listening = False
        self._reactor = reactor
        self._notices = notices
        self._descriptor = -1
        self._again: Timer | None = None
        self._closed = False

    def open(self) -> None:
        """Begins, where there is something to hear; goes on by itself when the server comes back."""
        if self._closed or not self._notices.is_possible:
            return
        try:
            self._descriptor = self._notices.open()
        except UserError as fault:
            log("notices.lost", str(fault), level=logging.WARNING)
            self._again = self._reactor.callLater(AGAIN_SECONDS, self.open)
            return
        self.listening = True
        self._reactor.addReader(self)
        self._call()

    def close(self) -> None:
        """Hears no more."""
        self._closed = True
        self._stop()
        if self._again is not None and self._again.active():
            self._again.cancel()

    def fileno(self) -> int:
        """For the reactor."""
        return self._descriptor

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """For the reactor."""
        return "ear"

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """There is something, or the session has ended."""
        try:
            heard = self._notices.take()
        except UserError:
            self._lose()
            return
        if heard:
            self._call()

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802, ARG002 - Twisted's name
        """The reactor saw the end first."""
        self._lose()

    def _lose(self) -> None:
        if self.listening and not self._closed:
            self._stop()
            self._again = self._reactor.callLater(0, self.open)

    def _stop(self) -> None:
        if self.listening:
            self.listening = False
            self._reactor.removeReader(self)
            os.close(self._descriptor)
            self._notices.close()

    def _call(self) -> None:
        for call in self.calls:
            call()
