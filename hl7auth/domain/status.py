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


_ENDED = frozenset({Status.DENIED, Status.CANCELLED})
_WHOLE = frozenset({Status.APPROVED, Status.MODIFIED})
STATUSES = {str(each): each for each in Status}


class Together(NamedTuple):
    """One row of what lines that differ are together; the first that fits."""

    says: str
    fits: Callable[[frozenset[Status]], bool]
    status: Status


TOGETHER = (
    Together("one of them waits", lambda found: bool(found & UNDECIDED), Status.PENDED),
    Together("denied and cancelled", lambda found: found <= _ENDED, Status.DENIED),
    Together("approved and modified", lambda found: found <= _WHOLE, Status.MODIFIED),
    Together("others", lambda _: True, Status.PARTIALLY_APPROVED),
)


def decided(values: Values, has_number: bool, names: StatusMap) -> Status:
    """The status that an answering party's AUT says, by the tables of the profile.

    AUT-14, where an unknown code pends; else the authorized number (AUT-18, else AUT-9) against the requested one; else
    what a number with an effective date is. Nothing else is guessed: it pends.
    """
    said = values.get("approval_status")
    if said:
        return named(said, names) or Status.PENDED
    authorized = _quantity(values, "authorized_units", "authorized_treatments")
    if authorized is not None:
        requested = _quantity(values, "requested_treatments")
        for fits, status in names.rows:
            if fits(authorized, requested):
                return STATUSES[status]
        return Status.PENDED
    return STATUSES[names.dated] if has_number and values.get("effective_date") else Status.PENDED


def by_event(message_type: str, trigger_event: str, names: StatusMap) -> Status | None:
    """What the event of a message decides by the table of the profile; None where its AUTs say it."""
    name = names.by_event.get((message_type, trigger_event))
    return STATUSES[name] if name else None


def of_lines(statuses: Iterable[Status]) -> Status:
    """The status of the whole from its lines; one line never overrides another."""
    found = frozenset(statuses)
    if len(found) == 1:
        return next(iter(found))
    return next(row.status for row in TOGETHER if row.fits(found))


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
