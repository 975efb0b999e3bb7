"""A connection whose replies may take as long as somebody else takes: a payor's system, or who decides here.

Imports twisted, flow, net.awaited and net.connection only.
"""

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from hl7auth.flow.decision import Outcome
from hl7auth.net.awaited import Awaited, Turns
from hl7auth.net.connection import MllpConnection, Owner


class WaitingConnection(MllpConnection):
    """A connection on a channel that forwards: replies may take as long as somebody else takes."""

    def __init__(self, factory: Owner, peer: str, awaited: Awaited) -> None:
        super().__init__(factory, peer)
        self._turns = Turns(awaited, super().answer, self._say)

    def answer(self, outcome: Outcome) -> None:
        """Writes the replies of one message when they are there, in the order of original mode."""
        self._turns.answer(outcome)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        """What still comes goes another way."""
        self._turns.leave()
        super().connectionLost(reason)

    def readConnectionLost(self) -> None:  # noqa: N802 - Twisted's name
        """The peer sends no more: whatever can go another way does."""
        super().readConnectionLost()
        self._turns.stop_waiting()

    def _say(self, data: bytes) -> None:
        self._wire.write(data)
