"""One connection to an endpoint, plain or over TLS, that is waited on: opened, looked at, read, and ended with grace.

Imports sockets, flow.tls, net.tls_blocking, replay.wish, wire and errors only.
"""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from hl7auth.errors import UserError
from hl7auth.flow.tls import ClientTls
from hl7auth.net.tls_blocking import client_context
from hl7auth.replay.wish import ENDPOINT, TLS
from hl7auth.wire.framing import Deframer, Frame, frame

_READ = 65_536
_LEAST = 0.001
_GOODBYE = 2.0
"""Seconds that the other end has to hang up, too."""
_VERDICT = 0.2
"""Seconds for a server to say that it does not take our certificate: in TLS 1.3 it does so behind the handshake."""
_MOST_REPLY = 16 * 1024 * 1024


class Place(NamedTuple):
    """Where an endpoint is, and whether it speaks TLS."""

    host: str
    port: int
    secure: bool

    @property
    def name(self) -> str:
        """As people write it."""
        return f"{self.host}:{self.port}"


def place_of(target: str) -> Place:
    """The place that the target of a plan names."""
    text = target.removeprefix(ENDPOINT)
    host, _, port = text.removeprefix(TLS).rpartition(":")
    return Place(host.strip("[]"), int(port), text.startswith(TLS))


class Line:
    """A connection that is opened when it is wanted, and anew when the other end hung up behind its last answer."""

    def __init__(self, place: Place, tls: ClientTls | None, seconds: float) -> None:
        """`tls` says who is trusted and who we are, for a place that speaks TLS. Raises UserError for wrong files."""
        if tls is not None and not place.secure:
            raise UserError("this replay goes out without TLS: plan it with --tls")
        self._place, self._seconds, self._tls = place, seconds, tls or ClientTls()
        self._context = client_context(self._tls, Path(), _fault) if place.secure else None
        self._socket: socket.socket | None = None
        self._deframer = Deframer(_MOST_REPLY)
        self._welcome = False

    def open(self) -> None:
        """Connects, unless it is connected. Raises UserError where nobody answers, or is not who it should be."""
        if not self._is_open():
            self._connect()

    def send(self, raw: bytes) -> None:
        """Raises OSError."""
        assert self._socket is not None
        self._socket.settimeout(self._seconds)
        self._socket.sendall(frame(raw))

    def frames(self, until: float) -> Iterator[Frame]:
        """What comes until that time of the monotonic clock. Raises TimeoutError then, ConnectionError at its end."""
        assert self._socket is not None
        while True:
            self._socket.settimeout(max(until - time.monotonic(), _LEAST))
            data = self._socket.recv(_READ)
            if not data:
                raise ConnectionError
            if time.monotonic() > until:
                raise TimeoutError
            yield from self._deframer.feed(data)

    def close(self) -> None:
        """Reads to the end first: a connection that is closed with something unread takes away what it had sent."""
        if self._socket is None:
            return
        with suppress(OSError, ValueError), self._socket:
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket.settimeout(_GOODBYE)
                self._socket.unwrap()
            self._socket.shutdown(socket.SHUT_WR)
            until = time.monotonic() + _GOODBYE
            while (left := until - time.monotonic()) > 0:
                self._socket.settimeout(left)
                if not self._socket.recv(_READ):
                    break
        self._socket = None

    def _connect(self) -> None:
        name = self._place.name
        try:
            plain = socket.create_connection(self._place[:2], self._seconds)
        except OSError as error:
            raise UserError(f"can not connect to {name}: {(error.strerror or str(error)).lower()}") from None
        self._socket, self._deframer = plain, Deframer(_MOST_REPLY)
        if self._context is None:
            return
        try:
            self._socket = self._context.wrap_socket(plain, server_hostname=self._tls.server_name or self._place.host)
            self._hear_verdict(self._socket)
        except ssl.SSLCertVerificationError as error:
            self._give_up()
            raise UserError(f"{name} is not trusted: {error.verify_message.rstrip('.').lower()}") from None
        except (OSError, ValueError) as error:
            self._give_up()
            said = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
            raise UserError(f"no TLS with {name}: {said.replace('_', ' ').lower()}") from None

    def _hear_verdict(self, secure: ssl.SSLSocket) -> None:
        """Nothing is sent to who does not let us in: what became of it would not be known."""
        if self._welcome or (self._tls.certificate is None and secure.version() != "TLSv1.3"):
            return
        secure.settimeout(_VERDICT)
        try:
            if not secure.recv(_READ):
                raise ConnectionError("it hung up")
        except TimeoutError:
            self._welcome = True

    def _give_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _is_open(self) -> bool:
        """False also where the other end hung up behind its last answer, as some do."""
        if self._socket is None:
            return False
        self._socket.settimeout(0)
        try:
            if isinstance(self._socket, ssl.SSLSocket):  # nothing can be looked at there without taking it
                data = self._socket.recv(_READ)
                self._deframer.feed(data)
            else:
                data = self._socket.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            data = b""
        if not data:
            self.close()
        return data != b""


def _fault(key: str, text: str) -> UserError:
    return UserError(f"--{key}: {text}")
