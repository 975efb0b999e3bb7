"""A plan is run: portion by portion in its order, at a rate if wanted, until it is done or somebody wants it to rest.

Imports sqlalchemy, replay, store, observe and errors only.

What became of a message is written in the transaction of its effect. So a run that dies at any moment goes on where it
was, and nothing is done twice.
"""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Any, NamedTuple, Protocol

import orjson
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from hl7auth.errors import UserError
from hl7auth.observe import now
from hl7auth.store.archive_lock import REPLAY, only_one
from hl7auth.store.database import connect
from hl7auth.store.replays import (
    Item,
    Settled,
    Standing,
    State,
    counts,
    doubt_sending,
    is_asked_to_pause,
    next_items,
    note,
    read_plan,
    set_standing,
)

BAD = (State.REFUSED, State.FAILED, State.UNKNOWN)
"""What a person has to look at."""
INTERRUPTED = "it was interrupted"
"""Why a run rests that was told to stop, and that nobody paused."""
_SHARE = 4
"""Of a rate, portions are taken so often a second."""


class Carrier(Protocol):
    """Brings messages to a kind of target. `at_once` is how many it likes at a time; `tries` are the states of those
    that are to be brought."""

    at_once: int
    tries: tuple[State, ...]

    def carry(self, items: Sequence[Item]) -> list[Settled]:
        """Does what is to be done with them, in their order, and notes what became of each. Raises UserError where it
        can not go on: then what is not noted is not done."""

    def close(self) -> None:
        """Lets go of what it holds."""


class Pace(NamedTuple):
    """How fast (messages a second, 0 for as fast as it goes), and whether to stop at the first that goes wrong."""

    rate: float = 0.0
    stop_on_error: bool = False


class Ended(NamedTuple):
    """How a run ended: where the plan stands, and why it rests, if it does."""

    standing: Standing
    reason: str = ""


def run(
    engine: Engine,
    number: int,
    carrier: Carrier,
    pace: Pace,
    by: str,
    stop: Event,
    moved: Callable[[int, int], None],
) -> Ended:
    """Runs a plan, or goes on with one. `stop` is set by who wants it to rest. Raises UserError where another runs, or
    where the plan can not be run."""
    with only_one(engine, REPLAY):
        with engine.begin() as connection:
            row = read_plan(connection, number)
            if row.state == Standing.MAKING:
                raise UserError(f"replay {number} was broken off while it was planned: plan it again")
            doubt_sending(connection, number, now())
            left = sum(counts(connection, number).get(each, 0) for each in carrier.tries)
            if not left:
                set_standing(connection, number, Standing.DONE)
                return Ended(Standing.DONE)
            set_standing(connection, number, Standing.RUNNING)
            note(connection, number, now(), by, "begun" if row.state == Standing.PLANNED else "resumed", f"{left} left")
        ended = Ended(Standing.PAUSED, "it was broken off")
        try:
            with _few_collections():
                ended = _Run(engine, number, carrier, pace, stop, moved).all(left)
        except UserError as error:
            ended = Ended(Standing.PAUSED, str(error))
        except OperationalError as error:
            ended = Ended(Standing.PAUSED, f"the database could not be written: {error.orig}")
        finally:
            carrier.close()
            with engine.begin() as connection:
                set_standing(connection, number, ended.standing)
                note(connection, number, now(), by, ended.standing, ended.reason)
        return ended


def require_same(row: Any, versions: dict[str, str]) -> None:
    """Raises UserError where a channel is another than when the plan was made: what it told may not hold any more."""
    for name, version in orjson.loads(row.versions).items():
        if versions.get(name) != version:
            raise UserError(
                f"the channel '{name}' has changed since replay {row.id} was planned: plan it again, what is done stays"
            )


@contextmanager
def _few_collections() -> Iterator[None]:
    """The garbage collector, as the server has it: what is there for good is not gone through again and again."""
    before, is_calm = gc.get_threshold(), gc.get_freeze_count() > 0
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        if not is_calm:  # else what a server has set aside stays there
            gc.unfreeze()


class _Run:
    def __init__(
        self, engine: Engine, number: int, carrier: Carrier, pace: Pace, stop: Event, moved: Callable[[int, int], None]
    ) -> None:
        self._engine, self._number, self._carrier, self._stop, self._moved = engine, number, carrier, stop, moved
        self._pace = pace
        self._at_once = 1 if pace.stop_on_error else carrier.at_once
        if pace.rate:
            self._at_once = max(1, min(self._at_once, int(pace.rate / _SHARE)))

    def all(self, left: int) -> Ended:
        done, last, begun = 0, 0, time.monotonic()
        self._moved(0, left)
        with connect(self._engine.execution_options(reads_only=True)) as reader:
            while items := self._next(reader, last):
                if rests := self._rests(reader):
                    return Ended(Standing.PAUSED, rests)
                settled = self._carrier.carry(items)
                done, last = done + len(items), items[-1].number
                self._moved(done, left)
                bad = next((each for each in settled if each.state in BAD), None)
                if self._pace.stop_on_error and bad is not None:
                    return Ended(Standing.PAUSED, f"message {bad.item.number} of it was {_said(bad)}")
                self._wait(begun, done)
        return Ended(Standing.DONE)

    def _next(self, reader: Connection, last: int) -> list[Item]:
        items = next_items(reader, self._number, self._carrier.tries, last, self._at_once)
        reader.rollback()
        return items

    def _rests(self, reader: Connection) -> str:
        asked = is_asked_to_pause(reader, self._number)
        reader.rollback()
        if asked:
            return "somebody paused it"
        return INTERRUPTED if self._stop.is_set() else ""

    def _wait(self, begun: float, done: int) -> None:
        """Holds the rate over the whole run; who wants it to rest is not kept waiting."""
        if self._pace.rate:
            due = begun + done / self._pace.rate
            while (left := due - time.monotonic()) > 0 and not self._stop.wait(min(left, 1.0)):
                pass


def _said(bad: Settled) -> str:
    return f"{bad.state} ({bad.code or bad.reason})"
