"""What operations on `/replays` do: plan a replay, and run one until it is done or somebody wants it to rest.

Imports sqlalchemy, api, replay, store, observe and errors.

A run that is under way when the service ends rests, and goes on when the service is there again; one whose process was
killed goes on as well, for what became of a message is written with its effect.
"""

import json
import logging
from collections.abc import Mapping
from contextlib import closing
from threading import Event
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from hl7auth.api.replay_shapes import query_of
from hl7auth.api.state import State
from hl7auth.errors import UserError
from hl7auth.observe import log
from hl7auth.replay.choosing import chosen_by, dispositions_of, told
from hl7auth.replay.planning import make
from hl7auth.replay.runners import running_all
from hl7auth.replay.running import INTERRUPTED, Pace, run
from hl7auth.replay.targets import carrier_for, looker_for
from hl7auth.replay.wish import Wish
from hl7auth.store.archive_lock import REPLAY, is_taken
from hl7auth.store.operations import Operation, Stage, end, read
from hl7auth.store.replays import Standing, counts, is_asked_to_pause, note, plan_entry, read_plan, set_standing

PLAN, RUN = "replay.plan", "replay.run"
"""Kinds of operations."""
_LOOK = 0.5
"""Seconds between two looks whether another replay still runs."""
_FAULT = "a fault of ours; the log says more"


class _Stopped(Exception):
    """The service ends."""


def plan(state: State, operation: Operation, stopping: Event) -> None:
    """Plans anew what was begun when a process ended: a plan that was broken off is none."""
    try:
        number = _made(state, operation, stopping)
    except _Stopped:
        return
    except Exception as fault:
        _fail(state, operation, fault)
        return
    _succeed(state, operation, number)


def _made(state: State, operation: Operation, stopping: Event) -> int:
    asked, channels = operation.request, state.settings.channels
    query = query_of(asked["query"])
    selection = json.dumps(told(query), ensure_ascii=False)
    wish = Wish(asked["target"], asked["again"], operation.caller, selection, dispositions_of(query))
    with running_all(channels) as runners:
        looker = looker_for(wish, channels, runners)
        return make(state.engine, wish, chosen_by(query), looker, [], lambda *_: _go_on(stopping))


def _go_on(stopping: Event) -> None:
    if stopping.is_set():
        raise _Stopped


def go(state: State, operation: Operation, stopping: Event) -> None:
    """Runs a plan, or goes on with it."""
    number = int(operation.request["replay"])
    try:
        if not _has_turn(state, operation, stopping):
            return
        if _is_left(state, operation, number):
            _succeed(state, operation, number)
            return
        channels, pace = state.settings.channels, Pace(operation.request["rate"], operation.request["stop_on_error"])
        with running_all(channels) as runners:
            with state.reading() as connection:
                row = read_plan(connection, number)
            with closing(carrier_for(state.engine, row, channels, runners)) as carrier:
                ended = run(state.engine, number, carrier, pace, operation.caller, stopping, lambda *_: None)
    except Exception as fault:
        _fail(state, operation, fault)
        return
    if ended.reason != INTERRUPTED:
        _succeed(state, operation, number, ended.reason)


def _has_turn(state: State, operation: Operation, stopping: Event) -> bool:
    """Waits while another replay runs: it may be this very one, in another process over the same database. False where
    the service ends, or that one has ended the operation."""
    while is_taken(state.engine, REPLAY):
        if stopping.wait(_LOOK):
            return False
    with state.reading() as connection:
        found = read(connection, operation.id)
    return found is not None and found[1]["status"] == Stage.RUNNING


def _is_left(state: State, operation: Operation, number: int) -> bool:
    """True where somebody asked a run to rest whose process was gone: it is not begun again by itself."""

    def work(connection: Connection) -> bool:
        if read_plan(connection, number).state != Standing.RUNNING or not is_asked_to_pause(connection, number):
            return False
        set_standing(connection, number, Standing.PAUSED)
        note(connection, number, state.now, operation.caller, Standing.PAUSED, "somebody paused it")
        return True

    return state.write(work)


def _succeed(state: State, operation: Operation, number: int, rests: str = "") -> None:
    """Ends it, with how the replay stands."""

    def work(connection: Connection) -> None:
        entry = plan_entry(connection, read_plan(connection, number))
        names = ("replay", "state", "target", "states", "notes")
        result = {name: entry[name] for name in names} | {"rests": rests or None}
        result["expected"] = counts(connection, number, "expected")
        end(connection, operation.id, Stage.SUCCEEDED, {"result": result}, state.now)

    state.write(work)


def _fail(state: State, operation: Operation, fault: Exception) -> None:
    """Ends it with what went wrong; what is done stays done, and can be gone on with."""
    word, detail = "refused", str(fault)
    if isinstance(fault, OperationalError):
        word, detail = "busy", "the database could not be had; ask for it again"
    elif not isinstance(fault, UserError):
        log("replay.failed", "a replay failed", level=logging.ERROR, error=True, operation=operation.id)
        word, detail = "fault", _FAULT
    error: Mapping[str, Any] = {"error": {"type": f"urn:hl7auth:{word}", "detail": detail}}
    state.write(lambda connection: end(connection, operation.id, Stage.FAILED, error, state.now))
