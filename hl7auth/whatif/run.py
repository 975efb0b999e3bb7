"""The whole comparison: the archive in units, over several processes, and what they counted put together.

Imports sqlalchemy, flow, rules, store and errors only.

The database is only read, in short transactions, by connections that can not write.
"""

import gc
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from hl7auth.errors import UserError
from hl7auth.flow.channel import Channel
from hl7auth.rules.edition import Edition, kept_edition, take_over
from hl7auth.rules.profile import resolved
from hl7auth.store.database import open_database, require_current
from hl7auth.store.rebuild import reader
from hl7auth.store.schema import message
from hl7auth.whatif.scopes import BEFORE_ALL, Asked, scopes
from hl7auth.whatif.tally import Tally
from hl7auth.whatif.trial import Pair, Trial, pair

Progress = Callable[[int, int], None]
Unit = list[list[int]]


class Wanted(NamedTuple):
    """What is compared: the archive of `url`, today's channels and those that would be, by their names, and messages
    received from `since` until before `until` (microseconds since 1970)."""

    url: str
    now: Mapping[str, Channel]
    new: Mapping[str, Channel]
    since: int | None = None
    until: int | None = None
    examples: int = 3


class _Task(NamedTuple):
    """What a process needs to know; channels as they were read, and the editions of their profiles."""

    url: str
    now: dict[str, Channel]
    new: dict[str, Channel]
    editions: tuple[Edition, ...]
    first: int
    examples: int


def silent(_done: int, _total: int) -> None:
    """Shows no progress."""


def compare(wanted: Wanted, workers: int = 1, moved: Progress = silent) -> Tally:
    """What would have come out otherwise. `moved` hears how many messages are compared, of how many.

    Raises UserError where the database can not be read, or where a process for the work ends before it is done.
    """
    pairs = _pairs(wanted.now, wanted.new)
    tried = sorted(name for name, each in pairs.items() if each.is_tried)
    engine = open_database(wanted.url, create=False)
    require_current(engine)
    total = Tally(wanted.examples)
    try:
        with reader(engine) as connection:
            connection.execution_options(stream_results=True)
            asked = _asked(connection, wanted, pairs, tried)
            if asked is None:
                return total
            units, messages = scopes(connection, asked), _count(connection, asked)
            connection.rollback()
    finally:
        engine.dispose()  # no connection goes to another process
    task = _task(wanted, asked.first)
    for part in _here(task, units) if workers < 2 else _elsewhere(task, units, workers):
        total.merge(part)
        moved(min(total.compared, messages), messages)
    return total


def _pairs(now: Mapping[str, Channel], new: Mapping[str, Channel]) -> dict[str, Pair]:
    return {name: pair(channel, new.get(name, channel)) for name, channel in now.items()}


def _asked(connection: Connection, wanted: Wanted, pairs: Mapping[str, Pair], tried: Sequence[str]) -> Asked | None:
    """The messages that are compared; None where there are none."""
    times = [message.c.received_at >= wanted.since] if wanted.since is not None else []
    times += [message.c.received_at < wanted.until] if wanted.until is not None else []
    first, last = connection.execute(select(func.min(message.c.id), func.max(message.c.id)).where(*times)).one()
    if first is None or not tried:
        return None
    tied = [name for name, each in pairs.items() if _is_tied(each)]
    # what is forwarded by one channel is answered on another
    if any(
        each.file.replies is not None and each.file.replies.forwards for both in pairs.values() for each in both[:2]
    ):
        tied = list(pairs)
    scoped = (each.file.snapshot.scope for both in pairs.values() for each in both[:2])
    return Asked(max(first, BEFORE_ALL), last, tried, tied, "patient_and_payor" in scoped)


def _is_tied(found: Pair) -> bool:
    """True where the index of fields does not tell which messages belong together: a partner's own words say which
    authorization is meant, or the steps would be others."""
    if not found.same_steps:
        return True
    names = [(each, name) for each in found[:2] for name in each.file.profiles]
    return any(resolved(name, None, each.editions.get(name, "")).dialect is not None for each, name in names)


def _count(connection: Connection, asked: Asked) -> int:
    wanted = (message.c.channel.in_(asked.tried), message.c.id.between(asked.first, asked.last))
    return int(connection.execute(select(func.count()).where(*wanted)).scalar_one())


def _task(wanted: Wanted, first: int) -> _Task:
    channels = [*wanted.now.values(), *wanted.new.values()]
    digests = dict.fromkeys(digest for each in channels for digest in each.editions.values())
    editions = tuple(kept_edition(digest) for digest in digests)
    return _Task(wanted.url, dict(wanted.now), dict(wanted.new), editions, first, wanted.examples)


class _Work:
    """What a process does."""

    def __init__(self, task: _Task) -> None:
        take_over(task.editions)
        self._stack = ExitStack()
        engine = open_database(task.url, create=False)
        connection = self._stack.enter_context(reader(engine))
        self._trial = Trial(connection, _pairs(task.now, task.new), task.first, task.examples)
        self._stack.callback(self._trial.close)
        self.run = self._trial.run

    def close(self) -> None:
        self._stack.close()


def _here(task: _Task, units: Iterator[Unit]) -> Iterator[Tally]:
    work = _Work(task)
    try:
        yield from map(work.run, units)
    finally:
        work.close()


_work: _Work | None = None


def _begin(task: _Task) -> None:
    global _work  # noqa: PLW0603 - a process of the pool has one for all its units
    _work = _Work(task)
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)  # as the server does


def _run(unit: Unit) -> Tally:
    assert _work is not None
    return _work.run(unit)


def _elsewhere(task: _Task, units: Iterator[Unit], workers: int) -> Iterator[Tally]:
    """The units over processes, never more of them under way than these have to do."""
    context = multiprocessing.get_context("spawn")
    under_way: deque[Future[Tally]] = deque()
    try:
        with ProcessPoolExecutor(workers, context, _begin, (task,)) as pool:
            for unit in units:
                under_way.append(pool.submit(_run, unit))
                if len(under_way) > 3 * workers:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
    except BrokenProcessPool:
        raise UserError("a process that compared messages ended before it was done: is there enough memory?") from None
