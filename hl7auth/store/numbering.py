"""Ids of messages: in the order of the commits, whoever writes.

Imports sqlalchemy and flow only.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

from sqlalchemy import Connection

from hl7auth.flow.intake import Plan

_MOST_WAITED = 100_000
"""Ids asked for in vain, some 20 ms: a clock that was set back is not waited for."""


def newest(connection: Connection) -> int:
    """The highest id that is stored; 0 in an empty store."""
    return connection.exec_driver_sql("SELECT max(id) FROM message").scalar() or 0


def numbered_behind(connection: Connection, plans: Sequence[Plan]) -> list[Plan]:
    """The plans with ids behind all that are stored, and with control ids of replies that nobody else has.

    Ids are given as they were planned wherever they can be: a message and its two replies have three in a row.
    """
    last: int = connection.exec_driver_sql("SELECT max(id) + 2 FROM message").scalar() or 0
    found = []
    for plan in plans:
        number = max(last + 1, plan.message_id)
        last = number + 2
        if number != plan.message_id:
            plan = _renumbered(plan, number)._replace(reply_ids=(str(number + 1), str(last)))  # noqa: PLW2901
        if plan.link is not None and plan.link.spare:
            last = max(last + 1, plan.link.spare)
            plan = plan._replace(link=plan.link._replace(spare=last))  # noqa: PLW2901
        found.append(plan)
    return found


def _renumbered(plan: Plan, number: int) -> Plan:
    intent = plan.intent._replace(message_id=number) if plan.intent is not None else None
    return plan._replace(message_id=number, intent=intent)


def numbered_anew(connection: Connection, plans: Sequence[Plan], new_id: Callable[[], int]) -> Sequence[Plan]:
    """The plans with ids behind all that are stored: their own, where nobody has stored a message since they got them.

    Another process may have stored some within this millisecond.
    """
    last = newest(connection)
    if plans and plans[0].message_id > last and _grow([plan.message_id for plan in plans]):
        return plans
    number = new_id()
    for _ in range(_MOST_WAITED):
        if number > last:
            break
        number = new_id()
    return numbered(plans, number, new_id)


def _grow(numbers: list[int]) -> bool:
    return all([one < other for one, other in pairwise(numbers)])


def numbered(plans: Sequence[Plan], first: int, new_id: Callable[[], int]) -> list[Plan]:
    """The plans with ids from `first` on, in the order in which they are decided."""
    found: list[Plan] = []
    for each in plans:
        plan = _renumbered(each, new_id() if found else first)
        if plan.link is not None and plan.link.spare:
            plan = plan._replace(link=plan.link._replace(spare=new_id()))
        found.append(plan)
    return found
