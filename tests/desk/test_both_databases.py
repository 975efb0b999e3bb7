"""The desk on both databases: the whole way of a request, rules that decide, and two who decide at once."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine

from hl7auth.desk.life import Desk, Forbidden, Missing, Reason
from hl7auth.desk.process import Rounds
from hl7auth.domain.crosswalk import Decision
from hl7auth.domain.decided import Decided
from hl7auth.flow.channel import Channel
from hl7auth.flow.enrollment import Call, Enrollment
from hl7auth.flow.intake import plan
from hl7auth.observe import ids, now
from hl7auth.steps_runner import StepProcess
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.desk_figures import yearly_figures
from hl7auth.store.journal import Journal
from tests.api.desk import channel_with
from tests.desk.test_working import APPROVES, RULES
from tests.messages import shipped_channel
from tests.store.postgres import shared
from tests.store.stored import samples

KEY = "CH-24011@CEDARHILL"
new_id = ids()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path / 'store.db'}" if request.param == "sqlite" else shared().database()
    found = open_database(url)
    upgrade(found)
    journal = Journal(found)
    (outcome,) = journal.commit([plan(samples()[0], shipped_channel(), now(), new_id)])
    assert outcome.disposition == "accepted"
    journal.close()
    yield found
    found.dispose()


def desk(engine: Engine) -> Desk:
    channel = shipped_channel()
    return Desk(engine, {channel.name: channel}, new_id, now)


def test_a_request_goes_its_whole_way(engine: Engine) -> None:
    at = desk(engine)
    assert [each["key"] for each in at.work()] == [KEY]
    at.submit(KEY, "one")
    at.pend(KEY, "one", Reason("DOC", "papers"), "2030-01-01")
    at.extend(KEY, "one", 1, "post")
    at.deny(KEY, "one", Reason("0F", "not needed"))
    at.unfinalize(KEY, "one", "an appeal")
    at.submit(KEY, "one")
    at.approve(KEY, "one", Decided(Decision.CERTIFIED_TOTAL, "FG-1"))
    assert at.work() == []
    shown = at.show(KEY)
    assert (shown["state"], shown["version"], shown["in_force"]) == ("Approved", 2, True)
    with engine.connect() as connection:
        told = yearly_figures(connection, int(shown["decided"][:4]))
    found = told["all"]["standard"]
    assert told["items"] == [{"payor": "FERNGATE", "code": "PHY-KNEE", "system": "L", "decided": 2}]
    assert (found["approved_after_appeal"]["count"], found["denied"]["count"]) == (1, 1)


def test_two_who_begin_at_once_begin_one_process(engine: Engine) -> None:
    start = threading.Barrier(4)

    def begin(by: str) -> str:
        start.wait()
        return str(desk(engine).create(KEY, by))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(begin, "abcd")) == ["Entry"] * 4
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM process_history").scalar() == 1


def test_of_two_who_decide_at_once_one_is_told(engine: Engine) -> None:
    desk(engine).submit(KEY, "one")
    start = threading.Barrier(2)

    def decide(number: str) -> str:
        start.wait()
        try:
            return str(desk(engine).approve(KEY, number, Decided(Decision.CERTIFIED_TOTAL, number)))
        except (Forbidden, Missing):
            return "told"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(decide, ("FG-1", "FG-2"))) == ["Approved", "told"]
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM message WHERE peer = 'desk/answer'").scalar() == 1


def rounds(engine: Engine, on: Channel, steps: StepProcess) -> Rounds:
    return Rounds(engine, {on.name: on}, steps, now, new_id)


def test_rules_pend_a_request_and_approve_it_once_that_is_resolved(engine: Engine, tmp_path: Path) -> None:
    on = channel_with(tmp_path, RULES)
    with StepProcess() as steps:
        at = rounds(engine, on, steps)
        assert at.round() == 1
        shown = desk(engine).show(KEY)
        assert (shown["state"], [each["code"] for each in shown["versions"][0]["pends"]]) == ("Pended", ["DOC"])
        assert at.round() == 0
        desk(engine).tochange(KEY, "clerk")
        desk(engine).submit(KEY, "clerk")
        assert at.round() == 1
        assert desk(engine).show(KEY)["state"] == "Approved"
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT message_type FROM message WHERE peer = 'desk/answer'").all()
    assert len(rows) == 2


def test_what_enrollment_waits_for_is_tried_again_and_then_decided(engine: Engine, tmp_path: Path) -> None:
    on = channel_with(tmp_path, APPROVES, Enrollment(python=Call(function="members:find")))
    with StepProcess() as steps:
        rounds(engine, on, steps).round()
        assert desk(engine).show(KEY)["suspended"]["tries"] == 1
        (tmp_path / "members.py").write_text("def find(asked):\n    return {'plan': 'GOLD'}\n", encoding="utf-8")
        later = Rounds(engine, {on.name: on}, steps, lambda: now() + 3_600_000_000, new_id)
        later.round()
        assert desk(engine).show(KEY)["state"] == "Approved"


def test_processes_that_decide_by_rules_at_once_make_one_decision(engine: Engine, tmp_path: Path) -> None:
    on = channel_with(tmp_path, APPROVES)
    start = threading.Barrier(4)

    def decide(_: int) -> None:
        with StepProcess() as steps:
            at = rounds(engine, on, steps)
            start.wait()
            at.round()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(decide, range(4)))
    assert desk(engine).show(KEY)["state"] == "Approved"
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM message WHERE peer = 'desk/answer'").scalar() == 1
        events = connection.exec_driver_sql("SELECT event FROM process_history ORDER BY id").scalars().all()
    assert events == ["create", "submit", "rules", "approve"]
