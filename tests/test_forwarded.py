"""Requests that a payor answers: on PostgreSQL, with other people's software, and while a channel changes."""

import threading
from pathlib import Path

import psycopg
import pytest
from hl7.client import MLLPClient
from hl7apy.mllp import AbstractHandler, MLLPServer

from hl7auth.net import parting
from tests.engine import answer, request
from tests.outbox import Listener, ack
from tests.running import Running
from tests.serving import Line, Serving
from tests.store import postgres
from tests.test_replies import channel, in_processes, rpa, told, until


def test_on_postgresql_answers_come_back_at_once_and_later(tmp_path: Path) -> None:
    def react(n: int, control_id: str) -> bytes:
        return rpa(control_id, n) if n == 1 else ack(control_id)

    url = postgres.shared().database()
    with Listener(react) as payer, Listener(lambda _, control_id: ack(control_id, "CA")) as ehr:
        settings = in_processes(channel(payer, ehr, within_seconds=0.5))
        with Serving(tmp_path, 1, url, **settings) as engine, Line(engine.port) as line, Line(engine.port) as back:
            assert line.ask(request("C1")) == "AA C1"
            assert line.ask(request("C1")) == "AA C1"
            assert line.ask(request("C2")) == "AR C2"
            assert back.ask(answer("D9", payer.got[1], number="PA9", modes=("AL", "NE"))) == "CA D9"
            until(ehr, lambda: len(ehr.got) == 1)
            assert line.ask(request("C2")) == "AA C2"
        assert told(ehr) == ["RPA AA C2"]
        assert len(payer.got) == 2
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT state, owed, count(*) FROM forward GROUP BY state, owed").fetchall()
        assert [(state, int(owed), count) for state, owed, count in found] == [("answered", 0, 2)]


class _Payor(AbstractHandler):  # type: ignore[misc]
    """Grants what is asked."""

    def __init__(self, incoming: str, got: list[str]) -> None:
        super().__init__(incoming)
        self._got = got

    def reply(self) -> str:
        control_id = self.incoming_message.split("|")[9]
        self._got.append(control_id)
        return rpa(control_id, len(self._got)).decode()


def test_python_hl7_asks_and_hl7apy_answers(tmp_path: Path) -> None:
    got: list[str] = []
    server = MLLPServer("127.0.0.1", 0, {"RQA^I08": (_Payor, got)})
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    mllp = f"{{connect: 'tcp:127.0.0.1:{server.server_address[1]}', keep_open: false}}"
    lines = f"destinations: {{payer: {{mllp: {mllp}}}}}\nreplies: {{answer: forward, forward: {{to: payer}}}}"
    try:
        with Running(tmp_path, lines) as engine, MLLPClient("127.0.0.1", engine.port) as requester:
            replies = [requester.send_message(request(f"C{at}")).decode() for at in range(3)]
            stored = engine.rows("SELECT count(*) FROM authorization_version WHERE status = 'approved' AND current = 1")
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()
    for at, reply in enumerate(replies):
        assert "|RPA^I08" in reply
        assert f"\rMSA|AA|C{at}" in reply
        assert f"PA{at + 1}" in reply
    assert stored == [(6,)]  # three authorizations, and their requests
    assert len(set(got)) == 3
    assert set(got).isdisjoint({"C0", "C1", "C2"})


def test_a_channel_that_changes_forgets_no_forwarded_request(tmp_path: Path) -> None:
    """What was forwarded before the change is answered under the requester's control id after it."""
    with Listener() as payer, Running(tmp_path, channel(payer)) as engine:
        with Line(engine.port) as line, Line(engine.port) as back:
            line.send(request("C1"))
            until(payer, lambda: len(payer.got) == 1)
            engine.become(channel(payer, within_seconds=9))
            assert back.ask(answer("D1", payer.got[0], modes=("AL", "NE"))) == "CA D1"
            assert line.reply() == "AA C1"
            assert line.ask(request("C1")) == "AA C1"
        assert engine.rows("SELECT state, owed FROM forward") == [("answered", 0)]
        assert len(payer.got) == 1


def test_a_channel_that_forwards_no_more_still_brings_back_what_was_asked(tmp_path: Path) -> None:
    """Replies and destination are gone: what is under way, and what waits behind it, is answered as it was promised."""

    def react(n: int, control_id: str) -> bytes:
        return b"" if n == 1 else rpa(control_id, n)

    with Listener(react) as payer, Running(tmp_path, channel(payer) + "\norder_by: channel") as engine:
        with Line(engine.port) as line, Line(engine.port) as other, Line(engine.port) as third:
            line.send(request("C1"))
            until(payer, lambda: len(payer.got) == 1)
            other.send(request("C2"))
            while engine.rows("SELECT count(*) FROM forward") != [(2,)]:
                engine.call(lambda: None)
            engine.become("")
            assert third.ask(request("C3")) == "AA C3"  # the engine answers by itself now
            third.send(request("C2"))  # again, on a version that forwards nothing: it waits like the first
            payer.say(rpa(payer.got[0]))
            assert [line.reply(), other.reply(), third.reply()] == ["AA C1", "AA C2", "AA C2"]
            assert line.ask(request("C1")) == "AA C1"
            assert line.ask(request("C4")) == "AA C4"  # its connection was not cut
        assert engine.rows("SELECT DISTINCT state FROM forward") == [("answered",)]
        assert len(payer.got) == 2


def test_a_payor_that_answers_after_its_receipt_is_heard_though_its_destination_is_gone(tmp_path: Path) -> None:
    with (
        Listener(lambda _, control_id: b"" if control_id == "D1" else ack(control_id, "CA")) as payer,
        Running(tmp_path, channel(payer, mode="enhanced")) as engine,
        Line(engine.port) as line,
    ):
        line.send(request("C1"))
        until(payer, lambda: len(payer.got) == 1)
        while engine.rows("SELECT state FROM delivery") != [("sent",)]:
            engine.call(lambda: None)
        engine.become("")
        payer.say(rpa(payer.got[0], modes=("AL", "NE")))
        assert line.reply() == "AA C1"
        until(payer, lambda: len(payer.got) == 2)
        assert payer.payloads[1].split(b"\r")[1] == b"MSA|CA|D1"


def test_who_asked_is_told_when_the_destination_is_gone_and_nobody_answers_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parting, "LEAST_SECONDS", 0.1)
    settings = {"within_seconds": 0.1, "late": "silent", "attempts": 0}
    with Listener(lambda *_: b"") as payer, Listener(lambda _, control_id: ack(control_id, "CA")) as ehr:
        north = channel(payer, ehr, **settings)
        with Running(tmp_path, north) as engine, Line(engine.port) as line:
            line.send(request("C1", modes=("AL", "AL")))
            assert line.reply() == "CA C1"
            until(payer, lambda: len(payer.got) == 1)
            kept = north.split("\n")
            engine.become("\n".join([kept[0], kept[2], "replies: {answer: ack, to: ehr}"]))
            until(ehr, lambda: len(ehr.got) == 1)
            assert told(ehr) == ["ACK AR C1"]
            assert engine.rows("SELECT state FROM forward") == [("failed",)]
            found = "SELECT state FROM delivery WHERE destination = 'north/payer'"
            while engine.rows(found) != [("queued",)]:  # for a person to move
                engine.call(lambda: None)


def test_who_asked_is_told_after_a_start_without_the_destination(tmp_path: Path) -> None:
    with Listener(lambda *_: b"") as payer:
        with Running(tmp_path, channel(payer, within_seconds=0.1)) as engine, Line(engine.port) as line:
            assert line.ask(request("C1")) == "AR C1"
            assert engine.rows("SELECT state FROM forward") == [("open",)]
        with Running(tmp_path) as engine, Line(engine.port) as line:
            assert line.ask(request("C1")) == "AR C1"
            assert engine.rows("SELECT state FROM forward") == [("failed",)]
