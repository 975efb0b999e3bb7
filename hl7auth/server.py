"""One process of the engine, put together: database, channels, listeners, and an orderly end.

Imports twisted and everything below.
"""

import gc
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet import defer, endpoints, error
from twisted.python.failure import Failure

from hl7auth.errors import ConfigError, UserError
from hl7auth.flow.channel import Channel
from hl7auth.net.listener import Intake, MllpFactory
from hl7auth.observe import ids, log
from hl7auth.rules.compiled import compiled
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.journal import Journal

GRACE_SECONDS = 5.0
"""How long connections get, at the end, to take the replies of what was received."""


class Server:
    """The listeners of some channels over one database. `announce` is called with a line per listener when ready."""

    def __init__(
        self, channels: Sequence[Channel], database: str, reactor: Any, announce: Callable[[str], None]
    ) -> None:
        self._reactor = reactor
        self._announce = announce
        self._channels = channels
        self._engine = open_database(database)
        upgrade(self._engine)
        self._journal = Journal(self._engine)
        self._intake = Intake(reactor, self._journal, ids())
        self._factories: list[MllpFactory] = []
        self._ports: list[Any] = []
        for channel in channels:
            for version in channel.file.accepts.versions:
                compiled(channel.file.profile, version)

    async def start(self) -> None:
        """Listens on every channel. Raises UserError or ConfigError naming the channel that can not listen."""
        for channel in self._channels:
            factory = MllpFactory(channel, self._intake)
            port = await self._listen(channel, factory)
            self._factories.append(factory)
            self._ports.append(port)
            host = port.getHost()
            where = f"tcp:{getattr(host, 'port', '?')}:interface={getattr(host, 'host', '?')}"
            log("listener.ready", "listening", channel=channel.name, address=where)
            self._announce(f"listening on {where} (channel {channel.name})")

    async def stop(self) -> None:
        """No new connections; what was received is committed and answered; then everything is closed."""
        log("server.stopping", "stopping")
        for port in self._ports:
            stopped: defer.Deferred[None] = defer.maybeDeferred(port.stopListening)
            await stopped
        connections = [connection for factory in self._factories for connection in list(factory.connections)]
        for connection in connections:
            connection.close_when_answered()
        await self._until_closed()
        self._journal.close()
        self._engine.dispose()

    async def _until_closed(self) -> None:
        deadline = self._reactor.seconds() + GRACE_SECONDS
        while self._busy() and self._reactor.seconds() < deadline:
            pause: defer.Deferred[None] = defer.Deferred()
            self._reactor.callLater(0.02, pause.callback, None)
            await pause

    def _busy(self) -> bool:
        return bool(self._intake.waiting) or any(factory.connections for factory in self._factories)

    async def _listen(self, channel: Channel, factory: MllpFactory) -> Any:
        try:
            endpoint: Any = endpoints.serverFromString(self._reactor, channel.file.listen)
        except (ValueError, TypeError, IndexError, KeyError) as fault:
            raise ConfigError(f"{channel.path}: listen: '{channel.file.listen}' is no endpoint: {fault}") from None
        try:
            return await endpoint.listen(factory)
        except error.CannotListenError as fault:
            text = getattr(fault.socketError, "strerror", None) or str(fault.socketError)
            raise UserError(f"channel {channel.name} can not listen on {channel.file.listen}: {text.lower()}") from None


def _calm_the_collector() -> None:
    """A batch of messages is some 50,000 objects that all die by themselves, without cycles.

    With Python's default threshold of 700 the collector would look at them, and at the dictionaries, again and again:
    for nothing. Now it runs seldom, and never looks at what was there when serving began.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def run(channels: Sequence[Channel], database: str, announce: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM. Raises UserError when it can not start."""
    from twisted.internet import reactor

    # Twisted's reactor is a module that is also an object; mypy sees the module
    clock: Any = reactor
    server = Server(channels, database, clock, announce)
    failures: list[BaseException] = []

    def give_up(failure: Failure) -> None:
        failures.append(failure.value or UserError(str(failure)))
        clock.stop()

    def begin() -> None:
        defer.Deferred.fromCoroutine(server.start()).addErrback(give_up)

    _calm_the_collector()
    clock.callWhenRunning(begin)
    clock.addSystemEventTrigger("before", "shutdown", lambda: defer.Deferred.fromCoroutine(server.stop()))
    clock.run()
    if failures:
        raise failures[0]
