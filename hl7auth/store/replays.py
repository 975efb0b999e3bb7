"""Replays as they are planned, run and reported: the rows of a plan, what was replayed before, and the record.

Imports sqlalchemy, orjson, domain.clock, errors, store.statement and store.replay_table only.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, func, insert, inspect, select, update

from hl7auth.domain.clock import iso_time
from hl7auth.errors import UserError
from hl7auth.store.replay_table import replay_event, replay_item, replay_plan
from hl7auth.store.statement import run, run_many

Entry = dict[str, Any]


class Standing(StrEnum):
    """Where a plan stands. `making`: it was broken off before it was whole, and can not be run."""

    MAKING = "making"
    PLANNED = "planned"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"


class State(StrEnum):
    """What became of a message of a plan. `nothing`: it was taken, and there was nothing to do; `sending`: it is on its
    way to an endpoint; `unknown`: it was sent, and whether it arrived nobody can tell; `failed`: it was not tried."""

    WAITING = "waiting"
    SENDING = "sending"
    DONE = "done"
    NOTHING = "nothing"
    REFUSED = "refused"
    SKIPPED = "skipped"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Item(NamedTuple):
    """One message of a plan; the columns of its row."""

    plan: int
    number: int
    source: str
    place: int
    control_id: str
    event: str
    fingerprint: int
    target: str
    again: int = 0
    expected: str = ""
    state: str = State.WAITING
    code: str = ""
    reason: str = ""
    version: str = ""
    message_id: int | None = None
    delivery_id: int | None = None
    attempts: int = 0
    at: int | None = None


class Settled(NamedTuple):
    """What became of an item."""

    item: Item
    state: State
    code: str = ""
    reason: str = ""
    version: str = ""
    message_id: int | None = None
    delivery_id: int | None = None
    attempts: int = 1


class Before(NamedTuple):
    """A message of an earlier plan that went to the same target."""

    plan: int
    state: str
    control_id: str
    version: str


class Draft(NamedTuple):
    """What a plan says of itself when it is begun."""

    made_at: int
    made_by: str
    selection: str
    target: str
    again: str


_INSERT = f"INSERT INTO replay_item ({', '.join(Item._fields)}) VALUES ({', '.join(['{p}'] * len(Item._fields))})"
_SETTLE = (
    "UPDATE replay_item SET state = {p}, code = {p}, reason = {p}, version = {p}, message_id = {p}, delivery_id = {p},"
    " attempts = attempts + {p}, at = {p} WHERE plan = {p} AND number = {p}"
)


def has_replays(connection: Connection) -> bool:
    """False for a schema of a release that knew no replays."""
    return inspect(connection).has_table(replay_item.name)


def begin_plan(connection: Connection, draft: Draft) -> int:
    """A plan without messages. Returns its id."""
    values = draft._asdict() | {"versions": "{}", "notes": "[]", "state": Standing.MAKING, "pause": 0}
    done = connection.execute(insert(replay_plan).values(**values))
    key: Any = done.inserted_primary_key
    return int(key[0])


def add_items(connection: Connection, items: Sequence[Item]) -> None:
    """More messages of a plan."""
    run_many(connection, _INSERT, items)


def finish_plan(connection: Connection, plan: int, versions: Mapping[str, str], notes: Sequence[str]) -> None:
    """From now on it can be run."""
    said = {"versions": orjson.dumps(dict(versions)).decode(), "notes": orjson.dumps(list(notes)).decode()}
    connection.execute(update(replay_plan).where(replay_plan.c.id == plan).values(**said, state=Standing.PLANNED))


def read_plan(connection: Connection, plan: int) -> Any:
    """The row of a plan. Raises UserError."""
    row = connection.execute(select(replay_plan).where(replay_plan.c.id == plan)).first()
    if row is None:
        raise UserError(f"there is no replay {plan}")
    return row


def set_standing(connection: Connection, plan: int, standing: Standing) -> None:
    """Where the plan stands; nobody asks it to pause any more."""
    connection.execute(update(replay_plan).where(replay_plan.c.id == plan).values(state=standing, pause=0))


def ask_to_pause(connection: Connection, plan: int) -> None:
    """The run comes to rest with its next messages."""
    connection.execute(update(replay_plan).where(replay_plan.c.id == plan).values(pause=1))


def is_asked_to_pause(connection: Connection, plan: int) -> bool:
    """Does somebody want the run to rest?"""
    return bool(connection.execute(select(replay_plan.c.pause).where(replay_plan.c.id == plan)).scalar())


def next_items(connection: Connection, plan: int, states: Sequence[State], after: int, limit: int) -> list[Item]:
    """Messages of a plan in those states behind a number, in their order."""
    marks = ", ".join(["{p}"] * len(states))
    sql = f"SELECT {', '.join(Item._fields)} FROM replay_item WHERE plan = {{p}} AND number > {{p}}"
    sql += f" AND state IN ({marks}) ORDER BY number LIMIT {{p}}"
    return [Item._make(row) for row in run(connection, sql, (plan, after, *states, limit))]


def settle(connection: Connection, settled: Sequence[Settled], now: int) -> None:
    """Notes what became of messages, in the transaction of the caller: that of the effect, where there is one."""
    rows = [
        (each.state, each.code, each.reason, each.version, each.message_id, each.delivery_id, each.attempts, now,
         each.item.plan, each.item.number)
        for each in settled
    ]  # fmt: skip
    run_many(connection, _SETTLE, rows)


def doubt_sending(connection: Connection, plan: int, now: int) -> None:
    """What was on its way to an endpoint when the run ended: nobody knows whether it arrived."""
    sql = "UPDATE replay_item SET state = 'unknown', code = 'interrupted', at = {p}"
    run(connection, f"{sql} WHERE plan = {{p}} AND state = 'sending'", (now, plan))


def counts(connection: Connection, plan: int, column: str = "state") -> dict[str, int]:
    """How many messages of a plan are in which state, or (`expected`) what they were expected to do."""
    by = replay_item.c[column]
    query = select(by, func.count()).where(replay_item.c.plan == plan).group_by(by).order_by(by)
    return {name: count for name, count in connection.execute(query)}


def replayed_before(
    connection: Connection, plan: int, wanted: Sequence[tuple[int, str]]
) -> dict[tuple[int, str], Before]:
    """Of (fingerprint, target) the newest of other plans that was tried there, whatever came of it."""
    found: dict[tuple[int, str], Before] = {}
    sql = (
        "SELECT plan, state, control_id, version FROM replay_item WHERE fingerprint = {p} AND target = {p}"
        " AND plan < {p} AND state IN ('sending', 'done', 'nothing', 'refused', 'unknown') ORDER BY plan DESC LIMIT 1"
    )
    for pair in dict.fromkeys(wanted):
        row: Any = run(connection, sql, (*pair, plan)).first()
        if row is not None:
            found[pair] = Before(*row)
    return found


def has_plans_before(connection: Connection, plan: int) -> bool:
    """Was anything ever planned before?"""
    return connection.execute(select(replay_plan.c.id).where(replay_plan.c.id < plan).limit(1)).first() is not None


def note(connection: Connection, plan: int, at: int, by: str, action: str, detail: str = "") -> None:
    """A line of the record."""
    values = {"plan": plan, "at": at, "by": by, "action": action, "detail": detail}
    connection.execute(insert(replay_event).values(**values))


def record(connection: Connection, plan: int) -> list[Entry]:
    """Who did what with a plan, oldest first."""
    query = select(replay_event).where(replay_event.c.plan == plan).order_by(replay_event.c.id)
    return [
        {"at": iso_time(row.at), "by": row.by, "action": row.action, "detail": row.detail}
        for row in connection.execute(query)
    ]


def plan_entry(connection: Connection, row: Any) -> Entry:
    """A plan as it is shown, with how many of its messages are in which state."""
    return {
        "replay": str(row.id),
        "state": row.state,
        "made_at": iso_time(row.made_at),
        "by": row.made_by,
        "selection": row.selection,
        "target": row.target,
        "again": row.again or None,
        "states": counts(connection, row.id),
        "notes": orjson.loads(row.notes),
    }


def list_plans(connection: Connection, limit: int, before: int | None = None) -> list[Entry]:
    """Plans, newest last, cut at the newest, or at the newest of those before one."""
    query = select(replay_plan).order_by(replay_plan.c.id.desc())
    query = query if before is None else query.where(replay_plan.c.id < before)
    rows = connection.execute(query.limit(limit) if limit else query).all()
    return [plan_entry(connection, row) for row in reversed(rows)]


def list_items(connection: Connection, plan: int, state: str | None, limit: int, after: int = -1) -> list[Entry]:
    """The messages of a plan in their order behind a number, in one state if wanted; the first so many."""
    query = select(replay_item).where(replay_item.c.plan == plan, replay_item.c.number > after)
    query = query.order_by(replay_item.c.number)
    query = query.where(replay_item.c.state == state) if state is not None else query
    rows = connection.execute(query.limit(limit) if limit else query)
    return [item_entry(row) for row in rows]


def item_entry(row: Any) -> Entry:
    """A message of a plan as it is shown."""
    return {
        "number": row.number,
        "origin": str(row.place) if not row.source else None,
        "file": row.source or None,
        "place": row.place if row.source else None,
        "control_id": row.control_id,
        "event": row.event,
        "target": row.target,
        "again": bool(row.again),
        "expected": row.expected,
        "state": row.state,
        "code": row.code,
        "reason": row.reason,
        "message": str(row.message_id) if row.message_id is not None else None,
        "delivery": str(row.delivery_id) if row.delivery_id is not None else None,
        "attempts": row.attempts,
        "at": iso_time(row.at) if row.at is not None else None,
    }


def replays_of(connection: Connection, message_id: int) -> dict[str, list[Entry]]:
    """`replay_of`: which message was replayed when this one was made; `replays`: what replays did with this one, if
    anything."""
    if not has_replays(connection):
        return {"replay_of": [], "replays": []}
    joined = replay_item.join(replay_plan, replay_plan.c.id == replay_item.c.plan)
    query = select(replay_item, replay_plan.c.made_by, replay_plan.c.again.label("why")).select_from(joined)
    became = query.where(replay_item.c.message_id == message_id)
    origin = query.where(replay_item.c.source == "", replay_item.c.place == message_id)
    origin = origin.where(replay_item.c.state.not_in((State.WAITING, State.SKIPPED)))
    return {
        "replay_of": [_told(row) for row in connection.execute(became)],
        "replays": [_told(row) for row in connection.execute(origin.order_by(replay_item.c.plan).limit(50))],
    }


def _told(row: Any) -> Entry:
    entry = item_entry(row)
    names = ("origin", "file", "place", "target", "state", "code", "reason", "message", "delivery", "again", "at")
    return (
        {"replay": str(row.plan), "by": row.made_by}
        | {name: entry[name] for name in names}
        | {"why": row.why if row.again else ""}
    )
