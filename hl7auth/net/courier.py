"""MLLP release 2 on one connection: blocks are committed, and what we send waits for the peer's commit.

Imports net.intake, observe and wire.framing only.

A block is answered by SB ACK EB CR once it is on disk, or by SB NAK EB CR when it could not be kept. Our replies are
blocks too: the next one goes out when the peer has committed the one before, and again when it said NAK.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence

from hl7auth.net.intake import Clock, Timer
from hl7auth.observe import log
from hl7auth.wire.framing import frame

ACK, NAK = b"\x06", b"\x15"

COMMIT_SECONDS = 10.0
"""How long the peer may take to commit a reply; then the next one goes out all the same."""

MAX_WAITING = 16 * 1024 * 1024
"""Bytes of replies that wait for a peer which commits none: with more of them the connection ends, with all replies."""

MAX_TIMES = 3
"""How often a reply is sent that is answered by NAK; it stays stored, and its message may be sent again."""


class Courier:
    """Sends blocks. Without `commits` (release 1) there are no commit blocks, and nothing is waited for."""

    def __init__(
        self,
        write: Callable[[bytes], None],
        clock: Clock,
        channel: str,
        *,
        commits: bool,
        too_many: Callable[[], None] = lambda: None,
    ) -> None:
        self.commits = commits
        self._too_many = too_many
        self._bytes = 0
        self._over = False
        self._write = write
        self._clock = clock
        self._channel = channel
        self._waiting: deque[bytes] = deque()
        self._under_way: bytes | None = None
        self._times = 0
        self._timer: Timer | None = None

    def commit(self, *, good: bool) -> None:
        """Tells the peer that its block is kept, or that it is not and may be sent again."""
        if self.commits:
            self._write(frame(ACK if good else NAK))

    def send(self, replies: Sequence[bytes]) -> None:
        """Sends replies, in order."""
        if not self.commits:
            if replies:
                self._write(b"".join([frame(reply) for reply in replies]))
            return
        self._waiting.extend(replies)
        self._bytes += sum(map(len, replies))
        self._next()
        if self._bytes > MAX_WAITING and not self._over:
            self._over = True
            self._too_many()

    def committed(self, mark: bytes) -> None:
        """A commit block of the peer came: about the reply that is under way, or about nothing."""
        if self._under_way is None:
            return
        self._stop_waiting()
        if mark == NAK and self._times < MAX_TIMES:
            self._send()
            return
        if mark == NAK:
            self._told("a reply was not taken", "reply.refused")
        self._under_way = None
        self._next()

    def finish(self) -> None:
        """Sends what waits without waiting: the connection ends."""
        self._stop_waiting()
        self._under_way = None
        if self._waiting:
            self._write(b"".join([frame(reply) for reply in self._waiting]))
            self._waiting.clear()
            self._bytes = 0

    def close(self) -> None:
        """The connection is gone."""
        self._stop_waiting()
        self._waiting.clear()

    @property
    def waiting(self) -> int:
        """Replies that wait for the commit of the one before."""
        return len(self._waiting)

    def _next(self) -> None:
        if self._under_way is None and self._waiting:
            self._under_way, self._times = self._waiting.popleft(), 0
            self._bytes -= len(self._under_way)
            self._send()

    def _send(self) -> None:
        assert self._under_way is not None
        self._times += 1
        self._write(frame(self._under_way))
        self._timer = self._clock.callLater(COMMIT_SECONDS, self._never_committed)

    def _never_committed(self) -> None:
        self._timer = None
        self._told("a reply was not committed in time", "reply.uncommitted")
        self._under_way = None
        self._next()

    def _stop_waiting(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _told(self, sentence: str, action: str) -> None:
        log(action, sentence, level=logging.WARNING, channel=self._channel)
