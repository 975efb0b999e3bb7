"""Charges: what covers them, attaching, reversing and validating, and how far authorizations are used.

Imports fastapi, pydantic, api, domain and store.
"""

from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import Field
from sqlalchemy import Connection

from hl7auth.api import attaching
from hl7auth.api.answers import answer
from hl7auth.api.authorizations import nothing, visible
from hl7auth.api.etag import IfNoneMatch, same, tag, unchanged
from hl7auth.api.paging import Cursor, Limit, cursor_of, page, place_of
from hl7auth.api.problems import Problem
from hl7auth.api.record_shapes import Free, GivenCode, GivenDay, Reference, Shape, Units, Word
from hl7auth.api.security import require
from hl7auth.api.state import Api, State
from hl7auth.domain.balance import ranked, reasons, use
from hl7auth.domain.key import shown_key
from hl7auth.domain.units import said, thousandths, unit_kind
from hl7auth.store import audit, charges, pages, units
from hl7auth.store.balances import holdings_of_member, nearly_spent
from hl7auth.store.tokens import ADMIN, CHARGE_READ, READ, WRITE, Caller
from hl7auth.store.units import AUTH_REQUIRED

router = APIRouter(tags=["charges"])
behind_keys = APIRouter(tags=["charges"])
"""Paths that go on behind the key of an authorization."""

Biller = Annotated[Caller, Depends(require(CHARGE_READ))]
Reader = Annotated[Caller, Depends(require(READ))]
Writer = Annotated[Caller, Depends(require(WRITE))]
Admin = Annotated[Caller, Depends(require(ADMIN))]
ChargeId = Annotated[str, Path(min_length=1, max_length=80)]
Text = Annotated[str, Query(max_length=200)]

_MOST_OF_MEMBER = 500


class Charge(Shape):
    """What was done for a member on a day (`dos`) and needs an authorization."""

    id: Word
    member: Word
    payor: Word
    dos: GivenDay
    code: GivenCode
    modifiers: Annotated[list[Word], Field(max_length=4)] = []
    units: Units
    unit: Free = ""
    amount: Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=2)] | None = None
    issues: Annotated[list[Word], Field(max_length=50)] = [AUTH_REQUIRED]


class Chosen(Shape):
    """The authorization that a charge is put to: its key."""

    authorization: Annotated[Reference, Field(min_length=1)]


@router.post("/charges", status_code=201, summary="Enter a charge")
def enter(state: Api, caller: Admin, body: Charge, response: Response) -> dict[str, Any]:
    """As billing knows it; the same one again changes nothing."""
    row = {
        "id": body.id, "member": body.member, "payor": body.payor, "dos": body.dos, "code": body.code,
        "modifiers": body.modifiers, "units": thousandths(body.units), "kind": unit_kind(body.unit),
        "amount": "" if body.amount is None else str(body.amount), "issues": body.issues,
    }  # fmt: skip

    def work(connection: Connection) -> dict[str, Any]:
        if not charges.enter(connection, row, state.now):
            raise Problem(409, f"there is another charge '{body.id}'", "exists")
        audit.write(connection, caller.name, "charge.enter", body.id, {"member": body.member}, state.now)
        return charges.read(connection, body.id)

    entry = state.write(work)
    response.headers["Location"] = f"/charges/{quote(body.id, safe='')}"
    return entry


@router.get("/charges", summary="Charges, newest first")
def list_charges(
    state: Api, caller: Biller, member: Text = "", authorization: Annotated[str, Query(max_length=300)] = "",
    issue: Text = "", cursor: Cursor = "", limit: Limit = 50,
) -> dict[str, Any]:  # fmt: skip
    """Of a member, of an authorization, with an issue as `auth_required`."""
    place = place_of(cursor, int, str)
    asked = charges.Asked(member, authorization, issue, tuple(sorted(caller.payors)))
    with state.reading() as connection:
        found = charges.listed(connection, asked, (place[0], place[1]) if place else None, limit + 1)
        hidden = _hidden(connection, caller, [row.key for row in found if row.key])
    following = cursor_of(*charges.place_of(found[limit - 1])) if len(found) > limit else None
    entries = [charges.entry(row._asdict()) for row in found[:limit] if row.key not in hidden]
    state.saw(caller.name, "charge.list", "", charges=[each["id"] for each in entries])
    return page(entries, following)


@router.get("/charges/{charge_id}", summary="One charge", response_model=None)
def read_charge(
    state: Api, caller: Biller, charge_id: ChargeId, response: Response, if_none_match: IfNoneMatch = ""
) -> dict[str, Any] | Response:
    """With its issues, and the authorization that it is put to."""
    entry = _charge(state, caller, charge_id)
    state.saw(caller.name, "charge.read", charge_id)
    if same(if_none_match, entry["version"]):
        return unchanged(entry["version"])
    response.headers["ETag"] = tag(entry["version"])
    return entry


@router.get("/charges/{charge_id}/candidates", summary="What covers a charge")
def list_candidates(
    state: Api, caller: Reader, charge_id: ChargeId,
    every: Annotated[bool, Query(alias="all", description="Also what does not, with the reasons.")] = False,
) -> dict[str, Any]:  # fmt: skip
    """Authorizations of its member that are valid for its date of service, the one with most remaining units first."""
    entry = _charge(state, caller, charge_id)
    state.follow_about(entry["member"])
    with state.reading() as connection:
        asked = units.asked_by(charges.row(connection, charge_id))
        found = [each.holding for each in holdings_of_member(connection, asked.member, _MOST_OF_MEMBER)]
        hidden = _hidden(connection, caller, [each.key for each in found])
    shown = [each for each in found if caller.sees_payor(each.payor) and each.key not in hidden]
    why = {each.key: reasons(each, asked) for each in shown}
    fitting = ranked(each for each in shown if not why[each.key])
    others = ranked(each for each in shown if why[each.key]) if every else []
    items = [
        {
            "authorization": shown_key(each.key), "number": each.number or None, "valid": not why[each.key],
            "reasons": [str(reason) for reason in why[each.key]], "codes": sorted(each.codes),
            "balance_at_dos": pages.balance_entry(each, asked.dos),
        }
        for each in [*fitting, *others]
    ]  # fmt: skip
    state.saw(caller.name, "charge.candidates", charge_id, keys=[each["authorization"] for each in items])
    return {"charge": entry["id"], "dos": entry["dos"], "items": items}


@router.post("/charges/{charge_id}/attach", summary="Put a charge to an authorization", response_model=dict[str, Any])
async def attach(state: Api, caller: Writer, charge_id: ChargeId, body: Chosen) -> Response:
    """Its units are used from then on. The same again changes nothing; to another one it is moved. 409 where the
    authorization does not cover it, with the `reasons`."""
    entry = await state.done(attaching.together, attaching.Asked(caller, charge_id, body.authorization, state.now))
    return answer(entry)


@router.post("/charges/{charge_id}/reverse", summary="Take a charge off its authorization")
def reverse(state: Api, caller: Writer, charge_id: ChargeId) -> dict[str, Any]:
    """The authorization gets its units back, once; the charge requires one again."""
    _charge(state, caller, charge_id)

    def work(connection: Connection) -> dict[str, Any]:
        done = units.reverse(connection, charge_id, caller.name, state.now)
        if done:
            audit.write(connection, caller.name, "charge.reverse", charge_id, {}, state.now)
        return charges.read(connection, charge_id) | {"reversed": done}

    return state.write(work)


@router.post("/charges/{charge_id}/validate", summary="Look at a charge anew")
def validate(state: Api, caller: Writer, charge_id: ChargeId) -> dict[str, Any]:
    """Clears `auth_required` where an authorization covers it; says what is wrong with the one it is put to."""
    _charge(state, caller, charge_id)

    def work(connection: Connection) -> dict[str, Any]:
        found = units.validate(connection, charge_id)
        audit.write(connection, caller.name, "charge.validate", charge_id, {"issues": found}, state.now)
        return charges.read(connection, charge_id)

    return state.write(work)


@router.get("/utilization", summary="Authorizations that are nearly used up")
def list_utilization(state: Api, caller: Reader, cursor: Cursor = "", limit: Limit = 50) -> dict[str, Any]:
    """More than 80 % used, or less left than is scheduled (AUT-20), with the period still open; by key."""
    place = place_of(cursor, str)
    state.follow()
    with state.reading() as connection:
        found = nearly_spent(connection, state.today, place[0] if place else "", limit + 1, sorted(caller.payors))
        hidden = _hidden(connection, caller, [each.holding.key for each in found])
    following = cursor_of(found[limit - 1].holding.key) if len(found) > limit else None
    items = []
    for holding in (each.holding for each in found[:limit] if each.holding.key not in hidden):
        used = use(holding.whole, state.today, state.share(holding.payor))
        if not used.level and not used.will_run_out:
            continue
        share = None if used.share is None else said(round(used.share * 100, 2))
        items.append({
            "authorization": holding.key, "number": holding.number, "member": holding.member, "payor": holding.payor,
            "level": used.level or "will_run_out", "percent": share,
            "balance": pages.balance_entry(holding, state.today),
        })  # fmt: skip
    state.saw(caller.name, "utilization.list", "", keys=[each["authorization"] for each in items])
    return page(items, following)


@behind_keys.get("/authorizations/{key:path}/series", summary="Units used day by day")
def read_series(state: Api, caller: Reader, key: Annotated[str, Path(min_length=1, max_length=300)]) -> dict[str, Any]:
    """By date of service, added up, against what is approved: what a sparkline draws. What is used elsewhere (AUT-19)
    has no date, and is where the line begins."""
    state.follow()
    with state.reading() as connection:
        stored = visible(connection, caller, key)
        found = charges.series(connection, stored)
    if found is None:
        raise nothing(key)
    state.saw(caller.name, "authorization.series", stored)
    return {"authorization": key} | found


def _charge(state: State, caller: Caller, charge_id: str) -> dict[str, Any]:
    """The charge. Raises Problem (404), also for one of a payor, or put to an authorization, that the caller may not
    see."""
    try:
        with state.reading() as connection:
            entry = charges.read(connection, charge_id)
            hidden = _hidden(connection, caller, [entry["authorization"]] if entry["authorization"] else [])
    except units.Missing as missing:
        raise Problem(404, str(missing), "missing") from None
    if hidden or not caller.sees_payor(entry["payor"]):
        raise Problem(404, f"there is no charge '{charge_id}'", "missing")
    return entry


def _hidden(connection: Connection, caller: Caller, keys: list[str]) -> set[str]:
    """Those of some authorizations that a token may not see which is bound to channels: a charge and a balance have
    none of their own. By payor they are told apart already."""
    return set(keys) - pages.may_see_of(connection, keys, caller.sees) if caller.channels else set()
