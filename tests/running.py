"""A server on a reactor in a thread of the test, for channels that are written in the test."""

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.epollreactor import EPollReactor

from hl7auth.flow.change import Change
from hl7auth.flow.channel import load_channel
from hl7auth.flow.channel_links import linked
from hl7auth.flow.figures import Ending
from hl7auth.net.board import ENDING
from hl7auth.server import Server

SECONDS = 20.0
MINIMAL = "channel: north\nlisten: tcp:0:interface=127.0.0.1\n"


class Running:
    """One channel, with data in a folder. `logged` are the lines of its log."""

    def __init__(self, folder: Path, more: str = "", head: str = MINIMAL) -> None:
        self.folder = folder
        path = folder / "north.yaml"
        path.write_text(head + more, encoding="utf-8")
        (self.channel,) = linked([load_channel(path)])
        self.reactor: Any = EPollReactor()
        self.logged: list[logging.LogRecord] = []
        self._handler = _Kept(self.logged)
        self._said: queue.Queue[str | BaseException] = queue.Queue()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Running":
        logging.getLogger("hl7auth").addHandler(self._handler)
        self._thread.start()
        first = self._said.get(timeout=SECONDS)
        if isinstance(first, BaseException):
            self._end()
            raise first
        self.port = int(first.split(":")[1])
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def call(self, function: Callable[[], Any]) -> Any:
        """What a function gives that is called on the reactor, or what that comes to."""
        answers: queue.Queue[Any] = queue.Queue()
        self.reactor.callFromThread(lambda: maybeDeferred(function).addBoth(answers.put))
        return answers.get(timeout=SECONDS)

    def become(self, more: str) -> None:
        """The channel goes on as it is written now."""
        before = self.channel
        before.path.write_text(MINIMAL + more, encoding="utf-8")
        (self.channel,) = linked([load_channel(before.path)])
        assert self.call(lambda: Deferred.fromCoroutine(self.server.change([Change(before, self.channel)]))) == {}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What the database holds."""
        with closing(sqlite3.connect(self.folder / "north.db")) as database:
            return list(database.execute(sql))

    def ended(self, reason: Ending) -> int:
        """How many connections were ended or refused for a reason."""
        (factory,) = self.server._service.factories.values()
        found: int = self.call(lambda: factory.slots[ENDING[reason]])
        return found

    def refused(self) -> list[tuple[Any, Any]]:
        """Reason and peer of the refusals in the log."""
        self.call(lambda: None)  # a socket is closed a moment before that is logged
        found = [
            record.__dict__["fields"] for record in self.logged if record.__dict__["action"] == "connection.refused"
        ]
        return [(fields["reason"], fields["peer"]) for fields in found]

    def _run(self) -> None:
        self.server = Server([self.channel], f"sqlite:///{self.folder}/north.db", self.reactor, self._said.put)

        def failed(failure: Any) -> None:
            self._said.put(failure.value)

        def begin() -> None:
            Deferred.fromCoroutine(self.server.start()).addErrback(failed)

        self.reactor.callWhenRunning(begin)
        self.reactor.addSystemEventTrigger("before", "shutdown", self._stop)
        self.reactor.run(installSignalHandlers=False)

    def _stop(self) -> Any:
        return Deferred.fromCoroutine(self.server.stop())

    def _end(self) -> None:
        self.reactor.callFromThread(self.reactor.stop)
        self._thread.join(SECONDS)
        logging.getLogger("hl7auth").removeHandler(self._handler)
        assert not self._thread.is_alive()


class _Kept(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)
