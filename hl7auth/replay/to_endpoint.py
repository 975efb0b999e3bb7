"""Messages sent to an endpoint over MLLP, one after the other, each with the control id that it has.

Imports sqlalchemy, sockets, flow, net.sender, store, replay, wire, observe and errors only.

Sending and noting can not be one transaction with a machine elsewhere. So it is noted before that a message is on its
way: when a run dies in between, nobody knows whether it arrived, and it is not sent again unless a person says so.
"""

import socket
import time
from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import Engine

from hl7auth.errors import UserError
from hl7auth.flow.verdict import Answer, control_id_of, read_answer
from hl7auth.net.sender import expected_replies
from hl7auth.observe import now
from hl7auth.replay.material import Piece, Reading
from hl7auth.replay.wish import ENDPOINT
from hl7auth.store.database import connect
from hl7auth.store.replays import Item, Settled, State, settle
from hl7auth.wire.framing import Deframer, frame

_POSITIVE = ("AA", "CA")
_READ = 65_536
_LEAST = 0.001
_GOODBYE = 2.0
"""Seconds that the other end has to hang up, too."""
_QUIET = 0.2
"""Seconds in which a bad answer may come where none is due."""
_MOST_REPLY = 16 * 1024 * 1024
UNKNOWN = "it was sent, and no answer is known: `replay run ID --again REASON` sends it once more"


class ToEndpoint:
    """One connection, one message under way: the order is kept whatever the other end does."""

    at_once = 1

    def __init__(self, engine: Engine, target: str, seconds: float, *, again: bool = False) -> None:
        """`seconds` is how long an answer is waited for; `again` also sends what may have arrived."""
        host, _, port = target.removeprefix(ENDPOINT).rpartition(":")
        self._place = (host.strip("[]"), int(port))
        self._engine, self._seconds = engine, seconds
        self.tries: tuple[State, ...] = (State.WAITING, State.UNKNOWN) if again else (State.WAITING,)
        self._reader = connect(engine.execution_options(reads_only=True))
        self._reading = Reading(self._reader)
        self._socket: socket.socket | None = None
        self._deframer = Deframer(_MOST_REPLY)

    def close(self) -> None:
        """Ends the connection."""
        self._hang_up()
        self._reading.close()
        self._reader.close()

    def carry(self, items: Sequence[Item]) -> list[Settled]:
        """Sends each, and notes what was answered. Raises UserError where nobody answers."""
        found = []
        for item, piece in zip(items, self._reading.read(items), strict=True):
            if piece.fault:
                found.append(self._noted(Settled(item, State.FAILED, reason=piece.fault, attempts=0)))
                continue
            if not self._is_open():
                self._connect()
            self._noted(Settled(item, State.SENDING, reason=UNKNOWN))
            settled = self._noted(self._sent(item, piece))
            found.append(settled)
            if settled.state is State.UNKNOWN:
                raise UserError(f"message {item.number} of it was sent to {self._name}, {settled.code}")
        return found

    @property
    def _name(self) -> str:
        return f"{self._place[0]}:{self._place[1]}"

    def _connect(self) -> None:
        try:
            self._socket = socket.create_connection(self._place, self._seconds)
        except OSError as error:
            raise UserError(f"can not connect to {self._name}: {(error.strerror or str(error)).lower()}") from None
        self._deframer = Deframer(_MOST_REPLY)

    def _is_open(self) -> bool:
        """False also where the other end hung up behind its last answer, as some do."""
        if self._socket is None:
            return False
        self._socket.settimeout(0)
        try:
            open_ = self._socket.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            open_ = False
        if not open_:
            self._hang_up()
        return open_

    def _hang_up(self) -> None:
        """Reads to the end first: a connection that is closed with something unread takes away what it had sent."""
        if self._socket is None:
            return
        with suppress(OSError), self._socket:
            self._socket.shutdown(socket.SHUT_WR)
            until = time.monotonic() + _GOODBYE
            while (left := until - time.monotonic()) > 0:
                self._socket.settimeout(left)
                if not self._socket.recv(_READ):
                    break
        self._socket = None

    def _noted(self, settled: Settled) -> Settled:
        with self._engine.begin() as connection:
            settle(connection, [settled], now())
        return settled

    def _sent(self, item: Item, piece: Piece) -> Settled:
        try:
            answer = self._exchange(piece.raw)
        except TimeoutError:
            self._hang_up()
            return Settled(item, State.UNKNOWN, "no answer", UNKNOWN, attempts=0)
        except OSError:
            self._hang_up()
            return Settled(item, State.UNKNOWN, "the connection was lost", UNKNOWN, attempts=0)
        if answer is None:
            return Settled(item, State.DONE, "sent", "its header asks for no answer", attempts=0)
        code = f"{answer.code} {answer.condition}".strip()
        return Settled(item, State.DONE if answer.code in _POSITIVE else State.REFUSED, code, attempts=0)

    def _exchange(self, raw: bytes) -> Answer | None:
        """The answer about this very message; None where its header wants none, and none came. Raises OSError."""
        assert self._socket is not None
        self._socket.settimeout(self._seconds)
        self._socket.sendall(frame(raw))
        due = expected_replies(raw).when_good > 0
        try:
            return self._answer(control_id_of(raw), time.monotonic() + (self._seconds if due else _QUIET))
        except TimeoutError:
            if due:
                raise
            return None

    def _answer(self, about: str, until: float) -> Answer:
        assert self._socket is not None
        while True:
            self._socket.settimeout(max(until - time.monotonic(), _LEAST))
            data = self._socket.recv(_READ)
            if not data:
                raise ConnectionError
            if time.monotonic() > until:
                raise TimeoutError
            for received in self._deframer.feed(data):
                read = None if received.refused else read_answer(received.payload)
                if read is not None and read[1] == about:
                    return read[0]
