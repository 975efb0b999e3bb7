"""The ports that channels listen on: what is written under `listen` becomes one, or a sentence that says why not.

Imports twisted, flow, net.door, observe and errors only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet import defer, endpoints, error
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from hl7auth.errors import ConfigError, UserError
from hl7auth.flow.change import Change
from hl7auth.flow.channel import Channel
from hl7auth.flow.endpoint import endpoint
from hl7auth.net.door import Door
from hl7auth.observe import log

#: Endpoints whose connections can be given to another process as they are
_PLAIN = (
    endpoints.TCP4ServerEndpoint,
    endpoints.TCP6ServerEndpoint,
    endpoints.UNIXServerEndpoint,
    endpoints.AdoptedStreamServerEndpoint,
)
_PLAIN_ONLY = "only connections of tcp and unix endpoints can be given to workers"


def endpoint_of(reactor: Any, channel: Channel) -> Any:
    """Where a channel wants to listen. Raises ConfigError for what is no endpoint."""
    try:
        return endpoints.serverFromString(reactor, channel.file.listen)
    except (ValueError, TypeError, IndexError, KeyError) as fault:
        raise ConfigError(f"{channel.path}: listen: '{channel.file.listen}' is no endpoint: {fault}") from None


def plain_endpoint_of(reactor: Any, channel: Channel) -> Any:
    """The same where workers serve. Raises ConfigError also for one whose connections can not be handed on."""
    found = endpoint_of(reactor, channel)
    if not isinstance(found, _PLAIN):
        raise ConfigError(f"{channel.path}: listen: '{channel.file.listen}' needs --workers 1: {_PLAIN_ONLY}")
    return found


async def listen(endpoint: Any, channel: Channel, factory: Factory) -> Any:
    """The port. Raises UserError where the address can not be had."""
    try:
        return await endpoint.listen(factory)
    except error.CannotListenError as fault:
        text = getattr(fault.socketError, "strerror", None) or str(fault.socketError)
        raise UserError(f"channel {channel.name} can not listen on {channel.file.listen}: {text.lower()}") from None


class Switch(Factory):
    """Who is given the connections of a port; it may change while the port stays. Without anybody they are closed."""

    noisy = False

    def __init__(self) -> None:
        self.to: Factory | None = None

    def buildProtocol(self, addr: IAddress | None) -> Any:  # noqa: N802 - Twisted's name
        """A connection for an address."""
        return None if self.to is None else self.to.buildProtocol(addr)


@dataclass(slots=True)
class Port:
    """A port that is listened on, and what was written to have it. Where workers serve a `door` accepts at it."""

    listen: str
    it: Any
    switch: Switch
    door: Door | None = None


@dataclass(slots=True)
class Moves:
    """What changes of channels mean for ports: new ones by channel, those that nobody wants any more, refusals."""

    new: dict[str, Port] = field(default_factory=dict)
    old: list[Port] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


class Ports:
    """The ports of all channels. `wanted` gives the endpoint of a channel, or raises ConfigError."""

    def __init__(self, reactor: Any, wanted: Callable[[Any, Channel], Any]) -> None:
        self.by_channel: dict[str, Port] = {}
        self._reactor = reactor
        self._wanted = wanted

    async def open(self, channel: Channel) -> Port:
        """Listens for a channel. Raises UserError or ConfigError."""
        made = self.by_channel[channel.name] = await self._bind(channel)
        return made

    async def stop(self) -> None:
        """Listens no more."""
        ports, self.by_channel = list(self.by_channel.values()), {}
        for port in ports:
            await defer.maybeDeferred(port.it.stopListening)

    async def move(self, changes: Sequence[Change]) -> Moves:
        """Listens wherever a changed or new channel does not listen yet; what is not possible is refused.

        Nothing that is listened on is let go. A channel may have the port of another that leaves it at the same time;
        one that only listens in another way on its own port leaves it for a moment, and has it back where that fails.
        """
        moves = Moves()
        leaving = {each.name: self.by_channel[each.name] for each in changes if _leaves(each)}
        arriving = [each.after for each in changes if each.after is not None and _arrives(each)]
        heirs = _heirs(arriving, leaving)
        for channel in arriving:
            if channel.name not in heirs:
                await self._try(channel, moves, leaving.get(channel.name))
        _inherit(heirs, leaving, moves)
        taken = {id(port) for port in moves.new.values()}
        for name, port in leaving.items():
            if name not in moves.refused and id(port) not in taken:
                moves.old.append(port)
        return moves

    async def settle(self, changes: Sequence[Change], moves: Moves) -> None:
        """Keeps the new ports and lets the old ones go, when their channels have changed."""
        for each in changes:
            if each.name not in moves.refused and _leaves(each):
                del self.by_channel[each.name]
        self.by_channel |= moves.new
        for port in moves.old:
            await defer.maybeDeferred(port.it.stopListening)

    async def _bind(self, channel: Channel) -> Port:
        switch = Switch()
        return Port(channel.file.listen, await listen(self._wanted(self._reactor, channel), channel, switch), switch)

    async def _try(self, channel: Channel, moves: Moves, own: Port | None) -> None:
        try:
            moves.new[channel.name] = await self._bind(channel)
        except UserError as fault:
            if own is None or not endpoint(own.listen).meets(endpoint(channel.file.listen)):
                moves.refused[channel.name] = str(fault)
                return
            await self._instead(channel, moves, own)

    async def _instead(self, channel: Channel, moves: Moves, own: Port) -> None:
        """It is the channel's own port that is in the way."""
        if own.door is not None:
            own.door.let_go()
        await defer.maybeDeferred(own.it.stopListening)
        try:
            moves.new[channel.name] = await self._bind(channel)
        except UserError as fault:
            moves.refused[channel.name] = str(fault)
            own.it = await endpoints.serverFromString(self._reactor, own.listen).listen(own.switch)
            if own.door is not None:
                own.door.take(own.it)


def _leaves(change: Change) -> bool:
    """It listens no more where it did."""
    before, after = change.before, change.after
    return before is not None and (after is None or after.file.listen != before.file.listen)


def _arrives(change: Change) -> bool:
    before, after = change.before, change.after
    return after is not None and (before is None or after.file.listen != before.file.listen)


def _heirs(arriving: Sequence[Channel], leaving: Mapping[str, Port]) -> dict[str, str]:
    """Channels that get the very port that another leaves, by the name of the other; any port (0) is nobody's."""
    found: dict[str, str] = {}
    for channel in arriving:
        for name, port in leaving.items():
            if port.listen == channel.file.listen and name not in found.values() and endpoint(port.listen).port != 0:
                found[channel.name] = name
                break
    return found


def _inherit(heirs: Mapping[str, str], leaving: Mapping[str, Port], moves: Moves) -> None:
    """Where the other has to stay, its heir is refused; which may keep another heir from its port."""
    waiting = dict(heirs)
    while waiting:
        kept = {heir: name for heir, name in waiting.items() if name in moves.refused}
        if not kept:
            break
        for heir, name in kept.items():
            listens = leaving[name].listen
            moves.refused[heir] = f"channel {heir} can not listen on {listens}: channel {name} stays there"
            del waiting[heir]
    moves.new |= {heir: leaving[name] for heir, name in waiting.items()}


def listening(channel: Channel, port: Any) -> str:
    """A line that says where a channel listens; logged too."""
    host = port.getHost()
    where = f"tcp:{getattr(host, 'port', '?')}:interface={getattr(host, 'host', '?')}"
    log("listener.ready", "listening", channel=channel.name, address=where)
    return f"listening on {where} (channel {channel.name})"
