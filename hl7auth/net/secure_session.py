"""MLLP connections to a destination with TLS: nothing is sent before the server has shown who it is.

Imports twisted, flow and net only. Only destinations with TLS import this module.
"""

from typing import Any

from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from hl7auth.flow.endpoint import endpoint
from hl7auth.net.mllp_client import MllpClient
from hl7auth.net.mllp_session import Session
from hl7auth.net.parcel import World
from hl7auth.net.tls import Credentials, has_server_name, secured, why
from hl7auth.net.tls_files import Place


@implementer(IHandshakeListener)
class SecureSession(Session):
    """One connection; it is one of the client's only after the handshake."""

    def __init__(self, client: "SecureClient") -> None:
        super().__init__(client)
        self._owner = client
        self._is_secure = False

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """The handshake has the time of a connection."""
        self._owner.opening.add(self)
        self._timers.set("handshake", self._owner.settings.connect_seconds, self._too_long)

    def handshakeCompleted(self) -> None:  # noqa: N802 - Twisted's name
        """Ready for a message, if it is the server that is meant."""
        self._timers.cancel("handshake")
        self._is_secure = True
        name = self._owner.server_name
        if name and not has_server_name(self.transport, name):
            self._owner.unreachable(f"the certificate of the server is not for {name}")
            self.close()
            return
        self._owner.opening.discard(self)
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        """A client may learn only after the handshake that its own certificate is not good."""
        self._owner.opening.discard(self)
        if not self.proven and (text := why(reason)):
            self._owner.unreachable(text)
        super().connectionLost(reason)

    def _too_long(self) -> None:
        self._owner.unreachable("the handshake took too long")
        self.close()


class SecureClient(MllpClient):
    """Keeps the connections of one destination with TLS."""

    def __init__(self, world: World, name: str, where: Place) -> None:
        """Raises ConfigError for files that are missing or wrong."""
        settings = where.destination.mllp
        assert settings is not None
        tls = settings.secured
        assert tls is not None
        super().__init__(world, name, settings)
        self.opening: set[SecureSession] = set()
        to = tls.server_name or endpoint(settings.connect).host
        self.server_name = to if tls.check_name else ""
        self.credentials = Credentials(tls, where, world.reactor.seconds, to)
        self.factory = secured(self.credentials, True, _Inside(self), world.reactor)

    @property
    def ended(self) -> bool:
        """No connection is open or on its way."""
        return super().ended and not self.opening

    def stop(self) -> None:
        """Ends all."""
        super().stop()
        for session in list(self.opening):
            session.close()

    def renew(self) -> bool:
        """Reads its certificates anew, for connections from now on."""
        return self.credentials.renew()


class _Inside(Factory):
    noisy = False

    def __init__(self, client: SecureClient) -> None:
        self._client = client

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802, ARG002 - Twisted's name
        """A connection."""
        return SecureSession(self._client)
