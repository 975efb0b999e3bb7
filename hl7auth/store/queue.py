"""The durable queue of one destination: what is due is claimed, what was answered is settled, many in one transaction.

Imports sqlalchemy, flow, and store.claiming, .database, .deliveries, .delivery_table and .unmapped only.

A claim has an owner and a lease. An owner that lives renews it; when a process dies its claims run out, and whoever
comes next has them. What decides is the database: a settlement counts only while the claim is still the settler's.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from hl7auth.flow.outbox import ENDS, OPEN, Claimed, Kind, Settled, State
from hl7auth.flow.verdict import KEPT_OF_ANSWER, Act
from hl7auth.store.claiming import behind, claim_sql, claimed, due_sql
from hl7auth.store.database import connect
from hl7auth.store.deliveries import RECORD, places, promote
from hl7auth.store.delivery_table import IS_IN_FLIGHT, IS_OPEN
from hl7auth.store.statement import ask_for, run, run_many
from hl7auth.store.unmapped import Lacking, lacking, write_unmapped

LEASE = 5_000_000
"""Microseconds that a claim lasts without being renewed: so long the work of a dead process waits at most."""

LOCK_MILLISECONDS = 50
"""How long a statement waits for rows that another transaction holds, on a server."""

_RENEW = (
    "UPDATE delivery SET lease_until = {p} WHERE message_id = {p} AND destination = {p}"
    f" AND {IS_IN_FLIGHT} AND owner = {{p}}"
)
_GIVE_UP = (
    "UPDATE delivery SET state = 'queued', owner = NULL, lease_until = NULL"
    f" WHERE destination = {{p}} AND {IS_IN_FLIGHT} AND lease_until < {{p}} AND "
)
_TAKE = (
    "UPDATE delivery SET state = 'in_flight', attempts = attempts + 1, owner = {p}, lease_until = {p} WHERE id = {p}"
)
_GO_ON = f"{_TAKE} AND state = 'queued' AND head = 1 AND owner = {{p}}"
_KEEP = "UPDATE delivery SET owner = {p}, lease_until = {p} WHERE id = {p} AND state = 'queued'"
_LET_GO = (
    "UPDATE delivery SET owner = NULL, lease_until = NULL"
    f" WHERE destination = {{p}} AND lane = {{p}} AND {IS_OPEN} AND state = 'queued' AND owner = {{p}}"
)
_SETTLE = (
    "UPDATE delivery SET state = {p}, halts = {p}, due_at = {p}, settled_at = {p}, reason = {p}, answer = {p},"
    " owner = NULL, lease_until = NULL"
)
_IS_OURS = f" WHERE id = {{p}} AND {IS_IN_FLIGHT} AND owner = {{p}}"
_FOLLOWS_OURS = (
    ", attempts = attempts + 1 WHERE id = {p} AND state = 'queued' AND owner = {p} AND EXISTS"
    " (SELECT 1 FROM delivery f WHERE f.destination = {p} AND f.lane = {p}"
    f" AND f.{IS_IN_FLIGHT} AND f.owner = {{p}})"
)


class Due(NamedTuple):
    """What waits: `at` is when the first delivery is due, or a foreign claim runs out; None when nothing is."""

    at: int | None
    halted: bool


class Wanted(NamedTuple):
    """What `Queue.exchange` is asked for."""

    settled: Sequence[Settled]
    room: int
    now: int
    going: Sequence[Claimed] = ()
    behind: int = 0


class Exchange(NamedTuple):
    """What one transaction brought: deliveries to send now, settlements that came too late to count, and deliveries
    that may follow those to send, each when the one before it in its lane is done with."""

    claimed: list[Claimed]
    lost: list[int]
    behind: tuple[Claimed, ...] = ()


class Queue:
    """The view of one owner on the deliveries of one destination. Not thread-safe.

    It never waits for the database: who finds it locked is told by OperationalError, and asks again. `only`, when it is
    set, is the one kind of deliveries that is claimed.
    """

    only: Kind | None = None

    def __init__(self, engine: Engine, destination: str, owner: str) -> None:
        self.destination = destination
        self.owner = owner
        self._engine = engine
        self._writer: Connection | None = None
        self._reader: Connection | None = None

    @property
    def needs_mending(self) -> bool:
        """True where `tend` has to be called although we have no claim."""
        return self._engine.dialect.name != "sqlite"

    def due(self) -> Due:
        """When there is something to do. Only reads."""
        if self._reader is None:
            self._reader = frugal(connect(self._engine.execution_options(reads_only=True)))
        with self._reader.begin():
            own = self.destination
            (row,) = ask_for(self._reader, due_sql(self.only or ""), (own, own, self.owner, own))
        times = [each for each in row[:2] if each is not None]
        return Due(min(times) if times else None, row[2] is not None)

    def exchange(
        self, settled: Sequence[Settled], room: int, now: int, going: Sequence[Claimed] = (), behind: int = 0
    ) -> Exchange:
        """Settles, takes over what others let run out, and claims up to `room` deliveries that are due and up to
        `behind` that follow them, all in one transaction. Raises what the database raises; then nothing was done.

        `going` are being sent in the place of some that are settled, which they followed.
        """
        with self._begin() as connection:
            return self.exchange_in(connection, Wanted(settled, room, now, going, behind))

    def exchange_in(
        self, connection: Connection, wanted: Wanted, stored: Mapping[int, bytes] | None = None
    ) -> Exchange:
        """The same in a transaction of the caller, and as good as that: what it brought counts when it has committed.

        `stored` are messages that need not be read, by id, as they are sent.
        """
        settled, room, now, going, behind = wanted
        lost = self._settle(connection, settled, now) if settled else []
        if going:
            run_many(connection, _GO_ON, [(self.owner, now + LEASE, each.id, self.owner) for each in going])
        if room <= 0:
            return Exchange([], lost)
        self._take_over(connection, now)
        found = self._claim(connection, room, now, behind, stored or {})
        first = [each for each in found if not each.follows]
        return Exchange(first, lost, tuple(each for each in found if each.follows))

    def tend(self, held: Sequence[Claimed], now: int) -> None:
        """Lets the claims that we hold last longer, and mends what else may be wrong.

        A claim of ours that we do not know of (the database was lost just when it committed) is given up when it runs
        out. On a server two transactions that can not see each other may leave a lane without a head.
        """
        with self._begin() as connection:
            rows = [(now + LEASE, each.message_id, self.destination, self.owner) for each in held]
            run_many(connection, _RENEW, rows)
            run(connection, _GIVE_UP + "owner = {p}", (self.destination, now, self.owner))
            if self.needs_mending:
                sql = (
                    "UPDATE delivery SET head = 1 WHERE head = 0 AND id IN"
                    f" (SELECT min(id) FROM delivery WHERE destination = {{p}} AND {IS_OPEN} GROUP BY lane)"
                )
                run(connection, sql, (self.destination,))

    def give_back(self, claims: Sequence[Claimed]) -> None:
        """Deliveries that were claimed and not begun: nothing has happened to them."""
        sql = (
            "UPDATE delivery SET state = 'queued', attempts = attempts - 1, owner = NULL, lease_until = NULL"
            f" WHERE id = {{p}} AND {IS_IN_FLIGHT} AND owner = {{p}}"
        )
        with self._begin() as connection:
            run_many(connection, sql, [(each.id, self.owner) for each in claims])
            for each in claims:
                if each.has_parts:
                    self._parts(connection, each, {"state": State.QUEUED, "owner": None, "lease_until": None})

    def close(self) -> None:
        """Closes the connections."""
        for connection in (self._writer, self._reader):
            if connection is not None:
                connection.close()
        self._writer = self._reader = None

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        try:
            if self._writer is None:
                self._writer = impatient(connect(self._engine))
            with self._writer.begin():
                yield self._writer
        except SQLAlchemyError as error:
            if not (self._engine.dialect.name == "sqlite" and isinstance(error, OperationalError)):
                self.close()  # a locked file is no reason; whatever else may be is one
            raise

    def _settle(self, connection: Connection, settled: Sequence[Settled], now: int) -> list[int]:
        lost: list[int] = []
        if self._write(connection, settled, now) != len(settled):
            lost = self._not_ours(connection, settled, now)
        kept = [each for each in settled if each.claimed.id not in lost] if lost else settled
        for each in kept:
            if each.claimed.has_parts:
                values = {"state": ENDS[each.verdict.act], "owner": None, "lease_until": None, "settled_at": now}
                self._parts(connection, each.claimed, values)
        done = [each for each in kept if ENDS[each.verdict.act] not in OPEN]
        self._promote(connection, done)
        told = [each for each in kept if each.verdict.act is not Act.SENT]
        if told:
            events = [(each.claimed.id, now, self.owner, each.verdict.act, each.verdict.reason) for each in told]
            run_many(connection, RECORD, events)
        write_unmapped(connection, [found for each in kept if each.unmapped for found in self._lacking(each, now)])
        return lost

    def _write(self, connection: Connection, settled: Sequence[Settled], now: int) -> int:
        """How many were ours to settle. Those that follow others first: as long as the first is ours, they are."""
        row = [(each.claimed, _settled_row(each, now, self.owner)) for each in settled]
        behind = [(*values, self.destination, each.lane, self.owner) for each, values in row if each.follows]
        count = run_many(connection, _SETTLE + _FOLLOWS_OURS, behind)
        count += run_many(connection, _SETTLE + _IS_OURS, [values for each, values in row if not each.follows])
        ended = {each.claimed.lane for each in settled if ENDS[each.verdict.act] in OPEN}
        run_many(connection, _LET_GO, [(self.destination, lane, self.owner) for lane in sorted(ended)])
        return count

    def _lacking(self, settled: Settled, now: int) -> list[Lacking]:
        """The codes that tables lacked for it; counted when it is settled, and not for each attempt."""
        if settled.verdict.act is Act.RETRY:
            return []
        return lacking(settled.unmapped, self.destination, settled.claimed.message_id, now)

    def _not_ours(self, connection: Connection, settled: Sequence[Settled], now: int) -> list[int]:
        """The settlements that changed nothing: the claim had run out and is another's, or was settled by another."""
        lost = []
        for each in settled:
            sql = "SELECT 1 FROM delivery WHERE id = {p} AND settled_at = {p} AND state = {p} AND owner IS NULL"
            values = (each.claimed.id, now, ENDS[each.verdict.act])
            if run(connection, sql, values).first() is None:
                lost.append(each.claimed.id)
        return lost

    def _promote(self, connection: Connection, done: Sequence[Settled]) -> None:
        """What was behind comes to the head of its lane."""
        lanes = [each.claimed.lane for each in done]
        for each in done:
            if each.claimed.has_parts:
                lanes += [lane for _, lane in places(connection, each.claimed.id)]
        if lanes:
            promote(connection, self.destination, lanes)

    def _take_over(self, connection: Connection, now: int) -> None:
        run(connection, _GIVE_UP + "owner <> {p}", (self.destination, now, self.owner))

    def _claim(
        self, connection: Connection, room: int, now: int, most_behind: int, stored: Mapping[int, bytes]
    ) -> list[Claimed]:
        sql = claim_sql(connection.dialect.name, self.only or "")
        rows = ask_for(connection, sql, (self.destination, now, self.destination, room))
        if not rows:
            return []
        ids = [(self.owner, now + LEASE, row[0]) for row in rows]
        run_many(connection, _TAKE, ids)
        following = behind(connection, self.destination, rows, most_behind, now, self.only or "")
        kept = [(self.owner, now + LEASE, row[0]) for row in following]
        if run_many(connection, _KEEP, kept) != len(kept):
            following = []  # a person has just decided something about one of them
        found = claimed(connection, rows, following, stored)
        for each in found:
            if each.has_parts:
                values = {"state": State.IN_FLIGHT, "owner": self.owner, "lease_until": now + LEASE}
                self._parts(connection, each, values)
        return found

    def _parts(self, connection: Connection, claimed: Claimed, values: dict[str, Any]) -> None:
        changed = ", ".join(f"{column} = {{p}}" for column in values)
        rows = [(*values.values(), place) for place, _ in places(connection, claimed.id)]
        run_many(connection, f"UPDATE delivery SET {changed} WHERE id = {{p}}", rows)


def impatient(connection: Connection) -> Connection:
    """One that is told at once that SQLite is locked, or soon that rows of a server are, which a person may hold.

    Out of its pool: nobody else is to have it afterwards.
    """
    if connection.dialect.name == "sqlite":
        # past SQLAlchemy, which would begin a transaction for it, and wait
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA busy_timeout = 0")
        frugal(connection.execution_options(impatient=True))
    else:
        connection.exec_driver_sql(f"SET lock_timeout = {LOCK_MILLISECONDS}")
        connection.commit()
    connection.detach()
    return connection


def frugal(connection: Connection) -> Connection:
    """One that keeps few pages of SQLite: each connection has a cache of its own, and few need that of the journal."""
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA cache_size = -4096")
    return connection


def _settled_row(settled: Settled, now: int, owner: str) -> tuple[object, ...]:
    verdict = settled.verdict
    return (
        ENDS[verdict.act], int(verdict.act is Act.STOP), verdict.due_at or now, now, verdict.reason,
        settled.answer.raw[:KEPT_OF_ANSWER] or None, settled.claimed.id, owner,
    )  # fmt: skip
