"""The MLLP listener of a channel: its connections, how many there may be, and where their frames go.

Imports twisted, flow, net and wire.framing only.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from hl7auth.flow.channel import Channel
from hl7auth.flow.channel_links import keeps_waiting
from hl7auth.flow.decision import Outcome
from hl7auth.flow.figures import Ending
from hl7auth.net.awaited import Awaited
from hl7auth.net.board import LAST, SLOT, Board, Slots
from hl7auth.net.connection import MllpConnection
from hl7auth.net.intake import Intake
from hl7auth.net.refusals import Refusals
from hl7auth.net.shaping import Held, Preparing
from hl7auth.net.waiting import WaitingConnection
from hl7auth.wire.framing import Frame


class MllpFactory(Factory):
    """The connections of one channel. `left` is called once for each that has ended; `slots` are where it counts;
    `queue` is where frames go first, if that is not the intake; `awaited` has what connections wait for where
    somebody else answers."""

    noisy = False

    def __init__(
        self,
        channel: Channel,
        intake: Intake,
        left: Callable[[], None] | None = None,
        slots: Slots | None = None,
        queue: Preparing | None = None,
        awaited: Awaited | None = None,
    ) -> None:
        self._waits = False
        self._agree(channel)
        self.intake = intake
        self.queue: Intake | Preparing | Held = queue or intake
        self._left = left
        self._awaited = awaited
        self.connections: set[MllpConnection] = set()
        self.slots = Board(1).channel(0) if slots is None else slots
        self.refusals = Refusals(channel.name, intake.reactor.seconds, self.slots)

    def buildProtocol(self, addr: IAddress | None) -> Any:  # noqa: N802 - Twisted's name
        """A connection for an address."""
        host, port = getattr(addr, "host", ""), getattr(addr, "port", "")
        peer = f"{host}:{port}" if host else ""
        if self._awaited is not None and self._waits:
            return WaitingConnection(self, peer, self._awaited)
        return MllpConnection(self, peer)

    def count(self, outcome: Outcome) -> None:
        """One more for the figures."""
        self.slots[SLOT[outcome.disposition]] += 1
        self.slots[LAST] = outcome.plan.received_at

    def tell(self, peer: str, reply: bytes) -> None:
        """Sends a reply that was not asked for just now, if that peer is still connected."""
        for connection in self.connections:
            if connection.peer == peer:
                connection.tell(reply)

    def submit(self, sender: Any, received: Frame) -> None:
        """Puts a message where the messages of the channel go just now."""
        self.queue.submit(sender, received)

    def become(self, channel: Channel, queue: Preparing | Held | None = None) -> None:
        """Goes on under another version of the channel. Where batches or commit blocks begin or cease connections end,
        answered: what a block is was agreed upon for as long as they last; also where others answer from now on."""
        before, after, waited = self.channel.file.protocol, channel.file.protocol, self._waits
        other_blocks = (before.batches, before.commit_blocks) != (after.batches, after.commit_blocks)
        self._agree(channel)
        self.queue = queue or self.intake
        for connection in list(self.connections):
            if other_blocks or self._waits != waited:
                connection.close_when_answered()
            else:
                connection.become(channel)

    def _agree(self, channel: Channel) -> None:
        self.channel = channel
        self._waits = self._waits or keeps_waiting(channel)
        agreed = channel.file.protocol
        self.links, self.frames = agreed.links, agreed.frames

    def admit(self, connection: MllpConnection) -> bool:
        """Takes a connection in, unless there are as many as the channel allows."""
        if len(self.connections) >= self.channel.file.limits.connections:
            self.refusals.add(Ending.TOO_MANY, "too many connections", connection.peer)
            return False
        self.connections.add(connection)
        return True

    def leave(self, connection: MllpConnection) -> None:
        """Forgets a connection."""
        self.connections.discard(connection)
        self.gone()

    def gone(self) -> None:
        """Tells that a connection has ended, or was not taken."""
        if self._left is not None:
            self._left()
