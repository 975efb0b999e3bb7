"""The yearly public figures about decisions (CMS-0057-F), from what the desk decided.

Imports domain only.

Rates are exact in per cent to a tenth; times in hours. A figure of nothing is null and never 0.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from statistics import mean, median
from typing import Any, NamedTuple

from hl7auth.domain.crosswalk import GRANTING, Decision

POLICY = (
    "A request counts in the year (UTC) in which it was decided; one that was un-finalized counts for each decision.",
    "Approved are certified in total, in part and modified, and 'no action required'; in part and modified are shown "
    "apart as well.",
    "What was entered by hand is not counted; what the payor answered by itself counts as what the desk decides.",
    "Cancelled requests are shown apart and are in no rate.",
    "Approved after appeal is a request that was denied, un-finalized by somebody, and approved then; one that its "
    "requester only sent again counts as a request of its own.",
    "Extended and approved is an approval of a request whose time was extended.",
    "Times run from the receipt of the first message that asked, or from the un-finalizing, to the decision; what is "
    "asked for anew after a decision runs from the receipt of that message.",
    "Expedited is what its sender says in RF1-2, by the clocks of the channel.",
    "Items and services are the procedures (PR1-3, as they stand now) of the requests that were decided; cancelled "
    "ones and those that needed no authorization are left out, and what nobody asked for in the year is not there.",
)
_NO_ITEMS = frozenset({Decision.CANCELLED, Decision.NOT_REQUIRED})
_HOUR = 3_600_000_000


class Item(NamedTuple):
    """A procedure by its code and coding system (PR1-3.1 and 3.3)."""

    code: str
    system: str


class Ended(NamedTuple):
    """A version of a request that was decided. Times in microseconds; `appealed`: the version before was denied."""

    decision: Decision
    expedited: bool
    received_at: int
    decided_at: int
    due_at: int
    extended: bool
    appealed: bool
    payor: str
    items: tuple[Item, ...] = ()


def figures(year: int, ended: Iterable[Ended]) -> dict[str, Any]:
    """All figures of a year, for all payors and for each, with the policy by which they were made."""
    rows = list(ended)
    payors = sorted({each.payor for each in rows})
    return {
        "year": year,
        "all": _of(rows),
        "payors": {payor: _of([each for each in rows if each.payor == payor]) for payor in payors},
        "items": _items(rows),
        "policy": list(POLICY),
    }


def _items(rows: Sequence[Ended]) -> list[dict[str, Any]]:
    """What needed an authorization, by payor, what was asked for most first."""
    asked = Counter((each.payor, item) for each in rows if each.decision not in _NO_ITEMS for item in set(each.items))
    by_count = sorted(asked.items(), key=lambda found: (found[0][0], -found[1], found[0][1]))
    return [
        {"payor": payor, "code": item.code, "system": item.system, "decided": count}
        for (payor, item), count in by_count
    ]


def _of(rows: Sequence[Ended]) -> dict[str, Any]:
    standard = [each for each in rows if not each.expedited]
    return {"standard": _group(standard), "expedited": _group([each for each in rows if each.expedited])}


def _group(rows: Sequence[Ended]) -> dict[str, Any]:
    final = [each for each in rows if each.decision in GRANTING or each.decision is Decision.NOT_CERTIFIED]
    approved = [each for each in final if each.decision in GRANTING]
    counts: Mapping[str, int] = {
        "approved": len(approved),
        "denied": len(final) - len(approved),
        "approved_after_appeal": sum(each.appealed for each in approved),
        "extended_and_approved": sum(each.extended for each in approved),
        "approved_in_part": sum(each.decision is Decision.CERTIFIED_PARTIAL for each in approved),
        "approved_modified": sum(each.decision is Decision.MODIFIED for each in approved),
    }
    hours = [(each.decided_at - each.received_at) / _HOUR for each in final]
    return {
        "decided": len(final),
        **{name: {"count": count, "percent": _percent(count, len(final))} for name, count in counts.items()},
        "cancelled": sum(each.decision is Decision.CANCELLED for each in rows),
        "late": sum(each.decided_at > each.due_at for each in final),
        "hours_average": round(mean(hours), 2) if hours else None,
        "hours_median": round(median(hours), 2) if hours else None,
    }


def _percent(count: int, whole: int) -> str | None:
    if not whole:
        return None
    return str((Decimal(count) * 100 / whole).quantize(Decimal("0.1"), ROUND_HALF_EVEN))
