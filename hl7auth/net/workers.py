"""The worker processes as their parent sees them: started, given connections, restarted, stopped.

Imports twisted, pydantic, net.board, net.pair, flow.channel, rules, observe and errors.
"""

import logging
import os
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import IO, Any

from pydantic import BaseModel
from twisted.internet import defer
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from hl7auth.errors import UserError
from hl7auth.flow.channel import Channel
from hl7auth.net.board import SPARE, Board, shared_file
from hl7auth.net.pair import CHANGED, CHANGES, READY, STOPPING, Pair
from hl7auth.observe import log
from hl7auth.rules.edition import Edition, kept_edition
from hl7auth.rules.strict_yaml import Strict

PAIR, HEAR, RING, BOARD = 3, 4, 5, 6
"""The descriptors of a worker: its end of the pair, the ends of the pipe of net.turns, the file of its board; on 0 is
its setup."""

RESTART_SECONDS = 0.1
"""The pause before a worker that ended is started again; doubled each time, up to MAX_RESTART_SECONDS."""

MAX_RESTART_SECONDS = 10.0
"""Also how long a worker has to live to be trusted again."""

CHANGE_SECONDS = 30.0
"""How long a worker may take to work by changes: it has to finish what its Python steps are at."""

Channels = dict[int, Channel]
"""Channels by their numbers, which no two channels ever share."""

Left = Callable[[int, int], None]
"""Told that of a channel (its number) so many connections have ended."""


class Setup(Strict):
    """What a worker is told at its start. Channels and profiles as they were read, so that all workers work alike."""

    number: int
    database: str
    size: int
    channels: Channels
    editions: tuple[Edition, ...]


class Changes(Strict):
    """What a worker is told later: channels that are new or have become another version, and those that are gone.

    Connections of channels that have `moved` to another address end when they are answered. With `renew` certificates
    are read anew.
    """

    channels: Channels = {}
    editions: tuple[Edition, ...] = ()
    moved: tuple[int, ...] = ()
    gone: tuple[int, ...] = ()
    renew: bool = False


def _editions(channels: Iterable[Channel]) -> tuple[Edition, ...]:
    digests = dict.fromkeys(digest for channel in channels for digest in channel.editions.values())
    return tuple(kept_edition(digest) for digest in digests)


#: The texts of the files are for the store, which the parent writes
_NOT_TOLD: Any = {"channels": {"__all__": {"text"}}}


def _as_file(told: BaseModel) -> IO[bytes]:
    """A file without a name, to be read from its beginning."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it is given away
    # as it was written: a key that was left out is not the same as its default (accepts.messages)
    file.write(told.model_dump_json(by_alias=True, exclude_unset=True, exclude=_NOT_TOLD).encode())
    file.seek(0)
    return file


class WorkerProcess(ProcessProtocol):
    """One process. `ended` is called with itself and how it ended."""

    def __init__(
        self,
        reactor: Any,
        setup: Setup,
        inherited: tuple[int, int, int],
        left: Left,
        ended: Callable[["WorkerProcess", str], None],
    ) -> None:
        self.number = setup.number
        self.began: float = reactor.seconds()
        self.connections: Counter[int] = Counter()
        self.handed = 0
        self.serving = False
        self.ready: defer.Deferred[None] = defer.Deferred()
        self._reactor = reactor
        self._left = left
        self._ended = ended
        self._gone = False
        self._changing: defer.Deferred[None] | None = None
        ours, theirs = socket.socketpair()
        with theirs, _as_file(setup) as told:
            self._pair = Pair(reactor, ours, self._received, self._stopped_talking)
            descriptors = {0: told.fileno(), 1: 1, 2: 2, PAIR: theirs.fileno()}
            descriptors |= dict(zip((HEAR, RING, BOARD), inherited, strict=True))
            self._process = reactor.spawnProcess(
                self, sys.executable, _command(setup.number), os.environ,
                childFDs=descriptors,
            )  # fmt: skip

    def hand(self, channel: int, connection: socket.socket) -> bool:
        """Gives it a connection of a channel; False when it can not take one now."""
        if not self.serving or not self._pair.hand(channel, connection):
            return False
        self.connections[channel] += 1
        self.handed += 1
        return True

    async def change(self, told: IO[bytes]) -> None:
        """Has it work by changes; returns when it does, or has ended: then another begins with the channels of now."""
        changed = self._changing = defer.Deferred()
        deadline = self._reactor.seconds() + CHANGE_SECONDS
        while not self._gone and not self._pair.hand(CHANGES, told) and self._reactor.seconds() < deadline:
            await _moment(self._reactor)
        while not changed.called and not self._gone and self._reactor.seconds() < deadline:
            await _moment(self._reactor)
        self._changing = None
        if not changed.called and not self._gone:
            log("worker.stuck", "a worker did not take changes", level=logging.ERROR, worker=self.number)
            self.kill()

    def stop(self) -> None:
        """Asks for an orderly end."""
        self.serving = False
        self._pair.hang_up()

    def kill(self) -> None:
        """Ends it at once; what it did not answer can be sent again."""
        self._process.signalProcess("KILL")

    def processEnded(self, reason: Failure) -> None:  # noqa: N802 - Twisted's name
        """It is gone, and its connections with it."""
        self.serving, self._gone = False, True
        if self._pair.fileno() >= 0:
            self._pair.close()
        for channel, count in self.connections.items():
            self._left(channel, count)
        self.connections.clear()
        # Twisted's ProcessDone and ProcessTerminated have both
        status: Any = reason.value
        how = f"signal {status.signal}" if status.signal else f"exit status {status.exitCode}"
        if not self.ready.called:
            self.ready.errback(UserError(f"worker {self.number} ended before it was ready: {how}"))
        self._ended(self, how)

    def _received(self, word: int, _descriptor: int | None) -> None:
        if word == READY:
            self.serving = True
            self.ready.callback(None)
        elif word == STOPPING:
            self.serving = False
        elif word == CHANGED:
            if self._changing is not None:
                self._changing.callback(None)
        else:
            self.connections[word] -= 1
            self._left(word, 1)

    def _stopped_talking(self) -> None:
        self.serving = False


class Workers:
    """All of them. `left` is told of every connection that has ended, also with its worker."""

    def __init__(self, reactor: Any, count: int, database: str, channels: Sequence[Channel], left: Left) -> None:
        self._reactor = reactor
        self._count = count
        self._database = database
        self._size = len(channels) + SPARE
        self._channels = dict(enumerate(channels))
        self._left = left
        self._files: list[IO[bytes]] = []
        self.boards: list[Board] = []
        self.bell = os.pipe()
        for descriptor in self.bell:
            os.set_blocking(descriptor, False)
        self._running: dict[int, WorkerProcess] = {}
        self._restarts: dict[int, Any] = {}
        self._failures: Counter[int] = Counter()
        self._started = self._stopping = False

    async def start(self) -> None:
        """Returns when all are ready. Raises UserError when one ends instead."""
        for _ in range(self._count):
            self._files.append(shared_file(self._size))
            self.boards.append(Board(self._size, self._files[-1].fileno()))
        for number in range(self._count):
            self._start(number)
        try:
            await defer.gatherResults([worker.ready for worker in self._running.values()], consumeErrors=True)
        except defer.FirstError as first:
            fault = first.subFailure.value
            raise fault if fault is not None else first from None
        self._started = True

    async def stop(self, seconds: float) -> None:
        """Asks all for an orderly end, and kills those that are not gone after so long."""
        self._stopping = True
        for restart in self._restarts.values():
            restart.cancel()
        for worker in self._running.values():
            worker.stop()
        await self._until_gone(seconds)
        for worker in self._running.values():
            log("worker.killed", "a worker did not stop", level=logging.ERROR, worker=worker.number)
            worker.kill()
        await self._until_gone(seconds)
        for descriptor in self.bell:
            os.close(descriptor)
        for file in self._files:
            file.close()

    @property
    def serving(self) -> int:
        """How many can take connections now."""
        return sum(worker.serving for worker in list(self._running.values()))  # a thread asks

    def hand(self, channel: int, connection: socket.socket) -> bool:
        """Gives a connection to the worker with the fewest, else to the next; False when none can take it now."""
        by_load = sorted(self._running.values(), key=lambda worker: (worker.connections.total(), worker.handed))
        return any(worker.hand(channel, connection) for worker in by_load)

    async def change(self, changes: Changes) -> None:
        """Has all work by the changes; also those that start just now or later."""
        self._channels = {**self._channels, **changes.channels}
        for number in changes.gone:
            self._channels.pop(number, None)
        whole = changes.model_copy(update={"editions": _editions(changes.channels.values())})
        with ExitStack() as files:
            told = [(worker, files.enter_context(_as_file(whole))) for worker in self._running.values()]
            await defer.gatherResults([defer.Deferred.fromCoroutine(worker.change(file)) for worker, file in told])

    def _start(self, number: int) -> None:
        self._restarts.pop(number, None)
        channels = self._channels
        setup = Setup(
            number=number, database=self._database, size=self._size,
            channels=channels, editions=_editions(channels.values()),
        )  # fmt: skip
        worker = WorkerProcess(
            self._reactor, setup, (*self.bell, self._files[number].fileno()), self._left, self._ended
        )
        self._running[number] = worker
        if self._started:
            worker.ready.addCallbacks(
                lambda _: log("worker.ready", "a worker serves again", worker=number),
                lambda _: None,  # that it has ended is told and mended below
            )

    def _ended(self, worker: WorkerProcess, how: str) -> None:
        del self._running[worker.number]
        if self._stopping:
            return
        lived = self._reactor.seconds() - worker.began
        log("worker.ended", "a worker ended", level=logging.ERROR, worker=worker.number, how=how, seconds=round(lived))
        if not self._started:
            return
        self._failures[worker.number] = 0 if lived > MAX_RESTART_SECONDS else self._failures[worker.number] + 1
        pause = min(RESTART_SECONDS * 2 ** self._failures[worker.number], MAX_RESTART_SECONDS)
        again = self._reactor.callLater(pause, self._start, worker.number)
        self._restarts[worker.number] = again

    async def _until_gone(self, seconds: float) -> None:
        deadline = self._reactor.seconds() + seconds
        while self._running and self._reactor.seconds() < deadline:
            await _moment(self._reactor)


def _moment(reactor: Any) -> "defer.Deferred[None]":
    pause: defer.Deferred[None] = defer.Deferred()
    reactor.callLater(0.02, pause.callback, None)
    return pause


def _command(number: int) -> list[str]:
    """Finds modules where this process does: in the working directory only if it is on our path too."""
    own = [] if os.getcwd() in (os.path.abspath(path) for path in sys.path) else ["-P"]
    return [sys.executable, *own, "-m", "hl7auth.server", f"worker-{number}"]
