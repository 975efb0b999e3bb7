"""What a connection does beyond one message a block and its replies: batches, and commit blocks of MLLP release 2.

Imports flow, net and wire.framing only.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Disposition, Outcome
from hl7auth.flow.figures import Ending
from hl7auth.flow.intake import Plan
from hl7auth.net.batches import Batches, Queue
from hl7auth.net.courier import ACK, NAK, Courier
from hl7auth.net.intake import Intake
from hl7auth.steps.run import Shaped
from hl7auth.wire.framing import Frame


class Line(Protocol):
    """The connection."""

    peer: str

    def plan(self, received: Frame, shaped: Shaped | None = None, /) -> Plan:
        """What a message wants, as the steps of its channel made it."""

    def write(self, data: bytes, /) -> None:
        """Sends blocks."""

    def count(self, outcome: Outcome, /) -> None:
        """One more for the figures."""

    def submit(self, received: Frame, /) -> None:
        """A message to be committed and answered."""

    def hold(self) -> None:
        """No further frame is taken until `release`."""

    def release(self, *, again: bool) -> None:
        """On with the frames; `again` when nobody is taking them already."""

    def give_up(self, reason: Ending, /) -> None:
        """The connection ends when everything is answered."""


class Blocks:
    """The blocks of one connection whose channel has batches or commit blocks."""

    def __init__(
        self, line: Line, channel: Channel, intake: Intake, queue: Queue, write: Callable[[bytes], None]
    ) -> None:
        agreed = channel.file.protocol
        self._line = line
        self.peer = line.peer
        self.plan, self.count, self.hold = line.plan, line.count, line.hold
        self.release, self.give_up = line.release, line.give_up
        self._courier = Courier(
            write, intake.reactor, channel.name, commits=agreed.commit_blocks,
            too_many=lambda: line.give_up(Ending.MEMORY),
        )  # fmt: skip
        self._batches = Batches(self, channel, intake, queue, self._courier) if agreed.batches == "take" else None
        self._came_whole: deque[bool] = deque()

    def become(self, channel: Channel) -> None:
        """The channel goes on as another version, with the same agreement on what a block is."""
        if self._batches is not None:
            self._batches.become(channel)

    def takes(self, received: Frame) -> bool:
        """True for a block that is no message by itself, or is taken care of here."""
        if not received.payload:
            return False
        if self._courier.commits and received.payload in (ACK, NAK):
            self._courier.committed(received.payload)
            return True
        if self._batches is None or not self._batches.takes(received):
            self.submit(received)
        return True

    def submit(self, received: Frame) -> None:
        """A message."""
        self._came_whole.append(not received.refused)
        self._line.submit(received)

    def answered(self, outcome: Outcome) -> None:
        """A message is on disk with its replies. What could not be kept as it came gets NAK, and no other reply."""
        good = self._came_whole.popleft() and outcome.disposition is not Disposition.FAILED
        self._courier.commit(good=good)
        if good or not self._courier.commits:
            self._courier.send(outcome.replies)

    def tell(self, reply: bytes) -> None:
        """A reply by itself."""
        self._courier.send([reply])

    def close(self, why: str) -> None:
        """Nothing more comes from the peer."""
        if self._batches is not None:
            self._batches.close(why)

    def finish(self) -> None:
        """The connection is about to end: what waits goes out."""
        self._courier.finish()

    def gone(self) -> None:
        """The connection has ended: there is nobody left to wait for."""
        self._courier.close()


class Opened(Protocol):
    """What all connections of a channel share."""

    @property
    def intake(self) -> Intake:
        """The queue of the process."""

    def submit(self, sender: Any, received: Frame, /) -> None:
        """Puts a message where the messages of the channel go just now."""


def blocks_of(line: Line, opened: Opened, channel: Channel) -> Blocks:
    """The blocks of a connection."""
    return Blocks(line, channel, opened.intake, opened, line.write)
