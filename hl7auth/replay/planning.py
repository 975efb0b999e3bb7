"""A plan is made: what is chosen is looked at, portion by portion, and noted; nothing is done yet.

Imports sqlalchemy, flow, store, replay, observe and errors only.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Protocol

from sqlalchemy import Connection, Engine

from hl7auth.errors import UserError
from hl7auth.observe import now
from hl7auth.replay.material import Piece
from hl7auth.replay.wish import Wish
from hl7auth.store.database import connect
from hl7auth.store.replays import Draft, Item, add_items, begin_plan, finish_plan, note

AT_ONCE = 250
"""Messages that are read, judged and noted at once."""


class Looker(Protocol):
    """Judges messages for a kind of target. `versions` are those of the channels that it asked."""

    versions: dict[str, str]

    @property
    def notes(self) -> list[str]:
        """What a reader has to know."""

    def look(self, pieces: Sequence[Piece], first: int, at: int) -> list[Item]:
        """The items of some messages, the first of which has that number."""


Chosen = tuple[Iterator[list[Piece]], Callable[[], int]]
"""Messages in portions, and how many there are as far as is known."""
Choose = Callable[[Connection], Chosen]


def make(
    engine: Engine,
    wish: Wish,
    choose: Choose,
    looker: Callable[[Connection, int], Looker],
    odd: Sequence[str],
    moved: Callable[[int, int], None],
) -> int:
    """Notes a plan and returns its id; `moved` hears how many messages were looked at, of how many as far as is
    known; `odd` is what `choose` noticed.

    Each portion is a transaction of its own, so that a running engine goes on. A plan that is broken off is none.
    Raises UserError where nothing is chosen.
    """
    with connect(engine.execution_options(reads_only=True)) as reader:
        portions, total = choose(reader)
        first = next(portions, [])
        if not first:
            raise UserError("nothing is chosen: no message fits")
        with engine.begin() as writer:
            number = begin_plan(writer, Draft(now(), wish.by, wish.selection, wish.target, wish.again))
        looks, count = looker(reader, number), 0
        for portion in chain([first], portions):
            items = looks.look(portion, count + 1, now())
            reader.rollback()  # ends the snapshot of this portion
            with engine.begin() as writer:
                add_items(writer, items)
            count += len(items)
            moved(count, max(count, total()))
    with engine.begin() as writer:
        finish_plan(writer, number, looks.versions, [*odd, *looks.notes])
        note(writer, number, now(), wish.by, "planned", f"{count} message(s)")
    return number
