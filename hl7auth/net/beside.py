"""A process of its own beside the engine, which ends with it and is started again when it ends by itself.

Imports twisted, observe and errors only.

The API gets a socket that listens already as descriptor LISTENS, so that a taken port stops the start of the engine
with a sentence. The standard input is a pipe, of which it reads its setup to the first line end; each line after it
names the channels that are served from then on, as JSON. The pipe ends when the engine does, however that ends.
"""

import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Collection
from typing import Any, BinaryIO

from twisted.internet import defer
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from hl7auth.errors import UserError
from hl7auth.observe import log

LISTENS = 3
RESTART_SECONDS = 0.5
MAX_RESTART_SECONDS = 30.0
"""Also how long it has to live to be trusted again."""
END_SECONDS = 10.0
"""How long it may take to end when it is told to."""

_NAMES = {
    "hl7auth.api.process": ("api", "the process of the API"),
    "hl7auth.api.following": ("following", "the process that has balances follow what comes in"),
    "hl7auth.desk.process": ("desk", "the process that decides by rules"),
}
"""Of modules: how the log calls them."""


def listening_socket(address: str) -> socket.socket:
    """A socket that listens at ADDRESS:PORT, on the loopback where only a port is given. Raises UserError."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdecimal() or int(port) > 65_535:
        raise UserError(f"'{address}' is no ADDRESS:PORT for the API")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, int(port)))
        made.listen(1024)
    except OSError as error:
        made.close()
        raise UserError(f"the API can not listen at {address}: {(error.strerror or str(error)).lower()}") from None
    return made


def hear(source: BinaryIO, served: Callable[[list[str]], object]) -> None:
    """On the side of the process: `served` hears the names of channels, each time; comes back when the engine ends."""
    for line in iter(source.readline, b""):
        served(json.loads(line))


class Beside(ProcessProtocol):
    """One process, of the module `module`; `setup` is one line of text. The API `listens`."""

    def __init__(self, reactor: Any, module: str, setup: str, listens: socket.socket | None = None) -> None:
        self._reactor = reactor
        self._module = module
        self._setup = setup
        self._listens = listens
        self._process: Any = None
        self._pause = RESTART_SECONDS
        self._began = 0.0
        self._later: Any = None
        self._ended: defer.Deferred[None] | None = None
        self._served = b""

    def start(self) -> None:
        """Starts it."""
        self._later = None
        self._began = self._reactor.seconds()
        descriptors: dict[int, Any] = {0: "w", 1: 1, 2: 2}
        if self._listens is not None:
            descriptors[LISTENS] = self._listens.fileno()
        command = [sys.executable, "-m", self._module]
        self._process = self._reactor.spawnProcess(self, sys.executable, command, os.environ, childFDs=descriptors)
        self._process.write(self._setup.encode() + b"\n" + self._served)

    def tell(self, served: Collection[str]) -> None:
        """The channels that are served from now on, whose files may say something else than before."""
        self._served = json.dumps([*served]).encode() + b"\n"
        if self._process is not None:
            self._process.write(self._served)

    async def stop(self) -> None:
        """Ends it, and waits until it has ended."""
        if self._later is not None:
            self._later.cancel()
        elif self._process is not None:
            self._ended = defer.Deferred()
            self._process.closeStdin()
            kill = self._reactor.callLater(END_SECONDS, self._process.signalProcess, "KILL")
            await self._ended
            if kill.active():
                kill.cancel()
        if self._listens is not None:
            self._listens.close()

    def processEnded(self, reason: Failure) -> None:  # noqa: N802 - Twisted's name
        """It is gone: as it was told, or to be started again, after a pause that grows."""
        self._process = None
        if self._ended is not None:
            self._ended.callback(None)
            return
        lived = self._reactor.seconds() - self._began
        self._pause = RESTART_SECONDS if lived > MAX_RESTART_SECONDS else min(self._pause * 2, MAX_RESTART_SECONDS)
        code = getattr(reason.value, "exitCode", None)
        name, what = _NAMES[self._module]
        log(f"{name}.ended", f"{what} ended; it is started again", level=logging.ERROR, status=code)
        self._later = self._reactor.callLater(self._pause, self.start)
