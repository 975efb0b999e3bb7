"""One connection to an MLLP destination: a message under way, and answers that say which message they mean.

Imports twisted, wire.framing, flow, net and observe only.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any
from typing import Protocol as Interface

from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

from hl7auth.flow.destination import Mllp
from hl7auth.flow.expected import expected
from hl7auth.flow.verdict import Answer, control_id_of, read_answer
from hl7auth.net.parcel import Done, Parcel
from hl7auth.net.timers import Timers
from hl7auth.net.transport import sends_now
from hl7auth.observe import log
from hl7auth.wire.framing import Deframer, frame

END_BLOCK_SECONDS = 0.25
"""How long the CR after a FS may take before the answer counts as ended without it."""

MAX_TAKEN = 16
"""Answers of one connection that are on their way to disk: a destination that sends more is not one of ours."""

MAX_NOISE = 1024 * 1024
"""Bytes outside of frames that a destination may send on one connection."""

_RECENT = 64
_APPLICATION = "AA AE AR"
"""What may still come after a CA."""

Further = Callable[[bytes, Callable[["bytes | None"], None]], None]
"""Takes an answer that is an exchange of its own, and is called back with its accept acknowledgement, if one is due."""


class Owner(Interface):
    """Whose connection it is. `further` takes answers that come after a receipt; with `takes_later` also those that
    come to what was sent before this connection was made."""

    reactor: Any
    name: str
    settings: Mllp
    further: Further | None
    takes_later: bool

    def idle(self, session: "Session", /) -> None:
        """It has nothing under way."""

    def gone(self, session: "Session", /) -> None:
        """It has ended."""


class Session(Protocol):
    """One connection. Nothing is guessed: an answer about another message ends the connection."""

    def __init__(self, client: Owner) -> None:
        self._client = client
        self._deframer = Deframer()
        self._parcel: Parcel | None = None
        self._done: Done | None = None
        self._control_id = ""
        self._quiet = False
        self._commits = False
        self._doubtful = False
        self._recent: deque[tuple[str, str]] = deque(maxlen=_RECENT)
        self._timers = Timers(client.reactor)
        self._send: Callable[[bytes], None] = _nowhere
        self._fault = "closed"
        self._over = False
        self._taken = 0
        self.proven = False

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Ready for a message."""
        wire: Any = self.transport
        if hasattr(wire, "setTcpNoDelay"):
            wire.setTcpNoDelay(True)
            wire.setTcpKeepAlive(True)
        self._send = sends_now(wire)
        self._client.idle(self)

    def send(self, parcel: Parcel, done: Done) -> None:
        """Sends a message; `done` is called once, with what came of it."""
        self._parcel, self._done, self._control_id = parcel, done, control_id_of(parcel.raw)
        settings, asked = self._client.settings, expected(parcel.raw)
        waits = settings.wait_for == "always" or (settings.wait_for == "header" and asked.answer)
        self._quiet = not waits
        self._commits = self._client.takes_later and asked.receipt
        self._send(frame(parcel.raw))
        self._timers.set("answer", settings.answer_seconds if waits else settings.quiet_seconds, self._time_is_up)

    def look(self) -> None:
        """Takes the answer that is waited for, if it is there, without the reactor; a fault is left for the reactor."""
        wire: Any = self.transport
        if self._parcel is None or self._over or not isinstance(wire, Connection):
            return
        try:
            wire.doRead()
        except Exception:
            # as the reactor would: a fault of ours with one connection is no other's
            log("answer.failed", "an answer could not be read", level=logging.ERROR, error=True,
                destination=self._client.name)  # fmt: skip
            self.close()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Frames are answers."""
        self._take(self._deframer.feed(data))
        if self._deframer.noise_bytes > MAX_NOISE or self._deframer.discarded > MAX_NOISE:
            self._quarantine("noise")
        elif self._deframer.pending_end:
            self._timers.set("end block", END_BLOCK_SECONDS, self._end_block_missing)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802, ARG002 - Twisted's name
        """What was under way may have arrived, or not: it will be sent again."""
        self._over = True
        self._send = _nowhere
        self._timers.cancel_all()
        self._take([*self._deframer.flush(), *self._deframer.close()])
        self._finish(Answer(self._fault))
        self._client.gone(self)

    def close(self) -> None:
        """Ends the connection."""
        self._over = True
        assert self.transport is not None
        self.transport.abortConnection()

    def _take(self, frames: list[Any]) -> None:
        for received in frames:
            if received.payload:  # an empty block is nobody's answer
                self._one(received.payload if not received.refused else b"")

    def _one(self, raw: bytes) -> None:
        read = read_answer(raw)
        if read is None:
            self._quarantine("unreadable")
            return
        answer, about = read
        if self._parcel is not None and about == self._control_id:
            self._accepted(answer)
        elif (answer.code, about) in self._expected():
            self._come_further(answer, is_application=(about, _APPLICATION) in self._recent)
        elif any(known == about for known, _ in self._recent):
            # about a message whose fate is settled: the one under way is safe, but no other shall follow it here
            self._told("an answer came again, or too late")
            self._doubtful = True
            if self._parcel is None:
                self.close()
        elif self._client.takes_later and answer.code in _APPLICATION.split() and self._is_free:
            self._come_further(answer, is_application=True)
        else:
            self._quarantine("another message")

    @property
    def _is_free(self) -> bool:
        """Nothing is under way whose answer this might be, wrong as it is: only a receipt is waited for, or nothing."""
        return self._parcel is None or self._commits

    def _come_further(self, answer: Answer, *, is_application: bool) -> None:
        """The application's answer after the receipt: a message in its own right, that may ask for a receipt itself."""
        log("answer.further", "a further answer came to what was sent", destination=self._client.name)
        if not is_application or self._client.further is None:
            return
        if self._taken >= MAX_TAKEN:
            self._quarantine("too many answers")
            return
        self._taken += 1
        self._client.further(answer.raw, self._receipt)

    def _receipt(self, accept_ack: bytes | None) -> None:
        self._taken -= 1
        if accept_ack is not None and not self._over:
            self._send(frame(accept_ack))

    def _expected(self) -> list[tuple[str, str]]:
        """Answers that may still come: the application's after its commit, and those that were not waited for."""
        return [(code, about) for about, left in self._recent for code in left.split()]

    def _accepted(self, answer: Answer) -> None:
        left = _APPLICATION if answer.code == "CA" else ""
        self._recent.append((self._control_id, left))
        self._finish(answer)

    def _time_is_up(self) -> None:
        if self._parcel is None:
            return  # its clock goes on behind an answer: to put it off for the next message costs less than a new one
        if self._quiet:
            self._recent.append((self._control_id, "AA CA"))
            self._finish(Answer("written"))
            return
        self._fault = "timeout"
        self.close()

    def _end_block_missing(self) -> None:
        self._take(self._deframer.flush())

    def _quarantine(self, what: str) -> None:
        self._told(f"what came is no answer to what was sent ({what})")
        self._fault = "unreadable"
        self.close()

    def _told(self, sentence: str) -> None:
        log("answer.quarantined", sentence, level=logging.WARNING, destination=self._client.name)

    def _finish(self, answer: Answer) -> None:
        parcel, done = self._parcel, self._done
        if parcel is None or done is None:
            return
        self._parcel = self._done = None
        self.proven = self.proven or answer.code not in ("closed", "timeout", "unreadable")
        done(parcel, answer)
        if self._over:
            return
        if self._doubtful or not self._client.settings.keep_open:
            self.close()
        else:
            self._client.idle(self)


def _nowhere(_: bytes) -> None:
    """There is no connection."""
