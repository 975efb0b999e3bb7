"""HL7 over HTTP: a message as the body of a POST, and the HL7 answer as the body of the response.

Imports flow, net.parcel, net.tls_blocking, net.tls_files, errors and the standard library only.
"""

import ssl
import time
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection, RemoteDisconnected
from urllib.parse import urlsplit

from hl7auth.errors import UserError
from hl7auth.flow.destination import Post
from hl7auth.flow.tls import ClientTls
from hl7auth.flow.verdict import Answer, control_id_of, read_answer
from hl7auth.net.parcel import Parcel
from hl7auth.net.tls_blocking import client_context
from hl7auth.net.tls_files import Place, Renewed, read_material

MAX_ANSWER = 1024 * 1024
"""Bytes of a response that are read: an answer is far smaller."""

_OK, _END_OF_OK = 200, 300


class HttpPost:
    """One connection that is kept, and opened anew when the server has ended it."""

    def __init__(self, settings: Post, where: Place) -> None:
        """Raises ConfigError for files of TLS that are missing or wrong."""
        self._settings = settings
        parts = urlsplit(settings.url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._secure = parts.scheme == "https"
        self._place = where
        self._contexts: Renewed[ssl.SSLContext] | None = None
        if settings.tls is not None:
            read_material(settings.tls, where.folder, where.fault)
        self._where = (parts.hostname or "", parts.port)
        self._connection: HTTPConnection | None = None

    def send(self, parcels: Sequence[Parcel]) -> list[Answer]:
        """An answer for each message, in order."""
        return [self._send(parcel.raw) for parcel in parcels]

    def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, raw: bytes) -> Answer:
        try:
            status, body = self._post_anew(raw)
        except TimeoutError:
            self.close()
            return Answer("timeout")
        except (OSError, HTTPException, UserError) as error:
            self.close()
            # what OpenSSL says of a certificate tells more than that it was refused
            said = getattr(error, "verify_message", "")
            return Answer("closed", text=f"{type(error).__name__}: {said}" if said else type(error).__name__)
        return judged(status, body, control_id_of(raw))

    def _post_anew(self, raw: bytes) -> tuple[int, bytes]:
        """A server may end a connection that was silent at any time: then a new one is worth one attempt."""
        kept = self._connection is not None
        try:
            return self._post(raw)
        except (RemoteDisconnected, ConnectionError):
            if not kept:
                raise
            self.close()
            return self._post(raw)

    def _post(self, raw: bytes) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = self._connect()
        headers = {"Content-Type": self._settings.content_type, "Accept": self._settings.content_type}
        self._connection.request("POST", self._path, raw, headers | self._settings.headers)
        response = self._connection.getresponse()
        body = response.read(MAX_ANSWER)
        if response.read(1) or response.will_close:
            self.close()
        return response.status, body

    def _connect(self) -> HTTPConnection:
        host, port = self._where
        seconds = self._settings.answer_seconds
        if self._secure:
            # what this machine trusts takes a while to be read: not before it is needed
            self._contexts = self._contexts or _contexts(self._settings, self._place)
            name = self._settings.tls.server_name if self._settings.tls is not None else ""
            return _Https(host, port, name or host, seconds, self._contexts.get())
        return HTTPConnection(host, port, timeout=seconds)


class _Https(HTTPSConnection):
    """HTTPS to a server that may have another name than its address says."""

    def __init__(self, host: str, port: int | None, name: str, seconds: float, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=seconds, context=context)
        self._name, self._around = name, context

    def connect(self) -> None:
        """Connects, and shakes hands."""
        HTTPConnection.connect(self)
        self.sock = self._around.wrap_socket(self.sock, server_hostname=self._name)


def _contexts(settings: Post, where: Place) -> Renewed[ssl.SSLContext]:
    tls = settings.tls or ClientTls()
    files = [where.folder / path for path in tls.files]
    return Renewed(where.owner, files, lambda: client_context(tls, where.folder, where.fault), time.monotonic)


def judged(status: int, body: bytes, control_id: str) -> Answer:
    """The answer in a response: what its MSA says where it has one, which must be about this message; else its status.

    A positive MSA under a status that is none (500 with AA) counts as the status.
    """
    read = read_answer(body)
    if read is None:
        return Answer(f"HTTP {status}", raw=body[:1024])
    answer, about = read
    if about != control_id:
        return Answer("unreadable", text="the answer is about another message")
    good = _OK <= status < _END_OF_OK
    return answer if good or answer.code not in ("AA", "CA") else Answer(f"HTTP {status}", raw=body[:1024])
