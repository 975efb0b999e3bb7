"""Alerts as people write them: `alerts.yaml` beside the channels says what is worth an alert, and who is told.

Imports flow (what is about channels and destinations), rules.strict_yaml and errors only.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from hl7auth.errors import ConfigError
from hl7auth.flow.certificate_files import certificate_files
from hl7auth.flow.channel import Channel
from hl7auth.flow.channel_files import ALERTS
from hl7auth.flow.channel_leaves import spelled
from hl7auth.flow.channel_values import NO_ENVIRONMENT, Environment, load_filled
from hl7auth.flow.destination import NAME, full_name
from hl7auth.flow.http_address import HttpHeaders, HttpUrl
from hl7auth.rules.strict_yaml import Strict, place

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

CONDITIONS = (
    "idle_minutes", "queue_age_minutes", "queue_depth", "error_rate", "certificate_days", "down_minutes",
    "database_minutes",
)  # fmt: skip
_OF_DESTINATIONS = ("queue_age_minutes", "queue_depth", "down_minutes")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
_DATABASE = "database"


class Hours(Strict):
    """When it matters: on these `days`, from `opens` to `closes`, in the time zone of the file.

    A day that closes before it opens ends on the next one.
    """

    days: tuple[Day, ...] = Field(DAYS, min_length=1)
    opens: str = "00:00"
    closes: str = "24:00"

    @field_validator("opens", "closes")
    @classmethod
    def _clock(cls, text: str) -> str:
        if not _CLOCK.fullmatch(text):
            raise ValueError(f"'{text}' is no time of the day like \"08:30\" (24:00 is its end)")
        return text

    @property
    def minutes(self) -> tuple[int, int]:
        """When it opens and closes, in minutes from midnight; beyond 24 hours is the next day."""
        begin, end = (int(text[:2]) * 60 + int(text[3:]) for text in (self.opens, self.closes))
        return begin, end if end > begin else end + 24 * 60


class ErrorRate(Strict):
    """More than `percent` of the last `minutes`, if there were `at_least` so many; of a channel messages that it
    refused or failed at, of a destination attempts that did not arrive."""

    percent: float = Field(gt=0, lt=100)
    minutes: float = Field(10, gt=0, le=24 * 60)
    at_least: int = Field(20, ge=1)


class Rule(Strict):
    """What is worth an alert, for each channel or destination by itself; it has exactly one condition.

    `idle_minutes`: no message came to the channel for so long, within `hours` where there are any.
    `queue_age_minutes`: a delivery waits, or is parked, for longer.
    `queue_depth`: more deliveries than so many wait or are parked.
    `error_rate`: too many messages or deliveries fail.
    `certificate_days`: a certificate of the channel ends sooner.
    `down_minutes`: nothing arrives at the destination for so long, or it stopped.
    `database_minutes`: the database does not answer for so long.
    `channels` and `destinations` (`channel/name`) say which; all where they are left out.
    `after_minutes` is how long it must be so, and `clear_minutes` how long it must not be so, before anybody is told.
    `notify` names who is told (all where it is left out); the log always is.
    """

    name: Annotated[str, Field(pattern=NAME)]
    idle_minutes: float | None = Field(None, gt=0)
    queue_age_minutes: float | None = Field(None, gt=0)
    queue_depth: int | None = Field(None, ge=0)
    error_rate: ErrorRate | None = None
    certificate_days: float | None = Field(None, gt=0)
    down_minutes: float | None = Field(None, gt=0)
    database_minutes: float | None = Field(None, gt=0)
    channels: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    hours: Hours | None = None
    severity: Literal["warning", "critical"] = "warning"
    after_minutes: float = Field(0, ge=0)
    clear_minutes: float = Field(5, ge=0)
    notify: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in CONDITIONS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a rule has exactly one of {', '.join(CONDITIONS)}")
        if self.destinations and given[0] not in (*_OF_DESTINATIONS, "error_rate"):
            raise ValueError(f"{given[0]} is not about destinations")
        if self.hours is not None and given[0] != "idle_minutes":
            raise ValueError("hours go with idle_minutes only")
        return self

    @property
    def condition(self) -> str:
        """Which of them it is."""
        return next(name for name in CONDITIONS if getattr(self, name) is not None)

    @property
    def is_about_destinations(self) -> bool:
        """Else it is about channels, or about the database."""
        return self.condition in _OF_DESTINATIONS or bool(self.destinations)


class Hook(Strict):
    """An HTTP server that takes a JSON document for each alert and answers with 2xx, within `seconds`."""

    url: HttpUrl
    headers: HttpHeaders = {}
    seconds: float = Field(10, gt=0, le=300)


class Target(Strict):
    """Who is told: exactly one of a `file`, which gets a JSON document a line, and `http`, a hook."""

    file: Path | None = None
    http: Hook | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.file is None) == (self.http is None):
            raise ValueError("exactly one of file and http is expected")
        return self


class AlertsFile(Strict):
    """The shape of alerts.yaml. `every_seconds` is how often is looked; `time_zone` is that of `hours`."""

    every_seconds: float = Field(5, ge=0.1, le=300)
    time_zone: str = "UTC"
    notify: dict[Annotated[str, Field(pattern=NAME)], Target] = {}
    rules: tuple[Rule, ...] = Field(min_length=1)

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (OSError, ValueError, LookupError):
            raise ValueError(f"unknown time zone '{name}' (like Europe/Berlin)") from None
        return name

    @model_validator(mode="after")
    def _named(self) -> Self:
        names = [rule.name for rule in self.rules]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two rules are called '{name}'")
        for rule in self.rules:
            for name in rule.notify or ():
                if name not in self.notify:
                    raise ValueError(
                        f"rule {rule.name} notifies '{name}' (known: {', '.join(self.notify) or 'nobody'})"
                    )
        return self


class Alerts(NamedTuple):
    """The file, where it is, and the channels that it is about."""

    file: AlertsFile
    path: Path
    channels: tuple[Channel, ...]

    @property
    def destinations(self) -> tuple[str, ...]:
        """All destinations, as `channel/name`."""
        return tuple(full_name(each.name, name) for each in self.channels for name in each.file.destinations)

    def subjects(self, rule: Rule) -> tuple[str, ...]:
        """What a rule looks at."""
        if rule.condition == "database_minutes":
            return (_DATABASE,)
        if not rule.is_about_destinations:
            return rule.channels or tuple(channel.name for channel in self.channels)
        return rule.destinations or tuple(
            name for name in self.destinations if not rule.channels or name.partition("/")[0] in rule.channels
        )


def load_alerts(folder: Path, channels: Sequence[Channel], environment: Environment = NO_ENVIRONMENT) -> Alerts | None:
    """The alerts of a folder of channels; None where there are none. Raises ConfigError."""
    path = folder / ALERTS
    if not path.exists():
        return None
    alerts = Alerts(load_filled(path, AlertsFile, environment), path, tuple(channels))
    for keys, fault in _unknown(alerts):
        raise ConfigError(f"{place(path, *keys)}: {'.'.join(map(str, keys))}: {fault}")
    return alerts


def alert_doubts(alerts: Alerts) -> list[tuple[str, str, str]]:
    """What is odd about right alerts: the key, why, and `file:line`."""
    found: list[tuple[tuple[int | str, ...], str]] = []
    certified = {channel.name for channel in alerts.channels if certificate_files(channel)}
    for number, rule in enumerate(alerts.file.rules):
        keys = ("rules", number)
        subjects = alerts.subjects(rule)
        if not subjects:
            found.append((keys, f"{rule.name} looks at nothing: no channel has a destination"))
        elif rule.condition == "certificate_days" and not certified.intersection(subjects):
            found.append((keys, f"{rule.name} looks at nothing: no channel that it is about has a certificate"))
    named = {
        name for rule in alerts.file.rules for name in (alerts.file.notify if rule.notify is None else rule.notify)
    }
    found += [(("notify", name), f"nobody notifies {name}") for name in alerts.file.notify if name not in named]
    return [(spelled(keys), text, place(alerts.path, *keys)) for keys, text in found]


def _unknown(alerts: Alerts) -> Iterator[tuple[tuple[int | str, ...], str]]:
    known = {"channels": tuple(each.name for each in alerts.channels), "destinations": alerts.destinations}
    for number, rule in enumerate(alerts.file.rules):
        for key, names in known.items():
            for at, name in enumerate(getattr(rule, key)):
                if name not in names:
                    fault = f"unknown {key[:-1]} '{name}' (known: {', '.join(names) or 'none'})"
                    yield ("rules", number, key, at), fault
