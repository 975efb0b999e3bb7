"""The one queue of a process between its connections and the store: planned, committed in batches, answered in order.

Imports wire.framing, flow, net.board and observe only.

The commit runs on the reactor: with SQLite a second busy thread fights for the interpreter lock (docs/why/commit.md).
Frames that arrive while a commit runs wait in their sockets, and are the next batch: group commit needs no timer.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol as Interface

from hl7auth.flow.decision import Outcome, failed
from hl7auth.flow.intake import Plan
from hl7auth.net.board import Board
from hl7auth.observe import log
from hl7auth.wire.framing import Frame

MAX_BATCH = 256
"""Messages in one commit: enough to share one sync among all, few enough to keep the reactor reading."""

TURN_SECONDS = 2.0
"""How long the other writers of a database may keep this one waiting: as long as SQLite's own busy_timeout."""

TURN_PAUSE = 0.02
"""Seconds between two looks at who has the turn, should nobody tell: a process that dies gives back without a word."""


class Committer(Interface):
    """What turns plans into outcomes: the store's journal."""

    def commit(self, plans: Sequence[Plan]) -> list[Outcome]:
        """The outcomes in order; durable when this returns."""

    def decide_ahead(self, plans: Sequence[Plan]) -> None:
        """Decides about what the next `commit` has, or begins with; again when there are more."""


class Turn(Interface):
    """Who may commit, where several processes write to one database."""

    def take(self) -> bool:
        """True when it is this process's turn from now on; False when another has it. Never waits."""

    def give_back(self) -> None:
        """Lets another have it."""

    def when_free(self, call: Callable[[], None], /) -> None:
        """Calls once, when another has given its turn back; not after the next `take`."""


class Timer(Interface):
    """A call that the reactor is to make later."""

    def active(self) -> bool:
        """Is it still to come?"""

    def cancel(self) -> None:
        """Not at all."""

    def reset(self, seconds: float) -> None:
        """That long from now."""


class Clock(Interface):
    """What is asked of a reactor here."""

    def callLater(self, delay: float, call: Callable[[], None], /) -> Timer:  # noqa: N802 - Twisted's name
        """Calls later."""

    def seconds(self) -> float:
        """A time that only grows."""


class Sender(Interface):
    """A connection, as the queue knows it."""

    def plan(self, received: Frame) -> Plan:
        """What a frame of it wants."""

    def answer(self, outcome: Outcome) -> None:
        """Sends the replies of one message."""


class Intake:
    """The queue. Where several processes write (`turn`), a batch is committed when it is this one's turn."""

    def __init__(
        self,
        reactor: Clock,
        committer: Committer,
        new_id: Callable[[], int],
        turn: Turn | None = None,
        board: Board | None = None,
    ) -> None:
        self.reactor = reactor
        self.board = board or Board(0)
        self.new_id = new_id
        self.waiting_bytes = 0
        self.between: Callable[[], None] | None = None
        """Called between the messages of a batch, where something else must not wait for all of it."""
        self.behind: Callable[[], None] | None = None
        """Called when the replies of a batch have left, and others may have the turn."""
        self._committer = committer
        self._turn = turn
        self._waits_since: float | None = None
        self._queue: deque[tuple[Sender, Frame]] = deque()
        self._planned: list[tuple[Sender, Plan]] = []
        self._next: Timer | None = None
        self._planning: Timer | None = None

    def submit(self, sender: Sender, received: Frame) -> None:
        """Puts a frame into the next batch. While another process has the turn there is time to plan it at once."""
        self._queue.append((sender, received))
        if self._waits_since is None:
            self._schedule(0)
        elif self._planning is None:
            self._planning = self.reactor.callLater(0, self._plan_batch)

    def flush(self) -> None:
        """Plans and commits one batch and sends its replies.

        Planned is here and not as frames come in: the same work done in a row is done with warm caches. And it is done
        before the turn is asked for, so that others can commit meanwhile.
        """
        self._next = None
        self._plan_batch()
        if not self._planned:
            return
        planned = self._planned[:MAX_BATCH]
        outcomes = self._outcomes([plan for _, plan in planned])
        if outcomes is None:
            return
        del self._planned[: len(planned)]
        if self._queue or self._planned:
            self._schedule(0)
        else:
            self._waits_since = None
        self.board.committed(len(planned))
        for (sender, _), outcome in zip(planned, outcomes, strict=True):
            try:
                sender.answer(outcome)
            except Exception:
                # a fault of ours with one connection takes no reply from the others
                log("answer.failed", "a reply could not be sent", level=logging.ERROR, error=True,
                    message=outcome.plan.message_id)  # fmt: skip
        if self.behind is not None:
            self.behind()

    def _plan_batch(self) -> None:
        self._planning = None
        while self._queue and len(self._planned) < MAX_BATCH:
            sender, received = self._queue.popleft()
            self._planned.append((sender, sender.plan(received)))
            if self.between is not None:
                self.between()

    def plan_waiting(self) -> None:
        """Plans all that waits, as the channels are now: before one of them becomes another."""
        while self._queue:
            sender, received = self._queue.popleft()
            self._planned.append((sender, sender.plan(received)))

    @property
    def waiting(self) -> int:
        """Messages that are not yet committed."""
        return len(self._queue) + len(self._planned)

    def _schedule(self, seconds: float) -> None:
        if self._next is None:
            self._next = self.reactor.callLater(seconds, self.flush)

    def _flush_now(self) -> None:
        if self._next is not None:
            self._next.cancel()
        self.flush()

    def _outcomes(self, plans: list[Plan]) -> list[Outcome] | None:
        """None while another process has the turn: the reactor does not stand still for it, and tries again."""
        if self._turn is None:
            return self._committer.commit(plans)
        if self._turn.take():
            self._waits_since = None
            try:
                return self._committer.commit(plans)
            finally:
                self._turn.give_back()
        now = self.reactor.seconds()
        if self._waits_since is None:
            self._waits_since = now
        if now - self._waits_since < TURN_SECONDS:
            self._committer.decide_ahead(plans)
            self._turn.when_free(self._flush_now)
            self._schedule(TURN_PAUSE)
            return None
        # whatever else waits is told at once too: to let each batch wait anew would add up
        log("turn.missed", "another process kept the database too long", level=logging.ERROR, messages=len(plans))
        return [failed(plan) for plan in plans]
