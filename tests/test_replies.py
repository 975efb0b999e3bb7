"""Requests that a payor answers, and answers that go elsewhere, with real processes, whatever the payor does."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hl7auth.wire.framing import frame
from tests.engine import answer, message, msh, request
from tests.outbox import Listener, ack
from tests.running import Running
from tests.serving import Line, Serving

ENHANCED = ("AL", "AL")


def channel(payer: Listener, ehr: Listener | None = None, **forward: Any) -> str:
    """Lines of a channel file: all requests go to the payor, and answers that come late to the EHR."""
    quick = f"retry: {{first_seconds: 0.05, most_seconds: 0.1, attempts: {forward.pop('attempts', 0)}, then: dead}}"
    more = f"answer_seconds: {forward.pop('answer_seconds', 10)}, reconnect: {{first_seconds: 0.05, most_seconds: 0.1}}"
    words = {"to": "payer", "within_seconds": 10, "answers_on": "north"} | forward
    listed = ", ".join(f"{key}: {value}" for key, value in words.items())
    lines = [
        "destinations:",
        f"  payer: {{mllp: {{connect: 'tcp:127.0.0.1:{payer.port}', {more}}}, {quick}}}",
    ]
    if ehr is not None:
        lines.append(f"  ehr: {{mllp: {{connect: 'tcp:127.0.0.1:{ehr.port}', {more}}}, {quick}}}")
    lines += ["replies:", "  answer: forward", f"  forward: {{{listed}}}"]
    lines += ["  to: ehr"] if ehr is not None else []
    return "\n".join(lines)


def rpa(control_id: str, number: int = 1, modes: tuple[str, str] = ("", "")) -> bytes:
    return frame(answer(f"D{number}", control_id, number=f"PA{number}", modes=modes))


def granting(n: int, control_id: str) -> bytes:
    return rpa(control_id, n)


def told(listener: Listener) -> list[str]:
    """MSH-9.1, MSA-1 and MSA-2 of what came to a listener."""
    found = []
    for raw in listener.payloads:
        head, msa = raw.decode().split("\r")[:2]
        found.append(f"{head.split('|')[8].split('^')[0]} {' '.join(msa.split('|')[1:3])}")
    return found


def until(listener: Listener, condition: Callable[[], bool]) -> None:
    assert listener.changed(condition), told(listener)


def in_processes(text: str) -> dict[str, str]:
    """The same for a process of its own: lines for the shipped channel."""
    lines = text.replace("answers_on: north", "answers_on: referral-intake")
    return {"title": f"Replies\n{lines}"}


def test_the_payors_answer_comes_back_on_the_connection_under_the_requesters_control_id(tmp_path: Path) -> None:
    with Listener(granting) as payer, Running(tmp_path, channel(payer)) as engine:
        with Line(engine.port) as line:
            assert [line.ask(request(f"C{at}")) for at in range(3)] == ["AA C0", "AA C1", "AA C2"]
            line.send(request("C3", modes=ENHANCED))
            assert [line.reply(), line.reply()] == ["CA C3", "AA C3"]
            assert line.ask(request("C1")) == "AA C1"  # again: the stored answer
        assert len(payer.got) == 4
        assert set(payer.got).isdisjoint({"C0", "C1", "C2", "C3"})
        stored = engine.rows("SELECT count(*) FROM authorization_version WHERE status = 'approved' AND current = 1")
        assert stored == [(8,)]  # four authorizations, and their requests
        assert engine.rows("SELECT DISTINCT state, owed FROM forward") == [("answered", 0)]


def test_replies_in_original_mode_keep_the_order_of_the_messages(tmp_path: Path) -> None:
    with Listener(granting) as payer, Running(tmp_path, channel(payer)) as engine, Line(engine.port) as line:
        line.send(request("C1"), request("C2").replace(b"|P|2.5", b"|T|2.5"), request("C3"))
        assert [line.reply() for _ in range(3)] == ["AA C1", "AR C2", "AA C3"]


def test_a_late_answer_goes_to_the_destination_of_answers_and_is_told_once(tmp_path: Path) -> None:
    """The payor takes the request with an ACK, and sends answers to the listening channel; the second is the first."""
    with Listener() as payer, Listener(lambda _, control_id: ack(control_id, "CA")) as ehr:
        with (
            Running(tmp_path, channel(payer, ehr, within_seconds=0.3)) as engine,
            Line(engine.port) as line,
            Line(engine.port) as back,
        ):
            assert line.ask(request("C1")) == "AR C1"
            asked = payer.got[0]
            assert back.ask(answer("D1", asked, modes=("AL", "NE"))) == "CA D1"
            until(ehr, lambda: len(ehr.got) == 1)
            assert back.ask(answer("D2", asked, modes=("AL", "NE"))) == "CA D2"
            assert back.ask(answer("D3", asked, number="PA2", modes=("AL", "NE"))) == "CA D3"
            until(ehr, lambda: len(ehr.got) == 2)
            assert line.ask(request("C1")) == "AA C1"
        assert told(ehr) == ["RPA AA C1", "RPA AA C1"]  # the first decision, and the one that was another
        assert [b"PA1" in raw for raw in ehr.payloads] == [True, False]
        assert len(payer.got) == 1


def test_an_answer_from_elsewhere_to_nothing_of_ours_reaches_nobody(tmp_path: Path) -> None:
    with (
        Listener() as payer,
        Listener() as ehr,
        Running(tmp_path, channel(payer, ehr, within_seconds=0.2)) as engine,
        Line(engine.port) as line,
    ):
        assert line.ask(request("C1")) == "AR C1"
        assert line.ask(answer("D1", "123", modes=("AL", "NE"))) == "CA D1"
        assert line.ask(answer("D2", payer.got[0], modes=("AL", "NE"))) == "CA D2"
        until(ehr, lambda: len(ehr.got) == 1)
        assert engine.rows("SELECT answer_id FROM forward") == engine.rows(
            "SELECT id FROM message WHERE control_id = 'D2'"
        )


#: what the payor does with its first message, before it answers the second as it should
FAULTS: dict[str, Callable[[str], bytes | None]] = {
    "never answers": lambda _: b"",
    "closes in the middle": lambda _: None,
    "closes in the middle of its answer": lambda control_id: rpa(control_id)[:60],
    "another's control id": lambda _: rpa("C1"),
    "no message": lambda _: frame(b"hello"),
    "is busy": lambda control_id: ack(control_id, "AR", "207"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_the_payor_does_first_its_answer_comes_once(tmp_path: Path, fault: str) -> None:
    def react(n: int, control_id: str) -> bytes | None:
        return FAULTS[fault](control_id) if n == 1 else rpa(control_id)

    with Listener(react) as payer, Running(tmp_path, channel(payer, answer_seconds=0.4)) as engine:
        with Line(engine.port) as line:
            assert line.ask(request("C1")) == "AA C1"
            assert line.ask(request("C1")) == "AA C1"
        assert payer.got == [payer.got[0]] * 2
        assert engine.rows("SELECT count(*) FROM authorization_version WHERE status = 'approved'") == [(2,)]


def test_an_answer_that_comes_twice_is_taken_once(tmp_path: Path) -> None:
    with (
        Listener(lambda n, control_id: rpa(control_id, n) * 2) as payer,
        Running(tmp_path, channel(payer)) as engine,
        Line(engine.port) as line,
    ):
        assert [line.ask(request(f"C{at}")) for at in range(3)] == ["AA C0", "AA C1", "AA C2"]
        assert engine.rows("SELECT count(*) FROM message WHERE message_type = 'RPA'") == [(3,)]


@pytest.mark.parametrize("code", ["AE", "CE"])
def test_a_refusal_is_told_as_it_is_and_parks_nothing(tmp_path: Path, code: str) -> None:
    with (
        Listener(lambda _, control_id: ack(control_id, code, "101")) as payer,
        Running(tmp_path, channel(payer)) as engine,
        Line(engine.port) as line,
    ):
        assert line.ask(request("C1")) == "AE C1"
        assert line.ask(request("C2")) == "AE C2"
        assert len(payer.got) == 2
        ((reply,), _) = engine.rows("SELECT reply FROM message WHERE message_type = 'RQA' ORDER BY id")
        assert b"ERR|||101^Error^HL70357|E" in reply
        assert engine.rows("SELECT DISTINCT state FROM forward") == [("refused",)]


def test_a_payor_that_is_given_up_is_told_and_asked_again_when_the_message_comes_again(tmp_path: Path) -> None:
    with Listener(lambda n, control_id: None if n <= 2 else rpa(control_id)) as payer:
        with Running(tmp_path, channel(payer, attempts=2)) as engine, Line(engine.port) as line:
            assert line.ask(request("C1")) == "AR C1"
            assert engine.rows("SELECT state FROM forward") == [("failed",)]
            assert line.ask(request("C1")) == "AA C1"
            assert engine.rows("SELECT state FROM forward") == [("answered",)]
        assert payer.got == [payer.got[0]] * 3


def test_an_answer_that_breaks_the_profile_is_not_passed_on(tmp_path: Path) -> None:
    def react(_: int, control_id: str) -> bytes:
        return frame(answer("D1", control_id).replace(b"|ACME|Acme Health", b"||Acme Health"))

    with Listener(react) as payer, Running(tmp_path, channel(payer)) as engine, Line(engine.port) as line:
        assert line.ask(request("C1")) == "AR C1"
        assert engine.rows("SELECT disposition, code FROM message WHERE message_type = 'RPA'") == [("refused", "AE")]


def test_killed_workers_forget_no_request_and_its_answer_is_returned_once(tmp_path: Path) -> None:
    silent: list[Any] = [False]

    def react(n: int, control_id: str) -> bytes:
        return b"" if silent[0] else rpa(control_id, n)

    with Listener(react) as payer, Listener(lambda _, control_id: ack(control_id, "CA")) as ehr:
        settings = in_processes(channel(payer, ehr, within_seconds=3))
        with Serving(tmp_path, 2, **settings) as engine, Line(engine.port) as line:
            assert line.ask(request("C0")) == "AA C0"  # committed by one process, handed out by another
            silent[0] = True
            line.send(request("C1"))
            until(payer, lambda: len(payer.got) == 2)
            for each in engine.workers():
                os.kill(each, signal.SIGKILL)
            engine.process.send_signal(signal.SIGKILL)
            engine.until_gone()
        silent[0] = False
        with Serving(tmp_path, 2, **settings) as engine:
            until(ehr, lambda: len(ehr.got) == 1)
            with Line(engine.port) as line:
                assert line.ask(request("C1")) == "AA C1"
    assert told(ehr) == ["RPA AA C1"]
    assert payer.got[1:] == [payer.got[1]] * 2


def test_an_answer_whose_connection_is_gone_goes_to_the_destination(tmp_path: Path) -> None:
    with (
        Listener() as payer,
        Listener(lambda _, control_id: ack(control_id, "CA")) as ehr,
        Running(tmp_path, channel(payer, ehr)) as engine,
    ):
        with Line(engine.port) as line:
            line.send(request("C1"))
            until(payer, lambda: len(payer.got) == 1)
        with Line(engine.port) as back:
            assert back.ask(answer("D1", payer.got[0], modes=("AL", "NE"))) == "CA D1"
        until(ehr, lambda: len(ehr.got) == 1)
        assert engine.rows("SELECT owed FROM forward") == [(0,)]
        assert told(ehr) == ["RPA AA C1"]


def test_a_payor_in_enhanced_mode_answers_after_its_receipt_and_gets_one(tmp_path: Path) -> None:
    def react(n: int, control_id: str) -> bytes:
        if control_id in ("D1", "D2"):
            return b""
        return ack(control_id, "CA") + rpa(control_id, n, ("AL", "NE"))

    with Listener(react) as payer, Running(tmp_path, channel(payer, mode="enhanced")) as engine:
        with Line(engine.port) as line:
            assert line.ask(request("C1")) == "AA C1"
        # our receipt for its answer is what comes next on its connection
        until(payer, lambda: len(payer.payloads) == 2)
        assert engine.rows("SELECT state FROM forward") == [("answered",)]
    assert b"|AL|AL" in payer.payloads[0]
    assert payer.payloads[1].split(b"\r")[1] == b"MSA|CA|D1"


def test_the_answer_after_the_receipt_of_any_destination_is_processed(tmp_path: Path) -> None:
    """A request that is only sent on, in the sender's own enhanced mode."""

    def react(n: int, control_id: str) -> bytes:
        return ack(control_id, "CA") + rpa(control_id, n, ("AL", "NE")) if control_id == "C1" else b""

    with Listener(react) as payer:
        lines = f"destinations:\n  payer: {{mllp: {{connect: 'tcp:127.0.0.1:{payer.port}'}}}}"
        with Running(tmp_path, lines) as engine:
            with Line(engine.port) as line:
                line.send(request("C1", modes=ENHANCED))
                assert [line.reply(), line.reply()] == ["CA C1", "AA C1"]
            until(payer, lambda: len(payer.payloads) == 2)
            assert payer.payloads[1].split(b"\r")[1] == b"MSA|CA|D1"
            found = "SELECT status FROM authorization_version WHERE current = 1 ORDER BY key"
            assert engine.rows(found) == [("approved",), ("approved",)]
            assert engine.rows("SELECT peer FROM message WHERE message_type = 'RPA'") == [("north/payer",)]


def deferring(ehr: Listener) -> str:
    more = "reconnect: {first_seconds: 0.05, most_seconds: 0.1}, answer_seconds: 1"
    retry = "retry: {first_seconds: 0.05, most_seconds: 0.1}"
    return (
        "destinations:\n"
        f"  ehr: {{mllp: {{connect: 'tcp:127.0.0.1:{ehr.port}', {more}}}, {retry}}}\n"
        "replies: {to: ehr}"
    )


def test_deferred_answers_survive_a_crash_in_the_order_of_their_key_once_each(tmp_path: Path) -> None:
    blocked: list[Any] = [True]

    def react(_: int, control_id: str) -> bytes:
        return b"" if blocked[0] else ack(control_id, "CA")

    asked = [request(f"C{at}", number="PA1", modes=ENHANCED) for at in range(6)]
    with Listener(react) as ehr:
        with Serving(tmp_path, 1, **in_processes(deferring(ehr))) as engine:
            with Line(engine.port) as line:
                for at, each in enumerate(asked):
                    assert line.ask(each) == f"CA C{at}"
                assert line.ask(asked[0]) == "CA C0"  # again: its answer waits already
            until(ehr, lambda: len(ehr.got) == 1)
            engine.process.send_signal(signal.SIGKILL)
            engine.until_gone()
        blocked[0] = False
        with Serving(tmp_path, 1, **in_processes(deferring(ehr))):
            until(ehr, lambda: len(set(ehr.got)) == 6)
    assert list(dict.fromkeys(told(ehr))) == [f"RPA AA C{at}" for at in range(6)]
    assert len(ehr.got) == 7  # the one without a receipt came again
    assert all(b"|AL|NE\r" in raw for raw in ehr.payloads)


def test_a_receipt_for_another_answer_counts_for_nothing(tmp_path: Path) -> None:
    def react(n: int, control_id: str) -> bytes:
        return ack("C1" if n == 1 else control_id, "CA")

    with Listener(react) as ehr, Running(tmp_path, deferring(ehr)) as engine, Line(engine.port) as line:
        assert line.ask(request("C1", modes=ENHANCED)) == "CA C1"
        until(ehr, lambda: len(ehr.got) == 2)
        assert ehr.got[0] == ehr.got[1]


def test_an_acknowledgment_is_never_acknowledged(tmp_path: Path) -> None:
    with Listener() as ehr, Running(tmp_path, deferring(ehr)) as engine, Line(engine.port) as line:
        nack = message(msh(kind="ACK", control_id="A1", modes=ENHANCED), "MSA|AA|X1")
        line.send(nack)
        assert line.ask(request("C1")) == "AA C1"  # nothing came before it
        assert ehr.got == []
