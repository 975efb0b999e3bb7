"""The dispatcher of a destination: claims what is due, has it sent, and settles what was answered, many at a time.

Imports twisted, flow, steps, store.queue, net.hand, net.parcel, net.progress and observe only.

It shares nothing with the intake but the database, and with other dispatchers nothing at all: what is slow or dead here
delays nobody. Its transactions are short, and it never waits for the database.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from twisted.internet import defer

from hl7auth.flow.decision import Disposition, Outcome
from hl7auth.flow.figures import DestinationFigures
from hl7auth.flow.outbox import Claimed, Kind, Settled
from hl7auth.flow.verdict import Act, Answer, Policy, Verdict, judge, looked_up
from hl7auth.net.hand import Hand
from hl7auth.net.parcel import Parcel, Sender, World
from hl7auth.net.progress import Progress
from hl7auth.observe import log
from hl7auth.steps.draft import Unmapped
from hl7auth.store.queue import LEASE, Exchange, Queue, Wanted

MOST = 64
"""Deliveries in hand: enough to share a transaction, few enough to give back soon."""

GROUP = 32
"""Answers that are settled together at the latest."""

GROUP_SECONDS = 0.01
"""How long an answer waits for company while there is more to send: what a crash in this time sends twice."""

RIDES_SECONDS = 0.05
"""Who wrote together with messages so lately waits for the next ones: as long as for company."""

POLL_SECONDS = 0.25
"""How soon is seen what other processes queued, or a person decided, where nobody tells."""

IDLE_SECONDS = 2.0
"""The same where others tell: a notice may be lost with its session."""

PAUSE_SECONDS = 0.01
"""Before the second attempt at a database that another process has; doubled each time, up to FAULT_SECONDS."""

FAULT_SECONDS = 1.0
"""After a fault that is not of that kind."""

TEND_SECONDS = LEASE / 1_000_000 / 4
GRACE_SECONDS = 3.0
"""How long, at the end, answers are waited for to what was sent."""


Takes = Callable[[bytes, Callable[[Outcome], None]], None]
"""Takes the answer to a forwarded request in, and tells what became of it when it is on disk."""


class Dispatcher:
    """The dispatcher of one destination. `most` bounds the deliveries in hand; `takes` has the answers to what is
    forwarded; `progress` is where it counts."""

    def __init__(
        self,
        world: World,
        queue: Queue,
        sender: Sender,
        policy: Policy,
        *,
        most: int = MOST,
        takes: Takes | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._reactor, self._now, self._dice, self._turn, self._hears = world
        self._queue = queue
        self._channel = queue.destination.rpartition("/")[0]
        self._sender = sender
        self._policy = policy
        self._most = most
        self._takes = takes
        self._hand = Hand()
        self._next: Any = None
        self._tending: Any = None
        self._careful = False
        self._refusals = 0
        self._halted = False
        self._stopping = False
        self._feeding = False
        self._progress = progress or Progress()
        self._rides = False
        self._rode_at = -RIDES_SECONDS
        self._has_ridden = False

    def start(self) -> None:
        """Begins to send. Raises ConfigError for an address that is none."""
        self._rides = True
        self._sender.start(self._on_room)
        self._schedule(0)
        self._tending = self._reactor.callLater(TEND_SECONDS, self._tend)

    def wake(self) -> None:
        """Something may have been queued."""
        if self._has_ridden:
            self._has_ridden = False  # what there was it has
        elif not self._hand.settled and len(self._hand) < self._most:
            self._schedule(0)

    def rides(self, channels: Collection[str]) -> bool:
        """Has it anything to write with the messages of these channels?"""
        if not self._rides or self._stopping or self._halted:
            return False
        return bool(self._hand.settled) or (self._channel in channels and self._room > 0)

    def ride(self, connection: Connection, stored: Mapping[int, bytes]) -> Exchange:
        """Settles and claims in a transaction of somebody else, in which messages are `stored`."""
        return self._queue.exchange_in(connection, self._wanted(self._room), stored)

    def rode(self, found: Exchange) -> None:
        """That is on disk."""
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._has_ridden, self._rode_at = True, self._reactor.seconds()
        self._exchanged(found)

    def alight(self) -> None:
        """That failed: it goes by itself, until that has succeeded."""
        self._rides = False
        text = "deliveries could not be written together with messages"
        log("queue.failed", text, level=logging.ERROR, error=True, **self._named)
        self._schedule(0)

    def part(self) -> None:
        """Goes on for requests that are forwarded alone: everything else stays in the queue."""
        self._queue.only = Kind.FORWARD

    @defer.inlineCallbacks
    def stop(self) -> Any:
        """Claims no more; waits a little for the answers to what was sent; gives the rest back."""
        self._stopping = True
        deadline = self._reactor.seconds() + GRACE_SECONDS
        while self._hand.sending and self._reactor.seconds() < deadline:
            yield self._moment()
        verdict = Verdict(Act.RETRY, "stopped", self._now())
        unknown = [Settled(each, verdict, Answer("")) for each in self._hand.sending.values()]
        self._hand.sending.clear()
        self._sender.stop()
        for call in (self._next, self._tending):
            if call is not None and call.active():
                call.cancel()
        self._leave([*self._hand.settled, *unknown])
        deadline = self._reactor.seconds() + GRACE_SECONDS
        while not self._sender.ended and self._reactor.seconds() < deadline:
            yield self._moment()

    def _moment(self) -> "defer.Deferred[None]":
        pause: defer.Deferred[None] = defer.Deferred()
        self._reactor.callLater(0.02, pause.callback, None)
        return pause

    @property
    def figures(self) -> DestinationFigures:
        """How it goes."""
        return self._progress.figures(self._queue.destination, self._sender.connections, self._halted)

    @property
    def _room(self) -> int:
        """How many more it may claim, once what is answered is settled."""
        free = self._most - len(self._hand) + len(self._hand.settled)
        return free if self._sender.alive and not self._careful else 0

    def _leave(self, settled: list[Settled]) -> None:
        """What can not be written now is taken over when its lease has run out."""
        try:
            if settled:
                self._queue.exchange(settled, 0, self._now())
            if self._hand.waiting:
                self._queue.give_back(list(self._hand.waiting))
            self._queue.close()
        except SQLAlchemyError:
            log("queue.failed", "claims could not be given back", level=logging.ERROR, error=True, **self._named)

    def _on_room(self) -> None:
        self._feed()
        if not self._hand.waiting:
            self._schedule(self._soon if not self._hand.sending else GROUP_SECONDS)

    @property
    def _soon(self) -> float:
        """At once, but where it may go with somebody else."""
        return 0 if self._reactor.seconds() - self._rode_at >= RIDES_SECONDS else GROUP_SECONDS

    def _schedule(self, seconds: float) -> None:
        """Runs then, or sooner if that was planned before."""
        if self._stopping:
            return
        if self._next is not None and self._next.active():
            if self._next.getTime() <= self._reactor.seconds() + seconds:
                return
            self._next.cancel()
        self._next = self._reactor.callLater(seconds, self._run)

    def _run(self) -> None:
        """One transaction, if there is anything to do; then what was claimed is sent."""
        self._next = None
        self._progress.connected(self._sender.alive, self._now())
        room = self._room
        try:
            seconds = POLL_SECONDS if self._hand.settled else self._until_due(room)
            if seconds is not None and not self._hand.settled:
                self._schedule(seconds)
            elif self._turn is not None and not self._turn.take():
                self._schedule(PAUSE_SECONDS)
            else:
                self._exchange(room)
            self._refusals = 0
        except OperationalError:
            self._refused()
        except Exception:
            # what was answered is to be settled all the same: next time nothing is claimed beside it
            self._careful = not self._careful
            log("queue.failed", "the queue could not be used", level=logging.ERROR, error=True, **self._named)
            self._schedule(FAULT_SECONDS)

    def _refused(self) -> None:
        """The database is locked, or not there. Told once, when it lasts."""
        seconds = PAUSE_SECONDS * 2.0**self._refusals
        if seconds < FAULT_SECONDS:
            self._refusals += 1
            if seconds * 2 >= FAULT_SECONDS:
                sentence = "the database can not be had; deliveries wait"
                log("queue.refused", sentence, level=logging.ERROR, error=True, **self._named)
        self._schedule(min(seconds, FAULT_SECONDS))

    def _until_due(self, room: int) -> float | None:
        """None when there is something to claim now; else the seconds until it is worth looking again."""
        if room <= 0:
            return POLL_SECONDS
        due = self._queue.due()
        if due.halted != self._halted:
            self._halted = due.halted
            sentence = "the destination stands still until a person decides" if due.halted else "goes on"
            log("destination.stopped" if due.halted else "destination.resumed", sentence, **self._named)
            self._hand.runs.clear()
            self._feed()
        idle = IDLE_SECONDS if self._hears() else POLL_SECONDS
        if due.at is None or due.halted:
            return idle
        seconds = (due.at - self._now()) / 1_000_000
        return min(seconds, idle) if seconds > 0 else None

    def _exchange(self, room: int) -> None:
        try:
            found = self._queue.exchange(*self._wanted(room))
        finally:
            if self._turn is not None:
                self._turn.give_back()
        self._rides = True
        self._exchanged(found)

    def _wanted(self, room: int) -> Wanted:
        return Wanted(self._hand.settled, room, self._now(), self._hand.going, self._most - len(self._hand.runs))

    def _exchanged(self, found: Exchange) -> None:
        self._careful = False
        now = self._now()
        for each in self._hand.exchanged(found, now):
            self._progress.settled(each.verdict.act, now)
        if found.lost:
            count = len(found.lost)
            log("delivery.lost", "others took deliveries over", level=logging.WARNING, count=count, **self._named)
        self._feed()
        # nothing may be claimable although it looks due, behind what is under way in another lane
        self._schedule(POLL_SECONDS)

    def _feed(self) -> None:
        """Hands to the sender what there is room for. Senders may call back from within."""
        if self._feeding or self._stopping or self._halted:
            return
        self._feeding = True
        try:
            while self._hand.waiting and (room := self._sender.room) > 0:
                parcels = [
                    self._parcel(self._hand.waiting.popleft()) for _ in range(min(room, len(self._hand.waiting)))
                ]
                ready = [parcel for parcel in parcels if parcel is not None]
                self._hand.sending.update((parcel.claimed.id, parcel.claimed) for parcel in ready)
                if ready:
                    self._sender.send(ready, self._done)
        finally:
            self._feeding = False
        if self._hand.waiting and not self._sender.alive:
            self._give_back()

    def _parcel(self, claimed: Claimed) -> Parcel | None:
        if not claimed.raw:
            self._settle(claimed, Answer("unshaped", text="the message is no longer stored"))
            return None
        return Parcel(claimed, claimed.raw)

    def _done(self, parcel: Parcel, answer: Answer) -> None:
        if parcel.claimed.kind is Kind.FORWARD and parcel.claimed.id in self._hand.sending and self._is_taken(answer):
            self._take(parcel, answer)
        elif (claimed := self._hand.sending.pop(parcel.claimed.id, None)) is not None:
            self._settle(claimed, answer, parcel.unmapped)

    def _is_taken(self, answer: Answer) -> bool:
        """Is this what the requester waits for? A receipt is not, and what is tried again is not yet."""
        final = answer.code in ("AA", "AE", "AR", "CE", "CR")
        acts = (Act.SENT, Act.PARK)
        return self._takes is not None and final and looked_up(answer, self._policy.table) in acts

    def _take(self, parcel: Parcel, answer: Answer) -> None:
        """The answer is brought to disk before its delivery is settled: what is lost between is asked for again."""

        def taken(outcome: Outcome) -> None:
            if outcome.disposition is Disposition.FAILED:
                self._reactor.callLater(FAULT_SECONDS, self._take, parcel, answer)
            elif (claimed := self._hand.sending.pop(parcel.claimed.id, None)) is not None:
                self._progress.answered(answer.code, self._now())
                reason = f"{answer.code} {answer.condition}".strip()
                self._finish(Settled(claimed, Verdict(Act.SENT, reason), answer, parcel.unmapped))

        if parcel.claimed.id in self._hand.sending and self._takes is not None:
            self._takes(answer.raw, taken)

    def _settle(self, claimed: Claimed, answer: Answer, unmapped: tuple[Unmapped, ...] = ()) -> None:
        now = self._now()
        verdict = judge(answer, claimed.attempts, self._policy, now, self._dice())
        self._progress.answered(answer.code, now)
        if verdict.act not in (Act.SENT, Act.SKIP):
            log(f"delivery.{verdict.act}", "a delivery was not taken", level=logging.WARNING, delivery=claimed.id,
                answer=verdict.reason, attempts=claimed.attempts, **self._named)  # fmt: skip
        if verdict.act is Act.STOP:
            self._halted = True
            self._hand.runs.clear()
            self._give_back()
        self._finish(Settled(claimed, verdict, answer, unmapped))

    def _finish(self, settled: Settled) -> None:
        """What is next in its lane goes as soon as the connection is free, whatever the database is at."""
        self._hand.settled.append(settled)
        following = None if self._stopping or self._halted else self._hand.runs.following(settled, self._now())
        if following is not None:
            self._hand.waiting.append(following)
        full = not self._hand.waiting or len(self._hand.settled) >= GROUP
        self._schedule(self._soon if full else GROUP_SECONDS)
        self._feed()

    def _give_back(self) -> None:
        """What was not begun is not kept in hand while nothing can be sent."""
        if not self._hand.waiting:
            return
        try:
            self._queue.give_back(list(self._hand.waiting))
        except SQLAlchemyError:
            return  # they are kept, and sent when there is a connection again
        self._hand.let_go()

    def _tend(self) -> None:
        self._tending = self._reactor.callLater(TEND_SECONDS, self._tend)
        if self._hand or self._queue.needs_mending:
            try:
                self._queue.tend(self._hand.held, self._now())
            except SQLAlchemyError:
                self._tending.reset(TEND_SECONDS / 4)

    @property
    def _named(self) -> dict[str, Any]:
        return {"destination": self._queue.destination}
