"""Replays over the API: planned from a search, run, paused and gone on with; what becomes of them, and who may ask."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from hl7auth.api import replaying
from hl7auth.api.app import create_app
from hl7auth.flow.channel import Channel
from hl7auth.replay.running import INTERRUPTED
from hl7auth.store import operations
from hl7auth.store.archive_lock import REPLAY, only_one
from hl7auth.store.replays import (
    Draft,
    Item,
    Settled,
    Standing,
    State,
    add_items,
    begin_plan,
    finish_plan,
    is_asked_to_pause,
    set_standing,
    settle,
)
from hl7auth.store.tokens import READ, WRITE
from tests.api.desk import Desk, is_problem
from tests.api.desk import desk as made
from tests.engine import request
from tests.messages import shipped_channel
from tests.store.postgres import shared
from tests.store.stored import samples

AGAIN = "the authorization was deleted by mistake"


def planned(desk: Desk, messages: int) -> int:
    """A plan over messages that came, two of which are done."""
    with desk.engine.begin() as connection:
        plan = begin_plan(connection, Draft(desk.time, "ada", "channel north", "channel south", ""))
        items = [Item(plan, at, "", at, f"C{at}", "RQA^I08", 7 + at, "south", 0, "accepted") for at in range(messages)]
        add_items(connection, items)
        finish_plan(connection, plan, {}, ["as of now"])
        settle(connection, [Settled(each, State.DONE, code="AA") for each in items[:2]], desk.time)
    return plan


def test_replays_are_listed_newest_first_and_read_message_by_message(desk: Desk) -> None:
    first, second = planned(desk, 3), planned(desk, 5)
    page = desk.get("/replays?limit=1")
    assert [each["replay"] for each in page["items"]] == [str(second)]
    rest = desk.get(f"/replays?limit=1&cursor={page['next']}")
    assert ([each["replay"] for each in rest["items"]], rest["next"]) == ([str(first)], None)
    one = desk.get(f"/replays/{second}")
    assert (one["target"], one["states"], one["expected"]) == (
        "channel south",
        {"done": 2, "waiting": 3},
        {"accepted": 5},
    )
    found: list[tuple[str, str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = desk.get(f"/replays/{second}/messages?limit=2" + (f"&cursor={cursor}" if cursor else ""))
        found += [(each["control_id"], each["state"]) for each in page["items"]]
        cursor = page["next"]
    assert found == [("C0", "done"), ("C1", "done"), ("C2", "waiting"), ("C3", "waiting"), ("C4", "waiting")]
    waiting = desk.get(f"/replays/{second}/messages?state=waiting")["items"]
    assert [each["control_id"] for each in waiting] == ["C2", "C3", "C4"]
    assert desk.ask("GET", "/replays/99").status_code == 404
    assert desk.ask("GET", "/replays/99/messages").status_code == 404
    assert desk.ask("GET", f"/replays/{second}/messages?state=lost").status_code == 400


def test_only_a_run_can_come_to_rest(desk: Desk) -> None:
    plan = planned(desk, 1)
    refused = desk.ask("POST", f"/replays/{plan}/pause")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:hl7auth:not-running")
    with desk.engine.begin() as connection:
        set_standing(connection, plan, Standing.RUNNING)
    assert desk.ask("POST", f"/replays/{plan}/pause").status_code == 202
    with desk.engine.begin() as connection:
        assert is_asked_to_pause(connection, plan)
    assert [each["action"] for each in desk.get(f"/replays/{plan}")["record"]] == ["pause"]


def test_a_token_that_is_bound_sees_no_replays(desk: Desk) -> None:
    plan = planned(desk, 1)
    bound = desk.token("bound", "clinical.authorization.read", "clinical.authorization.write", payors=["ACME"])
    for method, path in (("GET", ""), ("GET", f"/{plan}"), ("GET", f"/{plan}/messages"), ("POST", f"/{plan}/pause")):
        assert desk.ask(method, f"/replays{path}", headers=bound).status_code == 403
    reader = desk.token("reader", "clinical.authorization.read")
    assert desk.ask("GET", f"/replays/{plan}", headers=reader).status_code == 200
    assert desk.ask("POST", f"/replays/{plan}/pause", headers=reader).status_code == 403


def rows(engine: Engine, sql: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]


def plan(desk: Desk, **body: Any) -> dict[str, Any]:
    """How planning ended."""
    return desk.ended(desk.ask("POST", "/replays", json={"selection": {}} | body))


def run(desk: Desk, number: str, **body: Any) -> dict[str, Any]:
    """How a run ended."""
    return desk.ended(desk.ask("POST", f"/replays/{number}/run", json=body))


def states(desk: Desk, number: str) -> dict[str, int]:
    found: dict[str, int] = desk.get(f"/replays/{number}")["states"]
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    url = "" if request.param == "sqlite" else shared().database()
    with made(tmp_path, url=url) as found:
        yield found


def test_what_a_search_chooses_is_planned_and_run_and_what_was_done_is_left_out(both: Desk) -> None:
    desk = both
    desk.send(*samples()[:3])
    done = plan(desk, selection={"event": "RQA", "since": "2026-05-10", "until": "2026-05-10"})
    assert (done["kind"], done["status"]) == ("replay.plan", "Succeeded"), done
    result = done["result"]
    assert (result["replay"], result["expected"], result["states"]) == ("1", {"done": 2}, {"skipped": 2})
    assert run(desk, "1")["result"]["state"] == "done"
    assert len(rows(desk.engine, "SELECT 1 FROM message")) == 3

    result = plan(desk, selection={"fields": [{"path": "MSH-10", "value": "CH-0001"}]}, again=AGAIN)["result"]
    assert (result["states"], len(result["expected"])) == ({"waiting": 1}, 1)
    done = run(desk, "2")
    assert (done["kind"], done["result"]["state"], done["result"]["states"]) == ("replay.run", "done", {"done": 1})
    assert rows(desk.engine, "SELECT peer, control_id FROM message ORDER BY id")[3:] == [("replay 2 again", "CH-0001")]
    record = desk.get("/replays/2")["record"]
    assert [(each["action"], each["by"]) for each in record] == [
        ("planned", "boss"),
        ("begun", "boss"),
        ("done", "boss"),
    ]
    assert run(desk, "2")["result"]["state"] == "done"  # and done is done
    assert len(rows(desk.engine, "SELECT 1 FROM message")) == 4
    actions = [each["action"] for each in desk.audited() if not each["action"].endswith(("list", "read"))]
    assert actions == ["replay.plan", "replay.run", "replay.plan", "replay.run", "replay.run"]


def test_what_can_not_be_planned_is_told_with_its_place(desk: Desk) -> None:
    cases: tuple[tuple[Any, str, str], ...] = (
        ({"selection": {"fields": [{"path": "nonsense", "value": "x"}]}}, "/selection", "nonsense"),
        ({"selection": {"words": "!!"}}, "/selection", "no word"),
        ({"selection": {"since": "yesterday"}}, "/selection/since", "no date"),
        ({"selection": {"until": "2026-13-01"}}, "/selection/until", "no date"),
        ({"selection": {"colour": "red"}}, "/selection/colour", "there is no such field"),
        ({"selection": {}, "to_channel": "none"}, "/to_channel", "unknown channel 'none'"),
        ({"selection": {}, "to_destination": "none"}, "/to_destination", "is no destination"),
        ({"selection": {}, "to_channel": "a", "to_destination": "b"}, "", "one of to_channel and to_destination"),
        ({"selection": {}, "to_endpoint": "127.0.0.1:1"}, "/to_endpoint", "there is no such field"),
        ({}, "/selection", "is required"),
    )
    for body, path, text in cases:
        (error,) = is_problem(desk.ask("POST", "/replays", json=body), 400)["errors"]
        assert (error["path"], text in error["text"]) == (path, True), error
    done = plan(desk, selection={"control_id": "never"})
    assert (done["status"], done["error"]["detail"]) == ("Failed", "nothing is chosen: no message fits")
    assert desk.get("/replays")["items"] == []


def test_a_replay_is_not_run_where_something_else_runs_or_has_changed(desk: Desk) -> None:
    desk.send(samples()[0])
    number = plan(desk, again=AGAIN)["result"]["replay"]

    def refused(which: object = number) -> str:
        found: str = is_problem(desk.ask("POST", f"/replays/{which}/run", json={}), 409)["type"]
        return found

    with only_one(desk.engine, REPLAY):  # as the command does
        assert refused() == "urn:hl7auth:running"
    with desk.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO operation (id, kind, caller, state, created_at, idempotency_key, body_hash, request)"
            " VALUES ('x', 'replay.run', 'boss', 'NotStarted', 1, '', '', '{}')"
        )
    assert refused() == "urn:hl7auth:running"
    with desk.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE operation SET state = 'Failed' WHERE id = 'x'")
        broken = begin_plan(connection, Draft(desk.time, "ada", "{}", "", ""))
        connection.exec_driver_sql('UPDATE replay_plan SET versions = \'{"referral-intake": "another"}\' WHERE id = 1')
    assert refused(broken) == "urn:hl7auth:not-planned"
    assert refused() == "urn:hl7auth:changed"
    is_problem(desk.ask("POST", "/replays/99/run", json={}), 404)
    assert len(rows(desk.engine, "SELECT 1 FROM message")) == 1


def test_the_same_call_with_an_idempotency_key_plans_and_runs_once(desk: Desk) -> None:
    desk.send(samples()[0])
    key = {"headers": {"Idempotency-Key": "once"}}
    body = {"selection": {}, "again": AGAIN}
    first = [desk.ask("POST", "/replays", json=body, **key) for _ in range(2)]
    assert first[0].headers["operation-location"] == first[1].headers["operation-location"]
    desk.ended(first[0])
    assert len(desk.get("/replays")["items"]) == 1
    is_problem(desk.ask("POST", "/replays/1/run", json={}, **key), 422)
    key["headers"]["Idempotency-Key"] = "twice"
    runs = [desk.ask("POST", "/replays/1/run", json={}, **key) for _ in range(2)]
    assert [each.status_code for each in runs] == [202, 202]
    desk.ended(runs[1])
    assert len(rows(desk.engine, "SELECT 1 FROM message")) == 2


def test_only_an_administrator_of_all_plans_and_runs(desk: Desk) -> None:
    number = planned(desk, 1)
    writer = desk.token("writer", READ, WRITE)
    bound = desk.token("bound", "admin", payors=["ACME"])
    calls: tuple[tuple[str, Any], ...] = (("/replays", {"selection": {}}), (f"/replays/{number}/run", {}))
    for path, body in calls:
        assert is_problem(desk.ask("POST", path, json=body, headers=writer), 403)["scope"] == "admin"
        assert is_problem(desk.ask("POST", path, json=body, headers=bound), 403)["type"] == "urn:hl7auth:other-payor"


COUNT = 24


@pytest.fixture
def half(tmp_path: Path) -> Iterator[tuple[Desk, str]]:
    """A replay of messages to a channel, that is run at a rate at which it is not done soon, and has done something."""
    shipped = shipped_channel()
    feed = Channel(file=shipped.file.model_copy(update={"channel": "feed"}), path=shipped.path)
    with made(tmp_path) as desk:
        desk.settings.channels["feed"] = feed  # type: ignore[index]
        desk.send(*(request(f"C{each}", number=f"PA{each}") for each in range(COUNT)))
        number = plan(desk, again=AGAIN)["result"]["replay"]
        assert desk.ask("POST", f"/replays/{number}/run", json={"rate": 40}).status_code == 202
        while not states(desk, number).get("done"):
            time.sleep(0.005)
        yield desk, number


def again(desk: Desk, then: Callable[[Desk], None]) -> None:
    """The service ends and begins anew over the same store."""
    desk.client.__exit__(None, None, None)
    desk.app = create_app(desk.settings)
    desk.client = TestClient(desk.app, raise_server_exceptions=False)
    then(desk)
    desk.client.__enter__()


def until_done(desk: Desk) -> None:
    (operation,) = rows(desk.engine, "SELECT id FROM operation WHERE kind = 'replay.run'")
    while not (found := desk.get(f"/operation/{operation[0]}"))["finished_at"]:
        time.sleep(0.01)
    assert found["status"] == "Succeeded", found


def test_a_run_goes_on_where_it_was_when_the_service_is_there_again(half: tuple[Desk, str]) -> None:
    desk, number = half
    is_problem(desk.ask("POST", f"/replays/{number}/run", json={}), 409)

    def rests(desk: Desk) -> None:
        assert rows(desk.engine, "SELECT state FROM replay_plan") == [("paused",)]
        assert rows(desk.engine, "SELECT state FROM operation WHERE kind = 'replay.run'") == [("Running",)]
        assert 0 < len(rows(desk.engine, "SELECT 1 FROM replay_item WHERE state = 'done'")) < COUNT

    again(desk, rests)
    until_done(desk)
    assert states(desk, number) == {"done": COUNT}
    seconds = rows(desk.engine, "SELECT control_id FROM message WHERE peer LIKE 'replay%' ORDER BY id")
    assert seconds == [(f"C{each}",) for each in range(COUNT)]  # each once, in their order
    told = [(each["action"], each["detail"]) for each in desk.get(f"/replays/{number}")["record"]]
    assert [action for action, _ in told] == ["planned", "begun", "paused", "resumed", "done"]
    assert told[2][1] == INTERRUPTED


def test_a_run_whose_process_was_killed_goes_on_unless_somebody_paused_it_meanwhile(half: tuple[Desk, str]) -> None:
    desk, number = half

    def killed(desk: Desk) -> None:
        """What is left there is a plan that runs; and somebody wants it to rest."""
        with desk.engine.begin() as connection:
            set_standing(connection, int(number), Standing.RUNNING)
        asked = TestClient(desk.app).post(f"/replays/{number}/pause", headers=desk.admin)
        assert asked.status_code == 202

    again(desk, killed)
    until_done(desk)
    found = desk.get(f"/replays/{number}")
    assert (found["state"], found["record"][-1]["detail"]) == ("paused", "somebody paused it")
    done = run(desk, number)
    assert (done["result"]["state"], done["result"]["states"]) == ("done", {"done": COUNT})


def test_a_run_that_another_process_has_is_left_to_it(half: tuple[Desk, str]) -> None:
    desk, number = half
    (operation,) = rows(desk.engine, "SELECT id FROM operation WHERE kind = 'replay.run'")
    before = len(desk.get(f"/replays/{number}")["record"])
    with TestClient(create_app(desk.settings)):  # another one over the same database, which finds it open
        until_done(desk)
    assert states(desk, number) == {"done": COUNT}
    record = desk.get(f"/replays/{number}")["record"]
    assert [each["action"] for each in record[before:]] == ["done"]
    assert desk.get(f"/operation/{operation[0]}")["status"] == "Succeeded"


def test_a_run_that_is_paused_rests_and_its_operation_says_so(half: tuple[Desk, str]) -> None:
    desk, number = half
    assert desk.ask("POST", f"/replays/{number}/pause").status_code == 202
    until_done(desk)
    found = desk.get(f"/replays/{number}")
    assert (found["state"], found["record"][-1]["detail"]) == ("paused", "somebody paused it")
    assert "replay.pause" in [each["action"] for each in desk.audited(number)]


def test_planning_that_was_broken_off_is_begun_anew(desk: Desk) -> None:
    desk.send(samples()[0])
    desk.app.state.operator.close()
    answer = desk.ask("POST", "/replays", json={"selection": {}, "again": AGAIN})
    (row,) = rows(desk.engine, "SELECT id FROM operation")
    with desk.engine.begin() as connection:
        operation = operations.begin(connection, row[0])
    assert operation is not None
    ending = Event()
    ending.set()
    replaying.plan(desk.app.state.api, operation, ending)  # the service ends: it is broken off behind its first portion
    assert desk.get(f"/operation/{row[0]}")["status"] == "Running"
    assert [each["state"] for each in desk.get("/replays")["items"]] == ["making"]
    with TestClient(create_app(desk.settings)):
        assert desk.ended(answer)["result"]["replay"] == "2"


def test_a_fault_ends_the_operation_and_is_told_without_its_text(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.send(samples()[0])

    def fails(*_: Any) -> None:
        raise ValueError("Lantern")

    monkeypatch.setattr(replaying, "make", fails)
    done = plan(desk)
    assert (done["status"], done["error"]["type"], "Lantern" in str(done)) == ("Failed", "urn:hl7auth:fault", False)
