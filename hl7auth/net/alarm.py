"""The alarm: reads the rules of alerts whenever the lookout has looked, keeps the incidents, and has them told.

Imports sqlalchemy, flow, store, net.teller, observe and errors only. All of it runs in the thread of the lookout.

An event is written first and told then: after a restart nothing is told anew but what was just on its way. While the
database is away it is told all the same, and written as soon as that can be done.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from hl7auth.errors import UserError
from hl7auth.flow.alert import Alerts, Target
from hl7auth.flow.channel import Channel
from hl7auth.flow.figures import Figures
from hl7auth.flow.incident import Event, Watch
from hl7auth.flow.reading import Past, Reader
from hl7auth.net.teller import Teller, Told
from hl7auth.observe import log
from hl7auth.store.database import open_database
from hl7auth.store.incidents import mark_told, open_incidents, untold, write_events
from hl7auth.store.standing import last_messages

Later = Callable[[Callable[[], None]], None]
"""Has something done in the thread of the lookout, whoever calls."""


class Alarm:
    """The alerts of one engine."""

    def __init__(self, alerts: Alerts, database: str, now: Callable[[], int], later: Later) -> None:
        self._alerts = alerts
        self._database = database
        self._now = now
        self._later = later
        self._reader = Reader(alerts)
        self._watch: Watch | None = None
        self._last: Mapping[str, int] = {}
        self._unwritten: list[Event] = []
        self._told: list[Told] = []
        self._queued: dict[int, str] = {}
        self._away = False
        self._tellers = {name: self._teller(name, target) for name, target in alerts.file.notify.items()}

    def look(self, figures: Figures, certificates: Mapping[str, int]) -> None:
        """Finds out what began and ended."""
        watch = self._watch or self._begin(figures)
        if watch is None:
            return  # who does not know what was open would tell it anew
        readings = self._reader.read(figures, Past(self._last, certificates))
        events = watch.look(readings, figures.at)
        for event in events:
            _log(event)
        self._unwritten += events
        if self._unwritten or self._told:
            self._write()

    def entries(self) -> list[dict[str, Any]]:
        """The open incidents as plain data, oldest first."""
        return [] if self._watch is None else [incident.entry() for incident in list(self._watch.open.values())]

    def counts(self) -> list[tuple[str, int]]:
        """How many incidents of each rule are open."""
        found = [entry["rule"] for entry in self.entries()]
        return [(rule.name, found.count(rule.name)) for rule in self._alerts.file.rules]

    def serves(self, channels: Sequence[Channel]) -> None:
        """These are the channels from now on."""
        self._alerts = self._alerts._replace(channels=tuple(channels))
        self._reader.alerts = self._alerts
        if self._watch is not None:
            self._forget(self._watch, self._now())

    def become(self, alerts: Alerts) -> None:
        """Goes on by other rules. Who is told as before goes on with what waits; what waits for others is told anew."""
        before, after = self._alerts.file.notify, alerts.file.notify
        for name in [name for name in before if before[name] != after.get(name)]:
            self._tellers.pop(name).stop()
            self._queued = {notice: target for notice, target in self._queued.items() if target != name}
        for name in after.keys() - self._tellers.keys():
            self._tellers[name] = self._teller(name, after[name])
        self._alerts, self._reader = alerts, Reader(alerts)
        if self._watch is not None:
            self._watch.become(alerts.file.rules)
            self._forget(self._watch, self._now())

    def stop(self) -> None:
        """Tells no more."""
        for teller in self._tellers.values():
            teller.stop()

    def _teller(self, name: str, target: Target) -> Teller:
        def done(told: Told) -> None:
            self._later(lambda: self._heard(told))

        return Teller(name, target, self._now, done)

    def _begin(self, figures: Figures) -> Watch | None:
        """What was open and untold when the engine ended; nothing yet while the database does not say."""
        try:
            with self._transaction() as connection:
                self._last = last_messages(connection)
                watch = Watch(self._alerts.file.rules, open_incidents(connection))
        except (SQLAlchemyError, UserError):
            return None
        self._watch = watch
        self._unwritten = []
        self._forget(watch, figures.at)
        return watch

    def _forget(self, watch: Watch, at: int) -> None:
        """Nothing is watched any more that no rule is about."""
        rules = self._alerts.file.rules
        watched = [(rule.name, subject) for rule in rules for subject in self._alerts.subjects(rule)]
        events = watch.forget(watched, at)
        for event in events:
            _log(event)
        self._unwritten += events
        self._write()

    def _heard(self, told: Told) -> None:
        """Written at once: what ends the engine before is told again."""
        self._told.append(told)
        self._write()

    def _write(self) -> None:
        try:
            with self._transaction() as connection:
                write_events(connection, self._unwritten, tuple(self._tellers))
                for told in self._told:
                    mark_told(connection, told.notice_id, told.attempts, self._now())
                notices = untold(connection)
        except (SQLAlchemyError, UserError) as error:
            if not self._away:
                reason = type(error).__name__
                log("alert.unwritten", "alerts could not be written", level=logging.ERROR, reason=reason)
            self._away = True
            self._tell_unwritten()
            return
        self._away = False
        for told in self._told:
            self._queued.pop(told.notice_id, None)
        self._unwritten, self._told = [], []
        for notice in notices:
            teller = self._tellers.get(notice.target)
            if notice.id in self._queued:
                continue
            self._queued[notice.id] = notice.target
            if teller is None:  # it is no longer in the file
                self._told.append(Told(notice.id, 0))
            else:
                teller.tell(notice.id, notice.event)

    def _tell_unwritten(self) -> None:
        for at, event in enumerate(self._unwritten):
            for target in self._tellers if event.notify is None else event.notify:
                if target in self._tellers:
                    self._tellers[target].tell(0, event)
            self._unwritten[at] = event._replace(notify=())

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        engine = open_database(self._database, create=False)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()


def _log(event: Event) -> None:
    incident = event.incident
    level = logging.WARNING if event.what == "opened" else logging.INFO
    log(
        f"alert.{event.what}", event.text, level=level, rule=incident.rule, subject=incident.subject,
        severity=incident.severity,
    )  # fmt: skip
