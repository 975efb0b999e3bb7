"""Messages, their findings, and what is sent on: for who looks after the interface.

Imports fastapi, api, domain, flow and store.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query

from hl7auth.api.paging import Cursor, Limit, cursor_of, page, place_of
from hl7auth.api.problems import Problem, at, invalid
from hl7auth.api.security import require
from hl7auth.api.state import Api
from hl7auth.domain.clock import beginning
from hl7auth.errors import UserError
from hl7auth.flow.outbox import State as Delivered
from hl7auth.store import search
from hl7auth.store.archive import read_message
from hl7auth.store.deliveries import list_deliveries
from hl7auth.store.tokens import READ, Caller

router = APIRouter(tags=["messages"])

_MOST_ID = 2**63 - 1
_WITHOUT_BODIES = ("raw", "shaped", "accept_ack", "reply")


async def _unbound(caller: Caller = Depends(require(READ))) -> Caller:  # noqa: B008 - FastAPI's way
    """A message may be about several payors: who is bound to some reads authorizations."""
    if caller.payors:
        raise Problem(403, f"the token '{caller.name}' is bound to payors, and sees no messages", "bound-to-payors")
    return caller


Reader = Annotated[Caller, Depends(_unbound)]
Id = Annotated[int, Path(ge=0, le=_MOST_ID)]
Text = Annotated[str, Query(max_length=200)]


@router.get("/messages", summary="Messages, newest first")
def list_messages(  # noqa: PLR0913, PLR0917 - each is a parameter
    state: Api, caller: Reader, control_id: Text = "", authorization: Text = "", patient: Text = "",
    referral: Text = "", sender: Text = "", event: Text = "", status: Text = "", rule: Text = "", channel: Text = "",
    disposition: Text = "", since: Text = "", until: Text = "", cursor: Cursor = "", limit: Limit = 50,
) -> dict[str, Any]:  # fmt: skip
    """Without their bodies. All that is given must fit; identifiers may end in `*`. `notes` say what may be missing."""
    query = search.Query(
        control_id=control_id, authorization=authorization, patient=patient, referral=referral, sender=sender,
        event=event, status=status, rule=rule, channel=channel, disposition=disposition, since=_time("since", since),
        until=_time("until", until), limit=limit, before=_before(cursor),
    )  # fmt: skip
    return _found(state, caller, query, "message.list")


@router.get("/findings", summary="Messages with a finding of a rule, newest first")
def list_findings(
    state: Api, caller: Reader, rule: Annotated[str, Query(min_length=1, max_length=200)], channel: Text = "",
    cursor: Cursor = "", limit: Limit = 50,
) -> dict[str, Any]:  # fmt: skip
    """Each message with its findings. `rule` as in findings (PID-3.usage); it may end in `*`."""
    query = search.Query(rule=rule, channel=channel, limit=min(limit, 50), before=_before(cursor))
    found = _found(state, caller, query, "finding.list")
    with state.reading() as connection:
        for entry in found["items"]:
            entry["findings"] = read_message(connection, int(entry["id"]))["findings"]
    return found


@router.get("/messages/{message_id}", summary="One message")
def read_one(state: Api, caller: Reader, message_id: Id) -> dict[str, Any]:
    """As it came, as it was answered, with its findings and what it changed. Bodies are text; `lost` says why none."""
    with state.reading() as connection:
        entry = read_message(connection, message_id)
    if not caller.sees_channel(entry["channel"]):
        raise Problem(404, f"there is no message {message_id}", "missing")
    state.saw(caller.name, "message.read", str(message_id))
    for name in _WITHOUT_BODIES:
        body = entry[name]
        entry[name] = None if body is None else bytes(body).decode("utf-8", "replace")
    return entry


@router.get("/queue", summary="What is sent on, newest first")
def list_queue(
    state: Api, caller: Reader, destination: Text = "",
    state_is: Annotated[Delivered | None, Query(alias="state")] = None,
    cursor: Cursor = "", limit: Limit = 50,
) -> dict[str, Any]:  # fmt: skip
    """Deliveries. `destination` is CHANNEL/NAME."""
    filters = {"destination": destination, "state": str(state_is or "")}
    asked = {name: value for name, value in filters.items() if value}
    with state.reading() as connection:
        rows = list_deliveries(connection, asked, limit + 1, _before(cursor))[::-1]
    following = cursor_of(int(rows[limit - 1]["id"])) if len(rows) > limit else None
    shown = [each for each in rows[:limit] if caller.sees_channel(each["destination"].partition("/")[0])]
    state.saw(caller.name, "queue.list", "", messages=[each["message"] for each in shown])
    return page(shown, following)


def _found(state: Api, caller: Caller, query: search.Query, action: str) -> dict[str, Any]:
    try:
        with state.reading() as connection:
            found = search.find(connection, query)
    except UserError as fault:
        raise invalid([at("query", str(fault))]) from None
    shown = [each for each in found.messages if caller.sees_channel(each["channel"])]
    state.saw(caller.name, action, "", messages=[each["id"] for each in shown])
    return page(shown, cursor_of(found.next) if found.next is not None else None) | {"notes": list(found.notes)}


def _before(cursor: str) -> int | None:
    found = place_of(cursor, int)
    return None if found is None else int(found[0])


def _time(name: str, text: str) -> int | None:
    if not text:
        return None
    try:
        return beginning(text)
    except UserError as fault:
        raise invalid([at(f"query/{name}", str(fault))]) from None
