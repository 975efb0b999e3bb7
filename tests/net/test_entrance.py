"""Who may connect, over real sockets: networks, load balancers, and those who are neither."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from hl7auth.flow.figures import Ending
from hl7auth.net import refusals
from hl7auth.net.board import Board
from hl7auth.net.refusals import Refusals
from tests.engine import message, msh, request
from tests.running import Running
from tests.serving import Line, Serving
from tests.wire.test_proxy_header import TCP4, v2

BALANCED = "accepts: {load_balancers: [127.0.0.1], networks: [192.0.2.0/24]}\n"
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 2575\r\n"


class Start:
    """Starts servers in the folder of a test."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack

    def __call__(self, more: str, **named: Any) -> Running:
        return self._stack.enter_context(Running(self._folder, more, **named))

    def line(self, server: Running) -> Line:
        return self._stack.enter_context(Line(server.port))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:
        yield Start(tmp_path, stack)


def ended(line: Line) -> bool:
    try:
        return line.socket.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_connection_from_a_listed_network_is_served(start: Start) -> None:
    server = start("accepts: {networks: [10.0.0.0/8, 127.0.0.0/8]}\n")
    assert start.line(server).ask(request("C1")) == "AA C1"
    assert server.refused() == []


def test_a_connection_from_elsewhere_is_closed_at_once_and_a_flood_of_them_fills_no_log(start: Start) -> None:
    server = start("accepts: {networks: [10.0.0.0/8]}\n")
    for _ in range(30):
        assert ended(start.line(server))
    assert server.refused() == [("network", "127.0.0.1")]
    assert server.ended(Ending.NETWORK) == 30


def test_an_address_of_ipv4_on_a_socket_for_both(start: Start) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    head = "channel: north\nlisten: 'tcp6:0:interface=\\:\\:'\n"
    server = start("accepts: {networks: [127.0.0.1]}\n", head=head)
    assert start.line(server).ask(request("C1")) == "AA C1"


@pytest.mark.parametrize("header", [V1, v2(0x21, 0x11, TCP4)])
def test_the_client_behind_a_load_balancer_is_the_peer(start: Start, header: bytes) -> None:
    server = start(BALANCED)
    line = start.line(server)
    for at in range(len(header)):
        line.socket.sendall(header[at : at + 1])
    assert line.ask(request("C1")) == "AA C1"
    assert line.ask(request("C2")) == "AA C2"
    assert {row[0] for row in server.rows("SELECT peer FROM message")} == {"192.0.2.7:40000"}


def test_a_message_in_one_piece_with_the_header(start: Start) -> None:
    server = start(BALANCED)
    line = start.line(server)
    line.socket.sendall(V1 + b"\x0b" + request("C1") + b"\x1c\r")
    assert line.reply() == "AA C1"
    line.socket.shutdown(socket.SHUT_WR)  # the half that is left is closed as on any connection
    assert ended(line)


@pytest.mark.parametrize(
    ("sent", "reason", "peer"),
    [
        (b"PROXY TCP4 203.0.113.9 198.51.100.1 40000 2575\r\n", "network", "203.0.113.9"),
        (b"PROXY UNKNOWN\r\n", "network", "127.0.0.1"),
        (b"\x0b" + request("C1") + b"\x1c\r", "proxy", "127.0.0.1"),
        (b"PROXY TCP4 192.0.2.7\r\n", "proxy", "127.0.0.1"),
        (v2(0x21, 0x11, bytes(5000)), "proxy", "127.0.0.1"),
        (b"PROXY TCP4 " + b"1" * 500_000, "proxy", "127.0.0.1"),
    ],
    ids=["elsewhere", "unknown", "no header", "short", "large", "endless"],
)
def test_headers_that_are_refused(start: Start, sent: bytes, reason: str, peer: str) -> None:
    server = start(BALANCED)
    line = start.line(server)
    with suppress(ConnectionError):
        line.socket.sendall(sent)
    assert ended(line)
    assert server.refused() == [(reason, peer)]
    assert server.rows("SELECT count(*) FROM message") == [(0,)]


def test_a_header_is_believed_from_load_balancers_alone(start: Start) -> None:
    server = start("accepts: {load_balancers: [10.0.0.1], networks: [192.0.2.0/24]}\n")
    line = start.line(server)
    line.socket.sendall(V1)
    assert ended(line)
    assert server.refused() == [("proxy", "127.0.0.1")]


def test_a_load_balancer_that_looks_whether_anybody_is_there(start: Start) -> None:
    server = start(BALANCED)
    start.line(server).close()  # a connection and no more, as balancers do it every second
    line = start.line(server)
    line.socket.sendall(v2(0x20, 0, b""))
    assert line.ask(request("C1")) == "AA C1"
    assert server.refused() == []
    (peer,) = server.rows("SELECT peer FROM message")
    assert peer[0].startswith("127.0.0.1:")


def test_a_header_that_does_not_come_is_not_waited_for(start: Start) -> None:
    server = start(BALANCED + "limits: {handshake_seconds: 0.2, connections: 2}\n")
    first, second = start.line(server), start.line(server)
    second.socket.sendall(V1[:20])
    assert ended(first)
    assert ended(second)
    assert server.refused() == [("proxy", "127.0.0.1")]


def test_connections_whose_header_is_awaited_count_as_connections(start: Start) -> None:
    server = start(BALANCED + "limits: {connections: 2}\n")
    lines = [start.line(server) for _ in range(2)]
    lines[0].socket.sendall(V1)
    assert lines[0].ask(request("C1")) == "AA C1"
    third = start.line(server)
    assert ended(third)
    assert server.refused() == [("too many", "127.0.0.1")]
    lines[1].socket.sendall(V1)
    assert lines[1].ask(request("C2")) == "AA C2"


def test_messages_of_strangers_are_refused_and_the_connection_goes_on(start: Start) -> None:
    server = start("accepts: {senders: [{application: EHR, facility: NORTH}]}\n")
    line = start.line(server)
    stranger = message(msh(control_id="C1").replace("EHR|NORTH", "LAB|NORTH"), "PID|||1||Q^I")
    assert line.ask(stranger) == "AR C1"
    assert line.ask(request("C2")) == "AA C2"
    rows = server.rows("SELECT control_id, disposition, reply FROM message ORDER BY id")
    assert [row[:2] for row in rows] == [("C1", "refused"), ("C2", "accepted")]
    assert "ERR||MSH^1^3|103^Table value not found" in str(rows[0][2])


def test_workers_forget_the_connections_that_they_turned_away(tmp_path: Path) -> None:
    accepts = "[P]\n  networks: [192.0.2.0/24]\n  load_balancers: [127.0.0.1]"
    with Serving(tmp_path, 2, processing_ids=accepts, connections="4") as serving:
        for _ in range(12):  # far more than may be open at a time
            with Line(serving.port) as line:
                line.socket.sendall(b"PROXY TCP4 203.0.113.9 198.51.100.1 40000 2575\r\n")
                assert ended(line)
        with Line(serving.port) as line:
            line.socket.sendall(V1)
            assert line.ask(request("C1")) == "AA C1"
        assert serving.rows("SELECT peer FROM message") == [("192.0.2.7:40000",)]


def test_a_refusal_is_told_again_after_a_while_with_how_many_there_were(caplog: pytest.LogCaptureFixture) -> None:
    clock = [0.0]
    kept = Refusals("north", lambda: clock[0], Board(1).channel(0))
    for moment in (0, 1, refusals.LOG_SECONDS - 1, refusals.LOG_SECONDS):
        clock[0] = moment
        kept.add(Ending.NETWORK, "a connection came from elsewhere", "192.0.2.1")
    kept.add(Ending.PROXY, "another matter", "192.0.2.1")
    found = [record.__dict__["fields"]["connections"] for record in caplog.records]
    assert found == [1, 3, 1]
