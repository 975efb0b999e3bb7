"""The thread that writes what requests ask for at the same time: in one transaction, with one sync of the disk for all.

Imports sqlalchemy, api.problems, store.audit, store.attaching (Overtaken) and observe.

While one transaction is on its way to the disk, what is asked meanwhile waits for the next, so that the busier it is
the more share one. Rows of the audit log go in behind all of it: those of the changes with them, those of what was read
with the next transaction, or in one of their own after a twentieth of a second.
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from hl7auth.api.problems import Problem
from hl7auth.observe import log
from hl7auth.store import audit
from hl7auth.store.attaching import Overtaken

PAUSE = 0.05
"""Seconds that the record of what was read waits for others."""
MOST_AT_ONCE = 256
"""Requests in one transaction."""
MOST_WAITING = 20_000
"""Records of what was read that can wait for a database that is away; then nothing more is read."""
AGAIN = 3
"""How often a transaction is tried that another one was in the way of."""

LATER = 1.0
"""Seconds until what was read is tried again to be recorded."""

Begin = Callable[[], AbstractContextManager[Connection]]


class Done(NamedTuple):
    """What came of one request: what it is told, or the exception that it gets; and what goes to the audit log."""

    result: Any
    deeds: Sequence[audit.Deed] = ()


Together = Callable[[Connection, Sequence[Any]], Sequence[Done]]
"""Does all that is asked in the transaction of the caller; what it refuses leaves nothing behind. To be without
effects beside: it may be asked again."""


class _Job(NamedTuple):
    together: Together
    asked: Any
    answer: "Future[Any]"


class Writer:
    """The thread. `begin` opens a transaction that is committed in its end."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._read: deque[audit.Deed] = deque()
        self._gate = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = False

    def ask(self, together: Together, asked: Any) -> "Future[Any]":
        """Has something done with what others ask; the result is there when it is on the disk."""
        job = _Job(together, asked, Future())
        self._put(job)
        return job.answer

    def note(self, deed: audit.Deed) -> None:
        """Has a read recorded. Raises Problem (503) when too many wait: what is not recorded is not to be read."""
        if len(self._read) >= MOST_WAITING:
            raise Problem(503, "what is read can not be recorded just now", "busy", headers={"Retry-After": "1"})
        is_first = not self._read
        self._read.append(deed)
        if is_first:
            self._put(None)

    def flush(self) -> None:
        """Comes back when what was noted is on the disk."""
        self.ask(_nothing, None).result()

    def close(self) -> None:
        """Comes back when all that was asked and noted is on the disk. Who asks later begins anew."""
        thread = self._thread
        if thread is not None:
            self._stopping = True
            self._jobs.put(None)
            thread.join()
            self._stopping = False

    def _put(self, job: _Job | None) -> None:
        with self._gate:
            self._jobs.put(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._has_ended():
            jobs = self._next()
            went_well = self._do(jobs) if jobs or self._read else True
            if self._read and (went_well or not self._stopping):
                self._jobs.put(None)

    def _has_ended(self) -> bool:
        with self._gate:
            if not (self._stopping and self._jobs.empty()):
                return False
            self._thread = None
            return True

    def _next(self) -> list[_Job]:
        """What waits; where something was only read, others get a moment to come."""
        first = self._jobs.get()
        if first is None and not self._stopping:
            with suppress(queue.Empty):
                first = self._jobs.get(timeout=PAUSE)
        found = [first]
        with suppress(queue.Empty):
            while len(found) < MOST_AT_ONCE:
                found.append(self._jobs.get_nowait())
        return [each for each in found if each is not None and each.answer.set_running_or_notify_cancel()]

    def _do(self, jobs: Sequence[_Job]) -> bool:
        """All together; False where that failed. Where they are in each other's way, or one fails, each is tried alone;
        where it is the database itself all are told at once: to try each would keep everybody waiting as many times."""
        if len(jobs) == 1:
            return self._do_alone(jobs[0])
        try:
            _tell(jobs, self._committed(jobs))
        except Exception as fault:
            if not jobs or (isinstance(fault, OperationalError) and not _in_the_way(fault)):
                return self._give_up(jobs, fault)
            return all([self._do_alone(each) for each in jobs])
        return True

    def _do_alone(self, job: _Job) -> bool:
        for left in reversed(range(AGAIN)):
            try:
                _tell([job], self._committed([job]))
            except Exception as fault:
                if not left or not _in_the_way(fault):
                    return self._give_up([job], fault)
            else:
                break
        return True

    def _give_up(self, jobs: Sequence[_Job], fault: Exception) -> bool:
        """Tells those who asked. What was read is tried again, with what is asked next or after a pause."""
        if self._read:
            log("api.late", "what was read could not be recorded yet", level=logging.WARNING, error=True)
        for each in jobs:
            each.answer.set_exception(fault)
        if not jobs and not self._stopping:
            time.sleep(LATER)
        return False

    def _committed(self, jobs: Sequence[_Job]) -> list[Done]:
        """What came of each. The audit log is written last: others wait from there on."""
        read = list(self._read)
        kinds: dict[Together, list[int]] = {}
        for at, job in enumerate(jobs):
            kinds.setdefault(job.together, []).append(at)
        done: dict[int, Done] = {}
        with self._begin() as connection:
            for together, places in kinds.items():
                done |= zip(places, together(connection, [jobs[at].asked for at in places]), strict=True)
            deeds = [deed for at in range(len(jobs)) for deed in done[at].deeds]
            audit.write_all(connection, [*read, *deeds])
        for _ in read:
            self._read.popleft()
        return [done[at] for at in range(len(jobs))]


def by_itself(connection: Connection, asked: Sequence[Callable[[Connection], Done]]) -> list[Done]:
    """Does each beside the others: what one raises takes back what it did, and is told to who asked."""
    done = []
    for work in asked:
        try:
            with connection.begin_nested():
                done.append(work(connection))
        except OperationalError:
            raise
        except Exception as fault:
            done.append(Done(fault))
    return done


def _nothing(_connection: Connection, asked: Sequence[None]) -> list[Done]:
    return [Done(None) for _ in asked]


def _tell(jobs: Sequence[_Job], done: Sequence[Done]) -> None:
    for job, each in zip(jobs, done, strict=True):
        if isinstance(each.result, Exception):
            job.answer.set_exception(each.result)
        else:
            job.answer.set_result(each.result)


def _in_the_way(fault: Exception) -> bool:
    """Another transaction was in the way of this one, and may not be the next time."""
    return isinstance(fault, Overtaken) or getattr(getattr(fault, "orig", None), "sqlstate", None) in ("40001", "40P01")
