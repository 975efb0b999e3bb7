"""What an authorization still covers: its status as of a date, and whether it is valid for a date of service.

Imports domain.status and domain.units only.

Units are exact decimals with at most three places, dates are those of service. The status (ACTIVE, PENDING, EXHAUSTED,
EXPIRED) is derived and never stored: what is reversed or amended needs no event to be active again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from hl7auth.domain.status import UNDECIDED, Status
from hl7auth.domain.units import MOST_UNITS

ALERT_SHARE = Decimal("0.80")
"""What is used beyond this share of what is approved is worth an alert: 81 of 100, and not 80."""

GRANTED = frozenset({Status.APPROVED, Status.PARTIALLY_APPROVED, Status.MODIFIED})


class Standing(StrEnum):
    """How an authorization stands as of a date, for those who bill. EXPIRED is said before EXHAUSTED."""

    ACTIVE = "ACTIVE"
    PENDING = "PENDING"
    EXHAUSTED = "EXHAUSTED"
    EXPIRED = "EXPIRED"
    DENIED = "DENIED"
    CANCELLED = "CANCELLED"


class Reason(StrEnum):
    """Why an authorization does not cover a charge."""

    NOT_ACTIVE = "NOT_ACTIVE"
    DOS_OUT_OF_WINDOW = "DOS_OUT_OF_WINDOW"
    UNITS = "UNITS"
    UNIT_KIND = "UNIT_KIND"
    CODE = "CODE"
    PAYER = "PAYER"
    MEMBER = "MEMBER"


@dataclass(frozen=True, slots=True)
class Account:
    """An amount that was granted and what of it is used: of the whole authorization, or of one line.

    `approved` None is without limit. `used` is what charges took here, `external` what the payor says was used
    elsewhere (AUT-19), `scheduled` what is planned (AUT-20).
    """

    approved: Decimal | None = None
    used: Decimal = Decimal(0)
    external: Decimal = Decimal(0)
    scheduled: Decimal = Decimal(0)
    kind: str = ""
    effective: date | None = None
    expiration: date | None = None
    status: Status = Status.REQUESTED

    @property
    def spent(self) -> Decimal:
        """Here and elsewhere."""
        return self.used + self.external

    @property
    def remaining(self) -> Decimal | None:
        """What is left; None without limit, below zero when others used too much."""
        return None if self.approved is None else self.approved - self.spent

    @property
    def overused(self) -> bool:
        """More is used than was approved, which only somebody outside can have done."""
        return self.approved is not None and self.spent > self.approved

    def standing(self, day: date) -> Standing:
        """The status as of a day (section "derived billing status"): before its first day it is ACTIVE."""
        if self.status in UNDECIDED:
            return Standing.PENDING
        if self.status in (Status.DENIED, Status.CANCELLED):
            return Standing(self.status.upper())
        if self.expiration is not None and day > self.expiration:
            return Standing.EXPIRED
        if self.approved is not None and self.spent >= self.approved:
            return Standing.EXHAUSTED
        return Standing.ACTIVE

    def covers(self, day: date) -> bool:
        """True when the day is in the window, both ends included; an end that is not said is open."""
        after_start = self.effective is None or self.effective <= day
        return after_start and (self.expiration is None or day <= self.expiration)

    def has_room(self, units: Decimal) -> bool:
        """True when so many units more can be used: all that is left is fine."""
        return self.remaining is None or units <= self.remaining


@dataclass(frozen=True, slots=True)
class Holding:
    """An authorization as charges see it: the account of the whole, those of its lines by name, and whom it is for.

    `codes` are the codes it covers, empty where it is not bound to any; `lines` are those lines that have an amount, a
    window or a status of their own, by PR1-19 or code.
    """

    key: str
    number: str
    member: str
    payor: str
    whole: Account
    codes: frozenset[str] = frozenset()
    lines: Mapping[str, "LineAccount"] = field(default_factory=dict)

    def line_for(self, code: str) -> str:
        """The name of the line that a code is charged to; empty where only the whole is. The roomiest of several."""
        fitting = [name for name, line in self.lines.items() if line.code == code]
        return max(fitting, key=lambda name: _room(self.lines[name].account), default="")


class LineAccount(NamedTuple):
    """A line with an account of its own, and the code it is for."""

    code: str
    account: Account


class Asked(NamedTuple):
    """What a charge needs covered. `kind` is that of its units (see `unit_kind`), empty where it does not say."""

    dos: date
    code: str
    units: Decimal
    kind: str = ""
    member: str = ""
    payor: str = ""


def reasons(holding: Holding, asked: Asked) -> list[Reason]:
    """Everything that keeps an authorization from covering a charge; empty when it is valid for its date of service.

    The status is that of the date of service, not of today: a window that has ended still covers what was done in it.
    """
    code = plain_code(asked.code)
    name = holding.line_for(code)
    accounts = [holding.whole] + ([holding.lines[name].account] if name else [])
    found = [reason for account in accounts for reason in _account_reasons(account, asked)]
    if holding.codes and code not in holding.codes:
        found.append(Reason.CODE)
    if asked.payor and holding.payor and asked.payor != holding.payor:
        found.append(Reason.PAYER)
    if asked.member and holding.member != asked.member:
        found.append(Reason.MEMBER)
    return list(dict.fromkeys(found))


def _account_reasons(account: Account, asked: Asked) -> Iterable[Reason]:
    if account.standing(asked.dos) is not Standing.ACTIVE:
        yield Reason.NOT_ACTIVE
    if not account.covers(asked.dos):
        yield Reason.DOS_OUT_OF_WINDOW
    if asked.kind and account.kind and asked.kind != account.kind:
        yield Reason.UNIT_KIND
    elif not account.has_room(asked.units):
        yield Reason.UNITS


def ranked(holdings: Iterable[Holding]) -> list[Holding]:
    """Most remaining first, without limit before all; then what ends sooner, what is bound to codes, and by number."""
    return sorted(holdings, key=_rank)


def _rank(holding: Holding) -> tuple[Any, ...]:
    whole = holding.whole
    return (-_room(whole), whole.expiration or date.max, not holding.codes, holding.number, holding.key)


def _room(account: Account) -> Decimal:
    return MOST_UNITS * 2 if account.remaining is None else account.remaining


class Use(NamedTuple):
    """How far an account is used up: `level` is empty, warning (over the share), exhausted or overused.

    `will_run_out` says that what is scheduled (AUT-20) is more than what remains.
    """

    share: Decimal | None
    level: str
    will_run_out: bool


def use(account: Account, day: date, share: Decimal = ALERT_SHARE) -> Use:
    """The use of a granted account whose period is open on that day; what is closed or undecided has no level."""
    if account.approved is None or account.approved <= 0:
        return Use(None, "overused" if account.overused and _is_open(account, day) else "", False)
    part = account.spent / account.approved
    runs_out = account.spent + account.scheduled > account.approved
    if not _is_open(account, day):
        return Use(part, "", False)
    level = "overused" if part > 1 else "exhausted" if part == 1 else "warning" if part > share else ""
    return Use(part, level, runs_out)


def _is_open(account: Account, day: date) -> bool:
    return account.status in GRANTED and (account.expiration is None or day <= account.expiration)


def plain_code(text: str) -> str:
    """A procedure code as codes are compared: upper case, without dots and spaces."""
    return text.replace(".", "").replace(" ", "").upper()
