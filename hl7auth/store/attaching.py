"""Many charges put to authorizations in one transaction: what several ask for at once costs as many statements as one.

Imports sqlalchemy, domain, and the store's balances, units and deliveries.run only.

It is `units.attach` for many. What has room is worked out in their order over balances that nobody else changes
meanwhile, and then used by the same conditional statement, which has the last word.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row

from hl7auth.domain.balance import Account, Holding, reasons
from hl7auth.domain.units import from_thousandths
from hl7auth.store.balances import fresh_of, holdings_of, refresh_one
from hl7auth.store.statement import run, run_many
from hl7auth.store.units import (
    NOTE,
    PLACE,
    TAKE,
    Attached,
    Missing,
    NotCovered,
    asked_by,
    attach,
    locked_charge,
    note_row,
    take_row,
)


class Wanted(NamedTuple):
    """A charge that somebody puts to an authorization; `now` in microseconds since 1970."""

    charge_id: str
    key: str
    by: str
    now: int


class Overtaken(Exception):
    """Another writer was in the way: nothing of it may be committed, and each is to be tried alone."""


class Put(NamedTuple):
    """What came of one: the charge as it is then, and what was done."""

    charge: Mapping[str, Any]
    done: Attached


Answer = Put | NotCovered | Missing


class _Placed(NamedTuple):
    wanted: Wanted
    charge: Row[Any]
    line: str
    number: str


def attach_many(connection: Connection, wanted: Sequence[Wanted]) -> list[Answer]:
    """What came of each, in their order. Raises Overtaken, after which the caller rolls back.

    A charge that is elsewhere is moved, and one that is asked for twice is attached once, after the others.
    """
    if not wanted:
        return []
    charges = _locked_charges(connection, [each.charge_id for each in wanted])
    holdings = _locked_holdings(connection, list(dict.fromkeys(each.key for each in wanted)))
    answers: list[Answer | None] = []
    placed: list[_Placed] = []
    put: set[str] = set()
    for each in wanted:
        charge, holding = charges.get(each.charge_id), holdings.get(each.key)
        if charge is None:
            answers.append(Missing(f"there is no charge '{each.charge_id}'"))
        elif charge.key == each.key and each.charge_id not in put:
            answers.append(Put(charge._asdict(), Attached(each.key, charge.line, charge.number, new=False)))
        elif holding is None:
            answers.append(Missing(f"there is no authorization '{each.key}'"))
        elif charge.key or each.charge_id in put:
            answers.append(None)
        elif why := reasons(holding, asked_by(charge)):
            answers.append(NotCovered(why))
        else:
            line = holding.line_for(charge.code)
            put.add(each.charge_id)
            placed.append(_Placed(each, charge, line, holding.number))
            holdings[each.key] = _with_less(holding, line, charge.units)
            after = {"key": each.key, "line": line, "number": holding.number, "row_version": charge.row_version + 1}
            answers.append(Put(charge._asdict() | after, Attached(each.key, line, holding.number, new=True)))
    _write(connection, placed)
    return [
        _alone(connection, each) if answer is None else answer for each, answer in zip(wanted, answers, strict=True)
    ]


def _write(connection: Connection, placed: Sequence[_Placed]) -> None:
    if not placed:
        return
    noted = run_many(
        connection,
        NOTE,
        [note_row(each.charge, each.wanted.key, each.line, each.wanted.by, each.wanted.now) for each in placed],
    )
    taken = run_many(connection, TAKE, [take_row(each.charge, each.wanted.key, each.line) for each in placed])
    if noted != len(placed) or taken != sum(2 if each.line else 1 for each in placed):
        raise Overtaken
    run_many(
        connection,
        PLACE,
        [(each.wanted.key, each.line, each.number, each.charge.issues, each.charge.id) for each in placed],
    )


def _alone(connection: Connection, wanted: Wanted) -> Answer:
    try:
        with connection.begin_nested():
            done = attach(connection, *wanted)
        return Put(locked_charge(connection, wanted.charge_id)._asdict(), done)
    except (NotCovered, Missing) as refused:
        return refused


def _locked_charges(connection: Connection, ids: Sequence[str]) -> dict[str, Row[Any]]:
    """In the order of their ids, so that two who lock several do not wait for each other."""
    lock = " FOR UPDATE" if connection.dialect.name == "postgresql" else ""
    known = sorted(set(ids))
    marks = ", ".join(["{p}"] * len(known))
    rows = run(connection, f"SELECT * FROM charge WHERE id IN ({marks}) ORDER BY id{lock}", known)
    return {row.id: row for row in rows}


def _locked_holdings(connection: Connection, keys: Sequence[str]) -> dict[str, Holding]:
    """The balances as of the current versions of their authorizations."""
    for key, is_fresh in fresh_of(connection, keys).items():
        if not is_fresh:
            refresh_one(connection, key)
    return {key: listed.holding for key, listed in holdings_of(connection, keys, lock=True).items()}


def _with_less(holding: Holding, line: str, units: int) -> Holding:
    """The holding when so many thousandths more of it are used."""

    def used(account: Account) -> Account:
        return replace(account, used=account.used + from_thousandths(units))

    lines: Mapping[str, Any] = holding.lines
    if line:
        lines = {**lines, line: lines[line]._replace(account=used(lines[line].account))}
    return replace(holding, whole=used(holding.whole), lines=lines)
