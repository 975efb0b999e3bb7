"""What the document of an authorization grants: the accounts that charges are put to.

Imports domain only.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from hl7auth.domain.balance import GRANTED, Account, Holding, LineAccount, plain_code
from hl7auth.domain.status import UNDECIDED, Status
from hl7auth.domain.units import number, unit_kind


def held(document: Mapping[str, Any]) -> Holding:
    """What an authorization's document grants, with nothing used by charges. What can not be read is not said."""
    status = Status(document["status"])
    whole = _account(document, status)
    lines: dict[str, LineAccount] = {}
    codes = set()
    for at, line in enumerate(document.get("lines") or []):
        code = plain_code((line.get("procedure") or {}).get("code", ""))
        own = Status(line["status"]) if line.get("status") else status
        if own in GRANTED or own in UNDECIDED:
            codes.add(code)
        account = _account(line, own)
        if account.approved is not None or account.effective or account.expiration or own is not status:
            name = line.get("identifier") or code or f"#{at + 1}"
            account = replace(account, kind=account.kind or whole.kind)
            lines[name if name not in lines else f"{name}#{at + 1}"] = LineAccount(code, account)
    return Holding(
        key=str(document["key"]),
        number=str(document.get("identifier") or ""),
        member=_member(document),
        payor=str((document.get("payor") or {}).get("code", "")),
        whole=whole,
        codes=frozenset(codes - {""}),
        lines=lines,
    )


NOBODY = ("NONE", "HL7AUTH")
"""The patient's identifier and its assigner in an authorization that was entered without saying whom it is for."""


def _member(document: Mapping[str, Any]) -> str:
    patient = document.get("patient") or {}
    return "" if (patient.get("id"), patient.get("assigner")) == NOBODY else str(patient.get("id", ""))


def _account(values: Mapping[str, Any], status: Status) -> Account:
    """AUT-18, else AUT-9, else the reimbursement limit (AUT-7), each with AUT-19 and AUT-20."""
    approved, kind = None, ""
    for key in ("authorized_units", "authorized_treatments"):
        found = values.get(key) or {}
        if approved is None and (approved := number(found.get("quantity", ""))) is not None:
            kind = unit_kind(found.get("unit", ""))
    limit = values.get("reimbursement_limit") or {}
    if approved is None and (approved := number(limit.get("amount", ""))) is not None:
        kind = "dollars"
    return Account(
        approved=approved,
        external=number((values.get("used_units") or {}).get("quantity", "")) or Decimal(0),
        scheduled=number((values.get("scheduled_units") or {}).get("quantity", "")) or Decimal(0),
        kind=kind,
        effective=day_of(values.get("effective_date")),
        expiration=day_of(values.get("expiration_date")),
        status=status,
    )


def day_of(text: object) -> date | None:
    """The day of an ISO date or date-time as documents have it; None for less than a day."""
    try:
        return date.fromisoformat(str(text)[:10]) if text else None
    except ValueError:
        return None
