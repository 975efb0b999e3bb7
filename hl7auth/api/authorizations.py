"""Authorizations and open requests: lists, one by its key, its history, how it stood at a time, and why.

Imports fastapi, api, domain and store.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from sqlalchemy import Connection

from hl7auth.api.answers import answer
from hl7auth.api.etag import IfNoneMatch, same, tag, unchanged
from hl7auth.api.paging import Cursor, Limit, cursor_of, page, place_of
from hl7auth.api.problems import Problem, at, invalid
from hl7auth.api.security import require
from hl7auth.api.state import Api, State
from hl7auth.domain.clock import Clocks, iso_time, moment
from hl7auth.domain.status import Status
from hl7auth.errors import UserError
from hl7auth.store import pages
from hl7auth.store.history import find, read_at, read_history, read_why
from hl7auth.store.tokens import READ, Caller

router = APIRouter(tags=["authorizations"])

Reader = Annotated[Caller, Depends(require(READ))]
Key = Annotated[str, Path(min_length=1, max_length=300, description="As in lists: PA1001@ACME.")]
Text = Annotated[str, Query(max_length=200)]


@router.get("/authorizations", summary="Authorizations, newest first", response_model=dict[str, Any])
def list_authorizations(  # noqa: PLR0913, PLR0917 - each is a parameter
    state: Api, caller: Reader, status: Status | None = None, member: Text = "", payor: Text = "", number: Text = "",
    cursor: Cursor = "", limit: Limit = 50,
) -> Response:  # fmt: skip
    """With the balance of each as of today. `member` is PID-3.1, `payor` AUT-2.1, `number` AUT-6.1."""
    wanted = pages.Wanted(status or "", member, payor, number, caller.sees)
    if member or number:
        state.follow_about(member or number)
    elif payor:
        state.follow()
    with state.reading() as connection:
        found = pages.authorizations(connection, wanted, _place(cursor), limit, state.today)
    seen(state, caller, "authorization.list", found.entries)
    return answer(page(found.entries, cursor_of(*found.next) if found.next else None))


@router.get("/requests", summary="Requests that wait for an answer, newest first", response_model=dict[str, Any])
def list_requests(
    state: Api, caller: Reader, status: Status | None = None,
    due_within: Annotated[float | None, Query(ge=0, le=10_000, description="Hours; 0 is what is overdue.")] = None,
    cursor: Cursor = "", limit: Limit = 50,
) -> Response:  # fmt: skip
    """Each with its clock: since when, how urgent, until when, and how many hours are left."""
    wanted = pages.Wanted(status or "", sees=caller.sees)
    with state.reading() as connection:
        found = pages.requests(connection, wanted, _place(cursor), limit, state.now, clocks_of(state), due_within)
    seen(state, caller, "request.list", found.entries)
    return answer(page(found.entries, cursor_of(*found.next) if found.next else None))


@router.get("/authorizations/{key:path}/history", summary="Every version, oldest first")
def read_versions(state: Api, caller: Reader, key: Key) -> dict[str, Any]:
    """Who sent what when, by which rule, and what it changed."""
    with state.reading() as connection:
        visible(connection, caller, key)
        entries = read_history(connection, key)
    state.saw(caller.name, "authorization.history", key)
    return {"key": key, "items": entries}


@router.get("/authorizations/{key:path}/at/{time}", summary="What was known at a time")
def read_then(
    state: Api, caller: Reader, key: Key, time: Annotated[str, Path(max_length=40, description="ISO 8601.")]
) -> dict[str, Any]:
    """The document then; null before the first message came."""
    try:
        when = moment(time)
    except UserError as fault:
        raise invalid([at("path/time", str(fault))]) from None
    if not 0 <= when < 2**62:
        raise invalid([at("path/time", "is out of range")])
    with state.reading() as connection:
        visible(connection, caller, key)
        found = read_at(connection, key, when)
    state.saw(caller.name, "authorization.at", key, time=time)
    until = iso_time(found.until) if found.until is not None else None
    return {"key": key, "document": found.document, "sentence": found.sentence, "until": until}


@router.get("/authorizations/{key:path}/why/{field}", summary="Why a field says what it does")
def read_reason(
    state: Api, caller: Reader, key: Key, field: Annotated[str, Path(max_length=200, description="As in documents.")]
) -> dict[str, Any]:
    """The message, the rule and the place in the message that gave it its value."""
    with state.reading() as connection:
        visible(connection, caller, key)
        entry = read_why(connection, key, field, state.settings.channels)
    state.saw(caller.name, "authorization.why", key, field=field)
    return entry


@router.get("/authorizations/{key:path}", summary="One authorization or request", response_model=dict[str, Any])
async def read_authorization(state: Api, caller: Reader, key: Key, if_none_match: IfNoneMatch = "") -> Response:
    """The document as every interface shows it, with the provenance of each field, and its balance as of today."""
    found = await look_for(state, caller, key)
    if found is None:
        raise nothing(key)
    return answer_of(state, caller, found, if_none_match)


async def look_for(state: State, caller: Caller, key: str) -> pages.Found | None:
    """What is under a key that the caller may see."""
    return await state.glance.look(lambda connection: pages.found(connection, key, caller.sees, state.today))


def answer_of(state: State, caller: Caller, found: pages.Found, known: str = "") -> Response:
    """What was found, or 304 where the caller has it already (`known` is If-None-Match); noted in the audit log."""
    state.saw(caller.name, "authorization.read", found.key)
    return unchanged(found.version) if same(known, found.version) else answer(found.entry, {"ETag": tag(found.version)})


def clocks_of(state: State) -> Any:
    """The clocks of a channel by its name; the usual ones of a channel that is gone."""

    def clocks(name: str) -> Clocks:
        channel = state.settings.channels.get(name)
        if channel is None:
            return Clocks()
        return channel.file.clocks.agreed

    return clocks


def visible(connection: Connection, caller: Caller, key: str) -> str:
    """The key as stored. Raises Problem (404), also for what the caller may not see."""
    try:
        stored, _ = find(connection, key)
    except UserError:
        raise nothing(key) from None
    if not pages.may_see(connection, stored, caller.sees):
        raise nothing(key)
    return stored


def nothing(key: str) -> Problem:
    """404, with the code that other systems have for it too: also for what the caller may not see."""
    return Problem(404, f"AUT-IP-AUTO-001: there is no authorization or request '{key}'", "missing")


def seen(state: State, caller: Caller, action: str, entries: list[dict[str, Any]]) -> None:
    """Records a list that was read: each of its keys, in one row."""
    state.saw(caller.name, action, "", keys=[each["key"] for each in entries])


def _place(cursor: str) -> pages.Place | None:
    found = place_of(cursor, int, str)
    return None if found is None else (found[0], found[1])
