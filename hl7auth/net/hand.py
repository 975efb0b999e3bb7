"""What a dispatcher has in hand: deliveries that wait to be sent, are being sent, or are answered and not settled yet.

Imports flow, store.queue and net.runs only.
"""

from collections import deque

from hl7auth.flow.outbox import Claimed, Settled
from hl7auth.net.runs import Runs
from hl7auth.store.queue import Exchange


class Hand:
    """The deliveries of one dispatcher, in the order in which they are sent, and what may follow them."""

    def __init__(self) -> None:
        self.waiting: deque[Claimed] = deque()
        self.sending: dict[int, Claimed] = {}
        self.settled: list[Settled] = []
        self.runs = Runs()

    def __len__(self) -> int:
        return len(self.waiting) + len(self.sending) + len(self.settled)

    @property
    def held(self) -> list[Claimed]:
        """All whose claims are ours."""
        return [*self.waiting, *self.sending.values(), *(each.claimed for each in self.settled)]

    @property
    def going(self) -> list[Claimed]:
        """Those that are being sent, or next, in the place of some that are answered."""
        return [each for each in (*self.sending.values(), *self.waiting) if each.follows]

    def exchanged(self, found: Exchange, now: int) -> list[Settled]:
        """Takes what an exchange brought; returns what it settled, which is all that was answered."""
        settled, self.settled = self.settled, []
        if self.going:
            self.waiting = deque(each._replace(follows=False) for each in self.waiting)
            self.sending = {each.id: each._replace(follows=False) for each in self.sending.values()}
        if found.lost:
            self.runs.drop(each.claimed for each in settled if each.claimed.id in found.lost)
        self.waiting.extend(found.claimed)
        self.runs.begin(found.behind, now)
        return settled

    def let_go(self) -> None:
        """What waits is not ours any more."""
        self.runs.drop(self.waiting)
        self.waiting.clear()
