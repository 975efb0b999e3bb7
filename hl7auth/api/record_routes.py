"""`/authorization`: create, update, delete and read records by their number, and the operations that do it.

Imports fastapi, api and store.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel

from hl7auth.api.accepting import ACCEPTED, Asked, IdempotencyKey, accept
from hl7auth.api.etag import IfMatch, require_match
from hl7auth.api.problems import Problem
from hl7auth.api.record_shapes import Record, Update
from hl7auth.api.records import as_record
from hl7auth.api.security import may_enter, require
from hl7auth.api.state import Api, State
from hl7auth.store import operations, pages
from hl7auth.store.balances import keys_of_number
from hl7auth.store.tokens import READ, WRITE, Caller

router = APIRouter(tags=["authorization records"])

Reader = Annotated[Caller, Depends(require(READ))]
Writer = Annotated[Caller, Depends(require(WRITE))]
Owner = Annotated[Caller, Depends(require())]
Number = Annotated[str, Query(min_length=1, max_length=80)]


@router.post("/authorization", status_code=202, responses=ACCEPTED, summary="Create an authorization")
def create_record(
    state: Api, caller: Writer, request: Request, response: Response, body: Record, idempotency_key: IdempotencyKey = ""
) -> dict[str, Any]:
    """With its lines and accesses, all or nothing. What there is already is not created; the operation says so."""
    return _accepted(state, caller, request, response, "create", idempotency_key, {"body": _plain(body)})


@router.patch("/authorization", status_code=202, responses=ACCEPTED, summary="Update an authorization")
def update_record(  # noqa: PLR0913, PLR0917 - each is a parameter
    state: Api, caller: Writer, request: Request, response: Response, authnumber: Number, body: Update,
    if_match: IfMatch = "", idempotency_key: IdempotencyKey = "",
) -> dict[str, Any]:  # fmt: skip
    """Only what is to be other. Each line and access says by `record_action` what is done to it."""
    _require_match(state, caller, authnumber, if_match)
    asked = {"authnumber": authnumber, "body": _plain(body)}
    return _accepted(state, caller, request, response, "update", idempotency_key, asked)


@router.delete("/authorization", status_code=202, responses=ACCEPTED, summary="Delete an authorization")
def delete_record(
    state: Api, caller: Writer, request: Request, response: Response, authnumber: Number,
    if_match: IfMatch = "", idempotency_key: IdempotencyKey = "",
) -> dict[str, Any]:  # fmt: skip
    """With its lines and accesses. Its history stays; one that charges use is not deleted."""
    _require_match(state, caller, authnumber, if_match)
    return _accepted(state, caller, request, response, "delete", idempotency_key, {"authnumber": authnumber})


@router.get("/authorization", summary="The record of an authorization")
def read_record(state: Api, caller: Reader, authnumber: Number) -> dict[str, Any]:
    """In the shape in which it is created."""
    state.follow_about(authnumber)
    with state.reading() as connection:
        keys = [key for key in keys_of_number(connection, authnumber) if pages.may_see(connection, key, caller.sees)]
        found = as_record(connection, keys[0]) if len(keys) == 1 else None
    if found is None:
        several = f"'{authnumber}' is several authorizations: {', '.join(keys)}"
        raise Problem(404, several if keys else f"there is no authorization '{authnumber}'", "missing")
    state.saw(caller.name, "authorization.read", keys[0])
    return found


@router.get("/operation/{operation_id}", summary="How an operation stands")
def read_operation(
    state: Api, caller: Owner, operation_id: Annotated[str, Path(max_length=64)], response: Response
) -> dict[str, Any]:
    """NotStarted, Running, Succeeded or Failed; then with `result` or `error`. For who asked for it, and `admin`."""
    with state.reading() as connection:
        found = operations.read(connection, operation_id)
    if found is None or (found[0] != caller.name and not caller.may("admin")):
        raise Problem(404, f"there is no operation '{operation_id}' of yours", "missing")
    if found[1]["status"] in (operations.Stage.NOT_STARTED, operations.Stage.RUNNING):
        response.headers["Retry-After"] = "1"
    else:
        state.saw(caller.name, "operation.read", operation_id)
    return found[1]


def _require_match(state: State, caller: Caller, authnumber: str, if_match: str) -> None:
    """Raises Problem (412) where the authorization is another than the caller knows."""
    if not if_match:
        return
    state.follow_about(authnumber)
    with state.reading() as connection:
        keys = [key for key in keys_of_number(connection, authnumber) if pages.may_see(connection, key, caller.sees)]
        found = pages.one(connection, keys[0], state.today) if keys else None
    require_match(if_match, found[1] if found else "")


def _accepted(
    state: Api, caller: Caller, request: Request, response: Response, what: str, key: str, asked: dict[str, Any]
) -> dict[str, Any]:
    may_enter(state, caller)
    bound = {"payors": sorted(caller.payors), "channels": sorted(caller.channels)}
    return accept(state, caller, Asked(f"authorization.{what}", asked, bound), key, (request, response))


def _plain(body: BaseModel) -> dict[str, Any]:
    """What was sent, and nothing that was not: that makes an update sparse."""
    return body.model_dump(mode="json", exclude_unset=True)
