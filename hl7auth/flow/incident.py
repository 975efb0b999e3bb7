"""Incidents: what began and has not ended yet, so that each is told once when it begins and once when it ends.

Imports flow.alert, flow.reading and domain.clock only. Times are microseconds since 1970.
"""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from hl7auth.domain.clock import iso_time
from hl7auth.flow.alert import Rule
from hl7auth.flow.reading import MINUTE, Reading

Key = tuple[str, str]
"""The name of a rule, and the channel or destination (or `database`) that it is about."""


class Incident(NamedTuple):
    """Something is not as it should be, since `opened_at`."""

    rule: str
    subject: str
    severity: str
    opened_at: int
    text: str

    @property
    def key(self) -> Key:
        """There is one at a time for a rule and a subject."""
        return self.rule, self.subject

    def entry(self) -> dict[str, Any]:
        """The incident as plain data."""
        return {**self._asdict(), "opened_at": iso_time(self.opened_at)}


class Event(NamedTuple):
    """An incident began, or ended: worth a word to those whom `notify` names, or to all (None)."""

    what: Literal["opened", "resolved"]
    incident: Incident
    at: int
    text: str
    notify: tuple[str, ...] | None = None

    def entry(self) -> dict[str, Any]:
        """What others are told."""
        return {"event": self.what, "at": iso_time(self.at), **self.incident.entry(), "text": self.text}


class Watch:
    """Knows the open incidents of a set of rules, and finds out from readings which begin and end.

    An incident begins when something was so for `after_minutes` of its rule, and ends when it was not so for
    `clear_minutes`: what comes and goes within that time is one incident.
    """

    def __init__(self, rules: Iterable[Rule], known: Iterable[Incident] = ()) -> None:
        self.open = {incident.key: incident for incident in known}
        self._rules = {rule.name: rule for rule in rules}
        self._since: dict[Key, int] = {}
        self._clear_since: dict[Key, int] = {}

    def look(self, readings: Iterable[Reading], now: int) -> list[Event]:
        """What began and ended with these readings."""
        found = []
        for reading in readings:
            key = (reading.rule.name, reading.subject)
            event = self._still(reading, key, now) if key in self.open else self._new(reading, key, now)
            if event is not None:
                found.append(event)
        return found

    def become(self, rules: Iterable[Rule]) -> None:
        """Goes on by other rules: what is open stays open, and how long something has been so is still known."""
        self._rules = {rule.name: rule for rule in rules}

    def forget(self, subjects: Iterable[Key], now: int) -> list[Event]:
        """Ends the incidents that nobody looks at any more; `subjects` are those that somebody does."""
        watched = set(subjects)
        gone = [incident for key, incident in self.open.items() if key not in watched]
        return [self._end(incident, now, f"{incident.subject} is no longer watched for this") for incident in gone]

    def _new(self, reading: Reading, key: Key, now: int) -> Event | None:
        if not reading.holds:
            if reading.holds is False:
                self._since.pop(key, None)
            return None
        rule = reading.rule
        after = rule.database_minutes if rule.database_minutes is not None else rule.after_minutes
        if now - self._since.setdefault(key, now) < after * MINUTE:
            return None
        del self._since[key]
        incident = self.open[key] = Incident(*key, rule.severity, now, reading.text)
        return Event("opened", incident, now, reading.text, rule.notify)

    def _still(self, reading: Reading, key: Key, now: int) -> Event | None:
        if reading.holds is not False:
            if reading.holds:
                self._clear_since.pop(key, None)
            return None
        if now - self._clear_since.setdefault(key, now) < reading.rule.clear_minutes * MINUTE:
            return None
        return self._end(self.open[key], now, reading.text)

    def _end(self, incident: Incident, now: int, text: str) -> Event:
        del self.open[incident.key]
        self._clear_since.pop(incident.key, None)
        rule = self._rules.get(incident.rule)
        return Event("resolved", incident, now, text, rule.notify if rule is not None else None)
