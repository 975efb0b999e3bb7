"""The ways out: HL7 over HTTP, a folder, and listeners that others wrote (python-hl7, hl7apy)."""

import asyncio
import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hl7.mllp import start_hl7_server  # noqa: TID251 - as the other side
from hl7apy.mllp import AbstractHandler, MLLPServer

from hl7auth.flow.destination import ER7
from hl7auth.net.http_post import judged
from hl7auth.wire.batch import split
from tests.outbox import Outbox, raw


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path)
    yield outbox
    outbox.close()


def plain_ack(control_id: str, code: str = "AA") -> bytes:
    return f"MSH|^~\\&|PAYER|SOUTH|EHR|NORTH|2026||ACK|9|P|2.5\rMSA|{code}|{control_id}\r".encode()


class PythonHl7:
    """python-hl7's asyncio server, in a thread."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> "PythonHl7":
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = await start_hl7_server(self._talk, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        async with server:
            await self._end.wait()

    async def _talk(self, reader: Any, writer: Any) -> None:
        try:
            while True:
                message = await reader.readmessage()
                self.got.append(str(message.segment("MSH")[10]))
                writer.writemessage(message.create_ack())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def test_python_hl7_takes_every_message_in_order(outbox: Outbox) -> None:
    outbox.put(*[("lane", raw(f"C{at}")) for at in range(30)])
    with PythonHl7() as server:
        outbox.run(outbox.all_in("sent"), {"mllp": {"connect": f"tcp:127.0.0.1:{server.port}"}})
    assert server.got == [f"C{at}" for at in range(30)]


class _Handler(AbstractHandler):  # type: ignore[misc]
    def __init__(self, incoming: str, got: list[str]) -> None:
        super().__init__(incoming)
        self._got = got

    def reply(self) -> str:
        control_id = self.incoming_message.split("|")[9]
        self._got.append(control_id)
        return f"\x0b{plain_ack(control_id).decode()}\x1c\r"


def test_hl7apy_hangs_up_after_each_answer_and_gets_every_message_in_order(outbox: Outbox) -> None:
    outbox.put(*[("lane", raw(f"C{at}")) for at in range(20)])
    got: list[str] = []
    server = MLLPServer("127.0.0.1", 0, {"RQA^I08": (_Handler, got)})
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    mllp = {"connect": f"tcp:127.0.0.1:{server.server_address[1]}", "keep_open": False}
    try:
        outbox.run(outbox.all_in("sent"), {"mllp": mllp})
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()
    assert got == [f"C{at}" for at in range(20)]
    assert outbox.rows("SELECT count(*) FROM delivery_event") == [(0,)]


class Web:
    """An HTTP server that answers by control id with status and body, and records what it was sent."""

    def __init__(self, answers: dict[str, list[tuple[int, bytes]]]) -> None:
        self.got: list[tuple[str, str, str]] = []
        got = self.got

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                control_id = body.split(b"|")[9].decode()
                got.append((control_id, self.path, self.headers["Content-Type"]))
                waiting = answers.get(control_id, [])
                status, content = waiting.pop(0) if waiting else (200, plain_ack(control_id))
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hl7?to=payer"

    def __enter__(self) -> "Web":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(20)
        self._server.server_close()


def test_hl7_over_http_is_answered_by_msa_or_by_the_status(outbox: Outbox) -> None:
    outbox.put(*[("lane", raw(f"C{at}")) for at in range(4)], ("other", raw("D0")))
    answers = {"C1": [(503, b"later"), (429, b"")], "C2": [(204, b"")], "D0": [(200, plain_ack("D0", "AE"))]}
    with Web(answers) as web:
        outbox.run(outbox.all_in("sent", "parked"), {"http": {"url": web.url}, "retry": {"first_seconds": 0.02}})
    assert [each[0] for each in web.got if each[0] != "D0"] == ["C0", "C1", "C1", "C1", "C2", "C3"]
    assert {each[1:] for each in web.got} == {("/hl7?to=payer", ER7)}
    assert outbox.rows("SELECT state, reason FROM delivery") == [
        ("sent", "AA"), ("sent", "AA"), ("sent", "HTTP 204"), ("sent", "AA"), ("parked", "AE"),
    ]  # fmt: skip


def test_an_address_that_is_refused_stops_the_destination(outbox: Outbox) -> None:
    outbox.put(("a", raw("C0")), ("b", raw("C1")))
    with Web({"C0": [(404, b"")]}) as web:
        outbox.run(
            lambda: "parked" in outbox.states() and "in_flight" not in outbox.states(), {"http": {"url": web.url}}
        )
    assert [each[0] for each in web.got] == ["C0"]
    assert outbox.states() == ["parked", "queued"]


def test_nobody_at_the_address_is_tried_again(outbox: Outbox) -> None:
    outbox.put(("a", raw("C0")))
    with Web({}) as web:
        url = web.url
    retry = {"first_seconds": 0.01, "attempts": 2}
    outbox.run(outbox.all_in("parked"), {"http": {"url": url}, "retry": retry})
    ((reason,),) = outbox.rows("SELECT reason FROM delivery")
    assert reason == "closed: ConnectionRefusedError; given up after 2 attempts"


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, plain_ack("C1"), "AA"),
        (500, plain_ack("C1"), "HTTP 500"),
        (400, plain_ack("C1", "AE"), "AE"),
        (200, plain_ack("C2"), "unreadable"),
        (202, b"thanks", "HTTP 202"),
    ],
)
def test_what_a_response_says(status: int, body: bytes, code: str) -> None:
    assert judged(status, body, "C1").code == code


def test_each_message_is_a_file_with_the_received_bytes(outbox: Outbox, tmp_path: Path) -> None:
    odd = raw("C/../9").replace(b"Quill", b"Qu\xefll")
    outbox.put(("lane", raw("C0")), ("lane", odd))
    folder = tmp_path / "out" / "deep"
    outbox.run(outbox.all_in("sent"), {"file": {"folder": str(folder), "name": "{event}-{control_id}-{id:>04}.hl7"}})
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert files == {"RQA_I08-C0-0001.hl7": raw("C0"), "RQA_I08-C_.._9-0002.hl7": odd}


def test_what_waits_becomes_one_batch_file(outbox: Outbox, tmp_path: Path) -> None:
    outbox.put(*[(f"lane{at}", raw(f"C{at}")) for at in range(5)])
    folder = tmp_path / "out"
    outbox.run(outbox.all_in("sent"), {"file": {"folder": str(folder), "batch": 3}})
    files = [path.read_bytes() for path in sorted(folder.iterdir())]
    found = [split(content) for content in files]
    assert [len(each.messages) for each in found] == [3, 2]
    assert [message for each in found for message in each.messages] == [raw(f"C{at}") for at in range(5)]
    assert re.match(rb"FHS\|\^~\\&\|\|\|\|\|\d{14}\+0000\|\|\|\|1\rBHS\|", files[0])
    assert files[1].endswith(b"BTS|2\rFTS|1\r")


def test_a_folder_that_can_not_be_written_is_tried_again_and_leaves_no_draft(outbox: Outbox, tmp_path: Path) -> None:
    outbox.put(("lane", raw("C0")))
    folder = tmp_path / "out"
    (folder / "1.hl7").mkdir(parents=True)  # where the file would go
    retry = {"first_seconds": 0.01, "attempts": 2, "then": "dead"}
    outbox.run(outbox.all_in("dead"), {"file": {"folder": str(folder)}, "retry": retry})
    assert outbox.rows("SELECT reason FROM delivery") == [("failed: is a directory; given up after 2 attempts",)]
    assert [path.name for path in folder.iterdir()] == ["1.hl7"]


def test_a_folder_that_hangs_keeps_nobody_from_ending() -> None:
    """A thread in the kernel can not be stopped: the process has to end without it."""
    program = """
import sys, threading
from twisted.internet.epollreactor import EPollReactor
from hl7auth.net.blocking import Threads
begun = threading.Event()
class Hangs:
    def send(self, parcels):
        begun.set()
        threading.Event().wait()
    def close(self): pass
threads = Threads(EPollReactor(), "hung", [Hangs()])
threads.start(lambda: None)
threads.send([None], print)
begun.wait()
threads.stop()
print(threads.ended, threads.room)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout == "True 0\n"
