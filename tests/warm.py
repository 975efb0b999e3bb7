"""Starts `hl7auth` in processes of their own without the second that Python takes to import it.

A process that has imported everything, and does nothing else, forks for each start: what runs then is a process with
its own id, descriptors, working directory and environment, ended by signals as any other, and it goes through
`hl7auth.__main__`. Tests of the start itself (tests/cli, tests/test_project.py, tests/test_native.py) start Python.
"""

import atexit
import gc
import json
import os
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, NamedTuple

ROOT = Path(__file__).parents[1]
_IMPORTED = (
    "hl7auth.cli.app", "hl7auth.server", "hl7auth.store.archive", "hl7auth.store.authorizations",
    "hl7auth.reports.report", "alembic.command", "psycopg", "sqlalchemy.dialects.sqlite",
    "twisted.internet.epollreactor",
)  # fmt: skip
_MOST = 200_000


class Asked(NamedTuple):
    """One start: the words of the command, where, with which environment; the descriptors of its input and outputs, and
    the pipe on which its id and its end are told."""

    words: list[str]
    folder: str
    environment: dict[str, str]
    descriptors: list[int]
    told: int


class Process:
    """A command in a process of its own; the part of subprocess.Popen that the tests use."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.DEVNULL,
        stderr: int | IO[bytes] = subprocess.DEVNULL,
    ) -> None:
        self.returncode: int | None = None
        self._told, tell = os.pipe()
        given, self.stdout = _end_of(stdout)
        erring, self.stderr = _end_of(stderr)
        taken = os.open(os.devnull, os.O_RDONLY) if isinstance(stdin, int) else os.dup(stdin.fileno())
        asked = json.dumps([list(words), str(cwd), dict(env)]).encode()
        assert len(asked) < _MOST
        passed = [taken, given, erring, tell]
        socket.send_fds(_warm(), [asked], passed)
        for each in passed:
            os.close(each)
        self.pid = int(self._line())

    def poll(self) -> int | None:
        """How it ended; None while it runs."""
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self._ended()
        return self.returncode

    def wait(self, timeout: float) -> int:
        """How it ended: its status, or a signal as a negative number. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("hl7auth", timeout)
            self._ended()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal while it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Asks it to end."""
        self.send_signal(signal.SIGTERM)

    def _ended(self) -> None:
        self.returncode = int(self._line())
        os.close(self._told)

    def _line(self) -> str:
        said = b""
        while not said.endswith(b"\n"):
            more = os.read(self._told, 1)
            assert more, "the process that starts others is gone"
            said += more
        return said.decode()


def run(*words: str, folder: Path, stdin: bytes, env: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    """A command from its start to its end."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        process = Process(words, cwd=folder, env=env, stdin=given, stdout=out, stderr=err)
        try:
            code = process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(words, code, out.read(), err.read())


def _end_of(asked: int | IO[bytes]) -> tuple[int, IO[bytes] | None]:
    """The descriptor for the process, and what is read from the other end of a pipe."""
    if asked == subprocess.PIPE:
        read, write = os.pipe()
        return write, os.fdopen(read, "rb")
    return (os.open(os.devnull, os.O_WRONLY) if isinstance(asked, int) else os.dup(asked.fileno())), None


@cache
def _warm() -> socket.socket:
    """The socket of the process that forks: one for all tests of this process, gone with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.warm", str(theirs.fileno())], cwd=ROOT, pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if not name.startswith("HL7AUTH_")},
        )  # fmt: skip

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _serve(control: socket.socket) -> list[str] | None:
    """Forks for each start that is asked for. Comes back in the forked process with the words of its command, and
    where it stands with None when nobody can ask any more."""
    told: dict[int, tuple[int, int]] = {}
    with selectors.DefaultSelector() as ready:
        ready.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fd in told:
                    ready.unregister(key.fd)
                    _tell_the_end(key.fd, *told.pop(key.fd))
                elif (asked := _read(control)) is None:
                    return None
                elif (child := os.fork()) == 0:
                    break
                else:
                    for each in asked.descriptors:
                        os.close(each)
                    os.write(asked.told, b"%d\n" % child)
                    handle = os.pidfd_open(child)
                    told[handle] = (child, asked.told)
                    ready.register(handle, selectors.EVENT_READ)
            else:
                continue
            break
    for handle, (_, pipe) in told.items():
        os.close(handle)
        os.close(pipe)
    control.close()
    _become(asked)
    return asked.words


def _read(control: socket.socket) -> Asked | None:
    data, descriptors, _, _ = socket.recv_fds(control, _MOST, 4)
    if not data:
        return None
    words, folder, environment = json.loads(data)
    return Asked(words, folder, environment, descriptors[:3], descriptors[3])


def _tell_the_end(handle: int, child: int, pipe: int) -> None:
    _, status = os.waitpid(child, 0)
    os.write(pipe, b"%d\n" % os.waitstatus_to_exitcode(status))
    os.close(pipe)
    os.close(handle)


def _become(asked: Asked) -> None:
    """Is from now on what was asked for, as far as Python's own start would make it so."""
    os.close(asked.told)
    for at, descriptor in enumerate(asked.descriptors):
        os.dup2(descriptor, at)
        os.close(descriptor)
    os.chdir(asked.folder)
    os.environ.clear()
    os.environ.update(asked.environment)
    sys.path[0] = asked.folder


def main() -> None:
    """The process that forks, and, in what it forks, the command."""
    for name in _IMPORTED:
        import_module(name)
    assert "twisted.internet.reactor" not in sys.modules
    gc.freeze()  # the pages that are shared stay shared
    words = _serve(socket.socket(fileno=int(sys.argv[1])))
    if words is not None:
        sys.argv = ["hl7auth", *words]
        runpy.run_module("hl7auth", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
