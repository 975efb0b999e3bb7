"""What is said about a request: a decision with its number, days and quantities; and what can not be said.

Imports domain only.
"""

from collections.abc import Collection
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from hl7auth.domain.crosswalk import Decision
from hl7auth.domain.document import Document
from hl7auth.domain.status import Status

_COMES_OUT = {
    Decision.CERTIFIED_TOTAL: {Status.APPROVED}, Decision.NOT_REQUIRED: {Status.APPROVED},
    Decision.CERTIFIED_PARTIAL: {Status.PARTIALLY_APPROVED},
    Decision.MODIFIED: {Status.APPROVED, Status.PARTIALLY_APPROVED, Status.MODIFIED},
    Decision.NOT_CERTIFIED: {Status.DENIED},
}  # fmt: skip
"""What a message that says a decision may come to; pended and cancelled are said by what grants nothing."""


class LeftOut(NamedTuple):
    """A procedure that is not granted where others are: its code (PR1-3), and why not (AUT-17 of its line)."""

    code: str
    reason: str


class Contact(NamedTuple):
    """Whom to call about a request that pends: AUT-25 and AUT-27, from the version on that has them."""

    name: str
    phone: str


class Decided(NamedTuple):
    """What is said about a request. `quantity` is AUT-9, or AUT-18 where it has a `unit`; None grants what was asked.
    `number` and `assigner` are AUT-6, empty where no number is given; `reason` is AUT-17 and `comment` AUT-28.
    With procedures `left_out` it is certified in part: as a whole A2, and by its lines A1 and A3. What is `unnumbered`
    has no AUT-6, whatever the request has: it is about no authorization that stands."""

    decision: Decision
    number: str = ""
    assigner: str = ""
    effective: date | None = None
    expiration: date | None = None
    quantity: Decimal | None = None
    unit: str = ""
    reason: str = ""
    comment: str = ""
    on: date | None = None
    left_out: tuple[LeftOut, ...] = ()
    contact: Contact | None = None
    unnumbered: bool = False

    @property
    def pends(self) -> bool:
        """True while nothing is decided by it."""
        return self.decision in (Decision.PENDED, Decision.CONTACT_PAYER)


def wrong_lines(said: Decided, asked: Document) -> str:
    """What keeps these procedures from being left out of an approval; empty where nothing does."""
    found = [str((line.get("procedure") or {}).get("code", "")) for line in asked.get("lines", [])]
    codes = {code for code in found if code}
    left_out = {each.code for each in said.left_out}
    if not left_out:
        return ""
    if said.decision is not Decision.CERTIFIED_PARTIAL:
        return "an approval that leaves procedures out is one in part"
    if unknown := sorted(left_out - codes):
        known = ", ".join(sorted(codes)) or "none"
        return f"the request has no procedure '{unknown[0]}' (it has: {known})"
    if left_out.issuperset(found):
        return "every procedure is left out: that is a denial"
    return "" if all(each.reason.strip() for each in said.left_out) else "say why a procedure is left out"


def pending(reason: str, contact: Contact | None) -> Decided:
    """That a request pends, or that its payor is to be called about it."""
    return Decided(Decision.CONTACT_PAYER if contact else Decision.PENDED, reason=reason, contact=contact)


def wrong_days(said: Decided, asked: Document) -> str:
    """What is wrong with the days that an approval would have, its own or those that were asked; empty for nothing."""
    places = (asked, *asked.get("lines", ()))
    first = said.effective.isoformat() if said.effective else ""
    last = said.expiration.isoformat() if said.expiration else ""
    for each in places:
        begins, ends = first or each.get("effective_date") or "", last or each.get("expiration_date") or ""
        if begins and ends and ends[: len(begins)] < begins[: len(ends)]:
            return f"it would end ({ends}) before it begins ({begins}): say until when"
    return ""


def came_out(said: Decided, statuses: Collection[str]) -> str:
    """What a message that was to say this came to instead; empty where it is what was meant. A version without AUT-14
    says its decision by numbers and dates alone, and these may say another."""
    meant = _COMES_OUT.get(said.decision)
    found = {Status(each) for each in statuses} - {Status.CANCELLED}
    if meant is None or not found or found & meant:
        return ""
    return ", ".join(sorted(found))
