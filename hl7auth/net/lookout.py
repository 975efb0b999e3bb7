"""The lookout: a thread that looks at the figures and into the store, and makes the pages of the window.

Imports twisted, sqlalchemy, flow, store, net and observe only.

It is a thread because nobody may wait for it: a scrape of a thousand channels takes longer than a message may, and a
database may be slow just when one wants to know. It reads what the reactor counts, and writes none of it.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

import orjson
from sqlalchemy.exc import SQLAlchemyError
from twisted.internet import defer

from hl7auth.errors import UserError
from hl7auth.flow.figures import ChannelFigures, DestinationFigures, Figures, Waiting
from hl7auth.net.exposition import SECOND, TEXT, Exposition, Rates, status
from hl7auth.net.window import JSON, PLAIN, Page
from hl7auth.observe import log, now
from hl7auth.store.database import connect, file_of, open_database
from hl7auth.store.standing import waiting

TICK_SECONDS = 5.0
"""How often it looks unasked."""

RATE_SECONDS = 60
"""Rates are over the last so many seconds."""

FRESH_SECONDS = 1.0
"""What was found so short ago is shown again, however often one asks."""

PATIENCE_SECONDS = 10.0
"""Who asks is told so when the lookout is stuck for longer."""


class Sources(NamedTuple):
    """The running parts, as functions that any thread may call. `workers` gives how many there are and serve."""

    channels: Callable[[], tuple[ChannelFigures, ...]]
    destinations: Callable[[], tuple[DestinationFigures, ...]]
    batches: Callable[[], tuple[int, ...]]
    workers: Callable[[], tuple[int, int]]


class Lookout:
    """Looks when asked, and every few seconds."""

    def __init__(self, reactor: Any, database: str, sources: Sources, clock: Callable[[], int] = now) -> None:
        self._reactor = reactor
        self._database = database
        self._file = file_of(database)
        self._sources = sources
        self._now = clock
        self._started_at = clock()
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="lookout", daemon=True)
        self._samples: deque[tuple[int, Mapping[str, int]]] = deque()
        self._exposition = Exposition()
        self._found: Figures | None = None
        self._away = False

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Looks no more; waits for nobody."""
        self._jobs.put(None)

    def metrics(self) -> "defer.Deferred[Page]":
        """All figures in the text format of Prometheus."""
        return self._ask(lambda: Page(200, TEXT, self._exposition.text(*self._seen())))

    def status(self) -> "defer.Deferred[Page]":
        """All figures as JSON."""
        return self._ask(lambda: Page(200, JSON, orjson.dumps(status(*self._seen(), []))))

    def ready(self) -> "defer.Deferred[Page]":
        """Can messages be taken?"""

        def page() -> Page:
            ready = self.look(anew=True).ready
            return Page(200 if all(ready.values()) else 503, JSON, orjson.dumps(dict(ready)))

        return self._ask(page)

    def look(self, *, anew: bool = False) -> Figures:
        """The figures of now, or of just now; `anew` all but what the database said just now."""
        at, found = self._now(), self._found
        fresh = found is not None and 0 <= at - found.at < FRESH_SECONDS * SECOND
        if found is not None and fresh and not anew:
            return found
        waits = found.waiting if found is not None and fresh else self._waiting()
        wanted, serving = self._sources.workers()
        figures = Figures(
            at, self._started_at, wanted, serving, self._sources.channels(), self._sources.destinations(),
            self._sources.batches(), waits,
        )  # fmt: skip
        self._found = figures if not fresh else found
        return figures

    def rates(self, figures: Figures) -> Rates:
        """Messages and deliveries a second since the first sample that is kept."""
        if not self._samples or figures.at <= self._samples[0][0]:
            return {}
        since, before = self._samples[0]
        seconds = (figures.at - since) / SECOND
        return {name: (count - before.get(name, 0)) / seconds for name, count in _counts(figures)}

    def tick(self) -> None:
        """Looks, and keeps a sample for the rates."""
        figures = self.look()
        self._samples.append((figures.at, dict(_counts(figures))))
        while figures.at - self._samples[0][0] > RATE_SECONDS * SECOND:
            self._samples.popleft()

    def _seen(self) -> tuple[Figures, Rates]:
        figures = self.look()
        return figures, self.rates(figures)

    def _waiting(self) -> Mapping[str, Waiting] | None:
        """What waits, by a connection of its own: only so is seen that others could not connect any more."""
        try:
            if file_of(self._database) != self._file:
                raise UserError("another file is in the place of the database")
            found = _waiting(self._database)
        except (SQLAlchemyError, UserError) as error:
            if not self._away:
                log("database.away", "the database does not answer", level=logging.ERROR, reason=type(error).__name__)
            self._away = True
            return None
        if self._away:
            log("database.back", "the database answers again")
        self._away = False
        return found

    def _run(self) -> None:
        due = self._reactor.seconds()
        while True:
            try:
                job = self._jobs.get(timeout=max(0.0, due - self._reactor.seconds()))
            except Empty:
                job = _nothing
            if job is None:
                return
            try:
                if self._reactor.seconds() >= due:
                    due = self._reactor.seconds() + TICK_SECONDS
                    self.tick()
                job()
            except Exception:
                log("lookout.failed", "the figures could not be had", level=logging.ERROR, error=True)

    def _ask(self, make: Callable[[], Page]) -> "defer.Deferred[Page]":
        waits: defer.Deferred[Page] = defer.Deferred()
        waits.addTimeout(PATIENCE_SECONDS, self._reactor, lambda *_: Page(503, PLAIN, b"the lookout is stuck\n"))

        def tell(page: Page) -> None:
            if not waits.called:
                waits.callback(page)

        def job() -> None:
            page = Page(500, PLAIN, b"the page could not be made\n")
            try:
                page = make()
            finally:
                self._reactor.callFromThread(tell, page)

        self._jobs.put(job)
        return waits


def _waiting(database: str) -> Mapping[str, Waiting]:
    engine = open_database(database, create=False)
    try:
        with connect(engine.execution_options(reads_only=True)) as connection, connection.begin():
            return waiting(connection)
    finally:
        engine.dispose()


def _nothing() -> None:
    """Nobody asked."""


def _counts(figures: Figures) -> Iterable[tuple[str, int]]:
    """What rates are of; names of destinations have a slash, names of channels have none."""
    yield from ((each.name, each.received) for each in figures.channels)
    yield from ((each.name, each.sent) for each in figures.destinations)
