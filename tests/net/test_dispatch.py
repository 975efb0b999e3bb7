"""Dispatching to real listeners: order within a lane whatever the other side does, and nobody waits for another."""

import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hl7auth.flow.verdict import read_answer
from hl7auth.net import runs
from hl7auth.net.dispatch import Dispatcher
from hl7auth.steps.run import Shaped
from tests.outbox import Listener, Outbox, ack, raw
from tests.store import postgres

QUICK: dict[str, Any] = {"retry": {"first_seconds": 0.05, "most_seconds": 0.1}}


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path)
    yield outbox
    outbox.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def either(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path, "" if request.param == "sqlite" else postgres.shared().database())
    yield outbox
    outbox.close()


def to(listener: Listener, **more: Any) -> dict[str, Any]:
    """A destination that is quick to try again."""
    reconnect = {"first_seconds": 0.05, "most_seconds": 0.1}
    return QUICK | {"mllp": listener.mllp | {"answer_seconds": 5, "reconnect": reconnect} | more}


def in_order(got: list[str], lanes: int, count: int) -> bool:
    """Every message came, and each lane's first arrivals in their order (repetitions are allowed)."""
    first = list(dict.fromkeys(got))
    by_lane = [[number for number in map(_number, first) if number % lanes == lane] for lane in range(lanes)]
    return sorted(map(_number, first)) == list(range(count)) and all(each == sorted(each) for each in by_lane)


def _number(control_id: str) -> int:
    return int(control_id[1:])


@pytest.mark.parametrize("connections", [1, 3])
def test_every_message_arrives_once_and_in_the_order_of_its_lane(either: Outbox, connections: int) -> None:
    either.put(*[(f"lane{at % 7}", raw(f"C{at}")) for at in range(200)])
    with Listener() as listener:
        either.run(either.all_in("sent"), to(listener, connections=connections))
    assert len(listener.got) == 200
    assert in_order(listener.got, 7, 200)
    assert listener.connections == connections
    answers = either.rows("SELECT answer FROM delivery")
    assert {read[0].code for (answer,) in answers if (read := read_answer(answer))} == {"AA"}


def test_a_message_in_several_lanes_waits_for_all_and_holds_up_all(either: Outbox) -> None:
    either.put(("a", raw("C1")), ("b", raw("C2")), (("a", "b"), raw("C3")), ("b", raw("C4")), ("a", raw("C5")))
    refused: list[str] = []

    def react(_: int, control_id: str) -> bytes:
        if control_id == "C2" and len(refused) < 3:
            refused.append(control_id)
            return ack(control_id, "AR")
        return ack(control_id)

    with Listener(react) as listener:
        either.run(either.all_in("sent"), to(listener, connections=3))
    assert listener.got.index("C3") > max(at for at, each in enumerate(listener.got) if each in ("C1", "C2"))
    assert max(listener.got.index("C4"), listener.got.index("C5")) > listener.got.index("C3")
    assert listener.got.count("C2") == 4


def test_a_poison_message_parks_its_own_lane_and_the_rest_flows_on(either: Outbox) -> None:
    either.put(*[(f"lane{at % 2}", raw(f"C{at}")) for at in range(10)])
    with Listener(lambda _, control_id: ack(control_id, "AE" if control_id == "C2" else "AA", "103")) as listener:
        either.run(lambda: either.states().count("sent") == 6, to(listener))
    assert listener.got.count("C2") == 1
    assert {"C4", "C6", "C8"}.isdisjoint(listener.got)
    assert either.states()[2::2] == ["parked", "queued", "queued", "queued"]
    assert either.rows("SELECT action, reason FROM delivery_event") == [("park", "AE 103")]


def test_stop_stops_all_of_the_destination(either: Outbox) -> None:
    either.put(*[(f"lane{at}", raw(f"C{at}")) for at in range(100)])
    with Listener(lambda n, control_id: ack(control_id, "AR" if n == 5 else "AA")) as listener:
        either.run(
            lambda: "parked" in either.states() and "in_flight" not in either.states(),
            to(listener) | {"answers": {"AR": "stop"}},
        )
        assert len(listener.got) == 5
        assert sorted(set(either.states())) == ["parked", "queued", "sent"]
        assert either.queue().due().halted
        assert either.rows("SELECT DISTINCT attempts FROM delivery WHERE state = 'queued'") == [(0,)]


def test_what_is_given_up_is_dead_with_its_reason_and_the_lane_flows_on(outbox: Outbox) -> None:
    outbox.put(("lane", raw("C0")), ("lane", raw("C1")))
    retry = {"first_seconds": 0.01, "attempts": 3, "then": "dead"}
    with Listener(lambda _, control_id: ack(control_id, "AR" if control_id == "C0" else "AA")) as listener:
        outbox.run(outbox.all_in("sent", "dead"), to(listener) | {"retry": retry})
    assert listener.got == ["C0", "C0", "C0", "C1"]
    assert outbox.rows("SELECT state, attempts, reason FROM delivery") == [
        ("dead", 3, "AR; given up after 3 attempts"),
        ("sent", 1, "AA"),
    ]


def test_a_listener_that_never_answers_one_message_delays_only_its_lane(outbox: Outbox) -> None:
    outbox.put(*[(f"lane{at % 3}", raw(f"C{at}")) for at in range(30)])
    silent: list[str] = []

    def react(_: int, control_id: str) -> bytes:
        if control_id == "C4" and len(silent) < 2:
            silent.append(control_id)
            return b""
        return ack(control_id)

    with Listener(react) as listener:
        outbox.run(outbox.all_in("sent"), to(listener, answer_seconds=0.2))
    assert in_order(listener.got, 3, 30)
    assert listener.got.count("C4") == 3
    assert outbox.rows("SELECT DISTINCT reason FROM delivery_event") == [("timeout",)]


def test_answers_that_come_twice_are_never_taken_for_another(outbox: Outbox) -> None:
    outbox.put(*[("lane", raw(f"C{at}")) for at in range(8)])
    with Listener(lambda _, control_id: ack(control_id) * 2) as listener:
        outbox.run(outbox.all_in("sent"), to(listener))
    assert in_order(listener.got, 1, 8)
    assert listener.connections > 1


def test_an_answer_about_another_message_settles_nothing(outbox: Outbox) -> None:
    outbox.put(*[("lane", raw(f"C{at}")) for at in range(4)])
    wrong: list[int] = []

    def react(n: int, control_id: str) -> bytes:
        if control_id == "C1" and len(wrong) < 2:
            wrong.append(n)
            return ack("C3")
        return ack(control_id)

    with Listener(react) as listener:
        outbox.run(outbox.all_in("sent"), to(listener))
    assert listener.got == ["C0", "C1", "C1", "C1", "C2", "C3"]
    assert outbox.rows("SELECT DISTINCT reason FROM delivery_event") == [("unreadable",)]


@pytest.mark.parametrize("answer", [None, b"\x0bMSH|^~\\&|half", b"\x0bhello\x1c\r"])
def test_a_connection_that_breaks_in_the_middle_costs_a_repetition_and_no_message(
    either: Outbox, answer: bytes | None
) -> None:
    either.put(*[(f"lane{at % 2}", raw(f"C{at}")) for at in range(12)])
    broken: list[int] = []

    def react(n: int, control_id: str) -> bytes | None:
        if n in (1, 4, 5):
            broken.append(n)
            return answer
        return ack(control_id)

    with Listener(react) as listener:
        either.run(either.all_in("sent"), to(listener, answer_seconds=0.2))
    assert broken == [1, 4, 5]
    assert in_order(listener.got, 2, 12)
    assert len(listener.got) == 15


def test_a_listener_that_is_not_there_yet_costs_no_attempt(outbox: Outbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    outbox.put(*[(f"lane{at}", raw(f"C{at}")) for at in range(5)])
    late: list[Listener] = []

    def meanwhile(dispatchers: list[Dispatcher]) -> None:
        dispatchers[0]._reactor.callLater(0.3, lambda: late.append(Listener(port=port)))

    connect = {"connect": f"tcp:127.0.0.1:{port}", "reconnect": {"first_seconds": 0.05, "most_seconds": 0.1}}
    outbox.run(outbox.all_in("sent"), {"mllp": connect}, meanwhile=meanwhile)
    late[0].__exit__()
    assert outbox.rows("SELECT DISTINCT attempts FROM delivery") == [(1,)]


def test_a_dead_destination_delays_no_other(outbox: Outbox) -> None:
    with Listener(lambda *_: b"") as dead, Listener() as alive:
        for at in range(50):
            outbox.put(("lane", raw(f"C{at}")), to="feed/dead")
            outbox.put(("lane", raw(f"C{at}")), to="feed/alive")
        outbox.run(
            lambda: len(alive.got) == 50 and outbox.states().count("sent") == 50,
            to(dead), to(alive), names=("feed/dead", "feed/alive"),
        )  # fmt: skip
    assert dead.got == ["C0"]
    assert alive.got == [f"C{at}" for at in range(50)]


def test_the_commit_and_then_the_application_may_answer(outbox: Outbox) -> None:
    outbox.put(*[("lane", raw(f"C{at}", ("AL", "AL"))) for at in range(6)])
    with Listener(lambda _, control_id: ack(control_id, "CA") + ack(control_id, "AA")) as listener:
        outbox.run(outbox.all_in("sent"), to(listener))
    assert listener.got == [f"C{at}" for at in range(6)]
    assert listener.connections == 1


def test_where_no_answer_is_due_only_a_refusal_is_waited_for(outbox: Outbox) -> None:
    outbox.put(("a", raw("C0", ("NE", "NE"))), ("b", raw("C1", ("ER", "NE"))), ("c", raw("C2", kind="ACK")))
    answers = {"C0": b"", "C1": ack("C1", "CE"), "C2": b""}
    with Listener(lambda _, control_id: answers[control_id]) as listener:
        outbox.run(outbox.all_in("sent", "parked"), to(listener, quiet_seconds=0.05, answer_seconds=60))
    assert outbox.rows("SELECT state, reason FROM delivery") == [
        ("sent", "written"),
        ("parked", "CE"),
        ("sent", "written"),
    ]


def test_a_locked_database_is_waited_for_without_standing_still(outbox: Outbox) -> None:
    """The lock goes only after many turns of the reactor: with SQLite's wait of two seconds at each look none of them
    would come in time."""
    outbox.put(*[("lane", raw(f"C{at}")) for at in range(20)])
    ticks: list[float] = []

    def meanwhile(dispatchers: list[Dispatcher]) -> None:
        reactor = dispatchers[0]._reactor
        lock = sqlite3.connect(outbox.url.removeprefix("sqlite:///"), isolation_level=None)

        def tick() -> None:
            ticks.append(reactor.seconds())
            if len(ticks) < 100:
                reactor.callLater(0.01, tick)
            else:
                lock.execute("ROLLBACK")
                lock.close()

        def take() -> None:
            lock.execute("BEGIN IMMEDIATE")
            tick()

        reactor.callLater(0.02, take)

    with Listener() as listener:
        outbox.run(lambda: len(ticks) == 100 and outbox.all_in("sent")(), to(listener), meanwhile=meanwhile)
    assert listener.got == [f"C{at}" for at in range(20)]


def test_a_server_that_goes_and_comes_back_is_waited_for(tmp_path: Path) -> None:
    with postgres.Server() as server:
        outbox = Outbox(tmp_path, server.database())
        outbox.put(*[(f"lane{at % 3}", raw(f"C{at}")) for at in range(30)])
        outbox.close()

        def react(n: int, control_id: str) -> bytes:
            if n == 10:
                server.stop("immediate")
                server.start()
            return ack(control_id)

        with Listener(react) as listener:
            outbox.run(lambda: len(set(listener.got)) == 30, to(listener))
        assert in_order(listener.got, 3, 30)
        assert outbox.states() == ["sent"] * 30
        outbox.close()


def test_what_is_shaped_is_sent_so_and_what_can_not_be_parks(outbox: Outbox) -> None:
    outbox.put(("a", raw("C0")), ("b", raw("C1")))

    def shape(content: bytes) -> Shaped:
        if b"|C1|" in content:
            raise ValueError("no")
        return Shaped(content.replace(b"|C0|", b"|X0|"))

    with Listener() as listener:
        outbox.run(outbox.all_in("sent", "parked"), to(listener), shape=shape)
    assert listener.got == ["X0"]
    assert outbox.rows("SELECT state, reason FROM delivery") == [
        ("sent", "AA"),
        ("parked", "unshaped: the steps could not be run"),
    ]


def test_a_message_that_is_no_longer_stored_parks(outbox: Outbox) -> None:
    outbox.put(("a", raw("C0")), ("b", raw("C1")))
    with outbox.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM message WHERE id = 1")
    with Listener() as listener:
        outbox.run(outbox.all_in("sent", "parked"), to(listener))
    assert listener.got == ["C1"]
    assert outbox.rows("SELECT state FROM delivery") == [("parked",), ("sent",)]


def test_the_end_gives_back_what_was_not_begun(outbox: Outbox) -> None:
    outbox.put(*[(f"lane{at}", raw(f"C{at}")) for at in range(20)])
    with Listener(lambda n, control_id: ack(control_id) if n <= 3 else b"") as listener:
        outbox.run(lambda: len(listener.got) == 4, to(listener, answer_seconds=60))
    assert outbox.states().count("sent") == 3
    assert outbox.states().count("queued") == 17
    assert sorted(outbox.rows("SELECT attempts FROM delivery WHERE state = 'queued'")) == [(0,)] * 16 + [(1,)]


_PROGRAM = """
import sys
from pathlib import Path
from tests.outbox import Outbox
outbox = Outbox(Path("."), sys.argv[1])
outbox.run(lambda: False, {"mllp": {"connect": sys.argv[2]}})
"""


def test_the_work_of_a_killed_process_is_taken_over(either: Outbox) -> None:
    either.put(*[(f"lane{at % 4}", raw(f"C{at}")) for at in range(40)])
    hung = threading.Event()

    def react(n: int, control_id: str) -> bytes:
        if n < 10:
            return ack(control_id)
        hung.set()
        return b""

    with Listener(react) as first:
        program = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, either.url, f"tcp:127.0.0.1:{first.port}"], cwd=Path(__file__).parents[2]
        )
        assert hung.wait(20)
        program.send_signal(signal.SIGKILL)
        assert program.wait(20) == -signal.SIGKILL
        assert "in_flight" in either.states()
        # the same owner's name would be no proof: claims go by their lease alone
        with either.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE delivery SET owner = 'dead' WHERE state = 'in_flight'")
        with Listener() as second:
            either.run(either.all_in("sent"), to(second))
        assert in_order(first.got + second.got, 4, 40)


def test_two_dispatchers_of_one_destination_never_send_a_lane_at_the_same_time(either: Outbox) -> None:
    either.put(*[(f"lane{at % 5}", raw(f"C{at}")) for at in range(300)])
    with Listener() as listener:
        program = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM.replace('"mllp"', '"order_by": "none", "mllp"'), either.url,
             f"tcp:127.0.0.1:{listener.port}"],
            cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            either.run(either.all_in("sent"), to(listener))
        finally:
            program.kill()
            program.wait(20)
    assert len(listener.got) == 300
    assert in_order(listener.got, 5, 300)
    assert either.rows("SELECT count(*) FROM delivery WHERE attempts = 1") == [(300,)]


def test_a_key_flows_on_while_somebody_else_has_the_database(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is claimed at once is sent one after the other, each when the one before is answered, and settled later."""
    monkeypatch.setattr(runs, "LASTS", 20_000_000)
    outbox.put(*[("lane", raw(f"C{at}")) for at in range(30)])
    locks: list[sqlite3.Connection] = []

    def react(n: int, control_id: str) -> bytes:
        if n == 1:
            locks.append(sqlite3.connect(outbox.url.removeprefix("sqlite:///"), isolation_level=None))
            locks[0].execute("BEGIN IMMEDIATE")
        if n == 30:
            locks[0].close()
        return ack(control_id)

    with Listener(react) as listener:
        outbox.run(outbox.all_in("sent"), to(listener))
    assert listener.got == [f"C{at}" for at in range(30)]
    assert outbox.rows("SELECT DISTINCT attempts FROM delivery") == [(1,)]


@pytest.mark.parametrize(("code", "condition"), [("AR", ""), ("AE", "103"), ("AR", "stop")])
def test_a_run_ends_at_the_first_that_is_not_taken(outbox: Outbox, code: str, condition: str) -> None:
    outbox.put(*[("lane", raw(f"C{at}")) for at in range(9)])

    def react(n: int, control_id: str) -> bytes:
        return ack(control_id, code, condition) if n == 4 else ack(control_id)

    answers = {"answers": {"AR": "stop"}} if condition == "stop" else {}
    with Listener(react) as listener:
        ends = ["parked" if condition else "sent", "queued" if condition else "sent"]
        outbox.run(lambda: outbox.states() == [*["sent"] * 3, ends[0], *[ends[1]] * 5], to(listener) | answers)
    again = [] if condition else [f"C{at}" for at in range(3, 9)]
    assert listener.got == [*(f"C{at}" for at in range(4)), *again]
