"""Workers as real processes on the loopback: no message lost or doubled, whoever of them takes it, and dies of it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from threading import Barrier, Event

import pytest

from hl7auth.observe import MAX_WORKERS
from tests.engine import message, msh, request
from tests.serving import ENVIRONMENT, SECONDS, Line, Serving

CONNECTIONS, EACH = 8, 25

Serve = Callable[..., Serving]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(Serving(tmp_path, 2, **changes))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Two workers for the tests that leave them as they are."""
    with Serving(tmp_path_factory.mktemp("shared"), 2) as serving:
        yield serving


def counted(control_id: str, units: int) -> bytes:
    """A request for authorization PA1 with a number of units of its own, so that each makes a version."""
    segments = ["PRD|RP|Moss^Ada", "PID|||77001||Quill^Ivo||19800102", "PR1|1||99213^Visit^C4||20260401"]
    return message(msh(control_id=control_id), *segments, f"AUT|GOLD|ACME|Acme Health|||PA1||{units}")


def workers_that_took(serving: Serving, control_ids: str) -> list[int]:
    """The worker of each message with such a control id (LIKE): the lowest bits of its id."""
    rows = serving.rows(f"SELECT id FROM message WHERE control_id LIKE '{control_ids}'")
    return [row[0] % MAX_WORKERS for row in rows]


def assert_history_is_whole(serving: Serving, accepted: set[str]) -> None:
    """Every accepted message made one version of PA1, the versions are consecutive, and one is current."""
    versions = serving.rows(
        "SELECT v.version, current, m.control_id, m.id FROM authorization_version v JOIN message m ON message_id = id"
        " WHERE key = 'PA1@ACME' ORDER BY v.version"
    )
    assert [row[0] for row in versions] == list(range(1, len(versions) + 1))
    assert [row[1] for row in versions] == [0] * (len(versions) - 1) + [1]
    assert [row[3] for row in versions] == sorted(row[3] for row in versions)  # ids grow in the order of the commits
    made_by = [row[2] for row in versions]
    assert len(set(made_by)) == len(made_by)
    assert accepted <= set(made_by)


def test_two_workers_make_one_history(shared: Serving) -> None:
    def hammer(number: int) -> list[str]:
        with Line(shared.port) as line:
            line.send(*(counted(f"C{number}-{each}", number * EACH + each + 1) for each in range(EACH)))
            line.send(request("SAME"))
            return [line.reply() for _ in range(EACH + 1)]

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        replies = list(pool.map(hammer, range(CONNECTIONS)))
    sent = {f"C{number}-{each}" for number in range(CONNECTIONS) for each in range(EACH)}
    assert replies == [[*(f"AA C{number}-{each}" for each in range(EACH)), "AA SAME"] for number in range(CONNECTIONS)]
    assert_history_is_whole(shared, sent)
    same = shared.rows("SELECT disposition, count(*) FROM message WHERE control_id = 'SAME' GROUP BY 1 ORDER BY 1")
    assert same == [("accepted", 1), ("duplicate", CONNECTIONS - 1)]
    took = workers_that_took(shared, "C%")
    assert (len(took), set(took)) == (CONNECTIONS * EACH, {0, 1})


def test_few_connections_are_shared_evenly(shared: Serving) -> None:
    with ExitStack() as stack:
        for number in range(4):
            line = stack.enter_context(Line(shared.port))
            assert line.ask(request(f"FEW{number}")) == f"AA FEW{number}"
    assert sorted(workers_that_took(shared, "FEW%")) == [0, 0, 1, 1]


def test_a_taken_port_stops_the_start(shared: Serving, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=f"can not listen on tcp:{shared.port}:.*: address already in use"):
        Serving(tmp_path, 2, listen=f"tcp:{shared.port}:interface=127.0.0.1")


def test_a_killed_worker_loses_nothing_that_was_answered(serve: Serve) -> None:
    serving = serve()
    victim = serving.workers()[0]
    connected, killed = Barrier(CONNECTIONS), Event()
    answered: set[str] = set()
    lost: dict[str, bytes] = {}

    def hammer(number: int) -> None:
        after = 0
        with Line(serving.port) as line:
            connected.wait()
            for each in count(1):
                control_id, raw = f"C{number}-{each}", counted(f"C{number}-{each}", number * 10_000 + each)
                try:
                    assert line.ask(raw) == f"AA {control_id}"
                except OSError:
                    lost[control_id] = raw
                    return
                answered.add(control_id)
                if number == 0 and each == EACH:
                    os.kill(victim, signal.SIGKILL)
                    killed.set()
                after += killed.is_set()
                if after == EACH:
                    return

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(hammer, range(CONNECTIONS)))
    assert len(lost) == CONNECTIONS // 2
    assert_history_is_whole(serving, answered)
    with Line(serving.port) as line:  # the same messages again: taken, or known
        for control_id, raw in lost.items():
            assert line.ask(raw) == f"AA {control_id}"
    assert_history_is_whole(serving, answered | lost.keys())
    assert serving.until_logged("worker.ended")["how"] == "signal 9"
    assert serving.until_logged("worker.ready")
    with Line(serving.port) as one, Line(serving.port) as other:
        assert one.ask(request("NEW1")) == "AA NEW1"
        assert other.ask(request("NEW2")) == "AA NEW2"
    assert sorted(workers_that_took(serving, "NEW%")) == [0, 1]


def test_an_orderly_stop_answers_what_it_stores_and_stores_what_it_answers(serve: Serve) -> None:
    serving = serve()
    assert serving.announced == f"listening on tcp:{serving.port}:interface=127.0.0.1 (channel referral-intake)\n"
    lines = [Line(serving.port) for _ in range(4)]
    for number, line in enumerate(lines):
        line.send(*(counted(f"C{number}-{each}", number * EACH + each + 1) for each in range(EACH)))
    replies = [line.reply() for line in lines]
    serving.process.terminate()
    for line in lines:
        replies += line.rest()
    assert serving.until_gone() == ""  # announced once, by one process
    assert serving.process.returncode == 0
    stored = serving.rows("SELECT 'AA ' || control_id FROM message WHERE disposition = 'accepted'")
    assert sorted(row[0] for row in stored) == sorted(replies)


def test_without_their_parent_the_workers_end(serve: Serve) -> None:
    serving = serve()
    with Line(serving.port) as line:
        assert line.ask(request("C1")) == "AA C1"
        serving.process.kill()
        with pytest.raises(ConnectionResetError, match="closed"):
            line.reply()
    serving.until_gone()  # returns when nobody holds the output open


def test_the_limit_of_connections_holds_over_all_workers(serve: Serve) -> None:
    serving = serve(connections="3")
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(serving.port)) for _ in range(3)]
        for number, line in enumerate(lines):
            assert line.ask(request(f"C{number}")) == f"AA C{number}"
        with Line(serving.port) as refused, pytest.raises(ConnectionResetError):
            refused.reply()
        assert serving.until_logged("connection.refused")["channel"] == "referral-intake"
        lines[1].close()
        with Line(serving.port) as again:
            assert again.ask(request("C4")) == "AA C4"


def test_a_worker_that_is_asked_to_end_is_replaced(serve: Serve) -> None:
    serving = serve()
    os.kill(serving.workers()[1], signal.SIGTERM)
    assert serving.until_logged("worker.ended")["how"] == "exit status 0"
    assert serving.until_logged("worker.ready")
    assert len(serving.workers()) == 2


def test_a_worker_that_can_not_start_stops_the_start(tmp_path: Path) -> None:
    program = "\n".join(
        [
            "import sys, pathlib",
            "from hl7auth import server",
            "from hl7auth.net import workers",
            "from tests.engine import channel",
            "workers._command = lambda number: [sys.executable, '-c', 'raise SystemExit(3)']",
            "server.run([channel(pathlib.Path())], 'sqlite:///engine.db', print, 2)",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert re.search(r"UserError: worker [01] ended before it was ready: exit status 3\n", done.stderr)
    assert done.stdout == ""
