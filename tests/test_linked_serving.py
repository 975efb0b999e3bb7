"""Sequence numbers and continued messages in real processes: two connections, two workers, and a restart between."""

from pathlib import Path

from tests.flow.test_continuation import parts
from tests.flow.test_sequence import sent
from tests.serving import Line, Serving


def test_numbers_and_parts_hold_over_connections_workers_and_a_restart(tmp_path: Path) -> None:
    agreed = {"sequence": "check", "continuation": "join"}
    first, second, third = parts(modes=("AL", "AL"))
    with Serving(tmp_path, 2, **agreed) as engine, Line(engine.port) as one, Line(engine.port) as other:
        assert one.ask(sent("1")) == "AA C1"
        assert other.ask(sent("2")) == "AA C2"
        assert one.ask(sent("4")) == "AR C4"
        assert one.ask(first) == "CA C1"
        assert other.ask(second) == "CA C2"
    with Serving(tmp_path, 1, **agreed) as engine, Line(engine.port) as one:
        assert one.ask(sent("4")) == "AR C4"
        assert one.ask(sent("3")) == "AA C3"
        assert one.ask(third) == "CA C3"
        assert one.reply() == "AA C1"
        assert engine.rows("SELECT last FROM sequence") == [(3,)]
        assert engine.rows("SELECT state FROM continuation") == [("joined",)]
