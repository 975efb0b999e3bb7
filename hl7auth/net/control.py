"""The control door of a running engine: a local socket for its own user, at which a reload is asked for and answered.

Imports twisted, sqlalchemy (URLs only), net.reload, observe and errors only.

A request is one line of JSON, and so is its answer: `{"ask": "reload", "channel": "north", "remove": false}` gets what
`net.reload.Report` says, or `{"error": "a sentence"}`. Then the connection ends.
"""

import json
import logging
import os
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from sqlalchemy.engine import make_url
from twisted.internet import defer
from twisted.internet.interfaces import IAddress, IReadDescriptor
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from hl7auth.errors import UserError
from hl7auth.net.reload import Report, Wanted
from hl7auth.observe import log
from hl7auth.rules.edition import fingerprint

Reload = Callable[[Wanted], Coroutine[Any, Any, Report]]

MOST_BYTES = 4096
"""Of a request: a name of a channel, and a few words."""

_LONGEST = 100
"""Characters of the path of a socket: the system takes 107."""

SECONDS = 180.0
"""How long is waited for an answer: checks, what is under way at Python steps and at destinations, workers."""


def control_of(database: str) -> Path | None:
    """Where the control door of an engine over that database is, unless it is told; None for one in memory.

    Beside the file of SQLite; for a server, in `var`, with a fingerprint of the URL in its name.
    """
    url = make_url(database)
    if url.get_backend_name() != "sqlite":
        return Path("var") / f"hl7auth-{fingerprint(url.render_as_string())}.control"
    if url.database in (None, "", ":memory:") or str(url.database).startswith("file:"):
        return None
    return Path(f"{url.database}.control")


def ask(path: Path, wanted: Wanted) -> dict[str, Any]:
    """What the engine at that door answers. Raises UserError where there is none, or it can not do what is asked."""
    request = {"ask": "reload", "channel": wanted.name, "remove": wanted.remove}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        try:
            with _at(path) as name:
                connection.connect(name)
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        except TimeoutError:
            raise UserError(f"the engine at {path} did not answer in {SECONDS:.0f} seconds") from None
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise UserError(f"no engine answers at {path}: {why} (is `hl7auth serve` running over it?)") from None
    try:
        found: dict[str, Any] = json.loads(answer)
    except ValueError:
        raise UserError(f"the engine at {path} ended without an answer") from None
    if "error" in found:
        raise UserError(found["error"])
    return found


@implementer(IReadDescriptor)
class Control:
    """The door. It opens where nobody else's is; without one an engine still hears SIGHUP."""

    def __init__(self, reactor: Any, path: Path, reload: Reload) -> None:
        self._reactor = reactor
        self._path = path
        self._requests = _Requests(reload)
        self._door: socket.socket | None = None
        self._is: tuple[int, int] | None = None

    def open(self) -> None:
        """Listens. That it can not is told in the log, and is no reason not to serve."""
        door = socket.socket(socket.AF_UNIX)
        try:
            self._bind(door)
            door.listen(5)
            door.setblocking(False)
            found = self._path.stat()
        except (OSError, UserError) as error:
            door.close()
            why = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            log("control.failed", f"no control door: {why.lower()}", level=logging.WARNING, path=str(self._path))
            return
        self._door, self._is = door, (found.st_dev, found.st_ino)
        self._reactor.addReader(self)

    def close(self) -> None:
        """Listens no more."""
        if self._door is None:
            return
        self._reactor.removeReader(self)
        self._door.close()
        self._door = None
        with suppress(OSError):
            found = self._path.stat()
            if (found.st_dev, found.st_ino) == self._is:  # not that of another engine
                self._path.unlink()

    def fileno(self) -> int:
        """For the reactor."""
        return -1 if self._door is None else self._door.fileno()

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """For the reactor."""
        return "control"

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Somebody wants something."""
        if self._door is None:
            return
        try:
            connection, _ = self._door.accept()
        except OSError:
            return
        with connection:
            connection.setblocking(False)
            self._reactor.adoptStreamConnection(connection.fileno(), socket.AF_UNIX, self._requests)

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802, ARG002 - Twisted's name
        """Only a reactor that gives a descriptor up calls this."""
        self.close()

    def _bind(self, door: socket.socket) -> None:
        """As nobody's but this user's, from its first moment on. Raises UserError where another engine answers."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with _at(self._path) as name:
            if self._path.is_socket():
                if _answers(name):
                    raise UserError("another engine has it; give this one a place of its own with --control")
                self._path.unlink()
            mask = os.umask(0o177)
            try:
                door.bind(name)
            finally:
                os.umask(mask)


class _at:  # noqa: N801 - read as `with _at(path) as name`
    """The path as the system takes it: a long one through its folder, which is open meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder: int | None = None

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) <= _LONGEST:
            return str(self._path)
        self._folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._folder}/{self._path.name}"

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            os.close(self._folder)


def _answers(name: str) -> bool:
    with socket.socket(socket.AF_UNIX) as other:
        try:
            other.connect(name)
        except OSError:
            return False
        return True


class _Requests(Factory):
    noisy = False

    def __init__(self, reload: Reload) -> None:
        self.reload = reload

    def buildProtocol(self, addr: IAddress | None) -> Any:  # noqa: N802, ARG002 - Twisted's name
        """A connection."""
        return _Request(self.reload)


class _Request(Protocol):
    """One request and its answer."""

    def __init__(self, reload: Reload) -> None:
        self._reload = reload
        self._received = b""
        self._asked = False

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """A line is a request."""
        self._received += data
        line, ended, _ = self._received.partition(b"\n")
        if self._asked:
            return
        if ended:
            self._asked = True
            defer.Deferred.fromCoroutine(self._answered(line)).addCallbacks(self._answer, self._failed)
        elif len(self._received) > MOST_BYTES:
            self._answer({"error": "the request is too long"})

    async def _answered(self, line: bytes) -> dict[str, Any]:
        request = _read(line)
        if request is None:
            return {"error": "this engine does not know what is asked"}
        return (await self._reload(request)).entry()

    def _answer(self, answer: dict[str, Any]) -> None:
        wire = cast(Any, self.transport)
        wire.write(json.dumps(answer).encode() + b"\n")
        wire.loseConnection()

    def _failed(self, failure: Failure) -> None:
        if failure.check(UserError):
            self._answer({"error": str(failure.value)})
            return
        tell_failed(failure)
        self._answer({"error": f"the reload failed ({_name(failure)}); the log says more"})


def tell_failed(failure: Failure) -> None:
    """A reload that could not be done, in the log: as a sentence where it is a person's mistake."""
    try:
        failure.raiseException()
    except UserError as error:
        log("channels.refused", str(error), level=logging.ERROR)
    except Exception:
        log("reload.failed", "a reload failed", level=logging.ERROR, error=True)


def _name(failure: Failure) -> str:
    return failure.type.__name__ if failure.type is not None else "?"


def _read(line: bytes) -> Wanted | None:
    try:
        request = json.loads(line)
        if request["ask"] != "reload":
            return None
        return Wanted(str(request.get("channel") or ""), request.get("remove") is True)
    except (ValueError, KeyError, TypeError):
        return None
