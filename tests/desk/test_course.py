"""Processes of requests that messages moved before anybody looked: as if somebody had looked each time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hl7auth.desk.life import Missing
from hl7auth.domain.clock import iso_time
from hl7auth.domain.process import Process
from hl7auth.store.desk_figures import yearly_figures
from tests.desk.test_life import ASKED, IN_FULL, KEY, WHY, At
from tests.store.stored import HOUR, samples

ANSWER = samples()[1]
DENIED = ANSWER.replace(b"|12|12|", b"|12|0|")
PENDED = ANSWER.replace(b"FG-9001", b"FG-9002").replace(b"|20260105|20260405|FG-77120^FERNGATE||12|12|", b"|||||12||")


@pytest.fixture
def at(tmp_path: Path) -> Iterator[At]:
    found = At(tmp_path)
    yield found
    found.store.close()


def _again(event: str, control_id: str, raw: bytes = ASKED) -> bytes:
    return raw.replace(b"RQA^I08^", f"RQA^{event}^".encode()).replace(b"CH-0001", control_id.encode())


def send(at: At, raw: bytes) -> int:
    """An hour later; when it came."""
    at.store.time += HOUR
    (outcome,) = at.store.send(raw)
    assert outcome.disposition == "accepted", outcome.findings
    return outcome.plan.received_at


def _figures(at: At) -> dict[str, Any]:
    with at.store.engine.connect() as connection:
        return yearly_figures(connection, 2026)


def _count(at: At, name: str) -> int:
    group = _figures(at)["all"]["standard"][name]
    count: int = group["count"] if isinstance(group, dict) else group
    return count


def test_what_its_payor_answered_before_anybody_looked_has_its_process(at: At) -> None:
    asked, answered = send(at, ASKED), send(at, ANSWER)
    before = _figures(at)
    shown = at.desk.show(KEY)
    assert (shown["state"], shown["number"], shown["in_force"]) == ("Approved", "FG-77120", True)
    assert (shown["received"], shown["decided"]) == (iso_time(asked), iso_time(answered))
    assert [each["event"] for each in shown["versions"][0]["history"]] == ["create", "answered"]
    assert before["all"]["standard"]["approved"]["count"] == 1
    assert _figures(at) == before  # looked at or not, it counts once, and alike
    assert at.desk.work() == []


def test_an_answer_and_a_change_after_it_are_two_versions(at: At) -> None:
    send(at, ASKED)
    send(at, ANSWER)
    changed = send(at, _again("I09", "CH-0002"))
    (waiting,) = at.desk.work()
    assert (waiting["state"], waiting["version"], waiting["received"]) == ("Changed", 2, iso_time(changed))
    versions = at.desk.show(KEY)["versions"]
    assert [(each["state"], each["in_force"]) for each in versions] == [("Approved", True), ("Changed", False)]
    assert _count(at, "approved") == 1


def test_the_clock_of_a_change_runs_from_its_receipt_and_not_from_when_somebody_looks(at: At) -> None:
    send(at, ASKED)
    at.state(Process.APPROVED)
    changed = send(at, _again("I09", "CH-0002"))
    at.store.time += 100 * HOUR
    (waiting,) = at.desk.work()
    assert (waiting["received"], waiting["due"]) == (iso_time(changed), iso_time(changed + 168 * HOUR))
    assert at.desk.show(KEY)["versions"][1]["history"][0]["at"] == iso_time(changed)


def test_an_open_request_that_becomes_urgent_has_the_shorter_time(at: At) -> None:
    asked = send(at, ASKED)
    at.state(Process.PENDED)
    urgent = send(at, _again("I09", "CH-0002", ASKED.replace(b"RF1||R^Routine", b"RF1||S^Stat")))
    shown = at.desk.show(KEY)
    assert (shown["urgency"], shown["received"], shown["due"]) == (
        "expedited", iso_time(asked), iso_time(urgent + 72 * HOUR),
    )  # fmt: skip


def test_to_ask_again_wins_no_time(at: At) -> None:
    asked = send(at, ASKED)
    at.state(Process.PENDED)
    send(at, _again("I10", "CH-0002"))
    assert at.desk.show(KEY)["due"] == iso_time(asked + 168 * HOUR)


def test_what_is_sent_again_after_a_denial_is_no_appeal_and_what_somebody_unfinalizes_is_one(at: At) -> None:
    send(at, ASKED)
    at.state(Process.DENIED)
    send(at, _again("I10", "CH-0002"))
    at.desk.submit(KEY, "reviewer")
    at.desk.approve(KEY, "reviewer", IN_FULL)
    assert (_count(at, "approved"), _count(at, "approved_after_appeal")) == (1, 0)
    at.desk.unfinalize(KEY, "reviewer", "look again")
    at.desk.submit(KEY, "reviewer")
    at.desk.deny(KEY, "reviewer", WHY)
    at.desk.unfinalize(KEY, "reviewer", "an appeal")
    at.desk.submit(KEY, "reviewer")
    at.desk.approve(KEY, "reviewer", IN_FULL)
    assert (_count(at, "approved"), _count(at, "approved_after_appeal")) == (2, 1)


def test_what_was_taken_back_and_asked_for_anew_before_anybody_looked(at: At) -> None:
    send(at, ASKED)
    back = send(at, _again("I11", "CH-0002"))
    again = send(at, _again("I08", "CH-0003"))
    (waiting,) = at.desk.work()
    assert (waiting["state"], waiting["version"], waiting["received"]) == ("Entry", 2, iso_time(again))
    first = at.desk.show(KEY)["versions"][0]
    assert (first["state"], first["decided"]) == ("Cancelled", iso_time(back))
    assert _count(at, "cancelled") == 1


def test_a_payor_that_pends_what_it_had_decided_opens_it_again(at: At) -> None:
    send(at, ASKED)
    send(at, DENIED)
    assert at.desk.show(KEY)["state"] == "Denied"
    opened = send(at, PENDED)
    shown = at.desk.show(KEY)
    assert (shown["state"], shown["version"], shown["received"]) == ("Changed", 2, iso_time(opened))
    assert [each["key"] for each in at.desk.work()] == [KEY]


def test_an_authorization_that_nobody_asked_for_has_no_process(at: At) -> None:
    send(at, ASKED)
    send(at, ANSWER)
    with pytest.raises(Missing, match="no request"):
        at.desk.show("FG-77120@FERNGATE")
