"""Answers that come back on the connections to destinations: taken in as messages, through the intake of the process.

Imports net.intake, wire.framing, flow and observe only.
"""

import logging
from collections.abc import Callable

from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Disposition, Outcome
from hl7auth.flow.handshake import Handshake
from hl7auth.flow.intake import Plan, plan, refuse_frame
from hl7auth.net.intake import Intake
from hl7auth.observe import log, now
from hl7auth.wire.framing import Frame

Then = Callable[[Outcome], None]
"""Called once, when an answer is on disk, or could not be put there."""

Count = Callable[[str, Outcome], None]


class Inward:
    """The way in for answers. `count` is told of each, with the name of the channel that judged it."""

    def __init__(self, intake: Intake, count: Count) -> None:
        self._intake = intake
        self._count = count

    def take(self, channel: Channel, destination: str, raw: bytes, then: Then, *, is_exchange: bool) -> None:
        """Puts an answer that came from a destination into the next batch. An exchange of its own may ask for an accept
        acknowledgement; an answer in original mode is the end of one."""

        def told(outcome: Outcome) -> None:
            self._count(channel.name, outcome)
            then(outcome)

        self._intake.submit(_Arrival(self._intake, channel, destination, told, is_exchange), Frame(raw))


class _Arrival:
    """One answer, as the intake sees a connection."""

    def __init__(self, intake: Intake, channel: Channel, destination: str, then: Then, is_exchange: bool) -> None:
        self._intake = intake
        self._channel = channel
        self._destination = destination
        self._then = then
        self._is_exchange = is_exchange

    def plan(self, received: Frame) -> Plan:
        """What the answer says. It is itself never answered by an application."""
        new_id, peer = self._intake.new_id, self._destination
        try:
            found = plan(received.payload, self._channel, now(), new_id, received.notes, peer)
        except Exception:
            log("plan.failed", "an answer could not be planned", level=logging.ERROR, error=True, destination=peer)
            text = "the message could not be processed"
            found = refuse_frame(received.payload, text, self._channel, now(), new_id, peer)
        accept = found.handshake.accept if self._is_exchange else "NE"
        return found._replace(handshake=Handshake(True, accept, "NE"))

    def answer(self, outcome: Outcome) -> None:
        """Tells who brought it."""
        if outcome.disposition is Disposition.REFUSED:
            text = "an answer of a destination is not as its profile says"
            log("answer.refused", text, level=logging.WARNING, destination=self._destination,
                message=outcome.plan.message_id)  # fmt: skip
        self._then(outcome)
