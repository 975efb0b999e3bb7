"""Enrollment of a request that is in process: reused, asked for, or a fatal message; and waiting where nobody answers.

Imports sqlalchemy, domain, flow, store, desk.life and desk.sources.

Who is asked may take its time: no transaction is open meanwhile. What came is kept, also where the request has moved.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine

from hl7auth.desk.life import Desk, Reason
from hl7auth.desk.sources import Unanswered, ask
from hl7auth.domain.enrolling import FATAL_CODE, FATAL_TEXT, Wanted, Way, wanted, way
from hl7auth.domain.process import Event, Missing, Process
from hl7auth.flow.channel import Channel
from hl7auth.flow.enrollment import Enrollment
from hl7auth.store import audit, enrollments, processes
from hl7auth.store.history import find
from hl7auth.store.processes import Stored, current_document

_HOUR = 3_600_000_000
_SECOND = 1_000_000
_LEASE = 10 * 60 * _SECOND
"""For so long a request that one process tries again is left alone by others: longer than any source may take."""


class _Open(NamedTuple):
    """A request whose enrollment is to be known, and what is to be done about it."""

    process: Stored
    settings: Enrollment
    folder: Path
    wanted: Wanted
    way: Way


class Enrolling:
    """Sees to the enrollment of requests. Thread-safe as its engine is."""

    def __init__(
        self,
        engine: Engine,
        channels: Mapping[str, Channel],
        new_id: Callable[[], int],
        now: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._channels = channels
        self._new_id = new_id
        self._now = now
        self._desk = Desk(engine, channels, new_id, now)
        self.asks = any(channel.file.enrollment is not None for channel in channels.values())
        """Has any channel enrollment to be seen to?"""

    def submit(self, key: str, by: str) -> Process:
        """Entry or Changed to In Process, and on from there. Raises as Desk.submit."""
        self._desk.submit(key, by)
        return self.go_on(key, by)

    def go_on(self, key: str, by: str) -> Process:
        """The state when enrollment is seen to: In Process where it is known, or waits; Denied by the fatal message."""
        with self._engine.begin() as connection:
            process, open_ = self._open(connection, key)
            if open_ is None:
                return process.state
            if open_.way is Way.REUSE:
                enrollments.release(connection, process.id)
                return process.state
        if open_.way is Way.FATAL:
            return self._desk.deny(key, by, Reason(FATAL_CODE, FATAL_TEXT), source="system")
        try:
            data = ask(open_.settings, open_.folder, open_.wanted, str(self._new_id()))
        except Unanswered as fault:
            return self._suspended(open_, str(fault), by)
        return self._kept(open_, data, by)

    def is_known(self, connection: Connection, key: str) -> bool:
        """May the request be worked on? False while its enrollment is to be asked for, or is waited for."""
        _, open_ = self._open(connection, key)
        return open_ is None or open_.way is Way.REUSE

    def due(self, limit: int = 100) -> list[str]:
        """The keys of requests that wait and whose time has come, for who asks first: others leave them alone then."""
        if not self.asks:
            return []
        now = self._now()
        with self._engine.execution_options(reads_only=True).connect() as connection:
            waiting = enrollments.due(connection, now, limit)
        if not waiting:  # as nearly always: who only looks keeps no writer waiting
            return []
        with self._engine.begin() as connection:
            return [key for key, found in waiting if enrollments.claim(connection, found, now + _LEASE)]

    def _open(self, connection: Connection, key: str) -> tuple[Stored, _Open | None]:
        """The process, and what is to be done; nothing where the channel does not ask, or a fatal message is there."""
        stored, _ = find(connection, key)
        process = processes.read_last(connection, stored)
        if process is None:
            raise Missing(f"nobody has submitted '{key}' yet")
        channel = self._channels.get(process.channel)
        settings = None if channel is None else channel.file.enrollment
        skipped = process.state is not Process.IN_PROCESS or processes.has_fatal(connection, process.id)
        if channel is None or settings is None or skipped:
            return process, None
        asked = wanted(current_document(connection, process.key), process.payor)
        kept = enrollments.read_enrollment(connection, asked.entity, asked.payor)
        received = None if kept is None else kept.received_at
        expires = int(settings.expires_hours * _HOUR)
        found = way(received, self._now(), expires, keep=settings.keep)
        return process, _Open(process, settings, channel.path.parent, asked, found)

    def _kept(self, open_: _Open, data: dict[str, Any] | None, by: str) -> Process:
        with self._engine.begin() as connection:
            now, about = self._now(), open_.wanted
            enrollments.keep_enrollment(connection, about.entity, about.payor, data, now)
            enrollments.release(connection, open_.process.id)
            detail = {"version": open_.process.version, "known": data is not None}
            audit.write(connection, by, "request.enrollment", open_.process.key, detail, now)
            return self._state(connection, open_.process)

    def _suspended(self, open_: _Open, reason: str, by: str) -> Process:
        """A technical failure is no denial: it is told in the history, and tried again."""
        process = open_.process
        with self._engine.begin() as connection:
            state, now = self._state(connection, process), self._now()
            if state is not Process.IN_PROCESS:
                return state
            before = enrollments.read_trouble(connection, process.id)
            pause = open_.settings.retry.after(before.tries + 1 if before else 1)
            enrollments.suspend(connection, process.id, reason, now, now + int(pause * _SECOND))
            step = (Process.IN_PROCESS, Event.TECHNICAL_ERROR, Process.IN_PROCESS)
            processes.record(connection, process.id, step, now, by, reason)
            detail = {"version": process.version, "reason": reason}
            audit.write(connection, by, f"request.{Event.TECHNICAL_ERROR}", process.key, detail, now)
            return state

    def _state(self, connection: Connection, process: Stored) -> Process:
        last = processes.read_last(connection, process.key)
        return Process.CANCELLED if last is None or last.id != process.id else last.state
