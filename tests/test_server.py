"""A server put together: what stops the start, and an orderly end."""

from functools import partial
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from hl7auth.cli import engine
from hl7auth.errors import ConfigError, UserError
from hl7auth.flow.channel import Channel, load_channel
from hl7auth.net.seen import Outside, on_loopback
from hl7auth.observe import MAX_WORKERS
from hl7auth.server import Parent, Server


def channel(folder: Path, listen: str) -> Channel:
    path = folder / "a.yaml"
    path.write_text(f"channel: a\nlisten: '{listen}'\naccepts: {{versions: ['2.5']}}\n")
    return load_channel(path)


def server(folder: Path, listen: str, lines: list[str]) -> Server:
    reactor = MemoryReactorClock()
    return Server([channel(folder, listen)], f"sqlite:///{folder}/s.db", reactor, lines.append)


def test_every_listener_is_announced_and_stopped(tmp_path: Path) -> None:
    lines: list[str] = []
    built = server(tmp_path, "tcp:2575:interface=127.0.0.1", lines)
    done: list[str] = []
    Deferred.fromCoroutine(built.start()).addCallback(lambda _: done.append("started"))
    assert done == ["started"]
    assert len(lines) == 1
    assert lines[0].startswith("listening on tcp:")
    assert lines[0].endswith("(channel a)")
    Deferred.fromCoroutine(built.stop()).addCallback(lambda _: done.append("stopped"))
    assert done == ["started", "stopped"]


@pytest.mark.parametrize("listen", ["2575", "tcp:x", "nosuch:1", ""])
def test_an_address_that_is_none_is_named_with_its_file(tmp_path: Path, listen: str) -> None:
    built = server(tmp_path, listen, [])
    failures: list[BaseException | None] = []
    Deferred.fromCoroutine(built.start()).addErrback(lambda failure: failures.append(failure.value))
    assert isinstance(failures[0], ConfigError)
    assert "a.yaml: listen" in str(failures[0])


@pytest.mark.parametrize("where", ["nosuch:1", "tcp:99999", "tcp:x", ":"])
def test_an_address_for_figures_that_is_none_is_named(tmp_path: Path, where: str) -> None:
    built = Server(
        [channel(tmp_path, "tcp:1")], f"sqlite:///{tmp_path}/s.db", MemoryReactorClock(), print, Outside(where)
    )
    failures: list[BaseException | None] = []
    Deferred.fromCoroutine(built.start()).addErrback(lambda failure: failures.append(failure.value))
    assert isinstance(failures[0], UserError)
    assert str(failures[0]).startswith(f"--metrics: '{where}")


@pytest.mark.parametrize(
    ("given", "listens"),
    [
        ("9575", "tcp:9575:interface=127.0.0.1"),
        ("tcp:9575", "tcp:9575:interface=127.0.0.1"),
        ("tcp:port=9575", "tcp:port=9575:interface=127.0.0.1"),
        ("tcp:9575:interface=0.0.0.0", "tcp:9575:interface=0.0.0.0"),
        ("unix:/run/figures", "unix:/run/figures"),
    ],
)
def test_figures_are_shown_on_the_loopback_unless_said_otherwise(given: str, listens: str) -> None:
    assert on_loopback(given) == listens


def test_a_database_that_can_not_be_opened_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "s.db").write_text("no database" * 500)
    with pytest.raises(UserError, match="file is not a database"):
        server(tmp_path, "tcp:0", [])


def test_a_schema_that_is_to_stay_is_looked_at(tmp_path: Path) -> None:
    channels, url, reactor = [channel(tmp_path, "tcp:0")], f"sqlite:///{tmp_path}/s.db", MemoryReactorClock()
    for build in (Server, partial(Parent, workers=2)):
        with pytest.raises(UserError, match=r"schema revision none, .* run `hl7auth db upgrade`"):
            build(channels, url, reactor, print, migrate=False)


def parent(folder: Path, listen: str, database: str) -> Parent:
    return Parent([channel(folder, listen)], database, MemoryReactorClock(), print, 2)


def test_workers_take_no_connections_but_plain_ones(tmp_path: Path) -> None:
    built = parent(tmp_path, "haproxy:tcp:0", f"sqlite:///{tmp_path}/s.db")
    failures: list[BaseException | None] = []
    Deferred.fromCoroutine(built.start()).addErrback(lambda failure: failures.append(failure.value))
    assert isinstance(failures[0], ConfigError)
    assert "a.yaml: listen: 'haproxy:tcp:0' needs --workers 1" in str(failures[0])


@pytest.mark.parametrize("database", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?uri=true"])
def test_workers_need_a_database_that_they_can_share(tmp_path: Path, database: str) -> None:
    with pytest.raises(UserError, match="several workers need a database that they can share"):
        parent(tmp_path, "tcp:0", database)


def test_no_more_workers_than_ids_can_tell_apart() -> None:
    assert engine.MAX_WORKERS == MAX_WORKERS - 1  # the parent makes ids too
