"""Replays: planned from what a search chooses, run and paused; how far they are, and what became of each message.

Imports fastapi, sqlalchemy, api, domain, replay, store and errors.

To plan and to run are operations, whose callers come back for the result. An endpoint can not be named here: to
have messages of patients sent to any machine is for who may use `hl7auth replay plan --to-endpoint`.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from sqlalchemy import Connection

from hl7auth.api import replaying
from hl7auth.api.accepting import ACCEPTED, Asked, IdempotencyKey, accept
from hl7auth.api.paging import Cursor, Limit, cursor_of, page, place_of
from hl7auth.api.problems import Problem, at, invalid
from hl7auth.api.replay_shapes import Pacing, Planned, Selection
from hl7auth.api.security import require
from hl7auth.api.state import Api, State
from hl7auth.domain.clock import beginning, moment
from hl7auth.errors import UserError
from hl7auth.replay.targets import Channels, channel_target, destination_target, require_fitting
from hl7auth.store import audit, operations
from hl7auth.store.archive_lock import REPLAY, is_taken
from hl7auth.store.replays import (
    Standing,
    ask_to_pause,
    counts,
    list_items,
    list_plans,
    note,
    plan_entry,
    read_plan,
    record,
)
from hl7auth.store.replays import State as Became
from hl7auth.store.search import Query as Searched
from hl7auth.store.search_tests import other_fields, tests_of
from hl7auth.store.tokens import ADMIN, READ, WRITE, Caller

router = APIRouter(tags=["replays"])


async def _for_all(caller: Caller) -> Caller:
    """A replay may be of several payors and channels."""
    if caller.payors or caller.channels:
        raise Problem(403, f"the token '{caller.name}' is not for all payors and channels", "other-payor")
    return caller


async def _reader(caller: Caller = Depends(require(READ))) -> Caller:  # noqa: B008 - FastAPI's way
    return await _for_all(caller)


async def _writer(caller: Caller = Depends(require(WRITE))) -> Caller:  # noqa: B008 - FastAPI's way
    return await _for_all(caller)


async def _admin(caller: Caller = Depends(require(ADMIN))) -> Caller:  # noqa: B008 - FastAPI's way
    return await _for_all(caller)


Reader = Annotated[Caller, Depends(_reader)]
Writer = Annotated[Caller, Depends(_writer)]
Admin = Annotated[Caller, Depends(_admin)]
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.get("/replays", summary="Replays, newest first")
def list_replays(state: Api, caller: Reader, cursor: Cursor = "", limit: Limit = 50) -> dict[str, Any]:
    """Each with how many of its messages are in which state."""
    place = place_of(cursor, int)
    with state.reading() as connection:
        found = list_plans(connection, limit + 1, None if place is None else int(place[0]))[::-1]
    state.saw(caller.name, "replay.list", "")
    shown = found[:limit]
    return page(shown, cursor_of(int(shown[-1]["replay"])) if len(found) > limit else None)


@router.post("/replays", status_code=202, responses=ACCEPTED, summary="Plan a replay of what a search chooses")
def plan(
    state: Api, caller: Admin, request: Request, response: Response, body: Planned,
    idempotency_key: IdempotencyKey = "",
) -> dict[str, Any]:  # fmt: skip
    """Nothing is done yet. The operation tells the number of the replay, and what its messages are expected to do; what
    was done before is left out unless `again` says why it is to be done once more."""
    query = _searched(state, body.selection)
    said = {"query": asdict(query), "target": _target(body, state.settings.channels), "again": body.again}

    def beside(connection: Connection, _operation: str) -> None:
        audit.write(connection, caller.name, replaying.PLAN, "", said, state.now)

    return accept(state, caller, Asked(replaying.PLAN, said, {}, beside), idempotency_key, (request, response))


@router.post(
    "/replays/{number}/run", status_code=202, responses=ACCEPTED, summary="Run a replay, or go on where it was"
)
def run(
    state: Api, caller: Admin, request: Request, response: Response, number: Number, body: Pacing,
    idempotency_key: IdempotencyKey = "",
) -> dict[str, Any]:  # fmt: skip
    """In the background, and on after a restart; the operation ends when it is done or rests. 409 where another replay
    runs, where it was broken off while it was planned, or where a channel has changed since."""
    said = {"replay": number, "rate": body.rate, "stop_on_error": body.stop_on_error}

    def beside(connection: Connection, operation: str) -> None:
        row = read_plan(connection, number)
        if row.state == Standing.MAKING:
            raise Problem(409, f"replay {number} is not planned to its end: plan it again", "not-planned")
        if operations.is_open(connection, replaying.RUN, operation) or is_taken(state.engine, REPLAY):
            raise Problem(409, REPLAY.busy, "running")
        try:
            require_fitting(row, state.settings.channels)
        except UserError as fault:
            raise Problem(409, str(fault), "changed") from None
        audit.write(connection, caller.name, replaying.RUN, str(number), said, state.now)

    return accept(state, caller, Asked(replaying.RUN, said, {}, beside), idempotency_key, (request, response))


@router.get("/replays/{number}", summary="One replay")
def read_replay(state: Api, caller: Reader, number: Number) -> dict[str, Any]:
    """Its selection and target, what its messages were expected to do and did, and who did what with it."""
    with state.reading() as connection:
        entry = plan_entry(connection, read_plan(connection, number))
        entry |= {"expected": counts(connection, number, "expected"), "record": record(connection, number)}
    state.saw(caller.name, "replay.read", str(number))
    return entry


@router.get("/replays/{number}/messages", summary="The messages of a replay, in their order")
def list_replayed(
    state: Api, caller: Reader, number: Number, state_is: Annotated[Became | None, Query(alias="state")] = None,
    cursor: Cursor = "", limit: Limit = 50,
) -> dict[str, Any]:  # fmt: skip
    """What was expected of each, and what became of it."""
    place = place_of(cursor, int)
    after = -1 if place is None else int(place[0])
    with state.reading() as connection:
        read_plan(connection, number)
        found = list_items(connection, number, None if state_is is None else str(state_is), limit + 1, after)
    state.saw(caller.name, "replay.messages", str(number))
    shown = found[:limit]
    return page(shown, cursor_of(int(shown[-1]["number"])) if len(found) > limit else None)


@router.post("/replays/{number}/pause", status_code=202, summary="Let the run of a replay come to rest")
def pause(state: Api, caller: Writer, number: Number) -> dict[str, Any]:
    """`POST /replays/NUMBER/run` or `hl7auth replay run` goes on with it. 409 where it is not running."""
    with state.writing() as connection:
        row = read_plan(connection, number)
        if row.state != Standing.RUNNING:
            raise Problem(409, f"replay {number} is not running: it is {row.state}", "not-running")
        ask_to_pause(connection, number)
        note(connection, number, state.now, caller.name, "pause", "asked for")
        audit.write(connection, caller.name, "replay.pause", str(number), {}, state.now)
        return plan_entry(connection, row)


def _searched(state: State, asked: Selection) -> Searched:
    """The query. Raises Problem with the place of what nobody understands."""
    said = asked.model_dump(exclude={"since", "until", "fields", "any_of"})
    since = None if not asked.since else _time("since", asked.since, beginning)
    until = None if not asked.until else _time("until", asked.until, moment) + 1
    fields = tuple((each.path, each.value) for each in asked.fields)
    query = Searched(**said, since=since, until=until, fields=fields, any_of=tuple(asked.any_of))
    try:
        other_fields(fields)
        with state.reading() as connection:
            tests_of(connection, query)
    except UserError as fault:
        raise invalid([at("/selection", str(fault))]) from None
    return query


def _time(name: str, text: str, read: Callable[[str], int]) -> int:
    try:
        return read(text)
    except UserError as fault:
        raise invalid([at(f"/selection/{name}", str(fault))]) from None


def _target(body: Planned, channels: Channels) -> str:
    try:
        if body.to_channel:
            return channel_target(body.to_channel, channels)
        return destination_target(body.to_destination, channels) if body.to_destination else ""
    except UserError as fault:
        raise invalid([at("/to_channel" if body.to_channel else "/to_destination", str(fault))]) from None
