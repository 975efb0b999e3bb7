"""TLS over connections of Twisted: contexts of OpenSSL from the files of a channel, and transports that use them.

Imports twisted, pyOpenSSL, service_identity, flow, net.tls_files and errors. Only channels with TLS import this module.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, cast

from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from hl7auth.flow.key_pair import names
from hl7auth.flow.tls import ServerTls, Tls
from hl7auth.net.tls_files import Material, Place, Renewed, read_material

_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL:!eNULL:!PSK"
"""Of TLS 1.2, those with forward secrecy and authenticated encryption; those of 1.3 are all of that kind."""

#: No compression (CRIME), no new handshake in the middle (a way to keep others busy), and no session is resumed: a
#: connection of HL7 lasts, and one that was resumed would go past certificates that changed meanwhile
_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET
_ASKED = {
    "none": SSL.VERIFY_NONE,
    "optional": SSL.VERIFY_PEER,
    "required": SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
}


@implementer(IOpenSSLServerConnectionCreator, IOpenSSLClientConnectionCreator)
class Credentials:
    """The certificates of one place in a channel, as they are now."""

    def __init__(self, tls: Tls, where: Place, seconds: Callable[[], float], server_name: str = "") -> None:
        """`server_name` is whom a client wants to reach. Raises ConfigError for files that are missing or wrong."""
        self.server_name = server_name

        def make() -> SSL.Context:
            if not tls.files:
                return system_context(tls.minimum)
            return context(tls, read_material(tls, where.folder, where.fault), where)

        self._contexts = Renewed(where.owner, [where.folder / path for path in tls.files], make, seconds)

    def renew(self) -> bool:
        """Reads the files anew, for connections from now on; False, and the old ones stay, where they are wrong."""
        return self._contexts.renew()

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:  # noqa: N802, ARG002 - Twisted's name
        """For a connection that was accepted."""
        return SSL.Connection(self._contexts.get(), None)

    def clientConnectionForTLS(self, protocol: object) -> SSL.Connection:  # noqa: N802, ARG002 - Twisted's name
        """For a connection that was made."""
        connection = SSL.Connection(self._contexts.get(), None)
        if self.server_name and not _is_address(self.server_name):
            connection.set_tlsext_host_name(self.server_name.encode("idna"))
        return connection


class Direct(TLSMemoryBIOProtocol):
    """TLS that writes at once, and closes as TCP does: it says goodbye, and does not wait for that of the peer."""

    def loseConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Closes after everything is sent."""
        if self.connected and not self.disconnecting:
            tls, tcp = cast(Any, super()), cast(Any, self.transport)
            tls.unregisterProducer()  # else Twisted would wait until the producer has no more
            tls.loseConnection()
            tcp.loseConnection()

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Closes at once; what is closed already has nothing left to be ended."""
        if self.connected:
            cast(Any, super()).abortConnection()


@lru_cache
def system_context(minimum: Literal["1.2", "1.3"]) -> SSL.Context:
    """One for all clients that have nothing of their own: what this machine trusts takes a while to be read."""
    made = _plain_context(minimum)
    made.set_verify(SSL.VERIFY_PEER)
    made.set_default_verify_paths()
    return made


def context(tls: Tls, material: Material, where: Place) -> SSL.Context:
    """A context of OpenSSL. Raises ConfigError for what OpenSSL does not take."""
    made = _plain_context(tls.minimum)
    asked = _ASKED[tls.client_certificates] if isinstance(tls, ServerTls) else SSL.VERIFY_PEER
    made.set_verify(asked)
    try:
        _fill(made, material)
    except SSL.Error as error:
        raise where.fault("certificate", f"OpenSSL does not take it: {said(error)}") from None
    return made


def secured(credentials: Credentials, is_client: bool, inside: Factory, reactor: Any) -> TLSMemoryBIOFactory:
    """A factory of connections with TLS around those of another."""
    factory = TLSMemoryBIOFactory(cast(Any, credentials), is_client, cast(Any, inside), clock=reactor)
    factory.protocol = Direct
    return factory


def peer_names(transport: Any) -> tuple[str, ...]:
    """The names of the certificate that the peer has shown; none where it has shown none."""
    certificate = transport.getHandle().get_peer_certificate(as_cryptography=True)
    return names(certificate) if certificate is not None else ()


def has_server_name(transport: Any, name: str) -> bool:
    """Does the certificate of the server have this name or address (RFC 6125: in its alternative names alone)?"""
    verify = verify_ip_address if _is_address(name) else verify_hostname
    try:
        verify(transport.getHandle(), name)
    except (VerificationError, CertificateError, ValueError):
        return False
    return True


def why(reason: Failure) -> str:
    """Why there is no TLS, in the words of OpenSSL, which quote nobody; empty where the peer just went away."""
    return said(reason.value) if isinstance(reason.value, SSL.Error) else ""


def said(error: BaseException) -> str:
    """The last words of OpenSSL."""
    queue = error.args[0] if error.args else None
    last = queue[-1] if isinstance(queue, list) and queue else None
    return str(last[-1]) if last else type(error).__name__


def _plain_context(minimum: str) -> SSL.Context:
    made = SSL.Context(SSL.TLS_METHOD)
    made.set_min_proto_version(_VERSIONS[minimum])
    made.set_cipher_list(_CIPHERS)
    made.set_options(_OPTIONS)
    made.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    return made


def _fill(made: SSL.Context, material: Material) -> None:
    if material.chain:
        made.use_certificate(material.chain[0])
        for between in material.chain[1:]:
            made.add_extra_chain_cert(between)
        made.use_privatekey(material.key)
        made.check_privatekey()
    if material.trust is None:
        made.set_default_verify_paths()
        return
    store = made.get_cert_store()
    assert store is not None
    # who is trusted need not be a root: also the very certificate of a partner, which it has signed itself
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    for authority in material.trust:
        store.add_cert(crypto.X509.from_cryptography(authority))
        made.add_client_ca(authority)


def _is_address(name: str) -> bool:
    from ipaddress import ip_address

    try:
        ip_address(name)
    except ValueError:
        return False
    return True
