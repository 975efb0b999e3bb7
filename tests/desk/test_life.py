"""The desk over a real store: requests come by the journal, and every decision is a message that came the same way."""

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hl7auth.desk.life import Desk, Forbidden, Missing, Reason, links
from hl7auth.domain.crosswalk import Decision
from hl7auth.domain.decided import Contact, Decided, LeftOut
from hl7auth.domain.process import Event, Process
from hl7auth.flow.admission import Sender
from hl7auth.flow.channel import Channel
from hl7auth.flow.destination import Destination
from hl7auth.flow.replies import Replies
from hl7auth.store import (  # noqa: F401 - so that their tables are made
    delivery_table,
    desk_table,
    forward_table,
    link_table,
    process_table,
)
from hl7auth.store.rebuild import rebuild
from hl7auth.wire.message import parse
from tests.messages import channel, shipped_channel
from tests.store.stored import HOUR, Store, samples

KEY = "CH-24011@CEDARHILL"
ASKED = samples()[0]
IN_FULL = Decided(
    Decision.CERTIFIED_TOTAL, "FG-1", effective=date(2026, 3, 1), expiration=date(2026, 6, 1), reason="as agreed"
)
WHY = Reason("0F", "not medically necessary")


class At:
    """A desk, and the store it works in."""

    def __init__(self, folder: Path, on: Channel | None = None) -> None:
        self.store = Store(folder, on)
        ids = itertools.count(1_000)
        self.desk = Desk(
            self.store.engine, {self.store.channel.name: self.store.channel}, lambda: next(ids), lambda: self.store.time
        )

    def state(self, state: Process) -> None:
        """Brings a request that has come into a state, by allowed moves alone."""
        desk, by = self.desk, "reviewer"
        ways: dict[Process, list[Callable[[], object]]] = {
            Process.ENTRY: [lambda: desk.create(KEY, by)],
            Process.IN_PROCESS: [lambda: desk.submit(KEY, by)],
            Process.PENDED: [lambda: desk.pend(KEY, by, Reason("DOC", "papers are missing"), "2026-03-05")],
            Process.CHANGED: [lambda: desk.tochange(KEY, by)],
            Process.APPROVED: [lambda: desk.approve(KEY, by, IN_FULL)],
            Process.DENIED: [lambda: desk.deny(KEY, by, WHY)],
            Process.CANCELLED: [lambda: desk.cancel(KEY, by)],
        }
        before = {
            Process.ENTRY: [],
            Process.IN_PROCESS: [],
            Process.PENDED: [Process.IN_PROCESS],
            Process.CHANGED: [Process.IN_PROCESS, Process.PENDED],
            Process.APPROVED: [Process.IN_PROCESS],
            Process.DENIED: [Process.IN_PROCESS],
            Process.CANCELLED: [],
        }
        for each in (*before[state], state):
            for step in ways[each]:
                step()

    def answers(self) -> list[Any]:
        """The messages of the desk, oldest first."""
        rows = self.store.rows("SELECT raw FROM message WHERE peer = 'desk/answer' ORDER BY id")
        return [parse(raw) for (raw,) in rows]

    def documents(self, key: str) -> list[Any]:
        sql = "SELECT document FROM authorization_version WHERE current = 1 AND key = '"
        return [json.loads(row[0]) for row in self.store.rows(f"{sql}{key}'")]

    def statuses(self) -> dict[str, str]:
        """What stands, by key."""
        return dict(self.store.rows("SELECT key, status FROM authorization_version WHERE current = 1"))


@pytest.fixture
def at(tmp_path: Path) -> Iterator[At]:
    found = At(tmp_path)
    found.store.send(ASKED)
    yield found
    found.store.close()


def _doings(desk: Desk) -> dict[Event, Callable[[], Process]]:
    return {
        Event.SUBMIT: lambda: desk.submit(KEY, "reviewer"),
        Event.PEND: lambda: desk.pend(KEY, "reviewer", WHY),
        Event.APPROVE: lambda: desk.approve(KEY, "reviewer", IN_FULL),
        Event.TOCHANGE: lambda: desk.tochange(KEY, "reviewer"),
        Event.RESUME: lambda: desk.resume(KEY, "reviewer"),
        Event.DENY: lambda: desk.deny(KEY, "reviewer", WHY),
        Event.CANCEL: lambda: desk.cancel(KEY, "reviewer"),
        Event.UNFINALIZE: lambda: desk.unfinalize(KEY, "reviewer", "an appeal"),
    }


@pytest.mark.parametrize("state", Process)
def test_each_state_lets_happen_what_its_links_say_and_nothing_else(at: At, state: Process) -> None:
    at.state(state)
    doings = _doings(at.desk)
    said = {each.removeprefix("authorization:") for each in links(state)}
    assert at.desk.show(KEY)["links"] == links(state)
    before = at.store.rows("SELECT count(*) FROM message"), at.desk.show(KEY)
    for event in doings.keys() - said - ({Event.DENY} if state is Process.IN_PROCESS else set()):
        with pytest.raises(Forbidden) as told:
            doings[event]()
        assert told.value.state is state
    assert (at.store.rows("SELECT count(*) FROM message"), at.desk.show(KEY)) == before


def test_an_approval_is_an_answer_with_number_dates_and_units(at: At) -> None:
    at.state(Process.APPROVED)
    (answer,) = at.answers()
    assert answer.header.event == "RPA^I08"
    assert (answer.header.sending_application, answer.header.receiving_application) == ("FERNGATE", "CEDARDESK")
    assert (answer.first("MSA").value(1), answer.first("MSA").value(2)) == ("AA", "CH-0001")
    aut = answer.first("AUT")
    assert [aut.field(number) for number in (4, 5, 6, 8, 9)] == ["20260301", "20260601", "FG-1^FERNGATE", "12", "12"]
    assert at.statuses() == {"FG-1@FERNGATE": "approved", f"?{KEY}": "approved"}
    entry = at.desk.show(KEY)
    assert (entry["decision"], entry["x12"], entry["in_force"]) == ("certified_total", "A1", True)


def test_from_2_8_on_the_answer_says_the_decision_in_both_vocabularies(tmp_path: Path) -> None:
    at = At(tmp_path)
    newer = ASKED.replace(b"|2.5.1", b"|2.8").replace(b"L||||||12", b"L||||||12|||SP^Speech^L||RF^Referral^L")
    assert at.store.send(newer)[0].disposition == "accepted", at.store.rows("SELECT findings FROM message")
    at.desk.submit(KEY, "reviewer")
    at.desk.approve(KEY, "reviewer", IN_FULL._replace(decision=Decision.MODIFIED, quantity=Decimal("7.5"), unit="HR"))
    aut = at.answers()[0].first("AUT")
    assert aut.field(14) == "MO^Modified^HL70563^A6^Modified^X12306"
    assert (aut.field(18), aut.field(12), aut.field(17)) == ("7.5^HR", "SP^Speech^L", "as agreed")
    assert at.statuses()["FG-1@FERNGATE"] == "modified"
    at.store.close()


def test_fewer_units_are_an_approval_in_part(at: At) -> None:
    at.state(Process.IN_PROCESS)
    said = IN_FULL._replace(decision=Decision.CERTIFIED_PARTIAL, quantity=Decimal(5))
    at.desk.approve(KEY, "reviewer", said)
    assert at.answers()[0].first("AUT").field(9) == "5"
    assert at.statuses()["FG-1@FERNGATE"] == "partially_approved"


TWO = ASKED.replace(
    b"OBR|1",
    b"PR1|2||BRACE^Brace of the knee^L||20260105\rAUT|FG-SILVER^Ferngate Silver^L|FERNGATE||||||1|||||RP\rOBR|1",
)
PLAIN = ASKED.replace(b"OBR|1", b"PR1|2||BRACE^Brace of the knee^L||20260105\rOBR|1")
NO_BRACE = IN_FULL._replace(decision=Decision.CERTIFIED_PARTIAL, left_out=(LeftOut("BRACE", "not covered"),))


@pytest.mark.parametrize("raw", [TWO, PLAIN], ids=["an AUT of its own", "none"])
@pytest.mark.parametrize("version", [b"2.5.1", b"2.8"])
def test_a_procedure_can_be_left_out_of_an_approval(tmp_path: Path, raw: bytes, version: bytes) -> None:
    at = At(tmp_path)
    raw = raw.replace(b"||||||12\r", b"||||||12|||||RP\r")  # AUT-13 is required from 2.8 on
    (outcome,) = at.store.send(raw.replace(b"|2.5.1", b"|" + version))
    assert outcome.disposition == "accepted", outcome.findings
    at.desk.submit(KEY, "reviewer")
    at.desk.approve(KEY, "reviewer", NO_BRACE)
    (answer,) = at.answers()
    names = [each.name for each in answer.segments]
    assert names[:4] == ["MSH", "MSA", "RF1", "AUT"]  # above the procedures: the whole, in part
    whole, knee, brace = (each for each in answer.segments if each.name == "AUT")
    assert [each.field(6) for each in (whole, knee, brace)] == ["FG-1^FERNGATE"] * 3
    assert [(each.field(9), each.field(4)) for each in (knee, brace)] == [("12", "20260301"), ("0", "")]
    if version == b"2.8":
        assert [each.value(17) for each in (knee, brace)] == ["as agreed", "not covered"]
        assert [each.value(14, 4) for each in (whole, knee, brace)] == ["A2", "A1", "A3"]
    (document,) = at.documents("FG-1@FERNGATE")
    assert document["status"] == "partially_approved"
    lines = {line["procedure"]["code"]: line["status"] for line in document["lines"]}
    assert lines == {"PHY-KNEE": "approved", "BRACE": "denied"}
    assert (at.desk.show(KEY)["decision"], at.desk.show(KEY)["x12"]) == ("certified_partial", "A2")
    at.store.close()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (NO_BRACE._replace(left_out=(LeftOut("97110", "not covered"),)), "no procedure '97110' .*BRACE, PHY-KNEE"),
        (NO_BRACE._replace(left_out=(LeftOut("BRACE", "no"), LeftOut("PHY-KNEE", "no"))), "that is a denial"),
        (NO_BRACE._replace(left_out=(LeftOut("BRACE", " "),)), "say why"),
        (NO_BRACE._replace(decision=Decision.MODIFIED), "one in part"),
    ],
)
def test_what_can_not_be_left_out_is_told(tmp_path: Path, said: Decided, why: str) -> None:
    at = At(tmp_path)
    at.store.send(TWO)
    at.desk.submit(KEY, "reviewer")
    with pytest.raises(Missing, match=why):
        at.desk.approve(KEY, "reviewer", said)
    assert (at.answers(), at.desk.show(KEY)["state"]) == ([], "In Process")
    at.store.close()


def test_an_approval_needs_a_number(at: At) -> None:
    at.state(Process.IN_PROCESS)
    with pytest.raises(Missing, match="number"):
        at.desk.approve(KEY, "reviewer", IN_FULL._replace(number=""))
    assert at.desk.show(KEY)["state"] == "In Process"


def test_a_request_pends_with_a_reason_and_is_told_so(at: At) -> None:
    at.state(Process.PENDED)
    assert at.answers()[0].first("MSA").value(3) == "pended"
    (version,) = at.desk.show(KEY)["versions"]
    (reason,) = version["pends"]
    assert (reason["code"], reason["follow_up"], reason["resolved_at"]) == ("DOC", "2026-03-05", None)
    assert at.statuses() == {f"?{KEY}": "pended"}


def test_the_payor_is_to_be_called(tmp_path: Path) -> None:
    at = At(tmp_path)
    at.store.send(ASKED.replace(b"|2.5.1", b"|2.9").replace(b"||||||12\r", b"||||||12|||||RP\r"))
    at.desk.submit(KEY, "reviewer")
    assert (
        at.desk.pend(KEY, "reviewer", Reason("", "a nurse decides"), "", Contact("Case desk", "555-0100")) == "Pended"
    )
    aut = at.answers()[-1].first("AUT")
    assert [aut.value(14, 1), aut.value(14, 4), aut.value(25), aut.value(27)] == ["CT", "CT", "Case desk", "555-0100"]
    assert aut.value(26) == "20260301"
    shown = at.desk.show(KEY)
    assert (shown["decision"], shown["x12"], shown["versions"][0]["pends"][0]["code"]) == (
        "contact_payer", "CT", "CONTACT_PAYER",
    )  # fmt: skip
    assert at.statuses() == {f"?{KEY}": "pended"}
    at.store.close()


def test_to_resume_resolves_the_reasons_and_to_change_keeps_them(at: At) -> None:
    at.state(Process.CHANGED)
    assert at.desk.show(KEY)["versions"][0]["pends"][0]["resolved_at"] is None
    at.desk.submit(KEY, "clerk")
    assert at.desk.show(KEY)["versions"][0]["pends"][0]["resolved_by"] == "clerk"
    at.desk.pend(KEY, "reviewer", WHY)
    assert at.desk.resume(KEY, "reviewer") is Process.IN_PROCESS
    assert all(each["resolved_at"] for each in at.desk.show(KEY)["versions"][0]["pends"])


@pytest.mark.parametrize(
    ("said", "state", "decision"),
    [(b"|12|", "Approved", "certified_total"), (b"|0|", "Denied", "not_certified")],
    ids=["granted", "refused"],
)
def test_a_request_that_its_payor_answered_by_itself_is_no_work_any_more(
    at: At, said: bytes, state: str, decision: str
) -> None:
    at.desk.submit(KEY, "reviewer")
    at.desk.pend(KEY, "reviewer", WHY)
    assert [each["key"] for each in at.desk.work()] == [KEY]
    at.store.send(samples()[1].replace(b"|12|12|", b"|12" + said))
    assert at.desk.work() == []
    shown = at.desk.show(KEY)
    assert (shown["state"], shown["decision"]) == (state, decision)
    last = shown["versions"][0]["history"][-1]
    assert (last["from_state"], last["event"], last["to_state"]) == ("Pended", "answered", state)
    assert shown["versions"][0]["pends"][0]["resolved_by"] == "hl7"
    assert at.desk.unfinalize(KEY, "reviewer", "an appeal") is Process.CHANGED
    assert at.desk.show(KEY)["state"] == "Changed"  # the answer is that of the version before


@pytest.mark.parametrize("fatal", [None, Reason("0F", " ")])
def test_a_denial_needs_a_fatal_message(at: At, fatal: Reason | None) -> None:
    at.state(Process.PENDED)
    with pytest.raises(Missing, match="fatal message"):
        at.desk.deny(KEY, "reviewer", fatal)


def test_a_denial_says_its_reason_and_grants_nothing(at: At) -> None:
    at.state(Process.PENDED)
    assert at.desk.deny(KEY, "reviewer", WHY) is Process.DENIED
    aut = at.answers()[-1].first("AUT")
    assert [aut.field(number) for number in (4, 5, 6, 9)] == ["", "", "", "0"]
    (version,) = at.desk.show(KEY)["versions"]
    assert [(each["severity"], each["text"]) for each in version["messages"]] == [("fatal", WHY.text)]
    assert at.statuses() == {f"?{KEY}": "denied"}


def test_to_unfinalize_needs_a_reason(at: At) -> None:
    at.state(Process.APPROVED)
    with pytest.raises(Missing, match="AUT-IP-AUTI-015"):
        at.desk.unfinalize(KEY, "reviewer", "")


def test_what_was_approved_holds_until_the_new_version_is_decided(at: At) -> None:
    at.state(Process.APPROVED)
    at.desk.unfinalize(KEY, "reviewer", "an appeal")
    at.desk.submit(KEY, "reviewer")
    shown = at.desk.show(KEY)
    assert (shown["version"], shown["state"]) == (2, "In Process")
    assert [each["in_force"] for each in shown["versions"]] == [True, False]
    assert at.statuses()["FG-1@FERNGATE"] == "approved"
    at.desk.deny(KEY, "reviewer", WHY)
    assert [each["in_force"] for each in at.desk.show(KEY)["versions"]] == [False, False]
    assert at.statuses()["FG-1@FERNGATE"] == "denied"


def test_a_cancellation_is_an_answer_of_that_event(at: At) -> None:
    at.state(Process.APPROVED)
    assert at.desk.cancel(KEY, "reviewer", "double") is Process.CANCELLED
    assert at.answers()[-1].header.event == "RPA^I11"
    assert set(at.statuses().values()) == {"cancelled"}


def _again(event: str, control_id: str) -> bytes:
    return ASKED.replace(b"RQA^I08^", f"RQA^{event}^".encode()).replace(b"CH-0001", control_id.encode())


@pytest.mark.parametrize("state", [Process.ENTRY, Process.IN_PROCESS, Process.PENDED, Process.APPROVED])
def test_a_request_that_is_taken_back_is_cancelled(at: At, state: Process) -> None:
    at.state(state)
    assert at.store.send(_again("I11", "CH-0002"))[0].disposition == "accepted"
    assert at.desk.show(KEY)["state"] == "Cancelled"
    assert at.desk.work() == []


def test_what_is_asked_anew_after_an_approval_is_a_new_version(at: At) -> None:
    at.state(Process.APPROVED)
    at.store.send(_again("I09", "CH-0002"))
    (waiting,) = at.desk.work()
    assert (waiting["state"], waiting["version"]) == ("Changed", 2)
    assert [each["in_force"] for each in at.desk.show(KEY)["versions"]] == [True, False]
    at.desk.submit(KEY, "reviewer")
    at.desk.approve(KEY, "reviewer", IN_FULL._replace(number=""))
    answer = at.answers()[-1]
    assert (answer.first("MSA").value(2), answer.header.event) == ("CH-0002", "RPA^I09")
    assert answer.first("AUT").field(6) == "FG-1^FERNGATE"


def test_the_answer_goes_out_by_the_reply_route(tmp_path: Path) -> None:
    to = Destination.model_validate({"mllp": {"connect": "tcp:127.0.0.1:1"}})
    replies = Replies.model_validate({"acknowledgments": "enhanced", "to": "ehr"})
    accepts = shipped_channel().file.accepts.model_copy(update={"senders": (Sender(application="CEDARDESK"),)})
    at = At(tmp_path, channel(destinations={"ehr": to}, replies=replies, accepts=accepts))
    at.store.send(ASKED)
    at.state(Process.APPROVED)
    rows = at.store.rows("SELECT destination, kind, body, state FROM delivery WHERE part = 0 ORDER BY id")
    assert [row[0] for row in rows] == ["referral-intake/ehr"] * 2, "the first answer, that it waits; then the decision"
    sent = parse(rows[-1][2])
    head = sent.segments[0]
    assert (sent.header.event, head.field(15), head.field(16)) == ("RPA^I08", "AL", "NE")
    assert sent.all("AUT")[0].field(6) == "FG-1^FERNGATE"
    at.store.close()


def test_what_can_not_be_said_is_not_decided(at: At) -> None:
    at.state(Process.IN_PROCESS)
    elsewhere = Desk(at.store.engine, {}, lambda: 1, lambda: at.store.time)
    with pytest.raises(Missing, match="referral-intake"):
        elsewhere.deny(KEY, "reviewer", WHY)
    shown = at.desk.show(KEY)
    assert (shown["state"], shown["versions"][0]["messages"]) == ("In Process", [])
    assert at.answers() == []


def test_the_archive_alone_tells_what_was_decided(at: At) -> None:
    at.state(Process.APPROVED)
    channels = {at.store.channel.name: at.store.channel}
    report = rebuild(at.store.engine, channels)
    assert (report.differences, report.messages) == ([], 2)


def test_what_is_late_is_listed_and_time_can_be_extended(at: At) -> None:
    at.store.time += 170 * HOUR
    (late,) = at.desk.work(overdue=True)
    assert (late["key"], late["urgency"], late["overdue"]) == (KEY, "standard", True)
    at.desk.extend(KEY, "reviewer", 5, "papers come by post")
    assert at.desk.work(overdue=True) == []
    for days, reason, said in ((10, "more", "14 days"), (1, "", "reason"), (0, "none", "days")):
        with pytest.raises(Missing, match=said):
            at.desk.extend(KEY, "reviewer", days, reason)


def test_an_unknown_key_is_told(at: At) -> None:
    with pytest.raises(Exception, match="there is no authorization or request 'NOBODY'"):
        at.desk.submit("NOBODY", "reviewer")
