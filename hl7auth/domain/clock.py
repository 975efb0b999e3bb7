"""Times: how long an open request has waited and until when its answer is due, and the moments that people write.

Imports errors only.

Times are microseconds since 1970, UTC. How urgent a request is, its sender says in RF1-2 (table 0280: S STAT, A ASAP,
R routine) for the whole of it, or in PR1-14 for a procedure. Table 0418 has only ranks for that (0, 1, 2), which hurry
nothing; partners write the codes of 0280 there. What hurries wins: a request with one urgent procedure is expedited,
though RF1-2 says routine, since a procedure that is decided late is late.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from hl7auth.errors import UserError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000
_HOUR = 3_600 * _SECOND
_WORDS = {"STAT": "S", "ASAP": "A", "ROUTINE": "R"}
_FRACTION = re.compile(r"[T ].*\d[.,](\d{1,6})\d*(?=\D|\Z)")


@dataclass(frozen=True, slots=True)
class Clocks:
    """How long an answer may take, in hours, and the codes that make a request an expedited one: `expedited` those of
    RF1-2, `expedited_procedures` those of PR1-14.

    The defaults are what CMS-0057-F demands of payors since 2026: 72 hours, and 7 calendar days.
    """

    expedited_hours: float = 72
    standard_hours: float = 168
    expedited: frozenset[str] = frozenset({"S", "A"})
    expedited_procedures: frozenset[str] = frozenset({"S", "A"})

    def hurries(self, priority: str) -> bool:
        """True for an RF1-2 that hurries the request; some senders write the word for the code."""
        return _code(priority) in {_code(each) for each in self.expedited}

    def hurrying(self, procedures: Iterable[str]) -> str:
        """The first PR1-14 that hurries the request, as it was said; empty without one."""
        codes = {_code(each) for each in self.expedited_procedures}
        return next((each for each in procedures if _code(each) in codes), "")


class Asked(NamedTuple):
    """One message by which a request was made or made again: when it came, its RF1-2, empty where it says none, and
    the procedures that it left, each with its PR1-14 or none."""

    at: int
    priority: str
    procedures: tuple[tuple[str, str], ...] = ()


class Clock(NamedTuple):
    """The clock of an open request at the moment `now`; `priority` is what RF1-2 said, `procedure_priority` a PR1-14
    that hurries it, each empty if there is none."""

    since: int
    due: int
    expedited: bool
    priority: str
    now: int
    procedure_priority: str = ""

    @property
    def age(self) -> int:
        """Microseconds since the request came."""
        return self.now - self.since

    @property
    def overdue(self) -> bool:
        """True when the answer should be there by now."""
        return self.now > self.due

    def entry(self) -> dict[str, Any]:
        """The clock as lists show it."""
        return {
            "since": iso_time(self.since),
            "age_hours": round(self.age / _HOUR, 2),
            "urgency": "expedited" if self.expedited else "standard",
            "priority": self.priority or None,
            "procedure_priority": self.procedure_priority or None,
            "due": iso_time(self.due),
            "left_hours": round((self.due - self.now) / _HOUR, 2),
            "overdue": self.overdue,
        }


def clock(asked: Sequence[Asked], now: int, clocks: Clocks | None = None) -> Clock | None:
    """The clock of a request by the messages that made it since it is open, oldest first; None without any.

    It runs from the first of them: to modify or to send again what is open does not win time. A request that is
    expedited later gets the shorter time from then on, but never more than it had. What a later message does not say
    stays as it was said; a procedure that it leaves out hurries nothing any more.
    """
    if not asked:
        return None
    clocks = clocks or Clocks()
    priority, procedures, hurried_since = "", dict[str, str](), None
    for each in asked:
        priority = each.priority or priority
        procedures = {name: said or procedures.get(name, "") for name, said in each.procedures}
        hurries = clocks.hurries(priority) or bool(clocks.hurrying(procedures.values()))
        hurried_since = (hurried_since or each.at) if hurries else None
    since = asked[0].at
    due = since + hours(clocks.standard_hours)
    if hurried_since is not None:
        hurried = hurried_since + hours(clocks.expedited_hours)
        due = hurried if hurried_since == since else min(due, hurried)
    return Clock(since, due, hurried_since is not None, priority, now, clocks.hurrying(procedures.values()))


def spoken(duration: int) -> str:
    """A duration in microseconds for people: `3 d 4 h`, `5 h 10 min`, `12 min`."""
    minutes = abs(duration) // (60 * _SECOND)
    days, hours, minutes = minutes // 1_440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def hours(number: float) -> int:
    """Hours in microseconds."""
    return int(number * _HOUR)


def iso_time(microseconds: int) -> str:
    """A stored time in ISO 8601, UTC, to the millisecond."""
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="milliseconds")


def moment(text: str) -> int:
    """The last microsecond of the time that an ISO date or date-time names. Raises UserError.

    A date alone is its whole day in UTC, a date-time its second or the fraction of one that it gives: so a time that
    was copied from a history, where it is cut at the millisecond, includes what happened then. Without offset: UTC.
    """
    text = text.strip()
    try:
        start, width = _read_moment(text)
        return (start - _EPOCH) // timedelta(microseconds=1) + width - 1
    except (ValueError, OverflowError):
        raise UserError(
            f"'{text}' is no date or time; write 2026-03-01, 2026-03-01T10:15 or 2026-03-01T10:15:00+01:00"
        ) from None


def beginning(text: str) -> int:
    """The first microsecond of the time that an ISO date or date-time names. Raises UserError."""
    moment(text)
    return (_read_moment(text.strip())[0] - _EPOCH) // timedelta(microseconds=1)


def _code(priority: str) -> str:
    name = priority.strip().upper()
    return _WORDS.get(name, name)


def _read_moment(text: str) -> tuple[datetime, int]:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        fraction = _FRACTION.search(text)
        read = datetime.fromisoformat(text)
        width = 10 ** (6 - len(fraction[1])) if fraction else _SECOND
        return (read if read.tzinfo else read.replace(tzinfo=UTC)), width
    return datetime(day.year, day.month, day.day, tzinfo=UTC), 24 * _HOUR
