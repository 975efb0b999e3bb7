"""Pages of authorizations and of open requests, newest first, for programs that ask for one after the other.

Imports sqlalchemy, orjson, domain, and the store's authorizations, balances, schema and deliveries.run only.

What is asked by member, payor or number goes by the table of balances; the rest by the message that made the version.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Row

from hl7auth.domain.balance import Account, Holding, LineAccount
from hl7auth.domain.balance import use as use_of
from hl7auth.domain.clock import hours
from hl7auth.domain.document import shown
from hl7auth.domain.grant import held
from hl7auth.domain.key import shown_key
from hl7auth.domain.status import UNDECIDED, Status
from hl7auth.domain.units import said
from hl7auth.store.authorizations import ClocksOf, clocks_of_keys
from hl7auth.store.balances import Listed, holdings_of
from hl7auth.store.schema import OTHERS
from hl7auth.store.statement import run

Entry = dict[str, Any]
Sees = Callable[[str, str], bool]
Place = tuple[int, str]
"""Where a page ends: the id of the message that made a version, and its key."""

MOST_READ = 5_000
"""Authorizations that are looked at for one page; then it ends early, and the next one goes on."""
_PORTION = 200
_LAST: Place = (2**63 - 1, "")
_FIELDS = ("key", "version", "status", "message_id", "document")
_COLUMNS = ", ".join(f"v.{name}" for name in _FIELDS)
_COLUMNS += ", (SELECT m.channel FROM message m WHERE m.id = v.message_id) AS channel"
_BY_MESSAGE = (
    f"SELECT {_COLUMNS} FROM authorization_version v WHERE {{where}} AND (v.message_id < {{{{p}}}}"
    " OR (v.message_id = {{p}} AND v.key < {{p}})) AND v.message_id <= {{p}}"
    " ORDER BY v.message_id DESC, v.key DESC LIMIT {{p}}"
)
_ONE = f"SELECT {_COLUMNS} FROM authorization_version v WHERE v.key = {{p}} AND v.current = 1"
_ISSUED = "v.current = 1 AND (v.key < '?' OR v.key >= '@')"
#: spelled as the partial index spells it
_OPEN = "current = 1 AND status IN ('requested', 'pended')"
_BY_BALANCE = (
    f"SELECT {_COLUMNS} FROM balance b JOIN authorization_version v ON v.key = b.key AND v.current = 1"
    " WHERE {where} AND b.line = '' AND (b.key < '?' OR b.key >= '@') AND (b.message_id < {{p}}"
    " OR (b.message_id = {{p}} AND b.key < {{p}})) AND b.message_id <= {{p}}"
    " ORDER BY b.message_id DESC, b.key DESC LIMIT {{p}}"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for; what is empty is not. `sees` says whether what is of a payor and a channel may be shown."""

    status: str = ""
    member: str = ""
    payor: str = ""
    number: str = ""
    sees: Sees = lambda _payor, _channel: True


class Page(NamedTuple):
    """Entries, and where the next page begins; None where there is none."""

    entries: list[Entry]
    next: Place | None


def authorizations(connection: Connection, wanted: Wanted, place: Place | None, limit: int, today: date) -> Page:
    """Current documents without provenance, each with its balance as of that day."""
    columns = {"b.member": wanted.member, "b.payor": wanted.payor, "b.number": wanted.number}
    named = {name: value for name, value in columns.items() if value}
    status = " AND v.status = {p}" if wanted.status else ""
    if named:
        where = " AND ".join(f"{name} = {{p}}" for name in named) + status
        template = _BY_BALANCE
    else:
        where, template = _ISSUED + status + _by_index(wanted.status), _BY_MESSAGE
    values = [*named.values(), *([wanted.status] if wanted.status else [])]
    rows, following = _page(connection, template.format(where=where), values, place, limit, wanted.sees)
    balances = holdings_of(connection, [row.key for row, _ in rows])
    return Page([_entry(row, document, balances.get(row.key), today) for row, document in rows], following)


def _by_index(status: str) -> str:
    """What lets a list of a status go by an index of few: nothing for what is approved, as most are."""
    if status in {"", Status.APPROVED}:
        return ""
    return f" AND {_OPEN if status in UNDECIDED else OTHERS}"


def requests(
    connection: Connection, wanted: Wanted, place: Place | None, limit: int, now: int, clocks_of: ClocksOf,
    due_within: float | None = None,
) -> Page:  # fmt: skip
    """Open requests, each with its clock; with `due_within` those that are due within so many hours, or overdue."""
    found: list[Entry] = []
    where = _OPEN + (" AND v.status = {p}" if wanted.status else "")
    values = [wanted.status] if wanted.status else []
    looked = 0
    while True:
        sql = _BY_MESSAGE.format(where=where)
        rows, place = _page(connection, sql, values, place, _PORTION if due_within is not None else limit, wanted.sees)
        looked += len(rows)
        clocks = clocks_of_keys(connection, [row.key for row, _ in rows], now, clocks_of)
        for row, document in rows:
            running = clocks.get(row.key)
            if running is None and not row.key.startswith("?"):
                continue  # a number that an answer pends: the clock is that of the request, which is listed itself
            if due_within is not None and not (running and running.due <= now + hours(due_within)):
                continue
            entry = _plain(row, document) | ({"clock": running.entry()} if running else {})
            found.append(entry)
            if len(found) == limit:
                rest = rows[-1][0] is not row or place is not None
                return Page(found, (row.message_id, row.key) if rest else None)
        if place is None or looked >= MOST_READ:
            return Page(found, place)


def may_see(connection: Connection, key: str, sees: Sees) -> bool:
    """True when there is such an authorization or request, and it may be seen."""
    row = run(connection, _ONE, (key,)).first()
    return row is not None and sees(payor_of(orjson.loads(row.document)), row.channel or "")


def may_see_of(connection: Connection, keys: Sequence[str], sees: Sees) -> set[str]:
    """Those of the keys that there are and that may be seen."""
    if not keys:
        return set()
    marks = ", ".join(["{p}"] * len(keys))
    rows = run(
        connection, f"SELECT {_COLUMNS} FROM authorization_version v WHERE v.key IN ({marks}) AND v.current = 1", keys
    )
    return {row.key for row in rows if sees(payor_of(orjson.loads(row.document)), row.channel or "")}


def document_of(connection: Connection, key: str) -> Entry | None:
    """The current document as stored."""
    row = run(connection, _ONE, (key,)).first()
    return None if row is None else orjson.loads(row.document)


def payor_of(document: Entry) -> str:
    """AUT-2.1."""
    return str((document.get("payor") or {}).get("code", ""))


class Found(NamedTuple):
    """One authorization or request: its key as stored, its entry, and the version of both document and balance."""

    key: str
    entry: Entry
    version: str


def found(connection: Connection, key: str, sees: Sees, today: date) -> Found | None:
    """What is under a key, as it is stored or shown (a referral, a control id); None where nothing is that may be
    seen."""
    for stored in (key, f"?{key}", f"?#{key}"):
        row = run(connection, _ONE, (stored,)).first()
        if row is not None:
            document = orjson.loads(row.document)
            return _found(connection, row, document, today) if sees(payor_of(document), row.channel or "") else None
    return None


def one(connection: Connection, key: str, today: date) -> tuple[Entry, str] | None:
    """The current document of an authorization or request with provenance and balance, and the version of both
    (which begins with that of the document)."""
    row = run(connection, _ONE, (key,)).first()
    return None if row is None else _found(connection, row, orjson.loads(row.document), today)[1:]


def _found(connection: Connection, row: Row[Any], document: Entry, today: date) -> Found:
    known = holdings_of(connection, [row.key]).get(row.key)
    entry = shown(document) | {"balance": balance_entry(_fresh(row, document, known), today)}
    used = known.holding.whole.used if known else Decimal(0)
    return Found(row.key, entry, f"{row.version}-{said(used)}-{today:%Y%m%d}")


def balance_entry(holding: Holding, today: date) -> Entry:
    """The account of an authorization as of a day, and those of its lines that have one."""
    lines = {name: _account(line.account, today) | {"code": line.code} for name, line in holding.lines.items()}
    return _account(holding.whole, today) | ({"lines": lines} if lines else {})


def _account(account: Account, today: date) -> Entry:
    use = use_of(account, today)
    return {
        "status": str(account.standing(today)),
        "not_yet_effective": account.effective is not None and today < account.effective,
        "approved": said(account.approved),
        "used": said(account.spent),
        "used_here": said(account.used),
        "used_elsewhere": said(account.external),
        "scheduled": said(account.scheduled),
        "remaining": said(account.remaining),
        "unit": account.kind or None,
        "overused": account.overused,
        "will_run_out": use.will_run_out,
    }


def _entry(row: Row[Any], document: Entry, known: Listed | None, today: date) -> Entry:
    return _plain(row, document) | {"balance": balance_entry(_fresh(row, document, known), today)}


def _plain(row: Row[Any], document: Entry) -> Entry:
    entry = {name: value for name, value in document.items() if name != "provenance"}
    return entry | {"key": shown_key(row.key), "version": row.version, "status": row.status}


def _fresh(row: Row[Any], document: Entry, known: Listed | None) -> Holding:
    """The balance by this very version, also where the table of balances is behind; what was used it knows."""
    if known is not None and known.place == row.message_id:
        return known.holding
    holding = held(document | {"key": row.key, "status": row.status})
    if known is None:
        return holding
    if row.status in UNDECIDED and row.version > 1:
        return known.holding
    lines = {name: LineAccount(line.code, _with_used(line.account, known.holding.lines.get(name)))
             for name, line in holding.lines.items()}  # fmt: skip
    return replace(holding, whole=replace(holding.whole, used=known.holding.whole.used), lines=lines)


def _with_used(account: Account, known: LineAccount | None) -> Account:
    return account if known is None else replace(account, used=known.account.used)


def _page(
    connection: Connection, sql: str, values: Sequence[object], place: Place | None, limit: int,
    sees: Sees,
) -> tuple[list[tuple[Row[Any], Entry]], Place | None]:  # fmt: skip
    """Rows that may be seen, and where to go on."""
    found: list[tuple[Row[Any], Entry]] = []
    for looked, row in enumerate(_rows(connection, sql, values, place, limit + 1), 1):
        if len(found) == limit:
            last = found[-1][0]
            return found, (last.message_id, last.key)
        document = orjson.loads(row.document)
        if sees(payor_of(document), row.channel or ""):
            found.append((row, document))
        if looked >= MOST_READ:
            return found, (row.message_id, row.key)
    return found, None


def _rows(
    connection: Connection, sql: str, values: Sequence[object], place: Place | None, size: int
) -> Iterator[Row[Any]]:
    place = place or _LAST
    while True:
        rows = run(connection, sql, (*values, place[0], place[0], place[1], place[0], size)).all()
        yield from rows
        if len(rows) < size:
            return
        place = (rows[-1].message_id, rows[-1].key)
