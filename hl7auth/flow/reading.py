"""What a rule of alerts finds at one moment, for each channel or destination by itself.

Imports flow.alert and flow.figures only. Times are microseconds since 1970.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hl7auth.flow.alert import DAYS, Alerts, Hours, Rule
from hl7auth.flow.figures import ChannelFigures, DestinationFigures, Figures, Standing, Waiting

MINUTE = 60 * 1_000_000
DAY = 24 * 60 * MINUTE
_PARTS = 20
"""A window of time is seen in so many steps."""

_NOTHING = Waiting()


class Reading(NamedTuple):
    """Is it so? None where that can not be told now: then everything stays as it is. `text` says how it is."""

    rule: Rule
    subject: str
    holds: bool | None
    text: str


class Past(NamedTuple):
    """What the figures of now do not tell: when the last message of a channel came before the engine was started, and
    the first end of the certificates of each channel."""

    last: Mapping[str, int]
    certificates: Mapping[str, int]


class Reader:
    """Reads all rules of a file. It remembers as much as the windows of error rates need, and no more."""

    def __init__(self, alerts: Alerts) -> None:
        self.alerts = alerts
        self._zone = ZoneInfo(alerts.file.time_zone)
        self._samples: dict[str, deque[tuple[int, dict[str, tuple[int, int]]]]] = {}
        self._reads: dict[str, Callable[[Rule, Figures, Past], Iterator[Reading]]] = {
            "idle_minutes": self._idle,
            "queue_age_minutes": self._age,
            "queue_depth": self._depth,
            "error_rate": self._errors,
            "certificate_days": self._certificate,
            "down_minutes": self._down,
            "database_minutes": self._database,
        }

    def read(self, figures: Figures, past: Past) -> list[Reading]:
        """What all rules find."""
        return [found for rule in self.alerts.file.rules for found in self._reads[rule.condition](rule, figures, past)]

    def _idle(self, rule: Rule, figures: Figures, past: Past) -> Iterator[Reading]:
        limit = int((rule.idle_minutes or 0) * MINUTE)
        opened = opened_at(rule.hours, figures.at, self._zone) if rule.hours else 0
        for channel in self._channels(rule, figures):
            last = channel.last_at or past.last.get(channel.name, 0)
            if last and figures.at - last < limit:
                yield Reading(rule, channel.name, False, f"messages come to {channel.name} again")
                continue
            # neither a pause of the engine nor the hours in which nothing is to come are the sender's fault
            since = max(last, figures.started_at, opened or 0)
            idle = opened is not None and figures.at - since >= limit
            text = f"no message came to {channel.name} for {_long(figures.at - (last or since))}"
            yield Reading(rule, channel.name, True if idle else None, text)

    def _age(self, rule: Rule, figures: Figures, _: Past) -> Iterator[Reading]:
        limit = (rule.queue_age_minutes or 0) * MINUTE
        for name, waits in self._waiting(rule, figures):
            age = figures.at - waits.oldest_at if waits and waits.open else 0
            text = f"the oldest delivery to {name} waits for {_long(age)}" if age else f"nothing waits for {name}"
            yield Reading(rule, name, None if waits is None else age >= limit, text)

    def _depth(self, rule: Rule, figures: Figures, _: Past) -> Iterator[Reading]:
        for name, waits in self._waiting(rule, figures):
            depth = waits.open if waits else 0
            holds = None if waits is None else depth > (rule.queue_depth or 0)
            yield Reading(rule, name, holds, f"{depth} deliveries wait for {name}")

    def _errors(self, rule: Rule, figures: Figures, _: Past) -> Iterator[Reading]:
        assert rule.error_rate is not None
        window = int(rule.error_rate.minutes * MINUTE)
        now = dict(self._counts(rule, figures))
        samples = self._samples.setdefault(rule.name, deque())
        if not samples or figures.at - samples[-1][0] >= window // _PARTS:
            samples.append((figures.at, now))
        while len(samples) > 1 and figures.at - samples[1][0] >= window:
            samples.popleft()
        at, before = samples[0]
        whole = figures.at - at >= window
        for name, (total, errors) in now.items():
            then = before.get(name, (0, 0))
            tried, failed = total - then[0], errors - then[1]
            text = f"{failed} of {tried} failed at {name} in {rule.error_rate.minutes:g} min"
            yield Reading(rule, name, _too_many(rule, tried, failed, whole), text)

    def _certificate(self, rule: Rule, figures: Figures, past: Past) -> Iterator[Reading]:
        for name in self.alerts.subjects(rule):
            ends = past.certificates.get(name)
            if ends is None:
                continue
            left = ends - figures.at
            day = datetime.fromtimestamp(ends // 1_000_000, UTC).date().isoformat()
            text = f"a certificate of {name} ends on {day}" if left > 0 else f"a certificate of {name} ended on {day}"
            yield Reading(rule, name, left < (rule.certificate_days or 0) * DAY, text)

    def _down(self, rule: Rule, figures: Figures, _: Past) -> Iterator[Reading]:
        limit = (rule.down_minutes or 0) * MINUTE
        for each in self._destinations(rule, figures):
            if each.standing is Standing.STOPPED:
                yield Reading(rule, each.name, True, f"{each.name} stands still until a person decides")
            elif each.standing is Standing.DOWN:
                down = figures.at - each.since
                text = f"nothing arrives at {each.name} for {_long(down)}"
                yield Reading(rule, each.name, True if down >= limit else None, text)
            else:
                up = each.standing is Standing.UP
                yield Reading(rule, each.name, False if up else None, f"{each.name} is {each.standing}")

    def _database(self, rule: Rule, figures: Figures, _: Past) -> Iterator[Reading]:
        away = figures.waiting is None
        yield Reading(rule, "database", away, "the database does not answer" if away else "the database answers")

    def _channels(self, rule: Rule, figures: Figures) -> list[ChannelFigures]:
        wanted = self.alerts.subjects(rule)
        return [channel for channel in figures.channels if channel.name in wanted]

    def _destinations(self, rule: Rule, figures: Figures) -> list[DestinationFigures]:
        wanted = self.alerts.subjects(rule)
        return [each for each in figures.destinations if each.name in wanted]

    def _waiting(self, rule: Rule, figures: Figures) -> Iterator[tuple[str, Waiting | None]]:
        for name in self.alerts.subjects(rule):
            yield name, None if figures.waiting is None else figures.waiting.get(name, _NOTHING)

    def _counts(self, rule: Rule, figures: Figures) -> Iterator[tuple[str, tuple[int, int]]]:
        """All that was tried, and what of it failed."""
        if rule.is_about_destinations:
            yield from ((d.name, (d.settled, d.settled - d.sent)) for d in self._destinations(rule, figures))
        else:
            yield from ((c.name, (c.received, c.errors)) for c in self._channels(rule, figures))


def opened_at(hours: Hours, now: int, zone: ZoneInfo) -> int | None:
    """When the hours began that it is within now; None outside of them. Long ago where they follow one another."""
    local = datetime.fromtimestamp(now / 1_000_000, zone)
    begins, ends = hours.minutes
    found = None
    for back in range(8):
        day = (local - timedelta(days=back)).date()
        if DAYS[day.weekday()] not in hours.days:
            if back:
                break
            continue
        start = _moment(day.year, day.month, day.day, begins, zone)
        end = _moment(day.year, day.month, day.day, ends, zone)
        if start <= (found if found is not None else now) <= end and start <= now:
            found = start
        elif back:
            break
    return found


def _moment(year: int, month: int, day: int, minutes: int, zone: ZoneInfo) -> int:
    """A time of the day on the wall of that zone, also beyond its end."""
    wall = datetime(year, month, day, tzinfo=zone) + timedelta(minutes=minutes)
    return int(wall.timestamp()) * 1_000_000


def _too_many(rule: Rule, tried: int, failed: int, whole: bool) -> bool | None:
    assert rule.error_rate is not None
    if not failed:
        return False if whole else None
    if tried < rule.error_rate.at_least:
        return None
    return failed * 100 > rule.error_rate.percent * tried


def _long(microseconds: float) -> str:
    """How long, for people."""
    for unit, size in (("days", DAY), ("hours", 60 * MINUTE), ("min", MINUTE)):
        if microseconds >= 2 * size:
            return f"{microseconds / size:.0f} {unit}"
    return f"{microseconds / 1_000_000:.0f} s"
