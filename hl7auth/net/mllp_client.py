"""The MLLP client: the connections of one destination, which stay, and are made anew when they end.

Imports twisted, flow, net, observe and errors only.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet import endpoints
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from hl7auth.errors import ConfigError
from hl7auth.flow.destination import Mllp
from hl7auth.flow.verdict import Policy, pause
from hl7auth.net.mllp_session import Further, Session
from hl7auth.net.parcel import Done, Parcel, World
from hl7auth.observe import log

LOOKS = 4
"""Connections at most on which is looked for an answer in the middle of a turn: each costs a call of the system."""


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
        self._turns: deque[Session] = deque()
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
        """Takes answers that are there, without the reactor; of many connections some, and others the next time."""
        for session in [self._turns[at] for at in range(min(LOOKS, len(self._turns)))]:
            session.look()
        self._turns.rotate(-LOOKS)

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
            self._turns.append(session)
            log("destination.connected", "connected", destination=self.name)
        if session.proven:
            self._failures = 0
        self._idle.append(session)
        self._ready()

    def gone(self, session: Session) -> None:
        """A connection has ended."""
        if session in self._idle:
            self._idle.remove(session)
        if session in self._sessions:
            self._sessions.remove(session)
            self._turns.remove(session)
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
