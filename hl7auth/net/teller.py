"""Tellers: each tells one target what happened, in a thread of its own, in order, until it is heard.

Imports flow, net.http_post's kind of connection from the standard library, and observe only.

A hook that is dead or slow keeps nobody waiting but those who come after it to the same hook.
"""

import logging
import os
import socket
import ssl
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from queue import SimpleQueue
from threading import Event as Flag
from threading import Thread
from typing import NamedTuple
from urllib.parse import urlsplit

import orjson

from hl7auth.flow.alert import Hook, Target
from hl7auth.flow.incident import Event
from hl7auth.observe import log

FIRST_PAUSE, MOST_PAUSE = 1.0, 60.0
"""Seconds before it is told again; doubled each time."""

GIVEN_UP_AFTER = 24 * 3_600 * 1_000_000
"""Microseconds after which nobody wants to hear of it any more."""

_OK, _END_OF_OK = 200, 300


class Told(NamedTuple):
    """A notice that is done: heard, or given up."""

    notice_id: int
    attempts: int


class Teller:
    """Tells one target. `done` is called in its thread."""

    def __init__(self, name: str, target: Target, now: Callable[[], int], done: Callable[[Told], None]) -> None:
        self._name = name
        self._tell = _to_file(target) if target.http is None else _to_hook(target.http)
        self._now = now
        self._done = done
        self._notices: SimpleQueue[tuple[int, Event] | None] = SimpleQueue()
        self._ended = Flag()
        self._thread = Thread(target=self._run, name=f"tell {name}", daemon=True)
        self._thread.start()

    def tell(self, notice_id: int, event: Event) -> None:
        """Tells it as soon as all before it are told."""
        self._notices.put((notice_id, event))

    def stop(self) -> None:
        """Tells no more; what is not told is told after the next start."""
        self._ended.set()
        self._notices.put(None)

    def _run(self) -> None:
        while (notice := self._notices.get()) is not None and not self._ended.is_set():
            self._until_heard(*notice)

    def _until_heard(self, notice_id: int, event: Event) -> None:
        body = orjson.dumps({**event.entry(), "host": socket.gethostname()})
        attempts, pause = 0, FIRST_PAUSE
        while not self._ended.is_set():
            attempts += 1
            fault = self._tell(body)
            if fault and self._now() - event.at > GIVEN_UP_AFTER:
                log("alert.lost", "an alert could not be told", level=logging.ERROR, target=self._name, reason=fault)
                fault = ""
            if not fault:
                self._done(Told(notice_id, attempts))
                return
            if attempts == 1:
                text = "an alert could not be told yet"
                log("alert.untold", text, level=logging.WARNING, target=self._name, reason=fault)
            self._ended.wait(pause)
            pause = min(pause * 2, MOST_PAUSE)


Tell = Callable[[bytes], str]
"""Tells something once; returns what went wrong."""


def _to_file(target: Target) -> Tell:
    path = target.file
    assert path is not None

    def tell(body: bytes) -> str:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(body + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            return (error.strerror or type(error).__name__).lower()
        return ""

    return tell


def _to_hook(hook: Hook) -> Tell:
    parts = urlsplit(hook.url)
    host, port = parts.hostname or "", parts.port
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def tell(body: bytes) -> str:
        connection: HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection = HTTPSConnection(host, port, timeout=hook.seconds, context=context)
        else:
            connection = HTTPConnection(host, port, timeout=hook.seconds)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json", **hook.headers})
            status = connection.getresponse().status
        except (OSError, HTTPException) as error:
            return type(error).__name__
        finally:
            connection.close()
        return "" if _OK <= status < _END_OF_OK else f"HTTP {status}"

    return tell
