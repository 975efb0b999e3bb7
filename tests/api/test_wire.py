"""HTTP under attack: heads without an end, connections that say nothing, more of them than there is room for."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hl7auth.api import wire
from hl7auth.api.process import server_of
from tests.api.desk import Desk

HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


@contextmanager
def _listening(desk: Desk) -> Iterator[tuple[str, int]]:
    listens = socket.create_server(("127.0.0.1", 0))
    server = server_of(desk.app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listens]})
    thread.start()
    try:
        yield listens.getsockname()[:2]
    finally:
        server.should_exit = True
        thread.join()
        listens.close()


@pytest.fixture
def at(desk: Desk) -> Iterator[tuple[str, int]]:
    with _listening(desk) as found:
        yield found


def _told(connection: socket.socket) -> bytes:
    """All that comes until the other side ends it."""
    connection.settimeout(10)
    found = b""
    try:
        while data := connection.recv(65536):
            found += data
    except ConnectionResetError:
        pass
    return found


def _problem(answer: bytes) -> Any:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    return json.loads(body)


def test_a_head_without_an_end_is_refused(at: tuple[str, int]) -> None:
    with socket.create_connection(at) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        sent = 0
        try:
            while sent < 16 * 1024 * 1024:  # by then it is refused, or it never will be
                sent += connection.send(b"a" * 65536)
        except (ConnectionResetError, BrokenPipeError):
            pass
    assert sent < 16 * 1024 * 1024


def test_what_is_refused_before_the_application_has_the_one_shape(at: tuple[str, int]) -> None:
    for sent, status in ((b"\x16\x03\x01 hello\r\n\r\n", 400), (b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 70_000, 431)):
        with socket.create_connection(at) as connection:
            connection.sendall(sent)
            assert _problem(_told(connection))["status"] == status


@pytest.mark.parametrize(
    ("limit", "sent"),
    [
        ("HEAD_SECONDS", b""),
        ("HEAD_SECONDS", b"GET /heal"),
        ("BODY_SECONDS", b"POST /charges HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"),
    ],
    ids=["nothing", "half a head", "half a body"],
)
def test_a_connection_that_does_not_go_on_is_ended(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, limit: str, sent: bytes
) -> None:
    monkeypatch.setattr(wire, limit, 0.2)
    with _listening(desk) as at, socket.create_connection(at) as connection:
        connection.sendall(sent)
        assert b"HTTP/1.1 200" not in _told(connection)  # which ends


def test_an_empty_line_after_an_answer_keeps_no_connection(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with _listening(desk) as at, socket.create_connection(at) as connection:
        connection.sendall(HEALTH)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        monkeypatch.setattr(wire, "HEAD_SECONDS", 0.2)
        connection.sendall(b"\r\n")
        assert b"HTTP/1.1" not in _told(connection)


def test_too_many_connections_are_told_so_and_others_served_again_when_they_are_gone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MOST_CONNECTIONS", 3)
    with _listening(desk) as at:
        held = [socket.create_connection(at) for _ in range(3)]
        for each in held:
            each.sendall(HEALTH)
            assert each.recv(4096).startswith(b"HTTP/1.1 200")
        with socket.create_connection(at) as one_more:
            one_more.sendall(HEALTH)
            found = _problem(_told(one_more))
        assert (found["status"], found["type"]) == (503, "urn:hl7auth:busy")
        for each in held:
            each.close()
        while True:
            with socket.create_connection(at) as again:
                again.sendall(HEALTH)
                if again.recv(4096).startswith(b"HTTP/1.1 200"):
                    break
