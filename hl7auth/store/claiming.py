"""What is claimed of a queue: which deliveries come next, and what they carry.

Imports sqlalchemy, flow, observe and store.bodies, .deliveries and .delivery_table only.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from typing import Any

from sqlalchemy import Connection

from hl7auth.flow.outbox import Claimed, Kind, State
from hl7auth.observe import log
from hl7auth.store.bodies import BodyFault, sealed_bodies
from hl7auth.store.delivery_table import HALTS, IS_IN_FLIGHT, IS_OPEN, IS_READY
from hl7auth.store.statement import ask_for

_MOST_PARAMETERS = 500
"""Values in one IN list: far below every limit of SQLite and PostgreSQL."""
_NOTHING: Mapping[int, bytes] = {}
_BEHIND = (
    "SELECT id, message_id, lane, attempts, parts, kind, part, state, due_at FROM delivery"
    f" WHERE destination = {{p}} AND lane = {{p}} AND {IS_OPEN} AND id > {{p}} ORDER BY id LIMIT {{p}}"
)


def is_ready(kind: str = "") -> str:
    """The condition of what may be claimed; of one kind alone, if wanted."""
    return f"{IS_READY} AND kind = '{kind}'" if kind else IS_READY


@lru_cache(maxsize=4)
def due_sql(kind: str = "") -> str:
    """When the first is due, when the first claim of another runs out, and whether the destination stands still."""
    return (
        f"SELECT (SELECT due_at FROM delivery WHERE destination = {{p}} AND {is_ready(kind)} ORDER BY due_at LIMIT 1),"
        f" (SELECT min(lease_until) FROM delivery WHERE destination = {{p}} AND {IS_IN_FLIGHT} AND owner <> {{p}}),"
        f" (SELECT 1 FROM delivery WHERE destination = {{p}} AND {HALTS} LIMIT 1)"
    )


@lru_cache(maxsize=4)
def claim_sql(dialect: str, kind: str = "") -> str:
    """The oldest first of those that are at the head of all their lanes, while none in these lanes is under way; of one
    kind alone, if wanted."""
    moving = (
        f"SELECT 1 FROM delivery f WHERE f.destination = {{0}}.destination AND f.lane = {{0}}.lane AND f.{IS_IN_FLIGHT}"
    )
    sql = (
        "SELECT d.id, d.message_id, d.lane, d.attempts, d.parts, d.kind FROM delivery d"
        f" WHERE d.destination = {{p}} AND {is_ready(kind)} AND d.due_at <= {{p}}"
        f" AND NOT EXISTS ({moving.format('d')})"
        " AND (d.parts = 0 OR NOT EXISTS (SELECT 1 FROM delivery q WHERE q.message_id = d.message_id"
        " AND q.destination = d.destination AND q.queued_at = d.queued_at AND q.part = 1"
        f" AND (q.head = 0 OR EXISTS ({moving.format('q')}))))"
        f" AND NOT EXISTS (SELECT 1 FROM delivery h WHERE h.destination = {{p}} AND h.{HALTS})"
        " ORDER BY d.due_at, d.id LIMIT {p}"
    )
    return sql + (" FOR UPDATE OF d SKIP LOCKED" if dialect == "postgresql" else "")


def behind(
    connection: Connection, destination: str, rows: Sequence[Any], most: int, now: int, kind: str = ""
) -> list[Any]:
    """The rows that can be sent behind those of a claim, one after the other: what is next in their lanes, as long as
    it is in no other lane and due. At most so many."""
    found: list[Any] = []
    for row in rows:
        if len(found) >= most:
            break
        if not row[4]:
            there = ask_for(connection, _BEHIND, (destination, row[2], row[0], most - len(found)))
            found += takewhile(lambda each: _is_simple(each, now, kind), there)
    return found


def _is_simple(row: Any, now: int, kind: str) -> bool:
    parts, its_kind, part, state, due_at = row[4:9]
    return not parts and not part and state == State.QUEUED and due_at <= now and (not kind or its_kind == kind)


def claimed(
    connection: Connection, rows: Sequence[Any], following: Sequence[Any] = (), stored: Mapping[int, bytes] = _NOTHING
) -> list[Claimed]:
    """The deliveries of rows of the claim and of those behind, with what they carry; `stored` are messages that need
    not be read."""
    every = [*rows, *following]
    raws = _raws(connection, [row[1] for row in every if not row[5] and row[1] not in stored])
    raws.update((row[1], stored[row[1]]) for row in every if row[1] in stored)
    bodies = _bodies(connection, [row[0] for row in every if row[5]])
    found = [_claimed(row, bodies if row[5] else raws) for row in every]
    return [*found[: len(rows)], *(each._replace(follows=True) for each in found[len(rows) :])]


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
        rows = ask_for(connection, f"{sql} ({', '.join(['{p}'] * len(some))})", some)
        found.update((row[0], bytes(row[1]) if row[2] is None else _sealed(connection, row[0], row[2])) for row in rows)
    return found


def _sealed(connection: Connection, message_id: int, pack: int) -> bytes:
    """A message that was sealed before it was sent on once more; nothing where its pack can not be read."""
    try:
        return sealed_bodies(connection, pack, message_id).judged
    except BodyFault:
        log("archive.damaged", "a message can not be read from its pack", level=logging.ERROR, message=message_id)
        return b""
