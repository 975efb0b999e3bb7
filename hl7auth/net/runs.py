"""Runs: deliveries of one key that are claimed together, and sent one after the other.

Imports flow only.

In the database only the first of a run is in flight; those behind it stay queued, and are ours as long as it is. So a
run is settled in one transaction where each of its deliveries would need one, and what a crash repeats is what was not
settled yet.
"""

from collections import deque
from collections.abc import Iterable, Sequence

from hl7auth.flow.outbox import ENDS, OPEN, Claimed, Settled

LASTS = 2_000_000
"""Microseconds that a run goes on: well below the lease of a claim, so that nobody else can have its key meanwhile."""


class Runs:
    """What waits behind the deliveries that are being sent, by their lanes."""

    def __init__(self) -> None:
        self._behind: dict[str, deque[Claimed]] = {}
        self._until: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(map(len, self._behind.values()))

    def begin(self, behind: Sequence[Claimed], now: int) -> None:
        """Deliveries that follow others which were claimed with them, those of a lane in their order."""
        self.drop(behind)
        for each in behind:
            self._behind.setdefault(each.lane, deque()).append(each)
            self._until[each.lane] = now + LASTS

    def following(self, settled: Settled, now: int) -> Claimed | None:
        """What is sent next in the lane of a delivery that was answered. A run ends where one is not done with."""
        lane = settled.claimed.lane
        run = self._behind.get(lane)
        if run is None or settled.claimed.has_parts:
            return None
        if ENDS[settled.verdict.act] in OPEN or now >= self._until[lane]:
            self.drop([settled.claimed])
            return None
        following = run.popleft()
        if not run:
            self.drop([following])
        return following

    def drop(self, claims: Iterable[Claimed]) -> None:
        """Nothing more is sent of the runs in their lanes: it stays in the queue."""
        for each in claims:
            self._behind.pop(each.lane, None)
            self._until.pop(each.lane, None)

    def clear(self) -> None:
        """Nothing more is sent of any run."""
        self._behind.clear()
        self._until.clear()
