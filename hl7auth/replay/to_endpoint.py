"""Messages sent to an endpoint over MLLP, one after the other, each with the control id that it has.

Imports sqlalchemy, flow, net.sender, store, replay, observe and errors only.

Sending and noting can not be one transaction with a machine elsewhere. So it is noted before that a message is on its
way: when a run dies in between, nobody knows whether it arrived, and it is not sent again unless a person says so.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Engine

from hl7auth.errors import UserError
from hl7auth.flow.tls import ClientTls
from hl7auth.flow.verdict import Answer, control_id_of, read_answer
from hl7auth.net.sender import expected_replies
from hl7auth.observe import now
from hl7auth.replay.line import Line, place_of
from hl7auth.replay.material import Piece, Reading
from hl7auth.store.database import connect
from hl7auth.store.replays import Item, Settled, State, settle

_POSITIVE = ("AA", "CA")
_QUIET = 0.2
"""Seconds in which a bad answer may come where none is due."""
UNKNOWN = "it was sent, and no answer is known: `replay run ID --again REASON` sends it once more"


class Manner(NamedTuple):
    """How long an answer is waited for, whether what may have arrived is sent again, and for an endpoint with TLS who
    is trusted, and who we are: files are relative to where the command runs."""

    seconds: float = 30.0
    again: bool = False
    tls: ClientTls | None = None


class ToEndpoint:
    """One connection, one message under way: the order is kept whatever the other end does."""

    at_once = 1

    def __init__(self, engine: Engine, target: str, how: Manner) -> None:
        """Raises UserError for files of TLS that are missing or wrong."""
        self._place = place_of(target)
        self._line = Line(self._place, how.tls, how.seconds)
        self._engine, self._seconds = engine, how.seconds
        self.tries: tuple[State, ...] = (State.WAITING, State.UNKNOWN) if how.again else (State.WAITING,)
        self._reader = connect(engine.execution_options(reads_only=True))
        self._reading = Reading(self._reader)

    def close(self) -> None:
        """Ends the connection."""
        self._line.close()
        self._reading.close()
        self._reader.close()

    def carry(self, items: Sequence[Item]) -> list[Settled]:
        """Sends each, and notes what was answered. Raises UserError where nobody answers."""
        found = []
        for item, piece in zip(items, self._reading.read(items), strict=True):
            if piece.fault:
                found.append(self._noted(Settled(item, State.FAILED, reason=piece.fault, attempts=0)))
                continue
            self._line.open()
            self._noted(Settled(item, State.SENDING, reason=UNKNOWN))
            settled = self._noted(self._sent(item, piece))
            found.append(settled)
            if settled.state is State.UNKNOWN:
                raise UserError(f"message {item.number} of it was sent to {self._place.name}, {settled.code}")
        return found

    def _noted(self, settled: Settled) -> Settled:
        with self._engine.begin() as connection:
            settle(connection, [settled], now())
        return settled

    def _sent(self, item: Item, piece: Piece) -> Settled:
        try:
            answer = self._exchange(piece.raw)
        except TimeoutError:
            self._line.close()
            return Settled(item, State.UNKNOWN, "no answer", UNKNOWN, attempts=0)
        except OSError:
            self._line.close()
            return Settled(item, State.UNKNOWN, "the connection was lost", UNKNOWN, attempts=0)
        if answer is None:
            return Settled(item, State.DONE, "sent", "its header asks for no answer", attempts=0)
        code = f"{answer.code} {answer.condition}".strip()
        return Settled(item, State.DONE if answer.code in _POSITIVE else State.REFUSED, code, attempts=0)

    def _exchange(self, raw: bytes) -> Answer | None:
        """The answer about this very message; None where its header wants none, and none came. Raises OSError."""
        self._line.send(raw)
        due = expected_replies(raw).when_good > 0
        try:
            return self._answer(control_id_of(raw), time.monotonic() + (self._seconds if due else _QUIET))
        except TimeoutError:
            if due:
                raise
            return None

    def _answer(self, about: str, until: float) -> Answer:
        for received in self._line.frames(until):
            read = None if received.refused else read_answer(received.payload)
            if read is not None and read[1] == about:
                return read[0]
        raise ConnectionError
