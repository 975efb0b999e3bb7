"""A batch that is decided before its turn to be written.

Imports sqlalchemy, flow, store.deciding, store.known, store.numbering and store.rows only.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from hl7auth.flow.decision import Outcome
from hl7auth.flow.intake import Plan
from hl7auth.store.deciding import decided
from hl7auth.store.known import KnownToBatch
from hl7auth.store.numbering import newest, numbered
from hl7auth.store.rows import Rows


class Ahead:
    """What was decided before the turn: the outcomes of some plans, with their rows."""

    def __init__(self, connection: Connection) -> None:
        self.outcomes: list[Outcome] = []
        self.rows = Rows()
        self._plans: list[Plan] = []
        self._connection = connection
        self._known = KnownToBatch(connection)

    def add(self, plans: Sequence[Plan], new_id: Callable[[], int]) -> None:
        """Decides about more, under ids of this moment: who gets the turn next has lower ones, as a rule."""
        if not plans:
            return
        found = decided(numbered(plans, new_id(), new_id), self._known)
        self.rows.add(found)
        self.outcomes += found
        self._plans += plans

    def begins(self, plans: Sequence[Plan]) -> bool:
        """Are the first of these what was decided about?"""
        pairs = zip(self._plans, plans, strict=False)
        return len(self._plans) <= len(plans) and all([one is other for one, other in pairs])

    def holds(self) -> bool:
        """Within the turn: would the same be decided now, and in the order of the ids?"""
        return newest(self._connection) < self.outcomes[0].plan.message_id and self._known.still_so()
