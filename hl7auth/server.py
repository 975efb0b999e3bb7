"""The processes of the engine, put together: one that does all, or a parent with workers; and an orderly end.

Imports twisted and everything below.
"""

import logging
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from typing import Protocol as Interface

from sqlalchemy import Engine
from twisted.internet import defer, error
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from hl7auth.errors import UserError
from hl7auth.flow.channel import Channel
from hl7auth.flow.channel_reach import choices
from hl7auth.net.board import Board, batch_figures, channel_figures
from hl7auth.net.collector import calm_the_collector
from hl7auth.net.door import Door
from hl7auth.net.entrance import entrance
from hl7auth.net.intake import Intake
from hl7auth.net.listener import MllpFactory
from hl7auth.net.lookout import Sources
from hl7auth.net.outgoing import Outgoing, Waking
from hl7auth.net.overdue import Watch, watches_of
from hl7auth.net.pair import READY, STOPPING, Pair
from hl7auth.net.parcel import World
from hl7auth.net.ports import endpoint_of, listen, listening, plain_endpoint_of
from hl7auth.net.seen import NOBODY, Outside, Seen
from hl7auth.net.shaping import Preparing, check_steps, forget_in_tables
from hl7auth.net.turns import SharedTurn
from hl7auth.net.workers import BOARD, HEAR, PAIR, RING, Setup, Workers
from hl7auth.observe import ids, log, log_to_stderr, now
from hl7auth.rules.edition import take_over
from hl7auth.store.channel_versions import keep_versions
from hl7auth.store.database import open_database, require_current, upgrade
from hl7auth.store.journal import Journal
from hl7auth.store.links import overdue
from hl7auth.store.turn import Turn

GRACE_SECONDS = 5.0
"""How long connections get, at the end, to take the replies of what was received."""

Announce = Callable[[str], None]


class Service:
    """What serves connections in one process: channels over one database. As a worker it shares the database."""

    def __init__(self, channels: Sequence[Channel], database: str, reactor: Any, worker: int | None = None) -> None:
        self._reactor = reactor
        self._engine = open_database(database)
        self.board = Board(len(channels), None if worker is None else BOARD)
        if worker is None:
            upgrade(self._engine)
            forget_in_tables(self._engine, channels)
            keep_versions(self._engine, channels, now())
        else:
            require_current(self._engine)
        self._lock = None if worker is None else Turn(self._engine)
        turn = None if self._lock is None else SharedTurn(reactor, self._lock, HEAR, RING)
        new_id = ids(worker=worker)
        self._journal = Journal(self._engine, new_id if worker is not None else None)
        # of several processes the parent sends: a destination sees the connections that it was promised
        self.outgoing = _outgoing(reactor, self._engine, channels if worker is None else ())
        self.intake = Intake(reactor, Waking(self._journal, self.outgoing), new_id, turn, self.board)
        self.factories: list[MllpFactory] = []
        self._preparing: list[Preparing] = []
        self._watches: list[Watch] = []
        for channel in channels:
            for choice in choices(channel.file):
                for version in choice.versions:
                    channel.compiled(choice.profile, version)

    def factory(self, number: int, channel: Channel, left: Callable[[], None] | None = None) -> MllpFactory:
        """The factory of a channel's connections; its frames go by its Python steps if it has any."""
        slots = self.board.channel(number)
        queue = Preparing(self.intake, channel) if channel.steps.calls else None
        self._preparing += [queue] if queue else []
        factory = MllpFactory(channel, self.intake, left, slots, queue)
        self.factories.append(factory)
        self._watches += watches_of(factory, self.intake, partial(overdue, self._engine))
        return factory

    async def finish(self) -> None:
        """What was received is committed and answered; then everything is closed."""
        connections = [connection for factory in self.factories for connection in list(factory.connections)]
        for watch in self._watches:
            watch.stop()
        for connection in connections:
            connection.close_when_answered()
        await self._until_closed()
        for each in self._preparing:
            each.close()
        await self.outgoing.stop()
        self._journal.close()
        self._engine.dispose()
        if self._lock is not None:
            self._lock.close()

    async def _until_closed(self) -> None:
        deadline = self._reactor.seconds() + GRACE_SECONDS
        while self._busy() and self._reactor.seconds() < deadline:
            pause: defer.Deferred[None] = defer.Deferred()
            self._reactor.callLater(0.02, pause.callback, None)
            await pause

    def _busy(self) -> bool:
        waiting = self.intake.waiting or any(each.waiting for each in self._preparing)
        return bool(waiting) or any(factory.connections for factory in self.factories)


class Server:
    """One process that does all. `announce` is called with a line per listener when ready."""

    def __init__(
        self, channels: Sequence[Channel], database: str, reactor: Any, announce: Announce, outside: Outside = NOBODY
    ) -> None:
        self._reactor = reactor
        self._announce = announce
        self._channels = channels
        self._service = Service(channels, database, reactor)
        self._ports: list[Any] = []
        self._seen = Seen(reactor, database, self._sources(), channels, outside) if outside else None

    async def start(self) -> None:
        """Listens on every channel. Raises UserError or ConfigError naming the channel that can not listen."""
        shown = await self._seen.start() if self._seen is not None else ""
        for number, channel in enumerate(self._channels):
            endpoint, factory = endpoint_of(self._reactor, channel), self._service.factory(number, channel)
            port = await listen(endpoint, channel, entrance(factory))
            self._ports.append(port)
            self._announce(listening(channel, port))
        self._service.outgoing.start()
        if shown:
            self._announce(shown)

    async def stop(self) -> None:
        """No new connections; what was received is committed and answered; then everything is closed."""
        log("server.stopping", "stopping")
        ports, self._ports = self._ports, []
        for port in ports:
            await defer.maybeDeferred(port.stopListening)
        await self._service.finish()
        if self._seen is not None:
            await self._seen.stop()

    def _sources(self) -> Sources:
        service, names = self._service, [channel.name for channel in self._channels]
        boards = [service.board]

        def connections(number: int) -> int:
            return len(service.factories[number].connections) if number < len(service.factories) else 0

        return Sources(
            lambda: channel_figures(names, boards, lambda number: number < len(self._ports), connections),
            lambda: service.outgoing.figures,
            lambda: batch_figures(boards),
            lambda: (1, 1),
        )


class Parent:
    """Listens, and gives every connection to one of its worker processes (docs/why/workers.md)."""

    def __init__(
        self,
        channels: Sequence[Channel],
        database: str,
        reactor: Any,
        announce: Announce,
        workers: int,
        outside: Outside = NOBODY,
    ) -> None:
        self._reactor = reactor
        self._announce = announce
        self._channels = channels
        self._engine = open_database(database)
        self._lock = Turn(self._engine)
        upgrade(self._engine)
        forget_in_tables(self._engine, channels)
        keep_versions(self._engine, channels, now())
        self._doors: list[Door] = []
        self._stopping = False
        self._workers = Workers(reactor, workers, database, channels, self._left)
        turn = SharedTurn(reactor, self._lock, *self._workers.bell)
        self._outgoing = _outgoing(reactor, self._engine, channels, turn)
        self._board = Board(len(channels))
        self._seen = Seen(reactor, database, self._sources(workers), channels, outside) if outside else None

    async def start(self) -> None:
        """Listens on every channel, and accepts when all workers are ready. Raises UserError or ConfigError."""
        shown = await self._seen.start() if self._seen is not None else ""
        wanted = [plain_endpoint_of(self._reactor, channel) for channel in self._channels]
        for number, (channel, endpoint) in enumerate(zip(self._channels, wanted, strict=True)):
            port = await listen(endpoint, channel, Factory())
            door = Door(self._reactor, channel, port, self._hand(number), self._board.channel(number))
            self._doors.append(door)
        await self._workers.start()
        if self._stopping:
            return
        for door in self._doors:
            door.start()
            self._announce(listening(door.channel, door.port))
        self._outgoing.start()
        if shown:
            self._announce(shown)

    async def stop(self) -> None:
        """No new connections; the workers commit and answer what they received, and end."""
        self._stopping = True
        log("server.stopping", "stopping")
        for door in self._doors:
            door.close()
            await defer.maybeDeferred(door.port.stopListening)
        await self._outgoing.stop()
        await self._workers.stop(GRACE_SECONDS + 1)
        if self._seen is not None:
            await self._seen.stop()
        self._engine.dispose()
        self._lock.close()

    def _sources(self, workers: int) -> Sources:
        names = [channel.name for channel in self._channels]

        def boards() -> list[Board]:
            return [self._board, *self._workers.boards]

        return Sources(
            lambda: channel_figures(names, boards(), self._is_open, self._connections),
            lambda: self._outgoing.figures,
            lambda: batch_figures(boards()),
            lambda: (workers, self._workers.serving),
        )

    def _connections(self, number: int) -> int:
        return self._doors[number].open if number < len(self._doors) else 0

    def _is_open(self, number: int) -> bool:
        return number < len(self._doors) and self._doors[number].is_open

    def _hand(self, number: int) -> Callable[[socket.socket], bool]:
        return lambda connection: self._workers.hand(number, connection)

    def _left(self, channel: int, count: int) -> None:
        self._doors[channel].left(count)


class Worker:
    """One of the processes of a parent. Serves the connections that it is given, until there is no parent."""

    def __init__(self, setup: Setup, reactor: Any, end: socket.socket) -> None:
        self._reactor = reactor
        self._service = Service(setup.channels, setup.database, reactor, setup.number)
        self._pair = Pair(reactor, end, self._take, self._end)
        for number, channel in enumerate(setup.channels):
            self._service.factory(number, channel, self._leaver(number))
        self._entrances = [entrance(factory) for factory in self._service.factories]

    async def start(self) -> None:
        """Tells the parent. An interrupt from the keyboard reaches us too, but it is the parent who ends us."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._pair.say(READY)

    async def stop(self) -> None:
        """What was received is committed and answered; then everything is closed."""
        self._pair.say(STOPPING)
        self._pair.deaf()
        await self._service.finish()

    def _end(self) -> None:
        """The parent is gone, or wants no more."""
        with suppress(error.ReactorNotRunning):
            self._reactor.stop()

    def _leaver(self, number: int) -> Callable[[], None]:
        return lambda: self._pair.say(number)

    def _take(self, number: int, descriptor: int | None) -> None:
        assert descriptor is not None
        with socket.socket(fileno=descriptor) as connection:
            try:
                self._reactor.adoptStreamConnection(descriptor, connection.family, self._entrances[number])
            except OSError:
                self._pair.say(number)  # it ended on its way


def _outgoing(reactor: Any, engine: Engine, channels: Sequence[Channel], turn: SharedTurn | None = None) -> Outgoing:
    """The dispatchers of this process, under a name that no other process and no other start of it has."""
    owner = f"{socket.gethostname()}:{os.getpid()}:{ids()()}"
    return Outgoing(World(reactor, now, random.random, turn), engine, channels, owner)


class Program(Interface):
    """What runs on a reactor."""

    async def start(self) -> None:
        """When the reactor runs."""

    async def stop(self) -> None:
        """Before the reactor stops."""


def run(
    channels: Sequence[Channel], database: str, announce: Announce, workers: int = 1, outside: Outside = NOBODY
) -> None:
    """Serves until SIGINT or SIGTERM. Raises UserError when it can not start."""
    from twisted.internet import reactor

    check_steps(channels)
    if workers == 1:
        _run(reactor, Server(channels, database, reactor, announce, outside))
    else:
        _run(reactor, Parent(channels, database, reactor, announce, workers, outside))


def run_worker() -> None:
    """Serves what the parent gives to the descriptor PAIR, until its end. The setup is on standard input."""
    from twisted.internet import reactor

    log_to_stderr()
    setup = Setup.model_validate_json(sys.stdin.buffer.read())
    take_over(setup.editions)
    try:
        _run(reactor, Worker(setup, reactor, socket.socket(fileno=PAIR)))
    except UserError as fault:
        log("worker.failed", str(fault), level=logging.ERROR, worker=setup.number)
        sys.exit(2)


def _run(reactor: Any, program: Program) -> None:
    """Runs the reactor, which is a module that is also an object: mypy would see the module."""
    failures: list[BaseException] = []

    def give_up(failure: Failure) -> None:
        failures.append(failure.value or UserError(str(failure)))
        with suppress(error.ReactorNotRunning):  # it was told to stop while it started
            reactor.stop()

    def begin() -> None:
        defer.Deferred.fromCoroutine(program.start()).addErrback(give_up)

    calm_the_collector()
    reactor.callWhenRunning(begin)
    reactor.addSystemEventTrigger("before", "shutdown", lambda: defer.Deferred.fromCoroutine(program.stop()))
    reactor.run()
    if failures:
        raise failures[0]


if __name__ == "__main__":
    run_worker()
