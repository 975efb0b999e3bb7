"""One delivery of the queue: what it waits for, and what a person decides about it: sent now, given up, or elsewhere.

Imports fastapi, pydantic, sqlalchemy, api, flow, store and errors.
"""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import Field
from sqlalchemy import Connection

from hl7auth.api.problems import Problem, at, invalid
from hl7auth.api.record_shapes import Reference, Shape
from hl7auth.api.security import require
from hl7auth.api.state import Api, State
from hl7auth.errors import UserError
from hl7auth.flow.destination import full_name
from hl7auth.store import audit, deliveries
from hl7auth.store.tokens import READ, WRITE, Caller

router = APIRouter(tags=["messages"])

Reader = Annotated[Caller, Depends(require(READ))]
Writer = Annotated[Caller, Depends(require(WRITE))]
Id = Annotated[int, Path(ge=0, le=2**63 - 1)]


class Because(Shape):
    """Why, for the record."""

    reason: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""


class Elsewhere(Because):
    """To which destination, as CHANNEL/NAME."""

    to: Annotated[Reference, Field(min_length=1)]


@router.get("/queue/{delivery_id}", summary="One delivery")
def read_delivery(state: Api, caller: Reader, delivery_id: Id) -> dict[str, Any]:
    """What it waits for, the last answer, and what was decided about it by whom."""
    with state.reading() as connection:
        entry = _visible(connection, caller, delivery_id)
    state.saw(caller.name, "queue.read", str(delivery_id), message=entry["message"])
    return entry


@router.post("/queue/{delivery_id}/retry", summary="Send a delivery now")
def retry(state: Api, caller: Writer, delivery_id: Id, body: Because) -> dict[str, Any]:
    """One that waits or is parked in its place; what was sent, dead or skipped once more, as a new one. 409 where it is
    being sent right now."""

    def work(connection: Connection) -> int:
        return deliveries.retry(connection, delivery_id, caller.name, body.reason, state.now)

    return _decided(state, caller, delivery_id, "retry", work)


@router.post("/queue/{delivery_id}/skip", summary="Give a delivery up")
def skip(state: Api, caller: Writer, delivery_id: Id, body: Because) -> dict[str, Any]:
    """What waits behind it flows on. 409 where it is not queued or parked."""

    def work(connection: Connection) -> int:
        deliveries.skip(connection, delivery_id, caller.name, body.reason, state.now)
        return delivery_id

    return _decided(state, caller, delivery_id, "skip", work)


@router.post("/queue/{delivery_id}/move", summary="Send a delivery to another destination")
def move(state: Api, caller: Writer, delivery_id: Id, body: Elsewhere) -> dict[str, Any]:
    """Behind what waits there. 409 where it was sent, or is for that one."""
    channels = state.settings.channels
    known = [full_name(owner, name) for owner, channel in channels.items() for name in channel.file.destinations]
    if body.to not in known or not caller.sees_channel(body.to.partition("/")[0]):
        raise invalid([at("/to", "is no destination of a channel that is served")])

    def work(connection: Connection) -> int:
        return deliveries.move(connection, delivery_id, body.to, caller.name, body.reason, state.now)

    return _decided(state, caller, delivery_id, "move", work)


def _decided(
    state: State, caller: Caller, delivery_id: int, what: str, work: Callable[[Connection], int]
) -> dict[str, Any]:
    """Does it, and shows the delivery that goes on."""

    def done(connection: Connection) -> dict[str, Any]:
        _visible(connection, caller, delivery_id)
        try:
            after = work(connection)
        except UserError as fault:
            raise Problem(409, str(fault), "not-now") from None
        entry = _visible(connection, caller, after)
        detail = {"goes_on_as": str(after), "destination": entry["destination"]}
        audit.write(connection, caller.name, f"queue.{what}", str(delivery_id), detail, state.now)
        return entry

    return state.write(done)


def _visible(connection: Connection, caller: Caller, delivery_id: int) -> dict[str, Any]:
    """Raises Problem for who is bound to payors (403), and what is of another channel (404); UserError for none."""
    if caller.payors:
        raise Problem(403, f"the token '{caller.name}' is bound to payors, and sees no messages", "bound-to-payors")
    entry = deliveries.read_delivery(connection, delivery_id)
    if not caller.sees_channel(entry["destination"].partition("/")[0]):
        raise Problem(404, f"there is no delivery {delivery_id}", "missing")
    answer = entry["answer"]
    return entry | {"answer": None if answer is None else bytes(answer).decode("utf-8", "replace")}
