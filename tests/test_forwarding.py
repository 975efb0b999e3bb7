"""The whole way with real processes: taken, stored, answered, and sent on, whatever ends in between."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine import request
from tests.outbox import Listener, ack
from tests.running import Running
from tests.serving import Line, Serving


def forwarding(listener: Listener, *, connections: int = 1) -> dict[str, str]:
    """Lines for the channel file."""
    mllp = f"{{connect: 'tcp:127.0.0.1:{listener.port}', connections: {connections}}}"
    return {"title": f"Forwarding\ndestinations:\n  payer: {{mllp: {mllp}}}\norder_by: channel"}


def until(listener: Listener, arrived: Callable[[set[str]], bool]) -> None:
    """Waits, as long as the listener is bounded, for what is to arrive."""
    assert listener.changed(lambda: arrived(set(listener.got))), listener.got


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_accepted_is_sent_on_in_the_order_of_the_commits(tmp_path: Path, workers: int) -> None:
    with Listener() as listener, Serving(tmp_path, workers, **forwarding(listener)) as engine:
        lines = [Line(engine.port) for _ in range(4)]
        for at in range(10):
            for number, line in enumerate(lines):
                assert line.ask(request(f"C{number}-{at}")) == f"AA C{number}-{at}"
        for line in lines:
            line.close()
        until(listener, lambda got: len(got) == 40)
        stored = engine.rows("SELECT control_id FROM message ORDER BY id")
        assert [(each,) for each in listener.got] == stored


def test_what_is_refused_is_not_sent_on(tmp_path: Path) -> None:
    with Listener() as listener, Serving(tmp_path, 1, **forwarding(listener)) as engine:
        with Line(engine.port) as line:
            assert line.ask(request("C1").replace(b"|P|2.5", b"|T|2.5")) == "AR C1"
            assert line.ask(request("C2")) == "AA C2"
        until(listener, lambda got: got == {"C2"})
        assert engine.rows("SELECT count(*) FROM delivery") == [(1,)]


def test_a_killed_engine_goes_on_where_it_was(tmp_path: Path) -> None:
    silent: list[Any] = [True]

    def react(n: int, control_id: str) -> bytes:
        return b"" if silent[0] and n > 5 else ack(control_id)

    with Listener(react) as listener:
        with Serving(tmp_path, 1, **forwarding(listener)) as engine:
            with Line(engine.port) as line:
                for at in range(12):
                    assert line.ask(request(f"C{at}")) == f"AA C{at}"
            until(listener, lambda got: len(got) == 6)
            engine.process.send_signal(signal.SIGKILL)
            engine.until_gone()
        silent[0] = False
        with Serving(tmp_path, 1, **forwarding(listener)):
            until(listener, lambda got: len(got) == 12)
    # the one without an answer, and perhaps one whose answer was not yet written down, came again
    assert list(dict.fromkeys(listener.got)) == [f"C{at}" for at in range(12)]
    assert len(listener.got) <= 14


def test_a_destination_that_becomes_another_is_counted_on(tmp_path: Path) -> None:
    with Listener() as listener:
        mllp = f"{{connect: 'tcp:127.0.0.1:{listener.port}'}}"
        with Running(tmp_path, f"destinations: {{payer: {{mllp: {mllp}}}}}") as engine, Line(engine.port) as line:

            def sent() -> int:
                (found,) = engine.call(lambda: engine.server._service.outgoing.figures)
                return int(found.acts["sent"])

            for at, after in enumerate(("{first_seconds: 1}", "{first_seconds: 2}"), 1):
                assert line.ask(request(f"C{at}")) == f"AA C{at}"
                while sent() != at:
                    until(listener, lambda got: len(got) >= 1)
                engine.become(f"destinations: {{payer: {{mllp: {mllp}, retry: {after}}}}}")
                assert sent() == at
