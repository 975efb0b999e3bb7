"""Finding messages: `find` answers a Query with a Page, newest first; `all_ids` goes through all pages.

Imports sqlalchemy, domain.clock, flow, wire, errors and the store's modules of search only.

Of all that is asked, what fewest messages have is looked up by its index, and the rest is asked of those. What has no
index (other fields, words of the newest messages) is read from the messages that are left, at most MOST_READ for a
page; then the page says so, and goes on from there.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row

from hl7auth.errors import Fault
from hl7auth.flow.indexed import folded, read_place, values_at
from hl7auth.store.archive import LISTED, Entry, message_entry
from hl7auth.store.bodies import BodyFault, Packs
from hl7auth.store.indexing import mark
from hl7auth.store.search_tests import Test, other_fields, tests_of, time_bounds
from hl7auth.store.statement import run
from hl7auth.store.words import holds, read_terms, words_of
from hl7auth.wire.message import Message, parse

MOST_READ = 10_000
"""Messages that are read for one page by what has no index."""
_CHUNK = 250
_ENOUGH = 1_000
"""An index that gives no more than that is as good as any."""
_MOST_NOTES = 10
_DROPPED = "some messages were not read, for retention has dropped their bodies"
_LISTED = ", ".join(f"m.{each.name}" for each in LISTED)


@dataclass(frozen=True, slots=True)
class Query:
    """What messages are asked for: everything that is given must fit. Case does not count, except in `control_id`.

    `event` is RQA^I08, RQA or I08; `name` is a family name, or family^given; times are microseconds since 1970, from
    `since` to before `until`. `fields` are (path, value). A value of `fields`, `name` and the identifiers may end in
    `*`. `words` is full text; `any_of` are identifiers of whatever kind, of which a message has one. `before` is
    `next` of the page before.
    """

    control_id: str = ""
    authorization: str = ""
    patient: str = ""
    name: str = ""
    referral: str = ""
    sender: str = ""
    event: str = ""
    status: str = ""
    rule: str = ""
    since: int | None = None
    until: int | None = None
    channel: str = ""
    disposition: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    words: str = ""
    any_of: tuple[str, ...] = ()
    limit: int = 50
    before: int | None = None


class Page(NamedTuple):
    """Messages without their bodies, newest first. `next` is where the next page begins; None where there is none.

    `read` messages were read for what has no index; `notes` say what may be missing, and why.
    """

    messages: list[Entry]
    next: int | None = None
    read: int = 0
    notes: tuple[str, ...] = ()


def find(connection: Connection, query: Query) -> Page:
    """One page. Raises UserError for a query that nobody understands."""
    others, notes = other_fields(query.fields), []
    if (lowest := mark(connection, "fields")) and asks_index(query):
        notes.append(f"messages before {lowest} are not indexed yet: `hl7auth db index` does it")
    if not query.words:
        return _paged(connection, query, tests_of(connection, query), _reader(query, others), notes)
    upto = mark(connection, "text")
    if upto < (run(connection, "SELECT max(id) FROM message", ()).scalar() or 0):
        notes.append(f"messages after {upto} are read for their words: `hl7auth db index` indexes them")
    page = Page([], None, 0, ())
    without = replace(query, words="")
    if query.before is None or query.before > upto + 1:
        page = _paged(
            connection, query, tests_of(connection, without), _reader(query, others, words=True), notes, after=upto
        )
        if page.next is not None or not upto:
            return page
    left = replace(query, before=min(query.before or upto + 1, upto + 1), limit=query.limit - len(page.messages))
    more = _paged(connection, left, tests_of(connection, left), _reader(query, others), notes)
    return Page(page.messages + more.messages, more.next, page.read + more.read, more.notes)


def all_ids(connection: Connection, query: Query) -> Iterator[int]:
    """The ids of all messages that fit, newest first, however many have to be read."""
    before = query.before
    while True:
        page = find(connection, replace(query, before=before, limit=1_000))
        yield from (int(each["id"]) for each in page.messages)
        if page.next is None:
            return
        before = page.next


def found_for(connection: Connection, asked: Sequence[str]) -> dict[str, list[int]]:
    """For each identifier the newest ids of messages that have it, at most ten; none where it was never seen."""
    found = {}
    for each in asked:
        page = find(connection, Query(any_of=(each,), limit=10))
        found[each] = [int(entry["id"]) for entry in page.messages]
    return found


def asks_index(query: Query) -> bool:
    """Is something asked that only the index of fields knows?"""
    asked = (query.authorization, query.patient, query.name, query.referral, query.status, query.rule)
    return any(asked) or bool(query.fields) or bool(query.any_of)


Fits = Callable[[bytes], bool]


def _reader(query: Query, others: Sequence[tuple[str, str]], *, words: bool = False) -> Fits | None:
    """What is asked of the bytes of a message; None where nothing is."""
    terms = read_terms(query.words) if words else ()
    if not others and not terms:
        return None
    places = [(read_place(path), value) for path, value in others]

    def fits(raw: bytes) -> bool:
        if terms and not holds(words_of(raw), terms):
            return False
        if not places:
            return True
        try:
            message = parse(raw)
        except Fault:
            return False
        return all(_has(message, place, value) for place, value in places)

    return fits


def _has(message: Message, place: Any, asked: str) -> bool:
    begins, wanted = asked.endswith("*"), folded(asked.removesuffix("*"))
    values = (folded(each) for each in values_at(message, place))
    return any(each.startswith(wanted) if begins else each == wanted for each in values)


def _paged(
    connection: Connection,
    query: Query,
    tests: Sequence[Test],
    fits: Fits | None,
    notes: Sequence[str],
    after: int | None = None,
) -> Page:
    """A page by the tests; where bytes are asked, chunk by chunk until it is full or enough was read."""
    if query.limit <= 0:
        # the page was full before: is there any more?
        rows = _select(connection, query, tests, after, query.before, 1, body=False)
        return Page([], rows[0].id + 1 if rows else None, 0, tuple(notes))
    if fits is None:
        rows = _select(connection, query, tests, after, query.before, query.limit + 1, body=False)
        more = rows[query.limit - 1].id if len(rows) > query.limit else None
        return Page([message_entry(row) for row in rows[: query.limit]], more, 0, tuple(notes))
    found: list[Entry] = []
    read, before, told = 0, query.before, list(notes)
    packs = Packs(connection)
    while rows := _select(connection, query, tests, after, before, _CHUNK, body=True):
        for row in rows:
            read, before = read + 1, row.id
            if fits(_raw(packs, row, told)):
                found.append(message_entry(row))
            if len(found) >= query.limit or read >= MOST_READ:
                said = f"{read} messages were read; the next page goes on from there"
                return Page(found, before, read, (*told, said) if read >= MOST_READ else tuple(told))
        if len(rows) < _CHUNK:
            break
    return Page(found, None, read, tuple(told))


def _raw(packs: Packs, row: Row[Any], notes: list[str]) -> bytes:
    """What came, from its pack where it is sealed; nothing where it is lost, and a note that says so."""
    if row.pack is None:
        return bytes(row.raw)
    record = packs.record(row.pack, row.id)
    if not isinstance(record, BodyFault):
        return record.raw
    note = _DROPPED if record.dropped else str(record)
    if note not in notes and len(notes) < _MOST_NOTES:
        notes.append(note)
    return b""


def _select(
    connection: Connection,
    query: Query,
    tests: Sequence[Test],
    after: int | None,
    before: int | None,
    limit: int,
    *,
    body: bool,
) -> list[Row[Any]]:
    first, rest = _first(connection, tests)
    key = "d.id" if first else "m.id"
    where = ["m.id = d.id"] if first else []
    values: list[object] = list(first.source_values) if first else []
    low, high, exact = time_bounds(connection, query.since, query.until)
    for sql, value in (("<", before), (">", after), (">=", low), ("<=", high)):
        if value is not None:
            where.append(f"{key} {sql} {{p}}")
            values.append(value)
    for sql, value in exact:
        where.append(sql)
        values.append(value)
    for test in rest:
        where.append(test.clause)
        values += test.values
    table = f"({first.source}) d CROSS JOIN message m" if first else "message m"
    sql = f"SELECT {_LISTED}{', m.raw, m.pack' if body else ''} FROM {table}"
    sql += f" WHERE {' AND '.join(where)}" if where else ""
    return list(run(connection, f"{sql} ORDER BY {key} DESC LIMIT {{p}}", (*values, limit)))


def _first(connection: Connection, tests: Sequence[Test]) -> tuple[Test | None, list[Test]]:
    """What fewest messages fit, to begin with, and the rest."""
    if len(tests) < 2:
        return (tests[0] if tests else None), []
    counts = []
    for at, test in enumerate(tests):
        sql = f"SELECT count(*) FROM ({test.source} LIMIT {_ENOUGH}) counted"
        counts.append((run(connection, sql, test.source_values).scalar() or 0, not test.in_order, at))
    at = min(counts)[2]
    return tests[at], [*tests[:at], *tests[at + 1 :]]
