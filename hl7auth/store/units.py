"""Units used: a charge is put to an authorization, or taken off it, so that nothing is spent twice.

Imports sqlalchemy, domain, and the store's balances and deliveries.run only.

Whatever the number of writers: the used units change in one statement that asks whether there is room, and each charge
has one row in force in the ledger, which an index sees to. All functions work in the transaction of the caller, who
rolls back what raises.
"""

import json
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row

from hl7auth.domain.balance import Asked, Holding, Reason, Standing, reasons
from hl7auth.domain.grant import day_of
from hl7auth.domain.units import from_thousandths
from hl7auth.store.balances import read_holding, refresh_one
from hl7auth.store.statement import run

AUTH_REQUIRED = "auth_required"

NOTE = (
    "INSERT INTO charge_use (charge_id, key, line, units, dos, at, by) VALUES ({p}, {p}, {p}, {p}, {p}, {p}, {p})"
    " ON CONFLICT (charge_id) WHERE reversed_at IS NULL DO NOTHING"
)
TAKE = (
    "UPDATE balance SET used = used + {p}, row_version = row_version + 1 WHERE key = {p} AND line IN ('', {p})"
    " AND granted = 1 AND (effective = '' OR effective <= {p}) AND (expiration = '' OR expiration >= {p})"
    " AND (approved IS NULL OR used + external_used + {p} <= approved)"
)
_GIVE = "UPDATE balance SET used = used - {p}, row_version = row_version + 1 WHERE key = {p} AND line IN ('', {p})"
_IN_FORCE = "SELECT * FROM charge_use WHERE charge_id = {p} AND reversed_at IS NULL"
_REVERSE = "UPDATE charge_use SET reversed_at = {p}, reversed_by = {p} WHERE id = {p} AND reversed_at IS NULL"
PLACE = (
    "UPDATE charge SET key = {p}, line = {p}, number = {p}, issues = {p}, row_version = row_version + 1 WHERE id = {p}"
)
_DRIFT = (
    "SELECT b.key, b.line, b.used, coalesce(l.units, 0) AS units FROM balance b LEFT JOIN"
    " (SELECT key, '' AS line, sum(units) AS units FROM charge_use WHERE reversed_at IS NULL GROUP BY key"
    "  UNION ALL SELECT key, line, sum(units) FROM charge_use WHERE reversed_at IS NULL AND line <> ''"
    "  GROUP BY key, line) l ON l.key = b.key AND l.line = b.line WHERE b.used <> coalesce(l.units, 0)"
    " ORDER BY b.key, b.line LIMIT {p}"
)


class NotCovered(Exception):
    """The authorization does not cover the charge; why not is in `reasons`."""

    def __init__(self, why: list[Reason]) -> None:
        super().__init__(", ".join(why))
        self.reasons = why


class Missing(Exception):
    """There is no such charge, or no such authorization: the text says which."""


class Attached(NamedTuple):
    """What came of it: `new` is False where the charge was put to this authorization before, and nothing changed."""

    key: str
    line: str
    number: str
    new: bool
    moved_from: str = ""


class Drift(NamedTuple):
    """An account whose used units are not the sum of its ledger."""

    key: str
    line: str
    used: str
    ledger: str


def attach(connection: Connection, charge_id: str, key: str, by: str, now: int) -> Attached:
    """Puts a charge to an authorization; one that is elsewhere is moved. Raises Missing, and NotCovered."""
    charge = locked_charge(connection, charge_id)
    if charge.key == key:
        return Attached(key, charge.line, charge.number, new=False)
    if not refresh_one(connection, key):
        raise Missing(f"there is no authorization '{key}'")
    moved_from = _taken_off(connection, charge_id, by, now) if charge.key else ""
    listed = read_holding(connection, key)
    assert listed is not None
    asked = asked_by(charge)
    if why := reasons(listed.holding, asked):
        raise NotCovered(why)
    line = listed.holding.line_for(charge.code)
    noted = run(connection, NOTE, note_row(charge, key, line, by, now)).rowcount
    if not noted or run(connection, TAKE, take_row(charge, key, line)).rowcount != (2 if line else 1):
        raise NotCovered([Reason.UNITS])  # somebody was faster
    issues = charge.issues  # what the charge needs is said again by its next validation
    run(connection, PLACE, (key, line, listed.holding.number, issues, charge_id))
    return Attached(key, line, listed.holding.number, new=True, moved_from=moved_from)


def note_row(charge: Row[Any], key: str, line: str, by: str, now: int) -> tuple[object, ...]:
    """The values of NOTE: the row of the ledger."""
    return charge.id, key, line, charge.units, charge.dos, now, by


def take_row(charge: Row[Any], key: str, line: str) -> tuple[object, ...]:
    """The values of TAKE, which changes the row of the whole, and that of the line where there is one; or nothing."""
    return charge.units, key, line, charge.dos, charge.dos, charge.units


def reverse(connection: Connection, charge_id: str, by: str, now: int) -> bool:
    """Takes a charge off its authorization, which gets its units back, once; False where it is on none. Missing."""
    charge = locked_charge(connection, charge_id)
    if not _taken_off(connection, charge_id, by, now):
        return False
    issues = json.dumps([AUTH_REQUIRED, *(each for each in json.loads(charge.issues) if each != AUTH_REQUIRED)])
    run(connection, PLACE, ("", "", "", issues, charge_id))
    return True


def _taken_off(connection: Connection, charge_id: str, by: str, now: int) -> str:
    use = run(connection, _IN_FORCE, (charge_id,)).first()
    if use is None or not run(connection, _REVERSE, (now, by, use.id)).rowcount:
        return ""
    run(connection, _GIVE, (use.units, use.key, use.line))
    return str(use.key)


def validate(connection: Connection, charge_id: str) -> list[str]:
    """Looks at a charge anew and says what is still wrong: `auth_required` while no authorization covers it. Missing.

    Issues of others stay. One whose authorization was amended since says how: `authorization_dos_out_of_window`.
    """
    charge = locked_charge(connection, charge_id)
    kept = [
        each for each in json.loads(charge.issues) if each != AUTH_REQUIRED and not each.startswith("authorization_")
    ]
    found = [AUTH_REQUIRED]
    if charge.key and refresh_one(connection, charge.key):
        listed = read_holding(connection, charge.key)
        assert listed is not None
        found = [f"authorization_{each.lower()}" for each in _still_wrong(listed.holding, asked_by(charge))]
        if listed.holding.whole.overused:
            found.append("authorization_overused")
    run(connection, PLACE, (charge.key, charge.line, charge.number, json.dumps(found + kept), charge_id))
    return found + kept


def _still_wrong(holding: Holding, asked: Asked) -> list[Reason]:
    """What keeps it from covering what is charged to it already: its own units are not in the way of themselves."""
    spent = holding.whole.standing(asked.dos) is Standing.EXHAUSTED
    own = {Reason.UNITS, Reason.NOT_ACTIVE} if spent else {Reason.UNITS}
    return [each for each in reasons(holding, asked) if each not in own]


def asked_by(charge: Row[Any]) -> Asked:
    """What a row of the table of charges needs covered."""
    dos = day_of(charge.dos)
    assert dos is not None
    return Asked(dos, charge.code, from_thousandths(charge.units), charge.kind, charge.member, charge.payor)


def locked_charge(connection: Connection, charge_id: str) -> Row[Any]:
    """The charge, which nobody else changes until the end of this transaction. Raises Missing."""
    lock = " FOR UPDATE" if connection.dialect.name == "postgresql" else ""
    row = run(connection, f"SELECT * FROM charge WHERE id = {{p}}{lock}", (charge_id,)).first()
    if row is None:
        raise Missing(f"there is no charge '{charge_id}'")
    return row


def drift(connection: Connection, limit: int = 100) -> list[Drift]:
    """Accounts that do not add up; none ever should be found."""
    return [
        Drift(row.key, row.line, str(from_thousandths(row.used)), str(from_thousandths(row.units)))
        for row in run(connection, _DRIFT, (limit,))
    ]
