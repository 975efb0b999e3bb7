"""The way into a channel: who may connect, and the header of a load balancer; behind it is the MLLP connection.

Imports twisted, wire.proxy_header, flow, and net.intake and net.listener only.

A channel that wants none of this has no entrance: its connections are MLLP connections from their first byte.
"""

from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from hl7auth.flow.admission import networks
from hl7auth.flow.figures import Ending
from hl7auth.net.intake import Timer
from hl7auth.net.listener import MllpConnection, MllpFactory
from hl7auth.net.transport import Wire
from hl7auth.wire.proxy_header import ProxyHeader, read_proxy_header


def entrance(mllp: MllpFactory) -> Factory:
    """What connections of a channel are given to."""
    accepts = mllp.channel.file.accepts
    return Entrance(mllp) if accepts.networks or accepts.load_balancers else mllp


class Entrance(Factory):
    """Closes at once what may not connect, and takes the client that a load balancer names for the peer."""

    noisy = False

    def __init__(self, mllp: MllpFactory) -> None:
        self.mllp = mllp
        self.waiting: set[BalancedConnection] = set()

    def buildProtocol(self, addr: IAddress | None) -> Any:  # noqa: N802 - Twisted's name
        """A connection for an address; None, which closes it, where it may not connect."""
        balancers = self.mllp.channel.file.accepts.load_balancers
        if not balancers:
            return self.behind(addr)
        if _host(addr) not in networks(balancers):
            self.refuse(Ending.PROXY, "a connection did not come from a load balancer", addr)
            return self._nobody()
        if len(self.waiting) + len(self.mllp.connections) >= self.mllp.channel.file.limits.connections:
            self.refuse(Ending.TOO_MANY, "too many connections", addr)
            return self._nobody()
        return BalancedConnection(self, addr)

    def behind(self, addr: IAddress | None, *, trusted: bool = False) -> Any:
        """The connection of a client; None for one from elsewhere. The load balancer itself is `trusted`."""
        allowed = self.mllp.channel.file.accepts.networks
        if allowed and not trusted and _host(addr) not in networks(allowed):
            self.refuse(Ending.NETWORK, "a connection came from elsewhere", addr)
            return self._nobody()
        return self.mllp.buildProtocol(addr)

    def refuse(self, reason: Ending, sentence: str, addr: IAddress | None) -> None:
        """Counts a connection that is turned away."""
        self.mllp.refusals.add(reason, sentence, _host(addr))

    def _nobody(self) -> None:
        self.mllp.gone()


def strangers(mllp: MllpFactory) -> list[MllpConnection]:
    """Connections of clients that may not connect any more, as the channel is now."""
    accepts = mllp.channel.file.accepts
    allowed = [networks(each) for each in (accepts.networks, accepts.load_balancers) if each]
    if not accepts.networks:
        return []
    return [each for each in mllp.connections if not any(_client(each) in known for known in allowed)]


class BalancedConnection(Protocol):
    """A connection of a load balancer until its header is read; then another protocol takes its place."""

    def __init__(self, owner: Entrance, address: IAddress | None) -> None:
        self._owner = owner
        self._address = address
        self._received = b""
        self._timer: Timer | None = None

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """The header is to come soon."""
        mllp = self._owner.mllp
        self._owner.waiting.add(self)
        self._timer = mllp.intake.reactor.callLater(mllp.channel.file.limits.handshake_seconds, self._too_slow)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """The header, and what came with it. It is read in no more than one piece beyond its largest size."""
        self._received += data
        try:
            header = read_proxy_header(self._received)
        except ValueError as fault:
            self._refuse(str(fault))
            return
        if header is not None:
            self._step_aside()
            self._give_way(header)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802, ARG002 - Twisted's name
        """It ended before there was a client."""
        self._step_aside()
        self._owner.mllp.gone()

    def _give_way(self, header: ProxyHeader) -> None:
        transport, rest = cast(Any, self.transport), self._received[header.size :]
        kind = IPv6Address if ":" in header.host else IPv4Address
        client: Any = kind("TCP", header.host, header.port) if header.host else self._address
        inner = self._owner.behind(client, trusted=header.local)
        if inner is None:
            transport.protocol = Protocol()  # that it is gone is already known
            transport.abortConnection()
            return
        transport.protocol = inner
        inner.makeConnection(transport)
        if rest and not transport.disconnecting:
            inner.dataReceived(rest)

    def _step_aside(self) -> None:
        self._owner.waiting.discard(self)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _too_slow(self) -> None:
        self._refuse("the header of the PROXY protocol took too long")

    def _refuse(self, sentence: str) -> None:
        self._owner.refuse(Ending.PROXY, sentence, self._address)
        cast(Wire, self.transport).abortConnection()


def _client(connection: MllpConnection) -> str:
    return connection.peer.rpartition(":")[0]


def _host(addr: IAddress | None) -> str:
    return getattr(addr, "host", "") or ""
