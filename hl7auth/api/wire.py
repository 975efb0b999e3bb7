"""HTTP of one connection of the API, with the bounds that its library leaves to a proxy: the head, and time.

Imports starlette, uvicorn and api.problems only.

A head that does not end would grow without bound, and connections that say nothing would keep others out: each has so
many bytes and seconds for its head, its body and its answer. What is refused here has the one shape of all problems.
"""

import asyncio
from http import HTTPStatus
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hl7auth.api.problems import problem

MOST_HEAD = 64 * 1024
"""Bytes of a request line with its headers."""
MOST_CONNECTIONS = 512
"""More are told that there are too many, each as soon as it asks for something."""
HEAD_SECONDS = 15.0
"""From the connection, or the first byte of a request, to the end of its headers."""
BODY_SECONDS = 60.0
ANSWER_SECONDS = 300.0
"""Also for a client that does not read its answer."""


class Wire(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__(*values, **named)
        self._ours = self.app
        self._head: int | None = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It has so long to ask for something."""
        super().connection_made(transport)
        self._has(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._has(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a head, a body, or several requests."""
        if self._head is not None:
            self._head += len(data)
        if self._timer is None:  # it is no longer idle, and the library watches that alone
            self._has(HEAD_SECONDS)
        super().data_received(data)
        if self._head is not None and self._head > MOST_HEAD and not self.transport.is_closing():
            self._refuse(431, f"a request line with its headers has at most {MOST_HEAD} bytes")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._has(HEAD_SECONDS)

    def on_headers_complete(self) -> None:
        """What is asked is known: it is given to the application, if there are not too many."""
        self._head = None
        self._has(BODY_SECONDS)
        too_many = len(self.connections) > MOST_CONNECTIONS or len(self.tasks) > MOST_CONNECTIONS
        self.app = _too_many if too_many else self._ours
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of the request is here."""
        super().on_message_complete()
        self._head = 0
        self._has(ANSWER_SECONDS)

    def on_response_complete(self) -> None:
        """It was answered; how long it may be idle now is a setting of the library."""
        self._has(None)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP."""
        self._refuse(400, msg)

    def _refuse(self, status: int, why: str) -> None:
        found = problem(status, why)
        head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(), b"connection: close"]
        head += [name + b": " + value for name, value in found.raw_headers]
        self.transport.write(b"\r\n".join(head) + b"\r\n\r\n" + bytes(found.body))
        self.transport.close()

    def _has(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._over)

    def _over(self) -> None:
        self._timer = None
        self.transport.abort()


async def _too_many(scope: Scope, receive: Receive, send: Send) -> None:
    await problem(503, "there are too many connections", "busy", {"Retry-After": "5", "connection": "close"})(
        scope, receive, send
    )
