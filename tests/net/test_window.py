"""The pages: what is shown, and to whom it is not."""

import pytest
from twisted.internet import defer
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from hl7auth.net.window import MAX_HEAD, MOST, SECONDS, Page, Visit, Window, at_once

NOTE = Page(200, "text/plain", b"all is well\n")


class Street:
    """A window, and visits to it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.late: list[defer.Deferred[Page]] = []
        self.window = Window(self.clock, {"/note": at_once(NOTE), "/late": self.later, "/bad": self.bad})

    def later(self) -> "defer.Deferred[Page]":
        self.late.append(defer.Deferred())
        return self.late[-1]

    def bad(self) -> "defer.Deferred[Page]":
        return defer.fail(RuntimeError("PID|77001"))

    def visit(self) -> tuple[Visit, StringTransport]:
        visit, wire = self.window.buildProtocol(None), StringTransport()
        visit.makeConnection(wire)
        return visit, wire

    def ask(self, *parts: bytes) -> tuple[str, bytes]:
        """The status line and the body; the connection is closed behind them."""
        visit, wire = self.visit()
        for part in parts:
            visit.dataReceived(part)
        assert wire.disconnecting
        head, _, body = wire.value().partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head or parts[0].startswith(b"HEAD")
        return head.split(b"\r\n")[0].decode(), body


@pytest.fixture
def street() -> Street:
    return Street()


@pytest.mark.parametrize(
    "parts",
    [
        [b"GET /note HTTP/1.1\r\nHost: x\r\n\r\n"],
        [b"GET /note?a=1 HTTP/1.0\r\n\r\n"],
        [b"GET /no", b"te HTTP/1.1\r\nHost: x\r", b"\n\r\n"],
        [b"GET /note HTTP/1.1\n\n"],
        [b"GET /note HTTP/1.1\r\n\r\nGET /bad HTTP/1.1\r\n\r\n"],
    ],
)
def test_a_page_is_shown_once_a_connection(street: Street, parts: list[bytes]) -> None:
    assert street.ask(*parts) == ("HTTP/1.1 200 OK", NOTE.body)


def test_the_head_alone(street: Street) -> None:
    assert street.ask(b"HEAD /note HTTP/1.1\r\n\r\n") == ("HTTP/1.1 200 OK", b"")


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\n\r\n", 404),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 404),
        (b"POST /note HTTP/1.1\r\nContent-Length: 9\r\n\r\n123456789", 405),
        (b"GET /note\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"MSH|^~\\&|A|B\rPID|1\r\n\r\n", 400),
        (b"GET /note HTTP/1.1\r\nX: " + b"a" * MAX_HEAD, 431),
        (b"GET /bad HTTP/1.1\r\n\r\n", 500),
    ],
)
def test_everything_else_is_refused(street: Street, asked: bytes, status: int) -> None:
    line, body = street.ask(asked)
    assert line.startswith(f"HTTP/1.1 {status} ")
    assert b"77001" not in body


def test_a_page_may_come_later_or_to_nobody(street: Street) -> None:
    (visit, wire), (gone, _) = street.visit(), street.visit()
    for asks in (visit, gone):
        asks.dataReceived(b"GET /late HTTP/1.1\r\n\r\n")
    assert wire.value() == b""
    gone.connectionLost()
    for each in street.late:
        each.callback(NOTE)
    assert wire.value().endswith(NOTE.body)
    assert street.window.visits == {visit}


def test_who_asks_nothing_is_sent_away(street: Street) -> None:
    visit, wire = street.visit()
    visit.dataReceived(b"GET /note")
    street.clock.advance(SECONDS - 1)
    assert not wire.disconnected
    street.clock.advance(1)
    assert wire.disconnected


def test_no_more_than_so_many_at_a_time(street: Street) -> None:
    visits = [street.visit() for _ in range(MOST + 2)]
    assert [wire.disconnected for _, wire in visits] == [False] * MOST + [True] * 2
    visits[0][0].connectionLost()
    assert not street.visit()[1].disconnected
    street.window.close()
    assert all(wire.disconnected for _, wire in visits[1:])
