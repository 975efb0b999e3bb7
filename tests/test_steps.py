"""Steps the whole way with real processes and sockets: what comes in, what goes out, and what a slow step stops."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.engine import request
from tests.outbox import SECONDS, Listener
from tests.serving import Line, Serving

ODD = (
    b"MSH|^~\\&|EHR|NORTH|PAYER|SOUTH|20260301101500||RQA^I08|C1|P|2.5|||||||\r"
    b"PRD|RP|Moss^Ada^^^|||||||||||\r"
    b"PID|||77001^^^||Qu\xefll^I\\T\\vo^^|~|19800102||||||||||||||||||||||||||||||||||||||||||9||\r"
    b"PR1|1||99213^Visit^C4||20260401||\r"
    b"AUT|GOLD\\H\\|ACME|Acme \\X0D\\Health|||N1||3|||||||||||||||||||||||||||||||||||||||x|\r"
    b"ZZZ|\\.br\\~~^^|&&|  \r"
)
"""Trailing separators, fields that no version has, escapes, bytes beyond ASCII without MSH-18."""


SITE = """
import time
from pathlib import Path


def tidy(message):
    control = str(message.segment("MSH")[10])
    if control.startswith("SLOW"):
        Path(__file__).with_name("began").touch()
        time.sleep(60)
    if control.startswith("BAD"):
        raise ValueError(control)
    message.assign_field("U", "PID", 1, 8)
"""


def served(steps: str, *destinations: str) -> dict[str, str]:
    """Lines for the channel file: its steps, and its destinations with theirs. One version, to start sooner."""
    lines = ["Shaping", f"steps: [{steps}]", "destinations:", *(f"  {each}" for each in destinations)]
    return {"title": "\n".join(lines), "errors": "accept", "processing_ids": "[P]\n  versions: ['2.5']"}


def files(folder: Path, count: int) -> list[bytes]:
    """The files that were dropped, when there are so many."""
    deadline = time.monotonic() + SECONDS
    while len(found := sorted(folder.glob("*.hl7"))) < count:
        assert time.monotonic() < deadline, "the files did not come"
        time.sleep(0.01)
    return [path.read_bytes() for path in found]


def rows(engine: Serving, sql: str, count: int) -> list[tuple[Any, ...]]:
    """What a query finds, when there are so many rows."""
    deadline = time.monotonic() + SECONDS
    while len(found := engine.rows(sql)) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    return found


def test_p75_bytes_that_no_step_names_stay_as_they_came(tmp_path: Path) -> None:
    with Listener() as listener:
        lines = served(
            "{set: {MSH-6: {text: EAST}}}, {translate: {field: AUT-2, table: {ACME: NOVA}}}",
            "plain: {file: {folder: plain}}",
            "dropped: {file: {folder: dropped}, steps: [{set: {PID-8: U}}, {remove: {segment: ZZZ}}]}",
            f"payer: {{mllp: {{connect: 'tcp:127.0.0.1:{listener.port}'}},"
            " steps: [{copy: {from: PID-3.1, to: PID-2}}]}",
        )
        with Serving(tmp_path, 1, **lines) as engine, Line(engine.port) as line:
            assert line.ask(ODD) == "AA C1"
            assert listener.changed(lambda: listener.got == ["C1"])
            (plain,), (dropped,) = (files(tmp_path / name, 1) for name in ("plain", "dropped"))
            ((raw, shaped),) = engine.rows("SELECT raw, shaped FROM message")
    common = ODD.replace(b"|SOUTH|", b"|EAST|").replace(b"|ACME|", b"|NOVA|")
    assert raw == ODD
    assert shaped == plain == common
    assert listener.payloads == [common.replace(b"PID|||77001", b"PID||77001|77001")]
    assert dropped == common.replace(b"|19800102||||", b"|19800102|U|||").partition(b"ZZZ")[0]


def test_filters_failures_and_unmapped_values(tmp_path: Path) -> None:
    (tmp_path / "channels").mkdir()
    (tmp_path / "channels" / "payors.csv").write_text("from,to\nACME,NOVA\n", encoding="utf-8")
    (tmp_path / "channels" / "site_steps.py").write_text(SITE, encoding="utf-8")
    lines = served(
        "{drop: PID-8 = 'U'}, {translate: {field: AUT-2, table: payors.csv}}, {python: 'site_steps:tidy'}",
        "all: {file: {folder: all}}",
        "some: {file: {folder: some}, steps: [{match: PID-7 = '19800102'}, "
        "{translate: {field: AUT-1, table: {GOLD: G}, unmapped: refuse}}]}",
    )
    with Serving(tmp_path, 2, **lines) as engine, Line(engine.port) as line:
        assert line.ask(request("C1").replace(b"19800102", b"19800102|U")) == "AA C1"
        assert line.ask(request("C2")) == "AA C2"
        assert line.ask(request("C3").replace(b"19800102", b"19800103")) == "AA C3"
        assert line.ask(request("C4").replace(b"|GOLD|", b"|LEAD|").replace(b"|ACME|", b"|MOON|")) == "AA C4"
        assert all(b"|19800102|U" in each or b"|19800103|U" in each for each in files(tmp_path / "all", 3))
        some = "destination LIKE '%/some' AND part = 0"
        settled = f"SELECT state, reason FROM delivery WHERE settled_at > 0 AND {some} ORDER BY id"
        assert rows(engine, settled, 3) == [
            ("sent", "written"),
            ("skipped", "filtered: step 1: dropped, for not: PID-7 = '19800102'"),
            ("parked", "unshaped: the table (in step 2) does not have the value (AUT-1.1)"),
        ]
        assert engine.rows("SELECT disposition FROM message ORDER BY id") == [
            ("filtered",), ("accepted",), ("accepted",), ("accepted",),
        ]  # fmt: skip
        last = engine.rows("SELECT max(id) FROM message")[0][0]
        assert engine.rows("SELECT place, code_table, value, count, message_id FROM unmapped_value ORDER BY id") == [
            ("referral-intake", "payors.csv", "MOON", 1, last),
            ("referral-intake/some", "(in step 2)", "LEAD", 1, last),
        ]


def test_python_steps_stop_nobody_else_and_keep_the_order_of_a_connection(tmp_path: Path) -> None:
    folder = tmp_path / "channels"
    folder.mkdir()
    (folder / "site_steps.py").write_text(SITE, encoding="utf-8")
    (folder / "other.yaml").write_text(
        "channel: other\nlisten: tcp:0:interface=127.0.0.1\naccepts: {versions: ['2.5']}\n", encoding="utf-8"
    )
    lines = served("{python: 'site_steps:tidy', seconds: 1}", "all: {file: {folder: all}}")
    with Serving(tmp_path, 1, **lines) as engine:
        ports = {"other": engine.port, "shaped": int(engine.said().split(":")[1])}
        with Line(ports["shaped"]) as first, Line(ports["shaped"]) as second, Line(ports["other"]) as other:
            first.send(request("C1"), request("SLOW"), request("BAD"), b"PID|no message\r", request("C2"))
            while not (folder / "began").exists():
                time.sleep(0.01)
            second.send(request("D1"))
            for at in range(5):  # while the step of the other channel hangs
                assert other.ask(request(f"E{at}")) == f"AA E{at}"
            assert [first.reply() for _ in range(5)] == ["AA C1", "AE SLOW", "AE BAD", "AR ", "AA C2"]
            assert second.reply() == "AA D1"
        assert all(b"|19800102|U" in each for each in files(tmp_path / "all", 3))
        texts = [text for (text,) in engine.rows("SELECT reply FROM message WHERE code = 'AE' ORDER BY id")]
        assert b"site_steps:tidy took longer than 1 s" in texts[0]
        assert b"site_steps:tidy raised ValueError at site_steps.py:12" in texts[1]


def test_python_steps_of_a_destination(tmp_path: Path) -> None:
    folder = tmp_path / "channels"
    folder.mkdir()
    (folder / "site_steps.py").write_text(SITE, encoding="utf-8")
    with Listener() as listener:
        mllp = f"mllp: {{connect: 'tcp:127.0.0.1:{listener.port}'}}"
        lines = served(
            "",
            f"payer: {{{mllp}, order_by: none, steps: [{{python: 'site_steps:tidy', seconds: 0.5}}]}}",
            "all: {file: {folder: all}}",
        )
        with Serving(tmp_path, 1, **lines) as engine, Line(engine.port) as line:
            names = ["C1", "SLOW", "BAD", "C2", "C3"]
            line.send(*map(request, names))
            assert [line.reply() for _ in names] == [f"AA {each}" for each in names]
            assert len(files(tmp_path / "all", 5)) == 5
            assert listener.changed(lambda: set(listener.got) == {"C1", "C2", "C3"})
            states = (
                "SELECT m.control_id, d.reason FROM delivery d JOIN message m ON m.id = d.message_id"
                " WHERE d.state = 'parked' ORDER BY m.id"
            )
            assert rows(engine, states, 2) == [
                ("SLOW", "unshaped: site_steps:tidy took longer than 0.5 s"),
                ("BAD", "unshaped: site_steps:tidy raised ValueError at site_steps.py:12"),
            ]
    assert all(b"|19800102|U" in each for each in listener.payloads)


def test_an_engine_ends_in_order_while_a_step_hangs(tmp_path: Path) -> None:
    folder = tmp_path / "channels"
    folder.mkdir()
    (folder / "site_steps.py").write_text(SITE, encoding="utf-8")
    with Serving(
        tmp_path, 1, **served("{python: 'site_steps:tidy', seconds: 60}", "all: {file: {folder: all}}")
    ) as engine:
        with Line(engine.port) as line:
            line.send(request("SLOW"))
            while not (folder / "began").exists():
                time.sleep(0.01)
        engine.process.terminate()
        engine.until_gone()
        assert engine.process.returncode == 0
    with closing(sqlite3.connect(tmp_path / "engine.db")) as database:
        assert list(database.execute("SELECT count(*) FROM message")) == [(0,)]


def test_what_can_not_work_stops_the_start(tmp_path: Path) -> None:
    for steps, said in (
        ("{python: 'site_steps:tidy'}", "needs the module site_steps, which is not there"),
        ("{translate: {field: AUT-2, table: payors.csv}}", "payors.csv: No such file or directory"),
    ):
        with pytest.raises(AssertionError, match=said):
            Serving(tmp_path, 1, **served(steps, "all: {file: {folder: all}}"))
