"""Replays to a destination and to an endpoint: whoever is at the other end counts what comes."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hl7auth.flow.channel import load_channel
from hl7auth.store.queue import Queue
from tests.cli.inline import run
from tests.engine import answer, request
from tests.replay.made import planned, replayed, reported, states, went, written
from tests.replay.sink import Sink, says
from tests.store.stored import Store

FEED = """
channel: feed
listen: tcp:0:interface=127.0.0.1
destinations:
  copy: {mllp: {connect: "tcp:127.0.0.1:1"}}
"""


@pytest.fixture
def sinks() -> Iterator[list[Sink]]:
    """Those that a test makes."""
    made: list[Sink] = []
    yield made
    for each in made:
        each.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Channels with a destination."""
    found = tmp_path / "channels"
    found.mkdir()
    (found / "feed.yaml").write_text(FEED, encoding="utf-8")
    return found


@pytest.fixture
def store(tmp_path: Path, folder: Path) -> Iterator[Store]:
    """Two requests and an answer that were accepted, one message that was refused."""
    made = Store(tmp_path, load_channel(folder / "feed.yaml"), migrate=True)
    made.send(request("C1", number="PA1"), request("C2", number="PA2"), answer("D1", "C1"))
    made.send(request("BAD").replace(b"|P|2.5", b"|T|2.5"))
    yield made
    made.close()


def test_an_endpoint_gets_each_message_once(store: Store, sinks: list[Sink]) -> None:
    sinks.append(sink := Sink(lambda raw: says("AE" if b"|C2|" in raw[:120] else "AA", raw)))
    plan = planned(store, "--to-endpoint", sink.to)
    assert plan["expected"] == {"left_out": 1, "send": 3}
    done = went(store, plan["replay"])
    assert (done.code, done.document["states"]) == (1, {"done": 2, "refused": 1, "skipped": 1})
    assert sink.order == ["C1", "C2", "D1"]
    items = reported(store, plan["replay"])["items"]
    assert [each["code"] for each in items] == ["AA", "AE", "AA", ""]
    assert "--disposition refused" in items[3]["reason"]
    went(store, plan["replay"])
    second = planned(store, "--to-endpoint", sink.to)
    assert second["expected"] == {"done": 2, "left_out": 1, "send": 1}  # what was refused has not arrived
    assert sink.came == {"C1": 1, "C2": 1, "D1": 1}
    again = planned(store, "--to-endpoint", sink.to, "--control-id", "C1", "--again", "lost there")
    went(store, again["replay"])
    assert sink.came["C1"] == 2
    assert reported(store, again["replay"])["items"][0]["again"] is True


def test_what_may_have_arrived_is_not_sent_again_unless_a_person_says_so(store: Store, sinks: list[Sink]) -> None:
    hangs_up = iter([True])
    sinks.append(sink := Sink(lambda raw: None if next(hangs_up, False) else says("AA", raw)))
    number = planned(store, "--to-endpoint", sink.to, "--event", "RQA", "--disposition", "accepted")["replay"]
    done = went(store, number)
    assert (done.code, done.document["state"]) == (1, "paused")
    assert done.document["states"] == {"unknown": 1, "waiting": 1}
    assert "sent to" in done.document["rests"]
    assert went(store, number).document["states"] == {"done": 1, "unknown": 1}
    assert sink.came == {"C1": 1, "C2": 1}
    assert planned(store, "--to-endpoint", sink.to, "--control-id", "C1")["expected"] == {"done": 1}
    assert went(store, number, "--again", "they say it never came").document["states"] == {"done": 2}
    assert sink.came == {"C1": 2, "C2": 1}
    assert reported(store, number)["items"][0]["attempts"] == 2
    assert any(each["detail"] == "they say it never came" for each in reported(store, number)["record"])


def test_a_message_that_was_on_its_way_when_the_run_died_is_unknown(store: Store, sinks: list[Sink]) -> None:
    sinks.append(sink := Sink(lambda raw: says("AA", raw)))
    number = planned(store, "--to-endpoint", sink.to, "--event", "RQA", "--disposition", "accepted")["replay"]
    store.change(f"UPDATE replay_item SET state = 'sending' WHERE plan = {number} AND number = 1")
    assert went(store, number).document["states"] == {"done": 1, "unknown": 1}
    assert sink.came == {"C2": 1}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_interrupted_rests_behind_its_message(store: Store, sinks: list[Sink], number: int) -> None:
    def say(raw: bytes) -> bytes:
        os.kill(os.getpid(), number)
        return says("AA", raw)

    sinks.append(sink := Sink(say))
    plan = planned(store, "--to-endpoint", sink.to, "--event", "RQA", "--disposition", "accepted")
    done = went(store, plan["replay"])
    assert (done.code, done.document["state"], done.document["states"]) == (1, "paused", {"done": 1, "waiting": 1})
    assert done.document["rests"] == "it was interrupted"
    assert went(store, plan["replay"]).document["states"] == {"done": 2}
    assert sink.came == {"C1": 1, "C2": 1}


def test_where_nobody_listens_nothing_is_spent(store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        to = f"127.0.0.1:{closed.getsockname()[1]}"
    done = went(store, planned(store, "--to-endpoint", to)["replay"])
    assert (done.code, done.document["states"]["waiting"]) == (1, 3)
    assert "can not connect" in done.document["rests"]


def test_an_endpoint_takes_files_but_no_message_without_a_control_id(
    tmp_path: Path, store: Store, sinks: list[Sink]
) -> None:
    sinks.append(sink := Sink(lambda raw: says("AA", raw)))
    nameless = request("").replace(b"|RQA^I08||", b"|RQA^I08||")
    file = written(tmp_path / "some.hl7", request("F1"), request("F1"), nameless)
    report = replayed(store, "--from", str(file), "--to-endpoint", sink.to)
    assert [each["state"] for each in report["items"]] == ["done", "skipped", "skipped"]
    assert "no control id" in report["items"][2]["reason"]
    assert sink.came == {"F1": 1}


def test_a_destination_gets_what_it_did_not_get(store: Store, folder: Path) -> None:
    words = ("--to-destination", "copy", "--channels", str(folder))
    queued = "SELECT message_id, state FROM delivery WHERE part = 0 ORDER BY id"
    assert [row[0] for row in store.rows(queued)] == [1, 2, 3]
    assert planned(store, *words)["expected"] == {"done": 3, "left_out": 1}
    store.change("UPDATE delivery SET state = 'dead', head = 0 WHERE message_id IN (1, 3)")
    plan = planned(store, *words)
    assert plan["expected"] == {"done": 1, "left_out": 1, "send": 2}
    assert went(store, plan["replay"], "--channels", str(folder)).document["states"] == {"done": 2, "skipped": 2}
    assert [row[0] for row in store.rows(queued)] == [1, 2, 3, 1, 3]
    assert planned(store, *words)["expected"] == {"done": 3, "left_out": 1}
    queue = Queue(store.engine, "feed/copy", "me")
    claimed = queue.exchange([], 10, 2**62).claimed
    assert [each.message_id for each in claimed] == [2, 1]  # 3 answers 1: it waits behind it
    queue.close()
    again = planned(store, *words, "--control-id", "C2", "--again", "lost")
    went(store, again["replay"], "--channels", str(folder))
    (item,) = reported(store, again["replay"])["items"]
    shown = run("queue", "show", item["delivery"], "--format", "json", database=store.url).document
    assert shown["record"][0]["reason"] == f"replay {again['replay']} again: lost"
    assert len(store.rows("SELECT 1 FROM delivery WHERE message_id = 2 AND part = 0")) == 2


def test_files_do_not_go_to_a_destination(store: Store, folder: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "some.hl7", request("F1"))
    words = ("--to-destination", "feed/copy", "--channels", str(folder), "--from", str(file))
    assert states(replayed(store, *words)) == {"skipped": 1}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to-endpoint", "nowhere"), "is no HOST:PORT"),
        (("--to-destination", "nowhere"), "is no destination"),
        (("--to-destination", "x", "--to-endpoint", "a:1"), "goes to one of"),
    ],
)
def test_mistakes_about_targets(words: tuple[str, ...], said: str, store: Store) -> None:
    done = run("replay", "plan", *words, database=store.url)
    assert (done.code, said in done.err) == (2, True), done.err
