"""Requests that wait on their connection for what rules or a person decide here, over real sockets."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from hl7auth.desk.life import Desk, Reason
from hl7auth.domain.crosswalk import Decision
from hl7auth.domain.decided import Decided
from hl7auth.domain.process import Process
from hl7auth.flow.channel import load_channel
from hl7auth.flow.channel_links import linked
from hl7auth.observe import ids, now
from hl7auth.store.database import open_database
from hl7auth.wire.message import parse
from tests.engine import message, msh
from tests.outbox import Listener, ack
from tests.running import Running
from tests.serving import Line, Serving

ENHANCED = ("AL", "AL")
GRANTED = Decided(Decision.CERTIFIED_TOTAL, "PA1", effective=date(2026, 4, 1), expiration=date(2026, 9, 30))
KEY = "R1@EHR:NORTH"


def request(control_id: str, referral: str, modes: tuple[str, str] = ("", "")) -> bytes:
    """A request in a version that has AUT-14."""
    return message(
        msh(control_id=control_id, version="2.8", modes=modes),
        f"RF1||||||{referral}",
        "AUT|GOLD|ACME||||||3|||||REHAB",
        "PRD|RP|Moss^Ada",
        "PID|1||77001||Quill^Ivo||19800102",
        "PR1|1||99213^Visit^C4||20260401",
    )


def channel(ehr: Listener | None = None, seconds: float = 20) -> str:
    """Lines of a channel: requests wait, and later decisions go to the EHR."""
    lines = []
    if ehr is not None:
        lines.append(f"destinations: {{ehr: {{mllp: {{connect: 'tcp:127.0.0.1:{ehr.port}'}}}}}}")
    to = ", to: ehr" if ehr is not None else ""
    return "\n".join([*lines, f"replies: {{decided_within_seconds: {seconds}{to}}}"])


@contextmanager
def person(engine: Running) -> Iterator[Desk]:
    """Somebody at the desk of an engine, in another process as it were."""
    store = open_database(f"sqlite:///{engine.folder}/north.db")
    yield Desk(store, {engine.channel.name: engine.channel}, ids(worker=5), now)
    store.dispose()


def arrived(engine: Running, control_id: str) -> None:
    """Until a message is in the store."""
    until = time.monotonic() + 20
    while not engine.rows(f"SELECT 1 FROM message WHERE control_id = '{control_id}'"):
        assert time.monotonic() < until
        time.sleep(0.01)


def told(raw: bytes) -> tuple[str, str, str, str]:
    """Event, MSA-2, AUT-6 and AUT-14."""
    found = parse(raw)
    msa, aut = found.first("MSA"), found.first("AUT")
    assert msa is not None
    assert aut is not None
    return found.header.event, msa.value(2), aut.value(6), aut.value(14)


def test_a_person_decides_in_time_and_the_answer_comes_on_the_connection_that_asked(tmp_path: Path) -> None:
    with Running(tmp_path, channel()) as engine, person(engine) as desk, Line(engine.port) as line:
        line.send(request("C1", referral="R1"))
        arrived(engine, "C1")
        desk.submit(KEY, "reviewer")
        assert desk.approve(KEY, "reviewer", GRANTED) is Process.APPROVED
        first = line.text()
        assert told(first.encode()) == ("RPA^I08", "C1", "PA1", "AP")
        line.send(request("C1", referral="R1"))  # again: the stored reply
        assert line.text() == first
        assert engine.rows("SELECT state, owed, destination FROM forward") == [("answered", 0, "desk")]
        assert engine.rows("SELECT count(*) FROM message WHERE peer = 'desk/answer'") == [(1,)]


def test_in_enhanced_mode_the_receipt_comes_at_once_and_the_decision_after_it(tmp_path: Path) -> None:
    with Running(tmp_path, channel()) as engine, person(engine) as desk, Line(engine.port) as line:
        line.send(request("C1", referral="R1", modes=ENHANCED))
        assert line.reply() == "CA C1"
        desk.submit(KEY, "reviewer")
        desk.deny(KEY, "reviewer", Reason("0F", "not medically necessary"))
        raw = line.text().encode()
        assert told(raw)[3] == "DE"
        header = parse(raw).header
        assert (header.accept_acknowledgment, header.application_acknowledgment) == ("NE", "NE")


def test_what_takes_too_long_pends_and_its_decision_goes_the_other_way_once(tmp_path: Path) -> None:
    with Listener(lambda _, control_id: ack(control_id, "CA")) as ehr:
        with Running(tmp_path, channel(ehr, 0.2)) as engine, person(engine) as desk, Line(engine.port) as line:
            line.send(request("C1", referral="R1"))
            assert told(line.text().encode()) == ("RPA^I08", "C1", "", "PE")
            desk.submit(KEY, "reviewer")
            desk.approve(KEY, "reviewer", GRANTED)
            assert ehr.changed(lambda: len(ehr.payloads) == 1)
            assert told(ehr.payloads[0]) == ("RPA^I08", "C1", "PA1", "AP")
            line.send(request("C1", referral="R1"))
            assert told(line.text().encode()) == ("RPA^I08", "C1", "PA1", "AP")
        assert len(ehr.payloads) == 1


def test_a_connection_that_is_gone_has_its_answer_sent_to_the_destination(tmp_path: Path) -> None:
    with Listener(lambda _, control_id: ack(control_id, "CA")) as ehr:
        with Running(tmp_path, channel(ehr)) as engine, person(engine) as desk:
            with Line(engine.port) as line:
                line.send(request("C1", referral="R1"))
                arrived(engine, "C1")
            desk.submit(KEY, "reviewer")
            desk.approve(KEY, "reviewer", GRANTED)
            assert ehr.changed(lambda: len(ehr.payloads) == 1)
        assert told(ehr.payloads[0]) == ("RPA^I08", "C1", "PA1", "AP")


def test_replies_keep_the_order_of_their_requests_and_what_is_decided_is_not_waited_for(tmp_path: Path) -> None:
    with Running(tmp_path, channel()) as engine, person(engine) as desk, Line(engine.port) as line:
        line.send(request("C1", referral="R1"), request("C2", referral="R2"))
        arrived(engine, "C2")
        for at, key in enumerate(("R2@EHR:NORTH", KEY)):
            desk.submit(key, "reviewer")
            desk.approve(key, "reviewer", GRANTED._replace(number=f"PA{at}"))
        assert [told(line.text().encode())[1:3] for _ in range(2)] == [("C1", "PA1"), ("C2", "PA0")]
        line.send(request("C1", referral="R1"))
        assert told(line.text().encode())[1:3] == ("C1", "PA1")


def test_a_request_that_comes_again_while_it_waits_waits_for_the_same_answer(tmp_path: Path) -> None:
    with Running(tmp_path, channel()) as engine, person(engine) as desk:
        with Line(engine.port) as one, Line(engine.port) as other:
            one.send(request("C1", referral="R1"))
            arrived(engine, "C1")
            other.send(request("C1", referral="R1"))
            until = time.monotonic() + 20
            while engine.rows("SELECT count(*) FROM message WHERE control_id = 'C1'") != [(2,)]:
                assert time.monotonic() < until
                time.sleep(0.01)
            desk.submit(KEY, "reviewer")
            desk.approve(KEY, "reviewer", GRANTED)
            assert one.text() == other.text()
        assert engine.rows("SELECT count(*) FROM message WHERE peer = 'desk/answer'") == [(1,)]


def test_an_engine_that_dies_while_somebody_waits_loses_no_decision(tmp_path: Path) -> None:
    with Listener(lambda _, control_id: ack(control_id, "CA")) as ehr:
        settings = {"title": f"Waiting\n{channel(ehr, 1)}"}
        with Serving(tmp_path, 1, **settings) as engine:
            with Line(engine.port) as line:
                line.send(request("C1", referral="R1"))
                engine.until_rows("SELECT count(*) FROM message WHERE control_id = 'C1'", 1)
                engine.process.kill()
                engine.process.wait(20)
            (path,) = (tmp_path / "channels").glob("*.yaml")
            (loaded,) = linked([load_channel(path)])
            store = open_database(f"sqlite:///{engine.database}")
            desk = Desk(store, {loaded.name: loaded}, ids(worker=5), now)
            desk.submit(KEY, "reviewer")
            desk.approve(KEY, "reviewer", GRANTED)
            store.dispose()
        with Serving(tmp_path, 1, f"sqlite:///{engine.database}", **settings) as again, Line(again.port) as line:
            line.send(request("C1", referral="R1"))
            assert told(line.text().encode()) == ("RPA^I08", "C1", "PA1", "AP")
            assert ehr.changed(lambda: len(ehr.payloads) == 1)
        assert len(ehr.payloads) == 1
