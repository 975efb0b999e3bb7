"""The life of a request over the API: how its process stands, what may be done now, and doing it.

Imports fastapi, pydantic, api, desk and domain.

What the table of moves does not have is a 409 that names what it has. A decision goes out as a message by itself. A
request that has another revision than `If-Match` says is left alone: 412.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Response
from pydantic import Field

from hl7auth.api.answers import answer
from hl7auth.api.authorizations import visible
from hl7auth.api.etag import IfMatch, IfNoneMatch, require_match, same, tag, unchanged
from hl7auth.api.problems import Problem
from hl7auth.api.record_shapes import Day, Free, Shape, Units, Word
from hl7auth.api.ruled import go_through
from hl7auth.api.security import require
from hl7auth.api.state import Api, State
from hl7auth.desk.life import Desk, Reason, links, revision
from hl7auth.domain.crosswalk import Decision
from hl7auth.domain.decided import Contact, Decided, LeftOut, LineQuantity
from hl7auth.domain.process import Forbidden, Needed, Overtaken, Process
from hl7auth.store.desk_figures import yearly_figures
from hl7auth.store.processes import Stored
from hl7auth.store.tokens import READ, WRITE, Caller

router = APIRouter(tags=["decisions"])

Reader = Annotated[Caller, Depends(require(READ))]
Writer = Annotated[Caller, Depends(require(WRITE))]
Key = Annotated[str, Path(min_length=1, max_length=300, description="The reference of a request, as in lists.")]
Said = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Why(Shape):
    """A reason in words."""

    reason: Said = ""


class Fatal(Shape):
    """A fatal message: a code of the payor, and the text that the requester reads."""

    code: Free = ""
    text: Said = ""


class Denial(Shape):
    """A denial needs its fatal message."""

    fatal: Fatal | None = None


class Called(Shape):
    """Whom the requester is to call (AUT-25 and AUT-27)."""

    name: Word
    phone: Word


class Pending(Shape):
    """Why a request pends, and the day on which somebody looks again. With a `contact` the decision is 'contact
    payer'."""

    code: Free = ""
    reason: Annotated[Said, Field(min_length=1)]
    follow_up: Day = None
    contact: Called | None = None


class LeftOutLine(Shape):
    """A procedure that is not granted, and why."""

    code: Word
    reason: Word


class LineUnits(Shape):
    """How many units of a procedure are granted."""

    code: Word
    units: Units


class Approval(Shape):
    """What is granted: without units, what was asked. `unit` makes the units AUT-18. `lines` are units of single
    procedures, in place of `units`: fewer than was asked is certified in part, more is modified. With procedures left
    out, it is certified in part."""

    decision: Literal["certified_total", "certified_partial", "modified", "not_required"] = "certified_total"
    number: Free = ""
    assigner: Free = ""
    effective: Day = None
    expiration: Day = None
    units: Units | None = None
    unit: Free = ""
    reason: Said = ""
    left_out: Annotated[list[LeftOutLine], Field(max_length=200)] = []
    lines: Annotated[list[LineUnits], Field(max_length=200)] = []


class Extension(Shape):
    """More days for an open request."""

    days: Annotated[float, Field(gt=0, le=14)]
    reason: Word


@router.get(
    "/requests/{key:path}/process",
    summary="How a request stands, and what may be done with it now",
    response_model=dict[str, Any],
)
def read_process(state: Api, caller: Reader, key: Key, if_none_match: IfNoneMatch = "") -> Response:
    """State, `links` to what is allowed, and the history, pend reasons and messages of each version."""
    found = _done(state, caller, key, lambda _desk: None)
    state.saw(caller.name, "request.process", key)
    return unchanged(found.revision) if same(if_none_match, found.revision) else found.response


@router.get("/requests/{key:path}/status", summary="The state of a request, and where each allowed move is asked for")
def read_status(state: Api, caller: Reader, key: Key, response: Response) -> dict[str, Any]:
    """One state at a time. Of `links` each is a move that is allowed now, with the path that it is posted to."""
    with state.reading() as connection:
        visible(connection, caller, key)
    with state.alone():
        process = desk_of(state).read(key, "system", lambda _connection, stored: stored)
    state.saw(caller.name, "request.status", key)
    response.headers["ETag"] = tag(revision(process))
    return {
        "key": key, "state": str(process.state), "version": process.version, "revision": revision(process),
        "links": [_link(key, each) for each in links(process.state)],
    }  # fmt: skip


def _link(key: str, allowed: str) -> dict[str, str]:
    move = allowed.rpartition(":")[2]
    return {"rel": allowed, "method": "POST", "href": f"/requests/{quote(key, safe='@:')}/{move}"}


@router.post("/requests/{key:path}/submit", summary="Entry or Changed to In Process", response_model=dict[str, Any])
def submit(state: Api, caller: Writer, key: Key, if_match: IfMatch = "") -> Response:
    """What the system said before is taken back, and pend reasons are resolved. Where the channel asks for enrollment,
    that is seen to: it may end in Denied, and where nobody answers `suspended` tells why it waits. Where it has rules,
    they decide at once: the state is what they came to."""
    _done(state, caller, key, lambda desk: desk.submit(key, caller.name), if_match)
    return _gone_through(state, caller, key)


@router.post(
    "/requests/{key:path}/retry",
    summary="Ask again for the enrollment of a request that is suspended",
    response_model=dict[str, Any],
)
def retry(state: Api, caller: Writer, key: Key, if_match: IfMatch = "") -> Response:
    """Nothing where it is not In Process, or its enrollment is known. What is known then is for the rules to decide."""
    _done(state, caller, key, lambda desk: desk.create(key, caller.name), if_match)
    return _gone_through(state, caller, key)


@router.post("/requests/{key:path}/resume", summary="Pended to In Process", response_model=dict[str, Any])
def resume(state: Api, caller: Writer, key: Key, if_match: IfMatch = "") -> Response:
    """Its pend reasons are resolved."""
    return _done(state, caller, key, lambda desk: desk.resume(key, caller.name), if_match).response


@router.post("/requests/{key:path}/tochange", summary="Pended to Changed", response_model=dict[str, Any])
def tochange(state: Api, caller: Writer, key: Key, if_match: IfMatch = "") -> Response:
    """Its pend reasons stay."""
    return _done(state, caller, key, lambda desk: desk.tochange(key, caller.name), if_match).response


@router.post("/requests/{key:path}/pend", summary="In Process to Pended", response_model=dict[str, Any])
def pend(state: Api, caller: Writer, key: Key, body: Pending, if_match: IfMatch = "") -> Response:
    """The requester is told."""
    reason = Reason(body.code, body.reason)
    contact = None if body.contact is None else Contact(body.contact.name, body.contact.phone)

    def work(desk: Desk) -> Process:
        return desk.pend(key, caller.name, reason, body.follow_up or "", contact)

    return _done(state, caller, key, work, if_match).response


@router.post("/requests/{key:path}/approve", summary="In Process to Approved", response_model=dict[str, Any])
def approve(state: Api, caller: Writer, key: Key, body: Approval, if_match: IfMatch = "") -> Response:
    """The answer goes out by the reply route of the channel."""
    first, last = (None if day is None else date.fromisoformat(day) for day in (body.effective, body.expiration))
    if first and last and first > last:
        raise Problem(400, "/expiration: is before effective", "invalid")
    units = None if body.units is None else Decimal(body.units)
    decision = Decision(body.decision)
    if body.left_out and decision is Decision.CERTIFIED_TOTAL:
        decision = Decision.CERTIFIED_PARTIAL
    left_out = tuple(LeftOut(each.code, each.reason) for each in body.left_out)
    by_line = tuple(LineQuantity(each.code, each.units) for each in body.lines)
    said = Decided(
        decision, body.number, body.assigner, first, last, units, body.unit, body.reason, left_out=left_out,
        by_line=by_line,
    )  # fmt: skip
    return _done(state, caller, key, lambda desk: desk.approve(key, caller.name, said), if_match).response


@router.post("/requests/{key:path}/deny", summary="Pended or In Process to Denied", response_model=dict[str, Any])
def deny(state: Api, caller: Writer, key: Key, body: Denial, if_match: IfMatch = "") -> Response:
    """400 without a fatal message."""
    fatal = None if body.fatal is None else Reason(body.fatal.code, body.fatal.text)
    return _done(state, caller, key, lambda desk: desk.deny(key, caller.name, fatal), if_match).response


@router.post("/requests/{key:path}/cancel", summary="To Cancelled", response_model=dict[str, Any])
def cancel(state: Api, caller: Writer, key: Key, body: Why, if_match: IfMatch = "") -> Response:
    """The requester is told."""
    return _done(state, caller, key, lambda desk: desk.cancel(key, caller.name, body.reason), if_match).response


@router.post(
    "/requests/{key:path}/unfinalize",
    summary="Approved or Denied to Changed, as a new version",
    response_model=dict[str, Any],
)
def unfinalize(state: Api, caller: Writer, key: Key, body: Why, if_match: IfMatch = "") -> Response:
    """400 without a reason. What was approved holds until the new version is decided."""
    return _done(state, caller, key, lambda desk: desk.unfinalize(key, caller.name, body.reason), if_match).response


@router.post("/requests/{key:path}/extend", summary="More time for an open request", response_model=dict[str, Any])
def extend(state: Api, caller: Writer, key: Key, body: Extension, if_match: IfMatch = "") -> Response:
    """Up to 14 days in all."""
    return _done(
        state, caller, key, lambda desk: desk.extend(key, caller.name, body.days, body.reason), if_match
    ).response


@router.get("/figures/{year}", summary="The yearly public figures")
def read_figures(state: Api, caller: Reader, year: Annotated[int, Path(ge=1970, le=9998)]) -> dict[str, Any]:
    """Counts, rates and times of what was decided in the year, with the policy by which it is counted; of all payors,
    so that a token for some of them gets a 403."""
    if caller.payors or caller.channels:
        raise Problem(403, f"the token '{caller.name}' is not for all payors and channels", "other-payor")
    with state.reading() as connection:
        return yearly_figures(connection, year, desk_of(state).clocks_of)


@contextmanager
def _problems() -> Iterator[None]:
    """What the desk refuses, as answers. `allowed` are the words of paths: what nobody can ask for is not in them."""
    try:
        yield
    except Forbidden as fault:
        may = [each.rpartition(":")[2] for each in links(fault.state)]
        said = f"'{fault.event}' can not be done to a request that is {fault.state}; allowed now: "
        said += ", ".join(may) or "nothing"
        raise Problem(409, said, "forbidden-move", allowed=may) from None
    except Needed as fault:
        raise Problem(400, str(fault), "needed") from None
    except Overtaken as fault:
        raise Problem(409, str(fault), "overtaken") from None


class _Done(NamedTuple):
    revision: str
    response: Response


def _gone_through(state: State, caller: Caller, key: str) -> Response:
    """What enrollment and rules made of it."""
    with _problems():
        go_through(state, key, caller.name)
    return _done(state, caller, key, lambda _desk: None).response


def desk_of(state: State, if_match: str = "") -> Desk:
    """A desk for requests of that revision, where one is named."""
    settings = state.settings

    def guard(process: Stored) -> None:
        require_match(if_match, revision(process))

    return Desk(settings.engine, settings.channels, settings.new_id, settings.now, guard)


def _done(state: State, caller: Caller, key: str, work: Callable[[Desk], object], if_match: str = "") -> _Done:
    """Does it, and tells how the request stands then."""
    with state.reading() as connection:
        visible(connection, caller, key)
    with state.alone(), _problems():
        work(desk_of(state, if_match))
        entry = desk_of(state).show(key)
    return _Done(entry["revision"], answer(entry, {"ETag": tag(entry["revision"])}))
