"""A server put together: what stops the start, and an orderly end."""

from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from hl7auth.errors import ConfigError, UserError
from hl7auth.flow.channel import Channel, load_channel
from hl7auth.server import Server


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


def test_a_database_that_can_not_be_opened_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "s.db").write_text("no database" * 500)
    with pytest.raises(UserError, match="file is not a database"):
        server(tmp_path, "tcp:0", [])
