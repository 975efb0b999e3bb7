"""Balances read from authorizations: what each grants, beside what charges took of it; and lists of them.

Imports sqlalchemy, orjson, domain, and the store's tables and deliveries.run only.

The table follows the versions of authorizations, from where it was left (`search_mark`): who reads lists lets it catch
up first, and who changes a balance reads its authorization anew in the same transaction. The intake knows nothing of
it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Row

from hl7auth.domain.balance import GRANTED, Account, Holding, LineAccount
from hl7auth.domain.grant import held
from hl7auth.domain.status import UNDECIDED, Status
from hl7auth.domain.units import from_thousandths, thousandths
from hl7auth.store.balance_table import NEARLY_SPENT, RUNS_OUT
from hl7auth.store.indexing import mark
from hl7auth.store.statement import run, run_many

MARK = "balance"
_PORTION = 500

_COLUMNS = (
    "key", "line", "number", "member", "payor", "status", "granted", "effective", "expiration", "approved",
    "external_used", "scheduled", "kind", "codes", "message_id",
)  # fmt: skip
_UPSERT = (
    f"INSERT INTO balance ({', '.join(_COLUMNS)}, used, row_version)"
    f" VALUES ({', '.join(['{p}'] * len(_COLUMNS))}, 0, 1)"
    " ON CONFLICT (key, line) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[2:])
    + ", row_version = balance.row_version + 1 WHERE balance.message_id <= excluded.message_id AND ("
    + " OR ".join(f"balance.{name} IS DISTINCT FROM excluded.{name}" for name in _COLUMNS[2:])
    + ")"
)
#: a line that is no longer there: what was charged to it stays on record, and nothing more can be
_GONE = (
    "UPDATE balance SET granted = 0, status = 'cancelled', row_version = row_version + 1"
    " WHERE key = {p} AND granted = 1 AND message_id < {p}"
)
_MARK = (
    "INSERT INTO search_mark (name, message_id) VALUES ({p}, {p})"
    " ON CONFLICT (name) DO UPDATE SET message_id = excluded.message_id"
)
_MARK_FROM = "UPDATE search_mark SET message_id = {p} WHERE name = {p} AND message_id = {p}"
_MARK_FIRST = "INSERT INTO search_mark (name, message_id) VALUES ({p}, {p}) ON CONFLICT (name) DO NOTHING"
_UPTO = (
    "SELECT max(message_id) AS upto, count(*) AS versions FROM (SELECT message_id FROM authorization_version"
    " WHERE message_id > {p} ORDER BY message_id LIMIT {p}) AS newer"
)
_CURRENT = (
    "SELECT key, version, status, message_id, document FROM authorization_version"
    " WHERE message_id > {p} AND message_id <= {p} AND current = 1 ORDER BY key"
)
_ONE = "SELECT key, version, status, message_id, document FROM authorization_version WHERE key = {p} AND current = 1"
_IS_FRESH = (
    "SELECT 1 FROM authorization_version v JOIN balance b ON b.key = v.key AND b.message_id = v.message_id"
    " WHERE v.key = {p} AND v.current = 1 AND b.line = ''"
)
_FRESH_OF = (
    "SELECT v.key, CASE WHEN b.message_id = v.message_id THEN 1 ELSE 0 END AS fresh FROM authorization_version v"
    " LEFT JOIN balance b ON b.key = v.key AND b.line = '' WHERE v.key IN ({marks}) AND v.current = 1"
)
#: of what came last, what has a word as a whole value somewhere, and is newer than its balance
_ABOUT = (
    "SELECT v.key, v.version, v.status, v.message_id, v.document FROM (SELECT key, version, status, message_id,"
    " document FROM authorization_version WHERE message_id > {p} AND current = 1 ORDER BY message_id LIMIT {p}) AS v"
    " LEFT JOIN balance b ON b.key = v.key AND b.line = '' WHERE %INSIDE%(v.document, {p}) > 0"
    " AND (b.message_id IS NULL OR b.message_id < v.message_id)"
)
#: under an amendment that nobody has decided, what was decided last stays in force
_DECIDED = (
    "SELECT status, document FROM authorization_version WHERE key = {p} AND version < {p}"
    " AND status NOT IN ('requested', 'pended') ORDER BY version DESC LIMIT 1"
)


class Listed(NamedTuple):
    """A holding in a list, with its place there and the version of its row."""

    holding: Holding
    place: int
    row_version: int


class Portion(NamedTuple):
    """What messages behind `low`, up to `upto`, made of balances: rows, and the keys and messages they are from;
    `is_last` when no more had come by then."""

    low: int
    upto: int
    rows: list[tuple[object, ...]]
    read: list[tuple[str, int]]
    is_last: bool


def catch_up(connection: Connection, portions: int = 1) -> bool:
    """Reads the versions that came since; False where some are left after so many portions of 500 messages."""
    for _ in range(portions):
        portion = read_portion(connection)
        if portion is None:
            return True
        write_portion(connection, portion)
    return False


def read_portion(connection: Connection) -> Portion | None:
    """The balances of the next 500 messages that the table does not know yet; None where there are none. Only reads."""
    low = mark(connection, MARK)
    newer = run(connection, _UPTO, (low, _PORTION)).one()
    if newer.upto is None:
        return None
    rows = run(connection, _CURRENT, (low, newer.upto)).all()
    made = [line for row in rows for line in _rows(connection, row)]
    read = [(row.key, row.message_id) for row in rows]
    return Portion(low, newer.upto, made, read, newer.versions < _PORTION)


def unread_about(connection: Connection, word: str, most: int) -> Sequence[Row[Any]]:
    """The current versions, among so many that the table does not know yet, that name a member or a number."""
    sql = _ABOUT.replace("%INSIDE%", "strpos" if connection.dialect.name == "postgresql" else "instr")
    value = orjson.dumps(word).decode()
    return run(connection, sql, (mark(connection, MARK), most, value)).all()


def write_portion(connection: Connection, portion: Portion) -> bool:
    """Writes what was read, perhaps a while ago: what is newer by now stays. False, with nothing written, where
    somebody else was there first."""
    moved = run(connection, _MARK_FROM, (portion.upto, MARK, portion.low)).rowcount
    if not moved and (portion.low or not run(connection, _MARK_FIRST, (MARK, portion.upto)).rowcount):
        return False
    run_many(connection, _UPSERT, portion.rows)
    run_many(connection, _GONE, portion.read)
    return True


def is_behind(connection: Connection) -> bool:
    """True when versions came since; only reads."""
    newest = run(connection, "SELECT max(message_id) FROM authorization_version", ()).scalar()
    return (newest or 0) > mark(connection, MARK)


def refresh_one(connection: Connection, key: str) -> bool:
    """Reads one authorization anew, where that is needed; False where there is none. The caller's transaction then sees
    it as it is."""
    if run(connection, _IS_FRESH, (key,)).first() is not None:
        return True
    rows = run(connection, _ONE, (key,)).all()
    refresh(connection, rows)
    return bool(rows)


def fresh_of(connection: Connection, keys: Sequence[str]) -> dict[str, bool]:
    """Those of the keys that there are, and whether their balance is that of the current version."""
    if not keys:
        return {}
    sql = _FRESH_OF.format(marks=", ".join(["{p}"] * len(keys)))
    return {row.key: bool(row.fresh) for row in run(connection, sql, keys)}


def forget(connection: Connection) -> None:
    """Everything is to be read anew, as after a renewal; what charges used stays."""
    run(connection, "DELETE FROM balance WHERE used = 0", ())
    run(connection, "UPDATE balance SET granted = 0, message_id = 0", ())
    run(connection, _MARK, (MARK, 0))


def refresh(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    """Brings the balances to what these current versions grant; what charges used stays."""
    made = [line for row in rows for line in _rows(connection, row)]
    run_many(connection, _UPSERT, made)
    run_many(connection, _GONE, [(row.key, row.message_id) for row in rows])


def _rows(connection: Connection, row: Row[Any]) -> list[tuple[object, ...]]:
    document, status = orjson.loads(row.document), Status(row.status)
    if status in UNDECIDED and row.version > 1:
        before = run(connection, _DECIDED, (row.key, row.version)).first()
        if before is not None and before.status in GRANTED:
            document = orjson.loads(before.document)
    document["key"] = row.key
    holding = held(document)
    codes = json.dumps(sorted(holding.codes))
    whole = _row(holding, "", holding.whole, codes, row)
    return [whole] + [_row(holding, name, line.account, line.code, row) for name, line in holding.lines.items()]


def _row(holding: Holding, line: str, account: Account, codes: str, row: Row[Any]) -> tuple[object, ...]:
    answered = row.key.startswith("?") and row.status not in UNDECIDED
    return (
        row.key, line, holding.number, holding.member, holding.payor, str(account.status),
        int(account.status in GRANTED and not answered), _iso(account.effective), _iso(account.expiration),
        None if account.approved is None else thousandths(account.approved), thousandths(account.external),
        thousandths(account.scheduled), account.kind, codes, row.message_id,
    )  # fmt: skip


def read_holding(connection: Connection, key: str) -> Listed | None:
    """The balances of one authorization; None where there is none."""
    return next(iter(_holdings(connection, [key])), None)


def holdings_of_member(connection: Connection, member: str, limit: int) -> list[Listed]:
    """What a member has, newest first: authorizations, and requests that wait for their answer."""
    sql = (
        "SELECT key FROM balance WHERE member = {p} AND line = '' AND (key < '?' OR key >= '@' OR status IN"
        " ('requested', 'pended')) ORDER BY message_id DESC, key LIMIT {p}"
    )
    return _holdings(connection, [row.key for row in run(connection, sql, (member, limit))])


def nearly_spent(connection: Connection, day: date, after: str, limit: int, payors: Sequence[str] = ()) -> list[Listed]:
    """What is used beyond 80 % or will run out (AUT-20), its period being open on that day; by key, behind `after`."""
    payor = f" AND payor IN ({', '.join(['{p}'] * len(payors))})" if payors else ""
    common = f"AND key > {{p}} AND (expiration = '' OR expiration >= {{p}}){payor} ORDER BY key LIMIT {{p}}"
    values = (after, day.isoformat(), *payors, limit)
    keys: set[str] = set()
    for which in (NEARLY_SPENT, RUNS_OUT):
        keys |= {row.key for row in run(connection, f"SELECT key FROM balance WHERE {which} {common}", values)}
    return _holdings(connection, sorted(keys)[:limit])


def keys_of_number(connection: Connection, number: str, *, cancelled: bool = False) -> list[str]:
    """The keys of authorizations under a number, by whomever it was given; without those that are `cancelled`."""
    sql = "SELECT key FROM balance WHERE number = {p} AND line = ''"
    sql += "" if cancelled else " AND status <> 'cancelled'"
    return [row.key for row in run(connection, f"{sql} ORDER BY key LIMIT 10", (number,))]


def _holdings(connection: Connection, keys: Sequence[str]) -> list[Listed]:
    """Those of the keys, in their order."""
    return list(holdings_of(connection, keys).values())


def holdings_of(connection: Connection, keys: Sequence[str], *, lock: bool = False) -> dict[str, Listed]:
    """The balances of those of the keys that have one, in their order; with `lock` nobody else changes them until the
    end of this transaction."""
    if not keys:
        return {}
    marks = ", ".join(["{p}"] * len(keys))
    locked = " FOR UPDATE" if lock and connection.dialect.name == "postgresql" else ""
    rows = run(connection, f"SELECT * FROM balance WHERE key IN ({marks}) ORDER BY key, line{locked}", keys).all()
    found = {key: _listed(list(some)) for key, some in groupby(rows, lambda row: row.key)}
    return {key: found[key] for key in keys if key in found}


def _listed(rows: Sequence[Row[Any]]) -> Listed:
    whole, lines = rows[0], rows[1:]
    holding = Holding(
        whole.key, whole.number, whole.member, whole.payor, _account(whole), frozenset(json.loads(whole.codes)),
        _lines(lines),
    )  # fmt: skip
    return Listed(holding, whole.message_id, whole.row_version)


def _lines(rows: Iterable[Row[Any]]) -> Mapping[str, LineAccount]:
    return {row.line: LineAccount(row.codes, _account(row)) for row in rows}


def _account(row: Row[Any]) -> Account:
    return Account(
        None if row.approved is None else from_thousandths(row.approved), from_thousandths(row.used),
        from_thousandths(row.external_used), from_thousandths(row.scheduled), row.kind, _day(row.effective),
        _day(row.expiration), Status(row.status),
    )  # fmt: skip


def _iso(day: date | None) -> str:
    return day.isoformat() if day else ""


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None
