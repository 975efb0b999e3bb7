"""What a decision says, of the words that a person gave to `decide approve` and `decide pend`.

Imports errors, and inside the functions the domain.
"""

from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from hl7auth.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hl7auth.domain.decided import Contact, Decided, LeftOut, LineQuantity


def approval(
    given: tuple[str, str],
    days: tuple[str, str],
    granted: "tuple[Sequence[str], str]",
    reason: str,
    leave_out: "Sequence[str]",
    *,
    partial: bool,
    modified: bool,
) -> "Decided":
    """An approval under a number and its assigner, from the first of `days` until the second, of what is `granted`
    (a quantity, or those of procedures: 97140=8) and its unit, without the procedures of `leave_out` (97140=why).
    Raises UserError."""
    from hl7auth.domain.crosswalk import Decision
    from hl7auth.domain.decided import Decided

    left_out = tuple(_left_out(each) for each in leave_out)
    of_all, by_line = _quantities(granted[0])
    partial = partial or bool(left_out)
    if partial and modified:
        raise UserError("--partial and --modified are two decisions: say one")
    decision = Decision.MODIFIED if modified else Decision.CERTIFIED_TOTAL
    effective, expiration = day("--from", days[0]), day("--until", days[1])
    if effective and expiration and effective > expiration:
        raise UserError("--until is before --from")
    return Decided(
        Decision.CERTIFIED_PARTIAL if partial else decision, *given, effective, expiration,
        of_all, granted[1], reason, left_out=left_out, by_line=by_line,
    )  # fmt: skip


def day(name: str, text: str) -> date | None:
    """The day that an option says, None where it says none. Raises UserError."""
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UserError(f"{name}: '{text}' is no day; write it like 2026-03-01") from None


def calling(name: str, phone: str) -> "Contact | None":
    """Whom to call, None where nobody is named. Raises UserError for half of it."""
    from hl7auth.domain.decided import Contact

    if bool(name.strip()) is not bool(phone.strip()):
        raise UserError("say both whom to call and where: --contact and --phone")
    return Contact(name.strip(), phone.strip()) if name.strip() else None


def _left_out(text: str) -> "LeftOut":
    from hl7auth.domain.decided import LeftOut

    code, _, reason = text.partition("=")
    if not code.strip() or not reason.strip():
        raise UserError(f"--leave-out {text}: say which procedure and why, as 97140='not covered'")
    return LeftOut(code.strip(), reason.strip())


def _quantities(given: "Sequence[str]") -> "tuple[Decimal | None, tuple[LineQuantity, ...]]":
    """One for all, or one for each procedure that is named."""
    from hl7auth.domain.decided import LineQuantity

    named = [each.rpartition("=") for each in given if each]
    by_line = tuple(LineQuantity(code.strip(), _number(text)) for code, mark, text in named if mark)
    of_all = [_number(text) for _, mark, text in named if not mark]
    if len(of_all) > 1 or (of_all and by_line):
        raise UserError("--quantity: say one for all, or one for each procedure, as 97140=8")
    return (of_all[0] if of_all else None), by_line


def _number(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal(-1)
    if not found.is_finite() or found <= 0:
        raise UserError(f"--quantity: '{text}' is no number above 0")
    return found
