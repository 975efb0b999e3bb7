"""A run in a process of its own that is killed: it goes on where it was, and nothing is done twice."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.inline import run
from tests.engine import request
from tests.replay.made import planned, reported, states, went, written
from tests.store.stored import Store

COUNT = 240
FEED = """
channel: feed
listen: tcp:0:interface=127.0.0.1
destinations:
  copy: {mllp: {connect: "tcp:127.0.0.1:1"}}
"""


@pytest.fixture
def channels(tmp_path: Path) -> Path:
    """A channel that sends on what it accepts."""
    folder = tmp_path / "channels"
    folder.mkdir()
    (folder / "feed.yaml").write_text(FEED, encoding="utf-8")
    return folder


def done_of(store: Store) -> int:
    """How many messages are done."""
    return len(store.rows("SELECT 1 FROM replay_item WHERE state = 'done'"))


def started(store: Store, number: str, channels: Path) -> "subprocess.Popen[bytes]":
    """A run at a rate at which it is not done soon; back when it has done something, and not all."""
    before = done_of(store)
    words = ["replay", "run", number, "--rate", "80", "--channels", str(channels), "--database", store.url]
    process = subprocess.Popen(
        [sys.executable, "-m", "hl7auth", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while done_of(store) == before:
        assert process.poll() is None, process.communicate()
    return process


def test_a_run_that_is_killed_goes_on_without_a_second_effect(tmp_path: Path, channels: Path) -> None:
    store = Store(tmp_path, migrate=True)
    file = written(tmp_path / "many.hl7", *(request(f"C{each}", number=f"PA{each}") for each in range(COUNT)))
    plan = planned(store, "--from", str(file), "--to-channel", "feed", "--channels", str(channels))
    assert plan["expected"] == {"new": COUNT}
    process = started(store, plan["replay"], channels)
    process.kill()
    process.communicate()
    done = done_of(store)
    assert 0 < done < COUNT
    assert len(store.rows("SELECT 1 FROM message")) == done  # the item and its effect are one
    assert reported(store, plan["replay"])["state"] == "running"

    assert went(store, plan["replay"], "--channels", str(channels)).code == 0
    assert states(reported(store, plan["replay"])) == {"done": COUNT}
    assert [row[0] for row in store.rows("SELECT control_id FROM message ORDER BY id")] == [
        f"C{n}" for n in range(COUNT)
    ]
    assert store.rows("SELECT DISTINCT disposition FROM message") == [("accepted",)]
    sent = store.rows("SELECT count(*), count(DISTINCT message_id) FROM delivery WHERE part = 0")
    assert sent == [(COUNT, COUNT)]
    store.close()


def test_a_run_that_somebody_pauses_rests(tmp_path: Path, channels: Path) -> None:
    store = Store(tmp_path, migrate=True)
    file = written(tmp_path / "many.hl7", *(request(f"C{each}") for each in range(COUNT)))
    number = planned(store, "--from", str(file), "--to-channel", "feed", "--channels", str(channels))["replay"]
    refused = run("replay", "pause", number, database=store.url)
    assert (refused.code, "is not running: it is planned" in refused.err) == (2, True)
    process = started(store, number, channels)
    second = went(store, number, "--channels", str(channels))
    assert (second.code, "another replay of this database is running" in second.err) == (2, True)
    assert run("replay", "pause", number, "--by", "bob", database=store.url).code == 0
    out, err = process.communicate(timeout=60)
    assert (process.returncode, b"somebody paused it" in out) == (1, True), err
    report = reported(store, number)
    assert report["state"] == "paused"
    assert [each["action"] for each in report["record"]] == ["planned", "begun", "pause", "paused"]
    store.close()
