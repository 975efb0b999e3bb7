"""Charges put to authorizations, those of several requests together: who may, what comes of each, and what is recorded.

Imports sqlalchemy, api and store.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from hl7auth.api.problems import Problem
from hl7auth.api.writer import Done
from hl7auth.store import audit, charges, pages
from hl7auth.store.attaching import Answer, Wanted, attach_many
from hl7auth.store.tokens import Caller
from hl7auth.store.units import Missing, NotCovered


class Asked(NamedTuple):
    """Who puts which charge to which authorization, and when (microseconds since 1970)."""

    caller: Caller
    charge_id: str
    key: str
    now: int


def together(connection: Connection, asked: Sequence[Asked]) -> list[Done]:
    """Each is told what came of it, or gets a Problem: 404 for what it may not see, 409 with the reasons."""
    refused = [_refused(connection, each) for each in asked]
    fine = [each for each, problem in zip(asked, refused, strict=True) if problem is None]
    answers = attach_many(connection, [Wanted(each.charge_id, each.key, each.caller.name, each.now) for each in fine])
    came = iter(zip(fine, answers, strict=True))
    return [Done(problem) if problem is not None else _done(*next(came)) for problem in refused]


def _refused(connection: Connection, asked: Asked) -> Problem | None:
    """What keeps a token that is bound to payors or channels away; nothing is asked for those that are not."""
    caller = asked.caller
    if not caller.payors and not caller.channels:
        return None
    try:
        charge = charges.row(connection, asked.charge_id)
    except Missing as missing:
        return Problem(404, str(missing), "missing")
    is_elsewhere = charge.key and caller.channels and not pages.may_see(connection, charge.key, caller.sees)
    if is_elsewhere or not caller.sees_payor(charge.payor):
        return Problem(404, f"there is no charge '{asked.charge_id}'", "missing")
    if not pages.may_see(connection, asked.key, caller.sees):
        return _nothing(asked.key)
    return None


def _done(asked: Asked, answer: Answer) -> Done:
    if isinstance(answer, NotCovered):
        return Done(_not_covered(asked.key, answer))
    if isinstance(answer, Missing):
        return Done(Problem(404, str(answer), "missing"))
    done = answer.done
    entry = charges.entry(answer.charge) | {"attached": done.new}
    if not done.new:
        return Done(entry)
    detail = {"authorization": done.key, "moved_from": done.moved_from}
    return Done(entry, [audit.Deed(asked.now, asked.caller.name, "charge.attach", asked.charge_id, detail)])


def _not_covered(key: str, refused: NotCovered) -> Problem:
    why = [str(each) for each in refused.reasons]
    word, text = (
        ("insufficient-units", "not enough units are left") if why == ["UNITS"] else ("not-covered", str(refused))
    )
    return Problem(409, f"'{key}' does not cover it: {text}", word, reasons=why)


def _nothing(key: str) -> Problem:
    return Problem(404, f"AUT-IP-AUTO-001: there is no authorization or request '{key}'", "missing")
