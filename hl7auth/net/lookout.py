"""The lookout: a thread that looks at the figures and into the store, and makes the pages of the window.

Imports twisted, prometheus_client, sqlalchemy, flow, store, net, observe and errors only.

It is a thread because nobody may wait for it: a scrape of a thousand channels takes longer than a message may, and a
database may be slow just when one wants to know. It reads what the reactor counts, and writes none of it.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

import orjson
from prometheus_client.core import Metric
from sqlalchemy.exc import SQLAlchemyError
from twisted.internet import defer

from hl7auth.errors import UserError
from hl7auth.flow.alert import Alerts
from hl7auth.flow.certificate_files import certificate_files, first_end
from hl7auth.flow.channel import Channel
from hl7auth.flow.figures import ChannelFigures, DestinationFigures, Figures, Waiting
from hl7auth.net.alarm import Alarm
from hl7auth.net.exposition import SECOND, TEXT, Exposition, Rates, gauge, status
from hl7auth.net.window import JSON, PLAIN, Page
from hl7auth.observe import log, now
from hl7auth.store.database import KeptFile, connect, open_database
from hl7auth.store.standing import waiting

TICK_SECONDS = 5.0
"""How often it looks unasked."""

CERTIFICATE_SECONDS = 600
"""How often certificates are looked at: a new file is seen without a restart."""

RATE_SECONDS = 60
"""Rates are over the last so many seconds."""

FRESH_SECONDS = 1.0
"""What was found so short ago is shown again, however often one asks."""

GRACE_SECONDS = 1.0
"""How long, at the end, the thread may take for what it has begun."""

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

    def __init__(
        self,
        reactor: Any,
        database: str,
        sources: Sources,
        channels: Sequence[Channel] = (),
        alerts: Alerts | None = None,
        clock: Callable[[], int] = now,
    ) -> None:
        self._reactor = reactor
        self._database = database
        self._file = KeptFile(open_database(database))
        self._sources = sources
        self._now = clock
        self._started_at = clock()
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="lookout", daemon=True)
        self._samples: deque[tuple[int, Mapping[str, int]]] = deque()
        self._exposition = Exposition()
        self._found: Figures | None = None
        self._away = False
        self._certificates = {each.name: certificate_files(each) for each in channels}
        self._ends: dict[str, int] = {}
        self._ends_at = 0
        self._alarm = None if alerts is None else Alarm(alerts, database, clock, self._jobs.put)
        self._tick_seconds = TICK_SECONDS if alerts is None else alerts.file.every_seconds

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def serves(self, channels: Sequence[Channel]) -> None:
        """These are the channels from now on."""

        def job() -> None:
            self._certificates = {each.name: certificate_files(each) for each in channels}
            self._ends_at = 0
            if self._alarm is not None:
                self._alarm.serves(channels)

        self._jobs.put(job)

    def watches(self, alerts: Alerts | None) -> None:
        """These are the alerts from now on; None for no alerts. What is open stays open where it is still watched."""

        def job() -> None:
            self._tick_seconds = TICK_SECONDS if alerts is None else alerts.file.every_seconds
            if alerts is None:
                if self._alarm is not None:
                    self._alarm.stop()
                self._alarm = None
            elif self._alarm is None:
                self._alarm = Alarm(alerts, self._database, self._now, self._jobs.put)
            else:
                self._alarm.become(alerts)

        self._jobs.put(job)

    def stop(self) -> None:
        """Looks no more; waits a little for what was to be written about alerts."""
        self._jobs.put(None)
        if self._alarm is not None:
            self._alarm.stop()
            if self._thread.is_alive():
                self._thread.join(GRACE_SECONDS)

    def metrics(self) -> "defer.Deferred[Page]":
        """All figures in the text format of Prometheus."""
        return self._ask(lambda: Page(200, TEXT, self._exposition.text(*self._seen(), self._more())))

    def status(self) -> "defer.Deferred[Page]":
        """All figures as JSON."""
        return self._ask(lambda: Page(200, JSON, orjson.dumps(status(*self._seen(), self._alerts()))))

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
        """Looks, keeps a sample for the rates, and has the alarm look."""
        figures = self.look(anew=True)
        self._samples.append((figures.at, dict(_counts(figures))))
        while figures.at - self._samples[0][0] > RATE_SECONDS * SECOND:
            self._samples.popleft()
        if not self._ends_at or figures.at - self._ends_at > CERTIFICATE_SECONDS * SECOND:
            self._ends_at, self._ends = figures.at, self._first_ends()
        if self._alarm is not None:
            self._alarm.look(figures, self._ends)

    def _first_ends(self) -> dict[str, int]:
        found = {name: first_end(paths, content) for name, paths in self._certificates.items() if paths}
        return {name: end for name, end in found.items() if end is not None}

    def _more(self) -> Iterable[Metric]:
        yield gauge(
            "hl7auth_certificate_end_timestamp_seconds", "When the first certificate of the channel ends", "channel",
            ((name, end / SECOND) for name, end in self._ends.items()),
        )  # fmt: skip
        if self._alarm is not None:
            yield gauge("hl7auth_alerts_open", "Incidents that are open", "rule", self._alarm.counts())

    def _alerts(self) -> list[dict[str, Any]]:
        return [] if self._alarm is None else self._alarm.entries()

    def _seen(self) -> tuple[Figures, Rates]:
        figures = self.look()
        return figures, self.rates(figures)

    def _waiting(self) -> Mapping[str, Waiting] | None:
        """What waits, by a connection of its own: only so is seen that others could not connect any more."""
        try:
            self._file.require()
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
                    due = self._reactor.seconds() + self._tick_seconds
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


def content(path: Path) -> bytes | None:
    """The bytes of a file; None where there is none that can be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def _nothing() -> None:
    """Nobody asked."""


def _counts(figures: Figures) -> Iterable[tuple[str, int]]:
    """What rates are of; names of destinations have a slash, names of channels have none."""
    yield from ((each.name, each.received) for each in figures.channels)
    yield from ((each.name, each.sent) for each in figures.destinations)
