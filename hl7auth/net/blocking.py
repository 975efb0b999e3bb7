"""Senders whose work waits (files, HTTP): threads of their own, so that a folder that hangs stops nobody else.

Imports twisted, flow, net.parcel and observe only.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from threading import Thread
from typing import Any, Protocol

from twisted.python.threadpool import ThreadPool

from hl7auth.flow.verdict import Answer
from hl7auth.net.parcel import Done, Parcel
from hl7auth.observe import log


class Work(Protocol):
    """What one thread does. It is called by one thread at a time."""

    def send(self, parcels: Sequence[Parcel], /) -> list[Answer]:
        """Sends messages, and returns an answer for each in their order."""

    def close(self) -> None:
        """Lets go of what it holds."""


class Threads:
    """A sender with a thread for each `work`; each takes up to `most` messages at a time."""

    def __init__(self, reactor: Any, name: str, works: Sequence[Work], most: int = 1) -> None:
        self._reactor = reactor
        self._name = name
        self._most = most
        self._works = list(works)
        self._idle = list(works)
        pool: Any = ThreadPool(0, len(works), name)
        # one that hangs must not keep the process from ending
        pool.threadFactory = partial(Thread, daemon=True)
        self._pool = pool
        self._ready: Callable[[], None] | None = None
        self._stopped = False

    def start(self, ready: Callable[[], None]) -> None:
        """Begins."""
        self._ready = ready
        self._pool.start()
        ready()

    @property
    def room(self) -> int:
        """As many as the idle threads take."""
        return 0 if self._stopped else len(self._idle) * self._most

    @property
    def alive(self) -> bool:
        """A thread is always there; whether the other side is shows when something is sent."""
        return not self._stopped

    @property
    def connections(self) -> int:
        """None that is known here."""
        return 0

    @property
    def ended(self) -> bool:
        """Nobody waits for a thread."""
        return self._stopped

    def send(self, parcels: list[Parcel], done: Done) -> None:
        """Divides messages among the idle threads."""
        for at in range(0, len(parcels), self._most):
            some, work = parcels[at : at + self._most], self._idle.pop()
            self._pool.callInThread(self._work, work, some, done)

    def stop(self) -> None:
        """Waits for nobody: a thread that hangs ends with the process."""
        self._stopped = True
        for work in self._idle:
            work.close()
        self._pool.adjustPoolsize(0, 0)
        self._pool.started = False

    def _work(self, work: Work, parcels: list[Parcel], done: Done) -> None:
        try:
            answers = work.send(parcels)
        except Exception:
            log("destination.failed", "sending failed", level=logging.ERROR, error=True, destination=self._name)
            answers = [Answer("failed")] * len(parcels)
        self._reactor.callFromThread(self._over, work, parcels, answers, done)

    def _over(self, work: Work, parcels: list[Parcel], answers: list[Answer], done: Done) -> None:
        if self._stopped:
            work.close()
        else:
            self._idle.append(work)
        for parcel, answer in zip(parcels, answers, strict=True):
            done(parcel, answer)
        if self._ready is not None and not self._stopped:
            self._ready()
