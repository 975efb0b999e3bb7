"""db check --rebuild and db rebuild, as a person or a script uses it, on a real store."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.inline import run
from tests.cli.test_commands import ENVIRONMENT
from tests.store.stored import Store, samples

REBUILD = ("db", "check", "--rebuild")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The shipped samples, taken in one after another."""
    store = Store(tmp_path, migrate=True)
    store.send(*samples())
    yield store
    store.close()


def test_a_store_that_can_be_rebuilt_is_good(store: Store) -> None:
    found = run(*REBUILD, "--format", "json", database=store.url)
    assert (found.code, found.err) == (0, "")
    count = len(samples())
    assert [found.document["good"], *(found.document["rebuild"][key] for key in ("equal", "messages"))] == [
        True, True, count,
    ]  # fmt: skip
    assert f"rebuilt from {count} message(s)" in run(*REBUILD, database=store.url).out
    assert "rebuild" not in run("db", "check", "--format", "json", database=store.url).document


def test_what_differs_is_named_with_its_message_and_fails(store: Store) -> None:
    store.change("UPDATE authorization_version SET status = 'denied' WHERE key = 'FG-77120@FERNGATE' AND version = 2")
    found = run(*REBUILD, database=store.url)
    assert found.code == 1
    line = "version FG-77120@FERNGATE: version 2: differs in status denied, rebuilt: approved; first by message 4"
    assert line in found.out
    found = run(*REBUILD, "--format", "json", database=store.url)
    assert (found.code, found.document["good"]) == (1, False)
    assert [each["message"] for each in found.document["rebuild"]["differences"]] == ["4"]
    assert run("db", "check", database=store.url).code == 0


def test_a_channel_that_is_gone_is_named(store: Store, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("channel: other\nlisten: tcp:0:interface=127.0.0.1\n")
    found = run(*REBUILD, "--channels", str(tmp_path), database=store.url)
    assert found.code == 1
    assert "channel referral-intake: the channel is not there any more" in found.out


def test_a_database_that_is_not_there_is_not_rebuilt(tmp_path: Path) -> None:
    found = run(*REBUILD, database=f"sqlite:///{tmp_path}/none.db")
    assert (found.code, "there is no database" in found.out) == (1, True)


def test_a_terminal_sees_how_far_it_is(store: Store) -> None:
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "hl7auth", *REBUILD, "--format", "json", "--database", store.url]
    environment = ENVIRONMENT | {"TERM": "xterm"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal, env=environment) as process:
        os.close(terminal)
        shown = _read_to_end(master)  # at once: a terminal that nobody reads holds its writer up
        out, _ = process.communicate()
    assert json.loads(out)["good"] is True
    assert b"rebuilding" in shown


def _read_to_end(terminal: int) -> bytes:
    shown = b""
    try:
        while chunk := os.read(terminal, 65_536):
            shown += chunk
    except OSError:  # so a terminal says that its other side is closed
        pass
    finally:
        os.close(terminal)
    return shown


@pytest.mark.parametrize("command", ["check", "upgrade"])
def test_a_password_is_never_shown(command: str) -> None:
    found = run("db", command, database="postgresql://ann:hush-hush@127.0.0.1:1/store")
    assert found.code != 0
    assert "hush-hush" not in found.out + found.err


def test_the_versions_are_written_anew(store: Store, tmp_path: Path) -> None:
    made = store.rows("SELECT * FROM authorization_version ORDER BY key, version")
    store.change("UPDATE authorization_version SET rule = 'guess'")
    found = run("db", "rebuild", "--format", "json", database=store.url)
    assert (found.code, found.document["versions"]) == (0, len(made))
    assert store.rows("SELECT * FROM authorization_version ORDER BY key, version") == made
    assert f"{len(made)} version(s) became {len(made)}" in run("db", "rebuild", database=store.url).out
    (tmp_path / "other.yaml").write_text("channel: other\nlisten: tcp:0:interface=127.0.0.1\n")
    refused = run("db", "rebuild", "--channels", str(tmp_path), database=store.url)
    assert (refused.code, "nothing was changed" in refused.err) == (2, True)
