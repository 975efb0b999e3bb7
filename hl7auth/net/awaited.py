"""Connections that wait for an answer from elsewhere: told as soon as it is on disk, or that it takes too long.

Imports sqlalchemy (its errors), wire.framing, flow, store.forwards, net.intake and observe only.

The answer may be committed by another process: so the database is asked, in short intervals, while somebody waits.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable

from sqlalchemy.exc import SQLAlchemyError

from hl7auth.flow.decision import Outcome
from hl7auth.flow.relay import Hold
from hl7auth.net.intake import Clock, Timer
from hl7auth.observe import log
from hl7auth.store.forwards import Forwards
from hl7auth.wire.framing import frame

POLL_SECONDS = 0.05
"""Between two looks for answers that another process may have committed."""

PAUSE_SECONDS = 0.02
"""Before the next look at a database that somebody else is writing to."""

PATIENCE_SECONDS = 2.0
"""How long a database that can not be had is asked again, before a connection is told nothing at all."""

Then = Callable[["bytes | None"], None]
"""Called once with what goes back on the connection."""


class Waiter:
    """Who waits for the answer to a message, until when, and what is done with it."""

    __slots__ = ("deadline", "has_way", "here", "message_id", "then")

    def __init__(self, hold: Hold, deadline: float, then: Then) -> None:
        self.message_id = hold.message_id
        self.has_way = hold.has_way
        self.here = hold.here
        self.deadline = deadline
        self.then = then


class Awaited:
    """All that wait in one process."""

    def __init__(self, reactor: Clock, forwards: Forwards) -> None:
        self._reactor = reactor
        self._forwards = forwards
        self._waiting: dict[int, list[Waiter]] = {}
        self._left: list[int] = []
        self._next: Timer | None = None

    def wait(self, hold: Hold, then: Then) -> Waiter:
        """Calls `then` with the answer, or with what is said when the seconds are over."""
        waiter = Waiter(hold, self._reactor.seconds() + hold.seconds, then)
        self._waiting.setdefault(hold.message_id, []).append(waiter)
        self._schedule(POLL_SECONDS)
        return waiter

    def leave(self, waiters: Iterable[Waiter]) -> None:
        """A connection is gone; what it waited for goes another way, if there is one."""
        for waiter in waiters:
            there = self._waiting.get(waiter.message_id, [])
            if waiter in there:
                there.remove(waiter)
                if not there:
                    del self._waiting[waiter.message_id]
                    self._left.append(waiter.message_id)
        try:
            self._release()
        except SQLAlchemyError:  # somebody else is writing
            self._schedule(PAUSE_SECONDS)

    def look_soon(self) -> None:
        """An answer may have been committed."""
        if self._waiting:
            if self._next is not None and self._next.active():
                self._next.reset(0)
            else:
                self._schedule(0)

    def close(self) -> None:
        """Ends; who still waits is told nothing."""
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._waiting.clear()
        self._left.clear()  # that then takes as long as a connection might have waited
        self._forwards.close()

    def _schedule(self, seconds: float) -> None:
        if self._next is None or not self._next.active():
            self._next = self._reactor.callLater(seconds, self._look)

    def _look(self) -> None:
        self._next = None
        try:
            self._release()
            self._answer()
            self._tell_late()
        except SQLAlchemyError:
            self._abandon()
            self._next_look(PAUSE_SECONDS)
            return
        self._next_look(POLL_SECONDS)

    def _next_look(self, seconds: float) -> None:
        if self._waiting or self._left:
            self._schedule(seconds)

    def _release(self) -> None:
        """Of a message that came twice another connection may wait again by now."""
        if gone := [number for number in self._left if number not in self._waiting]:
            self._forwards.release(gone)
        self._left.clear()

    def _answer(self) -> None:
        settled = self._forwards.settled(list(self._waiting)) if self._waiting else []
        if settled:
            self._tell(self._forwards.take(settled))

    def _tell(self, replies: dict[int, bytes | None]) -> None:
        for message_id, reply in replies.items():
            for waiter in self._waiting.pop(message_id, ()):
                waiter.then(reply)

    def _tell_late(self) -> None:
        """Of a message that came twice only the last to wait gives up: the answer still belongs to a connection."""
        now = self._reactor.seconds()
        over = [each for waiters in self._waiting.values() for each in waiters if each.deadline <= now]
        if not over:
            return
        last = [number for number, waiters in self._waiting.items() if all(each in over for each in waiters)]
        words = self._forwards.give_up(last) if last else {}
        others = {each.message_id for each in over} - set(last)
        words |= self._forwards.late(sorted(others)) if others else {}
        for waiter in over:
            if waiter.message_id in words:  # else it was answered just now: the next look has it
                self._waiting[waiter.message_id].remove(waiter)
                if not waiter.here:  # that people take their time is nothing to report
                    log("answer.late", "an answer from elsewhere takes too long", level=logging.WARNING,
                        message=waiter.message_id)  # fmt: skip
                waiter.then(words[waiter.message_id])
        self._waiting = {number: waiters for number, waiters in self._waiting.items() if waiters}

    def _abandon(self) -> None:
        """What can not be asked for can not be told."""
        before = self._reactor.seconds() - PATIENCE_SECONDS
        for message_id, waiters in list(self._waiting.items()):
            for waiter in [each for each in waiters if each.deadline < before]:
                waiters.remove(waiter)
                log("answer.unknown", "the database can not be had", level=logging.ERROR, message=message_id)
                waiter.then(None)
            if not waiters:
                del self._waiting[message_id]


class Turns:
    """The replies of one connection on a channel that forwards.

    In original mode they go in the order of the messages, so that one that waits holds up those behind it; in enhanced
    mode the accept acknowledgement goes at once, and the answer is an exchange of its own. `send` writes the replies of
    an outcome, `say` bytes beside it.
    """

    def __init__(self, awaited: Awaited, send: Callable[[Outcome], None], say: Callable[[bytes], None]) -> None:
        self._awaited = awaited
        self._send = send
        self._say = say
        self._turns: deque[list[Outcome | None]] = deque()
        self._waiters: list[Waiter] = []

    def answer(self, outcome: Outcome) -> None:
        """Sends the replies of an outcome, when it is its turn and they are there."""
        relay = (outcome.joined or outcome).relay
        hold = relay.hold if relay is not None else None
        if hold is None:
            self._in_turn(outcome)
            return
        if outcome.plan.handshake.enhanced:
            if outcome.accept_ack is not None:
                self._say(frame(outcome.accept_ack))
            rest = outcome._replace(accept_ack=None)
            self._wait(hold, lambda reply: self._send(rest._replace(reply=reply)))
            return
        turn: list[Outcome | None] = [None]
        self._turns.append(turn)

        def fill(reply: bytes | None) -> None:
            turn[0] = outcome._replace(reply=reply)
            self._flush()

        self._wait(hold, fill)

    def leave(self) -> None:
        """The connection is gone."""
        self._awaited.leave(self._waiters)

    def stop_waiting(self) -> None:
        """The peer sends no more, and most often that means that it is gone: what has another way takes it."""
        there = [waiter for waiter in self._waiters if waiter.has_way]
        self._awaited.leave(there)
        for waiter in there:
            waiter.then(None)

    def _wait(self, hold: Hold, then: Then) -> None:
        def told(reply: bytes | None) -> None:
            self._waiters.remove(waiter)
            then(reply)

        waiter = self._awaited.wait(hold, told)
        self._waiters.append(waiter)

    def _in_turn(self, outcome: Outcome) -> None:
        if self._turns:
            self._turns.append([outcome])
        else:
            self._send(outcome)

    def _flush(self) -> None:
        while self._turns and (ready := self._turns[0][0]) is not None:
            self._turns.popleft()
            self._send(ready)
