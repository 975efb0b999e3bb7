"""MLLP connections of a channel with TLS: nothing is theirs before the handshake, and who they are is checked after it.

Imports twisted, steps, wire, flow and net only. Only channels with TLS import this module.
"""

from typing import Any

from twisted.internet.interfaces import IAddress, IHandshakeListener
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from hl7auth.flow.admission import has_name, strangers
from hl7auth.flow.figures import Ending
from hl7auth.flow.intake import Plan, under_other_certificate
from hl7auth.flow.tls import ServerTls
from hl7auth.net.connection import MllpConnection
from hl7auth.net.listener import MllpFactory
from hl7auth.net.tls import Credentials, peer_names, secured, why
from hl7auth.net.tls_files import Place
from hl7auth.steps.run import Shaped
from hl7auth.wire.framing import Frame


@implementer(IHandshakeListener)
class SecureConnection(MllpConnection):
    """One connection. Its handshake has a time of its own; `names` are those of the client's certificate."""

    def __init__(self, factory: MllpFactory, tls: ServerTls, peer: str) -> None:
        super().__init__(factory, peer)
        self._factory = factory
        self.tls = tls
        self._is_secure = False
        self.names: tuple[str, ...] = ()

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """The handshake begins."""
        super().connectionMade()
        if self in self._factory.connections:
            self._timers.set("handshake", self._factory.channel.file.limits.handshake_seconds, self._too_long)

    def handshakeCompleted(self) -> None:  # noqa: N802 - Twisted's name
        """The client has a certificate that is good, if one is asked for: is it one of those that are allowed?"""
        self._timers.cancel("handshake")
        self._is_secure = True
        self.names = peer_names(self.transport)
        allowed = self.tls.allowed
        if allowed and self.names and not any(has_name(each, self.names) for each in allowed):
            sentence = "the client has a certificate that is not among those that are allowed"
            self._factory.refusals.add(Ending.CERTIFICATE, sentence, self.peer)
            self._wire.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        """As of any connection; one that came to no handshake is told with the reason, if it was not just closed."""
        if not self._is_secure and self in self._factory.connections and (text := why(reason)):
            self._factory.refusals.add(Ending.HANDSHAKE, f"no TLS: {text}", self.peer)
        super().connectionLost(reason)

    def plan(self, received: Frame, shaped: Shaped | None = None) -> Plan:
        """What a frame wants; a sender that is held to another certificate is a stranger."""
        found, channel = super().plan(received, shaped), self._factory.channel
        senders = channel.file.accepts.senders
        if found.message is None or found.refusal is not None or found.is_acknowledgment:
            return found
        if not any(each.certificate for each in senders):
            return found
        others = any(strangers(found.header, found.delimiters, senders, (), self.names))
        return under_other_certificate(found) if others else found

    def _too_long(self) -> None:
        self._factory.refusals.add(Ending.HANDSHAKE, "no TLS: the handshake took too long", self.peer)
        self._wire.abortConnection()


class Secure(Factory):
    """TLS around the connections of one channel, as the channel is now."""

    noisy = False

    def __init__(self, mllp: MllpFactory) -> None:
        """Raises ConfigError for files of TLS that are missing or wrong."""
        tls = mllp.channel.file.tls
        assert tls is not None
        self.credentials = Credentials(tls, Place(mllp.channel, ("tls",)), mllp.intake.reactor.seconds)
        self._secured = secured(self.credentials, False, _Inside(mllp, tls), mllp.intake.reactor)

    def buildProtocol(self, addr: IAddress | None) -> Any:  # noqa: N802 - Twisted's name
        """A connection for an address."""
        return self._secured.buildProtocol(addr)


class _Inside(Factory):
    noisy = False

    def __init__(self, mllp: MllpFactory, tls: ServerTls) -> None:
        self._mllp, self._tls = mllp, tls

    def buildProtocol(self, addr: IAddress | None) -> Any:  # noqa: N802 - Twisted's name
        """A connection for an address."""
        host, port = getattr(addr, "host", ""), getattr(addr, "port", "")
        return SecureConnection(self._mllp, self._tls, f"{host}:{port}" if host else "")
