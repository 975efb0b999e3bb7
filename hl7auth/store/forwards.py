"""Forwarded requests: written with their message, closed with their answer, and what is left to do about them.

Imports sqlalchemy, orjson, domain, flow, and of store database, deliveries, forward_table, notices, queue and
unanswered only.

The answer is written with the message that brought it, in one transaction. Whoever hands it on takes it first, so that
of a connection and a queue only one ever has it.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from hl7auth.domain.authorization import Party
from hl7auth.flow.decision import Outcome
from hl7auth.flow.outbox import lanes
from hl7auth.flow.relay import DESK, Forwarded, Forwarding, Returned, Way
from hl7auth.store.database import connect, lock_writers
from hl7auth.store.deliveries import send_again
from hl7auth.store.notices import notify
from hl7auth.store.queue import frugal, impatient
from hl7auth.store.statement import run
from hl7auth.store.unanswered import Tended, abandon, is_to_tend, tend

_MOST = 500
_INSERT = (
    "INSERT INTO forward (message_id, channel, destination, state, wanted, enhanced, ways, within, late, failed,"
    " hold_until, owed, way, lanes, said, told_late) VALUES"
    " ({p}, {p}, {p}, 'open', {p}, {p}, {p}, {p}, {p}, {p}, {p}, 0, {p}, {p}, 0, 0)"
)
_KNOWN = (
    "SELECT f.message_id, f.channel, f.destination, f.state, m.control_id, m.sender, m.facility, f.wanted, f.enhanced,"
    " f.ways, f.within, f.failed, f.hold_until, f.said FROM forward f JOIN message m ON m.id = f.message_id"
    " WHERE f.message_id IN"
)
_CLOSE = (
    "UPDATE forward SET state = {p}, owed = {p}, way = {p}, lanes = {p}, said = {p}, answer_id = {p}"
    " WHERE message_id = {p}"
)


def write_relays(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    """What the outcomes of a batch mean for forwarded requests, in the transaction that stores them."""
    for outcome in outcomes:
        relay, at = outcome.relay, outcome.plan.received_at
        if relay is None:
            continue
        if relay.forward is not None:
            _open(connection, outcome, relay.forward)
        if relay.again is not None:
            run(connection, "UPDATE message SET reply = NULL WHERE id = {p}", (relay.again,))
            send_again(connection, relay.again, at)
        if relay.hold is not None and relay.forward is None:
            sql = "UPDATE forward SET hold_until = {p} WHERE message_id = {p} AND state = 'open'"
            run(connection, sql, (_until(at, relay.hold.seconds), relay.hold.message_id))
        if relay.returned is not None:
            _close(connection, outcome, relay.returned)
            notify(connection)  # the connection that waits may be another process's


def read_forwards(connection: Connection, ids: Sequence[int]) -> list[Forwarded]:
    """The forwarded requests among messages."""
    found: list[Forwarded] = []
    for at in range(0, len(ids), _MOST):
        some = ids[at : at + _MOST]
        rows: Any = run(connection, f"{_KNOWN} ({', '.join(['{p}'] * len(some))})", some)
        found += [_known(row) for row in rows]
    return found


class Forwards:
    """What a process does about forwarded requests beside taking messages in. Not thread-safe.

    It never waits for the database: who finds it locked is told by OperationalError, and asks again.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer: Connection | None = None
        self._reader: Connection | None = None

    def settled(self, ids: Sequence[int]) -> list[int]:
        """Those of these requests that are answered, refused or failed. Only reads."""
        with self._reading() as connection:
            rows: Any = run(connection, f"SELECT message_id FROM forward WHERE state <> 'open' AND {_among(ids)}", ids)
            return [row[0] for row in rows]

    def take(self, ids: Sequence[int]) -> dict[int, bytes | None]:
        """The replies of settled requests, for their connections: from now on they are theirs alone."""
        with self._writing() as connection:
            run(connection, f"UPDATE forward SET owed = 0 WHERE state <> 'open' AND {_among(ids)}", ids)
            sql = (
                "SELECT f.message_id, m.reply FROM forward f JOIN message m ON m.id = f.message_id"
                f" WHERE f.state <> 'open' AND f.{_among(ids)}"
            )
            rows: Any = run(connection, sql, ids)
            return {row[0]: bytes(row[1]) if row[1] is not None else None for row in rows}

    def give_up(self, ids: Sequence[int]) -> dict[int, bytes | None]:
        """What connections are told that wait no longer; answers that come from now on go by their way.

        Requests that were answered just now are left out.
        """
        with self._writing() as connection:
            sql = (
                "UPDATE forward SET hold_until = 0, told_late = CASE WHEN late IS NULL THEN told_late ELSE 1 END"
                f" WHERE state = 'open' AND {_among(ids)}"
            )
            run(connection, sql, ids)
            return _late(connection, ids)

    def late(self, ids: Sequence[int]) -> dict[int, bytes | None]:
        """What is said of open requests that take too long, while another connection still waits. Only reads."""
        with self._reading() as connection:
            return _late(connection, ids)

    def release(self, ids: Sequence[int]) -> None:
        """Their connections are gone: what is owed to them, or will be, goes by its way."""
        with self._writing() as connection:
            run(connection, f"UPDATE forward SET hold_until = 0 WHERE {_among(ids)}", ids)

    def tend(self, now: int) -> Tended:
        """Closes requests whose delivery was given up, and sends on what no connection took."""
        with self._reading() as connection:
            if not is_to_tend(connection, now):
                return Tended(0, 0)
        with self._writing() as connection:
            lock_writers(connection)
            return tend(connection, now)

    def awaited(self) -> dict[str, float]:
        """The destinations from which answers are to come, and the longest that a connection waits for one, in seconds.
        Only reads."""
        with self._reading() as connection:
            sql = "SELECT destination, max(within) FROM forward WHERE state = 'open' GROUP BY destination"
            rows: Any = run(connection, sql, ())
            return {row[0]: row[1] / 1_000_000 for row in rows}

    def abandoned(self, channels: Collection[str], known: Collection[str]) -> list[str]:
        """The destinations that none is any more of these known ones, from which answers to requests of these channels
        are to come. Only reads."""
        with self._reading() as connection:
            rows: Any = run(connection, "SELECT DISTINCT channel, destination FROM forward WHERE state = 'open'", ())
            return sorted({row[1] for row in rows if row[0] in channels and row[1] not in (*known, DESK)})

    def abandon(self, destination: str, returned: Collection[str], now: int) -> int:
        """Closes the requests that nobody brings to a destination any more, and which nobody answers; answers to those
        of channels that are `returned` may still come to another channel. Returns how many."""
        with self._writing() as connection:
            lock_writers(connection)
            return abandon(connection, destination, returned, now)

    def close(self) -> None:
        """Closes the connections."""
        for connection in (self._writer, self._reader):
            if connection is not None:
                connection.close()
        self._writer = self._reader = None

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        if self._reader is None:
            self._reader = frugal(connect(self._engine.execution_options(reads_only=True)))
        try:
            with self._reader.begin():
                yield self._reader
        except SQLAlchemyError:
            self.close()
            raise

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            if self._writer is None:
                self._writer = impatient(connect(self._engine))
            with self._writer.begin():
                yield self._writer
        except SQLAlchemyError as error:
            if not (self._engine.dialect.name == "sqlite" and isinstance(error, OperationalError)):
                self.close()  # a locked file is no reason; whatever else may be is one
            raise


def _late(connection: Connection, ids: Sequence[int]) -> dict[int, bytes | None]:
    rows: Any = run(connection, f"SELECT message_id, late FROM forward WHERE state = 'open' AND {_among(ids)}", ids)
    return {row[0]: bytes(row[1]) if row[1] is not None else None for row in rows}


def _open(connection: Connection, outcome: Outcome, new: Forwarding) -> None:
    way = new.ways[-1]  # the one for all that has no status
    hold_until = _until(outcome.plan.received_at, new.within) if new.within else 0
    ways = orjson.dumps([list(each) for each in new.ways]).decode()
    values = (
        new.message_id, new.channel, new.destination, new.wanted, int(new.enhanced),
        ways, int(new.within * 1_000_000), new.late, new.failed, hold_until, way.destination,
        orjson.dumps(lanes(outcome, way.order)).decode(),
    )  # fmt: skip
    run(connection, _INSERT, values)


def _close(connection: Connection, outcome: Outcome, returned: Returned) -> None:
    way = returned.way
    keys = orjson.dumps(lanes(outcome, way.order)).decode() if way is not None else "[]"
    values = (
        returned.state, int(returned.owed), way.destination if way else "", keys, returned.said,
        outcome.plan.message_id, returned.message_id,
    )  # fmt: skip
    run(connection, _CLOSE, values)
    if returned.reply is not None:
        run(connection, "UPDATE message SET reply = {p} WHERE id = {p}", (returned.reply, returned.message_id))


def _known(row: Any) -> Forwarded:
    ways = tuple(Way(tuple(statuses), to, order) for statuses, to, order in orjson.loads(row[9]))
    failed = bytes(row[11]) if row[11] is not None else None
    return Forwarded(
        row[0], row[1], row[2], row[3], row[4], Party(row[5], row[6]), row[7], bool(row[8]), ways, row[10] / 1_000_000,
        failed, row[12], row[13],
    )  # fmt: skip


def _until(at: int, seconds: float) -> int:
    return at + int(seconds * 1_000_000)


def _among(ids: Sequence[int]) -> str:
    return f"message_id IN ({', '.join(['{p}'] * len(ids))})"
