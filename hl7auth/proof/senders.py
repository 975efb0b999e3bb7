"""The senders of a proof: connections that each wait for their reply, until the engine is killed under them.

Imports wire and proof.ledger only.
"""

import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from hl7auth.proof.ledger import Ledger, Sent
from hl7auth.wire.ack import read_msa
from hl7auth.wire.framing import Deframer, frame

PATIENCE = 30.0
"""Seconds that a reply may take before the round is given up: far beyond what any engine in order needs."""


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    deframer: Deframer
    sent: Sent | None = None


class Senders:
    """Connections to a port of the loopback; each has one message under way."""

    def __init__(self, port: int, connections: int, ledger: Ledger) -> None:
        self._ledger = ledger
        self._selector = selectors.DefaultSelector()
        self.answers = 0
        self._open: list[_Connection] = []
        for _ in range(connections):
            each = _Connection(socket.create_connection(("127.0.0.1", port), PATIENCE), Deframer())
            each.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(each.socket, selectors.EVENT_READ, each)
            self._open.append(each)

    def run(self, seconds: float, then: Callable[[], None], halfway: Callable[[], None] | None = None) -> None:
        """Loads the engine for so long, then calls; and reads what still comes until every connection has ended.

        What was replied before the end is told, however late it is read: the kernel delivers it.
        """
        for each in list(self._open):
            self._send(each)
        begun = monotonic()
        for until, call in ((begun + seconds / 2, halfway), (begun + seconds, then)):
            while self._open and (left := until - monotonic()) > 0:
                self._turn(left, go_on=True)
            if call is not None:
                call()
        last = monotonic() + PATIENCE
        while self._open and monotonic() < last:
            self._turn(0.1, go_on=False)
        self.close()

    def drain(self) -> None:
        """Sends only what has no reply yet, and waits for the replies."""
        idle = list(self._open)
        last = monotonic() + PATIENCE
        while monotonic() < last and (self._ledger.unanswered or len(idle) < len(self._open)):
            while idle and self._ledger.unanswered:
                self._send(idle.pop())
            self._turn(0.1, go_on=False)
            idle = [each for each in self._open if each.sent is None]
        self.close()

    def close(self) -> None:
        """Hangs up; what had no reply is taken down."""
        for each in list(self._open):
            self._lost(each)
        self._selector.close()

    def _turn(self, wait: float, *, go_on: bool) -> None:
        for key, _ in self._selector.select(wait):
            each: _Connection = key.data
            try:
                data = each.socket.recv(262_144)
            except OSError:
                data = b""
            if not data:
                self._lost(each)
                continue
            for received in each.deframer.feed(data):
                self._heard(each, received.payload)
                if go_on:
                    self._send(each)

    def _heard(self, each: _Connection, reply: bytes) -> None:
        msa = read_msa(reply.decode("utf-8", "replace"))
        if msa is not None and each.sent is not None and msa.control_id == each.sent.control_id:
            self._ledger.hear(msa.control_id, reply)
            self.answers += 1
            each.sent = None

    def _send(self, each: _Connection) -> None:
        each.sent = self._ledger.next()
        try:
            each.socket.sendall(frame(each.sent.raw))
        except OSError:
            self._lost(each)

    def _lost(self, each: _Connection) -> None:
        if each not in self._open:
            return
        self._open.remove(each)
        self._selector.unregister(each.socket)
        each.socket.close()
        if each.sent is not None:
            self._ledger.crashed([each.sent])
