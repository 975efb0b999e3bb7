"""What is left to do about forwarded requests, looked after from time to time by the one process that sends.

Imports sqlalchemy (its errors), store.forwards, net.intake and observe only.
"""

import logging
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from hl7auth.net.intake import Clock, Timer
from hl7auth.observe import log, now
from hl7auth.store.forwards import Forwards

TEND_SECONDS = 1.0


class Tending:
    """Requests that were given up are closed, and answers that no connection took go by their way; `wake` is called
    when there is something to send."""

    def __init__(self, reactor: Clock, forwards: Forwards, wake: Callable[[], None]) -> None:
        self._reactor = reactor
        self._forwards = forwards
        self._wake = wake
        self._next: Timer | None = None

    def start(self) -> None:
        """Begins, if it has not."""
        if self._next is None:
            self._next = self._reactor.callLater(0, self._tend)

    def close(self) -> None:
        """Ends."""
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._forwards.close()

    def _tend(self) -> None:
        self._next = self._reactor.callLater(TEND_SECONDS, self._tend)
        try:
            done = self._forwards.tend(now())
        except SQLAlchemyError:
            return  # locked, or gone: the next look will do
        if done.failed:
            text = "forwarded requests were given up; their senders are told"
            log("forward.failed", text, level=logging.WARNING, count=done.failed)
        if done.failed or done.sent_on:
            self._wake()
