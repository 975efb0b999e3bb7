"""How sending to one destination goes: what became of deliveries, when the last arrived, and since when none does.

Imports flow only.
"""

from hl7auth.flow.figures import DestinationFigures, Standing
from hl7auth.flow.verdict import Act

_TROUBLE = ("closed", "timeout", "unreadable", "failed")
_SERVER_ERROR = "HTTP 5"


class Progress:
    """Counts for one destination, from where they stood `before` it became another. Written on the reactor; other
    threads may read."""

    def __init__(self, before: "Progress | None" = None) -> None:
        self._acts: dict[Act, int] = dict.fromkeys(Act, 0) if before is None else dict(before._acts)
        self._last_at: int = 0 if before is None else before._last_at
        self._proven = False
        self._failing_at = 0
        self._lost_at = 0

    def connected(self, alive: bool, now: int) -> None:
        """Says whether anything can be sent at all."""
        if alive:
            self._lost_at = 0
        elif not self._lost_at:
            self._lost_at = now

    def answered(self, code: str, now: int) -> None:
        """Takes an answer: one of the other side, or that there was none that can be used."""
        if code.startswith(_SERVER_ERROR) or code in _TROUBLE:
            self._failing_at = self._failing_at or now
        elif code not in ("unshaped", "filtered"):  # which never left the house
            self._proven, self._failing_at = True, 0

    def settled(self, act: Act, now: int) -> None:
        """Counts what the store has taken down about a delivery."""
        self._acts[act] += 1
        if act is Act.SENT:
            self._last_at = now

    def figures(self, name: str, connections: int, halted: bool) -> DestinationFigures:
        """How it is now."""
        since = min(filter(None, (self._failing_at, self._lost_at)), default=0)
        if halted:
            standing = Standing.STOPPED
        elif since:
            standing = Standing.DOWN
        else:
            standing = Standing.UP if self._proven or connections else Standing.UNKNOWN
        return DestinationFigures(
            name, standing, since, connections, {str(act): count for act, count in self._acts.items()}, self._last_at
        )
