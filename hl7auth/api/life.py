"""The life of a request over the API: how its process stands, what may be done now, and doing it.

Imports fastapi, pydantic, api, desk and domain.

What the table of moves does not have is a 409 that names what it has. A decision goes out as a message by itself.
"""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import Field

from hl7auth.api.authorizations import visible
from hl7auth.api.problems import Problem
from hl7auth.api.record_shapes import Day, Free, Shape, Units, Word
from hl7auth.api.security import require
from hl7auth.api.state import Api, State
from hl7auth.desk.enrolling import Enrolling
from hl7auth.desk.life import Desk, Reason
from hl7auth.domain.crosswalk import Decision
from hl7auth.domain.deciding import Decided
from hl7auth.domain.process import Forbidden, Needed, Overtaken
from hl7auth.store.desk_figures import yearly_figures
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


class Pending(Shape):
    """Why a request pends, and the day on which somebody looks again."""

    code: Free = ""
    reason: Annotated[Said, Field(min_length=1)]
    follow_up: Day = None


class Approval(Shape):
    """What is granted: without units, what was asked. `unit` makes the units AUT-18."""

    decision: Literal["certified_total", "certified_partial", "modified", "not_required"] = "certified_total"
    number: Free = ""
    assigner: Free = ""
    effective: Day = None
    expiration: Day = None
    units: Units | None = None
    unit: Free = ""
    reason: Said = ""


class Extension(Shape):
    """More days for an open request."""

    days: Annotated[float, Field(gt=0, le=14)]
    reason: Word


@router.get("/requests/{key:path}/process", summary="How a request stands, and what may be done with it now")
def read_process(state: Api, caller: Reader, key: Key) -> dict[str, Any]:
    """State, `links` to what is allowed, and the history, pend reasons and messages of each version."""
    entry = _done(state, caller, key, lambda _desk: None)
    state.saw(caller.name, "request.process", key)
    return entry


@router.post("/requests/{key:path}/submit", summary="Entry or Changed to In Process")
def submit(state: Api, caller: Writer, key: Key) -> dict[str, Any]:
    """What the system said before is taken back, and pend reasons are resolved. Where the channel asks for enrollment,
    that is seen to: it may end in Denied, and where nobody answers `suspended` tells why it waits."""
    _done(state, caller, key, lambda desk: desk.submit(key, caller.name))
    return _enrolled(state, caller, key)


@router.post("/requests/{key:path}/retry", summary="Ask again for the enrollment of a request that is suspended")
def retry(state: Api, caller: Writer, key: Key) -> dict[str, Any]:
    """Nothing where it is not In Process, or its enrollment is known."""
    _done(state, caller, key, lambda _desk: None)
    return _enrolled(state, caller, key)


@router.post("/requests/{key:path}/resume", summary="Pended to In Process")
def resume(state: Api, caller: Writer, key: Key) -> dict[str, Any]:
    """Its pend reasons are resolved."""
    return _done(state, caller, key, lambda desk: desk.resume(key, caller.name))


@router.post("/requests/{key:path}/tochange", summary="Pended to Changed")
def tochange(state: Api, caller: Writer, key: Key) -> dict[str, Any]:
    """Its pend reasons stay."""
    return _done(state, caller, key, lambda desk: desk.tochange(key, caller.name))


@router.post("/requests/{key:path}/pend", summary="In Process to Pended")
def pend(state: Api, caller: Writer, key: Key, body: Pending) -> dict[str, Any]:
    """The requester is told."""
    reason = Reason(body.code, body.reason)
    return _done(state, caller, key, lambda desk: desk.pend(key, caller.name, reason, body.follow_up or ""))


@router.post("/requests/{key:path}/approve", summary="In Process to Approved")
def approve(state: Api, caller: Writer, key: Key, body: Approval) -> dict[str, Any]:
    """The answer goes out by the reply route of the channel."""
    first, last = (None if day is None else date.fromisoformat(day) for day in (body.effective, body.expiration))
    if first and last and first > last:
        raise Problem(400, "/expiration: is before effective", "invalid")
    units = None if body.units is None else Decimal(body.units)
    said = Decided(
        Decision(body.decision), body.number, body.assigner, first, last, units, body.unit, body.reason
    )  # fmt: skip
    return _done(state, caller, key, lambda desk: desk.approve(key, caller.name, said))


@router.post("/requests/{key:path}/deny", summary="Pended or In Process to Denied")
def deny(state: Api, caller: Writer, key: Key, body: Denial) -> dict[str, Any]:
    """400 without a fatal message."""
    fatal = None if body.fatal is None else Reason(body.fatal.code, body.fatal.text)
    return _done(state, caller, key, lambda desk: desk.deny(key, caller.name, fatal))


@router.post("/requests/{key:path}/cancel", summary="To Cancelled")
def cancel(state: Api, caller: Writer, key: Key, body: Why) -> dict[str, Any]:
    """The requester is told."""
    return _done(state, caller, key, lambda desk: desk.cancel(key, caller.name, body.reason))


@router.post("/requests/{key:path}/unfinalize", summary="Approved or Denied to Changed, as a new version")
def unfinalize(state: Api, caller: Writer, key: Key, body: Why) -> dict[str, Any]:
    """400 without a reason. What was approved holds until the new version is decided."""
    return _done(state, caller, key, lambda desk: desk.unfinalize(key, caller.name, body.reason))


@router.post("/requests/{key:path}/extend", summary="More time for an open request")
def extend(state: Api, caller: Writer, key: Key, body: Extension) -> dict[str, Any]:
    """Up to 14 days in all."""
    return _done(state, caller, key, lambda desk: desk.extend(key, caller.name, body.days, body.reason))


@router.get("/figures/{year}", summary="The yearly public figures")
def read_figures(state: Api, caller: Reader, year: Annotated[int, Path(ge=1970, le=9998)]) -> dict[str, Any]:
    """Counts, rates and times of what was decided in the year, with the policy by which it is counted; of all payors,
    so that a token for some of them gets a 403."""
    if caller.payors or caller.channels:
        raise Problem(403, f"the token '{caller.name}' is not for all payors and channels", "other-payor")
    with state.reading() as connection:
        return yearly_figures(connection, year)


def _enrolled(state: State, caller: Caller, key: str) -> dict[str, Any]:
    """Who is asked for enrollment may take its time: nobody else waits for that."""
    settings = state.settings
    Enrolling(settings.engine, settings.channels, settings.new_id, settings.now).go_on(key, caller.name)
    return _done(state, caller, key, lambda _desk: None)


def _done(state: State, caller: Caller, key: str, work: Callable[[Desk], object]) -> dict[str, Any]:
    """Does it, and tells how the request stands then."""
    settings = state.settings
    desk = Desk(settings.engine, settings.channels, settings.new_id, settings.now)
    with state.reading() as connection:
        visible(connection, caller, key)
    with state.alone():
        try:
            work(desk)
            return desk.show(key)
        except Forbidden as fault:
            raise Problem(409, str(fault), "forbidden-move", allowed=list(fault.allowed)) from None
        except Needed as fault:
            raise Problem(400, str(fault), "needed") from None
        except Overtaken as fault:
            raise Problem(409, str(fault), "overtaken") from None
