"""HL7 over HTTP: a message as the body of a POST, and the HL7 answer as the body of the response.

Imports flow, net.parcel and the standard library only.
"""

import ssl
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection, RemoteDisconnected
from urllib.parse import urlsplit

from hl7auth.flow.destination import Post
from hl7auth.flow.verdict import Answer, control_id_of, read_answer
from hl7auth.net.parcel import Parcel

MAX_ANSWER = 1024 * 1024
"""Bytes of a response that are read: an answer is far smaller."""

_OK, _END_OF_OK = 200, 300


class HttpPost:
    """One connection that is kept, and opened anew when the server has ended it."""

    def __init__(self, settings: Post) -> None:
        self._settings = settings
        parts = urlsplit(settings.url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._secure = parts.scheme == "https"
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
        except (OSError, HTTPException) as error:
            self.close()
            return Answer("closed", text=type(error).__name__)
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
            return HTTPSConnection(host, port, timeout=seconds, context=ssl.create_default_context())
        return HTTPConnection(host, port, timeout=seconds)


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
