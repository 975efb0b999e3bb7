"""One end of the socket pair between the parent and a worker: 16-bit words, some with an open connection.

Imports twisted and sockets.

From the parent comes the number of a channel with a connection of it, or CHANGES with a file that says what changes;
from the worker READY, STOPPING, CHANGED when it works by the last of these, or the number of a channel of which a
connection has ended. The end of file tells that the other process is gone, or wants to be left.
"""

import socket
from collections import deque
from collections.abc import Callable
from typing import Any
from typing import Protocol as Interface

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

READY, STOPPING, CHANGES, CHANGED = 0xFFFF, 0xFFFE, 0xFFFD, 0xFFFC
MAX_CHANNELS = CHANGED

_WORD = 2
_READS = 64
_PAUSE_SECONDS = 0.02

Received = Callable[[int, int | None], None]
"""Takes a word, and the descriptor that came with it, which is then the receiver's to close."""


class HasDescriptor(Interface):
    """A connection or a file."""

    def fileno(self) -> int:
        """What the system knows it by."""


@implementer(IReadDescriptor)
class Pair:
    """An end on a reactor. `received` is called for each word, `ended` once at the end of file."""

    def __init__(self, reactor: Any, end: socket.socket, received: Received, ended: Callable[[], None]) -> None:
        self._reactor = reactor
        self._end = end
        self._received = received
        self._ended = ended
        self._unsaid: deque[int] = deque()
        end.setblocking(False)
        reactor.addReader(self)

    def say(self, word: int) -> None:
        """Sends a word, in order, as soon as there is room; to nobody when the other end is gone."""
        self._unsaid.append(word)
        if len(self._unsaid) == 1:
            self._say_more()

    def hand(self, word: int, connection: HasDescriptor) -> bool:
        """Sends a word and a connection, or a file; False when there is no room now, or nobody."""
        try:
            return socket.send_fds(self._end, [word.to_bytes(_WORD)], [connection.fileno()]) == _WORD
        except OSError:
            return False

    def hang_up(self) -> None:
        """Tells the other end that nothing more will come."""
        try:
            self._end.shutdown(socket.SHUT_WR)
        except OSError:
            return  # it is gone already

    def deaf(self) -> None:
        """Takes no more words from the other end."""
        self._reactor.removeReader(self)

    def close(self) -> None:
        """No more words from or to this end."""
        self._reactor.removeReader(self)
        self._unsaid.clear()
        self._end.close()

    def fileno(self) -> int:
        """For the reactor."""
        return self._end.fileno()

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """For the reactor."""
        return "workers"

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Takes the words that are there. One send is one word: they are never read in parts."""
        for _ in range(_READS):
            if self.fileno() < 0:
                return
            try:
                data, descriptors, _, _ = socket.recv_fds(self._end, _WORD, 1)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", []
            if not data:
                self._lost()
                return
            self._received(int.from_bytes(data), descriptors[0] if descriptors else None)

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802, ARG002 - Twisted's name
        """Only a reactor that gives the descriptor up calls this."""
        self._lost()

    def _lost(self) -> None:
        if self.fileno() >= 0:
            self.close()
            self._ended()

    def _say_more(self) -> None:
        while self._unsaid:
            try:
                self._end.send(self._unsaid[0].to_bytes(_WORD))
            except BlockingIOError:
                self._reactor.callLater(_PAUSE_SECONDS, self._say_more)
                return
            except OSError:
                self._unsaid.clear()
                return
            self._unsaid.popleft()
