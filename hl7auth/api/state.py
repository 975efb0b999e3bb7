"""What every request works with: the store, the channels, the clock; reading, writing, and the record of both.

Imports fastapi, sqlalchemy, api, flow, steps_runner, store and observe.

SQLite has one writer at a time: those of this process wait for each other here, which costs less than to find out
there.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from hl7auth.api.glance import Glance
from hl7auth.api.problems import Problem
from hl7auth.api.writer import Together, Writer
from hl7auth.domain.balance import ALERT_SHARE
from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Outcome
from hl7auth.flow.intake import plan
from hl7auth.observe import ids, log, now
from hl7auth.steps_runner import StepProcess
from hl7auth.store import audit, operations
from hl7auth.store.balances import Portion, read_portion, refresh, unread_about, write_portion
from hl7auth.store.journal import Journal

T = TypeVar("T")

_AGAIN = 3
"""How often a transaction is tried that another one was in the way of."""
_PORTIONS = 4
"""Of 500 messages each, that a request waits for until balances are read."""
_MOST_LEFT = 0.005
"""Seconds that a file is left to the engine between two transactions."""
_MOST_RULING = 8
"""Requests that rules decide here at a time: threads that wait for functions of people answer nobody else."""
_KEPT_DAYS = 30
"""How long an operation that has ended can be asked for, and its Idempotency-Key counts."""
_FORGET_SECONDS = 3_600.0
_FOLLOW_SECONDS = 0.25
"""How far the balances are behind while nobody asks."""
_BREATH_SECONDS = 0.002
"""What is left to answers between two stretches of that."""


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
        self._is_file = settings.engine.dialect.name == "sqlite"
        # a server shows each statement what is committed then, with a transaction or without
        options = {"reads_only": True} if self._is_file else {"isolation_level": "AUTOCOMMIT"}
        self._reader = settings.engine.execution_options(**options)
        self._lock: AbstractContextManager[object] = threading.Lock() if self._is_file else nullcontext()
        self._free_at = 0.0
        self._journal_lock = threading.Lock()
        self._follow_lock = threading.Lock()
        self._somebody_waits = threading.Event()
        self.journal = Journal(settings.engine, settings.new_id)
        self.writer = Writer(self.writing)
        self.glance = Glance(settings.engine)
        self.steps = StepProcess()  # which starts when a rule first asks a function
        self.ruling = threading.BoundedSemaphore(_MOST_RULING)
        self._unsynced: Connection | None = None
        self._stopping = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="follower", daemon=True)
        self._follower.start()

    @property
    def now(self) -> int:
        """Microseconds since 1970."""
        return self.settings.now()

    @property
    def today(self) -> date:
        """The day in UTC."""
        return datetime.fromtimestamp(self.now / 1_000_000, UTC).date()

    @property
    def desk(self) -> str:
        """The channel by which what is entered here goes in."""
        return self.settings.desk or next(iter(self.settings.channels))

    def share(self, payor: str) -> Decimal:
        """The share of use beyond which an authorization of that payor is worth an alert."""
        return self.settings.shares.get(payor, ALERT_SHARE)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that only reads; of a file it sees one state."""
        with self._reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: all of it or nothing."""
        with self.alone(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def alone(self) -> Iterator[None]:
        """The turn of a thread to write, where only one can. Afterwards the engine has as long to take its own: it is
        another process, which nothing else would let in while one transaction here follows the other."""
        with self._lock:
            time.sleep(max(0.0, self._free_at - time.monotonic()))
            began = time.monotonic()
            try:
                yield
            finally:
                if self._is_file:
                    ended = time.monotonic()
                    self._free_at = ended + min(ended - began, _MOST_LEFT)

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
        """A message through the pipeline of the desk's channel, as one that came in; durable when this returns. Raises
        Problem (503) where that channel is gone."""
        channel = self.settings.channels.get(self.desk)
        if channel is None:
            said = f"the channel '{self.desk}', by which this goes in, is not served any more"
            raise Problem(503, said, "no-channel", headers={"Retry-After": "60"})
        planned = plan(raw, channel, self.now, self.settings.new_id, (), peer)
        with self._journal_lock, self.alone():
            (outcome,) = self.journal.commit([planned])
        return outcome

    def follow(self) -> None:
        """Has the balances follow what came since, as far as that goes in a moment; a thread does the rest. What they
        are is worked out before the turn to write is taken."""
        self._somebody_waits.set()
        with self._follow_lock:
            self._somebody_waits.clear()
            self._catch_up(bool)

    def follow_about(self, word: str) -> None:
        """Has the balances follow of what came since that which names a member or a number. Mostly there is nothing of
        that, and then nothing is written."""
        with self.reading() as connection:
            rows = unread_about(connection, word, _PORTIONS * 500)
        if rows:
            self.write(lambda connection: refresh(connection, rows))

    def _catch_up(self, between: Callable[[], object]) -> bool:
        """True when nothing is left that came before."""
        for _ in range(_PORTIONS):
            with self.reading() as connection:
                portion = read_portion(connection, between)
            if portion is None:
                return True
            self._bring(portion)
            if portion.is_last:
                return True
        return False

    def _bring(self, portion: Portion) -> None:
        """Writes balances without waiting for the disk: they are made of what is there already, and a crash that takes
        them takes the mark of how far they reach as well."""
        if not self._is_file:
            self.write(partial(_written_soon, portion=portion))
            return
        with self.alone():
            if self._unsynced is None:
                self._unsynced = self.engine.connect()
                driver: Any = self._unsynced.connection.dbapi_connection
                driver.execute("PRAGMA synchronous = NORMAL")
                self._unsynced.detach()  # never to be given to others
            with self._unsynced.begin():
                write_portion(self._unsynced, portion)

    async def done(self, together: Together, asked: Any) -> Any:
        """What came of something that is done with what others ask: when it is on the disk."""
        return await asyncio.wrap_future(self.writer.ask(together, asked))

    def saw(self, who: str, action: str, subject: str, **detail: Any) -> None:
        """Notes a read for the audit log. It is written with others within a twentieth of a second."""
        self.writer.note(audit.Deed(self.now, who, action, subject, detail))

    def flush(self) -> None:
        """Writes what was noted."""
        self.writer.flush()

    def close(self) -> None:
        """Writes what was noted, and lets go of the database."""
        self._stopping.set()
        self._follower.join()
        self.writer.close()
        self.journal.close()
        self.glance.close()
        self.steps.close()
        with self._follow_lock:
            if self._unsynced is not None:
                self._unsynced.close()
                self._unsynced = None

    def forget(self) -> None:
        """Removes operations that ended long ago; what they asked for holds data of patients."""
        before = self.now - _KEPT_DAYS * 86_400_000_000
        while self.write(partial(operations.forget, before=before)) == operations.FORGOTTEN_AT_ONCE:
            pass

    def _follow(self) -> None:
        """The thread. It works in stretches of a fraction of a millisecond, unless somebody waits for what it does: one
        thread at a time runs Python, and an answer needs several turns."""
        forgets_at = time.monotonic()
        is_there = True
        while not self._stopping.wait(_FOLLOW_SECONDS if is_there else 0):
            try:
                with self._follow_lock:
                    is_there = self._catch_up(partial(self._somebody_waits.wait, _BREATH_SECONDS))
                if time.monotonic() >= forgets_at:
                    forgets_at = time.monotonic() + _FORGET_SECONDS
                    self.forget()
            except Exception:
                is_there = True
                log("api.late", "the balances could not follow yet", level=logging.WARNING, error=True)


def _written_soon(connection: Connection, portion: Portion) -> None:
    connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
    write_portion(connection, portion)


async def state_of(request: Request) -> State:
    """The state of the application that a request is for."""
    state: State = request.app.state.api
    return state


Api = Annotated[State, Depends(state_of)]
