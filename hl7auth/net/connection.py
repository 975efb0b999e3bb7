"""A connection of the MLLP listener: bytes in, frames to the intake, replies out; nothing else.

Imports twisted, wire.framing, steps, flow, net and observe only.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, cast
from typing import Protocol as Interface

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Outcome
from hl7auth.flow.figures import Ending
from hl7auth.flow.intake import Plan, plan, refuse_frame
from hl7auth.flow.linked_plan import plan_linked
from hl7auth.net import bounds
from hl7auth.net.blocks import blocks_of
from hl7auth.net.board import ENDING, LAST, SLOT, Slots
from hl7auth.net.intake import Intake
from hl7auth.net.shaping import Held, Preparing
from hl7auth.net.timers import Timers
from hl7auth.net.transport import Wire, sends_now
from hl7auth.observe import log, now
from hl7auth.steps.run import Shaped
from hl7auth.wire.framing import Deframer, Frame, frame


class Owner(Interface):
    """Whose connection it is: all of one channel. `links` and `frames` say whether messages may have parts elsewhere,
    and whether there is more than messages and replies; `queue` is where frames go first."""

    channel: Channel
    intake: Intake
    queue: Intake | Preparing | Held
    slots: Slots
    links: bool
    frames: bool

    def admit(self, connection: "MllpConnection", /) -> bool:
        """False where there are too many."""

    def leave(self, connection: "MllpConnection", /) -> None:
        """It has ended."""

    def count(self, outcome: Outcome, /) -> None:
        """One more for the figures."""

    def submit(self, sender: Any, received: Frame, /) -> None:
        """Puts a message where the messages of the channel go just now."""


def _nowhere(_: bytes) -> None:
    """Nobody is left to tell."""


@implementer(IPushProducer, IHalfCloseableProtocol)
class MllpConnection(Protocol):
    """One connection. It is read no further while its peer does not read replies, or has enough under way."""

    def __init__(self, factory: Owner, peer: str) -> None:
        self._owner = factory
        framing = factory.channel.file.framing
        self._deframer = Deframer(framing.max_bytes, framing.lenient)
        self.peer = peer
        self._held = 0
        self._received: deque[Frame] = deque()
        self._pending = 0
        self._refused = 0
        self._pauses: set[str] = set()
        self._send: Callable[[bytes], None] = _nowhere
        self._closing = False
        self._timers = Timers(factory.intake.reactor)
        self._blocks = blocks_of(self, factory, factory.channel) if factory.frames else None

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Refuses what is too many; else starts to wait for a first message."""
        self._wire = cast(Wire, self.transport)
        if not self._owner.admit(self):
            self._wire.abortConnection()
            return
        self._wire.setTcpNoDelay(True)
        self._send = sends_now(self.transport)
        self._wire.registerProducer(self, True)
        self._expect_message()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Frames become plans; an unfinished one is timed as a whole."""
        frames = self._deframer.feed(data)
        self._received.extend(frames)
        self._account()
        self._take()
        if frames:
            self._timers.cancel("slow")
        if self._is_nonsense():
            self.give_up(Ending.NONSENSE)
        elif (
            self._owner.intake.waiting_bytes > bounds.MAX_WAITING_BYTES and self._held > bounds.MAX_WAITING_BYTES // 256
        ):
            self.give_up(Ending.MEMORY)
        else:
            self._expect_message()

    def readConnectionLost(self) -> None:  # noqa: N802 - Twisted's name
        """The peer sends no more, but may still read: it gets the replies to what it has sent."""
        self._received.extend([*self._deframer.flush(), *self._deframer.close()])
        self._account()
        self._take()
        if self._blocks is not None:
            self._blocks.close("the sender ended the connection before the trailer (BTS, FTS)")
        self.close_when_answered()

    def writeConnectionLost(self) -> None:  # noqa: N802 - Twisted's name
        """The peer reads no more: there is nobody left to tell."""
        self._wire.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802, ARG002 - Twisted's name
        """What was received whole is still committed; there is only nobody left to tell."""
        self._send = _nowhere  # there is no socket any more: to write to it would raise, in the middle of a commit
        self._timers.cancel_all()
        self._owner.intake.waiting_bytes -= self._held
        self._held = 0
        self._take(bounds.MAX_RECEIVED)
        if self._blocks is not None:
            self._blocks.close("the connection was lost before the trailer (BTS, FTS)")
            self._blocks.gone()
        self._owner.leave(self)

    def answer(self, outcome: Outcome) -> None:
        """Writes the replies of one message, in frames."""
        self._pending -= 1
        slots = self._owner.slots
        slots[SLOT[outcome.disposition]] += 1
        slots[LAST] = outcome.plan.received_at
        replies = outcome.replies
        if self._blocks is not None:
            self._blocks.answered(outcome)
        elif replies:
            self._send(b"".join([frame(reply) for reply in replies]))
        if self._received:
            self._take()
        if self._closing:
            self._close_if_answered()

    def write(self, data: bytes) -> None:
        """Sends blocks."""
        self._send(data)

    def count(self, outcome: Outcome) -> None:
        """One more for the figures."""
        self._owner.count(outcome)

    def tell(self, reply: bytes) -> None:
        """Sends a reply by itself."""
        if self._blocks is not None:
            self._blocks.tell(reply)
        else:
            self.write(frame(reply))

    def hold(self) -> None:
        """A batch has the whole share of this connection, until `release`."""
        self._pending += bounds.MAX_PENDING

    def release(self, *, again: bool) -> None:
        """The batch is through; `again` takes what came meanwhile."""
        self._pending -= bounds.MAX_PENDING
        if again and self._received:
            self._take()
        if self._closing:
            self._close_if_answered()

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The peer does not read its replies: stop reading its messages."""
        self._pause("unread replies")

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The replies are through."""
        self._go_on("unread replies")

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The transport is gone."""

    def close_when_answered(self) -> None:
        """Ends the connection as soon as everything received is answered, or after a while without that."""
        if not self._closing:
            self._closing = True
            self._timers.cancel_all()
            self._timers.set("closing", bounds.CLOSE_SECONDS, self._wire.abortConnection)
            if self._blocks is not None:
                self._blocks.close("the connection was closed before the trailer (BTS, FTS)")
        self._close_if_answered()

    def become(self, channel: Channel) -> None:
        """What comes from now on is framed as the channel says now, and so are batches that begin from now on."""
        self._deframer.reframe(channel.file.framing.max_bytes, channel.file.framing.lenient)
        if self._blocks is not None:
            self._blocks.become(channel)

    def _close_if_answered(self) -> None:
        if not self._pending and not self._received:
            if self._blocks is not None:
                self._blocks.finish()
            self._wire.loseConnection()

    def _take(self, most: int = 0) -> None:
        """Plans what was received, up to the share that one connection may have under way."""
        while self._received and self._pending < (most or bounds.MAX_PENDING):
            self._submit(self._received.popleft())
            if self._refused > bounds.MAX_REFUSED:
                self.give_up(Ending.BROKEN_FRAMES)
        if self._received:
            self._pause("enough under way")
        else:
            self._go_on("enough under way")

    def plan(self, received: Frame, shaped: Shaped | None = None) -> Plan:
        """What a frame of this connection wants. A fault of ours in planning it is answered, and hurts no neighbour."""
        intake, channel = self._owner.intake, self._owner.channel
        reason = "the message was broken off" if "truncated" in received.notes else "the message is too large"
        try:
            if not received.refused:
                if self._owner.links:
                    return plan_linked(
                        received.payload, channel, now(), intake.new_id, received.notes, self.peer, shaped
                    )
                return plan(received.payload, channel, now(), intake.new_id, received.notes, self.peer, shaped)
        except Exception:
            log("plan.failed", "a message could not be planned", level=logging.ERROR, error=True, channel=channel.name)
            reason = "the message could not be processed"
        return refuse_frame(received.payload, reason, channel, now(), intake.new_id, self.peer)

    def _submit(self, received: Frame) -> None:
        if self._blocks is not None and self._blocks.takes(received):
            return
        if received.payload not in bounds.NO_MESSAGE:
            self.submit(received)

    def submit(self, received: Frame) -> None:
        """A message to be committed and answered."""
        self._pending += 1
        self._refused = self._refused + 1 if received.refused else 0
        self._owner.queue.submit(self, received)

    def _pause(self, reason: str) -> None:
        if not self._pauses:
            self._wire.pauseProducing()
        self._pauses.add(reason)

    def _go_on(self, reason: str) -> None:
        if reason in self._pauses:
            self._pauses.remove(reason)
            if not self._pauses and not self._closing:
                self._wire.resumeProducing()

    def _account(self) -> None:
        held = self._deframer.buffered
        self._owner.intake.waiting_bytes += held - self._held
        self._held = held

    def _is_nonsense(self) -> bool:
        """Noise without end, or a frame without end: no message will come of it."""
        largest = self._owner.channel.file.framing.max_bytes
        return (
            self._deframer.discarded > bounds.DISCARD_LIMIT * largest or self._deframer.noise_bytes > bounds.MAX_NOISE
        )

    def give_up(self, reason: Ending) -> None:
        """A sender went beyond all bounds: the connection ends when everything is answered."""
        log("connection.cut", "a sender went beyond all bounds", channel=self._owner.channel.name, reason=reason)
        self._owner.slots[ENDING[reason]] += 1
        self._received.clear()
        self.close_when_answered()

    def _expect_message(self) -> None:
        """The clocks: for the byte after a FS, for the rest of a message, else for the next message."""
        if self._closing:
            return
        limits = self._owner.channel.file.limits
        if self._deframer.pending_end:
            self._timers.set("end block", bounds.END_BLOCK_SECONDS, self._end_block_missing)
        if not self._deframer.in_frame:
            self._timers.set("message", limits.idle_seconds, self._idle)
        elif "slow" not in self._timers:
            # set once for the whole message: bytes that trickle in do not start its time anew
            self._timers.cancel("message")
            self._timers.set("slow", limits.message_seconds, self._too_slow)

    def _end_block_missing(self) -> None:
        self._timers.cancel("end block")
        self._received.extend(self._deframer.flush())
        self._account()
        self._take()
        self._timers.cancel("slow")
        self._expect_message()

    def _too_slow(self) -> None:
        self._end(Ending.SLOW, "a message took too long")

    def _idle(self) -> None:
        self._end(Ending.IDLE, "nothing came for too long")

    def _end(self, reason: Ending, sentence: str) -> None:
        log("connection.closed", sentence, channel=self._owner.channel.name, reason=reason)
        self._owner.slots[ENDING[reason]] += 1
        self.close_when_answered()
