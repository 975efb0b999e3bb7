"""How long the bodies of a channel's messages are kept.

Imports rules.strict_yaml only.
"""

from pydantic import Field

from hl7auth.rules.strict_yaml import Strict


class Retention(Strict):
    """How long sealed packs are kept; for good where nothing is said. Only `hl7auth archive prune` takes them away.

    `bodies_days` is how many whole days after its own a pack is kept. What the tables know of its messages stays.
    """

    bodies_days: int | None = Field(None, ge=1, le=100_000)

    def first_kept(self, today: int) -> int | None:
        """The first day that is kept, as `today` counted from 1970; None where all are."""
        return None if self.bodies_days is None else today - self.bodies_days
