"""Lists of authorizations, and of the requests that wait for an answer, with their clocks.

Imports sqlalchemy, domain and store only.

Lists are oldest first, newest last, cut at the newest `limit`. They are read in portions, newest first, so that a
filter that only the document can answer costs no memory.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice, takewhile
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Select, TextClause, and_, or_, select, text

from hl7auth.domain.clock import Clock, Clocks, clock
from hl7auth.domain.course import Told
from hl7auth.domain.document import shown
from hl7auth.domain.status import UNDECIDED
from hl7auth.store.courses import read_courses
from hl7auth.store.history import find
from hl7auth.store.schema import authorization_version as versions

Entry = dict[str, Any]
ClocksOf = Callable[[str], Clocks]

_PORTION = 200
_WAITING = and_(versions.c.key >= "?", versions.c.key < "@")
#: spelled as the partial index spells it, or the planner does not see that it fits
_OPEN = text("current = 1 AND status IN ('requested', 'pended')")


class Wanted(NamedTuple):
    """What to list. Filters: status, patient (id), payor (code). `overdue` asks for `open_requests` too."""

    filters: Mapping[str, str] = {}
    open_requests: bool = False
    overdue: bool = False


def usual_clocks(_channel: str) -> Clocks:
    """The clocks of a channel that says nothing about them."""
    return Clocks()


def list_authorizations(
    connection: Connection, wanted: Wanted, limit: int, now: int, clocks_of: ClocksOf = usual_clocks
) -> list[Entry]:
    """Current documents; what is open has its `clock`. `now` is in microseconds, `clocks_of` takes a channel's name.

    Open are the requests without a number that nobody has answered or cancelled, and what was asked for under a
    number that nobody has decided about.
    """
    portions = _portions(connection, _query(wanted))
    found = (entry for rows in portions for entry in _entries(connection, rows, wanted, now, clocks_of))
    kept = list(islice(found, limit or None))
    return kept[::-1]


def read_authorization(connection: Connection, key: str, now: int, clocks_of: ClocksOf = usual_clocks) -> Entry:
    """The current document of an authorization or request, with its `clock` while it is open. Raises UserError."""
    stored, _ = find(connection, key)
    current = and_(versions.c.key == stored, versions.c.current == 1)
    document = connection.execute(select(versions.c.document).where(current)).scalar_one()
    running = clocks_of_keys(connection, [stored], now, clocks_of).get(stored)
    return shown(json.loads(document)) | ({"clock": running.entry()} if running else {})


_DEEP: dict[str, Callable[[Entry], object]] = {
    "patient": lambda document: document.get("patient", {}).get("id"),
    "payor": lambda document: document.get("payor", {}).get("code"),
}


def _query(wanted: Wanted) -> Select[Any]:
    where: list[ColumnElement[bool] | TextClause]
    where = [_OPEN] if wanted.open_requests else [versions.c.current == 1, ~_WAITING]
    if "status" in wanted.filters:
        where.append(versions.c.status == wanted.filters["status"])
    columns = (versions.c.key, versions.c.message_id, versions.c.status, versions.c.document)
    return select(*columns).where(*where).order_by(versions.c.message_id.desc(), versions.c.key.desc())


def _portions(connection: Connection, query: Select[Any]) -> Iterator[Sequence[Row[Any]]]:
    """The rows of a list, portion by portion, each from where the one before ended."""
    rows = connection.execute(query.limit(_PORTION)).all()
    while rows:
        yield rows
        last = rows[-1]
        older = and_(versions.c.message_id == last.message_id, versions.c.key < last.key)
        rows = connection.execute(
            query.where(or_(versions.c.message_id < last.message_id, older)).limit(_PORTION)
        ).all()


def _entries(
    connection: Connection, rows: Sequence[Row[Any]], wanted: Wanted, now: int, clocks_of: ClocksOf
) -> Iterator[Entry]:
    deep = {name: value for name, value in wanted.filters.items() if name in _DEEP}
    read = [(row, json.loads(row.document)) for row in rows]
    kept = [(row, doc) for row, doc in read if all(_DEEP[name](doc) == value for name, value in deep.items())]
    clocks = clocks_of_keys(connection, [row.key for row, _ in kept if row.status in UNDECIDED], now, clocks_of)
    for row, document in kept:
        running = clocks.get(row.key)
        if wanted.open_requests and running is None and not row.key.startswith("?"):
            continue  # a number that an answer pends: the clock is that of the request, which is listed itself
        if wanted.overdue and not (running and running.overdue):
            continue
        yield shown(document) | ({"clock": running.entry()} if running else {})


def clocks_of_keys(connection: Connection, keys: Sequence[str], now: int, clocks_of: ClocksOf) -> dict[str, Clock]:
    """The clocks of those of the keys that were asked for and are open, by key."""
    asked = {key: _asked(key, course) for key, course in read_courses(connection, keys).items()}
    found = {}
    for key, course in asked.items():
        running = clock([each.asked for each in course], now, clocks_of(course[-1].channel)) if course else None
        if running is not None:
            found[key] = running
    return found


def _asked(key: str, course: Sequence[Told]) -> list[Told]:
    """What asked for it since the last decision. A request that an answer opens again asks anew from then on."""
    run = list(takewhile(lambda each: each.status in UNDECIDED, reversed(course)))[::-1]
    asked = [each for each in run if each.asks]
    if run and not asked and key.startswith("?"):
        first = next((each for each in reversed(course) if each.asks), run[0])
        return [first._replace(asked=first.asked._replace(at=run[0].at))]
    return asked
