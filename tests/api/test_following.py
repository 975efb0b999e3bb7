"""The process that has balances follow what comes in, beside the API of an engine."""

import os
import signal
from pathlib import Path

from hl7auth.api.following import Rounds
from hl7auth.api.storage import Storage
from tests.api.desk import Desk
from tests.engine import request
from tests.serving import Line, Serving

BALANCES = "SELECT count(*) FROM balance WHERE line = ''"


def _process(engine: Serving) -> int:
    (found,) = [each for each in engine.workers() if b"following" in Path(f"/proc/{each}/cmdline").read_bytes()]
    return found


def test_balances_follow_though_nobody_asks(tmp_path: Path) -> None:
    with Serving(tmp_path, 1, options=["--api", "0"]) as engine, Line(engine.port) as line:
        engine.said()
        assert line.ask(request("R1")) == "AA R1"
        engine.until_rows(BALANCES, 1)
        os.kill(_process(engine), signal.SIGKILL)
        assert engine.until_logged("following.ended")["status"] is None
        assert line.ask(request("R2")) == "AA R2"
        engine.until_rows(BALANCES, 2)


def test_a_round_is_over_when_nothing_is_left(desk: Desk) -> None:
    rounds = Rounds(Storage(desk.engine), lambda: desk.time)
    desk.grant("PA1")
    assert rounds.round()
    with desk.engine.connect() as connection:
        assert connection.exec_driver_sql(BALANCES).scalar() == 1
    assert rounds.round()
