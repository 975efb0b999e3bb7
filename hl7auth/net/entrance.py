"""The way into a channel: who may connect, the header of a load balancer, TLS; behind it is the MLLP connection.

Imports twisted, wire.proxy_header, flow and net; what needs OpenSSL only for channels with TLS.

A channel that wants none of this has no entrance: its connections are MLLP connections from their first byte.
"""

from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from hl7auth.flow.admission import networks
from hl7auth.flow.channel import Channel
from hl7auth.flow.figures import Ending
from hl7auth.flow.tls import ServerTls
from hl7auth.flow.tls_doubts import tls_of
from hl7auth.net.connection import MllpConnection
from hl7auth.net.intake import Timer
from hl7auth.net.listener import MllpFactory
from hl7auth.net.transport import Wire
from hl7auth.wire.proxy_header import ProxyHeader, read_proxy_header


def entrance(mllp: MllpFactory) -> Factory:
    """What connections of a channel are given to, as it is now. Raises ConfigError for files of TLS that are wrong."""
    file = mllp.channel.file
    return Entrance(mllp) if file.accepts.networks or file.accepts.load_balancers or file.tls else mllp


def check_tls(channel: Channel) -> None:
    """Raises ConfigError where files of TLS, of the channel or of a destination, are missing or wrong."""
    for keys, tls in tls_of(channel.file):
        from hl7auth.net.tls import context
        from hl7auth.net.tls_files import Place, read_material

        where = Place(channel, keys)
        context(tls, read_material(tls, where.folder, where.fault), where)


def renew(way_in: Factory | None) -> bool:
    """Reads the certificates of an entrance anew, for connections from now on; False where they are wrong."""
    return not isinstance(way_in, Entrance) or way_in.renew()


class Entrance(Factory):
    """Closes at once what may not connect, and takes the client that a load balancer names for the peer."""

    noisy = False

    def __init__(self, mllp: MllpFactory) -> None:
        self.mllp = mllp
        self.waiting: set[BalancedConnection] = set()
        self._secure = None
        if mllp.channel.file.tls is not None:
            from hl7auth.net.secure import Secure

            self._secure = Secure(mllp)

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
        return (self._secure or self.mllp).buildProtocol(addr)

    def renew(self) -> bool:
        """Reads its certificates anew, where it has any."""
        return self._secure is None or self._secure.credentials.renew()

    def refuse(self, reason: Ending, sentence: str, addr: IAddress | None) -> None:
        """Counts a connection that is turned away."""
        self.mllp.refusals.add(reason, sentence, _host(addr))

    def _nobody(self) -> None:
        self.mllp.gone()


def strangers(mllp: MllpFactory) -> list[MllpConnection]:
    """Connections of clients that may not connect any more, as the channel is now."""
    accepts, tls = mllp.channel.file.accepts, mllp.channel.file.tls
    others = [each for each in mllp.connections if _terms(getattr(each, "tls", None)) != _terms(tls)]
    if not accepts.networks:
        return others
    allowed = [networks(each) for each in (accepts.networks, accepts.load_balancers) if each]
    return others + [
        each for each in mllp.connections if each not in others and not any(_client(each) in known for known in allowed)
    ]


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


def _terms(tls: ServerTls | None) -> tuple[object, ...]:
    return () if tls is None else tls.terms


def _client(connection: MllpConnection) -> str:
    return connection.peer.rpartition(":")[0]


def _host(addr: IAddress | None) -> str:
    return getattr(addr, "host", "") or ""
