"""What was decided: the status of an authorization and how a message says it.

Imports rules.profile (the shape of the mapping), rules.datatypes and domain.values only.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from hl7auth.domain.values import Values
from hl7auth.rules.datatypes import is_number
from hl7auth.rules.profile import StatusMap


class Status(StrEnum):
    """The states of an authorization. `requested`: received; `pended`: the requester has been told to wait."""

    REQUESTED = "requested"
    PENDED = "pended"
    APPROVED = "approved"
    PARTIALLY_APPROVED = "partially_approved"
    MODIFIED = "modified"
    DENIED = "denied"
    CANCELLED = "cancelled"


UNDECIDED = frozenset({Status.REQUESTED, Status.PENDED})

DECIDING = frozenset({"approval_status", "authorized_units", "authorized_treatments"})
"""The fields of an AUT that decide by themselves."""

#: AUT-14 in replies, local table 0563
APPROVAL_CODES = {
    Status.REQUESTED: ("PE", "Pended"),
    Status.PENDED: ("PE", "Pended"),
    Status.APPROVED: ("AP", "Approved"),
    Status.PARTIALLY_APPROVED: ("PA", "Partially approved"),
    Status.MODIFIED: ("MO", "Modified"),
    Status.DENIED: ("DE", "Denied"),
    Status.CANCELLED: ("CA", "Cancelled"),
}


class Counted(NamedTuple):
    """One row of what the authorized number decides beside the requested one (None: not sent); the first that fits."""

    says: str
    fits: Callable[[Decimal, Decimal | None], bool]
    status: Status


COUNTED = (
    Counted("0 or less", lambda authorized, _: authorized <= 0, Status.DENIED),
    Counted("less than AUT-8", lambda authorized, asked: asked is not None and authorized < asked,
            Status.PARTIALLY_APPROVED),
    Counted("any other number", lambda _authorized, _asked: True, Status.APPROVED),
)  # fmt: skip


def decided(values: Values, has_number: bool, names: StatusMap) -> Status:
    """The status that an answering party's AUT says.

    AUT-14 by the profile's table, where an unknown code pends; else the authorized number (AUT-18, else AUT-9) against
    the requested one; else a number with an effective date is a grant. Nothing else is guessed: it pends.
    """
    said = values.get("approval_status")
    if said:
        return named(said, names) or Status.PENDED
    authorized = _quantity(values, "authorized_units", "authorized_treatments")
    requested = _quantity(values, "requested_treatments")
    if authorized is not None:
        return next(row.status for row in COUNTED if row.fits(authorized, requested))
    granted = has_number and values.get("effective_date")
    return Status.APPROVED if granted else Status.PENDED


def of_lines(statuses: Iterable[Status]) -> Status:
    """The status of the whole from its lines; one line never overrides another."""
    found = set(statuses)
    if len(found) == 1:
        return found.pop()
    if found & UNDECIDED:
        return Status.PENDED
    if found <= {Status.DENIED, Status.CANCELLED}:
        return Status.DENIED
    if found <= {Status.APPROVED, Status.MODIFIED}:
        return Status.MODIFIED
    return Status.PARTIALLY_APPROVED


def named(said: Values, names: StatusMap) -> Status | None:
    """What AUT-14 decides by the table of the profile; None for a code that is not in it."""
    for key in ("code", "text"):
        text = said.get(key, "")
        name = names.approval_status.get(text) or names.approval_status.get(str(text).strip().upper())
        if name:
            return Status(name)
    return None


def _quantity(values: Values, *keys: str) -> Decimal | None:
    for key in keys:
        text = (values.get(key) or {}).get("quantity", "")
        if is_number(text):
            return Decimal(text)
    return None
