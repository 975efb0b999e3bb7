"""Requests that rules decide, over a real store: what goes out, what is written down, and who is the one to decide."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hl7auth.desk.enrolling import Enrolling
from hl7auth.desk.life import Desk, Reason
from hl7auth.desk.process import LEASE, Rounds
from hl7auth.desk.working import Working
from hl7auth.domain.process import Process
from hl7auth.flow.channel import Channel
from hl7auth.flow.decisions import Decisions
from hl7auth.flow.enrollment import Call, Enrollment
from hl7auth.steps_runner import StepProcess
from hl7auth.store import (  # noqa: F401 - so that their tables are made
    delivery_table,
    desk_table,
    enrollment_table,
    forward_table,
    link_table,
    process_table,
)
from hl7auth.wire.message import parse
from tests.messages import shipped_channel
from tests.store.stored import Store, samples

KEY = "CH-24011@CEDARHILL"
ASKED = samples()[0]
RULES = """
rules: therapy
number: FG-{request}
steps:
  - step: papers
    events:
      - {event: seen, when: "payor = 'FERNGATE'"}
    validation:
      - {rule: few, say: {severity: warning, code: W1, text: few units}, when: "count(lines) < 9"}
    pend:
      - rule: notes
        when: "any lines.procedure.code matches '.*' or payor valued"
        pend: {code: DOC, text: notes are missing, follow_up_days: 3}
  - step: decide
    validation:
      - {rule: in-full, approve: {days: 30}}
"""
APPROVES = "rules: r\nnumber: FG-{request}\nsteps: [{step: a, validation: [{rule: all, approve: {days: 30}}]}]\n"
DENIES = "rules: r\nsteps: [{step: a, validation: [{rule: never, deny: {code: 0M, text: not covered}}]}]\n"


class At:
    """A desk with rules, and the store it works in."""

    def __init__(self, folder: Path, rules: str, enrollment: Enrollment | None = None) -> None:
        (folder / "rules").mkdir(exist_ok=True)
        (folder / "rules" / "r.yaml").write_text(rules, encoding="utf-8")
        shipped = shipped_channel()
        file = shipped.file.model_copy(update={"decisions": Decisions(rules="rules/r.yaml"), "enrollment": enrollment})
        self.channel: Channel = shipped.model_copy(update={"file": file, "path": folder / "c.yaml"})
        self.store = Store(folder, self.channel)
        self.steps = StepProcess()
        number = itertools.count(1_000)
        self.rounds = self.other(lambda: next(number))
        place = (self.store.engine, {self.channel.name: self.channel}, lambda: next(number), self.now)
        self.desk, self.enrolling = Desk(*place), Enrolling(*place)

    def now(self) -> int:
        return self.store.time

    def other(self, new_id: Any) -> Rounds:
        """The rounds of one process."""
        return Rounds(self.store.engine, {self.channel.name: self.channel}, self.steps, self.now, new_id)

    def shown(self) -> dict[str, Any]:
        return self.desk.show(KEY)

    def answers(self) -> list[Any]:
        rows = self.store.rows("SELECT raw FROM message WHERE peer = 'desk/answer' ORDER BY id")
        return [parse(raw) for (raw,) in rows]

    def close(self) -> None:
        self.steps.close()
        self.store.close()


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Any]:
    found: list[At] = []

    def make(rules: str, enrollment: Enrollment | None = None) -> At:
        found.append(At(tmp_path, rules, enrollment))
        return found[-1]

    yield make
    for each in found:
        each.close()


def events(shown: Mapping[str, Any]) -> list[str]:
    return [each["event"] for each in shown["versions"][-1]["history"]]


def test_a_request_under_a_number_of_its_own_is_decided_by_rules_too(made: Any) -> None:
    at = made(APPROVES)
    at.store.send(ASKED.replace(b"||||||12\r", b"||||X1||12\r"))
    assert at.rounds.round() == 1
    assert at.desk.show("X1@FERNGATE")["state"] == "Approved"
    assert at.rounds.round() == 0


def test_a_rule_has_the_payor_called(made: Any) -> None:
    called = "{code: CALL, text: a nurse decides, contact: {name: Case desk, phone: 555-0100}}"
    at = made(f"rules: r\nnumber: FG-{{request}}\nsteps: [{{step: a, pend: [{{rule: call, pend: {called}}}]}}]\n")
    at.store.send(ASKED)
    assert at.rounds.round() == 1
    assert (at.shown()["state"], at.shown()["decision"]) == ("Pended", "contact_payer")
    assert at.shown()["versions"][0]["pends"][0]["code"] == "CALL"


def test_a_request_is_pended_by_a_rule_and_approved_by_the_rules_once_that_is_resolved(made: Any) -> None:
    at = made(RULES)
    at.store.send(ASKED)
    assert at.rounds.round() == 1
    shown = at.shown()
    assert (shown["state"], events(shown)) == ("Pended", ["create", "submit", "seen", "rules", "pend"])
    (version,) = shown["versions"]
    assert [(each["code"], each["follow_up"]) for each in version["pends"]] == [("DOC", "2026-03-04")]
    assert [(each["code"], each["source"]) for each in version["messages"]] == [("W1", "system")]
    assert version["history"][-2]["reason"] == "papers/few, papers/notes"
    (answer,) = at.answers()
    assert (answer.first("AUT").field(14).split("^")[0], answer.first("MSA").value(1)) in {("PE", "AA"), ("", "AA")}
    assert at.rounds.round() == 0
    at.desk.tochange(KEY, "clerk")
    assert at.rounds.round() == 0  # it is the clerk's until it is submitted
    at.desk.submit(KEY, "clerk")
    assert at.rounds.round() == 1
    shown = at.shown()
    assert (shown["state"], shown["number"], shown["in_force"]) == ("Approved", "FG-1", True)
    aut = at.answers()[1].first("AUT")
    assert (aut.field(6), aut.field(9)) == ("FG-1^FERNGATE", "12")


def test_what_a_person_resumes_is_that_persons(made: Any) -> None:
    at = made(RULES)
    at.store.send(ASKED)
    at.rounds.round()
    at.desk.resume(KEY, "reviewer")
    assert at.rounds.round() == 0
    assert at.shown()["state"] == "In Process"


def test_a_rule_denies_with_its_text(made: Any) -> None:
    at = made(DENIES)
    at.store.send(ASKED)
    at.rounds.round()
    shown = at.shown()
    assert (shown["state"], shown["x12"]) == ("Denied", "A3")
    assert shown["versions"][0]["messages"][0]["severity"] == "fatal"
    assert at.answers()[0].first("AUT").field(9) == "0"
    assert shown["versions"][0]["messages"][0]["text"] == "not covered"


def test_a_new_version_is_ruled_about_and_keeps_its_number(made: Any) -> None:
    at = made(APPROVES)
    at.store.send(ASKED)
    at.rounds.round()
    at.desk.unfinalize(KEY, "clerk", "an appeal")
    assert at.rounds.round() == 0
    at.desk.submit(KEY, "clerk")
    at.rounds.round()
    assert (at.shown()["version"], at.shown()["state"], at.shown()["number"]) == (2, "Approved", "FG-1")


def test_two_processes_make_one_decision(made: Any) -> None:
    at = made(APPROVES)
    at.store.send(ASKED)
    number = itertools.count(5_000)
    second = at.other(lambda: next(number))
    found = second._found()  # both have seen it before either works on it
    assert at.rounds.round() == 1
    for key in found[0]:
        second._do(key, second._working.take)
    assert (len(at.answers()), at.shown()["state"]) == (1, "Approved")


def test_what_a_process_left_is_taken_over(made: Any) -> None:
    at = made(APPROVES)
    at.rounds.round()  # it has started: what is left is that of another
    at.store.send(ASKED)
    at.desk.submit(KEY, "rules")
    assert at.rounds.round() == 0
    assert at.shown()["state"] == "In Process"
    at.store.time += LEASE + 1
    at.rounds.round()
    assert at.shown()["state"] == "Approved"


def test_a_process_that_starts_takes_up_what_the_one_before_it_left(made: Any) -> None:
    at = made(APPROVES)
    at.store.send(ASKED)
    at.desk.submit(KEY, "rules")
    at.rounds.round()
    assert at.shown()["state"] == "Approved"


def test_a_callout_is_asked_and_one_that_fails_is_asked_again_later(made: Any, tmp_path: Path) -> None:
    at = made(
        "rules: r\nnumber: FG-{request}\nsteps:\n  - step: a\n    callouts: [{callout: used, python: 'benefit:used'}]\n"
        '    validation:\n      - {rule: most, when: "callouts.used.visits > 20", deny: {text: plan maximum}}\n'
        "      - {rule: all, approve: {}}\n"
    )
    module = tmp_path / "rules" / "benefit.py"
    module.write_text("def used(facts):\n    raise RuntimeError\n", encoding="utf-8")
    at.store.send(ASKED)
    at.rounds.round()
    assert (at.shown()["state"], at.answers()) == ("In Process", [])
    assert at.rounds.round() == 0
    module.write_text("def used(facts):\n    return {'visits': len(facts['payor']['code'])}\n", encoding="utf-8")
    at.steps.close()
    at.store.time += 2_000_000
    at.rounds.round()
    assert at.shown()["state"] == "Approved"


def test_a_decision_is_about_what_was_looked_at(made: Any) -> None:
    at = made(APPROVES.replace("[{step: a,", "[{step: a, callouts: [{callout: x, python: 'a:b'}],"))
    at.store.send(ASKED)
    looks: list[str] = []

    class Asked(StepProcess):
        def consult(self, call: Any, _facts: Any) -> dict[str, Any]:
            looks.append(call.function)
            if len(looks) == 1:
                at.desk.extend(KEY, "clerk", 1, "post")
            return {}

    working = Working(at.desk, at.enrolling, Asked())
    at.desk.submit(KEY, "rules")
    assert working.decide(KEY) is None  # somebody has just had it in hand, and it is no longer waiting for rules
    at.desk.pend(KEY, "clerk", Reason("DOC", "papers"))
    at.desk.tochange(KEY, "clerk")
    assert working.take(KEY, "clerk") is Process.APPROVED


def test_enrollment_is_seen_to_before_the_rules(made: Any, tmp_path: Path) -> None:
    at = made(APPROVES, Enrollment(python=Call(function="members:find")))
    at.store.send(ASKED)
    at.rounds.round()
    shown = at.shown()
    assert (shown["state"], events(shown)[-1], at.answers()) == ("In Process", "technical_error", [])
    (tmp_path / "members.py").write_text("def find(asked):\n    return {'plan': 'GOLD'}\n", encoding="utf-8")
    assert at.rounds.round() == 0  # its time has not come
    assert at.answers() == []
    at.store.time += 24 * 3_600_000_000
    at.rounds.round()
    assert at.shown()["state"] == "Approved"


def test_without_enrollment_no_rule_is_asked(made: Any) -> None:
    at = made(APPROVES, Enrollment(keep=True))
    at.store.send(ASKED)
    at.rounds.round()
    shown = at.shown()
    assert (shown["state"], shown["versions"][0]["messages"][0]["code"]) == ("Denied", "AUT-FL-ENRO-001")


def test_a_channel_without_rules_is_left_alone(made: Any) -> None:
    at = made(APPROVES)
    plain = shipped_channel()
    other = Rounds(at.store.engine, {plain.name: plain}, at.steps, at.now)
    at.store.send(ASKED)
    assert other.round() == 0
    assert at.store.rows("SELECT count(*) FROM process") == [(0,)]
