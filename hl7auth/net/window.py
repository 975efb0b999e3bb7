"""The window: a few small pages over HTTP, for those who watch the engine. Nothing comes in through it.

Imports twisted and observe only.

A connection asks for one page, gets it, and is closed. Whatever is larger or slower than such a question is refused: at
most MOST connections at a time, MAX_HEAD bytes and SECONDS each.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from twisted.internet import defer
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from hl7auth.observe import log

MOST = 32
MAX_HEAD = 8 * 1024
SECONDS = 15.0

_REASONS = {
    200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip
PLAIN = "text/plain; charset=utf-8"
JSON = "application/json"


class Page(NamedTuple):
    """What is shown."""

    status: int
    kind: str
    body: bytes


Show = Callable[[], "defer.Deferred[Page]"]
"""Makes a page, now or soon."""


def at_once(page: Page) -> Show:
    """A page that is always the same."""
    return lambda: defer.succeed(page)


class Visit(Protocol):
    """One connection."""

    def __init__(self, window: "Window") -> None:
        self._window = window
        self._head = b""
        self._asked = False
        self._clock: Any = None

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Waits for the question, or refuses one too many."""
        self._wire: Any = self.transport
        if len(self._window.visits) >= MOST:
            self.end()
            return
        self._window.visits.add(self)
        self._clock = self._window.reactor.callLater(SECONDS, self.end)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """The head of a request; what follows it is not read."""
        if self._asked:
            return
        self._head += data
        if b"\r\n\r\n" in self._head or b"\n\n" in self._head:
            self._answer(self._head.split(b"\n", 1)[0].split())
        elif len(self._head) > MAX_HEAD:
            self._send(Page(431, PLAIN, b"too long\n"), True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802, ARG002 - Twisted's name
        """Gone."""
        self._window.visits.discard(self)
        if self._clock is not None and self._clock.active():
            self._clock.cancel()

    def end(self) -> None:
        """Ends the connection at once."""
        self._wire.abortConnection()

    def _answer(self, words: list[bytes]) -> None:
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            self._send(Page(400, PLAIN, b"not understood\n"), True)
            return
        method, target, _ = words
        if method not in (b"GET", b"HEAD"):
            self._send(Page(405, PLAIN, b"only GET and HEAD\n"), True)
            return
        show = self._window.pages.get(target.partition(b"?")[0].decode("latin_1"))
        if show is None:
            self._send(Page(404, PLAIN, b"no such page\n"), method == b"GET")
            return
        self._asked = True
        show().addErrback(_failed).addCallback(self._send, method == b"GET")

    def _send(self, page: Page, whole: bool) -> None:
        self._asked = True
        head = (
            f"HTTP/1.1 {page.status} {_REASONS[page.status]}\r\nContent-Type: {page.kind}\r\n"
            f"Content-Length: {len(page.body)}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
            f"Connection: close\r\n{'Allow: GET, HEAD' + chr(13) + chr(10) if page.status == 405 else ''}\r\n"
        )
        self._wire.write(head.encode() + (page.body if whole else b""))
        self._wire.loseConnection()


class Window(Factory):
    """The pages by their paths."""

    noisy = False

    def __init__(self, reactor: Any, pages: Mapping[str, Show]) -> None:
        self.reactor = reactor
        self.pages = pages
        self.visits: set[Visit] = set()

    def buildProtocol(self, addr: IAddress | None) -> Any:  # noqa: N802, ARG002 - Twisted's name
        """A connection."""
        return Visit(self)

    def close(self) -> None:
        """Ends all connections."""
        for visit in list(self.visits):
            visit.end()


def _failed(failure: Failure) -> Page:
    kind = type(failure.value).__name__
    log("page.failed", "a page could not be made", level=logging.ERROR, reason=kind)
    return Page(500, PLAIN, b"the page could not be made\n")
