"""An engine in processes of its own, whose channels a test writes, changes and has read again while it runs."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.serving import ENVIRONMENT, SECONDS, Line
from tests.warm import Process

LOCAL = "interface=127.0.0.1"


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class Live:
    """`hl7auth serve` over a folder. A channel `base` is there from the beginning: the folder is never empty."""

    def __init__(self, folder: Path, workers: int = 1, options: Sequence[str] = ()) -> None:
        self.folder = folder
        self.channels = folder / "channels"
        self.channels.mkdir()
        self.ports: dict[str, int] = {}
        self.write("base")
        command = ["serve", "--channels", "channels", "--database", "sqlite:///live.db", "--workers", str(workers)]
        command += options
        self._log = (folder / "log").open("wb")
        self.process = Process(command, cwd=folder, stdout=subprocess.PIPE, stderr=self._log, env=ENVIRONMENT)
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        assert line.startswith("listening on"), (folder / "log").read_text()
        self.reloaded()  # the door opens behind the last port

    def __enter__(self) -> "Live":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.process.terminate()
        assert self.process.stdout is not None
        with self.process.stdout:
            self.process.stdout.read()
        assert self.process.wait(SECONDS) == 0
        self._log.close()

    def write(self, name: str, more: str = "", listen: str = "") -> Path:
        """The file of a channel, on a port of its own."""
        port = self.ports.setdefault(name, free_port())
        path = self.channels / f"{name}.yaml"
        path.write_text(f"channel: {name}\nlisten: {listen or f'tcp:{port}:{LOCAL}'}\n{more}")
        return path

    def serve(self, name: str, more: str = "") -> str:
        """A channel that is served from now on, or is another from now on; returns its version."""
        self.write(name, more)
        (told,) = self.reloaded(name)["channels"]
        assert told["did"] in ("added", "changed"), told
        return str(told["version"])

    @property
    def database(self) -> str:
        """Its URL. The path is long, as paths of tests are: too long for the name of a socket."""
        return f"sqlite:///{self.folder}/{'./' * 40}live.db"

    def ask(self, **request: Any) -> dict[str, Any]:
        """What the control door answers."""
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(SECONDS)
            door.connect(os.path.relpath(self.folder / "live.db.control"))
            door.sendall(json.dumps(request).encode() + b"\n")
            found: dict[str, Any] = json.loads(b"".join(iter(lambda: door.recv(65_536), b"")))
        return found

    def reloaded(self, name: str = "", *, remove: bool = False) -> dict[str, Any]:
        """What became of a reload; waits for the door to be there."""
        while True:
            try:
                found = self.ask(ask="reload", channel=name, remove=remove)
            except (FileNotFoundError, ConnectionRefusedError):
                assert self.process.poll() is None, (self.folder / "log").read_text()
                continue
            assert "error" not in found, found
            return found

    def told(self, name: str) -> dict[str, Any]:
        """What a reload of all channels says of one."""
        return next(each for each in self.reloaded()["channels"] if each["channel"] == name)

    def hangup(self) -> None:
        """SIGHUP."""
        self.process.send_signal(signal.SIGHUP)

    def line(self, name: str) -> Line:
        """A connection to a channel."""
        return Line(self.ports[name])

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What the database holds."""
        with closing(sqlite3.connect(self.folder / "live.db")) as database:
            return list(database.execute(sql))

    def logged(self, action: str) -> list[dict[str, Any]]:
        """The lines of the log with an action."""
        lines = [json.loads(line) for line in (self.folder / "log").read_text().splitlines()]
        return [line for line in lines if line["action"] == action]

    def workers(self) -> list[int]:
        """The processes below the parent."""
        parent = self.process.pid
        return [int(each) for each in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
