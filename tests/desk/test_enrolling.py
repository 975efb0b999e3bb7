"""Enrollment of requests over a real store, asked of a function, of an HTTP server, and of python-hl7's MLLP server."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import hl7
import pytest
from hl7.mllp import HL7StreamReader, HL7StreamWriter, start_hl7_server  # noqa: TID251 - other people's software

from hl7auth.desk.enrolling import Enrolling
from hl7auth.desk.life import Reason
from hl7auth.desk.process import Rounds
from hl7auth.domain.process import Forbidden, Missing, Process
from hl7auth.flow.channel import Channel
from hl7auth.flow.enrollment import Enrollment
from hl7auth.steps_runner import StepProcess
from tests.desk.test_life import ASKED, KEY, At
from tests.messages import shipped_channel
from tests.store.stored import HOUR

FATAL = "AUT-FL-ENRO-001: No enrollment data found and enrollment callout is disabled"


class Asked(At):
    """A desk whose channel asks for enrollment, and a request."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        shipped = shipped_channel()
        file = shipped.file.model_copy(update={"enrollment": Enrollment.model_validate(settings)})
        super().__init__(folder, Channel(file=file, path=folder / "channel.yaml"))
        self.folder = folder
        self.store.send(ASKED)
        channels = {self.store.channel.name: self.store.channel}
        ids = iter(range(9_000, 10_000))
        self.enrolling = Enrolling(self.store.engine, channels, lambda: next(ids), lambda: self.store.time)

    def submit(self) -> Process:
        return self.enrolling.submit(KEY, "reviewer")

    def again(self) -> Process:
        """The request is decided, taken up again and submitted anew."""
        self.desk.deny(KEY, "reviewer", Reason("X", "for now"))
        self.desk.unfinalize(KEY, "reviewer", "look again")
        return self.submit()

    def told(self) -> dict[str, Any]:
        return self.desk.show(KEY)


FUNCTION = """
import os, time
def answer(asked):
    with open(os.path.join(os.path.dirname(__file__), "asked"), "a") as log:
        log.write(asked["member"] + " " + asked["payor"] + "\\n")
    print("this is no answer")
    how = open(os.path.join(os.path.dirname(__file__), "how")).read()
    if how == "raises":
        raise ValueError(asked["member"])
    if how == "hangs":
        time.sleep(60)
    return {"coverage": [how]} if how != "nobody" else None
"""


def by_function(folder: Path, how: str = "gold", **more: Any) -> Asked:
    (folder / "eligible.py").write_text(FUNCTION)
    (folder / "how").write_text(how)
    return Asked(folder, {"python": {"function": "eligible:answer", "seconds": 5}, **more})


def times_asked(folder: Path) -> int:
    return len((folder / "asked").read_text().splitlines()) if (folder / "asked").exists() else 0


def test_present_and_kept_is_used_whatever_its_age(tmp_path: Path) -> None:
    at = by_function(tmp_path)
    assert at.submit() is Process.IN_PROCESS
    keeping = at.store.channel.file.model_copy(update={"enrollment": Enrollment(keep=True, expires_hours=1)})
    channels = {at.store.channel.name: Channel(file=keeping, path=at.store.channel.path)}
    at.store.time += 1_000 * HOUR
    at.enrolling = Enrolling(at.store.engine, channels, lambda: 9_900, lambda: at.store.time)
    assert at.again() is Process.IN_PROCESS
    assert times_asked(tmp_path) == 1
    assert at.told()["enrollment"]["data"] == {"coverage": ["gold"]}
    at.store.close()


def test_present_and_not_expired_is_used_again(tmp_path: Path) -> None:
    at = by_function(tmp_path, expires_hours=2)
    at.submit()
    at.store.time += 2 * HOUR - 1
    assert at.again() is Process.IN_PROCESS
    assert times_asked(tmp_path) == 1
    at.store.close()


def test_present_and_expired_is_asked_for_anew(tmp_path: Path) -> None:
    at = by_function(tmp_path, expires_hours=2)
    at.submit()
    (tmp_path / "how").write_text("silver")
    at.store.time += 2 * HOUR
    assert at.again() is Process.IN_PROCESS
    assert times_asked(tmp_path) == 2
    assert at.told()["enrollment"]["data"] == {"coverage": ["silver"]}
    at.store.close()


def test_absent_and_kept_is_the_fatal_message_and_a_denial(tmp_path: Path) -> None:
    at = Asked(tmp_path, {"keep": True})
    assert at.submit() is Process.DENIED
    (version,) = at.told()["versions"]
    (message,) = version["messages"]
    assert (message["severity"], f"{message['code']}: {message['text']}") == ("fatal", FATAL)
    assert version["history"][-1]["reason"] == FATAL  # which is AUT-17 where the version has it
    (answer,) = at.answers()
    assert (answer.header.event, answer.first("AUT").value(9)) == ("RPA^I08", "0")
    at.desk.unfinalize(KEY, "reviewer", "they are known now")
    assert at.submit() is Process.DENIED  # what the system said is said anew, once
    assert [len(each["messages"]) for each in at.told()["versions"]] == [1, 1]
    at.store.close()


def test_absent_is_asked_for(tmp_path: Path) -> None:
    at = by_function(tmp_path)
    assert at.submit() is Process.IN_PROCESS
    told = at.told()
    assert (tmp_path / "asked").read_text() == f"{told['member']} {told['payor']}\n"
    assert "suspended" not in at.told()
    (row,) = at.store.rows("SELECT action, who FROM audit WHERE action = 'request.enrollment'")
    assert row == ("request.enrollment", "reviewer")
    at.store.close()


def test_who_is_not_known_there_is_known_to_be_not_known(tmp_path: Path) -> None:
    at = by_function(tmp_path, "nobody")
    assert at.submit() is Process.IN_PROCESS
    assert at.told()["enrollment"]["data"] is None
    at.store.close()


@pytest.mark.parametrize("how", ["raises", "hangs"])
def test_a_technical_failure_suspends_and_is_tried_again_and_denies_nothing(tmp_path: Path, how: str) -> None:
    retry = {"first_seconds": 60, "factor": 2, "most_seconds": 100}
    at = by_function(tmp_path, how, retry=retry)
    call = at.store.channel.file.enrollment
    assert call is not None
    assert call.python is not None
    object.__setattr__(call.python, "seconds", 0.5 if how == "hangs" else 5)
    assert at.submit() is Process.IN_PROCESS
    told = at.told()
    assert told["suspended"]["tries"] == 1
    assert "CH" not in told["suspended"]["reason"]  # nothing of the patient
    assert [each["event"] for each in told["versions"][0]["history"]] == ["create", "submit", "technical_error"]
    assert at.answers() == []
    assert at.enrolling.due() == []  # not yet
    at.store.time += 60 * 1_000_000
    (mine,) = at.enrolling.due()
    assert at.enrolling.due() == []  # somebody has it
    at.enrolling.go_on(mine, "system")
    assert at.told()["suspended"]["tries"] == 2
    (tmp_path / "how").write_text("gold")
    at.store.time += 100 * 1_000_000
    (key,) = at.enrolling.due()
    assert at.enrolling.go_on(key, "system") is Process.IN_PROCESS
    assert "suspended" not in at.told()
    at.store.close()


def test_the_process_beside_the_engine_asks_again_also_where_no_rules_decide(tmp_path: Path) -> None:
    at = by_function(tmp_path, "raises", retry={"first_seconds": 60})
    at.submit()
    channels, ids = {at.store.channel.name: at.store.channel}, iter(range(20_000, 21_000))
    with StepProcess() as steps:
        rounds = Rounds(at.store.engine, channels, steps, lambda: at.store.time, lambda: next(ids))
        assert rounds.round() == 0  # not yet
        (tmp_path / "how").write_text("gold")
        at.store.time += 60 * 1_000_000
        assert rounds.round() == 1
        assert rounds.round() == 0
    assert at.told()["enrollment"]["data"] == {"coverage": ["gold"]}
    assert "suspended" not in at.told()
    at.store.close()


def test_what_nobody_has_submitted_has_no_enrollment_to_ask_for(tmp_path: Path) -> None:
    at = by_function(tmp_path)
    with pytest.raises(Missing, match=f"nobody has submitted '{KEY}' yet"):
        at.enrolling.go_on(KEY, "reviewer")
    assert times_asked(tmp_path) == 0
    at.store.close()


def test_a_request_that_was_taken_back_meanwhile_stays_so(tmp_path: Path) -> None:
    at = by_function(tmp_path, "raises")
    at.submit()
    at.desk.deny(KEY, "reviewer", Reason("X", "no"))
    assert at.enrolling.go_on(KEY, "system") is Process.DENIED
    assert times_asked(tmp_path) == 1
    at.store.time += 3_600 * 1_000_000
    assert at.enrolling.due() == []
    with pytest.raises(Forbidden):
        at.submit()
    at.store.close()


class Answering(BaseHTTPRequestHandler):
    """Answers as the path says."""

    seen: list[dict[str, Any]] = []

    def do_POST(self) -> None:
        self.seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        status, body = {
            "/gold": (200, b'{"coverage": ["gold"]}'),
            "/nobody": (404, b""),
            "/broken": (500, b""),
            "/words": (200, b"hello"),
            "/list": (200, b"[]"),
            "/long": (200, b" " * (1024 * 1024 + 1)),
            "/away": (302, b""),
        }[self.path]
        self.send_response(status)
        self.send_header("Location", "/gold")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def http() -> Iterator[str]:
    Answering.seen = []
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["gold", "nobody", "broken", "words", "list", "long", "away"])
def test_an_http_server_is_asked(tmp_path: Path, http: str, path: str) -> None:
    at = Asked(tmp_path, {"http": {"url": f"{http}/{path}", "headers": {"Authorization": "Bearer x"}}})
    assert at.submit() is Process.IN_PROCESS
    told = at.told()
    assert len(Answering.seen) == 1
    assert Answering.seen[0]["payor"] == told["payor"]
    if path in ("gold", "nobody"):
        assert told["enrollment"]["data"] == ({"coverage": ["gold"]} if path == "gold" else None)
    else:
        assert "enrollment" not in told
        assert told["suspended"]["reason"]
    at.store.close()


def test_a_server_that_is_not_there_is_a_technical_failure(tmp_path: Path) -> None:
    at = Asked(tmp_path, {"http": {"url": "http://127.0.0.1:9/", "seconds": 1}})
    at.submit()
    assert at.told()["suspended"]["reason"] == "the server could not be asked: ConnectionRefusedError"
    at.store.close()


@contextmanager
def listener(code: str, *insurances: str) -> Iterator[tuple[int, list[Any]]]:
    """python-hl7's MLLP server, which answers an RQI with an RPI."""
    loop, seen, ready = asyncio.new_event_loop(), list[Any](), threading.Event()
    port = [0]

    async def one(reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
        try:
            asked = await reader.readmessage()
        except asyncio.IncompleteReadError:
            return
        seen.append(asked)
        header = "MSH|^~\\&|PAYER||HL7AUTH||20260301||RPI^I01^RPI_I01|R1|P|2.5.1"
        lines = [header, f"MSA|{code}|{asked['MSH.10']}", *insurances]
        writer.writemessage(hl7.parse("\r".join(lines) + "\r"))
        await writer.drain()
        writer.close()

    async def serve() -> None:
        server = await start_hl7_server(one, host="127.0.0.1", port=0)
        port[0] = server.sockets[0].getsockname()[1]
        ready.set()
        async with server:
            await asyncio.get_running_loop().create_future()

    thread = threading.Thread(target=lambda: loop.run_until_complete(_until_cancelled(serve())))
    thread.start()
    ready.wait(10)
    try:
        yield port[0], seen
    finally:
        loop.call_soon_threadsafe(lambda: [each.cancel() for each in asyncio.all_tasks(loop)])
        thread.join()
        loop.close()


async def _until_cancelled(work: Any) -> None:
    try:
        await work
    except asyncio.CancelledError:
        return


def test_a_listener_is_asked_by_rqi_i01(tmp_path: Path) -> None:
    insurance = "IN1|1|GOLD^Gold plan|FERNGATE|Ferngate Health||||||||20260101|20261231" + "|" * 23 + "POL7"
    with listener("AA", insurance) as (port, seen):
        at = Asked(tmp_path, {"hl7": {"connect": f"tcp:127.0.0.1:{port}", "receiving_application": "PAYER"}})
        assert at.submit() is Process.IN_PROCESS
    told = at.told()
    assert told["enrollment"]["data"] == {
        "coverage": [{
            "plan": "GOLD", "payor": "FERNGATE", "name": "Ferngate Health", "from": "2026-01-01",
            "until": "2026-12-31", "policy": "POL7",
        }]
    }  # fmt: skip
    (asked,) = seen
    assert str(asked.segment("MSH")[9]) == "RQI^I01"
    assert str(asked["PID.3"]).split("^")[0] == told["member"]
    assert str(asked["IN1.3"]) == told["payor"]
    at.store.close()


def test_a_listener_that_refuses_is_a_technical_failure(tmp_path: Path) -> None:
    with listener("AE") as (port, _):
        at = Asked(tmp_path, {"hl7": {"connect": f"tcp:127.0.0.1:{port}"}})
        assert at.submit() is Process.IN_PROCESS
    assert at.told()["suspended"]["reason"] == f"tcp:127.0.0.1:{port} answered AE"
    at.store.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"python": {"function": "a:b"}, "http": {"url": "http://x.example/"}},
        {"python": {"function": "no function"}},
        {"http": {"url": "ftp://x.example/"}},
        {"http": {"url": "http://x.example/", "headers": {"A": "b\r\nC: d"}}},
        {"hl7": {"connect": "tcp:2575"}},
        {"hl7": {"connect": "tcp:x.example:99999"}},
    ],
)
def test_settings_that_can_not_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"one of|is no|a header"):
        Enrollment.model_validate(wrong)
