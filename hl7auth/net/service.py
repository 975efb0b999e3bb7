"""What serves connections in one process, whether it is alone or a worker: channels over one database.

Imports twisted, sqlalchemy, flow, store, net and observe only.
"""

import os
import random
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from sqlalchemy import Engine
from twisted.internet import defer

from hl7auth.flow.channel import Channel
from hl7auth.flow.channel_reach import choices
from hl7auth.flow.decision import Outcome
from hl7auth.net.awaited import Awaited
from hl7auth.net.board import Board
from hl7auth.net.ear import Ear
from hl7auth.net.intake import Intake
from hl7auth.net.inward import Inward
from hl7auth.net.listener import MllpFactory
from hl7auth.net.outgoing import Outgoing, Waking
from hl7auth.net.overdue import Watch, watches_of
from hl7auth.net.parcel import World
from hl7auth.net.riding import Riding
from hl7auth.net.shaping import Held, Preparing, forget_in_tables
from hl7auth.net.turns import SharedTurn
from hl7auth.net.workers import BOARD, HEAR, RING
from hl7auth.observe import ids, now
from hl7auth.store.channel_versions import keep_versions
from hl7auth.store.database import open_database, prepare, require_current
from hl7auth.store.forwards import Forwards
from hl7auth.store.journal import Journal
from hl7auth.store.links import overdue
from hl7auth.store.notices import Notices
from hl7auth.store.turn import turn_of

GRACE_SECONDS = 5.0
"""How long connections get, at the end, to take the replies of what was received."""

Announce = Callable[[str], None]


class Service:
    """What serves connections in one process: channels, by their numbers, over one database.

    As a worker it shares the database. There may be `size` channels in all, as long as it runs.
    """

    def __init__(
        self,
        channels: Mapping[int, Channel],
        size: int,
        database: str,
        reactor: Any,
        worker: int | None = None,
        *,
        migrate: bool = True,
        writers: bool = False,
    ) -> None:
        self._reactor = reactor
        self._engine = open_database(database)
        self.board = Board(size, None if worker is None else BOARD)
        if worker is None:
            _prepared(self._engine, list(channels.values()), migrate=migrate)
        else:
            require_current(self._engine)
        self._lock = None if worker is None else turn_of(self._engine)
        turn = None if self._lock is None else SharedTurn(reactor, self._lock, HEAR, RING)
        new_id = ids(worker=worker)
        # what is sent on is written together with what comes in, where one process does both
        riding = (
            Riding(lambda: self.outgoing.dispatchers)
            if worker is None and self._engine.dialect.name == "sqlite"
            else None
        )
        hooks = (riding.beside, riding.kept) if riding is not None else ()
        self._journal = Journal(self._engine, new_id if worker is not None or writers else None, *hooks)
        self.share = partial(self._journal.share, new_id)
        # of several processes the parent sends: a destination sees the connections that it was promised
        self.ear = Ear(reactor, Notices(self._engine))
        sends = list(channels.values()) if worker is None else ()
        self.outgoing = outgoing_of(reactor, self._engine, sends, hears=self.ear)
        self._awaited = Awaited(reactor, Forwards(self._engine))
        self.ear.calls = (self.outgoing.wake, self._awaited.look_soon)
        self.intake = Intake(reactor, Waking(self._journal, self.outgoing, self._awaited), new_id, turn, self.board)
        self.intake.behind = self._journal.tidy
        if worker is None:  # else the parent sends
            self.intake.between = self.outgoing.look
        self.outgoing.inward = Inward(self.intake, self._count)
        self.factories: dict[int, MllpFactory] = {}
        self._leaving: list[MllpFactory] = []
        self._preparing: list[Preparing] = []
        self._watches: dict[int, list[Watch]] = {}
        _compile(channels.values())

    def factory(self, number: int, channel: Channel, left: Callable[[], None] | None = None) -> MllpFactory:
        """The factory of a channel's connections; its frames go by its Python steps if it has any."""
        slots = self.board.channel(number)
        made = MllpFactory(channel, self.intake, left, slots, self._queue(channel), self._awaited)
        self.factories[number] = made
        self._watch(number)
        return made

    async def become(self, number: int, channel: Channel) -> None:
        """A channel goes on as another version. What is under way ends under the one before, also in Python steps."""
        factory = self.factories[number]
        before = factory.queue
        if isinstance(before, Preparing):
            held = factory.queue = Held()
            while before.waiting:
                await self._moment()
            self._stop_preparing(before)
        self.intake.plan_waiting()
        queue = self._queue(channel)
        factory.become(channel, queue)
        self._watch(number)
        if isinstance(before, Preparing):
            held.release(queue or self.intake)

    def dismiss(self, number: int) -> None:
        """A channel is served no more: its connections end as soon as what they sent is answered."""
        factory = self.factories.pop(number)
        self._stop_watching(number)
        self._leaving.append(factory)
        for connection in list(factory.connections):
            connection.close_when_answered()
        defer.Deferred.fromCoroutine(self._see_off(factory))

    async def finish(self) -> None:
        """What was received is committed and answered; then everything is closed."""
        factories = [*self.factories.values(), *self._leaving]
        for number in list(self._watches):
            self._stop_watching(number)
        for connection in [connection for factory in factories for connection in list(factory.connections)]:
            connection.close_when_answered()
        deadline = self._reactor.seconds() + GRACE_SECONDS
        while self._busy() and self._reactor.seconds() < deadline:
            await self._moment()
        for connection in [connection for factory in factories for connection in list(factory.connections)]:
            cast(
                Any, connection.transport
            ).abortConnection()  # who still waits for somebody else's answer sends its message again
        for each in self._preparing:
            each.close()
        self.ear.close()
        await self.outgoing.stop()
        self._awaited.close()
        self._journal.close()
        self._engine.dispose()
        if self._lock is not None:
            self._lock.close()

    def _count(self, name: str, outcome: Outcome) -> None:
        """One more of a channel, that came back from a destination."""
        for factory in self.factories.values():
            if factory.channel.name == name:
                factory.count(outcome)

    async def _see_off(self, factory: MllpFactory) -> None:
        while factory.connections:
            await self._moment()
        self._leaving.remove(factory)
        if isinstance(factory.queue, Preparing):
            self._stop_preparing(factory.queue)

    def _watch(self, number: int) -> None:
        self._stop_watching(number)
        found = watches_of(self.factories[number], self.intake, partial(overdue, self._engine))
        if found:
            self._watches[number] = found

    def _stop_watching(self, number: int) -> None:
        for watch in self._watches.pop(number, ()):
            watch.stop()

    def _queue(self, channel: Channel) -> Preparing | None:
        if not channel.steps.calls:
            return None
        self._preparing.append(Preparing(self.intake, channel))
        return self._preparing[-1]

    def _stop_preparing(self, queue: Preparing) -> None:
        queue.close()
        self._preparing.remove(queue)

    def _moment(self) -> "defer.Deferred[None]":
        pause: defer.Deferred[None] = defer.Deferred()
        self._reactor.callLater(0.02, pause.callback, None)
        return pause

    def _busy(self) -> bool:
        waiting = self.intake.waiting or any(each.waiting for each in self._preparing)
        factories = [*self.factories.values(), *self._leaving]
        return bool(waiting) or any(factory.connections for factory in factories)


def _prepared(engine: Engine, channels: list[Channel], *, migrate: bool) -> None:
    prepare(engine, migrate=migrate)
    forget_in_tables(engine, channels)
    keep_versions(engine, channels, now())


def _compile(channels: Iterable[Channel]) -> None:
    """Every profile for every version, now: no message has to wait for that."""
    for channel in channels:
        for choice in choices(channel.file):
            for version in choice.versions:
                channel.compiled(choice.profile, version)


def outgoing_of(
    reactor: Any, engine: Engine, channels: Sequence[Channel], turn: SharedTurn | None = None, *, hears: Ear
) -> Outgoing:
    """The dispatchers of this process, under a name that no other process and no other start of it has."""
    owner = f"{socket.gethostname()}:{os.getpid()}:{ids()()}"
    return Outgoing(World(reactor, now, random.random, turn, lambda: hears.listening), engine, channels, owner)
