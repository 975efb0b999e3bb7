"""Charges as they are kept and shown, and how the use of an authorization grew.

Imports sqlalchemy, domain, and the store's balance_table, balances, units and deliveries.run only.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row

from hl7auth.domain.clock import iso_time
from hl7auth.domain.units import from_thousandths, said
from hl7auth.store.balance_table import HAS_ISSUES
from hl7auth.store.balances import read_holding
from hl7auth.store.statement import run
from hl7auth.store.units import Missing

Entry = dict[str, Any]

_SAME = ("member", "payor", "dos", "code", "modifiers", "units", "kind", "amount")
_ENTER = (
    "INSERT INTO charge (id, member, payor, dos, code, modifiers, units, kind, amount, issues, key, line, number, at,"
    " row_version) VALUES ({p}, {p}, {p}, {p}, {p}, {p}, {p}, {p}, {p}, {p}, '', '', '', {p}, 1) ON CONFLICT DO NOTHING"
)
_SERIES = (
    "SELECT dos, sum(units) AS units FROM charge_use WHERE key = {p} AND reversed_at IS NULL GROUP BY dos ORDER BY dos"
)


class Asked(NamedTuple):
    """What charges are asked for; what is empty is not."""

    member: str = ""
    authorization: str = ""
    issue: str = ""
    payors: tuple[str, ...] = ()


def enter(connection: Connection, values: Mapping[str, Any], now: int) -> bool:
    """Keeps a charge; False where there is another one under its id. Units are thousandths."""
    given = dict(values) | {"modifiers": json.dumps(values["modifiers"]), "issues": json.dumps(values["issues"])}
    names = ("id", *_SAME, "issues")
    if run(connection, _ENTER, (*(given[name] for name in names), now)).rowcount:
        return True
    known = row(connection, given["id"])
    return all(getattr(known, name) == given[name] for name in _SAME)


def row(connection: Connection, charge_id: str) -> Row[Any]:
    """The row of a charge. Raises Missing."""
    found = run(connection, "SELECT * FROM charge WHERE id = {p}", (charge_id,)).first()
    if found is None:
        raise Missing(f"there is no charge '{charge_id}'")
    return found


def read(connection: Connection, charge_id: str) -> Entry:
    """A charge as it is shown. Raises Missing."""
    return entry(row(connection, charge_id)._asdict())


def listed(connection: Connection, asked: Asked, place: tuple[int, str] | None, limit: int) -> list[Row[Any]]:
    """Rows, newest first, behind a place."""
    where, values = ["1 = 1"], []
    for clause, value in (("member = {p}", asked.member), ("key = {p}", asked.authorization),
                          ("issues LIKE {p}", asked.issue and f'%{json.dumps(asked.issue)}%')):  # fmt: skip
        if value:
            where.append(clause)
            values.append(value)
    if asked.issue:
        where.append(HAS_ISSUES)
    if asked.payors:
        where.append(f"payor IN ({', '.join(['{p}'] * len(asked.payors))})")
        values += asked.payors
    low: list[Any] = []
    if place is not None:
        where.append("(at < {p} OR (at = {p} AND id < {p})) AND at <= {p}")
        low = [place[0], place[0], place[1], place[0]]
    sql = f"SELECT * FROM charge WHERE {' AND '.join(where)} ORDER BY at DESC, id DESC LIMIT {{p}}"
    return list(run(connection, sql, (*values, *low, limit)).all())


def place_of(found: Row[Any]) -> tuple[int, str]:
    """Where a page ends that ends with this row."""
    return found.at, found.id


def entry(found: Mapping[str, Any]) -> Entry:
    """A row, by the names of its columns, as it is shown."""
    return {
        "id": found["id"],
        "member": found["member"],
        "payor": found["payor"],
        "dos": found["dos"],
        "code": found["code"],
        "modifiers": json.loads(found["modifiers"]),
        "units": said(from_thousandths(found["units"])),
        "unit": found["kind"] or None,
        "amount": found["amount"] or None,
        "issues": json.loads(found["issues"]),
        "authorization": found["key"] or None,
        "line": found["line"] or None,
        "number": found["number"] or None,
        "entered_at": iso_time(found["at"]),
        "version": found["row_version"],
    }


def series(connection: Connection, key: str) -> Entry | None:
    """Units used by date of service, added up, on top of those used elsewhere; None where nothing is granted."""
    listed_ = read_holding(connection, key)
    if listed_ is None:
        return None
    whole = listed_.holding.whole
    used, points = whole.external, []
    for found in run(connection, _SERIES, (key,)):
        used += from_thousandths(int(found.units))
        points.append({"dos": found.dos, "used": said(used)})
    start = whole.effective.isoformat() if whole.effective else None
    end = whole.expiration.isoformat() if whole.expiration else None
    return {
        "approved": said(whole.approved), "used_elsewhere": said(whole.external), "from": start, "to": end,
        "unit": whole.kind or None, "points": points,
    }  # fmt: skip
