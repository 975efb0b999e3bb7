"""The process beside the engine that decides by the rules of channels, and asks again for enrollment, until its end.

Imports sqlalchemy, desk, domain, flow, store, net (the pipe, the channels, the collector), steps, observe and errors.
Run by the engine as `python -m hl7auth.desk.process`.

It looks at the database in short intervals, because requests are committed by other processes. Several may run over one
database: whoever submits a request first works on it, and others take it up when that takes too long.
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from hl7auth.desk.enrolling import Enrolling
from hl7auth.desk.life import Desk
from hl7auth.desk.working import BY, StepFailed, Working
from hl7auth.domain.process import Event, Forbidden, Missing
from hl7auth.errors import UserError
from hl7auth.flow.channel import Channel
from hl7auth.flow.channel_folder import ChannelFolder
from hl7auth.net.beside import hear
from hl7auth.net.collector import calm_the_collector
from hl7auth.net.served import Served
from hl7auth.observe import ids, log, log_to_stderr, now
from hl7auth.steps_runner import StepProcess
from hl7auth.store.database import open_database, require_current
from hl7auth.store.undecided import MOST, Submitted, read_new, read_submitted

LEASE = 75_000_000
"""Microseconds after which a request that another process submitted is taken up: longer than any callout takes."""
POLL_SECONDS = 0.1
_RECENT = 60_000_000
_WHOLE = 30_000_000
"""Microseconds: every look goes back so far, and one in so many goes back to the beginning."""
_ASK_AGAIN = 1_000_000
_FIRST_PAUSE = 1_000_000
_MOST_PAUSE = 60_000_000
_WORKER = 62
"""The lowest bits of the ids that are given here, as if by the last but one of all workers."""


class Rounds:
    """Looks for work and does it, one request after the other. `now` gives microseconds since 1970."""

    def __init__(
        self, engine: Engine, channels: Mapping[str, Channel], steps: StepProcess, now: Callable[[], int] = now,
        new_id: Callable[[], int] | None = None,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._now = now
        self._names = [name for name, channel in channels.items() if channel.file.decisions is not None]
        place = (engine, channels, new_id or ids(worker=_WORKER), now)
        self._enrolling = Enrolling(*place)
        self._working = Working(Desk(*place), self._enrolling, steps)
        self._whole_at = 0
        self._first = True
        self._asked_at = 0
        self._paused: dict[str, tuple[int, int]] = {}

    def round(self) -> int:
        """Does what there is to do, at most MOST of a kind; how many requests were looked at."""
        new, submitted = self._found() if self._names else ([], [])
        for key in new:
            self._do(key, self._working.take)
        for each in submitted:
            self._do(each.key, self._working.go_on if each.event == Event.SUBMIT else self._working.decide)
        due = self._due()
        for key in due:
            self._do(key, self._working.go_on)
        return len(new) + len(submitted) + len(due)

    def _found(self) -> tuple[list[str], list[Submitted]]:
        at = self._now()
        since = at - _RECENT
        if at - self._whole_at >= _WHOLE:
            since = 0
        with self._engine.execution_options(reads_only=True).connect() as connection:
            new = read_new(connection, self._names, since)
            submitted = read_submitted(connection, self._names)
        if since == 0 and len(new) < MOST:
            self._whole_at = at
        waiting = {key for key, (until, _) in self._paused.items() if until > at}
        mine = [each for each in submitted if self._is_mine(each, at)]
        self._first = False
        return [each for each in new if each not in waiting], [each for each in mine if each.key not in waiting]

    def _due(self) -> list[str]:
        """Requests whose enrollment is to be asked for again, looked for once in a second."""
        at = self._now()
        if at - self._asked_at < _ASK_AGAIN:
            return []
        self._asked_at = at
        return self._enrolling.due(MOST)

    def _is_mine(self, found: Submitted, at: int) -> bool:
        """What a person submitted, what failed here, what a process left that ended: also the one before this one."""
        return found.by != BY or self._first or at - found.at > LEASE or found.key in self._paused

    def _do(self, key: str, work: Callable[[str], object]) -> None:
        try:
            work(key)
            self._paused.pop(key, None)
        except Forbidden:
            self._paused.pop(key, None)  # somebody else was faster
        except StepFailed as fault:
            self._pause(key, str(fault))
        except SQLAlchemyError:
            raise
        except Exception as fault:  # one request must not hold up all others
            if not isinstance(fault, Missing):
                log("rules.failed", "a request could not be worked on", level=logging.ERROR, error=True)
            self._pause(key, "it can not be worked on")

    def _pause(self, key: str, why: str) -> None:
        """It is tried again later, and later still where that fails too; nothing is decided by a failure."""
        pause = min(self._paused.get(key, (0, _FIRST_PAUSE // 2))[1] * 2, _MOST_PAUSE)
        self._paused[key] = (self._now() + pause, pause)
        log("rules.late", "a request could not be decided yet, and is tried again", level=logging.WARNING, why=why)


def main() -> None:
    """Works until standard input ends. Its first line is the setup, as JSON: database, and channels (or null)."""
    log_to_stderr()
    setup = json.loads(sys.stdin.buffer.readline())
    stopping = threading.Event()
    try:
        engine = open_database(setup["database"], create=False, pooled=True)
        require_current(engine)
        served = Served(ChannelFolder(Path(setup["channels"]) if setup.get("channels") else None, os.environ))
    except UserError as fault:
        log("desk.failed", str(fault), level=logging.ERROR)
        sys.exit(2)
    threading.Thread(target=_watch, args=(served, stopping), name="engine", daemon=True).start()
    calm_the_collector()
    with StepProcess() as steps:
        _work(engine, served, steps, stopping)
    engine.dispose()


def _work(engine: Engine, served: Served, steps: StepProcess, stopping: threading.Event) -> None:
    """Round after round, by the channels as the engine serves them."""
    times, rounds = served.times, Rounds(engine, dict(served.items()), steps)
    while not stopping.is_set():
        if served.times != times:
            times, rounds = served.times, Rounds(engine, dict(served.items()), steps)
            steps.close()  # functions of rules may be others
        try:
            if not rounds.round():
                stopping.wait(POLL_SECONDS)
        except (SQLAlchemyError, UserError):
            log("desk.late", "requests could not be worked on, and wait", level=logging.WARNING, error=True)
            stopping.wait(1)


def _watch(served: Served, stopping: threading.Event) -> None:
    """The engine has ended when the pipe does."""
    hear(sys.stdin.buffer, served.look)
    stopping.set()


if __name__ == "__main__":
    main()
