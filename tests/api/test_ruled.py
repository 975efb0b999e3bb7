"""Requests that are submitted over the API: their rules decide at once, as they do when a request comes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hl7auth.api import ruled
from hl7auth.desk.life import Desk as Desk_
from hl7auth.desk.process import Rounds
from hl7auth.flow.enrollment import Call, Enrollment
from hl7auth.steps_runner import StepProcess
from hl7auth.wire.message import parse
from tests.api.desk import Desk, channel_with
from tests.api.desk import desk as made
from tests.desk.test_working import APPROVES, DENIES, RULES
from tests.store.stored import samples

KEY = "CH-24011@CEDARHILL"
WAITS = (
    "rules: r\nsilence: wait\n"
    "steps: [{step: a, validation: [{rule: few, say: {severity: warning, code: W1, text: few}}]}]\n"
)
ASKS = APPROVES.replace("[{step: a,", "[{step: a, callouts: [{callout: x, python: 'asked:of'}],")
ASKS_AND_WAITS = WAITS.replace("[{step: a,", "[{step: a, callouts: [{callout: x, python: 'asked:of'}],")


def told(desk: Desk) -> dict[str, Any]:
    """All that is known of the request but its ids, its times and who submitted it; and what its sender is told."""
    settings = desk.settings
    found = Desk_(settings.engine, settings.channels, settings.new_id, settings.now).show(KEY)
    with desk.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT raw FROM message WHERE peer = 'desk/answer' ORDER BY id").all()
    answers = [[str(segment) for segment in parse(raw).segments[1:]] for (raw,) in rows]
    return {"process": _without(found), "answers": answers}


def _without(value: Any) -> Any:
    if isinstance(value, list):
        return [_without(each) for each in value]
    if isinstance(value, dict):
        names = ("answer", "request", "at", "by", "decided", "attached_at", "received", "due")
        return {name: _without(each) for name, each in value.items() if name not in names}
    return value


@pytest.mark.parametrize(
    ("rules", "state"), [(RULES, "Pended"), (APPROVES, "Approved"), (DENIES, "Denied"), (WAITS, "In Process")]
)
def test_a_submission_comes_out_as_a_request_that_has_just_come(tmp_path: Path, rules: str, state: str) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    with made(tmp_path / "one", channel_with(tmp_path / "one", rules)) as came, StepProcess() as steps:
        came.send(samples()[0])
        settings = came.settings
        assert Rounds(came.engine, settings.channels, steps, settings.now, settings.new_id).round() == 1
        by_itself = told(came)
    with made(tmp_path / "other", channel_with(tmp_path / "other", rules)) as asked:
        asked.send(samples()[0])
        answer = asked.post(f"/requests/{KEY}/submit")
        assert answer["state"] == state
        assert told(asked) == by_itself
        assert [each["by"] for each in answer["versions"][0]["history"]][:3] == ["boss", "boss", "rules"]
        assert asked.audited(f"?{KEY}")[0]["action"] == "request.submit"


def test_a_request_that_is_submitted_anew_is_ruled_about_at_once(tmp_path: Path) -> None:
    with made(tmp_path, channel_with(tmp_path, RULES)) as desk:
        desk.send(samples()[0])
        assert desk.post(f"/requests/{KEY}/submit")["state"] == "Pended"
        desk.post(f"/requests/{KEY}/tochange")
        answer = desk.post(f"/requests/{KEY}/submit")
        assert (answer["state"], answer["number"], answer["in_force"]) == ("Approved", "FG-1", True)
        assert desk.get("/authorizations/FG-1@FERNGATE")["status"] == "approved"


def test_what_a_person_resumes_is_left_to_that_person(tmp_path: Path) -> None:
    with made(tmp_path, channel_with(tmp_path, RULES)) as desk:
        desk.send(samples()[0])
        desk.post(f"/requests/{KEY}/submit")
        assert desk.post(f"/requests/{KEY}/resume")["state"] == "In Process"
        assert desk.post(f"/requests/{KEY}/retry")["state"] == "In Process"


def test_rules_decide_when_enrollment_is_known_and_not_before(tmp_path: Path) -> None:
    on = channel_with(tmp_path, APPROVES, Enrollment(python=Call(function="members:find")))
    with made(tmp_path, on) as desk:
        desk.send(samples()[0])
        waiting = desk.post(f"/requests/{KEY}/submit")
        assert (waiting["state"], waiting["suspended"]["tries"]) == ("In Process", 1)
        (tmp_path / "members.py").write_text("def find(asked):\n    return {'plan': 'GOLD'}\n", encoding="utf-8")
        assert desk.post(f"/requests/{KEY}/retry")["state"] == "Approved"


def test_a_callout_that_fails_leaves_the_request_to_the_engine(tmp_path: Path) -> None:
    on = channel_with(tmp_path, ASKS)
    with made(tmp_path, on) as desk, StepProcess() as steps:
        desk.send(samples()[0])
        assert desk.post(f"/requests/{KEY}/submit")["state"] == "In Process"
        (tmp_path / "rules" / "asked.py").write_text("def of(facts):\n    return {}\n", encoding="utf-8")
        settings = desk.settings
        rounds = Rounds(desk.engine, settings.channels, steps, settings.now, settings.new_id)
        assert rounds.round() == 1
        assert desk.get(f"/requests/{KEY}/status")["state"] == "Approved"


def test_engine_and_api_that_are_at_it_at_once_make_one_decision(tmp_path: Path) -> None:
    """Both have looked at the request when the first of them decides."""

    class Waiting(StepProcess):
        def __init__(self) -> None:
            super().__init__()
            self.asked = threading.Event()

        def consult(self, *_: Any) -> dict[str, Any]:
            if not self.asked.is_set():
                self.asked.set()
                looked.wait(20)
            return {}

    for at, rules in enumerate((ASKS, ASKS_AND_WAITS)):
        looked = threading.Barrier(2)
        folder = tmp_path / str(at)
        folder.mkdir()
        with made(folder, channel_with(folder, rules)) as desk, ThreadPoolExecutor(1) as pool:
            desk.send(samples()[0])
            desk.app.state.api.steps = waiting = Waiting()
            settings = desk.settings
            answer = pool.submit(desk.post, f"/requests/{KEY}/submit")
            assert waiting.asked.wait(20)
            assert Rounds(desk.engine, settings.channels, Waiting(), settings.now, settings.new_id).round() == 1
            answer.result(20)
            (version,) = desk.get(f"/requests/{KEY}/process")["versions"]
            said = [each["event"] for each in version["history"]]
            assert said == ["create", "submit", "rules", "approve"][: 4 - at]
            assert len(version["messages"]) == at


def test_with_too_many_at_once_rules_are_left_to_the_engine(tmp_path: Path) -> None:
    with made(tmp_path, channel_with(tmp_path, APPROVES)) as desk:
        desk.send(samples()[0])
        state = desk.app.state.api
        while state.ruling.acquire(blocking=False):
            pass
        assert desk.post(f"/requests/{KEY}/submit")["state"] == "In Process"
        state.ruling.release()
        ruled.go_through(state, KEY, "boss")
        assert desk.get(f"/requests/{KEY}/status")["state"] == "Approved"
