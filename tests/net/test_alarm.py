"""Incidents that are kept: over a restart, over a database that is away, and over changes of the file."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from sqlalchemy import text

from hl7auth.flow.alert import Alerts, AlertsFile
from hl7auth.flow.channel import Channel
from hl7auth.flow.channel_model import ChannelFile
from hl7auth.flow.figures import Figures, Waiting
from hl7auth.net.alarm import Alarm
from hl7auth.store.database import open_database, upgrade
from tests.store import postgres

START = 1_800_000_000_000_000
MINUTE = 60_000_000
SECONDS = 20


class Watched:
    """A store and a file of alerts; engines come and go."""

    def __init__(self, folder: Path, url: str) -> None:
        self.told = folder / "told"
        self.url = url
        self.rules: list[dict[str, Any]] = [{"name": "deep", "queue_depth": 5, "clear_minutes": 0}]
        self.names = ["desk"]
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._alarm: Alarm | None = None
        self._minute = 0
        engine = open_database(url)
        upgrade(engine)
        engine.dispose()

    def start(self) -> Alarm:
        self.stop()
        notify = {name: {"file": str(self.told)} for name in self.names}
        file = AlertsFile.model_validate({"notify": notify, "rules": self.rules})
        data = {"channel": "north", "listen": "tcp:1", "destinations": {"payer": {"file": {"folder": "out"}}}}
        channel = Channel(file=ChannelFile.model_validate(data), path=Path("north.yaml"))
        self._alarm = Alarm(Alerts(file, Path("alerts.yaml"), (channel,)), self.url, lambda: START, self._jobs.put)
        return self._alarm

    def stop(self) -> None:
        if self._alarm is not None:
            self._alarm.stop()
        self._alarm = None

    def look(self, depth: int | None) -> list[str]:
        """One look with so many deliveries that wait; what is open then."""
        alarm = self._alarm or self.start()
        self._minute += 1
        waits = None if depth is None else {"north/payer": Waiting(queued=depth, oldest_at=START)}
        alarm.look(Figures(START + self._minute * MINUTE, START, 1, 1, (), (), (0,) * 12, waits), {})
        return [entry["rule"] for entry in alarm.entries()]

    def heard(self, count: int) -> list[str]:
        """What the file was told, as soon as so much more of it is done."""
        for _ in range(count):
            self._jobs.get(timeout=SECONDS)()
        lines = self.told.read_text().splitlines() if self.told.exists() else []
        return [f"{each['event']} {each['rule']}" for each in map(json.loads, lines)]

    def quiet(self) -> bool:
        try:
            self._jobs.get(timeout=0.05)
        except Empty:
            return True
        return False

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        engine = open_database(self.url)
        with engine.connect() as connection:
            found = [tuple(row) for row in connection.execute(text(sql))]
        engine.dispose()
        return found


@pytest.fixture(params=["sqlite", "postgresql"])
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Watched]:
    found = Watched(
        tmp_path, f"sqlite:///{tmp_path}/s.db" if request.param == "sqlite" else postgres.shared().database()
    )
    yield found
    found.stop()


def test_each_incident_is_told_once_over_restarts(watched: Watched) -> None:
    assert watched.look(3) == []
    assert watched.look(9) == ["deep"]
    assert watched.heard(1) == ["opened deep"]
    assert watched.look(9) == ["deep"]
    watched.stop()
    assert watched.look(9) == ["deep"]
    assert watched.look(None) == ["deep"]
    assert watched.quiet()
    assert watched.look(0) == []
    assert watched.heard(1) == ["opened deep", "resolved deep"]
    watched.look(0)
    watched.stop()
    assert watched.look(9) == ["deep"]
    assert watched.heard(1) == ["opened deep", "resolved deep", "opened deep"]
    watched.look(9)
    assert watched.rows("SELECT count(*), count(resolved_at) FROM incident") == [(2, 1)]
    assert watched.rows("SELECT count(*), count(told_at) FROM notice") == [(3, 3)]


def test_what_was_written_and_not_told_is_told_after_the_restart(watched: Watched) -> None:
    watched.told.mkdir()  # which no file can be written over
    assert watched.look(9) == ["deep"]
    watched.stop()
    watched.told.rmdir()
    assert watched.look(9) == ["deep"]
    assert watched.heard(1) == ["opened deep"]


def test_a_rule_that_is_gone_has_no_incidents(watched: Watched) -> None:
    watched.look(9)
    watched.heard(1)
    watched.look(9)
    watched.rules = [{"name": "deeper", "queue_depth": 100}]
    watched.start()
    assert watched.look(9) == []
    assert watched.heard(1) == ["opened deep", "resolved deep"]


def test_who_is_no_longer_told_is_no_longer_waited_for(watched: Watched) -> None:
    watched.told.mkdir()
    watched.look(9)
    watched.names = []
    watched.start()
    for _ in range(2):
        assert watched.look(9) == ["deep"]
    assert watched.rows("SELECT count(*) FROM notice WHERE told_at IS NULL") == [(0,)]


def test_while_the_database_is_away_it_is_told_all_the_same_and_written_later(tmp_path: Path) -> None:
    watched = Watched(tmp_path, f"sqlite:///{tmp_path}/s.db")
    watched.rules.append({"name": "store", "database_minutes": 1, "clear_minutes": 0})
    assert watched.look(3) == []
    (tmp_path / "s.db").rename(tmp_path / "away.db")
    assert watched.look(None) == []
    assert watched.look(None) == ["store"]
    assert watched.heard(1) == ["opened store"]
    (tmp_path / "away.db").rename(tmp_path / "s.db")
    assert watched.look(3) == []
    assert watched.heard(1) == ["opened store", "resolved store"]
    assert watched.rows("SELECT rule, resolved_at IS NULL FROM incident") == [("store", 0)]
    watched.stop()


def test_who_does_not_know_what_was_open_tells_nothing_yet(tmp_path: Path) -> None:
    watched = Watched(tmp_path, f"sqlite:///{tmp_path}/s.db")
    (tmp_path / "s.db").rename(tmp_path / "away.db")
    assert watched.look(9) == []
    assert watched.quiet()
    (tmp_path / "away.db").rename(tmp_path / "s.db")
    assert watched.look(9) == ["deep"]
    watched.stop()
