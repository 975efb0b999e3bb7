"""The engine in one process, which does all.

Imports flow, net and observe only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hl7auth.flow.alert import Alerts
from hl7auth.flow.change import Change
from hl7auth.flow.channel import Channel
from hl7auth.net.board import SPARE, batch_figures, channel_figures
from hl7auth.net.entrance import entrance, renew, strangers
from hl7auth.net.lookout import Sources
from hl7auth.net.numbers import Numbers
from hl7auth.net.ports import Port, Ports, endpoint_of, listening
from hl7auth.net.seen import NOBODY, Outside, Seen
from hl7auth.net.service import Announce, Service
from hl7auth.observe import log


class Server:
    """One process that does all. `announce` is called with a line per listener when ready.

    With `writers` others write to the database as well: ids are then given in the order of the commits.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        database: str,
        reactor: Any,
        announce: Announce,
        outside: Outside = NOBODY,
        *,
        migrate: bool = True,
        writers: bool = False,
    ) -> None:
        self._announce = announce
        self._reactor = reactor
        self._database = database
        self._size = len(channels) + SPARE
        numbered = dict(enumerate(channels))
        self._service = Service(numbered, self._size, database, reactor, migrate=migrate, writers=writers)
        self._numbers = Numbers(channels, self._size)
        self._ports = Ports(reactor, endpoint_of)
        self._seen = Seen(reactor, database, self._sources(), channels, outside) if outside else None

    @property
    def channels(self) -> Mapping[str, Channel]:
        """The channels that are served, by their names."""
        return self._numbers.channels

    def share(self) -> None:
        """From now on others write to the database as well."""
        self._service.share()

    async def start(self) -> None:
        """Listens on every channel. Raises UserError or ConfigError naming the channel that can not listen."""
        shown = await self._seen.start() if self._seen is not None else ""
        for number, channel in self._numbers.items():
            factory = self._service.factory(number, channel)
            port = await self._ports.open(channel)
            port.switch.to = entrance(factory)
            self._announce(listening(channel, port.it))
        self._service.outgoing.start()
        self._service.ear.open()
        if shown:
            self._announce(shown)

    async def change(self, changes: Sequence[Change]) -> Mapping[str, str]:
        """Makes the changes; returns those that could not be made, by channel, with the reason."""
        refused = self._numbers.too_many(changes)
        moves = await self._ports.move([each for each in changes if each.name not in refused])
        refused |= moves.refused
        made = [each for each in changes if each.name not in refused]
        for port in moves.old:
            port.switch.to = None
        for each in made:
            await self._make(each, moves.new.get(each.name))
        await self._ports.settle(made, moves)
        for each in made:
            await self._service.outgoing.change(each.before, each.after)
        if self._seen is not None:
            self._seen.serves(list(self.channels.values()))
        return refused

    async def _make(self, change: Change, new: Port | None) -> None:
        if change.after is None:
            self._service.dismiss(self._numbers.remove(change.name))
            return
        number = self._numbers.put(change.after)
        if change.before is None:
            factory = self._service.factory(number, change.after)
        else:
            await self._service.become(number, change.after)
            factory = self._service.factories[number]
            for connection in list(factory.connections) if new else strangers(factory):
                connection.close_when_answered()
        port = new or self._ports.by_channel[change.name]
        port.switch.to = entrance(factory)
        if new:
            self._announce(listening(change.after, port.it))

    async def watch(self, alerts: Alerts | None) -> None:
        """These are the alerts from now on; None for no alerts."""
        if self._seen is not None:
            self._seen.watches(alerts)
        elif alerts is not None:
            channels = list(self.channels.values())
            self._seen = Seen(self._reactor, self._database, self._sources(), channels, Outside(alerts=alerts))
            await self._seen.start()

    async def renew_certificates(self) -> bool:
        """Reads all certificates anew, for connections from now on; False where some are wrong: those stay.

        Without it they are looked at now and then, when somebody connects.
        """
        if self._seen is not None:  # their ends are looked at seldom otherwise
            self._seen.serves(list(self.channels.values()))
        entrances = [port.switch.to for port in self._ports.by_channel.values()]
        return all([*map(renew, entrances), self._service.outgoing.renew()])

    async def stop(self) -> None:
        """No new connections; what was received is committed and answered; then everything is closed."""
        log("server.stopping", "stopping")
        await self._ports.stop()
        await self._service.finish()
        if self._seen is not None:
            await self._seen.stop()

    def _sources(self) -> Sources:
        service = self._service

        def connections(number: int) -> int:
            factory = service.factories.get(number)
            return len(factory.connections) if factory else 0

        def is_open(number: int) -> bool:
            factory = service.factories.get(number)
            return factory is not None and factory.channel.name in self._ports.by_channel

        return Sources(
            lambda: channel_figures(self._numbers.names(), [service.board], is_open, connections),
            lambda: service.outgoing.figures,
            lambda: batch_figures([service.board]),
            lambda: (1, 1),
        )
