"""What rules of alerts find in the figures of one moment."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hl7auth.flow.alert import Alerts, AlertsFile, Hours
from hl7auth.flow.channel import Channel
from hl7auth.flow.channel_model import ChannelFile
from hl7auth.flow.decision import Disposition
from hl7auth.flow.figures import ChannelFigures, DestinationFigures, Ending, Figures, Standing, Waiting
from hl7auth.flow.reading import DAY, MINUTE, Past, Reader, opened_at

START = 1_800_000_000_000_000
NOTHING_BEFORE = Past({}, {})
NO_QUEUE = Waiting()
BERLIN = ZoneInfo("Europe/Berlin")


def alerts(**rule: Any) -> Alerts:
    data = {"channel": "north", "listen": "tcp:1", "destinations": {"payer": {"file": {"folder": "out"}}}}
    channel = Channel(file=ChannelFile.model_validate(data), path=Path("north.yaml"))
    file = AlertsFile.model_validate({"time_zone": "Europe/Berlin", "rules": [{"name": "it", **rule}]})
    return Alerts(file, Path("alerts.yaml"), (channel,))


def figures(
    minutes: float,
    *,
    last: float = 0,
    received: int = 0,
    refused: int = 0,
    standing: tuple[Standing, float] = (Standing.UP, 0),
    acts: Mapping[str, int] | None = None,
    waiting: Waiting | None = NO_QUEUE,
) -> Figures:
    """Figures so many minutes after the start; times are in minutes after it, too, and 0 for never."""
    messages = dict.fromkeys(Disposition, 0) | {Disposition.ACCEPTED: received - refused, Disposition.REFUSED: refused}
    channel = ChannelFigures("north", True, 1, messages, dict.fromkeys(Ending, 0), at(last) if last else 0)
    since = at(standing[1]) if standing[1] else 0
    destination = DestinationFigures("north/payer", standing[0], since, 1, acts or {}, 0)
    waits = None if waiting is None else {"north/payer": waiting}
    return Figures(at(minutes), START, 1, 1, (channel,), (destination,), (0,) * 12, waits)


def at(minutes: float) -> int:
    return START + int(minutes * MINUTE)


def holds(reader: Reader, found: Figures, past: Past = NOTHING_BEFORE) -> bool | None:
    (reading,) = reader.read(found, past)
    return reading.holds


def test_a_channel_is_idle_after_its_last_message_or_the_start() -> None:
    reader = Reader(alerts(idle_minutes=30))
    assert holds(reader, figures(29)) is None
    assert holds(reader, figures(30)) is True
    assert holds(reader, figures(40, last=15)) is False
    assert holds(reader, figures(44.9, last=15)) is False
    assert holds(reader, figures(45, last=15)) is True


def test_what_came_before_a_restart_counts_but_the_pause_does_not() -> None:
    reader = Reader(alerts(idle_minutes=30))
    assert holds(reader, figures(5), Past({"north": at(-100)}, {})) is None
    assert holds(reader, figures(30), Past({"north": at(-100)}, {})) is True
    assert holds(reader, figures(5), Past({"north": at(-10)}, {})) is False


def test_nobody_is_idle_out_of_hours() -> None:
    """The start is a Friday, 09:00 in Berlin."""
    assert datetime.fromtimestamp(START / 1_000_000, BERLIN).strftime("%a %H:%M") == "Fri 09:00"
    reader = Reader(
        alerts(
            idle_minutes=30, hours={"days": ["mon", "tue", "wed", "thu", "fri"], "opens": "08:00", "closes": "18:00"}
        )
    )
    hour, day = 60, 24 * 60
    assert holds(reader, figures(hour, last=1)) is True
    assert holds(reader, figures(9 * hour + 1, last=1)) is None
    assert holds(reader, figures(day, last=1)) is None
    monday = 3 * day - hour
    assert holds(reader, figures(monday + 29, last=1)) is None
    assert holds(reader, figures(monday + 30, last=1)) is True
    assert holds(reader, figures(monday + 29, last=monday + 1)) is False


@pytest.mark.parametrize(
    ("hours", "now", "opened"),
    [
        (Hours(), "2026-03-04 12:00", "2026-02-25 00:00"),
        (Hours(opens="08:00", closes="18:00"), "2026-03-04 12:00", "2026-03-04 08:00"),
        (Hours(opens="08:00", closes="18:00"), "2026-03-04 07:59", ""),
        (Hours(opens="08:00", closes="18:00"), "2026-03-04 18:01", ""),
        (Hours(opens="22:00", closes="06:00"), "2026-03-04 23:00", "2026-03-04 22:00"),
        (Hours(opens="22:00", closes="06:00"), "2026-03-05 05:00", "2026-03-04 22:00"),
        (Hours(opens="22:00", closes="06:00"), "2026-03-05 12:00", ""),
        (Hours(days=("wed",), opens="22:00", closes="06:00"), "2026-03-05 05:00", "2026-03-04 22:00"),
        (Hours(days=("thu",), opens="22:00", closes="06:00"), "2026-03-05 05:00", ""),
        (Hours(days=("sat", "sun")), "2026-03-08 12:00", "2026-03-07 00:00"),
        (Hours(opens="08:00", closes="18:00"), "2026-03-29 08:30", "2026-03-29 08:00"),
        (Hours(opens="08:00", closes="18:00"), "2026-10-25 08:30", "2026-10-25 08:00"),
    ],
)
def test_when_the_hours_began(hours: Hours, now: str, opened: str) -> None:
    found = opened_at(hours, _wall(now), BERLIN)
    assert found == (_wall(opened) if opened else None)


def _wall(text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=BERLIN).timestamp()) * 1_000_000


def test_how_long_deliveries_wait_and_how_many() -> None:
    age, depth = Reader(alerts(queue_age_minutes=15)), Reader(alerts(queue_depth=3))
    assert holds(age, figures(60, waiting=Waiting(queued=1, oldest_at=at(46)))) is False
    assert holds(age, figures(60, waiting=Waiting(parked=1, oldest_at=at(45)))) is True
    assert holds(depth, figures(60, waiting=Waiting(queued=1, in_flight=1, parked=1, oldest_at=at(1)))) is False
    assert holds(depth, figures(60, waiting=Waiting(queued=4, oldest_at=at(1)))) is True
    for reader in (age, depth):
        assert holds(reader, figures(60)) is False
        assert holds(reader, figures(60, waiting=None)) is None


def test_the_share_of_errors_is_that_of_a_window() -> None:
    reader = Reader(alerts(error_rate={"percent": 10, "minutes": 10, "at_least": 20}))
    assert holds(reader, figures(0)) is None
    assert holds(reader, figures(2, received=10, refused=5)) is None
    assert holds(reader, figures(4, received=30, refused=3)) is False
    assert holds(reader, figures(5, received=30, refused=4)) is True
    for minute in range(6, 16):
        last = holds(reader, figures(minute, received=30 + 10 * minute, refused=4))
    assert last is False
    assert holds(reader, figures(30, received=1000, refused=4)) is False
    assert holds(reader, figures(31, received=1001, refused=5)) is False
    assert holds(reader, figures(60, received=1001, refused=5)) is False


def test_what_did_not_arrive_is_an_error_of_the_destination() -> None:
    reader = Reader(alerts(error_rate={"percent": 50, "minutes": 10, "at_least": 4}, destinations=["north/payer"]))
    assert holds(reader, figures(0)) is None
    assert holds(reader, figures(1, acts={"sent": 2, "retry": 2})) is False
    assert holds(reader, figures(2, acts={"sent": 2, "retry": 2, "park": 1})) is True


def test_the_memory_of_a_window_is_bounded() -> None:
    reader = Reader(alerts(error_rate={"percent": 10, "minutes": 10}))
    for second in range(0, 7200, 5):
        reader.read(figures(second / 60, received=second), NOTHING_BEFORE)
    assert len(reader._samples["it"]) <= 22


def test_a_certificate_near_its_end() -> None:
    reader = Reader(alerts(certificate_days=30))
    assert reader.read(figures(0), NOTHING_BEFORE) == []
    assert holds(reader, figures(0), Past({}, {"north": START + 30 * DAY})) is False
    assert holds(reader, figures(1), Past({}, {"north": START + 30 * DAY})) is True
    (ended,) = reader.read(figures(1), Past({}, {"north": START}))
    assert (ended.holds, ended.text) == (True, "a certificate of north ended on 2027-01-15")


@pytest.mark.parametrize(
    ("standing", "since", "found"),
    [
        (Standing.UP, 0, False),
        (Standing.UNKNOWN, 0, None),
        (Standing.DOWN, 6, None),
        (Standing.DOWN, 5, True),
        (Standing.STOPPED, 0, True),
    ],
)
def test_a_destination_is_down_when_it_is_for_long(standing: Standing, since: float, found: bool | None) -> None:
    assert holds(Reader(alerts(down_minutes=5)), figures(10, standing=(standing, since))) is found


def test_the_database_answers_or_not() -> None:
    reader = Reader(alerts(database_minutes=1))
    assert holds(reader, figures(1)) is False
    assert holds(reader, figures(1, waiting=None)) is True
