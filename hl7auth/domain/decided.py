"""What is said about a request: a decision with its number, days and quantities; and what can not be said.

Imports domain only.
"""

from collections.abc import Collection, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from hl7auth.domain.crosswalk import Decision
from hl7auth.domain.document import Document
from hl7auth.domain.status import Status
from hl7auth.domain.units import number

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


class LineQuantity(NamedTuple):
    """A procedure (PR1-3) of which its own quantity is granted. How it compares with what was asked is its `decision`,
    which `weighed` finds."""

    code: str
    quantity: Decimal
    decision: Decision = Decision.CERTIFIED_TOTAL


class Contact(NamedTuple):
    """Whom to call about a request that pends: AUT-25 and AUT-27, from the version on that has them."""

    name: str
    phone: str


class Decided(NamedTuple):
    """What is said about a request. `quantity` is AUT-9, or AUT-18 where it has a `unit`; None grants what was asked.
    `by_line` are quantities of single procedures in its place, in the same unit, and `together` what the AUT above the
    procedures says of them all, where that is known.
    `number` and `assigner` are AUT-6, empty where no number is given; `reason` is AUT-17 and `comment` AUT-28.
    With procedures `left_out` it is certified in part: as a whole A2, and by its lines A1 and A3. What is `unnumbered`
    has no AUT-6, whatever the request has: it is about no authorization that stands. `ends` is the authorization that
    a cancellation ends: its days and quantities stay on record."""

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
    by_line: tuple[LineQuantity, ...] = ()
    together: Decimal | None = None
    ends: Document | None = None

    def of_line(self, code: str) -> "Decided":
        """What is said about one procedure: all of it, where procedures are decided differently, save what is said of
        it by itself."""
        if not self.left_out and not self.by_line:
            return self
        alone = self._replace(left_out=(), by_line=(), together=None)
        for out in self.left_out:
            if out.code == code:
                return alone._replace(decision=Decision.NOT_CERTIFIED, reason=out.reason)
        for each in self.by_line:
            if each.code == code:
                return alone._replace(decision=each.decision, quantity=each.quantity)
        return alone._replace(decision=Decision.CERTIFIED_TOTAL)

    @property
    def pends(self) -> bool:
        """True while nothing is decided by it."""
        return self.decision in (Decision.PENDED, Decision.CONTACT_PAYER)


def wrong_lines(said: Decided, asked: Document) -> str:
    """What keeps these procedures from being left out of an approval, or granted by themselves; empty where nothing
    does."""
    found = [_code(line) for line in asked.get("lines", [])]
    codes = {code for code in found if code}
    left_out, granted = {each.code for each in said.left_out}, [each.code for each in said.by_line]
    if unknown := sorted((left_out | set(granted)) - codes):
        known = ", ".join(sorted(codes)) or "none"
        return f"the request has no procedure '{unknown[0]}' (it has: {known})"
    return _wrong_quantities(said, found) or (_wrongly_left_out(said, found) if left_out else "")


def _wrong_quantities(said: Decided, found: list[str]) -> str:
    granted = [each.code for each in said.by_line]
    if not granted:
        return ""
    if said.decision is Decision.NOT_REQUIRED:
        return "what needs no authorization is granted in no quantity"
    if said.quantity is not None:
        return "say one quantity for all, or one for each of these procedures"
    if out := sorted({each.code for each in said.left_out} & set(granted)):
        return f"the procedure '{out[0]}' is left out: no quantity of it is granted"
    if twice := [code for code in granted if granted.count(code) > 1]:
        return f"two quantities are said for the procedure '{twice[0]}'"
    if several := [code for code in granted if found.count(code) > 1]:
        return f"the request has the procedure '{several[0]}' {found.count(several[0])} times: which one is meant?"
    return "" if all(each.quantity > 0 for each in said.by_line) else "a quantity that is granted is above 0"


def _wrongly_left_out(said: Decided, found: list[str]) -> str:
    left_out = {each.code for each in said.left_out}
    if said.decision is not Decision.CERTIFIED_PARTIAL:
        return "an approval that leaves procedures out is one in part"
    if left_out.issuperset(found):
        return "every procedure is left out: that is a denial"
    return "" if all(each.reason.strip() for each in said.left_out) else "say why a procedure is left out"


def weighed(said: Decided, asked: Document) -> Decided:
    """An approval with quantities by line, each with the decision that it is: fewer than was asked (AUT-8) in part,
    more modified; and the whole likewise, where it was called an approval in total. Where nothing was asked in numbers,
    a procedure is approved as the whole is called."""
    if not said.by_line:
        return said
    wanted = {_code(line): _asked_number(line) for line in asked.get("lines", [])}
    lines = tuple(
        each._replace(decision=_compared(each.quantity, wanted.get(each.code), said.decision)) for each in said.by_line
    )
    together = _together(said, wanted)
    decision = said.decision
    if decision is Decision.CERTIFIED_TOTAL:
        of_all = Decision.CERTIFIED_PARTIAL if said.left_out else _compared(together, _asked_number(asked), decision)
        found = {of_all, *(each.decision for each in lines)}
        order = (Decision.CERTIFIED_PARTIAL, Decision.MODIFIED)
        decision = next((each for each in order if each in found), decision)
    return said._replace(by_line=lines, decision=decision, together=together)


def _together(said: Decided, wanted: Mapping[str, Decimal | None]) -> Decimal | None:
    """All that is granted, where every procedure has a number: its own, or what was asked."""
    granted = {each.code: each.quantity for each in said.by_line}
    left_out = {each.code for each in said.left_out}
    found = [granted.get(code, asked) for code, asked in wanted.items() if code not in left_out]
    known = [each for each in found if each is not None]
    return sum(known, Decimal(0)) if len(known) == len(found) else None


def _compared(granted: Decimal | None, wanted: Decimal | None, as_a_whole: Decision) -> Decision:
    if granted is None or wanted is None:
        return as_a_whole
    if granted == wanted:
        return Decision.CERTIFIED_TOTAL
    if as_a_whole is Decision.MODIFIED:
        return as_a_whole
    return Decision.CERTIFIED_PARTIAL if granted < wanted else Decision.MODIFIED


def _asked_number(line: Mapping[str, Any]) -> Decimal | None:
    return number((line.get("requested_treatments") or {}).get("quantity", ""))


def _code(line: Mapping[str, Any]) -> str:
    return str((line.get("procedure") or {}).get("code", ""))


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
