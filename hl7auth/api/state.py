"""What every request works with: the store, the channels, the clock; reading, writing, and the record of both.

Imports fastapi, sqlalchemy, flow, store and observe.

SQLite has one writer at a time: those of this process wait for each other here, which costs less than to find out
there.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from hl7auth.domain.balance import ALERT_SHARE
from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Outcome
from hl7auth.flow.intake import plan
from hl7auth.observe import ids, log, now
from hl7auth.store import audit
from hl7auth.store.balances import catch_up, is_behind
from hl7auth.store.journal import Journal

T = TypeVar("T")

_AGAIN = 3
"""How often a transaction is tried that another one was in the way of."""
_PORTIONS = 4
"""Of 500 messages each, that a request waits for until balances are read."""
_FOLLOW_SECONDS = 1.0
"""How far the balances are behind while nobody asks."""
_PAUSE = 0.05
"""Seconds between two batches of records of what was read."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the API is told at its start. `desk` is the channel by which what is entered here goes in; the first where
    it is empty. `manual` are the payors without a wire (MANUAL_PENDING), `shares` the share of use that is worth an
    alert where it is not 80 %."""

    engine: Engine
    channels: Mapping[str, Channel]
    desk: str = ""
    manual: frozenset[str] = frozenset()
    shares: Mapping[str, Decimal] = field(default_factory=dict)
    now: Callable[[], int] = now
    new_id: Callable[[], int] = field(default_factory=ids)


class State:
    """The store as requests use it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engine = settings.engine
        self._reader = settings.engine.execution_options(reads_only=True)
        is_file = settings.engine.dialect.name == "sqlite"
        self._lock: AbstractContextManager[object] = threading.Lock() if is_file else nullcontext()
        self._journal_lock = threading.Lock()
        self.journal = Journal(settings.engine, settings.new_id)
        self._read: list[audit.Deed] = []
        self._wake = threading.Event()
        self._stopping = False
        self._recorder = threading.Thread(target=self._record, name="audit", daemon=True)
        self._recorder.start()

    @property
    def now(self) -> int:
        """Microseconds since 1970."""
        return self.settings.now()

    @property
    def today(self) -> date:
        """The day in UTC."""
        return datetime.fromtimestamp(self.now / 1_000_000, UTC).date()

    def share(self, payor: str) -> Decimal:
        """The share of use beyond which an authorization of that payor is worth an alert."""
        return self.settings.shares.get(payor, ALERT_SHARE)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that only reads, and sees one state."""
        with self._reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: all of it or nothing."""
        with self.alone(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def alone(self) -> Iterator[None]:
        """The turn of a thread to write, where only one can."""
        with self._lock:
            yield

    def write(self, work: Callable[[Connection], T]) -> T:
        """Does work in a transaction, again where another was in its way. The work is to be without effects beside."""
        for attempt in range(_AGAIN):
            try:
                with self.writing() as connection:
                    return work(connection)
            except OperationalError as error:
                if getattr(error.orig, "sqlstate", None) not in ("40001", "40P01") or attempt == _AGAIN - 1:
                    raise
        raise AssertionError("unreachable")

    def submit(self, raw: bytes, peer: str = "desk") -> Outcome:
        """A message through the pipeline of the desk's channel, as one that came in; durable when this returns."""
        name = self.settings.desk or next(iter(self.settings.channels))
        planned = plan(raw, self.settings.channels[name], self.now, self.settings.new_id, (), peer)
        with self._journal_lock, self.alone():
            (outcome,) = self.journal.commit([planned])
        return outcome

    def follow(self) -> None:
        """Has the balances follow what came since, as far as that goes in a moment; a thread does the rest."""
        with self.reading() as connection:
            behind = is_behind(connection)
        if behind:
            self.write(lambda connection: catch_up(connection, _PORTIONS))

    def saw(self, who: str, action: str, subject: str, **detail: Any) -> None:
        """Notes a read for the audit log. It is written with others within a twentieth of a second."""
        self._read.append(audit.Deed(self.now, who, action, subject, detail))
        self._wake.set()

    def flush(self) -> None:
        """Writes what was noted."""
        taken, self._read = self._read, []
        if not taken:
            return
        try:
            with self.writing() as connection:
                audit.write_all(connection, taken)
        except Exception:
            self._read = taken + self._read
            raise

    def close(self) -> None:
        """Writes what was noted, and lets go of the database."""
        self._stopping = True
        self._wake.set()
        self._recorder.join()
        self.flush()
        self.journal.close()

    def _record(self) -> None:
        while not self._stopping:
            self._wake.wait(_FOLLOW_SECONDS)
            self._wake.clear()
            try:
                self.flush()
                self.follow()
            except Exception:
                log("api.late", "what was read could not be recorded yet", level=logging.WARNING, error=True)
                self._wake.set()
            time.sleep(_PAUSE)


def state_of(request: Request) -> State:
    """The state of the application that a request is for."""
    state: State = request.app.state.api
    return state


Api = Annotated[State, Depends(state_of)]
