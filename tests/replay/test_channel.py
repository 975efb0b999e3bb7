"""Replays to channels: what was applied is left alone, what was not is done once, and everything is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hl7auth.store.archive_lock import REPLAY, only_one
from tests.cli.inline import run
from tests.engine import answer, channel, request
from tests.replay.made import planned, replayed, reported, snapshot, states, went, written
from tests.store.stored import Store, samples


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with a request, the same once more, its answer, and something that is no message."""
    made = Store(tmp_path, migrate=True)
    made.send(request("C1", number="PA1"), request("C1", number="PA1"), answer("D1", "C1"), b"nothing of HL7")
    yield made
    made.close()


def test_what_was_applied_is_skipped_and_nothing_is_stored(store: Store) -> None:
    before, count = snapshot(store), store.rows("SELECT count(*) FROM message")
    plan = planned(store, "--disposition", "accepted")
    assert (plan["messages"], plan["expected"], plan["states"]) == (2, {"done": 2}, {"skipped": 2})
    assert went(store, plan["replay"]).code == 0
    told = reported(store, plan["replay"])
    assert [(each["origin"], each["reason"]) for each in told["items"]] == [
        ("1", "it was applied as message 1"),
        ("3", "it was applied as message 3"),
    ]
    assert (snapshot(store), store.rows("SELECT count(*) FROM message")) == (before, count)


def test_repetitions_and_what_is_no_message_are_told(store: Store) -> None:
    report = replayed(store)
    assert [each["state"] for each in report["items"]] == ["skipped", "skipped", "skipped", "refused"]
    assert report["items"][1]["reason"] == "it repeats message 1"
    again = replayed(store)
    assert states(again) == {"skipped": 5}
    assert again["items"][3]["reason"] == f"replay {report['replay']}: refused, under the same version of the channel"


def test_what_a_channel_refused_is_applied_when_it_takes_it(tmp_path: Path) -> None:
    strict = channel(tmp_path, processing_ids="[T]")
    store = Store(tmp_path, strict, migrate=True)
    store.send(request("C1", number="PA1"), answer("D1", "C1"))
    assert snapshot(store) == []
    plan = planned(store)
    assert plan["expected"] == {"changed": 1, "new": 1}
    done = went(store, plan["replay"])
    assert (done.code, done.document["states"]) == (0, {"done": 2})
    first, second = reported(store, plan["replay"])["items"]
    shown = run("message", "show", first["message"], "--format", "json", database=store.url).document
    assert shown["raw"] == request("C1", number="PA1").decode()
    assert [(each["origin"], each["by"], each["replay"]) for each in shown["replay_of"]] == [
        ("1", "ada", plan["replay"])
    ]
    old = run("message", "show", "2", database=store.url).out
    assert f"replay {plan['replay']} of message 2 by ada: done, became message {second['message']}" in old
    assert [row[3] for row in snapshot(store) if row[2] and row[0] == "PA1@ACME"] == ["approved"]
    again = planned(store)
    assert again["states"] == {"skipped": 4}
    store.close()


def test_again_is_a_second_effect_that_says_so(store: Store) -> None:
    plan = planned(store, "--control-id", "D1", "--again", "the payor lost it")
    assert plan["again"] == "the payor lost it"
    assert went(store, plan["replay"]).code == 0
    (item,) = reported(store, plan["replay"])["items"]
    assert (item["state"], item["again"], item["code"]) == ("done", True, "AA")
    shown = run("message", "show", item["message"], "--format", "json", database=store.url).document
    assert (shown["disposition"], shown["peer"]) == ("accepted", f"replay {plan['replay']} again")
    assert shown["replay_of"][0]["why"] == "the payor lost it"
    count = store.rows("SELECT count(*) FROM message")
    assert went(store, plan["replay"]).code == 0  # the same plan twice
    assert planned(store, "--control-id", "D1")["states"] == {"skipped": 2}
    assert store.rows("SELECT count(*) FROM message") == count
    assert run("db", "check", "--rebuild", database=store.url).code == 0


def test_a_day_of_mixed_traffic_makes_the_same_store_elsewhere(tmp_path: Path) -> None:
    here = Store(tmp_path, migrate=True)
    for raw in samples():
        here.send(raw)
    here.close()
    folder = tmp_path / "out"
    assert run("archive", "export", "--as", "batch", "--to", str(folder / "day.hl7"), database=here.url).code == 0
    there = Store(tmp_path, name="there.db", migrate=True)
    words = ("--from", str(folder / "day.hl7"), "--to-channel", "referral-intake")
    report = replayed(there, *words)
    assert states(report)["done"] > 60
    assert len({row[4] for row in snapshot(there)}) == len({row[4] for row in snapshot(here)})
    assert _timeless(there) == _timeless(here)
    count = there.rows("SELECT count(*) FROM message")
    assert states(replayed(there, *words)).keys() == {"skipped"}
    assert there.rows("SELECT count(*) FROM message") == count
    assert run("db", "check", "--rebuild", database=there.url).code == 0
    there.close()


def _timeless(store: Store) -> list[tuple[object, ...]]:
    """What is authorized, but for the ids and times of messages."""
    return store.rows(
        "SELECT key, version, current, status, referral, requester, control_id, rule FROM authorization_version"
        " ORDER BY 1, 2"
    )


def test_two_at_once_are_refused(store: Store, tmp_path: Path) -> None:
    number = planned(store)["replay"]
    with only_one(store.engine, REPLAY):
        done = went(store, number)
    assert (done.code, done.err) == (2, "hl7auth: another replay of this database is running: nothing was done\n")


def test_a_run_rests_at_an_error_and_goes_on(tmp_path: Path) -> None:
    store = Store(tmp_path, migrate=True)
    file = written(tmp_path / "some.hl7", request("C1"), request("").replace(b"|P|2.5", b"|P|9.9"), request("C3"))
    plan = planned(store, "--from", str(file), "--to-channel", "referral-intake")
    assert plan["expected"] == {"new": 2, "refused": 1}
    done = went(store, plan["replay"], "--stop-on-error", "--rate", "1000")
    assert (done.code, done.document["state"]) == (1, "paused")
    assert done.document["states"] == {"done": 1, "refused": 1, "waiting": 1}
    assert done.document["rests"] == "message 2 of it was refused (AR)"
    assert went(store, plan["replay"]).document["states"] == {"done": 2, "refused": 1}
    actions = [each["action"] for each in reported(store, plan["replay"])["record"]]
    assert actions == ["planned", "begun", "paused", "resumed", "done"]
    store.close()


def test_a_channel_that_changed_since_is_not_run(store: Store, tmp_path: Path) -> None:
    number = planned(store)["replay"]
    folder = tmp_path / "channels"
    folder.mkdir()
    channel(folder, duplicates="strict")
    done = went(store, number, "--channels", str(folder))
    assert done.code == 2
    assert "has changed since replay" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plan", "--control-id", "nobody"), "nothing is chosen"),
        (("plan", "--from", "missing.hl7"), "there is no such file or folder"),
        (("plan", "--from", ".", "--event", "RQA"), "does not go with it"),
        (("plan", "--to-channel", "nowhere"), "unknown channel 'nowhere'"),
        (("run", "77"), "there is no replay 77"),
        (("pause", "77"), "there is no replay 77"),
        (("report", "77"), "there is no replay 77"),
    ],
)
def test_mistakes_are_told_in_one_sentence(words: tuple[str, ...], said: str, store: Store) -> None:
    done = run("replay", *words, database=store.url)
    assert (done.code, done.err.count("\n"), said in done.err) == (2, 1, True), done.err
