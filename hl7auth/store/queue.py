"""The durable queue of one destination: what is due is claimed, what was answered is settled, many in one transaction.

Imports sqlalchemy, flow, observe and store.bodies, .database, .deliveries, .delivery_table and .unmapped only.

A claim has an owner and a lease. An owner that lives renews it; when a process dies its claims run out, and whoever
comes next has them. What decides is the database: a settlement counts only while the claim is still the settler's.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from hl7auth.flow.outbox import ENDS, OPEN, Claimed, Kind, Settled, State
from hl7auth.flow.verdict import KEPT_OF_ANSWER, Act
from hl7auth.observe import log
from hl7auth.store.bodies import BodyFault, sealed_bodies
from hl7auth.store.database import connect
from hl7auth.store.deliveries import RECORD, places, promote, run, run_many
from hl7auth.store.delivery_table import HALTS, IS_IN_FLIGHT, IS_OPEN, IS_READY
from hl7auth.store.unmapped import Lacking, lacking, write_unmapped

LEASE = 5_000_000
"""Microseconds that a claim lasts without being renewed: so long the work of a dead process waits at most."""


LOCK_MILLISECONDS = 50
"""How long a statement waits for rows that another transaction holds, on a server."""

_MOST_PARAMETERS = 500
"""Values in one IN list: far below every limit of SQLite and PostgreSQL."""

_DUE = (
    f"SELECT (SELECT due_at FROM delivery WHERE destination = {{p}} AND {IS_READY} ORDER BY due_at LIMIT 1),"
    f" (SELECT min(lease_until) FROM delivery WHERE destination = {{p}} AND {IS_IN_FLIGHT} AND owner <> {{p}}),"
    f" (SELECT 1 FROM delivery WHERE destination = {{p}} AND {HALTS} LIMIT 1)"
)
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


class Due(NamedTuple):
    """What waits: `at` is when the first delivery is due, or a foreign claim runs out; None when nothing is."""

    at: int | None
    halted: bool


class Exchange(NamedTuple):
    """What one transaction brought: deliveries to send now, and settlements that came too late to count."""

    claimed: list[Claimed]
    lost: list[int]


class Queue:
    """The view of one owner on the deliveries of one destination. Not thread-safe.

    It never waits for the database: who finds it locked is told by OperationalError, and asks again.
    """

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
            row: Any = run(self._reader, _DUE, (own, own, self.owner, own)).one()
        times = [each for each in row[:2] if each is not None]
        return Due(min(times) if times else None, row[2] is not None)

    def exchange(self, settled: Sequence[Settled], room: int, now: int) -> Exchange:
        """Settles, takes over what others let run out, and claims up to `room` deliveries that are due, all in one
        transaction. Raises what the database raises; then nothing of it was done."""
        with self._begin() as connection:
            lost = self._settle(connection, settled, now) if settled else []
            if room <= 0:
                return Exchange([], lost)
            self._take_over(connection, now)
            return Exchange(self._claim(connection, room, now), lost)

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
        sql = (
            "UPDATE delivery SET state = {p}, halts = {p}, due_at = {p}, settled_at = {p}, reason = {p}, answer = {p},"
            f" owner = NULL, lease_until = NULL WHERE id = {{p}} AND {IS_IN_FLIGHT} AND owner = {{p}}"
        )
        rows = [_settled_row(each, now, self.owner) for each in settled]
        lost: list[int] = []
        if run_many(connection, sql, rows) != len(rows):
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

    def _claim(self, connection: Connection, room: int, now: int) -> list[Claimed]:
        rows: Any = run(
            connection, _claim_sql(connection.dialect.name), (self.destination, now, self.destination, room)
        ).all()
        if not rows:
            return []
        ids = [(self.owner, now + LEASE, row[0]) for row in rows]
        run_many(connection, _TAKE, ids)
        raws = _raws(connection, [row[1] for row in rows if not row[5]])
        bodies = _bodies(connection, [row[0] for row in rows if row[5]])
        claimed = [_claimed(row, bodies if row[5] else raws) for row in rows]
        for each in claimed:
            if each.has_parts:
                values = {"state": State.IN_FLIGHT, "owner": self.owner, "lease_until": now + LEASE}
                self._parts(connection, each, values)
        return claimed

    def _parts(self, connection: Connection, claimed: Claimed, values: dict[str, Any]) -> None:
        changed = ", ".join(f"{column} = {{p}}" for column in values)
        rows = [(*values.values(), place) for place, _ in places(connection, claimed.id)]
        run_many(connection, f"UPDATE delivery SET {changed} WHERE id = {{p}}", rows)


def _claimed(row: Any, contents: dict[int, bytes]) -> Claimed:
    raw = contents.get(row[0] if row[5] else row[1], b"")
    return Claimed(row[0], row[1], row[2], row[3] + 1, bool(row[4]), raw, Kind(row[5]) if row[5] else None)


def _raws(connection: Connection, ids: list[int]) -> dict[int, bytes]:
    """Messages as the steps of their channel left them.

    Apart from the claim: a server may join a fresh table the long way round.
    """
    return _contents(connection, "SELECT id, coalesce(shaped, raw), pack FROM message WHERE id IN", ids)


def _bodies(connection: Connection, ids: list[int]) -> dict[int, bytes]:
    """What deliveries carry themselves."""
    return _contents(connection, "SELECT id, body, NULL FROM delivery WHERE body IS NOT NULL AND id IN", ids)


def _contents(connection: Connection, sql: str, ids: list[int]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for at in range(0, len(ids), _MOST_PARAMETERS):
        some = ids[at : at + _MOST_PARAMETERS]
        rows: Any = run(connection, f"{sql} ({', '.join(['{p}'] * len(some))})", some).all()
        found.update((row[0], bytes(row[1]) if row[2] is None else _sealed(connection, row[0], row[2])) for row in rows)
    return found


def _sealed(connection: Connection, message_id: int, pack: int) -> bytes:
    """A message that was sealed before it was sent on once more; nothing where its pack can not be read."""
    try:
        return sealed_bodies(connection, pack, message_id).judged
    except BodyFault:
        log("archive.damaged", "a message can not be read from its pack", level=logging.ERROR, message=message_id)
        return b""


def impatient(connection: Connection) -> Connection:
    """One that is told at once that SQLite is locked, or soon that rows of a server are, which a person may hold.

    Out of its pool: nobody else is to have it afterwards.
    """
    if connection.dialect.name == "sqlite":
        # past SQLAlchemy, which would begin a transaction for it, and wait
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA busy_timeout = 0")
        frugal(connection)
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


@lru_cache(maxsize=4)
def _claim_sql(dialect: str) -> str:
    """The oldest first of those that are at the head of all their lanes, while none in these lanes is under way."""
    moving = (
        f"SELECT 1 FROM delivery f WHERE f.destination = {{0}}.destination AND f.lane = {{0}}.lane AND f.{IS_IN_FLIGHT}"
    )
    sql = (
        "SELECT d.id, d.message_id, d.lane, d.attempts, d.parts, d.kind FROM delivery d"
        f" WHERE d.destination = {{p}} AND {IS_READY} AND d.due_at <= {{p}} AND NOT EXISTS ({moving.format('d')})"
        " AND (d.parts = 0 OR NOT EXISTS (SELECT 1 FROM delivery q WHERE q.message_id = d.message_id"
        " AND q.destination = d.destination AND q.queued_at = d.queued_at AND q.part = 1"
        f" AND (q.head = 0 OR EXISTS ({moving.format('q')}))))"
        f" AND NOT EXISTS (SELECT 1 FROM delivery h WHERE h.destination = {{p}} AND h.{HALTS})"
        " ORDER BY d.due_at, d.id LIMIT {p}"
    )
    return sql + (" FOR UPDATE OF d SKIP LOCKED" if dialect == "postgresql" else "")
