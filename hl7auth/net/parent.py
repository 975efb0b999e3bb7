"""The parent of an engine in several processes: it listens, and gives each connection to a worker.

Imports flow, store, net and observe only.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hl7auth.flow.alert import Alerts
from hl7auth.flow.change import Change
from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Outcome
from hl7auth.net.board import LAST, SLOT, SPARE, Board, batch_figures, channel_figures
from hl7auth.net.door import Door
from hl7auth.net.ear import Ear
from hl7auth.net.entrance import check_tls
from hl7auth.net.intake import Intake
from hl7auth.net.inward import Inward
from hl7auth.net.lookout import Sources
from hl7auth.net.numbers import Numbers
from hl7auth.net.outgoing import Waking
from hl7auth.net.ports import Port, Ports, listening, plain_endpoint_of
from hl7auth.net.seen import NOBODY, Outside, Seen
from hl7auth.net.service import GRACE_SECONDS, Announce, outgoing_of
from hl7auth.net.shaping import forget_in_tables
from hl7auth.net.turns import SharedTurn
from hl7auth.net.workers import Changes, Workers
from hl7auth.observe import ids, log, now
from hl7auth.store.channel_versions import keep_versions
from hl7auth.store.database import open_database, prepare
from hl7auth.store.journal import Journal
from hl7auth.store.notices import Notices
from hl7auth.store.turn import turn_of


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
        *,
        migrate: bool = True,
    ) -> None:
        self._reactor = reactor
        self._announce = announce
        self._database = database
        self._count_of_workers = workers
        self._size = len(channels) + SPARE
        self._numbers = Numbers(channels, self._size)
        self._ports = Ports(reactor, plain_endpoint_of)
        self._engine = open_database(database)
        self._lock = turn_of(self._engine)
        prepare(self._engine, migrate=migrate)
        forget_in_tables(self._engine, channels)
        keep_versions(self._engine, channels, now())
        self._doors: dict[int, Door] = {}
        self._stopping = False
        self._workers = Workers(reactor, workers, database, channels, self._left)
        turn = None if self._lock is None else SharedTurn(reactor, self._lock, *self._workers.bell)
        self._ear = Ear(reactor, Notices(self._engine))
        self._outgoing = outgoing_of(reactor, self._engine, channels, turn, hears=self._ear)
        self._ear.calls = (self._outgoing.wake,)
        self._board = Board(self._size)
        # what destinations bring back is taken in here, by a writer like those of the workers
        new_id = ids(worker=workers)
        self._journal = Journal(self._engine, new_id)
        intake = Intake(reactor, Waking(self._journal, self._outgoing), new_id, turn, self._board)
        self._outgoing.inward = Inward(intake, self._count)
        self._seen = Seen(reactor, database, self._sources(workers), channels, outside) if outside else None

    @property
    def channels(self) -> Mapping[str, Channel]:
        """The channels that are served, by their names."""
        return self._numbers.channels

    def share(self) -> None:
        """Others may write to the database: the workers do so already."""

    async def start(self) -> None:
        """Listens on every channel, and accepts when all workers are ready. Raises UserError or ConfigError."""
        shown = await self._seen.start() if self._seen is not None else ""
        for channel in self.channels.values():
            plain_endpoint_of(self._reactor, channel)
            check_tls(channel)
        for number, channel in self._numbers.items():
            self._door(number, channel, await self._ports.open(channel))
        await self._workers.start()
        if self._stopping:
            return
        for door in self._doors.values():
            door.start()
            self._announce(listening(door.channel, door.port))
        self._outgoing.start()
        self._ear.open()
        if shown:
            self._announce(shown)

    async def change(self, changes: Sequence[Change]) -> Mapping[str, str]:
        """Makes the changes; returns those that could not be made, by channel, with the reason."""
        refused = self._numbers.too_many(changes)
        moves = await self._ports.move([each for each in changes if each.name not in refused])
        refused |= moves.refused
        made = [each for each in changes if each.name not in refused]
        moved = [self._numbers.of(each.name) for each in made if each.before and each.name in moves.new]
        gone = [self._numbers.remove(each.name) for each in made if each.after is None]
        for number in (*moved, *gone):
            self._doors[number].let_go()
        put = {self._numbers.put(each.after): each.after for each in made if each.after is not None}
        await self._workers.change(Changes(channels=put, moved=tuple(moved), gone=tuple(gone)))
        for number in gone:
            self._doors.pop(number).close()
        for number, channel in put.items():
            self._open(number, channel, moves.new.get(channel.name))
        await self._ports.settle(made, moves)
        for each in made:
            await self._outgoing.change(each.before, each.after)
        if self._seen is not None:
            self._seen.serves(list(self.channels.values()))
        return refused

    async def watch(self, alerts: Alerts | None) -> None:
        """These are the alerts from now on; None for no alerts."""
        if self._seen is not None:
            self._seen.watches(alerts)
        elif alerts is not None:
            channels, outside = list(self.channels.values()), Outside(alerts=alerts)
            self._seen = Seen(self._reactor, self._database, self._sources(self._count_of_workers), channels, outside)
            await self._seen.start()

    async def renew_certificates(self) -> bool:
        """Reads those of destinations anew, for the parent sends, and has the workers read theirs; False where some
        of destinations are wrong. A worker logs what is wrong with its own."""
        if any(channel.file.tls is not None for channel in self.channels.values()):
            await self._workers.change(Changes(renew=True))
        if self._seen is not None:  # their ends are looked at seldom otherwise
            self._seen.serves(list(self.channels.values()))
        return self._outgoing.renew()

    async def stop(self) -> None:
        """No new connections; the workers commit and answer what they received, and end."""
        self._stopping = True
        log("server.stopping", "stopping")
        for door in self._doors.values():
            door.close()
        await self._ports.stop()
        self._ear.close()
        await self._outgoing.stop()
        self._journal.close()
        await self._workers.stop(GRACE_SECONDS + 1)
        if self._seen is not None:
            await self._seen.stop()
        self._engine.dispose()
        if self._lock is not None:
            self._lock.close()

    def _open(self, number: int, channel: Channel, new: Port | None) -> None:
        door = self._doors.get(number)
        if door is None:
            assert new is not None
            self._door(number, channel, new).start()
        else:
            if new is not None:
                door.take(new.it)
                new.door = door
            door.become(channel)
        if new is not None:
            self._announce(listening(channel, new.it))

    def _door(self, number: int, channel: Channel, port: Port) -> Door:
        door = Door(self._reactor, channel, port.it, self._hand(number), self._board.channel(number))
        port.door = self._doors[number] = door
        return door

    def _sources(self, workers: int) -> Sources:
        def boards() -> list[Board]:
            return [self._board, *self._workers.boards]

        return Sources(
            lambda: channel_figures(self._numbers.names(), boards(), self._is_open, self._connections),
            lambda: self._outgoing.figures,
            lambda: batch_figures(boards()),
            lambda: (workers, self._workers.serving),
        )

    def _count(self, name: str, outcome: Outcome) -> None:
        """One more of a channel, that came back from a destination."""
        if name in self.channels:
            slots = self._board.channel(self._numbers.of(name))
            slots[SLOT[outcome.disposition]] += 1
            slots[LAST] = outcome.plan.received_at

    def _connections(self, number: int) -> int:
        door = self._doors.get(number)
        return door.open if door else 0

    def _is_open(self, number: int) -> bool:
        door = self._doors.get(number)
        return door is not None and door.is_open

    def _hand(self, number: int) -> Callable[[socket.socket], bool]:
        return lambda connection: self._workers.hand(number, connection)

    def _left(self, channel: int, count: int) -> None:
        if door := self._doors.get(channel):
            door.left(count)
