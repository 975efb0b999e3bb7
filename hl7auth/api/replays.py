"""Replays: what was planned, how far it is, and what became of each message. They are made and run by `hl7auth replay`.

Imports fastapi, api and store.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query

from hl7auth.api.paging import Cursor, Limit, cursor_of, page, place_of
from hl7auth.api.problems import Problem
from hl7auth.api.security import require
from hl7auth.api.state import Api
from hl7auth.store.replays import (
    Standing,
    State,
    ask_to_pause,
    counts,
    list_items,
    list_plans,
    note,
    plan_entry,
    read_plan,
    record,
)
from hl7auth.store.tokens import READ, WRITE, Caller

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


Reader = Annotated[Caller, Depends(_reader)]
Writer = Annotated[Caller, Depends(_writer)]
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
    state: Api, caller: Reader, number: Number, state_is: Annotated[State | None, Query(alias="state")] = None,
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
    """`hl7auth replay run` goes on with it. 409 where it is not running."""
    with state.writing() as connection:
        row = read_plan(connection, number)
        if row.state != Standing.RUNNING:
            raise Problem(409, f"replay {number} is not running: it is {row.state}", "not-running")
        ask_to_pause(connection, number)
        note(connection, number, state.now, caller.name, "pause", "asked for")
        return plan_entry(connection, row)
