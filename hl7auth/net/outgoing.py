"""All destinations of all channels in one process: a dispatcher each, started, woken and stopped together.

Imports twisted, flow, store.forwards, store.queue, net and errors.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from sqlalchemy import Engine
from twisted.internet import defer

from hl7auth.flow.channel import Channel
from hl7auth.flow.channel_links import asked, keeps_waiting
from hl7auth.flow.decision import Outcome
from hl7auth.flow.destination import Destination, full_name
from hl7auth.flow.figures import DestinationFigures
from hl7auth.flow.intake import Plan
from hl7auth.net.awaited import Awaited
from hl7auth.net.blocking import Threads
from hl7auth.net.dispatch import MOST, Dispatcher
from hl7auth.net.files import FileDrop
from hl7auth.net.http_post import HttpPost
from hl7auth.net.inward import Inward
from hl7auth.net.mllp_client import MllpClient
from hl7auth.net.parcel import Sender, World
from hl7auth.net.parting import Parting
from hl7auth.net.progress import Progress
from hl7auth.net.shaping import shaping_sender
from hl7auth.net.tending import Tending
from hl7auth.net.tls_files import Place
from hl7auth.store.forwards import Forwards
from hl7auth.store.queue import Queue


class Committer(Protocol):
    """What turns plans into outcomes: the store's journal."""

    def decide_ahead(self, plans: Sequence[Plan], /) -> None:
        """Decides before the turn."""

    def commit(self, plans: Sequence[Plan], /) -> list[Outcome]:
        """The outcomes in order; durable when this returns."""


class Waking:
    """A committer that tells the dispatchers of every commit, and the connections that wait for what others answer."""

    def __init__(self, committer: Committer, outgoing: "Outgoing", awaited: Awaited | None = None) -> None:
        self._committer = committer
        self._outgoing = outgoing
        self._awaited = awaited

    def commit(self, plans: Sequence[Plan]) -> list[Outcome]:
        """The outcomes, as the committer gives them."""
        outcomes = self._committer.commit(plans)
        self._outgoing.wake()
        if self._awaited is not None:
            self._awaited.look_soon()
        return outcomes

    def decide_ahead(self, plans: Sequence[Plan]) -> None:
        """As the committer does."""
        self._committer.decide_ahead(plans)


class Outgoing:
    """The dispatchers. `owner` names this process and this start of it, like nobody else.

    `inward`, set before the start, has the answers that come back and are messages in their own right.

    Raises ConfigError for steps that can not be used, and for files of TLS that are missing or wrong.
    """

    inward: Inward | None = None

    def __init__(self, world: World, engine: Engine, channels: Sequence[Channel], owner: str) -> None:
        self._world = world
        self._engine = engine
        self._owner = owner
        self._by_name: dict[str, Dispatcher] = {}
        self._counted: dict[str, Progress] = {}
        self._clients: dict[str, MllpClient] = {}
        self.dispatchers: tuple[Dispatcher, ...] = ()
        self._forwards = Forwards(engine)
        self._tending = Tending(world.reactor, self._forwards, self.wake)
        self._parting = Parting(world.reactor, self._forwards, self._returned, self.wake)
        self._answering: dict[str, Channel] = {}
        self._channels = {each.name: each for each in channels}
        for channel in channels:
            for name in channel.file.destinations:
                self._add(channel, name)
            self._answers(channel)

    async def change(self, before: Channel | None, after: Channel | None) -> None:
        """Destinations of a channel that has become another version, is new, or is gone.

        What is under way to one that changes is waited for a little, and else sent again; what is queued stays. One
        that is gone still takes the answers to what was forwarded to it.
        Raises ConfigError for an address that is none, or steps that can not be used.
        """
        self._know(before, after)
        for name in before.file.destinations if before else ():
            if before and not (after and _is_same(name, before, after)):
                full = full_name(before.name, name)
                dispatcher = self._by_name.pop(full)
                self._clients.pop(full, None)
                self.dispatchers = tuple(self._by_name.values())
                if after and name in after.file.destinations:
                    await dispatcher.stop()
                else:
                    await self._parting.see_off(full, dispatcher)
        for name in after.file.destinations if after else ():
            if after and (full := full_name(after.name, name)) not in self._by_name:
                await self._parting.end(full)
                self._add(after, name).start()
        if after is not None:
            self._answers(after)
            self._tend()

    def _know(self, before: Channel | None, after: Channel | None) -> None:
        if before is not None:
            self._channels.pop(before.name, None)
        if after is not None:
            self._channels[after.name] = after

    def _returned(self) -> set[str]:
        """The channels whose forwarded requests may be answered on a channel."""
        return {name for channel in self._channels.values() for name in channel.returns}

    def _answers(self, channel: Channel) -> None:
        """Who judges what comes back on the connections of a channel, and where answers may come later."""
        back = channel.for_answers()
        for name in channel.file.destinations:
            full = full_name(channel.name, name)
            self._answering[full] = back
            if full in self._clients:
                # what was forwarded before the channel became another is answered after it
                self._clients[full].takes_later |= name in asked(channel)

    def _tend(self) -> None:
        if any(keeps_waiting(each) for each in self._channels.values()):
            self._tending.start()

    def _add(self, channel: Channel, name: str) -> Dispatcher:
        destination, full = channel.file.destinations[name], full_name(channel.name, name)
        sender, queue = sender_for(self._world, full, destination, channel), Queue(self._engine, full, self._owner)
        if isinstance(sender, MllpClient):
            self._clients[full] = sender
            sender.further = partial(self._take_further, full)
        sender = shaping_sender(self._world.reactor, channel, name, sender)
        most = max(MOST, destination.file.batch if destination.file else 0)
        counted = self._counted[full] = Progress(self._counted.get(full))
        made = self._by_name[full] = Dispatcher(
            self._world, queue, sender, destination.policy, most=most, takes=partial(self._take, full), progress=counted
        )
        self.dispatchers = tuple(self._by_name.values())
        return made

    def start(self) -> None:
        """Begins to send. Raises ConfigError for an address that is none."""
        for dispatcher in self.dispatchers:
            dispatcher.start()
        self._tend()
        self._resume()

    def _resume(self) -> None:
        """Requests may have been forwarded before this process began, by channels that were other ones then."""
        awaited = self._forwards.awaited()
        for name in awaited.keys() & self._clients.keys():
            self._clients[name].takes_later = True
        if awaited:
            self._tending.start()
            self._parting.abandon(self._forwards.abandoned(self._channels, self._by_name))

    @property
    def figures(self) -> tuple[DestinationFigures, ...]:
        """How it goes with each destination."""
        return tuple(dispatcher.figures for dispatcher in self.dispatchers)

    def renew(self) -> bool:
        """Reads the certificates of all destinations anew; False where some are wrong: those stay as they are."""
        return all([client.renew() for client in self._clients.values()])

    def wake(self) -> None:
        """Something may have been queued."""
        for dispatcher in self.dispatchers:
            dispatcher.wake()
        self._parting.wake()

    def look(self) -> None:
        """Takes answers that are there, and sends what comes next: in the middle of a long turn of the reactor."""
        for client in tuple(self._clients.values()):
            client.look()

    def _take(self, destination: str, raw: bytes, then: Callable[[Outcome], None]) -> None:
        assert self.inward is not None
        self.inward.take(self._answering[destination], destination, raw, then, is_exchange=False)

    def _take_further(self, destination: str, raw: bytes, receipt: Callable[[bytes | None], None]) -> None:
        assert self.inward is not None
        channel = self._answering[destination]
        self.inward.take(channel, destination, raw, lambda outcome: receipt(outcome.accept_ack), is_exchange=True)

    def stop(self) -> "defer.Deferred[Any]":
        """Ends all, each with a little time for the answers to what it sent."""
        ending = [dispatcher.stop() for dispatcher in self.dispatchers]
        ended = defer.gatherResults([*ending, self._parting.stop()])
        self._tending.close()
        return ended


def _is_same(name: str, before: Channel, after: Channel) -> bool:
    """Nothing changes for a destination; its steps may read tables and modules, and speak for the whole channel."""
    one, other = before.file.destinations[name], after.file.destinations.get(name)
    return one == other and (not one.steps or before.version == after.version)


def sender_for(world: World, name: str, destination: Destination, channel: Channel) -> Sender:
    """The sender of a destination of a channel. Raises ConfigError for files of TLS that are missing or wrong."""
    short = name.rpartition("/")[2]
    if destination.mllp is not None:
        if destination.mllp.secured is None:
            return MllpClient(world, name, destination.mllp)
        from hl7auth.net.secure_session import SecureClient

        return SecureClient(world, name, Place(channel, ("destinations", short, "mllp", "tls")))
    if destination.file is not None:
        return Threads(world.reactor, name, [FileDrop(destination.file, world.now)], destination.file.batch or MOST)
    assert destination.http is not None
    where = Place(channel, ("destinations", short, "http", "tls"))
    works = [HttpPost(destination.http, where) for _ in range(destination.http.connections)]
    return Threads(world.reactor, name, works)
