"""Authorizations that are entered by hand, with the paper that says so, and requests to payors without a wire.

Imports fastapi, pydantic, api, desk, domain, flow and store.
"""

import secrets
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Response
from pydantic import Field, model_validator
from sqlalchemy import Connection

from hl7auth.api.authorizations import visible
from hl7auth.api.papers import Document, kept
from hl7auth.api.problems import Problem, at, invalid
from hl7auth.api.record_shapes import Day, Free, GivenCode, Reference, Shape, Units, Word
from hl7auth.api.records import Failed, submit, units_of
from hl7auth.api.security import may_enter, require
from hl7auth.api.state import Api, State
from hl7auth.desk.elsewhere import manual_save
from hl7auth.domain.entered import DESK, Entered, EnteredLine, Head, answer, request
from hl7auth.flow.intake import timestamp
from hl7auth.store import audit, pages
from hl7auth.store.balances import keys_of_number, refresh_one
from hl7auth.store.tokens import REQUEST, WRITE, Caller

router = APIRouter(tags=["by hand"])

Writer = Annotated[Caller, Depends(require(WRITE))]
Requester = Annotated[Caller, Depends(require(REQUEST))]


class Member(Shape):
    """Whom it is for: PID-3, PID-5 and PID-7."""

    id: Word
    assigner: Free = ""
    family: Free = ""
    given: Free = ""
    birth_date: Day = None


class Asked(Shape):
    """What is asked for, or was granted: whom for, what of, how much, and when."""

    payor: Word
    member: Member
    codes: Annotated[list[GivenCode], Field(max_length=100)] = []
    units: Units | None = None
    unit: Free = ""
    dosstart: Day = None
    dosend: Day = None

    @model_validator(mode="after")
    def _in_order(self) -> "Asked":
        if self.dosstart and self.dosend and self.dosend < self.dosstart:
            raise ValueError("dosend is before dosstart")
        return self


class Manual(Asked):
    """An authorization that the payor gave by telephone, fax or portal. `request` is the key of the request, if any."""

    authnumber: Word
    documents: Annotated[list[Document], Field(min_length=1, max_length=10)]
    request: Reference | None = None


class Request(Asked):
    """A request to a payor without a wire: somebody calls, and enters what comes of it."""

    documents: Annotated[list[Document], Field(max_length=10)] = []


@router.post("/authorizations/manual", status_code=201, summary="Enter an authorization that was given by hand")
def enter(state: Api, caller: Writer, body: Manual, response: Response) -> dict[str, Any]:
    """It is in force at once. Its papers are kept, and stand in the audit log."""
    _own(state, caller, body.payor)
    state.follow_about(body.authnumber)
    with state.reading() as connection:
        if body.authnumber and f"{body.authnumber}@{body.payor}" in keys_of_number(connection, body.authnumber):
            raise Problem(409, f"there is an authorization '{body.authnumber}' of that payor", "exists")
        answers = _asked_by(connection, caller, body.request) if body.request else ""
    key = f"{body.authnumber}@{body.payor}"
    values = _values(body) | {"approval_status": {"code": "AP", "text": "Approved"}}
    if body.units is not None:
        values["authorized_units"] = units_of(body.units, body.unit)
    entered = Entered(body.authnumber, body.payor, body.payor, values, "", _lines(body), _patient(body), answers)
    head = _head(state)
    made = _entered(state, caller, (key, answer(entered, head), head), body.documents, response)
    if not answers:  # the process of a request is another's, and takes note of its answer by itself
        state.write(lambda connection: manual_save(connection, key, caller.name, state.now))
    return made


@router.post("/authorizations/request", status_code=201, summary="Ask a payor without a wire")
def ask(state: Api, caller: Requester, body: Request, response: Response) -> dict[str, Any]:
    """A PENDING row: a task for a person, who enters number and paper when they are there (MANUAL_PENDING)."""
    _own(state, caller, body.payor)
    if body.payor not in state.settings.manual:
        text = f"the payor '{body.payor}' has no partner for X12 278 here, and is none that is asked by hand"
        raise Problem(422, f"{text} (hl7auth serve --api-manual)", "no-way-to-payor")
    head = _head(state)
    referral = head.control_id
    values = _values(body)
    if body.units is not None:
        values["requested_treatments"] = units_of(body.units, body.unit)
    if not body.codes:
        raise invalid([at("/codes", "at least one is needed to ask for it")])
    entered = Entered("", "", body.payor, values, "", _lines(body), _patient(body), referral=referral)
    return _entered(state, caller, (f"?{referral}@{DESK}", request(entered, head), head), body.documents, response)


def _entered(
    state: State, caller: Caller, made: tuple[str, bytes, Head], documents: list[Document], response: Response
) -> dict[str, Any]:
    """The papers first: what is in force is never without them. Then the message; both stand in the audit log."""
    key, raw, head = made

    def file(connection: Connection) -> None:
        detail = {"papers": kept(connection, key, documents, caller.name, state.now), "control_id": head.control_id}
        audit.write(connection, caller.name, "authorization.manual", key, detail, state.now)

    state.write(file)
    try:
        submit(state, raw, head)
    except Failed as fault:
        why = str(fault)

        def note(connection: Connection) -> None:
            audit.write(connection, caller.name, "authorization.manual.refused", key, {"why": why}, state.now)

        state.write(note)
        raise Problem(409, f"it was refused: {fault}", fault.word) from None
    state.write(lambda connection: refresh_one(connection, key))
    with state.reading() as connection:
        found = pages.one(connection, key, state.today)
    assert found is not None
    response.headers["Location"] = f"/authorizations/{quote(key)}"
    return found[0]


def _asked_by(connection: Connection, caller: Caller, key: str) -> str:
    """The control id of the request that is answered. Raises Problem where it waits for no answer."""
    stored = visible(connection, caller, key)
    sql = "SELECT control_id, status FROM authorization_version WHERE key = %s AND current = 1"
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    row = connection.exec_driver_sql(sql.replace("%s", mark), (stored,)).one()
    if not stored.startswith("?") or row.status not in ("requested", "pended"):
        raise Problem(409, f"'{key}' is no request that waits for an answer", "not-open")
    if not stored.endswith(f"@{DESK}"):
        text = f"'{key}' came from a partner, who is answered by a decision (POST /requests/KEY/approve)"
        raise Problem(409, text, "decide-it")
    return str(row.control_id)


def _own(state: State, caller: Caller, payor: str) -> None:
    may_enter(state, caller)
    if not caller.sees_payor(payor):
        raise Problem(403, f"the token '{caller.name}' is not for the payor '{payor}'", "other-payor")


def _head(state: State) -> Head:
    return Head(timestamp(state.now // 1_000_000), f"M{secrets.token_hex(8)}")


def _values(body: Asked) -> dict[str, Any]:
    days = {"effective_date": body.dosstart, "expiration_date": body.dosend}
    return {key: value for key, value in days.items() if value}


def _lines(body: Asked) -> list[EnteredLine]:
    return [EnteredLine("", code, {}) for code in dict.fromkeys(body.codes)]


def _patient(body: Asked) -> dict[str, Any]:
    member = body.member
    name = ", ".join(each for each in (member.family, member.given) if each)
    return {"id": member.id, "assigner": member.assigner, "name": name, "birth_date": member.birth_date or ""}
