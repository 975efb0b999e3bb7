"""The MLLP client: connections that stay, one message under way on each, and answers that say which message they mean.

Imports twisted, wire.framing, flow and observe only.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet import endpoints
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

from hl7auth.errors import ConfigError, Fault
from hl7auth.flow.destination import Mllp
from hl7auth.flow.handshake import handshake
from hl7auth.flow.verdict import Answer, Policy, control_id_of, pause, read_answer
from hl7auth.net.parcel import Done, Parcel, World
from hl7auth.observe import log
from hl7auth.wire.framing import Deframer, frame
from hl7auth.wire.message import parse

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


def answer_due(raw: bytes) -> bool:
    """Does this message get an answer when all is well (chapter 2, 2.9)? What can not be read always does."""
    try:
        message = parse(raw)
    except Fault:
        return True
    if message.header.message_type in ("ACK", "MCF"):
        return False
    shake = handshake(message.header)
    return shake.accept_due(True) or (shake.application_due(True) and message.first("MSA") is None)


def commits(raw: bytes) -> bool:
    """Does this message ask for a receipt, after which its answer is another exchange?"""
    try:
        return handshake(parse(raw).header).enhanced
    except Fault:
        return False


class Session(Protocol):
    """One connection. Nothing is guessed: an answer about another message ends the connection."""

    def __init__(self, client: "MllpClient") -> None:
        self._client = client
        self._deframer = Deframer()
        self._parcel: Parcel | None = None
        self._done: Done | None = None
        self._control_id = ""
        self._quiet = False
        self._commits = False
        self._doubtful = False
        self._recent: deque[tuple[str, str]] = deque(maxlen=_RECENT)
        self._timers: dict[str, Any] = {}
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
        self._client.idle(self)

    def send(self, parcel: Parcel, done: Done) -> None:
        """Sends a message; `done` is called once, with what came of it."""
        self._parcel, self._done, self._control_id = parcel, done, control_id_of(parcel.raw)
        settings = self._client.settings
        waits = settings.wait_for == "always" or (settings.wait_for == "header" and answer_due(parcel.raw))
        self._quiet = not waits
        self._commits = self._client.takes_later and commits(parcel.raw)
        wire: Any = self.transport
        wire.write(frame(parcel.raw))
        if isinstance(wire, Connection) and not wire.disconnecting:
            wire.doWrite()  # now and not in the reactor's next turn, which may come late; what is left goes then
        self._set("answer", settings.answer_seconds if waits else settings.quiet_seconds, self._time_is_up)

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
            self._set("end block", END_BLOCK_SECONDS, self._end_block_missing)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802, ARG002 - Twisted's name
        """What was under way may have arrived, or not: it will be sent again."""
        self._over = True
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._timers.clear()
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
        wire: Any = self.transport
        if accept_ack is not None and not self._over and wire is not None:
            wire.write(frame(accept_ack))

    def _expected(self) -> list[tuple[str, str]]:
        """Answers that may still come: the application's after its commit, and those that were not waited for."""
        return [(code, about) for about, left in self._recent for code in left.split()]

    def _accepted(self, answer: Answer) -> None:
        left = _APPLICATION if answer.code == "CA" else ""
        self._recent.append((self._control_id, left))
        self._finish(answer)

    def _time_is_up(self) -> None:
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
        timer = self._timers.get("answer")
        if timer is not None and timer.active():
            timer.cancel()
        self.proven = self.proven or answer.code not in ("closed", "timeout", "unreadable")
        done(parcel, answer)
        if self._over:
            return
        if self._doubtful or not self._client.settings.keep_open:
            self.close()
        else:
            self._client.idle(self)

    def _set(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        timer = self._timers.get(name)
        if timer is not None and timer.active():
            timer.cancel()
        self._timers[name] = self._client.reactor.callLater(seconds, action)


class _Sessions(Factory):
    noisy = False

    def __init__(self, client: "MllpClient") -> None:
        self._client = client

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802, ARG002 - Twisted's name
        """A connection."""
        return Session(self._client)


class MllpClient:
    """Keeps the connections of one destination. Each that fails or ends is tried again, sooner at first, then later.

    `further` takes answers that come after a receipt; with `takes_later` also those that come to what was sent before
    this connection was made.
    """

    further: Further | None = None
    takes_later = False

    def __init__(self, world: World, name: str, settings: Mllp) -> None:
        self.reactor = world.reactor
        self.name = name
        self.settings = settings
        self._dice = world.dice
        self._ready: Callable[[], None] = _nothing
        self._idle: deque[Session] = deque()
        self._sessions: set[Session] = set()
        self._failures = 0
        self._pending: set[Any] = set()
        self._waits: set[Any] = set()
        self._stopped = False
        self.factory: Any = _Sessions(self)
        retry = settings.reconnect
        self._pauses = Policy({}, retry.first_seconds, retry.factor, retry.most_seconds, retry.jitter)

    def start(self, ready: Callable[[], None]) -> None:
        """Connects; `ready` is called whenever there is room for a message. Raises ConfigError for a bad endpoint."""
        self._ready = ready
        try:
            self._endpoint = endpoints.clientFromString(self.reactor, self.settings.address)
        except Exception as fault:
            raise ConfigError(f"{self.name}: '{self.settings.connect}' is no endpoint: {fault}") from None
        for _ in range(self.settings.connections):
            self._connect()

    @property
    def room(self) -> int:
        """Messages that can be sent now: one on each idle connection."""
        return len(self._idle)

    @property
    def alive(self) -> bool:
        """False while there is no connection: then nothing is claimed for it."""
        return bool(self._sessions)

    @property
    def connections(self) -> int:
        """Those that are open."""
        return len(self._sessions)

    @property
    def ended(self) -> bool:
        """No connection is open or on its way."""
        return not self._sessions and not self._pending

    def send(self, parcels: list[Parcel], done: Done) -> None:
        """Sends each on a connection of its own; there must be room."""
        for parcel in parcels:
            self._idle.popleft().send(parcel, done)

    def look(self) -> None:
        """Takes the answers that are there, without the reactor."""
        for session in tuple(self._sessions):
            session.look()

    def stop(self) -> None:
        """Ends all; what is under way is `closed`."""
        self._stopped = True
        for wait in self._waits:
            wait.cancel()
        self._waits.clear()
        for attempt in list(self._pending):
            attempt.cancel()
        for session in list(self._sessions):
            session.close()

    def idle(self, session: Session) -> None:
        """A connection has nothing under way."""
        if session not in self._sessions:
            self._sessions.add(session)
            log("destination.connected", "connected", destination=self.name)
        if session.proven:
            self._failures = 0
        self._idle.append(session)
        self._ready()

    def gone(self, session: Session) -> None:
        """A connection has ended."""
        if session in self._idle:
            self._idle.remove(session)
        self._sessions.discard(session)
        if not self._stopped:
            # who closes after each answer is connected to again at once; who never answered, later
            self._later(0 if session.proven else None)
        self._ready()

    def unreachable(self, reason: str) -> None:
        """Logs why there is no connection, once until there was one that was good for something."""
        if self._failures == 0:
            text = "can not connect"
            log("destination.unreachable", text, level=logging.WARNING, destination=self.name, reason=reason)

    def renew(self) -> bool:
        """Reads its certificates anew, where it has any; False where they are wrong, and the old ones stay."""
        return True

    def _later(self, seconds: float | None) -> None:
        if seconds is None:
            self._failures += 1
            seconds = pause(self._pauses, self._failures, self._dice())
        wait: Any = None

        def now() -> None:
            self._waits.discard(wait)
            self._connect()

        wait = self.reactor.callLater(seconds, now)
        self._waits.add(wait)

    def _connect(self) -> None:
        attempt = self._endpoint.connect(self.factory)
        attempt.addTimeout(self.settings.connect_seconds, self.reactor)
        self._pending.add(attempt)

        def over(result: Any) -> None:
            self._pending.discard(attempt)
            if isinstance(result, Failure) and not self._stopped:
                self.unreachable(type(result.value).__name__)
                self._later(None)

        attempt.addBoth(over)


def _nothing() -> None:
    """Nobody is to be told yet."""
