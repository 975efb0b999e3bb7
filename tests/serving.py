"""What the tests with real server processes share: an engine on a free port, and a sender on a plain socket."""

import json
import os
import socket
import sqlite3
import subprocess
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

from hl7auth.wire.ack import read_msa
from hl7auth.wire.framing import Deframer, frame
from tests.engine import channel
from tests.warm import Process

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("HL7AUTH_")}
ENVIRONMENT["PYTHONPATH"] = str(Path(__file__).parents[1])
SECONDS = 30.0
_LOOK = 0.05


class Serving:
    """`hl7auth serve` in processes of its own, with channel, database and working directory in a folder."""

    def __init__(
        self,
        folder: Path,
        workers: int,
        url: str = "sqlite:///engine.db",
        options: Sequence[str] = (),
        **changes: str,
    ) -> None:
        self.database = folder / "engine.db"
        (folder / "channels").mkdir(exist_ok=True)
        channel(folder / "channels", **changes)
        command = ["serve", "--channels", "channels", "--database", url, "--workers", str(workers), *options]
        self.process = Process(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._said, self._log = self.process.stdout, self.process.stderr
        self.announced = self._said.readline().decode()
        if not self.announced.startswith("listening on tcp:"):
            fault = self._log.read().decode()
            self.until_gone()
            raise AssertionError(fault)
        self.port = int(self.announced.split(":")[1])

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if not self._said.closed:
            self.process.terminate()
            self.until_gone()

    def said(self) -> str:
        """The next line that it says: where the next channel listens."""
        return self._said.readline().decode()

    def until_gone(self) -> str:
        """Waits for the end of all processes, which hold the output open; returns what they still said."""
        said = self._said.read().decode()
        self._said.close()
        self._log.close()
        self.process.wait(SECONDS)
        return said

    def shows(self) -> int:
        """The port of its figures, where `--metrics` is one of its options."""
        line = self._said.readline().decode()
        assert line.startswith("metrics on http://127.0.0.1:"), line
        return int(line.split(":")[2].partition("/")[0])

    def until_logged(self, action: str) -> dict[str, Any]:
        """Reads the log up to the next line with this action."""
        for line in self._log:
            entry: dict[str, Any] = json.loads(line)
            if entry["action"] == action:
                return entry
        raise AssertionError(f"no {action} in the log")

    def workers(self) -> list[int]:
        """The processes below the parent."""
        parent = self.process.pid
        return [int(each) for each in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What the database holds."""
        with closing(sqlite3.connect(self.database)) as database:
            return list(database.execute(sql))

    def until_rows(self, sql: str, value: int) -> None:
        """Looks until a query finds that number."""
        for _ in range(int(SECONDS / _LOOK)):
            if self.rows(sql) == [(value,)]:
                return
            time.sleep(_LOOK)
        raise AssertionError(self.rows(sql))


class Line:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self._deframer = Deframer()
        self._replies: list[str] = []

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def send(self, *messages: bytes) -> None:
        """Sends without waiting."""
        self.socket.sendall(b"".join(frame(message) for message in messages))

    def text(self) -> str:
        """The next reply. Raises ConnectionError when the connection ends instead."""
        while not self._replies:
            data = self.socket.recv(65_536)
            if not data:
                raise ConnectionResetError("closed")
            self._replies += [received.payload.decode("latin_1") for received in self._deframer.feed(data)]
        return self._replies.pop(0)

    def reply(self) -> str:
        """MSA-1 and MSA-2 of the next reply. Raises ConnectionError when the connection ends instead."""
        msa = read_msa(self.text())
        return f"{msa.code} {msa.control_id}" if msa else "?"

    def ask(self, message: bytes) -> str:
        """Sends one message and returns its reply."""
        self.send(message)
        return self.reply()

    def rest(self) -> list[str]:
        """The replies until the other side hangs up."""
        replies = []
        while True:
            try:
                replies.append(self.reply())
            except ConnectionResetError:
                self.close()
                return replies

    def close(self) -> None:
        """Hangs up."""
        self.socket.close()
