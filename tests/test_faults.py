"""Real engines in trouble: nothing lost, nothing out of order within its key, and the sender told the truth."""

import resource
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hl7auth.wire.framing import frame
from tests.engine import request
from tests.outbox import Cut, Listener, ack
from tests.serving import ENVIRONMENT, SECONDS, Line, Serving

KEYS, EACH = 3, 4


def sends(port: int, **more: str) -> dict[str, str]:
    """Lines for the channel file: one impatient destination, in order for each authorization."""
    said = {"answer_seconds": "0.3", "reconnect": "{first_seconds: 0.05, most_seconds: 0.2}"} | more
    mllp = ", ".join(f"{key}: {value}" for key, value in said.items())
    payer = f"{{mllp: {{connect: 'tcp:127.0.0.1:{port}', {mllp}}}, retry: {{first_seconds: 0.05, most_seconds: 0.2}}}}"
    return {"title": f"Faults\ndestinations:\n  payer: {payer}\norder_by: authorization"}


def told_accepted(engine: Serving) -> list[str]:
    """Sends messages of several referrals in turns; each must be accepted while the destination is in trouble."""
    sent = [f"C{key}-{each}" for each in range(EACH) for key in range(KEYS)]
    with Line(engine.port) as line:
        for control_id in sent:
            assert line.ask(request(control_id, referral=f"R{control_id[1]}")) == f"AA {control_id}"
    return sent


def all_in_order(got: list[str], sent: list[str]) -> bool:
    """Everything arrived; what came again did so before anything later of its referral."""
    if set(got) != set(sent):
        return False
    for key in range(KEYS):
        own = [int(each.partition("-")[2]) for each in got if each.startswith(f"C{key}-")]
        assert own == sorted(own), got
    return True


def arrived(listener: Listener, sent: list[str]) -> bool:
    return listener.changed(lambda: set(listener.got) == set(sent)) and all_in_order(list(listener.got), sent)


TROUBLES: list[Callable[[str], bytes | None]] = [
    lambda _: b"",  # never answers
    lambda _: ack("OTHER"),  # answers about another message
    lambda _: None,  # hangs up
    lambda control_id: Cut(ack(control_id)[:30]),  # hangs up in the middle of its answer
    lambda control_id: ack(control_id)[:-30],  # never ends its answer
    lambda control_id: ack(control_id, "AR", "207"),  # is out of service
    lambda control_id: ack(control_id) * 2,  # answers twice
]


def test_a_destination_that_misbehaves_costs_repetitions_and_no_message(tmp_path: Path) -> None:
    def react(n: int, control_id: str) -> bytes | None:
        return TROUBLES[n % len(TROUBLES)](control_id) if n <= 3 * len(TROUBLES) else ack(control_id)

    with Listener(react) as listener, Serving(tmp_path, 1, **sends(listener.port)) as engine:
        sent = told_accepted(engine)
        assert arrived(listener, sent)
        engine.until_rows("SELECT count(*) FROM delivery WHERE state <> 'sent'", 0)
        assert len(listener.got) > len(sent)
        assert all_in_order(list(listener.got), sent)


def test_a_destination_that_refuses_connections_gets_everything_when_it_is_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with Serving(tmp_path, 1, **sends(port)) as engine:
        sent = told_accepted(engine)
        assert engine.rows("SELECT count(*), sum(attempts) FROM delivery") == [(len(sent), 0)]
        with Listener(port=port) as listener:
            assert arrived(listener, sent)


STOPPED = """
import sys
from tests.outbox import Listener, ack
listener = Listener(lambda n, control_id: print(control_id, flush=True) or ack(control_id))
print(listener.port, flush=True)
sys.stdin.read()
"""


@contextmanager
def other_process() -> Iterator["subprocess.Popen[str]"]:
    """A listener in a process of its own, which prints its port and then every control id that it gets."""
    command = [sys.executable, "-c", STOPPED]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=SECONDS)


def test_a_destination_that_is_half_open_is_given_up_and_found_again(tmp_path: Path) -> None:
    """A process that stands still: its kernel takes connections and bytes, and nobody will ever answer."""
    with other_process() as listener:
        assert listener.stdout is not None
        with Serving(tmp_path, 1, **sends(int(listener.stdout.readline()))) as engine:
            engine.until_logged("destination.connected")
            listener.send_signal(signal.SIGSTOP)
            sent = told_accepted(engine)
            assert engine.until_logged("delivery.retry")["answer"] == "timeout"
            listener.send_signal(signal.SIGCONT)
            got: list[str] = []
            while not all_in_order(got, sent):
                got.append(listener.stdout.readline().strip())
                assert got[-1], got


def test_a_sender_that_is_half_open_loses_its_place_and_nothing_of_it_is_taken(tmp_path: Path) -> None:
    with Serving(tmp_path, 1, connections="1", idle_seconds="0.5", message_seconds="0.4") as engine:
        lost = Line(engine.port)
        assert lost.ask(request("C1")) == "AA C1"
        lost.socket.sendall(frame(request("C2"))[:-40])
        assert engine.until_logged("connection.closed")["reason"] == "slow"
        assert lost.rest() == []
        with Line(engine.port) as line:
            assert line.ask(request("C2")) == "AA C2"
            assert engine.until_logged("connection.closed")["reason"] == "idle"
            assert line.rest() == []
        assert engine.rows("SELECT control_id FROM message ORDER BY id") == [("C1",), ("C2",)]


def full(engine: Serving) -> Callable[[], None]:
    """Lets no file of the engine grow any more, as on a disk that is full; returns how to make room."""
    unlimited = resource.prlimit(engine.process.pid, resource.RLIMIT_FSIZE)
    size = engine.database.with_name(engine.database.name + "-wal").stat().st_size
    resource.prlimit(engine.process.pid, resource.RLIMIT_FSIZE, (size, unlimited[1]))
    return lambda: resource.prlimit(engine.process.pid, resource.RLIMIT_FSIZE, unlimited) and None


def test_a_full_disk_is_said_to_the_sender_and_costs_nothing_that_was_accepted(tmp_path: Path) -> None:
    silent = True

    def react(_: int, control_id: str) -> bytes:
        return b"" if silent else ack(control_id)

    with Listener(react) as listener, Serving(tmp_path, 1, **sends(listener.port)) as engine:
        sent = told_accepted(engine)
        make_room = full(engine)
        with Line(engine.port) as line:
            refused = [line.ask(request(f"C0-{each}", referral="R0")) for each in range(EACH, EACH + 3)]
            assert refused == [f"AE C0-{each}" for each in range(EACH, EACH + 3)]
            silent = False
            make_room()
            for each in range(EACH, EACH + 3):
                assert line.ask(request(f"C0-{each}", referral="R0")) == f"AA C0-{each}"
        assert arrived(listener, [*sent, *(f"C0-{each}" for each in range(EACH, EACH + 3))])
        kept = engine.rows("SELECT disposition, count(*) FROM message GROUP BY 1")
        assert kept == [("accepted", len(sent) + 3)]


def test_a_locked_database_is_said_to_the_sender_and_deliveries_go_on_afterwards(tmp_path: Path) -> None:
    with Listener() as listener, Serving(tmp_path, 1, **sends(listener.port)) as engine:
        sent = told_accepted(engine)
        lock = sqlite3.connect(engine.database, isolation_level=None, timeout=SECONDS)
        with Line(engine.port) as line:
            lock.execute("BEGIN IMMEDIATE")
            assert line.ask(request("C0-4", referral="R0")) == "AE C0-4"
            lock.execute("ROLLBACK")
            lock.close()
            assert line.ask(request("C0-4", referral="R0")) == "AA C0-4"
        assert arrived(listener, [*sent, "C0-4"])


@pytest.mark.parametrize("workers", [1, 2])
def test_nobody_is_told_that_a_message_is_kept_in_a_file_that_is_gone(tmp_path: Path, workers: int) -> None:
    with Serving(tmp_path, workers) as engine, Line(engine.port) as line:
        assert line.ask(request("C1")) == "AA C1"
        away = tmp_path / "away.db"
        engine.database.rename(away)
        assert line.ask(request("C2")) == "AE C2"
        assert not engine.database.exists()
        engine.database.write_bytes(b"")
        assert line.ask(request("C2")) == "AE C2"
        away.rename(engine.database)
        assert line.ask(request("C2")) == "AA C2"
        assert engine.rows("SELECT control_id FROM message ORDER BY id") == [("C1",), ("C2",)]
